//! Tests with real receivers: Prometheus and VictoriaMetrics servers, and vmagent as a relay. They run if the variable `RECEIVERS` names a
//! directory with their programs, which `.ci/receivers.sh` installs. Servers and destinations are configured as docs/HISTORY.md says.

mod compared;
mod pairs;
mod programs;
mod recipes;
mod scraped;

use super::*;

use self::programs::{Kind, Programs, Server};
use crate::receiver::milliseconds;

/// Runs the service against a server. Both are restarted, and the service is killed once.
async fn runs_against(programs: &Programs, version: &str, kind: Kind, window: &'static str) {
    let has_window = window != "0";
    // The hand-written receiver has no part in this.
    let world = World::new(fleet(has_window), Model::victoria_metrics(), window);
    let mut server = Server::start(programs, version, kind, window).await;
    let list = server.destinations(window);
    let (mut first, _) = world.start_with(&list, &[]).await;
    world.hands_out(30).await;

    server.stop().await;
    world.hands_out(20).await;
    server.start_again().await;
    world.hands_out(20).await;

    world.stop(&mut first).await;
    let (mut second, _) = world.start_with(&list, &[]).await;
    world.hands_out(20).await;
    world.kill(&mut second).await;
    let (mut third, address) = world.start_with(&list, &[]).await;
    world.hands_out(20).await;
    // A series that ends for certain.
    let time = milliseconds(SystemTime::now());
    for (up, age) in [("2", 2000), ("null", 1000)] {
        let row = markers::row(time - age, "1", up, "a", "");
        world.simulator.push_rows([row]);
        world.hands_out(1).await;
    }
    ends(&world.simulator).await;

    let destination = Destination {
        has_window,
        ..Destination::default()
    };
    let expected = world.expected(destination).with_tolerance(1e-12);
    let problems = server.settle(&expected).await;
    let name = format!("{kind:?} {version}, window {window}");
    assert!(problems.is_empty(), "{name}: {problems:#?}");
    let markers = expected.markers();
    assert!(!markers.is_empty(), "{name}: series end");
    server.has_ended(&markers).await;
    let body = form::scrape(address, "prometheus").await;
    let protocol = of_sender(&body, "protocol_version", recipes::name(&list), "");
    println!(
        "{name}: {} rows, {} samples and {} ends of series are there, sent as version {protocol:?}",
        expected.rows(),
        expected.required(),
        markers.len(),
    );
    let newest = match (version, kind) {
        // Since 2.54.
        ("new", Kind::Prometheus) => 2.0,
        _ => 1.0,
    };
    assert_eq!(protocol, Some(newest), "{name}");
    world.stop(&mut third).await;
}

/// One after another: each needs a core.
#[actix_rt::test]
async fn real_receivers_have_every_sample_of_every_row() {
    let Some(programs) = Programs::found() else {
        return;
    };
    for (version, kind, window) in [
        ("old", Kind::Prometheus, "33h"),
        ("old", Kind::Prometheus, "0"),
        ("new", Kind::Prometheus, "0"),
        ("new", Kind::Prometheus, "33h"),
        ("old", Kind::VictoriaMetrics, "unlimited"),
        ("new", Kind::VictoriaMetrics, "unlimited"),
        ("new", Kind::Relay, "unlimited"),
    ] {
        runs_against(&programs, version, kind, window).await;
    }
}
