//! Starts the service and the simulator, asks them things, and waits for conditions.

use std::ffi::OsString;
use std::future::Future;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use actix::Addr;
use starlink_telemetry::actors::MetricsStoreActor;
use starlink_telemetry::app::{AccountActors, Application, Ending, Tuning};
use starlink_telemetry::config::{Settings, Sources};
use starlink_telemetry::simulator::{Options, Simulator};
use tokio::sync::oneshot;

/// Long enough for a loaded machine; a condition that holds is noticed at once.
pub const PATIENCE: Duration = Duration::from_secs(30);

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

/// The service, running in this process on a thread and an actix system of its own.
pub struct Service {
    pub address: SocketAddr,
    pub account: AccountActors,
    pub store: Addr<MetricsStoreActor>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Ending>>,
}

impl Service {
    pub async fn start(simulator: &Simulator, changes: &[(&str, &str)]) -> Self {
        Self::tuned(simulator, changes, Tuning::default()).await
    }

    pub async fn tuned(simulator: &Simulator, changes: &[(&str, &str)], tuning: Tuning) -> Self {
        let settings = Settings::from_sources(Sources {
            environment: environment(simulator, changes),
            ..Sources::default()
        })
        .unwrap();
        let (stop, stopped) = oneshot::channel();
        let (sender, receiver) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let application = Application::build(&settings, tuning).unwrap();
                let account = application.account().clone();
                let store = application.store().clone();
                let started = (application.address(), account, store);
                assert!(sender.send(started).is_ok(), "the test waits for the start");
                application
                    .run(async { stopped.await.unwrap_or_default() })
                    .await
            })
        });
        let (address, account, store) = receiver.await.unwrap();
        Self {
            address,
            account,
            store,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// GETs a path.
    pub async fn get(&self, path: &str) -> Reply {
        get(self.address, path, &[]).await
    }

    /// Scrapes in text 0.0.4.
    pub async fn scrape(&self) -> Scrape {
        let reply = self.get("/metrics?format=prometheus").await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        Scrape { body: reply.body }
    }

    /// Waits until a scrape shows a sample.
    pub async fn shows(&self, series: &str, value: f64) {
        let what = format!("{series} {value}");
        eventually(&what, || async {
            self.scrape().await.value(series) == Some(value)
        })
        .await;
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

/// An answer of the service.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: String,
}

/// GETs a path with headers.
pub async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Reply {
    let client = awc::Client::builder()
        .timeout(PATIENCE)
        .no_default_headers()
        .finish();
    let mut request = client.get(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.append_header((*name, *value));
    }
    let mut response = request.no_decompress().send().await.unwrap();
    let body = response.body().limit(64 << 20).await.unwrap();
    Reply {
        status: response.status().as_u16(),
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

/// The body of a scrape in text 0.0.4.
#[derive(Debug)]
pub struct Scrape {
    pub body: String,
}

impl Scrape {
    /// The value of a series, spelled as in the body: `name{labels}`.
    pub fn value(&self, series: &str) -> Option<f64> {
        let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
        self.body.lines().find_map(value)
    }

    /// Whether any line begins so.
    pub fn has(&self, beginning: &str) -> bool {
        self.body.lines().any(|line| line.starts_with(beginning))
    }
}

/// A terminal's row in the simulator's usual columns, with throughput as its only number.
pub fn terminal_row(id: &str, timestamp: u64, throughput: f64) -> String {
    format!(r#"["u",{timestamp},"{id}",{throughput}]"#)
}

/// The series of a terminal's throughput.
pub fn throughput(id: &str) -> String {
    format!(r#"starlink_DownlinkThroughput{{device_type="UserTerminal",deviceID="{id}"}}"#)
}
