//! Tests of the JournalActor with files on disk and a clock that the tests move.

mod actor;
mod failures;
mod storage;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix::{Actor, Addr};
use tempfile::TempDir;
use tokio::sync::oneshot;

use self::storage::{Faults, Faulty};
use super::{JournalActor, JournalOptions};
use crate::account::{BatchId, Handover, OfferAnswer, StreamId};
use crate::fleet::{Coverage, RowSpan};
use crate::journal::{Cursor, Disk, JournalDirectory, MemoryBudget, SegmentLimits, Start};
use crate::recording::messages::{
    Advance, CursorOf, ReadRecords, ReadReply, SetSubscriptions, Subscription, Unavailable, Usage,
};
use crate::recording::status::{JournalStatus, SenderStatus};
use crate::remote_write::RowReason;
use crate::store::Published;
use crate::supervise::Heartbeat;
use crate::supervise::faults::{Fault, Inject, Place, injectable};
use crate::tasks::Pool;
use crate::telemetry::decode;
use crate::time::{Clock, ManualTime};

/// The longest wait for a condition.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a condition that another thread fulfils.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        actix_rt::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A directory of journals, and what their actors share.
pub(in crate::recording) struct Machine {
    pub(in crate::recording) directory: Arc<JournalDirectory>,
    pub(in crate::recording) clock: Clock,
    pub(in crate::recording) time: ManualTime,
    faults: Faults,
    pub(in crate::recording) memory: MemoryBudget,
    pub(in crate::recording) pool: Pool,
    _files: TempDir,
}

impl Machine {
    pub(in crate::recording) fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let (clock, time) = Clock::manual(start);
        Self {
            directory: Arc::new(JournalDirectory::open(files.path()).unwrap()),
            clock,
            time,
            faults: Faults::default(),
            memory: MemoryBudget::new(MemoryBudget::STANDARD),
            pool: Pool::start("test", 1).unwrap(),
            _files: files,
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("a")
    }

    pub(in crate::recording) fn options(&self, subscriptions: Vec<Subscription>) -> JournalOptions {
        JournalOptions {
            account: "a".into(),
            tenant: None,
            directory: Arc::clone(&self.directory),
            subscriptions,
            memory: self.memory.clone(),
            pool: self.pool.clone(),
            published: Arc::new(Published::default()),
            status: Arc::new(JournalStatus::new("a".into(), self.clock.ran())),
            segments: SegmentLimits::STANDARD,
            clock: self.clock.clone(),
        }
    }

    /// A journal with these destinations, which start at the oldest record.
    fn journal(&self, destinations: &[&str]) -> Journal {
        let status = JournalStatus::new("a".into(), self.clock.ran());
        self.journal_with(destinations, Arc::new(status))
    }

    /// The same with the status of an earlier start in this process.
    fn journal_with(&self, destinations: &[&str], status: Arc<JournalStatus>) -> Journal {
        let statuses: Vec<_> = destinations.iter().map(|it| self.sender(it)).collect();
        let options = JournalOptions {
            status: Arc::clone(&status),
            ..self.options(statuses.iter().map(subscription).collect())
        };
        let (directory, faults) = (Arc::clone(&self.directory), self.faults.clone());
        let open = Box::new(move || {
            let disk = directory.account("a")?;
            let faults = faults.clone();
            Ok(Faulty { disk, faults })
        });
        let actor = JournalActor::on(open, self.path(), options).start();
        Journal {
            actor,
            status,
            statuses,
            time: self.time.clone(),
            pool: self.pool.clone(),
        }
    }

    pub(in crate::recording) fn sender(&self, destination: &str) -> Arc<SenderStatus> {
        Arc::new(SenderStatus::new(
            "a".into(),
            destination.into(),
            self.clock.ran(),
        ))
    }

    /// The names of the files, without leading zeros.
    pub(in crate::recording) fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            // The cursors may be being saved.
            .filter(|name| !name.ends_with(".tmp"))
            .map(|name| name.trim_start_matches('0').to_owned())
            .collect();
        names.sort();
        names
    }
}

pub(in crate::recording) fn subscription(status: &Arc<SenderStatus>) -> Subscription {
    Subscription {
        destination: Arc::clone(&status.destination),
        start: Start::Oldest,
        status: Arc::clone(status),
    }
}

fn cursor(next: u64) -> Cursor {
    Cursor {
        next,
        gap: None,
        shards: 1,
    }
}

/// The times of rows begin behind this one, in nanoseconds since 1970.
const ROWS: u64 = 1_700_000_000_000_000_000;

/// An offer of an answer with this number of rows.
pub(in crate::recording) fn offer(number: u64, rows: u64) -> OfferAnswer {
    let rows: Vec<_> = (1..=rows)
        .map(|row| format!(r#"["u",{}]"#, ROWS + row))
        .collect();
    let text = format!(
        r#"{{"data":{{"columnNamesByDeviceType":{{"u":["DeviceType","UtcTimestampNs"]}},"values":[{}]}},"metadata":{{"enums":{{"DeviceType":{{"u":"UserTerminal"}},"AlertsByDeviceType":{{}}}}}}}}"#,
        rows.join(",")
    );
    let (rows, metadata) = decode(text.into_bytes()).unwrap();
    OfferAnswer {
        id: BatchId {
            stream: StreamId {
                account: "a".into(),
                incarnation: 1,
            },
            number,
        },
        body: rows.body(),
        span: RowSpan::of(&rows, &metadata),
        metadata: Arc::new(metadata),
        coverage: Coverage {
            to: crate::time::Moment::default(),
            covers: Duration::from_secs(5),
        },
        handover: Handover::default(),
    }
}

/// Offers an answer, and waits until it is acknowledged. Returns whether it is.
pub(in crate::recording) async fn answered(
    journal: &Addr<JournalActor>,
    number: u64,
    rows: u64,
) -> bool {
    journal.send(offer(number, rows)).await.is_ok()
}

injectable!(JournalActor<Faulty>);

/// A journal on faulty files.
struct Journal {
    actor: Addr<JournalActor<Faulty>>,
    status: Arc<JournalStatus>,
    statuses: Vec<Arc<SenderStatus>>,
    time: ManualTime,
    pool: Pool,
}

impl Journal {
    /// Offers an answer, without waiting.
    fn offer(&self, number: u64, rows: u64) -> oneshot::Receiver<bool> {
        self.send(offer(number, rows))
    }

    fn send(&self, offer: OfferAnswer) -> oneshot::Receiver<bool> {
        let (sender, receiver) = oneshot::channel();
        let reply = self.actor.send(offer);
        actix_rt::spawn(async move {
            let _ = sender.send(reply.await.is_ok());
        });
        receiver
    }

    /// Waits until all threads have done what was requested before. Nothing must hang.
    async fn settle(&self) {
        for _ in 0..4 {
            tokio::task::yield_now().await;
            self.actor.send(Heartbeat).await.unwrap();
            self.pool.run(|| ()).await.unwrap();
            self.actor.send(Heartbeat).await.unwrap();
            let _ = self.actor.send(Usage).await.unwrap();
            self.actor.send(Heartbeat).await.unwrap();
        }
    }

    /// Waits until the journal is open.
    async fn open(&self) {
        until("it is open", || *self.status.end.borrow() > 0).await;
        self.settle().await;
    }

    /// Ends the actor, as a crash does.
    async fn stop(self) {
        let _ = self.actor.send(Inject(Place::Handler, Fault::Stop)).await;
        let actor = &self.actor;
        until("it has stopped", || !actor.connected()).await;
    }

    /// Moves the clock, second by second.
    async fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            self.time.advance(Duration::from_secs(1));
            self.settle().await;
        }
    }

    async fn read(&self, from: u64) -> Result<ReadReply, Unavailable> {
        self.read_with(from, false).await
    }

    async fn read_with(&self, from: u64, may_overtake: bool) -> Result<ReadReply, Unavailable> {
        let read = ReadRecords {
            from,
            most_bytes: 1 << 20,
            may_overtake,
        };
        self.actor.send(read).await.unwrap()
    }

    async fn numbers(&self, from: u64) -> Vec<u64> {
        let reply = self.read(from).await.unwrap();
        let records = reply.records.iter();
        records.map(|record| record.header.sequence).collect()
    }

    async fn cursor(&self, destination: &str) -> Option<Cursor> {
        self.actor
            .send(CursorOf(destination.into()))
            .await
            .unwrap()
            .unwrap()
    }

    async fn advance(&self, destination: &str, next: u64, rows: u64) {
        let advance = Advance {
            destination: destination.into(),
            cursor: cursor(next),
            rows,
        };
        self.actor.send(advance).await.unwrap();
    }

    async fn subscribe(&self, statuses: &[Arc<SenderStatus>]) {
        let all = statuses.iter().map(subscription).collect();
        self.actor.send(SetSubscriptions(all)).await.unwrap();
        for status in statuses {
            self.cursor(&status.destination).await;
        }
    }

    /// Waits until a destination has this number of pending rows.
    async fn pending(&self, destination: usize, rows: u64) {
        let status = &self.statuses[destination];
        until(
            &format!("{rows} rows wait, not {}", status.pending_rows()),
            || status.pending_rows() == rows,
        )
        .await;
    }
}

pub(in crate::recording) fn dropped(status: &SenderStatus, reason: RowReason) -> u64 {
    let mut dropped = status.rows_dropped();
    dropped.find(|(one, _)| *one == reason).unwrap().1.count()
}

/// The numbers of the records on disk.
fn on_disk(path: &Path) -> Vec<u64> {
    use crate::journal::{Log, SegmentLimits};

    let disk = Disk::new(path.to_owned());
    let mut log = Log::open(disk, "a".into(), SegmentLimits::STANDARD, 1).unwrap();
    let read = log.read(1, usize::MAX).unwrap();
    read.records
        .iter()
        .map(|record| record.header.sequence)
        .collect()
}
