//! Follows files: looks again and again, and hands on what is new.

use std::time::Duration;

use tokio::sync::watch;
use tracing::{error, info, warn};

use super::{Reader, Seen};
use crate::tasks::{Pulse, ThreadError, in_thread};
use crate::text::with_sources;
use crate::time::{Clock, Moment};

/// How often files are looked at by their content, in intervals: once a minute.
const INTERVALS_BETWEEN_CONTENTS: u32 = 15;

/// Asks all watchers to look at once. Dropped, it asks no more.
#[derive(Debug)]
pub struct Reloads(watch::Sender<u64>);

/// How a watcher hears of [`Reloads`].
pub type Trigger = watch::Receiver<u64>;

impl Reloads {
    /// Nothing is asked for yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// What a watcher listens to.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        self.0.subscribe()
    }

    /// Has every file read again, now.
    pub fn ask(&self) {
        self.0.send_modify(|count| *count += 1);
    }
}

impl Default for Reloads {
    fn default() -> Self {
        Self::new()
    }
}

/// What a watcher looks at, and how often.
#[derive(Debug, Clone)]
pub struct Watched {
    /// What the files were found to be when the value in force was made.
    pub seen: Seen,
    /// How long to wait between two looks. A change is looked at once more, a quarter of this later, and counts if it is still the
    /// same: whoever saves a file may do so in several steps.
    pub interval: Duration,
    /// The time.
    pub clock: Clock,
    /// Who asks for a look ahead of time.
    pub trigger: Trigger,
}

/// What a watcher hands on.
#[derive(Debug)]
pub enum Change<T, E> {
    /// The files are others, or can be used or not used as before.
    New(Result<T, E>),
    /// It was asked to look, and nothing has changed: what the files give, which is in force already, or why they cannot be used.
    Same(Result<T, E>),
}

/// Follows the files that `load` reads, for ever. `take` gets what is new: once, also where it is a failure. After a failure the value
/// before it stays in force, and what `told` makes of the failure is the task's obstacle until there is a value again.
///
/// Everything but `take` runs on a thread of its own.
pub async fn watch<T, E>(
    pulse: Pulse,
    watched: Watched,
    load: impl Fn(&mut Reader) -> Result<T, E> + Clone + Send + 'static,
    told: impl Fn(&E) -> String,
    mut take: impl FnMut(Change<T, E>),
) where
    T: Send + 'static,
    E: Send + 'static,
{
    let Watched {
        seen,
        interval,
        clock,
        mut trigger,
    } = watched;
    let mut looks = Looks {
        reader: Reader::default(),
        in_force: seen,
        candidate: None,
    };
    let mut next_content = after(&clock, interval);
    let mut threads = Threads::default();
    let mut failure = None;
    loop {
        let wait = match looks.candidate {
            None => interval,
            Some(_) => interval / 4,
        };
        let is_asked = pulse
            .during(wait_or_asked(&clock, wait, &mut trigger))
            .await;
        let by_content = is_asked || clock.now() >= next_content;
        let how = match (is_asked, by_content) {
            (true, _) => How::Asked,
            (false, true) => How::ByContent,
            (false, false) => How::ByStamp,
        };
        let (before, load) = (looks.clone_state(), load.clone());
        let look = in_thread("watch", move || {
            let mut looks = looks;
            let change = looks.look(how, load);
            (looks, change)
        });
        match pulse.during(look).await {
            Ok((now, change)) => {
                threads.work();
                looks = now;
                if let Some(Change::New(loaded) | Change::Same(loaded)) = &change {
                    failure = loaded.as_ref().err().map(&told);
                }
                let unread = looks.in_force.trouble();
                pulse.obstacle(unread.or_else(|| failure.clone()));
                if let Some(change) = change {
                    take(change);
                }
                if by_content {
                    next_content = after(&clock, interval);
                }
            }
            Err(error) => {
                threads.fail(&error);
                pulse.obstacle(Some(error.to_string()));
                looks = before;
            }
        }
    }
}

/// Waits; whether it was asked to look meanwhile.
async fn wait_or_asked(clock: &Clock, wait: Duration, trigger: &mut Trigger) -> bool {
    let asked = async {
        if trigger.changed().await.is_err() {
            // Nobody can ask any more.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = asked => true,
        () = clock.sleep(wait) => false,
    }
}

fn after(clock: &Clock, interval: Duration) -> Moment {
    let pause = interval.saturating_mul(INTERVALS_BETWEEN_CONTENTS);
    clock.now().after(pause)
}

/// Whether looks can be made at all. Told once.
#[derive(Debug, Default)]
struct Threads {
    are_failing: bool,
}

impl Threads {
    fn work(&mut self) {
        if std::mem::take(&mut self.are_failing) {
            info!("files are checked for changes again");
        }
    }

    fn fail(&mut self, error: &ThreadError) {
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

/// How to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// Only where size, times or inode are others is a file read.
    ByStamp,
    ByContent,
    /// By content, and what the files give is handed on in any case.
    Asked,
}

/// What was found so far.
#[derive(Debug)]
struct Looks {
    reader: Reader,
    /// Of the value in force, or the failure that was told.
    in_force: Seen,
    /// Seen once, and not yet twice.
    candidate: Option<Seen>,
}

impl Looks {
    /// What is left where a look does not come back: paths that hang are forgotten.
    fn clone_state(&self) -> Self {
        Self {
            reader: Reader::default(),
            in_force: self.in_force.clone(),
            candidate: self.candidate.clone(),
        }
    }

    /// Looks once.
    fn look<T, E>(
        &mut self,
        how: How,
        load: impl FnOnce(&mut Reader) -> Result<T, E>,
    ) -> Option<Change<T, E>> {
        let by_content = how != How::ByStamp;
        if how != How::Asked
            && self.candidate.is_none()
            && self.reader.is_unchanged(&mut self.in_force, by_content)
        {
            return None;
        }
        let loaded = load(&mut self.reader);
        let seen = self.reader.seen();
        if seen.is_same_content(&self.in_force) {
            self.in_force = seen;
            self.candidate = None;
            return (how == How::Asked).then_some(Change::Same(loaded));
        }
        let is_second = |candidate: &Seen| candidate.is_same_content(&seen);
        if self.candidate.as_ref().is_some_and(is_second) {
            self.in_force = seen;
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

    use super::*;
    use crate::files::{FileError, SMALL};

    /// What a look hands on, shortened.
    fn look(looks: &mut Looks, path: &Path, how: How) -> Option<(bool, Result<String, String>)> {
        let load = |reader: &mut Reader| reader.read(path, SMALL);
        let shorten = |result: Result<Vec<u8>, FileError>| match result {
            Ok(bytes) => Ok(String::from_utf8(bytes).unwrap()),
            Err(error) => Err(error.to_string()),
        };
        looks.look(how, load).map(|change| match change {
            Change::New(result) => (true, shorten(result)),
            Change::Same(result) => (false, shorten(result)),
        })
    }

    fn looks(path: &Path) -> Looks {
        let mut reader = Reader::default();
        drop(reader.read(path, SMALL));
        Looks {
            in_force: reader.seen(),
            reader,
            candidate: None,
        }
    }

    #[test]
    fn a_change_counts_when_it_was_seen_twice_and_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "one").unwrap();
        let mut looks = looks(&path);
        let ok = |text: &str| Some((true, Ok(text.to_owned())));
        assert_eq!(look(&mut looks, &path, How::ByStamp), None);
        // Saved in two steps.
        fs::write(&path, "tw").unwrap();
        assert_eq!(look(&mut looks, &path, How::ByStamp), None);
        fs::write(&path, "two").unwrap();
        assert_eq!(look(&mut looks, &path, How::ByStamp), None);
        assert_eq!(look(&mut looks, &path, How::ByStamp), ok("two"));
        assert_eq!(look(&mut looks, &path, How::ByStamp), None);
        // Changed and changed back.
        fs::write(&path, "three").unwrap();
        assert_eq!(look(&mut looks, &path, How::ByStamp), None);
        fs::write(&path, "two").unwrap();
        assert_eq!(look(&mut looks, &path, How::ByStamp), None);
        assert_eq!(look(&mut looks, &path, How::ByContent), None);
        // Gone and back: two changes.
        fs::remove_file(&path).unwrap();
        assert_eq!(look(&mut looks, &path, How::ByStamp), None);
        let (is_new, told) = look(&mut looks, &path, How::ByStamp).unwrap();
        assert!(is_new && told.is_err());
        assert!(looks.in_force.trouble().unwrap().contains("No such file"));
        for how in [How::ByStamp, How::ByContent] {
            assert_eq!(look(&mut looks, &path, how), None, "told once");
        }
        fs::write(&path, "two").unwrap();
        assert_eq!(look(&mut looks, &path, How::ByStamp), None);
        assert_eq!(look(&mut looks, &path, How::ByStamp), ok("two"));
        assert_eq!(looks.in_force.trouble(), None);
    }

    #[test]
    fn who_asks_hears_also_that_nothing_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "one").unwrap();
        let mut looks = looks(&path);
        let same = Some((false, Ok("one".to_owned())));
        assert_eq!(look(&mut looks, &path, How::Asked), same);
        fs::write(&path, "two").unwrap();
        assert_eq!(look(&mut looks, &path, How::Asked), None);
        let new = Some((true, Ok("two".to_owned())));
        assert_eq!(look(&mut looks, &path, How::Asked), new);
    }
}
