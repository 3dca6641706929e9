//! Something bounded (places, bytes, turns) shared out among clients: none takes more than its part, and none waits behind
//! another's queue.
//!
//! A client may hold a quarter, and no more than what stays free. So the part of each shrinks as the number of clients grows, and
//! something is left for a client that holds nothing: the dynamic threshold of Choudhury and Hahne ("Dynamic queue length
//! thresholds for shared-memory packet switches", 1998).

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
}

#[derive(Debug, Default)]
struct Account {
    held: usize,
    waiting: usize,
    /// When it got something last; zero is never.
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
        })))
    }

    /// Held for moments, without a panic in between.
    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes units for a client, and waits for them. More than a client may have are as many as it may have. May be cancelled.
    ///
    /// Among waiting clients the one comes next that got something the longest ago; among its own requests the first by rank, then
    /// by arrival.
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
        self.clients.entry(client).or_default().waiting += 1;
        self.queue.push(Waiting {
            number: self.clock,
            client,
            units,
            rank,
            granted,
        });
        Ok(self.clock)
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
            // Before it leaves: its account must not be forgotten with the time of its last turn.
            let share = self.hand_out(shares, client, units);
            granted.push((self.leave(place).granted, share));
        }
        granted
    }

    /// The request that comes next, of those whose clients may hold more. All ask for about the same, so that none that wants much
    /// is passed over for ever.
    fn next(&self) -> Option<usize> {
        let turn = |waiting: &Waiting| {
            let account = self.clients.get(&waiting.client)?;
            let fits = self.is_allowed(account.held, waiting.units);
            fits.then_some((account.last_turn, waiting.rank, waiting.number))
        };
        let turns = self.queue.iter().enumerate();
        let turns = turns.filter_map(|(place, waiting)| Some((turn(waiting)?, place)));
        turns.min().map(|(_, place)| place)
    }

    fn hand_out(&mut self, shares: &Shares, client: Client, units: usize) -> Share {
        self.clock += 1;
        self.free -= units;
        let account = self.clients.entry(client).or_default();
        account.held += units;
        account.last_turn = self.clock;
        Share {
            shares: shares.clone(),
            client,
            units,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn client(number: u8) -> Client {
        IpAddr::from([192, 0, 2, number]).into()
    }

    const PLENTY: Limits = Limits {
        units: 8,
        units_each: 2,
        waiting: 100,
        waiting_each: 100,
    };

    #[test]
    fn clients_are_addresses_or_networks() {
        for (one, other, is_same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ] {
            let of = |text: &str| Client::from(text.parse::<IpAddr>().unwrap());
            assert_eq!(of(one) == of(other), is_same, "{one} {other}");
        }
    }

    #[test]
    fn a_quarter_is_never_nothing() {
        let quarters = [0, 1, 2, 4, 5, 8, 16, 256].map(quarter);
        assert_eq!(quarters, [0, 1, 1, 1, 2, 2, 4, 64]);
    }

    #[test]
    fn one_client_gets_its_part_and_others_theirs() {
        let shares = Shares::new(PLENTY);
        let take = |number| shares.take(client(number), 1, Rank::First);
        let held: Vec<_> = (0..2).map(|_| take(1).now_or_never().unwrap()).collect();
        assert!(shares.is_client_full(client(1), 1));
        let mut third = Box::pin(take(1));
        assert!((&mut third).now_or_never().is_none());
        for number in 2..5 {
            assert!(take(number).now_or_never().unwrap().is_ok(), "{number}");
        }
        drop(held);
        assert!(third.now_or_never().unwrap().is_ok());
        assert_eq!(shares.free(), 8);
        assert!(shares.lock().clients.is_empty() && shares.lock().queue.is_empty());
    }

    #[test]
    fn clients_take_turns_and_ranks_order_their_own_requests() {
        let shares = Shares::new(Limits {
            units: 1,
            units_each: 1,
            ..PLENTY
        });
        let held = shares.try_take(client(9), 1).unwrap();
        let requests = [
            (1, Rank::Last),
            (1, Rank::Last),
            (1, Rank::First),
            (2, Rank::Last),
            (3, Rank::First),
        ];
        let mut waiting: Vec<_> = requests
            .iter()
            .map(|&(number, rank)| Some(Box::pin(shares.take(client(number), 1, rank))))
            .collect();
        for request in waiting.iter_mut().flatten() {
            assert!(request.now_or_never().is_none());
        }
        let mut order = Vec::new();
        let mut last = Some(held);
        while order.len() < requests.len() {
            drop(last.take());
            let served = waiting.iter_mut().position(|request| {
                let share = request.as_mut().and_then(FutureExt::now_or_never);
                last = share.map(Result::unwrap);
                last.is_some()
            });
            let served = served.unwrap();
            waiting[served] = None;
            order.push(served);
        }
        assert_eq!(order, [2, 4, 3, 0, 1]);
    }

    #[test]
    fn queues_are_bounded_and_a_better_rank_displaces_a_worse_one() {
        let shares = Shares::new(Limits {
            units: 1,
            units_each: 1,
            waiting: 3,
            waiting_each: 2,
        });
        let held = shares.try_take(client(9), 1).unwrap();
        let take = |number, rank| Box::pin(shares.take(client(number), 1, rank));
        let mut waiting = [take(1, Rank::Last), take(1, Rank::Last)];
        for request in &mut waiting {
            assert!(request.now_or_never().is_none());
        }
        assert_eq!(
            take(1, Rank::Last).now_or_never().unwrap().err(),
            Some(Crowded)
        );
        let mut better = take(1, Rank::First);
        assert!((&mut better).now_or_never().is_none());
        let [older, younger] = waiting;
        assert_eq!(younger.now_or_never().unwrap().err(), Some(Crowded));
        let mut other = take(2, Rank::Last);
        assert!((&mut other).now_or_never().is_none());
        assert_eq!(
            take(2, Rank::First).now_or_never().unwrap().err(),
            Some(Crowded)
        );
        drop(older);
        assert!(
            take(2, Rank::First).now_or_never().is_none(),
            "there is a place"
        );
        drop(held);
        assert!(better.now_or_never().unwrap().is_ok());
    }

    #[test]
    fn something_is_left_for_a_client_that_holds_nothing() {
        for clients in [1, 2, 4, 8, 40] {
            let shares = Shares::new(Limits::quartered(224, 0));
            let held: Vec<_> = (0..1000)
                .filter_map(|number| shares.try_take(client(number_of(number, clients)), 1))
                .collect();
            assert!(held.len() <= 224 - shares.free(), "{clients}");
            assert!(shares.is_client_full(client(0), 1), "{clients}");
            assert!(!shares.is_client_full(client(99), 1), "{clients}");
            let others: Vec<_> = (0..3)
                .filter_map(|_| shares.try_take(client(99), 1))
                .collect();
            assert_eq!(others.len(), 3, "beside {clients} others");
        }
    }

    fn number_of(request: usize, clients: usize) -> u8 {
        u8::try_from(request % clients).unwrap()
    }

    #[test]
    fn the_longest_queue_gives_way_to_a_client_that_waits_for_less() {
        let shares = Shares::new(Limits {
            units: 1,
            units_each: 1,
            waiting: 4,
            waiting_each: 3,
        });
        let held = shares.try_take(client(9), 1).unwrap();
        let take = |number| {
            let mut request = Box::pin(shares.take(client(number), 1, Rank::First));
            let is_waiting = (&mut request).now_or_never().is_none();
            (request, is_waiting)
        };
        let mut waiting: Vec<_> = [1, 2, 2, 2].into_iter().map(take).collect();
        assert!(waiting.iter().all(|(_, is_waiting)| *is_waiting));
        for (number, expected, displaced) in [
            // The second client has three waiting requests, then two, and then nobody has more than one above the others.
            (3, true, Some(3)),
            (1, false, None),
            (4, true, Some(2)),
            (5, false, None),
        ] {
            let (request, is_waiting) = take(number);
            assert_eq!(is_waiting, expected, "{number}");
            if let Some(place) = displaced {
                let ended = (&mut waiting[place].0).now_or_never();
                assert_eq!(ended.map(|share| share.err()), Some(Some(Crowded)));
                waiting.push((request, true));
            }
        }
        drop(held);
    }

    #[test]
    fn a_share_comes_back_from_a_panic() {
        let shares = Shares::new(PLENTY);
        let share = shares.try_take(client(1), 2);
        let panicked = std::thread::spawn(move || {
            let _held = share;
            panic!("whoever holds it panics");
        });
        assert!(panicked.join().is_err());
        assert_eq!(shares.free(), PLENTY.units);
    }

    proptest! {
        #[test]
        fn units_are_neither_lost_nor_made(
            steps in vec((0..4_u8, 1..4_usize, any::<bool>(), any::<prop::sample::Index>()), 0..60),
        ) {
            let shares = Shares::new(PLENTY);
            let mut held = Vec::new();
            let mut waiting = Vec::new();
            for (number, units, gives_up, index) in steps {
                if gives_up && !held.is_empty() {
                    held.remove(index.index(held.len()));
                } else if gives_up && !waiting.is_empty() {
                    drop(waiting.remove(index.index(waiting.len())));
                } else {
                    waiting.push(Box::pin(shares.take(client(number), units, Rank::First)));
                }
                waiting.retain_mut(|request| match request.now_or_never() {
                    Some(share) => {
                        held.push(share.unwrap());
                        false
                    }
                    None => true,
                });
                let units: usize = held.iter().map(|share| share.units).sum();
                prop_assert_eq!(units + shares.free(), PLENTY.units);
                for number in 0..4 {
                    let its = held.iter().filter(|share| share.client == client(number));
                    prop_assert!(its.map(|share| share.units).sum::<usize>() <= PLENTY.units_each);
                }
            }
            drop((held, waiting));
            prop_assert_eq!(shares.free(), PLENTY.units);
            prop_assert!(shares.lock().clients.is_empty() && shares.lock().queue.is_empty());
        }
    }
}
