//! The letters that a locale has: text for people in ASCII, where there are no others.
//!
//! Rule: what is replaced reads the same and, pasted back, means the same (`±` is `+-`). What programs read is not
//! text, and is never touched.
//!
//! Out of scope: the frames of the live view, which have a width to fill.

use std::borrow::Cow;

/// Which letters can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Letters {
    /// Whatever there is.
    #[default]
    All,
    /// ASCII alone.
    Ascii,
}

impl Letters {
    /// What the environment says, in the order of POSIX; without a word of it the locale is `C`.
    pub fn of<'v>(variable: impl Fn(&str) -> Option<&'v str>) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable);
        let locale = locale.unwrap_or_default().to_lowercase();
        let is_all = locale.contains("utf-8") || locale.contains("utf8");
        if is_all { Self::All } else { Self::Ascii }
    }

    /// The text in these letters. What becomes longer takes blanks of the next gap before or behind it in the line, so that
    /// columns stay.
    pub fn spell(self, text: &str) -> Cow<'_, str> {
        if self == Self::All || text.is_ascii() {
            return Cow::Borrowed(text);
        }
        let mut spelt = String::with_capacity(text.len());
        let mut owed = 0_usize;
        for letter in text.chars() {
            match letter {
                '\n' => owed = 0,
                ' ' if owed > 0 && spelt.ends_with(' ') => {
                    owed -= 1;
                    continue;
                }
                _ => {}
            }
            if letter.is_ascii() {
                spelt.push(letter);
                continue;
            }
            let ascii = ascii(letter);
            owed += ascii.len() - 1;
            while owed > 0 && spelt.ends_with("  ") {
                spelt.pop();
                owed -= 1;
            }
            spelt += ascii;
        }
        Cow::Owned(spelt)
    }
}

/// What stands for a letter beyond ASCII.
fn ascii(letter: char) -> &'static str {
    match letter {
        '±' => "+-",
        'µ' | 'μ' => "u",
        '…' => "...",
        '×' => "x",
        '–' | '—' | '‑' | '−' => "-",
        '·' => "*",
        '²' => "2",
        '³' => "3",
        '→' => "->",
        '≤' => "<=",
        '≥' => ">=",
        '█' | '▉' | '▊' | '▋' | '▌' => "#",
        '‘' | '’' => "'",
        '“' | '”' | '„' => "\"",
        '\u{a0}' | '\u{202f}' => " ",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use carbon_ops::estimate::uncertainty::text::Quantity;

    use super::*;

    #[test]
    fn letters_follow_the_locale() {
        for (variables, letters) in [
            (&[("LANG", "C")][..], Letters::Ascii),
            (&[], Letters::Ascii),
            (&[("LANG", "en_US.UTF-8")], Letters::All),
            (&[("LANG", "en_US.UTF-8"), ("LC_ALL", "C")], Letters::Ascii),
            (&[("LANG", "C"), ("LC_CTYPE", "C.utf8")], Letters::All),
        ] {
            let value =
                |name: &str| variables.iter().find(|(it, _)| *it == name).map(|(_, it)| *it);
            assert_eq!(Letters::of(value), letters, "{variables:?}");
        }
    }

    #[test]
    fn what_is_spelt_is_ascii_keeps_its_columns_and_means_the_same() {
        assert_eq!(Letters::All.spell("1 ± 2 µJ"), "1 ± 2 µJ");
        assert_eq!(Letters::Ascii.spell("1 ± 2 µJ"), "1 +- 2 uJ");
        assert_eq!(Letters::Ascii.spell("  ± %\n  39\n"), " +- %\n  39\n");
        assert_eq!(Letters::Ascii.spell("7 …ame   1 µJ\n"), "7 ...ame 1 uJ\n");
        assert_eq!(Letters::Ascii.spell("Côte d’Ivoire 03a1…"), "C?te d'Ivoire 03a1...");
        let said = "1.2kWh ± 2%";
        let read = |text: &str| Quantity::Energy.read(text).unwrap();
        assert_eq!(read(&Letters::Ascii.spell(said)), read(said));
    }
}
