//! Tests of decoding: from answers to cells and metadata.
use std::collections::BTreeMap;

use super::*;
use crate::telemetry::Cell;
use crate::text::with_sources;

fn rows_of(values: &str) -> Rows {
    let body = format!(r#"{{"data":{{"values":{values},"columnNamesByDeviceType":{{}}}}}}"#);
    decode(body.into_bytes()).unwrap().0
}

/// A short notation of a cell.
fn shown(rows: &Rows, cell: Cell) -> String {
    match cell {
        Cell::Absent => "-".into(),
        Cell::Bool(value) => format!("{value}"),
        Cell::Integer(value) => format!("i{value}"),
        Cell::Float(value) => format!("f{value}"),
        Cell::Text(text) => format!("'{}'", rows.text(text)),
        Cell::List(list) => {
            let elements = rows.elements(list).iter();
            let texts: Vec<_> = elements
                .map(|element| format!("{:?}:{}", element.kind, rows.text(element.text)))
                .collect();
            format!("[{}]", texts.join(" "))
        }
        Cell::Unreadable(fault) => format!("!{}", fault.name()),
    }
}

#[test]
fn cells_are_decoded() {
    for (json, expected) in [
        ("null", "-"),
        ("\"\"", "-"),
        ("[]", "-"),
        ("[null, null]", "-"),
        ("true", "true"),
        ("599686042433355775", "i599686042433355775"),
        ("0.5", "f0.5"),
        ("18446744073709551615", "f18446744073709552000"),
        ("1e999", "!number"),
        ("\"a\"", "'a'"),
        (r#""a\u00e9\"""#, "'aé\"'"),
        (r#""\ud800""#, "!text"),
        ("{\"a\":[1]}", "!shape"),
        (
            r#"[82,"x",null,1.50,true,[1],{},"\ud800"]"#,
            "[Integer:82 Text:x Float:1.50 Bool:true Unreadable: Unreadable: Unreadable:]",
        ),
    ] {
        let rows = rows_of(&format!("[[{json}]]"));
        assert_eq!(shown(&rows, rows.row(0)[0]), expected, "{json}");
    }
}

#[test]
fn an_unreadable_cell_does_not_affect_others() {
    let rows = rows_of(r#"[["u",1,"a",1e999,2],7,"x",null,{"u":1},["u",1,"\udead","b"],[]]"#);
    let all: Vec<Vec<_>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| shown(&rows, *cell)).collect())
        .collect();
    assert_eq!(
        all,
        [
            vec!["'u'", "i1", "'a'", "!number", "i2"],
            vec!["'u'", "i1", "!text", "'b'"],
            vec![]
        ]
    );
    assert_eq!((rows.received(), rows.malformed()), (7, 4));
}

#[test]
fn rows_like_the_first_are_allocated_once() {
    let cells = 16 * 1100;
    let row = format!("[{}]", vec!["1.25"; 16].join(","));
    let rows = rows_of(&format!("[{}]", vec![row; 1100].join(",")));
    assert_eq!(rows.cells.len(), cells);
    assert!(rows.cells.capacity() < cells + cells / 4);
}

#[test]
fn an_invalid_byte_affects_only_its_string() {
    let body = b"{\"data\":{\"values\":[[\"u\",\"a\xff\",\"b\"]]}}".to_vec();
    let (rows, _) = decode(body).unwrap();
    let cells: Vec<_> = rows.row(0).iter().map(|cell| shown(&rows, *cell)).collect();
    assert_eq!(cells, ["'u'", "!text", "'b'"]);
}

#[test]
fn invalid_parts_of_metadata_are_ignored() {
    for (json, expected) in [
        (
            r#"{"data":{"values":[],"columnNamesByDeviceType":{"u":["A","B"],"r":7,"i":["A",null]},"more":[{}]},
                "metadata":{"enums":{"DeviceType":{"u":"UserTerminal","x":5},"Other":1,
                "AlertsByDeviceType":{"u":{"82":"pending","83":null},"r":{},"i":3}},"more":null}}"#,
            Metadata {
                columns: BTreeMap::from([
                    ("u".into(), vec![Some("A".into()), Some("B".into())]),
                    ("i".into(), vec![Some("A".into()), None]),
                ]),
                device_types: Some(BTreeMap::from([("u".into(), "UserTerminal".into())])),
                alerts: BTreeMap::from([
                    (
                        "u".into(),
                        BTreeMap::from([("82".into(), "pending".into())]),
                    ),
                    ("r".into(), BTreeMap::new()),
                ]),
                left_out: 0,
            },
        ),
        (
            r#"{"data":{"values":[],"columnNamesByDeviceType": { "u" : ["A","\ud800",1e999], "\udead":["B"], "r": {} }},
                "metadata": {"enums": {"DeviceType": {"u": "\ud800", "r": "Router"}, "AlertsByDeviceType": {"u": {"1": 1e999, "2": "b"}}}}}"#,
            Metadata {
                columns: BTreeMap::from([("u".into(), vec![Some("A".into()), None, None])]),
                device_types: Some(BTreeMap::from([("r".into(), "Router".into())])),
                alerts: BTreeMap::from([("u".into(), BTreeMap::from([("2".into(), "b".into())]))]),
                left_out: 0,
            },
        ),
        (r#"{"data":{"values":null}}"#, Metadata::default()),
        (
            r#"{"d\u0061ta":{"\ud800":1,"\u0076alues":[]}}"#,
            Metadata::default(),
        ),
        (
            r#" {"metadata":7,"data":{"columnNamesByDeviceType":null,"values":[]}} "#,
            Metadata::default(),
        ),
        (
            r#"{"data":{"values":[]},"metadata":{"enums":{"DeviceType":[],"AlertsByDeviceType":1}}}"#,
            Metadata::default(),
        ),
    ] {
        assert_eq!(decode(json.into()).unwrap().1, expected, "{json}");
    }
}

#[test]
fn invalid_answers_have_messages() {
    for (body, expected) in [
        (
            "",
            "the answer is not the JSON that was expected: expected '{' at byte 0",
        ),
        ("<html>", "the answer looks like a web page"),
        (
            "[]",
            "the answer is not the JSON that was expected: expected '{' at byte 0",
        ),
        ("{}", "the answer has no member `data`"),
        (r#"{"data":{}}"#, "the answer has no member `data.values`"),
        (
            r#"{"data":null}"#,
            "the answer is not the JSON that was expected: expected '{' at byte 8",
        ),
        (
            r#"{"data":{"values":{}}}"#,
            "the answer is not the JSON that was expected: expected '[' at byte 18",
        ),
        (
            r#"{"data":{"values":[["u",1"#,
            "the answer is not the JSON that was expected: expected ',' or ']' at byte 25",
        ),
        (
            r#"{"data":{"values":[]}} x"#,
            "the answer is not the JSON that was expected: expected the end of the text at byte 23",
        ),
        (
            r#"{"data":{"values":[],"columnNamesByDeviceType":[]}}"#,
            "the answer is not the JSON that was expected: expected '{' at byte 47",
        ),
    ] {
        let error = decode(body.into()).unwrap_err();
        assert_eq!(with_sources(&error), expected, "{body}");
    }
}

#[test]
fn an_answer_with_a_repeated_member_of_the_envelope_is_rejected() {
    let columns = r#""columnNamesByDeviceType":{"u":["A"]}"#;
    for (body, expected) in [
        (
            format!(r#"{{"data":{{"values":[["u"]],{columns},"values":null}}}}"#),
            "the answer has more than one member `data.values`",
        ),
        (
            format!(r#"{{"data":{{{columns},"values":[],"x":1,{columns}}}}}"#),
            "the answer has more than one member `data.columnNamesByDeviceType`",
        ),
        (
            format!(r#"{{"data":{{"values":[],{columns}}},"d\u0061ta":{{"values":[]}}}}"#),
            "the answer has more than one member `data`",
        ),
    ] {
        let error = decode(body.clone().into()).unwrap_err();
        assert_eq!(with_sources(&error), expected, "{body}");
    }
}

#[test]
fn deep_nesting_affects_only_its_cell() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        for depth in [127, 5_000] {
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let rows = rows_of(&format!(r#"[["u",{deep},2],{deep},[3]]"#));
            let cells: Vec<_> = rows.iter().map(<[Cell]>::len).collect();
            assert!(
                matches!(rows.row(0)[1], Cell::Unreadable(_) | Cell::List(_)),
                "{open} {depth}"
            );
            assert_eq!(cells.first(), Some(&3), "{open} {depth}");
            assert_eq!(rows.received(), 3, "{open} {depth}");
        }
    }
}
