//! Tests of the service with the simulator, over HTTP. One binary, so that it is linked once.
#![expect(clippy::unwrap_used, reason = "a test fails where it cannot continue")]

mod accounts;
mod api;
mod binary;
mod captured;
mod clients;
mod clocks;
mod commands;
mod corpus;
mod documents;
mod exposition;
mod failures;
mod fields;
mod files;
mod floods;
mod form;
mod golden;
mod harness;
mod hostile;
mod inventory;
mod inventory_views;
mod listed;
mod logs;
mod model;
mod names;
mod outgoing;
mod own_metrics;
mod page;
mod page_notes;
mod page_states;
#[path = "../../fuzz/src/pipeline.rs"]
mod pipeline;
mod polling;
mod probes;
mod process;
mod secrets;
mod shared_account;
mod slow_readers;
mod state;
mod stopped;
mod supervision;
mod tls;
mod tokens;
mod web_config;
mod wire;
