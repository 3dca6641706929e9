//! Starts the service and the simulator, asks them things, and waits for conditions.

use std::ffi::OsString;
use std::future::Future;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use actix::Addr;
use starlink_telemetry::app::{AccountActors, Application, Ending, Tuning};
use starlink_telemetry::config::{Settings, Sources};
use starlink_telemetry::simulator::{Journal, Options, Simulator};
use starlink_telemetry::store::MetricsStoreActor;
use starlink_telemetry::supervise::SupervisionPolicy;
use starlink_telemetry::time::{Clock, Hands};
use tokio::sync::oneshot;

use crate::form::{self, Body};
use crate::wire::{self, Answer};

/// Long enough for a loaded machine; a condition that holds is noticed at once.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// By then a process that was asked to end has ended. It takes 5 s (src/app.rs), and longer on a busy machine. What the end cuts in a
/// test would go on for longer than this.
pub const END_WITHIN: Duration = Duration::from_secs(20);

/// Waits until a condition holds, and fails the test when it never does.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "never happened: {what}");
        actix_rt::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A simulator that has no terminals of its own: every row is the test's.
pub fn scripted_simulator() -> Simulator {
    Simulator::start(Options::default()).unwrap()
}

/// Waits until the simulator has seen what is wanted, and gives its journal.
pub async fn journal(
    simulator: &Simulator,
    what: &str,
    wanted: impl Fn(&Journal) -> bool,
) -> Journal {
    let happened = simulator.wait_until(PATIENCE, wanted).await;
    assert!(happened, "never happened: {what}");
    let journal = simulator.journal();
    assert!(
        journal.most_polls_in_flight <= 1,
        "one poll in flight, ever"
    );
    journal
}

/// The settings of a service that polls `simulator`, in the environment's form; `changes` come last and win.
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
    ];
    let kept = defaults
        .iter()
        .filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    let all = kept.chain(changes);
    all.map(|(name, value)| ((*name).to_owned(), OsString::from(value)))
        .collect()
}

/// A store that hangs is noticed soon.
pub fn impatient_with_the_store() -> Tuning {
    Tuning {
        query_limit: Duration::from_millis(200),
        supervision: SupervisionPolicy {
            heartbeat: Duration::from_millis(50),
            ..SupervisionPolicy::default()
        },
        ..Tuning::default()
    }
}

/// The service, running in this process on a thread and an actix system of its own.
pub struct Service {
    pub address: SocketAddr,
    /// Where the probes have a port of their own.
    pub probes: Option<SocketAddr>,
    pub account: AccountActors,
    pub store: Addr<MetricsStoreActor>,
    /// The number of its actix system.
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

    /// With clocks that the test moves. Starlink's answers are dated by them: by the time that passes, whatever becomes of the
    /// wall clock.
    pub async fn by_hand(simulator: &Simulator, changes: &[(&str, &str)]) -> (Self, Hands) {
        let start = SystemTime::now();
        let (clock, hands) = Clock::manual(start);
        let passes = clock.clone();
        simulator.set_date(move || start + passes.elapsed());
        let service = Self::timed(simulator, changes, Tuning::default(), clock).await;
        (service, hands)
    }

    pub async fn timed(
        simulator: &Simulator,
        changes: &[(&str, &str)],
        tuning: Tuning,
        clock: Clock,
    ) -> Self {
        let settings = Settings::from_sources(Sources {
            environment: environment(simulator, changes),
            ..Sources::default()
        })
        .unwrap();
        let (stop, stopped) = oneshot::channel();
        let (sender, receiver) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let application = Application::build(&settings, tuning, clock).unwrap();
                let account = application.account().clone();
                let store = application.store().clone();
                let addresses = (application.address(), application.probes_address());
                let system = actix_rt::System::current().id();
                let started = (addresses, account, store, system);
                assert!(sender.send(started).is_ok(), "the test waits for the start");
                application
                    .run(async {
                        stopped.await.unwrap_or_default();
                        "the test"
                    })
                    .await
            })
        });
        let ((address, probes), account, store, system) = receiver.await.unwrap();
        Self {
            address,
            probes,
            account,
            store,
            system,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// GETs a path.
    pub async fn get(&self, path: &str) -> Answer {
        wire::get(self.address, path, &[]).await
    }

    /// Scrapes in text 0.0.4.
    pub async fn scrape(&self) -> Body {
        form::scrape(self.address, "prometheus").await
    }

    /// Waits until a scrape shows a sample.
    pub async fn shows(&self, series: &str, value: f64) {
        shows(self.address, series, value).await;
    }

    /// Asks the service to end.
    pub fn ask_to_stop(&mut self) {
        self.stop.take();
    }

    /// Waits for the end.
    pub async fn ended(&mut self) -> Ending {
        let thread = self.thread.take().unwrap();
        eventually("the service ends", || async { thread.is_finished() }).await;
        thread.join().unwrap()
    }
}

impl Drop for Service {
    /// The service ends by itself: nobody waits the seconds of its drain.
    fn drop(&mut self) {
        self.ask_to_stop();
    }
}

/// Waits until a scrape shows a sample.
pub async fn shows(address: SocketAddr, series: &str, value: f64) {
    let what = format!("{series} {value}");
    eventually(&what, || async {
        // While the machine is busy, the store may answer too late for a scrape.
        let answer = wire::get(address, "/metrics?format=prometheus", &[]).await;
        answer.status == 200 && form::read(&answer.body, "prometheus").value(series) == Some(value)
    })
    .await;
}

/// A time in 2023, in nanoseconds since 1970: rows from before 2019 are rejected.
pub const START: u64 = 1_700_000_000_000_000_000;

/// A terminal's row in the simulator's usual columns, with throughput as its only number. It was reported so many nanoseconds
/// after [`START`].
pub fn terminal_row(id: &str, after_start: u64, throughput: f64) -> String {
    row_of(id, START + after_start, throughput)
}

/// The same with a timestamp.
pub fn row_of(id: &str, timestamp: u64, throughput: f64) -> String {
    format!(r#"["u",{timestamp},"{id}",{throughput}]"#)
}

/// Long names that do not compress well: a fleet of some thousands fits into no socket's buffers.
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
