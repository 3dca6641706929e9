//! Starts the service and the simulator in the test process, sends requests, and waits for conditions.

use std::ffi::OsString;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use actix::Addr;
use starlink_telemetry::account::{AccountActors, Directory};
use starlink_telemetry::app::{Application, Ending, Tuning};
use starlink_telemetry::config::{Settings, Sources};
use starlink_telemetry::simulator::{Journal, Options, Simulator};
use starlink_telemetry::store::MetricsStoreActor;
use starlink_telemetry::supervise::SupervisionPolicy;
use starlink_telemetry::time::{Clock, ManualTime};
use tokio::sync::oneshot;

use crate::form::{self, Body};
use crate::wire::{self, Response};

/// Whether the last attempt to poll succeeded.
pub const UP: &str = r#"starlink_up{account="default"}"#;

/// The share of skipped reports.
pub const REPORTS_SKIPPED: &str = r#"starlink_exporter_reports_skipped_ratio{account="default"}"#;

/// How long tests wait for a condition: long enough for a loaded machine. Tests continue as soon as the condition holds.
pub const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// How long a shutdown may take. It takes 5 s (src/app/drain.rs), and longer on a busy machine. Activities that the shutdown must cut
/// would take longer than this in the tests.
pub const END_WITHIN: Duration = Duration::from_secs(20);

/// Waits until a condition holds, and fails the test at the time limit.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + WAIT_LIMIT;
    while !condition().await {
        assert!(Instant::now() < deadline, "never happened: {what}");
        actix_rt::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A simulator without its own terminals: all rows are pushed by the test.
pub fn scripted_simulator() -> Simulator {
    Simulator::start(Options::default()).unwrap()
}

/// Waits until the simulator's journal fulfils a condition, and returns the journal.
pub async fn journal(
    simulator: &Simulator,
    what: &str,
    wanted: impl Fn(&Journal) -> bool,
) -> Journal {
    let happened = simulator.wait_until(WAIT_LIMIT, wanted).await;
    assert!(happened, "never happened: {what}");
    let journal = simulator.journal();
    assert!(
        journal.most_polls_in_flight <= 1,
        "at most one poll in flight"
    );
    journal
}

/// The environment of a service that polls `simulator`; `changes` replace the defaults. The inventory is not read by default, so that
/// all requests are polls and token requests.
pub fn environment(simulator: &Simulator, changes: &[(&str, &str)]) -> Vec<(String, OsString)> {
    let Options {
        client_id,
        client_secret,
        ..
    } = Options::default();
    let url = simulator.api_url();
    let defaults = [
        ("CLIENT_ID", client_id.as_str()),
        ("CLIENT_SECRET", client_secret.as_str()),
        ("API_URL", url.as_str()),
        ("BATCH_SIZE", "1000"),
        ("MAX_LINGER", "200"),
        ("METRICS_ADDRESS", "127.0.0.1"),
        ("METRICS_PORT", "0"),
        ("INVENTORY", "off"),
    ];
    let kept = defaults
        .iter()
        .filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    let all = kept.chain(changes);
    all.map(|(name, value)| ((*name).to_owned(), OsString::from(value)))
        .collect()
}

/// A tuning with which a hanging store is detected soon.
pub fn quick_hang_detection() -> Tuning {
    Tuning {
        query_limit: Duration::from_millis(200),
        supervision: SupervisionPolicy {
            heartbeat: Duration::from_millis(50),
            ..SupervisionPolicy::default()
        },
        ..Tuning::default()
    }
}

/// The service, running in this process on its own thread and actix system.
pub struct Service {
    pub address: SocketAddr,
    /// The address of the probes, if they have a separate port.
    pub probes: Option<SocketAddr>,
    /// The actors of the first account.
    pub account: AccountActors,
    /// The actors of all accounts.
    pub directory: Directory,
    pub store: Addr<MetricsStoreActor>,
    /// The ID of its actix system.
    pub system: usize,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Ending>>,
}

impl Service {
    pub async fn start(simulator: &Simulator, changes: &[(&str, &str)]) -> Self {
        Self::tuned(simulator, changes, Tuning::default()).await
    }

    pub async fn tuned(simulator: &Simulator, changes: &[(&str, &str)], tuning: Tuning) -> Self {
        Self::timed(simulator, changes, tuning, Clock::system()).await
    }

    /// With a manual clock. The `Date` of Starlink's answers follows the elapsed time, even if the test sets the wall clock.
    pub async fn with_manual_clock(
        simulator: &Simulator,
        changes: &[(&str, &str)],
    ) -> (Self, ManualTime) {
        let start = SystemTime::now();
        let (clock, time) = Clock::manual(start);
        let elapsed = clock.clone();
        simulator.set_date(move || start + elapsed.elapsed());
        let service = Self::timed(simulator, changes, Tuning::default(), clock).await;
        (service, time)
    }

    pub async fn timed(
        simulator: &Simulator,
        changes: &[(&str, &str)],
        tuning: Tuning,
        clock: Clock,
    ) -> Self {
        Self::set(environment(simulator, changes), tuning, clock).await
    }

    /// With settings in the form of the environment.
    pub async fn set(environment: Vec<(String, OsString)>, tuning: Tuning, clock: Clock) -> Self {
        let settings = Settings::from_sources(Sources {
            environment,
            ..Sources::default()
        })
        .unwrap();
        let first = Arc::clone(&settings.accounts.list()[0].name);
        let (stop, stopped) = oneshot::channel();
        let (sender, receiver) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let application = Application::build(&settings, tuning, clock).unwrap();
                let directory = application.directory();
                let store = application.store().clone();
                let addresses = (application.address(), application.probes_address());
                let system = actix_rt::System::current().id();
                let started = (addresses, directory, store, system);
                assert!(
                    sender.send(started).is_ok(),
                    "the test still waits for the start"
                );
                application
                    .run(async {
                        stopped.await.unwrap_or_default();
                        "the test"
                    })
                    .await
            })
        });
        let ((address, probes), directory, store, system) = receiver.await.unwrap();
        Self {
            address,
            probes,
            account: directory.find(&first).unwrap(),
            directory,
            store,
            system,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Sends a GET request.
    pub async fn get(&self, path: &str) -> Response {
        wire::get(self.address, path, &[]).await
    }

    /// Scrapes in the text format 0.0.4.
    pub async fn scrape(&self) -> Body {
        form::scrape(self.address, "prometheus").await
    }

    /// Waits until a scrape contains a sample.
    pub async fn shows(&self, series: &str, value: f64) {
        shows(self.address, series, value).await;
    }

    /// Starts the shutdown of the service.
    pub fn ask_to_stop(&mut self) {
        self.stop.take();
    }

    /// Waits for the end of the service.
    pub async fn ended(&mut self) -> Ending {
        let thread = self.thread.take().unwrap();
        eventually("the service ends", || async { thread.is_finished() }).await;
        thread.join().unwrap()
    }
}

impl Drop for Service {
    /// Starts the shutdown, but does not wait for the drain, which takes seconds.
    fn drop(&mut self) {
        self.ask_to_stop();
    }
}

/// Waits until a scrape contains a sample.
pub async fn shows(address: SocketAddr, series: &str, value: f64) {
    let what = format!("{series} {value}");
    eventually(&what, || async {
        // On a busy machine a scrape may fail because the store replies too late.
        let answer = wire::get(address, "/metrics?format=prometheus", &[]).await;
        answer.status == 200 && form::read(&answer.body, "prometheus").value(series) == Some(value)
    })
    .await;
}

/// A time in 2023, in nanoseconds since 1970: rows from before 2019 are rejected.
pub const START: u64 = 1_700_000_000_000_000_000;

/// A terminal's row in the simulator's default columns, with throughput as its only number, `after_start` nanoseconds after
/// [`START`].
pub fn terminal_row(id: &str, after_start: u64, throughput: f64) -> String {
    row_of(id, START + after_start, throughput)
}

/// [`terminal_row`] with an absolute timestamp.
pub fn row_of(id: &str, timestamp: u64, throughput: f64) -> String {
    format!(r#"["u",{timestamp},"{id}",{throughput}]"#)
}

/// Long names that do not compress well, so that the scrape of some thousand devices exceeds the buffers of sockets.
pub fn long_names(count: usize) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut name = || -> String {
        let digit = |_| char::from_digit(random.u32(..16), 16).unwrap();
        (0..600).map(digit).collect()
    };
    (0..count).map(|_| name()).collect()
}

/// The series of a terminal's throughput.
pub fn throughput(id: &str) -> String {
    format!(r#"starlink_DownlinkThroughput{{device_type="UserTerminal",deviceID="{id}"}}"#)
}
