//! Numbers and times as people write them.

use std::time::Duration;

/// Durations: `100ms`, `15s`, `10m`, `1h 30m`, and plain seconds such as `120` or `0.5`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let duration = match text.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    duration.ok_or_else(|| format!("{text:?} is not a duration, such as 100ms, 15s, 10m or 120"))
}

/// As [`duration`] reads it.
pub(crate) fn span(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// A number with an SI prefix and three significant digits.
pub(crate) fn si(value: f64, unit: &str) -> String {
    const PREFIXES: [(f64, &str); 6] =
        [(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ")];
    // 999.6 rounds to 1000, which belongs to the next prefix.
    let prefix = PREFIXES.iter().find(|(scale, _)| value.abs() >= 0.9995 * scale);
    let Some((scale, prefix)) = prefix else { return format!("0 {unit}") };
    let value = value / scale;
    let digits = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {prefix}{unit}")
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

    #[test]
    fn three_digits_are_shown() {
        for (value, text) in [
            (0.0, "0 W"),
            (999.6, "1.00 kW"),
            (65_532.0, "65.5 kW"),
            (390.0, "390 W"),
            (1.5e-5, "15.0 µW"),
        ] {
            assert_eq!(si(value, "W"), text);
        }
    }
}
