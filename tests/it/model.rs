//! Compares the service with an independent implementation of its specification, over generated sequences of answers.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub mod answer;
mod compare;
mod inventories;
pub mod oracle;
pub mod reader;
mod strategy;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestError, TestRunner};

use starlink_telemetry::exposition::{Exposition, Format, Kind, OwnFamily, Shard, Telemetry};
use starlink_telemetry::fleet::{
    AccountId, Coverage, Fleet, FleetOptions, Form, Limits, Retention, RowCode, RowFault,
    RowIgnored, Snapshot, latest,
};
use starlink_telemetry::telemetry::fields::anchored;
use starlink_telemetry::telemetry::{Batch, CellFault, FieldFilter, SchemaCache, decode};
use starlink_telemetry::time::Moment;

use self::answer::Answer;
use self::compare::*;
use self::oracle::{ACCOUNTS, Info, Oracle, START, Series, Settings};
use self::reader::{Body, read};
use self::strategy::{Scenario, Step, scenario};

/// The number of scenarios of a plain `cargo test`; `PROPTEST_CASES` overrides it.
const CASES: u32 = 1000;

/// The service's fleet and the model, with a common clock.
struct Pair {
    options: FleetOptions,
    fleet: Fleet,
    schemas: SchemaCache,
    oracle: Oracle,
    /// Whether answers have a date.
    dated: bool,
    now: u64,
    /// The time up to which answers of each account have covered its stream.
    covered: [u64; ACCOUNTS.len()],
    /// The last order of families.
    order: Vec<String>,
    /// Every column name so far.
    columns: Vec<String>,
    /// The last snapshot's version and text.
    shown: Option<(u64, String)>,
}

type Outcome = Result<(), String>;

/// The same selection of fields as in the model.
fn fields(settings: Settings) -> FieldFilter {
    let dropped = settings.dropped.iter().map(|field| anchored(field));
    FieldFilter::new(settings.location, dropped.map(Result::unwrap).collect())
}

impl Pair {
    fn new(settings: Settings) -> Self {
        let options = FleetOptions {
            include_routers: settings.include_routers,
            fields: fields(settings),
            retention: Retention {
                stale_after: Duration::from_millis(settings.stale_after),
                ip_stale_after: Duration::from_millis(settings.ip_stale_after),
                forget_after: Duration::from_millis(settings.forget_after),
            },
            limits: Limits::STANDARD,
        };
        Self {
            fleet: Fleet::new(options.clone()),
            schemas: SchemaCache::new(options.fields.clone()),
            options,
            oracle: Oracle::new(settings),
            dated: settings.dated,
            now: 0,
            covered: [0; ACCOUNTS.len()],
            order: Vec::new(),
            columns: Vec::new(),
            shown: None,
        }
    }

    fn step(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Wait(millis) => self.wait(*millis),
            Step::Fail(millis, account) => {
                self.wait(*millis);
                self.covered[*account] = self.now;
            }
            Step::Remove(account) => {
                let now = Moment::from_millis(self.now);
                let name = ACCOUNTS[*account];
                let known = self.fleet.accounts().find(|(_, known)| ***known == *name);
                if let Some(id) = known.map(|(id, _)| id) {
                    self.fleet.remove_account(id, now);
                }
                self.oracle.remove(*account);
            }
            Step::Restart => self.restart()?,
            Step::Answer {
                account,
                after,
                answer,
                expire_before,
                plan_twice,
            } => {
                self.now += after;
                // Devices are forgotten when `expire` is called; they become stale without it.
                let forgets = self.oracle.wait(self.now);
                if *expire_before || forgets {
                    self.fleet.expire(Moment::from_millis(self.now));
                }
                self.answer(*account, answer, *plan_twice)?;
            }
        }
        self.compare()
    }

    /// Writes and reads the state, as a restart does: output must not change.
    fn restart(&mut self) -> Outcome {
        let mut state = Vec::new();
        let frozen = self.fleet.freeze();
        frozen
            .write(&mut state)
            .map_err(|error| error.to_string())?;
        let now = Moment::from_millis(self.now);
        let thawed = Fleet::thaw(self.options.clone(), now, Form::WithInventories, &state);
        self.fleet = thawed.map_err(|error| error.to_string())?;
        self.oracle.restart();
        self.fleet.expire(Moment::from_millis(self.now));
        self.shown = None;
        Ok(())
    }

    fn wait(&mut self, millis: u64) {
        self.now += millis;
        self.fleet.expire(Moment::from_millis(self.now));
        self.oracle.wait(self.now);
    }

    fn account(&mut self, account: usize) -> AccountId {
        let name = ACCOUNTS[account];
        self.fleet.account(&name.into()).unwrap()
    }

    fn answer(&mut self, account: usize, answer: &Answer, plan_twice: bool) -> Outcome {
        let id = self.account(account);
        let now = Moment::from_millis(self.now);
        let (rows, metadata) = decode(answer.body().into()).map_err(|error| error.to_string())?;
        let schema = self.schemas.resolve(&metadata).schema;
        let batch = Batch { rows, schema };
        let starlink = self
            .dated
            .then(|| START + i64::try_from(self.now).unwrap() * 1_000_000);
        let latest = latest(&batch, starlink, &Limits::STANDARD);
        if plan_twice {
            drop(self.fleet.plan(id, &batch, now, latest));
        }
        let plan = self.fleet.plan(id, &batch, now, latest);
        let covered = std::mem::replace(&mut self.covered[account], self.now);
        let from = Moment::from_millis(covered);
        let covers = now.since(from);
        let coverage = Coverage { to: now, covers };
        let tally = self.fleet.commit(&plan, coverage).tally;
        self.fleet.expire(now);
        let counts = self.oracle.answer(account, answer, covered, self.now);
        self.columns
            .extend(answer.columns.values().flatten().flatten().cloned());
        let cells: u64 = counts.cells.values().sum();
        same("the rejected cells", &tally.cells.total(), &cells)?;
        let places = tally.cells.of(CellFault::Location);
        same(
            "the rejected places",
            &places,
            &counts.non_cells.values().sum(),
        )?;
        same(
            "the rows",
            &by_name(RowCode::ALL.map(RowCode::name), tally.rows),
            &counts.rows,
        )?;
        same(
            "the ignored rows",
            &by_name(RowIgnored::ALL.map(RowIgnored::name), tally.ignored),
            &counts.ignored,
        )?;
        same(
            "the rejected rows",
            &by_name(RowFault::ALL.map(RowFault::name), tally.rejected),
            &counts.rejected,
        )
    }

    fn compare(&mut self) -> Outcome {
        let mut expected = self.oracle.expected();
        let snapshot = Arc::new(self.fleet.snapshot());
        let mut orders = Vec::new();
        for format in Format::ALL {
            let exposition = Exposition::new(
                Telemetry::new(format, Arc::clone(&snapshot), Shard::WHOLE),
                own_families(),
            );
            let text = String::from_utf8(exposition.flatten().collect())
                .map_err(|error| error.to_string())?;
            let body = read(&text, format)?;
            if format == Format::ALL[0] {
                let series: Vec<_> = body
                    .samples
                    .iter()
                    .map(|(series, _)| series.clone())
                    .collect();
                expected
                    .infos
                    .iter_mut()
                    .for_each(|info| info.order_as(&series));
            }
            orders.push(self.check_families(&body, format)?);
            let context = |problem| format!("{problem}\n{format:?}:\n{text}");
            check_samples(body, format, &expected.samples, &expected.infos).map_err(context)?;
        }
        self.check_version(&snapshot)?;
        check_shards(&snapshot)?;
        same("the families of Prometheus", &orders[1], &orders[0])?;
        same("the families of mixed", &orders[2], &orders[0])?;
        let order = orders.swap_remove(0);
        let common = |one: &[String], other: &[String]| -> Vec<String> {
            one.iter()
                .filter(|name| other.contains(name))
                .cloned()
                .collect()
        };
        same(
            "the order of the families",
            &common(&order, &self.order),
            &common(&self.order, &order),
        )?;
        self.order = order;
        Ok(())
    }

    /// Two snapshots of one version show the same.
    fn check_version(&mut self, snapshot: &Arc<Snapshot>) -> Outcome {
        let shown = (snapshot.version, written(snapshot, Shard::WHOLE));
        let before = self.shown.replace(shown.clone());
        match before {
            Some(before) if before.0 == shown.0 => same("one version", &shown.1, &before.1),
            _ => Ok(()),
        }
    }

    /// Checks HELP and TYPE. Returns the names of the families in order.
    fn check_families(&self, body: &Body, format: Format) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        for family in &body.families {
            names.push(family.name.clone());
            let info = family.name == "starlink_info";
            let kind = match format {
                _ if OWN.contains(&&*family.name) => continue,
                Format::OpenMetrics if info => "info",
                Format::Mixed if info => "",
                _ => "gauge",
            };
            same(&family.name, &&*family.kind, &kind)?;
            let is_field = self.columns.iter().any(|column| {
                let gauge = format!("starlink_{}", oracle::sanitised(column));
                family.name == gauge && family.help == format!("Starlink telemetry field {column}.")
            });
            let generic = family.help.starts_with("Starlink telemetry field ");
            if generic != is_field || (family.help.is_empty() && !kind.is_empty()) {
                return Err(format!("HELP of {} is {:?}", family.name, family.help));
            }
        }
        Ok(names
            .into_iter()
            .filter(|name| !name.contains("exporter_"))
            .collect())
    }
}

fn play(scenario: &Scenario) -> Outcome {
    let mut pair = Pair::new(scenario.settings);
    for (number, step) in scenario.steps.iter().enumerate() {
        let named = |problem| format!("step {number}: {problem}");
        pair.step(step).map_err(named)?;
    }
    Ok(())
}

/// A short description of a failing scenario.
fn tell(scenario: &Scenario) -> String {
    let mut story = format!("{:?}\n", scenario.settings);
    for step in &scenario.steps {
        story.push_str(&match step {
            Step::Wait(millis) => format!("wait {millis}\n"),
            Step::Fail(millis, account) => format!("{account} fails after {millis}\n"),
            Step::Remove(account) => format!("{account} is removed\n"),
            Step::Restart => "restart\n".to_owned(),
            Step::Answer {
                account,
                after,
                answer,
                expire_before,
                plan_twice,
            } => {
                let how = format!("expired before: {expire_before}, planned twice: {plan_twice}");
                format!(
                    "answer of {account} after {after} ({how}):\n{}\n",
                    answer.body()
                )
            }
        });
    }
    story
}

/// A row and an allocation, and all numbers that the specification gives for them.
#[test]
fn the_model_shows_the_numbers_of_the_specification() {
    let body = r#"{"data":{"values":[
        ["u",1756537212000000000,"ut01000000-00000000-00aa0001",0.115,21,true,599686042433355775,"2025.08.11.mr61518",[82]],
        ["i",1756537213000000000,"ip-ut01000000-00000000-00aa0001","ACC-1",["192.0.2.1"],["2001:db8:1::/64"],[]]],
        "columnNamesByDeviceType":{
        "u":["DeviceType","UtcTimestampNs","DeviceId","DownlinkThroughput","PingLatencyMsAvg","InTerritorialWaters","H3CellId",
            "RunningSoftwareVersion","ActiveAlerts"],
        "i":["DeviceType","UtcTimestampNs","DeviceId","AccountNumber","Ipv4","Ipv6Ue","Ipv6Cpe"]}},
        "metadata":{"enums":{"DeviceType":{"u":"UserTerminal"},
            "AlertsByDeviceType":{"u":{"82":"software_update_reboot_pending"}}}}}"#;
    let answer = Answer::parse(body);
    let settings = Settings {
        include_routers: false,
        location: true,
        dropped: &[],
        stale_after: 120_000,
        ip_stale_after: 900_000,
        forget_after: 86_400_000,
        dated: true,
    };
    let mut oracle = Oracle::new(settings);
    oracle.answer(0, &answer, 0, 0);
    let expected = oracle.expected();
    let promised = [
        ("starlink_DownlinkThroughput", 0.115),
        ("starlink_H3CellId", 599_686_042_433_355_775_u64 as f64),
        ("starlink_InTerritorialWaters", 1.0),
        ("starlink_Ipv4_numeric", 3_221_225_985.0),
        ("starlink_Ipv6Ue_numeric", 3_236_962_502_705_421.0),
        ("starlink_PingLatencyMsAvg", 21.0),
        ("starlink_alert_active_software_update_reboot_pending", 1.0),
        ("starlink_device_account", 1.0),
        ("starlink_last_report_timestamp_seconds", 1_756_537_212.0),
        ("starlink_latitude", 37.345_793_4),
        ("starlink_longitude", -121.976_376),
        ("starlink_online", 1.0),
    ];
    assert_eq!(expected.samples.len(), promised.len());
    for (((name, _), value), (promised_name, promised)) in expected.samples.iter().zip(promised) {
        assert_eq!(name, promised_name);
        assert!((value - promised).abs() < 1e-7, "{name} is {value}");
    }
    let lines: Vec<_> = expected.infos.iter().map(Info::line).collect();
    let line = r#"starlink_info,device_type=UserTerminal,deviceID=ut01000000-00000000-00aa0001 runningsoftwareversion="2025.08.11.mr61518",accountnumber="ACC-1""#;
    assert_eq!(lines, [line]);
    let step = Step::Answer {
        account: 0,
        after: 0,
        answer,
        expire_before: false,
        plan_twice: false,
    };
    Pair::new(settings).step(&step).unwrap();
}

#[test]
fn the_service_shows_what_the_model_shows() {
    let mut config = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 5000,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    let result = TestRunner::new(config).run(&scenario(), |scenario| {
        play(&scenario).map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, scenario)) => panic!("{reason}\n{}", tell(&scenario)),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}
