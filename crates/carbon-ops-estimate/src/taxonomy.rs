//! What dominates a figure of carbon: use or hardware. The taxonomy of the Python package carbon-ops 0.1.
//!
//! θ is the embodied part of the whole, `M / (O + M)`. Below 0.15 a workload is dominated by operation, from 0.15
//! on it is marginal, from 0.30 on dominated by hardware: the bounds and names of 0.1, which gives no source for
//! them. As O and M are uncertain so is θ; where its interval straddles a bound, each class has a probability.
//!
//! Out of scope: what O and M are made of.

use crate::uncertainty::{self, Method, Model};

/// From here on a workload is marginal (carbon-ops 0.1; a convention).
pub const MARGINAL: f64 = 0.15;

/// From here on it is dominated by hardware (carbon-ops 0.1; a convention).
const EMBODIED_DOMINATED: f64 = 0.30;

words! {
    /// What dominates, in the words of carbon-ops 0.1 and in the order of θ.
    Regime {
        /// θ below 0.15: using less energy, or cleaner energy, is what matters.
        OperationalDominated = "operational_dominated",
        /// θ from 0.15 and below 0.30.
        Marginal = "marginal",
        /// θ from 0.30 on: using hardware longer, and better, is what matters.
        EmbodiedDominated = "embodied_dominated",
    }
}

impl Regime {
    /// The regime of a θ.
    ///
    /// ```
    /// use carbon_ops_estimate::taxonomy::Regime;
    /// assert_eq!(Regime::of_theta(0.15), Regime::Marginal);
    /// assert_eq!(Regime::of_theta(0.30).class(), "C-NP[embodied-dominated]");
    /// ```
    pub fn of_theta(theta: f64) -> Self {
        if theta < MARGINAL {
            Self::OperationalDominated
        } else if theta < EMBODIED_DOMINATED {
            Self::Marginal
        } else {
            Self::EmbodiedDominated
        }
    }

    /// Its class in carbon-ops 0.1: C-P where optimising operation is viable, C-NP where it is not.
    pub fn class(self) -> &'static str {
        match self {
            Self::OperationalDominated => "C-P[operational-dominated]",
            Self::Marginal => "C-P[marginal]",
            Self::EmbodiedDominated => "C-NP[embodied-dominated]",
        }
    }
}

/// The embodied part of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Theta {
    /// Of the means: M / (O + M).
    pub theta: f64,
    /// Lower end of its coverage interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Coverage probability.
    pub level: f64,
    /// Probability of each regime, in the order of [`Regime::ALL`].
    pub probabilities: [f64; 3],
}

/// Why there is no θ.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Parts of nothing.
    #[error("neither operation nor hardware emits anything, and nothing has no parts")]
    Nothing,
    /// A mean that is negative or infinite.
    #[error("{0} g is not a mass of emissions")]
    Mass(f64),
    /// Numbers that are no model.
    #[error(transparent)]
    Model(#[from] uncertainty::Error),
}

impl Theta {
    /// Of operation and hardware, in gCO2e both. Inputs with equal keys are one variable.
    ///
    /// # Errors
    /// When both are 0, or a mean is negative.
    ///
    /// ```
    /// use carbon_ops_estimate::taxonomy::{Regime, Theta};
    /// use carbon_ops_estimate::uncertainty::{Input, Model};
    /// let model = |name, text: &str| Model::product(1.0, vec![Input::new(name, text.parse().unwrap())]);
    /// let theta = Theta::of(&model("operation", "ln(80, 10%)")?, &model("hardware", "ln(20, 35%)")?)?;
    /// assert!((theta.theta - 0.2).abs() < 1e-12);
    /// assert_eq!(theta.regime(), Regime::Marginal);
    /// assert!(theta.straddles() && theta.probability(Regime::Marginal) < 0.95);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(operational: &Model, embodied: &Model) -> Result<Self, Error> {
        let (o, m) = (operational.mean(), embodied.mean());
        for mean in [o, m] {
            if !(mean.is_finite() && mean >= 0.0) {
                return Err(Error::Mass(mean));
            }
        }
        let theta = m / (o + m);
        let level = uncertainty::LEVEL;
        let sure = |low: f64| {
            let probabilities =
                Regime::ALL.map(|regime| f64::from(Regime::of_theta(low) == regime));
            Self { theta: low, low, high: low, level, probabilities }
        };
        if o <= 0.0 && m <= 0.0 {
            return Err(Error::Nothing);
        }
        if o <= 0.0 || m <= 0.0 {
            return Ok(sure(theta));
        }
        // θ = 1 / (1 + O/M) falls as O/M rises: probabilities and quantiles of the one are those of the other.
        let ratio = Model::quotient(operational.clone(), embodied.clone())?;
        let ends = match ratio.evaluate(&Method::Analytical) {
            Ok(ends) => ends,
            Err(uncertainty::Error::NoUncertainty) => return Ok(sure(theta)),
            Err(error) => return Err(error.into()),
        };
        let of = |ratio: f64| 1.0 / (1.0 + ratio.max(0.0));
        let at_least = |theta: f64| ratio.probability((1.0 - theta) / theta, &Method::Analytical);
        let (marginal, embodied) = (at_least(MARGINAL), at_least(EMBODIED_DOMINATED));
        let probabilities =
            [1.0 - marginal, marginal - embodied, embodied].map(|p| p.clamp(0.0, 1.0));
        Ok(Self { theta, low: of(ends.high), high: of(ends.low), level: ends.level, probabilities })
    }

    /// The regime of θ itself.
    pub fn regime(&self) -> Regime {
        Regime::of_theta(self.theta)
    }

    /// How probable a regime is.
    pub fn probability(&self, regime: Regime) -> f64 {
        let [operational, marginal, embodied] = self.probabilities;
        match regime {
            Regime::OperationalDominated => operational,
            Regime::Marginal => marginal,
            Regime::EmbodiedDominated => embodied,
        }
    }

    /// Whether the interval has more than one regime in it.
    pub fn straddles(&self) -> bool {
        Regime::of_theta(self.low) != Regime::of_theta(self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uncertainty::{Input, MonteCarlo};

    fn model(inputs: &[(&str, &str)]) -> Model {
        let input = |(name, text): &(&str, &str)| Input::new(*name, text.parse().unwrap());
        Model::product(1.0, inputs.iter().map(input).collect()).unwrap()
    }

    #[test]
    fn bounds_and_names_are_those_of_the_predecessor() {
        // carbon-ops 0.1.1, observed: below 0.15, below 0.30.
        for (theta, word, class) in [
            (0.0, "operational_dominated", "C-P[operational-dominated]"),
            (0.149_999, "operational_dominated", "C-P[operational-dominated]"),
            (0.15, "marginal", "C-P[marginal]"),
            (0.299_999, "marginal", "C-P[marginal]"),
            (0.30, "embodied_dominated", "C-NP[embodied-dominated]"),
            (1.0, "embodied_dominated", "C-NP[embodied-dominated]"),
        ] {
            let regime = Regime::of_theta(theta);
            assert_eq!((regime.as_str(), regime.class()), (word, class), "{theta}");
            assert_eq!(serde_json::json!(regime), word);
        }
    }

    #[test]
    fn probabilities_of_lognormals_are_those_of_the_normal_table() {
        // O/M is lognormal. s² = ln(1 + 0.1²) + ln(1 + 0.365²) = 0.00995 + 0.12509 = 0.13504, s = 0.36748.
        // Median of O/M = (80/20)·√((1 + 0.365²)/(1 + 0.1²)) = 4·√(1.133225/1.01) = 4.23702.
        // P(θ ≥ 0.15) = Φ(ln(17/3 ÷ 4.23702)/s) = Φ(0.79117) = 0.78558; P(θ ≥ 0.30) = Φ(−1.62350) = 0.05224.
        let theta =
            Theta::of(&model(&[("o", "ln(80, 0.1)")]), &model(&[("m", "ln(20, 0.365)")])).unwrap();
        let close = |value: f64, expected: f64| {
            assert!((value - expected).abs() < 2e-4, "{value} {expected}");
        };
        close(theta.probability(Regime::OperationalDominated), 1.0 - 0.785_58);
        close(theta.probability(Regime::Marginal), 0.785_58 - 0.052_24);
        close(theta.probability(Regime::EmbodiedDominated), 0.052_24);
        // Ends of O/M: 4.23702·e^(±1.959964·0.36748) = 8.7075 and 2.0617.
        close(theta.low, 1.0 / 9.7075);
        close(theta.high, 1.0 / 3.0617);
        close(theta.theta, 0.2);
    }

    #[test]
    fn sampling_agrees_where_there_is_a_closed_form_and_stands_in_where_there_is_none() {
        let operation = model(&[("energy", "tn(100, 5, min=0)"), ("pue", "tn(1.55, 0.2, min=1)")]);
        let hardware = model(&[("m", "ln(40, 0.365)")]);
        let closed = Theta::of(&operation, &hardware).unwrap();
        let ratio = Model::quotient(operation.clone(), hardware).unwrap();
        let trials = Method::MonteCarlo(MonteCarlo::seeded(7));
        for (bound, probability) in [
            (MARGINAL, 1.0 - closed.probability(Regime::OperationalDominated)),
            (EMBODIED_DOMINATED, closed.probability(Regime::EmbodiedDominated)),
        ] {
            let sampled = ratio.probability((1.0 - bound) / bound, &trials);
            // Four binomial standard deviations of 200,000 trials.
            assert!(
                (sampled - probability).abs() < 4.0 * (0.25_f64 / 2e5).sqrt(),
                "{sampled} {probability}"
            );
        }
        // Two pieces of hardware: a sum in the denominator.
        let two = Model::sum([model(&[("a", "ln(20, 0.365)")]), model(&[("b", "ln(20, 0.365)")])])
            .unwrap();
        let sum = Theta::of(&operation, &two).unwrap();
        assert!((sum.theta - closed.theta).abs() < 1e-9);
        // Errors that are independent average out: the interval is narrower.
        assert!(sum.high - sum.low < closed.high - closed.low && sum.low > closed.low);
        assert!((sum.probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_has_no_parts_and_one_part_is_all() {
        let some = model(&[("x", "ln(3, 0.2)")]);
        let none = model(&[("x", "0")]);
        assert_eq!(Theta::of(&none, &none), Err(Error::Nothing));
        let hardware = Theta::of(&none, &some).unwrap();
        assert_eq!(hardware.regime(), Regime::EmbodiedDominated);
        let sure = |theta: &Theta, regime| assert!(theta.probability(regime) > 1.0 - 1e-12);
        sure(&hardware, Regime::EmbodiedDominated);
        sure(&Theta::of(&some, &none).unwrap(), Regime::OperationalDominated);
        let exact = Theta::of(&model(&[("x", "80")]), &model(&[("y", "20")])).unwrap();
        assert_eq!((exact.regime(), exact.straddles()), (Regime::Marginal, false));
        assert!(matches!(Theta::of(&model(&[("x", "-3")]), &some), Err(Error::Mass(_))));
    }
}
