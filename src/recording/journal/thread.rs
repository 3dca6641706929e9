//! The thread of a journal, which does one operation after the other.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::worker::Worker;
use crate::journal::Storage;
use crate::recording::messages::LIMIT;
use crate::tasks::Pool;
use crate::time::Clock;

/// An operation panicked. The files must be opened again.
#[derive(Debug)]
pub(super) struct Panicked;

/// Runs the operations of a journal.
pub(super) struct JournalThread<S: Storage> {
    pool: Option<Pool>,
    worker: Arc<Mutex<Worker<S>>>,
    /// When the current operation began, in milliseconds that the process ran, plus 1; 0 if there is none.
    began: Arc<AtomicU64>,
    shared: Arc<Shared>,
    clock: Clock,
}

/// What a journal and its worker share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    has_ended: AtomicBool,
    appended: AtomicU64,
}

impl Shared {
    /// Whether the journal has ended. Then the worker changes no file any more, because another journal may write the same directory.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// The worker has appended the records with numbers below `end`.
    pub(super) fn set_appended(&self, end: u64) {
        self.appended.store(end, Ordering::Relaxed);
    }
}

impl<S: Storage> fmt::Debug for JournalThread<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("JournalThread")
            .finish_non_exhaustive()
    }
}

impl<S: Storage> JournalThread<S> {
    /// Begins no further operation, and changes no further file. Returns the number below which records are appended.
    pub(super) fn end(&self) -> u64 {
        self.shared.has_ended.store(true, Ordering::Relaxed);
        self.shared.appended.load(Ordering::Relaxed)
    }
}

impl<S: Storage + 'static> JournalThread<S> {
    /// A thread that is not started.
    pub(super) fn new(worker: Worker<S>, clock: Clock) -> Self {
        Self {
            pool: None,
            shared: worker.shared(),
            worker: Arc::new(Mutex::new(worker)),
            began: Arc::default(),
            clock,
        }
    }

    /// Starts the thread, unless it runs.
    ///
    /// # Errors
    /// The operating system cannot start it.
    pub(super) fn start(&mut self) -> io::Result<()> {
        if self.pool.is_none() {
            self.pool = Some(Pool::start("journal", 1)?);
        }
        Ok(())
    }

    /// Runs an operation after those before it, and hands its result to `done`, on the thread.
    pub(super) fn run<T: 'static>(
        &self,
        operation: impl FnOnce(&mut Worker<S>) -> T + Send + 'static,
        done: impl FnOnce(Result<T, Panicked>) + Send + 'static,
    ) {
        let Some(pool) = &self.pool else { return };
        let worker = Arc::clone(&self.worker);
        let (began, clock) = (Arc::clone(&self.began), self.clock.clone());
        let shared = Arc::clone(&self.shared);
        let job = move || {
            if shared.has_ended() {
                return;
            }
            began.store(millis(clock.ran()) + 1, Ordering::Relaxed);
            let mut worker = worker.lock().unwrap_or_else(PoisonError::into_inner);
            let result = catch_unwind(AssertUnwindSafe(|| operation(&mut worker)));
            if result.is_err() {
                worker.forget();
            }
            drop(worker);
            began.store(0, Ordering::Relaxed);
            done(result.map_err(|_| Panicked));
        };
        // The result is handed to `done`.
        drop(pool.run(job));
    }

    /// Whether the current operation hangs.
    pub(super) fn hangs(&self) -> bool {
        match self.began.load(Ordering::Relaxed) {
            0 => false,
            began => millis(self.clock.ran()).saturating_sub(began - 1) >= millis(LIMIT),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX - 1)
}
