//! Tests of the fleet, from answers to exposition lines: this file has the helpers, and the tests of rows and staleness.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

mod accounts;
mod allocations;
mod changes;
mod gaps;
mod inventory;
mod names;
mod readings;
mod snapshots;
mod times;

use super::*;
use crate::exposition::{Exposition, Format, Selection, Shard, Telemetry};
use crate::telemetry::{SchemaCache, decode};

const TERMINAL: &str =
    r#""u":["DeviceType","UtcTimestampNs","DeviceId","Speed","Version","H3CellId","ActiveAlerts"]"#;
const ALLOCATION: &str =
    r#""i":["DeviceType","UtcTimestampNs","DeviceId","AccountNumber","Ipv4","Ipv6Ue","Ipv6Cpe"]"#;
const ENUMS: &str = r#"{"DeviceType":{"u":"UserTerminal","r":"Router"},"AlertsByDeviceType":{"u":{"82":"pending"},"r":{"82":"other"}}}"#;

/// How much a fleet holds, including what it no longer needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// Slots of devices, including free ones.
    pub(crate) slots: usize,
    /// Lanes of numbers and of texts.
    pub(crate) lanes: usize,
    /// Different info texts.
    pub(crate) texts: usize,
    /// Different names of alerts.
    pub(crate) alert_names: usize,
}

impl Fleet {
    pub(crate) fn held(&self) -> Held {
        let tables = self.tables.tables.iter();
        let lanes = tables.map(|table| table.gauges().all().len() + table.infos().all().len());
        Held {
            slots: self.blocks().map(|block| block.len()).sum(),
            lanes: lanes.sum(),
            texts: self.texts.len(),
            alert_names: self.alert_names.len(),
        }
    }
}

/// A fleet and its clock.
pub(crate) struct World {
    pub(crate) fleet: Fleet,
    schemas: SchemaCache,
    pub(crate) now: u64,
    /// The time up to which the answers of each account cover the stream.
    covered: BTreeMap<&'static str, u64>,
    pub(crate) latest: i64,
    /// The changes of the last answer or wait.
    changes: Changes,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut FleetOptions)) -> Self {
        let mut options = FleetOptions {
            // Timestamps are small numbers here.
            limits: Limits {
                earliest: 0,
                ..Limits::STANDARD
            },
            ..FleetOptions::STANDARD
        };
        change(&mut options);
        Self {
            schemas: SchemaCache::new(options.fields.clone()),
            fleet: Fleet::new(options),
            now: 0,
            covered: BTreeMap::new(),
            latest: i64::MAX,
            changes: Changes::default(),
        }
    }

    /// Lets time pass without an answer.
    pub(crate) fn wait(&mut self, seconds: u64) -> &mut Self {
        self.now += seconds * 1000;
        self.changes = self.fleet.expire(Moment::from_millis(self.now));
        self.list_if_needed();
        self
    }

    /// Lists the inventories if they have changed, as the store does after a pause.
    fn list_if_needed(&mut self) -> NotListed {
        if !self.fleet.must_list_inventories() {
            return NotListed::default();
        }
        let not_listed = self.fleet.list_inventories();
        self.fleet.expire(Moment::from_millis(self.now));
        not_listed
    }

    /// Lets time pass, which an answer without rows covers.
    pub(crate) fn listen(&mut self, seconds: u64) -> &mut Self {
        self.now += seconds * 1000;
        self.answer(&body("", ""));
        self
    }

    pub(crate) fn answer(&mut self, body: &str) -> Tally {
        self.answer_of("default", body).tally
    }

    /// An answer of an account.
    pub(crate) fn answer_of(&mut self, account: &'static str, body: &str) -> Committed {
        // Changes hold names of alerts in memory, which the fleet limits.
        self.changes = Changes::default();
        let (rows, metadata) = decode(body.into()).unwrap();
        let schema = self.schemas.resolve(&metadata).schema;
        let now = Moment::from_millis(self.now);
        let id = self.fleet.account(&account.into()).unwrap();
        let batch = Batch { rows, schema };
        let plan = self.fleet.plan(id, &batch, now, self.latest);
        let covered = self.covered.insert(account, self.now);
        let coverage = Coverage {
            to: now,
            covers: now.since(Moment::from_millis(covered.unwrap_or_default())),
        };
        let committed = self.fleet.commit(&plan, coverage);
        self.changes = committed.changes.clone();
        let aged = self.fleet.expire(now);
        self.changes.kept.extend(aged.kept);
        committed
    }

    /// The plan for rows with the usual columns and enums.
    pub(crate) fn plan(&mut self, rows: &str) -> Plan {
        let body = body(rows, &format!("{TERMINAL},{ALLOCATION}"));
        let (rows, metadata) = decode(body.into()).unwrap();
        let schema = self.schemas.resolve(&metadata).schema;
        let now = Moment::from_millis(self.now);
        let id = self.fleet.account(&"default".into()).unwrap();
        let batch = Batch { rows, schema };
        self.fleet.plan(id, &batch, now, self.latest)
    }

    pub(crate) fn carry_out(&mut self, plan: &Plan) {
        let now = Moment::from_millis(self.now);
        let coverage = Coverage {
            to: now,
            covers: Duration::ZERO,
        };
        self.fleet.commit(plan, coverage);
    }

    /// Applies rows with the usual columns and enums.
    pub(crate) fn rows(&mut self, rows: &str) -> Tally {
        self.answer(&body(rows, &format!("{TERMINAL},{ALLOCATION}")))
    }

    /// Lets time pass in an outage: no answer covers it.
    fn outage(&mut self, seconds: u64) -> &mut Self {
        self.wait(seconds);
        for covered in self.covered.values_mut() {
            *covered = self.now;
        }
        self
    }

    fn text(&self, format: Format) -> String {
        let exposition = Exposition::new(
            Telemetry::new(format, Arc::new(self.fleet.snapshot()), Shard::WHOLE),
            Vec::new(),
        );
        String::from_utf8(exposition.flatten().collect()).unwrap()
    }

    /// The samples, without the labels that all of them share, and without the accounts and the families of the inventory.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = self.text(Format::Prometheus);
        let hidden = ["device_account", "terminal_info", "service_line"];
        let is_hidden = |line: &str| hidden.iter().any(|hidden| line.contains(hidden));
        let is_shown = |line: &&str| !line.starts_with('#') && !is_hidden(line);
        let samples = text.lines().filter(is_shown);
        let short = |line: &str| {
            line.replace("starlink_", "")
                .replace("device_type=\"UserTerminal\",deviceID=", "")
        };
        samples.map(short).collect()
    }

    fn shows(&self, expected: &[&str]) {
        assert_eq!(self.lines(), expected);
    }
}

pub(crate) fn body(rows: &str, columns: &str) -> String {
    format!(
        r#"{{"data":{{"values":[{rows}],"columnNamesByDeviceType":{{{columns}}}}},"metadata":{{"enums":{ENUMS}}}}}"#
    )
}

#[test]
fn a_row_is_exported_as_series() {
    let mut world = World::new();
    world.rows(r#"["u",1500000000,"a",0.5,"v1",599686042433355775,[82,"x-y",82]]"#);
    world.shows(&[
        r#"H3CellId{"a"} 5.996860424333558e+17"#,
        r#"Speed{"a"} 0.5"#,
        r#"alert_active_pending{"a"} 1"#,
        r#"alert_active_x_y{"a"} 1"#,
        r#"latitude{"a"} 37.34579337536848"#,
        r#"longitude{"a"} -121.9763759725512"#,
        r#"last_report_timestamp_seconds{"a"} 1.5"#,
        r#"online{"a"} 1"#,
        r#"info{"a",version="v1"} 1"#,
    ]);
}

#[test]
fn an_invalid_cell_does_not_affect_others() {
    for (cell, expected, rejected) in [
        ("null", None, 0),
        ("\"\"", None, 0),
        ("[]", None, 0),
        ("21", Some(r#"Speed{"a"} 21"#), 0),
        ("true", Some(r#"Speed{"a"} 1"#), 0),
        ("false", Some(r#"Speed{"a"} 0"#), 0),
        (r#""+2.50e1""#, Some(r#"Speed{"a"} 25"#), 0),
        (r#""1e999""#, Some(r#"info{"a",speed="1e999"} 1"#), 0),
        ("1e999", None, 1),
        (r#""\ud800""#, None, 1),
        (r#"{"a":1}"#, None, 1),
        ("[[1]]", None, 1),
        ("[7,null]", Some(r#"Speed{"a"} 7"#), 0),
        (
            "[1,null,\"b\",2.50]",
            Some(r#"info{"a",speed="1;b;2.50"} 1"#),
            0,
        ),
        (
            r#""fast \"x\"""#,
            Some(r#"info{"a",speed="fast \"x\""} 1"#),
            0,
        ),
    ] {
        let mut world = World::new();
        let tally = world.rows(&format!(r#"["u",1,"a",{cell}]"#));
        let lines = world.lines();
        let always = ["last_report", "online"];
        let cells: Vec<_> = lines
            .iter()
            .filter(|line| !always.iter().any(|name| line.starts_with(name)))
            .collect();
        assert_eq!(cells, Vec::from_iter(expected), "{cell}");
        assert_eq!(tally.cells.total(), rejected, "{cell}");
    }
}

#[test]
fn the_newest_row_replaces_the_whole_state() {
    let mut world = World::new();
    world.rows(r#"["u",2000000000,"a",2,"v2"],["u",1000000000,"a",1,"v1"]"#);
    let newest = [
        r#"Speed{"a"} 2"#,
        r#"last_report_timestamp_seconds{"a"} 2"#,
        r#"online{"a"} 1"#,
        r#"info{"a",version="v2"} 1"#,
    ];
    world.shows(&newest);
    let tally = world.rows(r#"["u",1500000000,"a",9,"v9"]"#);
    assert_eq!(tally.ignored[RowIgnored::Older as usize], 1);
    world.shows(&newest);
    world.rows(r#"["u",2000000000,"a",null,"v3"]"#);
    world.shows(&[
        r#"last_report_timestamp_seconds{"a"} 2"#,
        r#"online{"a"} 1"#,
        r#"info{"a",version="v3"} 1"#,
    ]);
    world.rows(r#"["u",3000000000,"a",3],["u",4000000000,"a",4],["u",3500000000,"a",5]"#);
    assert_eq!(world.lines()[0], r#"Speed{"a"} 4"#);
}

#[test]
fn a_stale_device_accepts_any_row() {
    let mut world = World::new();
    world.rows(r#"["u",9000000000,"a",9]"#);
    world
        .wait(121)
        .rows(r#"["u",1000000000,"a",1],["u",500000000,"a",0]"#);
    assert_eq!(world.lines()[0], r#"Speed{"a"} 1"#);
}

#[test]
fn rows_that_cannot_be_read_are_counted_by_reason() {
    let mut world = World::new();
    let tally = world.rows(
        r#"7,{},[],[1,1,"a"],["x",1,"a"],["u",1,""],["u",1,5],["u",1],["u",1.5,"a"],["u",null,"a"],["u",99999999999999999999,"a"],
           ["r",1,"a"],["i",1,"ip-"],["d",1,"a"],["u",1,"ok"]"#,
    );
    assert_eq!(tally.rows, [7, 1, 1, 1, 5]);
    let expected = [
        (RowFault::Shape, 2),
        (RowFault::DeviceType, 2),
        (RowFault::NoColumns, 2),
        (RowFault::DeviceId, 4),
        (RowFault::Timestamp, 3),
    ];
    for (fault, count) in expected {
        assert_eq!(tally.rejected[fault as usize], count, "{}", fault.name());
    }
    assert_eq!(tally.ignored[RowIgnored::Router as usize], 1);
    assert_eq!(world.lines().len(), 2);
}

#[test]
fn rows_are_read_with_the_columns_of_their_own_answer() {
    let mut world = World::new();
    world.answer(&body(
        r#"["u","a",1,"x"]"#,
        r#""u":["DeviceType","DeviceId","UtcTimestampNs","Version"]"#,
    ));
    world.answer(&body(
        r#"["u",2,"y","a",5,6]"#,
        r#""u":["DeviceType","UtcTimestampNs","Version","DeviceId","New"]"#,
    ));
    let lines = world.lines();
    assert_eq!(
        (&*lines[0], &*lines[3]),
        (r#"New{"a"} 5"#, r#"info{"a",version="y"} 1"#)
    );
    let tally = world.answer(&body(r#"["u",3,"z","a",7]"#, ""));
    assert_eq!(tally.rejected[RowFault::NoColumns as usize], 1);
    assert_eq!(world.lines(), lines);
}

#[test]
fn routers_and_unknown_types_have_their_own_series() {
    let mut world = World::with(|options| options.include_routers = true);
    world.answer(&body(
        r#"["u",1,"a",1,[82]],["r",1,"a",2,[82]],["zz",1,"a",3,[82]]"#,
        r#""u":["DeviceType","UtcTimestampNs","DeviceId","X","Alerts"],"r":["DeviceType","UtcTimestampNs","DeviceId","X","Alerts"],"zz":["DeviceType","UtcTimestampNs","DeviceId","X","Alerts"]"#,
    ));
    let text = world.text(Format::Prometheus);
    let samples: Vec<_> = text
        .lines()
        .filter(|line| {
            let hidden = ["#", "last_report", "device_account"];
            !hidden.iter().any(|hidden| line.contains(hidden))
        })
        .collect();
    assert_eq!(
        samples,
        [
            r#"starlink_X{device_type="Router",deviceID="a"} 2"#,
            r#"starlink_X{device_type="UserTerminal",deviceID="a"} 1"#,
            r#"starlink_X{device_type="zz",deviceID="a"} 3"#,
            r#"starlink_alert_active_other{device_type="Router",deviceID="a"} 1"#,
            r#"starlink_alert_active_pending{device_type="UserTerminal",deviceID="a"} 1"#,
            r#"starlink_online{device_type="Router",deviceID="a"} 1"#,
            r#"starlink_online{device_type="UserTerminal",deviceID="a"} 1"#,
        ]
    );
}

#[test]
fn stale_devices_keep_their_location_and_info() {
    let mut world = World::new();
    world.rows(r#"["u",1000000000,"a",1,"v",599686042433355775,[82]],["i",1,"ip-a","ACC",["192.0.2.1"],[],[]]"#);
    let kept = |online: Option<&'static str>| {
        let lines = [
            r#"Ipv4_numeric{"a"} 3221225985"#,
            r#"latitude{"a"} 37.34579337536848"#,
            r#"longitude{"a"} -121.9763759725512"#,
            r#"last_report_timestamp_seconds{"a"} 1"#,
        ];
        let info = r#"info{"a",version="v",accountnumber="ACC"} 1"#;
        lines
            .into_iter()
            .chain(online)
            .chain([info])
            .collect::<Vec<_>>()
    };
    world.wait(119);
    assert_eq!(world.lines().len(), 9);
    world.wait(1).shows(&kept(None));
    world.outage(600).shows(&kept(None));
    world.listen(119).shows(&kept(None));
    world.listen(1).shows(&kept(Some(r#"online{"a"} 0"#)));
    world.listen(60);
    assert_eq!(
        world.lines().len(),
        5,
        "the addresses are stale after 15 minutes"
    );
    assert!(
        world.lines()[4].contains("accountnumber"),
        "its info fields stay"
    );
    world.listen(86400 - 900).shows(&[]);
    world.rows(r#"["u",1,"b"]"#);
    assert_eq!(
        world.lines().len(),
        2,
        "the place of a forgotten device is used again"
    );
    let blocks = world
        .fleet
        .tables
        .tables
        .iter()
        .map(|table| table.blocks().len());
    assert_eq!(blocks.sum::<usize>(), 1);
}

#[test]
fn devices_are_counted_in_three_states() {
    let mut world = World::new();
    let counts = |world: &World| world.fleet.snapshot().tables[0].counts;
    // "c" has only an allocation, so it is not counted.
    world.rows(r#"["u",1,"a",1],["i",1,"ip-c","ACC"]"#);
    world.outage(600);
    world.rows(r#"["u",1,"b",1]"#);
    let cases = [(0, 1, 0, 1), (119, 1, 0, 1), (1, 0, 2, 0)];
    for (seconds, online, offline, unknown) in cases {
        world.listen(seconds);
        let expected = Counts {
            online,
            offline,
            unknown,
        };
        assert_eq!(counts(&world), expected, "after {seconds} s more");
        assert_eq!(counts(&world).all(), 2);
    }
}

#[test]
fn stream_time_is_the_time_that_answers_cover() {
    let mut world = World::new();
    world.rows(r#"["u",1,"a",1]"#);
    let is_offline = |world: &World| world.lines().contains(&r#"online{"a"} 0"#.to_owned());
    // Each answer covers the time since the previous one, even if it is stored late.
    for _ in 0..119 {
        world.listen(1);
    }
    world.wait(30);
    assert!(!is_offline(&world), "{:?}", world.lines());
    world.covered.insert("default", world.now - 1000);
    world.listen(0);
    assert!(is_offline(&world));
}

#[test]
fn retention_times_are_independent() {
    let mut world = World::with(|options| options.retention.forget_after = Duration::from_secs(10));
    world.rows(r#"["u",1,"a",1],["i",1,"ip-a","ACC",["192.0.2.1"],[],[]]"#);
    assert_eq!(world.listen(9).lines().len(), 5);
    world.listen(1).shows(&[]);
}

#[test]
fn an_alert_that_clears_disappears() {
    let mut world = World::new();
    world.rows(r#"["u",1,"a",null,null,null,[82]]"#);
    assert!(world.lines()[0].starts_with("alert_active_pending"));
    let tally = world.rows(r#"["u",2,"a",null,null,null,[true,1.5,{}]]"#);
    assert_eq!(tally.cells.of(crate::telemetry::CellFault::Alert), 3);
    assert!(world.lines()[0].starts_with("last_report"));
}
