//! Energy to carbon, with its uncertainty: pure arithmetic.
//!
//! * [`uncertainty`]: distributions, the measurement model, closed form and Monte Carlo.
//! * [`intensity`]: what a kilowatt hour emits as a value: what it counts, when it holds, how it came to be.
//! * [`span`]: energy of a time, priced by overlap with slots of intensity.
//! * [`embodied`]: carbon of hardware; [`taxonomy`], [`label`]: what a figure is made of, and what it is like.
//! * [`aggregate`]: totals in which shared errors stay shared; [`anomaly`]: values that stand out.
//! * [`paired`]: two quantities measured in turn until it is known which is more.
//! * [`decimal`]: doubles of nine digits, and their canonical text.
//!
//! Out of scope: files, sockets, clocks and randomness; places and zones; what is written into a record.

/// An enumeration whose words stand in records, options and messages, from one list: serialised, shown and looked up
/// by it.
///
/// ```
/// carbon_ops_estimate::words! {
///     /// What a light shows.
///     Light {
///         /// Go.
///         Green = "green",
///         /// Wait.
///         Red = "red",
///     }
/// }
/// assert_eq!((Light::of("red"), Light::Green.to_string()), (Some(Light::Red), "green".to_owned()));
/// ```
#[macro_export]
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$attribute:meta])* $variant:ident = $word:literal,)+ }) => {
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        $(#[$meta])*
        pub enum $name {
            $($(#[$attribute])* #[serde(rename = $word)] $variant,)+
        }
        impl $name {
            /// All of them.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// The word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The one of that word.
            pub fn of(word: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|one| one.as_str() == word)
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub mod aggregate;
pub mod anomaly;
pub mod decimal;
pub mod embodied;
pub mod intensity;
pub mod label;
pub mod market;
pub mod paired;
pub mod span;
pub mod tables;
pub mod taxonomy;
pub mod uncertainty;
