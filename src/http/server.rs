//! The web server: its threads, and what a connection may cost.

use std::any::Any;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

#[cfg(target_os = "linux")]
use actix_rt::net::TcpStream;
use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tracing_actix_web::TracingLogger;

use super::{RequestSpan, State, routes};

/// More workers than this do not make scrapes faster.
const MOST_WORKERS: usize = 4;

/// Answers whoever connects to the listener. A client that takes nothing for `stall_limit` is cut; at the end requests that are open
/// have `last_words` left.
///
/// # Errors
/// What the operating system says against listening.
pub fn serve(
    listener: TcpListener,
    state: &web::Data<State>,
    stall_limit: Duration,
    last_words: Duration,
) -> io::Result<Server> {
    let state = state.clone();
    let app = move || {
        App::new()
            .app_data(state.clone())
            .wrap(TracingLogger::<RequestSpan>::new())
            .configure(routes)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let server = HttpServer::new(app)
        .workers(cores.min(MOST_WORKERS))
        .on_connect(move |connection, _| limit_stall(connection, stall_limit))
        .disable_signals()
        .shutdown_timeout(last_words.as_secs())
        .listen(listener)?;
    Ok(server.run())
}

/// Has the operating system end a connection whose client acknowledges nothing, or makes no room for more, for so long.
#[cfg(target_os = "linux")]
fn limit_stall(connection: &dyn Any, limit: Duration) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else {
        return;
    };
    if let Err(cause) = SockRef::from(stream).set_tcp_user_timeout(Some(limit)) {
        tracing::warn!(%cause, "a connection stays without a time-out");
    }
}

/// Other systems have no such limit.
#[cfg(not(target_os = "linux"))]
fn limit_stall(_: &dyn Any, _: Duration) {}
