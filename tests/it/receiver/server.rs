//! The receiver's listener: plain HTTP/1.1 over TCP, with a thread for each connection.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::reply::Fault;
use super::{Request, Shared};

/// A listener that serves until it is stopped.
pub(super) struct Server {
    address: SocketAddr,
    state: Arc<State>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    is_stopped: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

/// Reads a byte at a time, with a pause before each, unless there is none.
struct Paced<'p> {
    connection: &'p TcpStream,
    pace: &'p Pace,
}

/// How fast requests are read.
#[derive(Default)]
pub(super) struct Pace {
    /// The time before each byte.
    pub(super) pause: Mutex<Option<Duration>>,
    /// Whether any byte was read.
    pub(super) has_read: AtomicBool,
}

impl Read for Paced<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let pause = *lock(&self.pace.pause);
        let most = match pause {
            None => buffer.len(),
            Some(pause) => {
                std::thread::sleep(pause);
                1.min(buffer.len())
            }
        };
        let read = self.connection.read(&mut buffer[..most])?;
        self.pace.has_read.store(true, Ordering::SeqCst);
        Ok(read)
    }
}

/// A listener whose connections have small buffers on both sides, so that a client waits for the bytes to be read: its own buffer follows the
/// size of segments.
fn narrow() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(4096)?;
    socket.set_tcp_mss(536)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(128)?;
    Ok(socket.into())
}

impl Server {
    /// Listens on a port of 127.0.0.1; 0 takes a free one.
    pub(super) fn start(port: u16, shared: Arc<Shared>) -> io::Result<Self> {
        Self::serve(TcpListener::bind((Ipv4Addr::LOCALHOST, port))?, shared)
    }

    /// Listens on a free port of 127.0.0.1, with small buffers.
    pub(super) fn start_narrow(shared: Arc<Shared>) -> io::Result<Self> {
        Self::serve(narrow()?, shared)
    }

    fn serve(listener: TcpListener, shared: Arc<Shared>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let state = Arc::<State>::default();
        let of_thread = Arc::clone(&state);
        let thread = std::thread::spawn(move || of_thread.accept(&listener, &shared));
        Ok(Self {
            address,
            state,
            thread,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and all connections.
    pub(super) fn stop(self) {
        self.state.is_stopped.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for a connection.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.join();
        let mut connections = lock(&self.state.connections);
        for connection in connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl State {
    fn accept(&self, listener: &TcpListener, shared: &Arc<Shared>) {
        for connection in listener.incoming() {
            if self.is_stopped.load(Ordering::SeqCst) {
                return;
            }
            let Ok(connection) = connection else { continue };
            let Ok(copy) = connection.try_clone() else {
                continue;
            };
            let mut connections = lock(&self.connections);
            // Those that have ended have no peer.
            connections.retain(|known| known.peer_addr().is_ok());
            connections.push(copy);
            drop(connections);
            let shared = Arc::clone(shared);
            std::thread::spawn(move || {
                // An error is the end of a connection.
                let _ = serve(&connection, &shared);
                let _ = connection.shutdown(Shutdown::Both);
            });
        }
    }
}

/// Serves the requests of a connection until its end.
fn serve(connection: &TcpStream, shared: &Shared) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let pace = &shared.pace;
    let mut reader = BufReader::new(Paced { connection, pace });
    while let Some(request) = read(&mut reader)? {
        let outgoing = shared.receive(request);
        if !send(connection, &outgoing.bytes, outgoing.fault)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Sends the bytes of a reply. Returns whether the connection stays open.
fn send(mut connection: &TcpStream, bytes: &[u8], fault: Fault) -> io::Result<bool> {
    match fault {
        Fault::None => connection.write_all(bytes)?,
        Fault::Trickle(pause) => {
            for byte in bytes {
                connection.write_all(std::slice::from_ref(byte))?;
                std::thread::sleep(pause);
            }
        }
        Fault::CloseAt(length) => {
            connection.write_all(&bytes[..length.min(bytes.len())])?;
            return Ok(false);
        }
        Fault::HangAt(length) => {
            connection.write_all(&bytes[..length.min(bytes.len())])?;
            // Until the client closes the connection, or the receiver is stopped.
            while connection.read(&mut [0; 1024])? > 0 {}
            return Ok(false);
        }
    }
    Ok(true)
}

/// The next request; `None` at the end of the connection between two requests.
fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut parts = line.split(' ');
    let method = parts.next().unwrap_or_default().to_owned();
    let target = parts.next().unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length");
    let length = length.and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    Ok(Some(Request::new(method, target, headers, body)))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
