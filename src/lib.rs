//! starlink-telemetry: a Prometheus exporter for the Starlink Enterprise telemetry stream.
//!
//! Data flow, with the token, stream, metadata and inventory actors of one account; the store is shared by all accounts:
//!
//! ```text
//!             TokenActor ──token──▶┐
//! Starlink ◀─poll── StreamActor ───┤ bytes ─decode▶ Batch ──▶ MetricsStoreActor ──Snapshot──▶ /metrics ──▶ Prometheus
//!                       │ ▲                                        │ Fleet                   Exposition
//!                       ▼ │ Arc<Schema>                            ▲
//!                   MetadataActor                                  │
//! Starlink ◀─GET── InventoryActor ───────── Arc<Inventory> ────────┘
//! ```
//!
//! # Terms
//!
//! - An *answer* is Starlink's response to one *poll*. It has *rows*: one report of one device at one time, with a cell for each column
//!   of the device's type. The answer lists the columns itself.
//! - A *device* is a user terminal, a router, or of another type. An *IP allocation* is a row about the addresses of a terminal.
//! - A *batch* is a decoded answer. A *reading* is the meaning of one cell.
//! - An *account* is a Starlink service account with its own stream.
//!
//! # The map
//!
//! | module | purpose | independent of |
//! |---|---|---|
//! | [`telemetry`] | decodes an answer into a [`telemetry::Batch`], and its rows into readings | actors, HTTP, clocks |
//! | [`inventory`] | parses and merges what the management API says about an account: terminals, service lines, data use | actors, HTTP, clocks |
//! | [`fleet`] | applies batches to the last state of every device, and creates [`fleet::Snapshot`]s | actors, HTTP, clocks |
//! | [`history`] | turns records of the journal into samples, and these into requests of Prometheus remote write | actors, HTTP, clocks |
//! | [`journal`] | keeps every answer of an account on disk until all remote-write destinations have its rows | the meaning of rows, HTTP |
//! | [`exposition`] | writes a snapshot and the exporter's own metrics in three text formats | actors, HTTP, clocks |
//! | [`view`] | queries a snapshot for the page and the API: lists, single devices, an overview | actors, HTTP, clocks |
//! | [`outgoing`] | outgoing connections: name resolution, all addresses of a host, proxies, TLS | the requests that are sent |
//! | [`remote_write`] | destinations of remote write: their settings, what requests hold, and what follows from answers | actors, HTTP, clocks |
//! | [`recording`] | the actors of journals and remote write: records the answers of all accounts, and sends their rows | the meaning of rows |
//! | [`starlink`] | the client of Starlink's API; makes each call once | retries |
//! | [`supervise`] | restarts actors that panic or stop, and detects those that hang | the actors' work |
//! | [`account`] | service accounts: the token, the column maps, the poll loop and the inventory of each; starts, stops and replaces accounts | formats |
//! | [`store`] | the only writer of the fleet; publishes snapshots | Starlink, formats |
//! | [`http`] | the web server, `/metrics` (compressed once for all clients), the probes | Starlink |
//! | [`web`] | the status page and the JSON API | Starlink |
//! | [`web_config`] | TLS, client certificates and passwords of the web server, reloaded when their files change | the pages |
//! | [`names`] | names of devices, from a file or else from the inventory, and the count of names in the file that match no device | HTTP |
//! | [`files`] | reads the files that settings name, and follows their changes | the content of files |
//! | [`tasks`] | long-running tasks that are not actors: restarts, heartbeats, threads | the tasks' work |
//! | [`healthcheck`] | the client of the command `healthcheck` | |
//! | [`app`] | creates and connects all parts, and shuts them down | |
//! | [`config`], [`cli`] | settings, accounts and command line; the commands are in the binary (`commands.rs`) | |
//! | [`state_file`] | keeps the fleet in a file across restarts | the meaning of rows |
//! | [`self_metrics`] | the exporter's own metrics | |
//! | [`time`] | clocks and waits, which tests can control; backoff, pacing, and limiting of log lines | all other modules |
//! | [`logging`] | the log: limits, redacts and escapes lines, writes them on a separate thread, and drops and counts those that cannot be written | actors, HTTP |
//! | [`redaction`] | removes secrets from texts that come from outside | all other modules |
//! | [`text`] | helpers for text | all other modules |
//! | [`shares`] | shares limited resources fairly among clients | all other modules |
//! | [`simulator`] | simulates Starlink's API on loopback, for the demo and the tests | all other modules |
//!
//! # Invariants
//!
//! - Data flows in one direction; replies are acknowledgements. Each account has at most one poll in flight. The next one starts when
//!   each consumer of batches (the store) has acknowledged the answer, or has failed on it twice.
//! - Accounts are independent: each has its own thread, token, backoff and stream time, so that a fault of one does not affect another.
//! - The decisions of an account's actors are pure state machines, `(state, event, now) → effects`; the actors execute the effects.
//! - The fleet has one writer. A scrape holds an immutable snapshot and never delays a poll: the store publishes snapshots, and
//!   scrapes take them without a message or a lock.
//! - The memory of a scrape is limited: an uncompressed one holds a chunk, a compressed one some segments, and the cache of compressed
//!   bodies has a limit. Older snapshots that slow clients still read take at most 64 MiB or twice the size of the fleet, whichever is
//!   more; then the oldest are revoked. Clients that stall are disconnected.
//! - A batch is planned before it is committed. Everything that can fail happens before the first write, so that after a panic nothing
//!   has to be undone and the same batch can be planned again.
//! - Rows are interpreted with the column lists of their own answer.
//! - Time is an argument everywhere except in [`time`], the actors, the HTTP handlers, and where files and answers are received.
//! - Names of metrics are unique in a scrape, for any columns that Starlink sends.
//!
//! # Absent on purpose
//!
//! No global state: everything is created in [`app::Application::build`], which can be called several times. No timestamps on samples.
//! No `serde_json::Value` for rows of the stream. No retries below the actors. No `unsafe`. No test code in a release build: faults can be
//! injected only with the feature `fault-injection`, which only the tests enable.
#![forbid(unsafe_code)]
// Use the log instead, which neither panics nor blocks.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod account;
pub mod app;
pub mod cli;
pub mod config;
pub mod exposition;
pub mod files;
pub mod fleet;
pub mod healthcheck;
pub mod history;
pub mod http;
pub mod inventory;
pub mod journal;
pub mod logging;
pub mod names;
pub mod outgoing;
pub mod recording;
pub mod redaction;
pub mod remote_write;
pub mod self_metrics;
pub mod shares;
pub mod simulator;
pub mod starlink;
pub mod state_file;
pub mod store;
pub mod supervise;
pub mod tasks;
pub mod telemetry;
pub mod text;
pub mod time;
pub mod view;
pub mod web;
pub mod web_config;
