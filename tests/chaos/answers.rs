//! Generates random valid answers, with harmless noise, and invalid answers of all kinds.

use std::time::Duration;

use fastrand::Rng;
use starlink_telemetry::simulator::{Answer, AnswerBody};

use crate::ageing::Ages;
use crate::model::{FIRST_ADDRESS, Model, Row};

/// The number of devices.
pub const DEVICES: usize = 12;

const MINUTE: i64 = 60_000_000_000;

const DAY: i64 = 24 * 60 * MINUTE;

/// The first timestamp of devices' clocks: so far in the past that no row of a run is in the future.
fn start(model: &Model) -> i64 {
    model.time.wall_nanos() - DAY
}

pub fn id(device: usize) -> String {
    format!("ut-{device}")
}

/// A valid answer of an account about some of these devices, with a random order of columns, and with noise that must not affect the
/// rest. Returns the number of its batch.
///
/// If `is_counted` is false, the journal does not count its rows: the test does not wait for an answer that cut connections may lose.
pub fn good(
    model: &mut Model,
    random: &mut Rng,
    lane: usize,
    devices: &[usize],
    is_counted: bool,
) -> (usize, Answer) {
    let columns = columns(random);
    let names: Vec<&str> = columns.iter().map(String::as_str).collect();
    let (mut rows, mut texts) = (Vec::new(), Vec::new());
    for _ in 0..random.usize(1..20) {
        let Some(device) = random.choice(devices).copied() else {
            break;
        };
        if random.u8(..4) == 0 {
            texts.push(allocation(model, device));
        }
        let (number, text) = row(model, random, device, &columns);
        rows.push(number);
        texts.push(text);
    }
    // The checks do not count an answer without rows.
    if texts.is_empty() || random.u8(..4) == 0 {
        let device = random.usize(..DEVICES);
        texts.push(untimely(model, random, device, &columns));
    }
    noise(random, &mut texts);
    model.roll.sent(lane, texts.len());
    let mut body = AnswerBody::new()
        .rows(texts)
        .columns("u", &names)
        .columns("i", &ALLOCATION);
    if random.u8(..4) == 0 {
        body = body.without_alerts();
    }
    if random.u8(..4) == 0 {
        body = body.without_device_types();
    }
    let mut answer = match is_counted {
        true => Answer::from(body),
        false => Answer::text(body.to_json()),
    };
    if random.bool() {
        answer = answer.gzip();
    }
    if random.bool() {
        answer = answer.chunked();
    }
    if random.u8(..6) == 0 {
        answer = answer.trickle(500, Duration::from_millis(5));
    }
    if random.u8(..6) == 0 {
        answer = answer.header("Connection", "close");
    }
    if random.u8(..6) == 0 {
        answer = answer.delay(Duration::from_millis(random.u64(..300)));
    }
    (model.batch(lane, rows), answer)
}

const ALLOCATION: [&str; 4] = ["DeviceType", "UtcTimestampNs", "DeviceId", "Ipv4"];

/// A row with an address of a device, with a newer timestamp than all before.
fn allocation(model: &mut Model, device: usize) -> String {
    let number = model.allocate(device);
    let timestamp = 1_700_000_000_000_000_000 + number;
    let address = std::net::Ipv4Addr::from(FIRST_ADDRESS + number as u32);
    format!(r#"["i",{timestamp},"ip-{}",["{address}"]]"#, id(device))
}

/// An answer of an account with a row and an address of each of these devices, with newer timestamps than all before, and with a row
/// that does not count.
pub fn newest(model: &mut Model, lane: usize, devices: &[usize]) -> (usize, Answer) {
    let columns = [
        "DeviceType",
        "UtcTimestampNs",
        "DeviceId",
        "Number",
        "Double",
        "Text",
        "ActiveAlerts",
    ];
    let columns: Vec<String> = columns.map(str::to_owned).to_vec();
    let mut random = Rng::with_seed(0);
    let newest = model.clocks.iter().max().copied().unwrap_or_default();
    let newest = newest.max(start(model));
    model.clocks.fill(newest + 1);
    let rows = devices
        .iter()
        .map(|&device| row(model, &mut random, device, &columns));
    let (rows, mut texts): (Vec<_>, Vec<_>) = rows.unzip();
    texts.extend(devices.iter().map(|&device| allocation(model, device)));
    texts.push("null".to_owned());
    model.roll.sent(lane, texts.len());
    let names: Vec<&str> = columns.iter().map(String::as_str).collect();
    let body = AnswerBody::new().rows(texts);
    let body = body.columns("u", &names).columns("i", &ALLOCATION);
    (model.batch(lane, rows), Answer::from(body))
}

/// The column list: shuffled, with some columns missing and unknown ones added.
fn columns(random: &mut Rng) -> Vec<String> {
    let mut columns: Vec<String> = ["DeviceType", "UtcTimestampNs", "DeviceId", "Number"]
        .map(str::to_owned)
        .to_vec();
    for optional in ["Double", "Text", "ActiveAlerts"] {
        if random.u8(..8) > 0 {
            columns.push(optional.to_owned());
        }
    }
    for _ in 0..random.u8(..4) {
        columns.push(format!("Renamed{}", random.u8(..50)));
    }
    // The code of the type is the first column, as documented by Starlink. The order of the others is random.
    random.shuffle(&mut columns[1..]);
    if random.u8(..4) == 0 {
        // The first column with a name is used.
        columns.push("Number".to_owned());
    }
    columns
}

fn row(model: &mut Model, random: &mut Rng, device: usize, columns: &[String]) -> (usize, String) {
    let clock = timestamp(random, model.clocks[device], start(model));
    model.clocks[device] = clock;
    // Some rows are late, with an old timestamp. A stale device would accept them.
    let late = if model.ages == Ages::LONG && random.u8(..6) == 0 {
        random.i64(1..DAY)
    } else {
        0
    };
    let timestamp = clock - late;
    spelled(model, device, timestamp, columns, true)
}

/// A row with an impossible timestamp, which must never be shown.
fn untimely(model: &mut Model, random: &mut Rng, device: usize, columns: &[String]) -> String {
    let now = model.time.wall_nanos();
    let timestamp = match random.u8(..3) {
        0 => now + random.i64(15 * MINUTE..10_000 * DAY),
        1 => random.i64(..1_546_300_800_000_000_000),
        // Milliseconds instead of nanoseconds.
        _ => now / 1_000_000,
    };
    spelled(model, device, timestamp, columns, false).1
}

fn spelled(
    model: &mut Model,
    device: usize,
    timestamp: i64,
    columns: &[String],
    counts: bool,
) -> (usize, String) {
    let has = |name: &str| columns.iter().any(|column| column == name);
    let number = model.row(Row {
        batch: model.next_batch(),
        device,
        timestamp,
        counts,
        has_text: has("Text"),
        has_double: has("Double"),
        has_alert: has("ActiveAlerts"),
    });
    let mut is_first = true;
    let cells = columns.iter().map(|column| match column.as_str() {
        "DeviceType" => "\"u\"".to_owned(),
        "UtcTimestampNs" => timestamp.to_string(),
        "DeviceId" => format!("{:?}", id(device)),
        "Number" if std::mem::take(&mut is_first) => number.to_string(),
        "Number" => "-1".to_owned(),
        "Double" => (2 * number).to_string(),
        "Text" => format!("\"text {number}\""),
        "ActiveAlerts" => format!("[{}]", 1_000_000 + number),
        _ => "1".to_owned(),
    });
    let cells: Vec<_> = cells.collect();
    (number, format!("[{}]", cells.join(",")))
}

/// The next timestamp of a device; it never decreases.
fn timestamp(random: &mut Rng, before: i64, start: i64) -> i64 {
    match (before, random.u8(..40)) {
        (0, 0..10) => start - random.i64(0..2000) * DAY,
        (0, _) => start,
        // With equal timestamps the later row is used.
        (_, 0..4) => before,
        _ => before + 15_000_000_000,
    }
}

/// Adds invalid rows and elements, which must be ignored individually.
fn noise(random: &mut Rng, rows: &mut Vec<String>) {
    let broken = [
        "null",
        "{}",
        "[]",
        "[7]",
        "[\"u\"]",
        "[\"u\",\"now\",\"noise\",1]",
        "[\"x\",1,\"noise\",1]",
        "[\"u\",1e999,\"noise\",1]",
        "[\"u\",1,\"\\ud800\",1]",
        "\"u\"",
    ];
    for _ in 0..random.usize(..3) {
        let place = random.usize(..=rows.len());
        rows.insert(place, broken[random.usize(..broken.len())].to_owned());
    }
}

/// An invalid answer, and its description. `now` is in nanoseconds since 1970.
pub fn bad(random: &mut Rng, now: i64) -> (&'static str, Answer) {
    // With a newer timestamp than all others, so that it would be shown.
    let row = format!("[\"u\",{},\"ut-0\",999999999]", now + MINUTE);
    let row = row.as_str();
    // The journal does not count its rows, because the checks count only the rows of valid answers.
    let whole = || Answer::text(AnswerBody::new().rows([row; 50]).to_json());
    // Larger than the limit of answers; compressed, with a higher ratio than real ones.
    let huge = || {
        Answer::text(
            AnswerBody::new()
                .rows([row])
                .padding(65 * 1024 * 1024)
                .to_json(),
        )
    };
    // Each is shorter than the body, whether compressed or not.
    let inside = random.usize(..40);
    match random.u8(..26) {
        0 => (
            "status 4xx",
            Answer::error(
                random
                    .choice([400, 402, 404, 405, 408, 409, 410, 418, 422, 431, 451])
                    .unwrap_or(400),
                "no",
            ),
        ),
        1 => (
            "status 5xx",
            Answer::error(
                random
                    .choice([500, 501, 502, 503, 504, 520, 599])
                    .unwrap_or(500),
                "later",
            ),
        ),
        2 => ("status 401", Answer::error(401, "who are you?")),
        3 => ("status 403", Answer::error(403, "you may not")),
        4 => (
            "status 2xx",
            whole().status(
                random
                    .choice([201, 202, 203, 204, 205, 206, 207, 226])
                    .unwrap_or(201),
            ),
        ),
        5 => ("redirect", Answer::redirect("http://127.0.0.1:1/")),
        6 => ("redirect with a body", whole().status(302)),
        7 => (
            "Retry-After seconds",
            Answer::too_many_requests(random.choice(["0", "1", "2"]).unwrap_or("0")),
        ),
        8 => (
            "Retry-After nonsense",
            Answer::too_many_requests(
                random
                    .choice([
                        "",
                        "-1",
                        "soon",
                        "1e3",
                        "0x10",
                        "1;2",
                        "Thu, 32 Foo 2026 99:99:99 GMT",
                    ])
                    .unwrap_or(""),
            ),
        ),
        9 => (
            "Retry-After in the past",
            Answer::too_many_requests("Sun, 06 Nov 1994 08:49:37 GMT"),
        ),
        10 => ("HTML", Answer::html()),
        11 => ("HTML and an error", Answer::html().status(502)),
        12 => ("empty", Answer::text("")),
        13 => ("white space", Answer::text("  \n")),
        14 => (
            "wrong envelope",
            Answer::text(
                random
                    .choice([
                        "{}",
                        "[]",
                        "null",
                        "{\"data\":[]}",
                        "{\"data\":{\"values\":{}}}",
                        "{\"data\":null}",
                        "7",
                    ])
                    .unwrap_or("{}"),
            ),
        ),
        15 => (
            "cut JSON",
            Answer::text(format!("{{\"data\":{{\"values\":[{row},{row}")),
        ),
        16 => (
            "JSON and more",
            Answer::text("{\"data\":{\"values\":[]}}{}"),
        ),
        17 => ("cut", whole().cut_at(inside)),
        18 => ("cut gzip", whole().gzip().cut_at(inside)),
        19 => ("cut chunks", whole().chunked().cut_at(inside)),
        20 => ("never-ending", whole().stall_at(inside)),
        21 => (
            "slow",
            whole()
                .trickle(1, Duration::from_millis(100))
                .delay(Duration::from_millis(100)),
        ),
        22 => (
            "closed",
            Answer::closed().delay(Duration::from_millis(random.u64(..200))),
        ),
        23 => ("huge", huge()),
        24 => ("huge when unpacked", huge().gzip()),
        _ => ("no gzip", whole().header("Content-Encoding", "gzip")),
    }
}

/// A failing response to a token request, or a token with a short lifetime.
pub fn bad_token(random: &mut Rng, token: &str) -> (&'static str, Answer) {
    match random.u8(..9) {
        0 => ("token refused", Answer::token_error("invalid_client")),
        1 => (
            "token status",
            Answer::error(
                random.choice([401, 403, 429, 500, 503]).unwrap_or(500),
                "no token",
            ),
        ),
        2 => ("token HTML", Answer::html()),
        3 => ("token empty", Answer::text("")),
        4 => ("token closed", Answer::closed()),
        5 => (
            "token never-ending",
            Answer::text("{\"access_token\":\"x\"}").stall_at(5),
        ),
        6 => (
            "token unknown",
            Answer::text("{\"access_token\":\"unknown\",\"expires_in\":900}"),
        ),
        7 => (
            "token with a broken life",
            Answer::text(format!(
                "{{\"access_token\":\"{token}\",\"expires_in\":-5}}"
            )),
        ),
        _ => (
            "token that ends at once",
            Answer::text(format!("{{\"access_token\":\"{token}\",\"expires_in\":1}}")),
        ),
    }
}
