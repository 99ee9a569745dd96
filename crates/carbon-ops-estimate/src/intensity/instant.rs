//! The one grammar of times: of options, streams, files of intensities.
//!
//! Out of scope: durations.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};

/// A text that is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid time: {reason}")]
pub struct NotAnInstant {
    /// What was read, in part.
    pub text: String,
    /// Why not.
    pub reason: &'static str,
}

/// An instant: RFC 3339 with an offset or `Z`, or a day, which is its midnight in UTC.
///
/// # Errors
/// When it is neither.
///
/// ```
/// use carbon_ops_estimate::intensity::instant;
/// assert_eq!(instant("2026-03-01")?, instant(" 2026-03-01T01:00+01:00")?);
/// assert!(instant("2026-03-01T00:00").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn instant(text: &str) -> Result<Timestamp, NotAnInstant> {
    let text = text.trim();
    // A day has ten characters and no time.
    if text.len() == 10
        && text.parse::<Date>().is_ok()
        && let Ok(midnight) = format!("{text}T00:00Z").parse()
    {
        return Ok(midnight);
    }
    let wrong = || NotAnInstant { text: text.chars().take(60).collect(), reason: why_not(text) };
    text.parse().map_err(|_| wrong())
}

/// What keeps a text from being an instant.
fn why_not(text: &str) -> &'static str {
    if text.contains('[') {
        "the name of a time zone is not read; an offset such as +01:00 is"
    } else if text.parse::<DateTime>().is_ok() {
        "it has no offset from UTC, such as Z or +01:00"
    } else {
        "a day such as 2026-03-01 is, or a time such as 2026-03-01T10:00Z"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_has_an_offset_or_is_a_day_in_utc() {
        for (text, instant_of) in [
            ("2026-03-01", "2026-03-01T00:00:00Z"),
            (" 2026-03-01 ", "2026-03-01T00:00:00Z"),
            ("2026-03-01T01:00+01:00", "2026-03-01T00:00:00Z"),
            ("2026-03-01T00:00Z", "2026-03-01T00:00:00Z"),
        ] {
            assert_eq!(instant(text).unwrap().to_string(), instant_of, "{text}");
        }
        for (text, why) in [
            ("", "a day such as"),
            ("2026-03-01T00:00", "no offset"),
            ("2026-03-01T00:00[Europe/Berlin]", "time zone"),
            ("2026-13-01", "a day such as"),
            ("2026-02-30", "a day such as"),
            ("yesterday", "a day such as"),
        ] {
            let error = instant(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
