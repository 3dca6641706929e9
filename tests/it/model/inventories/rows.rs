//! Two fleets get the same rows, and one of them gets inventories too, right or wrong: what scrapes show of the rows is equal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use starlink_telemetry::exposition::{Exposition, Format, Shard, Telemetry};
use starlink_telemetry::fleet::{Coverage, Fleet, Limits, latest};
use starlink_telemetry::telemetry::{Batch, SchemaCache, decode};
use starlink_telemetry::time::Moment;

use super::super::oracle::Series;
use super::super::reader::read;
use super::options;
use super::world::{Account, NAMES, account, terminal};

/// The identifiers of rows, by type code. Type `x` is not known, and `i` describes terminals.
const DEVICES: [(&str, &str); 12] = [
    ("u", "ut0a"),
    ("u", "ut0A"),
    ("u", "0a"),
    ("u", "ut0b"),
    ("u", "UT0c"),
    ("u", "ut0d"),
    ("r", "Router-1A"),
    ("r", "1a"),
    ("x", "ut0a"),
    ("i", "ip-ut0a"),
    ("i", "ip-ut0b"),
    ("i", "ut0e"),
];

/// The identifiers of terminals in inventories: some belong to no terminal, some to routers, some to one terminal in two spellings.
const LISTED: [&str; 10] = [
    "0a",
    "0A",
    "ut0a",
    "UT0c",
    "0b",
    "0d",
    "0e",
    "",
    "Router-1A",
    "1A",
];

/// The names of the types in the answers: Starlink may rename a type, or leave the names out.
const TYPES: [&str; 3] = [
    r#"{"u": "UserTerminal", "r": "Router"}"#,
    r#"{"u": "Dish", "x": "UserTerminal"}"#,
    "{}",
];

#[derive(Debug, Clone)]
struct Row {
    device: (&'static str, &'static str),
    /// Seconds after the first possible report.
    reported: i64,
    number: Option<u8>,
    text: Option<&'static str>,
    alert: Option<u8>,
    is_located: bool,
}

#[derive(Debug, Clone)]
enum Step {
    Answer(usize, &'static str, Vec<Row>),
    /// Seconds.
    Wait(u64),
    /// The inventory of an account is read, or is no longer known.
    Inventory(usize, Box<Option<Account>>),
}

fn row() -> impl Strategy<Value = Row> {
    (
        select(DEVICES.to_vec()),
        0..5_i64,
        option::of(any::<u8>()),
        option::of(select(vec!["v1", "v2", "ut0b", "1.5"])),
        option::of(0..3_u8),
        any::<bool>(),
    )
        .prop_map(|(device, reported, number, text, alert, is_located)| Row {
            device,
            reported,
            number,
            text,
            alert,
            is_located,
        })
}

/// An account whose terminals have any IDs.
fn wrong_account() -> impl Strategy<Value = Account> {
    let terminals = option::weighted(0.9, btree_map(select(LISTED.to_vec()), terminal(), 0..8));
    (account(), terminals).prop_map(|(account, terminals)| Account {
        terminals,
        ..account
    })
}

fn step() -> impl Strategy<Value = Step> {
    let answer = (0..2_usize, select(TYPES.to_vec()), vec(row(), 0..6));
    prop_oneof![
        3 => answer.prop_map(|(account, types, rows)| Step::Answer(account, types, rows)),
        2 => select(vec![1, 60, 119, 120, 900, 86_400]).prop_map(Step::Wait),
        3 => (0..2_usize, option::weighted(0.8, wrong_account()))
            .prop_map(|(account, inventory)| Step::Inventory(account, Box::new(inventory))),
    ]
}

impl Row {
    fn cells(&self) -> Value {
        let (code, id) = self.device;
        let reported = (1_795_766_390 + self.reported) * 1_000_000_000;
        match code {
            "i" => {
                let address = self.number.map(|number| format!("192.0.2.{number}"));
                json!([code, reported, id, self.text, address.as_slice()])
            }
            _ => {
                let cell = self.is_located.then_some("85283473fffffff");
                let alerts = self.alert.as_slice();
                json!([code, reported, id, self.number, self.text, cell, alerts])
            }
        }
    }
}

struct Observed {
    fleet: Fleet,
    schemas: SchemaCache,
    /// Seconds.
    now: u64,
    covered: [u64; 2],
}

impl Observed {
    fn new() -> Self {
        let options = options();
        Self {
            schemas: SchemaCache::new(options.fields.clone()),
            fleet: Fleet::new(options),
            now: 0,
            covered: [0; 2],
        }
    }

    fn moment(&self) -> Moment {
        Moment::from_millis(self.now * 1000)
    }

    fn wait(&mut self, seconds: u64) {
        self.now += seconds;
        self.fleet.expire(self.moment());
    }

    fn answer(&mut self, account: usize, types: &str, rows: &[Row]) {
        let types: Value = serde_json::from_str(types).unwrap();
        let device = [
            "DeviceType",
            "UtcTimestampNs",
            "DeviceId",
            "Speed",
            "DishId",
            "H3CellId",
            "ActiveAlerts",
        ];
        let allocation = [
            "DeviceType",
            "UtcTimestampNs",
            "DeviceId",
            "AccountNumber",
            "Ipv4",
        ];
        let values: Vec<_> = rows.iter().map(Row::cells).collect();
        let body = json!({
            "data": {
                "values": values,
                "columnNamesByDeviceType": {"u": device, "r": device, "x": device, "i": allocation},
            },
            "metadata": {"enums": {"DeviceType": types, "AlertsByDeviceType": {"u": {"1": "hot"}}}},
        });
        let (rows, metadata) = decode(body.to_string().into_bytes()).unwrap();
        let schema = self.schemas.resolve(&metadata).schema;
        let batch = Batch { rows, schema };
        let latest = latest(&batch, None, &Limits::STANDARD);
        let id = self.fleet.account(&NAMES[account].into()).unwrap();
        let plan = self.fleet.plan(id, &batch, self.moment(), latest);
        let covered = std::mem::replace(&mut self.covered[account], self.now);
        let coverage = Coverage {
            to: self.moment(),
            covers: Duration::from_secs(self.now - covered),
        };
        self.fleet.commit(&plan, coverage);
        self.fleet.expire(self.moment());
    }

    fn list(&mut self, account: usize, inventory: Option<&Account>) {
        let id = self.fleet.account(&NAMES[account].into()).unwrap();
        let inventory = inventory.map(|account| Arc::new(account.inventory()));
        self.fleet.set_inventory(id, inventory);
        self.fleet.list_inventories();
        self.fleet.expire(self.moment());
    }

    fn samples(&self) -> BTreeMap<Series, f64> {
        let snapshot = Arc::new(self.fleet.snapshot());
        let telemetry = Telemetry::new(Format::Prometheus, snapshot, Shard::WHOLE);
        let text = Exposition::new(telemetry, Vec::new()).flatten().collect();
        let body = read(&String::from_utf8(text).unwrap(), Format::Prometheus).unwrap();
        body.samples.into_iter().collect()
    }
}

/// The samples that rows alone determine. An inventory may end `starlink_online 0` or begin it, and adds the accounts of its terminals.
fn of_rows(mut samples: BTreeMap<Series, f64>) -> BTreeMap<Series, f64> {
    let others = [
        "starlink_device_account",
        "starlink_device_name",
        "starlink_terminal_info",
        "starlink_router_terminal",
        "starlink_account_info",
        "starlink_account_suspension",
        "starlink_account_balance_due",
    ];
    samples.retain(|(name, _), value| {
        let is_line = name.starts_with("starlink_service_line_");
        let is_offline = name == "starlink_online" && *value == 0.0;
        !is_line && !is_offline && !others.contains(&&**name)
    });
    samples
}

/// The devices of which a row is known, with their accounts.
fn accounts(samples: &BTreeMap<Series, f64>) -> Vec<&Series> {
    let reported = |(_, labels): &Series| {
        let name = "starlink_last_report_timestamp_seconds".to_owned();
        samples.contains_key(&(name, labels[..2].to_vec()))
    };
    let accounts = samples
        .keys()
        .filter(|(name, _)| name == "starlink_device_account");
    accounts.filter(|series| reported(series)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn an_inventory_does_not_change_what_rows_give(steps in vec(step(), 1..10)) {
        let (mut plain, mut listed) = (Observed::new(), Observed::new());
        for step in &steps {
            match step {
                Step::Inventory(account, inventory) => listed.list(*account, inventory.as_ref().as_ref()),
                Step::Wait(seconds) => {
                    plain.wait(*seconds);
                    listed.wait(*seconds);
                }
                Step::Answer(account, types, rows) => {
                    plain.answer(*account, types, rows);
                    listed.answer(*account, types, rows);
                }
            }
            let (plain, listed) = (plain.samples(), listed.samples());
            prop_assert_eq!(accounts(&listed), accounts(&plain));
            prop_assert_eq!(of_rows(listed), of_rows(plain));
        }
    }
}
