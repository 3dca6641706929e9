//! Tests of devices and addresses that age, and of the time that answers cover.

use super::*;

#[actix_rt::test]
async fn devices_go_stale_then_offline_and_are_forgotten_by_the_clock() {
    let mut world = World::new(&[]).await;
    let body = world.rows(&["ut-1", "ut-2"], Duration::ZERO).await;
    assert_eq!(states(&body), BTreeMap::from([("online", 2.0)]));
    // The waiting poll covers no time before it is answered.
    world.advance(2 * MINUTE).await;
    world
        .service
        .shows(
            r#"starlink_exporter_devices{account="default",device_type="UserTerminal",state="unknown"}"#,
            2.0,
        )
        .await;
    let body = world.service.scrape().await;
    assert_eq!(body.value(&online("ut-1")), None);
    assert!(!shown(&body, "ut-1"), "a gap, not a frozen line");
    let body = world.rows(&["ut-2"], 2 * MINUTE).await;
    assert_eq!(
        states(&body),
        BTreeMap::from([("online", 1.0), ("offline", 1.0)])
    );
    assert_eq!(body.value(&online("ut-1")), Some(0.0));
    world.advance(24 * HOUR).await;
    let gone = || async {
        world
            .service
            .scrape()
            .await
            .beginning("starlink_online{")
            .is_empty()
    };
    eventually("both are forgotten", gone).await;
}

#[actix_rt::test]
async fn addresses_are_removed_after_ip_stale_after() {
    let mut world = World::new(&[("IP_STALE_AFTER", "600")]).await;
    let stamp = world.start;
    let rows = [
        row_of("ut-1", stamp, 1.0),
        format!(r#"["i",{stamp},"ip-ut-1","ACC-1",["192.0.2.1"],[],[]]"#),
    ];
    world.answer(Answer::rows(rows)).await;
    let series = r#"starlink_Ipv4_numeric{device_type="UserTerminal",deviceID="ut-1"}"#;
    world.advance(10 * MINUTE - Duration::from_millis(1)).await;
    let body = world.nothing().await;
    assert!(body.value(series).is_some());
    world.advance(Duration::from_millis(2)).await;
    let body = world.nothing().await;
    assert_eq!(body.value(series), None);
    assert!(
        body.text.contains(r#"accountnumber="ACC-1""#),
        "its info fields stay"
    );
}

#[actix_rt::test]
async fn a_full_answer_covers_no_time() {
    let mut world = World::new(&[("BATCH_SIZE", "3")]).await;
    world
        .rows(&["ut-1", "ut-2", "ut-3", "ut-4"], Duration::ZERO)
        .await;
    // A backlog: each answer is full, and ut-4's rows wait behind them.
    for minute in 1..20_u32 {
        world.advance(MINUTE).await;
        let reported = MINUTE * (minute - 1) / 2 + Duration::from_secs(1);
        let body = world.rows(&["ut-1", "ut-2", "ut-3"], reported).await;
        assert_ne!(body.value(&online("ut-4")), Some(0.0), "minute {minute}");
        let expected = f64::from(u8::from(minute > 3));
        assert_eq!(own(&body, "catching_up"), expected, "minute {minute}");
    }
    // The backlog is at its end, and ut-4 is silent.
    world.advance(2 * MINUTE).await;
    let body = world.rows(&["ut-1"], 21 * MINUTE).await;
    assert_eq!(body.value(&online("ut-4")), Some(0.0));
}

#[actix_rt::test]
async fn a_stream_without_rows_makes_a_large_fleet_offline_only_after_45_minutes() {
    let ids: Vec<_> = (0..11).map(|number| format!("ut-{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let mut world = World::new(&[]).await;
    let body = world.rows(&ids, Duration::ZERO).await;
    assert_eq!(own(&body, "stream_silent"), 0.0);
    for minute in 1..=44 {
        let body = world.listen(MINUTE).await;
        assert!(!states(&body).contains_key("offline"), "minute {minute}");
        assert_eq!(own(&body, "stream_silent"), 1.0, "minute {minute}");
    }
    // Delayed rows arrive, first those of one device.
    let body = world.rows(&ids[..1], MINUTE).await;
    assert_eq!(
        states(&body),
        BTreeMap::from([("online", 1.0), ("unknown", 10.0)])
    );
    assert_eq!(own(&body, "stream_silent"), 0.0);
    // All devices report again, and then the stream stays silent.
    world.rows(&ids, 45 * MINUTE).await;
    for _ in 0..46 {
        world.listen(MINUTE).await;
    }
    let body = world.listen(MINUTE).await;
    assert_eq!(states(&body), BTreeMap::from([("offline", 11.0)]));
    assert_eq!(own(&body, "stream_silent"), 0.0);
}

#[actix_rt::test]
async fn skipped_reports_are_a_share_of_the_last_ten_minutes() {
    let mut world = World::new(&[]).await;
    let at = Duration::from_secs;
    let body = world.rows(&["ut-1", "ut-2"], at(0)).await;
    assert!(!body.has(REPORTS_SKIPPED), "there is no gap");
    let body = world.rows(&["ut-1", "ut-2"], at(15)).await;
    assert_eq!(body.value(REPORTS_SKIPPED), Some(0.0));
    let body = world.rows(&["ut-1"], at(30)).await;
    assert_eq!(body.value(REPORTS_SKIPPED), Some(0.0));
    let body = world.rows(&["ut-1", "ut-2"], at(45)).await;
    assert_eq!(body.value(REPORTS_SKIPPED), Some(0.2), "one of five");
    world.advance(9 * MINUTE).await;
    let body = world.service.scrape().await;
    assert_eq!(body.value(REPORTS_SKIPPED), Some(0.2));
    // Without another answer.
    world.advance(2 * MINUTE).await;
    eventually("the gaps are too old", || async {
        !world.service.scrape().await.has(REPORTS_SKIPPED)
    })
    .await;
}

#[actix_rt::test]
async fn a_small_fleet_is_offline_when_no_rows_arrive() {
    let ids: Vec<_> = (0..9).map(|number| format!("ut-{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let mut world = World::new(&[]).await;
    world.rows(&ids, Duration::ZERO).await;
    let body = world.listen(2 * MINUTE).await;
    assert_eq!(states(&body), BTreeMap::from([("offline", 9.0)]));
    assert_eq!(own(&body, "stream_silent"), 0.0);
}

#[actix_rt::test]
async fn late_rows_of_answers_that_are_not_full_are_reported() {
    let mut world = World::new(&[]).await;
    // The first poll is under way before the clock moves.
    world.nothing().await;
    world.advance(40 * MINUTE).await;
    world.rows(&["ut-1"], Duration::ZERO).await;
    let status = world.status().await;
    let stream = &status["accounts"][0]["stream"];
    assert_eq!(stream["late"], true);
    assert!(stream["lag_seconds"].as_f64().unwrap() >= 2400.0);
    assert_eq!(stream["catching_up"], false);
    let newest = status["fleet"]["last_report_timestamp_seconds"]
        .as_f64()
        .unwrap();
    assert!(
        (newest - world.start as f64 / 1e9).abs() < 1.0,
        "the row's time"
    );
    let body = world.rows(&["ut-1"], 40 * MINUTE).await;
    assert!(own(&body, "telemetry_lag_seconds") < 5.0);
    let status = world.status().await;
    assert_eq!(status["accounts"][0]["stream"]["late"], false);
}
