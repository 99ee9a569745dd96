//! A power curve whose energy is known exactly, so that every meter of the demonstration can be held
//! against the truth.
//!
//! Out of scope: registers and readings.

use std::f64::consts::TAU;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use carbon_ops_units::si;

/// Power of a stretch of time, as a meter saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stretch {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    pub(crate) watts: f64,
}

/// More than any rack draws; beyond it something was mistyped.
const WATTS_MAX: f64 = 1e6;

/// Shorter periods than a hundred times the register's own step (1 ms) tell nothing.
const PERIOD_MIN: Duration = Duration::from_millis(100);

/// Power over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Curve {
    /// Always the same.
    Constant(f64),
    /// `high` for the first half of each period, `low` for the second.
    Square { high: f64, low: f64, period: Duration },
    /// `mean + amplitude · sin(2π t / period)`.
    Sine { mean: f64, amplitude: f64, period: Duration },
}

impl Curve {
    /// Power at a time, in W.
    pub(crate) fn watts(&self, at: Duration) -> f64 {
        match *self {
            Self::Constant(watts) => watts,
            Self::Square { high, low, period } => {
                if phase(at, period) < 0.5 {
                    high
                } else {
                    low
                }
            }
            Self::Sine { mean, amplitude, period } => {
                mean + amplitude * (TAU * phase(at, period)).sin()
            }
        }
    }

    /// Energy up to a time: the exact integral, in J.
    pub(crate) fn joules(&self, at: Duration) -> f64 {
        let seconds = at.as_secs_f64();
        match *self {
            Self::Constant(watts) => watts * seconds,
            Self::Square { high, low, period } => {
                let length = period.as_secs_f64();
                let phase = phase(at, period);
                let whole = (seconds / length - phase).round();
                let begun = high * phase.min(0.5) + low * (phase - 0.5).max(0.0);
                (whole * (high + low) / 2.0 + begun) * length
            }
            Self::Sine { mean, amplitude, period } => {
                let swing = period.as_secs_f64() / TAU * (1.0 - (TAU * phase(at, period)).cos());
                mean * seconds + amplitude * swing
            }
        }
    }

    /// The highest power that the curve ever takes, in W.
    pub(crate) fn peak(&self) -> f64 {
        match *self {
            Self::Constant(watts) => watts,
            Self::Square { high, low, .. } => high.max(low),
            Self::Sine { mean, amplitude, .. } => mean + amplitude,
        }
    }

    /// The mean over whole periods, in W.
    pub(crate) fn mean(&self) -> f64 {
        match *self {
            Self::Constant(watts) => watts,
            Self::Square { high, low, .. } => f64::midpoint(high, low),
            Self::Sine { mean, .. } => mean,
        }
    }

    /// How long it takes to show all that it does.
    pub(crate) fn period(&self) -> Duration {
        match *self {
            Self::Constant(_) => Duration::ZERO,
            Self::Square { period, .. } | Self::Sine { period, .. } => period,
        }
    }
}

/// Where in its period a time lies, from 0 to 1.
fn phase(at: Duration, period: Duration) -> f64 {
    let rest = at.as_nanos() % period.as_nanos().max(1);
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a demonstration")]
    let phase = rest as f64 / period.as_nanos().max(1) as f64;
    phase
}

impl FromStr for Curve {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let curve = match parts.as_slice() {
            [watts] => Self::Constant(parse_watts(watts)?),
            ["square", high, low, period] => Self::Square {
                high: parse_watts(high)?,
                low: parse_watts(low)?,
                period: parse_period(period)?,
            },
            ["sine", mean, amplitude, period] => Self::Sine {
                mean: parse_watts(mean)?,
                amplitude: parse_watts(amplitude)?,
                period: parse_period(period)?,
            },
            _ => return Err("not W, square:HIGH:LOW:PERIOD or sine:MEAN:AMPLITUDE:PERIOD".into()),
        };
        match curve {
            Self::Sine { mean, amplitude, .. } if amplitude > mean => {
                Err(format!("{amplitude} W around {mean} W falls below nothing"))
            }
            _ if curve.mean() <= 0.0 => Err("no power, nothing to show".into()),
            _ => Ok(curve),
        }
    }
}

fn parse_watts(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('W').trim();
    match number.parse::<f64>() {
        Ok(watts) if (0.0..=WATTS_MAX).contains(&watts) => Ok(watts),
        Ok(watts) => Err(format!("{watts} W is not between 0 W and 1 MW")),
        Err(_) => Err(format!("{text:?} is no power in W")),
    }
}

fn parse_period(text: &str) -> Result<Duration, String> {
    let period = crate::text::duration(text)?;
    if period < PERIOD_MIN {
        return Err(format!("a period of {text} is shorter than 100 ms"));
    }
    Ok(period)
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |period: &Duration| crate::text::span(*period);
        match self {
            Self::Constant(watts) => write!(f, "{}", si(*watts, "W")),
            Self::Square { high, low, period } => {
                let (high, low) = (si(*high, "W"), si(*low, "W"));
                write!(f, "{high} and {low} in turn, period {}", length(period))
            }
            Self::Sine { mean, amplitude, period } => {
                let (mean, amplitude) = (si(*mean, "W"), si(*amplitude, "W"));
                write!(f, "{mean} ± {amplitude} in a sine, period {}", length(period))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the sum of many short rectangles.
    #[test]
    fn the_energy_is_the_integral_of_the_power() {
        for text in ["390", "square:600:180:14s", "sine:300:200:7s", "square:0:50:1s"] {
            let curve: Curve = text.parse().unwrap();
            let mut sum = 0.0;
            for step in 0..33_333u64 {
                sum += curve.watts(Duration::from_micros(1000 * step + 500)) * 1e-3;
            }
            let exact = curve.joules(Duration::from_millis(33_333));
            assert!((sum - exact).abs() < 1e-6 * exact, "{text}: {sum} and {exact}");
        }
    }

    #[test]
    fn what_is_no_curve_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "no power in W"),
            ("many", "no power in W"),
            ("-5", "between"),
            ("nan", "between"),
            ("0", "nothing to show"),
            ("1e9", "between"),
            ("square:1:2", "not W, square"),
            ("square:1:2:soon", "duration"),
            ("square:1:2:1ms", "shorter"),
            ("sine:10:20:5s", "below nothing"),
            ("triangle:1:2:3s", "not W, square"),
        ] {
            let error = text.parse::<Curve>().unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
