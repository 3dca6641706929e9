//! Tests of `starlink_device_name` and of the names file, which may change at any time.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use flate2::read::GzDecoder;
use starlink_telemetry::app::Tuning;
use starlink_telemetry::simulator::{AnswerBody, Simulator};
use tempfile::TempDir;

use crate::binary::{Binary, run};
use crate::form::{self, Body, FORMATS, scrape};
use crate::harness::{
    Service, UP, environment, eventually, scripted_simulator, terminal_row, throughput,
};
use crate::wire::get;

const FAMILY: &str = "starlink_device_name";

/// A file of names.
struct NamesFile {
    directory: TempDir,
}

impl NamesFile {
    fn new(text: &str) -> Self {
        let file = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        file.write(text);
        file
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("names.csv")
    }

    fn write(&self, text: &str) {
        // Atomically, because the service may read the file at any time.
        let beside = self.directory.path().join("new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.path()).unwrap();
    }

    /// The value of `NAMES_FILE`.
    fn setting(&self) -> String {
        self.path().display().to_string()
    }
}

fn series(device_type: &str, id: &str, name: &str, group: &str) -> String {
    format!(
        r#"{FAMILY}{{device_type="{device_type}",deviceID="{id}",name="{name}",group="{group}"}}"#
    )
}

/// The family's series; each has the value 1.
fn named(body: &Body) -> BTreeSet<&str> {
    let samples = body.beginning(FAMILY);
    assert!(samples.values().all(|value| *value == 1.0), "{samples:?}");
    samples.into_keys().collect()
}

/// A service that checks its files continuously, with these terminals.
async fn service(simulator: &Simulator, ids: &[&str], changes: &[(&str, &str)]) -> Service {
    simulator.push_rows(ids.iter().map(|id| terminal_row(id, 1_000_000_000, 1.5)));
    let tuning = Tuning {
        reload_interval: Duration::from_millis(50),
        ..Tuning::default()
    };
    let service = Service::tuned(simulator, changes, tuning).await;
    for id in ids {
        service.shows(&throughput(id), 1.5).await;
    }
    service
}

/// A scrape that accepts gzip.
async fn scrape_compressed(address: SocketAddr) -> Body {
    let target = "/metrics?format=openmetrics";
    let answer = get(address, target, &[("Accept-Encoding", "gzip")]).await;
    assert_eq!(answer.header("content-encoding").as_deref(), Some("gzip"));
    let mut text = String::new();
    GzDecoder::new(&answer.bytes[..])
        .read_to_string(&mut text)
        .unwrap();
    form::read(&text, "openmetrics")
}

#[actix_rt::test]
async fn devices_of_every_type_have_names_in_every_format() {
    let file = NamesFile::new(
        "\u{feff}group,IMO,name,deviceID\r\nnorth,9000001,Aurora,ut-1\r\n,,Borealis,ut-2\r\nnorth,,Aurora's router,router-1\r\n\
         ,,Other,x-1\r\nnorth,,Never seen,ut-9\r\n",
    );
    let simulator = scripted_simulator();
    simulator.push_answer(
        AnswerBody::new()
            .columns("x", &["DeviceType", "UtcTimestampNs", "DeviceId", "Number"])
            .rows([
                r#"["r",1700000001000000000,"router-1",5]"#,
                r#"["x",1700000001000000000,"x-1",5]"#,
            ]),
    );
    let changes = [
        ("NAMES_FILE", &*file.setting()),
        ("INCLUDE_ROUTERS", "true"),
    ];
    let service = service(&simulator, &["ut-1", "ut-2", "ut-3"], &changes).await;
    let expected = [
        series("UserTerminal", "ut-1", "Aurora", "north"),
        series("UserTerminal", "ut-2", "Borealis", ""),
        series("Router", "router-1", "Aurora's router", "north"),
        series("x", "x-1", "Other", ""),
    ];
    let expected: BTreeSet<_> = expected.iter().map(String::as_str).collect();
    for format in FORMATS {
        let body = scrape(service.address, format).await;
        assert_eq!(named(&body), expected, "{format}");
        assert_eq!(body.family(FAMILY).unwrap().kind, "gauge", "{format}");
    }
    assert_eq!(named(&scrape_compressed(service.address).await), expected);
    // The API finds them by the same names.
    let found = service.get("/api/v1/devices?search=AURORA").await;
    let found: serde_json::Value = serde_json::from_str(&found.body).unwrap();
    assert_eq!(found["total"], 2, "{found}");
}

#[actix_rt::test]
async fn a_silent_device_keeps_its_name() {
    let file = NamesFile::new("deviceID,name\nut-1,Aurora\n");
    let simulator = scripted_simulator();
    let changes = [("NAMES_FILE", &*file.setting()), ("STALE_AFTER", "1")];
    simulator.push_rows([terminal_row("ut-1", 1_000_000_000, 1.5)]);
    let service = Service::start(&simulator, &changes).await;
    let online = r#"starlink_online{device_type="UserTerminal",deviceID="ut-1"}"#;
    service.shows(online, 0.0).await;
    let body = service.scrape().await;
    assert!(!body.has(&throughput("ut-1")));
    assert!(body.has(&series("UserTerminal", "ut-1", "Aurora", "")));
}

#[actix_rt::test]
async fn a_change_of_the_file_shows_in_plain_and_compressed_scrapes() {
    let file = NamesFile::new("deviceID,name,group\nut-1,Aurora,north\n");
    let simulator = scripted_simulator();
    let service = service(
        &simulator,
        &["ut-1", "ut-2"],
        &[("NAMES_FILE", &file.setting())],
    )
    .await;
    let one = |name, group| series("UserTerminal", "ut-1", name, group);
    let two = |name, group| series("UserTerminal", "ut-2", name, group);
    for (text, expected) in [
        (None, vec![one("Aurora", "north")]),
        (
            Some("deviceID,name,group\nut-1,Aurora,south\n"),
            vec![one("Aurora", "south")],
        ),
        (
            Some("deviceID,name,group\nut-2,Borealis,\nut-1,Aurora,south\n"),
            vec![one("Aurora", "south"), two("Borealis", "")],
        ),
        (Some("deviceID,name\n"), vec![]),
        (
            Some("deviceID,name\nut-2,Borealis\n"),
            vec![two("Borealis", "")],
        ),
    ] {
        if let Some(text) = text {
            file.write(text);
        }
        let expected: BTreeSet<_> = expected.iter().map(String::as_str).collect();
        eventually("compressed bodies show the names", || async {
            named(&scrape_compressed(service.address).await) == expected
        })
        .await;
        // No later scrape shows the previous names, compressed or not.
        assert_eq!(named(&service.scrape().await), expected);
        assert_eq!(named(&scrape_compressed(service.address).await), expected);
    }
}

#[actix_rt::test]
async fn a_file_that_becomes_invalid_changes_nothing_and_is_logged_once() {
    let file = NamesFile::new("deviceID,name\nut-1,Aurora\n");
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("ut-1", 1_000_000_000, 1.5)]);
    let settings = [("NAMES_FILE", &*file.setting())];
    let (binary, address) = Binary::listening(&simulator, &settings).await;
    let name = async || {
        let body = scrape(address, "prometheus").await;
        let named = named(&body).into_iter().map(str::to_owned);
        named.collect::<Vec<_>>()
    };
    let old = [series("UserTerminal", "ut-1", "Aurora", "")];
    eventually("the name is shown", || async { name().await == old }).await;
    assert_eq!(
        binary.events_saying("names read")[0].value("names"),
        Some(&1.into())
    );

    file.write("deviceID,name\nut-1,Borealis\nut-1,needle\n");
    let warning = "cannot use the changed names file: the previous names stay in use";
    binary.logs(warning).await;
    assert_eq!(name().await, old);
    // The file is checked repeatedly, but only a different mistake is logged again.
    file.write("deviceID\nut-1\n");
    eventually("the next mistake is logged", || async {
        binary.events_saying(warning).len() > 1
    })
    .await;
    let logged = binary.events_saying(warning);
    assert_eq!(logged.len(), 2);
    assert_ne!(logged[0].text("error"), logged[1].text("error"));
    let error = format!(
        "{} line 3: duplicate deviceID (first on line 2)",
        file.setting()
    );
    assert_eq!(
        (logged[0].text("error"), logged[0].text("level")),
        (&*error, "WARN")
    );
    assert_eq!(name().await, old);

    file.write("deviceID,name\nut-1,Borealis\nut-2,Carina\n");
    binary.logs("names reloaded").await;
    let logged = binary.events_saying("names reloaded");
    assert_eq!(
        (logged[0].value("names"), logged[0].text("level")),
        (Some(&2.into()), "INFO")
    );
    assert_eq!(
        name().await,
        [series("UserTerminal", "ut-1", "Borealis", "")]
    );
}

#[actix_rt::test]
async fn an_invalid_file_is_reported_at_the_start_with_all_other_wrong_settings() {
    let simulator = scripted_simulator();
    let broken = NamesFile::new("deviceID|name|group\nneedle|needle|needle\n");
    let path = broken.setting();
    let directory = broken.directory.path().display().to_string();
    for (path, expected) in [
        (
            &path,
            format!(
                "NAMES_FILE: {path} line 1: no column deviceID: the first line must name the columns, for example deviceID,name,group\n"
            ),
        ),
        (
            &directory,
            format!("NAMES_FILE: {directory} is not a regular file\n"),
        ),
    ] {
        for command in [&[][..], &["check-config"]] {
            let settings = [("NAMES_FILE", &**path), ("LOCATION", "perhaps")];
            let (code, _, errors) = run(command, environment(&simulator, &settings)).await;
            assert_eq!(code, 2, "{errors}");
            assert!(errors.starts_with(&expected), "{errors}");
            let problems = errors.lines().filter(|line| !line.starts_with("FAILED"));
            assert_eq!(problems.count(), 2, "and the other one: {errors}");
        }
    }
    let settings = [("NAMES_FILE", "/nowhere/names.csv")];
    let (code, _, errors) = run(&["check-config"], environment(&simulator, &settings)).await;
    assert_eq!(code, 2);
    let expected = "NAMES_FILE: /nowhere/names.csv cannot be read: ";
    assert!(errors.starts_with(expected), "{errors}");
}

#[actix_rt::test]
async fn hostile_names_are_escaped_as_labels_are() {
    let hostile = "a\"} 1\n# EOF\nstarlink_up 0\\n\u{1b}[31m\t\u{0}é{,=";
    let escaped = "a\\\"} 1\\n# EOF\\nstarlink_up 0\\\\n\u{1b}[31m\t\u{0}é{,=";
    let cell = format!("\"{}\"", hostile.replace('"', "\"\""));
    let file = NamesFile::new(&format!("deviceID,name,group\n{cell},{cell},{cell}\n"));
    let simulator = scripted_simulator();
    let id = serde_json::to_string(hostile).unwrap();
    simulator.push_rows([format!(r#"["u",1700000001000000000,{id},1.5]"#)]);
    let service = Service::start(&simulator, &[("NAMES_FILE", &file.setting())]).await;
    service.shows(&throughput(escaped), 1.5).await;
    let expected = series("UserTerminal", escaped, escaped, escaped);
    for format in FORMATS {
        let body = scrape(service.address, format).await;
        assert_eq!(named(&body), BTreeSet::from([&*expected]), "{format}");
    }
}

#[actix_rt::test]
async fn each_shard_names_its_own_devices() {
    let ids: Vec<String> = (0..40).map(|number| format!("ut-{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let lines: String = ids
        .iter()
        .map(|id| format!("{id},name of {id}\n"))
        .collect();
    let file = NamesFile::new(&format!("deviceID,name\n{lines}"));
    let simulator = scripted_simulator();
    let service = service(&simulator, &ids, &[("NAMES_FILE", &file.setting())]).await;
    let whole = service.scrape().await;
    assert_eq!(named(&whole).len(), 40);
    let mut found = BTreeSet::new();
    for shard in 0..3 {
        let target = format!("/metrics?format=prometheus&total_shards=3&shard={shard}");
        let body = form::read(&service.get(&target).await.body, "prometheus");
        let names = named(&body);
        assert!(!names.is_empty() && names.len() < 40);
        for id in &ids {
            let is_named =
                names.contains(&*series("UserTerminal", id, &format!("name of {id}"), ""));
            assert_eq!(is_named, body.has(&throughput(id)), "{id} in {shard}");
        }
        for name in names {
            assert!(found.insert(name.to_owned()), "{name} twice");
        }
    }
    assert_eq!(found.len(), 40);
}

#[actix_rt::test]
async fn a_column_of_that_name_is_ignored_with_and_without_a_file() {
    let file = NamesFile::new("deviceID,name\nut-1,Aurora\n");
    let empty = NamesFile::new("deviceID,name\n");
    let ours = series("UserTerminal", "ut-1", "Aurora", "");
    for (setting, expected) in [
        (String::new(), vec![]),
        (file.setting(), vec![(&*ours, 1.0)]),
        (empty.setting(), vec![]),
    ] {
        let simulator = scripted_simulator();
        let columns = [
            "DeviceType",
            "UtcTimestampNs",
            "DeviceId",
            "device.name",
            "Uptime",
        ];
        simulator.push_answer(
            AnswerBody::new()
                .columns("u", &columns)
                .rows([r#"["u",1700000001000000000,"ut-1",7,8]"#]),
        );
        let service = Service::start(&simulator, &[("NAMES_FILE", &*setting)]).await;
        let uptime = r#"starlink_Uptime{device_type="UserTerminal",deviceID="ut-1"}"#;
        service.shows(uptime, 8.0).await;
        for format in FORMATS {
            let body = scrape(service.address, format).await;
            let found: Vec<_> = body.beginning(FAMILY).into_iter().collect();
            assert_eq!(found, expected, "{format}");
        }
    }
}

#[actix_rt::test]
async fn ids_as_other_systems_write_them_match_and_rows_without_cells_are_skipped() {
    const TERMINAL: &str = "ut01000000-00000000-00c0ffee";
    const ROUTER: &str = "Router-0100000000000000000BEEF5";
    let file = NamesFile::new(
        "deviceID;name;group\r\n01000000-00000000-00C0FFEE;Aurora, \"north\";\r\n;;\r\n0100000000000000000beef5;Its router;x\r\n;;\r\n",
    );
    let simulator = scripted_simulator();
    simulator.push_rows([format!(r#"["r",1700000001000000000,"{ROUTER}",5]"#)]);
    let changes = [
        ("NAMES_FILE", &*file.setting()),
        ("INCLUDE_ROUTERS", "true"),
    ];
    let service = service(&simulator, &[TERMINAL], &changes).await;
    let expected = [
        series("UserTerminal", TERMINAL, r#"Aurora, \"north\""#, ""),
        series("Router", ROUTER, "Its router", "x"),
    ];
    let expected: BTreeSet<_> = expected.iter().map(String::as_str).collect();
    let router =
        r#"starlink_online{device_type="Router",deviceID="Router-0100000000000000000BEEF5"}"#;
    service.shows(router, 1.0).await;
    assert_eq!(named(&service.scrape().await), expected);
}

#[actix_rt::test]
async fn names_that_match_no_device_are_counted_and_logged_with_an_example() {
    const UNMATCHED: &str = "starlink_exporter_names_unmatched";
    let file = NamesFile::new("deviceID,name\nut-1,Aurora\nKIT00012345,Borealis\nut-9,Carina\n");
    let simulator = scripted_simulator();
    let service = service(&simulator, &["ut-1"], &[("NAMES_FILE", &file.setting())]).await;
    service.shows(UNMATCHED, 2.0).await;
    let status = service.get("/api/v1/status").await;
    let status: serde_json::Value = serde_json::from_str(&status.body).unwrap();
    assert_eq!(
        status["names"],
        serde_json::json!({"known": 3, "unmatched": 2.0, "unmatched_example": "kit00012345"})
    );
    simulator.push_rows([terminal_row("ut-9", 1_000_000_000, 1.5)]);
    service.shows(UNMATCHED, 1.0).await;
    file.write("deviceID,name\nut-1,Aurora\n");
    service.shows(UNMATCHED, 0.0).await;
}

/// Without a file there is nothing to match.
#[actix_rt::test]
async fn without_a_file_no_name_is_unmatched() {
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    service.shows(UP, 1.0).await;
    let body = service.scrape().await;
    assert!(!body.has("starlink_exporter_names_unmatched"));
    let status = service.get("/api/v1/status").await;
    let status: serde_json::Value = serde_json::from_str(&status.body).unwrap();
    assert_eq!(
        status["names"],
        serde_json::json!({"known": 0, "unmatched": null, "unmatched_example": null})
    );
}
