//! Tests that generated answers of the management API have the shape of the fixtures, and that the service reads them.

use super::management::{TELEMETRY, USAGE, ask, options};
use super::*;
use crate::inventory::{
    Bounds, Lines, Terminals, Usages, last_known, parse_account, parse_balances,
};

const BOUNDS: Bounds = Bounds {
    routers: true,
    ..Bounds::STANDARD
};

/// The whole answer of a part, on one page.
fn answer(part: Part) -> Value {
    let simulator = start(Options {
        inventory: Some(InventoryOptions {
            silent: 2,
            never_heard: 2,
            deactivated: 2,
            in_store: 2,
            suspensions: vec!["PastDueBalance".to_owned()],
            ..InventoryOptions::default()
        }),
        terminals: 90,
        ..options()
    });
    let (query, body) = match part {
        Part::DataUsage => ("?limit=250", USAGE),
        Part::Telemetry => ("", TELEMETRY),
        _ => ("", ""),
    };
    let path = format!("{}{query}", part.path());
    let (status, answer) = run(ask(&simulator, part.method(), &path, body));
    assert_eq!(status, 200, "{part:?}");
    answer
}

fn fixture(name: &str) -> Value {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/inventory");
    let text = std::fs::read(format!("{directory}/{name}.json")).expect("a fixture");
    serde_json::from_slice(&text).expect("JSON")
}

/// The path of each member, with the type of its value unless it is null or a list or object without elements. Numbers are
/// one type. The members of `userTerminals` are IDs, so they are one path.
fn shape(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => return,
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(elements) => {
            for element in elements {
                shape(element, &format!("{path}[]"), paths);
            }
            return;
        }
        Value::Object(members) => {
            for (name, member) in members {
                let name = if path.ends_with("userTerminals") {
                    "*"
                } else {
                    name
                };
                paths.insert(format!("{path}.{name}"));
                shape(member, &format!("{path}.{name}"), paths);
            }
            return;
        }
    };
    paths.insert(format!("{path}: {kind}"));
}

#[test]
fn answers_have_the_shape_of_the_fixtures() {
    for (part, fixtures) in [
        (Part::Account, &["account", "account-suspended"][..]),
        (Part::Terminals, &["user-terminals"]),
        (Part::ServiceLines, &["service-lines"]),
        (Part::DataUsage, &["data-usage"]),
        (Part::Balance, &["balance"]),
        (Part::Telemetry, &["telemetry-query"]),
    ] {
        let mut generated = BTreeSet::new();
        shape(&answer(part), "", &mut generated);
        let mut expected = BTreeSet::new();
        for name in fixtures {
            shape(&fixture(name), "", &mut expected);
        }
        // What is null or empty in all fixtures may have any type.
        let is_open = |path: &&String| {
            let place = path.split(": ").next();
            let of_place = |other: &String| other.split(": ").next() == place && other != *path;
            path.contains(": ")
                && !expected
                    .iter()
                    .any(|other| other.contains(": ") && of_place(other))
        };
        let added: Vec<_> = generated
            .difference(&expected)
            .filter(|path| !is_open(path))
            .collect();
        assert!(added.is_empty(), "{part:?}: {added:?}");
        let missing: Vec<_> = expected.difference(&generated).collect();
        assert!(missing.is_empty(), "{part:?}: {missing:?}");
    }
}

#[test]
fn an_answer_about_a_missing_permission_has_the_form_of_starlink() {
    let body = Answer::forbidden().body.expect("a body");
    let error: Value = serde_json::from_slice(&body).expect("JSON");
    let expected = json!({
        "errors": [{"memberNames": [], "errorMessage": "user_lacks_required_permission"}],
        "warnings": [], "information": [], "isValid": false,
    });
    assert_eq!(error, expected);
}

#[test]
fn the_service_reads_all_generated_entries() {
    let text = |part| answer(part).to_string().into_bytes();
    let terminals = Terminals::parse(&text(Part::Terminals), &BOUNDS).expect("a page");
    assert_eq!(
        (terminals.entries.len(), terminals.rejected.entries),
        (98, 0)
    );
    assert_eq!(terminals.entries.router_count(), 92);
    assert!(terminals.is_last);
    let lines = Lines::parse(&text(Part::ServiceLines), &BOUNDS).expect("a page");
    assert_eq!((lines.entries.len(), lines.rejected.entries), (96, 0));
    for terminal in terminals.entries.iter() {
        let line = terminal.service_line.map(|line| lines.entries.find(line));
        assert_ne!(line, Some(None), "{}", terminal.id);
    }
    let usage = Usages::parse(&text(Part::DataUsage), 0.0, &BOUNDS).expect("a page");
    assert_eq!((usage.entries.len(), usage.rejected.entries), (94, 0));
    assert_eq!(usage.entries.pools().len(), 2);

    let account = parse_account(&text(Part::Account), &BOUNDS).expect("an account");
    assert_eq!(account.suspensions, ["PastDueBalance"]);
    let balances = parse_balances(&text(Part::Balance), &BOUNDS).expect("balances");
    assert_eq!(balances.len(), 2);
    let rows = last_known::stream_answer(&text(Part::Telemetry), |_| true).expect("rows");
    assert!(String::from_utf8_lossy(&rows.body).contains("ut01000000-00000000-00aa0001"));
}
