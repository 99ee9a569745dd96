//! When an entry of a ledger counts as acknowledged: what its genesis promises.
//!
//! Out of scope: keeping the promise, which is the writer's.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::fault::Fault;

/// The longest delay that a ledger can promise. A prior: nobody who waits for an acknowledgement, or
/// can lose what was acknowledged, wants to do so for longer than a minute.
const MAX_DELAY_MS: u64 = 60_000;

/// When an entry is acknowledged. A single append is always acknowledged as for [`Durability::Sync`].
///
/// ```
/// use std::time::Duration;
/// use carbon_ops_proof::entry::Durability;
/// let class: Durability = "group:20".parse().unwrap();
/// assert_eq!(class, Durability::Group(Duration::from_millis(20)));
/// assert_eq!(class.to_string(), "group:20");
/// assert!("group:020".parse::<Durability>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// After `fdatasync`, which is called as soon as there is something to make durable.
    #[default]
    Sync,
    /// After `fdatasync`, which may be delayed for so long to gather more entries.
    Group(Duration),
    /// After the write; `fdatasync` follows at the latest so much later. A crash of the machine may
    /// lose entries that were acknowledged.
    Async(Duration),
}

impl FromStr for Durability {
    type Err = Fault;

    /// Reads `sync`, `group:<ms>` or `async:<ms>`, with 1 to 60,000 milliseconds in decimal.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let class = match text.split_once(':') {
            None => Some(Self::Sync),
            Some(("group", delay)) => milliseconds(delay).map(Self::Group),
            Some(("async", delay)) => milliseconds(delay).map(Self::Async),
            Some(_) => None,
        };
        // One spelling: no sign, no leading zero.
        let class = class.filter(|class| class.to_string() == text);
        let expected = "\"sync\", \"group:<ms>\" or \"async:<ms>\"";
        class.ok_or(Fault::Member { name: "durability", expected })
    }
}

fn milliseconds(text: &str) -> Option<Duration> {
    let delay = text.parse().ok().filter(|delay| (1..=MAX_DELAY_MS).contains(delay))?;
    Some(Duration::from_millis(delay))
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sync => f.write_str("sync"),
            Self::Group(delay) => write!(f, "group:{}", delay.as_millis()),
            Self::Async(delay) => write!(f, "async:{}", delay.as_millis()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_spelling_of_a_class_is_read() {
        for good in ["sync", "group:1", "group:60000", "async:20"] {
            assert_eq!(good.parse::<Durability>().map(|class| class.to_string()), Ok(good.into()));
        }
        for bad in [
            "",
            "Sync",
            "sync:1",
            "group",
            "group:",
            "group:0",
            "group:+1",
            "group:01",
            "group:1ms",
            "group:60001",
            "async:0",
            "async: 1",
            "async:1:1",
            "fast:1",
            "async",
            "async:99999999999999999999",
        ] {
            assert!(bad.parse::<Durability>().is_err(), "{bad:?}");
        }
    }
}
