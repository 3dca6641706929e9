//! The blocking work of a journal: everything that accesses its files. Runs on the journal's own thread.

mod losses;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info, warn};

use super::portion::Portion;
use super::subscribers::{Uncounted, Unsaved};
use super::thread::Shared;
use crate::journal::files::Deleted;
use crate::journal::retention::{AccountUse, Reason};
use crate::journal::{
    AppendError, AsideReason, Cursor, Durability, JournalFiles, Kind, LeftAside, Numbers,
    OpenError, Record, SegmentLimits, Start, Storage,
};
use crate::recording::messages::{LIMIT, ReadRecords, ReadReply, Unavailable};
use crate::recording::status::{JournalStatus, Operation};
use crate::time::{Clock, FailureLog, Report, Throttle};

/// The cursors of destinations.
pub(super) type Positions = BTreeMap<Arc<str>, Cursor>;

/// Opens the storage of the account.
pub(super) type OpenStorage<S> = Box<dyn FnMut() -> io::Result<S> + Send>;

/// The most segments that are deleted at a time, so that appends do not wait for long.
const MOST_DELETED: usize = 8;

/// A journal that is open.
#[derive(Debug)]
pub(super) struct Opened {
    /// The number of the next record.
    pub(super) next: u64,
    /// The cursors of the destinations, and of those that are not configured any more.
    pub(super) cursors: Positions,
}

/// The result of an append.
#[derive(Debug)]
pub(super) struct Appended {
    /// The records with lower numbers are appended.
    pub(super) end: u64,
    /// Why the one with this number is not.
    pub(super) error: Option<String>,
}

/// The files of a journal.
pub(super) struct Worker<S: Storage> {
    account: Arc<str>,
    open_storage: OpenStorage<S>,
    limits: SegmentLimits,
    files: Option<JournalFiles<S>>,
    /// The missing numbers that are counted or that no destination lacks.
    known_gaps: Numbers,
    status: Arc<JournalStatus>,
    clock: Clock,
    failures: FailureLog<Operation>,
    gaps: Throttle,
    /// The numbers of records and of their rows when the journal last had records whose sums are known.
    sizes: (u64, u64),
    /// Whether files were deleted, and may exist again when the next record is appended.
    has_lost: bool,
    shared: Arc<Shared>,
}

impl<S: Storage> Worker<S> {
    /// A journal that is not open.
    pub(super) fn new(
        open_storage: OpenStorage<S>,
        limits: SegmentLimits,
        status: Arc<JournalStatus>,
        clock: Clock,
    ) -> Self {
        Self {
            account: Arc::clone(&status.account),
            open_storage,
            limits,
            files: None,
            known_gaps: Numbers::default(),
            status,
            clock,
            failures: FailureLog::new(),
            gaps: Throttle::default(),
            sizes: (0, 0),
            has_lost: false,
            shared: Arc::default(),
        }
    }

    /// What its journal shares with it.
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Opens the journal, unless it is open, and saves the cursors and the tenant of the account if it is known.
    pub(super) fn open(
        &mut self,
        wanted: &[(Arc<str>, Start)],
        tenant: Option<Arc<str>>,
    ) -> Result<Opened, OpenError> {
        if self.files.is_none() {
            let opened = (self.open_storage)()
                .map_err(OpenError::Io)
                .and_then(|storage| {
                    JournalFiles::open(storage, Arc::clone(&self.account), self.limits)
                });
            let files = opened.inspect_err(|_| self.status.failed(Operation::Open))?;
            let (account, next) = (&self.account, files.log().next());
            for LeftAside { name, reason } in files.log().aside() {
                match reason {
                    AsideReason::Renamed(_) => {
                        error!(%account, file = %name, %reason, "a segment of the journal is misplaced and not read: give it its name again while the service is stopped, or move it away");
                    }
                    AsideReason::Number => {
                        warn!(%account, file = %name, %reason, "a file in the directory of the journal is not read");
                    }
                }
            }
            match files.has_lost_cursors() {
                true => {
                    warn!(%account, "the cursors of the journal are lost: all destinations are sent its records again")
                }
                false => info!(%account, bytes = files.log().bytes(), next, "journal opened"),
            }
            self.files = Some(files);
        }
        self.set_tenant(tenant);
        let cursors = self.subscribe(wanted, 0);
        let next = self.files.as_ref().map_or(1, |files| files.log().next());
        self.save_files();
        self.report();
        Ok(Opened { next, cursors })
    }

    /// Opens the journal again with the next [`Worker::open`]: after a panic its state is not known.
    pub(super) fn forget(&mut self) {
        self.files = None;
    }

    /// The cursors of all destinations, also of these, which are added if they are new. `next` is the number of the next record, if it is
    /// higher than those on disk.
    pub(super) fn subscribe(&mut self, wanted: &[(Arc<str>, Start)], next: u64) -> Positions {
        let Some(files) = &mut self.files else {
            return Positions::new();
        };
        let next = next.max(files.log().next());
        for (destination, start) in wanted {
            files.subscribe(destination, *start, next);
        }
        files.cursors().clone()
    }

    /// Appends records. Those that are appended already are not repeated.
    pub(super) fn append(&mut self, records: &[Arc<Record>], cursors: Positions) -> Appended {
        let end = records.first().map_or(0, |record| record.header.sequence);
        let mut appended = Appended { end, error: None };
        let now = self.clock.elapsed();
        let Some(files) = &mut self.files else {
            appended.error = Some(not_open().to_string());
            return appended;
        };
        advance(files, cursors);
        let closed = files.log().closed().len();
        for record in records {
            if self.shared.has_ended() {
                break;
            }
            let durability = match record.header.kind {
                Kind::Tick => Durability::Unsynced,
                Kind::Answer | Kind::Moved => Durability::Synced,
            };
            let began = self.clock.ran();
            match files.log_mut().append(record, durability, now) {
                Ok(()) => {
                    let took = self.clock.ran().saturating_sub(began);
                    // A tick is not synced: its time would say nothing about the disk.
                    if durability == Durability::Synced {
                        self.status.append_duration.observe(took);
                    }
                    if took >= LIMIT {
                        // A storage that hung is not trusted with further records of this segment.
                        files.log_mut().close();
                    }
                }
                Err(AppendError::Order) => {}
                Err(AppendError::TooLong) => {
                    let (account, rows) = (&self.account, record.header.rows);
                    error!(%account, rows, "a record is too long for the journal: its rows are lost");
                    self.status.failed(Operation::Append);
                }
                Err(error) => {
                    self.status.failed(Operation::Append);
                    if let AppendError::Create(source) = &error
                        && source.kind() == io::ErrorKind::NotFound
                    {
                        // The directory was deleted. The next attempt shows whether it exists again.
                        let _ = (self.open_storage)();
                    }
                    appended.error = Some(error.to_string());
                    break;
                }
            }
            appended.end = record.header.sequence.saturating_add(1);
            self.shared.set_appended(appended.end);
        }
        if self.has_lost && appended.error.is_none() {
            // Those that are not found now are lost.
            self.has_lost = files.log_mut().find_again().is_err();
        }
        if files.log().closed().len() > closed {
            self.save_files();
        }
        self.report();
        appended
    }

    /// Reads records from the disk, then from `memory`. `end` is the number of the next record, `known` are missing numbers that
    /// are counted already or that no destination lacks.
    pub(super) fn read(
        &mut self,
        wanted: ReadRecords,
        memory: &[Arc<Record>],
        end: u64,
        known: &Numbers,
    ) -> Result<ReadReply, Unavailable> {
        self.know(known);
        let ReadRecords {
            from,
            most_bytes,
            may_overtake,
        } = wanted;
        let Some(files) = &mut self.files else {
            return Err(not_open());
        };
        match files.log_mut().read(from, most_bytes) {
            Ok(read) => {
                self.succeeded();
                self.count_gaps(&read.gaps);
                let is_end = read.is_end;
                let mut portion = Portion::of_disk(read, most_bytes);
                if is_end {
                    let disk = portion.gaps().len();
                    portion.add(memory);
                    self.count_gaps(&portion.gaps()[disk..]);
                }
                Ok(portion.reply(end))
            }
            Err(error) => {
                let reason = Unavailable(error.to_string().into());
                self.failed(Operation::Read, &error);
                let mut portion = Portion::new(from, most_bytes);
                if may_overtake {
                    portion.overtake(memory);
                }
                match portion.is_empty() {
                    true => Err(reason),
                    false => Ok(portion.reply(end)),
                }
            }
        }
    }

    /// Reads the sums of one segment. Returns whether further ones are unknown.
    pub(super) fn survey(&mut self) -> io::Result<bool> {
        let Some(files) = &mut self.files else {
            return Err(io::Error::other(not_open()));
        };
        let surveyed = files.log_mut().survey();
        self.note(Operation::Read, surveyed.as_ref().err());
        self.report();
        surveyed
    }

    /// The rows that destinations were not sent, of the records with numbers below `end`, on disk or in `memory`.
    pub(super) fn count(
        &mut self,
        wanted: &[Uncounted],
        end: u64,
        memory: &[(u64, u32)],
    ) -> io::Result<Vec<u64>> {
        let Some(files) = &mut self.files else {
            return Err(io::Error::other(not_open()));
        };
        let next = files.log().next();
        let mut count = |cursor: &Cursor| {
            let waiting = memory.iter().filter(|(number, _)| *number >= next);
            let waiting = waiting.filter(|(number, _)| cursor.lacks(*number));
            let mut rows: u64 = waiting.map(|(_, rows)| u64::from(*rows)).sum();
            for numbers in cursor.unsent() {
                let numbers = *numbers.start()..=end.saturating_sub(1).min(*numbers.end());
                if !numbers.is_empty() {
                    rows += files.log_mut().count(&numbers)?.rows;
                }
            }
            Ok(rows)
        };
        let counted: io::Result<_> = wanted.iter().map(|wanted| count(&wanted.cursor)).collect();
        self.note(Operation::Read, counted.as_ref().err());
        counted
    }

    /// Sets the tenant of the account, if it is known. It is saved with the cursors.
    fn set_tenant(&mut self, tenant: Option<Arc<str>>) {
        if let (Some(files), Some(tenant)) = (&mut self.files, tenant) {
            files.set_tenant(tenant);
        }
    }

    /// Changes what is saved next.
    fn change(&mut self, unsaved: Unsaved) {
        self.set_tenant(unsaved.tenant);
        if let Some(files) = &mut self.files {
            for destination in &unsaved.released {
                files.release(destination);
            }
            advance(files, unsaved.cursors);
        }
    }

    /// Saves the cursors, and closes the segment that is written if it is old.
    pub(super) fn save(&mut self, unsaved: Unsaved) -> bool {
        let now = self.clock.elapsed();
        self.change(unsaved);
        if let Some(files) = &mut self.files {
            files.log_mut().close_if_old(now);
        }
        let mut files = self.files.iter();
        if !self.shared.has_ended() && files.any(|files| files.log().is_deleted()) {
            self.lose_deleted();
        }
        self.save_files()
    }

    /// Closes the segment that is written, and saves the cursors.
    pub(super) fn close(&mut self, unsaved: Unsaved) {
        self.change(unsaved);
        if let Some(files) = &mut self.files {
            files.log_mut().close();
        }
        self.save_files();
        self.report();
    }

    fn know(&mut self, gaps: &Numbers) {
        for numbers in gaps.ranges() {
            self.known_gaps.add(numbers);
        }
    }

    /// What the bounds of the journals need to know.
    pub(super) fn usage(&self) -> Option<AccountUse> {
        self.files.as_ref().map(JournalFiles::usage)
    }

    /// Deletes the oldest segments. Returns those that were deleted. `known` are missing numbers that are counted already or that no
    /// destination lacks.
    pub(super) fn delete(
        &mut self,
        reasons: &[Reason],
        cursors: Positions,
        known: &Numbers,
    ) -> Vec<(Reason, Deleted)> {
        self.know(known);
        let mut deleted = Vec::new();
        let Some(files) = &mut self.files else {
            return deleted;
        };
        advance(files, cursors);
        let mut error = None;
        let mut unread = Vec::new();
        for reason in reasons.iter().take(MOST_DELETED) {
            if self.shared.has_ended() {
                break;
            }
            match files.delete_oldest() {
                Ok(Some(segment)) => {
                    unread.extend(segment.unread.clone());
                    deleted.push((*reason, segment));
                }
                Ok(None) => break,
                Err(failure) => {
                    error = Some(failure);
                    break;
                }
            }
        }
        self.note(Operation::Delete, error.as_ref());
        self.count_lost(unread);
        self.report();
        deleted
    }

    /// Saves the cursors if they have changed. Returns whether it succeeds.
    fn save_files(&mut self) -> bool {
        if self.shared.has_ended() {
            return false;
        }
        let saved = self.files.as_mut().map_or(Ok(()), JournalFiles::save);
        self.note(Operation::Cursors, saved.as_ref().err());
        if let Err(error) = &saved
            && error.kind() == io::ErrorKind::NotFound
        {
            // The directory is gone.
            self.lose_deleted();
        }
        saved.is_ok()
    }

    fn note(&mut self, operation: Operation, error: Option<&io::Error>) {
        match error {
            Some(error) => self.failed(operation, error),
            None => self.succeeded(),
        }
    }

    /// Counts and logs a failure. Failed appends and openings are logged by the actor.
    fn failed(&mut self, operation: Operation, error: &io::Error) {
        self.status.failed(operation);
        let (account, operation_name) = (&self.account, operation.name());
        let (count, since) = match self.failures.failed(operation, self.clock.elapsed()) {
            Report::First => (1, Duration::ZERO),
            Report::Repeated { count, since } => (count, since),
            Report::Silent => return,
        };
        warn!(
            %account,
            operation = operation_name,
            %error,
            count,
            since_seconds = since.as_secs(),
            "an operation of the journal failed: it is repeated"
        );
    }

    fn succeeded(&mut self) {
        if let Some(recovered) = self.failures.recovered(self.clock.elapsed()) {
            let (account, count) = (&self.account, recovered.failures);
            info!(%account, count, "the operations of the journal succeed again");
        }
    }

    /// Reports the size of the journal.
    #[expect(clippy::cast_precision_loss, reason = "sizes and seconds are exact")]
    fn report(&self) {
        let Some(files) = &self.files else { return };
        let log = files.log();
        self.status.bytes.set(log.bytes() as f64);
        let records = log.segments().iter().map(|segment| segment.tally);
        let records: Option<u64> = records.map(|tally| Some(tally?.records)).sum();
        let records = records.map(|records| records as f64);
        self.status.records.set_or_clear(records);
        let oldest = log.segments().iter().find_map(|segment| segment.began);
        let oldest = oldest.map(|oldest| oldest as f64 / 1e9);
        self.status.oldest_record.set_or_clear(oldest);
    }
}

/// Why an operation is not possible before the journal is open.
pub(super) fn not_open() -> Unavailable {
    Unavailable("it is not open".into())
}

fn advance<S: Storage>(files: &mut JournalFiles<S>, cursors: Positions) {
    for (destination, cursor) in cursors {
        files.advance(&destination, cursor);
    }
}
