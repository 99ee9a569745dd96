//! Distributions as text: what a user writes, and how it was read.
//!
//! | Text | Meaning |
//! |---|---|
//! | `1.2` | exact |
//! | `x ± y`, `x +- y` | normal; `y` is one standard uncertainty |
//! | `x ± y (k=2)`, `x ± y (95%)` | the same; `y` is two of them, or half a 95 % interval |
//! | `n(mean, sd)` | normal |
//! | `tn(mu, sigma, min=, max=)` | normal with the parent's parameters, cut off; `min` 0 if left out |
//! | `ln(mean, cv)` | lognormal with the arithmetic mean |
//! | `u(low, high)` | uniform |
//! | `tri(low, mode, high)`, `arcsine(low, high)`, `t(mean, scale, dof)`, `ctrap(low, high, inexact)` | of JCGM 101 |
//!
//! A spread in `%` is relative to the mean. A unit stands after any number or after the whole.
//!
//! Out of scope: which quantity an option expects, and what is computed from it.

use std::fmt;
use std::str::FromStr;

use super::Distribution;
use super::normal::normal_quantile;

/// What a text is to be read as: decides which units it may carry, and the unit of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Energy, in kWh. A number without a unit is refused: kWh and J are too far apart.
    Energy,
    /// Mean power, in W. A number without a unit is refused.
    Power,
    /// Grid intensity, in g of `CO₂e` per kWh, also when no unit is given.
    Intensity,
    /// Mass of `CO₂e`, in g. A number without a unit is refused.
    Carbon,
    /// A factor without a unit, such as PUE.
    Ratio,
    /// A number of any kind, without a unit.
    Number,
}

/// A text that is no distribution of the quantity that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {text:?} as {what}: {reason}\n  {text}\n  {mark}", what = quantity.name(), mark = self.mark())]
pub struct TextError {
    /// What was to be read.
    pub text: String,
    /// What it was expected to be.
    pub quantity: Quantity,
    /// Where reading stopped: a number of bytes into `text`.
    pub at: usize,
    /// What is wrong there.
    pub reason: String,
}

impl TextError {
    /// A mark below the place, for a terminal.
    fn mark(&self) -> String {
        let before = self.text.get(..self.at).map_or(0, |text| text.chars().count());
        format!("{}^", " ".repeat(before))
    }
}

/// A unit as a quotient, so that 1500 Wh are 1.5 kWh to the last digit.
type Unit = (&'static str, f64, f64);

const ENERGY: [Unit; 12] = [
    ("kWh", 1.0, 1.0),
    ("Wh", 1.0, 1e3),
    ("MWh", 1e3, 1.0),
    ("GWh", 1e6, 1.0),
    ("mWh", 1.0, 1e6),
    ("J", 1.0, 3.6e6),
    ("kJ", 1.0, 3.6e3),
    ("MJ", 1.0, 3.6),
    ("GJ", 1e3, 3.6),
    ("mJ", 1.0, 3.6e9),
    ("uJ", 1.0, 3.6e12),
    ("µJ", 1.0, 3.6e12),
];

const POWER: [Unit; 5] =
    [("W", 1.0, 1.0), ("mW", 1.0, 1e3), ("kW", 1e3, 1.0), ("MW", 1e6, 1.0), ("GW", 1e9, 1.0)];

/// 1 lb = 0.453 592 37 kg: international avoirdupois pound, 1959.
const INTENSITY: [Unit; 10] = [
    ("g/kWh", 1.0, 1.0),
    ("gCO2/kWh", 1.0, 1.0),
    ("gCO2e/kWh", 1.0, 1.0),
    ("gCO2eq/kWh", 1.0, 1.0),
    ("kg/kWh", 1e3, 1.0),
    ("kg/MWh", 1.0, 1.0),
    ("t/MWh", 1e3, 1.0),
    ("g/MJ", 3.6, 1.0),
    ("lb/MWh", 0.453_592_37, 1.0),
    ("lbs/MWh", 0.453_592_37, 1.0),
];

const CARBON: [Unit; 7] = [
    ("g", 1.0, 1.0),
    ("gCO2e", 1.0, 1.0),
    ("mg", 1.0, 1e3),
    ("kg", 1e3, 1.0),
    ("kgCO2e", 1e3, 1.0),
    ("t", 1e6, 1.0),
    ("tCO2e", 1e6, 1.0),
];

impl Quantity {
    /// Reads a text as a distribution of this quantity, in its unit.
    ///
    /// # Errors
    /// With the place, when the text is none, or impossible.
    ///
    /// ```
    /// use carbon_ops_estimate::uncertainty::text::Quantity;
    /// let energy = Quantity::Energy.read("1.2kWh ± 2%")?;
    /// assert_eq!(Quantity::Energy.echo(&energy), "n(1.2, 0.024)kWh");
    /// # Ok::<(), carbon_ops_estimate::uncertainty::text::TextError>(())
    /// ```
    pub fn read(self, text: &str) -> Result<Distribution, TextError> {
        Reader { text, at: 0, quantity: self, usual: None }.whole()
    }

    /// The same, where numbers without a unit are in this one: in a column that is named after it.
    ///
    /// # Errors
    /// As [`Quantity::read`].
    ///
    /// ```
    /// use carbon_ops_estimate::uncertainty::text::Quantity;
    /// let energy = Quantity::Energy.read_in("Wh", "1500 ± 2%")?;
    /// assert_eq!(Quantity::Energy.echo(&energy), "n(1.5, 0.03)kWh");
    /// # Ok::<(), carbon_ops_estimate::uncertainty::text::TextError>(())
    /// ```
    pub fn read_in(self, unit: &str, text: &str) -> Result<Distribution, TextError> {
        let usual = self.units().iter().find(|known| known.0 == unit).copied();
        Reader { text, at: 0, quantity: self, usual }.whole()
    }

    /// How a distribution of this quantity was read: its canonical text, which [`Quantity::read`]
    /// reads as the same distribution.
    pub fn echo(self, distribution: &Distribution) -> String {
        format!("{distribution}{}", self.unit())
    }

    /// The unit of what [`Quantity::read`] gives.
    pub fn unit(self) -> &'static str {
        self.units().first().map_or("", |unit| unit.0)
    }

    fn units(self) -> &'static [Unit] {
        match self {
            Self::Energy => &ENERGY,
            Self::Power => &POWER,
            Self::Intensity => &INTENSITY,
            Self::Carbon => &CARBON,
            Self::Ratio | Self::Number => &[],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Energy => "an energy",
            Self::Power => "a power",
            Self::Intensity => "a grid intensity",
            Self::Carbon => "a mass of CO2e",
            Self::Ratio => "a ratio",
            Self::Number => "a number",
        }
    }

    fn needs_unit(self) -> bool {
        matches!(self, Self::Energy | Self::Power | Self::Carbon)
    }
}

impl FromStr for Distribution {
    type Err = TextError;

    /// Reads a distribution without a unit.
    fn from_str(text: &str) -> Result<Self, TextError> {
        Quantity::Number.read(text)
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Point { mean } => write!(f, "{}", Short(mean)),
            Self::Normal { mean, sd } => write!(f, "n({}, {})", Short(mean), Short(sd)),
            Self::TruncatedNormal { mu, sigma, min, max } => {
                write!(f, "tn({}, {}, min={}", Short(mu), Short(sigma), Short(min))?;
                max.map_or(Ok(()), |max| write!(f, ", max={}", Short(max)))?;
                f.write_str(")")
            }
            Self::Lognormal { mean, cv } => write!(f, "ln({}, {})", Short(mean), Short(cv)),
            Self::Uniform { low, high } => write!(f, "u({}, {})", Short(low), Short(high)),
            Self::Triangular { low, mode, high } => {
                write!(f, "tri({}, {}, {})", Short(low), Short(mode), Short(high))
            }
            Self::ArcSine { low, high } => write!(f, "arcsine({}, {})", Short(low), Short(high)),
            Self::StudentT { mean, scale, dof } => {
                write!(f, "t({}, {}, {})", Short(mean), Short(scale), Short(dof))
            }
            Self::InexactUniform { low, high, inexact } => {
                write!(f, "ctrap({}, {}, {})", Short(low), Short(high), Short(inexact))
            }
        }
    }
}

/// The shortest text that reads as the same double.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        // Beyond, the plain form is longer than the one with an exponent.
        let plain = size < 1e-300 || (1e-5..1e17).contains(&size);
        if plain { write!(f, "{}", self.0) } else { write!(f, "{:e}", self.0) }
    }
}

/// A number as written: its value in the quantity's unit once a unit is known.
#[derive(Clone, Copy)]
struct Value {
    number: f64,
    percent: bool,
    unit: Option<Unit>,
    at: usize,
}

/// The names of distributions, for errors.
const NAMES: &str = "n, tn, ln, u, tri, arcsine, t, ctrap";

struct Reader<'t> {
    text: &'t str,
    at: usize,
    quantity: Quantity,
    /// The unit of a number that has none.
    usual: Option<Unit>,
}

impl Reader<'_> {
    fn whole(mut self) -> Result<Distribution, TextError> {
        self.space();
        let start = self.at;
        let name = self.word();
        let upper = self.rest().starts_with(|c: char| c.is_ascii_uppercase());
        let distribution = if name.is_empty() && !upper {
            self.value()?
        } else if !name.is_empty() && self.eat("(") {
            self.shape(&name, start)?
        } else {
            return Err(self.wrong(start, &format!("expected a number or one of {NAMES}")));
        };
        self.space();
        if self.at < self.text.len() {
            return Err(self.wrong(self.at, "this is left over"));
        }
        let checked = match (self.quantity, distribution) {
            (Quantity::Number, _)
            | (_, Distribution::Normal { .. } | Distribution::StudentT { .. }) => {
                distribution.valid()
            }
            _ => distribution.checked(),
        };
        checked.map_err(|error| self.wrong(start, &error.to_string()))
    }

    /// `x`, `x ± y`, `x ± y (k=2)`, `x ± y (95%)`, with units.
    fn value(&mut self) -> Result<Distribution, TextError> {
        let mut centre = self.number()?;
        if centre.percent {
            return Err(self.wrong(centre.at, "% needs something that it is relative to"));
        }
        if centre.unit.is_none() && self.rest().starts_with([',', '_', '\'']) {
            return Err(self.wrong(self.at, "a decimal point is a dot, and digits are not grouped"));
        }
        let mut spread = None;
        if self.eat("±") || self.eat("+/-") || self.eat("+-") {
            let mut value = self.number()?;
            let divisor = if self.eat("(") { self.coverage()? } else { 1.0 };
            if value.unit.is_none() && !value.percent {
                value.unit = self.unit()?;
            }
            spread = Some((value, divisor));
        }
        let after = match spread {
            Some((value, _)) if value.percent => self.unit()?,
            Some((value, _)) => value.unit,
            None => None,
        };
        centre.unit = centre.unit.or(after);
        let mean = self.plain(centre)?;
        let Some((mut value, divisor)) = spread else {
            return Ok(Distribution::Point { mean });
        };
        value.unit = value.unit.or(centre.unit);
        let width =
            if value.percent { value.number / 100.0 * mean.abs() } else { self.plain(value)? };
        let sd = width / divisor;
        if sd < 0.0 {
            return Err(self.wrong(value.at, "a spread is not negative"));
        }
        // An exact zero was written.
        Ok(if sd > 0.0 { Distribution::Normal { mean, sd } } else { Distribution::Point { mean } })
    }

    /// The rest of `(k=2)` or `(95%)`: how many standard uncertainties the spread is.
    fn coverage(&mut self) -> Result<f64, TextError> {
        self.space();
        let at = self.at;
        let k = if self.eat("k") {
            self.expect("=")?;
            self.number()?.number
        } else {
            let level = self.number()?;
            if !level.percent || !(0.0..100.0).contains(&level.number) || level.number <= 0.0 {
                return Err(self.wrong(at, "expected k=2 or a probability such as 95%"));
            }
            normal_quantile(0.5 + level.number / 200.0)
        };
        if k.is_nan() || k <= 0.0 {
            return Err(self.wrong(at, "a coverage factor is above 0"));
        }
        self.expect(")")?;
        Ok(k)
    }

    /// The rest of `name(…)`.
    fn shape(&mut self, name: &str, start: usize) -> Result<Distribution, TextError> {
        let (mut plain, mut min, mut max) = (Vec::new(), None, None);
        loop {
            self.space();
            let at = self.at;
            let key = self.word();
            if key.is_empty() {
                plain.push(self.number()?);
            } else if name == "tn" && key == "min" && min.is_none() {
                self.expect("=")?;
                min = Some(self.number()?);
            } else if name == "tn" && key == "max" && max.is_none() {
                self.expect("=")?;
                max = Some(self.number()?);
            } else {
                return Err(self.wrong(at, "expected a number"));
            }
            if !self.eat(",") {
                break;
            }
        }
        self.expect(")")?;
        let after = self.unit()?;
        let mut given = plain.iter().chain(&min).chain(&max);
        let unit = after.or_else(|| given.find_map(|value| value.unit));
        self.build(name, start, Arguments { plain, min, max, unit })
    }

    fn build(&self, name: &str, start: usize, given: Arguments) -> Result<Distribution, TextError> {
        let Arguments { plain, min, max, unit } = given;
        let of = |value: Value| self.plain(Value { unit: value.unit.or(unit), ..value });
        let spread = |value: Value, mean: f64| {
            if value.percent { Ok(value.number / 100.0 * mean.abs()) } else { of(value) }
        };
        let bare = |value: Value| match value {
            Value { unit: None, percent: true, number, .. } => Ok(number / 100.0),
            Value { unit: None, number, .. } => Ok(number),
            _ => Err(self.wrong(value.at, "this number has no unit")),
        };
        let distribution = match (name, plain.as_slice()) {
            ("n", &[mean, sd]) => {
                let mean = of(mean)?;
                Distribution::Normal { mean, sd: spread(sd, mean)? }
            }
            ("tn", &[mu, sigma]) => {
                let mu = of(mu)?;
                let sigma = spread(sigma, mu)?;
                let min = min.map_or(Ok(0.0), of)?;
                Distribution::TruncatedNormal { mu, sigma, min, max: max.map(of).transpose()? }
            }
            ("ln", &[mean, cv]) => Distribution::Lognormal { mean: of(mean)?, cv: bare(cv)? },
            ("u", &[low, high]) => Distribution::Uniform { low: of(low)?, high: of(high)? },
            ("tri", &[low, mode, high]) => {
                Distribution::Triangular { low: of(low)?, mode: of(mode)?, high: of(high)? }
            }
            ("arcsine", &[low, high]) => Distribution::ArcSine { low: of(low)?, high: of(high)? },
            ("t", &[mean, scale, dof]) => {
                let mean = of(mean)?;
                Distribution::StudentT { mean, scale: spread(scale, mean)?, dof: bare(dof)? }
            }
            ("ctrap", &[low, high, d]) => {
                Distribution::InexactUniform { low: of(low)?, high: of(high)?, inexact: of(d)? }
            }
            ("n" | "tn" | "ln" | "u" | "arcsine", _) => {
                return Err(self.wrong(start, &format!("{name} takes two numbers")));
            }
            ("tri" | "t" | "ctrap", _) => {
                return Err(self.wrong(start, &format!("{name} takes three numbers")));
            }
            _ => {
                return Err(
                    self.wrong(start, &format!("there is no distribution {name:?}, but {NAMES}"))
                );
            }
        };
        Ok(without_width(distribution))
    }

    /// A value in the quantity's unit.
    fn plain(&self, value: Value) -> Result<f64, TextError> {
        if value.percent {
            return Err(self.wrong(value.at, "only a spread can be in %"));
        }
        match value.unit.or(self.usual) {
            Some((_, times, over)) => Ok(value.number * times / over),
            // Zero is zero in every unit: the bound of `tn(…, min=0)`.
            None if self.quantity.needs_unit() && value.number != 0.0 => {
                Err(self.wrong(value.at, "this number has no unit"))
            }
            None => Ok(value.number),
        }
    }

    fn number(&mut self) -> Result<Value, TextError> {
        self.space();
        let at = self.at;
        let rest = self.rest().as_bytes();
        let digits =
            |from: usize| rest.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
        let byte = |at: usize| rest.get(at).copied();
        let mut end = usize::from(matches!(byte(0), Some(b'-' | b'+')));
        let whole = digits(end);
        end += whole;
        let mut fraction = 0;
        if byte(end) == Some(b'.') {
            fraction = digits(end + 1);
            end += 1 + fraction;
        }
        if whole + fraction == 0 {
            return Err(self.wrong(at, "expected a number"));
        }
        if matches!(byte(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(byte(end + 1), Some(b'-' | b'+')));
            let exponent = digits(end + 1 + sign);
            if exponent > 0 {
                end += 1 + sign + exponent;
            }
        }
        let number = self.rest().get(..end).and_then(|text| text.parse().ok());
        let number: f64 = number.ok_or_else(|| self.wrong(at, "expected a number"))?;
        if !number.is_finite() {
            return Err(self.wrong(at, "this number is too large"));
        }
        self.at += end;
        let percent = self.eat("%");
        let unit = if percent { None } else { self.unit()? };
        Ok(Value { number, percent, unit, at })
    }

    /// A unit of the quantity, if a word follows.
    fn unit(&mut self) -> Result<Option<Unit>, TextError> {
        self.space();
        let at = self.at;
        let word = |c: char| c.is_alphanumeric() || c == '/';
        let text = self.rest();
        let length = text.find(|c| !word(c)).unwrap_or(text.len());
        let name = text.get(..length).unwrap_or("");
        if !name.starts_with(|c: char| c.is_alphabetic()) {
            return Ok(None);
        }
        let units = self.quantity.units();
        // The micro sign has two code points.
        let name = name.replace('μ', "µ");
        let Some(unit) = units.iter().find(|unit| unit.0 == name) else {
            let known: Vec<_> = units.iter().map(|unit| unit.0).collect();
            let reason = if known.is_empty() {
                format!("{name:?} is a unit, and this quantity has none")
            } else {
                format!("{name:?} is not one of its units ({})", known.join(", "))
            };
            return Err(self.wrong(at, &reason));
        };
        self.at += length;
        Ok(Some(*unit))
    }

    /// A word of lower-case letters, or nothing.
    fn word(&mut self) -> String {
        let word: String = self.rest().chars().take_while(char::is_ascii_lowercase).collect();
        self.at += word.len();
        word
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn eat(&mut self, token: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), TextError> {
        if self.eat(token) {
            return Ok(());
        }
        Err(self.wrong(self.at, &format!("expected {token:?}")))
    }

    fn wrong(&self, at: usize, reason: &str) -> TextError {
        TextError {
            text: self.text.to_owned(),
            quantity: self.quantity,
            at,
            reason: reason.to_owned(),
        }
    }
}

/// The rule: a shape whose width is written as 0 is the value that it surrounds, as `x ± 0` is, and limits that are inexact
/// by 0 are exact. What surrounds nothing stays as it is, and is refused.
fn without_width(shape: Distribution) -> Distribution {
    use Distribution::{
        ArcSine, InexactUniform, Lognormal, Normal, Point, StudentT, Triangular, TruncatedNormal,
        Uniform,
    };
    let is_none = |width: f64| width.abs() <= 0.0;
    match shape {
        Normal { mean, sd: width } | Lognormal { mean, cv: width }
            if is_none(width) && (mean > 0.0 || matches!(shape, Normal { .. })) =>
        {
            Point { mean }
        }
        StudentT { mean, scale, dof } if is_none(scale) && dof > 2.0 => Point { mean },
        Uniform { low, high } | ArcSine { low, high } if is_none(high - low) => Point { mean: low },
        Triangular { low, mode, high } if is_none(high - low) && is_none(mode - low) => {
            Point { mean: low }
        }
        InexactUniform { low, high, inexact } if is_none(inexact) => {
            without_width(Uniform { low, high })
        }
        TruncatedNormal { mu, sigma, min, max } => match max {
            Some(max) if sigma > 0.0 && is_none(max - min) => Point { mean: min },
            _ if is_none(sigma) && min <= mu && max.is_none_or(|max| mu <= max) => {
                Point { mean: mu }
            }
            _ => shape,
        },
        _ => shape,
    }
}

/// What stood between the parentheses, and the unit of those that have none of their own.
struct Arguments {
    plain: Vec<Value>,
    min: Option<Value>,
    max: Option<Value>,
    unit: Option<Unit>,
}

#[cfg(test)]
mod tests;
