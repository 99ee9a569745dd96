//! The quick way in: reads bytes that are canonical already, in one pass, without writing them again.
//!
//! It accepts exactly what [`parse_canonical`](super::parse_canonical) accepts, and gives no reason
//! for the rest: whoever wants one asks there. What makes it quick is that canonical text leaves no
//! choice: no space, members in ascending order, one spelling for each string and number; and that
//! it builds no more than is asked for.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{MAX_DEPTH, MAX_SAFE_DOUBLE, Number, Object, Value, utf16_order};

/// Texts of so many digits mean different doubles if they are different numbers (`DBL_DIG` of IEEE 754
/// binary64): the shortest text for the double is the one that is there, less its needless zeros. A
/// whole number of so many digits is below 2^53.
const PLAIN_DIGITS: usize = 15;

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
    read::<Tree>(bytes)
}

/// As [`canonical_object`], without making the object.
pub(crate) fn canonical_outline(bytes: &[u8]) -> Option<Outline<'_>> {
    read::<Nothing>(bytes).map(|(_, outline)| outline)
}

/// Reads the canonical bytes of a value; none for anything else.
pub(crate) fn canonical_value(bytes: &[u8]) -> Option<Value> {
    let mut direct = Direct::new(bytes)?;
    let value = direct.value::<Tree>(0)?;
    (direct.at == bytes.len()).then_some(value)
}

fn read<'t, B: Build<'t>>(bytes: &'t [u8]) -> Option<(B::Object, Outline<'t>)> {
    let mut direct = Direct::new(bytes)?;
    let mut starts = Vec::with_capacity(64);
    let object = direct.object::<B>(1, &mut |start| starts.push(start))?;
    let Direct { text, at, number_out_of_range } = direct;
    (at == text.len()).then_some((object, Outline { text, starts, number_out_of_range }))
}

/// What is made of what is read.
trait Build<'t> {
    type Value;
    type Object;

    fn no_members() -> Self::Object;
    /// Adds a member; false when its name does not stand after the one before.
    fn member(object: &mut Self::Object, name: Cow<'t, str>) -> bool;
    fn member_value(object: &mut Self::Object, value: Self::Value);
    fn object(object: Self::Object) -> Self::Value;
    fn array(items: Vec<Self::Value>) -> Self::Value;
    fn string(text: Cow<'t, str>) -> Self::Value;
    /// A number by its canonical text.
    fn number(text: &str) -> Option<Self::Value>;
    fn scalar(value: Value) -> Self::Value;
}

/// Values.
struct Tree;

impl<'t> Build<'t> for Tree {
    type Value = Value;
    type Object = Object;

    fn no_members() -> Object {
        Object { members: Vec::new() }
    }

    fn member(object: &mut Object, name: Cow<'t, str>) -> bool {
        let ascends = |(last, _): &(String, Value)| utf16_order(last, &name) == Ordering::Less;
        let ascends = object.members.last().is_none_or(ascends);
        object.members.push((name.into_owned(), Value::Null));
        ascends
    }

    fn member_value(object: &mut Object, value: Value) {
        if let Some((_, member)) = object.members.last_mut() {
            *member = value;
        }
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

    fn number(text: &str) -> Option<Value> {
        let whole = text.len() <= PLAIN_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if whole {
            let digit = |number: i64, byte: u8| number * 10 + i64::from(byte - b'0');
            Number::try_from(text.bytes().fold(0, digit))
        } else {
            Number::new(text.parse().ok()?)
        };
        number.ok().map(Value::Number)
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

    fn no_members() -> Self::Object {
        None
    }

    fn member(last: &mut Self::Object, name: Cow<'t, str>) -> bool {
        let ascends = last.as_ref().is_none_or(|last| utf16_order(last, &name) == Ordering::Less);
        *last = Some(name);
        ascends
    }

    fn member_value(_: &mut Self::Object, (): ()) {}

    fn object(_: Self::Object) {}

    fn array(_: Vec<()>) {}

    fn string(_: Cow<'t, str>) {}

    fn number(_: &str) -> Option<()> {
        Some(())
    }

    fn scalar(_: Value) {}
}

struct Direct<'t> {
    text: &'t str,
    // Invariant: a character boundary of `text`, at most its length.
    at: usize,
    number_out_of_range: bool,
}

impl<'t> Direct<'t> {
    fn new(bytes: &'t [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        Some(Self { text, at: 0, number_out_of_range: false })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes one byte, which has to be this one.
    fn pass(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// `depth` is the number of arrays and objects around this value.
    fn value<B: Build<'t>>(&mut self, depth: usize) -> Option<B::Value> {
        match self.peek()? {
            b'"' => self.string().map(B::string),
            b'-' | b'0'..=b'9' => B::number(self.number()?),
            b'{' => self.object::<B>(depth + 1, &mut |_| {}).map(B::object),
            b'[' => self.array::<B>(depth + 1).map(B::array),
            b't' => self.literal("true", Value::Bool(true)).map(B::scalar),
            b'f' => self.literal("false", Value::Bool(false)).map(B::scalar),
            b'n' => self.literal("null", Value::Null).map(B::scalar),
            _ => None,
        }
    }

    fn literal(&mut self, word: &str, value: Value) -> Option<Value> {
        self.text.get(self.at..)?.starts_with(word).then(|| {
            self.at += word.len();
            value
        })
    }

    fn array<B: Build<'t>>(&mut self, depth: usize) -> Option<Vec<B::Value>> {
        self.enter(b'[', depth)?;
        let mut items = Vec::new();
        if self.pass(b']').is_some() {
            return Some(items);
        }
        loop {
            items.push(self.value::<B>(depth)?);
            if self.next_or_close(b']')? {
                return Some(items);
            }
        }
    }

    /// Tells where each member begins.
    fn object<B: Build<'t>>(
        &mut self,
        depth: usize,
        begins: &mut dyn FnMut(usize),
    ) -> Option<B::Object> {
        self.enter(b'{', depth)?;
        let mut object = B::no_members();
        if self.pass(b'}').is_some() {
            return Some(object);
        }
        loop {
            begins(self.at);
            // Ascending, and so none twice.
            if !B::member(&mut object, self.string()?) {
                return None;
            }
            self.pass(b':')?;
            let value = self.value::<B>(depth)?;
            B::member_value(&mut object, value);
            if self.next_or_close(b'}')? {
                return Some(object);
            }
        }
    }

    fn enter(&mut self, bracket: u8, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH { None } else { self.pass(bracket) }
    }

    /// Passes a comma (false) or the closing bracket (true).
    fn next_or_close(&mut self, close: u8) -> Option<bool> {
        let byte = self.peek()?;
        self.at += 1;
        if byte == close {
            return Some(true);
        }
        (byte == b',').then_some(false)
    }

    /// The text of a number.
    fn number(&mut self) -> Option<&'t str> {
        let rest = self.text.get(self.at..)?;
        if let Some(length) = plain_number(rest.as_bytes()) {
            self.at += length;
            return rest.get(..length);
        }
        let length = rest.bytes().take_while(|byte| is_part_of_number(*byte)).count();
        let text = rest.get(..length)?;
        self.at += length;
        // Whatever the standard library takes beyond JSON's grammar is not how a double is written.
        let number = Number::new(text.parse().ok()?).ok()?;
        self.number_out_of_range |= number.as_f64().abs() > MAX_SAFE_DOUBLE;
        let mut buffer = ryu_js::Buffer::new();
        (buffer.format_finite(number.as_f64()) == text).then_some(text)
    }

    fn string(&mut self) -> Option<Cow<'t, str>> {
        self.pass(b'"')?;
        let run = self.run()?;
        if self.pass(b'"').is_some() {
            // Nearly always.
            return Some(Cow::Borrowed(run));
        }
        let mut out = run.to_owned();
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(Cow::Owned(out));
                }
                b'\\' => out.push(self.escape()?),
                _ => return None,
            }
            out.push_str(self.run()?);
        }
    }

    /// What stands for itself, up to a quote, a backslash or a control character.
    fn run(&mut self) -> Option<&'t str> {
        let rest = self.text.get(self.at..)?;
        let length = plain_length(rest.as_bytes())?;
        self.at += length;
        rest.get(..length)
    }

    /// One of the escapes of RFC 8785 section 3.2.2.2.
    fn escape(&mut self) -> Option<char> {
        self.pass(b'\\')?;
        let kind = self.peek()?;
        self.at += 1;
        match kind {
            b'"' | b'\\' => Some(char::from(kind)),
            b'b' => Some('\u{8}'),
            b't' => Some('\t'),
            b'n' => Some('\n'),
            b'f' => Some('\u{c}'),
            b'r' => Some('\r'),
            b'u' => {
                let digits = self.text.get(self.at..self.at + 4)?;
                self.at += 4;
                let lower = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                let unit = u8::from_str_radix(digits, 16).ok().filter(|unit| *unit < 0x20)?;
                let shorter = matches!(unit, 0x8 | b'\t' | b'\n' | 0xc | b'\r');
                (lower && !shorter).then(|| char::from(unit))
            }
            _ => None,
        }
    }
}

fn is_part_of_number(byte: u8) -> bool {
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

/// How many bytes stand before the first quote, backslash or control character; none without one.
fn plain_length(bytes: &[u8]) -> Option<usize> {
    let ends = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return Some(index * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    Some(words.len() * 8 + tail.iter().position(ends)?)
}

/// Sets the top bit of each byte that ends a run: a quote, a backslash, a control character. Above the
/// first of them, of others too (the borrow of Mycroft's test for zero bytes).
fn marks(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES << 7;
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & TOPS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{check_object_numbers, parse_canonical, to_canonical};
    use super::*;

    /// All readers, which have to agree.
    fn agree(bytes: &[u8]) {
        let thorough = match parse_canonical(bytes) {
            Ok(Value::Object(object)) => Some(object),
            _ => None,
        };
        let (quick, outline) = canonical_object(bytes).unzip();
        assert_eq!(quick, thorough, "{}", String::from_utf8_lossy(bytes));
        assert_eq!(canonical_outline(bytes), outline);
        let (Some(object), Some(outline)) = (quick, outline) else { return };
        let in_range = check_object_numbers(&object).is_ok();
        assert_eq!(outline.number_out_of_range, !in_range);
        assert_eq!(outline.starts.len(), object.len());
        let ends = outline.starts.iter().skip(1).copied().chain([bytes.len()]);
        for ((start, end), (name, value)) in outline.starts.iter().zip(ends).zip(object.iter()) {
            let name = to_canonical(&name.into());
            let text = bytes[*start..end - 1].strip_prefix(&name[..]).unwrap();
            assert_eq!(canonical_value(&text[1..]).as_ref(), Some(value));
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
        fn both_readers_agree_on_canonical_bytes_and_on_nearly_canonical_ones(
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
    fn a_run_ends_at_the_first_byte_that_needs_an_escape() {
        for byte in 0..=255_u8 {
            let ends = byte < 0x20 || byte == b'"' || byte == b'\\';
            for at in 0..20 {
                let mut bytes = [0xff; 24];
                bytes[at] = byte;
                bytes[at + 1] = b'"';
                bytes[at + 2] = 0x1f;
                assert_eq!(
                    plain_length(&bytes),
                    Some(if ends { at } else { at + 1 }),
                    "{byte} {at}"
                );
            }
        }
        assert_eq!(plain_length(b"no end here and none there"), None);
    }

    #[test]
    fn both_readers_agree_where_text_is_not_as_it_seems() {
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
    fn both_readers_agree_on_texts_that_are_broken_or_unsorted() {
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
