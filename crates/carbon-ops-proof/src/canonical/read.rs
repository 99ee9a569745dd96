//! The strict reader: bytes to values, or the offset and the reason why not; and in the same pass whether the
//! bytes are the canonical ones, so that those need not be written again to be compared.
//!
//! What makes it quick on canonical bytes is that nearly every string and number is known to be one by a look,
//! and that it builds no more than is asked for.
//!
//! Out of scope: recovery after an error, comments, trailing commas, and any notion of "close enough".

use std::borrow::Cow;
use std::cmp::Ordering;

use super::run::plain_length;
use super::value::{MAX_DEPTH, MAX_SAFE_DOUBLE, Number, NumberError, Object, Value, utf16_order};
use super::write::to_canonical;

/// Texts of so many digits mean different doubles if they are different numbers (`DBL_DIG` of IEEE 754
/// binary64): the shortest text for the double is the one that is there, less its needless zeros. A
/// whole number of so many digits is below 2^53.
const PLAIN_DIGITS: usize = 15;

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
    /// A number so small that a double would be zero, which it is not.
    #[error("the number underflows a double")]
    NumberUnderflow,
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
    whole(bytes).map(|(value, _)| value)
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
    let (value, canonical) = whole(bytes)?;
    if canonical {
        return Ok(value);
    }
    let canonical = to_canonical(&value);
    let same = canonical.iter().zip(bytes).take_while(|(ours, theirs)| ours == theirs).count();
    Err(ParseError { offset: same, reason: Reason::NotCanonical })
}

/// A value that fills all bytes, and whether they are its canonical form.
fn whole(bytes: &[u8]) -> Result<(Value, bool), ParseError> {
    let mut reader = Reader::new(bytes)?;
    let value = reader.value::<Tree>(0)?;
    reader.skip_space();
    let canonical = reader.canonical;
    reader.finish()?;
    Ok((value, canonical))
}

/// What an object in canonical form consists of.
#[derive(Debug, PartialEq)]
pub(crate) struct Outline<'t> {
    /// All of it.
    pub(crate) text: &'t str,
    /// The offsets at which its members begin.
    pub(crate) starts: Vec<usize>,
    /// Whether a number in it, at any depth, is beyond ±(2^53 − 1).
    pub(crate) number_out_of_range: bool,
}

/// Reads the canonical bytes of an object; none for anything else.
pub(crate) fn canonical_object(bytes: &[u8]) -> Option<(Object, Outline<'_>)> {
    outlined::<Tree>(bytes)
}

/// As [`canonical_object`], without making the object.
pub(crate) fn canonical_outline(bytes: &[u8]) -> Option<Outline<'_>> {
    outlined::<Nothing>(bytes).map(|(_, outline)| outline)
}

fn outlined<'t, B: Build<'t>>(bytes: &'t [u8]) -> Option<(B::Object, Outline<'t>)> {
    let mut reader = Reader::new(bytes).ok()?;
    let (object, starts) = reader.object::<B>(1).ok()?;
    let Reader { text, at, canonical, number_out_of_range } = reader;
    let whole = canonical && at == text.len();
    whole.then_some((object, Outline { text, starts, number_out_of_range }))
}

/// What is made of what is read.
trait Build<'t> {
    type Value;
    type Object: Default;
    /// Whether it needs to know where the members of every object begin.
    const PLACES: bool;

    /// Adds a member; false when its name does not stand after the one before.
    fn name(object: &mut Self::Object, name: Cow<'t, str>) -> bool;
    /// The value of the last member.
    fn member(object: &mut Self::Object, value: Self::Value);
    /// Puts members that did not come in order into it.
    fn sort(object: &mut Self::Object, places: &[usize]) -> Result<(), ParseError>;
    fn object(object: Self::Object) -> Self::Value;
    fn array(items: Vec<Self::Value>) -> Self::Value;
    fn string(text: Cow<'t, str>) -> Self::Value;
    /// A number by its text, which is one.
    fn number(text: &str) -> Self::Value;
    fn scalar(value: Value) -> Self::Value;
}

/// Values.
struct Tree;

impl<'t> Build<'t> for Tree {
    type Value = Value;
    type Object = Object;
    const PLACES: bool = true;

    fn name(object: &mut Object, name: Cow<'t, str>) -> bool {
        let ascends = |(last, _): &(String, Value)| utf16_order(last, &name) == Ordering::Less;
        let ascends = object.members.last().is_none_or(ascends);
        object.members.push((name.into_owned(), Value::Null));
        ascends
    }

    fn member(object: &mut Object, value: Value) {
        if let Some((_, member)) = object.members.last_mut() {
            *member = value;
        }
    }

    fn sort(object: &mut Object, places: &[usize]) -> Result<(), ParseError> {
        let members = std::mem::take(&mut object.members);
        let mut members: Vec<_> = members.into_iter().zip(places).collect();
        // Stable, so that of two equal names the one that came second stands second.
        members.sort_by(|((a, _), _), ((b, _), _)| utf16_order(a, b));
        for (((first, _), _), ((second, _), at)) in members.iter().zip(members.iter().skip(1)) {
            if first == second {
                let reason = Reason::DuplicateMember(second.clone());
                return Err(ParseError { offset: **at, reason });
            }
        }
        object.members = members.into_iter().map(|(member, _)| member).collect();
        Ok(())
    }

    fn object(object: Object) -> Value {
        Value::Object(object)
    }

    fn array(items: Vec<Value>) -> Value {
        Value::Array(items)
    }

    fn string(text: Cow<'t, str>) -> Value {
        Value::String(text.into_owned())
    }

    fn number(text: &str) -> Value {
        let whole = text.len() <= PLAIN_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if whole {
            let digit = |number: i64, byte: u8| number * 10 + i64::from(byte - b'0');
            Number::try_from(text.bytes().fold(0, digit))
        } else {
            Number::new(text.parse().unwrap_or(f64::NAN))
        };
        number.map_or(Value::Null, Value::Number)
    }

    fn scalar(value: Value) -> Value {
        value
    }
}

/// Nothing: only the form is of interest.
struct Nothing;

impl<'t> Build<'t> for Nothing {
    type Value = ();
    /// The name of the last member.
    type Object = Option<Cow<'t, str>>;
    const PLACES: bool = false;

    fn name(last: &mut Self::Object, name: Cow<'t, str>) -> bool {
        let ascends = last.as_ref().is_none_or(|last| utf16_order(last, &name) == Ordering::Less);
        *last = Some(name);
        ascends
    }

    fn member(_: &mut Self::Object, (): ()) {}

    fn sort(_: &mut Self::Object, _: &[usize]) -> Result<(), ParseError> {
        Ok(())
    }

    fn object(_: Self::Object) {}

    fn array(_: Vec<()>) {}

    fn string(_: Cow<'t, str>) {}

    fn number(_: &str) {}

    fn scalar(_: Value) {}
}

/// The tokens of JSON, strictly: for readers whose values are others than [`Value`].
#[derive(Debug)]
pub struct Reader<'t> {
    text: &'t str,
    // Invariant: a character boundary of `text`, at most its length.
    at: usize,
    /// Whether all that was read is spelt canonically.
    canonical: bool,
    number_out_of_range: bool,
}

impl<'t> Reader<'t> {
    /// Stands before the first value of some bytes.
    pub fn new(bytes: &'t [u8]) -> Result<Self, ParseError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|e| ParseError { offset: e.valid_up_to(), reason: Reason::InvalidUtf8 })?;
        if text.starts_with('\u{feff}') {
            return Err(ParseError { offset: 0, reason: Reason::ByteOrderMark });
        }
        let mut reader = Self { text, at: 0, canonical: true, number_out_of_range: false };
        reader.skip_space();
        Ok(reader)
    }

    /// Stands before a value within text that was read already.
    pub(super) fn at(text: &'t str, at: usize) -> Self {
        Self { text, at, canonical: true, number_out_of_range: false }
    }

    /// How far it has come.
    pub(super) fn place(&self) -> usize {
        self.at
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
            self.canonical = false;
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
    fn value<B: Build<'t>>(&mut self, depth: usize) -> Result<B::Value, ParseError> {
        match self.peek() {
            Some(b'"') => self.string().map(B::string),
            Some(b'-' | b'0'..=b'9') => self.number().map(B::number),
            Some(b'{') => self.object::<B>(depth + 1).map(|(object, _)| B::object(object)),
            Some(b'[') => self.array::<B>(depth + 1).map(B::array),
            Some(b't') => self.literal("true", Value::Bool(true)).map(B::scalar),
            Some(b'f') => self.literal("false", Value::Bool(false)).map(B::scalar),
            Some(b'n') => self.literal("null", Value::Null).map(B::scalar),
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

    fn array<B: Build<'t>>(&mut self, depth: usize) -> Result<Vec<B::Value>, ParseError> {
        self.enter(b'[', depth)?;
        let mut items = Vec::new();
        if self.pass(b']') {
            return Ok(items);
        }
        loop {
            self.skip_space();
            items.push(self.value::<B>(depth)?);
            if self.next_or_close(b']')? {
                return Ok(items);
            }
        }
    }

    /// An object, and where its members begin if that is of interest: always for the outermost.
    fn object<B: Build<'t>>(
        &mut self,
        depth: usize,
    ) -> Result<(B::Object, Vec<usize>), ParseError> {
        self.enter(b'{', depth)?;
        let placed = B::PLACES || depth == 1;
        let (mut object, mut ascends) = (B::Object::default(), true);
        let mut places = Vec::with_capacity(if depth == 1 { 64 } else { 0 });
        if self.pass(b'}') {
            return Ok((object, places));
        }
        loop {
            self.skip_space();
            if placed {
                places.push(self.at);
            }
            ascends &= B::name(&mut object, self.string()?);
            self.skip_space();
            self.expect(b':')?;
            self.skip_space();
            let value = self.value::<B>(depth)?;
            B::member(&mut object, value);
            if self.next_or_close(b'}')? {
                break;
            }
        }
        // Ascending, and so none twice.
        if !ascends {
            self.canonical = false;
            B::sort(&mut object, &places)?;
        }
        Ok((object, places))
    }

    /// Passes this byte, if it is the next one.
    fn pass(&mut self, byte: u8) -> bool {
        let passes = self.peek() == Some(byte);
        self.at += usize::from(passes);
        passes
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
        if self.pass(close) {
            return Ok(true);
        }
        self.expect(b',')?;
        Ok(false)
    }

    /// The text of a number that a double can hold.
    fn number(&mut self) -> Result<&'t str, ParseError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if let Some(length) = plain_number(rest.as_bytes()) {
            self.at += length;
            return Ok(rest.get(..length).unwrap_or_default());
        }
        let start = self.at;
        let text = self.number_text()?;
        let refuse = |reason| Err(ParseError { offset: start, reason });
        // The standard library rounds correctly (to the nearest double, ties to even), which
        // RFC 8785 section 3.2.2.3 builds on.
        let double = match Number::new(text.parse().unwrap_or(f64::NAN)) {
            Ok(number) => number.as_f64(),
            Err(NumberError::NegativeZero) => return refuse(Reason::NegativeZero),
            Err(_) => return refuse(Reason::NumberOverflow),
        };
        let digits = text.split(['e', 'E']).next().unwrap_or_default();
        if double == 0.0 && digits.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) {
            return refuse(Reason::NumberUnderflow);
        }
        self.number_out_of_range |= double.abs() > MAX_SAFE_DOUBLE;
        self.canonical &= ryu_js::Buffer::new().format_finite(double) == text;
        Ok(text)
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
    #[inline]
    pub fn string(&mut self) -> Result<Cow<'t, str>, ParseError> {
        self.expect(b'"')?;
        let bytes = self.text.as_bytes();
        let length = bytes.get(self.at..).and_then(plain_length);
        if let Some(end) = length.map(|length| self.at + length)
            && bytes.get(end) == Some(&b'"')
        {
            // Nearly always.
            let run = self.text.get(self.at..end).unwrap_or_default();
            self.at = end + 1;
            return Ok(Cow::Borrowed(run));
        }
        self.escaped_string()
    }

    #[cold]
    fn escaped_string(&mut self) -> Result<Cow<'t, str>, ParseError> {
        let mut out = self.run().to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(out));
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return Err(self.error(Reason::ControlCharacter)),
                None => return Err(self.error(Reason::UnexpectedEnd)),
            }
            out.push_str(self.run());
        }
    }

    /// What stands for itself, up to a quote, a backslash, a control character or the end.
    fn run(&mut self) -> &'t str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = plain_length(rest.as_bytes()).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn escape(&mut self) -> Result<char, ParseError> {
        let start = self.at;
        let fail = |reason| Err(ParseError { offset: start, reason });
        self.at += 1;
        let Some(kind) = self.peek() else { return Err(self.error(Reason::UnexpectedEnd)) };
        self.at += 1;
        // RFC 8785 section 3.2.2.2: these where they exist, but for the slash, and no other spelling.
        Ok(match kind {
            b'"' | b'\\' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'/' => {
                self.canonical = false;
                '/'
            }
            b'u' => {
                let Some(unit) = self.four_hex() else { return fail(Reason::InvalidEscape) };
                let spelling = self.text.get(start..self.at).unwrap_or_default();
                let short = matches!(unit, 0x8 | 0x9 | 0xa | 0xc | 0xd);
                self.canonical &= unit < 0x20 && !short && spelling == format!("\\u{unit:04x}");
                let Some(character) = self.finish_unicode(unit) else {
                    return fail(Reason::LoneSurrogate);
                };
                character
            }
            _ => return fail(Reason::InvalidEscape),
        })
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

pub(super) fn is_part_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// How long the number is that stands there, if it has few digits and a look at them is enough to see
/// that it is canonical (ECMA-262, section 6.1.6.1.20): a whole one; a fraction from 0.000001 as it is; a
/// smaller one with an exponent, of two digits at most so that it is a normal double.
fn plain_number(bytes: &[u8]) -> Option<usize> {
    let at = |index: usize| bytes.get(index).copied().unwrap_or_default();
    let digits = |from: usize| {
        let text = bytes.get(from..).unwrap_or_default();
        text.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let first = usize::from(at(0) == b'-');
    let whole = digits(first);
    let mut end = first + whole;
    let mut fraction = 0;
    if at(end) == b'.' {
        fraction = digits(end + 1);
        end += 1 + fraction;
        // A last zero says nothing; without digits, the point is the last.
        if matches!(at(end - 1), b'0' | b'.') {
            return None;
        }
    }
    let zero = at(first) == b'0';
    let as_it_is = if at(end) == b'e' {
        let (exponent, digit) = (digits(end + 2), at(end + 2));
        let small = match exponent {
            1 => digit >= b'7',
            2 => digit != b'0',
            _ => false,
        };
        if at(end + 1) != b'-' || !small {
            return None;
        }
        end += 2 + exponent;
        whole == 1 && !zero
    } else if zero {
        // Not -0, and nothing below 0.000001.
        let tiny = || bytes.get(first + 2..).is_some_and(|text| text.starts_with(b"000000"));
        whole == 1 && if fraction == 0 { first == 0 } else { !tiny() }
    } else {
        whole > 0
    };
    (as_it_is && whole + fraction <= PLAIN_DIGITS && !is_part_of_number(at(end))).then_some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::check_object_numbers;
    use super::*;

    /// Canonical bytes are those that the writer makes of what they say, and no others.
    fn agree(bytes: &[u8]) {
        let value = parse(bytes).ok().filter(|value| to_canonical(value) == bytes);
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(parse_canonical(bytes).ok(), value, "{text}");
        let written = value.and_then(|value| value.as_object().cloned());
        let (object, outline) = canonical_object(bytes).unzip();
        assert_eq!(object, written, "{text}");
        assert_eq!(canonical_outline(bytes), outline);
        let (Some(object), Some(outline)) = (object, outline) else { return };
        let in_range = check_object_numbers(&object).is_ok();
        assert_eq!(outline.number_out_of_range, !in_range);
        assert_eq!(outline.starts.len(), object.len());
        let ends = outline.starts.iter().skip(1).copied().chain([bytes.len()]);
        for ((start, end), (name, value)) in outline.starts.iter().zip(ends).zip(object.iter()) {
            let name = to_canonical(&name.into());
            let text = bytes[*start..end - 1].strip_prefix(&name[..]).unwrap();
            assert_eq!(parse_canonical(&text[1..]).as_ref(), Ok(value));
        }
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof!["[a-c]{0,2}", "\\PC{0,3}", "[\\x00-\\x22\\\\\u{e000}😀\u{7f}\u{2028}]{0,4}"]
    }

    fn value() -> impl Strategy<Value = Value> {
        let number = prop_oneof![
            any::<f64>(),
            (any::<i32>(), 0..40_i32).prop_map(|(n, e)| f64::from(n) * 2_f64.powi(e)),
            (-1000_i32..1000).prop_map(f64::from),
            (-1000_i32..1000).prop_map(|n| f64::from(n) / 64.0),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number.prop_filter_map("a number", |n| Number::new(n).ok().map(Value::from)),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                object_of(inner).prop_map(Value::from),
            ]
        })
    }

    fn object_of(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Object> {
        prop::collection::btree_map(text(), inner, 0..4)
            .prop_map(|members| Object::from_members(members).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn bytes_are_taken_for_canonical_where_the_writer_makes_them_and_nowhere_near(
            object in object_of(value()),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 64),
            insert in prop::sample::select(vec![
                " ", "0", "-", "-0", "\\u0008", "\\u000B", "\\u001F", "\\/", ",", "}", "e1", ".0",
                "1e2", "+", "\\u00e9", "\"a\":1,", "\u{0}", "00", "E5", "inf", "NaN", "1e400",
            ]),
        ) {
            let bytes = to_canonical(&object.into());
            agree(&bytes);
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                let mut changed = bytes.clone();
                changed[at] = byte;
                agree(&changed);
                let mut longer = bytes.clone();
                longer.splice(at..at, insert.bytes());
                agree(&longer);
                let mut shorter = bytes.clone();
                shorter.remove(at);
                agree(&shorter);
            }
        }
    }

    #[test]
    fn numbers_and_depths_are_taken_for_canonical_where_the_writer_makes_them() {
        const NUMBERS: &str = "\
            0 -0 00 01 -1 1.0 1.5 -1.5 1e2 1e21 1e+21 1E21 100 1e-7 0.000001 1e-07 \
            123456789012345 1234567890123456 9007199254740993 99999999999999990000 +1 .5 5. inf \
            nan Infinity 1e999 - 5e-324 4.9e-324 1.7976931348623157e+308 0.1e1 1-1 -1.5e-7 \
            1.5e-6 1.5e-07 1.5e-7 1.5e-10 1.5e-1 1.50e-10 0.5e-10 10.5e-10 1.5e-99 1.5e-100 \
            1.5e- 1.e-10 .5e-10 1.5e-+9 1.5.5 -.5 --1.5 1.-5 01.5 0.0 -0.0 0.10 0.00001 0.000001 \
            0.0000001 0.0000011 -0.0000011 1234567.1234567 12345678.1234567 0.1234567890123 \
            0.12345678901234 0.30000000000000004";
        for number in NUMBERS.split_whitespace().chain([""]) {
            agree(format!("{{\"a\":{number}}}").as_bytes());
        }
        for depth in [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1] {
            let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
            agree(format!("{{\"a\":{open}{close}}}").as_bytes());
            agree(format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)).as_bytes());
        }
    }

    /// Against the formatter, on all texts of up to seven of the characters that matter.
    #[test]
    fn what_a_look_takes_for_a_canonical_number_is_one() {
        const CHARACTERS: &[u8; 8] = b"0179.-+e";
        let (mut plain, mut buffer) = (0, ryu_js::Buffer::new());
        for length in 1..=7_u32 {
            for which in 0..8_usize.pow(length) {
                let text: Vec<u8> =
                    (0..length).map(|at| CHARACTERS[(which >> (3 * at)) % 8]).collect();
                if plain_number(&text) == Some(text.len()) {
                    let text = std::str::from_utf8(&text).unwrap();
                    assert_eq!(buffer.format_finite(text.parse::<f64>().unwrap()), text);
                    plain += 1;
                }
            }
        }
        // Of whole numbers alone there are 4 of one digit, and 3 times 4^(n - 1) of n.
        assert!(plain > 4_u32.pow(7), "{plain}");
    }

    #[test]
    fn broken_and_unsorted_texts_are_not_taken_for_canonical() {
        for bytes in [
            &b""[..],
            b"{",
            b"{}",
            b"{} ",
            b" {}",
            b"[]",
            b"1",
            b"{\"a\":1,}",
            b"{,}",
            b"{\"b\":1,\"a\":2}",
            b"{\"a\":1,\"a\":1}",
            b"\xef\xbb\xbf{}",
            b"{\"\xff\":1}",
            b"{\"a\":\"\xed\xa0\x80\"}",
            b"{\"a\":tru}",
            b"{\"a\":truee}",
            b"{\"a\"}",
            b"{\"a\":\"\\ud83d\\ude00\"}",
            b"{\"\\ud800\":1}",
            b"{\"a\":\"\\u00",
            b"{\"a\":\"\\u+01f\"}",
            b"{\"a\":\"",
        ] {
            agree(bytes);
        }
        let sorted_by_code_unit = "{\"\u{1f600}\":1,\"\u{e000}\":2}".as_bytes();
        agree(sorted_by_code_unit);
        assert!(canonical_object(sorted_by_code_unit).is_some());
        let sorted_by_code_point = "{\"\u{e000}\":2,\"\u{1f600}\":1}".as_bytes();
        agree(sorted_by_code_point);
    }
}
