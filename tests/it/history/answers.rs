//! Tests of what follows from the answers of a receiver: what is repeated, divided, counted or held.

use std::collections::VecDeque;
use std::time::Instant;

use super::*;
use crate::receiver::Request;

pub(super) const IDS: [&str; 4] = ["ut-a", "ut-b", "ut-c", "ut-d"];

/// Gives these replies to requests with rows, and the model's to all others.
fn play(receiver: &Receiver, replies: impl IntoIterator<Item = Reply>) {
    let mut replies: VecDeque<_> = replies.into_iter().collect();
    receiver.set_rule(move |request| match request.has_rows() {
        true => replies.pop_front(),
        false => None,
    });
}

/// What a request is about, without the choice of the protocol.
fn content(request: &Request) -> Vec<(&str, &[(i64, u64)])> {
    let series = request.series().iter();
    let mut content: Vec<_> = series
        .map(|series| (series.text.as_str(), &*series.samples))
        .collect();
    content.sort_unstable();
    content
}

/// Replies after which the same request is sent again.
fn passing() -> Vec<(&'static str, Reply)> {
    let late =
        |status, seconds: &str| Reply::status(status, "later").header("Retry-After", seconds);
    vec![
        ("429", late(429, "1")),
        // Longer than the first wait without it.
        ("503", late(503, "3")),
        ("529", late(529, "1")),
        ("500", Reply::status(500, "internal error")),
        ("502", Reply::status(502, "<html>bad gateway</html>")),
        ("504", Reply::status(504, "").but_stored()),
        ("408", Reply::status(408, "")),
        ("no head", Reply::status(204, "").close_at(0)),
        ("half a head", Reply::ordinary().close_at(10)),
        ("half a body", Reply::status(503, "12345678").close_at(46)),
        (
            "garbage",
            Reply::garbage(b"\x16\x03\x01\x02nothing like HTTP\r\n\r\n"),
        ),
        ("a hang before the head", Reply::ordinary().hang_at(0)),
        ("a hang in the head", Reply::status(204, "").hang_at(9)),
        (
            "a hang after the head",
            Reply::status(500, "12345678").hang_at(46),
        ),
        (
            "a byte a second",
            Reply::ordinary().trickle(Duration::from_millis(500)),
        ),
    ]
}

#[actix_rt::test]
async fn a_request_is_repeated_until_it_is_answered() {
    let models = [
        (Model::prometheus(WINDOW), "33h", 0),
        (Model::victoria_metrics(), "unlimited", 1),
    ];
    let each = models.map(|(model, window, parity)| async move {
        let world = World::scripted(model, window);
        let window = format!("out_of_order_window: {window}");
        // Own sets would take from the pace that the 429 lowers.
        let more = [
            &*window,
            "remote_timeout: 1s",
            "max_shards: 1",
            "own_metrics: false",
        ];
        let list = entry("default", &world.receiver, &more);
        let (binary, address) = world.start_with(&list, &[]).await;
        world.push(&IDS, 0.5, Duration::ZERO).await;
        world.is_up_to_date().await;
        // Half of them for each receiver.
        let halves = passing().into_iter().enumerate();
        for (number, (name, reply)) in halves.filter(|(number, _)| number % 2 == parity) {
            let before = world.receiver.requests_with_rows().len();
            play(&world.receiver, [reply]);
            let begun = Instant::now();
            world.push(&IDS, number as f64, Duration::ZERO).await;
            // What was stored before a fault is sent again, too.
            let is_repeated = |requests: &[Request]| {
                let with_rows = requests.iter().filter(|request| request.has_rows());
                with_rows.count() >= before + 2
            };
            world.receiver.gets(name, is_repeated).await;
            world.is_up_to_date().await;
            let requests = world.receiver.requests_with_rows().split_off(before);
            let least = if name == "503" { 3 } else { 1 };
            assert!(begun.elapsed() >= Duration::from_secs(least), "{name}");
            assert_eq!(content(&requests[0]), content(&requests[1]), "{name}");
            let attempts = [0, 1].map(|number| requests[number].header("retry-attempt"));
            assert_eq!(attempts, [None, Some("1")], "{name}");
        }
        world.is_complete(Destination::default()).await;
        reports(address, "retries_total", "", |it| it >= 7.0).await;
        assert_eq!(binary.events_at("ERROR").len(), 0, "{:?}", binary.stderr());
    });
    join_all(each).await;
}

/// The samples that were not stored, by reason, without zeros.
pub(super) async fn failed(address: SocketAddr) -> Vec<(String, f64)> {
    let body = form::scrape(address, "prometheus").await;
    let moved = body.moved("starlink_exporter_remote_write_samples_failed_total");
    moved.into_iter().collect()
}

/// A refusal, and how its samples are counted.
struct Refusal {
    status: u16,
    text: &'static str,
    counted: &'static str,
}

/// The texts of Prometheus, Mimir and Thanos.
const REFUSALS: [Refusal; 9] = [
    Refusal {
        status: 400,
        text: "out of order sample",
        counted: "out_of_order",
    },
    Refusal {
        status: 400,
        text: "duplicate sample for timestamp",
        counted: "duplicate",
    },
    Refusal {
        status: 400,
        text: "too old sample",
        counted: "too_old",
    },
    Refusal {
        status: 409,
        text: "store locally for endpoint: conflict: 4 out of bounds samples",
        counted: "out_of_bounds",
    },
    Refusal {
        status: 400,
        text: "failed pushing to ingester: user=anonymous: the sample has been rejected because another sample with a more recent timestamp has already been ingested and out-of-order samples are not allowed (err-mimir-sample-out-of-order)",
        counted: "out_of_order",
    },
    Refusal {
        status: 500,
        text: "too old sample",
        counted: "too_old",
    },
    Refusal {
        status: 500,
        text: "label name \"x\" is not unique: invalid sample",
        counted: "duplicate",
    },
    Refusal {
        status: 422,
        text: "received a series whose number of labels exceeds the limit (err-mimir-max-label-names-per-series)",
        counted: "rejected",
    },
    Refusal {
        status: 202,
        text: "",
        counted: "not_stored",
    },
];

/// In 2.0 the receiver has stored what is valid, so that nothing is sent again.
#[actix_rt::test]
async fn what_2_0_refuses_is_counted_and_not_repeated() {
    let world = World::scripted(Model::prometheus(WINDOW), "33h");
    let more = ["out_of_order_window: 33h", "max_shards: 1"];
    let list = entry("default", &world.receiver, &more);
    let (binary, address) = world.start_with(&list, &[]).await;
    world.push(&IDS, 0.5, Duration::ZERO).await;
    world.is_up_to_date().await;
    for (number, refusal) in (1..).zip(&REFUSALS) {
        let Refusal {
            status,
            text,
            counted,
        } = refusal;
        let before = world.receiver.requests_with_rows().len();
        let written = "X-Prometheus-Remote-Write-Samples-Written";
        play(
            &world.receiver,
            [Reply::status(*status, text).header(written, "1")],
        );
        let count = failed(address).await;
        world.push(&IDS, f64::from(number), Duration::ZERO).await;
        eventually("samples are counted", || async {
            failed(address).await != count
        })
        .await;
        // A row later, nothing of the refused request was sent again.
        world
            .push(&IDS[..1], f64::from(-number), Duration::ZERO)
            .await;
        let has_later = |requests: &[Request]| {
            let with_rows = requests.iter().filter(|request| request.has_rows());
            with_rows.count() >= before + 2
        };
        world.receiver.gets("the next row", has_later).await;
        let requests = world.receiver.requests_with_rows().split_off(before);
        assert_eq!(requests.len(), 2, "{status} {text}");
        assert_eq!(requests[0].status, Some(*status));
        let after = failed(address).await;
        let value = |all: &[(String, f64)]| {
            let found = all.iter().find(|(reason, _)| reason == counted);
            found.map_or(0.0, |(_, value)| *value)
        };
        let stored = if *status == 202 { 0.0 } else { 1.0 };
        let expected = requests[0].samples() as f64 - stored;
        assert_eq!(value(&after) - value(&count), expected, "{status} {text}");
    }
    // Only 202 needs a person.
    assert_eq!(binary.events_at("ERROR").len(), 1, "{}", binary.stderr());
}

/// Prometheus rolls a request of 1.0 back for one bad series: the others are found by halving, and that one is left out for an hour.
#[actix_rt::test]
async fn a_bad_series_is_found_in_1_0_and_all_others_are_stored() {
    let model = Model::prometheus_2_42(WINDOW);
    let world = World::scripted(model, "33h");
    world.receiver.set_rule(|request| {
        has_bad_series(request).then(|| Reply::status(400, "label value too long"))
    });
    let (_binary, address) = world.start(&[]).await;
    for number in 0..3 {
        world
            .push(
                &IDS,
                f64::from(number),
                Duration::from_secs(10 - number as u64),
            )
            .await;
    }
    let stored = eventually_but(&world, is_bad).await;
    assert!(stored > 0);
    let counts = failed(address).await;
    let sum: f64 = counts.iter().map(|(_, count)| count).sum();
    assert_eq!(sum, 3.0, "one sample of each answer: {counts:?}");
    let reasons: Vec<_> = counts.iter().map(|(reason, _)| reason.as_str()).collect();
    assert!(reasons.contains(&"rejected"), "{counts:?}");
    assert!(reasons.contains(&"quarantined"), "{counts:?}");
    let requests = world.receiver.requests_with_rows();
    assert!(requests.len() <= 3 * 32, "{} requests", requests.len());
}

/// Whether a request of 1.0 has samples of the series that the receiver refuses.
pub(super) fn has_bad_series(request: &Request) -> bool {
    let mut series = request.series().iter();
    request.protocol() == Some(Protocol::V1) && series.any(|series| is_bad(&series.text))
}

pub(super) fn is_bad(series: &str) -> bool {
    series.starts_with("starlink_DownlinkThroughput{") && series.contains("ut-c")
}

/// Waits until all samples but those of some series are stored. Returns how many there are.
async fn eventually_but(world: &World, is_left_out: fn(&str) -> bool) -> usize {
    let mut count = 0;
    eventually("all other samples are stored", || {
        let expected = world.expected(Destination::default());
        let problems = expected.problems(&world.receiver.store().samples);
        count = expected.required();
        let is_fine = problems.iter().all(|problem| is_left_out(problem));
        std::future::ready(is_fine && count > 0)
    })
    .await;
    count
}

#[actix_rt::test]
async fn requests_that_are_too_large_are_divided() {
    let each = [Model::prometheus(WINDOW), Model::victoria_metrics()].map(|model| async move {
        let world = World::new(fleet(true), model, "33h");
        world
            .receiver
            .set_rule(|request| (request.samples() > 20).then(|| Reply::status(413, "too large")));
        let (_binary, address) = world.start(&[]).await;
        world.hands_out(30).await;
        world.is_complete(Destination::default()).await;
        assert_eq!(failed(address).await, []);
    });
    join_all(each).await;
}

/// Nothing is dropped, and the log says what to change. A restart tries at once.
#[actix_rt::test]
async fn requests_that_a_person_must_enable_are_held() {
    let elsewhere = Receiver::start(Model::prometheus(WINDOW));
    let world = World::scripted(Model::prometheus(WINDOW), "33h");
    let held = [
        (Reply::status(401, "Unauthorized"), "credentials"),
        (Reply::status(403, "Forbidden"), "permit"),
        (
            Reply::status(
                404,
                "remote write receiver needs to be enabled with --web.enable-remote-write-receiver",
            ),
            "--web.enable-remote-write-receiver",
        ),
        (Reply::status(405, "Method Not Allowed"), "url"),
        // For a single sample, too: that is no matter of the request.
        (
            Reply::status(413, "Request Entity Too Large"),
            "raise its limit",
        ),
        (Reply::status(501, "Not Implemented"), "url"),
        (Reply::redirect(301, &elsewhere.url()), "redirect"),
        (Reply::redirect(307, &elsewhere.url()), "redirect"),
        (Reply::redirect(308, &elsewhere.url()), "redirect"),
    ];
    for (number, (reply, advice)) in (0_u32..).zip(held) {
        let status = format!("{reply:?}");
        world.receiver.set_default(Some(reply));
        let (mut binary, address) = world.start(&[]).await;
        world.push(&IDS, f64::from(number), Duration::ZERO).await;
        eventually("an ERROR says what to change", || async {
            let errors = binary.events_at("ERROR");
            errors.iter().any(|event| event.says(advice))
        })
        .await;
        reports(address, "pending_rows", "", |it| it >= 4.0).await;
        assert_eq!(failed(address).await, [], "{status}");
        let errors = binary.events_at("ERROR").len();
        // One for the rows, and one for the exporter's own series.
        assert!((1..=2).contains(&errors), "{}", binary.stderr());
        world.stop(&mut binary).await;
    }
    assert_eq!(elsewhere.requests().len(), 0, "redirects are not followed");
    assert_eq!(world.receiver.store().len(), 0);
    world.receiver.set_default(None);
    let (_binary, _) = world.start(&[]).await;
    world.is_complete(Destination::default()).await;
}
