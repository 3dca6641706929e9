//! The real binary: its commands, exit codes, signals, and what it never prints.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use starlink_telemetry::simulator::{Answer, Options, Simulator};
use tempfile::TempDir;

use crate::form::{self, FORMATS};
use crate::harness::{eventually, scripted_simulator, terminal_row};
use crate::wire::{self, get};

/// How long an ending may take, by what is promised to container runtimes.
const ENDING: Duration = Duration::from_secs(5);

/// The binary at work, in an empty directory and with nothing in its environment but what the test says.
struct Process {
    child: Child,
    directory: TempDir,
}

impl Process {
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = |name| File::create(directory.path().join(name)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_starlink-telemetry"))
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap();
        Self { child, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn stdout(&self) -> String {
        fs::read_to_string(self.path("stdout")).unwrap()
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap()
    }

    /// Where it listens; its log tells, in whatever form, since it was given port 0.
    async fn address(&mut self) -> SocketAddr {
        let mut found = None;
        eventually("the service listens", || {
            let log = self.stderr();
            let line = log.lines().find(|line| line.contains("listening"));
            found = line.and_then(|line| {
                let (_, rest) = line.split_once("127.0.0.1:")?;
                let mut parts = rest.split(|character: char| !character.is_ascii_digit());
                format!("127.0.0.1:{}", parts.next()?).parse().ok()
            });
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended with {ended:?}: {log}");
            std::future::ready(found.is_some())
        })
        .await;
        found.unwrap()
    }

    /// Sends a signal as a person or a container runtime does.
    fn signal(&self, name: &str) {
        let mut kill = Command::new("sh");
        kill.args(["-c", &format!("kill -{name} {}", self.child.id())]);
        assert!(kill.status().unwrap().success());
    }

    /// Waits for the end.
    async fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the process ends", || {
            status = self.child.try_wait().unwrap();
            std::future::ready(status.is_some())
        })
        .await;
        status.unwrap()
    }

    /// Waits for the end of a command that ends by itself.
    async fn finished(mut self) -> (i32, String, String) {
        let code = self.ended().await.code().unwrap();
        (code, self.stdout(), self.stderr())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that ends by itself: exit code, stdout, stderr.
async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    Process::start(arguments, environment).finished().await
}

/// Settings of a service that polls a simulator; the credentials are the simulator's own.
fn settings<'a>(id: &'a str, secret: &'a str, api_url: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("CLIENT_ID", id),
        ("CLIENT_SECRET", secret),
        ("API_URL", api_url),
        ("BATCH_SIZE", "1000"),
        ("MAX_LINGER", "200"),
        ("METRICS_ADDRESS", "127.0.0.1"),
        ("METRICS_PORT", "0"),
    ]
}

#[actix_rt::test]
async fn version_and_help_need_no_settings() {
    let version = format!("starlink-telemetry {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["--version"], &[]).await, (0, version, String::new()));

    let (code, help, errors) = run(&["--help"], &[]).await;
    assert_eq!((code, errors.as_str()), (0, ""));
    for command in ["run", "demo", "check-config", "healthcheck"] {
        let is_listed = |line: &str| line.trim_start().starts_with(command);
        assert!(help.lines().any(is_listed), "{command} in {help}");
    }
    for setting in documented_settings() {
        assert!(help.contains(&setting), "{setting} in {help}");
    }
    for command in ["demo", "check-config", "healthcheck", "run"] {
        assert_eq!(run(&[command, "--help"], &[]).await.0, 0, "{command}");
    }
}

/// Every setting that `.env.example` names.
fn documented_settings() -> Vec<String> {
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example")).unwrap();
    let names = example.lines().filter_map(|line| {
        let line = line.trim_start_matches(['#', ' ']);
        let (name, _) = line.split_once('=')?;
        let is_name = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
        name.bytes().all(is_name).then(|| name.to_owned())
    });
    let names: Vec<_> = names.collect();
    assert!(names.len() > 10, "{names:?}");
    names
}

#[actix_rt::test]
async fn what_is_no_command_exits_with_2() {
    for arguments in [&["serve"][..], &["--port", "9100"], &["demo", "now"]] {
        let (code, output, errors) = run(arguments, &[]).await;
        assert_eq!((code, output.as_str()), (2, ""), "{arguments:?}");
        assert!(errors.contains("--help"), "{errors}");
    }
}

#[actix_rt::test]
async fn check_config_prints_what_is_in_force_without_secrets() {
    let mut environment = settings(
        "needle-id",
        "needle-secret",
        "http://127.0.0.1:1/api/public",
    );
    environment.extend([("INFO_FORMAT", "labels"), ("STALE_AFTER", "60")]);
    let (code, output, errors) = run(&["check-config"], &environment).await;
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(!output.contains("needle"), "{output}");

    let value = |line: &str| {
        let (name, rest) = line.split_once('=').unwrap();
        let (value, origin) = rest.split_once("  # ").unwrap();
        (name.to_owned(), (value.to_owned(), origin.to_owned()))
    };
    let shown: BTreeMap<_, _> = output.lines().map(value).collect();
    for (name, expected) in [
        ("BATCH_SIZE", ("1000", "environment")),
        ("API_URL", ("http://127.0.0.1:1/api/public", "environment")),
        ("INFO_FORMAT", ("labels", "environment")),
        ("STALE_AFTER", ("60", "environment")),
        ("FORGET_AFTER", ("86400", "default")),
        ("LOCATION", ("on", "default")),
        ("RUST_LOG", ("info", "default")),
    ] {
        let (value, origin) = &shown[name];
        assert_eq!((value.as_str(), origin.as_str()), expected, "{name}");
    }
    for setting in documented_settings() {
        // The two ways to give a credential are one setting.
        let is_shown = |name: &str| shown.contains_key(name);
        let credential = setting.trim_end_matches("_FILE");
        assert!(
            is_shown(&setting) || is_shown(credential),
            "{setting} in {output}"
        );
    }
}

#[actix_rt::test]
async fn wrong_settings_are_told_all_at_once() {
    let environment = [
        ("BATCH_SIZE", "0"),
        ("CLIENT_SECRET", "needle"),
        ("LOCATION", "maybe"),
    ];
    for command in ["check-config", "run"] {
        let (code, output, errors) = run(&[command], &environment).await;
        assert_eq!((code, output.as_str()), (2, ""), "{errors}");
        for wrong in [
            "BATCH_SIZE",
            "\"0\"",
            "CLIENT_ID",
            "MAX_LINGER",
            "LOCATION",
            "maybe",
        ] {
            assert!(errors.contains(wrong), "{wrong} in {errors}");
        }
        assert!(!errors.contains("needle"), "{errors}");
    }
}

#[actix_rt::test]
async fn check_config_connects_and_tells_what_was_answered() {
    let simulator = scripted_simulator();
    let api_url = simulator.api_url();
    let arguments = ["check-config", "--connect"];
    let needles = ("needle-id", "needle-secret");
    let good = settings("client", "secret", &api_url);
    let bad = settings(needles.0, needles.1, &api_url);

    let (code, output, errors) = run(&arguments, &good).await;
    assert_eq!((code, errors.as_str()), (0, ""), "{output}");
    let told = output.lines().last().unwrap();
    let public = format!("{api_url}/auth/connect/token");
    assert!(told.contains(&public) && told.contains("900 s"), "{told}");

    let (code, output, errors) = run(&arguments, &bad).await;
    assert_eq!(code, 1, "{output}{errors}");
    assert!(
        errors.contains("400") && errors.contains("invalid_client"),
        "{errors}"
    );
    assert!(
        !format!("{output}{errors}").contains("needle"),
        "{output}{errors}"
    );

    // The other place where Starlink is known to give tokens.
    simulator.set_public_token_path(false);
    let (code, output, _) = run(&arguments, &good).await;
    let other = public.replace("/public", "");
    assert!(code == 0 && output.contains(&other), "{output}");

    assert!(simulator.journal().polls.is_empty(), "it takes no rows");
    simulator.unplug();
    let (code, _, errors) = run(&arguments, &good).await;
    assert!(code == 1 && errors.contains(&public), "{errors}");
}

#[actix_rt::test]
async fn healthcheck_asks_the_service_of_the_same_settings() {
    let simulator = scripted_simulator();
    let api_url = simulator.api_url();
    let mut service = Process::start(&[], &settings("client", "secret", &api_url));
    let port = service.address().await.port().to_string();
    let simulator_port = simulator.address().port().to_string();
    for address in ["127.0.0.1", "0.0.0.0"] {
        let local = [
            ("METRICS_ADDRESS", address),
            ("METRICS_PORT", port.as_str()),
        ];
        // It needs no credentials.
        let (code, output, errors) = run(&["healthcheck"], &local).await;
        assert_eq!(
            (code, output.as_str(), errors.as_str()),
            (0, "", ""),
            "{address}"
        );
    }
    // Somebody else has the port.
    let other = [
        ("METRICS_ADDRESS", "127.0.0.1"),
        ("METRICS_PORT", &simulator_port),
    ];
    let (code, _, errors) = run(&["healthcheck"], &other).await;
    assert_eq!(code, 1);
    assert!(errors.contains("404"), "{errors}");
    // It draws no conclusions from Starlink.
    simulator.unplug();
    let local = [("METRICS_PORT", port.as_str())];
    assert_eq!(run(&["healthcheck"], &local).await.0, 0);

    service.signal("TERM");
    assert_eq!(service.ended().await.code(), Some(0));
    let (code, _, errors) = run(&["healthcheck"], &local).await;
    assert_eq!(code, 1);
    assert!(errors.contains(&port), "{errors}");
}

/// Asks a running process to end, and sees that it does so in time and well.
async fn ends_well(mut process: Process, signal: &str) {
    let before = Instant::now();
    process.signal(signal);
    let status = process.ended().await;
    let log = process.stderr();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(before.elapsed() < ENDING, "{log}");
    assert!(!log.contains("ERROR") && !log.contains("panic"), "{log}");
}

#[actix_rt::test]
async fn the_demo_shows_a_lively_fleet_without_any_setting() {
    let environment = [("METRICS_ADDRESS", "127.0.0.1"), ("METRICS_PORT", "0")];
    let mut demo = Process::start(&["demo"], &environment);
    let address = demo.address().await;
    eventually("the demo is ready", || async {
        get(address, "/readyz", &[]).status == 200
    })
    .await;
    let scrape = || {
        let answer = get(address, "/metrics?format=prometheus", &[]);
        form::read(answer.text(), "prometheus")
    };
    eventually("25 terminals", || async {
        let body = scrape();
        let devices = r#"starlink_exporter_devices{device_type="UserTerminal",state="online"}"#;
        body.value(devices) == Some(25.0) && body.beginning("starlink_online{").len() == 25
    })
    .await;
    let before = scrape();
    for family in [
        "starlink_DownlinkThroughput",
        "starlink_latitude",
        "starlink_info",
    ] {
        let series = before.family(family).unwrap().samples.len();
        assert!(series > 15, "{series} of {family}");
    }
    for (family, what) in [
        ("starlink_DownlinkThroughput{", "numbers change"),
        (
            "starlink_last_report_timestamp_seconds{",
            "terminals report",
        ),
        ("starlink_latitude{", "some terminals move"),
    ] {
        eventually(what, || async {
            scrape().beginning(family) != before.beginning(family)
        })
        .await;
    }
    ends_well(demo, "INT").await;
}

#[actix_rt::test]
async fn a_taken_port_is_one_error_that_names_it() {
    let simulator = scripted_simulator();
    let port = simulator.address().port().to_string();
    let environment = [
        ("METRICS_ADDRESS", "127.0.0.1"),
        ("METRICS_PORT", port.as_str()),
    ];
    let (code, _, errors) = run(&["demo"], &environment).await;
    assert_eq!(code, 1, "{errors}");
    let lines: Vec<_> = errors
        .lines()
        .filter(|line| line.contains("ERROR"))
        .collect();
    assert_eq!(lines.len(), 1, "{errors}");
    assert!(
        lines[0].contains(&simulator.address().to_string()),
        "{errors}"
    );
}

/// What must stay secret, in the spellings in which it might come to light.
struct Needles {
    id: &'static str,
    secret: &'static str,
    token: String,
}

impl Needles {
    fn check(&self, place: &str, text: &str) {
        let in_a_form = |text: &str| {
            let pairs = [("", text)];
            let form = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(pairs)
                .finish();
            form.trim_start_matches('=').to_owned()
        };
        for needle in [self.id, self.secret, &self.token] {
            for spelling in [
                needle.to_owned(),
                in_a_form(needle),
                needle.replace('"', "\\\""),
            ] {
                assert!(!text.contains(&spelling), "{spelling} in {place}:\n{text}");
            }
        }
    }
}

/// Everything that can happen to a token and a poll, at the most talkative log level.
#[actix_rt::test]
async fn no_secret_ever_shows() {
    for log_format in ["text", "json"] {
        let mut needles = Needles {
            id: "needle/id one",
            secret: "needle+secret&=\"%",
            token: String::new(),
        };
        let simulator = Simulator::start(Options {
            client_id: needles.id.to_owned(),
            client_secret: needles.secret.to_owned(),
            ..Options::default()
        })
        .unwrap();
        // The refusal and the redirect come first, then a token that we know.
        needles.token = simulator.issue_token();
        simulator.push_token_answer(Answer::token_error("invalid_client"));
        simulator.push_token_answer(Answer::redirect("http://127.0.0.1:1/"));
        let issued = format!(r#"{{"access_token":"{}","expires_in":900}}"#, needles.token);
        simulator.set_default_token_answer(Some(Answer::text(issued)));
        simulator.push_rows([terminal_row("shown", 1_000_000_000, 1.0)]);
        simulator.push_answer(Answer::error(401, "no").header("WWW-Authenticate", "Bearer"));
        simulator.push_answer(Answer::error(500, "no"));
        simulator.push_answer(Answer::html());

        let api_url = simulator.api_url();
        let mut environment = settings(needles.id, needles.secret, &api_url);
        environment.extend([("RUST_LOG", "trace"), ("LOG_FORMAT", log_format)]);
        let (_, output, errors) = run(&["check-config", "--connect"], &environment).await;
        needles.check("check-config", &format!("{output}{errors}"));

        let mut service = Process::start(&["run"], &environment);
        let address = service.address().await;
        let scrape = || get(address, "/metrics?format=prometheus", &[]);
        eventually("all answers were taken", || async {
            let body = form::read(scrape().text(), "prometheus");
            let failed = |reason| {
                let series =
                    format!("starlink_exporter_poll_failures_total{{reason=\"{reason}\"}}");
                body.value(&series) > Some(0.0)
            };
            ["unauthorized", "server_error", "decode"]
                .into_iter()
                .all(failed)
        })
        .await;
        let mut pages: Vec<_> = FORMATS
            .map(|format| format!("/metrics?format={format}"))
            .to_vec();
        pages.extend(["/", "/readyz?verbose", "/livez?verbose"].map(str::to_owned));
        for page in pages {
            let answer = wire::get(address, &page, &[("Authorization", "Bearer x")]);
            assert_eq!(answer.status, 200, "{page}");
            needles.check(&page, answer.text());
        }
        service.signal("TERM");
        assert_eq!(service.ended().await.code(), Some(0));
        let log = service.stderr();
        assert!(
            log.contains("TRACE") && log.contains("batch stored"),
            "it was talkative"
        );
        needles.check("the log", &log);
        needles.check("stdout", &service.stdout());
    }
}
