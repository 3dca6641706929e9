//! Deletes the journals of accounts that were removed, when they are sent to the end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::Addr;
use thiserror::Error;
use tracing::{info, warn};

use super::senders::SenderLife;
use super::{Event, FINISH, Recorder};
use crate::journal::{Cursor, JournalDirectory};
use crate::recording::journal::JournalActor;
use crate::recording::messages::{CursorOf, Finish, LIMIT, ReadRecords, Usage};
use crate::tasks::{ThreadError, in_thread};
use crate::time::{Clock, Moment};

/// The time limit for the deletion of a journal's files.
const DELETE: Duration = Duration::from_secs(30);

/// Why a journal is not deleted.
#[derive(Debug, Error)]
pub(super) enum DeletionError {
    /// A file or the directory cannot be deleted.
    #[error(transparent)]
    Io(io::Error),
    /// There is no thread for the deletion, or it panicked.
    #[error(transparent)]
    Thread(ThreadError),
    /// A deletion hangs.
    #[error("no result within {} s", DELETE.as_secs())]
    Hangs,
}

impl DeletionError {
    /// Whether only files of others are left.
    fn is_final(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty)
    }
}

impl Recorder {
    /// Checks the journals of accounts that were removed.
    pub(super) fn check_removed(&mut self) {
        let clock = self.clock().clone();
        let destinations = self.destinations.iter();
        let destinations: Vec<_> = destinations
            .map(|(configured, _)| Arc::clone(&configured.destination.name))
            .collect();
        for (name, recorded) in &mut self.recorded {
            // The last answer of an account that is ending is still recorded.
            let is_ended = !recorded.is_configured && self.options.accounts.find(name).is_none();
            if !is_ended || recorded.is_being_checked || recorded.is_deleting {
                continue;
            }
            let Some(journal) = recorded.journal().cloned() else {
                continue;
            };
            recorded.is_being_checked = true;
            let (events, name) = (self.events.clone(), Arc::clone(name));
            let (clock, destinations) = (clock.clone(), destinations.clone());
            actix_rt::spawn(async move {
                let is_done = is_sent(&journal, &destinations, &clock).await;
                // Sending fails only when the process ends.
                let _ = events.send(Event::Checked(name, is_done));
            });
        }
    }

    /// Deletes a journal if its account is not wanted again meanwhile.
    pub(super) fn checked(&mut self, account: &Arc<str>, is_done: bool) {
        let (clock, events) = (self.clock().clone(), self.events.clone());
        let directory = Arc::clone(&self.options.directory);
        let Some(recorded) = self.recorded.get_mut(account) else {
            return;
        };
        recorded.is_being_checked = false;
        if !is_done || recorded.is_configured {
            return;
        }
        let Some((arbiter, journal)) = recorded.running.take() else {
            return;
        };
        recorded.is_deleting = true;
        recorded.until = Moment::NEVER;
        let senders = std::mem::take(&mut recorded.senders).into_values();
        let senders: Vec<_> = senders
            .filter_map(|sender| match sender.state {
                SenderLife::Running(address, hold) => Some((address, hold)),
                SenderLife::Stopped | SenderLife::Ending => None,
            })
            .collect();
        let name = Arc::clone(account);
        actix_rt::spawn(async move {
            for (sender, hold) in senders {
                // Nothing waits, or what waits is deleted.
                let _ = clock.timeout(FINISH, sender.send(Finish)).await;
                drop(hold);
            }
            let _ = clock.timeout(LIMIT, journal.send(Finish)).await;
            arbiter.stop();
            let result = delete(directory, &name, &clock).await;
            let _ = events.send(Event::Deleted(name, result));
        });
        self.publish();
    }

    /// Forgets a journal that was deleted. One that could not be deleted is started again after a pause, so that it counts within the
    /// bounds, and is deleted again.
    pub(super) fn deleted(&mut self, account: &Arc<str>, result: Result<(), DeletionError>) {
        let now = self.clock().now();
        let Some(recorded) = self.recorded.get_mut(account) else {
            return;
        };
        let pause = match &result {
            Ok(()) => {
                info!(account = &**account, "journal of a removed account deleted");
                None
            }
            Err(error) => {
                let pause = (!error.is_final()).then(|| recorded.pauses.next(now));
                warn!(
                    account = &**account,
                    %error,
                    retry_in_seconds = pause.map(|pause| pause.as_secs()),
                    "cannot delete the journal of a removed account"
                );
                pause
            }
        };
        recorded.is_deleting = false;
        match pause {
            Some(pause) => recorded.until = now.after(pause),
            None => drop(self.recorded.remove(account)),
        }
    }
}

/// Deletes a journal on a thread of its own, because a deletion that hangs must not delay others.
async fn delete(
    directory: Arc<JournalDirectory>,
    account: &Arc<str>,
    clock: &Clock,
) -> Result<(), DeletionError> {
    let is_cancelled = Arc::<AtomicBool>::default();
    let deletion = {
        let (account, is_cancelled) = (Arc::clone(account), Arc::clone(&is_cancelled));
        in_thread("deletion", move || {
            directory.remove(&account, &is_cancelled)
        })
    };
    match clock.timeout(DELETE, deletion).await {
        Some(Ok(result)) => result.map_err(DeletionError::Io),
        Some(Err(error)) => Err(DeletionError::Thread(error)),
        None => {
            // The account may return meanwhile.
            is_cancelled.store(true, Ordering::Relaxed);
            Err(DeletionError::Hangs)
        }
    }
}

/// Whether all destinations have all rows, also those that were removed and may return. Rows that are older than `JOURNAL_MAX_AGE` are
/// deleted and counted before.
async fn is_sent(journal: &Addr<JournalActor>, destinations: &[Arc<str>], clock: &Clock) -> bool {
    for destination in destinations {
        let cursor = journal.send(CursorOf(Arc::clone(destination)));
        let Some(Ok(Ok(Some(Cursor {
            next, gap: None, ..
        })))) = clock.timeout(LIMIT, cursor).await
        else {
            return false;
        };
        if !is_end(journal, next, clock).await {
            return false;
        }
    }
    let Some(Ok(Some(used))) = clock.timeout(LIMIT, journal.send(Usage)).await else {
        return false;
    };
    match used.oldest_needed {
        Some(needed) => is_end(journal, needed, clock).await,
        // Cursors are not saved, or there are none.
        None => used.segments.is_empty(),
    }
}

/// Whether there are no records from this number on.
async fn is_end(journal: &Addr<JournalActor>, from: u64, clock: &Clock) -> bool {
    let read = ReadRecords {
        from,
        most_bytes: 0,
        may_overtake: false,
    };
    match clock.timeout(LIMIT, journal.send(read)).await {
        Some(Ok(Ok(reply))) => reply.records.is_empty() && reply.next >= reply.end,
        _ => false,
    }
}
