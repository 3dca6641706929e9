//! Tests of the files that settings name: special files, invalid contents, and the service while files cannot be read.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use actix_rt::task::spawn_blocking;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use starlink_telemetry::simulator::{Answer, Journal, Simulator};
use tempfile::TempDir;

use crate::binary::{Binary, run};
use crate::form::scrape;
use crate::harness::{
    UP, environment, eventually, journal, scripted_simulator, shows, terminal_row, throughput,
};
use crate::tls::Authority;
use crate::wire::get;

fn fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

/// Replaces a file by a pipe without a writer.
fn replace_by_fifo(path: &Path) {
    let beside = path.with_extension("fifo");
    fifo(&beside);
    fs::rename(beside, path).unwrap();
}

/// Replaces a file by renaming.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

/// The error of a task in `/livez?verbose`.
async fn task_error(address: SocketAddr, task: &str) -> Option<String> {
    let answer = get(address, "/livez?verbose", &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let verdict: Value = serde_json::from_str(&answer.body).unwrap();
    let tasks = verdict["tasks"].as_array().unwrap().clone();
    let task = tasks.iter().find(|found| found["name"] == task);
    let task = task.unwrap_or_else(|| panic!("{verdict}"));
    assert_eq!(task["up"], true, "{verdict}");
    task["trouble"].as_str().map(str::to_owned)
}

#[actix_rt::test]
async fn special_and_endless_files_are_refused_immediately_with_their_path() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["fifo", "fifo.yaml", "fifo.toml"] {
        fifo(&at(name));
    }
    fs::File::create(at("long"))
        .unwrap()
        .set_len((1 << 20) + 1)
        .unwrap();
    fs::File::create(at("long.toml"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let identity = |certificate: &str, key: &str| {
        let text = format!("tls_server_config:\n  cert_file: {certificate}\n  key_file: {key}\n");
        let path = at(&format!("{}.yml", text.len()));
        fs::write(&path, text).unwrap();
        path
    };
    let certificate = Authority::new();
    certificate.issue(&["x"]).write(&certificate, "server");
    let pem = certificate.write("x", "").with_file_name("server.pem");
    let endless = identity("/dev/zero", "/dev/zero");
    let piped = identity(pem.to_str().unwrap(), at("fifo").to_str().unwrap());
    const NO_FILE: &str = "is not a regular file";
    let simulator = scripted_simulator();
    // Waiting for one of them would give another error, "no response within 5 s".
    for (setting, path, expected) in [
        ("NAMES_FILE", at("fifo"), NO_FILE),
        ("NAMES_FILE", "/dev/zero".into(), NO_FILE),
        ("WEB_CONFIG_FILE", at("fifo"), NO_FILE),
        ("WEB_CONFIG_FILE", "/dev/zero".into(), NO_FILE),
        ("WEB_CONFIG_FILE", at("long"), "is longer than 1 MiB"),
        (
            "WEB_CONFIG_FILE",
            endless,
            "line 2: cert_file: /dev/zero is not a regular file",
        ),
        ("WEB_CONFIG_FILE", piped, "line 3: key_file: "),
        ("API_CA_FILE", at("fifo"), NO_FILE),
        ("API_CA_FILE", "/dev/urandom".into(), NO_FILE),
        ("API_CA_FILE", at("long"), "is longer than 1 MiB"),
        ("API_CA_FILE", at(""), NO_FILE),
        ("CLIENT_SECRET_FILE", at("fifo"), NO_FILE),
        ("CLIENT_SECRET_FILE", "/dev/zero".into(), NO_FILE),
        ("CONFIG_FILE", at("fifo.yaml"), NO_FILE),
        ("CONFIG_FILE", at("fifo.toml"), NO_FILE),
        ("CONFIG_FILE", at("long.toml"), "is longer than 1 MiB"),
    ] {
        let path = path.to_str().unwrap();
        let mut changes = vec![(setting, path)];
        if setting == "CLIENT_SECRET_FILE" {
            changes.push(("CLIENT_SECRET", ""));
        }
        let (code, _, errors) = run(&["check-config"], environment(&simulator, &changes)).await;
        assert_eq!(code, 2, "{setting}={path}: {errors}");
        assert!(errors.ends_with("FAILED: 1 problem\n"), "{errors}");
        assert!(
            errors.starts_with(setting) && errors.contains(expected),
            "{errors}"
        );
    }
}

#[actix_rt::test]
async fn aliases_and_deep_nesting_in_the_configuration_file_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("settings.yml");
    let mut laughs = "a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha]\n".to_owned();
    for level in 1..12 {
        let before = vec![format!("*a{}", level - 1); 8].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    let deep = format!("batch_size: 5\nx: {}\n", "- ".repeat(400_000));
    let deep = deep.replace("x: - ", "x:\n  - ");
    for (text, expected) in [
        (&laughs, "line 2: aliases (*) are not supported"),
        (&deep, "line 3: too many nested levels"),
    ] {
        fs::write(&path, text).unwrap();
        let changes = [("CONFIG_FILE", path.to_str().unwrap())];
        let simulator = scripted_simulator();
        let (code, _, errors) = run(&["check-config"], environment(&simulator, &changes)).await;
        assert_eq!(code, 2, "{errors}");
        assert!(errors.contains(expected), "{errors}");
    }
}

#[actix_rt::test]
async fn a_byte_order_mark_is_dropped_in_every_file() {
    const MARK: &str = "\u{feff}";
    let authority = Authority::new();
    authority.issue(&["localhost"]).write(&authority, "server");
    let text = |name: &str| fs::read_to_string(authority.file().with_file_name(name)).unwrap();
    for name in ["server.pem", "server.key"] {
        let marked = format!("{MARK}{}", text(name));
        authority.write(name, &marked);
    }
    let ca = authority.write("ca.pem", &format!("{MARK}{}", authority.pem()));
    let web =
        format!("{MARK}tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n");
    let web = authority.write("web.yml", &web);
    let names = authority.write("names.csv", &format!("{MARK}deviceID,name\nut-1,A\n"));
    let secret = authority.write("secret", &format!("{MARK}secret\r\n"));
    let yaml = authority.write("settings.yaml", &format!("{MARK}stale_after: 77\n"));
    let toml = authority.write("settings.toml", &format!("{MARK}stale_after = 78\n"));
    let simulator = scripted_simulator();
    for (config, expected) in [(&yaml, "STALE_AFTER=77"), (&toml, "STALE_AFTER=78")] {
        let changes = [
            ("CONFIG_FILE", config.to_str().unwrap()),
            ("API_CA_FILE", ca.to_str().unwrap()),
            ("WEB_CONFIG_FILE", web.to_str().unwrap()),
            ("NAMES_FILE", names.to_str().unwrap()),
            ("CLIENT_SECRET", ""),
            ("CLIENT_SECRET_FILE", secret.to_str().unwrap()),
        ];
        // The simulator issues a token only for the secret without the mark.
        let arguments = ["check-config", "--connect"];
        let (code, output, errors) = run(&arguments, environment(&simulator, &changes)).await;
        assert_eq!((code, &*errors), (0, ""), "{output}");
        assert!(output.contains(expected), "{output}");
        assert!(output.contains("issued a token"), "{output}");
    }
}

/// Polls, scrapes and the shutdown work while a credential's file is a pipe without a writer.
#[actix_rt::test]
async fn a_credential_file_that_becomes_a_pipe_stops_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("credential");
    fs::write(&path, "secret").unwrap();
    let file = path.to_str().unwrap();
    let simulator = scripted_simulator();
    let changes = [("CLIENT_SECRET", ""), ("CLIENT_SECRET_FILE", file)];
    let (mut binary, address) = Binary::listening(&simulator, &changes).await;
    shows(address, UP, 1.0).await;
    replace_by_fifo(&path);
    let serial = |seen: &Journal| seen.polls.last().and_then(|poll| poll.token_serial);
    let before = serial(&simulator.journal());
    simulator.revoke_tokens();
    journal(&simulator, "a token by the last good secret", |seen| {
        serial(seen).is_some_and(|serial| Some(serial) > before)
    })
    .await;
    let unreadable = "cannot read a credential file: the last value stays in use";
    binary.logs(unreadable).await;
    let events = binary.events_saying(unreadable);
    assert_eq!(
        (events[0].text("file"), events[0].text("level")),
        (file, "WARN")
    );
    assert_eq!(events[0].text("error"), "is not a regular file");
    simulator.revoke_tokens();
    shows(address, UP, 1.0).await;
    let error = task_error(address, "credentials").await;
    assert_eq!(
        error.as_deref(),
        Some(&*format!("{file} is not a regular file"))
    );

    replace(&path, "secret of tomorrow");
    binary.logs("credential reloaded").await;
    assert_eq!(binary.events_saying(unreadable).len(), 1, "logged once");
    binary.signal("TERM");
    assert_eq!(binary.ended().await, Some(0));
}

/// The watcher continues: the values in use stay, and later changes are loaded.
#[actix_rt::test]
async fn watched_files_that_were_pipes_for_a_while_are_followed_again() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let users = |names: &[&str]| {
        let hash = bcrypt::hash("pear", 4).unwrap();
        let lines: String = names
            .iter()
            .map(|name| format!("  {name}: '{hash}'\n"))
            .collect();
        format!("basic_auth_users:\n{lines}")
    };
    fs::write(at("web.yml"), users(&["ann"])).unwrap();
    fs::write(at("names.csv"), "deviceID,name\nut-1,A\n").unwrap();
    let (web, names) = (at("web.yml"), at("names.csv"));
    let simulator = scripted_simulator();
    let changes = [
        ("WEB_CONFIG_FILE", web.to_str().unwrap()),
        ("NAMES_FILE", names.to_str().unwrap()),
    ];
    let (binary, address) = Binary::listening(&simulator, &changes).await;
    let status = async |user: &str| {
        use base64::Engine;
        let pair = base64::prelude::BASE64_STANDARD.encode(format!("{user}:pear"));
        let header = format!("Basic {pair}");
        get(address, "/metrics", &[("Authorization", &header)])
            .await
            .status
    };
    assert_eq!((status("ann").await, status("bob").await), (200, 401));
    replace_by_fifo(&web);
    replace_by_fifo(&names);
    for kept in [
        "cannot use the changed web configuration: the previous one stays in use",
        "cannot use the changed names file: the previous names stay in use",
    ] {
        binary.logs(kept).await;
        let events = binary.events_saying(kept);
        assert!(
            events.len() == 1 && events[0].says("is not a regular file"),
            "{events:?}"
        );
    }
    assert!(task_error(address, "web_config").await.is_some());
    assert_eq!((status("ann").await, status("bob").await), (200, 401));
    replace(&web, &users(&["ann", "bob"]));
    replace(&names, "deviceID,name\nut-1,A\nut-2,B\n");
    eventually("the new user gets in", || async {
        status("bob").await == 200
    })
    .await;
    binary.logs("names reloaded").await;
    for task in ["web_config", "names"] {
        eventually("the error is over", || async {
            task_error(address, task).await.is_none()
        })
        .await;
    }
}

#[actix_rt::test]
async fn sighup_reloads_every_file_and_logs_each() {
    let authority = Authority::new();
    let write = |name: &str, text: &str| authority.write(name, text);
    let ca = authority.file();
    let names = write("names.csv", "deviceID,name\nut-1,A\n");
    let web = write("web.yml", "http_server_config:\n");
    let secret = write("secret", "secret");
    let simulator = scripted_simulator();
    let changes = [
        ("API_CA_FILE", ca.to_str().unwrap()),
        ("WEB_CONFIG_FILE", web.to_str().unwrap()),
        ("NAMES_FILE", names.to_str().unwrap()),
        ("CLIENT_SECRET", ""),
        ("CLIENT_SECRET_FILE", secret.to_str().unwrap()),
    ];
    let (binary, _) = Binary::listening(&simulator, &changes).await;
    binary.signal("HUP");
    for message in [
        "reloading files",
        "certificate authorities are unchanged",
        "web configuration is unchanged",
        "names are unchanged",
        "credential is unchanged",
    ] {
        binary.logs(message).await;
        let events = binary.events_saying(message);
        assert!(
            events.len() == 1 && events[0].text("level") == "INFO",
            "{events:?}"
        );
    }
    replace(&names, "deviceID,name\nut-1,B\n");
    replace(&secret, "another");
    let other = Authority::named("another");
    replace(&ca, &format!("{}{}", authority.pem(), other.pem()));
    binary.signal("HUP");
    for message in [
        "names reloaded",
        "credential reloaded",
        "certificate authorities reloaded",
    ] {
        binary.logs(message).await;
    }
}

/// Compiles a library to preload, which replaces functions of the C library.
fn shim(directory: &TempDir) -> PathBuf {
    let library = directory.path().join("shim.so");
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/shim/no_threads.c"
    );
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([library.as_os_str(), source.as_ref()])
        .arg("-ldl")
        .status();
    assert!(compiled.unwrap().success());
    library
}

/// A service that cannot start threads while a file exists.
struct WithoutThreads {
    _directory: TempDir,
    forbidden: PathBuf,
    variables: Vec<(String, std::ffi::OsString)>,
}

impl WithoutThreads {
    async fn new(simulator: &Simulator, changes: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (directory, library) = spawn_blocking(move || {
            let library = shim(&directory);
            (directory, library)
        })
        .await
        .unwrap();
        let forbidden = directory.path().join("no-threads");
        let mut variables = environment(simulator, changes);
        for (name, value) in [
            ("LOG_FORMAT", "json"),
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("NO_THREADS", forbidden.to_str().unwrap()),
        ] {
            variables.push((name.to_owned(), value.into()));
        }
        Self {
            _directory: directory,
            forbidden,
            variables,
        }
    }

    fn forbid(&self) {
        fs::write(&self.forbidden, "").unwrap();
    }

    fn allow(&self) {
        fs::remove_file(&self.forbidden).unwrap();
    }

    fn start(&self) -> Binary {
        Binary::execute(&[], self.variables.clone())
    }
}

/// Pages, compressed scrapes and password checks use threads that were started with the service.
#[actix_rt::test]
async fn requests_are_answered_while_no_thread_can_be_started() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("web.yml");
    let hash = bcrypt::hash("apple", 4).unwrap();
    fs::write(&config, format!("basic_auth_users:\n  ann: '{hash}'\n")).unwrap();
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("ut-1", 1_000_000_000, 1.0)]);
    let changes = [("WEB_CONFIG_FILE", config.to_str().unwrap())];
    let starved = WithoutThreads::new(&simulator, &changes).await;
    let mut binary = starved.start();
    let address = binary.address().await;
    binary.logs("first poll succeeded").await;
    assert_eq!(get(address, "/livez", &[]).await.status, 200);
    // All threads are started: the workers of the web server run before it accepts a connection.
    starved.forbid();
    for (password, expected) in [("pear", 401), ("apple", 200)] {
        let pair = BASE64_STANDARD.encode(format!("ann:{password}"));
        let authorization = format!("Basic {pair}");
        for path in ["/", "/metrics", "/api/v1/devices"] {
            let headers = [
                ("Authorization", &*authorization),
                ("Accept-Encoding", "gzip"),
            ];
            // More than the limit of concurrent requests.
            for _ in 0..20 {
                let answer = get(address, path, &headers).await;
                assert_eq!(answer.status, expected, "{path}");
            }
        }
    }
    starved.allow();
    binary.signal("TERM");
    assert_eq!(binary.ended().await, Some(0));
}

#[actix_rt::test]
async fn a_time_without_threads_ends_no_watcher_and_no_state_file() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (names, state) = (at("names.csv"), at("state"));
    fs::write(&names, "deviceID,name\nut-1,A\n").unwrap();
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("ut-1", 1_000_000_000, 1.0)]);
    let starved = WithoutThreads::new(
        &simulator,
        &[
            ("NAMES_FILE", names.to_str().unwrap()),
            ("STATE_FILE", state.to_str().unwrap()),
            ("STATE_INTERVAL", "1"),
        ],
    )
    .await;
    let mut binary = starved.start();
    let address = binary.address().await;
    shows(address, &throughput("ut-1"), 1.0).await;
    starved.forbid();
    // Each watcher has failed to start a thread.
    for message in [
        "cannot check files for changes",
        "cannot write the state file",
    ] {
        binary.logs(message).await;
        assert_eq!(binary.events_saying(message).len(), 1);
    }
    eventually("the error is shown", || async {
        task_error(address, "names").await.is_some()
    })
    .await;
    starved.allow();
    replace(&names, "deviceID,name\nut-1,B\n");
    binary.logs("writing the state file succeeds again").await;
    binary.logs("names reloaded").await;
    assert!(task_error(address, "names").await.is_none());
    let body = scrape(address, "prometheus").await;
    let restarts = |task: &str| {
        body.value(&format!(
            r#"starlink_exporter_task_restarts_total{{task="{task}"}}"#
        ))
    };
    for task in [
        "state_file",
        "names",
        "web_config",
        "credentials",
        "authorities",
    ] {
        assert_eq!(restarts(task), Some(0.0), "{task}: no task died");
    }
    assert!(
        binary.events_saying("panic").is_empty(),
        "{}",
        binary.stderr()
    );
    binary.signal("TERM");
    assert_eq!(binary.ended().await, Some(0));
}

#[actix_rt::test]
async fn a_start_without_threads_or_files_ends_with_1_and_says_why() {
    let simulator = scripted_simulator();
    simulator.set_default_token_answer(Some(Answer::error(500, "down")));
    let starved = WithoutThreads::new(&simulator, &[]).await;
    starved.forbid();
    let mut without_threads = starved.start();
    let settings = environment(&simulator, &[]);
    let mut ended = vec![(without_threads.ended().await, without_threads.stderr())];
    for limit in [8, 12, 20, 40] {
        let prelude = format!("ulimit -n {limit}");
        let mut binary = Binary::execute_after(&prelude, &[], settings.clone());
        ended.push((binary.ended().await, binary.stderr()));
    }
    for (number, (code, errors)) in ended.iter().enumerate() {
        assert_eq!(*code, Some(1), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        let (what, why) = match number {
            0 => ("threads are needed", "Resource temporarily unavailable"),
            _ => ("files must be opened", "Too many open files"),
        };
        assert!(
            errors.starts_with("cannot start: ") && errors.contains(what),
            "{errors}"
        );
        assert!(errors.contains(why), "{errors}");
        assert!(
            !errors.contains("panic") && !errors.contains("Os {"),
            "{errors}"
        );
    }
}
