//! Tests of faults of the management API.

use starlink_telemetry::app::Tuning;
use starlink_telemetry::simulator::{Answer, Fault};
use starlink_telemetry::starlink::Timeouts;
use starlink_telemetry::time::Clock;

use super::*;
use crate::harness::UP;

/// The pages that were requested of terminals.
fn pages(world: &World) -> Vec<String> {
    let journal = world.simulator.journal();
    let requests = journal.management_of(Part::Terminals);
    let page = |query: &str| query.trim_start_matches("page=").to_owned();
    requests.map(|request| page(&request.query)).collect()
}

#[actix_rt::test]
async fn a_failure_keeps_what_is_known_and_is_retried() {
    for answer in [
        Answer::error(422, "Unprocessable"),
        Answer::error(500, "Broken"),
        Answer::error(404, "Not found"),
        Answer::html(),
        Answer::text("{}"),
        Answer::text(r#"{"content":{"isLastPage":true,"results":[1,2]}}"#),
        Answer::ordinary().cut_at(20),
        Answer::closed(),
        Answer::redirect("https://example.com/"),
    ] {
        let world = World::start(simulator(2, 100), &[]).await;
        world.has_read().await;
        let before = world.names().await;
        assert_eq!(before.len(), 2);
        let terminals = Part::Terminals;
        world
            .simulator
            .set_inventory_answer(terminals, Some(answer.clone()));
        world
            .until(&format!("fails with {answer:?}"), async |world| {
                world.scrape().await.value(&up("terminals")) == Some(0.0)
            })
            .await;
        let scrape = world.scrape().await;
        assert_eq!(names(&scrape), before, "{answer:?}");
        assert_eq!(scrape.value(&permitted("terminals")), Some(1.0));
        shows(world.service.address, UP, 1.0).await;
        world.simulator.set_inventory_answer(terminals, None);
        world.shows(&up("terminals"), Some(1.0)).await;
        assert_eq!(world.names().await, before);
    }
}

#[actix_rt::test]
async fn a_page_that_fails_is_requested_again_without_those_before_it() {
    let simulator = simulator(6, 2);
    let fails = Fault::Page {
        page: 1,
        times: Some(2),
        answer: Box::new(Answer::error(500, "broken")),
    };
    simulator.set_inventory_faults(Part::Terminals, [fails]);
    let world = World::start(simulator, &[]).await;
    world.has_read().await;
    assert_eq!(pages(&world), ["0", "1", "1", "1", "2"]);
    assert_eq!(world.names().await.len(), 6);
}

#[actix_rt::test]
async fn a_part_is_read_from_its_first_page_after_five_failures() {
    let simulator = simulator(6, 2);
    let fails = Fault::Page {
        page: 1,
        times: Some(6),
        answer: Box::new(Answer::html()),
    };
    simulator.set_inventory_faults(Part::Terminals, [fails]);
    let world = World::start(simulator, &[]).await;
    world.has_read().await;
    let expected = ["0", "1", "1", "1", "1", "1", "0", "1", "1", "2"];
    assert_eq!(pages(&world), expected);
}

#[actix_rt::test]
async fn no_terminal_is_lost_or_doubled_by_an_unstable_order() {
    let simulator = simulator(9, 2);
    simulator.set_inventory_faults(Part::Terminals, [Fault::UnstableOrder]);
    let world = World::start(simulator, &[]).await;
    world.has_read().await;
    // In one of the first two readings each terminal is listed.
    world.requests_again(Part::Terminals, 5).await;
    world.requests_again(Part::DataUsage, 5).await;
    let known = world.names().await;
    assert_eq!(known.len(), 9);
    for _ in 0..4 {
        world.requests_again(Part::Terminals, 5).await;
        world.pass(Duration::from_secs(60)).await;
        assert_eq!(world.names().await, known);
    }
}

#[actix_rt::test]
async fn a_list_that_changes_between_pages_loses_no_terminal() {
    let simulator = simulator(6, 2);
    simulator.set_inventory_faults(Part::Terminals, [Fault::Changes]);
    let world = World::start(simulator, &[]).await;
    world.has_read().await;
    for _ in 0..5 {
        world.requests_again(Part::Terminals, 3).await;
        world.pass(Duration::from_secs(60)).await;
        let scrape = world.scrape().await;
        let ids = scrape.beginning("starlink_device_name{").len();
        assert!((6..=7).contains(&ids), "{}", scrape.text);
    }
}

#[actix_rt::test]
async fn what_two_readings_lack_is_gone() {
    let simulator = simulator(0, 2);
    let list = |names: &[&str]| {
        let entries = names.iter().enumerate();
        let entries = entries.map(|(number, name)| terminal(number, name));
        Some(entries.collect::<Vec<_>>())
    };
    simulator.set_inventory_entries(Part::Terminals, list(&["a", "b", "c"]));
    let world = World::start(simulator, &[]).await;
    world.has_read().await;
    assert_eq!(world.names().await, ["a", "b", "c"]);
    let fewer = list(&["a", "new"]);
    world
        .simulator
        .set_inventory_entries(Part::Terminals, fewer);
    world.requests_again(Part::Terminals, 1).await;
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.names().await, ["a", "c", "new"]);
    world.requests_again(Part::Terminals, 1).await;
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.names().await, ["a", "new"]);
}

#[actix_rt::test]
async fn bad_entries_cost_only_themselves_and_lists_without_an_end_are_read() {
    for faults in [
        vec![Fault::BadEntries],
        vec![Fault::WithoutLastPage],
        vec![Fault::NeverLastPage],
        vec![Fault::BadEntries, Fault::UnstableOrder],
    ] {
        let simulator = simulator(5, 2);
        for part in [Part::Terminals, Part::ServiceLines, Part::DataUsage] {
            simulator.set_inventory_faults(part, faults.clone());
        }
        let world = World::start(simulator, &[]).await;
        world.has_read().await;
        world.requests_again(Part::Terminals, 4).await;
        world.pass(Duration::from_secs(60)).await;
        assert_eq!(world.names().await.len(), 5, "{faults:?}");
    }
}

#[actix_rt::test]
async fn a_list_is_read_up_to_the_limit_of_pages() {
    let world = World::start(simulator(30, 2), &[("MAX_DEVICES", "100")]).await;
    world.has_read().await;
    // Twice as many pages of 100 as MAX_DEVICES has, and ten more.
    assert_eq!(world.requests(Part::Terminals), 12);
    assert_eq!(world.names().await.len(), 24);
}

#[actix_rt::test]
async fn endless_pages_without_new_entries_fail_and_keep_what_is_known() {
    let world = World::start(simulator(5, 2), &[]).await;
    world.has_read().await;
    let known = world.names().await;
    assert_eq!(known.len(), 5);
    let before = world.requests(Part::Terminals);
    let endless = [Fault::EndlessPages];
    world
        .simulator
        .set_inventory_faults(Part::Terminals, endless);
    world.shows(&up("terminals"), Some(0.0)).await;
    // Three pages with the entries, and three that repeat the last one.
    let requested = pages(&world).split_off(before);
    assert_eq!(requested[..6], ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(world.names().await, known);
    world.simulator.set_inventory_faults(Part::Terminals, []);
    world.shows(&up("terminals"), Some(1.0)).await;
    assert_eq!(world.names().await, known);
}

#[actix_rt::test]
async fn endless_pages_of_invalid_entries_fail() {
    let world = World::start(simulator(2, 100), &[]).await;
    world.has_read().await;
    let known = world.names().await;
    let before = world.requests(Part::Terminals);
    let invalid = Answer::text(r#"{"content":{"isLastPage":false,"results":[1,2]}}"#);
    world
        .simulator
        .set_inventory_answer(Part::Terminals, Some(invalid));
    world.shows(&up("terminals"), Some(0.0)).await;
    let requested = pages(&world).split_off(before);
    assert_eq!(requested[..3], ["0", "1", "2"]);
    assert_eq!(world.names().await, known);
}

#[actix_rt::test]
async fn a_slow_answer_fails_and_delays_no_poll() {
    let simulator = simulator(2, 100);
    let slow = Answer::ordinary().delay(Duration::from_secs(60));
    simulator.set_inventory_answer(Part::Terminals, Some(slow));
    let tuning = Tuning {
        timeouts: Timeouts {
            query: Duration::from_millis(300),
            ..Timeouts::default()
        },
        ..Tuning::default()
    };
    let changes = [ON, ("MAX_LINGER", "50")];
    let service = Service::timed(&simulator, &changes, tuning, Clock::system()).await;
    service.shows(&up("terminals"), 0.0).await;
    service.shows(UP, 1.0).await;
    let polls = simulator.journal().polls.len();
    let goes_on = simulator.wait_until(WAIT_LIMIT, |seen| seen.polls.len() > polls + 1);
    assert!(goes_on.await);
}

#[actix_rt::test]
async fn a_refused_token_is_renewed_once_and_at_once() {
    let simulator = Simulator::start(Options {
        token_lifetime: Duration::from_secs(24 * 60 * 60),
        inventory: Some(InventoryOptions::default()),
        ..Options::default()
    });
    // The poll lasts until the end of the test, so that the inventory is the first to notice that the token is refused.
    let world = World::start(simulator.unwrap(), &[("MAX_LINGER", "60000")]).await;
    world.has_read().await;
    assert_eq!(world.simulator.journal().token_requests.len(), 1);
    world.simulator.revoke_tokens();
    world.requests_again(Part::Account, 1).await;
    world.shows(&up("account"), Some(1.0)).await;
    world.requests_again(Part::Account, 1).await;
    let journal = world.simulator.journal();
    assert_eq!(journal.token_requests.len(), 2);
    let refused = journal.management.iter();
    let refused = refused.filter(|request| request.status == Some(401));
    assert_eq!(refused.count(), 1);
}

#[actix_rt::test]
async fn after_a_429_nothing_is_requested_for_as_long_as_starlink_asks() {
    let world = World::start(simulator(1, 100), &[]).await;
    world.has_read().await;
    let answer = Answer::too_many_requests("200");
    world.simulator.push_inventory_answer(Part::Account, answer);
    world.requests_again(Part::Account, 1).await;
    let before = world.simulator.journal().management.len();
    world.pass(Duration::from_secs(180)).await;
    assert_eq!(world.simulator.journal().management.len(), before);
    world.shows(&up("account"), Some(1.0)).await;
}

/// The management API refuses each token, and the stream accepts them. With `outage`, the token endpoint issues none meanwhile.
async fn telemetry_goes_on_during_refusals(outage: bool) {
    let simulator = Simulator::start(Options {
        token_lifetime: Duration::from_secs(24 * 60 * 60),
        inventory: Some(InventoryOptions::default()),
        ..Options::default()
    });
    let world = World::start(simulator.unwrap(), &[]).await;
    world.has_read().await;
    let (polls, tokens) = {
        let journal = world.simulator.journal();
        (journal.polls.len(), journal.token_requests.len())
    };
    for (_, part) in PARTS {
        let refused = Answer::error(401, "Unauthorized");
        world.simulator.set_inventory_answer(part, Some(refused));
    }
    if outage {
        let broken = Answer::error(503, "broken");
        world.simulator.set_default_token_answer(Some(broken));
    }
    world.shows(&up("terminals"), Some(0.0)).await;
    let began = world.passed.get();
    while world.passed.get() < began + Duration::from_secs(40 * 60) {
        world.pass(Duration::from_secs(60)).await;
        let scrape = world.scrape().await;
        assert_eq!(scrape.value(UP), Some(1.0), "{}", scrape.text);
    }
    let journal = world.simulator.journal();
    assert_eq!(journal.polls_answered_with(401), 0);
    assert!(journal.polls.len() > polls + 10, "{}", journal.polls.len());
    let refused = journal.management.iter();
    let refused = refused.filter(|request| request.status == Some(401));
    assert!(refused.count() > 8);
    // During an outage, the token actor itself retries after at most a minute.
    let most = if outage { 110 } else { 12 };
    let made = journal.token_requests.len() - tokens;
    assert!(made <= most, "{made} token requests");
}

#[actix_rt::test]
async fn a_management_api_that_refuses_each_token_stops_no_telemetry() {
    telemetry_goes_on_during_refusals(false).await;
}

#[actix_rt::test]
async fn without_new_tokens_a_management_api_that_refuses_the_token_stops_no_telemetry() {
    telemetry_goes_on_during_refusals(true).await;
}
