//! Compares the series of the inventory with those of a second implementation, over generated inventories of two accounts.

#[path = "inventories/expected.rs"]
mod expected;
#[path = "inventories/rows.rs"]
mod rows;
#[path = "inventories/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use starlink_telemetry::exposition::{
    Exposition, Format, Selection, Shard, Telemetry, pool_families,
};
use starlink_telemetry::fleet::{
    AccountId, Coverage, Fleet, FleetOptions, Lease, Limits, Retention, Snapshot, latest,
};
use starlink_telemetry::names::Names;
use starlink_telemetry::telemetry::{Batch, FieldFilter, SchemaCache, decode};
use starlink_telemetry::time::Moment;

use self::world::{NAMES, NOW, World, world};
use super::oracle::Series;
use super::reader::read;

/// Routers are included, and nothing is left out.
fn options() -> FleetOptions {
    FleetOptions {
        include_routers: true,
        fields: FieldFilter::new(true, Vec::new()),
        retention: Retention {
            stale_after: Duration::from_secs(120),
            ip_stale_after: Duration::from_secs(900),
            forget_after: Duration::from_secs(86_400),
        },
        limits: Limits::STANDARD,
    }
}

/// An account's answer with these rows arrives, and covers the time since the start.
fn answer(fleet: &mut Fleet, account: AccountId, rows: Vec<Value>, seconds: u64) {
    let columns = json!(["DeviceType", "UtcTimestampNs", "DeviceId", "DishId"]);
    let body = json!({
        "data": {"values": rows, "columnNamesByDeviceType": {"u": columns, "r": columns}},
        "metadata": {"enums": {"DeviceType": {"u": "UserTerminal", "r": "Router"}, "AlertsByDeviceType": {}}},
    });
    let (rows, metadata) = decode(body.to_string().into_bytes()).unwrap();
    let schema = SchemaCache::new(options().fields).resolve(&metadata).schema;
    let batch = Batch { rows, schema };
    let now = Moment::from_millis(seconds * 1000);
    let latest = latest(&batch, None, &Limits::STANDARD);
    let plan = fleet.plan(account, &batch, now, latest);
    let covers = Duration::from_secs(seconds);
    fleet.commit(&plan, Coverage { to: now, covers });
    fleet.expire(now);
}

/// The fleet after the rows and the inventories.
fn fleet(world: &World) -> (Fleet, [AccountId; 2]) {
    let mut fleet = Fleet::new(options());
    let accounts = NAMES.map(|name| fleet.account(&name.into()).unwrap());
    let reported = 1_795_766_390_000_000_000_i64;
    for (number, id) in accounts.into_iter().enumerate() {
        let terminals = world.terminals.iter();
        let terminals = terminals.filter(|(_, owner)| **owner == number);
        let terminals = terminals.map(|(id, _)| json!(["u", reported, format!("ut{id}"), null]));
        let routers = world.routers.iter();
        let routers = routers.filter(|(_, (owner, _))| *owner == number);
        let routers =
            routers.map(|(id, (_, dish))| json!(["r", reported, format!("Router-{id}"), dish]));
        answer(&mut fleet, id, terminals.chain(routers).collect(), 0);
    }
    for (id, account) in accounts.into_iter().zip(&world.accounts) {
        fleet.set_inventory(id, Some(Arc::new(account.inventory())));
    }
    fleet.list_inventories();
    (fleet, accounts)
}

/// The samples of `starlink_online`, by device.
fn online(fleet: &Fleet) -> BTreeMap<String, f64> {
    let telemetry = Telemetry::new(Format::Prometheus, Arc::new(fleet.snapshot()), Shard::WHOLE);
    let text = Exposition::new(telemetry, Vec::new()).flatten().collect();
    let body = read(&String::from_utf8(text).unwrap(), Format::Prometheus).unwrap();
    let samples = body.samples.into_iter();
    let online = samples.filter(|((name, _), _)| name == "starlink_online");
    online
        .map(|((_, labels), value)| (labels[1].1.clone(), value))
        .collect()
}

/// The series of the inventory in a scrape.
fn shown(
    snapshot: &Arc<Snapshot>,
    names: &Arc<Names>,
    format: Format,
    selection: Selection,
) -> BTreeMap<Series, f64> {
    let lease = Arc::new(Lease::from(Arc::clone(snapshot)));
    let pools = match selection.shard.is_first() {
        true => pool_families(snapshot, selection.account, NOW),
        false => Vec::new(),
    };
    let text = Exposition::new(Telemetry::named(format, lease, selection, names), pools);
    let text = String::from_utf8(text.flatten().collect()).unwrap();
    let body = read(&text, format).unwrap();
    let mut samples = BTreeMap::new();
    for (series, value) in body.samples {
        let is_telemetry = [
            "starlink_online",
            "starlink_last_report_timestamp_seconds",
            "starlink_info",
        ];
        if !is_telemetry.contains(&&*series.0) {
            assert_eq!(
                samples.insert(series, value),
                None,
                "a series is there once"
            );
        }
    }
    samples
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_service_shows_the_inventories_that_the_model_shows(world in world()) {
        let (fleet, accounts) = fleet(&world);
        let snapshot = Arc::new(fleet.snapshot());
        let entries = world.names.iter();
        let entries: String = entries.map(|(key, (name, group))| format!("{key},\"{name}\",{group}\n")).collect();
        let names = Arc::new(Names::parse(format!("deviceID,name,group\n{entries}").as_bytes()).unwrap());
        for format in Format::ALL {
            let all = shown(&snapshot, &names, format, Shard::WHOLE.into());
            prop_assert_eq!(&all, &world.expected(None), "{:?}", format);
            for (number, account) in accounts.into_iter().enumerate() {
                let selection = Selection { account: Some(account), ..Selection::from(Shard::WHOLE) };
                prop_assert_eq!(shown(&snapshot, &names, format, selection), world.expected(Some(number)));
            }
        }
        let mut together = BTreeMap::new();
        for shard in ["0", "1", "2"] {
            let shard = Shard::requested(Some(shard), Some("3")).unwrap();
            for (series, value) in shown(&snapshot, &names, Format::OpenMetrics, shard.into()) {
                prop_assert_eq!(together.insert(series, value), None);
            }
        }
        prop_assert_eq!(together, world.expected(None));
    }

    #[test]
    fn terminals_without_an_active_line_are_never_offline(world in world()) {
        let (mut fleet, accounts) = fleet(&world);
        prop_assert_eq!(online(&fleet), world.online(false));
        for account in accounts {
            answer(&mut fleet, account, Vec::new(), 120);
        }
        prop_assert_eq!(online(&fleet), world.online(true));
    }
}
