//! Tests of terminals of an inventory at the limit of devices.

use super::*;
use crate::fleet::NotListed;
use crate::fleet::accounts::AccountId;
use crate::fleet::ageing::Ageing;
use crate::fleet::allocation::{Allocation, AllocationContent};
use crate::fleet::device::DeviceState;
use crate::inventory::{AccountInfo, Activity, Part, Usages};

const STALE_AFTER: Duration = Duration::from_secs(120);

/// A block of one device with this listing, whose rows and whose allocation arrived so many seconds after the start.
fn block(listing: Listing, rows: &[u64], allocation: Option<u64>) -> Block {
    let at = |seconds: u64| Moment::from_millis(seconds * 1000);
    let mut block = Block::of(Some(AccountId::default()));
    block.claim(0, "uta", 0);
    block.list(0, listing, at(0));
    for &seen in rows {
        let state = DeviceState {
            reported: 1,
            lanes: &[],
            gauges: &[],
            changes: &[],
        };
        block.replace(0, state, at(seen), at(seen));
    }
    if let Some(seen) = allocation {
        block.allocate(
            0,
            Arc::new(Allocation {
                reported: 1,
                seen: at(seen),
                content: Arc::new(AllocationContent::default()),
            }),
        );
    }
    block
}

#[test]
fn a_terminal_without_rows_may_be_evicted_first_and_one_with_rows_never() {
    const NONE: Listing = Listing::None;
    const ACTIVE: Listing = Listing::Terminal(0, Activity::Active);
    const INACTIVE: Listing = Listing::Terminal(0, Activity::Inactive);
    const ROUTER: Listing = Listing::Router(0);
    for (listing, rows, is_silent, allocation, expected) in [
        // The device is known to the inventory only.
        (ACTIVE, &[][..], false, None, Some(0)),
        (INACTIVE, &[], false, None, Some(0)),
        // A free slot.
        (NONE, &[], false, None, None),
        (ROUTER, &[], false, None, None),
        // Only an allocation has arrived, at least `STALE_AFTER` ago or not.
        (NONE, &[], false, Some(80), Some(80)),
        (NONE, &[], false, Some(81), None),
        (ACTIVE, &[], false, Some(80), Some(80)),
        (ACTIVE, &[], false, Some(81), None),
        // One row, or two.
        (NONE, &[10], false, None, None),
        (NONE, &[10], true, None, Some(10)),
        (NONE, &[10], true, Some(20), Some(10)),
        (NONE, &[10, 11], true, None, None),
        (ROUTER, &[10], true, None, Some(10)),
        (ACTIVE, &[10], true, None, None),
        (INACTIVE, &[10], true, None, None),
    ] {
        let mut block = block(listing, rows, allocation);
        if is_silent {
            block.change(0, Ageing::Presence(Presence::Stale));
        }
        let since = block.evictable_since(0, Moment::from_millis(200_000), STALE_AFTER);
        let expected = expected.map(|seconds: u64| Moment::from_millis(seconds * 1000));
        let case = (listing, rows, is_silent, allocation);
        assert_eq!(since, expected, "{case:?}");
    }
}

#[test]
fn terminals_that_were_never_heard_make_room_for_devices_that_report() {
    let mut world = World::with(|options| options.limits.devices = 3);
    let terminals = [("a", Some("L")), ("b", None), ("c", None), ("d", None)];
    let listed = || inventory(&terminals, Some(&[("L", true)]));
    let online = |world: &World| -> Vec<_> {
        let devices = world.devices().into_iter();
        let online = devices.filter(|(_, presence, _)| *presence == Presence::Online);
        online.map(|(id, ..)| id).collect()
    };
    let rows = |world: &mut World, rows: &str| {
        world
            .answer_of("default", &body(rows, COLUMNS))
            .tally
            .evicted
    };
    assert_eq!(world.list("default", listed()), 1);
    assert_eq!(rows(&mut world, r#"["u",1,"uta",1]"#), 0);
    // No row is lost with the terminals that make room.
    let lost = rows(&mut world, r#"["u",1,"utx",1],["u",1,"uty",1]"#);
    assert_eq!(lost, 0);
    assert_eq!(online(&world), ["uta", "utx", "uty"]);
    assert_eq!(world.fleet.devices(), 3);
    assert_eq!(world.list("default", listed()), 3);
    assert_eq!(online(&world), ["uta", "utx", "uty"]);
    // A terminal of the inventory that has reported stays, also if it did only once.
    world.listen(1000);
    let lost = rows(&mut world, r#"["u",1,"utz",1],["u",1,"utw",1]"#);
    assert_eq!(lost, 2, "of utx and uty");
    assert_eq!(world.presence("uta"), Presence::Offline);
    assert_eq!(online(&world), ["utw", "utz"]);
    // Nor does a row of a terminal without room take the place of another.
    assert_eq!(rows(&mut world, r#"["u",1,"utb",1]"#), 0);
    assert_eq!(world.presence("utb"), Presence::Absent);
}

#[test]
fn a_terminal_that_reports_again_in_a_batch_keeps_its_place() {
    let mut world = World::with(|options| options.limits.devices = 2);
    let terminals = [("a", Some("L")), ("b", Some("L"))];
    world.list("default", inventory(&terminals, Some(&[("L", true)])));
    // Its row is after the row that needs room.
    world.rows_of_inventory("default", r#"["u",1,"utx",1],["u",1,"uta",1]"#);
    let found: Vec<_> = world.devices().into_iter().map(|(id, ..)| id).collect();
    assert_eq!(found, ["uta", "utx"]);
}

#[test]
fn only_terminals_and_lines_are_compared_with_the_devices() {
    // Each comparison finds one terminal without room.
    let mut world = World::with(|options| options.limits.devices = 2);
    let terminals = [("a", Some("L")), ("b", None), ("c", None)];
    let read = || inventory(&terminals, Some(&[("L", true)]));
    let mut known = read();
    assert_eq!(world.list("default", known.clone()), 1);
    let parts: [fn(&mut Inventory); 3] = [
        |known| {
            let usage = br#"{"content":{"isLastPage":true,"results":[{"serviceLineNumber":"L",
                "billingCycles":[{"startDate":"2026-11-01T00:00:00Z","totalStandardGB":2}]}]}}"#;
            let usage = Usages::parse(usage, 1.0, &Bounds::STANDARD).unwrap();
            known.usage = Some(part(usage.entries));
        },
        |known| known.account = Some(part(AccountInfo::default())),
        |known| known.balance = Some(part(Vec::new())),
    ];
    for change in parts {
        change(&mut known);
        let version = world.fleet.version();
        assert_eq!(world.list("default", known.clone()), 0);
        assert!(world.fleet.version() > version, "a scrape shows the part");
    }
    let snapshot = world.fleet.snapshot();
    let shown = &snapshot.directory.accounts()[0].1;
    assert!(shown.account.is_some() && shown.balance.is_some());
    let listed = snapshot.directory.terminal(0).unwrap();
    let usage = listed.usage().unwrap().facts;
    assert_eq!(usage.standard_bytes(), Some(2e9));
    known.forget(Part::DataUsage);
    assert_eq!(world.list("default", known.clone()), 0);
    let snapshot = world.fleet.snapshot();
    assert_eq!(snapshot.directory.terminal(0).unwrap().usage(), None);

    known.terminals = read().terminals;
    assert_eq!(world.list("default", known.clone()), 1);
    // A reading without a change shares its value with the one before.
    known.terminals.as_mut().unwrap().at += 900.0;
    assert_eq!(world.list("default", known.clone()), 1);
    known.lines = read().lines;
    assert_eq!(world.list("default", known.clone()), 1);
    known.forget(Part::ServiceLines);
    assert_eq!(world.list("default", known), 1);
    assert_eq!(world.presence("uta"), Presence::Listed);
}

fn part<T>(value: T) -> Known<T> {
    Known {
        at: 1.0,
        value: Arc::new(value),
    }
}

#[test]
fn terminals_with_long_ids_are_no_terminals_without_room() {
    let mut world = World::with(|options| {
        options.limits.devices = 1;
        options.limits.identifier = 8;
    });
    let terminals = [("a", None), ("b", None), ("much-too-long", None)];
    let id = world.fleet.account(&"default".into()).unwrap();
    let read = Arc::new(inventory(&terminals, None));
    world.fleet.set_inventory(id, Some(read));
    let not_listed = NotListed {
        without_room: 1,
        with_long_ids: 1,
    };
    assert_eq!(world.fleet.list_inventories(), not_listed);
}

#[test]
fn an_inventory_that_waits_to_be_listed_is_in_the_state() {
    let mut world = World::new();
    let id = world.fleet.account(&"default".into()).unwrap();
    let read = inventory(&[("a", Some("L"))], Some(&[("L", true)]));
    world.fleet.set_inventory(id, Some(Arc::new(read)));
    assert!(world.fleet.must_list_inventories());
    assert_eq!(world.presence("uta"), Presence::Absent);
    world.restart();
    assert!(!world.fleet.must_list_inventories());
    assert_eq!(world.presence("uta"), Presence::Stale);
}
