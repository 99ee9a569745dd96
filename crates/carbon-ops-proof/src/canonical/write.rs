//! The writer: RFC 8785 section 3.2, byte for byte.
//!
//! It cannot fail, because a [`Value`] can only hold what has a canonical form.
//!
//! Out of scope: writing to a stream (a line is at most 64 KiB and is hashed, signed and written as
//! one piece).

use super::run::plain_length;
use super::value::{Number, Object, Value};

/// The canonical bytes of a value.
///
/// ```
/// use carbon_ops_proof::canonical::{parse, to_canonical};
/// let value = parse(br#"{"b": 1e2, "a": "\u00e9"}"#).unwrap();
/// assert_eq!(to_canonical(&value), r#"{"a":"é","b":100}"#.as_bytes());
/// ```
#[must_use]
pub fn to_canonical(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_value(&mut out, value);
    out
}

/// The canonical bytes of an object; as [`to_canonical`] without wrapping it in a [`Value`].
#[must_use]
pub fn object_to_canonical(object: &Object) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    write_object(&mut out, object);
    out
}

/// Appends one member: its name, a colon, its value.
pub fn write_member(out: &mut Vec<u8>, name: &str, value: &Value) {
    write_string(out, name);
    out.push(b':');
    write_value(out, value);
}

fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(out, *number),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(out, item);
            }
            out.push(b']');
        }
        Value::Object(object) => write_object(out, object),
    }
}

/// ECMAScript's `Number::toString` (RFC 8785 section 3.2.2.3).
fn write_number(out: &mut Vec<u8>, number: Number) {
    if let Some(whole) = number.as_i64() {
        out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    } else {
        out.extend_from_slice(ryu_js::Buffer::new().format_finite(number.as_f64()).as_bytes());
    }
}

fn write_object(out: &mut Vec<u8>, object: &Object) {
    out.push(b'{');
    for (index, (name, value)) in object.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_member(out, name, value);
    }
    out.push(b'}');
}

/// RFC 8785 section 3.2.2.2: the two-character escapes where they exist, `\u00xx` in lower case for
/// the other control characters, everything else as it is.
fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        // Most strings are one run of bytes that stand for themselves.
        let plain = plain_length(rest).unwrap_or(rest.len());
        let (run, escaped) = rest.split_at(plain);
        out.extend_from_slice(run);
        let Some((byte, after)) = escaped.split_first() else { break };
        rest = after;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        }
    }
    out.push(b'"');
}
