//! The application state that the page and the API use.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::permits::Permits;
use crate::account::Accounts;
use crate::http::{FleetReader, Health, PAGES_AT_ONCE, Sources};
use crate::names::Names;
use crate::self_metrics::ProcessMetrics;
use crate::tasks::Pool;
use crate::time::Clock;

/// Settings of the page and the API.
#[derive(Debug, Clone, Copy)]
pub struct WebOptions {
    /// Whether the terminals are simulated.
    pub is_demo: bool,
    /// Whether locations are shown: `LOCATION`.
    pub has_locations: bool,
    /// `STALE_AFTER`: telemetry with a greater lag is late, and a device that is silent for longer is not online.
    pub stale_after: Duration,
    /// A response that is still being read after this time is cut.
    pub read_limit: Duration,
    /// The most responses that are made or read at the same time.
    pub most_views: usize,
    /// The most requests that wait for that.
    pub most_waiting: usize,
}

/// What the handlers of the page and the API read. Shared by all workers.
#[derive(Debug)]
pub struct WebState {
    pub(super) clock: Clock,
    pub(super) metrics: Arc<ProcessMetrics>,
    pub(super) accounts: Arc<Accounts>,
    pub(super) health: actix_web::web::Data<Health>,
    pub(super) fleet: Arc<FleetReader>,
    pub(super) names: Arc<ArcSwap<Names>>,
    pub(super) pool: Pool,
    pub(super) permits: Permits,
    /// A permit for each response that is made at the same time.
    pub(super) making: Arc<Semaphore>,
    pub(super) is_demo: bool,
    pub(super) has_locations: bool,
    pub(super) stale_after: Duration,
}

impl WebState {
    /// Makes pages and responses of the API from these sources.
    #[must_use]
    pub fn new(sources: Sources, options: WebOptions) -> Self {
        let wait = sources.fleet.wait_limit();
        let WebOptions {
            most_views,
            most_waiting,
            read_limit,
            ..
        } = options;
        let clock = sources.clock.clone();
        Self {
            permits: Permits::new(clock, most_views, most_waiting, wait, read_limit),
            clock: sources.clock,
            metrics: sources.metrics,
            accounts: sources.accounts,
            health: sources.health,
            fleet: sources.fleet,
            names: sources.names,
            pool: sources.pool,
            making: Arc::new(Semaphore::new(PAGES_AT_ONCE)),
            is_demo: options.is_demo,
            has_locations: options.has_locations,
            stale_after: options.stale_after,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::http::tests::sources;

    /// How long a response may be read in tests.
    pub const READ_LIMIT: Duration = Duration::from_secs(120);

    /// The state of an empty fleet.
    pub fn state(clock: Clock) -> WebState {
        let options = WebOptions {
            is_demo: false,
            has_locations: true,
            stale_after: Duration::from_secs(120),
            read_limit: READ_LIMIT,
            most_views: 4,
            most_waiting: 16,
        };
        WebState::new(sources(clock), options)
    }
}
