//! Detects client IDs that change in their files while their accounts run. Another client ID may be that of another Starlink account, so
//! that the account starts again with it, as if its entry had changed.

use std::fmt;
use std::time::Duration;

use tracing::info;

use super::{Manager, NoThread};
use crate::account::accounts::AccountState;
use crate::config::Credential;
use crate::time::Moment;

/// The time between two checks. An account starts again when two checks have found another client ID: if its secret changes at the same
/// time, that file is read meanwhile.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The client ID with which an account was started.
pub(super) struct StartedWith {
    client_id: String,
    /// How many checks in a row have found another one.
    differed: u32,
}

impl fmt::Debug for StartedWith {
    /// Without the client ID.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StartedWith(differed: {})", self.differed)
    }
}

impl StartedWith {
    pub(super) fn new(client_id: String) -> Self {
        Self {
            client_id,
            differed: 0,
        }
    }

    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Whether the account has to start again.
    pub(super) fn is_outdated(&self) -> bool {
        self.differed >= 2
    }

    fn check(&mut self, client_id: &Credential) {
        self.differed = match client_id.identity() == self.client_id {
            true => 0,
            false => self.differed + 1,
        };
    }
}

impl Manager {
    /// When client IDs are checked next; [`Moment::NEVER`] if they are in no file, or in files whose accounts are applied as a new list.
    pub(super) fn next_check(&self) -> Moment {
        let mut running = self.running.iter();
        match running.any(|it| it.account.client_id.seen().is_some()) {
            true => self.checked_at.after(CHECK_INTERVAL),
            false => Moment::NEVER,
        }
    }

    /// Ends accounts whose client IDs have changed. They start again afterwards.
    pub(super) fn check_client_ids(&mut self) -> Result<(), NoThread> {
        self.checked_at = self.context.clock.now();
        let mut is_any_outdated = false;
        for running in &mut self.running {
            if running.status.state() == AccountState::Ending {
                continue;
            }
            running.started_with.check(&running.account.client_id);
            if running.started_with.is_outdated() {
                is_any_outdated = true;
                info!(
                    account = &*running.account.name,
                    "the client ID has changed: the account starts again"
                );
            }
        }
        match is_any_outdated {
            true => self.reconcile(),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_outdated_when_two_checks_in_a_row_find_another_client_id() {
        let credential = |text: &str| Credential::fixed(text.into());
        let mut started_with = StartedWith::new("one".to_owned());
        for (found, is_outdated) in [
            ("one", false),
            ("two", false),
            (" one ", false),
            ("two", false),
            ("three", true),
            ("one", false),
        ] {
            started_with.check(&credential(found));
            assert_eq!(started_with.is_outdated(), is_outdated, "{found}");
        }
        assert!(!format!("{started_with:?}").contains("one"));
    }
}
