//! The crate's interface for the benchmarks: all uses of its internals are here.

use std::error::Error;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix::Addr;
use starlink_telemetry::account::messages::OfferInventory;
use starlink_telemetry::account::{BatchId, Handover, OfferBatch, StreamId};
use starlink_telemetry::app::{Application, Ending, Tuning};
use starlink_telemetry::config::{Settings, Sources};
pub use starlink_telemetry::exposition::{Collect, Format};
use starlink_telemetry::exposition::{Exposition, Selection, Shard, Telemetry};
pub use starlink_telemetry::fleet::Snapshot;
use starlink_telemetry::fleet::{AccountId, Coverage, Fleet, FleetOptions, Lease, Retention};
use starlink_telemetry::inventory::Inventory;
use starlink_telemetry::simulator::AnswerBody;
use starlink_telemetry::store::MetricsStoreActor;
use starlink_telemetry::telemetry::{Batch, DecodeError, Rows, SchemaCache, decode};
use starlink_telemetry::time::Clock;
use starlink_telemetry::time::Moment;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::feed::{Body, MOST_ROWS, STAMP, columns, documented, stamp_of, terminal_id};
use crate::inventory;

/// The account whose batches the benchmarks apply.
const ACCOUNT: &str = "bench";

/// The ages: so long that nothing expires in a benchmark.
const NO_EXPIRY: Duration = Duration::from_secs(86_400);

/// Decodes the rows of a body.
///
/// # Errors
/// The rows cannot be decoded.
pub fn rows(body: Vec<u8>) -> Result<Rows, DecodeError> {
    Ok(decode(body)?.0)
}

/// A fleet with the caches for decoding batches.
pub struct World {
    fleet: Fleet,
    account: AccountId,
    schemas: SchemaCache,
    now: Moment,
}

impl World {
    /// A fleet without devices.
    pub fn new() -> Self {
        let retention = Retention {
            stale_after: NO_EXPIRY,
            ip_stale_after: NO_EXPIRY,
            forget_after: NO_EXPIRY,
        };
        let mut fleet = Fleet::new(FleetOptions {
            retention,
            ..FleetOptions::STANDARD
        });
        Self {
            // A fleet without accounts has room for one.
            account: fleet.account(&ACCOUNT.into()).unwrap_or_default(),
            fleet,
            schemas: SchemaCache::default(),
            now: Moment::default(),
        }
    }

    /// A fleet of terminals with twelve numbers and three texts, and the allocations of every tenth.
    ///
    /// # Errors
    /// A batch cannot be decoded.
    pub fn of(terminals: usize) -> Result<Self, DecodeError> {
        let mut world = Self::new();
        for body in fleet_bodies(terminals, 0, 0) {
            world.apply(body.json().to_vec())?;
        }
        Ok(world)
    }

    /// Decodes an answer, applies it, and publishes a snapshot.
    ///
    /// # Errors
    /// The answer cannot be decoded.
    pub fn apply(&mut self, body: Vec<u8>) -> Result<Batch, DecodeError> {
        let batch = batch(body, &mut self.schemas)?;
        let from = self.now;
        self.now = from.after(Duration::from_secs(1));
        let plan = self.fleet.plan(self.account, &batch, self.now, i64::MAX);
        let coverage = Coverage {
            to: self.now,
            covers: self.now.since(from),
        };
        self.fleet.commit(&plan, coverage);
        Ok(batch)
    }

    /// Gives the fleet an inventory.
    pub fn list(&mut self, inventory: Inventory) {
        self.fleet
            .set_inventory(self.account, Some(Arc::new(inventory)));
        self.fleet.list_inventories();
    }

    /// A snapshot, as held by a scrape.
    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        self.fleet.expire(self.now);
        Arc::new(self.fleet.snapshot())
    }
}

/// The chunks of a scrape's telemetry.
pub fn chunks(format: Format, snapshot: &Arc<Snapshot>) -> impl Iterator<Item = Vec<u8>> {
    let telemetry = Telemetry::new(format, Arc::clone(snapshot), Shard::WHOLE);
    Exposition::new(telemetry, Vec::new())
}

/// The chunks of these groups of families, in Prometheus text.
pub fn chunks_of(snapshot: &Arc<Snapshot>, collect: Collect) -> impl Iterator<Item = Vec<u8>> {
    let lease = Arc::new(Lease::from(Arc::clone(snapshot)));
    let selection = Selection {
        collect,
        ..Selection::from(Shard::WHOLE)
    };
    let telemetry = Telemetry::named(Format::Prometheus, lease, selection, &Arc::default());
    Exposition::new(telemetry, Vec::new())
}

/// The service with all its routes, on its own thread. Its polls fail; batches are passed to its store directly.
pub struct Service {
    /// Its address.
    pub address: SocketAddr,
    store: Addr<MetricsStoreActor>,
    schemas: SchemaCache,
    clock: Clock,
    applied: u64,
    sweeps: u64,
    runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Ending>>,
}

impl Service {
    /// Starts it with a fleet of `terminals`.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(terminals: usize) -> Result<Self, Box<dyn Error>> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let clock = Clock::system();
        let settings = settings()?;
        let thread = std::thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let application =
                    match Application::build(&settings, Tuning::default(), Clock::system()) {
                        Ok(application) => application,
                        Err(_) => return Ending::Server,
                    };
                // Sending fails only if the process is about to end.
                let _ = sender.send((application.address(), application.store().clone()));
                let asked = async {
                    stopped.await.unwrap_or_default();
                    "the benchmark"
                };
                application.run(asked).await
            })
        });
        let (address, store) = receiver.recv()?;
        let mut service = Self {
            address,
            store,
            schemas: SchemaCache::default(),
            clock,
            applied: 0,
            sweeps: 0,
            runtime: tokio::runtime::Builder::new_current_thread().build()?,
            stop: Some(stop),
            thread: Some(thread),
        };
        for body in fleet_bodies(terminals, 0, 0) {
            service.apply(&body)?;
        }
        Ok(service)
    }

    /// The number of the next report of the whole fleet.
    pub fn next_sweep(&mut self) -> u64 {
        self.sweeps += 1;
        self.sweeps
    }

    /// Passes an inventory of `terminals` to the store and waits until scrapes show it.
    ///
    /// # Errors
    /// The inventory cannot be created, or the store has stopped.
    pub fn list(&self, terminals: usize) -> Result<(), Box<dyn Error>> {
        let inventory = Some(Arc::new(inventory::of(terminals)?));
        self.runtime.block_on(self.store.send(OfferInventory {
            account: ACCOUNT.into(),
            inventory,
        }))?;
        Ok(())
    }

    /// Passes a batch to the store and waits until scrapes show it.
    ///
    /// # Errors
    /// The batch cannot be decoded, or the store has stopped.
    pub fn apply(&mut self, body: &Body) -> Result<(), Box<dyn Error>> {
        let batch = Arc::new(batch(body.json().to_vec(), &mut self.schemas)?);
        let now = self.clock.now();
        self.applied += 1;
        // Another account than the one that the service polls, whose batches have numbers of their own.
        let id = BatchId {
            stream: StreamId {
                account: ACCOUNT.into(),
                incarnation: 1,
            },
            number: self.applied,
        };
        let coverage = Coverage {
            to: now,
            covers: Duration::ZERO,
        };
        self.runtime.block_on(self.store.send(OfferBatch {
            batch,
            id,
            coverage,
            latest: i64::MAX,
            handover: Handover::default(),
        }))?;
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // The result of the thread is not needed.
            let _ = thread.join();
        }
    }
}

/// Batches that report a whole fleet: the allocations once, then the terminals.
pub fn fleet_bodies(terminals: usize, variant: u64, number: u64) -> Vec<Body> {
    let chunk = |first: usize| first..terminals.min(first + MOST_ROWS);
    let mut bodies = Vec::new();
    if number == 0 {
        bodies.push(Body::allocations(0..terminals));
    }
    let firsts = (0..terminals).step_by(MOST_ROWS);
    bodies
        .extend(firsts.map(|first| Body::terminals(&columns(), chunk(first), variant, documented)));
    for body in &mut bodies {
        body.stamp(stamp_of(number));
    }
    bodies
}

fn batch(body: Vec<u8>, schemas: &mut SchemaCache) -> Result<Batch, DecodeError> {
    let (rows, metadata) = decode(body)?;
    let schema = schemas.resolve(&metadata).schema;
    Ok(Batch { rows, schema })
}

fn settings() -> Result<Settings, Box<dyn Error>> {
    let environment = [
        ("CLIENT_ID", "bench"),
        ("CLIENT_SECRET", "bench"),
        // The discard port, on which nothing listens.
        ("API_URL", "http://127.0.0.1:9/api/public"),
        ("BATCH_SIZE", "65000"),
        ("MAX_LINGER", "1000"),
        ("METRICS_ADDRESS", "127.0.0.1"),
        ("METRICS_PORT", "0"),
        ("STALE_AFTER", "86400"),
        ("IP_STALE_AFTER", "86400"),
        // An inventory is passed to the store directly too.
        ("INVENTORY", "off"),
    ];
    let environment = environment
        .map(|(name, value)| (name.to_owned(), OsString::from(value)))
        .to_vec();
    Ok(Settings::from_sources(Sources {
        environment,
        ..Sources::default()
    })?)
}

/// One row of each terminal with `alerts` active alerts.
pub fn all_alerting(terminals: usize, alerts: usize) -> Body {
    let codes: Vec<_> = (0..alerts).map(|code| code.to_string()).collect();
    let codes = codes.join(",");
    let row = |terminal| format!(r#"["u",{STAMP},"{}",[{codes}]]"#, terminal_id(terminal));
    let columns = &["DeviceType", "UtcTimestampNs", "DeviceId", "ActiveAlerts"];
    Body::of(
        AnswerBody::new()
            .columns("u", columns)
            .rows((0..terminals).map(row)),
    )
}
