//! Connects journals and senders with the accounts and the store.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::begin::{limits, retention};
use super::error::BuildError;
use crate::account::{Accounts, AnswerRoutes};
use crate::config::{Account, Configured, RecordingSettings, Settings};
use crate::fleet::TakenOver;
use crate::journal::JournalDirectory;
use crate::outgoing::Resolver;
use crate::recording::{Budget, Recorder, RecorderOptions, RecordingStatus, SenderContext};
use crate::store::Published;
use crate::supervise::{SupervisionPolicy, Supervisor};
use crate::tasks::Pool;
use crate::telemetry::SharedSchemas;
use crate::time::Clock;

/// The journals before they are started. While it exists, no other process uses their directory.
pub(super) struct Recording {
    directory: Arc<JournalDirectory>,
    settings: RecordingSettings,
    taken_over: mpsc::UnboundedReceiver<Vec<TakenOver>>,
    routes: AnswerRoutes,
}

/// Where the other parts of the application find the journals.
pub(super) struct Connections {
    /// Where accounts find their journals.
    pub(super) routes: AnswerRoutes,
    /// Receives devices that another account has taken over.
    pub(super) taken_over: mpsc::UnboundedSender<Vec<TakenOver>>,
}

/// What the Recorder shares with the other parts of the application.
pub(super) struct SharedParts<'s> {
    pub(super) clock: &'s Clock,
    pub(super) published: &'s Arc<Published>,
    pub(super) accounts: &'s Arc<Accounts>,
    pub(super) status: &'s Arc<RecordingStatus>,
    pub(super) policy: SupervisionPolicy,
    pub(super) schemas: SharedSchemas,
}

/// The lists that change while the Recorder runs.
pub(super) struct Lists {
    /// New lists of accounts.
    pub(super) accounts: mpsc::UnboundedReceiver<Vec<Account>>,
    /// Receives each list of accounts when their journals are started.
    pub(super) next: mpsc::UnboundedSender<Vec<Account>>,
    /// New lists of destinations.
    pub(super) destinations: mpsc::UnboundedReceiver<Vec<Configured>>,
}

impl Recording {
    /// Locks the directory of the journals.
    pub(super) fn open(settings: &RecordingSettings) -> Result<(Self, Connections), BuildError> {
        let directory = Arc::new(JournalDirectory::open(&settings.directory)?);
        let (sender, taken_over) = mpsc::unbounded_channel();
        let routes = AnswerRoutes::default();
        let recording = Self {
            directory,
            settings: settings.clone(),
            taken_over,
            routes: routes.clone(),
        };
        let connections = Connections {
            routes,
            taken_over: sender,
        };
        Ok((recording, connections))
    }

    /// Starts the journals and the senders of all accounts.
    pub(super) fn start(
        self,
        settings: &Settings,
        shared: SharedParts<'_>,
        lists: Lists,
    ) -> Result<Recorder, BuildError> {
        let SharedParts {
            clock,
            published,
            accounts,
            status,
            policy,
            schemas,
        } = shared;
        let redactor = settings.redactor.clone();
        let (supervisor, given_up) = Supervisor::new(policy, clock.clone(), redactor.clone());
        let context = SenderContext {
            clock: clock.clone(),
            resolver: Resolver::system(),
            proxy: settings.outgoing.proxy.clone(),
            authorities: settings.outgoing.authorities.clone(),
            pool: Pool::start("history", threads())?,
            budget: Budget::default(),
            redactor,
            schemas,
            include_routers: settings.fleet.include_routers,
            retention: retention(settings),
            limits: limits(settings),
        };
        let options = RecorderOptions {
            supervisor,
            given_up,
            directory: self.directory,
            bounds: self.settings.bounds,
            published: Arc::clone(published),
            accounts: Arc::clone(accounts),
            routes: self.routes,
            status: Arc::clone(status),
            context,
            // One thread compresses what hundreds of thousands of terminals report, and most answers are compressed already.
            compression: Pool::start("compression", 1)?,
            account_lists: lists.accounts,
            next: lists.next,
            destination_lists: lists.destinations,
            taken_over: self.taken_over,
        };
        let accounts = settings.accounts.list();
        Ok(Recorder::start(
            options,
            accounts,
            self.settings.destinations,
        )?)
    }
}

/// How many threads compress, decode and encode, for all accounts and destinations together.
fn threads() -> usize {
    const MOST: usize = 4;
    let cores = std::thread::available_parallelism();
    cores.map_or(1, |cores| cores.get().min(MOST))
}
