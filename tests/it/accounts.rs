//! Several accounts in one process: the faults of one do not affect the others, and the list of accounts changes while polls are in
//! flight.

mod faults;
mod pauses;
mod reload;
mod survival;

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler};
use futures_util::future::{Either, join_all, select};
use starlink_telemetry::app::{Ending, Tuning};
use starlink_telemetry::simulator::{Journal, Options, Outcome, Simulator};
use starlink_telemetry::supervise::faults::{Fault, Inject, Latch, Place};
use starlink_telemetry::supervise::{Role, SupervisionPolicy};
use starlink_telemetry::time::Clock;
use tempfile::TempDir;

use crate::binary::Binary;
use crate::form::Body;
use crate::harness::{Service, WAIT_LIMIT, eventually, shows, terminal_row, throughput};

/// The actors that belong to an account.
const ROLES: [Role; 3] = [Role::Token, Role::Stream, Role::Metadata];

/// Differs from the name of the account, because the log redacts client IDs.
fn client_id(account: &str) -> String {
    format!("client-of-{account}")
}

/// Accounts with a simulator each, and the file that lists them.
struct World {
    directory: TempDir,
    simulators: Vec<(String, Simulator)>,
}

impl World {
    fn of<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        let simulators = names.into_iter().map(|name| {
            let name = name.into();
            let options = Options {
                client_id: client_id(&name),
                client_secret: "secret".to_owned(),
                ..Options::default()
            };
            (name, Simulator::start(options).unwrap())
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

    fn journal(&self, name: &str) -> Journal {
        self.simulator(name).journal()
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

    /// Replaces the file atomically, as an editor or an orchestrator does.
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

    fn environment(&self, settings: &[(&str, &str)]) -> Vec<(String, OsString)> {
        let file = self.file();
        let fixed = [
            ("ACCOUNTS_FILE", file.to_str().unwrap()),
            ("BATCH_SIZE", "1000"),
            ("METRICS_ADDRESS", "127.0.0.1"),
            ("METRICS_PORT", "0"),
            ("INVENTORY", "off"),
        ];
        let all = fixed.iter().chain(settings);
        all.map(|(name, value)| ((*name).to_owned(), OsString::from(value)))
            .collect()
    }

    /// A service of all accounts. Each has received a row of one device, which has the account's name.
    async fn start(&self, settings: &[(&str, &str)], tuning: Tuning, clock: Clock) -> Service {
        self.write_all();
        for (name, simulator) in &self.simulators {
            simulator.push_rows([terminal_row(name, 1_000_000_000, 1.0)]);
        }
        let service = Service::set(self.environment(settings), tuning, clock).await;
        eventually("each account has received its row", || async {
            let scrape = service.scrape().await;
            let mut names = self.simulators.iter().map(|(name, _)| name);
            names.all(|name| rows(&scrape, name) == 1.0)
        })
        .await;
        service
    }

    /// The account polls with a new token, and stores: all its actors work.
    async fn works(&self, service: &Service, name: &str, value: f64) {
        let simulator = self.simulator(name);
        simulator.revoke_tokens();
        simulator.push_rows([terminal_row(name, 1_000_000_000, value)]);
        service.shows(&throughput(name), value).await;
    }

    /// Does `work`, and checks meanwhile and afterwards that the accounts `others` are not affected: no scrape and no probe fails, their
    /// rows arrive and their devices stay online, and none of their polls fails, is cut or starts late.
    async fn unaffected<T>(
        &self,
        service: &Service,
        others: &[&str],
        work: impl Future<Output = T>,
    ) -> T {
        let watch = self.watch(service, others);
        let result = match select(pin!(work), pin!(watch)).await {
            Either::Left((result, _)) => result,
            Either::Right((never, _)) => match never {},
        };
        let scrape = service.scrape().await;
        for name in others {
            let shown = scrape.value(&throughput(name));
            assert!(shown >= Some(FIRST_WATCHED), "{name}: {shown:?}");
            let journal = self.journal(name);
            let polls = journal.polls.iter().filter(|poll| poll.ended.is_some());
            for poll in polls {
                let ended = (poll.status, poll.outcome);
                assert_eq!(ended, (Some(200), Outcome::Answered), "{name}");
            }
            let pause = longest_pause(&journal);
            assert!(pause < LONGEST_PAUSE, "{name} did not poll for {pause:?}");
        }
        result
    }

    /// Scrapes and sends rows of the accounts `others`, one after another, until the future is dropped.
    async fn watch(&self, service: &Service, others: &[&str]) -> Infallible {
        let push = |name: &str, value| {
            let row = terminal_row(name, 1_000_000_000, value);
            self.simulator(name).push_rows([row]);
        };
        // The last value of each account, and whether a value has arrived.
        let mut states = vec![(FIRST_WATCHED, false); others.len()];
        for name in others {
            push(name, FIRST_WATCHED);
        }
        loop {
            let scrape = service.scrape().await;
            for (name, (value, has_arrived)) in others.iter().zip(&mut states) {
                check_no_failure(&scrape, name);
                if scrape.value(&throughput(name)) == Some(*value) {
                    *value += 1.0;
                    *has_arrived = true;
                    push(name, *value);
                }
                if *has_arrived {
                    check_online(&scrape, name);
                }
            }
            for probe in ["/livez", "/readyz"] {
                let response = service.get(probe).await;
                assert_eq!(response.status, 200, "{probe}: {}", response.body);
            }
            actix_rt::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The first value of the rows that are sent by [`World::watch`].
const FIRST_WATCHED: f64 = 2.0;

/// The longest pause between two polls of an account without faults, on a busy machine. All injected hangs are longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

fn longest_pause(journal: &Journal) -> Duration {
    let ends = journal.polls.iter().filter_map(|poll| poll.ended);
    let starts = journal.polls.iter().skip(1).map(|poll| poll.started);
    let still_waiting = journal.polls_in_flight == 0;
    let starts = starts.chain(still_waiting.then(Instant::now));
    let pauses = ends.zip(starts);
    let pauses = pauses.map(|(end, start)| start.saturating_duration_since(end));
    pauses.max().unwrap_or_default()
}

/// Checks that no actor, poll or token request of an account has failed.
fn check_no_failure(scrape: &Body, name: &str) {
    let is_of_account = format!(r#"{{account="{name}""#);
    for (family, expected) in [
        ("starlink_up", 1.0),
        ("starlink_exporter_account_up", 1.0),
        ("starlink_exporter_actor_up", 1.0),
        ("starlink_exporter_actor_restarts_total", 0.0),
        ("starlink_exporter_poll_failures_total", 0.0),
        ("starlink_exporter_token_request_failures_total", 0.0),
    ] {
        let samples = scrape.beginning(&format!("{family}{is_of_account}"));
        assert!(!samples.is_empty(), "{family} of {name}");
        for (series, value) in samples {
            assert_eq!(value, expected, "{series}");
        }
    }
}

/// Checks that the device of an account is online and its values are shown.
fn check_online(scrape: &Body, name: &str) {
    let online = format!(r#"starlink_online{{device_type="UserTerminal",deviceID="{name}"}}"#);
    assert_eq!(scrape.value(&online), Some(1.0), "{online}");
    assert!(scrape.has(&throughput(name)), "no values of {name}");
}

/// Injects a fault into an actor of an account, as it was started last. The reply is not awaited: a handler that hangs or panics sends
/// none in time.
fn inject(service: &Service, name: &str, role: Role, place: Place, fault: Fault) {
    fn send<A>(actor: &Addr<A>, message: Inject)
    where
        A: Actor<Context = Context<A>> + Handler<Inject>,
        A::Context: ToEnvelope<A, Inject>,
    {
        actor.do_send(message);
    }
    let actors = service.directory.find(name).unwrap();
    let message = Inject(place, fault);
    match role {
        Role::Token => send(&actors.token, message),
        Role::Stream => send(&actors.stream, message),
        Role::Metadata => send(&actors.metadata, message),
        Role::Inventory => send(actors.inventory.as_ref().unwrap(), message),
        Role::Journal | Role::RemoteWrite => unreachable!("no destination is configured"),
        Role::MetricsStore => send(&service.store, message),
    }
}

/// The number of rows that the account has received, as far as a scrape shows.
fn rows(scrape: &Body, account: &str) -> f64 {
    let rows = scrape.beginning(&format!(
        "starlink_exporter_rows_total{{account=\"{account}\""
    ));
    rows.values().sum()
}

fn of_account(family: &str, account: &str) -> String {
    format!(r#"{family}{{account="{account}"}}"#)
}

fn up(account: &str) -> String {
    of_account("starlink_exporter_account_up", account)
}

/// A response in JSON.
async fn json(service: &Service, target: &str) -> serde_json::Value {
    let body = service.get(target).await.body;
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{target}: {error}: {body}"))
}

#[actix_rt::test]
async fn page_api_and_probes_show_three_accounts_of_which_one_has_a_wrong_secret() {
    let world = World::of(["a", "b", "c"]);
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
    let environment = world.environment(&[("MAX_LINGER", "200")]);
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
    let shown: Vec<_> = accounts
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
    assert_eq!(shown, expected);

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

    let page = service.get("/device?id=c-2").await.body;
    let row = "<dt>Account</dt><dd><a href=\"./?account=c#devices\"><bdi>c</bdi></a></dd>";
    assert!(page.contains(row), "{page}");
    for (order, expected) in [
        ("account", ["a-1", "a-2", "c-1", "c-2"]),
        ("-account", ["c-1", "c-2", "a-1", "a-2"]),
    ] {
        let list = json(&service, &format!("/api/v1/devices?sort={order}")).await;
        let devices = list["devices"].as_array().unwrap();
        let ids: Vec<_> = devices.iter().map(|it| &it["id"]).collect();
        assert_eq!(ids, expected, "{order}");
    }
    let page = service.get("/").await.body;
    for text in [
        "1 of 3 accounts fails: b.",
        "href=\"./?account=a#devices\"",
        "href=\"./?state=online&#38;account=a#devices\"",
        "<td data-label=\"Account\" class=\"account\"><bdi>a</bdi></td>",
        "Check client_id and client_secret of account b in ACCOUNTS_FILE.",
        "2 of 3 polling",
    ] {
        assert!(page.contains(text), "{text}");
    }
    for (target, expected) in [
        ("/metrics?account=other", "Unknown account.\n"),
        (
            "/api/v1/devices?account=other",
            r#"{"error":"unknown account \"other\""}"#,
        ),
        ("/?account=other", "unknown account &#34;other&#34;"),
    ] {
        let refused = service.get(target).await;
        assert_eq!(refused.status, 404, "{target}");
        assert!(refused.body.contains(expected), "{}", refused.body);
    }
    // The page lists all devices then.
    let refused = service.get("/?account=other").await.body;
    for id in ["a-1", "c-2"] {
        let row = format!("<bdi class=\"id\">{id}</bdi>");
        assert!(refused.contains(&row), "{id}");
    }
}

#[actix_rt::test]
async fn a_wrong_secret_is_reported_by_the_name_of_its_account() {
    let world = World::of(["a", "b"]);
    world.write(&[
        world.entry("a", "a", "secret"),
        world.entry("b", "b", "wrong"),
    ]);
    world
        .simulator("a")
        .push_rows([terminal_row("a", 1_000_000_000, 1.0)]);
    let mut environment = world.environment(&[("MAX_LINGER", "200")]);
    environment.push(("LOG_FORMAT".to_owned(), "json".into()));
    let mut binary = Binary::execute(&[], environment);
    let address = binary.address().await;
    shows(address, &throughput("a"), 1.0).await;
    let refused = "token refused: check the credentials";
    binary.logs(refused).await;
    let events = binary.events_saying(refused);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].text("account"), "b");
    assert_eq!(events[0].text("level"), "ERROR");
    assert!(
        events[0].text("error").contains("invalid_client"),
        "{events:?}"
    );
    let advice = "Check client_id and client_secret of account b in ACCOUNTS_FILE.";
    assert_eq!(events[0].text("advice"), advice);
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
