//! Tests of a process that is stopped and continued (SIGSTOP and SIGCONT, a frozen container, a debugger).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use actix_rt::task::{JoinHandle, spawn_blocking};
use starlink_telemetry::simulator::AnswerBody;

use crate::binary::Binary;
use crate::form::{self, Body, scrape};
use crate::harness::{
    WAIT_LIMIT, eventually, journal, scripted_simulator, shows, terminal_row, throughput,
};
use crate::wire::{Response, parse, request};

/// Longer than the time in which an actor must have answered: 30 s for `/livez`, 10 s for the store and a scrape.
const STOP: Duration = Duration::from_secs(31);

/// Longer than the steps before and after the stop take on a busy machine. The stop is longer by more than the 10 s that the store
/// may take to remove old devices.
const STALE_AFTER: (&str, &str) = ("STALE_AFTER", "15");

/// The second poll waits for its answer, and so does the third, until the end of the test.
const LONG_LINGER: (&str, &str) = ("MAX_LINGER", "60000");

/// Sends a request and reads the response on a separate thread. The request has been sent when this returns, so that a stopped process
/// reads it when it continues.
fn send(address: SocketAddr, target: &str) -> JoinHandle<Response> {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    let request = request(address, "GET", target, &[]);
    connection.write_all(request.as_bytes()).unwrap();
    spawn_blocking(move || {
        let mut response = Vec::new();
        connection.read_to_end(&mut response).unwrap();
        parse(&response).unwrap()
    })
}

fn online(body: &Body, id: &str) -> Option<f64> {
    body.value(&format!(
        r#"starlink_online{{device_type="UserTerminal",deviceID="{id}"}}"#
    ))
}

#[actix_rt::test]
async fn while_the_process_is_stopped_no_device_goes_offline_and_no_actor_hangs() {
    let simulator = scripted_simulator();
    let rows = ["a", "b"].map(|id| terminal_row(id, 1_000_000_000, 1.0));
    simulator.push_answer(AnswerBody::new().rows(rows));
    let (binary, address) = Binary::listening(&simulator, &[LONG_LINGER, STALE_AFTER]).await;
    shows(address, &throughput("b"), 1.0).await;
    journal(&simulator, "a poll waits", |seen| seen.polls.len() == 2).await;

    binary.signal("STOP");
    let row = terminal_row("a", 2_000_000_000, 2.0);
    simulator.push_answer(AnswerBody::new().rows([row]));
    journal(&simulator, "it is answered", |seen| {
        seen.polls[1].ended.is_some()
    })
    .await;
    // The test needs this time to pass.
    actix_rt::time::sleep(STOP).await;
    let polls = simulator.journal().polls.len();
    assert_eq!(polls, 2, "it has not read the answer");
    // The first requests that it reads.
    let (first, alive) = (
        send(address, "/metrics?format=prometheus"),
        send(address, "/livez"),
    );
    binary.signal("CONT");

    let (first, alive) = (first.await.unwrap(), alive.await.unwrap());
    assert_eq!(
        (first.status, alive.status),
        (200, 200),
        "{} {}",
        first.body,
        alive.body
    );
    let first = form::read(&first.body, "prometheus");
    assert_ne!(online(&first, "a"), Some(0.0));
    assert_ne!(online(&first, "b"), Some(0.0));
    assert_eq!(
        first.value(&throughput("b")),
        None,
        "the stop counts as age"
    );

    shows(address, &throughput("a"), 2.0).await;
    journal(&simulator, "the next poll waits", |seen| {
        seen.polls.len() == 3
    })
    .await;
    let body = scrape(address, "prometheus").await;
    assert_eq!(online(&body, "a"), Some(1.0));
    assert_eq!(
        online(&body, "b"),
        None,
        "neither online nor known to be silent"
    );
    assert_eq!(body.value(&throughput("b")), None);
    eventually("it is logged", || async {
        let logged = binary.events_saying("the process was stopped");
        let seconds = logged
            .iter()
            .filter_map(|event| event.value("seconds")?.as_u64());
        seconds.sum::<u64>() >= STOP.as_secs() - 1
    })
    .await;
}
