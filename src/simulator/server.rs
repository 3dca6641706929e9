//! The listener and its thread, started by `plug` and stopped by `unplug`, while the service's state is kept.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use actix_web::{App, HttpServer, dev::ServerHandle, http::KeepAlive, rt::net::TcpStream, web};

use super::{
    SimulatorError,
    connection::{Connection, Connections},
    management::management,
    service::{Service, routes},
};

/// The keep-alive time: longer than any pause between polls, so that connections are closed only if a test does it.
const IDLE_TIME: Duration = Duration::from_secs(75);

/// The largest body of a request, so that requests with unusual bodies are recorded too.
const LARGEST_BODY: usize = 64 << 20;

/// A listener that serves.
pub(super) struct Server {
    address: SocketAddr,
    handle: ServerHandle,
    connections: Arc<Connections>,
    thread: JoinHandle<()>,
}

impl Server {
    /// Listens on a port of 127.0.0.1 and serves on a separate thread with its own actix system.
    pub(super) fn start(port: u16, service: Arc<Service>) -> Result<Self, SimulatorError> {
        let listen = |source| SimulatorError::Listen { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let connections = Arc::new(Connections::default());

        let (sender, receiver) = mpsc::channel();
        let registry = Arc::clone(&connections);
        let thread = thread::Builder::new()
            .name("simulator".to_owned())
            .spawn(move || {
                actix_rt::System::new().block_on(async move {
                    match serve(listener, service, registry) {
                        Ok(server) => {
                            // There is no receiver if `start` has failed.
                            let _ = sender.send(Ok(server.handle()));
                            let _ = server.await;
                        }
                        Err(error) => {
                            let _ = sender.send(Err(error));
                        }
                    }
                });
            })
            .map_err(SimulatorError::Start)?;
        let handle = receiver
            .recv()
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(SimulatorError::Start)?;
        Ok(Self {
            address,
            handle,
            connections,
            thread,
        })
    }

    /// Its address.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections and the listener.
    pub(super) fn stop(self) {
        self.connections.close();
        // The command is sent when this returns. Instead of its reply, the end of the thread is awaited.
        drop(self.handle.stop(false));
        // If the thread panicked, its connections are closed too.
        let _ = self.thread.join();
    }
}

fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    connections: Arc<Connections>,
) -> std::io::Result<actix_web::dev::Server> {
    let data = web::Data::from(service);
    let app = move || {
        App::new()
            .app_data(data.clone())
            .app_data(web::PayloadConfig::new(LARGEST_BODY))
            .configure(routes)
            .default_service(web::to(management))
    };
    let server = HttpServer::new(app)
        .workers(1)
        .keep_alive(KeepAlive::Timeout(IDLE_TIME))
        .disable_signals()
        .on_connect(move |socket, data| {
            let socket = socket.downcast_ref::<TcpStream>();
            if let Some(connection) = socket.and_then(Connection::of) {
                connections.add(&connection);
                data.insert(connection);
            }
        })
        .listen(listener)?
        .run();
    Ok(server)
}
