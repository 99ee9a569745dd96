//! Durations as people write them.

use std::time::Duration;

use jiff::SignedDuration;

/// Durations: `100ms`, `15s`, `10m`, `1h 30m`, and plain seconds such as `120` or `0.5`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let duration = match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => text.parse::<SignedDuration>().ok().and_then(|d| Duration::try_from(d).ok()),
    };
    duration.ok_or_else(|| format!("{text:?} is not a duration, such as 100ms, 15s, 10m or 120"))
}

/// As [`duration`] reads it.
pub(crate) fn span(duration: Duration) -> String {
    SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{duration:?}"), |d| format!("{d:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_or_are_seconds() {
        for (text, milliseconds) in
            [("100ms", 100), ("1m 30s", 90_000), ("2m", 120_000), ("120", 120_000), ("0.5", 500)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "-5s", "-5", "soon", "nan", "inf", "1e300"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(span(Duration::from_secs(90)), "1m 30s");
    }
}
