//! Tests of the sender: its pure parts with models, and the actor with a journal on disk and real sockets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::recording::status::DestinationStatus;
use crate::remote_write::Destination;

mod actor;
pub(super) mod client;
mod flight;
mod progress;
pub(in crate::recording) mod receiver;
mod world;
