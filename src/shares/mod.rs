//! Shares a limited resource (slots, bytes) fairly among HTTP clients, with a bounded queue.
//!
//! A client may hold at most a quarter of the units, and after a grant at most as many as stay free. The share of each client
//! shrinks as the number of clients grows, and some units stay free for a client that holds none. This is the dynamic threshold of
//! Choudhury and Hahne ("Dynamic queue length thresholds for shared-memory packet switches", 1998).

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// A client: an IPv4 address, or an IPv6 network of 64 bits, from which a single host can choose its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client(IpAddr);

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        })
    }
}

/// The limits of a [`Shares`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The units of all clients together.
    pub units: usize,
    /// The most units of one client. A client may also never hold more than stay free.
    pub units_each: usize,
    /// The most waiting requests.
    pub waiting: usize,
    /// The most waiting requests of one client.
    pub waiting_each: usize,
}

impl Limits {
    /// Limits with a quarter of the units and of the waiting requests for each client.
    #[must_use]
    pub const fn quartered(units: usize, waiting: usize) -> Self {
        Self {
            units,
            units_each: quarter(units),
            waiting,
            waiting_each: quarter(waiting),
        }
    }
}

const fn quarter(whole: usize) -> usize {
    match whole {
        0..8 => whole.div_ceil(4),
        _ => whole / 4,
    }
}

/// The order of the requests of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Before its other requests.
    First,
    /// After its other requests.
    Last,
}

/// The queue is full, or the request was displaced from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests are waiting")]
pub struct QueueFull;

/// The resource. Clones share it.
#[derive(Debug, Clone)]
pub struct Shares(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    limits: Limits,
    free: usize,
    /// The clients that hold units or wait for them.
    clients: HashMap<Client, ClientState>,
    queue: Vec<Waiting>,
    /// The last number given to a request or a grant.
    last_number: u64,
    /// The number of the last grant.
    last_grant: u64,
}

#[derive(Debug)]
struct ClientState {
    held: usize,
    waiting: usize,
    /// The number of the client's last grant.
    last_grant: u64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    client: Client,
    units: usize,
    rank: Rank,
    granted: oneshot::Sender<Share>,
}

/// Units that a client holds. They are returned when this is dropped, on any thread.
pub struct Share {
    shares: Shares,
    client: Client,
    units: usize,
}

impl fmt::Debug for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} units of {:?}", self.units, self.client)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let granted = {
            let mut state = self.shares.lock();
            state.free += self.units;
            if let Some(entry) = state.clients.get_mut(&self.client) {
                entry.held -= self.units;
            }
            state.forget(self.client);
            state.grant(&self.shares)
        };
        send(granted);
    }
}

/// Sends granted shares. Called without the lock, because a share whose request was cancelled is dropped here, which locks.
fn send(granted: Vec<(oneshot::Sender<Share>, Share)>) {
    for (waiting, share) in granted {
        drop(waiting.send(share));
    }
}

/// Removes a request from the queue when its future is dropped.
struct QueueGuard<'s> {
    shares: &'s Shares,
    number: u64,
}

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.shares.lock();
        if let Some(index) = state.position(self.number) {
            drop(state.dequeue(index));
        }
    }
}

impl Shares {
    /// A resource with all units free.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(State {
            limits,
            free: limits.units,
            clients: HashMap::new(),
            queue: Vec::new(),
            last_number: 0,
            last_grant: 0,
        })))
    }

    /// The lock is held only briefly, and nothing panics while it is held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for units for a client and takes them. `units` is limited to what one client may hold. May be cancelled.
    ///
    /// The next client is the one whose last grant is the oldest, then the one whose request is the oldest; among the requests of a
    /// client the order is rank, then arrival. A new client, which neither holds units nor waits, comes before the client of the last
    /// grant and after those that wait already. So each other client is served at most once before a waiting one.
    ///
    /// # Errors
    /// [`QueueFull`], also if a request of another client displaces this one.
    pub async fn take(&self, client: Client, units: usize, rank: Rank) -> Result<Share, QueueFull> {
        let (sender, receiver) = oneshot::channel();
        let (number, granted) = {
            let mut state = self.lock();
            let number = state.enqueue(client, units, rank, sender)?;
            (number, state.grant(self))
        };
        let _guard = QueueGuard {
            shares: self,
            number,
        };
        send(granted);
        // The sender is dropped if the request was displaced.
        receiver.await.map_err(|_| QueueFull)
    }

    /// Takes units for a client if they are free and the queue is empty.
    #[must_use]
    pub fn try_take(&self, client: Client, units: usize) -> Option<Share> {
        let mut state = self.lock();
        let units = state.bounded(units);
        let fits = state.queue.is_empty() && state.is_allowed(state.held(client), units);
        fits.then(|| state.allocate(self, client, units))
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.lock().limits
    }

    /// The number of free units.
    #[must_use]
    pub fn free(&self) -> usize {
        self.lock().free
    }

    /// Whether the client may not take `units` more, although a client that holds none could.
    #[must_use]
    pub fn is_client_full(&self, client: Client, units: usize) -> bool {
        let state = self.lock();
        let units = state.bounded(units);
        !state.is_allowed(state.held(client), units) && state.is_allowed(0, units)
    }
}

impl State {
    fn bounded(&self, units: usize) -> usize {
        units.min(self.limits.units_each)
    }

    fn held(&self, client: Client) -> usize {
        self.clients.get(&client).map_or(0, |entry| entry.held)
    }

    /// Whether a client that holds `held` units may take `units` more.
    fn is_allowed(&self, held: usize, units: usize) -> bool {
        let holds = held + units;
        holds <= self.limits.units_each && holds <= self.free.div_ceil(2)
    }

    /// Adds a request to the queue. Returns its number.
    fn enqueue(
        &mut self,
        client: Client,
        units: usize,
        rank: Rank,
        granted: oneshot::Sender<Share>,
    ) -> Result<u64, QueueFull> {
        let waiting = self.waiting(client);
        if waiting >= self.limits.waiting_each {
            self.displace(client, |waiting| waiting.rank > rank)?;
        } else if self.queue.len() >= self.limits.waiting {
            let longest = self.longest_queue().ok_or(QueueFull)?;
            if self.waiting(longest) <= waiting + 1 {
                return Err(QueueFull);
            }
            self.displace(longest, |_| true)?;
        }
        self.last_number += 1;
        let units = self.bounded(units);
        self.client(client).waiting += 1;
        self.queue.push(Waiting {
            number: self.last_number,
            client,
            units,
            rank,
            granted,
        });
        Ok(self.last_number)
    }

    /// The state of a client. A new one may have been served just before, so it is placed after the clients that wait already.
    fn client(&mut self, client: Client) -> &mut ClientState {
        let last_grant = self.last_grant.saturating_sub(1);
        self.clients.entry(client).or_insert(ClientState {
            held: 0,
            waiting: 0,
            last_grant,
        })
    }

    fn waiting(&self, client: Client) -> usize {
        let entry = self.clients.get(&client);
        entry.map_or(0, |entry| entry.waiting)
    }

    /// The client with the most waiting requests.
    fn longest_queue(&self) -> Option<Client> {
        let clients = self.clients.iter();
        let longest = clients.max_by_key(|(client, entry)| (entry.waiting, **client));
        longest.map(|(client, _)| *client)
    }

    /// Makes room in the queue by removing one of a client's requests, which fails: of those that `may_go`, the last in its order.
    fn displace(
        &mut self,
        client: Client,
        may_go: impl Fn(&Waiting) -> bool,
    ) -> Result<(), QueueFull> {
        let own = self.queue.iter().enumerate();
        let own = own.filter(|(_, waiting)| waiting.client == client && may_go(waiting));
        let last = own.max_by_key(|(_, waiting)| (waiting.rank, waiting.number));
        let (index, _) = last.ok_or(QueueFull)?;
        drop(self.dequeue(index));
        Ok(())
    }

    fn position(&self, number: u64) -> Option<usize> {
        let mut numbers = self.queue.iter();
        numbers.position(|waiting| waiting.number == number)
    }

    fn dequeue(&mut self, index: usize) -> Waiting {
        let waiting = self.queue.remove(index);
        if let Some(entry) = self.clients.get_mut(&waiting.client) {
            entry.waiting -= 1;
        }
        self.forget(waiting.client);
        waiting
    }

    /// Drops the state of a client that neither holds units nor waits.
    fn forget(&mut self, client: Client) {
        let entry = self.clients.get(&client);
        if entry.is_some_and(|entry| entry.held == 0 && entry.waiting == 0) {
            self.clients.remove(&client);
        }
    }

    /// Grants units to waiting requests as long as there are free ones.
    fn grant(&mut self, shares: &Shares) -> Vec<(oneshot::Sender<Share>, Share)> {
        let mut granted = Vec::new();
        while let Some(index) = self.next() {
            let (client, units) = (self.queue[index].client, self.queue[index].units);
            // Before it is dequeued, so that the client's state is not dropped in between.
            let share = self.allocate(shares, client, units);
            granted.push((self.dequeue(index).granted, share));
        }
        granted
    }

    /// The next request to grant, among those whose clients may take the units. Requests are of similar size, so a large one is not
    /// delayed without limit by smaller ones.
    fn next(&self) -> Option<usize> {
        let fitting = || {
            let queue = self.queue.iter().enumerate();
            queue.filter_map(|(index, waiting)| {
                let entry = self.clients.get(&waiting.client)?;
                let fits = self.is_allowed(entry.held, waiting.units);
                fits.then_some((index, waiting, entry.last_grant))
            })
        };
        // Ranks order only the requests of one client, so they do not affect which client is next.
        let oldest = fitting().min_by_key(|(_, waiting, last_grant)| (*last_grant, waiting.number));
        let client = oldest?.1.client;
        let own = fitting().filter(|(_, waiting, _)| waiting.client == client);
        let first = own.min_by_key(|(_, waiting, _)| (waiting.rank, waiting.number));
        first.map(|(index, ..)| index)
    }

    fn allocate(&mut self, shares: &Shares, client: Client, units: usize) -> Share {
        self.last_number += 1;
        self.free -= units;
        let grant = self.last_number;
        self.last_grant = grant;
        let entry = self.client(client);
        entry.held += units;
        entry.last_grant = grant;
        Share {
            shares: shares.clone(),
            client,
            units,
        }
    }
}
