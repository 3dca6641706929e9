//! Pauses journals and senders that fail too often, and starts them again.

use std::sync::Arc;

use tracing::{error, info};

use super::Recorder;
use super::senders::SenderLife;
use crate::recording::status::SenderState;
use crate::supervise::{GivenUp, Role};
use crate::time::Moment;

impl Recorder {
    /// Pauses a journal or a sender that was given up.
    pub(super) fn pause(&mut self, given_up: &GivenUp) {
        let Some(owner) = &given_up.owner else { return };
        let reason = given_up.cause.name();
        match given_up.role {
            Role::Journal => self.pause_journal(&owner.account, owner.incarnation, reason),
            _ => self.pause_sender(&owner.account, owner.incarnation, reason),
        }
        self.publish();
    }

    /// Ends the thread of a journal, and with it its senders, whose addresses of the journal are no longer valid.
    fn pause_journal(&mut self, account: &Arc<str>, incarnation: u64, reason: &str) {
        let now = self.clock().now();
        let Some(recorded) = self.recorded.get_mut(account) else {
            return;
        };
        if recorded.incarnation != incarnation || recorded.running.is_none() {
            return;
        }
        recorded.stop();
        recorded.running = None;
        recorded.status().actor.mark_gone();
        recorded.status().durable.set(0.0);
        for sender in recorded.senders.values_mut() {
            // A sender that is ending is started later by its end.
            if let SenderLife::Running(..) = sender.state {
                sender.state = SenderLife::Stopped;
            }
            sender.status.actor.mark_gone();
            sender.status.set_state(SenderState::Paused);
        }
        let pause = recorded.pauses.next(now);
        recorded.until = now.after(pause);
        error!(
            account = &**account,
            component = Role::Journal.name(),
            reason,
            restart_in_seconds = pause.as_secs(),
            "answers of an account are not recorded for a while: the component keeps failing. Polls go on"
        );
    }

    fn pause_sender(&mut self, account: &Arc<str>, incarnation: u64, reason: &str) {
        let now = self.clock().now();
        let Some(recorded) = self.recorded.get_mut(account) else {
            return;
        };
        let mut senders = recorded.senders.iter_mut();
        let Some((name, sender)) = senders.find(|(_, it)| it.incarnation == incarnation) else {
            return;
        };
        if !matches!(sender.state, SenderLife::Running(..)) {
            return;
        }
        sender.state = SenderLife::Stopped;
        sender.status.set_state(SenderState::Paused);
        let pause = sender.pauses.next(now);
        sender.until = now.after(pause);
        error!(
            account = &**account,
            destination = &**name,
            component = Role::RemoteWrite.name(),
            reason,
            restart_in_seconds = pause.as_secs(),
            "rows are not sent for a while: the component keeps failing. They wait in the journal"
        );
    }

    /// Starts the journals and senders whose pauses are over.
    pub(super) fn start_due(&mut self) {
        let now = self.clock().now();
        let due = self
            .recorded
            .iter()
            .filter(|(_, it)| it.next_start() <= now);
        let due: Vec<_> = due.map(|(name, _)| Arc::clone(name)).collect();
        for name in due {
            let Some(recorded) = self.recorded.get_mut(&name) else {
                continue;
            };
            match recorded.running {
                None => {
                    recorded.pauses.started(now);
                    for sender in recorded.senders.values_mut() {
                        sender.until = Moment::NEVER;
                    }
                    if recorded.is_configured {
                        info!(
                            account = &*name,
                            "answers of the account are recorded again"
                        );
                    }
                    self.start_journal(&name);
                }
                Some(_) => {
                    let senders = recorded.senders.values_mut();
                    for sender in senders.filter(|it| it.until <= now) {
                        sender.pauses.started(now);
                    }
                    self.start_senders(&name);
                    info!(account = &*name, "rows of the account are sent again");
                }
            }
        }
        self.publish();
    }
}
