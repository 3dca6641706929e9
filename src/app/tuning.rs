//! Parameters of the application that are not settings, but that tests change.

use std::sync::Arc;
use std::time::Duration;

use super::drain::LAME_DUCK;
use crate::http::{ClientTimeouts, SCRAPE_SHARES};
use crate::self_metrics::Counter;
use crate::starlink::Timeouts;
use crate::store::PinLimits;
use crate::supervise::SupervisionPolicy;

/// The parameters. The default is that of production.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// The policy of restarts.
    pub supervision: SupervisionPolicy,
    /// The time limits of calls to Starlink.
    pub timeouts: Timeouts,
    /// An actor that has not replied for this time hangs.
    pub hang_limit: Duration,
    /// How long a scrape waits for the store.
    pub query_limit: Duration,
    /// The time limits of clients.
    pub client_timeouts: ClientTimeouts,
    /// The memory of concurrent scrapes in bytes. Further scrapes wait, as they would for the store. A client may use a quarter.
    pub scrape_memory: usize,
    /// The most concurrent pages and responses of the API. Further ones wait, as they would for the store. A client may use a quarter.
    pub most_views: usize,
    /// The memory of older states of the fleet that slow readers may hold.
    pub pins: PinLimits,
    /// The interval at which files (certificates, keys, users, names) are checked for changes. A change is used a quarter of it later.
    pub reload_interval: Duration,
    /// How long `/readyz` announces the shutdown before the drain begins.
    pub lame_duck: Duration,
    /// The number of dropped log lines, counted by the log.
    pub dropped_lines: Arc<Counter>,
    /// Whether Starlink is simulated, which pages and the API show.
    pub is_demo: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            supervision: SupervisionPolicy::default(),
            timeouts: Timeouts::default(),
            hang_limit: Duration::from_secs(30),
            query_limit: Duration::from_secs(5),
            client_timeouts: ClientTimeouts::default(),
            scrape_memory: SCRAPE_SHARES,
            most_views: 16,
            pins: PinLimits::default(),
            reload_interval: Duration::from_secs(4),
            lame_duck: LAME_DUCK,
            dropped_lines: Arc::default(),
            is_demo: false,
        }
    }
}
