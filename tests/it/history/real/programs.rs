//! The programs of real receivers: starts them on loopback, asks them for raw samples, and ends them by their process IDs.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::super::expected::Marker;
use super::recipes::Recipe;
use super::*;
use crate::receiver::{Samples, milliseconds};
use crate::wire;

/// Where the programs are: `old/prometheus`, `new/vmagent` and so on.
pub struct Programs(PathBuf);

impl Programs {
    /// `None` if the tests are not wanted.
    pub fn found() -> Option<Self> {
        let directory = std::env::var_os("RECEIVERS").map(PathBuf::from);
        if directory.is_none() {
            println!("skipped: RECEIVERS does not name a directory with programs");
        }
        directory.map(Self)
    }

    /// A program.
    pub fn path(&self, version: &str, program: &str) -> PathBuf {
        self.0.join(version).join(program)
    }
}

/// What a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Prometheus,
    VictoriaMetrics,
    /// vmagent, which writes to VictoriaMetrics.
    Relay,
}

impl Kind {
    fn recipe(self) -> Recipe {
        Recipe::of(match self {
            Self::Prometheus => "Prometheus",
            Self::VictoriaMetrics => "VictoriaMetrics",
            Self::Relay => "vmagent as a relay",
        })
    }
}

/// A process that is killed when this is dropped.
pub struct Process(Child);

impl Process {
    /// Starts a program with its output in a file.
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> Self {
        let output = fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn();
        match child {
            Ok(child) => Self(child),
            Err(error) => panic!("{}: {error}", program.display()),
        }
    }

    /// Ends it by a signal, and waits for its end.
    pub async fn end(mut self, signal: &str) {
        let status = Command::new("sh")
            .args(["-c", r#"kill -s "$0" "$1""#, signal])
            .arg(self.0.id().to_string())
            .status();
        assert!(status.unwrap().success());
        eventually("the process ends", || {
            std::future::ready(self.0.try_wait().unwrap().is_some())
        })
        .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A free port of 127.0.0.1.
pub fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Waits until a server answers 200.
pub async fn is_ready(address: SocketAddr, path: &str) {
    eventually(&format!("{path} of a server"), || async {
        let answer = wire::try_get(address, path).await;
        answer.is_some_and(|answer| answer.status == 200)
    })
    .await;
}

/// A server with its data in a directory of its own.
pub struct Server {
    kind: Kind,
    address: SocketAddr,
    program: PathBuf,
    arguments: Vec<String>,
    process: Option<Process>,
    directory: TempDir,
    /// The storage behind a relay.
    behind: Option<Box<Server>>,
}

impl Server {
    /// Starts a server as its recipe says, and waits until it is ready.
    pub async fn start(programs: &Programs, version: &str, kind: Kind, window: &str) -> Self {
        Self::scraping(programs, version, kind, window, "").await
    }

    /// The same with more in `prometheus.yml`.
    pub async fn scraping(
        programs: &Programs,
        version: &str,
        kind: Kind,
        window: &str,
        scrapes: &str,
    ) -> Self {
        let behind = match kind {
            Kind::Relay => {
                let storage = Self::start(programs, version, Kind::VictoriaMetrics, window);
                Some(Box::new(Box::pin(storage).await))
            }
            _ => None,
        };
        let (directory, address) = (tempfile::tempdir().unwrap(), free_address());
        let at = |name: &str| directory.path().join(name).display().to_string();
        let recipe = kind.recipe();
        let (program, arguments) = match kind {
            Kind::Prometheus => {
                let window = match window {
                    "0" => String::new(),
                    _ => recipe.yaml("storage"),
                };
                fs::write(at("prometheus.yml"), window + scrapes).unwrap();
                let arguments = vec![
                    format!("--config.file={}", at("prometheus.yml")),
                    format!("--storage.tsdb.path={}", at("data")),
                    format!("--web.listen-address={address}"),
                    recipe.named_flag(),
                ];
                ("prometheus", arguments)
            }
            Kind::VictoriaMetrics => {
                let values = [("-storageDataPath", at("data"))];
                let more = ["-search.latencyOffset=0s".to_owned()];
                let arguments = recipe.flags("victoria-metrics", &values, address);
                ("victoria-metrics", [arguments, more.into()].concat())
            }
            Kind::Relay => {
                let url = behind.as_ref().map(|storage| storage.write_url()).unwrap();
                let values = [
                    ("-remoteWrite.url", url),
                    ("-remoteWrite.tmpDataPath", at("data")),
                ];
                ("vmagent", recipe.flags("vmagent", &values, address))
            }
        };
        let mut server = Self {
            kind,
            address,
            program: programs.path(version, program),
            arguments,
            process: None,
            directory,
            behind,
        };
        server.start_again().await;
        server
    }

    /// Starts it with the same data.
    pub async fn start_again(&mut self) {
        let log = self.directory.path().join("log");
        self.process = Some(Process::start(&self.program, &self.arguments, &log));
        let path = match self.kind {
            Kind::Prometheus => "/-/ready",
            Kind::VictoriaMetrics | Kind::Relay => "/health",
        };
        is_ready(self.address, path).await;
    }

    /// Ends it in the ordinary way.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end("TERM").await;
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The destinations of its recipe; without a window, which is no recipe, one of its own.
    pub fn destinations(&self, window: &str) -> String {
        match window {
            "0" => entry_at("default", &self.write_url(), &[]),
            _ => {
                let list = self.kind.recipe().destinations(self.address);
                let key = format!("out_of_order_window: {window}\n");
                assert!(list.contains(&key), "{list}");
                list
            }
        }
    }

    /// The URL for remote write.
    pub fn write_url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    /// The server that has the samples.
    fn storage(&self) -> &Self {
        self.behind.as_deref().unwrap_or(self)
    }

    /// Waits until it has what is expected. Returns the first of the problems that remain.
    pub async fn settle(&self, expected: &Expected) -> Vec<String> {
        let deadline = std::time::Instant::now() + 2 * crate::harness::WAIT_LIMIT;
        loop {
            let stored = self.storage().samples(r#"instance="""#).await;
            let mut problems = expected.problems(&stored);
            if problems.is_empty() || std::time::Instant::now() > deadline {
                let count = problems.len();
                problems.truncate(10);
                if count > 10 {
                    problems.push(format!("and {} more", count - 10));
                }
                return problems;
            }
            actix_rt::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// All raw samples of the series with these labels, without stale markers. Each is there once, or else this panics.
    pub async fn samples(&self, matcher: &str) -> Samples {
        let selector = format!(r#"{{__name__=~"starlink_.+",{matcher}}}"#);
        match self.kind {
            Kind::Prometheus => self.prometheus_samples(&selector).await,
            Kind::VictoriaMetrics | Kind::Relay => self.exported_samples(&selector).await,
        }
    }

    /// By an instant query of a range, which gives raw samples.
    async fn prometheus_samples(&self, selector: &str) -> Samples {
        let time = milliseconds(SystemTime::now()) as f64 / 1000.0 + 60.0;
        let result = self.query(&format!("{selector}[1h]"), time).await;
        let series = result.as_array().unwrap().iter();
        let series = series.map(|series| {
            let series_text = text(&series["metric"]);
            let mut samples = BTreeMap::new();
            for point in series["values"].as_array().unwrap() {
                let time = (point[0].as_f64().unwrap() * 1000.0).round() as i64;
                let value: f64 = point[1].as_str().unwrap().parse().unwrap();
                insert(&mut samples, &series_text, time, value);
            }
            (series_text, samples)
        });
        series.collect()
    }

    async fn exported_samples(&self, selector: &str) -> Samples {
        wire::get(self.address, "/internal/force_flush", &[]).await;
        let target = format!("/api/v1/export?match[]={}", encoded(selector));
        let answer = wire::get(self.address, &target, &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut samples = Samples::new();
        for line in answer.body.lines() {
            let series: Value = serde_json::from_str(line).unwrap();
            let series_text = text(&series["metric"]);
            let known = samples.entry(series_text.clone()).or_default();
            let times = series["timestamps"].as_array().unwrap();
            let values = series["values"].as_array().unwrap();
            for (time, value) in times.iter().zip(values) {
                // Stale markers are null.
                if let Some(value) = value.as_f64() {
                    insert(known, &series_text, time.as_i64().unwrap(), value);
                }
            }
        }
        samples
    }

    /// The series of a selector in the last hour.
    pub async fn series(&self, selector: &str) -> Vec<String> {
        let time = milliseconds(SystemTime::now()) as f64 / 1000.0 + 60.0;
        let result = self.query(&format!("{selector}[1h]"), time).await;
        let series = result.as_array().unwrap().iter();
        series.map(|series| text(&series["metric"])).collect()
    }

    /// The result of an instant query at a time in seconds.
    async fn query(&self, query: &str, time: f64) -> Value {
        let target = format!("/api/v1/query?time={time:.3}&query={}", encoded(query));
        let answer = wire::get(self.address, &target, &[]).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let mut answer: Value = serde_json::from_str(&answer.body).unwrap();
        answer["data"]["result"].take()
    }

    /// Checks that series have ended where they have stale markers: they are there before, and not there at that time.
    pub async fn has_ended(&self, markers: &[Marker]) {
        let server = self.storage();
        // Some of them, of all devices.
        let step = markers.len().div_ceil(20).max(1);
        for marker in markers.iter().step_by(step) {
            let query = format!("count({})", marker.series);
            for (time, expected) in [(marker.before, 1), (marker.time, 0)] {
                let result = server.query(&query, time as f64 / 1000.0).await;
                let count = result.as_array().unwrap().len();
                assert_eq!(count, expected, "{} at {time}", marker.series);
            }
        }
    }
}

/// Adds a sample, of which there must be one at its time.
fn insert(samples: &mut BTreeMap<i64, u64>, series: &str, time: i64, value: f64) {
    let other = samples.insert(time, value.to_bits());
    assert_eq!(other, None, "{series} has two samples at {time}");
}

/// A series of an answer of a server, as the receiver writes it.
fn text(metric: &Value) -> String {
    let labels = metric.as_object().unwrap().iter();
    let labels: BTreeMap<String, String> = labels
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect();
    crate::receiver::text(&labels)
}

/// Percent-encoded for a query.
fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
