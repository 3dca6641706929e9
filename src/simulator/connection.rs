//! The sockets below actix-web: can be closed at any byte, detect that a client has disconnected, and can all be cut.

use std::{
    io::ErrorKind,
    net::{Shutdown, TcpStream},
    os::fd::AsFd,
    sync::{Arc, Mutex, Weak},
};

use super::lock;

/// A second handle of a connection's socket, which is non-blocking.
///
/// It is stored in the connection's data and dropped with it, because a socket with a remaining handle stays open.
#[derive(Debug, Clone)]
pub(super) struct Connection(Arc<TcpStream>);

impl Connection {
    /// A handle of the same socket; `None` if the process has no file descriptor left.
    pub(super) fn of(socket: &impl AsFd) -> Option<Self> {
        let handle = socket.as_fd().try_clone_to_owned().ok()?;
        Some(Self(Arc::new(handle.into())))
    }

    /// Ends the connection in both directions, after the data that was written.
    pub(super) fn close(&self) {
        // An error means that it is closed already.
        let _ = self.0.shutdown(Shutdown::Both);
    }

    /// Whether the client has closed its side.
    ///
    /// actix-web does not cancel a handler when the client disconnects, but polls it when the end of the stream
    /// arrives, which is when this is called.
    pub(super) fn is_gone(&self) -> bool {
        match self.0.peek(&mut [0]) {
            Ok(bytes) => bytes == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// All connections of a listener, to be closed together.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<Registry>);

#[derive(Debug, Default)]
struct Registry {
    is_closed: bool,
    open: Vec<Weak<TcpStream>>,
}

impl Connections {
    /// Adds a new connection; closes it immediately if all are closed.
    pub(super) fn add(&self, connection: &Connection) {
        let mut registry = lock(&self.0);
        if registry.is_closed {
            connection.close();
        }
        registry.open.retain(|open| open.strong_count() > 0);
        registry.open.push(Arc::downgrade(&connection.0));
    }

    /// Closes all connections, and each later one as soon as it is added.
    pub(super) fn close(&self) {
        let mut registry = lock(&self.0);
        registry.is_closed = true;
        for connection in registry.open.drain(..).filter_map(|open| open.upgrade()) {
            Connection(connection).close();
        }
    }
}
