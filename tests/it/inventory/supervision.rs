//! Tests of an InventoryActor that keeps failing: it pauses, and its account polls on.

use starlink_telemetry::supervise::faults::{Fault, Place};

use super::*;
use crate::harness::{UP, eventually, terminal_row, throughput};
use crate::supervision::inject;

const ACTOR_UP: &str = r#"starlink_exporter_actor_up{account="default",actor="inventory"}"#;
const ACCOUNT_UP: &str = r#"starlink_exporter_account_up{account="default"}"#;

#[actix_rt::test]
async fn an_inventory_actor_that_keeps_failing_pauses_alone() {
    let world = World::start(simulator(2, 100), &[]).await;
    world.has_read().await;
    let service = &world.service;
    let actor = service.account.inventory.clone().unwrap();
    inject(&actor, Place::Started(9), Fault::Panic).await;
    world.shows(ACTOR_UP, Some(0.0)).await;
    // It is given up, and not only in the backoff of a restart: its address is dead.
    eventually("it is given up", || async {
        world.time.advance(Duration::from_secs(1));
        !actor.connected()
    })
    .await;
    world
        .simulator
        .push_rows([terminal_row("during", 1_000_000_000, 3.0)]);
    service.shows(&throughput("during"), 3.0).await;
    let scrape = world.scrape().await;
    assert_eq!(scrape.value(ACTOR_UP), Some(0.0));
    assert_eq!(scrape.value(ACCOUNT_UP), Some(1.0));
    assert_eq!(scrape.value(UP), Some(1.0));
    assert_eq!(service.get("/livez").await.status, 200);
    assert_eq!(service.get("/readyz").await.status, 200);
    assert_eq!(names(&scrape).len(), 2, "what is known is kept");

    let requests = world.requests(Part::Terminals);
    world.shows(ACTOR_UP, Some(1.0)).await;
    world
        .until("it is read again", async |world| {
            world.requests(Part::Terminals) > requests
        })
        .await;
    assert_eq!(world.names().await.len(), 2);
}

#[actix_rt::test]
async fn a_reading_continues_after_a_panic_with_the_pages_that_it_has() {
    let world = World::start(simulator(40, 2), &[]).await;
    // Far from the last page.
    world
        .until("a page", async |world| world.requests(Part::Terminals) >= 2)
        .await;
    let actor = world.service.account.inventory.clone().unwrap();
    inject(&actor, Place::Answer(1), Fault::Panic).await;
    world.has_read().await;
    // One page is requested twice: the one whose answer was lost.
    assert_eq!(world.requests(Part::Terminals), 21);
    assert_eq!(world.names().await.len(), 40);
}
