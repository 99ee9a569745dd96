//! The strict reader: bytes to [`Value`], or the offset and the reason why not.
//!
//! Out of scope: recovery after an error, comments, trailing commas, and any notion of "close enough".

use super::{MAX_DEPTH, Number, NumberError, Object, Value, to_canonical, utf16_order};

/// Why some bytes are not accepted, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (byte {offset})")]
pub struct ParseError {
    /// Offset of the offending byte, from 0.
    pub offset: usize,
    /// What is wrong there.
    pub reason: Reason,
}

/// What the reader refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The bytes are not UTF-8.
    #[error("not valid UTF-8")]
    InvalidUtf8,
    /// A byte order mark (RFC 8259 section 8.1 forbids writing one).
    #[error("a byte order mark")]
    ByteOrderMark,
    /// The text ended inside a value.
    #[error("the text ends too early")]
    UnexpectedEnd,
    /// A byte that cannot stand here.
    #[error("unexpected byte 0x{0:02x}")]
    UnexpectedByte(u8),
    /// Bytes after the value.
    #[error("something follows the value")]
    TrailingBytes,
    /// A number that breaks the grammar, such as `01` or `1.`.
    #[error("not a JSON number")]
    InvalidNumber,
    /// A number so large that a double would be infinite.
    #[error("the number overflows a double")]
    NumberOverflow,
    /// `-0`, in any spelling (RFC 8785 erratum 7920).
    #[error("negative zero")]
    NegativeZero,
    /// An unescaped control character in a string.
    #[error("a control character in a string")]
    ControlCharacter,
    /// A backslash followed by something that is no escape.
    #[error("not a JSON escape")]
    InvalidEscape,
    /// Half of a surrogate pair.
    #[error("a lone surrogate")]
    LoneSurrogate,
    /// A name that the object already has.
    #[error("the member {0:?} appears twice")]
    DuplicateMember(String),
    /// Deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// Valid JSON, but not the canonical bytes; the offset is that of the first difference.
    #[error("not in canonical form")]
    NotCanonical,
}

/// Reads one JSON value that fills the whole input.
///
/// # Errors
///
/// At the first thing that is not strict JSON within the I-JSON limits; see [`Reason`].
///
/// ```
/// use carbon_ops_proof::canonical::{Reason, Value, parse};
/// assert_eq!(parse(b" [1, true] ").unwrap(), Value::Array(vec![1.into(), true.into()]));
/// let error = parse(br#"{"a":1,"a":2}"#).unwrap_err();
/// assert_eq!((error.offset, error.reason), (7, Reason::DuplicateMember("a".into())));
/// ```
pub fn parse(bytes: &[u8]) -> Result<Value, ParseError> {
    let mut reader = Reader::new(bytes)?;
    let value = reader.value(0)?;
    reader.finish()?;
    Ok(value)
}

/// Reads a value and insists that the bytes are its canonical form.
///
/// # Errors
///
/// As [`parse`], and [`Reason::NotCanonical`] with the first differing offset.
///
/// ```
/// use carbon_ops_proof::canonical::{Reason, parse_canonical};
/// assert!(parse_canonical(br#"{"a":1}"#).is_ok());
/// let error = parse_canonical(br#"{"a":1.0}"#).unwrap_err();
/// assert_eq!((error.offset, error.reason), (6, Reason::NotCanonical));
/// ```
pub fn parse_canonical(bytes: &[u8]) -> Result<Value, ParseError> {
    let value = parse(bytes)?;
    let canonical = to_canonical(&value);
    if canonical == bytes {
        return Ok(value);
    }
    let same = canonical.iter().zip(bytes).take_while(|(ours, theirs)| ours == theirs).count();
    Err(ParseError { offset: same, reason: Reason::NotCanonical })
}

/// The tokens of JSON, strictly: for readers whose values are others than [`Value`].
#[derive(Debug)]
pub struct Reader<'t> {
    text: &'t str,
    // Invariant: a character boundary of `text`, at most its length.
    at: usize,
}

impl<'t> Reader<'t> {
    /// Stands before the first value of some bytes.
    pub fn new(bytes: &'t [u8]) -> Result<Self, ParseError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|e| ParseError { offset: e.valid_up_to(), reason: Reason::InvalidUtf8 })?;
        if text.starts_with('\u{feff}') {
            return Err(ParseError { offset: 0, reason: Reason::ByteOrderMark });
        }
        let mut reader = Self { text, at: 0 };
        reader.skip_space();
        Ok(reader)
    }

    /// Insists that nothing but space follows.
    pub fn finish(mut self) -> Result<(), ParseError> {
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error(Reason::TrailingBytes)),
        }
    }

    /// What is wrong, at this place.
    pub fn error(&self, reason: Reason) -> ParseError {
        ParseError { offset: self.at, reason }
    }

    /// The next byte, which stays.
    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The byte after that.
    pub fn peek_second(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at + 1).copied()
    }

    /// What is wrong when the next byte is not the wanted one.
    pub fn unexpected(&self) -> ParseError {
        self.error(self.peek().map_or(Reason::UnexpectedEnd, Reason::UnexpectedByte))
    }

    /// Passes white space.
    pub fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Passes this byte, which has to be there.
    pub fn expect(&mut self, byte: u8) -> Result<(), ParseError> {
        if self.peek() != Some(byte) {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(())
    }

    /// `depth` is the number of arrays and objects around this value.
    fn value(&mut self, depth: usize) -> Result<Value, ParseError> {
        match self.peek() {
            Some(b'{') => self.object(depth + 1).map(Value::Object),
            Some(b'[') => self.array(depth + 1).map(Value::Array),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            _ => Err(self.unexpected()),
        }
    }

    /// Passes a word, which stands for this value.
    pub fn literal<V>(&mut self, word: &str, value: V) -> Result<V, ParseError> {
        for byte in word.bytes() {
            self.expect(byte)?;
        }
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Value>, ParseError> {
        self.enter(b'[', depth)?;
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(items);
        }
        loop {
            self.skip_space();
            items.push(self.value(depth)?);
            if self.next_or_close(b']')? {
                return Ok(items);
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Object, ParseError> {
        self.enter(b'{', depth)?;
        // Offsets are kept until duplicates have been looked for, so that the second one is named.
        let mut members: Vec<(String, Value, usize)> = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Object::new());
        }
        loop {
            self.skip_space();
            let offset = self.at;
            let name = self.string()?;
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            members.push((name, self.value(depth)?, offset));
            if self.next_or_close(b'}')? {
                return sorted(members);
            }
        }
    }

    /// Passes the bracket that opens an array or an object, the one numbered `depth` from outside, and
    /// white space behind it.
    pub fn enter(&mut self, bracket: u8, depth: usize) -> Result<(), ParseError> {
        if depth > MAX_DEPTH {
            return Err(self.error(Reason::TooDeep));
        }
        self.expect(bracket)?;
        self.skip_space();
        Ok(())
    }

    /// Passes a comma (false) or the closing bracket (true).
    pub fn next_or_close(&mut self, close: u8) -> Result<bool, ParseError> {
        self.skip_space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(true);
        }
        self.expect(b',')?;
        Ok(false)
    }

    fn number(&mut self) -> Result<Number, ParseError> {
        let start = self.at;
        // The standard library rounds correctly (to the nearest double, ties to even), which
        // RFC 8785 section 3.2.2.3 builds on.
        let double: f64 = self
            .number_text()?
            .parse()
            .map_err(|_| ParseError { offset: start, reason: Reason::InvalidNumber })?;
        Number::new(double).map_err(|why| ParseError {
            offset: start,
            reason: match why {
                NumberError::NegativeZero => Reason::NegativeZero,
                _ => Reason::NumberOverflow,
            },
        })
    }

    /// The text of a number, by the grammar of RFC 8259 section 6.
    pub fn number_text(&mut self) -> Result<&'t str, ParseError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if self.peek().is_some_and(|b| b.is_ascii_digit()) {
                return Err(self.error(Reason::InvalidNumber));
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), ParseError> {
        if !self.peek().is_some_and(|b| b.is_ascii_digit()) {
            return Err(self.error(match self.peek() {
                None => Reason::UnexpectedEnd,
                Some(_) => Reason::InvalidNumber,
            }));
        }
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    /// Passes a text in its quotes, and resolves its escapes.
    pub fn string(&mut self) -> Result<String, ParseError> {
        self.expect(b'"')?;
        let mut out = String::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest
                .bytes()
                .position(|b| b == b'"' || b == b'\\' || b < 0x20)
                .unwrap_or(rest.len());
            out.push_str(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return Err(self.error(Reason::ControlCharacter)),
                None => return Err(self.error(Reason::UnexpectedEnd)),
            }
        }
    }

    fn escape(&mut self) -> Result<char, ParseError> {
        let start = self.at;
        let fail = |reason| Err(ParseError { offset: start, reason });
        self.at += 1;
        let Some(kind) = self.peek() else { return Err(self.error(Reason::UnexpectedEnd)) };
        let plain = match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                let Some(unit) = self.four_hex() else { return fail(Reason::InvalidEscape) };
                return match self.finish_unicode(unit) {
                    Some(character) => Ok(character),
                    None => fail(Reason::LoneSurrogate),
                };
            }
            _ => return fail(Reason::InvalidEscape),
        };
        self.at += 1;
        Ok(plain)
    }

    /// The character of a UTF-16 unit, with the second half that must follow a high surrogate.
    fn finish_unicode(&mut self, unit: u16) -> Option<char> {
        if !(0xd800..0xdc00).contains(&unit) {
            // None for a low surrogate without its high one.
            return char::from_u32(u32::from(unit));
        }
        if !self.text.get(self.at..)?.starts_with("\\u") {
            return None;
        }
        self.at += 2;
        let low = self.four_hex()?;
        char::decode_utf16([unit, low]).next()?.ok()
    }

    fn four_hex(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 4)?;
        // No sign, which the standard library would take.
        let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.at += 4;
        u16::from_str_radix(digits, 16).ok().filter(|_| hex)
    }
}

/// Puts members in canonical order and refuses a repeated name.
fn sorted(mut members: Vec<(String, Value, usize)>) -> Result<Object, ParseError> {
    // Stable, so that of two equal names the one that came second stands second.
    members.sort_by(|a, b| utf16_order(&a.0, &b.0));
    for (first, second) in members.iter().zip(members.iter().skip(1)) {
        if first.0 == second.0 {
            return Err(ParseError {
                offset: second.2,
                reason: Reason::DuplicateMember(second.0.clone()),
            });
        }
    }
    Ok(Object { members: members.into_iter().map(|(name, value, _)| (name, value)).collect() })
}
