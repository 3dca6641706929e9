//! The tasks that reload files when they change.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::task::JoinHandle;
use arc_swap::ArcSwap;
use futures_util::future::join;
use tokio::sync::mpsc;

use crate::account::Accounts;
use crate::config::{
    Account, AccountsFile, Configured, DestinationFiles, Settings, follow_accounts,
    follow_destinations,
};
use crate::files::{FileStates, FromFile, Reloads, WatchOptions};
use crate::names::{self, Names};
use crate::redaction::Redactor;
use crate::self_metrics::ProcessMetrics;
use crate::store::Published;
use crate::tasks::{Pulse, Supervised, Task, TaskStatus};
use crate::time::Clock;
use crate::web_config::{self, Gate};

/// The number of file check intervals between two comparisons of names with devices.
const LOOKS_PER_MATCH: u32 = 4;

/// The tasks. Each runs from when it is added.
#[derive(Debug)]
pub(super) struct Followers {
    clock: Clock,
    metrics: Arc<ProcessMetrics>,
    interval: Duration,
    reloads: Arc<Reloads>,
    pub(super) statuses: Vec<Arc<TaskStatus>>,
    handles: Vec<JoinHandle<()>>,
}

impl Followers {
    pub(super) fn new(clock: &Clock, metrics: &Arc<ProcessMetrics>, interval: Duration) -> Self {
        Self {
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
            interval,
            reloads: Arc::default(),
            statuses: Vec::new(),
            handles: Vec::new(),
        }
    }

    /// Requests that all files are read again.
    pub(super) fn reloads(&self) -> Arc<Reloads> {
        Arc::clone(&self.reloads)
    }

    /// Follows the files of credentials and authorities.
    pub(super) fn outgoing(&mut self, settings: &Settings) {
        let accounts = settings.accounts.list().iter();
        for credential in accounts.flat_map(|account| [&account.client_id, &account.client_secret])
        {
            if let Some(seen) = credential.seen() {
                let credential = credential.clone();
                self.add(Task::Credentials, seen.clone(), move |watched, pulse| {
                    credential.clone().follow(watched, pulse)
                });
            }
        }
        if let Some(authorities) = settings.outgoing.authorities.clone() {
            let seen = authorities.seen().clone();
            self.add(Task::Authorities, seen, move |watched, pulse| {
                authorities.clone().follow(watched, pulse)
            });
        }
    }

    /// Follows the file of accounts, and sends each new list to `lists`.
    pub(super) fn accounts(
        &mut self,
        file: &AccountsFile,
        redactor: &Redactor,
        lists: mpsc::UnboundedSender<Vec<Account>>,
    ) {
        let (file, redactor) = (file.clone(), redactor.clone());
        let seen = file.seen().clone();
        self.add(Task::Accounts, seen, move |watched, pulse| {
            let lists = lists.clone();
            let apply = move |accounts| {
                // Sending fails only when the process ends.
                let _ = lists.send(accounts);
            };
            follow_accounts(file.clone(), redactor.clone(), watched, pulse, apply)
        });
    }

    /// Follows the files of destinations of remote write, if there are any, and sends each new list to `lists`.
    pub(super) fn destinations(
        &mut self,
        files: &DestinationFiles,
        redactor: &Redactor,
        lists: mpsc::UnboundedSender<Vec<Configured>>,
    ) {
        if files.seen().is_empty() {
            return;
        }
        let (files, redactor) = (files.clone(), redactor.clone());
        let seen = files.seen().clone();
        self.add(Task::RemoteWrite, seen, move |watched, pulse| {
            let lists = lists.clone();
            let apply = move |destinations| {
                // Sending fails only when the process ends.
                let _ = lists.send(destinations);
            };
            follow_destinations(files.clone(), redactor.clone(), watched, pulse, apply)
        });
    }

    /// Follows the web configuration.
    pub(super) fn gate(&mut self, file: &FromFile<Arc<Gate>>) {
        let (path, gate) = (file.path.clone(), Arc::clone(&file.value));
        self.add(Task::WebConfig, file.seen.clone(), move |watched, pulse| {
            web_config::follow(path.clone(), Arc::clone(&gate), watched, pulse)
        });
    }

    /// Follows the names, and compares them with the devices.
    pub(super) fn names(
        &mut self,
        file: &FromFile<Arc<Names>>,
        names: &Arc<ArcSwap<Names>>,
        published: &Arc<Published>,
        accounts: &Arc<Accounts>,
    ) {
        // All names are unmatched until the first comparison with devices.
        let unmatched = names.load().match_ids([""; 0]);
        self.metrics.names_unmatched.set(unmatched.sample());
        let (path, names) = (file.path.clone(), Arc::clone(names));
        let (published, accounts) = (Arc::clone(published), Arc::clone(accounts));
        let metrics = Arc::clone(&self.metrics);
        let every = (self.clock.clone(), self.interval * LOOKS_PER_MATCH);
        self.add(Task::Names, file.seen.clone(), move |watched, pulse| {
            let (names, metrics) = (Arc::clone(&names), Arc::clone(&metrics));
            let follow = names::follow(path.clone(), Arc::clone(&names), watched, pulse.clone());
            let (published, accounts) = (Arc::clone(&published), Arc::clone(&accounts));
            let compare =
                names::match_devices(names, published, metrics, accounts, every.clone(), pulse);
            async {
                join(follow, compare).await;
            }
        });
    }

    fn add<F: Future<Output = ()> + 'static>(
        &mut self,
        task: Task,
        seen: FileStates,
        mut follow: impl FnMut(WatchOptions, Pulse) -> F + 'static,
    ) {
        let watched = WatchOptions {
            seen,
            interval: self.interval,
            clock: self.clock.clone(),
            trigger: self.reloads.trigger(),
        };
        let supervised = Supervised::new(task, self.clock.clone(), &self.metrics.task_restarts);
        self.statuses.push(supervised.status());
        let run = supervised.run(move |pulse| follow(watched.clone(), pulse));
        self.handles.push(actix_rt::spawn(run));
    }

    /// Ends all tasks.
    pub(super) fn abort(&self) {
        for handle in &self.handles {
            handle.abort();
        }
    }
}
