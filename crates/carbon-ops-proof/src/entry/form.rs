//! How the ledger's own records become members and are read from them.
//!
//! Rule: a record is accepted if it is, member for member, what this program would write for it, and so
//! there is one way to write each.
//!
//! Out of scope: what a record says, which each type checks.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::canonical::{Object, Value};
use crate::fault::Fault;

/// How long a note may be: a paragraph.
const MAX_NOTE_BYTES: usize = 1024;

/// The members of a record.
pub(super) fn write(record: &impl Serialize) -> Result<Object, Fault> {
    let json = serde_json::to_value(record).map_err(form)?;
    match Value::try_from(json).map_err(form)? {
        Value::Object(object) => Ok(object),
        _ => Err(Fault::NotAnObject),
    }
}

/// The record that an object is, beside members with these names, which are the ledger's.
pub(super) fn read<R>(object: &Object, beside: &[&str]) -> Result<R, Fault>
where
    R: Serialize + DeserializeOwned,
{
    let record: R = serde_json::from_value(object.clone().into()).map_err(form)?;
    same(object, &write(&record)?, beside)?;
    Ok(record)
}

fn form(error: impl std::fmt::Display) -> Fault {
    Fault::Form(error.to_string())
}

fn same(found: &Object, written: &Object, beside: &[&str]) -> Result<(), Fault> {
    for (name, value) in found.iter() {
        match (value, written.get(name)) {
            (_, None) if beside.contains(&name) => {}
            (_, None) => return Err(Fault::UnknownMember(name.to_owned())),
            (Value::Object(found), Some(Value::Object(written))) => same(found, written, &[])?,
            (_, Some(written)) if value == written => {}
            _ => return Err(Fault::Form(format!("{name} is not spelt as it is written"))),
        }
    }
    match written.iter().find(|(name, _)| !found.contains(name)) {
        Some((name, _)) => Err(Fault::Form(format!("the member {name:?} is missing"))),
        None => Ok(()),
    }
}

/// What a member must be.
pub(super) fn must(holds: bool, name: &'static str, expected: &'static str) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(Fault::Member { name, expected }) }
}

/// Checks a text for people, which must be there when the reason alone says nothing.
pub(super) fn check_note(note: Option<&String>, required: bool) -> Result<(), Fault> {
    let holds = note.map_or(!required, |note| (1..=MAX_NOTE_BYTES).contains(&note.len()));
    must(holds, "note", "a text of 1 to 1024 bytes")
}

/// Numbers of records before this one, ascending, each once.
pub(super) fn are_earlier(seqs: &[u64], seq: u64) -> bool {
    seqs.is_sorted_by(|a, b| a < b) && seqs.iter().all(|earlier| (1..seq).contains(earlier))
}

/// A value by its one text.
pub(super) mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'d, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'d>,
    {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
