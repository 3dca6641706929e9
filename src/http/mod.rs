//! The web server, `/metrics` and the probes.

mod actor_families;
mod admission;
mod bodies;
mod budget;
mod compress;
mod connection;
mod finish;
mod fleet_reader;
mod gzip;
mod health;
mod hosts;
mod library_responses;
mod listen;
mod metrics;
mod open_files;
mod probes;
mod refusals;
mod request;
mod request_span;
mod segments;
mod server;
mod shown;

use std::sync::Arc;

use actix_web::web;
use arc_swap::ArcSwap;

use crate::account::Accounts;
use crate::names::Names;
use crate::recording::RecordingStatus;
use crate::self_metrics::{Counter, ProcessMetrics};
use crate::tasks::Pool;
use crate::time::Clock;

pub use self::budget::{PAGES, PAGES_AT_ONCE, SCRAPE_SHARES, threads};
pub use self::compress::{Body, Compress, Fixed};
pub use self::connection::ClientTimeouts;
pub use self::fleet_reader::{FleetReader, ReadLimits};
pub use self::health::{ActorHealth, Health, PollState, restart_timestamp};
pub use self::hosts::{AllowedHosts, own_name};
pub use self::listen::{ListenError, Port, reachable};
pub use self::metrics::{ScrapeOptions, Scrapes};
pub use self::open_files::{MOST_CONNECTIONS, raise_limit};
pub use self::request::{ONLY_READING, client, method_not_allowed_builder, parameter, resource};
pub use self::server::{Endpoints, serve};
pub use self::shown::{Content, Shown};

/// The data sources of scrapes, the page and the API. Shared by all workers.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The application's clock.
    pub clock: Clock,
    /// The numbers of the process.
    pub metrics: Arc<ProcessMetrics>,
    /// The log lines that were dropped.
    pub dropped_lines: Arc<Counter>,
    /// The accounts.
    pub accounts: Arc<Accounts>,
    /// The journals and senders.
    pub recording: Arc<RecordingStatus>,
    /// The state of the components.
    pub health: web::Data<Health>,
    /// The fleet.
    pub fleet: Arc<FleetReader>,
    /// The names of devices.
    pub names: Arc<ArcSwap<Names>>,
    /// Renders pages and compresses scrapes.
    pub pool: Pool,
}

/// Adds `/metrics` and the probes to an application.
pub fn routes(
    config: &mut web::ServiceConfig,
    scrapes: &web::Data<Scrapes>,
    health: &web::Data<Health>,
) {
    config
        .app_data(scrapes.clone())
        .service(resource(metrics::PATH, metrics::scrape))
        .configure(|config| probes::resources(config, health));
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fleet::Snapshot;
    use crate::store::Published;
    use crate::supervise::{ActorStatus, Role};

    /// The sources of an empty fleet.
    pub fn sources(clock: Clock) -> Sources {
        let accounts = Arc::<Accounts>::default();
        let published = Arc::new(Published::from(Snapshot::default()));
        let limits = ReadLimits {
            wait: Duration::from_secs(1),
            silence: Duration::from_secs(10),
        };
        let store = Arc::new(ActorStatus::new(Role::MetricsStore, clock.ran()));
        let health = Health::new(
            clock.clone(),
            Arc::clone(&accounts),
            Arc::clone(&store),
            Vec::new(),
            Duration::from_secs(30),
        );
        Sources {
            fleet: Arc::new(FleetReader::new(clock.clone(), published, store, limits)),
            clock,
            metrics: Arc::default(),
            dropped_lines: Arc::default(),
            accounts,
            recording: Arc::default(),
            health: web::Data::new(health),
            names: Arc::default(),
            pool: Pool::start("test", 2).unwrap(),
        }
    }
}
