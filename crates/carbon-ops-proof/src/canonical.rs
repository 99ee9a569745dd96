//! Canonical JSON (RFC 8785): one accepted byte string per value.
//!
//! A strict reader, a writer and the value type between them. The reader refuses whatever two
//! readers could understand differently: duplicate keys, lone surrogates, `-0`, numbers that only
//! fit as infinity.
//!
//! Out of scope: numbers with more precision than a double, and every kind of leniency.

mod convert;
mod known;
mod read;
mod run;
#[cfg(test)]
mod tests;
mod value;
mod write;

pub(crate) use convert::check_object_numbers;
pub use convert::{ConvertError, NumberOutOfRange};
pub(crate) use known::from_members;
pub(crate) use read::{Outline, canonical_object, canonical_outline};
pub use read::{ParseError, Reader, Reason, parse, parse_canonical};
pub(crate) use value::utf16_order;
pub use value::{MAX_DEPTH, Number, NumberError, Object, Value};
pub use write::write_member;
pub use write::{object_to_canonical, to_canonical};
