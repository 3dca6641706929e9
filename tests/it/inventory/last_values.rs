//! Tests of the last values of terminals, which are read once at a start without a state file.

use starlink_telemetry::simulator::Answer;

use super::*;
use crate::harness::eventually;

/// A simulator with terminals that have stopped reporting before its start.
fn silent_simulator(terminals: usize) -> Simulator {
    Simulator::start(Options {
        inventory: Some(InventoryOptions {
            silent: terminals,
            ..InventoryOptions::default()
        }),
        ..Options::default()
    })
    .unwrap()
}

fn last_reports(scrape: &Body) -> usize {
    let reports = scrape.beginning("starlink_last_report_timestamp_seconds{");
    reports.len()
}

#[actix_rt::test]
async fn the_last_values_of_terminals_are_requested_once_in_chunks() {
    let world = World::start(silent_simulator(250), &[]).await;
    world
        .until("all are known", async |world| {
            last_reports(&world.scrape().await) == 250
        })
        .await;
    world.has_read().await;
    world.requests_again(Part::Terminals, 1).await;
    world.pass(Duration::from_secs(30)).await;
    let journal = world.simulator.journal();
    let chunk = |body: &str| {
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        body["userTerminalIds"].as_array().unwrap().len()
    };
    let requests = journal.management_of(Part::Telemetry);
    let chunks: Vec<_> = requests.map(|request| chunk(&request.body)).collect();
    assert_eq!(chunks, [100, 100, 50]);
}

#[actix_rt::test]
async fn last_values_that_fail_are_not_requested_again() {
    for answer in [
        Answer::forbidden(),
        Answer::error(500, "broken"),
        Answer::html(),
    ] {
        let simulator = silent_simulator(2);
        simulator.set_inventory_answer(Part::Telemetry, Some(answer));
        let world = World::start(simulator, &[]).await;
        world.has_read().await;
        world.requests_again(Part::Terminals, 1).await;
        world.pass(Duration::from_secs(30)).await;
        assert_eq!(world.requests(Part::Telemetry), 1);
        assert_eq!(last_reports(&world.scrape().await), 0);
    }
}

#[actix_rt::test]
async fn a_process_that_has_a_state_file_requests_no_last_values() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state");
    let file = file.to_str().unwrap();
    let simulator = silent_simulator(2);
    let state = [ON, ("STATE_FILE", file)];
    let mut service = Service::start(&simulator, &state).await;
    eventually("the last values are known", || async {
        last_reports(&service.scrape().await) == 2
    })
    .await;
    service.ask_to_stop();
    service.ended().await;

    let world = World::start(simulator, &[("STATE_FILE", file)]).await;
    assert_eq!(last_reports(&world.scrape().await), 2, "from the file");
    world.has_read().await;
    assert_eq!(world.requests(Part::Telemetry), 1);
}
