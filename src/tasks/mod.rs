//! Long-running tasks that are not actors: each has a heartbeat, and is restarted and counted when it panics.

mod pool;
mod thread;

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tracing::error;

use crate::time::{Backoff, Clock};

pub use self::pool::Pool;
pub use self::thread::{ThreadError, in_thread};

/// The interval of heartbeats while a task waits.
const BEAT: Duration = Duration::from_secs(5);

/// A task that has run for this time has recovered, so the backoff of its restarts starts again.
const RECOVERED: Duration = Duration::from_secs(60);

/// A long-running task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Writes the state file.
    StateFile,
    /// Follows the names file.
    Names,
    /// Follows the web configuration and the files that it names.
    WebConfig,
    /// Follows the files of client ID and client secret.
    Credentials,
    /// Follows the accounts file and the credential files that it names.
    Accounts,
    /// Follows the file of certificate authorities for connections to Starlink.
    Authorities,
    /// Follows the destinations of remote write and the files that they name.
    RemoteWrite,
    /// Sends the exporter's own series to a destination of remote write.
    OwnMetrics,
}

impl Task {
    /// Every task.
    pub const ALL: [Self; 8] = [
        Self::StateFile,
        Self::Names,
        Self::WebConfig,
        Self::Credentials,
        Self::Accounts,
        Self::Authorities,
        Self::RemoteWrite,
        Self::OwnMetrics,
    ];

    /// The value of the label `task`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StateFile => "state_file",
            Self::Names => "names",
            Self::WebConfig => "web_config",
            Self::Credentials => "credentials",
            Self::Accounts => "accounts",
            Self::Authorities => "authorities",
            Self::RemoteWrite => "remote_write",
            Self::OwnMetrics => "own_metrics",
        }
    }
}

/// The number of restarts of each task. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct Restarts(Arc<[AtomicU64; Task::ALL.len()]>);

impl Restarts {
    fn add(&self, task: Task) {
        self.0[task as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The number of restarts of a task.
    #[must_use]
    pub fn of(&self, task: Task) -> u64 {
        self.0[task as usize].load(Ordering::Relaxed)
    }
}

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Life {
    Runs,
    /// Panicked; will be restarted after the backoff.
    Backoff,
    /// Has finished.
    Done,
}

/// The status of a task.
#[derive(Debug)]
pub struct TaskStatus {
    task: Task,
    life: AtomicU8,
    /// The time of the last heartbeat, in milliseconds of the clock.
    beat: AtomicU64,
    /// The obstacle to the task's work, if there is one.
    obstacle: Mutex<Option<String>>,
}

impl TaskStatus {
    fn new(task: Task, ran: Duration) -> Self {
        Self {
            task,
            life: AtomicU8::new(Life::Runs as u8),
            beat: AtomicU64::new(millis(ran)),
            obstacle: Mutex::default(),
        }
    }

    /// The task.
    #[must_use]
    pub fn task(&self) -> Task {
        self.task
    }

    /// Whether the task runs or has finished. False in restart backoff.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.life.load(Ordering::Relaxed) != Life::Backoff as u8
    }

    /// Whether the task runs and its last heartbeat is older than `limit`, so that the process must be restarted. `ran` is the time that the
    /// process ran. False in restart backoff, and after the task has finished.
    #[must_use]
    pub fn hangs(&self, ran: Duration, limit: Duration) -> bool {
        let beat = Duration::from_millis(self.beat.load(Ordering::Relaxed));
        self.life.load(Ordering::Relaxed) == Life::Runs as u8 && ran.saturating_sub(beat) > limit
    }

    /// Why the task cannot do its work, if it cannot: for example a file system that does not respond, or a file with an error. A restart of
    /// the process would not help.
    #[must_use]
    pub fn obstacle(&self) -> Option<String> {
        let obstacle = self.obstacle.lock();
        obstacle.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, life: Life) {
        self.life.store(life as u8, Ordering::Relaxed);
    }

    fn beat(&self, ran: Duration) {
        self.beat.store(millis(ran), Ordering::Relaxed);
    }
}

/// Records the heartbeats of a task. Clones belong to the same task.
#[derive(Debug, Clone)]
pub struct Pulse {
    status: Arc<TaskStatus>,
    clock: Clock,
}

impl Pulse {
    /// Waits for a future, with heartbeats. Tasks must use it for all waits.
    pub async fn during<F: Future>(&self, awaited: F) -> F::Output {
        let mut awaited = pin!(awaited);
        loop {
            self.status.beat(self.clock.ran());
            tokio::select! {
                biased;
                output = &mut awaited => return output,
                () = self.clock.sleep(BEAT) => {}
            }
        }
    }

    /// Sets or clears the obstacle to the task's work.
    pub fn obstacle(&self, obstacle: Option<String>) {
        let current = self.status.obstacle.lock();
        *current.unwrap_or_else(PoisonError::into_inner) = obstacle;
    }
}

/// A supervised task.
#[derive(Debug)]
pub struct Supervised {
    pulse: Pulse,
    restarts: Restarts,
}

impl Supervised {
    /// A task that is about to be started.
    #[must_use]
    pub fn new(task: Task, clock: Clock, restarts: &Restarts) -> Self {
        let status = Arc::new(TaskStatus::new(task, clock.ran()));
        Self {
            pulse: Pulse { status, clock },
            restarts: restarts.clone(),
        }
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> Arc<TaskStatus> {
        Arc::clone(&self.pulse.status)
    }

    /// Runs the future of `make` until it ends. After a panic, runs a new one, with backoff and without end.
    pub async fn run<F: Future<Output = ()>>(self, mut make: impl FnMut(Pulse) -> F) {
        let Pulse { status, clock } = &self.pulse;
        let mut backoff = Backoff::RESTARTS;
        let mut is_logged = false;
        loop {
            let began = clock.now();
            status.set(Life::Runs);
            let run = async { make(self.pulse.clone()).await };
            let Err(panic) = AssertUnwindSafe(run).catch_unwind().await else {
                status.set(Life::Done);
                return;
            };
            status.set(Life::Backoff);
            let now = clock.now();
            if now.since(began) >= RECOVERED {
                backoff.reset();
                is_logged = false;
            }
            let wait = backoff.next(0.0);
            self.restarts.add(status.task);
            // Repeated panics are logged once.
            if !std::mem::replace(&mut is_logged, true) {
                let task = status.task.name();
                error!(task, error = message(&*panic), "task failed: restarting it");
            }
            clock.sleep(wait).await;
        }
    }
}

/// The message of a panic, if it is a text.
fn message(panic: &(dyn Any + Send)) -> &str {
    match panic.downcast_ref::<String>() {
        Some(text) => text,
        None => panic.downcast_ref::<&str>().unwrap_or(&"no message"),
    }
}

/// Whole milliseconds, because an `AtomicU64` cannot hold a duration.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::SystemTime;

    use super::*;

    fn supervised() -> (Supervised, crate::time::ManualTime) {
        let (clock, hands) = Clock::manual(SystemTime::UNIX_EPOCH);
        let task = Supervised::new(Task::Names, clock, &Restarts::default());
        (task, hands)
    }

    #[test]
    fn a_task_that_panics_is_restarted_and_counted() {
        let (task, hands) = supervised();
        let (status, restarts) = (task.status(), task.restarts.clone());
        let runs = Cell::new(0);
        let mut life = Box::pin(task.run(|_| {
            runs.set(runs.get() + 1);
            let run = runs.get();
            async move { assert!(run > 2, "not yet") }
        }));
        assert!((&mut life).now_or_never().is_none());
        assert!(!status.is_up() && runs.get() == 1);
        hands.advance(Duration::from_millis(100));
        assert!((&mut life).now_or_never().is_none());
        assert_eq!(runs.get(), 2);
        hands.advance(Duration::from_millis(200));
        assert!((&mut life).now_or_never().is_some());
        assert!(status.is_up() && runs.get() == 3);
        assert_eq!(restarts.of(Task::Names), 2);
        assert_eq!(restarts.of(Task::StateFile), 0);
    }

    #[test]
    fn a_waiting_task_has_heartbeats_and_a_blocked_task_hangs() {
        let limit = Duration::from_secs(30);
        let (task, hands) = supervised();
        let status = task.status();
        let clock = task.pulse.clock.clone();
        let mut waits =
            Box::pin(task.run(|pulse| async move { pulse.during(std::future::pending()).await }));
        for _ in 0..20 {
            assert!((&mut waits).now_or_never().is_none());
            assert!(!status.hangs(clock.ran(), limit));
            hands.advance(BEAT);
        }
        hands.advance(limit);
        assert!(status.hangs(clock.ran(), limit), "it was not run meanwhile");
        assert!((&mut waits).now_or_never().is_none());
        assert!(!status.hangs(clock.ran(), limit), "it is run again");
    }

    #[actix_rt::test]
    async fn work_on_a_thread_that_panics_is_an_error() {
        assert_eq!(in_thread("test", || 7).await.unwrap(), 7);
        let failed: Result<(), _> = in_thread("test", || panic!("at work")).await;
        assert!(matches!(failed, Err(ThreadError::Panicked)));
    }
}
