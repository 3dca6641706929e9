//! Tests of lists, compared with a simple model that filters and sorts all devices by the standard library.

mod inventory;

use std::cmp::Ordering;

use proptest::prelude::*;

use super::device::{DeviceState, Measure};
use super::*;
use crate::fleet::tests::World;

/// The accounts that deliver devices.
const ACCOUNTS: [&str; 3] = ["a", "b", "c"];

/// The account of the device with this number.
fn account_of(number: u16) -> &'static str {
    ACCOUNTS[usize::from(number) % ACCOUNTS.len()]
}

/// Number, speed, version, and whether it has an alert.
type Terminal = (u16, Option<u8>, Option<u8>, bool);

/// A fleet of terminals with these numbers, speeds, versions and alerts. The first quarter is silent.
fn fleet(devices: &[Terminal]) -> NamedFleet {
    let mut world = World::new();
    let row = |(id, speed, version, has_alert): &Terminal| {
        let speed = speed.map_or("null".to_owned(), |speed| speed.to_string());
        let version = version.map_or("null".to_owned(), |version| format!("\"v{version}\""));
        let alerts = if *has_alert { "[82]" } else { "[]" };
        format!(r#"["u",1000000000,"ut-{id}",{speed},{version},599686042433355775,{alerts}]"#)
    };
    let (silent, heard) = devices.split_at(devices.len() / 4);
    let body = |account: &str, devices: &[Terminal]| {
        let own = devices.iter().filter(|(id, ..)| account_of(*id) == account);
        let rows: Vec<_> = own.map(row).collect();
        format!(
            r#"{{"data":{{"values":[{}],"columnNamesByDeviceType":{{"u":["DeviceType","UtcTimestampNs","DeviceId",
            "DownlinkThroughput","RunningSoftwareVersion","H3CellId","ActiveAlerts"]}}}},
            "metadata":{{"enums":{{"DeviceType":{{"u":"UserTerminal"}},"AlertsByDeviceType":{{"u":{{"82":"pending"}}}}}}}}}}"#,
            rows.join(",")
        )
    };
    let answer = |world: &mut World, devices: &[Terminal]| {
        for account in ACCOUNTS {
            world.answer_of(account, &body(account, devices));
        }
    };
    answer(&mut world, silent);
    world.wait(200);
    answer(&mut world, heard);
    NamedFleet {
        snapshot: Arc::new(world.fleet.snapshot()),
        names: Arc::default(),
        now: Moment::from_millis(world.now),
        unix_now: 0.0,
    }
}

fn all(fleet: &NamedFleet) -> Vec<Device> {
    let query = DeviceQuery {
        per_page: 1000,
        ..DeviceQuery::default()
    };
    list(fleet, &query).devices
}

/// Absent values last.
fn compare<T: PartialOrd>(one: Option<T>, other: Option<T>, is_descending: bool) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) => {
            let order = one.partial_cmp(&other).unwrap();
            if is_descending {
                order.reverse()
            } else {
                order
            }
        }
        (one, other) => other.is_some().cmp(&one.is_some()),
    }
}

proptest! {
    #[test]
    fn pages_are_parts_of_the_filtered_and_sorted_list(
        devices in prop::collection::vec((0..40_u16, prop::option::of(0..5_u8), prop::option::of(0..3_u8), any::<bool>()), 0..60),
        key in 0..4_usize,
        is_descending in any::<bool>(),
        state in prop::option::of(prop::sample::select(&DeviceState::ALL[..])),
        alert in any::<bool>(),
        account in prop::option::of(prop::sample::select(&["a", "b", "c", "without devices"][..])),
        search in prop::option::of("[0-9uUtTvV]{1,2}"),
        per_page in 1..20_usize,
    ) {
        let fleet = fleet(&devices);
        let mut expected = all(&fleet);
        let matches = |text: &str, search: &str| text.to_lowercase().contains(&search.to_lowercase());
        let owner = |device: &Device| account_of(device.id.trim_start_matches("ut-").parse().unwrap());
        expected.retain(|device| {
            let mut texts = std::iter::once(&device.id).chain(&device.software);
            state.is_none_or(|state| device.state == Some(state))
                && account.is_none_or(|account| account == owner(device))
                && (!alert || device.alerts.as_deref() == Some(&["pending".to_owned()][..]))
                && search.as_ref().is_none_or(|search| texts.any(|text| matches(text, search)))
        });
        let key = [SortKey::Id, SortKey::Measure(Measure::Downlink), SortKey::Alerts, SortKey::Account][key];
        expected.sort_by(|one, other| {
            let by_key = match key {
                SortKey::Id => compare(Some(&one.id), Some(&other.id), is_descending),
                SortKey::Account => compare(Some(owner(one)), Some(owner(other)), is_descending),
                SortKey::Alerts => {
                    let count = |device: &Device| device.alerts.as_ref().map(Vec::len).filter(|&count| count > 0);
                    compare(count(one), count(other), is_descending)
                }
                _ => compare(one.downlink_mbps, other.downlink_mbps, is_descending),
            };
            by_key.then_with(|| one.id.cmp(&other.id))
        });
        let mut query = DeviceQuery {
            state: state.map(StateFilter::In),
            alert: alert.then(|| "pending".to_owned()),
            account: account.map(ToOwned::to_owned),
            search,
            order: Some(Order { key, is_descending }),
            per_page,
            ..DeviceQuery::default()
        };
        // A query and its URL are equivalent.
        prop_assert_eq!(&DeviceQuery::parse(&query.to_text()).unwrap(), &query);
        let mut listed = Vec::new();
        loop {
            let page = list(&fleet, &query);
            prop_assert_eq!(page.total, expected.len());
            prop_assert_eq!(page.pages, expected.len().div_ceil(per_page).max(1));
            prop_assert!(page.devices.len() <= per_page);
            listed.extend(page.devices);
            if query.page >= page.pages {
                break;
            }
            query.page += 1;
        }
        prop_assert_eq!(listed, expected);
    }
}

#[test]
fn a_silent_device_has_a_location_and_only_last_readings() {
    let fleet = fleet(&[
        (1, Some(5), Some(1), true),
        (2, Some(6), Some(1), true),
        (3, Some(7), Some(1), true),
        (4, Some(8), None, false),
    ]);
    let devices = all(&fleet);
    let [silent, heard, ..] = &devices[..] else {
        panic!("there are four");
    };
    assert_eq!(silent.state, Some(DeviceState::Offline));
    assert_eq!(silent.silent_for_seconds, Some(200.0));
    assert!(silent.alerts.is_none() && silent.latitude.is_some());
    assert_eq!(silent.software.as_deref(), Some("v1"));
    assert_eq!(heard.state, Some(DeviceState::Online));
    assert_eq!(heard.alerts.as_deref(), Some(&["pending".to_owned()][..]));
    let found = |id| find(&fleet, id, None).unwrap();
    assert_eq!(found("ut-2").fields["DownlinkThroughput"], 6.0);
    assert_eq!(found("ut-2").last_readings, None);
    // The last readings of a silent device are separate.
    assert!(found("ut-1").fields.is_empty());
    let last = found("ut-1").last_readings.unwrap();
    assert_eq!(last.fields["DownlinkThroughput"], 5.0);
    assert_eq!(
        (last.timestamp_seconds, &last.alerts[..]),
        (1.0, &["pending".to_owned()][..])
    );
}

#[test]
fn the_overview_has_counts_and_locations() {
    let fleet = fleet(&[
        (1, None, None, true),
        (2, None, None, true),
        (3, None, None, true),
        (4, None, None, false),
    ]);
    let overview = Overview::of(&fleet.snapshot);
    assert_eq!(
        overview.types,
        [TypeCount {
            device_type: "UserTerminal".to_owned(),
            online: 3,
            offline: 1,
            unknown: 0,
            never_heard: 0,
        }]
    );
    assert_eq!(
        overview.alerts,
        [AlertCount {
            alert: "pending".to_owned(),
            devices: 2,
        }]
    );
    assert_eq!((overview.located, overview.alerts_unknown), (4, 1));
    // 37.35 degrees north and 121.98 degrees west.
    let place = &[(580, 527)][..];
    for (state, expected) in [
        (DeviceState::Online, place),
        (DeviceState::Offline, place),
        (DeviceState::Unknown, &[]),
    ] {
        assert_eq!(overview.dots.of(state), expected, "{state:?}");
    }
}

#[test]
fn the_nearest_devices_are_first() {
    let mut world = World::new();
    // About 37° north and 122° west; 52.5° north and 13.4° east (Berlin); 35.7° north and 139.7° east (Tokyo).
    for (id, cell) in [
        ("west", 599_686_042_433_355_775_u64),
        ("berlin", h3(52.5, 13.4)),
        ("tokyo", h3(35.7, 139.7)),
    ] {
        world.rows(&format!(r#"["u",1000000000,"{id}",1,null,{cell},[]]"#));
    }
    world.rows(r#"["u",1000000000,"nowhere",1,null,null,[]]"#);
    let fleet = NamedFleet {
        snapshot: Arc::new(world.fleet.snapshot()),
        names: Arc::default(),
        now: Moment::default(),
        unix_now: 0.0,
    };
    for (near, expected) in [
        ("48.8,2.3", ["berlin", "west", "tokyo"]),
        ("0,179", ["tokyo", "west", "berlin"]),
        // Across the date line.
        ("40,-179", ["tokyo", "west", "berlin"]),
    ] {
        let query = DeviceQuery::parse(&format!("near={near}")).unwrap();
        let page = list(&fleet, &query);
        let ids: Vec<_> = page
            .devices
            .iter()
            .map(|device| device.id.as_str())
            .collect();
        assert_eq!(ids, expected, "{near}");
    }
}

/// The cell of resolution 5 that a place is in.
fn h3(latitude: f64, longitude: f64) -> u64 {
    let place = h3o::LatLng::new(latitude, longitude).unwrap();
    place.to_cell(h3o::Resolution::Five).into()
}
