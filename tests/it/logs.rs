//! Tests that a blocked, closed or full log output stops neither the service nor a command.

use std::fs::OpenOptions;
use std::io::{self, PipeReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use futures_util::future::join_all;
use starlink_telemetry::simulator::{Answer, AnswerBody, Simulator};

use crate::binary::Binary;
use crate::form::scrape;
use crate::harness::{END_WITHIN, environment, eventually, scripted_simulator, terminal_row};
use crate::wire::get;

const DROPPED: &str = "starlink_exporter_log_lines_dropped_total";

const POLLS: &str = r#"starlink_exporter_polls_total{account="default"}"#;

/// The longest line, including the line end.
const LONGEST_LINE: usize = 4096;

fn full_disk() -> Stdio {
    let full = OpenOptions::new().write(true).open("/dev/full");
    Stdio::from(full.unwrap())
}

fn closed_pipe() -> Stdio {
    let (_, writer) = io::pipe().unwrap();
    Stdio::from(writer)
}

/// A service with a given log output. It is killed when this is dropped.
struct Service {
    child: Child,
    address: SocketAddr,
}

impl Service {
    fn start(simulator: &Simulator, log: Stdio, changes: &[(&str, &str)]) -> Self {
        // The port is fixed, because the log cannot report it.
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let port = address.port().to_string();
        let mut settings = environment(
            simulator,
            &[&[("METRICS_PORT", port.as_str())], changes].concat(),
        );
        settings.push(("LOG_FORMAT".to_owned(), "json".into()));
        let child = Command::new(env!("CARGO_BIN_EXE_starlink-telemetry"))
            .env_clear()
            .envs(settings)
            .stdin(Stdio::null())
            .stdout(full_disk())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, address }
    }

    async fn value(&self, series: &str) -> f64 {
        let body = scrape(self.address, "prometheus").await;
        body.value(series).unwrap_or_default()
    }

    /// Checks that it serves, is alive, and continues to poll.
    async fn works(&self) {
        assert_eq!(get(self.address, "/livez", &[]).await.status, 200);
        let before = self.value(POLLS).await;
        eventually("polls go on", || async {
            self.value(POLLS).await >= before + 2.0
        })
        .await;
    }

    async fn ends(mut self) {
        let signalled = Instant::now();
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(sent.unwrap().success());
        let mut code = None;
        eventually("it ends", || {
            code = self.child.try_wait().unwrap();
            std::future::ready(code.is_some())
        })
        .await;
        assert_eq!(code.unwrap().code(), Some(0));
        let took = signalled.elapsed();
        assert!(took < END_WITHIN, "{took:?}");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // An error means that the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn listens(service: &Service) {
    eventually("it listens", || async {
        crate::wire::try_get(service.address, "/livez")
            .await
            .is_some()
    })
    .await;
}

#[actix_rt::test]
async fn log_lines_that_cannot_be_written_are_counted_and_the_service_continues() {
    join_all([full_disk(), closed_pipe()].map(|log| async {
        let simulator = scripted_simulator();
        simulator.push_answer(Answer::error(500, "a fault"));
        let service = Service::start(&simulator, log, &[]);
        listens(&service).await;
        eventually("lines are dropped", || async {
            service.value(DROPPED).await >= 2.0
        })
        .await;
        service.works().await;
        service.ends().await;
    }))
    .await;
}

/// A service at log level `trace`, and the pipe of its log, which is full.
async fn with_a_full_pipe(simulator: &Simulator) -> (Service, PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    let service = Service::start(
        simulator,
        Stdio::from(writer),
        &[("RUST_LOG", "trace"), ("MAX_LINGER", "0")],
    );
    listens(&service).await;
    eventually("the pipe and the buffer are full", || async {
        for _ in 0..50 {
            get(service.address, "/metrics?format=prometheus", &[]).await;
        }
        service.value(DROPPED).await > 100.0
    })
    .await;
    (service, reader)
}

#[actix_rt::test]
async fn a_log_that_is_not_read_does_not_block_the_service() {
    let simulator = scripted_simulator();
    let (service, reader) = with_a_full_pipe(&simulator).await;
    service.works().await;
    service.ends().await;
    drop(reader);
}

#[actix_rt::test]
async fn dropped_lines_are_reported_when_the_log_is_read_again() {
    let simulator = scripted_simulator();
    let (service, mut reader) = with_a_full_pipe(&simulator).await;
    let reading = std::thread::spawn(move || {
        let mut log = String::new();
        reader.read_to_string(&mut log).unwrap();
        log
    });
    let before = service.value(DROPPED).await;
    service.works().await;
    service.ends().await;
    let log = reading.join().unwrap();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let line = lines.iter().find(|line| {
        let message = line["message"].as_str().unwrap_or_default();
        message.starts_with("log lines were dropped")
    });
    let line = line.expect("the loss is logged");
    assert_eq!(line["level"], "WARN");
    assert!(line["lines"].as_f64().unwrap() >= before, "{line}");
    assert_eq!(lines.last().unwrap()["message"], "stopped");
}

/// Names from Starlink, in a log message that contains them.
#[actix_rt::test]
async fn every_line_is_bounded_and_nothing_from_outside_begins_a_line() {
    let code = format!(
        "x\n2026-01-01T00:00:00Z ERROR forged: \u{1b}[2J{}",
        "\u{7}".repeat(50)
    );
    let simulator = scripted_simulator();
    for columns in [
        ["DeviceType", "UtcTimestampNs", "DeviceId", "A"],
        ["DeviceType", "UtcTimestampNs", "DeviceId", "B"],
    ] {
        let body = AnswerBody::new().columns(&code, &columns);
        simulator.push_answer(body.rows([terminal_row("one", 1_000_000_000, 1.0)]));
    }
    let long = "é\"\\".repeat(5000);
    simulator.push_answer(Answer::error(400, &long));
    for format in ["text", "json"] {
        simulator.push_answer(
            AnswerBody::new().columns(&code, &["DeviceType", "UtcTimestampNs", "DeviceId", format]),
        );
        let settings = [("LOG_FORMAT", format), ("RUST_LOG", "trace")];
        let mut binary = Binary::start(&simulator, &settings);
        let address = binary.address().await;
        let path = format!("/{}", "%1b%0a\u{7f}é".repeat(1000));
        get(address, &path, &[]).await;
        eventually("the columns are logged", || async {
            binary.stderr().contains("columns changed") || format == "json"
        })
        .await;
        binary.signal("TERM");
        assert_eq!(binary.ended().await, Some(0));
        for line in binary.stderr().lines() {
            assert!(line.len() < LONGEST_LINE, "{} bytes", line.len());
            assert!(!line.chars().any(char::is_control), "{line}");
            let beginning = match format {
                "text" => "20",
                _ => "{\"timestamp\":\"20",
            };
            assert!(line.starts_with(beginning), "{line}");
            assert!(!line.starts_with("2026-01-01"), "{line}");
        }
    }
}

/// The exit code reports the lost output; nothing panics.
#[actix_rt::test]
async fn commands_survive_an_output_that_cannot_be_written() {
    let simulator = scripted_simulator();
    let settings = environment(&simulator, &[]);
    let run = |arguments: &[&str],
               stdout: Stdio,
               stderr: Stdio,
               settings: &[(String, std::ffi::OsString)]| {
        let output = Command::new(env!("CARGO_BIN_EXE_starlink-telemetry"))
            .args(arguments)
            .env_clear()
            .envs(settings.to_vec())
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .output();
        output.unwrap()
    };
    for place in [full_disk, closed_pipe] {
        for arguments in [
            &["check-config"][..],
            &["check-config", "--connect"],
            &["completions", "bash"],
            &["--help"],
            &["--version"],
            &["demo", "--help"],
        ] {
            let output = run(arguments, place(), Stdio::piped(), &settings);
            let errors = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
            assert!(!errors.contains("panicked"), "{errors}");
        }
        for (arguments, code) in [
            (&["check-config"][..], 2),
            (&["run"], 2),
            (&["--nonsense"], 2),
            (&["healthcheck"], 1),
        ] {
            let output = run(arguments, place(), place(), &[]);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        }
    }
}
