//! Tests of `INVENTORY=off`: nothing is requested, and nothing is left of what an earlier process read.

use std::fs;
use std::path::Path;
use std::time::Duration;

use starlink_telemetry::app::Ending;

use super::{names, simulator};
use crate::harness::{self, Service, shows, throughput};
use crate::listed;

/// Texts of the fixtures: IDs, names, serials and numbers of all parts.
const TEXTS: [&str; 13] = [
    "Polaris, main",
    "KIT20000001",
    "DISH0001",
    "SL-1",
    "South fleet / Polaris",
    "N77EX",
    "given up",
    "pool-a",
    "ACC-7-1",
    "Example Lines",
    "EUR",
    "00f10009",
    "Vega",
];

/// What shows the fleet or the inventory.
const TARGETS: [&str; 9] = [
    "/metrics?format=prometheus",
    "/",
    "/lines",
    "/device?id=ut01000000-00000000-00f10001",
    "/api/v1/status",
    "/api/v1/devices",
    "/api/v1/devices/ut01000000-00000000-00f10001",
    "/api/v1/lines",
    "/api/v1/pools",
];

/// The texts that a state file contains.
fn texts_in(file: &Path) -> Vec<&'static str> {
    let content = fs::read(file).unwrap();
    let content = String::from_utf8_lossy(&content);
    let texts = TEXTS.into_iter();
    texts.filter(|text| content.contains(text)).collect()
}

async fn stop(mut service: Service) {
    service.ask_to_stop();
    assert_eq!(service.ended().await, Ending::Asked);
}

#[actix_rt::test]
async fn an_inventory_that_is_off_is_neither_requested_nor_shown() {
    let simulator = simulator(3, 100);
    let (service, time) = Service::with_manual_clock(&simulator, &[("INVENTORY", "off")]).await;
    shows(service.address, harness::UP, 1.0).await;
    for _ in 0..100 {
        time.advance(Duration::from_secs(60));
        actix_rt::time::sleep(Duration::from_millis(4)).await;
    }
    assert_eq!(simulator.journal().management, []);
    let scrape = service.scrape().await;
    assert!(!scrape.text.contains("inventory"));
    assert_eq!(names(&scrape), [""; 0]);
}

#[actix_rt::test]
async fn an_inventory_that_is_off_is_removed_from_the_state_file_and_from_all_that_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state");
    let state = ("STATE_FILE", file.to_str().unwrap());
    let simulator = listed::simulator();
    let service = listed::service_with(&simulator, &[state]).await;
    stop(service).await;
    assert_eq!(texts_in(&file), TEXTS, "the file has the inventory");
    let requests = simulator.journal().management.len();

    let off = [state, ("INVENTORY", "off"), ("INCLUDE_ROUTERS", "true")];
    let service = Service::start(&simulator, &off).await;
    service.shows(&throughput(listed::TERMINAL), 1.5).await;
    for target in TARGETS {
        let body = service.get(target).await.body;
        let left: Vec<_> = TEXTS.iter().filter(|text| body.contains(**text)).collect();
        assert!(left.is_empty(), "{target}: {left:?}");
    }
    let scrape = service.scrape().await;
    for family in [
        "starlink_terminal_info",
        "starlink_service_line",
        "starlink_data_pool",
        "starlink_account",
        "starlink_exporter_inventory",
    ] {
        assert!(scrape.beginning(family).is_empty(), "{family}");
    }
    stop(service).await;
    assert_eq!(texts_in(&file), [""; 0], "the file after the end");
    assert_eq!(simulator.journal().management.len(), requests);
}
