//! Tests that no secret appears in any output. Each setting with a secret contains a needle, which is searched in logs, pages,
//! metrics and errors: with TLS, a proxy, the log level `trace`, and failures of token requests and polls.

mod receivers;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use rustls::version::TLS13;
use starlink_telemetry::app::Tuning;
use starlink_telemetry::config::{Settings, Sources};
use starlink_telemetry::simulator::{Answer, Options, Simulator};
use starlink_telemetry::supervise::faults::{Fault, Inject, Place};
use starlink_telemetry::web_config::Gate;

use crate::binary::{Binary, run};
use crate::form::{self, Body, FORMATS, poll_failures};
use crate::harness::{Service, UP, environment, eventually, scripted_simulator, terminal_row};
use crate::outgoing::{self, Behaviour, ProxyServer, Starlink};
use crate::tls::{Authority, TlsClient};

const ID: &str = "needle/id one";
const SECRET: &str = "needle+secret&=\"%";

/// The password of the scraping client.
const SCRAPER: &str = "prometheus:needle-scraper\"%";

/// The environment of a service that has all settings with secrets.
struct Setup {
    starlink: Starlink,
    proxy: ProxyServer,
    authority: Authority,
    needles: Needles,
}

impl Setup {
    async fn new() -> Self {
        let simulator = Simulator::start(Options {
            client_id: ID.to_owned(),
            client_secret: SECRET.to_owned(),
            ..Options::default()
        })
        .unwrap();
        let token = simulator.issue_token();
        let issued = format!(r#"{{"access_token":"{token}","expires_in":900}}"#);
        simulator.set_default_token_answer(Some(Answer::text(issued)));
        let starlink =
            Starlink::before(simulator, |authority| authority.issue(&["localhost"])).await;

        let authority = Authority::new();
        let identity = authority.issue(&["localhost"]);
        let (_, password) = SCRAPER.split_once(':').unwrap();
        let hash = bcrypt::hash(password, 4).unwrap();
        identity.write(&authority, "server");
        let text = format!(
            "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\nbasic_auth_users:\n  prometheus: {hash}\n"
        );
        authority.write("web.yml", &text);
        let key = identity.key.lines().nth(1).unwrap().to_owned();
        let of_scraper = BASE64_STANDARD.encode(SCRAPER);
        let of_proxy = BASE64_STANDARD.encode(outgoing::WANTED);
        let (_, proxy_password) = outgoing::WANTED.split_once(':').unwrap();
        let (_, proxy_spelled) = outgoing::CREDENTIALS.split_once(':').unwrap();
        let mut all = [ID, SECRET, password, proxy_password, proxy_spelled]
            .map(str::to_owned)
            .to_vec();
        all.extend([token, hash, key, of_scraper, of_proxy]);
        Self {
            starlink,
            proxy: ProxyServer::start(Behaviour::Asks).await,
            authority,
            needles: Needles(all),
        }
    }

    fn settings(&self, log_format: &str) -> Vec<(String, String)> {
        let mut settings = self.starlink.settings(&[]);
        let web_config = self.authority.path("web.yml").display().to_string();
        for (name, value) in [
            ("CLIENT_ID", ID),
            ("CLIENT_SECRET", SECRET),
            ("HTTPS_PROXY", &self.proxy.url(outgoing::CREDENTIALS)),
            ("WEB_CONFIG_FILE", &web_config),
            ("RUST_LOG", "trace"),
            ("LOG_FORMAT", log_format),
        ] {
            settings.push((name.to_owned(), value.to_owned()));
        }
        settings
    }

    /// Requests a page with the password.
    async fn get(&self, address: SocketAddr, path: &str) -> crate::wire::Response {
        let authorization = format!("Basic {}", BASE64_STANDARD.encode(SCRAPER));
        let headers = [("Authorization", authorization.as_str())];
        let client = TlsClient::new(&self.authority, &[&TLS13], None);
        client.get(address, path, &headers).await.unwrap().0
    }

    async fn scrape(&self, address: SocketAddr) -> Body {
        let answer = self.get(address, "/metrics?format=prometheus").await;
        form::read(&answer.body, "prometheus")
    }

    /// Checks all pages, also without a password.
    async fn check_pages(&self, address: SocketAddr) {
        let mut pages = FORMATS
            .map(|format| format!("/metrics?format={format}"))
            .to_vec();
        let others = [
            "/metrics",
            "/",
            "/readyz?verbose",
            "/livez?verbose",
            "/api/v1/status",
            "/api/v1/devices",
            "/api/v1/openapi.json",
        ];
        pages.extend(others.map(str::to_owned));
        for page in pages {
            let answer = self.get(address, &page).await;
            assert_eq!(answer.status, 200, "{page}");
            self.needles.check(&page, &answer.body);
            self.needles.check(&page, &format!("{:?}", answer.headers));
        }
        let client = TlsClient::new(&self.authority, &[&TLS13], None);
        let wrong = format!("Basic {}", BASE64_STANDARD.encode("prometheus:wrong"));
        let wrong = [("Authorization", wrong.as_str())];
        let (answer, _) = client.get(address, "/metrics", &wrong).await.unwrap();
        assert_eq!(answer.status, 401);
        self.needles.check("a refusal", &format!("{answer:?}"));
    }
}

fn borrowed(settings: &[(String, String)]) -> Vec<(&str, &str)> {
    let pairs = settings.iter();
    pairs
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// What must stay secret.
struct Needles(Vec<String>);

impl Needles {
    /// Checks that the text does not contain a secret in any encoding.
    fn check(&self, place: &str, text: &str) {
        let in_a_form = |text: &str| {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            let form = form.append_pair("", text).finish();
            form.trim_start_matches('=').to_owned()
        };
        for needle in &self.0 {
            let bytes: Vec<_> = needle.bytes().map(|byte| byte.to_string()).collect();
            for spelling in [
                needle.clone(),
                in_a_form(needle),
                needle.replace('"', "\\\""),
                bytes.join(", "),
            ] {
                assert!(!text.contains(&spelling), "{spelling} in {place}:\n{text}");
            }
        }
    }
}

/// A failure of a test case.
struct Failure {
    token_answers: Vec<Answer>,
    answers: Vec<Answer>,
    /// The metric that counts it.
    reasons: &'static [&'static str],
}

fn failures(token: &str) -> Vec<Failure> {
    let expired = Answer::error(401, "no").header("WWW-Authenticate", "Bearer");
    vec![
        Failure {
            token_answers: vec![
                Answer::token_error(&format!("not {SECRET}")),
                Answer::redirect("http://127.0.0.1:1/"),
            ],
            answers: Vec::new(),
            reasons: &["token"],
        },
        Failure {
            token_answers: Vec::new(),
            answers: vec![expired, Answer::error(422, &format!("not {token}"))],
            reasons: &["unauthorized", "unprocessable"],
        },
        Failure {
            token_answers: Vec::new(),
            answers: vec![Answer::error(500, "no"), Answer::html()],
            reasons: &["server_error", "decode"],
        },
    ]
}

#[actix_rt::test]
async fn no_log_page_metric_or_error_contains_a_secret() {
    let cases = ["text", "json"].map(|format| [0, 1, 2].map(|index| (format, index)));
    join_all(cases.as_flattened().iter().map(|(format, index)| async {
        let setup = Setup::new().await;
        let failure = failures(&setup.needles.0[5]).swap_remove(*index);
        keeps(&setup, failure, format).await;
    }))
    .await;
}

/// The service recovers from the failure; then no output contains a secret.
async fn keeps(setup: &Setup, failure: Failure, log_format: &str) {
    let simulator = &setup.starlink.simulator;
    for answer in failure.token_answers {
        simulator.push_token_answer(answer);
    }
    let row = || terminal_row("shown", 1_000_000_000, 1.0);
    for answer in failure.answers {
        simulator.push_answer(answer);
        // A success in between, so that the next failure is not delayed by backoff.
        simulator.push_rows([row()]);
    }
    let settings = setup.settings(log_format);
    let (mut service, address) = Binary::listening(simulator, &borrowed(&settings)).await;
    eventually("all is overcome", || async {
        let body = setup.scrape(address).await;
        let has_failed = |reason: &&str| body.value(&poll_failures(reason)) > Some(0.0);
        body.value(UP) == Some(1.0) && failure.reasons.iter().all(has_failed)
    })
    .await;
    setup.check_pages(address).await;
    // A wrong web configuration is reported at the next check.
    let text = std::fs::read_to_string(setup.authority.path("web.yml")).unwrap();
    setup
        .authority
        .write("web.yml", &text.replace("server.key", "server.pem"));
    eventually("the mistake is reported", || async {
        service
            .stderr()
            .contains("cannot use the changed web configuration")
    })
    .await;
    service.signal("TERM");
    assert_eq!(service.ended().await, Some(0));
    let log = service.stderr();
    for expected in ["TRACE", "batch stored", "TLS established"] {
        assert!(log.contains(expected), "the log has trace lines");
    }
    assert!(
        !setup.proxy.targets().is_empty(),
        "it went through the proxy"
    );
    setup.needles.check("the log", &log);
    setup.needles.check("stdout", &service.stdout());
    let echoes = ["token", "unprocessable"];
    if failure.reasons.iter().any(|reason| echoes.contains(reason)) {
        assert!(
            log.contains("not [redacted]"),
            "the redacted echo is logged: {log}"
        );
    }
}

/// An error message may echo secrets of earlier requests: the credentials, or a token that was renewed long ago.
#[actix_rt::test]
async fn an_echo_of_any_secret_in_any_encoding_is_redacted() {
    const OLD: &str = "old-needle.of_the-first.token";
    const NEW: &str = "new-needle.of_the-second.token";
    let simulator = Simulator::start(Options {
        client_id: "Needle id/7".to_owned(),
        client_secret: "needle secret+%é".to_owned(),
        ..Options::default()
    })
    .unwrap();
    for token in [OLD, NEW] {
        let issued = format!(r#"{{"access_token":"{token}","expires_in":900}}"#);
        simulator.push_token_answer(Answer::text(issued));
    }
    let basic = BASE64_STANDARD.encode("Needle id/7:needle secret+%é");
    let shifted = BASE64_URL_SAFE_NO_PAD.encode(format!("..{OLD}"));
    let echoes = [
        "Needle+id%2F7".to_owned(),
        "needle%20secret%2b%25%c3%a9".to_owned(),
        "%6Eeedle+secret%2B%25%C3%A9".to_owned(),
        OLD.to_owned(),
        OLD.replace('-', "%2d"),
        NEW.to_owned(),
        basic,
        shifted,
        "needle@proxy".to_owned(),
        BASE64_STANDARD.encode("somebody:needle@proxy"),
    ];
    simulator.push_answer(Answer::error(401, "renew"));
    for (number, echo) in echoes.iter().enumerate() {
        // Each message differs, so each gives a log line.
        simulator.push_answer(Answer::error(403, &format!("echo {number} <{echo}>")));
        // A success in between, so that the next failure is not delayed by backoff.
        simulator.push_rows([terminal_row("shown", 1_000_000_000, 1.0)]);
    }
    let changes = [
        ("CLIENT_ID", "Needle id/7"),
        ("CLIENT_SECRET", "needle secret+%é"),
        ("HTTPS_PROXY", "http://somebody:needle%40proxy@127.0.0.1:1"),
        ("RUST_LOG", "starlink_telemetry=debug"),
    ];
    let (binary, _) = Binary::listening(&simulator, &changes).await;
    let logged = || {
        let mut events = binary.events();
        events.retain(|event| event.says("echo "));
        events
    };
    eventually("all echoes are logged", || async {
        logged().len() >= echoes.len()
    })
    .await;
    for event in logged() {
        assert!(event.says(" <[redacted]>"), "{event:?}");
    }
}

#[actix_rt::test]
async fn the_output_of_check_config_contains_no_secret() {
    let answers = [
        None,
        Some(Answer::token_error(&format!("not {SECRET}"))),
        Some(Answer::redirect("http://127.0.0.1:1/")),
    ];
    for answer in answers {
        let setup = Setup::new().await;
        let expected = i32::from(answer.is_some());
        let simulator = &setup.starlink.simulator;
        simulator.set_default_token_answer(answer);
        let settings = setup.settings("text");
        let settings = environment(simulator, &borrowed(&settings));
        let (code, output, errors) = run(&["check-config", "--connect"], settings).await;
        assert_eq!(code, expected, "{errors}");
        setup
            .needles
            .check("check-config", &format!("{output}{errors}"));
    }
}

/// Every setting with a secret is wrong, and the error names it without the value.
#[actix_rt::test]
async fn errors_about_wrong_settings_contain_no_secret() {
    let setup = Setup::new().await;
    let mut settings = setup.settings("needle");
    let proxy = setup
        .proxy
        .url(outgoing::CREDENTIALS)
        .replace("http:", "ftp:");
    let url = "https://needle-user:needle-pass@starlink.example/?needle-key";
    for (name, value) in [
        ("HTTPS_PROXY", proxy.as_str()),
        ("API_URL", url),
        ("TOKEN_URL", url),
    ] {
        settings.retain(|(known, _)| known != name);
        settings.push((name.to_owned(), value.to_owned()));
    }
    settings.retain(|(name, _)| name != "LOG_FORMAT");
    let text = std::fs::read_to_string(setup.authority.path("web.yml")).unwrap();
    let settings = environment(&setup.starlink.simulator, &borrowed(&settings));
    for wrong in [
        text.replace("prometheus: ", "prometheus: x"),
        text.replace("basic_auth_users:\n  prometheus: ", ""),
        text.replace("  prometheus: ", "  - "),
        text.replace("server.key", "web.yml"),
    ] {
        setup.authority.write("web.yml", &wrong);
        let (code, output, errors) = run(&["check-config"], settings.clone()).await;
        assert_eq!(code, 2, "{errors}");
        for name in ["HTTPS_PROXY", "API_URL", "TOKEN_URL", "WEB_CONFIG_FILE"] {
            assert!(errors.contains(name), "{errors}");
        }
        let said = format!("{output}{errors}");
        setup.needles.check("check-config", &said);
        assert!(!said.contains("needle-"), "{said}");
    }
}

/// Collects the texts of all panics from now on; the previous hook is still called.
fn panics() -> Arc<Mutex<String>> {
    let texts = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&texts);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        sink.lock()
            .unwrap()
            .push_str(&format!("{panic}\n{panic:?}\n"));
        before(panic);
    }));
    texts
}

#[actix_rt::test]
async fn debug_output_and_panics_contain_no_secret() {
    let setup = Setup::new().await;
    let panics = panics();
    let settings = setup.settings("text");
    let environment = environment(&setup.starlink.simulator, &borrowed(&settings));
    let read = Settings::from_sources(Sources {
        environment,
        ..Sources::default()
    })
    .unwrap();
    let gate = Gate::load(&setup.authority.path("web.yml")).unwrap();
    setup
        .needles
        .check("Debug", &format!("{read:?}{read:#?}{gate:?}"));
    setup
        .needles
        .check("the settings in force", &read.effective().concat());

    let row = terminal_row("shown", 1_000_000_000, 1.0);
    setup.starlink.simulator.push_rows([row]);
    let service = Service::tuned(
        &setup.starlink.simulator,
        &borrowed(&settings),
        Tuning::default(),
    )
    .await;
    eventually("it polls", || async {
        setup.scrape(service.address).await.value(UP) == Some(1.0)
    })
    .await;
    let panic = Inject(Place::Handler, Fault::Panic);
    assert!(service.account.token.send(panic).await.is_err());
    assert!(service.account.metadata.send(panic).await.is_err());
    assert!(service.account.stream.send(panic).await.is_err());
    assert!(service.store.send(panic).await.is_err());
    eventually("all are restarted", || async {
        let body = setup.scrape(service.address).await;
        let up = body.beginning("starlink_exporter_actor_up{");
        up.len() == 4 && up.values().all(|up| *up == 1.0)
    })
    .await;
    setup.check_pages(service.address).await;
    let texts = panics.lock().unwrap().clone();
    assert!(
        texts.matches("src/supervise/faults.rs").count() >= 4,
        "{texts}"
    );
    setup.needles.check("a panic", &texts);
}

/// The message of a panic may contain a part of an answer. Half a secret is also redacted, because long messages are cut.
#[actix_rt::test]
async fn pages_show_panics_without_secrets() {
    const NEEDLE: &str = "needle-that-a-panic-tells";
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[("CLIENT_SECRET", NEEDLE)]).await;
    let whole = Fault::PanicSaying("no such cell: needle-that-a-panic-tells");
    let cut = Fault::PanicSaying(concat!(
        "a message that is cut in the middle of what it must not tell, after two hundred characters: ",
        "....................................................................................... ",
        "needle-that-a-panic-tells"
    ));
    let metadata = service.account.metadata.send(Inject(Place::Handler, whole));
    assert!(metadata.await.is_err());
    let store = service.store.send(Inject(Place::Handler, cut));
    assert!(store.await.is_err());
    eventually("both panics are shown", || async {
        let status = service.get("/api/v1/status").await.body;
        status.contains("no such cell") && status.contains("in the middle")
    })
    .await;
    for page in ["/", "/api/v1/status", "/livez?verbose", "/readyz?verbose"] {
        let body = service.get(page).await.body;
        assert!(!body.contains("needle-that"), "{page}: {body}");
    }
    let status = service.get("/api/v1/status").await.body;
    assert!(status.contains("no such cell: [redacted]"), "{status}");
}
