//! The application: creates and connects all parts, runs them, and shuts them down.

mod begin;
mod build;
mod client;
mod drain;
mod ending;
mod error;
mod followers;
mod ports;
mod recording;
mod saving;
mod tuning;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, Arbiter, MailboxError};
use actix_web::dev::Server;
use actix_web::web::Data;
use futures_util::future::{join, select_all};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tracing::{error, info};

use self::drain::{DRAIN_LIMIT, END, SAVING, drain};
use self::followers::Followers;
use self::saving::Saving;
#[cfg(feature = "fault-injection")]
use crate::account::Directory;
use crate::account::{Exhausted, Manager};
use crate::config::Account;
use crate::files::Reloads;
use crate::http::Health;
use crate::recording::Recorder;
use crate::state_file::Lock;
use crate::store::MetricsStoreActor;
use crate::supervise::GivenUp;

pub use self::client::client_options;
pub use self::ending::Ending;
pub use self::error::BuildError;
pub use self::tuning::Tuning;

/// The service, listening and polling.
pub struct Application {
    address: SocketAddr,
    probes_address: Option<SocketAddr>,
    is_tls: bool,
    manager: Manager,
    /// Runs journals and senders; `None` if nothing is sent.
    recorder: Option<Recorder>,
    store: Addr<MetricsStoreActor>,
    health: Data<Health>,
    lame_duck: Duration,
    saving: Option<Saving>,
    servers: Vec<Server>,
    followers: Followers,
    /// Held until the end.
    state_lock: Option<Lock>,
    given_up: mpsc::UnboundedReceiver<GivenUp>,
    store_arbiter: Arbiter,
    /// New lists of accounts.
    lists: mpsc::UnboundedReceiver<Vec<Account>>,
}

impl Application {
    /// The address of the web server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the web server uses TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The address of the probes, if they have a separate port.
    #[must_use]
    pub fn probes_address(&self) -> Option<SocketAddr> {
        self.probes_address
    }

    /// The actors of all accounts, for tests.
    #[cfg(feature = "fault-injection")]
    #[must_use]
    pub fn directory(&self) -> Directory {
        self.manager.directory()
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Addr<MetricsStoreActor> {
        &self.store
    }

    /// Requests that all followed files are read again.
    #[must_use]
    pub fn reloads(&self) -> Arc<Reloads> {
        self.followers.reloads()
    }

    /// Serves until `asked` is ready, with the reason for the log, or until a component is given up. Then it shuts down, which takes at
    /// most five seconds.
    pub async fn run(mut self, asked: impl Future<Output = &'static str>) -> Ending {
        let handles: Vec<_> = self.servers.iter().map(Server::handle).collect();
        let saving = self.saving.take().map(Saving::start);
        let mut servers = select_all(self.servers.drain(..).map(actix_rt::spawn));
        let (ending, reason) = tokio::select! {
            reason = asked => (Ending::Asked, reason),
            exhausted = self.manager.run(&mut self.given_up, &mut self.lists) => match exhausted {
                Exhausted::Actor(role) => (Ending::GivenUp(role), "a component keeps failing"),
                Exhausted::AllAccounts => (Ending::AccountsStopped, "every account is stopped"),
            },
            never = record(self.recorder.as_mut()) => match never {},
            (ended, ..) = &mut servers => {
                error!(error = ?ended, "the HTTP server stopped unexpectedly");
                (Ending::Server, "the HTTP server stopped")
            }
        };
        info!(reason, "shutting down");
        let deadline = Instant::now() + END;
        self.health.drain();
        if ending != Ending::Server {
            actix_rt::time::sleep(self.lame_duck).await;
            let polls = async {
                let drained = timeout(DRAIN_LIMIT, self.manager.drain()).await;
                drained.map_err(|_| MailboxError::Timeout)
            };
            drain(polls, &handles, deadline - SAVING).await;
        }
        self.followers.abort();
        let saving = async {
            if let Some(saving) = saving {
                saving.finish(deadline).await;
            }
        };
        let recorder = async {
            if let Some(recorder) = &mut self.recorder {
                recorder.finish(deadline).await;
            }
        };
        join(saving, recorder).await;
        self.manager.stop();
        self.store_arbiter.stop();
        drop(self.state_lock);
        ending
    }
}

/// Runs journals and senders, if there are any, without end.
async fn record(recorder: Option<&mut Recorder>) -> Infallible {
    match recorder {
        Some(recorder) => recorder.run().await,
        None => std::future::pending().await,
    }
}
