//! Values as Python's `json.dumps` writes them, byte for byte: the form of the lines, the form that
//! is signed and the form that is hashed.
//!
//! Out of scope: every other setting of `json.dumps`.

use super::value::{Members, Value};

/// A setting of `json.dumps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `json.dumps(value)`: a line of the ledger.
    Line,
    /// `sort_keys=True, separators=(",", ":"), ensure_ascii=False`: the bytes that are signed.
    Signed,
    /// The same with `ensure_ascii=True`: the bytes that `prev_hash` is the SHA-256 of.
    Hashed,
}

/// The text of an object's members but for those named in `omitted`.
pub(super) fn dumps(members: &Members, omitted: &[&str], form: Form) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    write_object(&mut out, members, omitted, form);
    out
}

fn write_value(out: &mut Vec<u8>, value: &Value, form: Form) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Integer(digits) => out.extend_from_slice(digits.as_bytes()),
        Value::Float(double) => out.extend_from_slice(float_repr(*double).as_bytes()),
        Value::String(text) => write_string(out, text, form),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(separators(form).0);
                }
                write_value(out, item, form);
            }
            out.push(b']');
        }
        Value::Object(members) => write_object(out, members, &[], form),
    }
}

fn write_object(out: &mut Vec<u8>, members: &Members, omitted: &[&str], form: Form) {
    let mut members: Vec<&(String, Value)> =
        members.iter().filter(|(name, _)| !omitted.contains(&name.as_str())).collect();
    if form != Form::Line {
        // Python sorts text by code points, which is the order of its UTF-8 bytes.
        members.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let (comma, colon) = separators(form);
    out.push(b'{');
    for (index, (name, value)) in members.into_iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(comma);
        }
        write_string(out, name, form);
        out.extend_from_slice(colon);
        write_value(out, value, form);
    }
    out.push(b'}');
}

fn separators(form: Form) -> (&'static [u8], &'static [u8]) {
    if form == Form::Line { (b", ", b": ") } else { (b",", b":") }
}

/// CPython 3.12, `Lib/json/encoder.py`, `ESCAPE`, `ESCAPE_ASCII` and `ESCAPE_DCT`: with
/// `ensure_ascii` all that is not between a space and `~` is escaped, DEL included; without, only
/// what JSON insists on.
fn write_string(out: &mut Vec<u8>, text: &str, form: Form) {
    let ascii = form != Form::Signed;
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '\r' => out.extend_from_slice(b"\\r"),
            ' '..='~' => out.extend(u8::try_from(character)),
            _ if character < ' ' || ascii => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                }
            }
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

/// `float.__repr__`: the shortest digits that give the double back, in CPython's layout, which has
/// an exponent, of two digits at least, below 1e-4 and from 1e16 on (CPython 3.12,
/// `Python/pystrtod.c`, `format_float_short` with format code `r`); and `json.dumps`'s words for
/// what is not finite.
pub(super) fn float_repr(double: f64) -> String {
    if double.is_nan() {
        return "NaN".to_owned();
    }
    if double.is_infinite() {
        return if double > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let (digits, exponent) = shortest_digits(double.abs());
    let minus = if double.is_sign_negative() { "-" } else { "" };
    let (first, rest) = digits.split_at(1);
    if !(-4..16).contains(&exponent) {
        let point = if rest.is_empty() { "" } else { "." };
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{minus}{first}{point}{rest}e{sign}{:02}", exponent.unsigned_abs());
    }
    let Ok(whole) = usize::try_from(exponent) else {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or_default());
        return format!("{minus}0.{zeros}{digits}");
    };
    let padded = format!("{digits:0<width$}", width = whole + 2);
    let (before, after) = padded.split_at(whole + 1);
    format!("{minus}{before}.{after}")
}

/// The shortest digits, without zeros at their end, and the power of ten of the first one. Where
/// two of that length are equally near, CPython takes the even one, and so does `ryu`; the standard
/// library does not (24209776726088.8125).
fn shortest_digits(double: f64) -> (String, i32) {
    let mut buffer = ryu_js::Buffer::new();
    let text = buffer.format_finite(double);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{before}{after}");
    let digits = all.trim_start_matches('0');
    let zeros = all.len() - digits.len();
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        return ("0".to_owned(), 0);
    }
    // Of a double's text both are below 400.
    let place = |n: usize| i32::try_from(n).unwrap_or_default();
    (digits.to_owned(), exponent + place(before.len()) - 1 - place(zeros))
}
