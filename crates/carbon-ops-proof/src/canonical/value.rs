//! JSON as values that have one canonical form each.
//!
//! Out of scope: reading and writing them.

use std::cmp::Ordering;
use std::fmt;

/// How deep arrays and objects may nest. RFC 8785 sets no limit; a reader that recurses needs one,
/// and records nest four levels.
pub const MAX_DEPTH: usize = 64;

/// The largest integer that a double holds exactly with all its neighbours: 2^53 − 1 (RFC 7493
/// section 2.2, "I-JSON").
pub(crate) const MAX_SAFE_INTEGER: i64 = 9_007_199_254_740_991;

/// [`MAX_SAFE_INTEGER`] as a double.
pub(super) const MAX_SAFE_DOUBLE: f64 = 9_007_199_254_740_991.0;

/// A JSON number: a double that is finite and not negative zero.
///
/// RFC 8785 has no text for NaN and the infinities (section 3.2.2.3), and `-0` would be written as
/// `0` and so not survive a round trip (erratum 7920). Neither can be constructed.
///
/// ```
/// use carbon_ops_proof::canonical::Number;
/// assert_eq!(Number::new(0.5).map(Number::as_f64), Ok(0.5));
/// assert!(Number::new(f64::NAN).is_err());
/// assert!(Number::new(-0.0).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Number(f64);

/// Why a double is no JSON number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NumberError {
    /// NaN or an infinity.
    #[error("the number is not finite")]
    NotFinite,
    /// Negative zero.
    #[error("negative zero has no canonical form")]
    NegativeZero,
    /// An integer that a double may not hold exactly.
    #[error("the integer is beyond ±(2^53 − 1)")]
    UnsafeInteger,
}

impl Number {
    /// Takes a double.
    ///
    /// # Errors
    ///
    /// When it is NaN, infinite or negative zero.
    pub fn new(value: f64) -> Result<Self, NumberError> {
        if !value.is_finite() {
            Err(NumberError::NotFinite)
        } else if value == 0.0 && value.is_sign_negative() {
            Err(NumberError::NegativeZero)
        } else {
            Ok(Self(value))
        }
    }

    /// The number as a double.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.0
    }

    /// The number as an integer, when it is one and lies within ±(2^53 − 1).
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        if self.0.abs() > MAX_SAFE_DOUBLE || self.0.fract() != 0.0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "an integer of at most 53 bits")]
        Some(self.0 as i64)
    }

    /// The number as an unsigned integer, when it is one and at most 2^53 − 1.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        self.as_i64().and_then(|n| u64::try_from(n).ok())
    }
}

impl TryFrom<i64> for Number {
    type Error = NumberError;

    fn try_from(value: i64) -> Result<Self, NumberError> {
        if value.unsigned_abs() > MAX_SAFE_INTEGER.unsigned_abs() {
            return Err(NumberError::UnsafeInteger);
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 53 bits, checked above")]
        Ok(Self(value as f64))
    }
}

impl TryFrom<u64> for Number {
    type Error = NumberError;

    fn try_from(value: u64) -> Result<Self, NumberError> {
        i64::try_from(value).map_err(|_| NumberError::UnsafeInteger)?.try_into()
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Self {
        Self(f64::from(value))
    }
}

impl From<i32> for Number {
    fn from(value: i32) -> Self {
        Self(f64::from(value))
    }
}

/// A JSON value that has a canonical form.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A finite double that is not negative zero.
    Number(Number),
    /// Unicode text; a Rust string cannot hold a lone surrogate.
    String(String),
    /// Values in order.
    Array(Vec<Value>),
    /// Members by name.
    Object(Object),
}

impl Value {
    /// The text, when this is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number, when this is one.
    #[must_use]
    pub(crate) fn as_number(&self) -> Option<Number> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// The double, when this is a number.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        self.as_number().map(Number::as_f64)
    }

    /// The unsigned integer, when this is one up to 2^53 − 1.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        self.as_number().and_then(Number::as_u64)
    }

    /// The integer, when this is one within ±(2^53 − 1).
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number().and_then(Number::as_i64)
    }

    /// The elements, when this is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The members, when this is an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<Number> for Value {
    fn from(value: Number) -> Self {
        Self::Number(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Number(value.into())
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Number(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<Vec<Value>> for Value {
    fn from(value: Vec<Value>) -> Self {
        Self::Array(value)
    }
}

impl From<Object> for Value {
    fn from(value: Object) -> Self {
        Self::Object(value)
    }
}

/// The members of a JSON object, sorted by the UTF-16 code units of their names (RFC 8785 section
/// 3.2.3), each name once.
///
/// ```
/// use carbon_ops_proof::canonical::{Object, Value};
/// let object = Object::from_members([("b", Value::from(2)), ("a", Value::from(1))]).unwrap();
/// let names: Vec<&str> = object.iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["a", "b"]);
/// assert!(Object::from_members([("a", Value::Null), ("a", Value::Null)]).is_err());
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Object {
    // Invariant: sorted by `utf16_order`, no name twice.
    pub(super) members: Vec<(String, Value)>,
}

/// An object was to have the same member twice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the member {name:?} appears twice")]
pub struct DuplicateMember {
    /// The name in question.
    pub name: String,
}

impl Object {
    /// An object without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds an object from members in any order.
    ///
    /// # Errors
    ///
    /// When two members have the same name.
    pub fn from_members<K, I>(members: I) -> Result<Self, DuplicateMember>
    where
        K: Into<String>,
        I: IntoIterator<Item = (K, Value)>,
    {
        let mut members: Vec<(String, Value)> =
            members.into_iter().map(|(name, value)| (name.into(), value)).collect();
        members.sort_by(|a, b| utf16_order(&a.0, &b.0));
        for (first, second) in members.iter().zip(members.iter().skip(1)) {
            if first.0 == second.0 {
                return Err(DuplicateMember { name: first.0.clone() });
            }
        }
        Ok(Self { members })
    }

    /// The member called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.position(name).ok().and_then(|at| self.members.get(at)).map(|(_, value)| value)
    }

    /// Whether there is a member called `name`.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.position(name).is_ok()
    }

    /// Sets a member and returns the value that it replaced.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        let (name, value) = (name.into(), value.into());
        match self.position(&name) {
            Ok(at) => self.members.get_mut(at).map(|slot| std::mem::replace(&mut slot.1, value)),
            Err(at) => {
                self.members.insert(at, (name, value));
                None
            }
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.position(name).ok().map(|at| self.members.remove(at).1)
    }

    /// The members in canonical order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.members.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.members.binary_search_by(|(other, _)| utf16_order(other, name))
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The order of RFC 8785 section 3.2.3: names as arrays of UTF-16 code units. It differs from the
/// order of Rust strings where U+E000–FFFF meets U+10000 and above, whose surrogates sort below.
pub(crate) fn utf16_order(a: &str, b: &str) -> Ordering {
    match a.bytes().zip(b.bytes()).find(|(a, b)| a != b) {
        None => a.len().cmp(&b.len()),
        // Below U+E000, whose first byte is 0xee, bytes sort as code units do.
        Some((a, b)) if a < 0xee && b < 0xee => a.cmp(&b),
        Some(_) => a.encode_utf16().cmp(b.encode_utf16()),
    }
}
