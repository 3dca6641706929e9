//! A journal on disk, a sender and a receiver, with a clock that the tests move.

use std::collections::BTreeSet;
use std::time::{Instant, SystemTime};

use actix::{Actor, Addr, Arbiter};
use tempfile::TempDir;

use super::super::*;
use super::receiver::{Received, Receiver};
use crate::account::{BatchId, Handover, OfferAnswer, StreamId};
use crate::fleet::{Coverage, FleetOptions, RowSpan};
use crate::history::Protocol;
use crate::history::encode::tests::decode_body;
use crate::journal::{JournalDirectory, MemoryBudget, Start};
use crate::recording::journal::{JournalActor, JournalOptions};
use crate::recording::messages::{Finish, Subscription};
use crate::recording::status::{DestinationStatus, JournalStatus, SenderStatus};
use crate::remote_write::Destination;
use crate::store::Published;
use crate::supervise::{SupervisionPolicy, Supervisor};
use crate::telemetry::decode;
use crate::time::{ManualTime, unix_nanos};
use std::sync::Arc;
use std::time::Duration;

/// The longest wait for a condition.
const PATIENCE: Duration = Duration::from_secs(30);

/// A sample of the column Speed: device, time in milliseconds, and value.
pub(super) type Sample = (String, i64, u64);

pub(super) struct World {
    files: TempDir,
    directory: Arc<JournalDirectory>,
    pub(super) clock: Clock,
    pub(super) time: ManualTime,
    pool: Pool,
    pub(super) budget: Budget,
    pub(super) destination: Arc<DestinationStatus>,
    pub(super) status: Arc<SenderStatus>,
    journal: Addr<JournalActor>,
    pub(super) sender: Addr<RemoteWriteActor>,
    batch: u64,
    incarnation: u64,
    /// All samples that were offered.
    pub(super) offered: BTreeSet<Sample>,
}

impl World {
    /// A sender to this receiver, which begins at the oldest record.
    pub(super) fn new(receiver: &Receiver, change: impl FnOnce(&mut Destination)) -> Self {
        let mut destination = Destination::new("one", receiver.url.clone());
        destination.remote_timeout = Duration::from_secs(20);
        change(&mut destination);
        let files = tempfile::tempdir().unwrap();
        let directory = Arc::new(JournalDirectory::open(files.path()).unwrap());
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let (clock, time) = Clock::manual(start);
        let pool = Pool::start("test", 2).unwrap();
        let destination = Arc::new(DestinationStatus::new(Arc::new(destination)));
        Self::start(files, directory, clock, time, pool, destination)
    }

    fn start(
        files: TempDir,
        directory: Arc<JournalDirectory>,
        clock: Clock,
        time: ManualTime,
        pool: Pool,
        destination: Arc<DestinationStatus>,
    ) -> Self {
        let name = &destination.destination.name;
        let status = SenderStatus::new("a".into(), Arc::clone(name), clock.ran());
        let status = Arc::new(status);
        let journal_status = Arc::new(JournalStatus::new("a".into(), clock.ran()));
        let journal = JournalActor::new(JournalOptions {
            account: "a".into(),
            tenant: None,
            directory: Arc::clone(&directory),
            subscriptions: vec![Subscription {
                destination: Arc::clone(name),
                start: Start::Oldest,
                status: Arc::clone(&status),
            }],
            memory: MemoryBudget::new(MemoryBudget::STANDARD),
            pool: pool.clone(),
            published: Arc::new(Published::default()),
            status: Arc::clone(&journal_status),
            segments: crate::journal::SegmentLimits::STANDARD,
            clock: clock.clone(),
        });
        let journal = journal.start();
        let budget = Budget::default();
        let options = SenderOptions {
            tenant: "tenant".into(),
            journal: journal.clone(),
            journal_status,
            destination: Arc::clone(&destination),
            status: Arc::clone(&status),
            context: SenderContext {
                clock: clock.clone(),
                resolver: Resolver::system(),
                proxy: None,
                authorities: None,
                pool: pool.clone(),
                budget: budget.clone(),
                redactor: Redactor::default(),
                schemas: SharedSchemas::default(),
                include_routers: true,
                retention: FleetOptions::STANDARD.retention,
                limits: FleetOptions::STANDARD.limits,
            },
        };
        let policy = SupervisionPolicy::default();
        let (supervisor, _) = Supervisor::new(policy, clock.clone(), Redactor::default());
        let sender = supervisor.start(&status.actor, &Arbiter::current(), move || {
            RemoteWriteActor::new(options)
        });
        Self {
            files,
            directory,
            clock,
            time,
            pool,
            budget,
            destination,
            status,
            journal,
            sender,
            batch: 0,
            incarnation: 1,
            offered: BTreeSet::new(),
        }
    }

    /// The next process: a journal and a sender on the same files.
    pub(super) async fn restart(self) -> Self {
        self.sender.send(Finish).await.unwrap();
        self.journal.send(Finish).await.unwrap();
        let destination = Arc::clone(&self.destination.destination);
        let destination = Arc::new(DestinationStatus::new(destination));
        let (files, directory, clock) = (self.files, self.directory, self.clock);
        let mut next = Self::start(files, directory, clock, self.time, self.pool, destination);
        next.offered = self.offered;
        next.incarnation = self.incarnation + 1;
        next
    }

    /// The samples of an answer with a row of each of these devices, that long ago in milliseconds.
    pub(super) async fn offer(&mut self, devices: std::ops::Range<u64>, ago: i64) {
        self.batch += 1;
        let time = unix_nanos(self.clock.corrected()) - ago * 1_000_000;
        let value = self.batch + 1000 * self.incarnation;
        let rows = devices.map(|device| {
            let sample = (
                format!("ut{device}"),
                time / 1_000_000,
                (value as f64).to_bits(),
            );
            self.offered.insert(sample);
            format!(r#"["u",{time},"ut{device}",{value},0]"#)
        });
        let rows: Vec<_> = rows.collect();
        let text = format!(
            r#"{{"data":{{"values":[{}],"columnNamesByDeviceType":{{"u":["DeviceType","UtcTimestampNs","DeviceId","Speed","Load"]}}}},"metadata":{{"enums":{{"DeviceType":{{"u":"UserTerminal"}},"AlertsByDeviceType":{{}}}}}}}}"#,
            rows.join(",")
        );
        self.record(text, |body| body).await;
    }

    /// An answer with two rows, whose text is damaged when it is recorded.
    pub(super) async fn offer_unreadable(&mut self) {
        self.batch += 1;
        let text = r#"{"data":{"values":[["u",1,"ut1"],["u",2,"ut1"]],"columnNamesByDeviceType":{"u":["DeviceType","UtcTimestampNs","DeviceId"]}},"metadata":{"enums":{"DeviceType":{"u":"UserTerminal"},"AlertsByDeviceType":{}}}}"#;
        let cut = |body: Arc<String>| Arc::new(body[..body.len() / 2].to_owned());
        self.record(text.to_owned(), cut).await;
    }

    /// Offers an answer with this text, of which the journal gets what `change` returns.
    async fn record(&mut self, text: String, change: impl FnOnce(Arc<String>) -> Arc<String>) {
        let (rows, metadata) = decode(text.into_bytes()).unwrap();
        let offer = OfferAnswer {
            id: BatchId {
                stream: StreamId {
                    account: "a".into(),
                    incarnation: self.incarnation,
                },
                number: self.batch,
            },
            body: change(rows.body()),
            span: RowSpan::of(&rows, &metadata),
            metadata: Arc::new(metadata),
            coverage: Coverage {
                to: self.clock.now(),
                covers: Duration::from_secs(1),
            },
            handover: Handover::default(),
        };
        self.journal.send(offer).await.unwrap();
    }

    /// Lets time pass until a condition holds: 20 ms of the clock for each real millisecond.
    pub(super) async fn until(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !condition(self) {
            assert!(began.elapsed() < PATIENCE, "{what}: {:?}", self.status);
            actix_rt::time::sleep(Duration::from_millis(1)).await;
            self.time.advance(Duration::from_millis(20));
        }
    }

    /// Lets time pass until all records are done.
    pub(super) async fn sent(&self) {
        let is_done = |world: &Self| world.status.pending_rows() == 0;
        self.until("all is sent", is_done).await;
    }
}

/// The version of a request.
pub(super) fn version(request: &Received) -> Protocol {
    match request.header("x-prometheus-remote-write-version") {
        Some("0.1.0") => Protocol::V1,
        _ => Protocol::V2,
    }
}

/// The samples of the column Speed in a request.
pub(super) fn samples(request: &Received) -> Vec<Sample> {
    let mut samples = Vec::new();
    for series in decode_body(version(request), &request.body) {
        let label = |name: &str| {
            let found = series.labels.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        if label("__name__") == "starlink_Speed" {
            let device = label("deviceID");
            samples.extend(
                series
                    .samples
                    .iter()
                    .map(|(time, value)| (device.clone(), *time, *value)),
            );
        }
    }
    samples
}

/// The samples of all requests.
pub(super) fn all(requests: &[Received]) -> Vec<Sample> {
    requests.iter().flat_map(samples).collect()
}
