//! Tests of the files that settings name: special files, invalid contents, and the service while files cannot be read.

pub mod exhaustion;

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
async fn a_credential_file_that_becomes_a_pipe_does_not_block_the_service() {
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
