//! Tests of the journal's directory: one that another process uses, one of another product, and a disk that refuses writes for a while.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::harness::{environment, shows};
use crate::receiver::milliseconds;

pub const DURABLE: &str = r#"starlink_exporter_journal_durable{account="default"}"#;
const FAILED_APPENDS: &str =
    r#"starlink_exporter_journal_failures_total{account="default",operation="append"}"#;

#[actix_rt::test]
async fn only_one_process_can_use_a_directory_at_a_time() {
    let world = World::scripted(Model::prometheus(WINDOW), "33h");
    let (mut first, _) = world.start(&[]).await;
    let mut second = world.start_at_once(&entry("a", &world.receiver, &[]));
    assert_eq!(second.ended().await, Some(1));
    let logged = second.events_at("ERROR");
    let journal = world.journal();
    assert_eq!(logged.len(), 1, "{}", second.stderr());
    assert!(logged[0].says(journal.to_str().unwrap()), "{logged:?}");
    // The directory is free after any end of the first process.
    first.kill();
    assert_eq!(first.ended().await, None);
    world.start(&[]).await;
}

#[actix_rt::test]
async fn a_directory_of_another_product_is_refused_untouched() {
    let world = World::scripted(Model::prometheus(WINDOW), "33h");
    let journal = world.journal();
    fs::create_dir_all(journal.join("default")).unwrap();
    let file = journal.join("default").join("00000000000000000001.segment");
    fs::write(&file, b"something else").unwrap();
    let mut binary = world.start_at_once(&entry("a", &world.receiver, &[]));
    assert_eq!(binary.ended().await, Some(2), "{}", binary.stderr());
    let stderr = binary.stderr();
    assert!(stderr.contains(journal.to_str().unwrap()), "{stderr}");
    assert_eq!(fs::read(&file).unwrap(), b"something else");
    let left = fs::read_dir(journal.join("default")).unwrap().count();
    assert_eq!(left, 1);
}

/// The directory is deleted while the service runs: that is said, rows go through memory, and the next start succeeds.
#[actix_rt::test]
async fn a_directory_that_is_deleted_does_not_stop_the_next_start() {
    let world = World::new(fleet(true), Model::prometheus(WINDOW), "33h");
    let (mut binary, address) = world.start(&[]).await;
    world.hands_out(5).await;
    shows(address, DURABLE, 1.0).await;
    delete(&world.journal());
    shows(address, DURABLE, 0.0).await;
    world.hands_out(5).await;
    assert!(!world.journal().exists());
    binary.kill();
    binary.ended().await;
    let (mut binary, address) = world.start(&[]).await;
    world.hands_out(5).await;
    shows(address, DURABLE, 1.0).await;
    assert!(world.journal().join(".format").exists());
    // Emptied while it runs.
    delete(&world.journal());
    shows(address, DURABLE, 0.0).await;
    fs::create_dir(world.journal()).unwrap();
    shows(address, DURABLE, 1.0).await;
    assert!(world.journal().join(".format").exists());
    world.stop(&mut binary).await;
}

/// Deletes a directory in which files are being made: it disappears at once.
fn delete(directory: &Path) {
    let moved = directory.with_extension("deleted");
    fs::rename(directory, &moved).unwrap();
    fs::remove_dir_all(moved).unwrap();
}

/// Sets the limit of the size of files of a running process, beyond which writes fail.
pub fn limit_files(binary: &Binary, limit: &str) {
    let status = Command::new("prlimit")
        .args(["--pid", &binary.id().to_string()])
        .arg(format!("--fsize={limit}:"))
        .status();
    assert!(status.unwrap().success());
}

/// Writing fails behind the first bytes of any file, as on a full disk, with another error. Rows reach the receivers through memory, and
/// when writing works again, the journal is durable again.
#[actix_rt::test]
async fn rows_reach_the_receiver_through_memory_while_the_disk_refuses_writes() {
    let world = World::new(fleet(true), Model::prometheus(WINDOW), "33h");
    let list = entry("default", &world.receiver, &["out_of_order_window: 33h"]);
    // Otherwise a signal would end the process.
    let mut binary = world.start_after("trap '' XFSZ", &list);
    let address = binary.address().await;
    world.hands_out(20).await;
    world.is_up_to_date_but_last().await;
    limit_files(&binary, "1");
    shows(address, DURABLE, 0.0).await;
    world.hands_out(40).await;
    // Also while the receiver is away.
    world.receiver.unplug();
    world.hands_out(20).await;
    world.receiver.plug();
    let body = form::scrape(address, "prometheus").await;
    assert!(body.value(FAILED_APPENDS) > Some(0.0));
    assert_eq!(body.value(crate::harness::UP), Some(1.0));
    limit_files(&binary, "unlimited");
    shows(address, DURABLE, 1.0).await;
    world.hands_out(20).await;
    world.is_complete(Destination::default()).await;
    let errors = binary.events_at("ERROR");
    assert_eq!(errors.len(), 1, "{errors:?}");
    let body = form::scrape(address, "prometheus").await;
    let dropped = body.moved("starlink_exporter_remote_write_rows_dropped_total");
    assert!(dropped.is_empty(), "{dropped:?}");
    world.stop(&mut binary).await;
}

/// A process whose first start finds a full disk: it polls and sends rows, and uses its journal when there is space.
#[actix_rt::test]
async fn the_first_start_succeeds_on_a_full_disk() {
    let world = World::new(fleet(true), Model::prometheus(WINDOW), "33h");
    let list = entry("default", &world.receiver, &["out_of_order_window: 33h"]);
    let mut binary = world.start_after("trap '' XFSZ && ulimit -S -f 0", &list);
    let address = binary.address().await;
    shows(address, DURABLE, 0.0).await;
    world.hands_out(20).await;
    world.is_up_to_date_but_last().await;
    limit_files(&binary, "unlimited");
    shows(address, DURABLE, 1.0).await;
    world.hands_out(20).await;
    let errors = binary.events_at("ERROR");
    assert_eq!(errors.len(), 1, "{errors:?}");
    // The next start continues there.
    world.kill(&mut binary).await;
    let (mut binary, _) = world.start(&[]).await;
    assert!(world.journal().join(".format").exists());
    world.is_complete(Destination::default()).await;
    world.stop(&mut binary).await;
}

/// An allocation that arrives while the disk is full is written when there is space: a row that is sent after a restart has its addresses.
#[actix_rt::test]
async fn what_is_sent_while_the_disk_is_full_is_known_after_a_restart() {
    let world = World::scripted(Model::prometheus(WINDOW), "33h");
    let list = entry("default", &world.receiver, &["out_of_order_window: 33h"]);
    let mut binary = world.start_after("trap '' XFSZ", &list);
    let address = binary.address().await;
    let time = milliseconds(SystemTime::now());
    let allocation = |time: i64, address: &str| {
        format!(r#"["i",{}000000,"ip-ut-a",null,["{address}"],[],[]]"#, time)
    };
    let hand_out = async |row: String| {
        let before = rows_of(&world.simulator.journal());
        world.simulator.push_rows([row]);
        let handed_out = |seen: &_| rows_of(seen) > before;
        crate::harness::journal(&world.simulator, "a row is handed out", handed_out).await;
    };
    hand_out(allocation(time - 9000, "192.0.2.1")).await;
    hand_out(markers::row(time - 8000, "1", "2", "a", "")).await;
    world.is_up_to_date().await;
    limit_files(&binary, "1");
    hand_out(allocation(time - 7000, "192.0.2.2")).await;
    shows(address, DURABLE, 0.0).await;
    reports(address, "pending_rows", "", |rows| rows == 0.0).await;
    world.receiver.unplug();
    hand_out(markers::row(time - 6000, "2", "3", "a", "")).await;
    reports(address, "pending_rows", "", |rows| rows == 1.0).await;
    limit_files(&binary, "unlimited");
    shows(address, DURABLE, 1.0).await;
    world.kill(&mut binary).await;
    world.receiver.plug();
    let (mut binary, _) = world.start_with(&list, &[]).await;
    world.is_complete(Destination::default()).await;
    let sent = world.receiver.store();
    let series = r#"starlink_Ipv4_numeric{deviceID="ut-a",device_type="UserTerminal",job="starlink-telemetry"}"#;
    let [one, two] = [8000, 6000].map(|age| sent.value(series, time - age));
    assert!(
        one.is_some() && two == one.map(|one| one + 1.0),
        "{one:?} {two:?}"
    );
    world.stop(&mut binary).await;
}

/// A real full disk: a small file system in memory, which only root can mount.
#[actix_rt::test]
async fn a_full_disk_delays_nothing_and_is_survived() {
    let world = World::new(fleet(true), Model::prometheus(WINDOW), "33h");
    let journal = world.journal();
    fs::create_dir_all(&journal).unwrap();
    let Some(_mounted) = Mounted::at(&journal) else {
        println!("skipped: only root can mount a small file system");
        return;
    };
    let (mut binary, address) = world.start(&[]).await;
    world.hands_out(20).await;
    shows(address, DURABLE, 1.0).await;
    // Writes until the disk is full.
    let filler = journal.join("filler");
    let full = Command::new("sh")
        .args(["-c", r#"head -c 64M /dev/zero >"$0" 2>/dev/null"#])
        .arg(&filler)
        .status();
    assert!(!full.unwrap().success(), "the disk is full");
    shows(address, DURABLE, 0.0).await;
    world.hands_out(40).await;
    fs::remove_file(&filler).unwrap();
    shows(address, DURABLE, 1.0).await;
    world.hands_out(20).await;
    world.is_complete(Destination::default()).await;
    world.stop(&mut binary).await;
}

/// A mounted file system of 16 MiB, which is unmounted when this is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn at(directory: &std::path::Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
            .arg(directory)
            .output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        is_mounted.then(|| Self(directory.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: the process may still have files open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

impl World {
    /// Starts a process with a file of destinations, and does not wait for it.
    pub(super) fn start_at_once(&self, destinations: &str) -> Binary {
        self.start_after("true", destinations)
    }

    /// The same after a command of the shell.
    pub(super) fn start_after(&self, prelude: &str, destinations: &str) -> Binary {
        let (journal, file) = (self.journal(), self.write_destinations(destinations));
        fs::create_dir_all(&journal).unwrap();
        let settings = [
            ("JOURNAL_DIR", journal.to_str().unwrap()),
            ("REMOTE_WRITE_FILE", file.to_str().unwrap()),
            ("LOG_FORMAT", "json"),
        ];
        Binary::execute_after(prelude, &[], environment(&self.simulator, &settings))
    }

    /// Waits until the receiver has the rows of all answers but the last ones, which may still be on their way.
    async fn is_up_to_date_but_last(&self) {
        let rows = self.simulator.journal().rows_handed_out;
        self.receiver
            .stores("the rows so far", |store| {
                let reports = store.samples.iter();
                let reports = reports.filter(|(series, _)| {
                    series.starts_with("starlink_last_report_timestamp_seconds{")
                });
                let count: usize = reports.map(|(_, samples)| samples.len()).sum();
                count as u64 + 20 >= rows
            })
            .await;
    }
}
