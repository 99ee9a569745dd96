//! How a quantity is written for people: three digits and a fitting prefix.
//!
//! Out of scope: numbers that a program reads, and their units.

/// A number with an SI prefix and three significant digits; never `0` for what is not zero.
///
/// ```
/// assert_eq!(carbon_ops_units::si(0.000_054_3, "J"), "54.3 µJ");
/// ```
pub fn si(value: f64, unit: &str) -> String {
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
