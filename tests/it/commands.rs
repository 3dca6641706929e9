//! Tests of the binary's commands: output, exit codes, and errors of settings.

mod check_config;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command as Process;
use std::time::Instant;

use crate::binary::{Binary, run};
use crate::form::scrape;
use crate::harness::{END_WITHIN, environment, eventually, scripted_simulator};
use crate::wire::get;

/// No variables.
const NOTHING: [(&str, &str); 0] = [];

#[actix_rt::test]
async fn version_and_help_need_no_settings() {
    let version = format!("starlink-telemetry {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        run(&["--version"], NOTHING).await,
        (0, version, String::new())
    );

    let (code, help, errors) = run(&["--help"], NOTHING).await;
    assert_eq!((code, errors.as_str()), (0, ""));
    let commands = ["run", "demo", "check-config", "healthcheck", "completions"];
    for command in commands {
        let is_listed = |line: &str| line.trim_start().starts_with(command);
        assert!(help.lines().any(is_listed), "{command} in {help}");
    }
    for setting in documented_settings() {
        assert!(help.contains(&setting), "{setting} in {help}");
    }
    for command in commands {
        assert_eq!(run(&[command, "--help"], NOTHING).await.0, 0, "{command}");
    }
}

/// A real shell runs the script; the scripts of other shells must at least differ.
#[actix_rt::test]
async fn a_shell_completes_commands_and_options() {
    let (code, script, errors) = run(&["completions", "bash"], NOTHING).await;
    assert_eq!((code, errors.as_str()), (0, ""));
    let complete = |words: &'static str| {
        let ask = format!(
            "{script}\nCOMP_WORDS=({words} '') COMP_CWORD={}\nset -- $(complete -p starlink-telemetry)\n\"${{@: -2:1}}\" starlink-telemetry '' x\necho \"${{COMPREPLY[*]}}\"",
            words.split(' ').count()
        );
        let answer = Process::new("bash").args(["-c", &ask]).output().unwrap();
        String::from_utf8(answer.stdout).unwrap()
    };
    let commands = complete("starlink-telemetry");
    assert!(
        commands.contains("check-config") && commands.contains("--config-file"),
        "{commands}"
    );
    assert!(complete("starlink-telemetry check-config").contains("--connect"));
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let (code, other, _) = run(&["completions", shell], NOTHING).await;
        assert!(
            code == 0 && other.contains("check-config") && other != script,
            "{shell}"
        );
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

/// The settings in the README's table, with the default of each; empty if it has none.
fn settings_of_readme() -> BTreeMap<String, String> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Settings\n").unwrap();
    let lines = section.lines();
    let table = lines.skip_while(|line| !line.starts_with("| name | default |"));
    let rows = table.skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<_> = row.split(" | ").collect();
        let name = cells[0].trim_matches(['|', ' ', '`']);
        let default = cells[1].strip_prefix('`').unwrap_or_default();
        (name.to_owned(), default.trim_end_matches('`').to_owned())
    })
    .collect()
}

#[test]
fn the_readme_has_every_setting_with_its_default() {
    let example = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example")).unwrap();
    let readme = settings_of_readme();
    let names: BTreeSet<_> = documented_settings().into_iter().collect();
    assert_eq!(readme.keys().cloned().collect::<BTreeSet<_>>(), names);
    for (name, default) in readme {
        let line = format!("#{name}={default}");
        let required = format!("{name}=");
        let is_same = |it: &str| it == line || (default.is_empty() && it.starts_with(&required));
        assert!(example.lines().any(is_same), "{line}");
    }
}

#[actix_rt::test]
async fn an_invalid_command_line_exits_with_2() {
    for arguments in [&["serve"][..], &["--port", "9100"], &["demo", "now"]] {
        let (code, output, errors) = run(arguments, NOTHING).await;
        assert_eq!((code, output.as_str()), (2, ""), "{arguments:?}");
        assert!(errors.contains("--help"), "{errors}");
    }
}

#[actix_rt::test]
async fn healthcheck_requests_the_service_that_has_the_same_settings() {
    let simulator = scripted_simulator();
    let (mut service, address) = Binary::listening(&simulator, &[]).await;
    let port = address.port().to_string();
    let simulator_port = simulator.address().port().to_string();
    for address in ["127.0.0.1", "0.0.0.0"] {
        let local = [
            ("METRICS_ADDRESS", address),
            ("METRICS_PORT", port.as_str()),
        ];
        // The command needs no credentials.
        let (code, output, errors) = run(&["healthcheck"], local).await;
        assert_eq!(
            (code, output.as_str(), errors.as_str()),
            (0, "", ""),
            "{address}"
        );
    }
    // Another process has the port.
    let other = [
        ("METRICS_ADDRESS", "127.0.0.1"),
        ("METRICS_PORT", simulator_port.as_str()),
    ];
    let (code, _, errors) = run(&["healthcheck"], other).await;
    assert_eq!(code, 1);
    assert!(errors.contains("404"), "{errors}");
    // Starlink's state does not matter.
    simulator.unplug();
    let local = [("METRICS_PORT", port.as_str())];
    assert_eq!(run(&["healthcheck"], local).await.0, 0);

    service.signal("TERM");
    assert_eq!(service.ended().await, Some(0));
    let (code, _, errors) = run(&["healthcheck"], local).await;
    assert_eq!(code, 1);
    assert!(errors.contains(&port), "{errors}");
    let advice = "Is the service running, with the same METRICS_ADDRESS, METRICS_PORT";
    assert!(errors.contains(advice), "{errors}");

    let wrong = run(&["healthcheck"], [("METRICS_PORT", "http")]).await;
    assert_eq!(wrong.0, 1, "container engines reserve 2");
    assert!(wrong.2.contains("METRICS_PORT"), "{}", wrong.2);
}

/// Asks a running process to end, and checks that it ends in time and with code 0.
async fn ends_well(mut binary: Binary, signal: &str) {
    let before = Instant::now();
    binary.signal(signal);
    let code = binary.ended().await;
    let log = binary.stderr();
    assert_eq!(code, Some(0), "{log}");
    assert!(before.elapsed() < END_WITHIN, "{log}");
    assert!(!log.contains("ERROR") && !log.contains("panic"), "{log}");
}

#[actix_rt::test]
async fn the_demo_shows_a_changing_fleet_without_any_setting() {
    let environment = [("METRICS_ADDRESS", "127.0.0.1"), ("METRICS_PORT", "0")];
    let mut demo = Binary::execute(&["demo"], environment);
    let address = demo.address().await;
    eventually("the demo is ready", || async {
        get(address, "/readyz", &[]).await.status == 200
    })
    .await;
    let scrape = || scrape(address, "prometheus");
    eventually("25 terminals", || async {
        let body = scrape().await;
        let devices = r#"starlink_exporter_devices{account="demo",device_type="UserTerminal",state="online"}"#;
        body.value(devices) == Some(25.0) && body.beginning("starlink_online{").len() == 25
    })
    .await;
    eventually("names of the inventory", || async {
        let named = scrape().await.beginning("starlink_device_name{").len();
        // Four of the 25 terminals that report have no name.
        named >= 21
    })
    .await;
    let page = get(address, "/", &[]).await.body;
    assert!(page.contains("Demo: simulated terminals."), "{page}");
    let before = scrape().await;
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
            scrape().await.beginning(family) != before.beginning(family)
        })
        .await;
    }
    ends_well(demo, "INT").await;
}

#[actix_rt::test]
async fn a_port_in_use_is_one_error_that_names_it_and_no_request_is_sent() {
    let simulator = scripted_simulator();
    let taken = simulator.address();
    let port = taken.port().to_string();

    let mut service = Binary::start(&simulator, &[("METRICS_PORT", &port)]);
    assert_eq!(service.ended().await, Some(1));
    let events = service.events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].text("level"), "ERROR");
    let log = service.stderr();
    assert!(log.contains(&taken.to_string()), "{log}");
    let journal = simulator.journal();
    assert!(journal.token_requests.is_empty() && journal.polls.is_empty());

    // The demo logs its simulator too.
    let settings = [("METRICS_ADDRESS", "127.0.0.1"), ("METRICS_PORT", &port)];
    let (code, _, errors) = run(&["demo"], settings).await;
    assert_eq!(code, 1, "{errors}");
    let mut lines = errors.lines().filter(|line| line.contains("ERROR"));
    let line = lines.next().unwrap();
    assert!(line.contains(&taken.to_string()), "{errors}");
    assert_eq!(lines.next(), None, "{errors}");
}
