//! Canonical text into Rust types: a reader that trusts the strict one to have passed the text, and so looks at no more
//! than tells values apart.
//!
//! Of other text it makes something or nothing, and never panics.
//!
//! Out of scope: why something cannot be read; whoever wants to know asks a reader that tells.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::read::{Reader, is_part_of_number};
use super::run::plain_length;

/// A value out of the members of an object, each given as it stands in canonical text: name, colon, value, and what
/// follows.
pub(crate) fn from_members<'t, T: Deserialize<'t>>(
    members: impl Iterator<Item = &'t str>,
) -> Option<T> {
    T::deserialize(de::value::MapAccessDeserializer::new(Members { members, value: None })).ok()
}

/// Something that could not be read.
#[derive(Debug)]
struct Unread;

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not what was expected")
    }
}

impl std::error::Error for Unread {}

impl de::Error for Unread {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

struct Members<'t, I> {
    members: I,
    value: Option<Known<'t>>,
}

impl<'t, I: Iterator<Item = &'t str>> MapAccess<'t> for Members<'t, I> {
    type Error = Unread;

    fn next_key_seed<K: DeserializeSeed<'t>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unread> {
        let Some(member) = self.members.next() else { return Ok(None) };
        let value = self.value.insert(Known { text: member, at: 0 });
        seed.deserialize(value).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'t>>(&mut self, seed: V) -> Result<V::Value, Unread> {
        let mut value = self.value.take().ok_or(Unread)?;
        value.pass(b':')?;
        seed.deserialize(&mut value)
    }
}

/// Canonical text from some place on.
struct Known<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Known<'t> {
    #[inline]
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or_default()
    }

    #[inline]
    fn pass(&mut self, byte: u8) -> Result<(), Unread> {
        if self.peek() != byte {
            return Err(Unread);
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), Unread> {
        word.bytes().try_for_each(|byte| self.pass(byte))
    }

    #[inline]
    fn string(&mut self) -> Result<Cow<'t, str>, Unread> {
        let start = self.at + 1;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let end = start + plain_length(rest).ok_or(Unread)?;
        if self.text.as_bytes().get(end) == Some(&b'"') {
            self.at = end + 1;
            return self.text.get(start..end).map(Cow::Borrowed).ok_or(Unread);
        }
        let mut reader = Reader::at(self.text, self.at);
        let text = reader.string().map_err(|_| Unread)?;
        self.at = reader.place();
        Ok(text)
    }

    #[inline]
    fn number<V: Visitor<'t>>(&mut self, visitor: V) -> Result<V::Value, Unread> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.bytes().take_while(|byte| is_part_of_number(*byte)).count();
        let text = rest.get(..length).unwrap_or_default();
        self.at += length;
        if let Ok(number) = text.parse::<u64>() {
            visitor.visit_u64(number)
        } else if let Ok(number) = text.parse::<i64>() {
            visitor.visit_i64(number)
        } else {
            visitor.visit_f64(text.parse().map_err(|_| Unread)?)
        }
    }
}

impl<'t> Deserializer<'t> for &mut Known<'t> {
    type Error = Unread;

    fn deserialize_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Unread> {
        match self.peek() {
            b'"' => match self.string()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            b'{' => visitor.visit_map(Items::enter(self, b'}')),
            b'[' => {
                let mut items = Items::enter(self, b']');
                let value = visitor.visit_seq(&mut items)?;
                // Whoever wants so many has not asked whether there are more.
                if items.ended || !items.next()? { Ok(value) } else { Err(Unread) }
            }
            b't' => self.word("true").and_then(|()| visitor.visit_bool(true)),
            b'f' => self.word("false").and_then(|()| visitor.visit_bool(false)),
            b'n' => self.word("null").and_then(|()| visitor.visit_unit()),
            _ => self.number(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, Unread> {
        if self.peek() == b'n' {
            self.word("null")?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'t>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unread> {
        visitor.visit_newtype_struct(self)
    }

    /// Of variants without content, which are their names.
    fn deserialize_enum<V: Visitor<'t>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unread> {
        if self.peek() != b'"' {
            return Err(Unread);
        }
        let name = self.string()?;
        visitor.visit_enum(StrDeserializer::new(&name))
    }

    forward_to_deserialize_any! {
        <V: Visitor<'t>> bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// What stands between brackets.
struct Items<'r, 't> {
    reader: &'r mut Known<'t>,
    close: u8,
    first: bool,
    ended: bool,
}

impl<'r, 't> Items<'r, 't> {
    fn enter(reader: &'r mut Known<'t>, close: u8) -> Self {
        reader.at += 1;
        Self { reader, close, first: true, ended: false }
    }

    /// Whether there is another one; its place is then the reader's.
    #[inline]
    fn next(&mut self) -> Result<bool, Unread> {
        if self.reader.peek() == self.close {
            self.reader.at += 1;
            self.ended = true;
            return Ok(false);
        }
        if !std::mem::take(&mut self.first) {
            self.reader.pass(b',')?;
        }
        Ok(true)
    }
}

impl<'t> SeqAccess<'t> for &mut Items<'_, 't> {
    type Error = Unread;

    fn next_element_seed<S: DeserializeSeed<'t>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Unread> {
        if !self.next()? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

impl<'t> MapAccess<'t> for Items<'_, 't> {
    type Error = Unread;

    fn next_key_seed<K: DeserializeSeed<'t>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unread> {
        if !self.next()? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'t>>(&mut self, seed: V) -> Result<V::Value, Unread> {
        self.reader.pass(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeMap;

    use super::super::{Object, canonical_outline, object_to_canonical, parse};
    use super::*;

    /// What `text`, an object, is to serde's own reader of JSON, and to this one.
    fn both<T>(text: &str) -> (Option<T>, Option<T>)
    where
        T: for<'t> Deserialize<'t>,
    {
        let outline = canonical_outline(text.as_bytes()).unwrap();
        let starts = outline.starts.iter().copied();
        let members = starts.map(|start| text.get(start..).unwrap());
        (serde_json::from_str(text).ok(), from_members(members))
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        One,
        Two,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Whole(u64);

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Form {
        #[serde(default)]
        a: Option<f64>,
        #[serde(default)]
        b: Option<i64>,
        #[serde(default)]
        c: Option<Word>,
        #[serde(default)]
        d: Option<(f64, String)>,
        #[serde(default)]
        e: BTreeMap<String, Whole>,
        #[serde(default)]
        f: Vec<Option<bool>>,
    }

    /// By hand: what fits, what is of another type, too much or too little, and names that nobody knows.
    #[test]
    fn what_fits_a_type_is_read_and_nothing_else() {
        for (text, fits) in [
            (r"{}", true),
            (
                r#"{"a":1,"b":-7,"c":"two","d":[0.1,"x\ny"],"e":{"":3,"p":0},"f":[true,null,false]}"#,
                true,
            ),
            (r#"{"a":-1.5e-7,"e":{},"f":[]}"#, true),
            (r#"{"a":null,"b":null}"#, true),
            (r#"{"a":9007199254740993000,"b":123456789012345680}"#, true),
            (r#"{"b":1.5}"#, false),
            (r#"{"b":"1"}"#, false),
            (r#"{"c":"three"}"#, false),
            (r#"{"c":{"one":null}}"#, true),
            (r#"{"d":[0.1]}"#, false),
            (r#"{"d":[0.1,"x",1]}"#, false),
            (r#"{"e":{"p":-1}}"#, false),
            (r#"{"f":[1]}"#, false),
            (r#"{"g":1}"#, false),
        ] {
            let (theirs, ours) = both::<Form>(text);
            assert_eq!(theirs.is_some(), fits, "{text}");
            // A variant of that form is left to the reader that tells.
            if text.contains(r#"{"one""#) {
                assert!(ours.is_none());
            } else {
                assert_eq!(ours, theirs, "{text}");
            }
        }
    }

    proptest! {
        /// Against serde's own reader, of anything canonical.
        #[test]
        fn canonical_text_is_what_it_is_to_another_reader(json in values()) {
            let mut object = serde_json::Map::new();
            object.insert("v".into(), json);
            let object: Object = match parse(&serde_json::to_vec(&object).unwrap()) {
                Ok(super::super::Value::Object(object)) => object,
                // A number that no double holds.
                _ => return Ok(()),
            };
            let text = String::from_utf8(object_to_canonical(&object)).unwrap();
            let (theirs, ours) = both::<BTreeMap<String, serde_json::Value>>(&text);
            prop_assert_eq!(theirs, ours, "{}", text);
        }

        /// Of other text it makes something or nothing.
        #[test]
        fn text_that_is_not_canonical_is_survived(text in "[\\[\\]{}\":,\\\\u0-9a-f.e tn-]{0,24}") {
            let _: Option<BTreeMap<String, serde_json::Value>> = from_members([&text[..]].into_iter());
            let _: Option<Form> = from_members([&text[..]].into_iter());
        }
    }

    fn values() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<f64>().prop_map(|x| serde_json::Value::from(if x.is_finite() { x } else { 0.5 })),
            any::<i32>().prop_map(Into::into),
            (0_u32..40).prop_map(|n| serde_json::Value::from(2_f64.powi(n.try_into().unwrap()))),
            "\\PC{0,12}|[\\x00-\\x22\\\\]{0,4}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::btree_map("\\PC{0,6}|[a-c\"]", inner, 0..5)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
