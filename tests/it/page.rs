//! Tests of the status page: its contents, its links, and escaping.

use std::collections::BTreeSet;
use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::read::GzDecoder;
use starlink_telemetry::simulator::{AnswerBody, Simulator};
use starlink_telemetry::supervise::faults::{Fault, Inject, Latch, Place};
use url::form_urlencoded;

use crate::harness::{
    Service, eventually, quick_hang_detection, scripted_simulator, terminal_row, throughput,
};
use crate::wire::{Response, ask, target};

const COLUMNS: [&str; 9] = [
    "DeviceType",
    "UtcTimestampNs",
    "DeviceId",
    "DownlinkThroughput",
    "PingLatencyMsAvg",
    "H3CellId",
    "RunningSoftwareVersion",
    "NewField",
    "ActiveAlerts",
];

/// A text that ends attributes, tags and lines, traverses directories, and reverses the direction of writing.
const HOSTILE: [&str; 7] = [
    "..",
    "a&b=c#d?e/f%2e+g h",
    "\"'><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}<!--",
    "\u{202e}x\u{2066}",
    "x\u{1b}[31m\r\n\u{0}\u{2028}",
];

/// A terminal in California; some numbers have an alert.
fn row(id: &str, number: u32) -> String {
    let id = serde_json::to_string(id).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_nanos();
    let alerts = if number.is_multiple_of(10) {
        "[1]"
    } else {
        "[]"
    };
    format!(r#"["u",{now},{id},{number}.25,{number},599686042433355775,"2025.12.01",7,{alerts}]"#)
}

/// A service with devices that have these identifiers; their numbers start from 1.
async fn service(ids: &[&str]) -> (Simulator, Service) {
    let simulator = scripted_simulator();
    let rows = ids.iter().zip(1..).map(|(id, number)| row(id, number));
    simulator.push_answer(
        AnswerBody::new()
            .columns("u", &COLUMNS)
            .alerts("u", &[("1", "motors_stuck")])
            .rows(rows),
    );
    let service = Service::start(&simulator, &[]).await;
    eventually("the devices are shown", || async {
        service.get("/").await.body.contains("\"device?id=")
    })
    .await;
    (simulator, service)
}

/// A service with 120 devices.
async fn fleet() -> (Simulator, Service) {
    let ids: Vec<_> = (1..=120).map(|number| format!("ut-{number:03}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    service(&ids).await
}

/// An attribute or a text without its escapes.
fn unescaped(text: &str) -> String {
    let text = text.replace("&#60;", "<").replace("&#62;", ">");
    let text = text.replace("&#34;", "\"").replace("&#39;", "'");
    text.replace("&#38;", "&")
}

/// The values of an attribute, in the order of the page.
pub fn values(page: &str, attribute: &str) -> Vec<String> {
    let beginning = format!(" {attribute}=\"");
    let rest = page.split(&beginning).skip(1);
    rest.map(|rest| unescaped(rest.split('"').next().unwrap()))
        .collect()
}

/// The identifiers of the devices that a page lists.
fn listed(page: &str) -> Vec<String> {
    let links = values(page, "href").into_iter();
    let queries = links.filter_map(|link| Some(link.strip_prefix("device?")?.to_owned()));
    queries
        .map(|query| {
            let id = form_urlencoded::parse(query.as_bytes()).next().unwrap();
            assert_eq!(id.0, "id");
            id.1.into_owned()
        })
        .collect()
}

/// The link with this text.
fn link(page: &str, text: &str) -> String {
    let end = page.find(&format!(">{text}")).unwrap();
    let start = page[..end].rfind("<a ").unwrap();
    values(&page[start..=end], "href").remove(0)
}

/// A page that fulfils what applies to each page.
pub async fn page(service: &Service, path: &str) -> Response {
    let path = &target(path);
    let answer = service.get(path).await;
    check(path, &answer);
    answer
}

/// Checks that apply to each page.
fn check(path: &str, answer: &Response) {
    let header = |name| answer.header(name).unwrap_or_default();
    assert_eq!(header("content-type"), "text/html; charset=utf-8", "{path}");
    assert_eq!(header("cache-control"), "no-store", "{path}");
    assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
    assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
    let policy = header("content-security-policy");
    let rules: BTreeSet<_> = policy.split("; ").collect();
    let expected = [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ];
    assert_eq!(rules, BTreeSet::from(expected), "{path}");
    let body = &answer.body;
    assert!(body.starts_with("<!DOCTYPE html>"), "{path}");
    assert!(
        !body.contains("//"),
        "{path}: no other host is named: {body}"
    );
    for inline in ["<style", " style=", " onclick=", "<script>", "javascript:"] {
        assert!(!body.contains(inline), "{path}: {inline}");
    }
    for attribute in ["href", "src", "action"] {
        for address in values(body, attribute) {
            let is_relative = !address.starts_with('/') && !address.contains(':');
            assert!(is_relative, "{path}: {address}");
        }
    }
}

#[actix_rt::test]
async fn the_page_shows_the_state_of_exporter_and_fleet() {
    let (_simulator, service) = fleet().await;
    let answer = page(&service, "/").await;
    assert_eq!(answer.status, 200);
    for expected in [
        "<strong>Healthy</strong>",
        "<dt>Last poll</dt>",
        "<dt>Lag</dt>",
        "<dt>Token</dt>",
        "<th scope=\"row\">supervisor</th>",
        "<th scope=\"row\">metrics_store</th>",
        "<caption id=\"list-caption\">1 to 50 of 120 devices</caption>",
        "aria-live=\"polite\"",
        "World map with 120 of 120 devices",
        "<use class=\"land\"",
        "<noscript><meta http-equiv=\"refresh\"",
    ] {
        assert!(
            answer.body.contains(expected),
            "{expected}: {}",
            answer.body
        );
    }
    // All have the same location, so there is one dot.
    assert_eq!(
        values(&answer.body, "d")
            .iter()
            .filter(|path| path.contains("h0m"))
            .count(),
        0
    );
    assert!(answer.body.contains("d=\"M580 527h0\""));
    let alert = link(&answer.body, "<bdi>motors_stuck</bdi>");
    assert_eq!(listed(&page(&service, &alert).await.body).len(), 12);
}

#[actix_rt::test]
async fn links_sort_and_turn_pages_and_forms_filter() {
    let (_simulator, service) = fleet().await;
    let first = page(&service, "/").await.body;
    assert_eq!(listed(&first)[0], "ut-001");
    assert_eq!(listed(&first).len(), 50);
    let down = page(&service, &link(&first, "Down <span")).await.body;
    assert_eq!(listed(&down)[..2], ["ut-120", "ut-119"]);
    assert_eq!(values(&down, "aria-sort"), ["descending"]);
    let up = page(&service, &link(&down, "Down <span")).await.body;
    assert_eq!(listed(&up)[..2], ["ut-001", "ut-002"]);
    assert_eq!(values(&up, "aria-sort"), ["ascending"]);
    // The order is kept on the next page.
    let second = page(&service, &link(&down, "Next</a>")).await.body;
    assert_eq!(listed(&second)[0], "ut-070");
    assert!(second.contains("Page 2 of 3"));
    let last = page(&service, &link(&second, "Last</a>")).await.body;
    assert_eq!(listed(&last).len(), 20);
    let back = page(&service, &link(&last, "Previous</a>")).await.body;
    assert_eq!(listed(&back), listed(&second));

    // The request that the form sends.
    let sent = "/?search=UT-11&state=&type=&alert=&near=&sort=-id";
    let found = page(&service, sent).await.body;
    assert_eq!(listed(&found).len(), 10);
    assert_eq!(listed(&found)[0], "ut-119");
    assert!(found.contains("name=\"search\" value=\"UT-11\""));
    assert!(found.contains("<option value=\"-id\" selected>"));
    for (query, count) in [
        ("state=online", 50),
        ("state=offline", 0),
        ("alert=motors_stuck", 12),
        ("alert=other", 0),
        ("type=UserTerminal&per_page=7", 7),
        ("type=Router", 0),
        ("near=37,-121&search=ut-00", 9),
        ("page=4", 0),
    ] {
        let found = page(&service, &format!("/?{query}")).await;
        assert_eq!(
            (found.status, listed(&found.body).len()),
            (200, count),
            "{query}"
        );
    }
}

#[actix_rt::test]
async fn a_device_has_a_page_with_all_its_values() {
    let (_simulator, service) = service(&["ut-1"]).await;
    let list = page(&service, "/").await.body;
    let answer = page(
        &service,
        &values(&list, "href")
            .into_iter()
            .find(|link| link.starts_with("device?"))
            .unwrap(),
    )
    .await;
    assert_eq!(answer.status, 200);
    for expected in [
        "<h1><bdi>ut-1</bdi></h1>",
        " UTC</span>",
        "<td class=\"number\">1.25</td><td>Mbit/s</td><td>Throughput from the satellite to the terminal.</td>",
        "<bdi>NewField</bdi></th><td class=\"number\">7</td>",
        "37.35° N, 121.98° W",
        "H3 cell 85283473fffffff",
        "<bdi>2025.12.01</bdi>",
        "d=\"M580 527h0\"",
    ] {
        assert!(
            answer.body.contains(expected),
            "{expected}: {}",
            answer.body
        );
    }
    for link in values(&answer.body, "href") {
        assert_eq!(service.get(&target(&link)).await.status, 200, "{link}");
    }
}

#[actix_rt::test]
async fn errors_are_shown_on_a_page() {
    let (_simulator, service) = service(&["ut-1"]).await;
    for (path, status, text) in [
        (
            "/?state=lost",
            400,
            "unknown state &#34;lost&#34;: use offline, unknown, online, never_heard",
        ),
        ("/?x=%3Cscript%3E", 400, "unknown parameter &#34;x&#34;"),
        (
            "/?page=1&page=2",
            400,
            "parameter page is given more than once",
        ),
        ("/device?id=nobody", 404, "No device with the ID “nobody”"),
        ("/device?id=ut-1&type=Router", 404, "No device with the ID"),
        ("/device?id=%3Cscript%3E", 404, "“&#60;script&#62;”"),
        ("/device", 400, "The parameter id is missing"),
    ] {
        let answer = page(&service, path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.body.contains(text), "{path}: {}", answer.body);
    }
    // The compressed page is the same.
    let headers = [("Accept-Encoding", "gzip, br")];
    let answer = ask(service.address, "GET", "/device?id=nobody", &headers).await;
    assert_eq!(answer.header("content-encoding").as_deref(), Some("gzip"));
    let mut text = String::new();
    GzDecoder::new(&*answer.bytes)
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, service.get("/device?id=nobody").await.body);
    // The fleet is shown in spite of a wrong parameter.
    assert_eq!(listed(&service.get("/?state=lost").await.body), ["ut-1"]);
}

#[actix_rt::test]
async fn hostile_names_are_shown_and_lead_to_their_devices() {
    let simulator = scripted_simulator();
    for (at, name) in HOSTILE.iter().enumerate() {
        let name = serde_json::to_string(name).unwrap();
        simulator.push_body(&format!(
            r#"{{"data":{{"values":[["u",1767225645000000000,{name},1,2,{name},[1]]],
            "columnNamesByDeviceType":{{"u":["DeviceType","UtcTimestampNs","DeviceId","DownlinkThroughput",{name},"Text","ActiveAlerts"]}}}},
            "metadata":{{"enums":{{"DeviceType":{{"u":"Type{at}"}},"AlertsByDeviceType":{{"u":{{"1":{name}}}}}}}}}}}"#
        ));
    }
    let service = Service::start(&simulator, &[]).await;
    eventually("all of them are shown", || async {
        listed(&service.get("/").await.body).len() == HOSTILE.len()
    })
    .await;
    let is_tame = |page: &str| {
        let is_quiet = !page.contains(['\u{1b}', '\r', '\0', '\u{2028}']);
        is_quiet && !page.contains("<script>") && !page.contains("<img") && !page.contains("<!--")
    };
    let list = page(&service, "/").await.body;
    assert!(is_tame(&list), "{list}");
    let ids: BTreeSet<_> = listed(&list).into_iter().collect();
    assert_eq!(ids, HOSTILE.map(ToOwned::to_owned).into());
    let links = values(&list, "href").into_iter();
    for link in links.filter(|link| link.starts_with("device?")) {
        let answer = page(&service, &link).await;
        assert_eq!(answer.status, 200, "{link}");
        assert!(is_tame(&answer.body), "{}", answer.body);
        let id = form_urlencoded::parse(&link.as_bytes()["device?".len()..])
            .next()
            .unwrap()
            .1;
        // Only the beginning of the name is compared, because control characters are escaped.
        let start: String = id
            .chars()
            .take_while(|&character| !character.is_control())
            .collect();
        let title = answer.body.split("<h1><bdi>").nth(1).unwrap();
        assert!(unescaped(title).starts_with(&start), "{title}");
        let api = self::link(&answer.body, "API</a></dd>");
        assert_eq!(
            service.get(api.trim_start_matches('.')).await.status,
            200,
            "{api}"
        );
    }
    for link in values(&list, "href")
        .into_iter()
        .filter(|link| link.contains("alert="))
    {
        let answer = page(&service, &link).await;
        assert_eq!(answer.status, 200, "{link}");
        assert!(is_tame(&answer.body), "{}", answer.body);
        assert!(!listed(&answer.body).is_empty(), "{link}");
    }
}

#[actix_rt::test]
async fn assets_are_cached_permanently_under_names_with_their_digest() {
    let (_simulator, service) = service(&["ut-1"]).await;
    let list = page(&service, "/").await.body;
    let links = [values(&list, "href"), values(&list, "src")].concat();
    let assets = links.into_iter().filter_map(|link| {
        let path = link.split('#').next()?.to_owned();
        path.contains("assets/").then(|| target(&path))
    });
    let assets: BTreeSet<_> = assets.collect();
    let kinds: Vec<_> = assets
        .iter()
        .map(|path| path.rsplit('.').next().unwrap())
        .collect();
    assert_eq!(kinds, ["svg", "js", "css", "svg"], "{assets:?}");
    for path in &assets {
        let answer = service.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        let header = |name| answer.header(name).unwrap_or_default();
        assert_eq!(
            header("cache-control"),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(header("x-content-type-options"), "nosniff");
        let kind = match path.rsplit('.').next().unwrap() {
            "svg" => "image/svg+xml",
            "js" => "text/javascript; charset=utf-8",
            _ => "text/css; charset=utf-8",
        };
        assert_eq!(header("content-type"), kind, "{path}");
        let hash = path.rsplit(['-', '.']).nth(1).unwrap();
        assert!(
            hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{hash}"
        );
        let other = path.replace(hash, "0000000000000000");
        let gone = service.get(&other).await;
        assert_eq!(
            (gone.status, gone.header("cache-control").as_deref()),
            (404, Some("no-store"))
        );
    }
    for path in ["/", "/device?id=ut-1", assets.first().unwrap()] {
        let answer = ask(service.address, "POST", path, &[]).await;
        assert_eq!(answer.status, 405, "{path}");
        assert_eq!(answer.header("allow").as_deref(), Some("GET, HEAD"));
        let head = ask(service.address, "HEAD", path, &[]).await;
        assert_eq!((head.status, &*head.body), (200, ""), "{path}");
    }
}

#[actix_rt::test]
async fn the_page_lists_a_limited_number_of_alerts() {
    let simulator = scripted_simulator();
    let columns = [
        "DeviceType",
        "UtcTimestampNs",
        "DeviceId",
        "DownlinkThroughput",
        "ActiveAlerts",
    ];
    let codes: Vec<_> = (0..150).map(|code| format!("\"a{code:03}\"")).collect();
    let row = format!(
        r#"["u",1700000001000000000,"ut-1",1,[{}]]"#,
        codes.join(",")
    );
    simulator.push_answer(AnswerBody::new().columns("u", &columns).row(row));
    let service = Service::start(&simulator, &[]).await;
    service.shows(&throughput("ut-1"), 1.0).await;
    let home = page(&service, "/").await;
    assert!(home.body.contains("and 50 more"), "{}", home.body);
    for (alert, expected) in [("a000", true), ("a099", true), ("a100", false)] {
        let link = format!("./?alert={alert}");
        assert_eq!(home.body.contains(&link), expected, "{alert}");
    }
    // The selected alert is offered even if it is not among the first.
    let chosen = page(&service, "/?alert=a149").await;
    assert!(chosen.body.contains(r#"value="a149" selected"#));
}

#[actix_rt::test]
async fn while_the_store_does_not_respond_only_the_exporter_is_shown() {
    let simulator = scripted_simulator();
    let tuning = quick_hang_detection();
    simulator.push_rows([terminal_row("ut-1", 1_000_000_000, 1.0)]);
    let service = Service::tuned(&simulator, &[], tuning).await;
    service.shows(&throughput("ut-1"), 1.0).await;
    let latch = Latch::closed();
    let hang = Fault::HangUntil(latch);
    let injected = service.store.send(Inject(Place::Future, hang)).await;
    assert!(injected.is_ok());
    eventually("the fleet is not available", || async {
        let home = page(&service, "/").await;
        let device = page(&service, "/device?id=ut-1").await;
        if (home.status, device.status) != (503, 503) {
            return false;
        }
        for answer in [&home, &device] {
            assert!(answer.body.contains("the store has not answered"));
            assert_eq!(answer.header("retry-after").as_deref(), Some("5"));
        }
        assert!(home.body.contains("<dt>Last poll</dt>"));
        assert!(!home.body.contains("id=\"devices\""));
        true
    })
    .await;
    latch.open();
    eventually("the fleet is back", || async {
        page(&service, "/").await.body.contains("\"device?id=ut-1")
    })
    .await;
}
