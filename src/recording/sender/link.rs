//! What all senders of a destination share in this process.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::access::Access;
use super::decoder::labels;
use crate::history::{Encoder, Protocol};
use crate::remote_write::{Destination, Pace};
use crate::time::{Clock, Moment};

/// What all senders of a destination share in this process.
#[derive(Debug)]
pub struct Link {
    /// Credentials and TLS settings.
    pub(super) access: Access,
    first: Protocol,
    fell_back: AtomicBool,
    pace: Mutex<Pace>,
    /// When a request last succeeded, in milliseconds of the clock; `u64::MAX` if none did.
    succeeded: AtomicU64,
    /// Encoders that are not in use, with their buffers.
    encoders: Mutex<Vec<Encoder>>,
}

/// The most encoders that are kept: as many as threads of the pool may need.
const MOST_ENCODERS: usize = 4;

impl Link {
    /// The state before the first request.
    #[must_use]
    pub fn new(destination: &Destination) -> Self {
        Self {
            access: Access::default(),
            first: destination.protocol.first(),
            fell_back: AtomicBool::default(),
            pace: Mutex::new(Pace::new(
                destination.max_samples_per_second,
                Moment::default(),
            )),
            succeeded: AtomicU64::new(u64::MAX),
            encoders: Mutex::default(),
        }
    }

    /// The version of the protocol for new requests.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self.fell_back.load(Ordering::Relaxed) {
            true => Protocol::V1,
            false => self.first,
        }
    }

    /// New requests use 1.0 from now on, because the receiver does not support 2.0. Returns whether that is new.
    pub fn fall_back(&self) -> bool {
        !self.fell_back.swap(true, Ordering::Relaxed)
    }

    /// New requests use the first version again.
    pub fn begin_again(&self) {
        self.fell_back.store(false, Ordering::Relaxed);
    }

    /// Waits until the pace permits a request with so many samples, and counts them. Returns whether it had to wait.
    pub async fn wait_for_pace(&self, samples: u64, clock: &Clock) -> bool {
        let mut has_waited = false;
        loop {
            let wait = self.spend(samples, clock.now());
            if wait.is_zero() {
                return has_waited;
            }
            has_waited = true;
            clock.sleep(wait).await;
        }
    }

    /// How long the next request must wait for the pace. If it need not, its samples are counted.
    fn spend(&self, samples: u64, now: Moment) -> Duration {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = pace.wait(now);
        if wait.is_zero() {
            pace.spend(samples, now);
        }
        wait
    }

    /// The receiver refused a request because samples come too fast.
    pub fn lower_pace(&self, now: Moment) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.lower(now);
    }

    /// When a request last succeeded.
    #[must_use]
    pub fn succeeded(&self) -> Option<Moment> {
        let millis = self.succeeded.load(Ordering::Relaxed);
        (millis != u64::MAX).then(|| Moment::from_millis(millis))
    }

    /// A request succeeded now.
    pub fn succeed(&self, now: Moment) {
        self.succeeded.store(now.millis(), Ordering::Relaxed);
    }

    /// An encoder, which is to be returned.
    pub(super) fn take_encoder(&self, destination: &Destination) -> Encoder {
        let encoder = self.encoders().pop();
        encoder.unwrap_or_else(|| Encoder::new(&labels(destination)))
    }

    /// Keeps an encoder for later.
    pub(super) fn return_encoder(&self, encoder: Encoder) {
        let mut encoders = self.encoders();
        if encoders.len() < MOST_ENCODERS {
            encoders.push(encoder);
        }
    }

    fn encoders(&self) -> MutexGuard<'_, Vec<Encoder>> {
        self.encoders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
