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
/// It lives in the connection's data and ends with it, for a socket that has a handle left stays open.
#[derive(Debug, Clone)]
pub(super) struct Connection(Arc<TcpStream>);

impl Connection {
    /// A handle of the same socket; none when the process has no file descriptor left.
    pub(super) fn of(socket: &impl AsFd) -> Option<Self> {
        let handle = socket.as_fd().try_clone_to_owned().ok()?;
        Some(Self(Arc::new(handle.into())))
    }

    /// Ends the connection in both directions, after what has been written.
    pub(super) fn close(&self) {
        // An error means that it is closed already.
        let _ = self.0.shutdown(Shutdown::Both);
    }

    /// Whether the client has closed its side.
    ///
    /// actix-web lets a handler run on when the client is gone; but it polls the handler when the end of the stream
    /// arrives, which is when this is asked.
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
    /// Takes a new connection in; closes it at once when all are closed.
    pub(super) fn add(&self, connection: &Connection) {
        let mut registry = lock(&self.0);
        if registry.is_closed {
            connection.close();
        }
        registry.open.retain(|open| open.strong_count() > 0);
        registry.open.push(Arc::downgrade(&connection.0));
    }

    /// Closes all, and all that come later.
    pub(super) fn close(&self) {
        let mut registry = lock(&self.0);
        registry.is_closed = true;
        for connection in registry.open.drain(..).filter_map(|open| open.upgrade()) {
            Connection(connection).close();
        }
    }
}
