//! Builds the application step by step: binds the ports, starts the actors and tasks, and only then accepts clients.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actix::{Addr, Arbiter};
use actix_web::web::Data;
use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::Application;
use super::begin::{Begin, begin};
use super::client::client_options;
use super::error::BuildError;
use super::followers::Followers;
use super::ports::{Ports, Servers};
use super::recording::{Lists, Recording, SharedParts};
use super::saving::Saving;
use super::tuning::Tuning;
use crate::account::{
    AccountContext, Accounts, Consumer, Inventories, InventorySettings, Manager, Register,
    TokenBudget,
};
use crate::config::{Account, InventoryScope, Settings};
use crate::fleet::{Fleet, TakenOver};
use crate::http::{
    self, Endpoints, FleetReader, Health, ReadLimits, ScrapeOptions, Scrapes, Sources, own_name,
};
use crate::inventory::Bounds;
use crate::names::Names;
use crate::recording::{Recorder, RecordingStatus};
use crate::self_metrics::ProcessMetrics;
use crate::starlink::ClientOptions;
use crate::state_file::{Keeper, StateFile};
use crate::store::{MetricsStoreActor, PinLimits, Published};
use crate::supervise::{ActorStatus, Role, Supervisor};
use crate::tasks::{Pool, Supervised, Task, TaskStatus};
use crate::telemetry::SharedSchemas;
use crate::time::Clock;
use crate::web::{self, WebOptions, WebState};

/// The most threads that decode answers.
const MOST_DECODERS: usize = 4;

/// The most waiting scrapes, and the most waiting pages; further ones are rejected immediately.
const MOST_WAITING: usize = 1024;

/// Values that most parts share.
struct Shared {
    clock: Clock,
    metrics: Arc<ProcessMetrics>,
    accounts: Arc<Accounts>,
    names: Arc<ArcSwap<Names>>,
    /// The snapshots of the fleet.
    published: Arc<Published>,
    /// The journals and senders.
    recording: Arc<RecordingStatus>,
}

/// The store with its own thread.
struct Store {
    address: Addr<MetricsStoreActor>,
    status: Arc<ActorStatus>,
    arbiter: Arbiter,
}

impl Application {
    /// Binds the ports, reads the state file, starts all actors, and only then accepts clients. Must be called inside an actix system.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(settings: &Settings, tuning: Tuning, clock: Clock) -> Result<Self, BuildError> {
        if let Err(error) = clock.watch() {
            warn!(%error, "cannot detect when the process is stopped");
        }
        let ports = Ports::take(settings)?;
        if let Some(file) = &settings.web_config {
            file.value.warn_of_mixed_costs(&file.path);
        }
        note_readers(settings);
        let names = initial_names(settings);
        let Begin {
            fleet,
            clock,
            state_lock,
            is_restored,
            is_unread,
        } = begin(settings, clock)?;
        let recording = settings.recording.as_ref().map(Recording::open);
        let (recording, connections) = recording.transpose()?.unzip();
        let client = client_options(settings, tuning.timeouts, clock.clone())?;
        let policy = tuning.supervision.clone();
        let (supervisor, given_up) =
            Supervisor::new(policy, clock.clone(), settings.redactor.clone());
        let shared = Shared {
            clock,
            metrics: Arc::default(),
            accounts: Arc::default(),
            names,
            published: Arc::default(),
            recording: Arc::default(),
        };

        let inventories = fleet.inventories();
        let inventories = inventories.map(|(name, known)| (Arc::clone(name), Arc::clone(known)));
        let inventories = inventories.collect();
        let taken_over = connections.as_ref().map(|it| it.taken_over.clone());
        let store = Store::start(fleet, tuning.pins, taken_over, &supervisor, &shared)?;
        let inventory = inventory_settings(settings, &store, !is_restored);
        let mut context = account_context(settings, client, inventory, &store, &shared)?;
        let routes = connections.map(|it| Consumer::Answers(it.routes));
        context.consumers.extend(routes);
        let (mut followers, mut lists) = follow_files(settings, &tuning, &shared);
        let recorder = recording.map(|recording| {
            start_recorder(
                recording,
                settings,
                &tuning,
                &shared,
                context.schemas.clone(),
                &mut followers,
                &mut lists,
            )
        });
        let mut recorder = recorder.transpose()?;
        let manager = start_accounts(settings, supervisor, context, inventories, &store, &shared)?;
        let saving = saving(settings, is_unread, &store, &shared);

        let tasks = saving.iter().map(Saving::status);
        let tasks = tasks.chain(followers.statuses.iter().cloned()).collect();
        let lame_duck = tuning.lame_duck;
        let client_timeouts = tuning.client_timeouts;
        let sources = sources(shared, &store.status, tasks, &tuning)?;
        if let Some(recorder) = &mut recorder {
            recorder.send_own(&sources)?;
        }
        let health = sources.health.clone();
        let endpoints = endpoints(settings, tuning, sources);
        let gate = settings.web_config.as_ref();
        let is_tls = gate.is_some_and(|file| file.value.tls().is_some());
        let Servers {
            address,
            probes_address,
            servers,
        } = ports.serve(endpoints, is_tls, &health, client_timeouts)?;
        Ok(Self {
            address,
            probes_address,
            is_tls,
            manager,
            recorder,
            store: store.address,
            health,
            lame_duck,
            saving,
            servers,
            followers,
            state_lock,
            given_up,
            lists,
            store_arbiter: store.arbiter,
        })
    }
}

/// Logs that other machines can read the inventory without a password, if they can.
fn note_readers(settings: &Settings) {
    let gate = settings.web_config.as_ref();
    let is_open = gate.is_none_or(|file| file.value.is_open());
    if settings.inventory.is_some() && is_open_to_others(settings.listen.ip(), is_open) {
        info!(
            "names, serial numbers and data use can be read without a password: set users in WEB_CONFIG_FILE, or INVENTORY=off"
        );
    }
}

/// Whether other machines can connect to this address without a password or a certificate.
fn is_open_to_others(address: IpAddr, is_open: bool) -> bool {
    // An IPv4 address may be written as an IPv6 address.
    is_open && !address.to_canonical().is_loopback()
}

/// The names that were read with the settings.
fn initial_names(settings: &Settings) -> Arc<ArcSwap<Names>> {
    let names = settings.names.as_ref().map(|file| {
        info!(names = file.value.len(), "names read");
        Arc::clone(&file.value)
    });
    Arc::new(ArcSwap::new(names.unwrap_or_default()))
}

impl Store {
    /// Starts the store on a thread of its own.
    fn start(
        fleet: Fleet,
        pins: PinLimits,
        taken_over: Option<mpsc::UnboundedSender<Vec<TakenOver>>>,
        supervisor: &Supervisor,
        shared: &Shared,
    ) -> io::Result<Self> {
        let arbiter = Arbiter::try_new()?;
        let status = Arc::new(ActorStatus::new(Role::MetricsStore, shared.clock.ran()));
        let (published, clock) = (Arc::clone(&shared.published), shared.clock.clone());
        let make = move || {
            let store = MetricsStoreActor::new(fleet, published, pins, clock);
            match taken_over {
                Some(taken_over) => store.reporting(taken_over),
                None => store,
            }
        };
        Ok(Self {
            address: supervisor.start(&status, &arbiter.handle(), make),
            status,
            arbiter,
        })
    }
}

/// How inventories are read; `None` if they are not.
fn inventory_settings(
    settings: &Settings,
    store: &Store,
    wants_last_values: bool,
) -> Option<InventorySettings> {
    let InventoryScope { balance } = settings.inventory?;
    Some(InventorySettings {
        balance,
        bounds: Bounds {
            entries: settings.fleet.max_devices,
            routers: settings.fleet.include_routers,
            ..Bounds::STANDARD
        },
        wants_last_values,
        store: store.address.clone().recipient(),
        last_values: store.address.clone().recipient(),
    })
}

/// The values that the actors of all accounts share.
fn account_context(
    settings: &Settings,
    client: ClientOptions,
    inventory: Option<InventorySettings>,
    store: &Store,
    shared: &Shared,
) -> io::Result<AccountContext> {
    Ok(AccountContext {
        clock: shared.clock.clone(),
        client,
        decoder: Pool::start("decode", decoders())?,
        token_budget: TokenBudget::default(),
        consumers: vec![Consumer::Batches(store.address.clone().recipient())],
        schemas: SharedSchemas::new(settings.fleet.fields.clone()),
        stale_after: settings.fleet.stale_after,
        inventory,
    })
}

/// Starts the actors of all accounts, which continue with these inventories.
fn start_accounts(
    settings: &Settings,
    supervisor: Supervisor,
    context: AccountContext,
    inventories: Inventories,
    store: &Store,
    shared: &Shared,
) -> Result<Manager, BuildError> {
    let register = Register {
        add: store.address.clone().recipient(),
        remove: store.address.clone().recipient(),
    };
    let accounts = Arc::clone(&shared.accounts);
    let mut manager = Manager::new(supervisor, context, register, accounts, inventories);
    manager.apply(settings.accounts.list().to_vec())?;
    Ok(manager)
}

/// Starts journals and senders. Each new list of accounts reaches the accounts through them.
fn start_recorder(
    recording: Recording,
    settings: &Settings,
    tuning: &Tuning,
    shared: &Shared,
    schemas: SharedSchemas,
    followers: &mut Followers,
    lists: &mut mpsc::UnboundedReceiver<Vec<Account>>,
) -> Result<Recorder, BuildError> {
    let (next, of_manager) = mpsc::unbounded_channel();
    let accounts = std::mem::replace(lists, of_manager);
    let (new_destinations, destinations) = mpsc::unbounded_channel();
    if let Some(recording) = &settings.recording {
        followers.destinations(&recording.files, &settings.redactor, new_destinations);
    }
    let parts = SharedParts {
        clock: &shared.clock,
        published: &shared.published,
        accounts: &shared.accounts,
        status: &shared.recording,
        policy: tuning.supervision.clone(),
        schemas,
    };
    let lists = Lists {
        accounts,
        next,
        destinations,
    };
    recording.start(settings, parts, lists)
}

/// How many threads decode answers, for all accounts together.
fn decoders() -> usize {
    let cores = std::thread::available_parallelism();
    cores.map_or(1, |cores| cores.get().min(MOST_DECODERS))
}

/// The task that writes the state file, if there is one.
fn saving(settings: &Settings, is_unread: bool, store: &Store, shared: &Shared) -> Option<Saving> {
    let state = settings.state.as_ref()?;
    let keeper = Keeper {
        file: StateFile::new(state.file.clone()),
        interval: state.interval,
        store: store.address.clone(),
        clock: shared.clock.clone(),
        metrics: Arc::clone(&shared.metrics),
        is_unread: AtomicBool::new(is_unread),
    };
    let restarts = &shared.metrics.task_restarts;
    let task = Supervised::new(Task::StateFile, shared.clock.clone(), restarts);
    Some(Saving::new(keeper, task))
}

/// Starts the tasks that reload files, and returns where new lists of accounts arrive.
fn follow_files(
    settings: &Settings,
    tuning: &Tuning,
    shared: &Shared,
) -> (Followers, mpsc::UnboundedReceiver<Vec<Account>>) {
    let mut followers = Followers::new(&shared.clock, &shared.metrics, tuning.reload_interval);
    followers.outgoing(settings);
    if let Some(file) = &settings.web_config {
        followers.gate(file);
    }
    if let Some(file) = &settings.names {
        followers.names(file, &shared.names, &shared.published, &shared.accounts);
    }
    let (new_lists, lists) = mpsc::unbounded_channel();
    if let Some(file) = settings.accounts.file() {
        followers.accounts(file, &settings.redactor, new_lists);
    }
    (followers, lists)
}

/// The data sources of scrapes, probes, the page and the API.
fn sources(
    shared: Shared,
    store: &Arc<ActorStatus>,
    tasks: Vec<Arc<TaskStatus>>,
    tuning: &Tuning,
) -> io::Result<Sources> {
    let Shared {
        clock,
        metrics,
        accounts,
        names,
        published,
        recording,
    } = shared;
    let limits = ReadLimits {
        wait: tuning.query_limit,
        silence: tuning.supervision.heartbeat + tuning.query_limit,
    };
    let fleet = FleetReader::new(clock.clone(), published, Arc::clone(store), limits);
    let health = Health::new(
        clock.clone(),
        Arc::clone(&accounts),
        Arc::clone(store),
        tasks,
        tuning.hang_limit,
    );
    Ok(Sources {
        clock,
        metrics,
        dropped_lines: Arc::clone(&tuning.dropped_lines),
        accounts,
        recording,
        health: Data::new(health),
        fleet: Arc::new(fleet),
        names,
        pool: Pool::start("http", http::threads())?,
    })
}

/// The paths of the main port, and who may request them.
fn endpoints(settings: &Settings, tuning: Tuning, sources: Sources) -> Endpoints {
    let read_limit = tuning.client_timeouts.response;
    let scrape_options = ScrapeOptions {
        info_format: settings.info_format,
        read_limit,
        memory: tuning.scrape_memory,
        most_waiting: MOST_WAITING,
    };
    let web_options = WebOptions {
        is_demo: tuning.is_demo,
        has_locations: settings.fleet.fields.has_locations(),
        stale_after: settings.fleet.stale_after,
        read_limit,
        most_views: tuning.most_views,
        most_waiting: MOST_WAITING,
    };
    let health = sources.health.clone();
    let scrapes = Data::new(Scrapes::new(sources.clone(), scrape_options));
    let views = Data::new(WebState::new(sources, web_options));
    let gate = settings.web_config.as_ref();
    let gate = gate.map(|file| Arc::clone(&file.value));
    let hosts = settings.allowed_hosts.clone();
    let hosts = hosts.map(|hosts| hosts.and(&own_name()));
    Endpoints::new(gate, hosts, move |config| {
        http::routes(config, &scrapes, &health);
        web::routes(config, &views);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_can_read_what_is_served_without_a_password_on_an_address_that_is_not_loopback() {
        for (address, is_open, expected) in [
            ("0.0.0.0", true, true),
            ("::", true, true),
            ("192.0.2.1", true, true),
            ("::ffff:192.0.2.1", true, true),
            ("0.0.0.0", false, false),
            ("127.0.0.1", true, false),
            ("127.1.2.3", true, false),
            ("::1", true, false),
            ("::ffff:127.0.0.1", true, false),
        ] {
            let found = is_open_to_others(address.parse().unwrap(), is_open);
            assert_eq!(found, expected, "{address} {is_open}");
        }
    }
}
