//! Simulates Starlink's Enterprise telemetry API on loopback, for the demo and the tests. The behaviour of Starlink is
//! described only here.
//!
//! [`Simulator::start`] serves the endpoints for tokens, the stream and the management API on a separate thread, so that it can be used from any
//! code, async or not. A generated fleet (terminals, routers, IP allocations) reports every 15 simulated seconds. A
//! script of [`Answer`]s overrides the answers, and a [`Journal`] records the requests.
//!
//! By default it behaves as Starlink, as far as that is known:
//! - one read index per service account: clients share the rows; 8 (simulated) hours are kept; a backlog
//!   comes first, in full batches that are answered immediately;
//! - a poll is answered when `batchSize` rows are available or `maxLingerMs` (real milliseconds) have passed;
//! - the index advances when the last byte of an answer was passed to the connection. Rows of an answer that could not be
//!   sent completely are sent again with the next one; rows that the client loses afterwards are lost;
//! - errors of the stream have the documented envelope, those of the token endpoint `{"error": …}`.
//!
//! A poll needs a valid token and a valid body to get a scripted answer, so that the script is not used up by polls that
//! Starlink would reject. A waiting poll gets a scripted answer as soon as there is one.

mod account;
mod answer;
mod body;
mod cells;
mod connection;
mod fleet;
mod inventory;
mod journal;
mod management;
mod noise;
mod open_poll;
mod sending;
mod server;
mod service;
#[cfg(test)]
mod tests;
mod track;

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use actix_rt::time::timeout;
use socket2::{Domain, Socket, Type};

pub use self::{
    answer::Answer,
    body::{
        AnswerBody, DEVICE_TYPES, IP_COLUMNS, ROUTER_ALERTS, ROUTER_COLUMNS, TERMINAL_ALERTS,
        TERMINAL_COLUMNS,
    },
    fleet::{router_id, terminal_id},
    inventory::{Fault, InventoryOptions, Part},
    journal::{Journal, ManagementRequest, Outcome, Poll, TokenRequest},
};
use self::{
    fleet::{Fleet, TICK_SECONDS},
    inventory::Inventory,
    server::Server,
    service::{Clock, Service},
};

const API_PATH: &str = "/api/public";
const PUBLIC_TOKEN_PATH: &str = "/api/public/auth/connect/token";
const PLAIN_TOKEN_PATH: &str = "/api/auth/connect/token";
const STREAM_PATH: &str = "/api/public/v2/telemetry/stream";
/// The paths with handlers of their own.
const PATHS: [&str; 3] = [PUBLIC_TOKEN_PATH, PLAIN_TOKEN_PATH, STREAM_PATH];
/// The highest speed. With a higher one, ticks would be shorter than a millisecond.
const HIGHEST_SPEED: f64 = 15_000.0;
/// The longest tick, so that calculations with times do not overflow at low speeds.
const MAX_TICK_SECONDS: f64 = 1e6;

/// The options of the simulation.
#[derive(Clone)]
pub struct Options {
    /// The only client id that gets a token.
    pub client_id: String,
    /// Its client secret.
    pub client_secret: String,
    /// The port of 127.0.0.1 to listen on; 0 takes a free one.
    pub port: u16,
    /// The number of terminals. With 0, answers come only from the script, or are empty.
    pub terminals: usize,
    /// The index of the first terminal, so that the fleets of several simulators have different IDs: its ID is
    /// [`terminal_id`] of this.
    pub first_terminal: usize,
    /// Whether each terminal has a router that reports too.
    pub routers: bool,
    /// Simulated seconds in a real one, above 0 and up to 15,000. Rows are stamped with the real time at any speed.
    pub speed: f64,
    /// The same seed gives the same fleet.
    pub seed: u64,
    /// How long a token is valid, in real time.
    pub token_lifetime: Duration,
    /// The limit of polls and management requests together in any real minute (250 for Starlink). `None`: no limit.
    pub polls_per_minute: Option<usize>,
    /// The simulated time of the backlog at the start; at most 8 hours are kept.
    pub backlog: Duration,
    /// When the simulation began; `None`: when the simulator starts. Simulators with the same time here and the same fleet hand out the same
    /// rows, as Starlink does to each service account of an account.
    pub begun: Option<SystemTime>,
    /// Whether there are nulls, doubled rows, repeated allocations, tombstones, and outages of single terminals (from a
    /// minute after the start, in fleets of four and more). Without, each device has one row a tick, and each allocation
    /// one when it is due.
    pub quirks: bool,
    /// What the management API lists besides the terminals that report; `None`: it lists nothing, these neither.
    pub inventory: Option<InventoryOptions>,
    /// Whether the journal keeps the bodies of the answers to polls. They fill the memory of a long run.
    pub keeps_answers: bool,
}

impl Default for Options {
    /// No terminals, nothing in the management API, speed 1, tokens of 15 minutes, no rate limit; the credentials are `client` and `secret`.
    fn default() -> Self {
        Self {
            client_id: "client".to_owned(),
            client_secret: "secret".to_owned(),
            port: 0,
            terminals: 0,
            first_terminal: 0,
            routers: false,
            speed: 1.0,
            seed: 1,
            token_lifetime: Duration::from_secs(900),
            polls_per_minute: None,
            backlog: Duration::ZERO,
            begun: None,
            quirks: true,
            inventory: None,
            keeps_answers: false,
        }
    }
}

/// Why the simulator cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulatorError {
    /// The speed is not above 0 and up to 15,000.
    #[error("speed {0} is not above 0 and up to 15000")]
    Speed(f64),
    /// The port is in use, or there is no loopback.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Listen {
        /// The requested port.
        port: u16,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The server's thread did not start.
    #[error("cannot start the server")]
    Start(#[source] io::Error),
}

/// A running simulator. When it is dropped, it ends as by [`Simulator::stop`].
pub struct Simulator {
    service: Arc<Service>,
    address: SocketAddr,
    server: Mutex<Option<Server>>,
    /// Holds the port while there is no server, so that no other program gets it. Connections are refused.
    reserved: Mutex<Option<Socket>>,
}

/// Binds an address without listening.
fn reserve(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

impl Simulator {
    /// Binds 127.0.0.1 and serves.
    ///
    /// # Errors
    /// [`SimulatorError`], when the speed is out of range, the port is taken or no thread can be started.
    pub fn start(options: Options) -> Result<Self, SimulatorError> {
        let port = options.port;
        let service = Arc::new(Service::new(options)?);
        let server = Server::start(port, Arc::clone(&service))?;
        Ok(Self {
            service,
            address: server.address(),
            server: Mutex::new(Some(server)),
            reserved: Mutex::default(),
        })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The setting `API_URL` for a client: `http://127.0.0.1:PORT/api/public`.
    pub fn api_url(&self) -> String {
        format!("http://{}{API_PATH}", self.address)
    }

    /// Closes the listener and all connections immediately, and waits for the end of the thread.
    pub fn stop(self) {
        self.unplug();
    }

    /// Simulates a network failure: closes the listener and all connections immediately. The state is kept (tokens,
    /// read index, script, journal), and the fleet continues to report.
    pub fn unplug(&self) {
        let server = lock(&self.server).take();
        if let Some(server) = server {
            server.stop();
            // Without it, the port is only free for a while.
            *lock(&self.reserved) = reserve(self.address).ok();
        }
    }

    /// Listens again on the same port after [`Simulator::unplug`]. Does nothing if it is listening.
    ///
    /// # Errors
    /// [`SimulatorError`], if the port was taken by another process meanwhile, or no thread can be started.
    pub fn plug(&self) -> Result<(), SimulatorError> {
        let mut server = lock(&self.server);
        if server.is_none() {
            lock(&self.reserved).take();
            *server = Some(Server::start(
                self.address.port(),
                Arc::clone(&self.service),
            )?);
        }
        Ok(())
    }

    /// Queues an answer for a later poll, or for the one that is waiting. Each is sent once, in order.
    pub fn push_answer(&self, answer: impl Into<Answer>) {
        lock(&self.service.poll_script)
            .next
            .push_back(answer.into());
        self.service.script_changed.notify_waiters();
    }

    /// Queues a valid answer with these rows, each a JSON text; see [`Simulator::push_answer`].
    pub fn push_rows<R: Into<String>>(&self, rows: impl IntoIterator<Item = R>) {
        self.push_answer(Answer::rows(rows));
    }

    /// Queues a 200 with this body; see [`Simulator::push_answer`].
    pub fn push_body(&self, json: &str) {
        self.push_answer(Answer::text(json.to_owned()));
    }

    /// Sets the immediate answer to every poll, including the one that is waiting, while no answer is queued. `None`:
    /// the default behaviour.
    pub fn set_default_answer(&self, answer: Option<Answer>) {
        lock(&self.service.poll_script).default = answer;
        self.service.script_changed.notify_waiters();
    }

    /// Queues a response for a later token request. Each is sent once, in order.
    pub fn push_token_answer(&self, answer: Answer) {
        lock(&self.service.token_script).next.push_back(answer);
    }

    /// Sets the response to every token request while none is queued. `None`: the default behaviour.
    pub fn set_default_token_answer(&self, answer: Option<Answer>) {
        lock(&self.service.token_script).default = answer;
    }

    /// Whether `{API_URL}/auth/connect/token` issues tokens (the default) or responds with 404, so that only
    /// `/api/auth/connect/token` issues them.
    pub fn set_public_token_path(&self, is_open: bool) {
        *lock(&self.service.is_public_token_path_open) = is_open;
    }

    /// Sets the header `Date` of all later responses, unless their script sets it. The default is the system time.
    pub fn set_date(&self, now: impl Fn() -> SystemTime + Send + Sync + 'static) {
        *lock(&self.service.clock_of_answers) = Some(Arc::new(now));
    }

    /// A valid token without a request, for scripted answers of the token endpoint.
    pub fn issue_token(&self) -> String {
        self.service.issue_token()
    }

    /// Revokes all tokens, so that they get 401 from now on.
    pub fn revoke_tokens(&self) {
        lock(&self.service.tokens).revoke();
    }

    /// A copy of the journal.
    pub fn journal(&self) -> Journal {
        lock(&self.service.record.journal).clone()
    }

    /// Waits until the journal fulfils a condition. Returns false if it does not within `limit`. Needs tokio's timers,
    /// which every actix runtime has.
    #[must_use = "false when the time is up"]
    pub async fn wait_until(
        &self,
        limit: Duration,
        is_as_wanted: impl Fn(&Journal) -> bool,
    ) -> bool {
        let waiting = async {
            loop {
                let mut changed = std::pin::pin!(self.service.record.journal_changed.notified());
                // Registered first, so that a change before the wait begins is noticed.
                changed.as_mut().enable();
                if is_as_wanted(&lock(&self.service.record.journal)) {
                    return;
                }
                changed.await;
            }
        };
        timeout(limit, waiting).await.is_ok()
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the options, which contain a secret.
        formatter
            .debug_struct("Simulator")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.unplug();
    }
}

impl Service {
    fn new(options: Options) -> Result<Self, SimulatorError> {
        let speed = options.speed;
        if !(speed > 0.0 && speed <= HIGHEST_SPEED) {
            return Err(SimulatorError::Speed(speed));
        }
        let tick_seconds = (TICK_SECONDS as f64 / speed).min(MAX_TICK_SECONDS);
        let tick_ns = (tick_seconds * 1e9) as u64;
        let first = options.backlog.as_secs() / TICK_SECONDS;
        let (now, started) = (SystemTime::now(), Instant::now());
        let begun = options.begun.unwrap_or(now);
        let age = now.duration_since(begun).unwrap_or_default();
        let begun_ns = begun
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos() as u64;
        let origin_ns = begun_ns.saturating_sub(first * tick_ns);
        let inventory = &options.inventory;
        Ok(Self {
            inventory: Inventory {
                options: inventory.clone().unwrap_or_else(InventoryOptions::nameless),
                seed: options.seed,
                first: options.first_terminal,
                reporting: inventory.as_ref().map_or(0, |_| options.terminals),
                routers: options.routers,
                origin: origin_ns as f64 / 1e9,
                speed,
            },
            fleet: Fleet {
                seed: options.seed,
                first: options.first_terminal,
                terminals: options.terminals,
                routers: options.routers,
                quirks: options.quirks,
                origin_ns,
                tick_ns,
            },
            clock: Clock {
                started: started.checked_sub(age).unwrap_or(started),
                first,
                tick_ns,
            },
            options,
            record: Arc::default(),
            poll_script: Mutex::default(),
            token_script: Mutex::default(),
            management: Mutex::default(),
            script_changed: tokio::sync::Notify::new(),
            tokens: Mutex::default(),
            rate_limit: Mutex::default(),
            is_public_token_path_open: Mutex::new(true),
            clock_of_answers: Mutex::default(),
        })
    }
}

/// Locks. The state is consistent even if a thread panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
