//! Times as records state them, the ledger's own and ours in it: UTC with six decimals and a `Z`.
//!
//! Out of scope: clocks. The form is checked without a calendar in records of version 1 (which verify for
//! ever, the thirty-first of February included); newer ones need a time that exists.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// The time that a text states, if it exists and the text is the one spelling that [`time_text`] gives it.
#[must_use]
pub fn time(text: &str) -> Option<Timestamp> {
    let digits = |from: usize, to: usize| {
        let digit =
            |sum: i32, byte: u8| byte.is_ascii_digit().then(|| 10 * sum + i32::from(byte - b'0'));
        text.get(from..to)?.bytes().try_fold(0, digit)
    };
    let two = |from| i8::try_from(digits(from, from + 2)?).ok();
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (26, b'Z')];
    let form = |(at, mark): &(usize, u8)| text.as_bytes().get(*at) == Some(mark);
    if text.len() != 27 || !marks.iter().all(form) {
        return None;
    }
    let year = i16::try_from(digits(0, 4)?).ok()?;
    let nanoseconds = 1000 * digits(20, 26)?;
    let time = DateTime::new(year, two(5)?, two(8)?, two(11)?, two(14)?, two(17)?, nanoseconds);
    Offset::UTC.to_timestamp(time.ok()?).ok()
}

/// The one spelling of a time.
#[must_use]
pub fn time_text(time: Timestamp) -> String {
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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the reader of times that takes many spellings, and the one spelling of what it read.
        #[test]
        fn a_time_is_what_comes_back_as_it_was_written(
            second in -62_167_219_200_i64..=253_402_207_200,
            micros in 0..1_000_000_i32,
            at in 0..27_usize,
            byte in prop::sample::select(b"0123456789-:.TZ 6+t".to_vec()),
        ) {
            let written = Timestamp::new(second, micros * 1000).unwrap();
            let mut other = time_text(written).into_bytes();
            other[at] = byte;
            for text in [time_text(written), String::from_utf8(other).unwrap()] {
                let slow = text.parse().ok().filter(|time| time_text(*time) == text);
                prop_assert_eq!(time(&text), slow, "{}", text);
            }
        }
    }

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
