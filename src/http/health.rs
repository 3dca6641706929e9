//! Readiness and liveness, for the probes and the page.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::account::{AccountState, AccountStatus, Accounts};
use crate::supervise::{ActorStatus, Role};
use crate::tasks::TaskStatus;
use crate::time::{Clock, unix_seconds};

/// The state of the components of the process.
#[derive(Debug)]
pub struct Health {
    clock: Clock,
    accounts: Arc<Accounts>,
    /// The store's actor.
    store: Arc<ActorStatus>,
    tasks: Vec<Arc<TaskStatus>>,
    hang_limit: Duration,
    is_draining: AtomicBool,
}

/// An actor and what is wrong with it.
#[derive(Debug)]
pub struct ActorHealth {
    /// The name of its account; `None` for the store.
    pub account: Option<Arc<str>>,
    /// The actor.
    pub status: Arc<ActorStatus>,
    /// What is wrong with it, if anything.
    pub trouble: Option<&'static str>,
}

/// What an account is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PollState {
    /// The last poll succeeded.
    Up,
    /// The last poll failed.
    Failing,
    /// No poll has ended yet.
    Starting,
    /// It is stopped for some minutes, because one of its components keeps failing.
    Paused,
    /// It is removed or changed in the configuration: its last answer is stored, then it ends.
    Ending,
}

impl PollState {
    /// The state of an account.
    #[must_use]
    pub fn of(account: &AccountStatus) -> Self {
        let metrics = &account.metrics;
        let is_up = metrics.up.value().is_some_and(|up| up > 0.0);
        Self::new(account.state(), is_up, metrics.last_failure().is_some())
    }

    /// The state of an account whose last poll succeeded (`is_up`), or of whose polls one has failed.
    fn new(state: AccountState, is_up: bool, has_failed: bool) -> Self {
        match (state, is_up, has_failed) {
            (AccountState::Paused { .. }, ..) => Self::Paused,
            (AccountState::Ending, ..) => Self::Ending,
            (AccountState::Running, true, _) => Self::Up,
            (AccountState::Running, false, true) => Self::Failing,
            (AccountState::Running, false, false) => Self::Starting,
        }
    }
}

/// When a paused account is started again, in seconds since 1970 by the corrected clock; `None` if it is not paused.
#[must_use]
pub fn restart_timestamp(state: AccountState, clock: &Clock) -> Option<f64> {
    let AccountState::Paused { until } = state else {
        return None;
    };
    let remaining = until.since(clock.now());
    Some(unix_seconds(clock.corrected()) + remaining.as_secs_f64())
}

/// An account, as the probes show it.
#[derive(Debug, Serialize)]
pub struct AccountHealth {
    /// The name.
    pub name: String,
    /// The state.
    pub state: PollState,
    /// Why it does not poll; while polls fail, the last failure with its remedy.
    pub reason: Option<String>,
    /// When it is started again, in seconds since 1970, while it is paused.
    pub restart_timestamp_seconds: Option<f64>,
}

impl AccountHealth {
    fn of(account: &AccountStatus, clock: &Clock) -> Self {
        let state = PollState::of(account);
        let failure = account.metrics.failure_report();
        let failure = failure.map(|failure| failure.to_string());
        Self {
            name: account.name.to_string(),
            state,
            reason: reason(state, failure),
            restart_timestamp_seconds: restart_timestamp(account.state(), clock),
        }
    }
}

impl Health {
    /// The health of a process with this store, these accounts and long-running tasks. One that has not answered for `hang_limit`
    /// hangs.
    #[must_use]
    pub fn new(
        clock: Clock,
        accounts: Arc<Accounts>,
        store: Arc<ActorStatus>,
        tasks: Vec<Arc<TaskStatus>>,
        hang_limit: Duration,
    ) -> Self {
        Self {
            clock,
            accounts,
            store,
            tasks,
            hang_limit,
            is_draining: AtomicBool::new(false),
        }
    }

    /// Marks that the shutdown has begun, so that the service is not ready.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// The store's actor.
    #[must_use]
    pub fn store(&self) -> &Arc<ActorStatus> {
        &self.store
    }

    /// What is wrong with an actor, if anything.
    #[must_use]
    pub fn trouble(&self, actor: &ActorStatus) -> Option<&'static str> {
        actor.trouble(self.clock.ran(), self.hang_limit)
    }

    /// The store, then the actors of all accounts.
    #[must_use]
    pub fn actors(&self) -> Vec<ActorHealth> {
        let health = |account: Option<&Arc<str>>, status: &Arc<ActorStatus>| ActorHealth {
            account: account.cloned(),
            trouble: self.trouble(status),
            status: Arc::clone(status),
        };
        let store = health(None, &self.store);
        let accounts = self.accounts.all();
        let actors = accounts.iter().flat_map(|account| {
            let actors = account.actors();
            actors.map(|status| health(Some(&account.name), status))
        });
        std::iter::once(store).chain(actors).collect()
    }

    /// The accounts, by name.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountHealth> {
        let accounts = self.accounts.all();
        accounts
            .iter()
            .map(|account| AccountHealth::of(account, &self.clock))
            .collect()
    }

    /// Whether all actors of at least one account answer. Without accounts there is nothing that could hang.
    fn is_any_account_alive(&self) -> bool {
        let ran = self.clock.ran();
        let accounts = self.accounts.all();
        let is_alive =
            |account: &Arc<AccountStatus>| account.is_up() && !account.hangs(ran, self.hang_limit);
        accounts.is_empty() || accounts.iter().any(is_alive)
    }

    /// The tasks, and whether each hangs.
    pub fn task_hangs(&self) -> impl Iterator<Item = (&TaskStatus, bool)> {
        let ran = self.clock.ran();
        let hangs = move |task: &TaskStatus| task.hangs(ran, self.hang_limit);
        self.tasks.iter().map(move |task| (&**task, hangs(task)))
    }

    /// Why the service is not ready; `None` if it is.
    #[must_use]
    pub fn not_ready_because(&self) -> Option<String> {
        let has_polled = self.accounts.has_any_polled();
        let accounts = self.accounts.all();
        let failure = first_failure(&accounts);
        readiness(self.is_draining(), has_polled, failure.as_deref())
    }

    /// Why the process must be restarted, if it must.
    #[must_use]
    pub fn not_live_because(&self) -> Vec<String> {
        let is_any_alive = self.is_any_account_alive();
        let actors = self.actors();
        let actors = actors.iter().filter_map(|actor| {
            // One account that answers is enough, and an account polls also while its inventory is paused.
            let is_paused = actor.status.role() == Role::Inventory && actor.status.is_gone();
            let counts = !is_paused && (actor.account.is_none() || !is_any_alive);
            Some((
                "actor",
                actor.status.role().name(),
                actor.trouble.filter(|_| counts)?,
            ))
        });
        let tasks = self
            .task_hangs()
            .filter(|(_, hangs)| *hangs)
            .map(|(task, _)| ("task", task.task().name(), "hangs"));
        liveness(actors.chain(tasks))
    }
}

/// The last failure of the first account that has one; of several accounts with the name.
fn first_failure(accounts: &[Arc<AccountStatus>]) -> Option<String> {
    accounts.iter().find_map(|account| {
        let failure = account.metrics.failure_report()?;
        Some(match accounts.len() {
            1 => failure.to_string(),
            _ => format!("Account {}: {failure}", account.name),
        })
    })
}

/// Why an account in this state does not poll. `failure` is the last failure of a poll.
fn reason(state: PollState, failure: Option<String>) -> Option<String> {
    match state {
        PollState::Up | PollState::Starting => None,
        PollState::Failing => failure,
        PollState::Paused => Some("stopped: a component keeps failing".to_owned()),
        PollState::Ending => Some("removed or changed in the configuration".to_owned()),
    }
}

/// The service is ready from the first successful poll until the shutdown begins. `failure` is the last failure of a poll.
fn readiness(is_draining: bool, has_polled: bool, failure: Option<&str>) -> Option<String> {
    if is_draining {
        return Some("the service is shutting down".to_owned());
    }
    if has_polled {
        return None;
    }
    Some(match failure {
        Some(failure) => format!("no poll has succeeded yet. {failure}"),
        None => "no poll has succeeded yet".to_owned(),
    })
}

/// One line for each component with a problem: its kind, its name and the problem.
fn liveness<'a>(troubles: impl Iterator<Item = (&'a str, &'a str, &'a str)>) -> Vec<String> {
    troubles
        .map(|(kind, name, trouble)| format!("{kind} {name}: {trouble}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::account::FailureReport;
    use crate::starlink::PollFailure;
    use crate::time::Moment;

    #[test]
    fn readiness_begins_with_the_first_poll_and_ends_with_the_drain() {
        for (is_draining, has_polled, failure, expected) in [
            (false, false, None, Some("no poll has succeeded yet")),
            (
                false,
                false,
                Some("Refused."),
                Some("no poll has succeeded yet. Refused."),
            ),
            (false, true, Some("Refused."), None),
            (true, true, None, Some("the service is shutting down")),
            (true, false, None, Some("the service is shutting down")),
        ] {
            let found = readiness(is_draining, has_polled, failure);
            assert_eq!(found.as_deref(), expected);
        }
    }

    #[test]
    fn a_failure_of_several_accounts_has_the_name_of_its_account() {
        let account = |name: &str, fails: bool| {
            let account = AccountStatus::new(name.into(), Duration::ZERO);
            if fails {
                let report = FailureReport::new("Refused", Some("Check it.".to_owned()));
                account.metrics.poll_failed(PollFailure::Token, report);
            }
            Arc::new(account)
        };
        for (accounts, expected) in [
            (vec![account("a", false)], None),
            (vec![account("a", true)], Some("Refused. Check it.")),
            (
                vec![account("a", false), account("b", true), account("c", true)],
                Some("Account b: Refused. Check it."),
            ),
        ] {
            assert_eq!(first_failure(&accounts).as_deref(), expected);
        }
    }

    #[test]
    fn an_account_fails_only_after_a_failure_and_only_while_it_runs() {
        let paused = AccountState::Paused {
            until: Moment::from_millis(1000),
        };
        let failure = "Starlink rejected the credentials.";
        for (state, is_up, has_failed, expected, because) in [
            (
                AccountState::Running,
                false,
                false,
                PollState::Starting,
                None,
            ),
            (
                AccountState::Running,
                false,
                true,
                PollState::Failing,
                Some(failure),
            ),
            (AccountState::Running, true, false, PollState::Up, None),
            (AccountState::Running, true, true, PollState::Up, None),
            (
                paused,
                true,
                false,
                PollState::Paused,
                Some("stopped: a component keeps failing"),
            ),
            (
                paused,
                false,
                true,
                PollState::Paused,
                Some("stopped: a component keeps failing"),
            ),
            (
                AccountState::Ending,
                true,
                true,
                PollState::Ending,
                Some("removed or changed in the configuration"),
            ),
            (
                AccountState::Ending,
                false,
                false,
                PollState::Ending,
                Some("removed or changed in the configuration"),
            ),
        ] {
            let found = PollState::new(state, is_up, has_failed);
            assert_eq!(found, expected, "{state:?} {is_up} {has_failed}");
            let found = reason(found, Some(failure.to_owned()));
            assert_eq!(found.as_deref(), because, "{state:?} {is_up} {has_failed}");
        }
    }

    #[test]
    fn only_a_paused_account_has_a_restart() {
        let (clock, time) = Clock::manual(SystemTime::UNIX_EPOCH + Duration::from_secs(1000));
        let until = clock.now().after(Duration::from_secs(60));
        time.advance(Duration::from_secs(20));
        for (state, expected) in [
            (AccountState::Running, None),
            (AccountState::Paused { until }, Some(1060.0)),
            (AccountState::Ending, None),
        ] {
            assert_eq!(restart_timestamp(state, &clock), expected, "{state:?}");
        }
    }

    #[test]
    fn troubles_name_kind_and_component() {
        let troubles = [("actor", "stream", "hangs"), ("task", "names", "hangs")];
        let lines = liveness(troubles.into_iter());
        assert_eq!(lines, ["actor stream: hangs", "task names: hangs"]);
        assert!(liveness(std::iter::empty()).is_empty());
    }
}
