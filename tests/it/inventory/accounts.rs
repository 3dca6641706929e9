//! Tests of several accounts, whose list changes.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use starlink_telemetry::app::Tuning;
use starlink_telemetry::simulator::{Answer, Journal};
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
    // Before the answer changes, the request that is refused must have come.
    let is_refused = |seen: &Journal| seen.management_of(Part::Terminals).count() > 0;
    assert!(third.wait_until(WAIT_LIMIT, is_refused).await);
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

#[actix_rt::test]
async fn the_inventories_of_the_accounts_are_together_that_of_all() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("accounts.yml");
    let (one, two) = (account("id-1", 1, "of one"), account("id-2", 2, "of two"));
    let entries = [
        entry("one", "id-1", 1000, &one),
        entry("two", "id-2", 1000, &two),
    ];
    write(&file, &entries);
    let service = start(&file).await;
    shows_names(&service, &["of one", "of two"]).await;
    eventually("both accounts are read", || async {
        let body = service.scrape().await;
        let read = "starlink_exporter_inventory_last_success_timestamp_seconds";
        body.beginning(read).len() == 2 * PARTS.len()
            && body.beginning("starlink_account_info{").len() == 2
            && body.beginning("starlink_terminal_info{").len() == 2
    })
    .await;
    let scrape = async |account: &str| {
        let target = format!("/metrics?format=prometheus&collect[]=inventory{account}");
        let text = service.get(&target).await.body;
        let body = form::read(&text, "prometheus");
        let samples = body.beginning("").into_keys();
        samples.map(str::to_owned).collect::<Vec<_>>()
    };
    let of_one = scrape("&account=one").await;
    let of_two = scrape("&account=two").await;
    for (samples, account) in [(&of_one, "one"), (&of_two, "two")] {
        let name = format!("name=\"of {account}\"");
        let label = format!("account=\"{account}\"");
        for begin in ["starlink_account_info", "starlink_terminal_info"] {
            let is_there = samples.iter().any(|sample| sample.starts_with(begin));
            assert!(is_there, "{begin} {samples:?}");
        }
        for sample in samples {
            let is_its = sample.contains(&label) || sample.contains(&name);
            assert!(is_its, "{account}: {sample}");
        }
    }
    // The store may show a part later than the actor has read it.
    eventually("the same series", || async {
        let parts = [scrape("&account=one").await, scrape("&account=two").await];
        let mut together = parts.concat();
        together.sort_unstable();
        let mut all = scrape("").await;
        all.sort_unstable();
        together == all
    })
    .await;
}
