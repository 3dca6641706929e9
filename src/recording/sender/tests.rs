//! Tests of the sender against real sockets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::recording::status::DestinationStatus;
use crate::remote_write::Destination;

mod client;
mod receiver;
