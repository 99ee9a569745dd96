//! What people read: quantities with three digits and a fitting unit, and errors with their causes.
//!
//! No colour: nothing here needs it.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::str::FromStr;

pub use carbon_ops::text::plain;
pub use carbon_ops::units::si;

use crate::hints::hint;
use crate::voice;

/// A number of things: `1 record`, `2 records`, `2 entries`.
pub fn counted(count: u64, one: &str) -> String {
    match one.strip_suffix('y') {
        _ if count == 1 => format!("1 {one}"),
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {one}s"),
    }
}

/// An error with its causes, none said twice, and its hints after everything else.
pub fn describe(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(|cause| voice::plain(&cause.to_string())) {
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

/// Reads the value of an argument; what to do about one that cannot be read follows on lines of its own.
pub fn argument<T>(text: &str) -> Result<T, String>
where
    T: FromStr<Err: StdError + Send + Sync + 'static>,
{
    described(text.parse::<T>())
}

/// A result whose error is told with what to do about it, on lines of its own.
pub fn described<T>(result: Result<T, impl Into<anyhow::Error>>) -> Result<T, String> {
    result.map_err(|error| describe(&error.into()))
}

/// An interval, with its level of confidence.
pub fn between(interval: Option<(f64, f64, f64)>, unit: &str) -> String {
    interval.map_or("no interval".into(), |(low, high, level)| {
        format!("{:.0} % between {} and {}", 100.0 * level, si(low, unit), si(high, unit))
    })
}

/// Adds members to a report.
pub fn add<const N: usize>(
    report: &mut serde_json::Value,
    members: [(&str, serde_json::Value); N],
) {
    if let Some(object) = report.as_object_mut() {
        object.extend(members.map(|(name, value)| (name.to_owned(), value)));
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_number_of_an_error_is_not_told_beside_its_words() {
        let error = anyhow::Error::new(io::Error::from_raw_os_error(13)).context("cannot open x");
        assert_eq!(describe(&error), "cannot open x: Permission denied");
    }
}
