//! Tests of the settings of the journal and of remote write with the real binary: exit codes, the lock, what `check-config` says of
//! destinations, and destinations that come and go.

use std::fs;
use std::time::Duration;

use starlink_telemetry::simulator::{InventoryOptions, Options, Simulator};

use crate::binary::{Binary, run};
use crate::form::{self, Body};
use crate::harness::{environment, eventually, scripted_simulator};
use crate::receiver::{Model, Receiver, Reply};

#[actix_rt::test]
async fn a_directory_of_another_product_or_version_is_refused() {
    let simulator = scripted_simulator();
    for (file, content, expected) in [
        ("wal", "", "is not empty and has no journals"),
        (
            ".format",
            "starlink-telemetry journal 99\n",
            "was written by another version",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(file), content).unwrap();
        let shown = directory.path().to_str().unwrap();
        let changes = [
            ("JOURNAL_DIR", shown),
            ("REMOTE_WRITE_URL", "http://127.0.0.1:1/"),
        ];
        let mut binary = Binary::start(&simulator, &changes);
        assert_eq!(binary.ended().await, Some(2), "{}", binary.stderr());
        let stderr = binary.stderr();
        assert!(
            stderr.contains(&format!("JOURNAL_DIR: {shown} {expected}")),
            "{stderr}"
        );
        let names = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(names, 1, "nothing is added");
    }
}

#[actix_rt::test]
async fn only_one_process_can_use_a_directory_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    let shown = journal.to_str().unwrap();
    let simulator = scripted_simulator();
    let changes = [
        ("JOURNAL_DIR", shown),
        ("REMOTE_WRITE_URL", "http://127.0.0.1:1/"),
    ];
    let (mut first, _) = Binary::listening(&simulator, &changes).await;
    let mut second = Binary::start(&simulator, &changes);
    assert_eq!(second.ended().await, Some(1));
    let logged = second.events_saying("cannot start");
    let expected = format!("{shown} is in use by another process");
    assert!(
        logged[0].text("error").contains(&expected),
        "{}",
        second.stderr()
    );
    first.signal("TERM");
    assert_eq!(first.ended().await, Some(0));
    let (_third, _) = Binary::listening(&simulator, &changes).await;
}

#[actix_rt::test]
async fn check_config_estimates_the_cost_of_each_destination() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let file = "remote_write:\n  - name: a\n    url: https://a.example/write\n  - name: b\n    url: https://b.example/write?key=n33dle\n    out_of_order_window: 33h\n    protocol: \"1.0\"\n";
    fs::write(path("destinations.yaml"), file).unwrap();
    let (journal, file) = (path("journal"), path("destinations.yaml"));
    let mut changes = vec![
        ("JOURNAL_DIR", &*journal),
        ("REMOTE_WRITE_FILE", &*file),
        ("INVENTORY", "auto"),
    ];
    let settings = environment(&scripted_simulator(), &changes);
    let (code, output, errors) = run(&["check-config"], settings).await;
    assert_eq!((code, errors.as_str()), (0, ""));
    let lines: Vec<_> = output
        .lines()
        .filter(|line| line.starts_with("destination"))
        .collect();
    assert_eq!(
        lines,
        [
            "destination a: url=https://a.example/write",
            "destination b: url=https://b.example/write",
            "destination a: about 1434 samples/s, 33265 series, 27.3 kB/s per 1000 terminals (19.9 kB/s if the receiver supports remote write 2.0)",
            "destination a: out_of_order_window is 0: rows that are older than the newest row of their device are left out",
            "destination b: about 1434 samples/s, 33265 series, 27.3 kB/s per 1000 terminals",
        ]
    );
    let [with_routers, without_locations] =
        [("INCLUDE_ROUTERS", "true"), ("LOCATION", "off")].map(|change| {
            let changes = [&changes[..], &[change]].concat();
            environment(&scripted_simulator(), &changes)
        });
    let (_, output, _) = run(&["check-config"], with_routers).await;
    let expected = "destination b: about 3584 samples/s, 68265 series, 68.1 kB/s per 1000 terminals with a router each\n";
    assert!(output.contains(expected), "{output}");
    let (_, output, _) = run(&["check-config"], without_locations).await;
    let expected =
        "destination b: about 1234 samples/s, 30265 series, 23.5 kB/s per 1000 terminals\n";
    assert!(output.contains(expected), "{output}");
    let of_alert = "alert StarlinkHistoryAtRisk: ";
    assert!(!output.contains(of_alert), "{output}");
    changes.push(("JOURNAL_MAX_BYTES", "1GiB"));
    let settings = environment(&scripted_simulator(), &changes);
    let (_, output, _) = run(&["check-config"], settings).await;
    assert!(output.contains(of_alert), "{output}");
    assert!(!directory.path().join("journal").exists());
}

/// The number in the text that precedes ` series`.
fn estimated_series(output: &str) -> f64 {
    let (before, _) = output.split_once(" series, ").unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

/// What is written has the series of a scrape, so a scrape shows how many there are. Alerts are not estimated.
#[actix_rt::test]
async fn the_estimated_series_are_those_that_there_are() {
    for (routers, location, dropped, devices) in [
        ("true", "on", "-", "40 terminals and 40 routers"),
        ("false", "off", "Uptime|Ipv4", "40 terminals"),
    ] {
        // Allocations are sent every five minutes, so each service has its own simulator.
        let simulator = Simulator::start(Options {
            terminals: 40,
            routers: true,
            quirks: false,
            inventory: Some(InventoryOptions::default()),
            ..Options::default()
        })
        .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let (journal, state) = (path("journal"), path("state"));
        let changes = [
            ("JOURNAL_DIR", &*journal),
            ("STATE_FILE", &*state),
            ("REMOTE_WRITE_URL", "http://127.0.0.1:1/"),
            ("INVENTORY", "auto"),
            ("INCLUDE_ROUTERS", routers),
            ("LOCATION", location),
            ("DROP_FIELDS", dropped),
        ];
        let (mut binary, address) = Binary::listening(&simulator, &changes).await;
        let counts = |body: &Body, name: &str| body.family(name).map_or(0, |it| it.samples.len());
        eventually("the fleet and its inventory are shown", || async {
            let body = form::scrape(address, "prometheus").await;
            counts(&body, "starlink_Ipv6Cpe_numeric") == 40
                && counts(&body, "starlink_service_line_data_overage_bytes") == 40
        })
        .await;
        let body = form::scrape(address, "prometheus").await;
        let series = body
            .families
            .iter()
            .filter(|family| !family.name.starts_with("starlink_alert_active_"));
        let series = series.map(|family| family.samples.len()).sum::<usize>() as f64;
        binary.signal("TERM");
        assert_eq!(binary.ended().await, Some(0));
        let (_, output, _) = run(&["check-config"], environment(&simulator, &changes)).await;
        assert!(
            output.contains(&format!("for the {devices} of STATE_FILE")),
            "{output}"
        );
        let share = estimated_series(&output) / series;
        assert!((0.95..1.1).contains(&share), "{series}: {output}");
    }
}

#[actix_rt::test]
async fn destinations_are_reloaded_and_a_wrong_file_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let entry = |name: &str| format!("  - name: {name}\n    url: http://127.0.0.1:1/\n");
    let (journal, file) = (path("journal"), path("destinations.yaml"));
    fs::write(&file, format!("remote_write:\n{}", entry("a"))).unwrap();
    let simulator = scripted_simulator();
    let changes = [("JOURNAL_DIR", &*journal), ("REMOTE_WRITE_FILE", &*file)];
    let (binary, _) = Binary::listening(&simulator, &changes).await;
    let wrong = format!(
        "remote_write:\n{}    sigv4: {{}}\n    max_shards: 0\n",
        entry("a")
    );
    fs::write(&file, wrong).unwrap();
    let refused = "cannot use the changed destinations: the previous ones stay in use";
    binary.logs(refused).await;
    let error = binary.events_saying(refused)[0].text("error").to_owned();
    assert!(
        error.contains("line 4") && error.contains("line 5"),
        "{error}"
    );
    fs::write(
        &file,
        format!("remote_write:\n{}{}", entry("a"), entry("b")),
    )
    .unwrap();
    binary.logs("destinations reloaded").await;
}

#[actix_rt::test]
async fn check_config_asks_each_destination() {
    let newer = Receiver::start(Model::prometheus(Duration::ZERO));
    let older = Receiver::start(Model::victoria_metrics());
    let closed = Receiver::start(Model::victoria_metrics());
    let refusing = Receiver::start(Model::victoria_metrics());
    closed.unplug();
    let answer = format!("n33dle is wrong\n{}", "x".repeat(10_000));
    refusing.set_default(Some(Reply::status(401, &answer)));
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (journal, file) = (path("journal"), path("destinations.yaml"));
    let good = format!(
        "remote_write:\n  - name: newer\n    url: {}\n    tenant: account\n    headers: {{X-Key: n33dle}}\n  - name: older\n    url: {}\n",
        newer.url(),
        older.url()
    );
    let changes = [("JOURNAL_DIR", &*journal), ("REMOTE_WRITE_FILE", &*file)];
    let simulator = scripted_simulator();
    let answers = async |content: String| {
        fs::write(&file, content).unwrap();
        let settings = environment(&simulator, &changes);
        let (code, output, errors) = run(&["check-config", "--connect"], settings).await;
        assert!(!(output.clone() + &errors).contains("n33dle"), "{output}");
        let lines = output.lines().filter(|line| {
            line.starts_with("OK: destination") || line.starts_with("FAILED: destination")
        });
        let lines: Vec<_> = lines.map(str::to_owned).collect();
        (code, lines, output, errors)
    };
    let (code, lines, output, errors) = answers(good.clone()).await;
    assert_eq!((code, errors.as_str()), (0, ""), "{output}");
    let spoken = [
        "OK: destination newer, tenant default: answers status 204, and supports remote write 2.0",
        "OK: destination older: answers status 204, and supports remote write 1.0",
    ];
    assert_eq!(lines, spoken);
    assert!(
        output.ends_with(", and all 2 destinations can be written to\n"),
        "{output}"
    );
    let request = &newer.requests()[0];
    assert_eq!(request.header("x-key"), Some("n33dle"));
    assert_eq!(request.header("x-scope-orgid"), Some("default"));
    assert_eq!(older.requests().len(), 2);
    for receiver in [&newer, &older] {
        assert_eq!(receiver.violations(), Vec::<String>::new());
        assert!(
            receiver
                .requests()
                .iter()
                .all(|request| request.samples() == 0)
        );
    }

    let bad = format!(
        "{good}  - name: refusing\n    url: {}\n    authorization: {{credentials: n33dle}}\n  - name: closed\n    url: {}\n  - name: forced\n    url: {}\n    protocol: \"2.0\"\n",
        refusing.url(),
        closed.url(),
        older.url()
    );
    let (code, lines, _, errors) = answers(bad).await;
    assert_eq!(code, 1);
    assert_eq!(lines[..2], spoken);
    for (line, (beginning, end)) in lines[2..].iter().zip([
        (
            "FAILED: destination refusing: status 401: ",
            "correct basic_auth or authorization",
        ),
        (
            "FAILED: destination closed: ",
            "until the receiver takes them",
        ),
        (
            "FAILED: destination forced: status 204",
            "or to the other version",
        ),
    ]) {
        assert!(line.starts_with(beginning) && line.ends_with(end), "{line}");
        assert!(line.len() < 600, "{line}");
    }
    let expected = "3 of 5 destinations cannot be written to: refusing, closed, forced";
    assert!(errors.contains(expected), "{errors}");
    assert!(!directory.path().join("journal").exists());
}

#[actix_rt::test]
async fn the_start_logs_the_destinations_without_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("journal");
    let shown = journal.to_str().unwrap();
    let changes = [
        ("JOURNAL_DIR", shown),
        ("REMOTE_WRITE_URL", "http://127.0.0.1:1/write?key=n33dle"),
    ];
    let (binary, _) = Binary::listening(&scripted_simulator(), &changes).await;
    binary.logs("destination").await;
    assert_eq!(
        binary.events_saying("settings")[0].text("journal_dir"),
        shown
    );
    let destination = &binary.events_saying("destination")[0];
    assert_eq!(destination.text("destination"), "default");
    assert_eq!(destination.text("url"), "http://127.0.0.1:1/write");
    assert!(!binary.stderr().contains("n33dle"));
}

#[actix_rt::test]
async fn a_user_name_and_a_password_file_are_sent() {
    let receiver = Receiver::start(Model::prometheus(Duration::ZERO));
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (journal, password, url) = (path("journal"), path("password"), receiver.url());
    fs::write(&password, "open sesame\n").unwrap();
    let changes = [
        ("JOURNAL_DIR", journal.as_str()),
        ("REMOTE_WRITE_URL", url.as_str()),
        ("REMOTE_WRITE_USERNAME", "Aladdin"),
        ("REMOTE_WRITE_PASSWORD_FILE", password.as_str()),
    ];
    let (_binary, _) = Binary::listening(&scripted_simulator(), &changes).await;
    receiver
        .gets("a request", |requests| !requests.is_empty())
        .await;
    // The example of RFC 7617, section 2.
    let expected = Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    for request in receiver.requests() {
        assert_eq!(request.header("authorization"), expected);
    }
}
