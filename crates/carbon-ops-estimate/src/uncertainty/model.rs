//! A result as an expression of named inputs, evaluated to an estimate with an interval.
//!
//! Out of scope: how (`closed`, `monte_carlo`), and which inputs a figure of carbon has.

use std::collections::{BTreeMap, BTreeSet};

use super::closed::{self, NotClosed};
use super::monte_carlo::{self, MonteCarlo, Run, Sampled};
use super::polynomial::Polynomial;
use super::random::GENERATOR;
use super::{Distribution, Error, LEVEL};

/// An input quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// What people read: `energy`, `pue`, `intensity`.
    pub name: String,
    /// What is known of it.
    pub distribution: Distribution,
    /// Inputs with equal keys, of this model and of others, are one random variable.
    pub shared: Option<String>,
    /// How it follows that variable.
    pub sign: Sign,
}

/// How an input follows the variable of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sign {
    /// It rises with it.
    #[default]
    Along,
    /// It falls when the variable rises.
    Against,
}

impl Input {
    /// An input that is independent of all others.
    pub fn new(name: impl Into<String>, distribution: Distribution) -> Self {
        Self { name: name.into(), distribution, shared: None, sign: Sign::Along }
    }

    /// The same input, sharing its error with every input of that key.
    #[must_use]
    pub fn shared(self, key: impl Into<String>) -> Self {
        Self { shared: Some(key.into()), ..self }
    }

    /// The same input, falling where the shared variable rises.
    #[must_use]
    pub fn opposed(self) -> Self {
        Self { sign: Sign::Against, ..self }
    }
}

/// What is computed from the inputs.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// An exact number.
    Constant(f64),
    /// The input with this index.
    Input(usize),
    /// All of them added.
    Sum(Vec<Expression>),
    /// All of them multiplied.
    Product(Vec<Expression>),
    /// An integer power; −1 is the reciprocal.
    Power(Box<Expression>, i32),
}

impl Expression {
    /// This expression to an integer power.
    #[must_use]
    pub fn power(self, k: i32) -> Self {
        Self::Power(Box::new(self), k)
    }

    /// Calls `f` with the index of each input, as often as it occurs.
    pub(super) fn each_input(&self, f: &mut impl FnMut(usize)) {
        match self {
            Self::Constant(_) => {}
            Self::Input(index) => f(*index),
            Self::Sum(parts) | Self::Product(parts) => {
                for part in parts {
                    part.each_input(f);
                }
            }
            Self::Power(base, _) => base.each_input(f),
        }
    }

    /// Whether no input of those that `counts` occurs twice.
    pub(super) fn has_each_once(&self, counts: impl Fn(usize) -> bool) -> bool {
        let (mut seen, mut once) = (BTreeSet::new(), true);
        self.each_input(&mut |index| once &= !counts(index) || seen.insert(index));
        once
    }

    fn renamed(&self, names: &[usize]) -> Self {
        let all = |parts: &[Self]| parts.iter().map(|part| part.renamed(names)).collect();
        match self {
            Self::Constant(_) => self.clone(),
            Self::Input(index) => Self::Input(names.get(*index).copied().unwrap_or(*index)),
            Self::Sum(parts) => Self::Sum(all(parts)),
            Self::Product(parts) => Self::Product(all(parts)),
            Self::Power(base, k) => base.renamed(names).power(*k),
        }
    }
}

/// Inputs and what is computed from them.
///
/// ```
/// use carbon_ops_estimate::uncertainty::{Input, Method, Model, MonteCarlo};
/// let model = Model::product(
///     1.2,
///     vec![
///         Input::new("pue", "tn(1.2, 0.05, min=1)".parse()?),
///         Input::new("intensity", "ln(400, 10%)".parse()?).shared("grid:owid:DE"),
///     ],
/// )?;
/// let grams = model.evaluate(&Method::Analytical)?;
/// let check = model.evaluate(&Method::MonteCarlo(MonteCarlo::seeded(1)))?;
/// assert!((grams.low / check.low - 1.0).abs() < 0.01);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    inputs: Vec<Input>,
    expression: Expression,
    /// For each input, the input whose random variable it is: itself, or the first with the same key.
    variable: Vec<usize>,
    /// For each input, the first input with the same key, or itself: whose random numbers it follows.
    stream: Vec<usize>,
    /// Whether two inputs with one key have different distributions or signs.
    tied: bool,
}

/// How an estimate is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// The closed form; where a model has none, Monte Carlo is taken and the result says so.
    #[default]
    Analytical,
    /// Monte Carlo after JCGM 101.
    MonteCarlo(MonteCarlo),
}

/// The method that was used, with what is needed to repeat it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Used {
    /// Quantiles by integration.
    Analytical {
        /// Estimate of the error of the interval's ends, where more than three inputs are not lognormal, one
        /// can be negative, or the model is a sum: what halving the resolution changes. Else below 1e-6 of
        /// the mean. Never above a thousandth of the standard uncertainty.
        error: Option<f64>,
    },
    /// JCGM 101.
    MonteCarlo {
        /// What was asked for, and how it went.
        run: Run,
        /// By what an end may be off: four standard errors.
        error: f64,
        /// Why, when the closed form was asked for.
        instead: Option<NotClosed>,
    },
}

impl Used {
    /// The random generator, if any was used.
    pub fn generator(&self) -> Option<&'static str> {
        matches!(self, Self::MonteCarlo { .. }).then_some(GENERATOR)
    }
}

words! {
    /// Which of the intervals of one probability.
    #[derive(Default)]
    #[schemars(rename = "IntervalKind")]
    Coverage {
        /// As much probability below as above.
        #[default]
        Symmetric = "symmetric",
        // JCGM 101, 5.3.4.
        /// The shortest.
        Shortest = "shortest",
    }
}

/// A result with its uncertainty, in the unit of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Mean.
    pub mean: f64,
    /// Standard uncertainty (k = 1).
    pub standard: f64,
    /// Lower end of the coverage interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Coverage probability.
    pub level: f64,
    /// Which interval.
    pub interval: Coverage,
    /// How it was computed.
    pub method: Used,
}

impl Estimate {
    /// 100 · u / mean, k = 1; infinite for a mean of 0 that is uncertain.
    pub fn uncertainty_pct(&self) -> f64 {
        if self.standard > 0.0 { 100.0 * self.standard / self.mean.abs() } else { 0.0 }
    }
}

impl Model {
    /// A model.
    ///
    /// # Errors
    /// When an input is no distribution or an index names no input.
    #[expect(clippy::needless_pass_by_value, reason = "callers build an expression for a model")]
    pub fn new(inputs: Vec<Input>, expression: Expression) -> Result<Self, Error> {
        for input in &inputs {
            input.distribution.valid()?;
        }
        let mut missing = None;
        expression.each_input(&mut |index| {
            if index >= inputs.len() {
                missing = Some(index);
            }
        });
        if let Some(index) = missing {
            return Err(Error::NoInput(index));
        }
        let (variable, stream, tied) = variables(&inputs);
        let expression = expression.renamed(&variable);
        Ok(Self { inputs, expression, variable, stream, tied })
    }

    /// `scale` times the product of all inputs.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn product(scale: f64, inputs: Vec<Input>) -> Result<Self, Error> {
        let mut factors = vec![Expression::Constant(scale)];
        factors.extend((0..inputs.len()).map(Expression::Input));
        Self::new(inputs, Expression::Product(factors))
    }

    /// The sum of models whose inputs with equal keys are one variable: the joint distribution of
    /// many records.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn sum(models: impl IntoIterator<Item = Self>) -> Result<Self, Error> {
        let (mut inputs, mut terms) = (Vec::new(), Vec::new());
        for model in models {
            let names: Vec<_> = (inputs.len()..inputs.len() + model.inputs.len()).collect();
            terms.push(model.expression.renamed(&names));
            inputs.extend(model.inputs);
        }
        Self::new(inputs, Expression::Sum(terms))
    }

    /// The inputs.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// What is computed from them; inputs of one variable are the first of them.
    pub fn expression(&self) -> &Expression {
        &self.expression
    }

    /// Its value at the means of the inputs: of independent inputs that occur once, its mean.
    pub fn mean(&self) -> f64 {
        let means: Vec<_> = self.inputs.iter().map(|input| input.distribution.mean()).collect();
        self.expression.value(&means)
    }

    /// Which input's random numbers an input follows.
    pub(super) fn stream(&self, index: usize) -> (usize, Sign) {
        let Some(input) = self.inputs.get(index) else { return (index, Sign::Along) };
        (self.stream.get(index).copied().unwrap_or(index), input.sign)
    }

    /// Mean, standard uncertainty and 95 % interval.
    ///
    /// # Errors
    /// When no input is uncertain, the settings of Monte Carlo are impossible, or the inputs are so wide that
    /// the mean lies outside of the interval.
    pub fn evaluate(&self, method: &Method) -> Result<Estimate, Error> {
        self.evaluate_at(method, LEVEL)
    }

    /// The same with another coverage probability.
    ///
    /// # Errors
    /// As [`Model::evaluate`], or for a level outside of 0 to 1.
    pub(super) fn evaluate_at(&self, method: &Method, level: f64) -> Result<Estimate, Error> {
        if !(level > 0.0 && level < 1.0) {
            return Err(Error::Level(level));
        }
        let mut uncertain = false;
        self.expression.each_input(&mut |index| {
            uncertain |= !self.inputs.get(index).is_none_or(|input| input.distribution.is_point());
        });
        if !uncertain {
            return Err(Error::NoUncertainty);
        }
        let estimate = match method {
            Method::MonteCarlo(settings) => self.sampled(settings, level, None),
            Method::Analytical => match self.closed(level) {
                Ok(estimate) => Ok(estimate),
                Err(why) => self.sampled(&MonteCarlo::seeded(0), level, Some(why)),
            },
        }?;
        // Whoever reads an interval looks for the figure inside of it.
        let holds = estimate.low <= estimate.mean && estimate.mean <= estimate.high;
        if level >= LEVEL && !holds { Err(Error::TooWide) } else { Ok(estimate) }
    }

    /// Mean, standard uncertainty and 95 % interval by trials, without a budget: for models of so many
    /// inputs that a budget would take longer than the trials.
    ///
    /// ```
    /// use carbon_ops_estimate::uncertainty::{Input, Model, MonteCarlo};
    /// let day = |grams| Model::product(grams, vec![Input::new("grid", "ln(1, 10%)".parse().unwrap()).shared("grid:DE")]);
    /// let two = Model::sum([day(100.0)?, day(300.0)?])?.sample(&MonteCarlo::seeded(1))?;
    /// // What both share does not average out: 10 % of 400 g.
    /// assert!((two.standard - 40.0).abs() < 0.4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the settings are impossible, or a trial has no finite result.
    pub fn sample(&self, settings: &MonteCarlo) -> Result<Sampled, Error> {
        monte_carlo::run(self, settings, LEVEL)
    }

    /// The probability that the result is at most `x`: by the closed form where there is one, else the part
    /// of the trials.
    ///
    /// ```
    /// use carbon_ops_estimate::uncertainty::{Input, Method, Model};
    /// let model = Model::product(1.0, vec![Input::new("x", "ln(1, 0.5)".parse()?)])?;
    /// // The median of a lognormal is its mean over √(1 + cv²).
    /// let half = model.probability(1.0 / 1.25_f64.sqrt(), &Method::Analytical);
    /// assert!((half - 0.5).abs() < 1e-12);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn probability(&self, x: f64, method: &Method) -> f64 {
        let sampled = |settings: &MonteCarlo| monte_carlo::probability(self, settings, x);
        let settings = match method {
            Method::MonteCarlo(settings) => return sampled(settings),
            Method::Analytical => MonteCarlo::seeded(0),
        };
        let polynomial = Polynomial::of(&self.expression).filter(|_| !self.tied);
        let closed = polynomial.and_then(|polynomial| {
            closed::probability(&self.expression, &polynomial, &self.inputs, x).ok()
        });
        closed.unwrap_or_else(|| sampled(&settings))
    }

    /// The quotient of two models whose inputs with equal keys are one variable.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn quotient(numerator: Self, denominator: Self) -> Result<Self, Error> {
        let first = numerator.inputs.len();
        let names: Vec<_> = (first..first + denominator.inputs.len()).collect();
        // The reciprocal of a product is one of its factors: so each can be integrated over.
        let below = match denominator.expression.renamed(&names) {
            Expression::Product(parts) => {
                Expression::Product(parts.into_iter().map(|part| part.power(-1)).collect())
            }
            other => other.power(-1),
        };
        let expression = Expression::Product(vec![numerator.expression, below]);
        let mut inputs = numerator.inputs;
        inputs.extend(denominator.inputs);
        Self::new(inputs, expression)
    }

    fn closed(&self, level: f64) -> Result<Estimate, NotClosed> {
        if self.tied {
            return Err(NotClosed::Tied);
        }
        let polynomial = Polynomial::of(&self.expression).ok_or(NotClosed::Expression)?;
        let moments = polynomial.moments(&self.inputs).ok_or(NotClosed::Moments)?;
        let ends = closed::interval(
            &self.expression,
            &polynomial,
            &self.inputs,
            (level, moments.variance.sqrt()),
        )?;
        Ok(Estimate {
            mean: moments.mean,
            standard: moments.variance.sqrt(),
            low: ends.low,
            high: ends.high,
            level,
            interval: Coverage::Symmetric,
            method: Used::Analytical { error: ends.error },
        })
    }

    /// Whether [`Model::evaluate`] in closed form would give an interval whose ends over the mean lie strictly
    /// between these bounds: then the standard uncertainty over the mean. `None` where it takes the evaluation to tell.
    ///
    /// It costs a part of the evaluation, which searches for the ends. Bounds at least 1e-11 away from an end, relative
    /// to it, do not depend on where that search stops.
    ///
    /// ```
    /// use carbon_ops_estimate::uncertainty::{Input, Method, Model};
    /// let inputs = vec![Input::new("x", "ln(1, 0.5)".parse()?), Input::new("y", "tn(1.55, 0.2, min=1)".parse()?)];
    /// let model = Model::product(1.0, inputs)?;
    /// let estimate = model.evaluate(&Method::Analytical)?;
    /// let around = |end: f64| (end / estimate.mean * (1.0 - 1e-9), end / estimate.mean * (1.0 + 1e-9));
    /// let standard = model.confirm([around(estimate.low), around(estimate.high)]);
    /// assert_eq!(standard, Some(estimate.standard / estimate.mean));
    /// assert_eq!(model.confirm([around(estimate.low), around(estimate.high * 1.001)]), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn confirm(&self, [low, high]: [(f64, f64); 2]) -> Option<f64> {
        let polynomial = Polynomial::of(&self.expression).filter(|_| !self.tied)?;
        let moments = polynomial.moments(&self.inputs)?;
        let (mean, standard) = (moments.mean, moments.variance.sqrt());
        let bounds = [low, high].map(|(low, high)| (low * mean, high * mean));
        let holds = low.1 <= 1.0 && high.0 >= 1.0 && standard > 0.0;
        let within = holds
            && closed::within(
                &self.expression,
                &polynomial,
                &self.inputs,
                (LEVEL, standard),
                bounds,
            )
            .ok()?;
        within.then_some(standard / mean)
    }

    fn sampled(
        &self,
        settings: &MonteCarlo,
        level: f64,
        instead: Option<NotClosed>,
    ) -> Result<Estimate, Error> {
        let result = monte_carlo::run(self, settings, level)?;
        Ok(Estimate {
            mean: result.mean,
            standard: result.standard,
            low: result.low,
            high: result.high,
            level,
            interval: settings.interval,
            method: Used::MonteCarlo { run: result.run, error: result.error, instead },
        })
    }
}

impl Expression {
    /// Its value for values of the inputs.
    pub(super) fn value(&self, inputs: &[f64]) -> f64 {
        match self {
            Self::Constant(value) => *value,
            #[expect(clippy::indexing_slicing, reason = "a model's indices name its inputs")]
            Self::Input(index) => inputs[*index],
            Self::Sum(parts) => parts.iter().map(|part| part.value(inputs)).sum(),
            Self::Product(parts) => parts.iter().map(|part| part.value(inputs)).product(),
            Self::Power(base, k) => power(base.value(inputs), *k),
        }
    }
}

/// xᵏ by repeated multiplication: `powi` may differ between machines.
pub(super) fn power(x: f64, k: i32) -> f64 {
    let mut result = 1.0;
    for _ in 0..k.unsigned_abs() {
        result *= x;
    }
    if k < 0 { 1.0 / result } else { result }
}

/// For each input the first one that is the same variable, and the first one with its key; and whether
/// some are tied: one key, but another distribution or sign.
fn variables(inputs: &[Input]) -> (Vec<usize>, Vec<usize>, bool) {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    let mut tied = false;
    let variable = inputs.iter().enumerate().map(|(index, input)| {
        let Some(key) = &input.shared else { return (index, index) };
        let leader = *first.entry(key).or_insert(index);
        let same = inputs.get(leader).is_some_and(|other| {
            other.distribution == input.distribution && other.sign == input.sign
        });
        // Points have nothing to share.
        tied |= !same && !input.distribution.is_point();
        (if same { leader } else { index }, leader)
    });
    let (variable, stream) = variable.unzip();
    (variable, stream, tied)
}
