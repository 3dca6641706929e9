//! The web server: its threads and its connections.
//!
//! It is assembled from the parts of actix-web's `HttpServer`, which accepts no other connection type. Ours has time limits for
//! every request of a connection.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol, Request};
use actix_rt::net::TcpStream;
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, web};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tracing_actix_web::TracingLogger;

use super::admission::{OptionalGate, admit};
use super::connection::{ClientTimeouts, Connection, OpenConnections, Reset};
use super::finish::finish;
use super::health::Health;
use super::hosts::{AllowedHosts, OptionalHosts, check_host};
use super::library_responses::WithSharedHeaders;
use super::open_files::{self, MOST_CONNECTIONS, MOST_PROBES};
use super::probes;
use super::refusals::refuse_bodies;
use super::request_span::RequestSpan;
use crate::web_config::Gate;

/// The most workers; more would not make scrapes faster.
const MOST_WORKERS: usize = 4;

/// The most bytes of a connection that the operating system buffers for its client.
#[cfg(target_os = "linux")]
const MOST_UNSENT: u32 = 128 * 1024;

/// Adds paths to the application of a worker.
type Routes = Arc<dyn Fn(&mut web::ServiceConfig) + Send + Sync>;

/// The paths of a listener, its clients, and its numbers of threads and connections.
pub struct Endpoints {
    routes: Routes,
    gate: OptionalGate,
    hosts: OptionalHosts,
    workers: usize,
    connections: usize,
    /// Whether an idle connection is closed after [`ClientTimeouts::first`] instead of [`ClientTimeouts::idle`].
    has_short_idle_limit: bool,
}

impl Endpoints {
    /// These paths, for clients that the gate admits and for the allowed host names.
    #[must_use]
    pub fn new(
        gate: Option<Arc<Gate>>,
        hosts: Option<AllowedHosts>,
        routes: impl Fn(&mut web::ServiceConfig) + Send + Sync + 'static,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            routes: Arc::new(routes),
            gate,
            hosts,
            workers: cores.min(MOST_WORKERS),
            connections: open_files::connections().min(MOST_CONNECTIONS),
            has_short_idle_limit: false,
        }
    }

    /// The probes, for every client, on a separate thread.
    #[must_use]
    pub fn probes(health: web::Data<Health>) -> Self {
        Self {
            routes: Arc::new(move |config| probes::only_resources(config, &health)),
            gate: None,
            hosts: None,
            workers: 1,
            connections: MOST_PROBES,
            has_short_idle_limit: true,
        }
    }

    fn timeouts(&self, timeouts: ClientTimeouts) -> ClientTimeouts {
        match self.has_short_idle_limit {
            true => ClientTimeouts {
                idle: timeouts.first,
                ..timeouts
            },
            false => timeouts,
        }
    }
}

/// Serves endpoints on a listener. At shutdown, open requests have `drain_limit` to end.
///
/// # Errors
/// Errors of the operating system when the server starts to listen.
pub fn serve(
    listener: TcpListener,
    endpoints: Endpoints,
    timeouts: ClientTimeouts,
    drain_limit: Duration,
) -> io::Result<Server> {
    let timeouts = endpoints.timeouts(timeouts);
    let Endpoints {
        routes,
        gate,
        hosts,
        workers,
        connections,
        ..
    } = endpoints;
    let gate_data = web::Data::new(gate.clone());
    let hosts = web::Data::new(hosts);
    let tls = gate.as_ref().and_then(|gate| gate.tls());
    let tls = tls.map(|config| TlsAcceptor::from(Arc::clone(config)));
    let builder = Server::build()
        .workers(workers)
        .max_concurrent_connections(connections.div_ceil(workers))
        .disable_signals()
        .shutdown_timeout(drain_limit.as_secs());
    let shutdown = builder.graceful_shutdown_signal();
    let open_connections = OpenConnections::default();
    let builder = builder.listen("web", listener, move || {
        let app = App::new()
            .app_data(hosts.clone())
            .app_data(gate_data.clone())
            .wrap(from_fn(admit))
            .wrap(from_fn(check_host))
            .wrap(from_fn(refuse_bodies))
            .wrap(from_fn(finish))
            .wrap(TracingLogger::<RequestSpan>::new())
            .configure(&*routes);
        let app = map_config(app.into_factory(), |()| AppConfig::default());
        let shutdown = shutdown.clone();
        let gate = gate.clone();
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let shutdown = shutdown.clone();
                async move { shutdown.notified().await }
            })
            .client_request_timeout(timeouts.first)
            .keep_alive(timeouts.idle)
            .client_disconnect_timeout(timeouts.close)
            .on_connect_ext(|connection: &WithSharedHeaders<_>, data| {
                data.insert(connection.handle());
            })
            .expect(fn_service(refuse_expectation))
            .finish(app);
        let (tls, open_connections) = (tls.clone(), open_connections.clone());
        let accept = move |stream| {
            let tls = tls.clone();
            accept(
                stream,
                tls,
                gate.clone(),
                timeouts,
                open_connections.clone(),
            )
        };
        fn_service(accept).map_err(DispatchError::Io).and_then(http)
    })?;
    Ok(builder.run())
}

/// With or without TLS. A TLS connection is boxed because its state is large.
type Transport = Either<TcpStream, Box<TlsStream<TcpStream>>>;

impl Reset for Transport {
    /// Closing sends a reset (RFC 9293, 3.10.4) and drops data that is not sent yet.
    fn reset(&self) {
        let stream = match self {
            Self::Left(stream) => stream,
            Self::Right(stream) => stream.get_ref().0,
        };
        let socket = socket2::SockRef::from(stream);
        if let Err(error) = socket.set_linger(Some(Duration::ZERO)) {
            tracing::debug!(%error, "cannot reset a connection");
        }
    }
}

/// A connection as the web server takes it.
type Accepted = (
    WithSharedHeaders<Connection<Transport>>,
    Protocol,
    Option<SocketAddr>,
);

/// Does the TLS handshake, if there is TLS, within the time limit of a first request.
async fn accept(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    gate: OptionalGate,
    timeouts: ClientTimeouts,
    open_connections: OpenConnections,
) -> io::Result<Accepted> {
    limit_stall(&stream, timeouts.stall);
    let peer = stream.peer_addr().ok();
    let transport = match tls {
        None => Either::Left(stream),
        Some(tls) => {
            let shaken = timeout(timeouts.first, tls.accept(stream)).await;
            let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let log = |error: &io::Error| tracing::debug!(?peer, %error, "TLS handshake failed");
            Either::Right(Box::new(shaken.inspect_err(log)?))
        }
    };
    let connection = Connection::new(transport, timeouts, open_connections);
    let handle = connection.handle();
    let connection = WithSharedHeaders::new(connection, handle, gate);
    Ok((connection, Protocol::Http1, peer))
}

/// A client that asks before sending a body (`Expect: 100-continue`) is refused.
async fn refuse_expectation(_: Request) -> Result<Request, actix_web::Error> {
    let refusal = HttpResponse::ExpectationFailed().finish();
    Err(actix_web::error::InternalError::from_response("Expect", refusal).into())
}

/// Lets the operating system close a connection whose client acknowledges nothing or has no room for more for this long, and bounds
/// the bytes that are written and not sent yet.
#[cfg(target_os = "linux")]
fn limit_stall(stream: &TcpStream, limit: Duration) {
    let socket = socket2::SockRef::from(stream);
    // In a container the kernel's buffers count as memory of the process.
    if let Err(error) = socket.set_tcp_notsent_lowat(MOST_UNSENT) {
        tracing::debug!(%error, "cannot bound the buffer of a connection");
    }
    if let Err(error) = socket.set_tcp_user_timeout(Some(limit)) {
        tracing::debug!(%error, "cannot set a time-out on a connection");
    }
}

/// Other systems have no such options.
#[cfg(not(target_os = "linux"))]
fn limit_stall(_: &TcpStream, _: Duration) {}
