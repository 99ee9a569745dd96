//! The quick way in: reads bytes that are canonical already, in one pass, without writing them again.
//!
//! It accepts exactly what [`parse_canonical`](super::parse_canonical) accepts, and gives no reason
//! for the rest: whoever wants one asks there. What makes it quick is that canonical text leaves no
//! choice: no space, members in ascending order, one spelling for each string and number.

use std::cmp::Ordering;

use super::{MAX_DEPTH, Number, Object, Value, utf16_order};

/// A whole number of so many digits is below 2^53, so that its digits are its canonical form.
const PLAIN_DIGITS: usize = 15;

/// Reads the canonical bytes of an object; none for anything else. `starts` is set to the offsets at
/// which its members begin.
pub(crate) fn canonical_object(bytes: &[u8], starts: &mut Vec<usize>) -> Option<Object> {
    let text = std::str::from_utf8(bytes).ok()?;
    starts.clear();
    let mut direct = Direct { text, at: 0 };
    let object = direct.object(1, &mut |start| starts.push(start))?;
    (direct.at == bytes.len()).then_some(object)
}

struct Direct<'t> {
    text: &'t str,
    // Invariant: a character boundary of `text`, at most its length.
    at: usize,
}

impl<'t> Direct<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes one byte, which has to be this one.
    fn pass(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        match self.peek()? {
            b'"' => self.string().map(Value::String),
            b'-' | b'0'..=b'9' => self.number().map(Value::Number),
            b'{' => self.object(depth + 1, &mut |_| {}).map(Value::Object),
            b'[' => self.array(depth + 1).map(Value::Array),
            b't' => self.literal("true", Value::Bool(true)),
            b'f' => self.literal("false", Value::Bool(false)),
            b'n' => self.literal("null", Value::Null),
            _ => None,
        }
    }

    fn literal(&mut self, word: &str, value: Value) -> Option<Value> {
        self.text.get(self.at..)?.starts_with(word).then(|| {
            self.at += word.len();
            value
        })
    }

    fn array(&mut self, depth: usize) -> Option<Vec<Value>> {
        self.enter(b'[', depth)?;
        let mut items = Vec::new();
        if self.pass(b']').is_some() {
            return Some(items);
        }
        loop {
            items.push(self.value(depth)?);
            if self.next_or_close(b']')? {
                return Some(items);
            }
        }
    }

    fn object(&mut self, depth: usize, begins: &mut dyn FnMut(usize)) -> Option<Object> {
        self.enter(b'{', depth)?;
        let mut members: Vec<(String, Value)> = Vec::new();
        if self.pass(b'}').is_some() {
            return Some(Object { members });
        }
        loop {
            begins(self.at);
            let name = self.string()?;
            // Ascending, and so none twice.
            let ascends = |(last, _): &(String, Value)| utf16_order(last, &name) == Ordering::Less;
            if !members.last().is_none_or(ascends) {
                return None;
            }
            self.pass(b':')?;
            members.push((name, self.value(depth)?));
            if self.next_or_close(b'}')? {
                return Some(Object { members });
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

    fn number(&mut self) -> Option<Number> {
        let rest = self.text.get(self.at..)?;
        let part_of_number =
            |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.bytes().take_while(part_of_number).count();
        let text = rest.get(..length)?;
        self.at += length;
        let plain = text.len() <= PLAIN_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        if plain && (text == "0" || !text.starts_with('0')) {
            let digit = |number: i64, byte: u8| number * 10 + i64::from(byte - b'0');
            return Number::try_from(text.bytes().fold(0, digit)).ok();
        }
        // Whatever the standard library takes beyond JSON's grammar is not how a double is written.
        let number = Number::new(text.parse().ok()?).ok()?;
        let mut buffer = ryu_js::Buffer::new();
        (buffer.format_finite(number.as_f64()) == text).then_some(number)
    }

    fn string(&mut self) -> Option<String> {
        self.pass(b'"')?;
        let run = self.run()?;
        if self.pass(b'"').is_some() {
            // Nearly always.
            return Some(run.to_owned());
        }
        let mut out = run.to_owned();
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(out);
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
        let ends = |byte: u8| byte == b'"' || byte == b'\\' || byte < 0x20;
        let length = rest.bytes().position(ends)?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{parse_canonical, to_canonical};
    use super::*;

    /// Both readers, which have to agree.
    fn agree(bytes: &[u8]) {
        let mut starts = Vec::new();
        let quick = canonical_object(bytes, &mut starts);
        let thorough = match parse_canonical(bytes) {
            Ok(Value::Object(object)) => Some(object),
            _ => None,
        };
        assert_eq!(quick, thorough, "{}", String::from_utf8_lossy(bytes));
        if let Some(object) = quick {
            let found = starts.iter().zip(object.iter()).all(|(start, (name, _))| {
                let name = to_canonical(&name.into());
                bytes.get(*start..).unwrap().starts_with(&name)
            });
            assert!(found && starts.len() == object.len());
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
    fn both_readers_agree_where_text_is_not_as_it_seems() {
        for number in [
            "0",
            "-0",
            "00",
            "01",
            "-1",
            "1.0",
            "1.5",
            "-1.5",
            "1e2",
            "1e21",
            "1e+21",
            "1E21",
            "100",
            "1e-7",
            "0.000001",
            "1e-07",
            "123456789012345",
            "1234567890123456",
            "9007199254740993",
            "99999999999999990000",
            "+1",
            ".5",
            "5.",
            "inf",
            "nan",
            "Infinity",
            "1e999",
            "-",
            "",
            "5e-324",
            "4.9e-324",
            "1.7976931348623157e+308",
            "0.1e1",
            "1-1",
        ] {
            agree(format!("{{\"a\":{number}}}").as_bytes());
        }
        for depth in [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1] {
            let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
            agree(format!("{{\"a\":{open}{close}}}").as_bytes());
            agree(format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)).as_bytes());
        }
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
        assert!(canonical_object(sorted_by_code_unit, &mut Vec::new()).is_some());
        let sorted_by_code_point = "{\"\u{e000}\":2,\"\u{1f600}\":1}".as_bytes();
        agree(sorted_by_code_point);
    }
}
