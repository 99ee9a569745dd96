//! Grid carbon intensity. So far one source: a yearly table per country.

pub mod table;

/// What an intensity counts. Signals are never mixed in one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// Average over all generation, over the life cycle of the plants.
    AverageLifecycle,
}

impl Signal {
    /// The word that stands in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AverageLifecycle => "average_lifecycle",
        }
    }
}
