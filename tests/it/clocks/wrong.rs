//! Tests of clocks that are wrong or set, of timestamps that cannot be right, and of suspended machines and stopped processes.

use super::*;

#[actix_rt::test]
async fn a_row_with_a_future_timestamp_does_not_block_later_rows_of_its_device() {
    let mut world = World::new(&[]).await;
    let stamp = |minutes: u64| world.start + minutes * 60_000_000_000;
    let (future, limit) = (stamp(60 * 24 * 365 * 3), stamp(9));
    world.rows(&["ut-1", "ut-2"], Duration::ZERO).await;
    world.advance(Duration::from_secs(15)).await;
    // Two devices with timestamps in the future, one of them in an answer with valid rows.
    let rows = [
        row_of("ut-1", future, 77.0),
        row_of("ut-2", limit, 2.0),
        row_of("ut-new", future, 77.0),
    ];
    let body = world.answer(Answer::rows(rows)).await;
    assert_eq!(body.value(&throughput("ut-1")), Some(1.0));
    assert_eq!(body.value(&throughput("ut-2")), Some(2.0));
    assert!(!body.text.contains("ut-new"), "it takes no place");
    assert_eq!(own(&body, r#"rows_ignored_total{reason="future"}"#), 2.0);
    assert!(
        own(&body, "telemetry_lag_seconds").abs() < 600.0,
        "the future moves no lag"
    );
    // The following rows are accepted.
    let body = world.rows(&["ut-1"], Duration::from_secs(15)).await;
    let last =
        r#"starlink_last_report_timestamp_seconds{device_type="UserTerminal",deviceID="ut-1"}"#;
    assert!(body.value(last).unwrap() < (world.start / 1_000_000_000 + 60) as f64);
    // Another one within a minute is not logged.
    world
        .answer(Answer::rows([row_of("ut-2", future, 9.0)]))
        .await;
    let warnings = world.events("rows ignored");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].text("device"), "ut-1");
    assert_eq!(warnings[0].text("level"), "WARN");
    world.advance(MINUTE).await;
    world
        .answer(Answer::rows([row_of("ut-2", future, 9.0)]))
        .await;
    assert_eq!(world.events("rows ignored").len(), 2);
}

#[actix_rt::test]
async fn without_a_date_header_the_median_timestamp_decides_which_rows_are_in_the_future() {
    captured::start();
    let simulator = scripted_simulator();
    // All responses have the header of a cache, so their dates are not used.
    let aged = |answer: Answer| answer.header("Age", "1");
    simulator.set_default_token_answer(Some(aged(Answer::ordinary())));
    let stamp = |year: u64| (year - 1970) * 31_556_952 * 1_000_000_000;
    // The host's clock is years slow: only the rows show the time.
    let rows = [
        ("a", 2024),
        ("b", 2024),
        ("late", 2020),
        ("c", 2024),
        ("far", 2031),
    ];
    let rows = rows.map(|(id, year)| row_of(id, stamp(year), 1.0));
    simulator.push_answer(aged(Answer::rows(rows)));
    let (clock, _time) = starlink_telemetry::time::Clock::manual(
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000),
    );
    let service = Service::timed(&simulator, &[LONG_LINGER], Default::default(), clock).await;
    service.shows(UP, 1.0).await;
    let body = service.scrape().await;
    let shown: Vec<_> = ["a", "b", "late", "c", "far"]
        .map(|id| shown(&body, id))
        .into();
    assert_eq!(shown, [true, true, true, true, false]);
    assert_eq!(body.value("starlink_exporter_clock_offset_seconds"), None);
}

#[actix_rt::test]
async fn timestamps_before_2019_are_rejected() {
    let mut world = World::new(&[]).await;
    let stamps = [
        0,
        -5,
        1_763_000_000,
        1_763_000_000_123,
        1_763_000_000_123_456_i64,
    ];
    let rows = stamps.map(|stamp| format!(r#"["u",{stamp},"ut-{stamp}",1]"#));
    let good = row_of("ut-good", world.start, 1.0);
    let body = world
        .answer(Answer::rows(rows.into_iter().chain([good])))
        .await;
    assert_eq!(
        own(&body, r#"rows_rejected_total{reason="timestamp"}"#),
        5.0
    );
    assert_eq!(states(&body), BTreeMap::from([("online", 1.0)]));
    assert!(own(&body, "telemetry_lag_seconds") < 60.0);
    let warnings = world.events("rows rejected");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].text("device"), "ut-0");
}

/// The host's clock is 7 minutes fast, Starlink's is right.
async fn fast(truth: SystemTime, changes: &[(&str, &str)]) -> World {
    captured::start();
    let simulator = scripted_simulator();
    let (clock, time) = starlink_telemetry::time::Clock::manual(truth + 7 * MINUTE);
    let passes = clock.clone();
    simulator.set_date(move || truth + passes.elapsed());
    let service = Service::timed(&simulator, changes, Default::default(), clock).await;
    World {
        simulator,
        service,
        time,
        start: nanos(truth),
        answers: 0,
    }
}

#[actix_rt::test]
async fn the_state_file_has_the_corrected_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let state = [
        LONG_LINGER,
        ("STATE_FILE", path.to_str().unwrap()),
        ("STATE_INTERVAL", "1"),
    ];
    let truth = SystemTime::now();
    let mut world = fast(truth, &state).await;
    world.nothing().await;
    let name = "starlink_exporter_state_last_write_timestamp_seconds";
    let began = nanos(truth) as f64 / 1e9;
    let is_right = || async {
        world.time.advance(Duration::from_millis(100));
        let written = world.service.scrape().await.value(name);
        written.is_some_and(|at| (-5.0..60.0).contains(&(at - began)))
    };
    eventually("a write at the corrected time", is_right).await;
}

#[actix_rt::test]
async fn a_fast_clock_is_reported_and_corrected() {
    let truth = SystemTime::now();
    let mut world = fast(truth, &[LONG_LINGER, ("BATCH_SIZE", "2")]).await;
    // A full batch of rows that are two seconds old.
    world.advance(Duration::from_secs(2)).await;
    let body = world.rows(&["ut-1", "ut-2"], Duration::ZERO).await;
    let lag = own(&body, "telemetry_lag_seconds");
    assert!((0.0..5.0).contains(&lag), "{lag}");
    assert_eq!(own(&body, "catching_up"), 0.0);
    let offset = clock_offset(&body);
    assert!((-421.0..=-417.0).contains(&offset), "{offset}");
    let age = |body: &Body, name: &str| {
        let at = body.value(name).unwrap();
        (nanos(truth + Duration::from_secs(2)) as f64 / 1e9) - at
    };
    assert!(
        age(
            &body,
            r#"starlink_exporter_last_poll_success_timestamp_seconds{account="default"}"#
        )
        .abs()
            < 5.0
    );
    assert!(
        (age(
            &body,
            r#"starlink_exporter_token_expiry_timestamp_seconds{account="default"}"#
        ) + 900.0)
            .abs()
            < 5.0
    );
    let logged = world.events("system clock is wrong");
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert_eq!(logged[0].text("level"), "WARN");
    // NTP corrects the clock: no device ages, and the first answer confirms it.
    world.time.set_wall(truth + Duration::from_secs(2));
    let body = world.rows(&["ut-1"], Duration::ZERO).await;
    assert!(clock_offset(&body).abs() <= 2.0);
    assert!(shown(&body, "ut-2"));
    assert_eq!(world.events("system clock is right again").len(), 1);
    assert_eq!(world.events("system clock is wrong").len(), 1);
}

#[actix_rt::test]
async fn the_date_of_an_error_response_corrects_the_clock_too() {
    let mut world = World::new(&[]).await;
    world.rows(&["ut-1"], Duration::ZERO).await;
    let now = SystemTime::UNIX_EPOCH + Duration::from_nanos(world.start);
    world.time.set_wall(now - 2 * HOUR);
    world.fail(Answer::error(503, "maintenance")).await;
    let offset = clock_offset(&world.service.scrape().await);
    assert!((7195.0..7205.0).contains(&offset), "{offset}");
}

#[actix_rt::test]
async fn a_clock_that_is_set_back_while_the_service_runs_is_reported() {
    let mut world = World::new(&[]).await;
    let body = world.rows(&["ut-1"], Duration::ZERO).await;
    assert!(clock_offset(&body).abs() < 2.0);
    assert_eq!(world.status().await["clock"]["wrong"], false);
    let now = SystemTime::UNIX_EPOCH + Duration::from_nanos(world.start);
    world.time.set_wall(now - HOUR);
    let body = world.rows(&["ut-1"], Duration::ZERO).await;
    let offset = clock_offset(&body);
    assert!((3595.0..3605.0).contains(&offset), "{offset}");
    assert!(shown(&body, "ut-1"), "the device has not aged");
    let status = world.status().await;
    assert_eq!(status["clock"]["wrong"], true);
    assert!(status["clock"]["offset_seconds"].as_f64().unwrap() > 3500.0);
    // The remaining lifetime of the token is unchanged, and times are by Starlink's clock.
    let left = status["accounts"][0]["token"]["expiry_timestamp_seconds"]
        .as_f64()
        .unwrap()
        - status["timestamp_seconds"].as_f64().unwrap();
    assert!((850.0..=901.0).contains(&left), "{left}");
    assert_eq!(world.events("system clock is wrong").len(), 1);
}

#[actix_rt::test]
async fn a_suspension_ages_readings_but_makes_no_device_offline() {
    let mut world = World::new(&[]).await;
    world.rows(&["ut-1", "ut-2"], Duration::ZERO).await;
    world.time.suspend(3 * HOUR);
    // The first scrape, before Starlink says anything.
    let body = world.service.scrape().await;
    assert_eq!(states(&body), BTreeMap::from([("unknown", 2.0)]));
    assert!(!shown(&body, "ut-1"), "a reading of three hours ago");
    assert_eq!(body.value(UP), Some(1.0));
    // The answer to the poll that was pending has a row of one device. Whether the other is silent is not known.
    let body = world.rows(&["ut-1"], 3 * HOUR).await;
    assert_eq!(
        states(&body),
        BTreeMap::from([("online", 1.0), ("unknown", 1.0)])
    );
    assert_eq!(world.service.get("/livez").await.status, 200);
    // The thread that moves the clocks reads them first, so this test has logged it.
    let mut logged = captured::events(actix_rt::System::current().id());
    logged.retain(|event| event.text("message") == "the machine was suspended");
    assert_eq!(logged[0].value("seconds").unwrap(), 3 * 3600);
}

#[actix_rt::test]
async fn a_suspension_that_only_the_wall_clock_shows_counts_when_an_answer_confirms_it() {
    let mut world = World::new(&[]).await;
    let truth = SystemTime::UNIX_EPOCH + Duration::from_nanos(world.start);
    world.simulator.set_date(move || truth);
    world.rows(&["ut-1", "ut-2"], Duration::ZERO).await;
    // A step of the clock that the next answer does not confirm.
    world.time.set_wall(truth + 2 * HOUR);
    let body = world.rows(&["ut-1"], Duration::ZERO).await;
    assert_eq!(states(&body), BTreeMap::from([("online", 2.0)]));
    world.time.set_wall(truth);
    let body = world.rows(&["ut-1"], Duration::ZERO).await;
    assert_eq!(states(&body), BTreeMap::from([("online", 2.0)]));
    // Now the time has really passed.
    world.time.set_wall(truth + 2 * HOUR);
    world.simulator.set_date(move || truth + 2 * HOUR);
    let body = world.rows(&["ut-1"], 2 * HOUR).await;
    assert_eq!(
        states(&body),
        BTreeMap::from([("online", 1.0), ("unknown", 1.0)])
    );
}

#[actix_rt::test]
async fn time_in_which_the_process_was_stopped_makes_no_device_offline() {
    let mut world = World::new(&[]).await;
    world.rows(&["ut-a", "ut-b"], Duration::ZERO).await;
    world.advance(MINUTE).await;
    world.time.stop(5 * MINUTE);
    // The answer that arrived meanwhile has a row of one device, and covers the minute in which the process ran.
    let body = world.rows(&["ut-a"], 6 * MINUTE).await;
    assert_eq!(
        states(&body),
        BTreeMap::from([("online", 1.0), ("unknown", 1.0)])
    );
    // A minute more is two of silence.
    let body = world.listen(MINUTE).await;
    assert_eq!(
        states(&body),
        BTreeMap::from([("online", 1.0), ("offline", 1.0)])
    );
}
