//! What an intensity counts: average, marginal or residual; consumed or produced; over the life cycle
//! or at the chimney; CO2 or all gases. Numbers that differ in one of these are never mixed silently.
//!
//! Out of scope: values and times.

use std::fmt;

use serde::{Deserialize, Serialize};

words! {
    /// Which electricity the emissions belong to.
    Kind {
        /// All electricity of a grid: what an inventory (GHG Protocol, Scope 2 location-based) counts.
        Average = "average",
        /// The plant that would run less if a little less were used: for decisions, never for an inventory.
        Marginal = "marginal",
        /// What is left of a grid's mix when contracted electricity is taken out (Scope 2 market-based).
        Residual = "residual",
    }
}

words! {
    /// Whose electricity is counted.
    Accounting {
        /// What is used in the zone, imports included.
        Consumption = "consumption",
        /// What is generated in the zone.
        Production = "production",
        /// The source does not say.
        Unstated = "unstated",
    }
}

words! {
    /// How far back the emissions of a plant are counted.
    Factor {
        /// Fuel supply, building and waste included.
        Lifecycle = "lifecycle",
        /// What leaves the chimney.
        Direct = "direct",
        /// What is not at the chimney: the life cycle less what is direct.
        Upstream = "upstream",
    }
}

/// Which gases are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gases {
    /// Carbon dioxide alone.
    Co2,
    /// All greenhouse gases, as carbon dioxide that warms as much.
    Co2e,
}

/// What an intensity counts. Two are comparable only when they are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Signal {
    /// Which electricity.
    pub kind: Kind,
    /// Whose.
    pub accounting: Accounting,
    /// How far back.
    pub factor: Factor,
    /// Which gases.
    pub gases: Gases,
}

impl Signal {
    /// Average of what a zone generates, life cycle, all gases: yearly statistics of Ember and OWID.
    pub const AVERAGE_LIFECYCLE_PRODUCTION: Self = Self {
        kind: Kind::Average,
        accounting: Accounting::Production,
        factor: Factor::Lifecycle,
        gases: Gases::Co2e,
    };

    /// The word that stands in records: kind and factor, such as `average_lifecycle`.
    pub fn as_str(self) -> &'static str {
        match (self.kind, self.factor) {
            (Kind::Average, Factor::Lifecycle) => "average_lifecycle",
            (Kind::Average, Factor::Direct) => "average_direct",
            (Kind::Average, Factor::Upstream) => "average_upstream",
            (Kind::Marginal, Factor::Lifecycle) => "marginal_lifecycle",
            (Kind::Marginal, Factor::Direct) => "marginal_direct",
            (Kind::Marginal, Factor::Upstream) => "marginal_upstream",
            (Kind::Residual, Factor::Lifecycle) => "residual_lifecycle",
            (Kind::Residual, Factor::Direct) => "residual_direct",
            (Kind::Residual, Factor::Upstream) => "residual_upstream",
        }
    }
}

/// `average lifecycle consumption CO2e`.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.kind, self.factor, self.accounting, self.gases)
    }
}

impl fmt::Display for Gases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Co2 => "CO2",
            Self::Co2e => "CO2e",
        })
    }
}

/// A text that names no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown signal {0:?}")]
pub struct UnknownSignal(String);

/// Reads kind and, where it is given, factor: `average`, `average_direct`.
///
/// # Errors
/// When the text names no signal.
pub fn parse_kind_and_factor(text: &str) -> Result<(Kind, Option<Factor>), UnknownSignal> {
    let (kind, factor) = match text.split_once('_') {
        Some((kind, factor)) => (kind, Some(Factor::of(factor))),
        None => (text, None),
    };
    let known = match (Kind::of(kind), factor) {
        (Some(kind), None) => Some((kind, None)),
        (Some(kind), Some(Some(factor))) => Some((kind, Some(factor))),
        _ => None,
    };
    known.ok_or_else(|| UnknownSignal(text.chars().take(60).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for kind in [Kind::Average, Kind::Marginal, Kind::Residual] {
            for factor in [Factor::Lifecycle, Factor::Direct, Factor::Upstream] {
                let signal = Signal { kind, factor, ..Signal::AVERAGE_LIFECYCLE_PRODUCTION };
                assert_eq!(parse_kind_and_factor(signal.as_str()), Ok((kind, Some(factor))));
            }
        }
        assert_eq!(parse_kind_and_factor("marginal"), Ok((Kind::Marginal, None)));
        assert!(parse_kind_and_factor("moer").is_err());
        assert!(parse_kind_and_factor("average_").is_err());
    }

    #[test]
    fn the_yearly_signal_has_its_name_of_record_version_1() {
        assert_eq!(Signal::AVERAGE_LIFECYCLE_PRODUCTION.as_str(), "average_lifecycle");
    }
}
