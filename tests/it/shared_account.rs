//! Tests of two services that poll with one service account, so that each gets only part of the rows.

use crate::harness::{REPORTS_SKIPPED, Service, eventually, scripted_simulator, terminal_row};

/// The next reports of 12 terminals, 15 s after those before.
fn reports(number: u64) -> Vec<String> {
    let row = |id| terminal_row(&format!("ut-{id}"), number * 15_000_000_000, 1.0);
    (0..12).map(row).collect()
}

/// Whether the service shows a share above the threshold of the alert.
async fn misses_reports(service: &Service) -> bool {
    let share = service.scrape().await.value(REPORTS_SKIPPED);
    share.is_some_and(|share| share > 0.25)
}

#[actix_rt::test]
async fn services_that_share_a_service_account_see_skipped_reports() {
    let simulator = scripted_simulator();
    let one = Service::start(&simulator, &[]).await;
    let other = Service::start(&simulator, &[]).await;
    let mut number = 0;
    eventually("both miss reports", || {
        simulator.push_rows(reports(number));
        number += 1;
        async { misses_reports(&one).await && misses_reports(&other).await }
    })
    .await;
}
