//! Tests of last known values: they count as old until a row of the stream comes, and do not decide the account of a terminal.

use super::*;

const LAST_KNOWN: &str = r#"{"content":{"userTerminals":{"a":{"userTerminalId":"a","timestamp":"1970-01-01T00:00:05Z",
    "downlinkThroughputMbps":1.5,"h3CellId":"85283473fffffff","runningSoftwareVersion":"v1","countryCode":null,
    "ipAllocations":{"ipv4":["192.0.2.1"],"ipv6Ue":[],"ipv6Cpe":[],"timestamp":"1970-01-01T00:00:04Z"}},
    "b":{"timestamp":"1970-01-01T00:00:06+00:00"},"bad":{"timestamp":"never"}}}}"#;

#[test]
fn last_known_values_are_stale_until_a_row_comes() {
    let mut world = World::new();
    let terminals = [("a", Some("L")), ("b", None), ("c", Some("L"))];
    world.list("default", inventory(&terminals, Some(&[("L", true)])));
    world.rows_of_inventory("default", r#"["u",1000000000,"utc",1]"#);
    world.listen(60);
    world.last_known(LAST_KNOWN);
    let stale = [
        r#"Ipv4_numeric{"uta"} 3221225985"#,
        r#"latitude{"uta"} 37.34579337536848"#,
        r#"longitude{"uta"} -121.9763759725512"#,
        r#"last_report_timestamp_seconds{"uta"} 5"#,
        r#"last_report_timestamp_seconds{"utb"} 6"#,
    ];
    let lines = world.lines();
    for line in stale {
        assert!(
            lines.iter().any(|found| found == line),
            "{line}: {lines:#?}"
        );
    }
    assert!(
        lines
            .iter()
            .any(|line| line.contains(r#"runningsoftwareversion="v1""#))
    );
    assert_eq!(world.presence("uta"), Presence::Stale);
    assert!(!lines.iter().any(|line| line.contains("DownlinkThroughput")));
    // Silence counts since the terminal was listed, not since the values came.
    world.listen(60);
    assert_eq!(world.presence("uta"), Presence::Offline);
    assert_eq!(
        world.presence("utb"),
        Presence::Stale,
        "it has no active line"
    );
    // A row of the stream counts, also an older one.
    world.rows_of_inventory("default", r#"["u",3000000000,"uta",7]"#);
    assert!(world.lines().contains(&r#"Speed{"uta"} 7"#.to_owned()));
    world.last_known(LAST_KNOWN);
    assert!(world.lines().contains(&r#"Speed{"uta"} 7"#.to_owned()));
}

#[test]
fn any_row_replaces_last_known_values_in_a_young_process() {
    // The values are newer than the rows, and the process is younger than STALE_AFTER.
    let row = r#"["u",3000000000,"uta",7],["i",2000000000,"uta","ACC",["192.0.2.9"]]"#;
    for restarts in [false, true] {
        let mut world = World::new();
        world.now = 5000;
        world.list(
            "default",
            inventory(&[("a", Some("L"))], Some(&[("L", true)])),
        );
        world.last_known(LAST_KNOWN);
        if restarts {
            world.restart();
        }
        assert_eq!(world.presence("uta"), Presence::Stale);
        world.now += 1000;
        world.rows_of_inventory("default", row);
        assert_eq!(world.presence("uta"), Presence::Online);
        assert!(world.changes.is_empty(), "{:?}", world.changes);
        let lines = world.lines();
        for line in [
            r#"Speed{"uta"} 7"#,
            r#"last_report_timestamp_seconds{"uta"} 3"#,
            r#"Ipv4_numeric{"uta"} 3221225993"#,
        ] {
            assert!(
                lines.iter().any(|found| found == line),
                "{line}: {lines:#?}"
            );
        }
        let account = world.fleet.find_account("default").unwrap();
        let gaps = world
            .fleet
            .reports_skipped(account, Moment::from_millis(world.now));
        assert_eq!(gaps, None, "the values are no report");
        // From now on, older rows are ignored.
        world.rows_of_inventory("default", r#"["u",2999999999,"uta",8]"#);
        assert!(world.lines().contains(&r#"Speed{"uta"} 7"#.to_owned()));
    }
}

#[test]
fn a_terminal_with_last_known_values_moves_to_the_account_that_delivers_it() {
    let mut world = World::new();
    world.now = 5000;
    let listed = inventory(&[("a", Some("L"))], Some(&[("L", true)]));
    world.list("default", listed);
    world.last_known(LAST_KNOWN);
    world.rows_of_inventory("other", r#"["u",3000000000,"uta",7]"#);
    let device = ("uta".to_owned(), Presence::Online, "other".to_owned());
    assert_eq!(world.devices().first(), Some(&device));
}

/// Only the values of one terminal.
const LAST_KNOWN_A: &str =
    r#"{"content":{"userTerminals":{"a":{"timestamp":"1970-01-01T00:00:05Z"}}}}"#;

fn listed_terminal() -> Inventory {
    inventory(&[("a", Some("L"))], Some(&[("L", true)]))
}

#[test]
fn last_known_values_do_not_decide_the_account_of_a_terminal() {
    let mut world = World::new();
    world.now = 5000;
    let device = |presence, account: &str| [("uta".to_owned(), presence, account.to_owned())];
    world.list("y", listed_terminal());
    world.list("x", listed_terminal());
    world.last_known_of("y", LAST_KNOWN_A);
    assert_eq!(
        world.devices(),
        device(Presence::Stale, "x"),
        "x is first by name"
    );
    // The inventory decides for another account before any row has come.
    world.list("x", inventory(&[("a", None)], Some(&[])));
    assert_eq!(world.devices(), device(Presence::Stale, "y"));
    let lines = world.lines();
    let report = r#"last_report_timestamp_seconds{"uta"} 5"#.to_owned();
    assert!(lines.contains(&report), "{lines:#?}");
    world.rows_of_inventory("y", r#"["u",1000000000,"uta",1]"#);
    world.list("x", listed_terminal());
    assert_eq!(
        world.devices(),
        device(Presence::Online, "y"),
        "y delivers it"
    );
}

#[test]
fn last_known_values_make_room_for_devices_that_report() {
    let mut world = World::with(|options| options.limits.devices = 3);
    let terminals = ["a", "b", "c", "d", "e"];
    let listed: Vec<_> = terminals.iter().map(|id| (*id, Some("L"))).collect();
    world.list("default", inventory(&listed, Some(&[("L", true)])));
    let values = |id: &&str| {
        format!(
            r#""{id}":{{"timestamp":"1970-01-01T00:00:05Z","uptimeSeconds":1,"ipAllocations":{{"ipv4":["192.0.2.1"]}}}}"#
        )
    };
    let values: Vec<_> = terminals.iter().map(values).collect();
    world.last_known(&format!(
        r#"{{"content":{{"userTerminals":{{{}}}}}}}"#,
        values.join(",")
    ));
    world.rows_of_inventory(
        "default",
        r#"["u",1,"utx",1],["u",1,"uty",1],["u",1,"utz",1]"#,
    );
    let found: Vec<_> = world.devices().into_iter().map(|(id, ..)| id).collect();
    assert_eq!(found, ["utx", "uty", "utz"]);
}

#[test]
fn the_type_of_terminals_without_rows_has_the_name_of_the_enum() {
    let named = |rows: &str, enums: &str| {
        let columns = r#""u":["DeviceType","UtcTimestampNs","DeviceId"],"r":["DeviceType","UtcTimestampNs","DeviceId"]"#;
        format!(
            r#"{{"data":{{"values":[{rows}],"columnNamesByDeviceType":{{{columns}}}}},"metadata":{{"enums":{{"DeviceType":{enums}}}}}}}"#
        )
    };
    let name = |world: &World| world.fleet.snapshot().tables[0].name.to_string();
    let mut world = World::new();
    world.list("default", listed_terminal());
    world.last_known(LAST_KNOWN_A);
    assert_eq!(name(&world), "UserTerminal");
    for (rows, enums, expected) in [
        // An answer without rows of terminals.
        ("", r#"{"r":"Router"}"#, "UserTerminal"),
        (r#"["r",1,"Router-1"]"#, r#"{"u":"Dish"}"#, "Dish"),
        ("", r#"{"u":"Router","r":"Router"}"#, "Router_u"),
        ("", r#"{"u":"Terminal"}"#, "Terminal"),
        ("", r#"{"r":"Router"}"#, "Terminal"),
        // From the first row on, rows bring the name.
        (r#"["u",1,"utb"]"#, r#"{"u":"Antenna"}"#, "Antenna"),
        ("", r#"{"u":"Dish"}"#, "Antenna"),
    ] {
        world.answer(&named(rows, enums));
        assert_eq!(name(&world), expected, "{rows} {enums}");
    }
}
