//! t
pub mod actors;
pub mod app;
pub mod backoff;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod exposition;
pub mod failure_log;
pub mod fleet;
pub mod http;
pub mod pacing;
pub mod self_metrics;
pub mod simulator;
pub mod starlink;
pub mod telemetry;
