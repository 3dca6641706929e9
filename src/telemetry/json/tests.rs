//! Tests of the parser: compared with `serde_json`, and with texts that are nearly JSON.
use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

fn number(text: &str) -> Number {
    Reader::new(text).number().unwrap().1
}

/// Whether the whole text is accepted.
fn accepts(text: &str) -> bool {
    let mut reader = Reader::new(text);
    reader.skip().and_then(|_| reader.end()).is_ok()
}

#[test]
fn numbers_have_their_values() {
    for (text, expected) in [
        ("0", Number::Integer(0)),
        ("-0", Number::Integer(0)),
        (
            "599686042433355775",
            Number::Integer(599_686_042_433_355_775),
        ),
        ("9223372036854775807", Number::Integer(i64::MAX)),
        ("-9223372036854775808", Number::Integer(i64::MIN)),
        (
            "9223372036854775808",
            Number::Float(9_223_372_036_854_775_808.0),
        ),
        (
            "123456789012345678901234567890",
            Number::Float(1.234_567_890_123_456_8e29),
        ),
        ("0.115", Number::Float(0.115)),
        ("-46.6205", Number::Float(-46.6205)),
        ("1e2", Number::Float(100.0)),
        ("1E+2", Number::Float(100.0)),
        ("125e-3", Number::Float(0.125)),
        ("0.00000000000000000000000000001", Number::Float(1e-29)),
        ("12345678", Number::Integer(12_345_678)),
        ("1234567.12345678", Number::Float(1_234_567.123_456_78)),
        ("9007199254740993.0", Number::Float(9_007_199_254_740_992.0)),
        ("1e-999", Number::Float(0.0)),
        ("1e999", Number::TooLarge),
        ("-1e999", Number::TooLarge),
        ("1e99999999999999999999", Number::TooLarge),
        ("0e99999999999999999999", Number::Float(0.0)),
    ] {
        assert_eq!(number(text), expected, "{text}");
    }
}

#[test]
fn invalid_texts_are_rejected_with_the_position_of_the_error() {
    for (text, at, expected) in [
        ("", 0, "a value"),
        ("[1,]", 3, "a value"),
        ("[1 2]", 3, "',' or ']'"),
        ("[1", 2, "',' or ']'"),
        ("{\"a\" 1}", 5, "':'"),
        ("{1:2}", 1, "a string"),
        ("{\"a\":1,}", 7, "a string"),
        ("[12345678,", 10, "a value"),
        ("12345678.", 9, "a digit"),
        ("\"abcdefgh", 9, "the rest of a string"),
        ("\"abcdefgh\n\"", 9, "the rest of a string"),
        ("\"a", 2, "the rest of a string"),
        ("\"\u{1}\"", 1, "the rest of a string"),
        ("\"\\x\"", 2, "an escape"),
        ("\"\\u12g4\"", 5, "a hexadecimal digit"),
        ("01", 1, "the end of the text"),
        ("1.", 2, "a digit"),
        ("1e", 2, "a digit"),
        ("-", 1, "a digit"),
        ("nul", 0, "null"),
        ("truE", 0, "true"),
        ("<html>", 0, "a value"),
    ] {
        let mut reader = Reader::new(text);
        let error = reader.skip().and_then(|_| reader.end()).unwrap_err();
        assert_eq!(error, JsonError { at, expected }, "{text}");
    }
}

#[test]
fn nesting_is_unlimited_and_checked_at_every_level() {
    for depth in [1, 63, 64, 65, 127, 128, 129, 193, 1_000_000] {
        // Arrays and objects in a pattern that does not repeat every 64 levels.
        let is_object = |level: usize| level.is_multiple_of(3);
        let open: String = (0..depth)
            .map(|level| if is_object(level) { "{\"a\":" } else { "[" })
            .collect();
        let close = |wrong: Option<usize>| -> String {
            let levels = (0..depth).rev();
            let bracket = |level| match is_object(level) != (wrong == Some(level)) {
                true => '}',
                false => ']',
            };
            levels.map(bracket).collect()
        };
        assert!(accepts(&format!("{open}1{}", close(None))), "{depth}");
        assert!(!accepts(&format!("{open}1{}", &close(None)[1..])));
        for wrong in [0, depth / 2, depth - 1] {
            assert!(!accepts(&format!("{open}1{}", close(Some(wrong)))));
        }
    }
}

#[test]
fn escapes_are_decoded_and_lone_surrogates_are_rejected() {
    for (content, expected) in [
        (r"plain", Some("plain")),
        (r#"a\"b\\c\/d"#, Some("a\"b\\c/d")),
        (r"\b\f\n\r\t", Some("\u{8}\u{c}\n\r\t")),
        (r"\u00e9\u20AC", Some("é€")),
        (r"\ud83d\udef0 x", Some("🛰 x")),
        (r"\ud800", None),
        (r"\ud800\ud800", None),
        (r"\udc00x", None),
        (r"\ud83dx", None),
    ] {
        let mut out = String::from("kept");
        let readable = unescape(content, &mut out);
        assert_eq!(readable.then(|| &out[4..]), expected, "{content}");
        assert!(out.starts_with("kept"));
        assert!(readable || out == "kept");
    }
}

/// JSON texts, and texts that are nearly JSON.
fn nearly_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:e}")),
        "-?[0-9]{1,25}(\\.[0-9]{0,25})?([eE][+-]?[0-9]{1,3})?",
        "\"[a-z\\\\\"u0-9/]{0,8}\"",
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    let tree = leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5)
                .prop_map(|all| format!("[{}]", all.join(" , "))),
            prop::collection::vec(("[a-z]{0,3}", inner), 0..5).prop_map(|all| {
                let members: Vec<_> = all.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    });
    (
        tree,
        any::<prop::sample::Index>(),
        "[\\[\\]{},:\"0e.+n\\-]?",
    )
        .prop_map(|(mut text, place, noise)| {
            let places: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
            if !noise.is_empty() && !places.is_empty() {
                text.insert_str(places[place.index(places.len())], &noise);
            }
            text
        })
}

/// Windows of bytes that are likely to mean something.
fn window() -> impl Strategy<Value = [u8; WINDOW]> {
    let byte = prop_oneof![
        any::<u8>(),
        b'0'..=b'9',
        Just(b'"'),
        Just(b'\\'),
        0x1e..0x24_u8
    ];
    prop::array::uniform8(byte)
}

proptest! {
    #[test]
    fn windows_give_the_same_result_as_single_bytes(bytes in window()) {
        let plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..0x20);
        let count = bytes.iter().take_while(|byte| plain(byte)).count();
        prop_assert_eq!(plain_bytes(u64::from_le_bytes(bytes)), count);

        let digits: String =
            bytes.iter().map(|byte| char::from(*byte)).take_while(char::is_ascii_digit).collect();
        let expected = (digits.len(), digits.parse().unwrap_or(0));
        prop_assert_eq!(leading_digits(u64::from_le_bytes(bytes)), expected);
    }

    #[test]
    fn accepts_what_serde_json_accepts(text in nearly_json()) {
        prop_assert_eq!(accepts(&text), serde_json::from_str::<IgnoredAny>(&text).is_ok());
    }

    #[test]
    fn floats_are_rounded_correctly(text in "-?(0|[1-9][0-9]{0,20})\\.[0-9]{1,20}([eE][+-]?[0-9]{1,3})?") {
        let expected: f64 = text.parse().unwrap();
        let expected = if expected.is_finite() { Number::Float(expected) } else { Number::TooLarge };
        prop_assert_eq!(number(&text), expected);
    }

    #[test]
    fn floats_of_many_digits_are_rounded_correctly(mantissa in any::<u64>(), places in 1..30_usize) {
        let digits = format!("{mantissa:0width$}", width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let text = format!("{whole}.{fraction}");
        prop_assert_eq!(number(&text), Number::Float(text.parse().unwrap()), "{}", text);
    }

    #[test]
    fn floats_and_numbers_halfway_between_them_are_rounded_correctly(bits in any::<u32>(), scale in 0..30_i32) {
        // A float of few bits and the middle to its neighbour have short, exact decimals.
        let float = f64::from(bits) / 2_f64.powi(scale);
        let middle = float + 2_f64.powi(-scale - 1);
        for text in [float, middle, float.next_up(), float.next_down()].map(|value| format!("{value:?}")) {
            prop_assert_eq!(number(&text), Number::Float(text.parse().unwrap()), "{}", text);
        }
    }

    #[test]
    fn strings_equal_those_of_serde_json(text in any::<String>()) {
        let json = serde_json::to_string(&text).unwrap();
        let mut reader = Reader::new(&json);
        let token = reader.string().unwrap();
        let mut content = String::new();
        prop_assert!(unescape(reader.slice(token.span), &mut content));
        prop_assert_eq!(content, text);
    }
}
