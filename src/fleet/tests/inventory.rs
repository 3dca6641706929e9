//! Tests of inventories in the fleet: terminals that were never heard, those without an active line, and the last known values.

mod last_known;
mod room;
mod several;

use super::*;
use crate::fleet::{Listing, Presence};
use crate::inventory::{self, Bounds, Inventory, Known, Lines, Terminals};

const COLUMNS: &str = r#""u":["DeviceType","UtcTimestampNs","DeviceId","Speed"],"i":["DeviceType","UtcTimestampNs","DeviceId","AccountNumber","Ipv4"]"#;

fn page(results: &str) -> String {
    format!(r#"{{"content":{{"isLastPage":true,"results":[{results}]}}}}"#)
}

/// An inventory of terminals, each with its service line, and of lines, each with whether it is active. `None`: lines are not known.
fn inventory(terminals: &[(&str, Option<&str>)], lines: Option<&[(&str, bool)]>) -> Inventory {
    let bounds = Bounds {
        routers: true,
        ..Bounds::STANDARD
    };
    let terminals = terminals.iter().map(|(id, line)| {
        let line = line.map_or("null".to_owned(), |line| format!("\"{line}\""));
        format!(
            r#"{{"userTerminalId":"{id}","serviceLineNumber":{line},"routers":[{{"routerId":"{id}"}}]}}"#
        )
    });
    let terminals: Vec<_> = terminals.collect();
    let terminals = Terminals::parse(page(&terminals.join(",")).as_bytes(), &bounds);
    let lines = lines.map(|lines| {
        let lines = lines
            .iter()
            .map(|(line, active)| format!(r#"{{"serviceLineNumber":"{line}","active":{active}}}"#));
        let lines: Vec<_> = lines.collect();
        Lines::parse(page(&lines.join(",")).as_bytes(), &bounds)
            .unwrap()
            .entries
    });
    Inventory {
        terminals: Some(Known {
            at: 1.0,
            value: Arc::new(terminals.unwrap().entries),
        }),
        lines: lines.map(|lines| Known {
            at: 1.0,
            value: Arc::new(lines),
        }),
        ..Inventory::default()
    }
}

impl World {
    /// Sets the inventory of an account. Returns how many terminals have no room.
    fn list(&mut self, account: &str, inventory: Inventory) -> usize {
        let id = self.fleet.account(&account.into()).unwrap();
        self.fleet.set_inventory(id, Some(Arc::new(inventory)));
        self.list_if_needed().without_room
    }

    /// Lets time pass, which an answer of an account without rows covers.
    fn listen_as(&mut self, account: &'static str, seconds: u64) -> &mut Self {
        self.now += seconds * 1000;
        self.answer_of(account, &body("", ""));
        self
    }

    fn rows_of_inventory(&mut self, account: &'static str, rows: &str) {
        self.answer_of(account, &body(rows, COLUMNS));
    }

    /// Presence and account of each device by ID.
    fn devices(&self) -> Vec<(String, Presence, String)> {
        let snapshot = self.fleet.snapshot();
        let mut devices = Vec::new();
        for block in snapshot.tables.iter().flat_map(|table| &table.blocks) {
            let account = block.account().and_then(|id| snapshot.account_name(id));
            let account = account.map(|name| name.to_string()).unwrap_or_default();
            for slot in block.known() {
                let id = block.labels().id(slot).to_owned();
                devices.push((id, block.presences()[slot], account.clone()));
            }
        }
        devices.sort_by(|one, other| one.0.cmp(&other.0));
        devices
    }

    fn presence(&self, id: &str) -> Presence {
        let devices = self.devices();
        let found = devices.into_iter().find(|(known, ..)| known == id);
        found.map_or(Presence::Absent, |(_, presence, _)| presence)
    }

    /// Writes the state and reads it, as a new process does.
    fn restart(&mut self) {
        let mut bytes = Vec::new();
        self.fleet.freeze().write(&mut bytes).unwrap();
        let now = Moment::from_millis(self.now);
        let options = self.fleet.options.clone();
        let form = crate::fleet::Form::WithInventories;
        self.fleet = Fleet::thaw(options, now, form, &bytes).unwrap();
    }

    fn last_known(&mut self, answer: &str) {
        self.last_known_of("default", answer);
    }

    /// The last known values that the query of an account brings.
    fn last_known_of(&mut self, account: &str, answer: &str) {
        let body = inventory::last_known::stream_answer(answer.as_bytes(), |_| true)
            .unwrap()
            .body;
        let (rows, metadata) = decode(body).unwrap();
        let schema = self.schemas.resolve(&metadata).schema;
        let id = self.fleet.account(&account.into()).unwrap();
        let batch = Batch { rows, schema };
        let now = Moment::from_millis(self.now);
        let plan = self.fleet.plan_last_known(id, &batch, now, self.latest);
        let coverage = Coverage {
            to: now,
            covers: Duration::from_secs(3600),
        };
        self.fleet.commit(&plan, coverage);
        self.fleet.expire(now);
    }
}

#[test]
fn a_terminal_with_an_active_line_that_was_never_heard_becomes_offline() {
    let mut world = World::new();
    world.listen(0);
    let terminals = [
        ("active", Some("L1")),
        ("ended", Some("L2")),
        ("store", None),
        ("other", Some("L3")),
    ];
    world.list(
        "default",
        inventory(&terminals, Some(&[("L1", true), ("L2", false)])),
    );
    let expected = |presence| {
        [
            ("utactive", presence),
            ("utended", Presence::Listed),
            ("utother", Presence::Listed),
            ("utstore", Presence::Listed),
        ]
        .map(|(id, presence)| (id.to_owned(), presence, "default".to_owned()))
    };
    assert_eq!(world.devices(), expected(Presence::Stale));
    // An outage says nothing about the terminal.
    world.outage(100_000);
    assert_eq!(world.devices(), expected(Presence::Stale));
    world.listen(119);
    assert_eq!(world.devices(), expected(Presence::Stale));
    world.listen(1);
    assert_eq!(world.devices(), expected(Presence::Offline));
    world.listen(1_000_000);
    assert_eq!(
        world.devices(),
        expected(Presence::Offline),
        "it is not forgotten"
    );
    assert_eq!(world.lines(), [r#"online{"utactive"} 0"#]);
    let counts = world.fleet.snapshot().tables[0].counts;
    assert_eq!((counts.online, counts.offline, counts.unknown), (0, 1, 0));
    // Its line is deactivated.
    world.list("default", inventory(&terminals, Some(&[("L1", false)])));
    assert!(world.lines().is_empty());
    world.list("default", inventory(&[], Some(&[])));
    assert_eq!(world.devices(), []);
}

#[test]
fn a_terminal_whose_lines_are_not_known_is_not_expected_to_report() {
    let mut world = World::new();
    world.list("default", inventory(&[("a", Some("L"))], None));
    world.rows_of_inventory("default", r#"["u",1,"utb",1],["u",1,"utc",1]"#);
    let terminals = [("a", Some("L")), ("b", Some("L")), ("c", None)];
    world.list("default", inventory(&terminals, None));
    world.listen(120).listen(1);
    assert_eq!(world.presence("uta"), Presence::Listed);
    assert_eq!(world.presence("utb"), Presence::Offline, "it has reported");
    assert_eq!(
        world.presence("utc"),
        Presence::Stale,
        "it has no service line"
    );
}

#[test]
fn a_silent_terminal_without_an_active_line_is_not_offline() {
    let mut world = World::new();
    world.rows_of_inventory("default", r#"["u",1000000000,"uta",1]"#);
    let listed = |active| inventory(&[("a", Some("L"))], Some(&[("L", active)]));
    world.list("default", listed(true));
    world.listen(120);
    assert_eq!(world.presence("uta"), Presence::Offline);
    world.list("default", listed(false));
    assert_eq!(world.presence("uta"), Presence::Stale);
    world.shows(&[r#"last_report_timestamp_seconds{"uta"} 1"#]);
    world.list("default", listed(true));
    assert_eq!(world.presence("uta"), Presence::Offline);
    // Its rows are forgotten, and the terminal is still expected to report.
    world.listen(86_400);
    world.shows(&[r#"online{"uta"} 0"#]);
    world.list("default", listed(false));
    assert_eq!(world.presence("uta"), Presence::Listed);
    world.rows_of_inventory("default", r#"["u",2000000000,"uta",1]"#);
    assert_eq!(world.presence("uta"), Presence::Online);
    assert!(world.changes.is_empty(), "{:?}", world.changes);
}

#[test]
fn the_first_row_makes_a_listed_terminal_a_usual_device() {
    let mut world = World::new();
    world.list(
        "default",
        inventory(&[("a", Some("L")), ("b", None)], Some(&[("L", true)])),
    );
    world.listen(500);
    world.rows_of_inventory("default", r#"["u",1,"uta",1],["u",1,"utb",2]"#);
    assert_eq!(world.presence("uta"), Presence::Online);
    assert_eq!(world.presence("utb"), Presence::Online);
    let gaps = world.fleet.reports_skipped(
        world.fleet.find_account("default").unwrap(),
        Moment::from_millis(world.now),
    );
    assert_eq!(gaps, None, "there was no report before");
    assert_eq!(world.fleet.devices(), 2);
}

#[test]
fn a_terminal_that_was_never_heard_belongs_to_the_account_that_lists_it_and_reports_through_any() {
    let mut world = World::new();
    let listed = || inventory(&[("a", Some("L"))], Some(&[("L", true)]));
    let owner = |world: &World| world.devices()[0].2.clone();
    world.list("y", listed());
    assert_eq!(owner(&world), "y");
    // Of two accounts with an active line, the first by name lists it.
    world.list("x", listed());
    assert_eq!(owner(&world), "x");
    world.list("x", inventory(&[("a", None)], Some(&[])));
    assert_eq!(owner(&world), "y", "only y has an active line");
    world.rows_of_inventory("x", r#"["u",1000000000,"uta",1]"#);
    assert_eq!(owner(&world), "x", "the account that delivers it");
    world.list("y", listed());
    assert_eq!(owner(&world), "x");
}

#[test]
fn silence_counts_from_the_move_of_a_terminal_that_was_never_heard() {
    let mut world = World::new();
    let listed = || inventory(&[("a", Some("L"))], Some(&[("L", true)]));
    world.list("y", listed());
    world.listen_as("y", 200).listen_as("x", 0);
    assert_eq!(world.presence("uta"), Presence::Offline);
    world.list("x", listed());
    assert_eq!(world.presence("uta"), Presence::Stale);
    world.listen_as("x", 119).list("x", listed());
    assert_eq!(world.presence("uta"), Presence::Stale);
    world.listen_as("x", 1);
    assert_eq!(world.presence("uta"), Presence::Offline);
    world.list("x", listed());
    assert_eq!(world.presence("uta"), Presence::Offline);
}

#[test]
fn the_terminals_of_a_removed_account_are_removed() {
    let mut world = World::new();
    world.list(
        "x",
        inventory(&[("a", Some("L")), ("b", Some("L"))], Some(&[("L", true)])),
    );
    world.list("y", inventory(&[("b", None)], Some(&[])));
    let id = world.fleet.find_account("x").unwrap();
    world
        .fleet
        .remove_account(id, Moment::from_millis(world.now));
    world.wait(0);
    let found: Vec<_> = world.devices().into_iter().map(|(id, ..)| id).collect();
    assert_eq!(found, ["utb"]);
    world.wait(120).wait(120);
    assert_eq!(world.presence("utb"), Presence::Listed);
}

#[test]
fn an_id_in_another_case_is_the_same_terminal() {
    let mut world = World::new();
    world.rows_of_inventory("default", r#"["u",1,"ut0000-00AB",1]"#);
    world.list(
        "default",
        inventory(&[("0000-00ab", Some("L"))], Some(&[("L", true)])),
    );
    let found: Vec<_> = world.devices().into_iter().map(|(id, ..)| id).collect();
    assert_eq!(found, ["ut0000-00AB"]);
    // The stream uses another spelling than the inventory for a terminal that was listed first.
    world.list(
        "default",
        inventory(
            &[("0000-00ab", Some("L")), ("cd", Some("L"))],
            Some(&[("L", true)]),
        ),
    );
    world.rows_of_inventory("default", r#"["u",1,"utCD",1]"#);
    world.list(
        "default",
        inventory(
            &[("0000-00ab", Some("L")), ("cd", Some("L"))],
            Some(&[("L", true)]),
        ),
    );
    let found: Vec<_> = world.devices().into_iter().map(|(id, ..)| id).collect();
    assert_eq!(found, ["ut0000-00AB", "utCD"]);
}

#[test]
fn routers_have_listings_and_are_forgotten_as_usual() {
    let mut world = World::with(|options| options.include_routers = true);
    let columns = r#""r":["DeviceType","UtcTimestampNs","DeviceId","Speed"]"#;
    let row = |id: &str| body(&format!(r#"["r",1,"Router-{id}",1]"#), columns);
    world.answer_of("default", &row("a"));
    world.list(
        "default",
        inventory(&[("a", Some("L")), ("b", Some("L"))], Some(&[("L", true)])),
    );
    world.answer_of("default", &row("b"));
    let listings = |world: &World| {
        let snapshot = world.fleet.snapshot();
        let routers = snapshot
            .tables
            .iter()
            .find(|table| &*table.name == "Router");
        let blocks = routers.into_iter().flat_map(|table| &table.blocks);
        let slots = blocks.flat_map(|block| block.known().map(|slot| block.listing(slot)));
        slots.collect::<Vec<_>>()
    };
    assert_eq!(listings(&world), [Listing::Router(0), Listing::Router(1)]);
    world.wait(86_400);
    assert_eq!(listings(&world), []);
}

#[test]
fn an_inventory_and_terminals_that_were_never_heard_are_restored() {
    let mut world = World::new();
    let terminals = [("a", Some("L")), ("b", None), ("c", Some("L"))];
    world.list("default", inventory(&terminals, Some(&[("L", true)])));
    world.rows_of_inventory("default", r#"["u",1,"utc",1]"#);
    world.listen(100);
    world.list(
        "default",
        inventory(
            &[
                ("a", Some("L")),
                ("b", None),
                ("c", Some("L")),
                ("d", Some("L")),
            ],
            Some(&[("L", true)]),
        ),
    );
    world.listen(60);
    let before = world.devices();
    assert_eq!(world.presence("uta"), Presence::Offline);
    assert_eq!(world.presence("utd"), Presence::Stale);
    world.restart();
    assert_eq!(world.devices(), before);
    assert_eq!(world.fleet.inventories().count(), 1);
    assert_eq!(world.fleet.snapshot().directory.len(), 4);
    world.listen(59);
    assert_eq!(world.presence("utd"), Presence::Stale);
    world.listen(1);
    assert_eq!(world.presence("utd"), Presence::Offline);
}
