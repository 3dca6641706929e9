//! The web server: its threads, and what a connection may cost.
//!
//! Built of the parts that actix-web's own `HttpServer` is built of, because that one takes no connections but its own: ours
//! have limits of time that hold for every request of a connection.

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

use super::admission::{Doorkeeper, admit};
use super::connection::{Company, Connection, Patience, Reset};
use super::finish::finish;
use super::hosts::check_host;
use super::library_responses::Completed;
use super::open_files;
use super::refusals::refuse_bodies;
use super::{RequestSpan, Routes, State, probe_routes};
use crate::web_config::Gate;

/// More workers than this do not make scrapes faster.
const MOST_WORKERS: usize = 4;

/// The most connections that are open at once, if the operating system lets us have them. Further ones wait to be accepted.
pub const MOST_CONNECTIONS: usize = 16 * 1024;

/// The most connections of the probes' own listener. Its users are few: kubelets, load balancers.
pub const MOST_PROBES: usize = 256;

/// So many bytes of a connection wait in the operating system for its client.
#[cfg(target_os = "linux")]
const MOST_UNSENT: u32 = 128 * 1024;

/// What a listener answers.
#[derive(Debug, Clone)]
pub enum Site {
    /// These paths, to whom the gate lets in if there is one.
    Everything(Option<Arc<Gate>>, Routes),
    /// The probes, to everybody, from a thread that nobody else uses.
    Probes,
}

impl Site {
    fn workers(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        match self {
            Self::Everything(..) => cores.min(MOST_WORKERS),
            Self::Probes => 1,
        }
    }

    fn connections(&self) -> usize {
        match self {
            Self::Everything(..) => open_files::connections().min(MOST_CONNECTIONS),
            Self::Probes => MOST_PROBES,
        }
    }

    /// Few connections are not to be held by who says nothing: a probe's is closed soon.
    fn patience(&self, patience: Patience) -> Patience {
        match self {
            Self::Everything(..) => patience,
            Self::Probes => Patience {
                idle: patience.first,
                ..patience
            },
        }
    }

    fn gate(&self) -> Doorkeeper {
        match self {
            Self::Everything(gate, _) => gate.clone(),
            Self::Probes => None,
        }
    }

    fn routes(&self) -> Routes {
        match self {
            Self::Everything(_, routes) => *routes,
            Self::Probes => probe_routes,
        }
    }
}

/// Answers whoever connects to the listener, with this much patience. At the end requests that are open have `last_words` left.
///
/// # Errors
/// What the operating system says against listening.
pub fn serve(
    listener: TcpListener,
    site: &Site,
    state: &web::Data<State>,
    patience: Patience,
    last_words: Duration,
) -> io::Result<Server> {
    let patience = site.patience(patience);
    let workers = site.workers();
    let connections = site.connections();
    let routes = site.routes();
    let gate = site.gate();
    let doorkeeper = web::Data::new(gate.clone());
    let tls = gate.as_ref().and_then(|gate| gate.tls());
    let tls = tls.map(|config| TlsAcceptor::from(Arc::clone(config)));
    let builder = Server::build()
        .workers(workers)
        .max_concurrent_connections(connections.div_ceil(workers))
        .disable_signals()
        .shutdown_timeout(last_words.as_secs());
    let shutdown = builder.graceful_shutdown_signal();
    let state = state.clone();
    let company = Company::default();
    let builder = builder.listen("web", listener, move || {
        let app = App::new()
            .app_data(state.clone())
            .app_data(doorkeeper.clone())
            .wrap(from_fn(admit))
            .wrap(from_fn(check_host))
            .wrap(from_fn(refuse_bodies))
            .wrap(from_fn(finish))
            .wrap(TracingLogger::<RequestSpan>::new())
            .configure(routes);
        let app = map_config(app.into_factory(), |()| AppConfig::default());
        let shutdown = shutdown.clone();
        let gate = gate.clone();
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let shutdown = shutdown.clone();
                async move { shutdown.notified().await }
            })
            .client_request_timeout(patience.first)
            .keep_alive(patience.idle)
            .client_disconnect_timeout(patience.goodbye)
            .on_connect_ext(|connection: &Completed<_>, data| {
                data.insert(connection.line());
            })
            .expect(fn_service(refuse_expectation))
            .finish(app);
        let (tls, company) = (tls.clone(), company.clone());
        let accept = move |stream| {
            let tls = tls.clone();
            accept(stream, tls, gate.clone(), patience, company.clone())
        };
        fn_service(accept).map_err(DispatchError::Io).and_then(http)
    })?;
    Ok(builder.run())
}

/// With TLS or without. Boxed, for most of a TLS connection is its state.
type Transport = Either<TcpStream, Box<TlsStream<TcpStream>>>;

impl Reset for Transport {
    /// Closing sends a reset in the place of an end (RFC 9293, 3.10.4), and what is not sent yet is dropped.
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

/// What the web server takes for a connection.
type Accepted = (
    Completed<Connection<Transport>>,
    Protocol,
    Option<SocketAddr>,
);

/// Shakes hands, where TLS is spoken, for as long as a client may take for a request.
async fn accept(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    doorkeeper: Doorkeeper,
    patience: Patience,
    company: Company,
) -> io::Result<Accepted> {
    limit_stall(&stream, patience.stall);
    let peer = stream.peer_addr().ok();
    let transport = match tls {
        None => Either::Left(stream),
        Some(tls) => {
            let shaken = timeout(patience.first, tls.accept(stream)).await;
            let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let told = |error: &io::Error| tracing::debug!(?peer, %error, "TLS handshake failed");
            Either::Right(Box::new(shaken.inspect_err(told)?))
        }
    };
    let connection = Connection::new(transport, patience, company);
    let line = connection.line();
    let connection = Completed::new(connection, line, doorkeeper);
    Ok((connection, Protocol::Http1, peer))
}

/// Whoever asks before sending a body is told to keep it.
async fn refuse_expectation(_: Request) -> Result<Request, actix_web::Error> {
    let refusal = HttpResponse::ExpectationFailed().finish();
    Err(actix_web::error::InternalError::from_response("Expect", refusal).into())
}

/// Has the operating system end a connection whose client acknowledges nothing, or makes no room for more, for so long: also
/// what has been written and is still on its way. And bounds how much that is.
#[cfg(target_os = "linux")]
fn limit_stall(stream: &TcpStream, limit: Duration) {
    let socket = socket2::SockRef::from(stream);
    // The kernel's buffer counts as the process's memory in a container.
    if let Err(error) = socket.set_tcp_notsent_lowat(MOST_UNSENT) {
        tracing::debug!(%error, "cannot bound the buffer of a connection");
    }
    if let Err(error) = socket.set_tcp_user_timeout(Some(limit)) {
        tracing::debug!(%error, "cannot set a time-out on a connection");
    }
}

/// Other systems have no such limit.
#[cfg(not(target_os = "linux"))]
fn limit_stall(_: &TcpStream, _: Duration) {}
