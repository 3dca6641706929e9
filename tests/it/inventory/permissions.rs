//! Tests of parts whose permission is missing.

use starlink_telemetry::simulator::Answer;

use super::*;
use crate::binary::Binary;
use crate::harness::{UP, eventually};

#[actix_rt::test]
async fn a_part_without_permission_is_absent_and_requested_again_every_hour() {
    for (name, part) in PARTS {
        let simulator = simulator(2, 100);
        simulator.set_inventory_answer(part, Some(Answer::forbidden()));
        let world = World::start(simulator, &[]).await;
        world.shows(&permitted(name), Some(0.0)).await;
        for (other, _) in PARTS.into_iter().filter(|(other, _)| *other != name) {
            world.shows(&up(other), Some(1.0)).await;
        }
        let scrape = world.scrape().await;
        assert_eq!(scrape.value(&up(name)), None, "{name}");
        assert_eq!(scrape.value(&last_success(name)), None, "{name}");
        let expected = if part == Part::Terminals { 0 } else { 2 };
        assert_eq!(names(&scrape).len(), expected, "{name}");
        shows(world.service.address, UP, 1.0).await;
        assert_eq!(world.requests(part), 1, "{name}");
        for _ in 0..3 {
            world.skip(Duration::from_secs(16 * 60)).await;
            world.pass(Duration::from_secs(30)).await;
        }
        assert_eq!(world.requests(part), 1, "{name}");

        world.simulator.set_inventory_answer(part, None);
        world.shows(&permitted(name), Some(1.0)).await;
        world.shows(&up(name), Some(1.0)).await;
        assert_eq!(world.requests(part), 2, "{name}");
    }
}

#[actix_rt::test]
async fn a_403_of_a_firewall_is_a_failure_and_keeps_what_is_known() {
    let world = World::start(simulator(2, 100), &[]).await;
    world.has_read().await;
    for blocked in [
        Answer::html(),
        Answer::text("Forbidden"),
        Answer::text("{}"),
    ] {
        let terminals = Part::Terminals;
        let blocked = Some(blocked.status(403));
        world.simulator.set_inventory_answer(terminals, blocked);
        world.shows(&up("terminals"), Some(0.0)).await;
        let scrape = world.scrape().await;
        assert_eq!(scrape.value(&permitted("terminals")), Some(1.0));
        assert_eq!(names(&scrape).len(), 2);
        world.simulator.set_inventory_answer(terminals, None);
        world.shows(&up("terminals"), Some(1.0)).await;
    }
}

#[actix_rt::test]
async fn what_was_known_is_removed_when_a_permission_is_withdrawn() {
    let world = World::start(simulator(2, 100), &[]).await;
    world.has_read().await;
    assert_eq!(world.names().await.len(), 2);
    let forbidden = Some(Answer::forbidden());
    let terminals = Part::Terminals;
    world.simulator.set_inventory_answer(terminals, forbidden);
    world
        .until("no names", async |world| world.names().await.is_empty())
        .await;
    let scrape = world.scrape().await;
    assert_eq!(scrape.value(&permitted("terminals")), Some(0.0));
    assert_eq!(scrape.value(&up("service_lines")), Some(1.0));
}

#[actix_rt::test]
async fn a_missing_permission_is_logged_with_its_name() {
    let simulator = simulator(2, 100);
    let terminals = Part::Terminals;
    simulator.set_inventory_answer(terminals, Some(Answer::forbidden()));
    let (binary, _) = Binary::listening(&simulator, &[ON]).await;
    let message = "a part of the inventory is left out: the service account lacks the permission";
    eventually("it is logged", || async {
        !binary.events_saying(message).is_empty()
    })
    .await;
    let events = binary.events_saying(message);
    let [event] = events.as_slice() else {
        panic!("{}", binary.stderr());
    };
    assert_eq!(event.text("level"), "INFO");
    assert_eq!(event.text("part"), "terminals");
    assert_eq!(event.text("permission"), "Device management, View");
    assert!(binary.events_at("WARN").is_empty(), "{}", binary.stderr());
}
