//! Scripted replies of the receiver, with their faults.

use std::time::Duration;

/// The reply to a request.
///
/// Constructors give a whole reply to a request that is not stored; methods change it.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Whether the request is stored, as far as the model accepts it.
    pub(super) is_stored: bool,
    /// `None`: the response of the model.
    pub(super) response: Option<Response>,
    /// What is sent instead of a response.
    pub(super) raw: Option<Vec<u8>>,
    pub(super) fault: Fault,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// How the bytes of a reply are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// After so many bytes nothing follows, and the connection stays open.
    HangAt(usize),
    /// The connection is closed after so many bytes.
    CloseAt(usize),
    /// Each byte is sent after this time.
    Trickle(Duration),
}

impl Response {
    /// A response without headers of its own.
    pub fn new(status: u16, body: &str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The bytes on the wire.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let Self {
            status,
            headers,
            body,
        } = self;
        let mut text = format!("HTTP/1.1 {status} Status\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        // 204 has no body, and so no length.
        if *status != 204 {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        if *status != 204 {
            text.push_str(body);
        }
        text.into_bytes()
    }
}

impl Reply {
    /// The model decides.
    pub fn ordinary() -> Self {
        Self {
            is_stored: true,
            response: None,
            raw: None,
            fault: Fault::None,
        }
    }

    /// A response to a request that is not stored.
    pub fn status(status: u16, body: &str) -> Self {
        Self {
            is_stored: false,
            response: Some(Response::new(status, body)),
            ..Self::ordinary()
        }
    }

    /// A redirect to another URL.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::status(status, "").header("Location", location)
    }

    /// These bytes instead of a response, and then the end of the connection.
    pub fn garbage(bytes: &[u8]) -> Self {
        Self {
            is_stored: false,
            raw: Some(bytes.to_vec()),
            fault: Fault::CloseAt(bytes.len()),
            ..Self::ordinary()
        }
    }

    /// Adds a header to a response.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.response = self.response.map(|response| response.header(name, value));
        self
    }

    /// Stores the request nevertheless, as far as the model accepts it.
    pub fn but_stored(mut self) -> Self {
        self.is_stored = true;
        self
    }

    /// Sends nothing after so many bytes, and leaves the connection open.
    pub fn hang_at(mut self, bytes: usize) -> Self {
        self.fault = Fault::HangAt(bytes);
        self
    }

    /// Closes the connection after so many bytes.
    pub fn close_at(mut self, bytes: usize) -> Self {
        self.fault = Fault::CloseAt(bytes);
        self
    }

    /// Sends one byte at a time.
    pub fn trickle(mut self, pause: Duration) -> Self {
        self.fault = Fault::Trickle(pause);
        self
    }
}
