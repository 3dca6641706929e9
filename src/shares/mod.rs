//! Something bounded (places, bytes, turns) shared out among clients: none takes more than its part, and none waits behind
//! another's queue.
//!
//! A client may hold at most a quarter, and never more than half of what is free when it asks. So the part of each shrinks as the
//! number of clients grows, and something is left for a client that holds nothing: the dynamic threshold of Choudhury and Hahne ("Dynamic queue length
//! thresholds for shared-memory packet switches", 1998).

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Who asks: an IPv4 address, or the IPv6 network of 64 bits that one host may choose its addresses from.
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

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Units of all clients together.
    pub units: usize,
    /// Units of one client at most. It may also hold no more than stay free.
    pub units_each: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Requests of one client that wait.
    pub waiting_each: usize,
}

impl Limits {
    /// So many units and waiting requests, a quarter of each for one client.
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

/// Which of a client's own requests come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Before the others.
    First,
    /// When no other request of the client waits.
    Last,
}

/// There are too many waiting requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests are waiting")]
pub struct Crowded;

/// The units, shared by clones.
#[derive(Debug, Clone)]
pub struct Shares(Arc<Mutex<Books>>);

#[derive(Debug)]
struct Books {
    limits: Limits,
    free: usize,
    /// Clients that hold something or wait.
    clients: HashMap<Client, Account>,
    queue: Vec<Waiting>,
    /// Numbers requests and turns.
    clock: u64,
    /// The number of the newest turn.
    newest_turn: u64,
}

#[derive(Debug)]
struct Account {
    held: usize,
    waiting: usize,
    /// When it got something last.
    last_turn: u64,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    client: Client,
    units: usize,
    rank: Rank,
    granted: oneshot::Sender<Share>,
}

/// Units that a client holds. They come back when this is dropped, on whichever thread and for whatever reason.
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
            let mut books = self.shares.lock();
            books.free += self.units;
            if let Some(account) = books.clients.get_mut(&self.client) {
                account.held -= self.units;
            }
            books.forget(self.client);
            books.grant(&self.shares)
        };
        send(granted);
    }
}

/// Outside of the lock: what a waiting request no longer takes is dropped, and so comes back.
fn send(granted: Vec<(oneshot::Sender<Share>, Share)>) {
    for (waiting, share) in granted {
        drop(waiting.send(share));
    }
}

/// Takes a request out of the queue when it is given up.
struct Ticket<'s> {
    shares: &'s Shares,
    number: u64,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut books = self.shares.lock();
        if let Some(place) = books.place(self.number) {
            drop(books.leave(place));
        }
    }
}

impl Shares {
    /// All units are free.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(Books {
            limits,
            free: limits.units,
            clients: HashMap::new(),
            queue: Vec::new(),
            clock: 0,
            newest_turn: 0,
        })))
    }

    /// Held for moments, without a panic in between.
    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes units for a client, and waits for them. More than a client may have are as many as it may have. May be cancelled.
    ///
    /// Among waiting clients the one comes next that got something the longest ago, then the one whose request is the oldest; among
    /// its own requests the first by rank, then by arrival. A client that held nothing and waited for nothing comes before the one
    /// that was served last and behind those that wait already, so a waiting client is passed by each other at most once.
    ///
    /// # Errors
    /// When too many others wait already.
    pub async fn take(&self, client: Client, units: usize, rank: Rank) -> Result<Share, Crowded> {
        let (sender, receiver) = oneshot::channel();
        let (number, granted) = {
            let mut books = self.lock();
            let number = books.enter(client, units, rank, sender)?;
            (number, books.grant(self))
        };
        let _ticket = Ticket {
            shares: self,
            number,
        };
        send(granted);
        // Its place in the queue went to another request of the client.
        receiver.await.map_err(|_| Crowded)
    }

    /// Takes units for a client if they are free and nobody waits for them.
    #[must_use]
    pub fn try_take(&self, client: Client, units: usize) -> Option<Share> {
        let mut books = self.lock();
        let units = books.bounded(units);
        let fits = books.queue.is_empty() && books.is_allowed(books.held(client), units);
        fits.then(|| books.hand_out(self, client, units))
    }

    /// How much there is.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.lock().limits
    }

    /// Units that nobody holds.
    #[must_use]
    pub fn free(&self) -> usize {
        self.lock().free
    }

    /// Whether a client holds all that it may, though others could get more.
    #[must_use]
    pub fn is_client_full(&self, client: Client, units: usize) -> bool {
        let books = self.lock();
        let units = books.bounded(units);
        !books.is_allowed(books.held(client), units) && books.is_allowed(0, units)
    }
}

impl Books {
    fn bounded(&self, units: usize) -> usize {
        units.min(self.limits.units_each)
    }

    fn held(&self, client: Client) -> usize {
        self.clients.get(&client).map_or(0, |account| account.held)
    }

    /// Whether a client that holds so many units may have more.
    fn is_allowed(&self, held: usize, units: usize) -> bool {
        let holds = held + units;
        holds <= self.limits.units_each && holds <= self.free.div_ceil(2)
    }

    /// Puts a request into the queue: its number.
    fn enter(
        &mut self,
        client: Client,
        units: usize,
        rank: Rank,
        granted: oneshot::Sender<Share>,
    ) -> Result<u64, Crowded> {
        let waiting = self.waiting(client);
        if waiting >= self.limits.waiting_each {
            self.displace(client, |waiting| waiting.rank > rank)?;
        } else if self.queue.len() >= self.limits.waiting {
            let longest = self.longest_queue().ok_or(Crowded)?;
            if self.waiting(longest) <= waiting + 1 {
                return Err(Crowded);
            }
            self.displace(longest, |_| true)?;
        }
        self.clock += 1;
        let units = self.bounded(units);
        self.account(client).waiting += 1;
        self.queue.push(Waiting {
            number: self.clock,
            client,
            units,
            rank,
            granted,
        });
        Ok(self.clock)
    }

    /// The account of a client. One without an account may have been served a moment ago: it is not put before clients that wait.
    fn account(&mut self, client: Client) -> &mut Account {
        let last_turn = self.newest_turn.saturating_sub(1);
        self.clients.entry(client).or_insert(Account {
            held: 0,
            waiting: 0,
            last_turn,
        })
    }

    fn waiting(&self, client: Client) -> usize {
        let account = self.clients.get(&client);
        account.map_or(0, |account| account.waiting)
    }

    /// The client with the most waiting requests.
    fn longest_queue(&self) -> Option<Client> {
        let clients = self.clients.iter();
        let longest = clients.max_by_key(|(client, account)| (account.waiting, **client));
        longest.map(|(client, _)| *client)
    }

    /// Makes room by one of a client's waiting requests, which fails: of those that may go, the last one in its order.
    fn displace(
        &mut self,
        client: Client,
        may_go: impl Fn(&Waiting) -> bool,
    ) -> Result<(), Crowded> {
        let its = self.queue.iter().enumerate();
        let its = its.filter(|(_, waiting)| waiting.client == client && may_go(waiting));
        let last = its.max_by_key(|(_, waiting)| (waiting.rank, waiting.number));
        let (place, _) = last.ok_or(Crowded)?;
        drop(self.leave(place));
        Ok(())
    }

    fn place(&self, number: u64) -> Option<usize> {
        let mut numbers = self.queue.iter();
        numbers.position(|waiting| waiting.number == number)
    }

    fn leave(&mut self, place: usize) -> Waiting {
        let waiting = self.queue.remove(place);
        if let Some(account) = self.clients.get_mut(&waiting.client) {
            account.waiting -= 1;
        }
        self.forget(waiting.client);
        waiting
    }

    /// A client that neither holds nor waits for anything needs no account.
    fn forget(&mut self, client: Client) {
        let account = self.clients.get(&client);
        if account.is_some_and(|account| account.held == 0 && account.waiting == 0) {
            self.clients.remove(&client);
        }
    }

    /// Serves waiting requests as far as there are units.
    fn grant(&mut self, shares: &Shares) -> Vec<(oneshot::Sender<Share>, Share)> {
        let mut granted = Vec::new();
        while let Some(place) = self.next() {
            let (client, units) = (self.queue[place].client, self.queue[place].units);
            // Before it leaves: its account is not forgotten in between.
            let share = self.hand_out(shares, client, units);
            granted.push((self.leave(place).granted, share));
        }
        granted
    }

    /// The request that comes next, of those whose clients may hold more. All ask for about the same, so that none that wants much
    /// is passed over for ever.
    fn next(&self) -> Option<usize> {
        let fitting = || {
            let queue = self.queue.iter().enumerate();
            queue.filter_map(|(place, waiting)| {
                let account = self.clients.get(&waiting.client)?;
                let fits = self.is_allowed(account.held, waiting.units);
                fits.then_some((place, waiting, account.last_turn))
            })
        };
        // A rank is only of a client's own requests, so it has no say in whose turn it is.
        let oldest = fitting().min_by_key(|(_, waiting, last_turn)| (*last_turn, waiting.number));
        let client = oldest?.1.client;
        let its = fitting().filter(|(_, waiting, _)| waiting.client == client);
        let first = its.min_by_key(|(_, waiting, _)| (waiting.rank, waiting.number));
        first.map(|(place, ..)| place)
    }

    fn hand_out(&mut self, shares: &Shares, client: Client, units: usize) -> Share {
        self.clock += 1;
        self.free -= units;
        let turn = self.clock;
        self.newest_turn = turn;
        let account = self.account(client);
        account.held += units;
        account.last_turn = turn;
        Share {
            shares: shares.clone(),
            client,
            units,
        }
    }
}
