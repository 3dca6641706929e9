//! A receiver of remote write on loopback, which is independent of the service: it stores samples as real receivers do, remembers every
//! request, and plays scripted replies.

mod message;
mod reply;
mod server;
mod store;
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::message::{Message, Metadata, Protocol, STALE, Series, text};
use self::reply::Fault;
pub use self::reply::{Reply, Response};
use self::server::{Pace, Server};
pub use self::store::{Model, Samples, Store, Version2, milliseconds};
use crate::harness::eventually;

/// A running receiver, which ends when it is dropped.
pub struct Receiver {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: Mutex<Option<Server>>,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Its content, or why it cannot be read.
    pub message: Result<Arc<Message>, String>,
    /// The status of the reply, unless it is none.
    pub status: Option<u16>,
}

/// What the connections share.
struct Shared {
    state: Mutex<State>,
    pace: Pace,
}

struct State {
    store: Store,
    requests: Vec<Request>,
    script: VecDeque<Reply>,
    default: Option<Reply>,
    rule: Option<Rule>,
}

/// Gives replies to some requests.
type Rule = Box<dyn FnMut(&Request) -> Option<Reply> + Send>;

/// The bytes of a reply.
struct Outgoing {
    bytes: Vec<u8>,
    fault: Fault,
}

impl Request {
    fn new(
        method: String,
        target: String,
        headers: BTreeMap<String, String>,
        body: Vec<u8>,
    ) -> Self {
        let message = Message::read(&|name| headers.get(name).cloned(), &body);
        Self {
            method,
            target,
            headers,
            message: message.map(Arc::new),
            status: None,
        }
    }

    /// The value of a header, with its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Its protocol, if it can be read.
    pub fn protocol(&self) -> Option<Protocol> {
        let message = self.message.as_ref().ok();
        message.map(|message| message.protocol)
    }

    /// Its series; none if it cannot be read.
    pub fn series(&self) -> &[Series] {
        self.message.as_ref().map_or(&[], |message| &message.series)
    }

    /// The number of its samples.
    pub fn samples(&self) -> usize {
        let series = self.series().iter();
        series.map(|series| series.samples.len()).sum()
    }

    /// Whether it holds series of devices, and not only the exporter's own ones.
    pub fn has_rows(&self) -> bool {
        self.series().iter().any(|series| !is_own(&series.text))
    }
}

/// Whether a series is one of the sets that the exporter sends about itself.
pub fn is_own(series: &str) -> bool {
    series.contains("instance=\"")
}

impl Shared {
    fn new(model: Model) -> Arc<Self> {
        let state = State {
            store: Store::new(model),
            requests: Vec::new(),
            script: VecDeque::new(),
            default: None,
            rule: None,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            pace: Pace::default(),
        })
    }

    /// Handles a request: what is to be sent.
    fn receive(&self, mut request: Request) -> Outgoing {
        let mut state = lock(&self.state);
        let state = &mut *state;
        let ruled = state.rule.as_mut().and_then(|rule| rule(&request));
        let reply = ruled
            .or_else(|| state.script.pop_front())
            .or_else(|| state.default.clone())
            .unwrap_or_else(Reply::ordinary);
        let modelled = match &request.message {
            _ if !reply.is_stored => None,
            Ok(message) => Some(state.store.write(message)),
            Err(error) => Some(Response::new(400, error)),
        };
        let response = reply.response.or(modelled);
        let (status, bytes) = match (reply.raw, response) {
            (Some(raw), _) => (None, raw),
            (None, Some(response)) => (Some(response.status), response.bytes()),
            (None, None) => (None, Vec::new()),
        };
        request.status = status;
        state.requests.push(request);
        Outgoing {
            bytes,
            fault: reply.fault,
        }
    }
}

impl Receiver {
    /// Listens on a free port of 127.0.0.1.
    pub fn start(model: Model) -> Self {
        let shared = Shared::new(model);
        let server = Server::start(0, Arc::clone(&shared)).unwrap();
        Self::serving(server, shared)
    }

    /// Reads requests a byte at a time, with this pause before each, until [`Self::hasten`]. Senders wait for that, because the buffers of
    /// connections are small.
    pub fn slow(model: Model, pause: Duration) -> Self {
        let shared = Shared::new(model);
        *lock(&shared.pace.pause) = Some(pause);
        let server = Server::start_narrow(Arc::clone(&shared)).unwrap();
        Self::serving(server, shared)
    }

    fn serving(server: Server, shared: Arc<Shared>) -> Self {
        Self {
            address: server.address(),
            server: Mutex::new(Some(server)),
            shared,
        }
    }

    /// Reads requests at once from now on.
    pub fn hasten(&self) {
        *lock(&self.shared.pace.pause) = None;
    }

    /// Whether any byte of a request was read.
    pub fn is_reading(&self) -> bool {
        self.shared.pace.has_read.load(Ordering::SeqCst)
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The setting `REMOTE_WRITE_URL`.
    pub fn url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    /// Closes the listener and all connections. What is stored stays.
    pub fn unplug(&self) {
        let server = lock(&self.server).take();
        if let Some(server) = server {
            server.stop();
        }
    }

    /// Listens again on the same port.
    pub fn plug(&self) {
        let mut server = lock(&self.server);
        if server.is_none() {
            let started = Server::start(self.address.port(), Arc::clone(&self.shared));
            *server = Some(started.unwrap());
        }
    }

    /// Queues the reply to a later request. Each is sent once, in order.
    pub fn push(&self, reply: Reply) {
        lock(&self.shared.state).script.push_back(reply);
    }

    /// Sets the reply to every request while none is queued. `None`: the model's.
    pub fn set_default(&self, reply: Option<Reply>) {
        lock(&self.shared.state).default = reply;
    }

    /// Sets a rule that gives replies to some requests, before the script.
    pub fn set_rule(&self, rule: impl FnMut(&Request) -> Option<Reply> + Send + 'static) {
        lock(&self.shared.state).rule = Some(Box::new(rule));
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.state).requests.clone()
    }

    /// The requests with rows of devices.
    pub fn requests_with_rows(&self) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(Request::has_rows);
        requests
    }

    /// A copy of what is stored.
    pub fn store(&self) -> Store {
        lock(&self.shared.state).store.clone()
    }

    /// Looks at what is stored.
    pub fn with_store<T>(&self, look: impl FnOnce(&Store) -> T) -> T {
        look(&lock(&self.shared.state).store)
    }

    /// Waits until what is stored fulfils a condition.
    pub async fn stores(&self, what: &str, wanted: impl Fn(&Store) -> bool) {
        eventually(what, || std::future::ready(self.with_store(&wanted))).await;
    }

    /// Waits until the requests fulfil a condition.
    pub async fn gets(&self, what: &str, wanted: impl Fn(&[Request]) -> bool) {
        let holds = || wanted(&lock(&self.shared.state).requests);
        eventually(what, || std::future::ready(holds())).await;
    }

    /// What no sender may do: requests that cannot be read or violate the specification, and samples with two values at one time.
    pub fn violations(&self) -> Vec<String> {
        let state = lock(&self.shared.state);
        let mut violations = Vec::new();
        for request in &state.requests {
            match &request.message {
                Ok(message) => violations.extend(message.violations.iter().cloned()),
                Err(error) => violations.push(error.clone()),
            }
            if request.method != "POST" {
                violations.push(format!("the method {}", request.method));
            }
        }
        let conflicts = state.store.conflicts.iter();
        violations.extend(conflicts.map(|conflict| format!("two values: {conflict:?}")));
        violations
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.unplug();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
