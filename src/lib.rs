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
//! | where | what | knows nothing of |
//! |---|---|---|
//! | [`telemetry`] | bytes of an answer → [`telemetry::Batch`]: rows, and what their columns mean | actors, HTTP, clocks |
//! | [`fleet`] | batches → the last state of every device → [`fleet::Snapshot`] | actors, HTTP, clocks |
//! | [`exposition`] | a snapshot and the exporter's own families → text in three formats | actors, HTTP, clocks |
//! | [`view`] | a snapshot, names and a question → lists, a device, the fleet at a glance: what the API and the page show | actors, HTTP, clocks |
//! | [`outgoing`] | connections to the outside: every address of a host, TLS, proxies | what is sent |
//! | [`starlink`] | the only code that speaks to Starlink; makes a call once | what a failure means for the next one |
//! | [`supervise`] | restarts actors that panic or stop, and shows those that hang | what they do |
//! | [`account`] | one service account: its token, its column maps, and the poll loop | formats |
//! | [`store`] | the one writer of the fleet, and the snapshots that it publishes | Starlink, formats |
//! | [`http`] | the web server, `/metrics` (compressed once for all clients), the probes | Starlink |
//! | [`web`] | the page and the JSON API | Starlink |
//! | [`web_config`] | who gets in: TLS, certificates, passwords, read again when they change | what is behind |
//! | [`names`] | what people call the devices, from a file of theirs, and which names match no device | HTTP |
//! | [`files`] | the one way in which files that an operator names are read and followed | what stands in them |
//! | [`tasks`] | long-running tasks that are no actors: restarts, heartbeats, threads | what they do |
//! | [`healthcheck`] | asks a running service whether it is alive | |
//! | [`app`] | all of it wired together, and the drain at the end | |
//! | [`config`], [`cli`] | settings and command line; what each command does stands in the binary (`commands.rs`) | |
//! | [`state_file`] | the fleet on disk, for the process that comes after this one | what a row means |
//! | [`self_metrics`] | what the exporter counts about itself | |
//! | [`time`] | the one handle for time, which tests can move; backoff, pace, and which failures to log | the rest |
//! | [`logging`] | the log: bounded lines, redacted and escaped, written by a thread of its own, dropped and counted where they cannot be | the rest |
//! | [`redaction`] | removes the secrets of the process from texts that come from outside | the rest |
//! | [`text`] | helpers for text that depend on nothing else | the rest |
//! | [`shares`] | bounded things that clients share: places, bytes, turns | the rest |
//! | [`simulator`] | Starlink's API on loopback, for the demo and the tests: the one place that says how Starlink behaves | the rest |
//!
//! # What always holds
//!
//! - Data flows one way; only acknowledgements come back. One poll of an account is in flight at a time. The next one starts when
//!   each consumer has acknowledged the answer, or has lost it after two attempts.
//! - What an actor of an account decides is a pure state machine, `(state, event, now) → effects`; the actor carries the effects out.
//! - The fleet has one writer. A scrape holds a snapshot that never changes, and nothing it does makes a poll wait: the store
//!   lays snapshots out, and scrapes take them without a message or a lock.
//! - What a scrape costs is bounded: a plain one holds a chunk, a compressed one some segments, and what is kept of
//!   compressed bodies has a limit. Slow clients hold two snapshots, of small fleets up to 64, and one more only after ten
//!   seconds; those that stall are cut.
//! - A batch is planned before it is committed. What can fail fails before the first write, so that a panic needs no undo and
//!   the batch can be handed over again.
//! - Column lists are those of the answer that the rows came in.
//! - Time is an argument everywhere but in [`time`], the actors, the HTTP handlers, and where files and answers come in.
//! - A name that the exporter writes is unique in a scrape, whatever Starlink calls its columns.
//!
//! # What is absent on purpose
//!
//! No global state: everything is made in [`app::Application::build`], and could be made twice. No timestamps on samples. No
//! `serde_json::Value` on the way of the rows. No retry below the actors. No `unsafe`. No test code in a release build: faults
//! can be injected only with the feature `fault-injection`, which the package's tests switch on for themselves.
#![forbid(unsafe_code)]
// What is worth saying is logged, which neither panics nor blocks.
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
