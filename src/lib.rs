//! starlink-telemetry: from Starlink's Enterprise telemetry stream to a Prometheus scrape.
//!
//! ```text
//!             TokenActor ──token──▶┐
//! Starlink ◀─poll── StreamActor ───┤ bytes ─decode▶ Batch ──▶ MetricsStoreActor ──Snapshot──▶ /metrics ──▶ Prometheus
//!                       │ ▲                                        │ Fleet                   Exposition
//!                       ▼ │ Arc<Schema>
//!                   MetadataActor
//! ```
//!
//! # The map
//!
//! | module | purpose | independent of |
//! |---|---|---|
//! | [`telemetry`] | decodes an answer to a [`telemetry::Batch`]: rows and the meaning of their columns | actors, HTTP, clocks |
//! | [`fleet`] | applies batches to the last state of every device, and gives [`fleet::Snapshot`]s | actors, HTTP, clocks |
//! | [`exposition`] | writes a snapshot and the exporter's own metrics in three text formats | actors, HTTP, clocks |
//! | [`view`] | queries a snapshot for the page and the API: lists, single devices, an overview | actors, HTTP, clocks |
//! | [`outgoing`] | outgoing connections: name resolution, all addresses of a host, proxies, TLS | the requests that are sent |
//! | [`starlink`] | the client of Starlink's API; makes each call once | retries |
//! | [`supervise`] | restarts actors that panic or stop, and detects those that hang | the actors' work |
//! | [`account`] | a service account: its token, its column maps, and the poll loop | formats |
//! | [`store`] | the only writer of the fleet; publishes snapshots | Starlink, formats |
//! | [`http`] | the web server, `/metrics` (compressed once for all clients), the probes | Starlink |
//! | [`web`] | the status page and the JSON API | Starlink |
//! | [`web_config`] | TLS, client certificates and passwords of the web server, reloaded when their files change | the pages |
//! | [`names`] | names of devices from a file, and the count of names that match no device | HTTP |
//! | [`files`] | reads the files that settings name, and follows their changes | the content of files |
//! | [`tasks`] | long-running tasks that are not actors: restarts, heartbeats, threads | the tasks' work |
//! | [`healthcheck`] | the client of the command `healthcheck` | |
//! | [`app`] | creates and connects all parts, and shuts them down | |
//! | [`config`], [`cli`] | settings and command line; the commands are in the binary (`commands.rs`) | |
//! | [`state_file`] | keeps the fleet in a file across restarts | the meaning of rows |
//! | [`self_metrics`] | the exporter's own metrics | |
//! | [`time`] | clocks and waits, which tests can control; backoff, pacing, and limiting of log lines | all other modules |
//! | [`logging`] | the log: lines are limited, redacted and escaped, written by a separate thread, and dropped and counted if that is not possible | actors, HTTP |
//! | [`redaction`] | removes secrets from texts that come from outside | all other modules |
//! | [`text`] | helpers for text | all other modules |
//! | [`shares`] | shares limited resources fairly among clients | all other modules |
//! | [`simulator`] | simulates Starlink's API on loopback, for the demo and the tests | all other modules |
//!
//! # Invariants
//!
//! - Data flows in one direction; replies are acknowledgements. Each account has at most one poll in flight. The next one starts when
//!   each consumer has acknowledged the answer, or has lost it after two attempts.
//! - The decisions of an account's actors are pure state machines, `(state, event, now) → effects`; the actors execute the effects.
//! - The fleet has one writer. A scrape holds an immutable snapshot and never delays a poll: the store publishes snapshots, and
//!   scrapes take them without a message or a lock.
//! - The memory of a scrape is limited: an uncompressed one holds a chunk, a compressed one some segments, and the cache of compressed
//!   bodies has a limit. Slow clients hold at most two snapshots, up to 64 of small fleets, and one more only after ten seconds; clients
//!   that stall are disconnected.
//! - A batch is planned before it is committed. Everything that can fail fails before the first write, so that after a panic nothing
//!   must be undone and the batch can be applied again.
//! - Rows are interpreted with the column lists of their own answer.
//! - Time is an argument everywhere except in [`time`], the actors, the HTTP handlers, and where files and answers are received.
//! - Names of metrics are unique in a scrape, with any column names of Starlink.
//!
//! # Absent on purpose
//!
//! No global state: everything is created in [`app::Application::build`], which can be called several times. No timestamps on samples.
//! No `serde_json::Value` for rows. No retries below the actors. No `unsafe`. No test code in a release build: faults can be
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
pub mod http;
pub mod logging;
pub mod names;
pub mod outgoing;
pub mod redaction;
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
