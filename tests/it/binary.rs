//! Starts the binary, reads its log, and ends it by its process ID.

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use starlink_telemetry::simulator::Simulator;
use tempfile::TempDir;

use crate::harness::{environment, eventually};

/// A process of the binary, which is killed when this is dropped.
pub struct Binary {
    child: Child,
    stdout: Output,
    stderr: Output,
    /// It works in an empty directory, where no `.env` is found.
    _directory: TempDir,
}

impl Binary {
    /// Starts the service, which logs JSON, with nothing in its environment but the settings of a service that polls
    /// `simulator`; `changes` replace the defaults.
    pub fn start(simulator: &Simulator, changes: &[(&str, &str)]) -> Self {
        let mut variables = environment(simulator, changes);
        if changes.iter().all(|(name, _)| *name != "LOG_FORMAT") {
            variables.push(("LOG_FORMAT".to_owned(), "json".into()));
        }
        Self::execute(&[], variables)
    }

    /// Starts a command, with nothing in its environment but these variables.
    pub fn execute<N, V>(arguments: &[&str], variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        // With the limit of open files that is the default of most systems.
        Self::execute_after("ulimit -S -n 1024", arguments, variables)
    }

    /// The same after a command of the shell, for example one that sets limits.
    pub fn execute_after<N, V>(
        prelude: &str,
        arguments: &[&str],
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self
    where
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new("/bin/sh")
            .args(["-c", &format!(r#"{prelude} && exec "$0" "$@""#)])
            .arg(env!("CARGO_BIN_EXE_starlink-telemetry"))
            .args(arguments)
            .env_clear()
            .envs(variables)
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdout: Output::of(child.stdout.take().unwrap()),
            stderr: Output::of(child.stderr.take().unwrap()),
            child,
            _directory: directory,
        }
    }

    /// Starts the service and waits until it listens.
    pub async fn listening(simulator: &Simulator, changes: &[(&str, &str)]) -> (Self, SocketAddr) {
        let mut binary = Self::start(simulator, changes);
        let address = binary.address().await;
        (binary, address)
    }

    /// Waits until it listens, and reads the address from its log, in any log format, because it was started with port 0.
    pub async fn address(&mut self) -> SocketAddr {
        let mut found = None;
        eventually("the service listens", || {
            let log = self.stderr();
            let line = log.lines().find(|line| line.contains("listening"));
            found = line.and_then(|line| {
                let (_, rest) = line.split_once("127.0.0.1:")?;
                let mut parts = rest.split(|character: char| !character.is_ascii_digit());
                format!("127.0.0.1:{}", parts.next()?).parse().ok()
            });
            assert!(found.is_some() || !self.has_ended(), "it has ended: {log}");
            std::future::ready(found.is_some())
        })
        .await;
        found.unwrap()
    }

    /// The text on stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// The text on stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// The log so far. Lines that are not JSON fail the test.
    pub fn events(&self) -> Vec<Event> {
        let parse = |line: &str| match serde_json::from_str(line) {
            Ok(event) => event,
            Err(error) => panic!("{error}: {line}"),
        };
        self.stderr().lines().map(parse).collect()
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

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Sends a signal: `TERM` or `INT`.
    pub fn signal(&self, name: &str) {
        let pid = self.id().to_string();
        let status = Command::new("sh")
            .args(["-c", r#"kill -s "$0" "$1""#, name, &pid])
            .status();
        assert!(status.unwrap().success());
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end and returns the exit code. Then all of its output has been read.
    pub async fn ended(&mut self) -> Option<i32> {
        eventually("the process ends", || std::future::ready(self.has_ended())).await;
        self.stdout.finish();
        self.stderr.finish();
        self.child.wait().unwrap().code()
    }
}

/// Runs a command that ends by itself: exit code, stdout, stderr.
pub async fn run<N, V>(
    arguments: &[&str],
    variables: impl IntoIterator<Item = (N, V)>,
) -> (i32, String, String)
where
    N: AsRef<OsStr>,
    V: AsRef<OsStr>,
{
    let mut binary = Binary::execute(arguments, variables);
    let code = binary.ended().await.unwrap();
    (code, binary.stdout(), binary.stderr())
}

impl Drop for Binary {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.stderr();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(20)..];
            eprintln!("the end of the log:\n{}", last.join("\n"));
        }
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The output of a process, read line by line on a separate thread, so that the process never waits for its reader.
struct Output {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = String::new();
            while pipe.read_line(&mut line).unwrap() > 0 {
                sink.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        Self {
            text,
            reader: Some(reader),
        }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// Waits for the end of the pipe.
    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

/// One line of the log: its keys with their values, in order, so that duplicate keys are detected.
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
        let texts = self.0.iter().filter_map(|(_, value)| value.as_str());
        texts.into_iter().any(|said| said.contains(text))
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
