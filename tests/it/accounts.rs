//! Several accounts in one process: the fault of one is not noticed by the others, and the list of accounts changes while polls are in
//! flight.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler};
use futures_util::future::join_all;
use starlink_telemetry::app::{Ending, Tuning};
use starlink_telemetry::simulator::{Options, Outcome, Simulator};
use starlink_telemetry::supervise::faults::{Fault, Inject, Place};
use starlink_telemetry::supervise::{Role, SupervisionPolicy};
use starlink_telemetry::time::Clock;
use tempfile::TempDir;

use crate::binary::Binary;
use crate::harness::{Service, WAIT_LIMIT, eventually, shows, terminal_row, throughput};

const ROLES: [Role; 3] = [Role::Token, Role::Stream, Role::Metadata];

/// The log redacts client IDs, so that the name of an account is none.
fn client_id(account: &str) -> String {
    format!("client-of-{account}")
}

/// Accounts with a simulator each, and the file that lists them.
struct World {
    directory: TempDir,
    simulators: Vec<(&'static str, Simulator)>,
}

impl World {
    fn of(names: &[&'static str]) -> Self {
        let simulators = names.iter().map(|name| {
            let options = Options {
                client_id: client_id(name),
                client_secret: "secret".to_owned(),
                ..Options::default()
            };
            (*name, Simulator::start(options).unwrap())
        });
        Self {
            directory: tempfile::tempdir().unwrap(),
            simulators: simulators.collect(),
        }
    }

    fn simulator(&self, name: &str) -> &Simulator {
        let mut simulators = self.simulators.iter();
        &simulators.find(|(known, _)| *known == name).unwrap().1
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("accounts.yml")
    }

    /// An entry that polls the stream of an account.
    fn entry(&self, name: &str, polled: &str, secret: &str) -> String {
        let url = self.simulator(polled).api_url();
        let client_id = client_id(polled);
        format!(
            "  - name: {name}\n    client_id: {client_id}\n    client_secret: {secret}\n    api_url: {url}\n"
        )
    }

    /// Replaces the file at once, as an editor or an orchestrator does.
    fn write(&self, entries: &[String]) {
        let new = self.directory.path().join("accounts.new");
        fs::write(&new, format!("accounts:\n{}", entries.concat())).unwrap();
        fs::rename(&new, self.file()).unwrap();
    }

    fn write_all(&self) {
        let names = self.simulators.iter();
        let entries = names.map(|(name, _)| self.entry(name, name, "secret"));
        self.write(&entries.collect::<Vec<_>>());
    }

    fn environment(&self, max_linger: &str) -> Vec<(String, OsString)> {
        let file = self.file();
        [
            ("ACCOUNTS_FILE", file.to_str().unwrap()),
            ("BATCH_SIZE", "1000"),
            ("MAX_LINGER", max_linger),
            ("METRICS_ADDRESS", "127.0.0.1"),
            ("METRICS_PORT", "0"),
        ]
        .map(|(name, value)| (name.to_owned(), OsString::from(value)))
        .to_vec()
    }

    /// A service of all accounts, each of which has one device with the account's name.
    async fn start(&self, max_linger: &str, tuning: Tuning, clock: Clock) -> Service {
        self.write_all();
        for (name, simulator) in &self.simulators {
            simulator.push_rows([terminal_row(name, 1_000_000_000, 1.0)]);
        }
        let service = Service::set(self.environment(max_linger), tuning, clock).await;
        for (name, _) in &self.simulators {
            service.shows(&throughput(name), 1.0).await;
        }
        service
    }

    /// The account polls, with a new token, and stores: all its actors work.
    async fn works(&self, service: &Service, name: &str, value: f64) {
        let simulator = self.simulator(name);
        simulator.revoke_tokens();
        simulator.push_rows([terminal_row(name, 1_000_000_000, value)]);
        service.shows(&throughput(name), value).await;
    }
}

/// Injects a fault into an actor of an account. The reply is not awaited: a handler that hangs or panics gives none in time.
fn inject(service: &Service, name: &str, role: Role, place: Place, fault: Fault) {
    fn send<A>(actor: &Addr<A>, message: Inject)
    where
        A: Actor<Context = Context<A>> + Handler<Inject>,
        A::Context: ToEnvelope<A, Inject>,
    {
        actor.do_send(message);
    }
    let (actors, message) = (&service.accounts[name], Inject(place, fault));
    match role {
        Role::Token => send(&actors.token, message),
        Role::Stream => send(&actors.stream, message),
        Role::Metadata => send(&actors.metadata, message),
        Role::MetricsStore => send(&service.store, message),
    }
}

fn restarts(account: &str, role: Role, cause: &str) -> String {
    let actor = role.name();
    format!(
        r#"starlink_exporter_actor_restarts_total{{account="{account}",actor="{actor}",cause="{cause}"}}"#
    )
}

fn of_account(family: &str, account: &str) -> String {
    format!(r#"{family}{{account="{account}"}}"#)
}

fn up(account: &str) -> String {
    of_account("starlink_exporter_account_up", account)
}

#[actix_rt::test]
async fn a_panic_and_a_stop_of_any_actor_are_its_accounts_alone() {
    let world = World::of(&["a", "b", "c"]);
    let service = world.start("200", Tuning::default(), Clock::system()).await;
    let mut value = 1.0;
    for role in ROLES {
        for (fault, cause) in [(Fault::Panic, "panic"), (Fault::Stop, "stop")] {
            value += 1.0;
            inject(&service, "b", role, Place::Future, fault);
            for other in ["a", "c"] {
                world.works(&service, other, value).await;
                service.shows(&of_account("starlink_up", other), 1.0).await;
            }
            service.shows(&restarts("b", role, cause), 1.0).await;
            world.works(&service, "b", value).await;
            let scrape = service.scrape().await;
            for other in ["a", "c"] {
                assert_eq!(scrape.value(&restarts(other, role, cause)), Some(0.0));
            }
        }
    }
    let scrape = service.scrape().await;
    for name in ["a", "b", "c"] {
        assert!(scrape.has(&throughput(name)), "{name}");
        assert_eq!(scrape.value(&up(name)), Some(1.0));
    }
}

/// Longer than the distance of the heartbeats of tasks.
const HANG_LIMIT: Duration = Duration::from_secs(6);

fn impatient_with_hangs() -> Tuning {
    Tuning {
        supervision: SupervisionPolicy {
            heartbeat: Duration::from_millis(50),
            ..SupervisionPolicy::default()
        },
        hang_limit: HANG_LIMIT,
        ..Tuning::default()
    }
}

/// Whether an actor of the account hangs.
async fn hangs(service: &Service, name: &str) -> bool {
    let verbose = service.get("/livez?verbose").await.body;
    let report: serde_json::Value = serde_json::from_str(&verbose).unwrap();
    let mut actors = report["actors"].as_array().unwrap().iter();
    actors.any(|actor| actor["account"] == name && actor["trouble"] == "hangs")
}

#[actix_rt::test]
async fn a_hang_of_any_actor_is_its_accounts_alone() {
    let hang = Fault::Hang(HANG_LIMIT + Duration::from_secs(4));
    join_all(ROLES.map(|role| async move {
        let world = World::of(&["a", "b"]);
        let clock = Clock::system();
        let service = world.start("200", impatient_with_hangs(), clock).await;
        inject(&service, "b", role, Place::Handler, hang);
        eventually("the account hangs", || hangs(&service, "b")).await;
        world.works(&service, "a", 2.0).await;
        assert_eq!(service.get("/livez").await.status, 200, "{role:?}");
        assert_eq!(service.get("/readyz").await.status, 200, "{role:?}");
        let scrape = service.scrape().await;
        assert!(scrape.has(&throughput("b")), "its devices stay");
        eventually("it is over", || async { !hangs(&service, "b").await }).await;
        world.works(&service, "b", 3.0).await;
    }))
    .await;
}

#[actix_rt::test]
async fn livez_fails_when_all_accounts_hang() {
    let world = World::of(&["a", "b"]);
    let clock = Clock::system();
    let service = world.start("200", impatient_with_hangs(), clock).await;
    let hang = Fault::Hang(HANG_LIMIT + Duration::from_secs(4));
    for name in ["a", "b"] {
        inject(&service, name, Role::Stream, Place::Handler, hang);
    }
    for expected in [503, 200] {
        let what = format!("/livez answers {expected}");
        eventually(&what, || async {
            service.get("/livez").await.status == expected
        })
        .await;
    }
}

#[actix_rt::test]
async fn an_account_whose_actor_keeps_failing_pauses_alone_and_is_started_again() {
    for role in ROLES {
        let world = World::of(&["a", "b"]);
        let start = SystemTime::now();
        let (clock, time) = Clock::manual(start);
        for (_, simulator) in &world.simulators {
            let elapsed = clock.clone();
            simulator.set_date(move || start + elapsed.elapsed());
        }
        let service = world.start("50", Tuning::default(), clock).await;
        inject(&service, "b", role, Place::Started(9), Fault::Panic);
        eventually("the account is stopped", || async {
            time.advance(Duration::from_secs(1));
            service.scrape().await.value(&up("b")) == Some(0.0)
        })
        .await;
        let verbose = json(&service, "/livez?verbose").await;
        let paused = &verbose["accounts"][1];
        assert_eq!(paused["state"], "paused");
        assert!(paused["restart_timestamp_seconds"].is_f64(), "{paused}");
        let page = service.get("/").await.body;
        assert!(page.contains("1 of 2 accounts is stopped: b."), "{page}");
        let works = async |name: &str, value: f64| {
            let simulator = world.simulator(name);
            simulator.revoke_tokens();
            simulator.push_rows([terminal_row(name, 1_000_000_000, value)]);
            eventually("the account works", || async {
                // A poll that is refused, and requests for tokens, wait for the clock.
                time.advance(Duration::from_millis(200));
                service.scrape().await.value(&throughput(name)) == Some(value)
            })
            .await;
        };
        works("a", 2.0).await;
        assert_eq!(service.get("/livez").await.status, 200, "{role:?}");
        assert_eq!(service.get("/readyz").await.status, 200, "{role:?}");
        let scrape = service.scrape().await;
        assert_eq!(scrape.value(&up("a")), Some(1.0));
        let polls = |name| of_account("starlink_exporter_polls_total", name);
        let before = scrape.value(&polls("b")).unwrap();
        time.advance(Duration::from_secs(60));
        service.shows(&up("b"), 1.0).await;
        works("b", 3.0).await;
        let after = service.scrape().await.value(&polls("b")).unwrap();
        assert!(after > before, "its counters go on: {before} {after}");
    }
}

#[actix_rt::test]
async fn the_process_ends_when_every_account_is_stopped() {
    let world = World::of(&["a", "b"]);
    let mut service = world.start("200", Tuning::default(), Clock::system()).await;
    inject(&service, "a", Role::Token, Place::Started(9), Fault::Panic);
    service.shows(&up("a"), 0.0).await;
    world.works(&service, "b", 2.0).await;
    inject(
        &service,
        "b",
        Role::Metadata,
        Place::Started(9),
        Fault::Panic,
    );
    let ending = service.ended().await;
    assert_eq!((ending, ending.exit_code()), (Ending::AccountsStopped, 70));
}

#[actix_rt::test]
async fn a_reload_cuts_no_poll_and_starts_each_client_id_after_its_last_answer() {
    let world = World::of(&["a", "b", "c", "d"]);
    let tuning = Tuning {
        reload_interval: Duration::from_millis(50),
        ..Tuning::default()
    };
    let service = world.start("60000", tuning, Clock::system()).await;
    for (name, simulator) in &world.simulators {
        let lingers = simulator.wait_until(WAIT_LIMIT, |seen| seen.polls_in_flight == 1);
        assert!(lingers.await, "{name}");
    }
    // a stays, b goes, c is renamed, d gets another secret, and e comes.
    let others = World::of(&["e"]);
    world.write(&[
        world.entry("a", "a", "secret"),
        world.entry("renamed", "c", "secret"),
        world.entry("d", "d", "another"),
        others.entry("e", "e", "secret"),
    ]);
    let state = |wanted: &'static str| {
        let service = &service;
        move || async move {
            let page = service.get("/metrics?format=prometheus").await.body;
            page.contains(&format!(r#"starlink_up{{account="{wanted}"}}"#))
        }
    };
    eventually("the new list is read", state("e")).await;
    // Their polls linger on: nothing of them has ended.
    world.works(&service, "a", 2.0).await;
    for name in ["b", "c", "d"] {
        assert!(state(name)().await, "{name} has not ended");
        assert_eq!(world.simulator(name).journal().polls_in_flight, 1, "{name}");
    }
    assert!(!state("renamed")().await);
    for name in ["b", "c", "d"] {
        let simulator = world.simulator(name);
        simulator.push_rows([terminal_row(name, 2_000_000_000, 7.0)]);
        service.shows(&throughput(name), 7.0).await;
    }
    eventually("the old accounts have ended", || async {
        state("renamed")().await && !state("b")().await && !state("c")().await
    })
    .await;
    let refused = r#"starlink_exporter_token_request_failures_total{account="d",reason="refused"}"#;
    eventually("the new secret is used", || async {
        service.scrape().await.value(refused) >= Some(1.0)
    })
    .await;
    world
        .simulator("c")
        .push_rows([terminal_row("c", 3_000_000_000, 8.0)]);
    service.shows(&throughput("c"), 8.0).await;
    // And back, with an account that was gone.
    world.write_all();
    eventually("the first list is in force again", || async {
        state("b")().await && state("d")().await
    })
    .await;
    for name in ["b", "d"] {
        let simulator = world.simulator(name);
        simulator.push_rows([terminal_row(name, 4_000_000_000, 9.0)]);
        service.shows(&throughput(name), 9.0).await;
    }
    for (name, simulator) in &world.simulators {
        let journal = simulator.journal();
        assert!(journal.most_polls_in_flight <= 1, "{name}");
        assert_eq!(journal.polls_with(Outcome::Abandoned), 0, "{name}");
    }
    let counted = service.scrape().await;
    let rows = counted.beginning("starlink_exporter_rows_total{");
    let rows_of = |account: &str| -> f64 {
        let label = format!(r#"account="{account}""#);
        let rows = rows.iter().filter(|(series, _)| series.contains(&label));
        rows.map(|(_, count)| count).sum()
    };
    assert_eq!(rows_of("a"), 2.0, "no row is lost or doubled");
    assert_eq!(
        rows_of("d"),
        3.0,
        "the numbers of an account that changes go on"
    );
}

/// A response in JSON.
async fn json(service: &Service, target: &str) -> serde_json::Value {
    let body = service.get(target).await.body;
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{target}: {error}: {body}"))
}

#[actix_rt::test]
async fn page_api_and_probes_show_three_accounts_of_which_one_has_a_wrong_secret() {
    let world = World::of(&["a", "b", "c"]);
    world.write(&[
        world.entry("a", "a", "secret"),
        world.entry("b", "b", "wrong"),
        world.entry("c", "c", "secret"),
    ]);
    for name in ["a", "c"] {
        let rows =
            [1, 2].map(|number| terminal_row(&format!("{name}-{number}"), 1_000_000_000, 1.0));
        world.simulator(name).push_rows(rows);
    }
    let environment = world.environment("200");
    let service = Service::set(environment, Tuning::default(), Clock::system()).await;
    for name in ["a-2", "c-2"] {
        service.shows(&throughput(name), 1.0).await;
    }
    eventually("the secret is refused", || async {
        let verbose = json(&service, "/readyz?verbose").await;
        verbose["accounts"][1]["state"] == "failing"
    })
    .await;
    let verbose = json(&service, "/readyz?verbose").await;
    assert_eq!(verbose["status"], "ok");
    let reason = verbose["accounts"][1]["reason"].as_str().unwrap();
    assert!(reason.contains("rejected the credentials"), "{reason}");

    let status = json(&service, "/api/v1/status").await;
    let accounts = status["accounts"].as_array().unwrap();
    let told: Vec<_> = accounts
        .iter()
        .map(|account| {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            let online = account["devices"]["online"].as_u64().unwrap();
            (text(&account["name"]), text(&account["state"]), online)
        })
        .collect();
    let expected = [("a", "up", 2), ("b", "failing", 0), ("c", "up", 2)];
    let expected =
        expected.map(|(name, state, online)| (name.to_owned(), state.to_owned(), online));
    assert_eq!(told, expected);

    for (query, expected) in [
        ("", &["a-1", "a-2", "c-1", "c-2"][..]),
        ("account=a", &["a-1", "a-2"]),
        ("account=b", &[]),
        ("account=c&search=1", &["c-1"]),
    ] {
        let list = json(&service, &format!("/api/v1/devices?{query}")).await;
        let devices = list["devices"].as_array().unwrap();
        let ids: Vec<_> = devices
            .iter()
            .map(|it| it["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, expected, "{query}");
        for device in devices {
            let id = device["id"].as_str().unwrap();
            assert_eq!(device["account"], id[..1], "{id}");
        }
        let page = service.get(&format!("/?{query}")).await;
        assert_eq!(page.status, 200, "{query}");
        for id in ["a-1", "a-2", "c-1", "c-2"] {
            let row = format!("<bdi class=\"id\">{id}</bdi>");
            assert_eq!(
                page.body.contains(&row),
                expected.contains(&id),
                "{query} {id}"
            );
        }
    }
    let device = json(&service, "/api/v1/devices/c-2").await;
    assert_eq!(device["account"], "c");

    let page = service.get("/").await.body;
    for text in [
        "1 of 3 accounts fails: b.",
        "href=\"./?account=a#devices\"",
        "2 of 3 polling",
    ] {
        assert!(page.contains(text), "{text}");
    }
    let unknown = "unknown account \"other\"";
    let refused = service.get("/api/v1/devices?account=other").await;
    assert_eq!(refused.status, 400);
    let problem: serde_json::Value = serde_json::from_str(&refused.body).unwrap();
    let problem = problem["error"].as_str().unwrap();
    assert_eq!(
        problem,
        format!("{unknown}: use the name of an account in ACCOUNTS_FILE")
    );
    let refused = service.get("/?account=other").await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.body.contains("unknown account &#34;other&#34;"),
        "{}",
        refused.body
    );
}

#[actix_rt::test]
async fn a_wrong_secret_is_reported_by_the_name_of_its_account() {
    let world = World::of(&["a", "b"]);
    world.write(&[
        world.entry("a", "a", "secret"),
        world.entry("b", "b", "wrong"),
    ]);
    world
        .simulator("a")
        .push_rows([terminal_row("a", 1_000_000_000, 1.0)]);
    let mut environment = world.environment("200");
    environment.push(("LOG_FORMAT".to_owned(), "json".into()));
    let mut binary = Binary::execute(&[], environment);
    let address = binary.address().await;
    shows(address, &throughput("a"), 1.0).await;
    let refused = "token refused: check CLIENT_ID and CLIENT_SECRET";
    binary.logs(refused).await;
    let events = binary.events_saying(refused);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].text("account"), "b");
    assert_eq!(events[0].text("level"), "ERROR");
    let failures = "starlink_exporter_token_request_failures_total";
    let body = crate::form::scrape(address, "prometheus").await;
    for (series, expected) in [
        (of_account("starlink_up", "a"), 1.0),
        (of_account("starlink_up", "b"), 0.0),
        (up("b"), 1.0),
        (
            format!(r#"{failures}{{account="a",reason="refused"}}"#),
            0.0,
        ),
    ] {
        assert_eq!(body.value(&series), Some(expected), "{series}");
    }
    let refusals = format!(r#"{failures}{{account="b",reason="refused"}}"#);
    assert!(body.value(&refusals) >= Some(1.0));
}
