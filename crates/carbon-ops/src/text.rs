//! Texts that people write and read: instants, durations, and text of others made safe to show.

use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp};

use crate::fault::Fault;

/// An instant: RFC 3339 with an offset or `Z`, or a day, which is its midnight in UTC.
///
/// # Errors
/// When it is neither.
pub fn instant(text: &str) -> Result<Timestamp, Fault> {
    let text = text.trim();
    // A day has ten characters and no time.
    if text.len() == 10
        && text.parse::<Date>().is_ok()
        && let Ok(midnight) = format!("{text}T00:00Z").parse()
    {
        return Ok(midnight);
    }
    text.parse().map_err(|_| Fault::NotAnInstant { text: text.to_owned(), reason: why_not(text) })
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

/// A duration: `100ms`, `15s`, `10m`, `1h 30m`, and plain seconds such as `120` or `0.5`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let duration = match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => text.parse::<SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok()),
    };
    duration.ok_or_else(|| format!("{text:?} is not a duration, such as 100ms, 15s, 10m or 120"))
}

/// Text of others, without the control characters that a terminal would obey.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
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

    #[test]
    fn a_duration_has_units_or_is_in_seconds() {
        for (text, milliseconds) in
            [("100ms", 100), ("1m 30s", 90_000), ("2m", 120_000), ("120", 120_000), (" 0.5", 500)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "-5s", "-5", "soon", "nan", "inf", "1e300"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
