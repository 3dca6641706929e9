//! Tests of the inventory: what is requested when, what faults of the management API do, and what the exporter's own metrics say.

mod accounts;
mod client_ids;
mod faults;
mod last_values;
mod off;
mod permissions;
mod requests;
mod restart;
mod supervision;

use std::cell::Cell;
use std::time::{Duration, Instant};

use serde_json::json;
use starlink_telemetry::simulator::{InventoryOptions, Options, Part, Simulator};
use starlink_telemetry::time::ManualTime;

use crate::form::{self, Body};
use crate::harness::{Service, WAIT_LIMIT, shows};

/// The parts that are read by default, by their label values.
const PARTS: [(&str, Part); 4] = [
    ("account", Part::Account),
    ("terminals", Part::Terminals),
    ("service_lines", Part::ServiceLines),
    ("data_usage", Part::DataUsage),
];

const ON: (&str, &str) = ("INVENTORY", "auto");

/// A simulator with an inventory of terminals that never reported, each with a name, and small pages.
fn simulator(terminals: usize, page_size: usize) -> Simulator {
    let inventory = InventoryOptions {
        never_heard: terminals,
        page_size,
        usage_page_size: page_size,
        ..InventoryOptions::default()
    };
    let simulator = Simulator::start(Options {
        inventory: Some(inventory),
        ..Options::default()
    });
    let simulator = simulator.unwrap();
    let entries = (0..terminals).map(|number| terminal(number, &format!("name {number}")));
    simulator.set_inventory_entries(Part::Terminals, Some(entries.collect()));
    simulator
}

/// A service with a manual clock that reads the inventory of a simulator.
struct World {
    simulator: Simulator,
    service: Service,
    time: ManualTime,
    /// The time that has passed.
    passed: Cell<Duration>,
}

impl World {
    async fn start(simulator: Simulator, changes: &[(&str, &str)]) -> Self {
        let changes = [&[ON], changes].concat();
        let (service, time) = Service::with_manual_clock(&simulator, &changes).await;
        Self::new(simulator, service, time)
    }

    fn new(simulator: Simulator, service: Service, time: ManualTime) -> Self {
        Self {
            simulator,
            service,
            time,
            passed: Cell::default(),
        }
    }

    fn advance(&self, duration: Duration) {
        self.time.advance(duration);
        self.passed.set(self.passed.get() + duration);
    }

    /// Lets time pass, in steps that are short enough for one request each.
    async fn pass(&self, duration: Duration) {
        for _ in 0..duration.as_secs().div_ceil(3) {
            self.advance(Duration::from_secs(3));
            actix_rt::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets time pass until there were so many requests of an account that is being read without pause. Between two requests at most `gap`
    /// passes, so that a busy machine does not delay requests by the manual clock. More passes only if nothing is requested for 10 real
    /// seconds: after a request that failed, the next one waits longer.
    async fn read_on(&self, requests: usize, gap: Duration) {
        let deadline = Instant::now() + 20 * WAIT_LIMIT;
        let mut seen = (0, self.passed.get());
        let mut seen_at = Instant::now();
        while seen.0 < requests {
            assert!(Instant::now() < deadline, "only {} requests", seen.0);
            let made = self.simulator.journal().management.len();
            if made > seen.0 {
                seen = (made, self.passed.get());
                seen_at = Instant::now();
            }
            let is_quiet = seen_at.elapsed() > Duration::from_secs(10);
            if self.passed.get() - seen.1 < gap || is_quiet {
                self.advance(Duration::from_secs(1));
            }
            actix_rt::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Lets time pass at once, for when nothing is requested.
    async fn skip(&self, duration: Duration) {
        self.advance(duration);
        actix_rt::time::sleep(Duration::from_millis(20)).await;
    }

    /// Lets time pass until a condition holds.
    async fn until(&self, what: &str, condition: impl AsyncFn(&Self) -> bool) {
        let deadline = Instant::now() + 2 * WAIT_LIMIT;
        while !condition(self).await {
            assert!(Instant::now() < deadline, "never happened: {what}");
            self.pass(Duration::from_secs(9)).await;
        }
    }

    /// A scrape. Right after the clock has moved, the store may not have noticed it yet.
    async fn scrape(&self) -> Body {
        let deadline = Instant::now() + WAIT_LIMIT;
        loop {
            let answer = self.service.get("/metrics?format=prometheus").await;
            if answer.status == 200 {
                return form::read(&answer.body, "prometheus");
            }
            assert!(Instant::now() < deadline, "{}", answer.body);
            actix_rt::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn names(&self) -> Vec<String> {
        names(&self.scrape().await)
    }

    /// Lets time pass until a scrape has a sample, or has it no longer.
    async fn shows(&self, series: &str, value: Option<f64>) {
        let what = format!("{series} {value:?}");
        self.until(&what, async |world| {
            world.scrape().await.value(series) == value
        })
        .await;
    }

    /// Lets time pass until all parts were read.
    async fn has_read(&self) {
        for (part, _) in PARTS {
            self.shows(&up(part), Some(1.0)).await;
        }
    }

    /// The requests of a part so far.
    fn requests(&self, part: Part) -> usize {
        self.simulator.journal().management_of(part).count()
    }

    /// Lets time pass until a part is requested again, so many times.
    async fn requests_again(&self, part: Part, times: usize) {
        let wanted = self.requests(part) + times;
        self.until("requests", async |world| world.requests(part) >= wanted)
            .await;
    }
}

fn up(part: &str) -> String {
    series("up", part)
}

fn permitted(part: &str) -> String {
    series("permitted", part)
}

fn last_success(part: &str) -> String {
    series("last_success_timestamp_seconds", part)
}

fn series(name: &str, part: &str) -> String {
    format!(r#"starlink_exporter_inventory_{name}{{account="default",part="{part}"}}"#)
}

/// A terminal of the management API.
fn terminal(number: usize, nickname: &str) -> String {
    json!({
        "userTerminalId": format!("01000000-00000000-{number:08}"),
        "nickname": nickname,
        "kitSerialNumber": format!("KIT{number:08}"),
        "routers": [],
    })
    .to_string()
}

/// The names of terminals in a scrape, sorted.
fn names(scrape: &Body) -> Vec<String> {
    let names = scrape.beginning("starlink_device_name{").into_keys();
    let name = |series: &str| {
        let (_, rest) = series.split_once("name=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    let mut names: Vec<_> = names.map(name).collect();
    names.sort();
    names
}

#[actix_rt::test]
async fn all_parts_are_read_at_the_start() {
    let world = World::start(simulator(3, 100), &[]).await;
    world.has_read().await;
    let scrape = world.scrape().await;
    for (part, of) in PARTS {
        assert_eq!(scrape.value(&permitted(part)), Some(1.0), "{part}");
        assert!(scrape.value(&last_success(part)).unwrap() > 1e9, "{part}");
        assert_eq!(world.requests(of), 1, "{part}");
    }
    assert!(!scrape.text.contains(r#"part="balance""#));
    assert_eq!(world.requests(Part::Balance), 0);
    assert_eq!(names(&scrape).len(), 3);
    let actor = r#"starlink_exporter_actor_up{account="default",actor="inventory"}"#;
    assert_eq!(scrape.value(actor), Some(1.0));
}

#[actix_rt::test]
async fn the_balance_is_read_only_if_it_is_wanted() {
    let world = World::start(simulator(1, 100), &[("INVENTORY_BALANCE", "true")]).await;
    world.has_read().await;
    world.shows(&up("balance"), Some(1.0)).await;
    world.requests_again(Part::Balance, 1).await;
}
