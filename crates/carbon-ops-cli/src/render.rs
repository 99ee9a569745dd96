//! What people read: quantities with three digits and a fitting unit, and errors with their causes.
//!
//! No colour: nothing here needs it.

use std::fmt::Write as _;

use crate::hints::hint;
pub(crate) use carbon_ops::text::plain;

/// A number with an SI prefix and three significant digits; never `0` for what is not zero.
pub(crate) fn si(value: f64, unit: &str) -> String {
    const PREFIXES: [(f64, &str); 7] =
        [(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n")];
    if value == 0.0 {
        return format!("0 {unit}");
    }
    // 999.6 rounds to 1000, which belongs to the next prefix.
    let prefix = PREFIXES.iter().find(|(scale, _)| value.abs() >= 0.9995 * scale);
    let Some((scale, prefix)) = prefix else { return format!("{value:.2e} {unit}") };
    let value = value / scale;
    let digits = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {prefix}{unit}")
}

/// A number of things: `1 record`, `2 records`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// An error with its causes, none said twice, and its hints after everything else.
pub(crate) fn describe(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        let message = cause.split_once("\nhint:").map_or(&*cause, |(message, _)| message);
        if !text.contains(message) {
            let _ = write!(text, "{}{message}", if text.is_empty() { "" } else { ": " });
        }
    }
    for hint in hint(error) {
        let _ = write!(text, "\nhint: {hint}");
    }
    text
}

/// A value in a column of its own, and its interval beside it.
pub(crate) fn bounded(value: &str, interval: Option<(f64, f64, f64)>, unit: &str) -> String {
    let interval = interval.map_or("no interval".into(), |(low, high, level)| {
        format!("{:.0} % between {} and {}", 100.0 * level, si(low, unit), si(high, unit))
    });
    format!("{value:<15} {interval}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_keep_three_digits_and_never_vanish() {
        for (value, expected) in [
            (0.0, "0 J"),
            (519.4, "519 J"),
            (0.000_054_3, "54.3 µJ"),
            (999.6, "1.00 kJ"),
            (99.96, "100 J"),
            (9.996, "10.0 J"),
            (1.0, "1.00 J"),
            (12_345_678.0, "12.3 MJ"),
            (3e-13, "3.00e-13 J"),
        ] {
            assert_eq!(si(value, "J"), expected);
        }
    }
}
