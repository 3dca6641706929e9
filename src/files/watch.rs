//! Polls files for changes, and reports each change once.

use std::fmt::Display;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{error, info, warn};

use super::{FileReader, FileStates};
use crate::tasks::{Pulse, ThreadError, in_thread};
use crate::text::with_sources;
use crate::time::{Clock, Moment};

/// Contents are compared once in this many intervals, which is once a minute; else only the metadata is compared.
const INTERVALS_BETWEEN_CONTENTS: u32 = 15;

/// Sends requests to all watchers to check their files immediately.
#[derive(Debug)]
pub struct Reloads(watch::Sender<u64>);

/// Receives the requests of [`Reloads`].
pub type Trigger = watch::Receiver<u64>;

impl Reloads {
    /// A sender that has sent no request yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// A receiver for a watcher.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        self.0.subscribe()
    }

    /// Requests a check from all watchers.
    pub fn ask(&self) {
        self.0.send_modify(|count| *count += 1);
    }
}

impl Default for Reloads {
    fn default() -> Self {
        Self::new()
    }
}

/// The options of [`watch`].
#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// The states of the files from which the value in use was loaded.
    pub seen: FileStates,
    /// The time between two checks. After a change the files are checked again a quarter of this later, and the change is used only if
    /// they are still the same, because a file may be saved in several steps.
    pub interval: Duration,
    /// Measures the interval.
    pub clock: Clock,
    /// Requests of a check before the interval has passed. After a requested check, further requests wait for a quarter of the
    /// interval, so that a flood of them does not keep a processor busy.
    pub trigger: Trigger,
}

/// What a watcher reports.
#[derive(Debug)]
pub enum Change<T, E> {
    /// The files have changed, or became readable or unreadable.
    New(Result<T, E>),
    /// A check was requested, and nothing has changed: the value, which is in use already, or why the files cannot be used.
    Same(Result<T, E>),
}

/// Follows the files that `load` reads, without end. Calls `on_change` once for each change, also if the new files cannot be used.
/// `obstacle` returns what is wrong with the loaded files, or `None`; the text is the task's obstacle until the next change.
///
/// `load` runs on a separate thread, `on_change` on the caller's.
pub async fn watch<T, E>(
    pulse: Pulse,
    watched: WatchOptions,
    load: impl Fn(&mut FileReader) -> Result<T, E> + Clone + Send + 'static,
    obstacle: impl Fn(&Result<T, E>) -> Option<String>,
    mut on_change: impl FnMut(Change<T, E>),
) where
    T: Send + 'static,
    E: Send + 'static,
{
    let WatchOptions {
        seen,
        interval,
        clock,
        mut trigger,
    } = watched;
    let mut checker = Checker {
        reader: FileReader::default(),
        in_use: seen,
        candidate: None,
    };
    let mut next_by_content = next_comparison(&clock, interval);
    let mut next_request = Moment::default();
    let mut threads = ThreadFailures::default();
    let mut current_obstacle = None;
    loop {
        let wait = match checker.candidate {
            None => interval,
            Some(_) => interval / 4,
        };
        let is_requested = pulse
            .during(wait_or_request(&clock, wait, next_request, &mut trigger))
            .await;
        let by_content = is_requested || clock.now() >= next_by_content;
        let mode = match (is_requested, by_content) {
            (true, _) => Mode::Requested,
            (false, true) => Mode::ByContent,
            (false, false) => Mode::ByStamp,
        };
        let (before, load) = (checker.clone_state(), load.clone());
        let check = in_thread("watch", move || {
            let mut checker = checker;
            let change = checker.check(mode, load);
            (checker, change)
        });
        let checked = pulse.during(check).await;
        if is_requested {
            next_request = clock.now().after(interval / 4);
        }
        match checked {
            Ok((now, change)) => {
                threads.succeeded();
                checker = now;
                if let Some(Change::New(loaded) | Change::Same(loaded)) = &change {
                    current_obstacle = obstacle(loaded);
                }
                // Also ends the obstacle that no thread could be started.
                pulse.obstacle(current_obstacle.clone());
                if let Some(change) = change {
                    on_change(change);
                }
                if by_content {
                    next_by_content = next_comparison(&clock, interval);
                }
            }
            Err(error) => {
                threads.failed(&error);
                pulse.obstacle(Some(error.to_string()));
                checker = before;
            }
        }
    }
}

/// The text of an error, as the obstacle of [`watch`].
pub fn error_text<T, E: Display>(loaded: &Result<T, E>) -> Option<String> {
    loaded.as_ref().err().map(ToString::to_string)
}

/// Waits for `wait` or for a request. Returns whether there was a request. Requests before `earliest` take effect at that moment, as one.
async fn wait_or_request(
    clock: &Clock,
    wait: Duration,
    earliest: Moment,
    trigger: &mut Trigger,
) -> bool {
    let request = async {
        clock.sleep_until(earliest).await;
        if trigger.changed().await.is_err() {
            // The sender was dropped: no further request is possible.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = request => true,
        () = clock.sleep(wait) => false,
    }
}

/// When the contents must be compared next.
fn next_comparison(clock: &Clock, interval: Duration) -> Moment {
    let pause = interval.saturating_mul(INTERVALS_BETWEEN_CONTENTS);
    clock.now().after(pause)
}

/// Logs once that no thread can check the files, and once that it works again.
#[derive(Debug, Default)]
struct ThreadFailures {
    are_failing: bool,
}

impl ThreadFailures {
    fn succeeded(&mut self) {
        if std::mem::take(&mut self.are_failing) {
            info!("files are checked for changes again");
        }
    }

    fn failed(&mut self, error: &ThreadError) {
        if std::mem::replace(&mut self.are_failing, true) {
            return;
        }
        let is_bug = matches!(error, ThreadError::Panicked);
        let error = with_sources(error);
        match is_bug {
            false => warn!(error, "cannot check files for changes"),
            true => error!(error, "cannot check files for changes"),
        }
    }
}

/// How to check files for changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Reads a file only if its metadata has changed.
    ByStamp,
    ByContent,
    /// Compares the contents, and reports also that nothing has changed.
    Requested,
}

/// Checks files, and keeps their states.
#[derive(Debug)]
struct Checker {
    reader: FileReader,
    /// The states of the value in use, or of the failure that was reported last.
    in_use: FileStates,
    /// Changed states that must be found once more before they are used.
    candidate: Option<FileStates>,
}

impl Checker {
    /// The state to continue with if the thread of a check fails. Which paths hang is lost.
    fn clone_state(&self) -> Self {
        Self {
            reader: FileReader::default(),
            in_use: self.in_use.clone(),
            candidate: self.candidate.clone(),
        }
    }

    /// Checks once.
    fn check<T, E>(
        &mut self,
        mode: Mode,
        load: impl FnOnce(&mut FileReader) -> Result<T, E>,
    ) -> Option<Change<T, E>> {
        let by_content = mode != Mode::ByStamp;
        if mode != Mode::Requested
            && self.candidate.is_none()
            && self.reader.is_unchanged(&mut self.in_use, by_content)
        {
            return None;
        }
        let loaded = load(&mut self.reader);
        let seen = self.reader.seen();
        if seen.is_same_content(&self.in_use) {
            self.in_use = seen;
            self.candidate = None;
            return (mode == Mode::Requested).then_some(Change::Same(loaded));
        }
        let is_second = |candidate: &FileStates| candidate.is_same_content(&seen);
        if self.candidate.as_ref().is_some_and(is_second) {
            self.in_use = seen;
            self.candidate = None;
            return Some(Change::New(loaded));
        }
        self.candidate = Some(seen);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::SystemTime;

    use futures_util::FutureExt;

    use super::*;
    use crate::files::{FileError, SMALL};

    /// The result of a check: whether it is new, and the text or the error.
    fn check(
        checker: &mut Checker,
        path: &Path,
        mode: Mode,
    ) -> Option<(bool, Result<String, String>)> {
        let load = |reader: &mut FileReader| reader.read(path, SMALL);
        let shorten = |result: Result<Vec<u8>, FileError>| match result {
            Ok(bytes) => Ok(String::from_utf8(bytes).unwrap()),
            Err(error) => Err(error.to_string()),
        };
        checker.check(mode, load).map(|change| match change {
            Change::New(result) => (true, shorten(result)),
            Change::Same(result) => (false, shorten(result)),
        })
    }

    fn checker(path: &Path) -> Checker {
        let mut reader = FileReader::default();
        drop(reader.read(path, SMALL));
        Checker {
            in_use: reader.seen(),
            reader,
            candidate: None,
        }
    }

    #[test]
    fn a_change_is_reported_once_after_two_equal_checks() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "one").unwrap();
        let mut checker = checker(&path);
        let ok = |text: &str| Some((true, Ok(text.to_owned())));
        assert_eq!(check(&mut checker, &path, Mode::ByStamp), None);
        // Saved in two steps.
        fs::write(&path, "tw").unwrap();
        assert_eq!(check(&mut checker, &path, Mode::ByStamp), None);
        fs::write(&path, "two").unwrap();
        assert_eq!(check(&mut checker, &path, Mode::ByStamp), None);
        assert_eq!(check(&mut checker, &path, Mode::ByStamp), ok("two"));
        assert_eq!(check(&mut checker, &path, Mode::ByStamp), None);
        // Changed and changed back.
        fs::write(&path, "three").unwrap();
        assert_eq!(check(&mut checker, &path, Mode::ByStamp), None);
        fs::write(&path, "two").unwrap();
        assert_eq!(check(&mut checker, &path, Mode::ByStamp), None);
        assert_eq!(check(&mut checker, &path, Mode::ByContent), None);
        // Gone and back: two changes.
        fs::remove_file(&path).unwrap();
        assert_eq!(check(&mut checker, &path, Mode::ByStamp), None);
        let (is_new, reported) = check(&mut checker, &path, Mode::ByStamp).unwrap();
        assert!(is_new && reported.unwrap_err().contains("No such file"));
        for mode in [Mode::ByStamp, Mode::ByContent] {
            assert_eq!(check(&mut checker, &path, mode), None, "reported once");
        }
        fs::write(&path, "two").unwrap();
        assert_eq!(check(&mut checker, &path, Mode::ByStamp), None);
        assert_eq!(check(&mut checker, &path, Mode::ByStamp), ok("two"));
    }

    #[test]
    fn many_requests_cause_one_check_per_quarter_of_the_interval() {
        let (clock, hands) = Clock::manual(SystemTime::UNIX_EPOCH);
        let interval = Duration::from_secs(4);
        let reloads = Reloads::new();
        let mut trigger = reloads.trigger();
        let mut earliest = Moment::default();
        let mut checks = Vec::new();
        for millis in 0..4000 {
            reloads.ask();
            let wait = wait_or_request(&clock, interval, earliest, &mut trigger);
            if wait.now_or_never() == Some(true) {
                checks.push(millis);
                earliest = clock.now().after(interval / 4);
            }
            hands.advance(Duration::from_millis(1));
        }
        assert_eq!(checks, [0, 1000, 2000, 3000]);
    }

    #[test]
    fn a_requested_check_also_reports_that_nothing_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "one").unwrap();
        let mut checker = checker(&path);
        let same = Some((false, Ok("one".to_owned())));
        assert_eq!(check(&mut checker, &path, Mode::Requested), same);
        fs::write(&path, "two").unwrap();
        assert_eq!(check(&mut checker, &path, Mode::Requested), None);
        let new = Some((true, Ok("two".to_owned())));
        assert_eq!(check(&mut checker, &path, Mode::Requested), new);
    }
}
