//! What journals and senders report about themselves. Their actors write it; scrapes, the page and the API read it, without waiting.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::sender::Link;
use crate::remote_write::{Destination, Hold, RowReason, SampleReason};
use crate::self_metrics::{Counter, Gauge, Histogram};
use crate::supervise::{ActorStatus, Role};

/// The bounds of the histogram of appends, in seconds.
const APPEND_BOUNDS: [f64; 11] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0,
];

/// The bounds of the histogram of requests, in seconds.
const REQUEST_BOUNDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0, 30.0,
];

/// An operation of the journal that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Opening the journal.
    Open,
    /// Writing or syncing a record.
    Append,
    /// Reading records.
    Read,
    /// Saving the cursors.
    Cursors,
    /// Deleting a segment.
    Delete,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 5] = [
        Self::Open,
        Self::Append,
        Self::Read,
        Self::Cursors,
        Self::Delete,
    ];

    /// The value of the label `operation`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Append => "append",
            Self::Read => "read",
            Self::Cursors => "cursors",
            Self::Delete => "delete",
        }
    }
}

/// The status of the journal of one account.
#[derive(Debug)]
pub struct JournalStatus {
    /// The account.
    pub account: Arc<str>,
    /// The JournalActor.
    pub actor: Arc<ActorStatus>,
    /// The bytes of its segments.
    pub bytes: Gauge,
    /// The number of its records.
    pub records: Gauge,
    /// When its oldest record was received, in seconds since 1970; unknown without records.
    pub oldest_record: Gauge,
    /// 1 while acknowledged answers are durable, else 0.
    pub durable: Gauge,
    /// The time to write and sync records.
    pub append_duration: Histogram<{ APPEND_BOUNDS.len() }>,
    failures: [Counter; Operation::ALL.len()],
    /// Rows of records that can no longer be read: missing numbers that were not deleted. An estimate: each missing record counts with the
    /// average number of rows of the records that are left. Counted once in a process, when a destination would read them.
    pub rows_lost_in_gaps: Counter,
    /// The number of the next record. Changes when there are more records to read.
    pub end: watch::Sender<u64>,
}

impl JournalStatus {
    /// The status of a journal that is about to be opened. `ran` is the time that the process ran.
    #[must_use]
    pub fn new(account: Arc<str>, ran: Duration) -> Self {
        let status = Self {
            account,
            actor: Arc::new(ActorStatus::new(Role::Journal, ran)),
            bytes: Gauge::default(),
            records: Gauge::default(),
            oldest_record: Gauge::default(),
            durable: Gauge::default(),
            append_duration: Histogram::new(APPEND_BOUNDS),
            failures: Default::default(),
            rows_lost_in_gaps: Counter::default(),
            end: watch::Sender::new(0),
        };
        status.durable.set(1.0);
        status
    }

    /// Counts a failure.
    pub fn failed(&self, operation: Operation) {
        self.failures[operation as usize].increment();
    }

    /// The failures of an operation.
    #[must_use]
    pub fn failures(&self, operation: Operation) -> &Counter {
        &self.failures[operation as usize]
    }
}

/// What a sender does now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SenderState {
    /// It has not finished a request yet.
    #[default]
    Starting,
    /// Its last request was stored, or nothing waits.
    Sending,
    /// The receiver cannot be reached, or cannot take requests now: they are repeated.
    Retrying,
    /// The receiver refused all samples of the last request for good: they are counted and not sent again.
    Rejecting,
    /// The receiver refuses all requests until a person changes something.
    Held(Hold),
    /// It failed too often, and is started again later.
    Paused,
}

/// A failed request.
#[derive(Debug, Clone, PartialEq)]
pub struct LastError {
    /// When it happened, in seconds since 1970.
    pub at: f64,
    /// What happened: at most 300 characters, without secrets and control characters.
    pub text: String,
}

/// The status of the sender of one account to one destination.
#[derive(Debug)]
pub struct SenderStatus {
    /// The account.
    pub account: Arc<str>,
    /// The name of the destination.
    pub destination: Arc<str>,
    /// The RemoteWriteActor.
    pub actor: Arc<ActorStatus>,
    /// Samples that receivers answered 2xx.
    pub samples: Counter,
    samples_failed: [Counter; SampleReason::ALL.len()],
    rows_dropped: [Counter; RowReason::ALL.len()],
    /// Requests by status, or by `error` or `timeout`. Statuses that do not exist count as one, so that there are at most 503.
    requests: Mutex<BTreeMap<String, u64>>,
    /// The bytes of the bodies of requests.
    pub bytes: Counter,
    /// Requests that were sent again.
    pub retries: Counter,
    /// Rows of records that are not done.
    pending_rows: AtomicU64,
    /// The oldest row of the records that are not done, in seconds since 1970; unknown if none waits.
    pub oldest_pending: Gauge,
    /// When the oldest record was received that is not done, in seconds since 1970; unknown if none waits. Its rows can be much older.
    pub waiting_since: Gauge,
    /// The number of shards.
    pub shards: Gauge,
    /// 1 or 2; unknown before the first answer.
    pub protocol_version: Gauge,
    state: ArcSwap<SenderState>,
    last_error: ArcSwap<Option<LastError>>,
}

impl SenderStatus {
    /// The status of a sender that is about to be started. `ran` is the time that the process ran.
    #[must_use]
    pub fn new(account: Arc<str>, destination: Arc<str>, ran: Duration) -> Self {
        Self {
            account,
            destination,
            actor: Arc::new(ActorStatus::new(Role::RemoteWrite, ran)),
            samples: Counter::default(),
            samples_failed: Default::default(),
            rows_dropped: Default::default(),
            requests: Mutex::default(),
            bytes: Counter::default(),
            retries: Counter::default(),
            pending_rows: AtomicU64::new(0),
            oldest_pending: Gauge::default(),
            waiting_since: Gauge::default(),
            shards: Gauge::default(),
            protocol_version: Gauge::default(),
            state: ArcSwap::default(),
            last_error: ArcSwap::default(),
        }
    }

    /// Counts samples that were not stored.
    pub fn count_failed(&self, reason: SampleReason, samples: u64) {
        let index = SampleReason::ALL.iter().position(|one| *one == reason);
        if let Some(counter) = index.and_then(|index| self.samples_failed.get(index)) {
            counter.add(samples);
        }
    }

    /// The samples that were not stored, by reason.
    pub fn samples_failed(&self) -> impl Iterator<Item = (SampleReason, &Counter)> {
        SampleReason::ALL.into_iter().zip(&self.samples_failed)
    }

    /// Counts rows that are not sent.
    pub fn count_dropped(&self, reason: RowReason, rows: u64) {
        self.rows_dropped[reason as usize].add(rows);
    }

    /// The rows that were not sent, by reason.
    pub fn rows_dropped(&self) -> impl Iterator<Item = (RowReason, &Counter)> {
        RowReason::ALL.into_iter().zip(&self.rows_dropped)
    }

    /// Counts a request by its status, or by `error` or `timeout`. Statuses from 600 on are `other`.
    pub fn count_request(&self, code: &str) {
        let code = match code.parse::<u16>() {
            Ok(600..) => "other",
            _ => code,
        };
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        match requests.get_mut(code) {
            Some(count) => *count += 1,
            None => drop(requests.insert(code.to_owned(), 1)),
        }
    }

    /// The requests by their codes.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<String, u64> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.clone()
    }

    /// The rows of records that are not done.
    #[must_use]
    pub fn pending_rows(&self) -> u64 {
        self.pending_rows.load(Ordering::Relaxed)
    }

    /// Sets the rows of records that are not done.
    pub fn set_pending_rows(&self, rows: u64) {
        self.pending_rows.store(rows, Ordering::Relaxed);
    }

    /// What the sender does now.
    #[must_use]
    pub fn state(&self) -> SenderState {
        **self.state.load()
    }

    /// Sets what the sender does now.
    pub fn set_state(&self, state: SenderState) {
        if self.state() != state {
            self.state.store(Arc::new(state));
        }
    }

    /// The last failed request, if any failed.
    #[must_use]
    pub fn last_error(&self) -> Option<LastError> {
        (**self.last_error.load()).clone()
    }

    /// Keeps a failed request.
    pub fn set_last_error(&self, error: LastError) {
        self.last_error.store(Arc::new(Some(error)));
    }
}

/// The status of one destination, with the senders of all accounts.
#[derive(Debug)]
pub struct DestinationStatus {
    /// Its settings.
    pub destination: Arc<Destination>,
    /// The time from a request to its answer, of all accounts and of own sets.
    pub request_duration: Histogram<{ REQUEST_BOUNDS.len() }>,
    /// Sets of the exporter's own metrics that were not sent in time.
    pub own_sets_dropped: Counter,
    /// What its senders share.
    pub link: Link,
}

impl DestinationStatus {
    /// The status of a destination without requests.
    #[must_use]
    pub fn new(destination: Arc<Destination>) -> Self {
        Self {
            link: Link::new(&destination),
            destination,
            request_duration: Histogram::new(REQUEST_BOUNDS),
            own_sets_dropped: Counter::default(),
        }
    }
}

/// The status of all journals and senders. Readers take no lock.
#[derive(Debug, Default)]
pub struct RecordingStatus(ArcSwap<Statuses>);

/// A state of [`RecordingStatus`].
#[derive(Debug, Clone, Default)]
pub struct Statuses {
    /// By account.
    pub journals: Vec<Arc<JournalStatus>>,
    /// By destination.
    pub destinations: Vec<Arc<DestinationStatus>>,
    /// By account, then by destination.
    pub senders: Vec<Arc<SenderStatus>>,
}

impl RecordingStatus {
    /// The journals and senders of now.
    #[must_use]
    pub fn all(&self) -> Arc<Statuses> {
        self.0.load_full()
    }

    /// Replaces all.
    pub fn replace(&self, statuses: Statuses) {
        self.0.store(Arc::new(statuses));
    }
}
