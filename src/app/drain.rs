//! The shutdown: its time limits, and the drain (no further polls and connections, and a limited time for those in progress).

use std::future::Future;
use std::time::Duration;

use actix::MailboxError;
use actix_web::dev::ServerHandle;
use futures_util::future::{join, join_all};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

/// How long `/readyz` announces the shutdown while everything still works.
pub(super) const LAME_DUCK: Duration = Duration::from_secs(1);

/// The time limit of the shutdown, after which the process ends.
pub(super) const END: Duration = Duration::from_millis(4_800);

/// How long open scrapes and an arriving answer may continue after [`LAME_DUCK`].
pub(super) const DRAIN_LIMIT: Duration = Duration::from_secs(3);

/// The time reserved for the last write of the state file after the drain.
pub(super) const SAVING: Duration = Duration::from_millis(500);

/// The documented limit of the shutdown in milliseconds.
const PROMISED: u128 = 5_000;

const _: () = assert!(
    LAME_DUCK.as_millis() + DRAIN_LIMIT.as_millis() + SAVING.as_millis() < END.as_millis()
        && END.as_millis() < PROMISED,
    "the last write of the state file has its time after the drain, and the process ends as promised"
);

/// Stops accepting connections, and waits for open requests and the last poll until `deadline`. The server itself waits for its threads
/// without a limit; a thread that does not respond ends with the process.
pub(super) async fn drain(
    poll: impl Future<Output = Result<(), MailboxError>>,
    servers: &[ServerHandle],
    deadline: Instant,
) {
    let servers = join_all(servers.iter().map(|server| server.stop(true)));
    let servers = async {
        if timeout_at(deadline, servers).await.is_err() {
            warn!("HTTP threads did not finish before shutdown: their requests are aborted");
        }
    };
    let poll = async {
        if let Ok(Ok(())) | Ok(Err(MailboxError::Closed)) = timeout_at(deadline, poll).await {
            return;
        }
        warn!("the last answer was not stored before shutdown: its rows are lost");
    };
    join(servers, poll).await;
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::sync::{Arc, Mutex, PoisonError, mpsc};

    use actix_rt::net::TcpStream as Accepted;
    use actix_server::Server;
    use actix_service::fn_service;
    use tokio::time::timeout;

    use super::*;

    const TIME_LIMIT: Duration = Duration::from_secs(30);

    #[actix_rt::test]
    async fn an_http_thread_that_hangs_does_not_delay_the_end() {
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let (hang, mut hangs) = tokio::sync::mpsc::unbounded_channel();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::build()
            .workers(1)
            .disable_signals()
            .shutdown_timeout(1)
            .listen("hangs", listener, move || {
                let (hang, held) = (hang.clone(), Arc::clone(&held));
                fn_service(move |_: Accepted| {
                    hang.send(()).unwrap();
                    let held = held.lock().unwrap_or_else(PoisonError::into_inner);
                    // Ends with an error when the test does.
                    let _ = held.recv();
                    ready(Ok::<(), ()>(()))
                })
            })
            .unwrap()
            .run();
        let handle = server.handle();
        actix_rt::spawn(server);
        let _client = TcpStream::connect(address).unwrap();
        assert!(hangs.recv().await.is_some());
        let deadline = Instant::now() + Duration::from_millis(100);
        let drained = timeout(TIME_LIMIT, drain(ready(Ok(())), &[handle], deadline)).await;
        drop(release);
        assert!(drained.is_ok());
    }
}
