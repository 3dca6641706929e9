//! The web server, and what it answers to programs that watch: `/metrics` and the probes.

mod admission;
mod bodies;
mod budget;
mod compress;
mod connection;
mod finish;
mod gzip;
mod hosts;
mod library_responses;
mod listen;
mod metrics;
mod open_files;
mod probes;
mod refusals;
mod segments;
mod server;

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, HttpResponseBuilder, Resource, Responder,
    guard, web,
};
use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tracing::Span;
use tracing_actix_web::RootSpanBuilder;

use crate::exposition::{Format, InfoFormat, Shard};
use crate::names::Names;
use crate::self_metrics::{Counter, SelfMetrics};
use crate::shares::{Client, Shares};
use crate::store::Published;
use crate::supervise::ActorStatus;
use crate::tasks::{Pool, TaskStatus};
use crate::time::Clock;

pub use self::bodies::{Bodies, BodyLimits};
pub use self::budget::{PAGES, PAGES_AT_ONCE, SCRAPE_SHARES, bodies as body_limits};
pub use self::compress::{Body, Compress, Fixed};
pub use self::connection::Patience;
pub use self::hosts::{AllowedHosts, own_name};
pub use self::listen::{ListenError, Port, reachable};
pub use self::metrics::lease;
pub use self::open_files::raise_limit;
pub use self::server::{MOST_CONNECTIONS, Site, serve};

/// What the handlers look at. Shared by all workers.
#[derive(Debug)]
pub struct State {
    /// The application's clock.
    pub clock: Clock,
    /// The exporter's own numbers.
    pub metrics: Arc<SelfMetrics>,
    /// What is known of each actor.
    pub actors: Vec<Arc<ActorStatus>>,
    /// What is known of each long-running task.
    pub tasks: Vec<Arc<TaskStatus>>,
    /// Where the store lays out what it knows.
    pub published: Arc<Published>,
    /// Compressed bodies, for all scrapes of a snapshot with the same names.
    pub bodies: Bodies<(Format, Shard)>,
    /// Whether this is the demo, whose terminals are simulated.
    pub is_demo: bool,
    /// Whether locations are shown: `LOCATION`.
    pub has_locations: bool,
    /// How `starlink_info` is written.
    pub info_format: InfoFormat,
    /// Whether the process is about to end.
    pub is_draining: AtomicBool,
    /// An actor that has not answered for so long hangs.
    pub hang_limit: Duration,
    /// A scrape waits so long for the store.
    pub query_limit: Duration,
    /// What a store that has not answered for so long has laid out is not the fleet as it is.
    pub silence_limit: Duration,
    /// Telemetry with a greater lag is late; a device that is silent for longer is not online.
    pub stale_after: Duration,
    /// An answer that is still being read after so long is cut.
    pub answer_limit: Duration,
    /// The bytes that scrapes may hold while they are answered.
    pub scrapes: Shares,
    /// Places for pages and answers of the API that are made or read at the same time.
    pub looks: Shares,
    /// The bytes of those that are read.
    pub look_memory: Shares,
    /// The host names under which the service answers; all where there are none.
    pub allowed_hosts: Option<AllowedHosts>,
    /// Makes pages and compresses scrapes.
    pub pool: Pool,
    /// A permit for each page that is made at the same time.
    pub making: Arc<Semaphore>,
    /// What people call the devices, as their file says it at the moment.
    pub names: Arc<ArcSwap<Names>>,
    /// Lines that the log of the process has lost.
    pub dropped_lines: Arc<Counter>,
}

impl State {
    /// Why the service should not be sent traffic, if so. Ready from the first successful poll until the drain.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        if self.is_draining.load(Ordering::Relaxed) {
            return Some("the service is shutting down".to_owned());
        }
        if self.metrics.last_poll_success.value().is_some() {
            return None;
        }
        Some(match self.metrics.told() {
            Some(told) => format!("no poll has succeeded yet. {told}"),
            None => "no poll has succeeded yet".to_owned(),
        })
    }

    /// Which actors and tasks cannot be relied on, and why.
    #[must_use]
    pub fn trouble(&self) -> Vec<String> {
        let ran = self.clock.ran();
        let trouble = |status: &Arc<ActorStatus>| {
            let trouble = status.trouble(ran, self.hang_limit)?;
            Some(format!("actor {}: {trouble}", status.role().name()))
        };
        let hangs = |task: &&Arc<TaskStatus>| task.hangs(ran, self.hang_limit);
        let hanging = self.tasks.iter().filter(hangs);
        let tasks = hanging.map(|task| format!("task {}: hangs", task.task().name()));
        self.actors
            .iter()
            .filter_map(trouble)
            .chain(tasks)
            .collect()
    }
}

/// Adds the paths of a listener to an application.
pub type Routes = fn(&mut web::ServiceConfig);

/// Adds `/metrics` and the probes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource(metrics::PATH, metrics::scrape))
        .configure(probe_resources);
}

/// Adds the probes alone.
fn probe_routes(config: &mut web::ServiceConfig) {
    config
        .configure(probe_resources)
        .default_service(web::to(no_probe));
}

fn probe_resources(config: &mut web::ServiceConfig) {
    config
        .service(resource("/livez", probes::live))
        .service(resource("/healthz", probes::live))
        .service(resource("/readyz", probes::ready));
}

/// Who asks. Every connection has an address as long as it is open.
pub fn client(peer: Option<SocketAddr>) -> Client {
    Client::from(peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip()))
}

/// A path that one handler answers, to GET and HEAD alike.
pub fn resource<F, A>(path: &str, handler: F) -> Resource
where
    F: Handler<A>,
    A: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let reading = guard::Any(guard::Get()).or(guard::Head());
    web::resource(path)
        .route(web::route().guard(reading).to(handler))
        .default_service(web::to(method_not_allowed))
}

/// The first value that the query gives a parameter.
pub fn parameter<'r>(request: &'r HttpRequest, wanted: &str) -> Option<Cow<'r, str>> {
    let mut parameters = url::form_urlencoded::parse(request.query_string().as_bytes());
    let found = parameters.find(|(name, _)| name == wanted);
    found.map(|(_, value)| value)
}

/// The body of a response to a request with another method than GET and HEAD.
pub const ONLY_READING: &str = "only GET and HEAD are supported";

async fn method_not_allowed() -> HttpResponse {
    method_not_allowed_builder()
        .content_type("text/plain; charset=utf-8")
        .body(format!("{ONLY_READING}\n"))
}

/// The response to a request with another method than GET and HEAD, without a body.
pub fn method_not_allowed_builder() -> HttpResponseBuilder {
    let mut response = HttpResponse::MethodNotAllowed();
    response.insert_header((header::ALLOW, "GET, HEAD"));
    response
}

async fn no_probe() -> HttpResponse {
    HttpResponse::NotFound()
        .content_type("text/plain; charset=utf-8")
        .body("Not found. Available: /livez, /readyz, /healthz\n")
}

/// One span for each request, at DEBUG: a scrape every few seconds is no news.
#[derive(Debug)]
struct RequestSpan;

impl RootSpanBuilder for RequestSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        let method = request.method();
        let path = request.path();
        tracing::debug_span!("request", %method, path, status = tracing::field::Empty)
    }

    fn on_request_end<B: MessageBody>(
        span: Span,
        outcome: &Result<ServiceResponse<B>, actix_web::Error>,
    ) {
        let status = match outcome {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        span.record("status", status.as_u16());
        span.in_scope(|| tracing::debug!("request answered"));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::fleet::Snapshot;
    use crate::shares::Limits;

    /// What handlers look at, of an empty fleet.
    pub fn state() -> State {
        let (clock, _hands) = Clock::manual(SystemTime::UNIX_EPOCH);
        let published = Arc::new(Published::from(Snapshot::default()));
        let pool = Pool::start("test", 2).unwrap();
        State {
            clock,
            metrics: Arc::default(),
            actors: Vec::new(),
            tasks: Vec::new(),
            published,
            bodies: Bodies::new(body_limits(), pool.clone()),
            pool,
            is_demo: false,
            has_locations: true,
            info_format: InfoFormat::Auto,
            is_draining: AtomicBool::new(false),
            hang_limit: Duration::from_secs(30),
            query_limit: Duration::from_secs(1),
            silence_limit: Duration::from_secs(10),
            stale_after: Duration::from_secs(120),
            answer_limit: Duration::from_secs(120),
            scrapes: Shares::new(Limits::quartered(SCRAPE_SHARES, 16)),
            looks: Shares::new(Limits::quartered(4, 16)),
            look_memory: Shares::new(Limits::quartered(PAGES, 0)),
            making: Arc::new(Semaphore::new(PAGES_AT_ONCE)),
            allowed_hosts: None,
            names: Arc::default(),
            dropped_lines: Arc::default(),
        }
    }
}
