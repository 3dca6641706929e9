//! A service with the inventory of the fixtures: four terminals, four service lines, a data pool, two currencies.

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use starlink_telemetry::simulator::{Answer, Part, Simulator};

use crate::harness::{Service, eventually, scripted_simulator, terminal_row, throughput};

/// The settings with which a service reads all parts.
pub const ON: [(&str, &str); 3] = [
    ("INVENTORY", "auto"),
    ("INVENTORY_BALANCE", "true"),
    ("INCLUDE_ROUTERS", "true"),
];

/// A terminal of the fixture.
pub const TERMINAL: &str = "ut01000000-00000000-00f10001";

/// Its router.
const ROUTER: &str = "Router-0100000000000000F1F10001";

/// The date of Starlink's answers: within the billing cycles and the blocks of the pool.
const DATE: Duration = Duration::from_secs(1_795_766_400);

/// An answer with a fixture.
pub fn answer(file: &str) -> Answer {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/inventory");
    Answer::text(fs::read_to_string(format!("{directory}/{file}.json")).unwrap())
}

/// A simulator that answers with the fixtures.
pub fn simulator() -> Simulator {
    let simulator = scripted_simulator();
    simulator.set_date(|| UNIX_EPOCH + DATE);
    for (part, file) in [
        (Part::Account, "account"),
        (Part::Terminals, "user-terminals"),
        (Part::ServiceLines, "service-lines"),
        (Part::DataUsage, "data-usage"),
        (Part::Balance, "balance"),
    ] {
        simulator.set_inventory_answer(part, Some(answer(file)));
    }
    simulator
}

/// Waits until a scrape shows all parts.
pub async fn has_read(service: &Service) {
    eventually("all parts are read", || async {
        let body = service.scrape().await;
        let read = "starlink_exporter_inventory_last_success_timestamp_seconds";
        // The store may show a part later than the actor has read it.
        body.beginning(read).len() == 5
            && body.has("starlink_service_line_data_used_bytes")
            && body.has("starlink_account_balance_due")
            && body.has("starlink_account_info")
            && body.has("starlink_service_line_info")
            && body.has("starlink_terminal_info")
    })
    .await;
}

/// A service that has read all parts, and rows of a terminal and of its router.
pub async fn service(simulator: &Simulator) -> Service {
    service_with(simulator, &[]).await
}

/// The same with further settings.
pub async fn service_with(simulator: &Simulator, changes: &[(&str, &str)]) -> Service {
    simulator.push_rows([
        terminal_row(TERMINAL, 1_000_000_000, 1.5),
        format!(r#"["r",1700000001000000000,"{ROUTER}",5]"#),
    ]);
    let service = Service::start(simulator, &[&ON[..], changes].concat()).await;
    service.shows(&throughput(TERMINAL), 1.5).await;
    has_read(&service).await;
    service
}
