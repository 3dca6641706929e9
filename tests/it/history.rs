//! Tests of the history: the real binary, the simulator and a receiver of remote write. Every row that the simulator handed out must be in
//! the receiver, at its time, with its values.

mod answers;
mod destinations;
mod disk;
mod dropped;
mod expected;
mod kills;
mod markers;
mod pairs;
mod protocols;
mod pure;
mod real;
mod refusals;
mod slow;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use starlink_telemetry::simulator::{Answer, Options, Simulator};
use tempfile::TempDir;

use self::expected::{Destination, Expected, delivered};
use crate::binary::Binary;
use crate::form::{self, Body};
use crate::harness::{eventually, row_of};
use crate::receiver::{Model, Protocol, Receiver, Reply, STALE, is_own};

const HOUR: Duration = Duration::from_secs(3600);

/// The window of a receiver that takes whatever the tests send.
const WINDOW: Duration = Duration::from_secs(33 * 3600);

/// A fleet whose terminals report four times a second, with a backlog of some rows.
fn fleet(quirks: bool) -> Options {
    Options {
        terminals: 5,
        speed: 60.0,
        quirks,
        backlog: Duration::from_secs(600),
        keeps_answers: true,
        ..Options::default()
    }
}

/// A simulator, a receiver, and the directory of a journal.
struct World {
    simulator: Simulator,
    receiver: Receiver,
    directory: TempDir,
    /// The number of polls at each end of a process.
    ends: RefCell<Vec<usize>>,
    /// The value of REMOTE_WRITE_OUT_OF_ORDER_WINDOW.
    window: &'static str,
}

impl World {
    fn new(options: Options, model: Model, window: &'static str) -> Self {
        Self {
            simulator: Simulator::start(options).unwrap(),
            receiver: Receiver::start(model),
            directory: tempfile::tempdir().unwrap(),
            ends: RefCell::default(),
            window,
        }
    }

    /// A world without terminals: all rows are pushed by the test.
    fn scripted(model: Model, window: &'static str) -> Self {
        let options = Options {
            keeps_answers: true,
            ..Options::default()
        };
        Self::new(options, model, window)
    }

    fn journal(&self) -> PathBuf {
        self.directory.path().join("journal")
    }

    /// Starts the binary with one destination, and waits until it listens.
    async fn start(&self, changes: &[(&str, &str)]) -> (Binary, SocketAddr) {
        let (journal, url) = (self.journal(), self.receiver.url());
        fs::create_dir_all(&journal).unwrap();
        let settings = [
            ("JOURNAL_DIR", journal.to_str().unwrap()),
            ("REMOTE_WRITE_URL", url.as_str()),
            ("REMOTE_WRITE_OUT_OF_ORDER_WINDOW", self.window),
        ];
        let all: Vec<_> = settings.iter().chain(changes).copied().collect();
        Binary::listening(&self.simulator, &all).await
    }

    /// The same with a file of destinations instead.
    async fn start_with(
        &self,
        destinations: &str,
        changes: &[(&str, &str)],
    ) -> (Binary, SocketAddr) {
        let file = self.write_destinations(destinations);
        let settings = [
            ("REMOTE_WRITE_FILE", file.to_str().unwrap()),
            ("REMOTE_WRITE_URL", ""),
            ("REMOTE_WRITE_OUT_OF_ORDER_WINDOW", ""),
        ];
        let all: Vec<_> = settings.iter().chain(changes).copied().collect();
        self.start(&all).await
    }

    /// Replaces the file of destinations atomically.
    fn write_destinations(&self, destinations: &str) -> PathBuf {
        let file = self.directory.path().join("destinations.yml");
        let new = self.directory.path().join("destinations.new");
        fs::write(&new, format!("remote_write:\n{destinations}")).unwrap();
        fs::rename(&new, &file).unwrap();
        file
    }

    /// Hands out an answer with a row of each of these terminals, this long ago.
    async fn push(&self, terminals: &[&str], value: f64, age: Duration) {
        let before = rows_of(&self.simulator.journal());
        let rows = terminals.iter().map(|id| row_at(id, value, age));
        self.simulator.push_rows(rows);
        let wanted = |seen: &_| rows_of(seen) >= before + terminals.len() as u64;
        crate::harness::journal(&self.simulator, "the rows are handed out", wanted).await;
    }

    /// Waits until the receiver has all rows so far. Further rows may follow.
    async fn is_up_to_date(&self) {
        eventually("the receiver has all rows", || async {
            let expected = self.expected(Destination::default());
            let stored = self.receiver.store().samples;
            expected.problems(&stored).is_empty()
        })
        .await;
    }

    /// Waits until the simulator has handed out so many more rows.
    async fn hands_out(&self, rows: u64) {
        let before = self.simulator.journal().rows_handed_out;
        let handed_out = |seen: &_| rows_of(seen) >= before + rows;
        crate::harness::journal(&self.simulator, "rows are handed out", handed_out).await;
    }

    /// Kills a process.
    async fn kill(&self, binary: &mut Binary) {
        binary.kill();
        assert_eq!(binary.ended().await, None);
        self.has_ended().await;
    }

    /// Ends a process by a signal.
    async fn stop(&self, binary: &mut Binary) {
        binary.signal("TERM");
        assert_eq!(binary.ended().await, Some(0));
        self.has_ended().await;
    }

    /// Notes which answer a process may have lost that has ended: a shutdown, too, cuts a poll whose answer may be on its way.
    async fn has_ended(&self) {
        // The poll of the process ends before the next one begins.
        crate::harness::journal(&self.simulator, "no poll is in flight", |seen| {
            seen.polls_in_flight == 0
        })
        .await;
        let polls = self.simulator.journal().polls.len();
        self.ends.borrow_mut().push(polls);
    }

    fn expected(&self, destination: Destination<'_>) -> Expected {
        Expected::of(
            &delivered(&self.simulator, &self.ends.borrow()),
            destination,
        )
    }

    /// Waits until the receiver has all that it must have, and checks that it has nothing else. No further rows are handed out.
    async fn is_complete(&self, destination: Destination<'_>) {
        ends(&self.simulator).await;
        let expected = self.expected(destination);
        assert!(expected.required() > 0, "the test has rows");
        is_complete(&self.receiver, &expected).await;
    }
}

/// An entry of the file of destinations. `more` are further keys, each on a line of its own.
fn entry(name: &str, receiver: &Receiver, more: &[&str]) -> String {
    entry_at(name, &receiver.url(), more)
}

/// The same of a receiver at this URL.
fn entry_at(name: &str, url: &str, more: &[&str]) -> String {
    let mut entry = format!("  - name: {name}\n    url: {url}\n");
    for line in more {
        entry.push_str(&format!("    {line}\n"));
    }
    entry
}

/// A terminal's row, this long ago.
fn row_at(id: &str, value: f64, age: Duration) -> String {
    let time = SystemTime::now() - age;
    let time = time.duration_since(UNIX_EPOCH).unwrap();
    row_of(id, time.as_nanos() as u64, value)
}

fn rows_of(journal: &starlink_telemetry::simulator::Journal) -> u64 {
    journal.rows_handed_out
}

/// Ends the rows of a simulator, and waits until the service has acknowledged the last answer with rows: it has begun a further poll.
async fn ends(simulator: &Simulator) {
    let empty = Answer::rows([""; 0]).delay(Duration::from_millis(100));
    simulator.set_default_answer(Some(empty));
    let polls = simulator.journal().polls.len();
    let has_polled = |seen: &_| polls_of(seen) >= polls + 2;
    crate::harness::journal(simulator, "a further poll", has_polled).await;
}

fn polls_of(journal: &starlink_telemetry::simulator::Journal) -> usize {
    journal.polls.len()
}

/// Waits until a receiver has what is expected.
async fn is_complete(receiver: &Receiver, expected: &Expected) {
    let mut problems = expected.problems(&receiver.store().samples);
    let deadline = std::time::Instant::now() + crate::harness::WAIT_LIMIT;
    while !problems.is_empty() && std::time::Instant::now() < deadline {
        actix_rt::time::sleep(Duration::from_millis(100)).await;
        problems = expected.problems(&receiver.store().samples);
    }
    let count = problems.len();
    problems.truncate(10);
    let of = (expected.required(), receiver.store().len());
    assert!(count == 0, "{count} problems of {of:?}: {problems:#?}");
    let mut violations = receiver.violations();
    violations.truncate(10);
    assert!(violations.is_empty(), "{violations:#?}");
}

/// The value of a metric of the default account's sender to a destination. `labels` begins with a comma.
fn of_sender(body: &Body, name: &str, destination: &str, labels: &str) -> Option<f64> {
    body.value(&format!(
        r#"starlink_exporter_remote_write_{name}{{account="default",destination="{destination}"{labels}}}"#
    ))
}

/// Waits until a metric of the default destination has a value.
async fn reports(address: SocketAddr, name: &str, labels: &str, wanted: impl Fn(f64) -> bool) {
    eventually(&format!("{name}{labels}"), || async {
        let body = form::scrape(address, "prometheus").await;
        of_sender(&body, name, "default", labels).is_some_and(&wanted)
    })
    .await;
}

/// A receiver, and how it is told to the service.
fn receivers() -> [(Model, &'static str, Protocol, bool); 4] {
    [
        (Model::prometheus(WINDOW), "33h", Protocol::V2, true),
        (Model::prometheus(Duration::ZERO), "0", Protocol::V2, false),
        (
            Model::prometheus_2_42(Duration::ZERO),
            "0",
            Protocol::V1,
            false,
        ),
        (Model::victoria_metrics(), "unlimited", Protocol::V1, true),
    ]
}

#[actix_rt::test]
async fn rows_reach_each_receiver_at_their_times() {
    let each = receivers().map(|(model, window, protocol, has_window)| async move {
        // Rows that are delivered out of order would be left out without a window.
        let world = World::new(fleet(has_window), model, window);
        let (binary, address) = world.start(&[]).await;
        world.hands_out(100).await;
        let destination = Destination {
            has_window,
            ..Destination::default()
        };
        world.is_complete(destination).await;
        let requests = world.receiver.requests_with_rows();
        let last = requests.last().unwrap();
        assert_eq!(last.protocol(), Some(protocol));
        assert_eq!(last.target, "/api/v1/write");
        let has_own = |series: &String| is_own(series) && series.starts_with("starlink_up{");
        world
            .receiver
            .stores("the exporter's own series", |store| {
                store.samples.keys().any(has_own)
            })
            .await;
        let of_version = f64::from(protocol as u8) + 1.0;
        reports(address, "protocol_version", "", |it| it == of_version).await;
        reports(address, "pending_rows", "", |it| it == 0.0).await;
        reports(address, "samples_total", "", |it| it > 0.0).await;
        assert_eq!(binary.events_at("ERROR").len(), 0);
        if !has_window {
            let is_slice = |request: &crate::receiver::Request| {
                let mut series = request.series().iter();
                series.all(|series| series.samples.len() == 1)
            };
            assert!(requests.iter().all(is_slice), "one time slice in a request");
        }
    });
    join_all(each).await;
}

#[actix_rt::test]
async fn rows_wait_for_a_receiver_that_is_away() {
    let each = receivers().map(|(model, window, _, has_window)| async move {
        let world = World::new(fleet(has_window), model, window);
        let (mut binary, address) = world.start(&[]).await;
        world.hands_out(30).await;
        world
            .receiver
            .stores("the first rows", |store| store.len() > 0)
            .await;
        world.receiver.unplug();
        world.hands_out(60).await;
        reports(address, "pending_rows", "", |it| it > 0.0).await;
        world.receiver.plug();
        world.hands_out(10).await;
        let destination = Destination {
            has_window,
            ..Destination::default()
        };
        world.is_complete(destination).await;
        world.stop(&mut binary).await;
    });
    join_all(each).await;
}

/// The receiver is away from the start of the first process to some time after the start of the second one.
#[actix_rt::test]
async fn rows_survive_a_restart() {
    let each = receivers().map(|(model, window, _, has_window)| async move {
        let world = World::new(fleet(has_window), model, window);
        world.receiver.unplug();
        let (mut first, _) = world.start(&[]).await;
        world.hands_out(60).await;
        world.stop(&mut first).await;
        let (mut second, _) = world.start(&[]).await;
        world.hands_out(30).await;
        world.receiver.plug();
        world.hands_out(30).await;
        let destination = Destination {
            has_window,
            ..Destination::default()
        };
        world.is_complete(destination).await;
        world.stop(&mut second).await;
        // A third process has nothing to send but its own series.
        let rows = world.receiver.requests_with_rows().len();
        let (_third, address) = world.start(&[]).await;
        reports(address, "pending_rows", "", |it| it == 0.0).await;
        assert_eq!(world.receiver.requests_with_rows().len(), rows);
    });
    join_all(each).await;
}
