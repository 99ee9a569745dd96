//! Texts that people write and read: durations, and text of others made safe to show.

use std::time::Duration;

use jiff::SignedDuration;

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
