//! Canonical bytes without a detour: records straight from their members, which stand in the order of
//! their names, with numbers as RFC 8785 writes them; and compact rows.
//!
//! A test holds them against the ledger's own canonical writer. Labels with names beyond ASCII, whose
//! order RFC 8785 takes by UTF-16, go through that writer.

use std::io::{self, Write};

use anyhow::Result;
use carbon_ops_estimate::decimal;
use carbon_ops_proof::canonical::{Value, to_canonical};
use carbon_ops_record::Record;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Writes no blanks, and numbers canonically.
struct Canonical;

impl Formatter for Canonical {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let mut text = Vec::with_capacity(24);
        if decimal::write(value, &mut text) {
            return writer.write_all(&text);
        }
        let number = Value::try_from(serde_json::Value::from(value)).map_err(io::Error::other)?;
        writer.write_all(&to_canonical(&number))
    }
}

/// Appends the canonical form of a record.
pub fn record(record: &Record, out: &mut Vec<u8>) -> Result<()> {
    if record.labels.keys().all(|key| key.is_ascii()) {
        return canonical(record, out);
    }
    let value = Value::try_from(serde_json::to_value(record)?)?;
    out.extend_from_slice(&to_canonical(&value));
    Ok(())
}

/// Appends the canonical form of what has its members in order.
pub fn canonical(value: &impl Serialize, out: &mut Vec<u8>) -> Result<()> {
    Ok(value.serialize(&mut Serializer::with_formatter(out, Canonical))?)
}

/// Appends a member with a number of nine digits at most.
pub fn number(name: &str, value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    if !decimal::write(value, out) {
        out.extend_from_slice(value.to_string().as_bytes());
    }
}

/// Appends a text as JSON.
pub fn text(text: &str, out: &mut Vec<u8>) -> Result<()> {
    let plain = text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\');
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text)?;
    }
    Ok(())
}
