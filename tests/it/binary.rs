//! Starts the real binary, reads what it logs, and ends it by its own process id.

use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use starlink_telemetry::simulator::Simulator;
use tempfile::TempDir;

use crate::harness::{Reply, Scrape, environment, eventually, get};

/// A process of the binary; dropped, it is killed.
pub struct Binary {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    /// It works in an empty directory, where no `.env` is found.
    _directory: TempDir,
}

impl Binary {
    /// Starts the service, which logs JSON, with nothing in its environment but the settings of a service that polls
    /// `simulator`; `changes` come last and win.
    pub fn start(simulator: &Simulator, changes: &[(&str, &str)]) -> Self {
        let mut variables = environment(simulator, changes);
        if changes.iter().all(|(name, _)| *name != "LOG_FORMAT") {
            variables.push(("LOG_FORMAT".to_owned(), "json".into()));
        }
        Self::execute(&[], variables)
    }

    /// Starts a command.
    pub fn execute(arguments: &[&str], variables: Vec<(String, OsString)>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_starlink-telemetry"))
            .args(arguments)
            .env_clear()
            .envs(variables)
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in stderr.lines() {
                sink.lock().unwrap().push(line.unwrap());
            }
        });
        Self {
            child,
            lines,
            reader: Some(reader),
            _directory: directory,
        }
    }

    /// Starts the service and waits until it listens.
    pub async fn listening(simulator: &Simulator, changes: &[(&str, &str)]) -> (Self, SocketAddr) {
        let binary = Self::start(simulator, changes);
        binary.logs("listening").await;
        let started = binary.events_saying("listening").remove(0);
        let address = started.text("address").parse().unwrap();
        (binary, address)
    }

    /// All that stands on stderr so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The log so far. Lines that are no JSON are the test's failure.
    pub fn events(&self) -> Vec<Event> {
        let parse = |line: &String| match serde_json::from_str(line) {
            Ok(event) => event,
            Err(error) => panic!("{error}: {line}"),
        };
        self.lines().iter().map(parse).collect()
    }

    /// The lines with this message.
    pub fn events_saying(&self, message: &str) -> Vec<Event> {
        let mut events = self.events();
        events.retain(|event| event.text("message") == message);
        events
    }

    /// The lines of a level: `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    pub fn events_at(&self, level: &str) -> Vec<Event> {
        let mut events = self.events();
        events.retain(|event| event.text("level") == level);
        events
    }

    /// Waits until a line has this message.
    pub async fn logs(&self, message: &str) {
        eventually(message, || async {
            !self.events_saying(message).is_empty()
        })
        .await;
    }

    /// Sends a signal: `TERM` or `INT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("sh")
            .args(["-c", r#"kill -s "$0" "$1""#, name, &pid])
            .status();
        assert!(status.unwrap().success());
    }

    /// Whether it runs no more.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end and gives the exit code; then all of stderr has been read.
    pub async fn ended(&mut self) -> Option<i32> {
        let child = Mutex::new(&mut self.child);
        eventually("the process ends", || async {
            child.lock().unwrap().try_wait().unwrap().is_some()
        })
        .await;
        self.reader.take().unwrap().join().unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One line of the log: its keys with their values, as they stand, so that a key that stands twice is seen.
#[derive(Debug)]
pub struct Event(pub Vec<(String, Value)>);

impl Event {
    /// The first value of a key.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value)
    }

    /// The first value of a key, if it is a string; else the empty text.
    pub fn text(&self, key: &str) -> &str {
        self.value(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether any value is this string.
    pub fn says(&self, text: &str) -> bool {
        self.0.iter().any(|(_, value)| value == text)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Event;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Event(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

/// GETs a path; none where nobody listens any more or the connection ends early.
pub async fn try_get(address: SocketAddr, path: &str) -> Option<Reply> {
    let client = awc::Client::builder()
        .timeout(crate::harness::PATIENCE)
        .finish();
    let url = format!("http://{address}{path}");
    let mut response = client.get(url).send().await.ok()?;
    let body = response.body().await.ok()?;
    Some(Reply {
        status: response.status().as_u16(),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// Scrapes in text 0.0.4.
pub async fn scrape(address: SocketAddr) -> Scrape {
    let reply = get(address, "/metrics?format=prometheus", &[]).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    Scrape { body: reply.body }
}

/// Waits until a scrape shows a sample.
pub async fn shows(address: SocketAddr, series: &str, value: f64) {
    let what = format!("{series} {value}");
    eventually(&what, || async {
        scrape(address).await.value(series) == Some(value)
    })
    .await;
}
