//! Times as the ledger's own records state them: UTC with six decimals and a `Z`.
//!
//! Out of scope: clocks. The form is checked without a calendar in records of version 1 (which verify for
//! ever, the thirty-first of February included); newer ones need a time that exists.

use jiff::{SignedDuration, Timestamp};

/// The time that a text states, if it exists and the text is its one spelling here.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    // `time_text` brings back the only spelling that is accepted: no offset, no fewer decimals.
    text.parse().ok().filter(|time| time_text(*time) == text)
}

/// The one spelling of a time.
pub(crate) fn time_text(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// The time so many seconds later; none beyond the year 9999.
pub(crate) fn later(time: Timestamp, seconds: u64) -> Option<Timestamp> {
    time.checked_add(SignedDuration::from_secs(i64::try_from(seconds).ok()?)).ok()
}

/// `YYYY-MM-DDTHH:MM:SS.ffffffZ` with each part in its range. Days are not checked against months:
/// the time is a statement of the writer, not something that is computed with here.
pub(super) fn has_time_form(text: &str) -> bool {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd.ddddddZ";
    let part = |from: usize, to: usize| text.get(from..to).and_then(|d| d.parse::<u32>().ok());
    text.len() == FORM.len()
        && text.bytes().zip(FORM).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            _ => byte == *form,
        })
        && part(5, 7).is_some_and(|month| (1..=12).contains(&month))
        && part(8, 10).is_some_and(|day| (1..=31).contains(&day))
        && part(11, 13).is_some_and(|hour| hour < 24)
        && part(14, 16).is_some_and(|minute| minute < 60)
        // 60 is a leap second.
        && part(17, 19).is_some_and(|second| second <= 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_one_spelling_and_exists() {
        // date -u -d 2026-11-23T09:00:00Z +%s
        let noted = time("2026-11-23T09:00:00.000001Z").unwrap();
        assert_eq!(noted.as_microsecond(), 1_795_424_400_000_001);
        assert_eq!(time_text(noted), "2026-11-23T09:00:00.000001Z");
        assert_eq!(time_text(later(noted, 3600).unwrap()), "2026-11-23T10:00:00.000001Z");
        for bad in [
            "2026-11-23T09:00:00Z",
            "2026-11-23T09:00:00.0000010Z",
            "2026-11-23T09:00:00.000001+00:00",
            "2026-11-23 09:00:00.000001Z",
            "2026-11-23t09:00:00.000001z",
            "2026-02-31T09:00:00.000001Z",
            "",
        ] {
            assert_eq!(time(bad), None, "{bad}");
        }
        assert!(has_time_form("2026-02-31T09:00:60.000001Z"));
    }
}
