//! Tests of samples that a receiver refuses for their time: the bad ones are found where a request is rolled back as a whole, and those that
//! an earlier attempt may have stored are counted apart.

use super::answers::{IDS, failed, has_bad_series, is_bad};
use super::*;
use crate::receiver::Request;

/// Refusals about time, in the words of Prometheus, Mimir and Thanos, and their reasons.
const OF_TIME: [(u16, &str, &str); 6] = [
    (400, "out of order sample", "out_of_order"),
    (500, "too old sample", "too_old"),
    (422, "duplicate sample for timestamp", "duplicate"),
    (400, "out of bounds", "out_of_bounds"),
    (
        500,
        "label name \"x\" is not unique: invalid sample",
        "duplicate",
    ),
    (
        409,
        "store locally for endpoint: conflict: out of order sample",
        "out_of_order",
    ),
];

/// The counts of failed samples that were added since.
fn added(before: &[(String, f64)], after: &[(String, f64)]) -> Vec<(String, f64)> {
    let value = |reason: &str| {
        let found = before.iter().find(|(known, _)| known == reason);
        found.map_or(0.0, |(_, value)| *value)
    };
    let added = after.iter();
    let added = added.map(|(reason, count)| (reason.clone(), count - value(reason)));
    added.filter(|(_, count)| *count > 0.0).collect()
}

/// A world with a receiver of 1.0 that rolls a request back for one bad sample, and which took a first row of each terminal.
async fn of_1_0(more: &[&str]) -> (World, Binary, SocketAddr) {
    let world = World::scripted(Model::prometheus_2_42(WINDOW), "33h");
    let always = ["out_of_order_window: 33h", "own_metrics: false"];
    let more: Vec<_> = always.iter().chain(more).copied().collect();
    let list = entry("default", &world.receiver, &more);
    let (binary, address) = world.start_with(&list, &[]).await;
    world.push(&IDS, 0.5, Duration::ZERO).await;
    world.is_up_to_date().await;
    (world, binary, address)
}

/// Pushes a row of each terminal, and waits until the request is done. Returns the requests, and the counts that it added.
async fn exchange(
    world: &World,
    address: SocketAddr,
    value: f64,
) -> (Vec<Request>, Vec<(String, f64)>) {
    let before = world.receiver.requests_with_rows().len();
    let counts = failed(address).await;
    world.push(&IDS, value, Duration::ZERO).await;
    eventually("samples are counted", || async {
        failed(address).await != counts
    })
    .await;
    reports(address, "pending_rows", "", |it| it == 0.0).await;
    let requests = world.receiver.requests_with_rows().split_off(before);
    (requests, added(&counts, &failed(address).await))
}

fn one(reason: &str, samples: f64) -> Vec<(String, f64)> {
    vec![(reason.to_owned(), samples)]
}

/// The series is not left out afterwards: the next refusal finds it again.
#[actix_rt::test]
async fn a_sample_with_a_bad_time_is_found_in_1_0() {
    let (world, _binary, address) = of_1_0(&[]).await;
    for (number, (status, text, reason)) in (1..).zip(OF_TIME) {
        world
            .receiver
            .set_rule(move |request| has_bad_series(request).then(|| Reply::status(status, text)));
        let (requests, counts) = exchange(&world, address, f64::from(number)).await;
        assert_eq!(counts, one(reason, 1.0), "{status} {text}");
        assert!(
            (4..=32).contains(&requests.len()),
            "{status} {text}: {} requests",
            requests.len()
        );
    }
    let expected = world.expected(Destination::default());
    let problems = expected.problems(&world.receiver.store().samples);
    assert_eq!(problems.len(), OF_TIME.len(), "{problems:#?}");
    assert!(problems.iter().all(|problem| is_bad(problem)));
}

/// A receiver that refuses everything for its time is not asked 32 times for each request.
#[actix_rt::test]
async fn the_third_refusal_for_one_reason_of_time_ends_the_halving() {
    let (world, _binary, address) = of_1_0(&[]).await;
    world.receiver.set_rule(|request| {
        has_bad_series(request).then(|| Reply::status(400, "out of order sample"))
    });
    for number in 1..=2 {
        let (requests, counts) = exchange(&world, address, f64::from(number)).await;
        assert!(requests.len() > 1, "{number}");
        assert_eq!(counts, one("out_of_order", 1.0), "{number}");
    }
    for number in 3..=5 {
        let (requests, counts) = exchange(&world, address, f64::from(number)).await;
        assert_eq!(requests.len(), 1, "{number}");
        let all = requests[0].samples() as f64;
        assert!(all > 1.0);
        assert_eq!(counts, one("out_of_order", all), "{number}");
    }
    // Another refusal still is: it is not about time.
    world.receiver.set_rule(|request| {
        has_bad_series(request).then(|| Reply::status(400, "label value too long"))
    });
    let (requests, counts) = exchange(&world, address, 6.0).await;
    assert!(requests.len() > 1);
    assert_eq!(counts, one("rejected", 1.0));
}

/// Gives the first request with rows one reply, and all others another one.
fn refuse_after(receiver: &Receiver, first: Option<Reply>, refusal: Reply) {
    let mut first = first;
    receiver.set_rule(move |request| {
        let reply = || first.take().unwrap_or_else(|| refusal.clone());
        request.has_rows().then(reply)
    });
}

fn out_of_order() -> Reply {
    let written = "X-Prometheus-Remote-Write-Samples-Written";
    Reply::status(400, "out of order sample").header(written, "0")
}

/// The answers to the first attempt of a request, and how the samples are counted that the receiver then refuses for their time.
fn first_attempts() -> Vec<(&'static str, Option<Reply>, &'static str)> {
    let busy = |status| Reply::status(status, "").header("Retry-After", "1");
    vec![
        ("a first answer", None, "out_of_order"),
        (
            "a reset",
            Some(Reply::ordinary().close_at(0)),
            "already_stored",
        ),
        (
            "a time-out",
            Some(Reply::ordinary().hang_at(0)),
            "already_stored",
        ),
        (
            "half a head",
            Some(Reply::ordinary().close_at(9)),
            "already_stored",
        ),
        ("504", Some(busy(504).but_stored()), "already_stored"),
        ("503", Some(busy(503)), "out_of_order"),
        ("429", Some(busy(429)), "out_of_order"),
    ]
}

#[actix_rt::test]
async fn a_refusal_after_an_ambiguous_end_means_that_samples_are_stored() {
    let models = [Model::prometheus(WINDOW), Model::prometheus_2_42(WINDOW)];
    let each = models.map(|model| async move {
        let world = World::scripted(model, "33h");
        let more = [
            "out_of_order_window: 33h",
            "remote_timeout: 1s",
            "max_shards: 1",
            "own_metrics: false",
        ];
        let list = entry("default", &world.receiver, &more);
        let (_binary, address) = world.start_with(&list, &[]).await;
        world.push(&IDS, 0.5, Duration::ZERO).await;
        world.is_up_to_date().await;
        for (number, (name, first, reason)) in (1..).zip(first_attempts()) {
            refuse_after(&world.receiver, first, out_of_order());
            let (requests, counts) = exchange(&world, address, f64::from(number)).await;
            assert_eq!(counts, one(reason, requests[0].samples() as f64), "{name}");
        }
    });
    join_all(each).await;
}

/// A first answer, too, because the other instance may have sent the samples.
#[actix_rt::test]
async fn what_a_pair_has_stored_is_counted_as_that() {
    let (world, binary, address) = of_1_0(&["pair: true"]).await;
    refuse_after(&world.receiver, None, out_of_order());
    let (requests, counts) = exchange(&world, address, 1.0).await;
    assert_eq!(counts, one("already_stored", requests[0].samples() as f64));
    assert_eq!(binary.events_at("ERROR").len(), 0, "{}", binary.stderr());
}

/// The process is killed while the request is in flight; the next one repeats it, and cannot know whether it was stored.
#[actix_rt::test]
async fn a_refusal_after_a_restart_means_that_samples_are_stored() {
    let each = [Model::prometheus(WINDOW), Model::prometheus_2_42(WINDOW)];
    let each = each.map(|model| async move {
        let world = World::scripted(model, "33h");
        let hangs = Reply::ordinary().hang_at(0);
        refuse_after(&world.receiver, Some(hangs), out_of_order());
        let (mut binary, _) = world.start(&[]).await;
        world.push(&IDS, 1.0, Duration::ZERO).await;
        let is_sent = |requests: &[Request]| requests.iter().any(Request::has_rows);
        world.receiver.gets("the first request", is_sent).await;
        world.kill(&mut binary).await;
        let (_binary, address) = world.start(&[]).await;
        eventually("samples are counted", || async {
            let counts = failed(address).await;
            counts.iter().map(|(_, count)| count).sum::<f64>() > 0.0
        })
        .await;
        reports(address, "pending_rows", "", |it| it == 0.0).await;
        let counts = failed(address).await;
        let reasons: Vec<_> = counts.iter().map(|(reason, _)| reason.as_str()).collect();
        assert_eq!(reasons, ["already_stored"]);
    });
    join_all(each).await;
}
