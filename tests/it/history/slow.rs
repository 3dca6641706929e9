//! A test of a receiver that takes a byte a second: it reads so slowly that the sender cannot write the whole request.

use super::*;
use crate::harness::row_of;

/// The rows of a request that does not fit into the buffers of the sockets: their identifiers, of so many random letters, cannot be compressed.
const ROWS: usize = 500;
const IDENTIFIER: usize = 250;

fn identifiers() -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut letter = || random.alphanumeric();
    let mut identifier = || (0..IDENTIFIER).map(|_| letter()).collect();
    (0..ROWS).map(|_| identifier()).collect()
}

/// Requests to it end with the time limit and are repeated, rows for others are not delayed, and all arrive when it is fast again.
#[actix_rt::test]
async fn a_receiver_that_takes_a_byte_a_second_delays_no_other() {
    let world = World::scripted(Model::prometheus(WINDOW), "33h");
    let slow = Receiver::slow(Model::prometheus(WINDOW), Duration::from_secs(1));
    let always = ["out_of_order_window: 33h", "own_metrics: false"];
    let limited = [&always[..], &["remote_timeout: 3s"]].concat();
    let list = [
        entry("here", &world.receiver, &always),
        entry("slow", &slow, &limited),
    ];
    let (binary, address) = world.start_with(&list.concat(), &[]).await;
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let rows = identifiers();
    let rows = rows
        .iter()
        .map(|id| row_of(id, time.as_nanos() as u64, 1.0));
    world.simulator.push_rows(rows);
    eventually("a request is being taken", || {
        std::future::ready(slow.is_reading())
    })
    .await;
    for number in 0..3 {
        world
            .push(&["ut-a"], f64::from(number), Duration::ZERO)
            .await;
        world.is_up_to_date().await;
    }
    eventually("requests run into the time limit", || async {
        let body = form::scrape(address, "prometheus").await;
        of_sender(&body, "requests_total", "slow", r#",code="timeout""#) >= Some(2.0)
    })
    .await;
    let body = form::scrape(address, "prometheus").await;
    let of = |name: &str, destination: &str| of_sender(&body, name, destination, "");
    assert_eq!(of("pending_rows", "slow"), Some(ROWS as f64 + 3.0));
    assert_eq!(of("samples_total", "slow"), Some(0.0));
    assert_eq!(of("pending_rows", "here"), Some(0.0));
    assert_eq!(of("retries_total", "here"), Some(0.0));
    assert_eq!(slow.requests().len(), 0);

    slow.hasten();
    world.is_complete(Destination::default()).await;
    is_complete(&slow, &world.expected(Destination::default())).await;
    assert_eq!(binary.events_at("ERROR").len(), 0, "{}", binary.stderr());
}
