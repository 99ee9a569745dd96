//! Ways between [`Value`] and `serde_json::Value`, and the number rule of ledger entries.
//!
//! Out of scope: borrowing conversions; records pass through here once.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::value::{MAX_DEPTH, MAX_SAFE_DOUBLE, Number, NumberError, Object, Value};

/// A value that has no canonical form, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at {}", shown(.pointer))]
pub struct ConvertError {
    /// JSON pointer (RFC 6901) of the value; empty for the root.
    pub pointer: String,
    /// What is wrong with it.
    pub reason: NumberError,
}

/// A number that an entry may not carry, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NumberOutOfRange {
    /// Beyond ±(2^53 − 1): such integers travel as decimal strings.
    #[error("the number at {} is beyond ±(2^53 − 1)", shown(.pointer))]
    Magnitude {
        /// JSON pointer (RFC 6901) of the number; empty for the root.
        pointer: String,
    },
    /// The value nests deeper than [`MAX_DEPTH`], so not every number was looked at.
    #[error("nested deeper than {MAX_DEPTH} levels at {}", shown(.pointer))]
    TooDeep {
        /// JSON pointer of the first value that is too deep.
        pointer: String,
    },
}

fn shown(pointer: &str) -> &str {
    if pointer.is_empty() { "the top" } else { pointer }
}

/// Refuses any number beyond ±(2^53 − 1), where doubles stop being exact for integers, and any
/// nesting that the reader would refuse.
///
/// # Errors
///
/// Names the JSON pointer of the first offender.
pub(crate) fn check_object_numbers(object: &Object) -> Result<(), NumberOutOfRange> {
    let mut path = Vec::new();
    check_members(object, &mut path)
}

/// One step of a path: only turned into text when there is something to report.
enum Step<'v> {
    Name(&'v str),
    Index(usize),
}

fn pointer(path: &[Step<'_>]) -> String {
    let mut out = String::new();
    for step in path {
        out.push('/');
        match step {
            // RFC 6901 section 3.
            Step::Name(name) => out.push_str(&name.replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => out.push_str(&index.to_string()),
        }
    }
    out
}

fn check_numbers<'v>(value: &'v Value, path: &mut Vec<Step<'v>>) -> Result<(), NumberOutOfRange> {
    match value {
        Value::Number(number) if number.as_f64().abs() > MAX_SAFE_DOUBLE => {
            Err(NumberOutOfRange::Magnitude { pointer: pointer(path) })
        }
        Value::Array(_) | Value::Object(_) if path.len() >= MAX_DEPTH => {
            Err(NumberOutOfRange::TooDeep { pointer: pointer(path) })
        }
        Value::Array(items) => items.iter().enumerate().try_for_each(|(index, item)| {
            path.push(Step::Index(index));
            check_numbers(item, path)?;
            path.pop();
            Ok(())
        }),
        Value::Object(object) => check_members(object, path),
        _ => Ok(()),
    }
}

fn check_members<'v>(object: &'v Object, path: &mut Vec<Step<'v>>) -> Result<(), NumberOutOfRange> {
    object.iter().try_for_each(|(name, member)| {
        path.push(Step::Name(name));
        check_numbers(member, path)?;
        path.pop();
        Ok(())
    })
}

impl TryFrom<serde_json::Value> for Value {
    type Error = ConvertError;

    /// Takes a parsed JSON value over. Integers beyond ±(2^53 − 1), doubles that are not finite and
    /// negative zero are refused with their JSON pointer.
    fn try_from(value: serde_json::Value) -> Result<Self, ConvertError> {
        from_json(value).map_err(|(mut steps, reason)| {
            steps.reverse();
            ConvertError { pointer: steps.concat(), reason }
        })
    }
}

/// On failure: the steps from the inside out, and what is wrong.
fn from_json(value: serde_json::Value) -> Result<Value, (Vec<String>, NumberError)> {
    let within = |step: String| {
        move |(mut steps, reason): (Vec<String>, NumberError)| {
            steps.push(step);
            (steps, reason)
        }
    };
    Ok(match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(flag) => Value::Bool(flag),
        serde_json::Value::Number(number) => {
            Value::Number(number_from_json(&number).map_err(|reason| (Vec::new(), reason))?)
        }
        serde_json::Value::String(text) => Value::String(text),
        serde_json::Value::Array(items) => Value::Array(
            items
                .into_iter()
                .enumerate()
                .map(|(index, item)| from_json(item).map_err(within(format!("/{index}"))))
                .collect::<Result<_, _>>()?,
        ),
        serde_json::Value::Object(members) => {
            let mut object = Object::new();
            for (name, member) in members {
                let step = pointer(&[Step::Name(&name)]);
                object.insert(name, from_json(member).map_err(within(step))?);
            }
            Value::Object(object)
        }
    })
}

fn number_from_json(number: &serde_json::Number) -> Result<Number, NumberError> {
    if let Some(integer) = number.as_i64() {
        Number::try_from(integer)
    } else if number.is_u64() {
        Err(NumberError::UnsafeInteger)
    } else {
        Number::new(number.as_f64().ok_or(NumberError::NotFinite)?)
    }
}

impl From<Value> for serde_json::Value {
    /// Integers within ±(2^53 − 1) become JSON integers, all other numbers doubles.
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(flag),
            Value::Number(number) => match number.as_i64() {
                Some(integer) => Self::from(integer),
                None => Self::from(number.as_f64()),
            },
            Value::String(text) => Self::String(text),
            Value::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            Value::Object(object) => Self::from(object),
        }
    }
}

impl From<Object> for serde_json::Value {
    fn from(object: Object) -> Self {
        Self::Object(object.members.into_iter().map(|(name, value)| (name, value.into())).collect())
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        serde_json::Value::from(self.clone()).serialize(to)
    }
}

impl<'d> Deserialize<'d> for Value {
    fn deserialize<D: Deserializer<'d>>(from: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(from)?.try_into().map_err(D::Error::custom)
    }
}

impl<'d> Deserialize<'d> for Object {
    fn deserialize<D: Deserializer<'d>>(from: D) -> Result<Self, D::Error> {
        match Value::deserialize(from)? {
            Value::Object(object) => Ok(object),
            _ => Err(D::Error::custom("expected an object")),
        }
    }
}
