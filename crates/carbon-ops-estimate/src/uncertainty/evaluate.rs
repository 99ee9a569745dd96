//! A model evaluated to an estimate with an interval.
//!
//! Out of scope: how (`closed`, `monte_carlo`).

use super::closed::{self, NotClosed};
use super::error::Error;
use super::model::Model;
use super::monte_carlo::{self, Coverage, MonteCarlo, Run, Sampled};
use super::normal::LEVEL;
use super::polynomial::Polynomial;
use super::random::GENERATOR;

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
    pub fn evaluate_at(&self, method: &Method, level: f64) -> Result<Estimate, Error> {
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
        self.found(|mean| [low, high].map(|(low, high)| (low * mean, high * mean)), false)
    }

    /// The same of ends in the unit of the model, and of every model: of some, [`Model::evaluate`] tells by what the
    /// ends may be off, which is not told here.
    ///
    /// ```
    /// use carbon_ops_estimate::uncertainty::{Input, Method, Model};
    /// let of = |grams, name: &str, text: &str| Model::product(grams, vec![Input::new(name, text.parse().unwrap())]);
    /// let sum = Model::sum([of(40.0, "x", "ln(1, 0.5)")?, of(10.0, "y", "u(0.5, 1.5)")?])?;
    /// let estimate = sum.evaluate(&Method::Analytical)?;
    /// let around = |end: f64| (end * (1.0 - 1e-9), end * (1.0 + 1e-9));
    /// assert!(sum.confirms_ends([around(estimate.low), around(estimate.high)]));
    /// assert!(!sum.confirms_ends([around(estimate.low), around(estimate.high * 1.001)]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn confirms_ends(&self, bounds: [(f64, f64); 2]) -> bool {
        self.found(|_| bounds, true).is_some()
    }

    /// The standard uncertainty over the mean, if an evaluation finds the ends between the bounds; see
    /// [`closed::within`].
    fn found(&self, bounds: impl FnOnce(f64) -> [(f64, f64); 2], with_error: bool) -> Option<f64> {
        let polynomial = Polynomial::of(&self.expression).filter(|_| !self.tied)?;
        let moments = polynomial.moments(&self.inputs)?;
        let (mean, standard) = (moments.mean, moments.variance.sqrt());
        let bounds = bounds(mean);
        let [low, high] = bounds;
        let holds = low.1 <= mean && high.0 >= mean && standard > 0.0;
        let within = holds
            && closed::within(
                &self.expression,
                &polynomial,
                &self.inputs,
                (LEVEL, standard),
                bounds,
                with_error,
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
