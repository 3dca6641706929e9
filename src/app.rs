//! The application: creates and connects all parts, runs them, and shuts them down.

mod begin;
mod drain;
mod ending;
mod followers;

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use actix::{Addr, Arbiter, MailboxError};
use actix_web::dev::Server;
use actix_web::web::Data;
use arc_swap::ArcSwap;
use futures_util::future::{OptionFuture, select_all};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{error, info, warn};

#[cfg(feature = "fault-injection")]
use crate::account::Directory;
use crate::account::{
    AccountContext, Accounts, Consumer, Exhausted, Manager, Register, TokenBudget,
};
use crate::config::{Account, Settings};
use crate::files::Reloads;
use crate::http::{
    self, ClientTimeouts, Endpoints, FleetReader, Health, ListenError, Port, ReadLimits,
    SCRAPE_SHARES, ScrapeOptions, Scrapes, Sources, own_name, serve,
};
use crate::outgoing::{TlsError, tls_config};
use crate::self_metrics::{Counter, ProcessMetrics};
use crate::starlink::{ClientOptions, Timeouts};
use crate::state_file::{Keeper, Lock, LockError, StateFile};
use crate::store::{MetricsStoreActor, PinLimits, Published};
use crate::supervise::{ActorStatus, GivenUp, Role, SupervisionPolicy, Supervisor};
use crate::tasks::{Pool, Supervised, Task};
use crate::time::Clock;
use crate::web::{self, WebOptions, WebState};

use self::begin::{Begin, begin};
use self::drain::drain;
pub use self::ending::Ending;
use self::followers::Followers;

/// The most threads that decode answers.
const MOST_DECODERS: usize = 4;

/// The settings of the ports, for errors.
const METRICS_PORT: &str = "METRICS_PORT";
const PROBES_PORT: &str = "PROBES_PORT";

/// How long `/readyz` announces the shutdown while everything still works.
const LAME_DUCK: Duration = Duration::from_secs(1);

/// The time limit of the shutdown, after which the process ends.
const END: Duration = Duration::from_millis(4_800);

/// How long open scrapes and an arriving answer may continue after that.
const DRAIN_LIMIT: Duration = Duration::from_secs(3);

/// The time reserved for the last write of the state file after the drain.
const SAVING: Duration = Duration::from_millis(500);

/// The documented limit of the shutdown in milliseconds.
const PROMISED: u128 = 5_000;

const _: () = assert!(
    LAME_DUCK.as_millis() + DRAIN_LIMIT.as_millis() + SAVING.as_millis() < END.as_millis()
        && END.as_millis() < PROMISED,
    "the last write of the state file has its time after the drain, and the process ends as promised"
);

/// The most waiting scrapes, and the most waiting pages; further ones are rejected immediately.
const MOST_WAITING: usize = 1024;

/// Parameters that are not settings, but that tests change.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// The policy of restarts.
    pub supervision: SupervisionPolicy,
    /// The time limits of calls to Starlink.
    pub timeouts: Timeouts,
    /// An actor that has not replied for this time hangs.
    pub hang_limit: Duration,
    /// How long a scrape waits for the store.
    pub query_limit: Duration,
    /// The time limits of clients.
    pub client_timeouts: ClientTimeouts,
    /// The memory of concurrent scrapes in bytes. Further scrapes wait, as they would for the store. A client may use a quarter.
    pub scrape_memory: usize,
    /// The most concurrent pages and responses of the API. Further ones wait, as they would for the store. A client may use a quarter.
    pub most_views: usize,
    /// The memory of older states of the fleet that slow readers may hold.
    pub pins: PinLimits,
    /// The interval at which files (certificates, keys, users, names) are checked for changes. A change is used a quarter of it later.
    pub reload_interval: Duration,
    /// How long `/readyz` announces the shutdown before the drain begins.
    pub lame_duck: Duration,
    /// The number of dropped log lines, counted by the log.
    pub dropped_lines: Arc<Counter>,
    /// Whether Starlink is simulated, which pages and the API show.
    pub is_demo: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            supervision: SupervisionPolicy::default(),
            timeouts: Timeouts::default(),
            hang_limit: Duration::from_secs(30),
            query_limit: Duration::from_secs(5),
            client_timeouts: ClientTimeouts::default(),
            scrape_memory: SCRAPE_SHARES,
            most_views: 16,
            pins: PinLimits::default(),
            reload_interval: Duration::from_secs(4),
            lame_duck: LAME_DUCK,
            dropped_lines: Arc::default(),
            is_demo: false,
        }
    }
}

/// Why the application could not start.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The address or the port cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The web server cannot start.
    #[error("the web server cannot be started")]
    Serve(#[source] std::io::Error),
    /// TLS to Starlink cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] TlsError),
    /// Another process holds the lock of the state file, or it cannot be locked.
    #[error("cannot use STATE_FILE")]
    StateFile(#[from] LockError),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
}

/// The service, listening and polling.
pub struct Application {
    address: SocketAddr,
    probes_address: Option<SocketAddr>,
    is_tls: bool,
    manager: Manager,
    store: Addr<MetricsStoreActor>,
    health: Data<Health>,
    lame_duck: Duration,
    keeper: Option<(Keeper, Supervised)>,
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
    /// Takes the ports, reads what there is to read, starts all actors, and only then lets clients in. Must be called inside an actix
    /// system.
    ///
    /// # Errors
    /// When the port cannot be had, or TLS is needed and cannot be set up.
    pub fn build(settings: &Settings, tuning: Tuning, clock: Clock) -> Result<Self, BuildError> {
        if let Err(error) = clock.watch() {
            warn!(%error, "cannot detect when the process is stopped");
        }
        let port = Port::take(settings.listen, METRICS_PORT)?;
        let take_probes = |address| Port::take(address, PROBES_PORT);
        let probes = settings.probes.map(take_probes).transpose()?;
        let gate = settings.web_config.as_ref().map(|file| {
            file.value.warn_of_mixed_costs(&file.path);
            Arc::clone(&file.value)
        });
        let names = settings.names.as_ref().map(|file| {
            info!(names = file.value.len(), "names read");
            Arc::clone(&file.value)
        });
        let names = Arc::new(ArcSwap::new(names.unwrap_or_default()));
        let silence_limit = tuning.supervision.heartbeat + tuning.query_limit;
        let Begin {
            fleet,
            clock,
            state_lock,
            is_unread,
        } = begin(settings, clock)?;
        let client = client_options(settings, tuning.timeouts, clock.clone())?;
        let metrics = Arc::new(ProcessMetrics::default());
        let (supervisor, given_up) =
            Supervisor::new(tuning.supervision, clock.clone(), settings.redactor.clone());

        let store_arbiter = Arbiter::try_new()?;
        let published = Arc::new(Published::default());
        let store_status = Arc::new(ActorStatus::new(Role::MetricsStore, clock.ran()));
        let store = {
            let (published, clock) = (Arc::clone(&published), clock.clone());
            let pins = tuning.pins;
            let make = move || MetricsStoreActor::new(fleet, published, pins, clock);
            supervisor.start(&store_status, &store_arbiter.handle(), make)
        };
        let context = AccountContext {
            clock: clock.clone(),
            client,
            decoder: Pool::start("decode", decoders())?,
            token_budget: TokenBudget::default(),
            consumers: vec![Consumer::Batches(store.clone().recipient())],
            fields: settings.fleet.fields.clone(),
            stale_after: settings.fleet.stale_after,
        };
        let accounts = Arc::new(Accounts::default());
        let register = Register {
            add: store.clone().recipient(),
            remove: store.clone().recipient(),
        };
        let mut manager = Manager::new(supervisor, context, register, Arc::clone(&accounts));
        manager.apply(settings.accounts.list().to_vec())?;

        let keeper = settings.state.as_ref().map(|state| {
            let keeper = Keeper {
                file: StateFile::new(state.file.clone()),
                interval: state.interval,
                store: store.clone(),
                clock: clock.clone(),
                metrics: Arc::clone(&metrics),
                is_unread: AtomicBool::new(is_unread),
            };
            let task = Supervised::new(Task::StateFile, clock.clone(), &metrics.task_restarts);
            (keeper, task)
        });
        let mut followers = Followers::new(&clock, &metrics, tuning.reload_interval);
        followers.outgoing(settings);
        if let Some(file) = &settings.web_config {
            followers.gate(file);
        }
        if let Some(file) = &settings.names {
            followers.names(file, &names, &published, &accounts);
        }
        let (new_lists, lists) = mpsc::unbounded_channel();
        if let Some(file) = settings.accounts.file() {
            followers.accounts(file, &settings.redactor, new_lists);
        }
        let keeper_status = keeper.iter().map(|(_, task)| task.status());
        let tasks = keeper_status.chain(followers.statuses.iter().cloned());
        let limits = ReadLimits {
            wait: tuning.query_limit,
            silence: silence_limit,
        };
        let fleet_reader =
            FleetReader::new(clock.clone(), published, Arc::clone(&store_status), limits);
        let health = Health::new(
            clock.clone(),
            Arc::clone(&accounts),
            store_status,
            tasks.collect(),
            tuning.hang_limit,
        );
        let health = Data::new(health);
        let sources = Sources {
            clock,
            metrics,
            accounts,
            health: health.clone(),
            fleet: Arc::new(fleet_reader),
            names,
            pool: Pool::start("http", http::threads())?,
        };
        let scrape_options = ScrapeOptions {
            info_format: settings.info_format,
            read_limit: tuning.client_timeouts.answer,
            memory: tuning.scrape_memory,
            most_waiting: MOST_WAITING,
            dropped_lines: tuning.dropped_lines,
        };
        let web_options = WebOptions {
            is_demo: tuning.is_demo,
            has_locations: settings.fleet.fields.has_locations(),
            stale_after: settings.fleet.stale_after,
            read_limit: tuning.client_timeouts.answer,
            most_views: tuning.most_views,
            most_waiting: MOST_WAITING,
        };
        let scrapes = Data::new(Scrapes::new(sources.clone(), scrape_options));
        let views = Data::new(WebState::new(sources, web_options));
        let hosts = settings.allowed_hosts.clone();
        let hosts = hosts.map(|hosts| hosts.and(&own_name()));
        let endpoints = {
            let health = health.clone();
            Endpoints::new(gate.clone(), hosts, move |config| {
                http::routes(config, &scrapes, &health);
                web::routes(config, &views);
            })
        };
        let serve = |port: Port, endpoints: Endpoints| {
            let listener = port.open()?;
            let server = serve(listener, endpoints, tuning.client_timeouts, DRAIN_LIMIT);
            server.map_err(BuildError::Serve)
        };
        let address = port.address();
        let mut servers = vec![serve(port, endpoints)?];
        let is_tls = gate.as_ref().is_some_and(|gate| gate.tls().is_some());
        info!(%address, tls = is_tls, version = env!("CARGO_PKG_VERSION"), "listening");
        let probes_address = probes.as_ref().map(Port::address);
        if let Some(port) = probes {
            let address = port.address();
            servers.push(serve(port, Endpoints::probes(health.clone()))?);
            info!(%address, "probes are served on a separate port");
        }
        Ok(Self {
            address,
            probes_address,
            is_tls,
            manager,
            store,
            health,
            lame_duck: tuning.lame_duck,
            keeper,
            servers,
            followers,
            state_lock,
            given_up,
            lists,
            store_arbiter,
        })
    }

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

    /// Serves until `asked` is ready, with the reason for the log, or an actor is given up, then drains: at most five seconds.
    pub async fn run(mut self, asked: impl Future<Output = &'static str>) -> Ending {
        let handles: Vec<_> = self.servers.iter().map(Server::handle).collect();
        let (save, asked_to_save) = watch::channel(());
        let keeper = self.keeper.take().map(|(keeper, task)| {
            let keeper = Rc::new(keeper);
            actix_rt::spawn(task.run(move |pulse| {
                let (keeper, last) = (Rc::clone(&keeper), asked_to_save.clone());
                async move { keeper.run(&pulse, last).await }
            }))
        });
        let mut server = select_all(self.servers.into_iter().map(actix_rt::spawn));
        let (ending, reason) = tokio::select! {
            reason = asked => (Ending::Asked, reason),
            exhausted = self.manager.run(&mut self.given_up, &mut self.lists) => match exhausted {
                Exhausted::Actor(role) => (Ending::GivenUp(role), "a component keeps failing"),
                Exhausted::AllAccounts => (Ending::AccountsStopped, "every account is stopped"),
            },
            (ended, ..) = &mut server => {
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
                drained.unwrap_or(Err(MailboxError::Timeout))
            };
            drain(polls, &handles, deadline - SAVING).await;
        }
        drop(save);
        self.followers.abort();
        match timeout_at(deadline, OptionFuture::from(keeper)).await {
            Ok(None | Some(Ok(()))) => {}
            Ok(Some(Err(error))) => error!(%error, "the state file was not written at shutdown"),
            Err(_) => error!("the state file was not written at shutdown: timed out"),
        }
        self.manager.stop();
        self.store_arbiter.stop();
        drop(self.state_lock);
        ending
    }
}

/// How many threads decode answers, of all accounts together.
fn decoders() -> usize {
    let cores = std::thread::available_parallelism();
    cores.map_or(1, |cores| cores.get().min(MOST_DECODERS))
}

/// The options of the client of Starlink. TLS is set up only if it is needed: a simulator on loopback needs no certificates.
///
/// # Errors
/// TLS is needed and cannot be set up.
pub fn client_options(
    settings: &Settings,
    timeouts: Timeouts,
    clock: Clock,
) -> Result<ClientOptions, TlsError> {
    let is_tls = settings.accounts.list().iter().any(|account| {
        let mut urls = account.token_urls();
        urls.push(account.stream_url());
        urls.iter().any(|url| url.scheme() == "https")
    });
    // The file may name others later.
    let is_tls = is_tls || settings.accounts.file().is_some();
    Ok(ClientOptions {
        tls: match is_tls {
            true => Some(tls_config(settings.outgoing.authorities.as_ref())?),
            false => None,
        },
        proxy: settings.outgoing.proxy.clone(),
        timeouts,
        redactor: settings.redactor.clone(),
        clock,
        ..ClientOptions::default()
    })
}
