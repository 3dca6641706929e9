//! Tests of the receiver itself: what the models accept, and how replies are sent. The answers are those of real receivers, which were tried.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant, SystemTime};

use super::message::written::{body, headers};
use super::*;
use crate::wire;

const HOUR: Duration = Duration::from_secs(3600);

/// Sends bytes and returns all that comes until the end of the connection.
fn exchange(receiver: &Receiver, request: &[u8], limit: Duration) -> Vec<u8> {
    let mut connection = TcpStream::connect(receiver.address()).unwrap();
    connection.set_read_timeout(Some(limit)).unwrap();
    connection.write_all(request).unwrap();
    // A hanging reply ends with the limit.
    let _ = connection.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    answer
}

fn request(headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    [request.as_bytes(), body].concat()
}

type Points<'p> = &'p [(&'p str, &'p [(i64, f64)])];

/// Sends samples of series, and returns the status of the response and the number of samples written.
fn send(receiver: &Receiver, protocol: Protocol, series: Points<'_>) -> (u16, Option<String>) {
    let labels: Vec<_> = series
        .iter()
        .map(|(name, _)| match *name {
            "" => vec![("id", "1")],
            name => vec![("__name__", name), ("id", "1")],
        })
        .collect();
    let series = series.iter().zip(&labels);
    let series: Vec<_> = series
        .map(|((_, points), labels)| (&**labels, *points))
        .collect();
    let request = request(&headers(protocol), &body(protocol, &series));
    let answer = exchange(receiver, &request, HOUR);
    let answer = wire::parse(&answer).unwrap();
    let written = answer.header("x-prometheus-remote-write-samples-written");
    (answer.status, written)
}

fn now() -> i64 {
    milliseconds(SystemTime::now())
}

/// A sequence of requests, and the statuses that a receiver answers. Times are in seconds before now.
struct Case {
    name: &'static str,
    requests: &'static [Points<'static>],
    /// Without a window in 1.0 and 2.0, then with nine hours in 1.0 and 2.0.
    statuses: [&'static [u16]; 4],
    /// The numbers of stored samples in these cases.
    stored: [usize; 4],
}

const CASES: [Case; 9] = [
    Case {
        name: "one time slice twice",
        requests: &[&[("a", &[(60, 1.0)])], &[("a", &[(60, 1.0)])]],
        statuses: [&[204, 204]; 4],
        stored: [1; 4],
    },
    Case {
        name: "the first of two slices again",
        requests: &[
            &[("a", &[(60, 1.0)])],
            &[("a", &[(45, 1.0)])],
            &[("a", &[(60, 1.0)])],
        ],
        statuses: [
            &[204, 204, 400],
            &[204, 204, 400],
            &[204, 204, 204],
            &[204, 204, 204],
        ],
        stored: [2; 4],
    },
    Case {
        name: "two samples twice",
        requests: &[
            &[("a", &[(60, 1.0), (45, 2.0)])],
            &[("a", &[(60, 1.0), (45, 2.0)])],
        ],
        statuses: [&[204, 400], &[204, 400], &[204, 204], &[204, 204]],
        stored: [2; 4],
    },
    Case {
        name: "another value at the same time",
        requests: &[&[("a", &[(60, 1.0)])], &[("a", &[(60, 2.0)])]],
        statuses: [&[204, 400]; 4],
        stored: [1; 4],
    },
    Case {
        name: "a good series and a bad one",
        requests: &[
            &[("a", &[(60, 1.0)])],
            &[("b", &[(60, 1.0)]), ("a", &[(60, 2.0)])],
        ],
        statuses: [&[204, 400]; 4],
        stored: [1, 2, 1, 2],
    },
    Case {
        name: "older than a window, or not",
        requests: &[&[("a", &[(0, 1.0)])], &[("b", &[(8 * 3600, 1.0)])]],
        statuses: [&[204, 400], &[204, 400], &[204, 204], &[204, 204]],
        stored: [1, 1, 2, 2],
    },
    Case {
        name: "older than both",
        requests: &[&[("a", &[(0, 1.0)])], &[("a", &[(10 * 3600, 1.0)])]],
        statuses: [&[204, 400]; 4],
        stored: [1; 4],
    },
    Case {
        name: "too far ahead",
        requests: &[&[("a", &[(-700, 1.0)])], &[("a", &[(-500, 1.0)])]],
        statuses: [&[400, 204]; 4],
        stored: [1; 4],
    },
    Case {
        name: "several series",
        requests: &[&[("a", &[(60, 1.0)]), ("b", &[(60, f64::NAN)])]],
        statuses: [&[204]; 4],
        stored: [2; 4],
    },
];

#[test]
fn prometheus_accepts_what_the_real_one_does() {
    for case in &CASES {
        for (index, (window, protocol)) in [
            (Duration::ZERO, Protocol::V1),
            (Duration::ZERO, Protocol::V2),
            (9 * HOUR, Protocol::V1),
            (9 * HOUR, Protocol::V2),
        ]
        .into_iter()
        .enumerate()
        {
            let receiver = Receiver::start(Model::prometheus(window));
            let now = now();
            let mut statuses = Vec::new();
            for series in case.requests {
                let points: Vec<(&str, Vec<(i64, f64)>)> = series
                    .iter()
                    .map(|(name, points)| {
                        let points = points.iter();
                        let points = points.map(|(age, value)| (now - age * 1000, *value));
                        (*name, points.collect())
                    })
                    .collect();
                let points: Vec<_> = points
                    .iter()
                    .map(|(name, points)| (*name, &**points))
                    .collect();
                let (status, written) = send(&receiver, protocol, &points);
                statuses.push(status);
                assert_eq!(written.is_some(), protocol == Protocol::V2);
            }
            let name = case.name;
            assert_eq!(statuses, case.statuses[index], "{name} {index}");
            let stored = receiver.with_store(Store::len);
            assert_eq!(stored, case.stored[index], "{name} {index}");
            assert_eq!(receiver.violations(), [""; 0], "{name}");
        }
    }
}

#[test]
fn victoria_metrics_takes_everything_in_1_0_and_nothing_in_2_0() {
    let receiver = Receiver::start(Model::victoria_metrics());
    let now = now();
    let points: Points<'_> = &[("a", &[(now - 3_600_000, 1.0), (now, 2.0)])];
    assert_eq!(send(&receiver, Protocol::V2, points), (204, None));
    assert_eq!(receiver.with_store(Store::len), 0);
    for _ in 0..2 {
        assert_eq!(send(&receiver, Protocol::V1, points), (204, None));
    }
    let store = receiver.store();
    assert_eq!((store.len(), store.repeated), (2, 2));
    assert_eq!(store.value(r#"a{id="1"}"#, now), Some(2.0));
    assert_eq!(
        send(&receiver, Protocol::V1, &[("a", &[(now, 3.0)])]).0,
        204
    );
    let violations = receiver.violations();
    assert_eq!(violations.len(), 1);
    assert!(violations[0].starts_with("two values"), "{violations:?}");
}

#[test]
fn other_models_answer_2_0_otherwise() {
    let now = now();
    let points: Points<'_> = &[("a", &[(now, 1.0)])];
    let mut model = Model::prometheus_2_42(HOUR);
    let receiver = Receiver::start(model);
    assert_eq!(send(&receiver, Protocol::V2, points), (204, None));
    assert_eq!(send(&receiver, Protocol::V1, points).0, 204);
    let old: Points<'_> = &[("a", &[(now - 7_200_000, 1.0)])];
    assert_eq!(send(&receiver, Protocol::V1, old).0, 500);
    model.version_2 = Version2::Refused;
    let receiver = Receiver::start(model);
    assert_eq!(send(&receiver, Protocol::V2, points).0, 415);
    assert_eq!(receiver.requests()[0].protocol(), Some(Protocol::V2));
}

#[test]
fn violations_of_the_specification_are_found() {
    let good = headers(Protocol::V1);
    let replaced = |name: &str, value: &'static str| {
        let headers = good.iter();
        let value = |&(known, old)| (known, if known == name { value } else { old });
        headers.map(value).collect::<Vec<_>>()
    };
    let now = now();
    let samples: &[(i64, f64)] = &[(now, 1.0)];
    let plain = body(Protocol::V1, &[(&[("__name__", "a")], samples)]);
    type Labels<'l> = &'l [(&'l str, &'l str)];
    let of = |labels: Labels<'_>, samples| body(Protocol::V1, &[(labels, samples)]);
    for (headers, body, expected) in [
        (good.clone(), plain.clone(), ""),
        (
            replaced("Content-Type", "application/x-protobuf; x"),
            plain.clone(),
            "Content-Type",
        ),
        (
            replaced("X-Prometheus-Remote-Write-Version", "2.0.0"),
            plain.clone(),
            "Content-Type",
        ),
        (
            replaced("Content-Encoding", "gzip"),
            plain.clone(),
            "Content-Encoding",
        ),
        (replaced("User-Agent", "curl"), plain.clone(), "User-Agent"),
        (good.clone(), b"nothing".to_vec(), "snappy"),
        (
            good.clone(),
            of(&[("__name__", "a"), ("__name__", "a")], samples),
            "repeated",
        ),
        (
            good.clone(),
            of(&[("b", "1"), ("__name__", "a")], samples),
            "sorted",
        ),
        (
            good.clone(),
            of(&[("__name__", "a"), ("b", "")], samples),
            "empty",
        ),
        (good.clone(), of(&[("b", "1")], samples), "name"),
        (
            good.clone(),
            of(&[("__name__", "a")], &[(2, 1.0), (1, 1.0)]),
            "ascending",
        ),
        (
            good.clone(),
            of(&[("__name__", "a")], &[]),
            "a series has samples",
        ),
    ] {
        let receiver = Receiver::start(Model::victoria_metrics());
        exchange(&receiver, &request(&headers, &body), HOUR);
        let violations = receiver.violations();
        assert_eq!(violations.is_empty(), expected.is_empty(), "{expected}");
        let says = |text: &String| text.contains(expected);
        assert!(violations.iter().all(says), "{expected}: {violations:?}");
    }
}

#[test]
fn replies_are_played_in_order_with_their_faults() {
    let receiver = Receiver::start(Model::victoria_metrics());
    let now = now();
    let plain = body(Protocol::V1, &[(&[("__name__", "a")], &[(now, 1.0)])]);
    let request = request(&headers(Protocol::V1), &plain);
    let limit = Duration::from_millis(100);
    let ask = || exchange(&receiver, &request, limit);
    let begins = |answer: &[u8], text: &str| answer.starts_with(text.as_bytes());

    receiver.push(Reply::status(429, "slow down").header("Retry-After", "7"));
    receiver.push(Reply::garbage(b"\x00\xff"));
    receiver.push(Reply::ordinary().hang_at(0));
    receiver.push(Reply::ordinary().hang_at(12));
    receiver.push(Reply::ordinary().close_at(12));
    receiver.push(Reply::redirect(307, "http://127.0.0.1/"));
    receiver.push(Reply::status(202, "").but_stored());
    let answer = wire::parse(&ask()).unwrap();
    assert_eq!((answer.status, &*answer.body), (429, "slow down"));
    assert_eq!(answer.header("retry-after").as_deref(), Some("7"));
    assert_eq!(ask(), b"\x00\xff");
    assert_eq!(receiver.with_store(Store::len), 0);
    assert_eq!(ask(), b"");
    assert_eq!(ask(), b"HTTP/1.1 204");
    assert_eq!(ask(), b"HTTP/1.1 204");
    assert!(begins(&ask(), "HTTP/1.1 307 Status\r\nLocation: http"));
    assert!(begins(&ask(), "HTTP/1.1 202"));
    assert_eq!(receiver.store().repeated, 3);

    receiver.set_default(Some(Reply::status(503, "")));
    assert!(begins(&ask(), "HTTP/1.1 503"));
    receiver.set_rule(|request| (request.samples() == 1).then(|| Reply::status(400, "no")));
    assert!(begins(&ask(), "HTTP/1.1 400"));
    receiver.set_rule(|_| None);
    receiver.set_default(Some(Reply::ordinary().trickle(Duration::from_millis(2))));
    let begun = Instant::now();
    assert!(begins(&ask(), "HTTP/1.1 204"));
    assert!(begun.elapsed() > Duration::from_millis(2 * 12));
    let statuses: Vec<_> = receiver.requests().iter().map(|one| one.status).collect();
    let played = [
        Some(429),
        None,
        Some(204),
        Some(204),
        Some(204),
        Some(307),
        Some(202),
        Some(503),
        Some(400),
        Some(204),
    ];
    assert_eq!(statuses, played);
}

#[test]
fn an_unplugged_receiver_refuses_connections_and_keeps_its_samples() {
    let receiver = Receiver::start(Model::victoria_metrics());
    let now = now();
    assert_eq!(
        send(&receiver, Protocol::V1, &[("a", &[(now, 1.0)])]).0,
        204
    );
    let mut open = TcpStream::connect(receiver.address()).unwrap();
    receiver.unplug();
    assert!(TcpStream::connect(receiver.address()).is_err());
    // The end or a reset.
    assert_eq!(open.read(&mut [0; 1]).unwrap_or(0), 0);
    receiver.plug();
    assert_eq!(
        send(&receiver, Protocol::V1, &[("b", &[(now, 1.0)])]).0,
        204
    );
    assert_eq!(receiver.with_store(Store::len), 2);
}

#[test]
fn a_slow_receiver_lets_its_clients_wait() {
    let receiver = Receiver::slow(Model::victoria_metrics(), Duration::from_millis(20));
    let mut connection = TcpStream::connect(receiver.address()).unwrap();
    let limit = Duration::from_millis(100);
    connection.set_write_timeout(Some(limit)).unwrap();
    // As much as a request that a test sends.
    let error = connection.write_all(&[b'a'; 100_000]).unwrap_err();
    assert!(
        [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()),
        "{error}"
    );
    assert!(receiver.is_reading());
    receiver.hasten();
    let now = now();
    assert_eq!(
        send(&receiver, Protocol::V1, &[("a", &[(now, 1.0)])]).0,
        204
    );
}
