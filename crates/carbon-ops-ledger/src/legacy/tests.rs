//! The reader and the writer of Python's JSON, against what Python 3.11 prints.

use carbon_ops_proof::canonical::Reason;
use carbon_ops_proof::keys::Trust;
use carbon_ops_proof::verify::Status;
use proptest::prelude::*;

use super::line::{Line, strip};
use super::python::{Form, dumps, float_repr};
use super::value::{self, Oddity, Value};
use super::{Fault, Record};

/// `repr` of each double, by Python 3.11.
const REPRS: [(f64, &str); 25] = [
    (1e16, "1e+16"),
    (1e15, "1000000000000000.0"),
    (9_999_999_999_999_998.0, "9999999999999998.0"),
    (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
    (1e-5, "1e-05"),
    (0.0001, "0.0001"),
    (0.000_099_999, "9.9999e-05"),
    (1e21, "1e+21"),
    (1e22, "1e+22"),
    (1e-7, "1e-07"),
    (1.5e-10, "1.5e-10"),
    (1e100, "1e+100"),
    (5e-324, "5e-324"),
    (f64::MAX, "1.7976931348623157e+308"),
    (-0.0, "-0.0"),
    (0.0, "0.0"),
    (100.0, "100.0"),
    (0.1, "0.1"),
    (1230.0, "1230.0"),
    (0.00123, "0.00123"),
    // Halfway between two texts of this length: the even one.
    (193_678_213_808_710.5 / 8.0, "24209776726088.812"),
    (-1.5, "-1.5"),
    (f64::NAN, "NaN"),
    (f64::INFINITY, "Infinity"),
    (f64::NEG_INFINITY, "-Infinity"),
];

#[test]
fn doubles_are_written_as_python_writes_them() {
    for (double, text) in REPRS {
        assert_eq!(float_repr(double), text);
    }
}

fn read(text: &str) -> Value {
    let (value, oddities) = value::parse(text.as_bytes()).unwrap();
    assert_eq!(oddities, [], "{text}");
    value
}

fn written(text: &str, form: Form) -> String {
    let Value::Object(members) = read(text) else { panic!("{text}") };
    String::from_utf8(dumps(&members, &[], form)).unwrap()
}

#[test]
fn integers_and_doubles_stay_apart_and_integers_keep_every_digit() {
    let text = r#"{"b": 1.0, "a": 1, "c": -0, "d": -0.0, "e": 1180591620717411303424, "f": 1E2}"#;
    let line = r#"{"b": 1.0, "a": 1, "c": 0, "d": -0.0, "e": 1180591620717411303424, "f": 100.0}"#;
    assert_eq!(written(text, Form::Line), line);
    let signed = r#"{"a":1,"b":1.0,"c":0,"d":-0.0,"e":1180591620717411303424,"f":100.0}"#;
    assert_eq!(written(text, Form::Signed), signed);
}

/// As Python 3.11 printed them.
#[test]
fn the_two_canonical_forms_differ_in_what_they_escape_and_sort_by_code_points() {
    let text = "{\"\u{1f600}\": \"\u{7f}\u{80}\", \"\u{fb33}\": \"\\u001f\\b\\f\\/\"}";
    let signed = "{\"\u{fb33}\":\"\\u001f\\b\\f/\",\"\u{1f600}\":\"\u{7f}\u{80}\"}";
    assert_eq!(written(text, Form::Signed), signed);
    let hashed = r#"{"\ufb33":"\u001f\b\f/","\ud83d\ude00":"\u007f\u0080"}"#;
    assert_eq!(written(text, Form::Hashed), hashed);
    let line = r#"{"\ud83d\ude00": "\u007f\u0080", "\ufb33": "\u001f\b\f/"}"#;
    assert_eq!(written(text, Form::Line), line);
}

#[test]
fn what_python_takes_and_json_does_not_is_taken_and_named() {
    let (value, oddities) =
        value::parse(br#"{"a": 1, "b": NaN, "a": [-Infinity, 1e999]}"#).unwrap();
    assert_eq!(oddities, [Oddity::NonFinite, Oddity::Duplicate("a".into())]);
    let Value::Object(members) = value else { panic!() };
    // The place of the first, the value of the last, as a dict has them.
    assert_eq!(dumps(&members, &[], Form::Line), br#"{"a": [-Infinity, Infinity], "b": NaN}"#);
}

#[test]
fn what_the_package_cannot_have_signed_is_refused() {
    let reason = |text: &[u8]| value::parse(text).unwrap_err().reason;
    assert_eq!(reason(br#"{"a": "\ud800"}"#), Reason::LoneSurrogate);
    assert_eq!(reason(b"{\"a\": \"\xff\"}"), Reason::InvalidUtf8);
    assert_eq!(reason(b"{\"a\": \"\x01\"}"), Reason::ControlCharacter);
    assert_eq!(reason(b"\xef\xbb\xbf{}"), Reason::ByteOrderMark);
    assert_eq!(reason(b"{} {}"), Reason::TrailingBytes);
    assert_eq!(reason(b"[01]"), Reason::InvalidNumber);
    assert_eq!(reason("[".repeat(100_000).as_bytes()), Reason::TooDeep);
    let fault = Line::parse(b"{\"a\": 1,\r\"b\": 2}").unwrap_err();
    assert!(matches!(fault, Fault::Json(e) if e.reason == Reason::UnexpectedByte(b'\r')));
}

#[test]
fn space_is_what_python_strips() {
    assert_eq!(strip(" \t\u{b}\u{1c}\u{85}\u{a0}\u{3000}x \r\u{1f}".as_bytes()), b"x");
    assert_eq!(strip("\u{200b}x".as_bytes()), "\u{200b}x".as_bytes());
}

#[test]
fn a_payload_with_a_member_of_the_ledgers_own_is_not_signed() {
    for name in ["prev_hash", "signature", "signing_key", "signature_algorithm"] {
        let json = format!("{{\"{name}\": 1}}");
        let error = Record::parse(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    for json in ["[]", "{", r#"{"a": 1, "a": 1}"#, r#"{"a": NaN}"#, r#"{"a": 1e999}"#] {
        assert!(Record::parse(json.as_bytes()).is_err(), "{json}");
    }
    // What `sys.int_info.default_max_str_digits` of Python 3.11 allows, and one more.
    let of_digits = |digits: usize| format!("{{\"a\": [{{\"b\": -{}}}]}}", "1".repeat(digits));
    assert!(Record::parse(of_digits(4300).as_bytes()).is_ok());
    assert!(Record::parse(of_digits(4301).as_bytes()).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = value::parse(&bytes);
        let _ = Line::parse(&bytes);
        let report = super::verify(&bytes[..], &Trust::new()).unwrap();
        prop_assert_ne!(report.status, Status::Valid);
    }

    #[test]
    fn no_text_like_json_makes_the_reader_panic(
        text in "[\\[\\]{}\",:0-9eE.+\\-NaIfinty\\\\u \n\r\u{a0}]{0,32}"
    ) {
        if let Ok((Value::Object(members), oddities)) = value::parse(text.as_bytes()) {
            let line = dumps(&members, &[], Form::Line);
            // Written as Python writes it, it reads as the same.
            let (again, _) = value::parse(&line).unwrap();
            if oddities.is_empty() {
                prop_assert_eq!(again, Value::Object(members));
            }
        }
        prop_assert_ne!(super::verify(text.as_bytes(), &Trust::new()).unwrap().status, Status::Valid);
    }

    #[test]
    fn every_double_reads_as_it_was_written(bits: u64) {
        let double = f64::from_bits(bits);
        prop_assume!(double.is_finite());
        let text = float_repr(double);
        let (value, _) = value::parse(text.as_bytes()).unwrap();
        let Value::Float(again) = value else { panic!("{text} is no double") };
        prop_assert_eq!(again.to_bits(), bits);
    }
}
