//! Tests of merging and staleness, from answers to exposition lines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

mod accounts;
mod changes;
mod gaps;
mod names;
mod readings;

use super::*;
use crate::exposition::{Exposition, Format, Shard, Telemetry};
use crate::telemetry::{SchemaCache, decode};

mod times;

const TERMINAL: &str =
    r#""u":["DeviceType","UtcTimestampNs","DeviceId","Speed","Version","H3CellId","ActiveAlerts"]"#;
const ALLOCATION: &str =
    r#""i":["DeviceType","UtcTimestampNs","DeviceId","AccountNumber","Ipv4","Ipv6Ue","Ipv6Cpe"]"#;
const ENUMS: &str = r#"{"DeviceType":{"u":"UserTerminal","r":"Router"},"AlertsByDeviceType":{"u":{"82":"pending"},"r":{"82":"other"}}}"#;

/// A fleet and the clock that it is told.
pub(crate) struct World {
    pub(crate) fleet: Fleet,
    schemas: SchemaCache,
    pub(crate) now: u64,
    /// Up to when the stream of each account was heard.
    covered: BTreeMap<&'static str, u64>,
    pub(crate) latest: i64,
    /// What the last answer or the last wait has changed.
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

    /// Time passes without a word from Starlink.
    pub(crate) fn wait(&mut self, seconds: u64) -> &mut Self {
        self.now += seconds * 1000;
        self.changes = self.fleet.expire(Moment::from_millis(self.now));
        self
    }

    /// Time passes while the stream is heard.
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
        // They keep names of alerts in memory.
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

    /// What rows with the usual columns and enums would do.
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

    /// Rows with the usual columns and enums.
    pub(crate) fn rows(&mut self, rows: &str) -> Tally {
        self.answer(&body(rows, &format!("{TERMINAL},{ALLOCATION}")))
    }

    /// An outage ends: what was not heard does not count.
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

    /// The samples, without the labels that all of them share, and without the accounts.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = self.text(Format::Prometheus);
        let is_shown = |line: &&str| !line.starts_with('#') && !line.contains("device_account");
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
fn a_row_gives_its_series() {
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
fn cells_are_judged_one_by_one() {
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
fn a_stale_device_takes_any_row() {
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
fn columns_are_those_of_the_same_answer() {
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
fn allocations_are_merged_into_their_terminal() {
    let mut world = World::new();
    let tally = world.rows(
        r#"["i",1,"ip-a",17,["192.0.2.1/24"],["2001:db8:1::/64","x",null,7],"::1"],["u",1000000000,"a"]"#,
    );
    assert_eq!(tally.cells.total(), 2);
    world.shows(&[
        r#"Ipv4_numeric{"a"} 3221225985"#,
        r#"Ipv6Ue_numeric{"a"} 3236962502705421"#,
        r#"Ipv6Cpe_numeric{"a"} 1"#,
        r#"last_report_timestamp_seconds{"a"} 1"#,
        r#"online{"a"} 1"#,
        r#"info{"a",accountnumber="17"} 1"#,
    ]);
    world.rows(r#"["i",2,"a","ACC",["192.0.2.3","-","192.0.2.1"],[],[]]"#);
    assert_eq!(
        world.lines()[..2],
        [
            r#"Ipv4_numeric_0{"a"} 3221225985"#,
            r#"Ipv4_numeric_1{"a"} 3221225987"#
        ]
    );
    world.rows(r#"["i",1,"ip-a","OLD",["192.0.2.9"]]"#);
    assert_eq!(
        world.lines().last().unwrap(),
        r#"info{"a",accountnumber="ACC"} 1"#
    );
    world.rows(r#"["i",3,"ip-a","ACC",[],[],[]]"#);
    world.shows(&[
        r#"last_report_timestamp_seconds{"a"} 1"#,
        r#"online{"a"} 1"#,
        r#"info{"a",accountnumber="ACC"} 1"#,
    ]);
}

#[test]
fn a_terminals_own_info_wins_over_its_allocations() {
    let mut world = World::new();
    let columns = r#""u":["DeviceType","UtcTimestampNs","DeviceId","AccountNumber"],"i":["DeviceType","UtcTimestampNs","DeviceId","AccountNumber","Site"]"#;
    world.answer(&body(
        r#"["u",1,"a","OWN"],["i",1,"ip-a","ACC","s"]"#,
        columns,
    ));
    assert_eq!(
        world.lines().last().unwrap(),
        r#"info{"a",accountnumber="OWN",site="s"} 1"#
    );
    world.answer(&body(r#"["u",2,"a",null]"#, columns));
    assert_eq!(
        world.lines().last().unwrap(),
        r#"info{"a",accountnumber="ACC",site="s"} 1"#
    );
}

#[test]
fn an_allocation_waits_for_its_terminal() {
    let mut world = World::new();
    world.rows(r#"["i",1,"ip-a","ACC",["192.0.2.1"],[],[]]"#);
    world.shows(&[]);
    world.listen(300).rows(r#"["u",1,"a"]"#);
    assert_eq!(world.lines()[0], r#"Ipv4_numeric{"a"} 3221225985"#);
}

#[test]
fn stale_devices_keep_what_does_not_age() {
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
    // "c" has only an allocation and is no device.
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
    // Each answer speaks for the time since the one before it, however late it is stored.
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
fn retention_times_come_in_any_order() {
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

#[test]
fn planning_shows_nothing_and_can_be_repeated() {
    let mut world = World::new();
    world.rows(r#"["u",1000000000,"a",1]"#);
    let before = world.text(Format::Mixed);
    let version = world.fleet.version();
    let body = body(
        r#"["u",2000000000,"a",2],["u",1,"b",3],["i",1,"ip-c","ACC"]"#,
        &format!("{TERMINAL},{ALLOCATION}"),
    );
    let (rows, metadata) = decode(body.clone().into()).unwrap();
    let schema = world.schemas.resolve(&metadata).schema;
    drop(world.fleet.plan(
        AccountId::default(),
        &Batch { rows, schema },
        Moment::from_millis(0),
        i64::MAX,
    ));
    assert_eq!(
        (world.text(Format::Mixed), world.fleet.version()),
        (before, version)
    );
    world.answer(&body);
    assert_eq!(world.lines()[..2], [r#"Speed{"a"} 2"#, r#"Speed{"b"} 3"#]);
}

#[test]
fn a_plan_that_adds_a_block_changes_the_version_even_if_nothing_comes_of_it() {
    let mut world = World::new();
    world.rows(r#"["u",1,"a",1]"#);
    let before = (world.fleet.snapshot(), world.fleet.version());
    let rows: Vec<_> = (0..300).map(|id| format!(r#"["u",1,"{id}",1]"#)).collect();
    drop(world.plan(&rows.join(",")));
    let after = world.fleet.snapshot();
    assert_eq!(before.0.version, before.1);
    assert_eq!(after.tables[0].blocks.len(), 2);
    assert_ne!(
        (before.0.version, before.1),
        (after.version, world.fleet.version())
    );
    let version = after.version;
    drop(world.plan(r#"["u",1,"0",1]"#));
    assert_eq!(world.fleet.version(), version);
}

#[test]
fn a_snapshot_does_not_change() {
    let mut world = World::new();
    world.rows(r#"["u",1,"a",1]"#);
    let snapshot = Arc::new(world.fleet.snapshot());
    let render = || {
        Exposition::new(
            Telemetry::new(Format::Mixed, Arc::clone(&snapshot), Shard::WHOLE),
            Vec::new(),
        )
        .flatten()
        .collect::<Vec<u8>>()
    };
    let before = render();
    world.rows(r#"["u",2,"a",2],["u",1,"b",1]"#);
    assert_eq!(render(), before);
    assert_ne!(world.text(Format::Mixed).into_bytes(), before);
}

#[test]
fn the_version_changes_only_with_what_is_shown() {
    let mut world = World::new();
    world.rows(r#"["u",5,"a",1]"#);
    let version = world.fleet.version();
    world.listen(1).rows(r#"["u",1,"a",9],["u",5]"#);
    assert_eq!(world.fleet.version(), version);
    world.wait(120);
    assert_ne!(world.fleet.version(), version);
}
