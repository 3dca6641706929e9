//! A poll in progress: when it is dropped, its end is recorded in the journal, and unsent rows are returned to the stream.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{
    account::{LoggedRow, ReadIndex},
    answer::Answer,
    journal::{Journal, Outcome},
    lock,
};

/// The state that polls change: the journal, and the read position of the stream.
#[derive(Default)]
pub(super) struct Record {
    pub journal: Mutex<Journal>,
    pub journal_changed: Notify,
    pub read_index: Mutex<ReadIndex>,
}

/// A poll in progress. If it is dropped before [`OpenPoll::answered`] or [`OpenPoll::cut`], the poll counts as abandoned.
pub(super) struct OpenPoll {
    record: Arc<Record>,
    place: usize,
    rows: Vec<LoggedRow>,
    outcome: Outcome,
}

impl OpenPoll {
    /// Records the start of a poll.
    pub(super) fn begin(record: Arc<Record>, body: String, token_serial: Option<u64>) -> Self {
        let place = lock(&record.journal).begin(body, token_serial);
        record.journal_changed.notify_waiters();
        Self {
            record,
            place,
            rows: Vec::new(),
            outcome: Outcome::Abandoned,
        }
    }

    /// Records the parameters of an accepted poll.
    pub(super) fn accepted(&self, batch_size: u32, max_linger_ms: u32) {
        let mut journal = lock(&self.record.journal);
        if let Some(poll) = journal.poll_mut(self.place) {
            poll.batch_size = Some(batch_size);
            poll.max_linger_ms = Some(max_linger_ms);
        }
    }

    /// Records the answer that will be sent. `kept` is its body, if the journal keeps bodies.
    pub(super) fn answering(&self, answer: &Answer, kept: Option<Bytes>) {
        let mut journal = lock(&self.record.journal);
        if let Some(poll) = journal.poll_mut(self.place) {
            poll.status = Some(answer.status);
            poll.rows = answer.rows;
            poll.answer = kept;
        }
        drop(journal);
        self.record.journal_changed.notify_waiters();
    }

    /// Keeps the generated rows of the answer. They are returned to the stream unless they are sent.
    pub(super) fn hold(&mut self, rows: Vec<LoggedRow>) {
        self.rows = rows;
    }

    /// The answer was sent completely.
    pub(super) fn answered(mut self) {
        self.rows.clear();
        self.outcome = Outcome::Answered;
    }

    /// The script closed the connection.
    pub(super) fn cut(mut self) {
        self.outcome = Outcome::Cut;
    }
}

impl Drop for OpenPoll {
    fn drop(&mut self) {
        lock(&self.record.read_index).put_back(std::mem::take(&mut self.rows));
        lock(&self.record.journal).end(self.place, self.outcome);
        self.record.journal_changed.notify_waiters();
    }
}
