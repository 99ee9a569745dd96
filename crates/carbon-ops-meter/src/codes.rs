//! Enumerations that travel: one list gives each variant its number on the page and its word in messages
//! and records. A variant that the list lacks does not compile, and nor does a number that stands twice.
//!
//! Out of scope: what the variants mean, which their enums say.

/// `codes! { Enum { Variant = number "word", … } }`: the list, both directions of its numbers and of its
/// words.
macro_rules! codes {
    ($name:ident { $($variant:ident = $code:literal $word:literal),+ $(,)? }) => {
        impl $name {
            /// All of them, by their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number on the page, which never changes.
            pub(crate) const fn code(self) -> u8 {
                match self {
                    $(Self::$variant => $code),+
                }
            }

            /// By its number on the page.
            pub(crate) const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The word that stands in messages and records.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            /// By its word.
            pub(crate) fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use codes;

#[cfg(test)]
mod tests {
    use crate::sensor::{Exclusion, Kind};
    use crate::snapshot::Source;

    /// Pages and messages outlive a version: what stands here may grow and never change.
    #[test]
    fn numbers_and_words_are_those_of_the_first_version_and_lead_back() {
        macro_rules! check {
            ($name:ident, $expected:expr) => {
                let found: Vec<_> = $name::ALL.iter().map(|x| (x.code(), x.as_str())).collect();
                assert_eq!(found, $expected);
                for one in $name::ALL.iter().copied() {
                    assert_eq!($name::from_code(one.code()), Some(one));
                    assert_eq!($name::from_word(one.as_str()), Some(one));
                }
                assert_eq!(($name::from_code(200), $name::from_word("?")), (None, None));
            };
        }
        check!(
            Kind,
            [(0, "package"), (1, "dram"), (2, "gpu"), (3, "core"), (4, "uncore"), (5, "psys")]
        );
        check!(
            Source,
            [(0, "sysfs"), (1, "msr"), (2, "perf"), (3, "nvml"), (4, "other"), (5, "hwmon")]
        );
        check!(
            Exclusion,
            [
                (1, "inside_package"),
                (2, "overlaps_package"),
                (3, "duplicate"),
                (4, "mirrored_die"),
                (5, "permission_denied"),
                (6, "unreadable"),
                (7, "stuck"),
                (8, "unknown_domain"),
                (9, "without_package"),
                (10, "unlisted"),
                (11, "inside_gpu"),
                (12, "asleep"),
            ]
        );
        assert_eq!(Exclusion::from_code(0), None, "on the page, 0 is no exclusion");
    }
}
