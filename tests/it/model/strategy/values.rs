//! Strategies for single values: timestamps, texts, numbers, identifiers, locations and addresses.

use super::*;

pub(super) fn id() -> impl Strategy<Value = Json> {
    let good = select(vec!["a", "ip-a", "b", "ip-b"]);
    let odd = select(vec![
        "ip-ip-a",
        "c d,=",
        "q\"\\\n",
        "ip-q\"\\\n",
        "ü\u{7f}\t\u{85}",
        "ip-",
        "{}",
    ]);
    let bad = select(vec![
        Json::Null,
        Json::text(""),
        number("5"),
        Json::Broken(r#""a\ud83d""#),
        Json::List(vec![Json::text("a")]),
        object(),
    ]);
    prop_oneof![
        14 => good.prop_map(Json::text),
        3 => odd.prop_map(Json::text),
        1 => bad,
    ]
}

pub(super) fn timestamp() -> impl Strategy<Value = Json> {
    let bad = select(vec![
        Json::Null,
        number("1.5"),
        number("1e18"),
        number("1e999"),
        number("99999999999999999999"),
        Json::text("1756537212000000000"),
        Json::Bool(true),
        Json::List(vec![number("1")]),
    ]);
    let odd = [
        "0",
        "-0",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "1756537212123456789",
        "1546300799999999999",
        "1546300800000000000",
    ];
    prop_oneof![
        12 => (1..6i64).prop_map(|seconds| number(&(START + seconds * 1_000_000_000).to_string())),
        4 => (0..3_000_000_000i64).prop_map(|nanos| number(&(START + nanos).to_string())),
        // Near the limit of timestamps in the future, at the start and some steps later.
        2 => (select(vec![600, 615, 630, 700, 86_400]), -1..=1i64)
            .prop_map(|(seconds, off)| number(&(START + seconds * 1_000_000_000 + off).to_string())),
        2 => select(odd.to_vec()).prop_map(number),
        1 => bad,
    ]
}

pub(super) fn any_text() -> impl Strategy<Value = String> {
    let char = select(vec![
        'a', 'Z', '7', '.', '-', '+', 'e', 'E', ';', ' ', '"', '\\', '\n', '\r', '\t', '\0', ',',
        '=', 'é', '𝄞', '\u{85}', '\u{fffd}',
    ]);
    vec(char, 1..5).prop_map(|chars| chars.into_iter().collect())
}

pub(super) fn any_number() -> impl Strategy<Value = String> {
    let odd = [
        "0",
        "-0",
        "-0.0",
        "2.50",
        "1e3",
        "1E+3",
        "1e-3",
        "1e-999",
        "9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "1.7976931348623157e308",
        "5e-324",
        "123456789012345678901234567890",
        "0.1000000000000000055511151231257827021181583404541015625",
    ];
    prop_oneof![
        3 => (-1000..1000i32).prop_map(|value| value.to_string()),
        2 => any::<f32>()
            .prop_filter("JSON has no such number", |value| value.is_finite())
            .prop_map(|value| format!("{value:e}")),
        2 => any::<i64>().prop_map(|value| value.to_string()),
        1 => (any::<u64>(), 0..400usize, any::<i16>()).prop_map(|(digits, zeros, exponent)| {
            format!("0.{}{digits}e{}", "0".repeat(zeros / 10), exponent % 330)
        }),
        2 => select(odd.to_vec()).prop_map(str::to_owned),
    ]
}

/// Strings that are numbers or similar to numbers.
pub(super) fn numeric_text() -> impl Strategy<Value = String> {
    let odd = [
        "+2.50e1", "1.", "1.e5", ".5", "+", "-", "1e", "1e+", "1e999", "-1e999", "nan", "inf",
        "Infinity", "0x10", " 1", "1 ", "1_000", "１", "00012", "+0", "1e-999", "1;2", "--1",
        "1e5.0", "1.2.3",
    ];
    prop_oneof![select(odd.to_vec()).prop_map(str::to_owned), any_number()]
}

/// An ordinary cell.
pub(super) fn field() -> impl Strategy<Value = Json> {
    let element = prop_oneof![
        2 => Just(Json::Null),
        4 => any_number().prop_map(Json::Number),
        3 => any_text().prop_map(Json::Text),
        2 => numeric_text().prop_map(Json::Text),
        1 => any::<bool>().prop_map(Json::Bool),
        1 => Just(Json::text("")),
        1 => select(vec![object(), Json::List(Vec::new()), Json::List(vec![number("1")]), Json::Broken(r#""\ud800\u0041""#)]),
    ];
    let unreadable = vec![
        object(),
        Json::Object(Vec::new()),
        number("1e999"),
        number("-1E+400"),
        number(&"9".repeat(400)),
        Json::Broken(r#""\ud800""#),
        Json::Broken(r#""a\udfffb""#),
        Json::Broken(r#""\ud83d\ud83d""#),
    ];
    prop_oneof![
        4 => any_number().prop_map(Json::Number),
        3 => any_text().prop_map(Json::Text),
        2 => numeric_text().prop_map(Json::Text),
        1 => any::<bool>().prop_map(Json::Bool),
        2 => vec(element, 0..4).prop_map(Json::List),
        2 => select(absent()),
        1 => select(unreadable),
    ]
}

pub(super) fn h3_cell() -> impl Strategy<Value = Json> {
    let indices = [
        "599686042433355775",
        "599685771850416127",
        "12",
        "0",
        "-1",
        "9223372036854775807",
        "18446744073709551615",
    ];
    let texts = [
        "85283473fffffff",
        "+85283473fffffff",
        "85283473FFFFFFF",
        "085283473fffffff",
        "8f2834700000000",
        "nowhere",
        "599686042433355775",
        "0",
        "-1",
        "85283473fffffff0",
        "0x85283473fffffff",
        "0x085283473FFFFFFF",
        "0x599686042433355775",
        "599686042433355",
        "0599686042433355775",
        "85283473ffffff",
    ];
    prop_oneof![
        4 => select(indices.to_vec()).prop_map(number),
        2 => select(texts.to_vec()).prop_map(Json::text),
        1 => any::<u64>().prop_map(|value| number(&value.to_string())),
        1 => select(vec![
            number("1.5"),
            number("5.99686042433355775e17"),
            number("1e999"),
            Json::Bool(true),
            object(),
            Json::Broken(r#""\ud800""#),
        ]),
        1 => select(absent()),
    ]
}

pub(super) fn alert() -> impl Strategy<Value = Json> {
    prop_oneof![
        6 => select(vec!["82", "55", "7", "-1", "0"]).prop_map(number),
        3 => select(vec!["82", "x-y", "disabled", "größe \"\n", " "]).prop_map(Json::text),
        1 => select(vec![Json::Null, Json::Bool(true), number("1.5"), object(), Json::List(vec![number("82")])]),
    ]
}

pub(super) fn address() -> impl Strategy<Value = Json> {
    let good = [
        "192.0.2.1",
        "192.0.2.1/24",
        "255.255.255.255/32",
        "0.0.0.0",
        "2001:db8:1::/64",
        "2001:db8:1::1",
        "::",
        "::ffff:192.0.2.1/128",
        "::ffff:c000:201",
        "::ffff:192.0.2.7/100",
        "2001:db8:0:ffff::/56",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ];
    let bad = [
        "x",
        "192.0.2",
        "192.0.2.256",
        "2001:db8::1::",
        "192.0.2.1 ",
        "-",
        "1",
        "2001:db8:1::/x",
    ];
    prop_oneof![
        6 => select(good.to_vec()).prop_map(Json::text),
        2 => select(bad.to_vec()).prop_map(Json::text),
        1 => select(vec![Json::Null, number("7"), Json::Bool(true), object()]),
    ]
}
