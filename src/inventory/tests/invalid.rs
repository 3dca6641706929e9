//! Tests of entries that cannot be read, or for which there is no room.

use super::*;

#[test]
fn suspensions_that_cannot_be_read_are_an_error() {
    let parse = |suspensions: &str| {
        let body = format!(r#"{{"content":{{"activeSuspensions":{suspensions}}}}}"#);
        let account = parse_account(body.as_bytes(), &BOUNDS)?;
        Ok::<_, AnswerError>(account.suspensions)
    };
    for (suspensions, expected) in [
        ("null", Some("")),
        ("[]", Some("")),
        (r#"["b","a","b"]"#, Some("a,b")),
        (r#"["a",{"reason":"b"}]"#, Some("a")),
        (r#"[{"reason":"b"}]"#, None),
        (r#"[""]"#, None),
    ] {
        let read = parse(suspensions).ok().map(|read| read.join(","));
        assert_eq!(read.as_deref(), expected, "{suspensions}");
    }
}

#[test]
fn last_values_that_cannot_be_read_are_counted() {
    let answer = |terminals: &str| {
        let body = format!(r#"{{"content":{{"userTerminals":{terminals}}}}}"#);
        last_known::stream_answer(body.as_bytes(), |_| true)
    };
    let good = r#"{"userTerminalId":"a","timestamp":"2026-11-10T00:00:00Z"}"#;
    let bad = r#"{"userTerminalId":"b","timestamp":"soon"},{"timestamp":"2026-11-10T00:00:00Z"},7"#;
    for (terminals, rejected) in [
        (format!("[{good}]"), 0),
        (format!("[{good},{bad}]"), 3),
        (format!(r#"{{"a":{good},"b":7}}"#), 1),
    ] {
        assert_eq!(answer(&terminals).unwrap().rejected.entries, rejected);
    }
    let error = answer(&format!("[{bad}]")).unwrap_err().to_string();
    assert!(error.starts_with("all 3 entries are invalid: "), "{error}");
}

#[test]
fn a_terminal_whose_line_has_no_room_has_an_unknown_activity() {
    use Activity::{Active, Inactive, Unknown};

    let bounds = Bounds {
        entries: 3,
        ..BOUNDS
    };
    let numbers = ["L1", "L2", "L3", "L4", "L5"];
    let lines = numbers
        .map(|number| format!(r#"{{"serviceLineNumber":"{number}","active":true}}"#))
        .to_vec();
    let pages = lines
        .chunks(2)
        .map(|lines| Lines::parse(&page(lines), &bounds).unwrap().entries);
    let pages: Vec<_> = pages.collect();
    let lines = Lines::merged(None, &pages, &bounds);
    assert_eq!((lines.len(), lines.left_out()), (3, 2));
    let all = Lines::merged(None, &pages, &BOUNDS);
    assert_eq!((all.len(), all.left_out()), (5, 0));
    let terminals = [
        ("a", "\"L1\""),
        ("b", "\"L5\""),
        ("c", "\"L9\""),
        ("d", "null"),
    ]
    .map(|(id, line)| format!(r#"{{"userTerminalId":"{id}","serviceLineNumber":{line}}}"#));
    let terminals = Terminals::parse(&page(&terminals), &BOUNDS)
        .unwrap()
        .entries;
    let activities = |lines: Lines| {
        let inventory = Inventory {
            terminals: Some(Known {
                at: 0.0,
                value: Arc::new(terminals.clone()),
            }),
            lines: Some(Known {
                at: 0.0,
                value: Arc::new(lines),
            }),
            ..Inventory::default()
        };
        assert_eq!(inventory.left_out(Part::Terminals), 0);
        let directory = Directory::of(vec![("a".into(), Arc::new(inventory))]);
        let activity = |entry| directory.terminal(entry).map(|listed| listed.activity);
        directory.entries().filter_map(activity).collect::<Vec<_>>()
    };
    assert_eq!(activities(lines), [Active, Unknown, Unknown, Inactive]);
    assert_eq!(activities(all), [Active, Active, Inactive, Inactive]);
}

#[test]
fn a_bad_entry_costs_only_that_entry() {
    let bad = [
        r#"{"userTerminalId":"","nickname":"no ID"}"#,
        r#"{"nickname":"no ID"}"#,
        r#"{"userTerminalId":null}"#,
        r#"{"userTerminalId":"x","nickname":7}"#,
        r#""a text""#,
        "null",
        "[]",
    ];
    let good = r#"{"userTerminalId":"ut0a","new":{"member":[1e400]},"nickname":null}"#;
    let mut entries: Vec<_> = bad.map(str::to_owned).to_vec();
    entries.push(good.to_owned());
    let page = Terminals::parse(&self::page(&entries), &BOUNDS).unwrap();
    assert_eq!(page.rejected.entries, bad.len());
    assert_eq!(
        page.entries.iter().map(|it| it.id).collect::<Vec<_>>(),
        ["0a"]
    );
    // Only bad entries are a new shape, not an account without terminals.
    let bad = bad.map(str::to_owned);
    let page = Terminals::parse(&self::page(&bad), &BOUNDS).unwrap();
    let error = check_reading(page.entries.len(), &page.rejected).unwrap_err();
    assert_eq!(
        error.to_string(),
        "all 7 entries are invalid: missing field `userTerminalId`"
    );
    assert!(check_reading(1, &page.rejected).is_ok());
    assert!(check_reading(0, &Rejected::default()).is_ok());
    assert!(Parsed::Terminals(page).check_entries().is_err());
}
