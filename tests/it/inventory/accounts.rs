//! Tests of several accounts, whose list changes.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use starlink_telemetry::app::Tuning;
use starlink_telemetry::simulator::Answer;
use starlink_telemetry::time::Clock;

use super::*;
use crate::harness::eventually;

/// A simulator of an account whose only terminal has this name.
fn account(client_id: &str, terminal_number: usize, name: &str) -> Simulator {
    let simulator = Simulator::start(Options {
        client_id: client_id.to_owned(),
        inventory: Some(InventoryOptions::default()),
        ..Options::default()
    })
    .unwrap();
    let entries = vec![terminal(terminal_number, name)];
    simulator.set_inventory_entries(Part::Terminals, Some(entries));
    simulator
}

fn entry(name: &str, client_id: &str, batch_size: u32, simulator: &Simulator) -> String {
    let url = simulator.api_url();
    format!(
        "  - name: {name}\n    client_id: {client_id}\n    client_secret: secret\n    api_url: {url}\n    batch_size: {batch_size}\n"
    )
}

fn write(file: &Path, entries: &[String]) {
    let new = file.with_extension("new");
    fs::write(&new, format!("accounts:\n{}", entries.concat())).unwrap();
    fs::rename(&new, file).unwrap();
}

async fn start(file: &Path) -> Service {
    let settings = [
        ("ACCOUNTS_FILE", file.to_str().unwrap()),
        ("MAX_LINGER", "100"),
        ("METRICS_ADDRESS", "127.0.0.1"),
        ("METRICS_PORT", "0"),
        ("STALE_AFTER", "1"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), OsString::from(value)));
    let tuning = Tuning {
        reload_interval: Duration::from_millis(50),
        ..Tuning::default()
    };
    Service::set(settings.to_vec(), tuning, Clock::system()).await
}

async fn shows_names(service: &Service, expected: &[&str]) {
    eventually(&format!("{expected:?}"), || async {
        names(&service.scrape().await) == expected
    })
    .await;
}

#[actix_rt::test]
async fn the_inventory_of_an_account_ends_with_it_and_survives_other_settings() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("accounts.yml");
    let (one, two) = (account("id-1", 1, "of one"), account("id-2", 2, "of two"));
    let other = entry("two", "id-2", 1000, &two);
    write(&file, &[entry("one", "id-1", 1000, &one), other.clone()]);
    let service = start(&file).await;
    shows_names(&service, &["of one", "of two"]).await;

    // With other settings the account starts again. It cannot read its terminals any more, and still knows them.
    let broken = Some(Answer::error(500, "broken"));
    one.set_inventory_answer(Part::Terminals, broken);
    let before = one.journal().management_of(Part::Terminals).count();
    write(&file, &[entry("one", "id-1", 999, &one), other.clone()]);
    let again = one.wait_until(WAIT_LIMIT, |seen| {
        seen.management_of(Part::Terminals).count() > before
    });
    assert!(again.await);
    let failed = r#"starlink_exporter_inventory_up{account="one",part="terminals"}"#;
    service.shows(failed, 0.0).await;
    shows_names(&service, &["of one", "of two"]).await;

    // Another client ID is another Starlink account.
    let third = account("id-3", 3, "of three");
    third.set_inventory_answer(Part::Terminals, Some(Answer::forbidden()));
    write(&file, &[entry("one", "id-3", 999, &third), other.clone()]);
    shows_names(&service, &["of two"]).await;
    third.set_inventory_answer(Part::Terminals, None);

    write(&file, &[entry("one", "id-3", 999, &third)]);
    shows_names(&service, &[]).await;
    let removed = r#"starlink_exporter_inventory_up{account="two",part="terminals"}"#;
    eventually("the account is removed", || async {
        service.scrape().await.value(removed).is_none()
    })
    .await;
    let requests = two.journal().management.len();
    actix_rt::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(two.journal().management.len(), requests);
}
