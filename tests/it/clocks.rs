//! Tests of wrong clocks, suspended machines and passing time, with manual clocks, so that hours take no real time.

mod rows;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use starlink_telemetry::simulator::{Answer, AnswerBody, Simulator};
use starlink_telemetry::supervise::faults::{Fault, Place};
use starlink_telemetry::time::ManualTime;

use crate::binary::Event;
use crate::captured;
use crate::form::Body;
use crate::harness::{
    REPORTS_SKIPPED, Service, UP, eventually, journal, row_of, scripted_simulator, throughput,
};
use crate::supervision::inject;

/// The next poll lingers for longer than any test.
const LONG_LINGER: (&str, &str) = ("MAX_LINGER", "65000");

/// No answer of a test is full.
const LARGE_BATCHES: (&str, &str) = ("BATCH_SIZE", "1000");

const MINUTE: Duration = Duration::from_secs(60);

const HOUR: Duration = Duration::from_secs(3600);

/// A service, its Starlink, and the hands of its clocks.
struct World {
    simulator: Simulator,
    service: Service,
    hands: ManualTime,
    /// What the clocks showed at the start, in nanoseconds since 1970.
    start: u64,
    /// Answers so far.
    answers: usize,
}

impl World {
    async fn new(changes: &[(&str, &str)]) -> Self {
        captured::start();
        let simulator = scripted_simulator();
        let start = nanos(SystemTime::now());
        let all: Vec<_> = [LONG_LINGER, LARGE_BATCHES]
            .into_iter()
            .filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name))
            .chain(changes.iter().copied())
            .collect();
        let (service, hands) = Service::with_manual_clock(&simulator, &all).await;
        Self {
            simulator,
            service,
            hands,
            start,
            answers: 0,
        }
    }

    /// The poll that waits is answered; gives what a scrape shows when the next one waits.
    async fn answer(&mut self, answer: impl Into<Answer>) -> Body {
        self.simulator.push_answer(answer);
        self.answers += 1;
        let next = self.answers + 1;
        journal(&self.simulator, "the next poll", |seen| {
            seen.polls.len() >= next
        })
        .await;
        self.service.scrape().await
    }

    /// An answer with a row of each of these devices, reported so long after the start.
    async fn rows(&mut self, ids: &[&str], after: Duration) -> Body {
        let timestamp = self.start + u64::try_from(after.as_nanos()).unwrap();
        let rows = ids.iter().map(|id| row_of(id, timestamp, 1.0));
        self.answer(Answer::rows(rows)).await
    }

    async fn nothing(&mut self) -> Body {
        self.answer(AnswerBody::new()).await
    }

    /// Time passes. Afterwards heartbeats have shown that all is well: they are as old as the time that has passed.
    async fn advance(&self, duration: Duration) {
        self.hands.advance(duration);
        let answers = || async { self.service.get("/metrics").await.status == 200 };
        eventually("the store has shown that it lives", answers).await;
    }

    /// The poll that waits fails. Time passes until the next one waits.
    async fn fail(&mut self, answer: Answer) {
        self.simulator.push_answer(answer);
        self.answers += 1;
        let next = self.answers + 1;
        let next_poll = || async {
            self.hands.advance(Duration::from_millis(500));
            self.simulator.journal().polls.len() >= next
        };
        eventually("the next poll", next_poll).await;
        self.advance(Duration::ZERO).await;
    }

    /// Time passes, until a poll is answered without rows.
    async fn listen(&mut self, duration: Duration) -> Body {
        self.advance(duration).await;
        self.nothing().await
    }

    async fn status(&self) -> Value {
        let answer = self.service.get("/api/v1/status").await;
        serde_json::from_str(&answer.body).unwrap()
    }

    fn events(&self, message: &str) -> Vec<Event> {
        let mut events = captured::events(self.service.system);
        events.retain(|event| event.text("message").contains(message));
        events
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

fn online(id: &str) -> String {
    format!(r#"starlink_online{{device_type="UserTerminal",deviceID="{id}"}}"#)
}

/// A number of the account. The name may have further labels.
fn own(body: &Body, name: &str) -> f64 {
    let series = match name.split_once('{') {
        Some((name, labels)) => format!(r#"{name}{{account="default",{labels}"#),
        None => format!(r#"{name}{{account="default"}}"#),
    };
    body.value(&format!("starlink_exporter_{series}")).unwrap()
}

fn clock_offset(body: &Body) -> f64 {
    body.value("starlink_exporter_clock_offset_seconds")
        .unwrap()
}

fn states(body: &Body) -> BTreeMap<&'static str, f64> {
    ["online", "offline", "unknown"]
        .into_iter()
        .filter_map(|state| {
            let labels = format!(r#"device_type="UserTerminal",state="{state}""#);
            let count = body.value(&format!(
                r#"starlink_exporter_devices{{account="default",{labels}}}"#
            ))?;
            (count > 0.0).then_some((state, count))
        })
        .collect()
}

/// Whose series are shown: the throughput of a device that is not stale.
fn shown(body: &Body, id: &str) -> bool {
    body.value(&throughput(id)).is_some()
}

#[actix_rt::test]
async fn devices_go_stale_then_offline_and_are_forgotten_by_the_clock() {
    let mut world = World::new(&[]).await;
    let body = world.rows(&["ut-1", "ut-2"], Duration::ZERO).await;
    assert_eq!(states(&body), BTreeMap::from([("online", 2.0)]));
    // The poll that waits covers no time before it is answered.
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
async fn addresses_are_gone_when_they_are_old() {
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
async fn a_row_of_the_future_does_not_stop_the_rows_of_its_device() {
    let mut world = World::new(&[]).await;
    let stamp = |minutes: u64| world.start + minutes * 60_000_000_000;
    let (future, limit) = (stamp(60 * 24 * 365 * 3), stamp(9));
    world.rows(&["ut-1", "ut-2"], Duration::ZERO).await;
    world.advance(Duration::from_secs(15)).await;
    // Two devices of the future, one of them among rows that are right.
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
    // The rows that follow count as ever.
    let body = world.rows(&["ut-1"], Duration::from_secs(15)).await;
    let last =
        r#"starlink_last_report_timestamp_seconds{device_type="UserTerminal",deviceID="ut-1"}"#;
    assert!(body.value(last).unwrap() < (world.start / 1_000_000_000 + 60) as f64);
    // Another one within the minute is no second line.
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
async fn before_any_answer_is_dated_the_median_says_what_the_future_is() {
    captured::start();
    let simulator = scripted_simulator();
    // Everything comes out of a cache.
    let aged = |answer: Answer| answer.header("Age", "1");
    simulator.set_default_token_answer(Some(aged(Answer::ordinary())));
    let stamp = |year: u64| (year - 1970) * 31_556_952 * 1_000_000_000;
    // The host's clock is years behind: only the rows tell.
    let rows = [
        ("a", 2024),
        ("b", 2024),
        ("late", 2020),
        ("c", 2024),
        ("far", 2031),
    ];
    let rows = rows.map(|(id, year)| row_of(id, stamp(year), 1.0));
    simulator.push_answer(aged(Answer::rows(rows)));
    let (clock, _hands) = starlink_telemetry::time::Clock::manual(
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
async fn times_before_2019_are_no_times() {
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
    let (clock, hands) = starlink_telemetry::time::Clock::manual(truth + 7 * MINUTE);
    let passes = clock.clone();
    simulator.set_date(move || truth + passes.elapsed());
    let service = Service::timed(&simulator, changes, Default::default(), clock).await;
    World {
        simulator,
        service,
        hands,
        start: nanos(truth),
        answers: 0,
    }
}

#[actix_rt::test]
async fn the_time_of_the_state_file_is_a_corrected_one() {
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
        world.hands.advance(Duration::from_millis(100));
        let written = world.service.scrape().await.value(name);
        written.is_some_and(|at| (-5.0..60.0).contains(&(at - began)))
    };
    eventually("a write at the corrected time", is_right).await;
}

#[actix_rt::test]
async fn a_fast_clock_is_told_and_corrected() {
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
    let told = world.events("system clock is wrong");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].text("level"), "WARN");
    // NTP sets it right: no device ages by that, and the first answer says so.
    world.hands.set_wall(truth + Duration::from_secs(2));
    let body = world.rows(&["ut-1"], Duration::ZERO).await;
    assert!(clock_offset(&body).abs() <= 2.0);
    assert!(shown(&body, "ut-2"));
    assert_eq!(world.events("system clock is right again").len(), 1);
    assert_eq!(world.events("system clock is wrong").len(), 1);
}

#[actix_rt::test]
async fn an_answer_with_an_error_tells_the_time_too() {
    let mut world = World::new(&[]).await;
    world.rows(&["ut-1"], Duration::ZERO).await;
    let now = SystemTime::UNIX_EPOCH + Duration::from_nanos(world.start);
    world.hands.set_wall(now - 2 * HOUR);
    world.fail(Answer::error(503, "maintenance")).await;
    let offset = clock_offset(&world.service.scrape().await);
    assert!((7195.0..7205.0).contains(&offset), "{offset}");
}

#[actix_rt::test]
async fn a_clock_that_is_set_back_while_it_runs_is_told() {
    let mut world = World::new(&[]).await;
    let body = world.rows(&["ut-1"], Duration::ZERO).await;
    assert!(clock_offset(&body).abs() < 2.0);
    assert_eq!(world.status().await["clock"]["wrong"], false);
    let now = SystemTime::UNIX_EPOCH + Duration::from_nanos(world.start);
    world.hands.set_wall(now - HOUR);
    let body = world.rows(&["ut-1"], Duration::ZERO).await;
    let offset = clock_offset(&body);
    assert!((3595.0..3605.0).contains(&offset), "{offset}");
    assert!(shown(&body, "ut-1"), "the device has not aged");
    let status = world.status().await;
    assert_eq!(status["clock"]["wrong"], true);
    assert!(status["clock"]["offset_seconds"].as_f64().unwrap() > 3500.0);
    // What is left of the token is what is left, and times are Starlink's.
    let left = status["accounts"][0]["token"]["expiry_timestamp_seconds"]
        .as_f64()
        .unwrap()
        - status["timestamp_seconds"].as_f64().unwrap();
    assert!((850.0..=901.0).contains(&left), "{left}");
    assert_eq!(world.events("system clock is wrong").len(), 1);
}

#[actix_rt::test]
async fn what_was_slept_counts_as_age_and_is_nobodys_silence() {
    let mut world = World::new(&[]).await;
    world.rows(&["ut-1", "ut-2"], Duration::ZERO).await;
    world.hands.suspend(3 * HOUR);
    // The first scrape, before Starlink says anything.
    let body = world.service.scrape().await;
    assert_eq!(states(&body), BTreeMap::from([("unknown", 2.0)]));
    assert!(!shown(&body, "ut-1"), "a reading of three hours ago");
    assert_eq!(body.value(UP), Some(1.0));
    // The poll that was pending is answered for one of them: the other is not known to be silent.
    let body = world.rows(&["ut-1"], 3 * HOUR).await;
    assert_eq!(
        states(&body),
        BTreeMap::from([("online", 1.0), ("unknown", 1.0)])
    );
    assert_eq!(world.service.get("/livez").await.status, 200);
    // Whoever moves the clocks reads them first, and so this test has logged it.
    let mut told = captured::events(actix_rt::System::current().id());
    told.retain(|event| event.text("message") == "the machine was suspended");
    assert_eq!(told[0].value("seconds").unwrap(), 3 * 3600);
}

#[actix_rt::test]
async fn sleep_that_only_the_wall_clock_shows_counts_when_an_answer_confirms_it() {
    let mut world = World::new(&[]).await;
    let truth = SystemTime::UNIX_EPOCH + Duration::from_nanos(world.start);
    world.simulator.set_date(move || truth);
    world.rows(&["ut-1", "ut-2"], Duration::ZERO).await;
    // A step that the next answer does not confirm: somebody plays with the clock.
    world.hands.set_wall(truth + 2 * HOUR);
    let body = world.rows(&["ut-1"], Duration::ZERO).await;
    assert_eq!(states(&body), BTreeMap::from([("online", 2.0)]));
    world.hands.set_wall(truth);
    let body = world.rows(&["ut-1"], Duration::ZERO).await;
    assert_eq!(states(&body), BTreeMap::from([("online", 2.0)]));
    // Now the time has really passed.
    world.hands.set_wall(truth + 2 * HOUR);
    world.simulator.set_date(move || truth + 2 * HOUR);
    let body = world.rows(&["ut-1"], 2 * HOUR).await;
    assert_eq!(
        states(&body),
        BTreeMap::from([("online", 1.0), ("unknown", 1.0)])
    );
}

#[actix_rt::test]
async fn a_process_that_was_stopped_has_heard_nothing_meanwhile() {
    let mut world = World::new(&[]).await;
    world.rows(&["ut-a", "ut-b"], Duration::ZERO).await;
    world.advance(MINUTE).await;
    world.hands.stop(5 * MINUTE);
    // The answer that came meanwhile speaks for one of them, and for the minute in which the process ran.
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
async fn a_stream_without_any_rows_makes_no_large_fleet_offline_for_45_minutes() {
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
    // The delayed rows come, one device first.
    let body = world.rows(&ids[..1], MINUTE).await;
    assert_eq!(
        states(&body),
        BTreeMap::from([("online", 1.0), ("unknown", 10.0)])
    );
    assert_eq!(own(&body, "stream_silent"), 0.0);
    // All again, and then a silence that does not end.
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
async fn a_small_fleet_is_offline_when_nothing_comes() {
    let ids: Vec<_> = (0..9).map(|number| format!("ut-{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let mut world = World::new(&[]).await;
    world.rows(&ids, Duration::ZERO).await;
    let body = world.listen(2 * MINUTE).await;
    assert_eq!(states(&body), BTreeMap::from([("offline", 9.0)]));
    assert_eq!(own(&body, "stream_silent"), 0.0);
}

#[actix_rt::test]
async fn late_rows_of_answers_that_are_not_full_are_told() {
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

#[actix_rt::test]
async fn success_and_failure_that_alternate_are_one_outage() {
    let mut world = World::new(&[]).await;
    world.nothing().await;
    // Every second poll fails.
    let began = world.status().await["timestamp_seconds"].as_f64().unwrap();
    for _ in 0..40 {
        world.fail(Answer::error(503, "upstream")).await;
        world.listen(Duration::from_secs(13)).await;
    }
    let ended = world.status().await["timestamp_seconds"].as_f64().unwrap();
    let lines: Vec<_> = captured::events(world.service.system)
        .into_iter()
        .filter(|event| event.text("message").contains("poll"))
        .map(|event| event.text("message").to_owned())
        .filter(|message| message != "first poll succeeded")
        .collect();
    let minutes = ((ended - began) / 60.0) as usize;
    assert!(minutes >= 8, "{minutes}");
    assert!(
        (minutes / 2..=minutes + 1).contains(&lines.len()),
        "{lines:?}"
    );
    assert!(world.events("polls succeed again").is_empty());
    // A minute without a failure is its end.
    world.listen(MINUTE).await;
    let ends = world.events("polls succeed again");
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert_eq!(ends[0].value("failures").unwrap(), 40);
}

#[actix_rt::test]
async fn a_token_outage_ends_after_a_minute_of_success() {
    token_outage(false).await;
}

#[actix_rt::test]
async fn a_token_outage_ends_in_time_though_the_actor_dies_meanwhile() {
    token_outage(true).await;
}

async fn token_outage(actor_dies: bool) {
    captured::start();
    let simulator = scripted_simulator();
    // One answer for each of the two addresses.
    for _ in 0..2 {
        simulator.push_token_answer(Answer::error(500, "down"));
    }
    let (service, hands) = Service::with_manual_clock(&simulator, &[LONG_LINGER]).await;
    let failed = || async {
        hands.advance(Duration::from_millis(100));
        let body = service.scrape().await;
        body.value(
            r#"starlink_exporter_token_request_failures_total{account="default",reason="status"}"#,
        ) == Some(1.0)
    };
    eventually("a failure", failed).await;
    hands.advance(MINUTE);
    journal(&simulator, "a poll", |seen| !seen.polls.is_empty()).await;
    let ends = || {
        let mut events = captured::events(service.system);
        events.retain(|event| event.text("message") == "token requests succeed again");
        events.len()
    };
    assert_eq!(ends(), 0);
    if actor_dies {
        inject(&service.account.token, Place::Handler, Fault::Panic).await;
        let restarts = r#"starlink_exporter_actor_restarts_total{account="default",actor="token",cause="panic"}"#;
        let is_back = || async {
            hands.advance(Duration::from_millis(100));
            let body = service.scrape().await;
            let up = body.value(r#"starlink_exporter_actor_up{account="default",actor="token"}"#);
            body.value(restarts) == Some(1.0) && up == Some(1.0)
        };
        eventually("the actor is restarted", is_back).await;
    }
    // No other request is made: the end is noticed all the same.
    hands.advance(MINUTE + Duration::from_millis(2));
    eventually("the end", || async { ends() == 1 }).await;
    assert_eq!(simulator.journal().token_requests.len(), 3);
}

#[actix_rt::test]
async fn something_that_cuts_polls_is_named_with_its_time() {
    let mut world = World::new(&[]).await;
    world.nothing().await;
    for seconds in [40, 41] {
        world.advance(Duration::from_secs(seconds)).await;
        world.fail(Answer::closed()).await;
    }
    let system = world.service.system;
    let lines = || {
        let mut events = captured::events(system);
        events.retain(|event| event.text("level") == "WARN");
        events
    };
    eventually("it is told", || async {
        lines()
            .iter()
            .filter(|event| event.says("MAX_LINGER (now 65000 ms)"))
            // The clock goes on in steps of half a second while the loss is noticed.
            .any(|event| (40..=43).any(|cut| event.says(&format!("about {cut} s"))))
    })
    .await;
    let status = world.service.get("/api/v1/status").await;
    assert!(
        status.body.contains("set MAX_LINGER (now 65000 ms)"),
        "{}",
        status.body
    );
    // What is known by then is told once, although a line was logged less than a minute ago.
    let told = lines();
    world.advance(Duration::from_secs(5)).await;
    world.fail(Answer::error(502, "later")).await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(lines().len(), 2);
}

#[actix_rt::test]
async fn rows_that_were_given_up_are_not_stored_later() {
    let mut world = World::new(&[]).await;
    world.rows(&["ut-1"], Duration::ZERO).await;
    // The store hangs while two hand-overs run out of time.
    let hang = Duration::from_secs(4);
    let place = Place::Future;
    inject(&world.service.store, place, Fault::Hang(hang)).await;
    world
        .simulator
        .push_answer(Answer::rows([row_of("ut-lost", world.start, 1.0)]));
    let lost = r#"starlink_exporter_rows_rejected_total{account="default",reason="store_failed"}"#;
    journal(&world.simulator, "the answer is out", |seen| {
        seen.polls.get(1).is_some_and(|poll| poll.ended.is_some())
    })
    .await;
    eventually("they are given up", || async {
        // More often than needed: the hand-over may not have begun.
        world.hands.advance(Duration::from_secs(31));
        simple(&world, lost).await == Some(1.0)
    })
    .await;
    let body = world.service.scrape().await;
    assert!(!body.text.contains("ut-lost"), "lost rows are lost");
    let rows = r#"starlink_exporter_rows_total{account="default",code="u"}"#;
    assert_eq!(body.value(rows), Some(1.0));
}

/// A sample, or nothing while the store hangs.
async fn simple(world: &World, series: &str) -> Option<f64> {
    let answer = world.service.get("/metrics?format=prometheus").await;
    (answer.status == 200).then_some(())?;
    let line = answer
        .body
        .lines()
        .find(|line| line.starts_with(series))?
        .to_owned();
    line.rsplit(' ').next()?.parse().ok()
}
