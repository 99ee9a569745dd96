//! Texts that people write and read: instants, durations, and text of others made safe to show.

use std::time::Duration;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use crate::error::Fault;

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
    text.parse().map_err(|error: jiff::Error| Fault::NotAnInstant {
        text: text.to_owned(),
        reason: error.to_string(),
    })
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
        for text in ["", "2026-03-01T00:00", "2026-13-01", "yesterday"] {
            assert!(instant(text).is_err(), "{text}");
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
