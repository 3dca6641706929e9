//! Tests of each limit: values within it are shown, values beyond it are counted, and the rest of the batch is applied.

use std::fmt::Write;

use crate::fleet::allocation::{ADDRESS_BYTES, INFO_BYTES};
use crate::fleet::columns::MOST_FOR_A_VALUE;
use crate::fleet::device::alert_bytes;
use crate::fleet::tests::{World, body};
use crate::fleet::{Fleet, FleetOptions, Limits, RowFault, RowIgnored, Tally};
use crate::telemetry::{CellFault, SchemaCache, decode};
use crate::time::Moment;

/// A fleet with small limits.
fn world(change: impl FnOnce(&mut Limits)) -> World {
    World::with(|options: &mut FleetOptions| change(&mut options.limits))
}

fn cells(tally: &Tally) -> u64 {
    tally.cells.of(CellFault::Limit)
}

fn ignored(tally: &Tally) -> u64 {
    tally.ignored[RowIgnored::DeviceLimit as usize]
}

#[test]
fn devices_beyond_the_limit_are_left_out_until_there_is_room() {
    let mut world = world(|limits| limits.devices = 2);
    let row = |id: &str| format!(r#"["u",1,"{id}",1,"v",null,[]]"#);
    // The allocation uses the room of its terminal, which then needs no more.
    let tally = world.rows(&format!(
        r#"{},["i",1,"ip-b","",["192.0.2.1"],[],[]],{},["i",1,"ip-d","",["192.0.2.1"],[],[]]"#,
        row("a"),
        row("c")
    ));
    assert_eq!(ignored(&tally), 2);
    assert!(!world.fleet.has_room());
    let tally = world.rows(&[row("a"), row("b"), row("c")].join(","));
    assert_eq!(ignored(&tally), 1);
    let lines = world.lines().join("\n");
    assert!(lines.contains(r#"Ipv4_numeric{"b"} 3221225985"#), "{lines}");
    assert!(
        !lines.contains("\"c\"") && !lines.contains("\"d\""),
        "{lines}"
    );

    world.wait(86_400 + 1);
    assert!(world.fleet.has_room());
    assert_eq!(ignored(&world.rows(&row("c"))), 0);
}

#[test]
fn types_beyond_the_limit_are_left_out() {
    let mut world = world(|limits| limits.types = 2);
    let columns = r#""a":["DeviceType","UtcTimestampNs","DeviceId"],"b":["DeviceType","UtcTimestampNs","DeviceId"],"c":["DeviceType","UtcTimestampNs","DeviceId"]"#;
    let rows = r#"["a",1,"x"],["b",1,"x"],["c",1,"x"]"#;
    assert_eq!(ignored(&world.answer(&body(rows, columns))), 1);
    assert_eq!(world.fleet.devices(), 2);
}

#[test]
fn rows_with_long_identifiers_are_rejected() {
    let mut world = world(|limits| limits.identifier = 5);
    let tally = world.rows(
        r#"["u",1,"12345",1,"v",null,[]],["u",1,"123456",1,"v",null,[]],["i",1,"ip-123456","",["192.0.2.1"],[],[]]"#,
    );
    assert_eq!(tally.rejected[RowFault::Limit as usize], 2);
    assert_eq!(world.fleet.devices(), 1);
}

#[test]
fn cells_with_texts_beyond_the_limits_are_rejected() {
    let row = |text: &str| format!(r#"["u",1,"a",1,"{text}",null,[]]"#);
    let mut long = world(|limits| limits.text = 3);
    assert_eq!(cells(&long.rows(&row("abc"))), 0);
    assert_eq!(cells(&long.rows(&row("abcd"))), 1);
    assert!(!long.lines().join("\n").contains("info{"));
    let allocation = r#"["i",1,"ip-a","abcd",["192.0.2.1"],[],[]]"#;
    assert_eq!(cells(&long.rows(allocation)), 1);

    // Room for one text: the next one has room a batch after the first is removed.
    let mut many = world(|limits| limits.texts = 70);
    assert_eq!(cells(&many.rows(&row("abc"))), 0);
    assert_eq!(cells(&many.rows(&row("abd"))), 1);
    assert_eq!(cells(&many.rows(&row("abd"))), 0);
    assert!(many.lines().join("\n").contains("version=\"abd\""));
}

#[test]
fn alerts_and_addresses_beyond_the_limits_are_left_out() {
    let mut few = world(|limits| {
        limits.alerts = 2;
        limits.alert = 4;
        limits.addresses = 2;
    });
    let tally = few.rows(
        r#"["u",1,"a",1,"v",null,["b","c","d"]],["u",1,"b",1,"v",null,["12345","1234"]],
           ["i",1,"ip-a","",["192.0.2.1","x","192.0.2.2","192.0.2.3"],[],[]]"#,
    );
    assert_eq!(cells(&tally), 3);
    let lines = few.lines().join("\n");
    assert_eq!(lines.matches("alert_active_").count(), 3, "{lines}");
    assert_eq!(lines.matches("Ipv4_numeric_").count(), 2, "{lines}");

    let mut names = world(|limits| limits.alert_names = 70);
    let row = |alert: &str| format!(r#"["u",1,"a",1,"v",null,["{alert}"]]"#);
    assert_eq!(cells(&names.rows(&row("x"))), 0);
    assert_eq!(cells(&names.rows(&row("y"))), 1);
    assert_eq!(cells(&names.rows(&row("y"))), 0);
}

/// A terminal's row with its own columns: a number and a text.
fn other_columns(number: usize) -> String {
    let columns =
        format!(r#""u":["DeviceType","UtcTimestampNs","DeviceId","N{number}","T{number}"]"#);
    body(r#"["u",1,"a",1,"text"]"#, &columns)
}

#[test]
fn unused_lanes_are_removed() {
    let mut world = world(|limits| limits.lanes = 300);
    for number in 0..5000 {
        let tally = world.answer(&other_columns(number));
        assert_eq!(cells(&tally), 0, "{number}");
        let tables = world.fleet.snapshot().tables;
        assert!(tables[0].gauges.all().len() <= 129, "{number}");
        assert!(tables[0].blocks[0].gauges().lanes() <= 129, "{number}");
    }
    let lines = world.lines();
    assert_eq!(lines[0], r#"N4999{"a"} 1"#);
    assert_eq!(lines[3], r#"info{"a",t4999="text"} 1"#);
    assert_eq!(lines.len(), 4);
}

#[test]
fn if_all_lanes_are_used_further_columns_are_left_out() {
    let mut world = world(|limits| limits.lanes = 3);
    let columns = |from: usize| {
        let names: Vec<_> = (from..from + 3)
            .map(|number| format!("\"C{number}\""))
            .collect();
        format!(
            r#""u":["DeviceType","UtcTimestampNs","DeviceId",{}]"#,
            names.join(",")
        )
    };
    let tally = world.answer(&body(r#"["u",1,"a",1,2,3]"#, &columns(0)));
    assert_eq!(cells(&tally), 0);
    let tally = world.answer(&body(r#"["u",1,"b",4,5,6]"#, &columns(2)));
    assert_eq!(cells(&tally), 2);
    world.wait(60);
    // The first device changes to other columns: the lanes of the old ones are free a minute later.
    world.answer(&body(r#"["u",2,"a",1,2,3]"#, &columns(2)));
    world.wait(60);
    let tally = world.answer(&body(r#"["u",2,"b",4,5,6]"#, &columns(2)));
    assert_eq!(cells(&tally), 0);
    let lines = world.lines();
    assert_eq!(
        lines[0..3],
        [r#"C2{"a"} 1"#, r#"C2{"b"} 4"#, r#"C3{"b"} 5"#]
    );
}

#[test]
fn names_beyond_the_limits_are_left_out() {
    let mut columns = String::new();
    for number in 0..2000 {
        write!(columns, ",\"C{number}\"").unwrap();
    }
    let long = "x".repeat(257);
    let mut enums = String::from("\"x\":\"y\"");
    for number in 0..5000 {
        write!(enums, ",\"{number}\":\"name\"").unwrap();
    }
    let mut types = String::new();
    for number in 0..100 {
        write!(types, ",\"t{number:02}\":[]").unwrap();
    }
    let answer = format!(
        r#"{{"data":{{"values":[],"columnNamesByDeviceType":{{"a":["{long}"{columns}]{types}}}}},
            "metadata":{{"enums":{{"DeviceType":{{"{long}":"x","u":"{long}"}},"AlertsByDeviceType":{{"a":{{{enums}}}}}}}}}}}"#
    );
    let mut cache = SchemaCache::default();
    let resolve = |cache: &mut SchemaCache, answer: &str| {
        let (_, metadata) = decode(answer.to_owned().into()).unwrap();
        cache.resolve(&metadata)
    };
    let resolved = resolve(&mut cache, &answer);
    let schema = resolved.schema.get("a").unwrap();
    assert_eq!(schema.columns.len(), 1024);
    assert!(resolved.schema.get("t62").is_some() && resolved.schema.get("t63").is_none());
    // 977 columns and the long one, 37 types, the long code of a type and the long name of one, 905 alerts.
    assert_eq!(resolved.left_out, 977 + 1 + 37 + 1 + 1 + 905);
    assert_eq!(resolve(&mut cache, &answer).left_out, 0, "reported once");
}

/// An hour of ticks of 15 s. In each, different devices report, with different texts, alerts, columns and allocations.
#[test]
fn memory_of_forgotten_devices_is_freed() {
    const TICKS: usize = 240;
    const EACH: usize = 417;
    let mut world = World::with(|options| {
        options.retention.stale_after = std::time::Duration::from_secs(30);
        options.retention.ip_stale_after = std::time::Duration::from_secs(45);
        options.retention.forget_after = std::time::Duration::from_secs(60);
    });
    let mut seen = 0;
    for tick in 0..TICKS {
        let columns = format!(
            r#""u":["DeviceType","UtcTimestampNs","DeviceId","N{tick}","T{tick}","ActiveAlerts"],
               "i":["DeviceType","UtcTimestampNs","DeviceId","I{tick}","Ipv4"]"#
        );
        let mut rows = Vec::new();
        for number in seen..seen + EACH {
            rows.push(format!(
                r#"["u",1,"ut-{number}",1,"text {number}",["alert {number}"]]"#
            ));
            rows.push(format!(
                r#"["i",1,"ip-ut-{number}","info {number}",["192.0.2.1"]]"#
            ));
            rows.push(format!(r#"["i",1,"ip-waiting-{number}","",["192.0.2.1"]]"#));
        }
        seen += EACH;
        world.wait(15);
        let tally = world.answer(&body(&rows.join(","), &columns));
        assert_eq!(tally.cells.total(), 0);
        let held = world.fleet.held();
        // At most the devices of five ticks, with and without their terminal.
        assert!(held.slots <= 2 * EACH * 5, "{tick}: {held:?}");
        assert!(held.lanes <= 256, "{tick}: {held:?}");
        assert!(held.texts <= 2 * EACH * 5 * 4, "{tick}: {held:?}");
        assert!(held.alert_names <= 2 * EACH * 5 * 2, "{tick}: {held:?}");
    }
    assert!(seen >= 100_000);
    world.wait(61);
    assert_eq!(world.fleet.devices(), 0);
    assert_eq!(world.lines(), Vec::<String>::new());
    assert_eq!(world.fleet.due(), Moment::NEVER);
}

#[test]
fn rows_beyond_the_limits_of_an_answer_are_counted_and_left_out() {
    let mut world = World::new();
    let mut rows = String::from("7,");
    for number in 0..64_998 {
        write!(rows, r#"["u",1,"a",{number}],"#).unwrap();
    }
    rows.push_str(r#"["u",2,"b",1],["u",3,"c",1],["u",3,"d",1e999],8"#);
    let tally = world.rows(&rows);
    assert_eq!(tally.rejected[RowFault::Limit as usize], 3);
    assert_eq!(tally.rejected[RowFault::Shape as usize], 1);
    assert_eq!(tally.rows.iter().sum::<u64>(), 65_003);
    let lines = world.lines().join("\n");
    assert!(
        lines.contains("{\"b\"}") && !lines.contains("{\"c\"}"),
        "{lines}"
    );
}

/// A terminal's row.
fn terminal(id: &str) -> String {
    format!(r#"["u",1,"{id}",1,"v",null,[]]"#)
}

fn shows(world: &World, id: &str) -> bool {
    let lines = world.lines().join("\n");
    lines.contains(&format!("last_report_timestamp_seconds{{\"{id}\"}}"))
}

#[test]
fn silent_devices_that_reported_once_are_replaced() {
    let mut world = world(|limits| limits.devices = 5);
    world.rows(&[terminal("twice"), terminal("old")].join(","));
    world
        .wait(1)
        .rows(&[terminal("twice"), terminal("mid")].join(","));
    world
        .wait(1)
        .rows(r#"["i",1,"ip-waiting","",["192.0.2.1"],[],[]]"#);
    world.wait(1).rows(&terminal("late"));
    assert!(!world.fleet.has_room());

    // No device is silent for long enough.
    world.wait(100);
    assert_eq!(ignored(&world.rows(&terminal("new-1"))), 1);
    assert!(!shows(&world, "new-1"));

    // Two must be removed: those that are silent for longest. One that reports again in the same batch stays, wherever its row is.
    world.wait(60);
    let rows = [terminal("new-1"), terminal("new-2"), terminal("old")].join(",");
    let tally = world.rows(&rows);
    assert_eq!(ignored(&tally), 2, "each evicted device is counted");
    for (id, expected) in [
        ("twice", true),
        ("old", true),
        ("mid", false),
        ("late", true),
        ("new-1", true),
        ("new-2", true),
    ] {
        assert_eq!(shows(&world, id), expected, "{id}");
    }
    assert_eq!(world.fleet.devices(), 5);
    // Its allocation was removed, too.
    world.wait(200);
    let rows: Vec<_> = ["a", "b", "c", "d", "e", "waiting"].map(terminal).into();
    assert_eq!(
        ignored(&world.rows(&rows.join(","))),
        3 + 3,
        "three give way, three find no room"
    );
    assert!(
        shows(&world, "twice") && shows(&world, "old"),
        "they reported more than once"
    );
    assert!(!world.lines().join("\n").contains("Ipv4"));
    assert_eq!(world.fleet.devices(), 5);
}

#[test]
fn a_plan_without_a_commit_replaces_no_device_and_uses_no_room() {
    let mut world = world(|limits| limits.devices = 2);
    world.rows(&[terminal("a"), terminal("b")].join(","));
    world.wait(200);
    let before = world.lines();
    let rows = [terminal("c"), terminal("d"), terminal("e")].join(",");
    drop(world.plan(&rows));
    assert_eq!(world.lines(), before);
    let tally = world.rows(&rows);
    assert_eq!(world.fleet.devices(), 2);
    assert_eq!(ignored(&tally), 2 + 1);
    assert!(shows(&world, "c") && shows(&world, "d"));
    assert_eq!(tally.left_out(), None, "two of three rows were stored");
}

#[test]
fn a_restart_keeps_which_devices_have_reported_once() {
    let mut world = world(|limits| limits.devices = 2);
    world.rows(&[terminal("once"), terminal("twice")].join(","));
    world.rows(&terminal("twice"));
    let mut bytes = Vec::new();
    world.fleet.freeze().write(&mut bytes).unwrap();
    let now = Moment::from_millis(world.now);
    world.fleet = Fleet::thaw(
        world.fleet.options.clone(),
        now,
        crate::fleet::Form::WithInventories,
        &bytes,
    )
    .unwrap();
    world.wait(200);
    assert_eq!(
        ignored(&world.rows(&[terminal("a"), terminal("b")].join(","))),
        2
    );
    assert!(shows(&world, "twice") && shows(&world, "a"));
    assert!(!shows(&world, "once") && !shows(&world, "b"));
}

#[test]
fn numbers_and_texts_beyond_the_limit_are_left_out_and_known_ones_are_updated() {
    let columns = r#""u":["DeviceType","UtcTimestampNs","DeviceId","N","T","M"]"#;
    let row = |id: usize, n: usize| format!(r#"["u",{n},"{id}",{n},"t{n}",null]"#);
    let rows = |ids: std::ops::Range<usize>, n: usize| -> String {
        ids.map(|id| row(id, n)).collect::<Vec<_>>().join(",")
    };
    // Room for a column of each, for a batch with this number of cells, and for a few more values.
    let mut world = world(|limits| limits.values = 2 * 2048 + 256 * 6 * MOST_FOR_A_VALUE);
    assert_eq!(cells(&world.answer(&body(&rows(0..256, 1), columns))), 0);
    let tally = world.answer(&body(&rows(0..300, 2), columns));
    assert_eq!(cells(&tally), 2 * 44, "new devices get nothing");
    assert_eq!(world.fleet.devices(), 300);
    let lines = world.lines();
    assert_eq!(
        lines.iter().filter(|line| line.starts_with("N{")).count(),
        256
    );
    assert!(
        lines
            .iter()
            .all(|line| !line.starts_with("N{") || line.ends_with(" 2"))
    );
    assert!(lines.contains(&r#"info{"7",t="t2"} 1"#.to_owned()));
}

#[test]
fn entries_of_allocations_beyond_the_limit_are_left_out_and_known_ones_are_updated() {
    const COLUMNS: &str = r#""i":["DeviceType","UtcTimestampNs","DeviceId","A","B","Ipv4"]"#;
    let rows = |ids: std::ops::Range<usize>, time: usize| {
        let row =
            |id| format!(r#"["i",{time},"ip-{id}","a{time}","b",["192.0.2.{time}","192.0.2.9"]]"#);
        body(&ids.map(row).collect::<Vec<_>>().join(","), COLUMNS)
    };
    let held = 100 * (2 * INFO_BYTES + 2 * ADDRESS_BYTES);
    let answer = 100 * (6 * MOST_FOR_A_VALUE + 2 * (ADDRESS_BYTES + alert_bytes(1)));
    let mut world = world(|limits| limits.values = held / 2 + answer);
    assert_eq!(cells(&world.answer(&rows(0..100, 1))), 0);
    assert_eq!(world.fleet.tables.value_bytes(), held);

    // Ten of them are new, and get neither texts nor addresses.
    assert_eq!(cells(&world.answer(&rows(10..110, 2))), 10 * 4);
    assert_eq!(world.fleet.tables.value_bytes(), held);
    world.rows(r#"["u",1,"50",1,"v",null,[]],["u",1,"105",1,"v",null,[]]"#);
    let lines = world.lines().join("\n");
    for expected in [
        r#"Ipv4_numeric_0{"50"} 3221225986"#,
        r#"info{"50",version="v",a="a2",b="b"} 1"#,
        r#"info{"105",version="v"} 1"#,
    ] {
        assert!(lines.contains(expected), "{lines}");
    }
    assert!(!lines.contains(r#"_numeric_0{"105"}"#), "{lines}");

    // Forgotten devices make room.
    world.wait(86_400 + 1);
    assert_eq!(world.fleet.tables.value_bytes(), 0);
    assert_eq!(cells(&world.answer(&rows(10..110, 3))), 0);
}

#[test]
fn alerts_beyond_the_limit_are_left_out_and_known_ones_are_updated() {
    const COLUMNS: &str = r#""u":["DeviceType","UtcTimestampNs","DeviceId","ActiveAlerts"]"#;
    let rows = |ids: std::ops::Range<usize>, time: usize, alerts: &str| {
        let row = |id| format!(r#"["u",{time},"{id}",{alerts}]"#);
        body(&ids.map(row).collect::<Vec<_>>().join(","), COLUMNS)
    };
    let held = 100 * alert_bytes(2);
    let answer = 100 * (4 * MOST_FOR_A_VALUE + 2 * (ADDRESS_BYTES + alert_bytes(1)));
    let mut world = world(|limits| limits.values = held / 2 + answer);
    assert_eq!(cells(&world.answer(&rows(0..100, 1, "[5,7]"))), 0);
    assert_eq!(world.fleet.tables.value_bytes(), held);

    // Alerts of new terminals are left out, and a third one of a terminal that has two.
    let tally = world.answer(&rows(10..110, 2, "[1,5,7]"));
    assert_eq!(cells(&tally), 90 + 10 * 3);
    assert_eq!(world.fleet.tables.value_bytes(), held);
    let alerts = |world: &World| {
        let lines = world.lines();
        let mut names: Vec<_> = lines
            .iter()
            .filter(|line| line.contains("alert_active_") && line.contains("\"50\""))
            .map(|line| line.split('{').next().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(alerts(&world), ["alert_active_5", "alert_active_7"]);
    // One alert replaces another.
    assert_eq!(cells(&world.answer(&rows(10..100, 3, "[1,5]"))), 0);
    assert_eq!(alerts(&world), ["alert_active_1", "alert_active_5"]);
    world.answer(&rows(0..110, 4, "[]"));
    assert_eq!(world.fleet.tables.value_bytes(), 0);
    assert_eq!(cells(&world.answer(&rows(100..110, 5, "[5,7]"))), 0);
}
