//! Tests of the page's notes: invalid parameters, the demo, disabled features, and remedies for failures.

use serde_json::Value;
use starlink_telemetry::app::Tuning;
use starlink_telemetry::simulator::{Answer, AnswerBody};

use crate::harness::{Service, scripted_simulator, terminal_row, throughput};
use crate::page_states::says;
use crate::wire::ask;

/// A browser's `Accept`.
const BROWSER: [(&str, &str); 1] = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")];

/// A device with a location.
fn located() -> AnswerBody {
    let columns = [
        "DeviceType",
        "UtcTimestampNs",
        "DeviceId",
        "DownlinkThroughput",
        "H3CellId",
    ];
    AnswerBody::new()
        .columns("u", &columns)
        .row(r#"["u",1700000001000000000,"ut-1",1.5,599686042433355775]"#)
}

#[actix_rt::test]
async fn an_invalid_parameter_is_reported_beside_the_form_which_keeps_the_input() {
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("ut-1", 1_000_000_000, 1.5)]);
    let service = Service::start(&simulator, &[]).await;
    service.shows(&throughput("ut-1"), 1.5).await;
    let answer = service
        .get("/?search=%3Cb%3Ex%22&state=offline&near=91%2C5&sort=-name&type=UserTerminal")
        .await;
    assert_eq!(answer.status, 400);
    let page = answer.body;
    let (_, list) = page.split_once("id=\"filter\"").unwrap();
    for expected in [
        "near must be latitude,longitude in degrees, such as 47.5,-122.3, not &#34;91,5&#34;. All devices are listed.",
        "name=\"search\" value=\"&#60;b&#62;x&#34;\"",
        "name=\"near\" value=\"91,5\"",
        "<option value=\"offline\" selected>",
        "<option value=\"UserTerminal\" selected>",
        "<option value=\"-name\" selected>",
        "<caption id=\"list-caption\">1 device</caption>",
    ] {
        assert!(list.contains(expected), "{expected}: {page}");
    }
    assert_eq!(page.matches("near must be").count(), 1, "{page}");
    assert!(page.contains(" data-asked>"), "the page begins at the list");
    let right = service.get("/?near=9,5").await.body;
    assert!(!right.contains("class=\"problem\""), "{right}");
}

#[actix_rt::test]
async fn every_page_of_the_demo_is_marked_as_demo() {
    for is_demo in [true, false] {
        let simulator = scripted_simulator();
        simulator.push_answer(located());
        let tuning = Tuning {
            is_demo,
            ..Tuning::default()
        };
        let service = Service::tuned(&simulator, &[], tuning).await;
        service.shows(&throughput("ut-1"), 1.5).await;
        for path in [
            "/",
            "/?near=x",
            "/device?id=ut-1",
            "/device?id=x",
            "/nothing",
        ] {
            let page = ask(service.address, "GET", path, &BROWSER).await.body;
            let banner = "Demo: simulated terminals.";
            assert_eq!(page.contains(banner), is_demo, "{path}: {page}");
        }
        let status: Value =
            serde_json::from_str(&service.get("/api/v1/status").await.body).unwrap();
        assert_eq!(status["exporter"]["demo"], is_demo);
    }
}

#[actix_rt::test]
async fn the_map_can_be_clicked_only_if_devices_have_locations() {
    const HINT: &str = "Click the map";
    const OFF: &str = "Locations are switched off (LOCATION=off).";
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    says(&service, "/", &["No devices yet.", "<svg class=\"map"]).await;
    let home = service.get("/").await.body;
    assert!(!home.contains(HINT) && !home.contains(OFF), "{home}");
    simulator.push_answer(located());
    says(&service, "/", &[HINT]).await;

    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[("LOCATION", "off")]).await;
    simulator.push_answer(located());
    service.shows(&throughput("ut-1"), 1.5).await;
    let home = service.get("/").await.body;
    assert!(home.contains(OFF), "{home}");
    assert!(
        !home.contains(HINT) && !home.contains("<svg class=\"map"),
        "{home}"
    );
    let device = service.get("/device?id=ut-1").await.body;
    assert!(device.contains(OFF), "{device}");
    assert!(!device.contains("No location reported"), "{device}");
}

#[actix_rt::test]
async fn failures_have_a_remedy_and_the_time_of_the_next_attempt() {
    for (answer, text) in [
        (
            Answer::html(),
            "the answer looks like a web page. A proxy or a login portal may have answered instead of Starlink",
        ),
        (
            Answer::error(401, "no"),
            "If this lasts, Starlink refuses a token that it has issued",
        ),
        (
            Answer::redirect("https://portal.example/"),
            "Redirects are not followed. Check API_URL",
        ),
        (
            Answer::too_many_requests("240"),
            "share its rate limit: stop or slow down the others, or lower POLLS_PER_MINUTE.",
        ),
    ] {
        let simulator = scripted_simulator();
        simulator.set_default_answer(Some(answer));
        let service = Service::start(&simulator, &[]).await;
        says(&service, "/", &[text]).await;
        says(&service, "/readyz?verbose", &[text]).await;
        let next = "<dd class=\"bad\">failed; none has succeeded yet; next attempt in ";
        says(&service, "/", &[next]).await;
        if text.contains("rate limit") {
            says(&service, "/", &["next attempt in 4 min"]).await;
        }
    }
}

#[actix_rt::test]
async fn components_are_shown_as_running_even_if_starlink_rejects_the_credentials() {
    let simulator = scripted_simulator();
    simulator.set_default_token_answer(Some(Answer::token_error("invalid_client")));
    let service = Service::start(&simulator, &[]).await;
    says(&service, "/", &["Starlink rejected the credentials"]).await;
    let home = service.get("/").await.body;
    for expected in [
        "<th scope=\"col\">Running</th>",
        "</span> running</td>",
        "4 of 4 running",
    ] {
        assert!(home.contains(expected), "{expected}: {home}");
    }
    assert!(!home.contains("</span> up</td>"), "{home}");
}
