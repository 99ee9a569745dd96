//! The reader and the writer against the published vectors of RFC 8785 and of
//! cyberphone/json-canonicalization (Apache-2.0, <https://github.com/cyberphone/json-canonicalization>),
//! typed here as data, and against an independent implementation.

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::value::MAX_SAFE_INTEGER;
use super::*;

fn refused(text: &[u8]) -> Reason {
    match parse(text) {
        Err(error) => error.reason,
        Ok(value) => panic!("accepted {:?} as {value:?}", String::from_utf8_lossy(text)),
    }
}

fn canonical(text: &str) -> String {
    String::from_utf8(to_canonical(&parse(text.as_bytes()).unwrap())).unwrap()
}

/// RFC 8785 appendix B, without the NaN and infinity rows (see `not_finite_is_no_number`) and with
/// negative zero refused (erratum 7920).
const APPENDIX_B: &[(u64, &str)] = &[
    (0x0000_0000_0000_0000, "0"),
    (0x0000_0000_0000_0001, "5e-324"),
    (0x8000_0000_0000_0001, "-5e-324"),
    (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
    (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
    (0x4340_0000_0000_0000, "9007199254740992"),
    (0xc340_0000_0000_0000, "-9007199254740992"),
    (0x4430_0000_0000_0000, "295147905179352830000"),
    (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
    (0x44b5_2d02_c7e1_4af6, "1e+23"),
    (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
    (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
    (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
    (0x444b_1ae4_d6e2_ef50, "1e+21"),
    (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
    (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
    (0x41b3_de43_5555_5553, "333333333.3333332"),
    (0x41b3_de43_5555_5554, "333333333.33333325"),
    (0x41b3_de43_5555_5555, "333333333.3333333"),
    (0x41b3_de43_5555_5556, "333333333.3333334"),
    (0x41b3_de43_5555_5557, "333333333.33333343"),
    (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
    (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
];

#[test]
fn numbers_are_written_as_in_appendix_b() {
    for (bits, text) in APPENDIX_B {
        let number = Number::new(f64::from_bits(*bits)).unwrap();
        assert_eq!(to_canonical(&number.into()), text.as_bytes());
        assert_eq!(parse_canonical(text.as_bytes()).unwrap().as_f64().unwrap().to_bits(), *bits);
    }
}

#[test]
fn not_finite_is_no_number() {
    for bits in [0x7fff_ffff_ffff_ffff, 0x7ff0_0000_0000_0000, 0xfff0_0000_0000_0000] {
        assert_eq!(Number::new(f64::from_bits(bits)), Err(NumberError::NotFinite));
    }
    assert_eq!(Number::new(-0.0), Err(NumberError::NegativeZero));
}

/// RFC 8785 section 3.2.3, and the vectors arrays, french, structures, unicode, values and weird of
/// cyberphone/json-canonicalization.
#[test]
fn published_documents_have_their_published_form() {
    let cases = [
        (
            r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#,
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}",
        ),
        (
            "[\n  56,\n  {\n    \"d\": true,\n    \"10\": null,\n    \"1\": [ ]\n  }\n]",
            r#"[56,{"1":[],"10":null,"d":true}]"#,
        ),
        (
            "{\n  \"peach\": \"This sorting order\",\n  \"péché\": \"is wrong according to French\",\n  \"pêche\": \"but canonicalization MUST\",\n  \"sin\":   \"ingnore locale\"\n}\n",
            r#"{"peach":"This sorting order","péché":"is wrong according to French","pêche":"but canonicalization MUST","sin":"ingnore locale"}"#,
        ),
        (
            "{\n  \"1\": {\"f\": {\"f\": \"hi\",\"F\": 5} ,\"\\n\": 56.0},\n  \"10\": { },\n  \"\": \"empty\",\n  \"a\": { },\n  \"111\": [ { } ],\n  \"A\": { }\n}",
            r#"{"":"empty","1":{"\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{}],"A":{},"a":{}}"#,
        ),
        (
            "{\n  \"Unnormalized Unicode\":\"\\u1e0d\\u0307\"\n}\n",
            "{\"Unnormalized Unicode\":\"\u{1e0d}\u{307}\"}",
        ),
        (
            "{\n  \"numbers\": [1E30, 4.50, 333333333.33333329, 2e-3, 0.000000000000000000000000001],\n  \"escaping\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\n  \"literals\": [null, true, false]\n}",
            r#"{"escaping":"€$\u000f\nA'B\"\\\\\"/","literals":[null,true,false],"numbers":[1e+30,4.5,333333333.3333333,0.002,1e-27]}"#,
        ),
        (
            "{\n  \"\\u20ac\": \"Euro Sign\",\n  \"1\": \"One\",\n  \"\\u0080\": \"Control\\u007f\",\n  \"\\ud83d\\ude02\": \"Smiley\",\n  \"\\u00f6\": \"Latin Small Letter O With Diaeresis\",\n  \"\\ufb33\": \"Hebrew Letter Dalet With Dagesh\",\n  \"</script>\": \"Browser Challenge\"\n}\n",
            "{\"1\":\"One\",\"</script>\":\"Browser Challenge\",\"\u{80}\":\"Control\u{7f}\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😂\":\"Smiley\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}",
        ),
    ];
    for (input, output) in cases {
        assert_eq!(canonical(input), output);
        assert!(parse_canonical(output.as_bytes()).is_ok());
    }
}

/// The doubles that cyberphone's `testdata/numgen.js` puts before its random ones.
const GENERATOR_HEAD: &[u64] = &[
    0x0000_0000_0000_0000,
    0x8000_0000_0000_0000,
    0x0000_0000_0000_0001,
    0x8000_0000_0000_0001,
    0xc466_9669_5dbd_1cc3,
    0xc432_11ed_e497_4a35,
    0xc3fc_e97c_a0f2_1056,
    0xc3c7_2130_80c1_a6ac,
    0xc392_80f3_9a34_8556,
    0xc35d_9b1f_5d20_d557,
    0xc327_af4c_4a80_aaac,
    0xc2f2_f2a3_6ecd_5556,
    0xc2be_5105_7e15_5558,
    0xc288_40d1_31aa_aaac,
    0xc253_670d_c155_5557,
    0xc21f_0b49_3555_5557,
    0xc1e8_d5d4_2aaa_aaac,
    0xc1b3_de43_5555_5556,
    0xc17f_ca05_5555_5556,
    0xc149_6e6a_aaaa_aaab,
    0xc114_5855_5555_5555,
    0xc0e0_46aa_aaaa_aaab,
    0xc0aa_0aaa_aaaa_aaaa,
    0xc074_d555_5555_5555,
    0xc040_aaaa_aaaa_aaab,
    0xc00a_aaaa_aaaa_aaab,
    0xbfd5_5555_5555_5555,
    0xbfa1_1111_1111_1111,
    0xbf6b_4e81_b4e8_1b4f,
    0xbf35_d867_c3ec_e2a5,
    0xbf01_79ec_9cbd_821e,
    0xbecb_f647_612f_3696,
    0xbe96_5e9f_80f2_9212,
    0xbe61_e54c_6728_74db,
    0xbe2c_a213_d840_baf8,
    0xbdf6_e80f_e033_c8c6,
    0xbdc2_533f_e68f_d3d2,
    0xbd8d_51ff_d74c_861c,
    0xbd57_74cc_ac3d_3817,
    0xbd22_c3d6_f030_f9ac,
    0xbcee_0624_b381_8f79,
    0xbcb8_04ea_2934_72c7,
    0xbc83_3721_ba90_5bd3,
    0xbc4e_be9c_5db3_c61e,
    0xbc18_987d_17c3_04e5,
    0xbbe3_ad30_dfcf_371d,
    0xbbaf_7b81_6618_582f,
    0xbb79_2f9a_b813_79bf,
    0xbb44_2615_600f_9499,
    0xbb10_1e77_800c_76e1,
    0xbad9_ca58_cce0_be35,
    0xbaa4_a1e0_a3e6_fe90,
    0xba70_8180_831f_320d,
    0xba3a_68cd_9e98_5016,
    0x4466_9669_5dbd_1cc3,
    0x4432_11ed_e497_4a35,
    0x43fc_e97c_a0f2_1056,
    0x43c7_2130_80c1_a6ac,
    0x4392_80f3_9a34_8556,
    0x435d_9b1f_5d20_d557,
    0x4327_af4c_4a80_aaac,
    0x42f2_f2a3_6ecd_5556,
    0x42be_5105_7e15_5558,
    0x4288_40d1_31aa_aaac,
    0x4253_670d_c155_5557,
    0x421f_0b49_3555_5557,
    0x41e8_d5d4_2aaa_aaac,
    0x41b3_de43_5555_5556,
    0x417f_ca05_5555_5556,
    0x4149_6e6a_aaaa_aaab,
    0x4114_5855_5555_5555,
    0x40e0_46aa_aaaa_aaab,
    0x40aa_0aaa_aaaa_aaaa,
    0x4074_d555_5555_5555,
    0x4040_aaaa_aaaa_aaab,
    0x400a_aaaa_aaaa_aaab,
    0x3fd5_5555_5555_5555,
    0x3fa1_1111_1111_1111,
    0x3f6b_4e81_b4e8_1b4f,
    0x3f35_d867_c3ec_e2a5,
    0x3f01_79ec_9cbd_821e,
    0x3ecb_f647_612f_3696,
    0x3e96_5e9f_80f2_9212,
    0x3e61_e54c_6728_74db,
    0x3e2c_a213_d840_baf8,
    0x3df6_e80f_e033_c8c6,
    0x3dc2_533f_e68f_d3d2,
    0x3d8d_51ff_d74c_861c,
    0x3d57_74cc_ac3d_3817,
    0x3d22_c3d6_f030_f9ac,
    0x3cee_0624_b381_8f79,
    0x3cb8_04ea_2934_72c7,
    0x3c83_3721_ba90_5bd3,
    0x3c4e_be9c_5db3_c61e,
    0x3c18_987d_17c3_04e5,
    0x3be3_ad30_dfcf_371d,
    0x3baf_7b81_6618_582f,
    0x3b79_2f9a_b813_79bf,
    0x3b44_2615_600f_9499,
    0x3b10_1e77_800c_76e1,
    0x3ad9_ca58_cce0_be35,
    0x3aa4_a1e0_a3e6_fe90,
    0x3a70_8180_831f_320d,
    0x3a3a_68cd_9e98_5016,
    0x4024_0000_0000_0000,
    0x4014_0000_0000_0000,
    0x3fe0_0000_0000_0000,
    0x3fa9_9999_9999_999a,
    0x3f74_7ae1_47ae_147b,
    0x3f40_624d_d2f1_a9fc,
    0x3f0a_36e2_eb1c_432d,
    0x3ed4_f8b5_88e3_68f1,
    0x3ea0_c6f7_a0b5_ed8d,
    0x3e6a_d7f2_9abc_af48,
    0x3e35_798e_e230_8c3a,
    0x3ed5_3922_3589_fa95,
    0x3ed4_ff26_cd5a_7781,
    0x3ed4_f95a_7622_83ff,
    0x3ed4_f8c6_0703_520c,
    0x3ed4_f8b7_2f19_cd0d,
    0x3ed4_f8b5_b31c_0c8d,
    0x3ed4_f8b5_8d1c_461a,
    0x3ed4_f8b5_894f_7f0e,
    0x3ed4_f8b5_88ee_37f3,
    0x3ed4_f8b5_88e4_7da4,
    0x3ed4_f8b5_88e3_849c,
    0x3ed4_f8b5_88e3_6bb5,
    0x3ed4_f8b5_88e3_6937,
    0x3ed4_f8b5_88e3_68f8,
    0x3ed4_f8b5_88e3_68f1,
    0x3ff0_0000_0000_0000,
    0xbff0_0000_0000_0000,
    0xbfef_ffff_ffff_fffa,
    0xbfef_ffff_ffff_fffb,
    0x3fef_ffff_ffff_fffa,
    0x3fef_ffff_ffff_fffb,
    0x3fef_ffff_ffff_fffc,
    0x3fef_ffff_ffff_fffe,
    0xbfef_ffff_ffff_ffff,
    0xbfef_ffff_ffff_ffff,
    0x3fef_ffff_ffff_ffff,
    0x3fef_ffff_ffff_ffff,
    0x3fd3_3333_3333_3332,
    0x3fd3_3333_3333_3333,
    0x3fd3_3333_3333_3334,
    0x0010_0000_0000_0000,
    0x000f_ffff_ffff_fffd,
    0x000f_ffff_ffff_ffff,
    0x7fef_ffff_ffff_ffff,
    0xffef_ffff_ffff_ffff,
    0x4340_0000_0000_0000,
    0xc340_0000_0000_0000,
    0x4430_0000_0000_0000,
    0x44b5_2d02_c7e1_4af5,
    0x44b5_2d02_c7e1_4af6,
    0x44b5_2d02_c7e1_4af7,
    0x444b_1ae4_d6e2_ef4e,
    0x444b_1ae4_d6e2_ef4f,
    0x444b_1ae4_d6e2_ef50,
    0x3eb0_c6f7_a0b5_ed8c,
    0x3eb0_c6f7_a0b5_ed8d,
    0x41b3_de43_5555_5553,
    0x41b3_de43_5555_5554,
    0x41b3_de43_5555_5555,
    0x41b3_de43_5555_5556,
    0x41b3_de43_5555_5557,
    0xbecb_f647_612f_3696,
    0x4314_3ff3_c1cb_0959,
];

/// The generator of `testdata/numgen.js`: the head, 2000 doubles from the smallest normal one
/// upwards, then SHA-256 chained from 32 zero bytes, each digest giving four little-endian doubles.
/// Lines are `hex of the bits,text\n`.
#[test]
fn a_million_generated_doubles_hash_to_the_published_values() {
    // `testdata/README.md` of cyberphone/json-canonicalization, by number of lines.
    let mut published = [
        (1_000, "be18b62b6f69cdab33a7e0dae0d9cfa869fda80ddc712221570f9f40a5878687"),
        (10_000, "b9f7a8e75ef22a835685a52ccba7f7d6bdc99e34b010992cbc5864cd12be6892"),
        (100_000, "22776e6d4b49fa294a0d0f349268e5c28808fe7e0cb2bcbe28f63894e494d4c7"),
        (1_000_000, "49415fee2c56c77864931bd3624faad425c3c577d6d74e89a83bc725506dad16"),
    ]
    .into_iter()
    .peekable();
    let serial = (0..2000).map(|i| 0x0010_0000_0000_0000_u64 + i);
    let mut block = [0_u8; 32];
    let random = std::iter::from_fn(|| {
        block = Sha256::digest(block).into();
        let doubles: Vec<u64> =
            block.chunks(8).map(|c| u64::from_le_bytes(c.try_into().unwrap())).collect();
        Some(doubles)
    })
    .flatten()
    .filter(|bits| f64::from_bits(*bits) != 0.0 && f64::from_bits(*bits).is_finite());
    let mut hash = Sha256::new();
    let doubles = GENERATOR_HEAD.iter().copied().chain(serial).chain(random).take(1_000_000);
    for (line, bits) in (1..).zip(doubles) {
        // The published file predates the erratum and writes negative zero as 0.
        let double = if bits == 1 << 63 { 0.0 } else { f64::from_bits(bits) };
        let text = to_canonical(&Number::new(double).unwrap().into());
        hash.update(format!("{bits:x},"));
        hash.update(&text);
        hash.update(b"\n");
        assert_eq!(parse(&text).unwrap().as_f64().unwrap().to_bits(), double.to_bits());
        if let Some((_, digest)) = published.next_if(|(lines, _)| *lines == line) {
            let found: [u8; 32] = hash.clone().finalize().into();
            assert_eq!(base16ct::lower::encode_string(&found), digest, "of the first {line} lines");
        }
    }
    assert_eq!(published.next(), None);
}

#[test]
fn the_reader_refuses_what_readers_disagree_about() {
    let cases: &[(&[u8], Reason)] = &[
        (b"\"\xff\"", Reason::InvalidUtf8),
        (b"\"\xed\xa0\x80\"", Reason::InvalidUtf8),
        (b"\xef\xbb\xbf{}", Reason::ByteOrderMark),
        (b"", Reason::UnexpectedEnd),
        (b"{", Reason::UnexpectedEnd),
        (b"[1", Reason::UnexpectedEnd),
        (b"\"abc", Reason::UnexpectedEnd),
        (b"tru", Reason::UnexpectedEnd),
        (b"-", Reason::UnexpectedEnd),
        (b"1e", Reason::UnexpectedEnd),
        (b"1 2", Reason::TrailingBytes),
        (b"{}\0", Reason::TrailingBytes),
        (b"nulL", Reason::UnexpectedByte(b'L')),
        (b"[1,]", Reason::UnexpectedByte(b']')),
        (b"{\"a\":1,}", Reason::UnexpectedByte(b'}')),
        (b"{a:1}", Reason::UnexpectedByte(b'a')),
        (b"NaN", Reason::UnexpectedByte(b'N')),
        (b"Infinity", Reason::UnexpectedByte(b'I')),
        (b"+1", Reason::UnexpectedByte(b'+')),
        (b".5", Reason::UnexpectedByte(b'.')),
        (b"01", Reason::InvalidNumber),
        (b"-01", Reason::InvalidNumber),
        (b"1.x", Reason::InvalidNumber),
        (b"1.e3", Reason::InvalidNumber),
        (b"1e400", Reason::NumberOverflow),
        (b"-1e400", Reason::NumberOverflow),
        (b"-0", Reason::NegativeZero),
        (b"-0.0", Reason::NegativeZero),
        (b"-0e5", Reason::NegativeZero),
        (b"-1e-400", Reason::NegativeZero),
        (b"\"a\nb\"", Reason::ControlCharacter),
        (b"\"\0\"", Reason::ControlCharacter),
        (b"\"\\x\"", Reason::InvalidEscape),
        (b"\"\\u12g4\"", Reason::InvalidEscape),
        (b"\"\\u123\"", Reason::InvalidEscape),
        (b"\"\\ud800\"", Reason::LoneSurrogate),
        (b"\"\\udc00\"", Reason::LoneSurrogate),
        (b"\"\\ud800\\u0041\"", Reason::LoneSurrogate),
        (b"\"\\ud800\\ud800\"", Reason::LoneSurrogate),
        (b"{\"a\":1,\"b\":2,\"a\":3}", Reason::DuplicateMember("a".into())),
        // The same name in another spelling.
        (b"{\"a\":1,\"\\u0061\":2}", Reason::DuplicateMember("a".into())),
    ];
    for (text, reason) in cases {
        assert_eq!(refused(text), *reason, "{:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn nesting_ends_at_the_limit() {
    let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(refused(&nested(MAX_DEPTH + 1)), Reason::TooDeep);
    assert_eq!(refused(&nested(1_000_000)), Reason::TooDeep);
    let within = |depth| Object::from_members([("a", parse(&nested(depth)).unwrap())]).unwrap();
    assert!(check_object_numbers(&within(MAX_DEPTH - 1)).is_ok());
    assert!(check_object_numbers(&within(MAX_DEPTH)).is_err());
}

#[test]
fn an_error_names_the_offending_byte() {
    assert_eq!(parse(br#"{"a":1,"a":2}"#).unwrap_err().offset, 7);
    assert_eq!(parse(b"[1, -0]").unwrap_err().offset, 4);
    assert_eq!(parse(br#"["\ud800"]"#).unwrap_err().offset, 2);
    assert_eq!(parse_canonical(br#"{"b":1,"a":2}"#).unwrap_err().offset, 2);
    assert_eq!(parse_canonical(b"1 ").unwrap_err().offset, 1);
}

#[test]
fn an_object_stays_sorted_by_utf16_units() {
    let mut object = Object::new();
    for name in ["\u{fb33}", "\u{1f600}", "b", "a", ""] {
        assert_eq!(object.insert(name, true), None);
    }
    assert_eq!(object.insert("a", 1), Some(Value::Bool(true)));
    assert_eq!(object.remove("b"), Some(Value::Bool(true)));
    assert_eq!(object.remove("b"), None);
    let names: Vec<&str> = object.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["", "a", "\u{1f600}", "\u{fb33}"]);
    assert_eq!(object.len(), 4);
    assert_eq!(object.get("a").and_then(Value::as_u64), Some(1));
}

#[test]
fn serde_json_values_convert_or_name_the_place() {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let value = Value::try_from(json(r#"{"a":[1,2.5,null,true,"x"],"b":{}}"#)).unwrap();
    assert_eq!(serde_json::Value::from(value), json(r#"{"a":[1,2.5,null,true,"x"],"b":{}}"#));
    for (text, pointer, reason) in [
        (r#"{"a":[0,9007199254740992]}"#, "/a/1", NumberError::UnsafeInteger),
        (r#"{"a/b":{"c~":-9007199254740992}}"#, "/a~1b/c~0", NumberError::UnsafeInteger),
        ("18446744073709551615", "", NumberError::UnsafeInteger),
        (r#"{"x":-0.0}"#, "/x", NumberError::NegativeZero),
    ] {
        let error = Value::try_from(json(text)).unwrap_err();
        assert_eq!((error.pointer.as_str(), error.reason), (pointer, reason));
    }
}

#[test]
fn integers_are_taken_up_to_the_safe_limit() {
    assert_eq!(Number::try_from(MAX_SAFE_INTEGER).unwrap().as_i64(), Some(MAX_SAFE_INTEGER));
    assert_eq!(Number::try_from(-MAX_SAFE_INTEGER).unwrap().as_u64(), None);
    assert_eq!(Number::try_from(MAX_SAFE_INTEGER + 1), Err(NumberError::UnsafeInteger));
    assert_eq!(Number::try_from(u64::MAX), Err(NumberError::UnsafeInteger));
    assert_eq!(Number::new(0.5).unwrap().as_i64(), None);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_filter_map("a JSON number", |f| Number::new(f).ok().map(Value::from)),
        any::<u64>().prop_filter_map("a JSON number", |bits| {
            Number::new(f64::from_bits(bits)).ok().map(Value::from)
        }),
        any::<i32>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[\u{0}-\u{20}\"\\\\a\u{e000}-\u{10ffff}]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[\u{0}-\u{7f}\u{e000}-\u{10ffff}]{0,4}", inner, 0..6)
                .prop_map(|members| Object::from_members(members).unwrap().into()),
        ]
    })
}

proptest! {
    #[test]
    fn reading_what_was_written_gives_it_back(value in any_value()) {
        let bytes = to_canonical(&value);
        prop_assert_eq!(parse_canonical(&bytes).unwrap(), value);
    }

    #[test]
    fn an_independent_writer_writes_the_same(value in any_value()) {
        let json: serde_json::Value = value.clone().into();
        let other = serde_json_canonicalizer::to_vec(&json).unwrap();
        prop_assert_eq!(String::from_utf8(to_canonical(&value)), String::from_utf8(other));
    }

    #[test]
    fn what_we_accept_serde_json_reads_as_the_same(text in "[\\[\\]{}\",:0-9eE.+\\-a-u\\\\ ]{0,24}") {
        if let Ok(value) = parse(text.as_bytes()) {
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            let other = serde_json_canonicalizer::to_vec(&json).unwrap();
            // Their integers beyond 2^53 keep digits that a double cannot: not comparable.
            let canonical = to_canonical(&value);
            if check_object_numbers(&Object::from_members([("a", value)]).unwrap()).is_ok() {
                prop_assert_eq!(canonical, other);
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse(&bytes);
    }
}
