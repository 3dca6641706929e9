//! The list of accounts changes while polls are in flight: no poll is cut, and no row is lost or counted twice.

use std::cell::RefCell;
use std::collections::BTreeMap;

use starlink_telemetry::time::ManualTime;

use super::*;

/// The numbers of rows that scrapes have shown, by the name of the account. The counters of a name end with its account, and start from
/// 0 if an account of that name is started later.
#[derive(Default)]
struct Ledger(RefCell<BTreeMap<String, Count>>);

#[derive(Default)]
struct Count {
    /// Of accounts of this name that have ended.
    ended: f64,
    /// In the last scrape.
    last: f64,
}

impl Ledger {
    /// Scrapes, and records the numbers of rows of these accounts.
    async fn scrape(&self, service: &Service, names: &[&str]) -> Body {
        let scrape = service.scrape().await;
        let mut counts = self.0.borrow_mut();
        for name in names {
            let count = counts.entry((*name).to_owned()).or_default();
            let last = rows(&scrape, name);
            if last < count.last {
                count.ended += count.last;
            }
            count.last = last;
        }
        drop(counts);
        scrape
    }

    /// The rows of all accounts with these names.
    fn rows(&self, names: &[&str]) -> f64 {
        let counts = self.0.borrow();
        let counts = names.iter().filter_map(|name| counts.get(*name));
        counts.map(|count| count.ended + count.last).sum()
    }
}

/// The devices of an account.
fn devices(account: &str) -> [String; 3] {
    [1, 2, 3].map(|number| format!("{account}-{number}"))
}

/// Sends a row of each device of an account, with a newer timestamp than all before.
fn push(world: &World, account: &str, value: u32) {
    let timestamp = 1_000_000_000 * u64::from(value);
    let devices = devices(account);
    let rows = devices.map(|device| terminal_row(&device, timestamp, value.into()));
    world.simulator(account).push_rows(rows);
}

fn are_shown(scrape: &Body, account: &str, value: u32) -> bool {
    let mut devices = devices(account).into_iter();
    devices.all(|device| scrape.value(&throughput(&device)) == Some(value.into()))
}

fn delivered(world: &World, account: &str) -> f64 {
    world.journal(account).rows_handed_out as f64
}

#[actix_rt::test]
async fn a_reload_loses_and_doubles_no_row_and_cuts_no_poll() {
    let world = World::of(["stays", "goes", "old", "rekeyed", "comes"]);
    let tuning = Tuning {
        reload_interval: Duration::from_millis(50),
        ..Tuning::default()
    };
    let first = |account: &str| world.entry(account, account, "secret");
    let list = ["stays", "goes", "old", "rekeyed"].map(first);
    // One account goes, one comes, one gets another name, and one another secret.
    let other_list = [
        first("stays"),
        world.entry("new", "old", "secret"),
        world.entry("rekeyed", "rekeyed", "another"),
        first("comes"),
    ];
    // The names under which each simulator is polled.
    let names: [(&str, &[&str]); 5] = [
        ("stays", &["stays"]),
        ("goes", &["goes"]),
        ("old", &["old", "new"]),
        ("rekeyed", &["rekeyed"]),
        ("comes", &["comes"]),
    ];
    let all_names: Vec<_> = names
        .iter()
        .flat_map(|(_, names)| *names)
        .copied()
        .collect();
    world.write(&list);
    let environment = world.environment(&[("MAX_LINGER", "60000")]);
    let service = Service::set(environment, tuning, Clock::system()).await;
    let ledger = Ledger::default();
    let until = async |what: &str, condition: &dyn Fn(&Body) -> bool| {
        eventually(what, || async {
            condition(&ledger.scrape(&service, &all_names).await)
        })
        .await;
    };
    let is_listed =
        |scrape: &Body, name: &str| scrape.value(&of_account("starlink_up", name)).is_some();
    let lingers = async |account: &str| {
        let simulator = world.simulator(account);
        let lingers = simulator.wait_until(WAIT_LIMIT, |seen| seen.polls_in_flight == 1);
        assert!(lingers.await, "{account}");
    };

    for round in 0..2 {
        let value = |step: u32| 10 * round + step;
        for account in ["stays", "goes", "old", "rekeyed"] {
            push(&world, account, value(1));
            until("the first rows", &|scrape| {
                are_shown(scrape, account, value(1))
            })
            .await;
            lingers(account).await;
        }

        world.write(&other_list);
        until("the other list is read", &|scrape| {
            is_listed(scrape, "comes")
        })
        .await;
        // The polls of the accounts that change linger on: nothing of them has ended, and no successor has started.
        let scrape = ledger.scrape(&service, &all_names).await;
        for (account, name) in [("goes", "goes"), ("old", "old"), ("rekeyed", "rekeyed")] {
            assert!(is_listed(&scrape, name), "{name} has ended");
            assert_eq!(world.journal(account).polls_in_flight, 1, "{account}");
        }
        assert!(!is_listed(&scrape, "new"));
        for account in ["goes", "old", "rekeyed", "stays", "comes"] {
            push(&world, account, value(2));
        }
        for account in ["goes", "old", "rekeyed", "stays", "comes"] {
            until("the rows in flight", &|scrape| {
                are_shown(scrape, account, value(2))
            })
            .await;
        }
        until("the old accounts have ended", &|scrape| {
            is_listed(scrape, "new") && !is_listed(scrape, "goes") && !is_listed(scrape, "old")
        })
        .await;
        let refused =
            r#"starlink_exporter_token_request_failures_total{account="rekeyed",reason="refused"}"#;
        until("the other secret is used", &|scrape| {
            scrape.value(refused) >= Some(f64::from(round + 1))
        })
        .await;
        push(&world, "old", value(3));
        until("rows of the new name", &|scrape| {
            are_shown(scrape, "old", value(3))
        })
        .await;
        // No longer polled, or not with the right secret: these rows wait.
        push(&world, "goes", value(4));
        push(&world, "rekeyed", value(4));
        for account in ["old", "stays", "comes"] {
            lingers(account).await;
        }

        world.write(&list);
        until("the first list is in force again", &|scrape| {
            is_listed(scrape, "goes") && are_shown(scrape, "goes", value(4))
        })
        .await;
        until("the right secret is used again", &|scrape| {
            are_shown(scrape, "rekeyed", value(4))
        })
        .await;
        // The polls of these accounts end with an answer.
        push(&world, "old", value(5));
        push(&world, "comes", value(5));
        until("the rows in flight", &|scrape| {
            are_shown(scrape, "old", value(5)) && are_shown(scrape, "comes", value(5))
        })
        .await;
        until("the accounts have ended", &|scrape| {
            is_listed(scrape, "old") && !is_listed(scrape, "new") && !is_listed(scrape, "comes")
        })
        .await;
    }
    for (account, names) in names {
        let journal = world.journal(account);
        assert!(journal.most_polls_in_flight <= 1, "{account}");
        assert_eq!(journal.polls_with(Outcome::Abandoned), 0, "{account}");
        let rows = ledger.rows(names);
        let delivered = delivered(&world, account);
        assert!(rows <= delivered, "{account}: {rows} of {delivered}");
    }
    // The counters of these two have not ended.
    ledger.scrape(&service, &all_names).await;
    for account in ["stays", "rekeyed"] {
        assert_eq!(ledger.rows(&[account]), delivered(&world, account));
    }
}

/// The accounts `a` and `b` with one poll a minute, of which each has had its first.
async fn with_one_poll_a_minute() -> (World, Service, ManualTime) {
    let world = World::of(["a", "b"]);
    let tuning = Tuning {
        reload_interval: Duration::from_millis(50),
        ..Tuning::default()
    };
    let (clock, time) = Clock::manual(SystemTime::now());
    let settings = [
        ("MAX_LINGER", "0"),
        ("POLLS_PER_MINUTE", "1"),
        // Its requests have the same pace.
        ("INVENTORY", "off"),
    ];
    let service = world.start(&settings, tuning, clock).await;
    (world, service, time)
}

#[actix_rt::test]
async fn an_account_that_waits_for_its_pace_ends_at_once() {
    let (world, service, time) = with_one_poll_a_minute().await;
    // The second poll of each account waits for a minute.
    world.write(&[world.entry("a", "a", "secret")]);
    eventually("b has ended", || async {
        time.advance(Duration::from_millis(20));
        !service.scrape().await.has(&up("b"))
    })
    .await;
    assert_eq!(world.journal("b").polls.len(), 1);
}

#[actix_rt::test]
async fn a_renamed_account_continues_at_its_pace() {
    let (world, service, time) = with_one_poll_a_minute().await;
    let renamed = world.entry("renamed", "b", "secret");
    world.write(&[world.entry("a", "a", "secret"), renamed]);
    eventually("the account has its new name", || async {
        time.advance(Duration::from_millis(20));
        service.scrape().await.has(&up("renamed"))
    })
    .await;
    for _ in 0..20 {
        service.scrape().await;
    }
    assert_eq!(world.journal("b").polls.len(), 1, "the minute is not over");
    time.advance(Duration::from_secs(61));
    eventually("the second poll", || async {
        world.journal("b").polls.len() == 2
    })
    .await;
}
