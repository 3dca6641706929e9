//! Stops accounts and InventoryActors whose actors fail too often, and starts them again after a pause.

use tracing::{error, info};

use super::{Manager, NoThread, Running, STOP_LIMIT, new_thread};
use crate::account::accounts::AccountState;
use crate::account::messages::Drain;
use crate::account::start::Starter;
use crate::supervise::{Owner, Pauses, Role};
use crate::time::Moment;

/// The pauses of an InventoryActor that keeps failing. Its account polls meanwhile.
#[derive(Debug)]
pub(super) struct InventoryPauses {
    pauses: Pauses,
    /// When it is started again; [`Moment::NEVER`] while it runs.
    until: Moment,
}

impl InventoryPauses {
    /// The actor starts now.
    pub(super) fn new(now: Moment) -> Self {
        Self {
            pauses: Pauses::new(now),
            until: Moment::NEVER,
        }
    }
}

impl Manager {
    /// Stops an account whose actor has failed too often, for a pause.
    pub(super) fn pause(&mut self, owner: &Owner, component: &str, reason: &str) {
        let now = self.context.clock.now();
        let mut running = self.running.iter_mut();
        let Some(running) = running.find(|it| it.incarnation == owner.incarnation) else {
            return;
        };
        // Another of its actors was given up before.
        if !running.status.is_up() {
            return;
        }
        let arbiter = running.arbiter.handle();
        let (clock, actors) = (self.context.clock.clone(), running.actors.clone());
        // The thread ends only after the last answer is stored.
        actix_rt::spawn(async move {
            let drain = actors.drain(Drain { cuts: true });
            let _ = clock.timeout(STOP_LIMIT, drain).await;
            actors.close().await;
            arbiter.stop();
        });
        if running.status.state() == AccountState::Ending {
            return;
        }
        let pause = running.pauses.next(now);
        for actor in running.status.actors() {
            actor.mark_gone();
        }
        running.status.set(AccountState::Paused {
            until: now.after(pause),
        });
        error!(
            account = &*owner.account,
            component,
            reason,
            restart_in_seconds = pause.as_secs(),
            "account stopped: a component keeps failing"
        );
    }

    /// Stops the InventoryActor of an account for a pause, because it has failed too often.
    pub(super) fn pause_inventory(&mut self, owner: &Owner, reason: &str) {
        let now = self.context.clock.now();
        let mut running = self.running.iter_mut();
        let Some(running) = running.find(|it| it.incarnation == owner.incarnation) else {
            return;
        };
        if running.status.state() != AccountState::Running {
            return;
        }
        let pause = running.inventory.pauses.next(now);
        running.inventory.until = now.after(pause);
        error!(
            account = &*owner.account,
            component = Role::Inventory.name(),
            reason,
            restart_in_seconds = pause.as_secs(),
            "the inventory is not read for a while: the component keeps failing. Polls go on"
        );
    }

    /// Starts the InventoryActors again whose pauses are over.
    fn resume_inventories(&mut self) {
        let now = self.context.clock.now();
        for running in &mut self.running {
            if running.inventory.until > now || running.status.state() != AccountState::Running {
                continue;
            }
            running.inventory.until = Moment::NEVER;
            running.inventory.pauses.started(now);
            let starter = Starter {
                supervisor: &self.supervisor,
                arbiter: &running.arbiter.handle(),
                incarnation: running.incarnation,
                account: &running.account,
                status: &running.status,
                context: &self.context,
            };
            starter.restart_inventory(&mut running.actors);
            #[cfg(feature = "fault-injection")]
            self.directory
                .add(&running.account.name, running.actors.clone());
            info!(
                account = &*running.account.name,
                "the inventory is read again"
            );
        }
    }

    /// When the next account or InventoryActor is started: one whose pause is over, or an account that got no thread before.
    pub(super) fn next_start(&self) -> Moment {
        let pauses = self
            .running
            .iter()
            .map(|running| match running.status.state() {
                AccountState::Running => running.inventory.until,
                AccountState::Paused { until } => until,
                AccountState::Ending => Moment::NEVER,
            });
        pauses.fold(self.retry_at, Moment::min)
    }

    /// Starts the accounts and InventoryActors whose pauses are over, and the accounts that got no thread before.
    pub(super) fn start_due(&mut self) -> Result<(), NoThread> {
        self.resume_inventories();
        let resumed = self.resume();
        match self.retry_at <= self.context.clock.now() {
            true => self.reconcile().and(resumed),
            false => resumed,
        }
    }

    /// Starts the accounts again whose pauses are over. One that gets no thread pauses again.
    fn resume(&mut self) -> Result<(), NoThread> {
        let now = self.context.clock.now();
        let is_due = |running: &mut Running| matches!(running.status.state(), AccountState::Paused { until } if until <= now);
        let due: Vec<_> = self.running.extract_if(.., is_due).collect();
        let mut result = Ok(());
        for mut running in due {
            running.pauses.started(now);
            running.inventory.until = Moment::NEVER;
            match new_thread(&running.account) {
                Ok(arbiter) => {
                    let launched = self.launch(
                        &running.account,
                        &running.status,
                        &arbiter,
                        running.actors.end_requests(),
                    );
                    (running.incarnation, running.actors) = launched;
                    running.arbiter = arbiter;
                    info!(account = &*running.account.name, "account started again");
                }
                Err(error) => {
                    let until = now.after(running.pauses.next(now));
                    running.status.set(AccountState::Paused { until });
                    result = Err(error);
                }
            }
            self.running.push(running);
        }
        result
    }
}
