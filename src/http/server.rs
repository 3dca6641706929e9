//! The web server: its threads, and what a connection may cost.
//!
//! Built of the parts that actix-web's own `HttpServer` is built of, because that one takes no connections but its own: ours
//! have limits of time that hold for every request of a connection.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_http::{HttpService, Protocol, Request};
use actix_rt::net::TcpStream;
use actix_server::Server;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, web};
use tracing_actix_web::TracingLogger;

use super::connection::{Connection, Patience};
use super::open_files;
use super::refusals::refuse_bodies;
use super::{RequestSpan, State, routes};

/// More workers than this do not make scrapes faster.
const MOST_WORKERS: usize = 4;

/// The most connections that are open at once, if the operating system lets us have them. Further ones wait to be accepted.
pub const MOST_CONNECTIONS: usize = 16 * 1024;

/// Answers whoever connects to the listener, with this much patience. At the end requests that are open have `last_words` left.
///
/// # Errors
/// What the operating system says against listening.
pub fn serve(
    listener: TcpListener,
    state: &web::Data<State>,
    patience: Patience,
    last_words: Duration,
) -> io::Result<Server> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = cores.min(MOST_WORKERS);
    let connections = open_files::connections().min(MOST_CONNECTIONS);
    let builder = Server::build()
        .workers(workers)
        .max_concurrent_connections(connections.div_ceil(workers))
        .disable_signals()
        .shutdown_timeout(last_words.as_secs());
    let shutdown = builder.graceful_shutdown_signal();
    let state = state.clone();
    let builder = builder.listen("metrics", listener, move || {
        let app = App::new()
            .app_data(state.clone())
            .wrap(from_fn(refuse_bodies))
            .wrap(TracingLogger::<RequestSpan>::new())
            .configure(routes);
        let app = map_config(app.into_factory(), |()| AppConfig::default());
        let shutdown = shutdown.clone();
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let shutdown = shutdown.clone();
                async move { shutdown.notified().await }
            })
            .client_request_timeout(patience.first)
            .keep_alive(patience.idle)
            .client_disconnect_timeout(patience.goodbye)
            .on_connect_ext(|connection: &Connection<_>, data| {
                data.insert(connection.last_answer());
            })
            .expect(fn_service(refuse_expectation))
            .finish(app);
        fn_service(move |stream| ready(accept(stream, patience)))
            .map_err(|never| match never {})
            .and_then(http)
    })?;
    Ok(builder.run())
}

/// What the web server takes for a connection.
type Accepted<T> = (Connection<T>, Protocol, Option<std::net::SocketAddr>);

fn accept(stream: TcpStream, patience: Patience) -> Result<Accepted<TcpStream>, Infallible> {
    limit_stall(&stream, patience.stall);
    let peer = stream.peer_addr().ok();
    let connection = Connection::new(stream, patience);
    Ok((connection, Protocol::Http1, peer))
}

/// Whoever asks before sending a body is told to keep it.
async fn refuse_expectation(_: Request) -> Result<Request, actix_web::Error> {
    let refusal = HttpResponse::ExpectationFailed().finish();
    Err(actix_web::error::InternalError::from_response("Expect", refusal).into())
}

/// Has the operating system end a connection whose client acknowledges nothing, or makes no room for more, for so long: also
/// what has been written and is still on its way.
#[cfg(target_os = "linux")]
fn limit_stall(stream: &TcpStream, limit: Duration) {
    let socket = socket2::SockRef::from(stream);
    if let Err(cause) = socket.set_tcp_user_timeout(Some(limit)) {
        tracing::warn!(%cause, "a connection stays without a time-out");
    }
}

/// Other systems have no such limit.
#[cfg(not(target_os = "linux"))]
fn limit_stall(_: &TcpStream, _: Duration) {}
