//! The task that writes the state file, from the start of the application to the last write at shutdown.

use std::rc::Rc;
use std::sync::Arc;

use actix_rt::task::JoinHandle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::error;

use crate::state_file::Keeper;
use crate::tasks::{Supervised, TaskStatus};

/// The task, not started yet.
pub(super) struct Saving {
    keeper: Keeper,
    task: Supervised,
}

impl Saving {
    pub(super) fn new(keeper: Keeper, task: Supervised) -> Self {
        Self { keeper, task }
    }

    pub(super) fn status(&self) -> Arc<TaskStatus> {
        self.task.status()
    }

    /// Starts to write the state file periodically.
    pub(super) fn start(self) -> RunningSaving {
        let (last, asked_for_last) = watch::channel(());
        let keeper = Rc::new(self.keeper);
        let task = self.task.run(move |pulse| {
            let (keeper, last) = (Rc::clone(&keeper), asked_for_last.clone());
            async move { keeper.run(&pulse, last).await }
        });
        RunningSaving {
            last,
            task: actix_rt::spawn(task),
        }
    }
}

/// The task while it runs.
pub(super) struct RunningSaving {
    /// Dropped to ask for the last write.
    last: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl RunningSaving {
    /// Writes a last time, until `deadline`.
    pub(super) async fn finish(self, deadline: Instant) {
        drop(self.last);
        match timeout_at(deadline, self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => error!(%error, "the state file was not written at shutdown"),
            Err(_) => error!("the state file was not written at shutdown: timed out"),
        }
    }
}
