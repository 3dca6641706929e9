//! Tests of single cells: locations, addresses, alert names, and columns that a setting drops.

use super::{World, body};
use crate::telemetry::{CellFault, FieldFilter};

fn shown(world: &World, name: &str) -> Vec<String> {
    let lines = world.lines().into_iter();
    lines.filter(|line| line.starts_with(name)).collect()
}

fn rejected(tally: &crate::fleet::Tally, fault: &str) -> u64 {
    let fault = CellFault::ALL.into_iter().find(|one| one.name() == fault);
    fault.map_or(0, |fault| tally.cells.of(fault))
}

/// The centre of 8f2830828052d25, a cell of resolution 15 (San Francisco), and of 85283473fffffff.
#[test]
fn h3_cells_are_read_in_every_notation() {
    // A notation, whether there is a gauge, whether there is a location.
    for (cell, gauge, place) in [
        ("644721767721807141", true, true),
        (r#""8f2830828052d25""#, false, true),
        (r#""8F2830828052D25""#, false, true),
        (r#""0x8f2830828052d25""#, false, true),
        (r#""08f2830828052d25""#, false, true),
        (r#""0x08f2830828052d25""#, false, true),
        (r#""644721767721807141""#, false, true),
        // Too many or too few digits for hexadecimal, and not a decimal number.
        (r#""008f2830828052d25""#, false, false),
        (r#""8f2830828052d2""#, false, false),
        (r#""0x644721767721807141""#, false, false),
        (r#""+644721767721807141""#, false, false),
        (r#""8f2830828052d25 ""#, false, false),
        (r#""San Francisco""#, false, false),
        (r#""99999999999999999999999""#, false, false),
        ("644721767721807142.5", false, false),
        ("6.44721767721807141e17", false, false),
        ("18446744073709551615", false, false),
        ("5006544985028034", true, false),
        ("0", true, false),
        ("-2", true, false),
        ("false", false, false),
        (r#"["8f2830828052d25"]"#, false, false),
    ] {
        let mut world = World::new();
        let tally = world.rows(&format!(r#"["u",1,"a",null,null,{cell}]"#));
        let has = |name: &str| !shown(&world, name).is_empty();
        assert_eq!(has("H3CellId"), gauge, "gauge of {cell}");
        assert_eq!(has("latitude"), place, "latitude of {cell}");
        assert_eq!(has("longitude"), place, "longitude of {cell}");
        assert_eq!(rejected(&tally, "location"), u64::from(!place), "{cell}");
        assert_eq!(tally.cells.total(), u64::from(!place), "{cell}");
        assert!(!has("info"), "{cell}");
    }
    for absent in ["null", "\"\"", "[]"] {
        let mut world = World::new();
        let tally = world.rows(&format!(r#"["u",1,"a",null,null,{absent}]"#));
        assert_eq!(tally.cells.total(), 0, "{absent}");
    }
    for (unreadable, fault) in [
        ("1e400", "number"),
        ("{}", "shape"),
        (r#""\udc00""#, "text"),
    ] {
        let mut world = World::new();
        let tally = world.rows(&format!(r#"["u",1,"a",null,null,{unreadable}]"#));
        assert_eq!(rejected(&tally, fault), 1, "{unreadable}");
        assert_eq!(tally.cells.total(), 1, "{unreadable}");
    }
}

#[test]
fn addresses_are_numbered_in_ascending_order_each_once() {
    let columns = [
        "[\"203.0.113.7\",\"198.51.100.9\",\"203.0.113.7/32\"]",
        "[\"198.51.100.9\",\"203.0.113.7\"]",
        "[\"203.0.113.7\",\"203.0.113.7\",\"198.51.100.9/24\",\"198.51.100.9\"]",
        "[\"::ffff:203.0.113.7\",\"198.51.100.9\",\"203.0.113.7\"]",
    ];
    for ipv4 in columns {
        let mut world = World::new();
        let tally = world.rows(&format!(
            r#"["u",1,"a"],["i",1,"ip-a","",{ipv4},["2001:db8:ff::/64","2001:db8:2::/64","2001:db8:ff::/56"],[]]"#
        ));
        assert_eq!(tally.cells.total(), 0, "{ipv4}");
        assert_eq!(
            shown(&world, "Ipv4"),
            [
                r#"Ipv4_numeric_0{"a"} 3325256713"#,
                r#"Ipv4_numeric_1{"a"} 3405803783"#
            ],
            "{ipv4}"
        );
        let networks = shown(&world, "Ipv6Ue");
        assert_eq!(networks.len(), 2, "{networks:?}");
        let mut other = World::new();
        other.rows(r#"["u",1,"a"],["i",1,"ip-a","",null,["2001:db8:2::"],null]"#);
        let lower = shown(&other, "Ipv6Ue")[0].replace("numeric{", "numeric_0{");
        assert_eq!(networks[0], lower);
    }
    let mut one = World::new();
    one.rows(r#"["u",1,"a"],["i",1,"ip-a","",["203.0.113.7","203.0.113.7"],[],[]]"#);
    assert_eq!(shown(&one, "Ipv4"), [r#"Ipv4_numeric{"a"} 3405803783"#]);
}

#[test]
fn addresses_of_the_other_family_are_counted_and_left_out() {
    let mut world = World::new();
    let tally = world.rows(
        r#"["u",1,"a"],["i",1,"ip-a","",["2001:db8::5","::ffff:203.0.113.7/128","fe80::1"],["203.0.113.7","::ffff:203.0.113.8","2001:db8::/64"],"198.51.100.1"]"#,
    );
    assert_eq!(rejected(&tally, "address"), 5);
    assert_eq!(shown(&world, "Ipv4"), [r#"Ipv4_numeric{"a"} 3405803783"#]);
    assert_eq!(shown(&world, "Ipv6Ue").len(), 1);
    assert!(shown(&world, "Ipv6Cpe").is_empty());
}

#[test]
fn alert_names_without_a_letter_or_digit_are_replaced_by_their_code() {
    let enums = r#"{"DeviceType":{"u":"UserTerminal"},"AlertsByDeviceType":{"u":{"71":" ","72":"_-_","73":"é","74":"","75":"ä1"}}}"#;
    let mut world = World::new();
    world.answer(&format!(
        r#"{{"data":{{"values":[["u",1,"a",[71,72,73,74,75]]],"columnNamesByDeviceType":{{"u":["DeviceType","UtcTimestampNs","DeviceId","Alerts"]}}}},
           "metadata":{{"enums":{enums}}}}}"#
    ));
    let expected = ["71", "72", "73", "74", "_1"];
    let expected: Vec<_> = expected
        .map(|name| format!("alert_active_{name}{{\"a\"}} 1"))
        .into();
    assert_eq!(shown(&world, "alert"), expected);
}

#[test]
fn without_locations_all_columns_with_such_names_are_left_out() {
    let places = [
        "DishLatitude",
        "LONGITUDE_DEG",
        "MaxAltitudeM",
        "PreviousH3CellId",
        "h3cellid",
        "GeoHash5",
        "HomeLocation",
        "dislocation",
        "H3CellId",
    ];
    let names: Vec<_> = places.iter().map(|name| format!("\"{name}\"")).collect();
    let columns = format!(
        r#""u":["DeviceType","UtcTimestampNs","DeviceId","Lat","Elevation",{0}],"i":["DeviceType","UtcTimestampNs","DeviceId","SiteLocation","Site"]"#,
        names.join(",")
    );
    let cells = r#"1.5,"text",-7,644721767721807141,"644721767721807141",{"a":1},"#;
    let rows =
        format!(r#"["u",1,"a",4,5,{cells}"u4pruy","here",[1,2]],["i",1,"ip-a","berth 4","s"]"#,);
    let mut off = World::with(|options| options.fields = FieldFilter::new(false, Vec::new()));
    let tally = off.answer(&body(&rows, &columns));
    assert_eq!(tally.cells.total(), 0, "what is left out is not looked at");
    let lines = off.lines();
    assert_eq!(
        lines,
        [
            r#"Elevation{"a"} 5"#,
            r#"Lat{"a"} 4"#,
            r#"last_report_timestamp_seconds{"a"} 1e-9"#,
            r#"online{"a"} 1"#,
            r#"info{"a",site="s"} 1"#,
        ]
    );
    let mut on = World::new();
    on.answer(&body(&rows, &columns));
    let lines = on.lines().join("\n");
    assert!(
        lines.contains("dislocation=") && lines.contains("sitelocation="),
        "{lines}"
    );
}

/// The fields that are reported as changing constantly, after so many rounds. In each row, `{id}` and `{text}` are replaced by a device and
/// its text.
fn churning(
    world: &mut World,
    row: &str,
    rounds: std::ops::Range<usize>,
    text: impl Fn(usize, usize) -> String,
) -> Vec<String> {
    let mut found = Vec::new();
    for round in rounds {
        let rows = (0..20).map(|id| {
            row.replace("{round}", &round.to_string())
                .replace("{id}", &id.to_string())
                .replace("{text}", &text(round, id))
        });
        let plan = world.plan(&rows.collect::<Vec<_>>().join(","));
        found.extend(plan.churning.iter().map(ToString::to_string));
        world.carry_out(&plan);
    }
    found
}

#[test]
fn a_text_that_changes_in_nearly_every_row_of_most_devices_is_reported_once() {
    type Text = fn(usize, usize) -> String;
    let cases: [(&str, Text, usize); 5] = [
        ("every row of all", |round, id| format!("{id}-{round}"), 1),
        (
            "every row of 12 of 20",
            |round, id| format!("{}", if id < 12 { round } else { 0 }),
            0,
        ),
        (
            "all but the texts of 9",
            |round, id| match id {
                ..9 => String::new(),
                _ => format!("{round}"),
            },
            1,
        ),
        ("every other row", |round, _| format!("{}", round / 2), 0),
        ("never", |_, id| format!("v{id}x"), 0),
    ];
    for (name, text, expected) in cases {
        let text = |round, id| match text(round, id) {
            text if text.is_empty() => text,
            text => format!("x{text}"),
        };
        let rows = [
            (r#"["u",{round},"{id}",1,"{text}"]"#, "Version"),
            (r#"["i",{round},"ip-{id}","{text}"]"#, "AccountNumber"),
        ];
        for (row, field) in rows {
            let mut world = World::new();
            let found = churning(&mut world, row, 1..30, text);
            assert_eq!(found, vec![field; expected], "{name}");
            let found = churning(&mut world, row, 30..60, text);
            assert!(found.is_empty(), "{name}: once");
        }
    }
}
