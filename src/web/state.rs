//! The application state that the page and the API use.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::permits::Permits;
use crate::http::{PAGES_AT_ONCE, Sources};

/// Settings of the page and the API.
#[derive(Debug, Clone, Copy)]
pub struct WebOptions {
    /// Whether the terminals are simulated.
    pub is_demo: bool,
    /// Whether locations are shown: `LOCATION`.
    pub has_locations: bool,
    /// `STALE_AFTER`: telemetry with a greater lag is late, and a device that is silent for longer is not online.
    pub stale_after: Duration,
    /// A client that has not read a response completely after this time is disconnected.
    pub read_limit: Duration,
    /// The most requests in progress: their responses are being created or read.
    pub most_views: usize,
    /// The most requests that wait for others to end.
    pub most_waiting: usize,
}

/// What the handlers of the page and the API read. Shared by all workers.
#[derive(Debug)]
pub struct WebState {
    pub(super) sources: Sources,
    pub(super) options: WebOptions,
    pub(super) permits: Permits,
    /// Limits the responses that are being created, each on a thread of the pool.
    pub(super) rendering: Arc<Semaphore>,
}

impl WebState {
    /// The state for the handlers, which read these sources.
    #[must_use]
    pub fn new(sources: Sources, options: WebOptions) -> Self {
        let permits = Permits::new(
            sources.clock.clone(),
            options.most_views,
            options.most_waiting,
            sources.fleet.wait_limit(),
            options.read_limit,
        );
        Self {
            sources,
            options,
            permits,
            rendering: Arc::new(Semaphore::new(PAGES_AT_ONCE)),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::http::tests::sources;
    use crate::time::Clock;

    /// The state of an empty fleet.
    pub fn state(clock: Clock) -> WebState {
        let options = WebOptions {
            is_demo: false,
            has_locations: true,
            stale_after: Duration::from_secs(120),
            read_limit: Duration::from_secs(120),
            most_views: 4,
            most_waiting: 16,
        };
        WebState::new(sources(clock), options)
    }
}
