//! Tests of the page in abnormal states: outages, rejected credentials, old rows, silent devices, invalid requests.

use std::io::Read;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use starlink_telemetry::simulator::{Answer, AnswerBody, Simulator};

use crate::harness::{Service, WAIT_LIMIT, eventually, scripted_simulator, throughput};
use crate::receiver::{Model, Receiver, Reply};
use crate::wire::ask;

const COLUMNS: [&str; 8] = [
    "DeviceType",
    "UtcTimestampNs",
    "DeviceId",
    "DownlinkThroughput",
    "ObstructionPercentTime",
    "Uptime",
    "CountryCode",
    "ActiveAlerts",
];

/// The time this long ago, in nanoseconds since 1970.
fn ago(seconds: u64) -> u128 {
    let now = SystemTime::now() - Duration::from_secs(seconds);
    now.duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

/// Devices that reported this long ago, the first of them with an alert.
fn answer(ids: &[&str], seconds: u64) -> AnswerBody {
    let row = |(at, id): (usize, &&str)| {
        let alerts = if at == 0 { "[7]" } else { "[]" };
        format!(
            r#"["u",{},"{id}",42,0.0312,200000,"XZ",{alerts}]"#,
            ago(seconds)
        )
    };
    AnswerBody::new()
        .columns("u", &COLUMNS)
        .alerts("u", &[("7", "mast_not_vertical")])
        .rows(ids.iter().enumerate().map(row))
}

/// A service with these devices.
async fn service(ids: &[&str], seconds: u64, settings: &[(&str, &str)]) -> (Simulator, Service) {
    let simulator = scripted_simulator();
    simulator.push_answer(answer(ids, seconds));
    let service = Service::start(&simulator, settings).await;
    service.shows(&throughput(ids[0]), 42.0).await;
    (simulator, service)
}

async fn json_of(service: &Service, path: &str) -> Value {
    serde_json::from_str(&service.get(path).await.body).unwrap()
}

/// Waits until a page contains all of these texts.
pub async fn says(service: &Service, path: &str, texts: &[&str]) {
    let what = format!("{path} says {texts:?}");
    let mut last = String::new();
    let deadline = Instant::now() + WAIT_LIMIT;
    while !texts.iter().all(|text| last.contains(text)) {
        assert!(Instant::now() < deadline, "never happened: {what}: {last}");
        last = service.get(path).await.body;
    }
}

#[actix_rt::test]
async fn a_page_past_the_end_links_to_the_last_page() {
    let ids: Vec<_> = (10..25).map(|number| format!("ut-{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let (_simulator, service) = service(&ids, 1, &[]).await;
    for (query, expected, link) in [
        (
            "page=18446744073709551615&near=",
            "Page 18,446,744,073,709,551,615 does not exist (1 page, 15 devices)",
            "./#devices",
        ),
        (
            "per_page=4&page=18446744073709551615&sort=-downlink",
            "Page 18,446,744,073,709,551,615 does not exist (4 pages, 15 devices)",
            "./?sort=-downlink&#38;page=4&#38;per_page=4#devices",
        ),
        (
            "per_page=1000&page=9223372036854775808",
            "Page 9,223,372,036,854,775,808 does not exist (1 page, 15 devices)",
            "./?per_page=1000#devices",
        ),
        (
            "page=3&search=ut-11",
            "Page 3 does not exist (1 page, 1 device)",
            "./?search=ut-11#devices",
        ),
    ] {
        let answer = service.get(&format!("/?{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        assert!(answer.body.contains(expected), "{query}: {}", answer.body);
        let link = format!("<a href=\"{link}\">");
        assert!(answer.body.contains(&link), "{query}: {}", answer.body);
        for wrong in ["page 3 of", "Page 3 of", "No device matches"] {
            assert!(!answer.body.contains(wrong), "{query}: {wrong}");
        }
    }
}

#[actix_rt::test]
async fn texts_of_a_request_that_a_response_repeats_are_bounded() {
    let (_simulator, service) = service(&["ut-1"], 1, &[]).await;
    let plain = service.get("/").await.bytes.len();
    for name in [
        "search", "alert", "type", "state", "sort", "near", "x", "page",
    ] {
        let answer = service
            .get(&format!("/?{name}={}", "%C3%A9".repeat(5000)))
            .await;
        assert_eq!(answer.status, 400, "{name}");
        assert!(answer.bytes.len() < plain + 2000, "{name}");
        let answer = service
            .get(&format!("/api/v1/devices?{name}={}", "z".repeat(9000)))
            .await;
        assert_eq!(answer.status, 400, "{name}");
        assert!(answer.bytes.len() < 1000, "{name}");
    }
}

#[actix_rt::test]
async fn in_an_outage_devices_and_alerts_are_shown_as_unknown() {
    let (simulator, service) = service(&["ut-lit", "ut-dark"], 1, &[("STALE_AFTER", "1")]).await;
    let status = "/api/v1/status";
    simulator.set_default_answer(Some(Answer::error(502, "the gateway is overloaded")));
    eventually("nothing is known of the devices any more", || async {
        json_of(&service, status).await["fleet"]["types"][0]["unknown"] == 2
    })
    .await;
    let gone = "Readings are no longer shown: the last successful poll was 1 min ago.";
    says(&service, "/", &[gone]).await;
    let home = service.get("/").await.body;
    for expected in [
        "Starlink answered 502 (the gateway is overloaded)",
        "Unknown: no device is online",
        "of the last rows",
        "unknown",
    ] {
        assert!(home.contains(expected), "{expected}: {home}");
    }
    for wrong in ["None.", "Healthy", "Data below is from", "stale"] {
        assert!(!home.contains(wrong), "{wrong}: {home}");
    }
    let status = json_of(&service, status).await;
    assert_eq!(status["fleet"]["alerts_unknown"], 2);
    assert_eq!(
        status["accounts"][0]["stream"]["last_failure"],
        "server_error"
    );
    assert_eq!(
        status["accounts"][0]["stream"]["last_failure_message"],
        "Starlink answered 502 (the gateway is overloaded)."
    );
    for (id, last) in [
        ("ut-lit", json!(["mast_not_vertical"])),
        ("ut-dark", json!([])),
    ] {
        let page = service.get(&format!("/device?id={id}")).await.body;
        assert!(page.contains("Unknown (last report <time>"), "{page}");
        assert!(!page.contains("None."), "{page}");
        assert!(page.contains("Last readings, from "), "{page}");
        assert!(page.contains("DownlinkThroughput"), "{page}");
        let device = json_of(&service, &format!("/api/v1/devices/{id}")).await;
        assert_eq!(device["state"], "unknown");
        assert_eq!(device["alerts"], Value::Null);
        assert_eq!(device["downlink_mbps"], Value::Null);
        assert_eq!(device["fields"], json!({}));
        assert_eq!(
            device["last_readings"]["fields"]["DownlinkThroughput"],
            42.0
        );
        assert_eq!(device["last_readings"]["alerts"], last);
    }
    let listed = json_of(&service, "/api/v1/devices").await;
    assert_eq!(listed["devices"][0]["alerts"], Value::Null);
}

#[actix_rt::test]
async fn a_silent_device_is_shown_with_its_last_readings() {
    let (simulator, service) = service(&["ut-lost", "ut-here"], 1, &[("STALE_AFTER", "2")]).await;
    simulator.set_default_answer(None);
    eventually("one is silent", || async {
        simulator.push_answer(answer(&["ut-here"], 0));
        let device = json_of(&service, "/api/v1/devices/ut-lost").await;
        device["state"] == "offline"
    })
    .await;
    let page = service.get("/device?id=ut-lost").await.body;
    for expected in [
        "Last readings, from <time>20",
        " UTC</time>:",
        "<bdi>mast_not_vertical</bdi>",
        "Unknown (last report <time>",
        "<td class=\"number\">42</td><td>Mbit/s</td>",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    assert!(!page.contains("nobody knows"), "{page}");
    // The fleet's alerts are those of the devices that report.
    let home = service.get("/").await.body;
    assert!(home.contains("Unknown for 1 device"), "{home}");
}

#[actix_rt::test]
async fn rejected_credentials_are_shown_with_starlinks_message_and_the_remedy() {
    let simulator = scripted_simulator();
    simulator.set_default_token_answer(Some(Answer::token_error("access_denied")));
    let service = Service::start(&simulator, &[]).await;
    says(
        &service,
        "/",
        &[
            "Starlink rejected the credentials (status 400: access_denied). Check CLIENT_ID and CLIENT_SECRET.",
            "<dt>Token</dt><dd class=\"notice\">Starlink rejected the credentials",
        ],
    )
    .await;
    let status = json_of(&service, "/api/v1/status").await;
    assert_eq!(
        status["accounts"][0]["stream"]["last_failure_remedy"],
        "Check CLIENT_ID and CLIENT_SECRET."
    );
    let home = service.get("/").await.body;
    assert!(!home.contains("token: refused"), "{home}");
}

#[actix_rt::test]
async fn a_failed_connection_is_shown_in_words() {
    let simulator = scripted_simulator();
    // A port that was free a moment ago, so that connections are refused.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let service = Service::start(&simulator, &[("API_URL", &url)]).await;
    says(&service, "/", &["Cannot reach Starlink", "efused"]).await;
    let home = service.get("/").await.body;
    assert!(!home.contains("none: connect"), "{home}");
}

#[actix_rt::test]
async fn a_destination_that_refuses_all_samples_is_shown_with_its_message() {
    let receiver = Receiver::start(Model::prometheus(Duration::ZERO));
    receiver.set_default(Some(Reply::status(400, "no such path: /write")));
    let journal = tempfile::tempdir().unwrap();
    let url = receiver.url();
    let settings = [
        ("JOURNAL_DIR", journal.path().to_str().unwrap()),
        ("REMOTE_WRITE_URL", url.as_str()),
    ];
    let (_simulator, service) = service(&["ut-1"], 0, &settings).await;
    let texts = [
        "Samples rejected",
        "Rows for default are lost",
        "rejecting",
        "no such path",
    ];
    says(&service, "/", &texts).await;
    let status = json_of(&service, "/api/v1/status").await;
    let sender = &status["history"]["destinations"][0]["accounts"][0];
    assert_eq!(sender["state"], "rejecting");
    assert!(sender["remedy"].as_str().unwrap().contains("correct url"));
}

#[actix_rt::test]
async fn rows_that_arrive_late_are_old_and_not_healthy() {
    let (_simulator, service) = service(&["ut-slow"], 2700, &[]).await;
    let home = service.get("/").await.body;
    for expected in [
        "<strong>Delayed</strong>",
        "45 min<span class=\"hidden\"> ago</span>",
        "<dt>Lag</dt><dd class=\"notice\">45 min",
    ] {
        assert!(home.contains(expected), "{expected}: {home}");
    }
    let page = service.get("/device?id=ut-slow").await.body;
    assert!(page.contains("<time>45 min ago</time>"), "{page}");
    let status = json_of(&service, "/api/v1/status").await;
    assert_eq!(status["accounts"][0]["stream"]["late"], true);
}

#[actix_rt::test]
async fn values_and_their_meanings_have_one_unit() {
    let (_simulator, service) = service(&["ut-1"], 1, &[]).await;
    let home = service.get("/").await.body;
    assert!(home.contains("<span data-unit=\" %\">3.1</span>"), "{home}");
    let page = service.get("/device?id=ut-1").await.body;
    for expected in [
        "<td class=\"number\">3.12</td><td>%</td><td>Share of time that the terminal&#39;s view was obstructed.</td>",
        "<td class=\"number\">2.3</td><td>d</td><td>Time since the terminal started.</td>",
        "<abbr title=\"international waters\">XZ</abbr>",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    // Fields without values are not listed.
    for wrong in ["<dt>Group</dt>", "in seconds"] {
        assert!(!page.contains(wrong), "{wrong}: {page}");
    }
}

#[actix_rt::test]
async fn an_unknown_path_is_a_page_for_browsers_and_json_for_programs() {
    let (_simulator, service) = service(&["ut-1"], 1, &[]).await;
    let browser = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    for (path, home) in [
        ("/nothing", "./"),
        ("/device/", "../"),
        ("/deep/er/nothing?x=1/2", "../../"),
        ("/%2Fodd//", "../../"),
    ] {
        let answer = ask(service.address, "GET", path, &browser).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(
            answer.header("content-type").as_deref(),
            Some("text/html; charset=utf-8"),
            "{path}"
        );
        assert!(answer.header("content-security-policy").is_some());
        for link in ["", "metrics", "api/v1/status", "api/v1/openapi.json"] {
            let link = format!("href=\"{home}{link}");
            assert!(
                answer.body.contains(&link),
                "{path}: {link}: {}",
                answer.body
            );
        }
        assert!(!answer.body.contains("href=\"/"), "{path}");
    }
    let answer = service.get("/nothing").await;
    assert_eq!(answer.status, 404);
    for named in ["/device", "/api/v1/status", "/api/v1/devices", "/metrics"] {
        assert!(answer.body.contains(named), "{named}: {}", answer.body);
    }
    for path in ["/api/v1/nothing", "/api/", "/api/v2/devices"] {
        let answer = ask(service.address, "GET", path, &browser).await;
        assert_eq!(answer.status, 404, "{path}");
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        let message = problem["error"].as_str().unwrap();
        assert!(message.contains("/api/v1/openapi.json"), "{message}");
    }
    let refused = ask(service.address, "POST", "/api/v1/devices", &browser).await;
    assert_eq!(refused.status, 405);
    assert!(serde_json::from_str::<Value>(&refused.body).is_ok());
}

#[actix_rt::test]
async fn large_responses_are_compressed_for_clients_that_accept_it() {
    let ids: Vec<_> = (100..140).map(|number| format!("ut-{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let (_simulator, service) = service(&ids, 1, &[]).await;
    let home = service.get("/").await.body;
    let assets = home.split('"').filter(|text| text.contains("assets/"));
    let assets: Vec<_> = assets
        .map(|link| {
            format!(
                "/{}",
                link.trim_start_matches("./").split('#').next().unwrap()
            )
        })
        .collect();
    assert!(assets.len() >= 4, "{assets:?}");
    let paths = ["/", "/api/v1/devices", "/api/v1/openapi.json"].map(ToOwned::to_owned);
    for path in assets.iter().chain(&paths) {
        let gzip = [("Accept-Encoding", "gzip, br")];
        let [plain, packed] = [
            service.get(path).await,
            ask(service.address, "GET", path, &gzip).await,
        ];
        assert_eq!(packed.status, 200, "{path}");
        assert!(
            packed
                .header("vary")
                .is_some_and(|vary| vary.contains("Accept-Encoding")),
            "{path}"
        );
        assert_eq!(plain.header("content-encoding"), None, "{path}");
        if plain.bytes.len() < 1024 {
            continue;
        }
        assert_eq!(
            packed.header("content-encoding").as_deref(),
            Some("gzip"),
            "{path}"
        );
        assert!(packed.bytes.len() < plain.bytes.len() * 3 / 4, "{path}");
        let mut text = String::new();
        let mut decoder = GzDecoder::new(&*packed.bytes);
        decoder.read_to_string(&mut text).unwrap();
        if path != "/" && !path.contains("devices") {
            assert_eq!(text, plain.body, "{path}");
        }
    }
}

#[actix_rt::test]
async fn a_wrong_host_clock_is_shown_and_ages_are_by_starlinks_clock() {
    let simulator = scripted_simulator();
    let (service, hands) = Service::with_manual_clock(&simulator, &[]).await;
    simulator.push_answer(answer(&["ut-1"], 5));
    service.shows(&throughput("ut-1"), 42.0).await;
    let right = service.get("/").await.body;
    assert!(!right.contains("Host clock"), "{right}");
    // A Date header has whole seconds: ages are rounded to minutes.
    hands.set_wall(SystemTime::now() - Duration::from_secs(3600));
    // The median of five answers counts.
    for _ in 0..5 {
        simulator.push_answer(answer(&["ut-1"], 5));
    }
    says(
        &service,
        "/",
        &[
            "<strong>Clock wrong</strong>",
            "Synchronise this host&#39;s clock (NTP).",
            "<dt>Host clock</dt><dd class=\"notice\">60 min behind Starlink&#39;s",
        ],
    )
    .await;
    let home = service.get("/").await.body;
    // Fifteen minutes at most, as Starlink's tokens are.
    let token = home.split("valid for ").nth(1).unwrap();
    let minutes: u32 = token.split(' ').next().unwrap().parse().unwrap();
    assert!(minutes <= 15, "{token}");
    let status = json_of(&service, "/api/v1/status").await;
    assert_eq!(status["clock"]["wrong"], true);
    let offset = status["clock"]["offset_seconds"].as_f64().unwrap();
    assert!((3590.0..3610.0).contains(&offset), "{offset}");
    let age = unix_seconds_of(&status)
        - json_of(&service, "/api/v1/devices/ut-1").await["last_report_timestamp_seconds"]
            .as_f64()
            .unwrap();
    assert!((0.0..120.0).contains(&age), "{age}");
}

fn unix_seconds_of(status: &Value) -> f64 {
    status["timestamp_seconds"].as_f64().unwrap()
}
