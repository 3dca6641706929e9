//! Tests of a client ID that changes in its file.

use std::ffi::OsString;
use std::fs;

use starlink_telemetry::app::Tuning;
use starlink_telemetry::time::Clock;

use super::*;
use crate::harness::environment;

#[actix_rt::test]
async fn another_client_id_in_its_file_removes_the_inventory_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("id");
    fs::write(&file, "client\n").unwrap();
    let simulator = simulator(2, 100);
    let (clock, time) = Clock::manual(std::time::SystemTime::now());
    let mut settings = environment(&simulator, &[ON]);
    settings.retain(|(name, _)| name != "CLIENT_ID");
    settings.push(("CLIENT_ID_FILE".to_owned(), OsString::from(&file)));
    let service = Service::set(settings, Tuning::default(), clock).await;
    let world = World::new(simulator, service, time);
    world.has_read().await;
    assert_eq!(world.names().await.len(), 2);

    // The same client ID is no change.
    fs::write(&file, " client").unwrap();
    let tokens = world.simulator.journal().token_requests.len();
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.names().await.len(), 2);
    assert_eq!(world.simulator.journal().token_requests.len(), tokens);

    // The other one gets no token, so that nothing replaces the inventory of the former.
    fs::write(&file, "other").unwrap();
    let changed = world.passed.get();
    world
        .until("the inventory is removed", async |world| {
            world.names().await.is_empty()
        })
        .await;
    let within = world.passed.get() - changed;
    assert!(within <= Duration::from_secs(120), "{within:?}");
    assert_eq!(world.scrape().await.value(&last_success("terminals")), None);
    assert!(world.simulator.journal().token_requests.len() > tokens);

    fs::write(&file, "client").unwrap();
    world
        .until("the inventory is read again", async |world| {
            world.names().await.len() == 2
        })
        .await;
}
