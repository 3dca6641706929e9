//! Starts, stops and replaces the accounts of the process.
//!
//! The list of accounts may change at any time. An account that is no longer in it, or that has other settings in it, ends: its poll in
//! flight is not cut, and its answer is stored. The account with its new settings, or another one with the same client ID, starts only
//! after that, so that two polls never consume the same stream. An account whose actors fail too often is stopped alone, and started again
//! after a pause.

mod client_ids;
mod pausing;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix::{Arbiter, Recipient};
use futures_util::future::join_all;
use thiserror::Error;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use self::client_ids::StartedWith;
use self::pausing::InventoryPauses;
use super::accounts::{AccountState, AccountStatus, Accounts};
#[cfg(feature = "fault-injection")]
use super::directory::Directory;
use super::messages::{AddAccount, Drain, RemoveAccount};
use super::paces::{Pace, Paces};
use super::start::{AccountActors, AccountContext, Starter};
use super::startable::startable;
use crate::config::Account;
use crate::inventory::Inventory;
use crate::supervise::{GivenUp, Pauses, Role, Supervisor};
use crate::time::{Backoff, Moment};

/// The time limit for the end of an account: the sum of the linger and the time limits of a token, a request and the store.
const END_LIMIT: Duration = Duration::from_secs(300);

/// The time limit for an account that is stopped to store its last answer.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// The operating system gives an account no thread.
#[derive(Debug, Error)]
#[error("cannot start a thread for account {account}")]
pub struct NoThread {
    account: Arc<str>,
    source: io::Error,
}

/// The receivers of announcements: an account is added before its first batch, and removed after its last.
#[derive(Debug, Clone)]
pub struct Register {
    /// Receives new accounts.
    pub add: Recipient<AddAccount>,
    /// Receives accounts that have ended.
    pub remove: Recipient<RemoveAccount>,
}

/// Inventories by the names of their accounts.
pub type Inventories = BTreeMap<Arc<str>, Arc<Inventory>>;

/// Why the process has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// This actor, which belongs to no account, failed too often.
    Actor(Role),
    /// Every account is stopped because its actors failed too often.
    AllAccounts,
}

/// Runs the accounts of the process. Dropping it does not end them.
#[derive(Debug)]
pub struct Manager {
    supervisor: Supervisor,
    context: AccountContext,
    register: Register,
    accounts: Arc<Accounts>,
    wanted: Vec<Account>,
    running: Vec<Running>,
    /// The inventories of accounts that have not been started yet.
    inventories: Inventories,
    /// The paces of accounts that have ended.
    paces: Paces,
    /// The number of starts so far, of all accounts.
    incarnations: u64,
    /// The waits before accounts that got no thread are tried again.
    thread_backoff: Backoff,
    /// When they are tried again; [`Moment::NEVER`] if there are none.
    retry_at: Moment,
    /// When client IDs were last compared with their files.
    checked_at: Moment,
    ended: mpsc::UnboundedSender<u64>,
    ends: mpsc::UnboundedReceiver<u64>,
    #[cfg(feature = "fault-injection")]
    directory: Directory,
}

/// An account that is started, paused or ending.
#[derive(Debug)]
struct Running {
    account: Account,
    started_with: StartedWith,
    status: Arc<AccountStatus>,
    /// The number of its last start.
    incarnation: u64,
    arbiter: Arbiter,
    actors: AccountActors,
    pauses: Pauses,
    inventory: InventoryPauses,
}

impl Manager {
    /// A manager without accounts. Accounts continue with these inventories.
    #[must_use]
    pub fn new(
        supervisor: Supervisor,
        context: AccountContext,
        register: Register,
        accounts: Arc<Accounts>,
        inventories: Inventories,
    ) -> Self {
        let (ended, ends) = mpsc::unbounded_channel();
        Self {
            supervisor,
            context,
            register,
            accounts,
            wanted: Vec::new(),
            running: Vec::new(),
            inventories,
            paces: Paces::default(),
            incarnations: 0,
            thread_backoff: Backoff::REQUESTS,
            retry_at: Moment::NEVER,
            checked_at: Moment::default(),
            ended,
            ends,
            #[cfg(feature = "fault-injection")]
            directory: Directory::default(),
        }
    }

    /// Starts, stops and replaces accounts, so that those of a list run.
    ///
    /// # Errors
    /// When the operating system gives an account no thread. The others are started, and [`Manager::run`] tries that one again.
    pub fn apply(&mut self, accounts: Vec<Account>) -> Result<(), NoThread> {
        self.wanted = accounts;
        self.reconcile()
    }

    /// The actors of all accounts, for tests.
    #[cfg(feature = "fault-injection")]
    #[must_use]
    pub fn directory(&self) -> Directory {
        self.directory.clone()
    }

    /// Manages the accounts until the process has to end.
    pub async fn run(
        &mut self,
        given_up: &mut mpsc::UnboundedReceiver<GivenUp>,
        lists: &mut mpsc::UnboundedReceiver<Vec<Account>>,
    ) -> Exhausted {
        let clock = self.context.clock.clone();
        loop {
            let (next_start, next_check) = (self.next_start(), self.next_check());
            let result = tokio::select! {
                Some(GivenUp { owner, role, cause }) = given_up.recv() => {
                    let component = role.name();
                    let reason = cause.name();
                    let Some(owner) = owner else {
                        error!(component, reason, "component keeps failing: exiting");
                        return Exhausted::Actor(role);
                    };
                    match role {
                        Role::Inventory => self.pause_inventory(&owner, reason),
                        _ => self.pause(&owner, component, reason),
                    }
                    Ok(())
                }
                Some(accounts) = lists.recv() => self.apply(accounts),
                Some(incarnation) = self.ends.recv() => self.ended(incarnation),
                () = clock.sleep_until(next_start) => self.start_due(),
                () = clock.sleep_until(next_check) => self.check_client_ids(),
            };
            if let Err(NoThread { account, source }) = result {
                let retry_in = self.next_start().since(clock.now());
                warn!(
                    account = &*account,
                    error = %source,
                    retry_in_seconds = retry_in.as_secs_f64(),
                    "cannot start a thread for an account: retrying"
                );
            }
            if self.are_all_paused() {
                error!("every account is stopped: exiting");
                return Exhausted::AllAccounts;
            }
        }
    }

    /// Ends all polls, and waits until the answers that arrive are stored. To be bounded by the caller.
    pub async fn drain(&self) {
        let running = self.running.iter();
        join_all(running.map(|running| running.actors.drain(Drain { cuts: true }))).await;
    }

    /// Stops the threads of all accounts.
    pub fn stop(&self) {
        for running in &self.running {
            running.arbiter.stop();
        }
    }

    /// Ends accounts that are no longer wanted, and starts those that are, unless their names or client IDs are in use. An account that gets
    /// no thread is tried again later.
    fn reconcile(&mut self) -> Result<(), NoThread> {
        let unwanted = |running: &Running| {
            running.started_with.is_outdated() || !self.wanted.contains(&running.account)
        };
        let unwanted = self.running.iter().filter(|running| unwanted(running));
        for running in unwanted {
            if running.status.state() != AccountState::Ending {
                self.end(running);
            }
        }
        let mut result = Ok(());
        for account in startable(&self.wanted, self.running.iter().map(|it| &it.account)) {
            if let Err(error) = self.start(account) {
                result = Err(error);
            }
        }
        self.publish();
        self.retry_at = match &result {
            Ok(()) => {
                self.thread_backoff.reset();
                Moment::NEVER
            }
            Err(_) => {
                let wait = self.thread_backoff.next(fastrand::f64());
                self.context.clock.now().after(wait)
            }
        };
        result
    }

    fn start(&mut self, account: Account) -> Result<(), NoThread> {
        let arbiter = new_thread(&account)?;
        let now = self.context.clock.now();
        let name = Arc::clone(&account.name);
        let known = self.accounts.find(&name);
        let status = known.unwrap_or_else(|| {
            let ran = self.context.clock.ran();
            let inventory = self.inventories.remove(&name);
            let inventory = inventory.map_or_else(Inventory::default, Arc::unwrap_or_clone);
            let status = AccountStatus::new(Arc::clone(&name), ran);
            let status = Arc::new(match self.context.inventory {
                Some(_) => status.with_inventory(inventory, ran),
                None => status,
            });
            self.register.add.do_send(AddAccount {
                name,
                metrics: Arc::clone(&status.metrics),
            });
            status
        });
        let client_id = account.client_id.identity();
        let elapsed = self.context.clock.elapsed();
        let pace = self
            .paces
            .take(&client_id, account.polls_per_minute, elapsed);
        let (incarnation, actors) = self.launch(&account, &status, &arbiter, pace);
        self.running.push(Running {
            account,
            started_with: StartedWith::new(client_id),
            status,
            incarnation,
            arbiter,
            actors,
            pauses: Pauses::new(now),
            inventory: InventoryPauses::new(now),
        });
        Ok(())
    }

    fn launch(
        &mut self,
        account: &Account,
        status: &AccountStatus,
        arbiter: &Arbiter,
        pace: Pace,
    ) -> (u64, AccountActors) {
        self.incarnations += 1;
        let incarnation = self.incarnations;
        let starter = Starter {
            supervisor: &self.supervisor,
            arbiter: &arbiter.handle(),
            incarnation,
            account,
            status,
            context: &self.context,
        };
        let actors = starter.start(pace);
        #[cfg(feature = "fault-injection")]
        self.directory.add(&account.name, actors.clone());
        status.set(AccountState::Running);
        (incarnation, actors)
    }

    /// Lets an account end by itself: its last answer is stored. If it is being stopped, this has the time that is left for that.
    fn end(&self, running: &Running) {
        let limit = match running.status.is_up() {
            true => END_LIMIT,
            false => STOP_LIMIT,
        };
        running.status.set(AccountState::Ending);
        let (ended, incarnation) = (self.ended.clone(), running.incarnation);
        let (clock, actors) = (self.context.clock.clone(), running.actors.clone());
        actix_rt::spawn(async move {
            let drain = actors.drain(Drain { cuts: false });
            // An account that does not end has nothing more to store.
            let _ = clock.timeout(limit, drain).await;
            // An error means that the process ends.
            let _ = ended.send(incarnation);
        });
    }

    /// Removes an account that has ended, and starts those that waited for its name or client ID.
    fn ended(&mut self, incarnation: u64) -> Result<(), NoThread> {
        let is_ended = |running: &mut Running| running.incarnation == incarnation;
        for running in self.running.extract_if(.., is_ended) {
            running.arbiter.stop();
            let client_id = running.started_with.client_id().to_owned();
            let elapsed = self.context.clock.elapsed();
            let pace = running.actors.end_requests();
            self.paces.keep(client_id, pace, elapsed);
            let name = running.account.name;
            if !self.wanted.iter().any(|wanted| wanted.name == name) {
                info!(account = &*name, "account removed");
                self.register.remove.do_send(RemoveAccount { name });
            }
        }
        self.reconcile()
    }

    /// Whether each account of the list is paused, and no other account is still ending. An account that has no thread is not paused:
    /// it is tried again soon.
    fn are_all_paused(&self) -> bool {
        let is_started =
            |wanted: &Account| self.running.iter().any(|it| it.account.name == wanted.name);
        let is_up = |running: &Running| running.status.is_up();
        !self.wanted.is_empty()
            && self.wanted.iter().all(is_started)
            && !self.running.iter().any(is_up)
    }

    fn publish(&self) {
        let statuses = self.running.iter().map(|it| Arc::clone(&it.status));
        self.accounts.replace(statuses.collect());
    }
}

fn new_thread(account: &Account) -> Result<Arbiter, NoThread> {
    Arbiter::try_new().map_err(|source| NoThread {
        account: Arc::clone(&account.name),
        source,
    })
}
