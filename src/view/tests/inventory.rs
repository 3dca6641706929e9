//! Tests of what the inventory adds: names of service lines, data use, terminals that were never heard, lists of lines and pools.

use serde_json::json;

use super::super::lines::LineTerminal;
use super::*;
use crate::inventory::{Bounds, Inventory, Known, Lines, Terminals, Usages};

/// 2023-11-14 22:13:20 UTC.
const NOW: f64 = 1_700_000_000.0;

fn page_of(results: &serde_json::Value) -> Vec<u8> {
    json!({"content": {"pageIndex": 0, "limit": 100, "isLastPage": true, "results": results}})
        .to_string()
        .into_bytes()
}

fn known<T>(value: T) -> Option<Known<T>> {
    let value = Arc::new(value);
    Some(Known { at: NOW, value })
}

/// Use in GB: the number of the line, the priority data, of which a tenth is opt-in, the limit, and the ID of a pool of
/// 100 GB with the data used of it.
type UseOf = (&'static str, f64, f64, Option<(&'static str, f64)>);

fn usage((number, priority, limit, pool): UseOf) -> serde_json::Value {
    let pools = pool.map(|(id, consumed)| {
        json!({"dataPoolId": id, "dataBlocks": [
            {"totalAmountGB": 100, "consumedAmountGB": consumed},
            {"totalAmountGB": 50, "consumedAmountGB": 50, "expirationDateUtc": "2020-01-01T00:00:00Z"},
        ]})
    });
    json!({
        "serviceLineNumber": number,
        "billingCycles": [{
            "startDate": "2023-11-01T00:00:00Z", "endDate": "2023-12-01T00:00:00Z",
            "totalPriorityGB": priority, "totalStandardGB": 1.0, "totalOptInPriorityGB": priority / 10.0,
            "overageLines": [{"overageAmountGB": 40}],
            "dataPoolUsage": pools.into_iter().collect::<Vec<_>>(),
        }],
        "servicePlan": {"usageLimitGB": limit, "isOptedIntoOverage": true},
        "lastUpdated": "2023-11-14T00:00:00Z",
    })
}

/// Terminals as ID, nickname and number of the line, their lines with the activity, and the use of lines.
fn inventory(
    terminals: &[(&str, &str, &str)],
    lines: &[(&str, bool)],
    uses: &[UseOf],
) -> Inventory {
    let terminal = |(id, nickname, line): &(&str, &str, &str)| {
        json!({
            "userTerminalId": id, "nickname": nickname, "serviceLineNumber": line,
            "kitSerialNumber": format!("KIT-{id}"), "dishSerialNumber": format!("DISH-{id}"),
        })
    };
    let line = |(number, active): &(&str, bool)| {
        json!({
            "serviceLineNumber": number, "nickname": format!("Line {number}"), "active": active,
            "productReferenceId": "maritime", "publicIp": true,
        })
    };
    let results = |entries: Vec<serde_json::Value>| page_of(&json!(entries));
    let bounds = &Bounds::STANDARD;
    let terminals = results(terminals.iter().map(terminal).collect());
    let lines = results(lines.iter().map(line).collect());
    let uses = results(uses.iter().copied().map(usage).collect());
    Inventory {
        terminals: known(Terminals::parse(&terminals, bounds).unwrap().entries),
        lines: known(Lines::parse(&lines, bounds).unwrap().entries),
        usage: known(Usages::parse(&uses, NOW, bounds).unwrap().entries),
        ..Inventory::default()
    }
}

/// A fleet in which `heard` have reported to account a, with the inventories of the accounts.
fn fleet_with(heard: &[&str], inventories: Vec<(&'static str, Inventory)>) -> NamedFleet {
    let mut world = World::new();
    for id in heard {
        let row = format!(r#"["u",1000000000,"{id}",1,null,null,[]]"#);
        let body = format!(
            r#"{{"data":{{"values":[{row}],"columnNamesByDeviceType":{{"u":["DeviceType","UtcTimestampNs","DeviceId","DownlinkThroughput",
            "RunningSoftwareVersion","H3CellId","ActiveAlerts"]}}}},"metadata":{{"enums":{{"DeviceType":{{"u":"UserTerminal"}}}}}}}}"#
        );
        world.answer_of("a", &body);
    }
    for (account, inventory) in inventories {
        let id = world.fleet.account(&account.into()).unwrap();
        world.fleet.set_inventory(id, Some(Arc::new(inventory)));
    }
    world.fleet.list_inventories();
    NamedFleet {
        snapshot: Arc::new(world.fleet.snapshot()),
        names: Arc::default(),
        now: Moment::from_millis(world.now),
        unix_now: NOW,
    }
}

/// One terminal each: heard, never heard, in store; one without a limit, and one of another account.
fn mixed() -> NamedFleet {
    let first = inventory(
        &[
            ("01", "Aurora", "L1"),
            ("02", "Borealis", "L2"),
            ("03", "", "L3"),
            ("04", "", ""),
        ],
        &[("L1", true), ("L2", true), ("L3", false)],
        &[
            ("L1", 50.0, 100.0, None),
            ("L2", 700.0, 0.0, None),
            ("L3", 90.0, 100.0, None),
            ("L9", 5.0, 0.0, Some(("pool-1", 75.0))),
        ],
    );
    let second = inventory(
        &[("05", "", "M1"), ("06", "", "M1")],
        &[("M1", true)],
        &[("M1", 120.0, 100.0, Some(("pool-0", 25.0)))],
    );
    fleet_with(&["ut01"], vec![("a", first), ("b", second)])
}

fn listed(fleet: &NamedFleet, query: &str) -> Vec<String> {
    let query = DeviceQuery::parse(query).unwrap();
    let devices = list(fleet, &query).devices.into_iter();
    devices.map(|device| device.id).collect()
}

#[test]
fn terminals_that_were_never_heard_are_listed_and_those_in_store_are_not() {
    let fleet = mixed();
    assert_eq!(listed(&fleet, ""), ["ut01", "ut02", "ut05", "ut06"]);
    assert_eq!(
        listed(&fleet, "state=never_heard"),
        ["ut02", "ut05", "ut06"]
    );
    assert_eq!(listed(&fleet, "state=unknown"), ["ut02", "ut05", "ut06"]);
    assert_eq!(listed(&fleet, "account=b"), ["ut05", "ut06"]);
    // Without a report, a device is last in either direction.
    assert_eq!(listed(&fleet, "sort=last_report")[0], "ut01");
    assert_eq!(listed(&fleet, "sort=-last_report")[0], "ut01");
    let [types] = &Overview::of(&fleet.snapshot).types[..] else {
        panic!("there is one type");
    };
    assert_eq!((types.online, types.unknown, types.never_heard), (1, 3, 3));
    let device = find(&fleet, "ut02", None).unwrap().device;
    assert!(device.never_heard);
    assert_eq!(device.state, Some(DeviceState::Unknown));
    assert_eq!(device.last_report_timestamp_seconds, None);
    assert_eq!(device.silent_for_seconds, None);
    assert_eq!(device.account.as_deref(), Some("a"));
    let overview = Overview::of(&fleet.snapshot);
    assert_eq!(overview.last_report_timestamp_seconds, Some(1.0));
}

#[test]
fn a_terminal_is_found_with_what_the_inventory_says() {
    let fleet = mixed();
    let found = |id| find(&fleet, id, None).unwrap().device;
    let device = found("ut01");
    assert_eq!(device.name.as_deref(), Some("Aurora"));
    assert_eq!(device.kit_serial.as_deref(), Some("KIT-01"));
    assert_eq!(device.dish_serial.as_deref(), Some("DISH-01"));
    let line = device.service_line.unwrap();
    assert_eq!(line.nickname.as_deref(), Some("Line L1"));
    assert_eq!((line.active, line.public_ip), (Some(true), Some(true)));
    let data_use = line.data_use.unwrap();
    // The opt-in part counts against the limit too.
    assert_eq!(data_use.limit_share, Some(0.5));
    assert_eq!(
        (data_use.priority_bytes, data_use.opt_in_priority_bytes),
        (Some(45e9), Some(5e9))
    );
    assert_eq!(data_use.total_bytes, Some(51e9));
    assert_eq!(data_use.overage_bytes, Some(40e9));
    // In store: its state does not exist, and lists do not have it. Bare IDs are found too.
    for id in ["ut03", "03", "UT03"] {
        let device = found(id);
        assert_eq!((&*device.id, device.state), ("ut03", None), "{id}");
        assert_eq!(device.name.as_deref(), Some("Line L3"));
        assert_eq!(device.device_type, "UserTerminal");
        assert!(device.never_heard);
    }
    assert_eq!(found("04").service_line, None);
    assert_eq!(found("01").state, Some(DeviceState::Online));
    for (id, device_type) in [("ut03", Some("Router")), ("ut99", None)] {
        assert_eq!(find(&fleet, id, device_type), None);
    }
}

#[test]
fn devices_are_sorted_by_the_share_of_the_limit_then_by_bytes() {
    let fleet = mixed();
    // ut05 and ut06 share a line that takes from a pool, so it has no limit of its own: 121 GB. ut02 has no limit: 701 GB.
    assert_eq!(
        listed(&fleet, "sort=-data_use"),
        ["ut01", "ut02", "ut05", "ut06"]
    );
    assert_eq!(
        listed(&fleet, "sort=data_use"),
        ["ut05", "ut06", "ut02", "ut01"]
    );
}

#[test]
fn search_finds_serial_numbers_lines_and_nicknames() {
    let fleet = mixed();
    for (search, expected) in [
        ("aurora", &["ut01"][..]),
        ("kit-01", &["ut01"]),
        ("dish-05", &["ut05"]),
        ("m1", &["ut05", "ut06"]),
        ("line+l2", &["ut02"]),
        ("kit-03", &[]),
    ] {
        assert_eq!(
            listed(&fleet, &format!("search={search}")),
            expected,
            "{search}"
        );
    }
}

fn numbers(fleet: &NamedFleet, query: &str) -> Vec<String> {
    let query = LineQuery::parse(query).unwrap();
    // A query and its URL are equivalent.
    assert_eq!(LineQuery::parse(&query.to_text()).unwrap(), query);
    let lines = lines(fleet, &query).lines.into_iter();
    lines.map(|entry| entry.line.number).collect()
}

#[test]
fn lines_are_filtered_sorted_and_paged() {
    let fleet = mixed();
    for (query, expected) in [
        ("", &["L3", "L1", "L2", "M1", "L9"][..]),
        ("sort=data_use", &["L9", "M1", "L2", "L1", "L3"]),
        ("sort=number", &["L1", "L2", "L3", "L9", "M1"]),
        ("sort=-account", &["M1", "L1", "L2", "L3", "L9"]),
        ("sort=-nickname", &["M1", "L3", "L2", "L1", "L9"]),
        ("account=b", &["M1"]),
        ("account=c", &[]),
        ("search=line+L", &["L3", "L1", "L2"]),
        ("search=MARITIME", &["L3", "L1", "L2", "M1"]),
        ("per_page=2", &["L3", "L1"]),
        ("per_page=2&page=3", &["L9"]),
        ("per_page=2&page=4", &[]),
    ] {
        assert_eq!(numbers(&fleet, query), expected, "{query}");
    }
    let page = lines(&fleet, &LineQuery::parse("per_page=2&page=2").unwrap());
    assert_eq!((page.total, page.pages), (5, 3));
    let [_, entry] = &page.lines[..] else {
        panic!("there are two");
    };
    let terminal = |id: &str| LineTerminal {
        id: format!("ut{id}"),
        name: Some("Line M1".to_owned()),
        kit_serial: Some(format!("KIT-{id}")),
    };
    assert_eq!(entry.terminals, [terminal("05"), terminal("06")]);
    assert_eq!((entry.terminals_total, &*entry.line.account), (2, "b"));
}

#[test]
fn a_line_lists_a_limited_number_of_terminals() {
    let ids: Vec<_> = (0..150).map(|number| format!("{number:03}")).collect();
    let terminals: Vec<_> = ids.iter().map(|id| (&**id, "", "L1")).collect();
    let fleet = fleet_with(
        &[],
        vec![("a", inventory(&terminals, &[("L1", true)], &[]))],
    );
    let page = lines(&fleet, &LineQuery::default());
    let entry = &page.lines[0];
    assert_eq!((entry.terminals.len(), entry.terminals_total), (100, 150));
}

#[test]
fn pools_have_the_use_of_their_valid_blocks() {
    let fleet = mixed();
    let all = pools(&fleet, &PoolQuery::default());
    let found: Vec<_> = all
        .pools
        .iter()
        .map(|pool| (&*pool.account, &*pool.id, pool.used_bytes, pool.limit_share))
        .collect();
    assert_eq!(
        found,
        [
            ("a", "pool-1", Some(75e9), Some(0.75)),
            ("b", "pool-0", Some(25e9), Some(0.25)),
        ]
    );
    let of_b = pools(&fleet, &PoolQuery::parse("account=b&per_page=1").unwrap());
    assert_eq!((of_b.total, of_b.pools.len()), (1, 1));
    let past = pools(&fleet, &PoolQuery::parse("page=2").unwrap());
    assert_eq!((past.total, past.pages, past.pools.len()), (2, 1, 0));
}
