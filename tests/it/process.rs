//! Tests of the process: the format of its log, and the shutdown by a signal.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use starlink_telemetry::app::Tuning;
use starlink_telemetry::simulator::{Answer, AnswerBody, Outcome, Simulator};

use crate::binary::{Binary, Event};
use crate::harness::{
    END_WITHIN, Service, UP, WAIT_LIMIT, eventually, journal, scripted_simulator, shows,
    terminal_row, throughput,
};
use crate::wire::{get, try_get};

/// How long `/readyz` announces the shutdown before requests are refused.
const LAME_DUCK: Duration = Duration::from_secs(1);

/// How long open scrapes are served after the signal.
const CUT_AFTER: Duration = Duration::from_secs(4);

/// The log message about an answer that did not arrive within the drain.
const LOST: &str = "the last answer was not stored before shutdown: its rows are lost";

/// Settings with which each poll waits for rows for a minute.
const LONG_LINGER: (&str, &str) = ("MAX_LINGER", "60000");

#[actix_rt::test]
async fn every_line_of_the_log_is_an_object_with_one_constant_message() {
    let simulator = scripted_simulator();
    // For both token URLs.
    for _ in 0..2 {
        simulator.push_token_answer(Answer::token_error("invalid_client"));
    }
    simulator.push_answer(Answer::error(500, "a fault"));
    let (binary, address) = Binary::listening(&simulator, &[]).await;
    binary.logs("poll failed: retrying").await;
    shows(address, UP, 1.0).await;
    let mut twice = Vec::new();
    for event in binary.events() {
        let keys: Vec<_> = event.0.iter().map(|(key, _)| key.clone()).collect();
        let is_twice = |key: &&String| keys.iter().filter(|other| other == key).count() > 1;
        twice.extend(keys.iter().find(is_twice).map(|key| (key.clone(), event)));
    }
    assert!(twice.is_empty(), "{twice:?}");
}

/// Waits for the end of a process. Returns its exit code, and the time since the signal.
async fn ended(binary: &mut Binary, signalled: Instant) -> (Option<i32>, Duration) {
    let code = binary.ended().await;
    (code, signalled.elapsed())
}

/// Waits until connections to an address are refused.
async fn refuses(address: SocketAddr) {
    eventually("no new connection", || async {
        match TcpStream::connect(address) {
            Err(error) => error.kind() == ErrorKind::ConnectionRefused,
            Ok(_) => false,
        }
    })
    .await;
}

/// Sends a signal while a poll waits for rows.
async fn drains_on(signal: &str) {
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("here", 1_000_000_000, 1.0)]);
    let (mut binary, address) = Binary::listening(&simulator, &[LONG_LINGER]).await;
    shows(address, UP, 1.0).await;
    assert_eq!(get(address, "/readyz", &[]).await.status, 200);
    journal(&simulator, "a poll lingers", |seen| seen.polls.len() == 2).await;

    let signalled = Instant::now();
    binary.signal(signal);
    let is_unready = Cell::new(false);
    eventually("it answers no more", || async {
        let answer = try_get(address, "/readyz").await;
        if let Some(answer) = &answer {
            is_unready.set(is_unready.get() || answer.status == 503);
            assert!(answer.status == 503 || !is_unready.get(), "ready again");
        }
        answer.is_none()
    })
    .await;
    let served = signalled.elapsed();
    assert!(served >= LAME_DUCK, "refused after {served:?}");
    let (code, took) = ended(&mut binary, signalled).await;
    assert_eq!(code, Some(0));
    assert!(took >= LAME_DUCK && took < END_WITHIN, "{took:?}");
    let journal = simulator.journal();
    assert_eq!(journal.polls.len(), 2);
    assert_eq!(journal.polls[1].outcome, Outcome::Abandoned);
    let events = binary.events();
    let is_info = |event: &Event| event.text("level") == "INFO";
    assert!(events.iter().all(is_info), "{events:?}");
    let account = &binary.events_saying("account")[0];
    assert_eq!(account.text("account"), "default");
    assert_eq!(account.text("api_host"), "127.0.0.1");
    assert_eq!(account.value("max_linger_ms").unwrap(), 60_000);
    assert!(!account.says("secret"), "{account:?}");
    let position = |message: &str| {
        let found = events
            .iter()
            .position(|event| event.text("message") == message);
        found.unwrap_or_else(|| panic!("{message} in {events:?}"))
    };
    let asked = &events[position("shutting down")];
    assert_eq!(asked.text("reason"), format!("SIG{signal}"));
    assert_eq!(position("stopped"), events.len() - 1);
}

/// The drain does not begin before the end of the test.
#[actix_rt::test]
async fn until_the_drain_all_requests_are_served_and_readyz_announces_the_shutdown() {
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("here", 1_000_000_000, 1.0)]);
    let tuning = Tuning {
        lame_duck: 2 * WAIT_LIMIT,
        ..Tuning::default()
    };
    let mut service = Service::tuned(&simulator, &[LONG_LINGER], tuning).await;
    service.shows(&throughput("here"), 1.0).await;
    assert_eq!(service.get("/readyz").await.status, 200);
    service.ask_to_stop();
    eventually("it is not ready", || async {
        service.get("/readyz").await.status == 503
    })
    .await;
    let ready = service.get("/readyz").await;
    assert!(ready.body.contains("shutting down"), "{}", ready.body);
    assert_eq!(service.get("/livez").await.status, 200);
    simulator.push_rows([terminal_row("late", 1_000_000_000, 2.0)]);
    service.shows(&throughput("late"), 2.0).await;
    assert_eq!(service.get("/readyz").await.status, 503);
}

#[actix_rt::test]
async fn a_signal_drains_and_aborts_a_waiting_poll() {
    join_all(["TERM", "INT", "QUIT"].map(drains_on)).await;
}

#[actix_rt::test]
async fn other_signals_are_logged_and_ignored() {
    let simulator = scripted_simulator();
    let (mut binary, address) = Binary::listening(&simulator, &[]).await;
    for signal in ["USR1", "USR2", "HUP"] {
        binary.signal(signal);
    }
    eventually("both signals are logged", || async {
        binary.events_saying("signal ignored").len() == 2
    })
    .await;
    binary.logs("reloading files").await;
    let events = binary.events_saying("signal ignored");
    let signals: BTreeSet<_> = events.iter().map(|event| event.text("signal")).collect();
    assert_eq!(signals, ["SIGUSR1", "SIGUSR2"].into());
    assert_eq!(get(address, "/livez", &[]).await.status, 200);
    binary.signal("TERM");
    assert_eq!(binary.ended().await, Some(0));
}

#[actix_rt::test]
async fn the_process_ends_while_starlink_is_unreachable_and_while_a_token_is_awaited() {
    let unplugged = scripted_simulator();
    unplugged.unplug();
    let slow = scripted_simulator();
    slow.push_token_answer(Answer::ordinary().delay(2 * END_WITHIN));
    join_all([unplugged, slow].map(|simulator| async move {
        let (mut binary, _) = Binary::listening(&simulator, &[]).await;
        let signalled = Instant::now();
        binary.signal("TERM");
        let (code, took) = ended(&mut binary, signalled).await;
        assert_eq!(code, Some(0));
        assert!(took < END_WITHIN, "{took:?}");
        assert!(binary.events_saying(LOST).is_empty());
    }))
    .await;
}

/// A service whose second poll is being answered, in `pieces` pieces with a pause between them.
async fn answering(pieces: usize, pause: Duration) -> (Simulator, Binary) {
    let simulator = scripted_simulator();
    let changes = [LONG_LINGER, ("RUST_LOG", "starlink_telemetry=debug")];
    let (binary, address) = Binary::listening(&simulator, &changes).await;
    simulator.push_rows([terminal_row("first", 1_000_000_000, 1.0)]);
    shows(address, UP, 1.0).await;
    let rows = ["a", "b", "c"].map(|id| terminal_row(id, 1_000_000_000, 1.0));
    let body = AnswerBody::new().rows(rows);
    let piece = body.to_json().len().div_ceil(pieces);
    simulator.push_answer(Answer::from(body).trickle(piece, pause));
    journal(&simulator, "it arrives", |seen| {
        seen.polls.len() == 2 && seen.polls[1].status == Some(200)
    })
    .await;
    (simulator, binary)
}

#[actix_rt::test]
async fn an_answer_that_is_arriving_is_applied() {
    // In the middle of the drain, 1.5 s from its beginning and its end.
    let (simulator, mut binary) = answering(25, Duration::from_millis(100)).await;
    let signalled = Instant::now();
    binary.signal("TERM");
    let (code, took) = ended(&mut binary, signalled).await;
    assert_eq!(code, Some(0));
    assert!(took < END_WITHIN, "{took:?}");
    let events = binary.events();
    let position = |wanted: &dyn Fn(&Event) -> bool| {
        events
            .iter()
            .position(wanted)
            .unwrap_or_else(|| panic!("{events:?}"))
    };
    let asked = position(&|event| event.text("message") == "shutting down");
    let stored = position(&|event| {
        event.text("message") == "batch stored" && event.value("rows").unwrap() == 3
    });
    assert!(asked < stored);
    assert!(binary.events_saying(LOST).is_empty());
    let journal = simulator.journal();
    assert_eq!(journal.polls.len(), 2, "no further poll starts");
    let arrived = journal.polls[1].ended.unwrap().duration_since(signalled);
    assert!(
        arrived > LAME_DUCK,
        "it arrived during the drain: {arrived:?}"
    );
}

async fn an_answer_that_takes_too_long_is_aborted_and_logged() {
    let (simulator, mut binary) = answering(100, END_WITHIN / 50).await;
    let signalled = Instant::now();
    binary.signal("TERM");
    let (code, took) = ended(&mut binary, signalled).await;
    assert_eq!(code, Some(0));
    assert!(took >= CUT_AFTER && took < END_WITHIN, "{took:?}");
    let events = binary.events_saying(LOST);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].text("level"), "WARN");
    let journal = journal(&simulator, "the end", |seen| seen.polls_in_flight == 0).await;
    assert_eq!(journal.polls[1].outcome, Outcome::Abandoned);
}

/// A service whose scrape exceeds the buffers of sockets, and a scrape of which only the beginning was read.
async fn scraped() -> (Simulator, Binary, SocketAddr, TcpStream) {
    const NOTE_BYTES: usize = 10_000;
    const TERMINALS: usize = 2000;
    let simulator = scripted_simulator();
    let note = "x".repeat(NOTE_BYTES);
    let rows =
        (0..TERMINALS).map(|number| format!(r#"["u",1700000001000000000,"ut{number}","{note}"]"#));
    let columns = ["DeviceType", "UtcTimestampNs", "DeviceId", "Note"];
    simulator.push_answer(AnswerBody::new().columns("u", &columns).rows(rows));
    let (binary, address) = Binary::listening(&simulator, &[LONG_LINGER]).await;
    eventually("a batch is stored", || async {
        get(address, "/readyz", &[]).await.status == 200
    })
    .await;
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    socket
        .write_all(b"GET /metrics?format=prometheus HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    socket.read_exact(&mut [0; 100]).unwrap();
    (simulator, binary, address, socket)
}

/// Reads until the connection ends or is reset.
async fn rest(mut socket: TcpStream) -> Vec<u8> {
    let reading = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A reset is treated like an end.
        let _ = socket.read_to_end(&mut bytes);
        bytes
    });
    eventually("the end of the scrape", || async { reading.is_finished() }).await;
    reading.join().unwrap()
}

const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

#[actix_rt::test]
async fn an_open_scrape_may_end_while_new_ones_are_refused() {
    let (_simulator, mut binary, address, socket) = scraped().await;
    let signalled = Instant::now();
    binary.signal("TERM");
    refuses(address).await;
    assert!(!binary.has_ended(), "the scrape is still open");
    let body = rest(socket).await;
    assert!(body.ends_with(LAST_CHUNK), "{} bytes", body.len());
    let (code, took) = ended(&mut binary, signalled).await;
    assert_eq!(code, Some(0));
    assert!(took < END_WITHIN, "{took:?}");
}

/// Reads so slowly that the scrape takes longer than [`END_WITHIN`], but fast enough that it is not cut as stalled.
fn read_slowly(mut socket: &TcpStream) -> bool {
    std::thread::sleep(Duration::from_millis(100));
    socket
        .read(&mut [0; 40 * 1024])
        .is_ok_and(|length| length > 0)
}

async fn a_scrape_that_is_read_slowly_is_cut() {
    let (_simulator, mut binary, _, socket) = scraped().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let reading = {
        let (is_over, socket) = (Arc::clone(&is_over), socket.try_clone().unwrap());
        std::thread::spawn(
            move || while read_slowly(&socket) && !is_over.load(Ordering::Relaxed) {},
        )
    };
    let signalled = Instant::now();
    binary.signal("TERM");
    let (code, took) = ended(&mut binary, signalled).await;
    assert_eq!(code, Some(0));
    assert!(took >= CUT_AFTER && took < END_WITHIN, "{took:?}");
    is_over.store(true, Ordering::Relaxed);
    eventually("the reader is done", || async { reading.is_finished() }).await;
    assert!(!rest(socket).await.ends_with(LAST_CHUNK));
}

#[actix_rt::test]
async fn responses_that_are_still_open_after_four_seconds_are_cut() {
    join(
        an_answer_that_takes_too_long_is_aborted_and_logged(),
        a_scrape_that_is_read_slowly_is_cut(),
    )
    .await;
}
