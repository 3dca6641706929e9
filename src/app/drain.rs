//! The drain at shutdown: no further polls and no new connections, and a limited time for what is in progress.

use std::future::Future;

use actix::MailboxError;
use actix_web::dev::ServerHandle;
use futures_util::future::{join, join_all};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

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
    use std::time::Duration;

    use actix_rt::net::TcpStream as Accepted;
    use actix_server::Server;
    use actix_service::fn_service;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[actix_rt::test]
    async fn an_http_thread_that_hangs_does_not_hold_up_the_end() {
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
        let drained = timeout(PATIENCE, drain(ready(Ok(())), &[handle], deadline)).await;
        drop(release);
        assert!(drained.is_ok());
    }
}
