//! Tests of stale markers: series end when the newest row of their device lacks them.

use super::*;
use crate::receiver::{Samples, milliseconds};

/// A terminal's row in the simulator's columns: throughput up and down, the version of the software, and the codes of alerts.
pub(super) fn row(time: i64, down: &str, up: &str, version: &str, alerts: &str) -> String {
    let time = time * 1_000_000;
    format!(
        r#"["u",{time},"ut-a",{down},{up},null,null,null,null,null,null,null,"{version}",null,null,[{alerts}]]"#
    )
}

fn series(name: &str, more: &str) -> String {
    format!(
        r#"{name}{{deviceID="ut-a",device_type="UserTerminal",job="starlink-telemetry"{more}}}"#
    )
}

fn bits(stored: &Samples, series: &str, time: i64) -> Option<u64> {
    stored.get(series)?.get(&time).copied()
}

#[actix_rt::test]
async fn series_that_the_next_row_lacks_end_at_its_time() {
    let each = receivers().map(|(model, window, _, _)| async move {
        let world = World::scripted(model, window);
        let (mut binary, _) = world.start(&[]).await;
        let begin = milliseconds(SystemTime::now()) - 60_000;
        let times = [0, 15_000, 30_000].map(|after| begin + after);
        world
            .simulator
            .push_rows([row(times[0], "1", "2", "a", "82")]);
        world
            .simulator
            .push_rows([row(times[1], "1", "null", "b", "")]);
        let down = series("starlink_DownlinkThroughput", "");
        let up = series("starlink_UplinkThroughput", "");
        let alert = series("starlink_alert_active_software_update_reboot_pending", "");
        let info = |version: &str| {
            let more = format!(r#",runningsoftwareversion="{version}""#);
            series("starlink_info", &more)
        };
        world
            .receiver
            .stores("the second row", |store| {
                store.value(&down, times[1]).is_some()
            })
            .await;
        let stored = world.receiver.store().samples;
        for (series, values) in [
            (&down, [Some(1.0_f64.to_bits()), Some(1.0_f64.to_bits())]),
            (&up, [Some(2.0_f64.to_bits()), Some(STALE)]),
            (&alert, [Some(1.0_f64.to_bits()), Some(STALE)]),
            (&info("a"), [Some(1.0_f64.to_bits()), Some(STALE)]),
            (&info("b"), [None, Some(1.0_f64.to_bits())]),
        ] {
            let found = [0, 1].map(|number| bits(&stored, series, times[number]));
            assert_eq!(found, values, "{series}");
        }
        // The state is known after a restart, too.
        world.stop(&mut binary).await;
        let (_binary, _) = world.start(&[]).await;
        world
            .simulator
            .push_rows([row(times[2], "null", "3", "b", "")]);
        world
            .receiver
            .stores("the third row", |store| {
                store.value(&up, times[2]).is_some()
            })
            .await;
        let stored = world.receiver.store().samples;
        assert_eq!(bits(&stored, &down, times[2]), Some(STALE));
        assert_eq!(bits(&stored, &alert, times[2]), None);
        world.is_complete(Destination::default()).await;
    });
    join_all(each).await;
}

/// A silent device: its gauges and alerts end a millisecond after its last row, and its last report does not.
#[actix_rt::test]
async fn the_series_of_a_silent_device_end_after_its_last_row() {
    let world = World::scripted(Model::prometheus(WINDOW), "33h");
    let changes = [("STALE_AFTER", "1"), ("MAX_LINGER", "100")];
    let (_binary, _) = world.start(&changes).await;
    let time = milliseconds(SystemTime::now());
    world.simulator.push_rows([row(time, "1", "2", "a", "82")]);
    // The time of further answers is recorded with the next one that has rows.
    let polls = world.simulator.journal().polls.len();
    let has_covered = |seen: &starlink_telemetry::simulator::Journal| seen.polls.len() > polls + 15;
    crate::harness::journal(&world.simulator, "a second without rows", has_covered).await;
    world.push(&["ut-b"], 1.0, Duration::ZERO).await;
    let down = series("starlink_DownlinkThroughput", "");
    let alert = series("starlink_alert_active_software_update_reboot_pending", "");
    world
        .receiver
        .stores("the markers", |store| {
            let markers = [&down, &alert].map(|series| bits(&store.samples, series, time + 1));
            markers == [Some(STALE), Some(STALE)]
        })
        .await;
    let last_report = series("starlink_last_report_timestamp_seconds", "");
    let stored = world.receiver.store().samples;
    assert_eq!(stored[&last_report].len(), 1);
    world.is_complete(Destination::default()).await;
}

/// Two rows within one answer, of which the older one comes late: it gives samples, and ends nothing.
#[actix_rt::test]
async fn a_row_that_is_not_the_newest_ends_nothing() {
    let world = World::scripted(Model::prometheus(WINDOW), "33h");
    let (_binary, _) = world.start(&[]).await;
    let time = milliseconds(SystemTime::now()) - 10_000;
    world.simulator.push_rows([row(time, "1", "2", "a", "82")]);
    world
        .simulator
        .push_rows([row(time - 7_000, "3", "null", "a", "")]);
    let down = series("starlink_DownlinkThroughput", "");
    world
        .receiver
        .stores("the older row", |store| {
            store.value(&down, time - 7_000).is_some()
        })
        .await;
    let stored = world.receiver.store().samples;
    let values = stored.values().flat_map(|samples| samples.values());
    assert!(!values.into_iter().any(|bits| *bits == STALE) || has_own_marker(&stored));
    world.is_complete(Destination::default()).await;
}

/// Whether only series of the exporter itself have markers.
fn has_own_marker(stored: &Samples) -> bool {
    let ended = stored
        .iter()
        .filter(|(_, samples)| samples.values().any(|bits| *bits == STALE));
    ended.into_iter().all(|(series, _)| is_own(series))
}
