//! The reference for scrapes: an actix-web server that sends prepared bytes.

use std::io::Error;
use std::net::{SocketAddr, TcpListener};

use actix_web::{App, HttpResponse, HttpServer, web};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::oneshot;

/// The size of a chunk.
const CHUNK: usize = 64 * 1024;

/// A server that responds to `/buffer` with the bytes in one buffer, and to all other paths with the same bytes in chunks.
pub struct ReadyServer {
    /// Its address.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl ReadyServer {
    /// Serves `body` with as many workers as the service has.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(body: Bytes) -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let server = move || {
            let body = web::Data::new(body.clone());
            App::new()
                .app_data(body)
                .route("/buffer", web::get().to(buffer))
                .default_service(web::get().to(chunks))
        };
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_rt::System::new().block_on(async move {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                let server = HttpServer::new(server).workers(cores.min(4));
                let Ok(server) = server.disable_signals().listen(listener) else {
                    return;
                };
                // Sending fails only if the process is about to end.
                let _ = sender.send(());
                tokio::select! {
                    _ = server.run() => {}
                    _ = stopped => {}
                }
            });
        });
        receiver.recv().map_err(Error::other)?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for ReadyServer {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // The result of the thread is not needed.
            let _ = thread.join();
        }
    }
}

async fn buffer(body: web::Data<Bytes>) -> HttpResponse {
    HttpResponse::Ok().body(Bytes::clone(&body))
}

async fn chunks(body: web::Data<Bytes>) -> HttpResponse {
    let starts = (0..body.len()).step_by(CHUNK);
    let chunk = move |start: usize| {
        let end = body.len().min(start + CHUNK);
        Ok::<_, Error>(body.slice(start..end))
    };
    HttpResponse::Ok().streaming(stream::iter(starts.map(chunk)))
}
