//! JSON as Python's `json.loads` reads it: integers of any size beside doubles, members in the order
//! of the text, and what a strict reader would refuse taken in and named.
//!
//! Out of scope: everything that Python refuses too, and lone surrogates and nesting beyond
//! [`MAX_DEPTH`](carbon_ops_proof::canonical::MAX_DEPTH), which it reads but cannot write or hardly.

use std::collections::BTreeMap;

use carbon_ops_proof::canonical::{ParseError, Reader, Reason};

/// A value of version 0.1.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer of any size, as its decimal digits with `-` before them where it is negative.
    Integer(String),
    /// A double, which Python writes with a `.` or an exponent. May be NaN or infinite.
    Float(f64),
    /// Text.
    String(String),
    /// Values in order.
    Array(Vec<Value>),
    /// Members in the order of the text, each name once.
    Object(Members),
}

/// The members of an object in the order of the text, each name once.
pub type Members = Vec<(String, Value)>;

/// What a strict reader refuses and Python's does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Oddity {
    /// A name that the object already had; Python keeps the last value.
    Duplicate(String),
    /// `NaN`, `Infinity` or a number that overflows a double.
    NonFinite,
}

/// Reads one value that fills the whole input, as Python does.
pub(super) fn parse(bytes: &[u8]) -> Result<(Value, Vec<Oddity>), ParseError> {
    let mut parser = Parser { reader: Reader::new(bytes)?, oddities: Vec::new() };
    let value = parser.value(0)?;
    parser.reader.finish()?;
    Ok((value, parser.oddities))
}

struct Parser<'t> {
    reader: Reader<'t>,
    /// At most one of each kind: a report needs no more, and memory stays bounded.
    oddities: Vec<Oddity>,
}

impl Parser<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, ParseError> {
        let reader = &mut self.reader;
        match reader.peek() {
            Some(b'{') => self.object(depth + 1).map(Value::Object),
            Some(b'[') => self.array(depth + 1).map(Value::Array),
            Some(b'"') => reader.string().map(|text| Value::String(text.into_owned())),
            Some(b't') => reader.literal("true", Value::Bool(true)),
            Some(b'f') => reader.literal("false", Value::Bool(false)),
            Some(b'n') => reader.literal("null", Value::Null),
            Some(b'N') => self.non_finite("NaN", f64::NAN),
            Some(b'I') => self.non_finite("Infinity", f64::INFINITY),
            Some(b'-') if reader.peek_second() == Some(b'I') => {
                self.non_finite("-Infinity", f64::NEG_INFINITY)
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(reader.unexpected()),
        }
    }

    fn non_finite(&mut self, word: &str, double: f64) -> Result<Value, ParseError> {
        self.reader.literal(word, ())?;
        self.note(Oddity::NonFinite);
        Ok(Value::Float(double))
    }

    /// Python takes a number with `.` or an exponent as a double and any other as an integer.
    fn number(&mut self) -> Result<Value, ParseError> {
        let text = self.reader.number_text()?;
        if !text.contains(['.', 'e', 'E']) {
            // There is no negative zero among integers.
            return Ok(Value::Integer(if text == "-0" { "0" } else { text }.to_owned()));
        }
        let double: f64 = text.parse().map_err(|_| self.reader.error(Reason::InvalidNumber))?;
        if !double.is_finite() {
            self.note(Oddity::NonFinite);
        }
        Ok(Value::Float(double))
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Value>, ParseError> {
        self.reader.enter(b'[', depth)?;
        let mut items = Vec::new();
        if self.reader.peek() == Some(b']') {
            self.reader.expect(b']')?;
            return Ok(items);
        }
        loop {
            self.reader.skip_space();
            items.push(self.value(depth)?);
            if self.reader.next_or_close(b']')? {
                return Ok(items);
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Members, ParseError> {
        self.reader.enter(b'{', depth)?;
        let mut members = Members::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        if self.reader.peek() == Some(b'}') {
            self.reader.expect(b'}')?;
            return Ok(members);
        }
        loop {
            self.reader.skip_space();
            let name = self.reader.string()?.into_owned();
            self.reader.skip_space();
            self.reader.expect(b':')?;
            self.reader.skip_space();
            let value = self.value(depth)?;
            // As in a Python dict: the place of the first, the value of the last.
            if let Some(member) = places.get(&name).and_then(|place| members.get_mut(*place)) {
                member.1 = value;
                self.note(Oddity::Duplicate(name));
            } else {
                places.insert(name.clone(), members.len());
                members.push((name, value));
            }
            if self.reader.next_or_close(b'}')? {
                return Ok(members);
            }
        }
    }

    fn note(&mut self, oddity: Oddity) {
        let kind = std::mem::discriminant(&oddity);
        if !self.oddities.iter().any(|known| std::mem::discriminant(known) == kind) {
            self.oddities.push(oddity);
        }
    }
}
