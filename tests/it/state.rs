//! What a process leaves to the one after it, however it ends.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use starlink_telemetry::actors::faults::{Fault, Inject, Place};
use starlink_telemetry::app::Ending;
use starlink_telemetry::fleet::{FleetOptions, Limits, Retention};
use starlink_telemetry::simulator::{Answer, Simulator};
use starlink_telemetry::state_file::StateFile;
use starlink_telemetry::telemetry::FieldFilter;

use crate::binary::Binary;
use crate::form::{self, Body};
use crate::harness::{
    PATIENCE, Service, environment, eventually, scripted_simulator, shows, terminal_row, throughput,
};
use crate::wire::get;

const FAILURES: &str = "starlink_exporter_state_write_failures_total";
const LAST_WRITE: &str = "starlink_exporter_state_last_write_timestamp_seconds";

/// The samples about devices.
fn telemetry(body: &Body) -> Vec<(String, f64)> {
    let samples = body.beginning("starlink_").into_iter();
    let own = |series: &str| series.starts_with("starlink_exporter_") || series == "starlink_up";
    samples
        .filter(|(series, _)| !own(series))
        .map(|(series, value)| (series.to_owned(), value))
        .collect()
}

/// A simulator that delivers a terminal and its allocation, then another terminal.
fn simulator() -> Simulator {
    let simulator = scripted_simulator();
    simulator.push_body(include_str!("../fixtures/stream/example.json"));
    simulator.push_rows([terminal_row("second", 1_000_000_000, 1.0)]);
    simulator
}

#[actix_rt::test]
async fn a_restart_shows_everything_at_once_while_starlink_is_out_of_reach() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let changes = [("STATE_FILE", path.to_str().unwrap())];
    let simulator = simulator();
    let mut first = Service::start(&simulator, &changes).await;
    first.shows(&throughput("second"), 1.0).await;
    let before = telemetry(&first.scrape().await);
    assert!(
        before
            .iter()
            .any(|(series, _)| series.contains("Ipv4_numeric")),
        "{before:?}"
    );
    first.ask_to_stop();
    assert_eq!(first.ended().await, Ending::Asked);

    simulator.unplug();
    let second = Service::start(&simulator, &changes).await;
    let body = second.scrape().await;
    assert_eq!(telemetry(&body), before);
    assert_eq!(body.value("starlink_up"), Some(0.0));
    assert_eq!(
        second.get("/readyz").await.status,
        503,
        "no poll has succeeded"
    );
    assert_eq!(body.value(LAST_WRITE), None, "it has been read only");
}

#[actix_rt::test]
async fn a_restored_device_goes_on_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let changes = [("STATE_FILE", path.to_str().unwrap())];
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("a", 5_000_000_000, 5.0)]);
    let mut first = Service::start(&simulator, &changes).await;
    first.shows(&throughput("a"), 5.0).await;
    first.ask_to_stop();
    first.ended().await;

    // The older row is ignored, the newer one counts.
    simulator.push_rows([terminal_row("a", 4_000_000_000, 4.0)]);
    simulator.push_rows([terminal_row("b", 4_000_000_000, 4.0)]);
    let second = Service::start(&simulator, &changes).await;
    second.shows(&throughput("b"), 4.0).await;
    second.shows(&throughput("a"), 5.0).await;
    simulator.push_rows([terminal_row("a", 6_000_000_000, 6.0)]);
    second.shows(&throughput("a"), 6.0).await;
}

#[actix_rt::test]
async fn a_file_of_no_use_is_told_set_aside_and_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    fs::write(&path, "somebody else's").unwrap();
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("a", 1_000_000_000, 1.0)]);
    let changes = [
        ("STATE_FILE", path.to_str().unwrap()),
        ("STATE_INTERVAL", "1"),
    ];
    let (binary, address) = Binary::listening(&simulator, &changes).await;
    let told = binary.events_saying("state file is unusable, starting empty");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].text("level"), "ERROR");
    assert!(told[0].says("it is no state file"), "{told:?}");
    let aside = directory.path().join("state.broken");
    assert_eq!(fs::read_to_string(aside).unwrap(), "somebody else's");
    eventually("the state is written", || async {
        form::scrape(address, "prometheus")
            .await
            .value(LAST_WRITE)
            .is_some()
    })
    .await;
    assert!(restored(&path).is_some());
}

/// A pipe is no file: nobody waits for who might write into it.
#[actix_rt::test]
async fn a_pipe_in_the_place_of_the_file_stops_no_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let simulator = scripted_simulator();
    let changes = [("STATE_FILE", path.to_str().unwrap())];
    let (binary, _) = Binary::listening(&simulator, &changes).await;
    let told = binary.events_saying("state file is unusable, starting empty");
    assert!(told[0].says("it is no state file"), "{told:?}");
}

/// What is known is lost then, but the file of before stays.
#[actix_rt::test]
async fn a_store_that_hangs_does_not_keep_the_process_from_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("a", 1_000_000_000, 1.0)]);
    let changes = [("STATE_FILE", path.to_str().unwrap())];
    let mut service = Service::start(&simulator, &changes).await;
    service.shows(&throughput("a"), 1.0).await;
    let hang = Fault::Hang(Duration::from_secs(20));
    let injected = service.store.send(Inject(Place::Future, hang)).await;
    assert!(injected.is_ok());
    let since = Instant::now();
    service.ask_to_stop();
    assert_eq!(service.ended().await, Ending::Asked);
    // Of a process that ends in 5 s, and a machine that has other things to do.
    assert!(since.elapsed() < Duration::from_secs(8));
    assert!(restored(&path).is_none(), "nothing half written");
}

/// How many devices the file has, if it is whole. The test fails if it is there and is not.
fn restored(path: &Path) -> Option<usize> {
    let day = Duration::from_secs(86_400);
    let options = FleetOptions {
        include_routers: true,
        fields: FieldFilter::EVERYTHING,
        retention: Retention {
            stale_after: day,
            ip_stale_after: day,
            forget_after: day,
        },
        limits: Limits::STANDARD,
    };
    let file = StateFile::new(path.to_owned());
    let mut restored = file.read(options, SystemTime::now()).unwrap()?;
    restored.fleet.expire(restored.now);
    let tables = restored.fleet.snapshot().tables;
    Some(tables.iter().map(|table| table.counts.all()).sum())
}

/// A state file that cannot be written is told once, counted, and disturbs nothing; `mend` makes it possible again, if it can be.
async fn unwritable(mut binary: Binary, simulator: &Simulator, mend: Option<&dyn Fn()>) {
    let address = binary.address().await;
    eventually("it fails again and again", || async {
        form::scrape(address, "prometheus").await.value(FAILURES) >= Some(3.0)
    })
    .await;
    simulator.push_rows([terminal_row("a", 1_000_000_000, 1.0)]);
    shows(address, &throughput("a"), 1.0).await;
    assert_eq!(get(address, "/livez", &[]).await.status, 200);
    let told = binary.events_saying("cannot write the state file");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].text("level"), "ERROR");
    if let Some(mend) = mend {
        mend();
        binary.logs("writing the state file succeeds again").await;
        let body = form::scrape(address, "prometheus").await;
        assert!(body.value(LAST_WRITE).is_some());
    }
    binary.signal("TERM");
    assert_eq!(binary.ended().await, Some(0));
}

#[actix_rt::test]
async fn a_path_that_cannot_be_written_is_told_once_and_again_when_it_can() {
    let directory = tempfile::tempdir().unwrap();
    // Not even the superuser can write below a file.
    let parent = directory.path().join("parent");
    fs::write(&parent, "").unwrap();
    let path = parent.join("state");
    let simulator = scripted_simulator();
    let changes = [
        ("STATE_FILE", path.to_str().unwrap()),
        ("STATE_INTERVAL", "1"),
    ];
    let mend = || {
        fs::remove_file(&parent).unwrap();
        fs::create_dir(&parent).unwrap();
    };
    let binary = Binary::start(&simulator, &changes);
    unwritable(binary, &simulator, Some(&mend)).await;
    assert_eq!(restored(&path), Some(1));
}

#[actix_rt::test]
async fn a_disk_that_takes_no_more_is_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let simulator = scripted_simulator();
    let changes = [
        ("STATE_FILE", path.to_str().unwrap()),
        ("STATE_INTERVAL", "1"),
        ("LOG_FORMAT", "json"),
    ];
    // Writing fails behind the first byte of any file.
    let prelude = "trap '' XFSZ && ulimit -f 0";
    let binary = Binary::execute_after(prelude, &[], environment(&simulator, &changes));
    unwritable(binary, &simulator, None).await;
    assert_eq!(restored(&path), None);
    let left = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(left, 0, "nothing unfinished is left behind");
}

/// Waits until there is more than the file and what an earlier process left.
async fn is_being_written(directory: &Path) {
    let files = || -> Vec<_> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    let before = files();
    let deadline = Instant::now() + PATIENCE;
    while files().iter().all(|file| before.contains(file)) {
        assert!(Instant::now() < deadline, "nothing is written");
        actix_rt::time::sleep(Duration::from_millis(1)).await;
    }
}

#[actix_rt::test]
async fn a_kill_at_any_moment_leaves_a_whole_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let names: Vec<String> = (0..20_000).map(|number| format!("ut-{number}")).collect();
    let changes = [
        ("STATE_FILE", path.to_str().unwrap()),
        ("STATE_INTERVAL", "1"),
        ("BATCH_SIZE", "65000"),
    ];
    let simulator = scripted_simulator();
    let mut random = fastrand::Rng::new();
    let mut unfinished = 0;
    for round in 0..15_u64 {
        let rows = names.iter().map(|name| terminal_row(name, round + 1, 1.0));
        simulator.push_answer(Answer::rows(rows));
        let (mut binary, _) = Binary::listening(&simulator, &changes).await;
        eventually("there is a state file", || async { path.exists() }).await;
        // Mostly while the next one is being written, sometimes at any moment.
        if round % 5 > 0 {
            is_being_written(directory.path()).await;
        }
        actix_rt::time::sleep(Duration::from_millis(random.u64(..10))).await;
        binary.kill();
        assert_eq!(binary.ended().await, None);
        assert!(restored(&path).is_some());
        let files = fs::read_dir(directory.path()).unwrap().count();
        assert!(files <= 2, "the leftovers of earlier processes are gone");
        unfinished += usize::from(files == 2);
    }
    assert!(unfinished > 0, "no kill met a write");
    let (mut binary, address) = Binary::listening(&simulator, &changes).await;
    shows(address, &throughput("ut-19999"), 1.0).await;
    binary.signal("TERM");
    assert_eq!(binary.ended().await, Some(0));
    assert_eq!(restored(&path), Some(names.len()));
}
