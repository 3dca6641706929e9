//! Tests of the requests: which are made, in which order, and how many.

use starlink_telemetry::simulator::{Answer, Fault, Journal};

use super::*;

/// The queries of the requests of a part.
fn queries(journal: &Journal, part: Part) -> Vec<String> {
    let requests = journal.management_of(part);
    requests.map(|request| request.query.clone()).collect()
}

#[actix_rt::test]
async fn parts_are_read_page_by_page_one_after_the_other() {
    let world = World::start(simulator(5, 2), &[]).await;
    world.has_read().await;
    let journal = world.simulator.journal();
    let parts: Vec<_> = journal
        .management
        .iter()
        .map(|it| it.part.unwrap())
        .collect();
    let expected = [
        vec![Part::Account],
        vec![Part::Terminals; 3],
        vec![Part::ServiceLines; 3],
        vec![Part::Telemetry],
        vec![Part::DataUsage; 3],
    ];
    assert_eq!(parts, expected.concat());
    let pages = ["page=0", "page=1", "page=2"];
    assert_eq!(queries(&journal, Part::Terminals), pages);
    assert_eq!(queries(&journal, Part::ServiceLines), pages);
    let pages = pages.map(|page| format!("{page}&limit=250"));
    assert_eq!(queries(&journal, Part::DataUsage), pages);
    for request in journal.management_of(Part::DataUsage) {
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        let expected = json!({"previousBillingCycles": 0, "activeServiceLinesOnly": true});
        assert_eq!(body, expected);
    }
}

#[actix_rt::test]
async fn parts_are_read_again_after_a_quarter_of_an_hour_and_data_use_after_half_an_hour() {
    let world = World::start(simulator(1, 100), &[]).await;
    world.has_read().await;
    world.skip(Duration::from_secs(13 * 60)).await;
    world.pass(Duration::from_secs(9)).await;
    for (_, part) in PARTS {
        assert_eq!(world.requests(part), 1, "{part:?}");
    }
    world.pass(Duration::from_secs(4 * 60)).await;
    for (name, part) in PARTS {
        let expected = if part == Part::DataUsage { 1 } else { 2 };
        assert_eq!(world.requests(part), expected, "{name}");
    }
    world.requests_again(Part::DataUsage, 1).await;
}

/// The densest minute of a reading of many pages, between which `gap` passes at most.
async fn densest_minute(polls_per_minute: &str, gap: Duration) -> usize {
    let world = World::start(simulator(40, 1), &[("POLLS_PER_MINUTE", polls_per_minute)]).await;
    world.read_on(60, gap).await;
    let journal = world.simulator.journal();
    journal.most_management_within(Duration::from_secs(60))
}

#[actix_rt::test]
async fn there_are_at_most_20_requests_in_any_minute_and_at_most_a_quarter_of_polls_per_minute() {
    for (polls_per_minute, gap, expected) in [("200", 4, 16..=20), ("10", 70, 1..=2)] {
        let densest = densest_minute(polls_per_minute, Duration::from_secs(gap)).await;
        assert!(expected.contains(&densest), "{polls_per_minute}: {densest}");
    }
}

/// The requests of a second hour, after the first, in which the account was read for the first time.
async fn requests_an_hour(terminals: usize, changes: &[(&str, &str)]) -> usize {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let world = World::start(generated(terminals), changes).await;
    world.has_read().await;
    let start = world.simulator.journal().management[0].at;
    // Beyond the last readings that began in the first hour.
    let from = start + HOUR;
    while world.passed.get() < 2 * HOUR + Duration::from_secs(60) {
        world.pass(Duration::from_secs(60)).await;
    }
    let journal = world.simulator.journal();
    let hour = from..from + HOUR;
    let requests = journal.management.iter();
    requests
        .filter(|request| hour.contains(&request.at))
        .count()
}

/// A simulator of an account whose terminals have never reported, each with a service line.
fn generated(terminals: usize) -> Simulator {
    let inventory = InventoryOptions {
        never_heard: terminals,
        ..InventoryOptions::default()
    };
    let options = Options {
        terminals: 0,
        inventory: Some(inventory),
        ..Options::default()
    };
    Simulator::start(options).unwrap()
}

/// Waits vary by a tenth, so that an hour may have one reading more or less of each part.
#[actix_rt::test]
async fn a_small_account_makes_14_requests_an_hour_and_4_more_for_the_balance() {
    let requests = requests_an_hour(10, &[]).await;
    println!("10 terminals: {requests} requests an hour");
    assert!((12..=18).contains(&requests), "{requests}");
    let requests = requests_an_hour(10, &[("INVENTORY_BALANCE", "true")]).await;
    println!("10 terminals, with balance: {requests} requests an hour");
    assert!((16..=23).contains(&requests), "{requests}");
}

#[actix_rt::test]
async fn a_large_account_makes_at_most_100_requests_in_five_minutes() {
    const FIVE_MINUTES: Duration = Duration::from_secs(5 * 60);
    let world = World::start(generated(20_000), &[]).await;
    world.read_on(110, Duration::from_secs(4)).await;
    let journal = world.simulator.journal();
    let requests = journal.most_management_within(FIVE_MINUTES);
    println!("20,000 terminals: {requests} requests in five minutes");
    // 18 a minute, and a burst of 2.
    assert!((85..=100).contains(&requests), "{requests}");
}

#[actix_rt::test]
async fn only_requests_that_read_are_ever_made() {
    let world = World::start(
        Simulator::start(Options {
            terminals: 4,
            inventory: Some(InventoryOptions {
                never_heard: 5,
                silent: 2,
                page_size: 2,
                usage_page_size: 2,
                ..InventoryOptions::default()
            }),
            ..Options::default()
        })
        .unwrap(),
        &[("INVENTORY_BALANCE", "true"), ("INCLUDE_ROUTERS", "true")],
    )
    .await;
    world.has_read().await;
    let simulator = &world.simulator;
    let answers = [
        Answer::forbidden(),
        Answer::error(422, "wrong"),
        Answer::error(500, "broken"),
        Answer::html(),
        Answer::closed(),
        Answer::redirect("https://example.com/elsewhere"),
        Answer::too_many_requests("60"),
        Answer::error(404, "Not found"),
        Answer::ordinary().cut_at(10),
    ];
    for answer in answers {
        for part in Part::ALL {
            simulator.push_inventory_answer(part, answer.clone());
        }
        simulator.set_inventory_faults(
            Part::Terminals,
            [Fault::UnstableOrder, Fault::BadEntries, Fault::Changes],
        );
        simulator.revoke_tokens();
        for _ in 0..2 {
            world.skip(Duration::from_secs(14 * 60)).await;
            world.pass(Duration::from_secs(3 * 60)).await;
        }
    }
    let journal = simulator.journal();
    assert!(journal.management.len() > 100);
    let mut seen: Vec<Part> = Vec::new();
    for request in &journal.management {
        let part = request.part;
        let part = part.unwrap_or_else(|| panic!("{} {}", request.method, request.path));
        if !seen.contains(&part) {
            seen.push(part);
        }
        let is_post = matches!(part, Part::DataUsage | Part::Telemetry);
        assert_eq!(request.method, if is_post { "POST" } else { "GET" });
        assert_eq!(request.body.is_empty(), !is_post);
    }
    assert_eq!(seen.len(), Part::ALL.len(), "{seen:?}");
}
