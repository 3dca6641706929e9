//! A service account: its tokens, its rate limit, and the read index that its clients share.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{fleet::Fleet, noise};

/// Simulated ticks that the stream keeps: 8 hours.
const RETENTION_TICKS: u64 = 8 * 3600 / super::fleet::TICK_SECONDS;
const MINUTE: Duration = Duration::from_secs(60);

/// The tokens that were issued.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    issued: u64,
    valid: HashMap<String, Token>,
}

#[derive(Debug)]
struct Token {
    serial: u64,
    expires: Instant,
}

impl Tokens {
    /// A new token that is valid until `expires`.
    pub(super) fn issue(&mut self, seed: u64, expires: Instant) -> String {
        let now = Instant::now();
        self.valid.retain(|_, token| now < token.expires);
        self.issued += 1;
        let serial = self.issued;
        let text = format!("simulated-{serial}-{:016x}", noise::hash(seed, 90, serial));
        self.valid.insert(text.clone(), Token { serial, expires });
        text
    }

    /// The serial number of a token that was issued, if it is still valid.
    pub(super) fn check(&self, token: &str, now: Instant) -> Option<u64> {
        let token = self.valid.get(token)?;
        (now < token.expires).then_some(token.serial)
    }

    /// Revokes all tokens.
    pub(super) fn revoke(&mut self) {
        self.valid.clear();
    }
}

/// The limit of polls in any minute.
#[derive(Debug, Default)]
pub(super) struct RateLimit {
    recent: VecDeque<Instant>,
}

impl RateLimit {
    /// Counts a poll, or rejects it.
    pub(super) fn admit(&mut self, limit: usize, now: Instant) -> bool {
        while self
            .recent
            .front()
            .is_some_and(|&poll| now.duration_since(poll) >= MINUTE)
        {
            self.recent.pop_front();
        }
        if self.recent.len() >= limit {
            return false;
        }
        self.recent.push_back(now);
        true
    }
}

/// A row with the tick that it is of.
#[derive(Debug)]
pub(super) struct LoggedRow {
    tick: u64,
    pub text: String,
}

/// The read position of the account in the stream. The rows after it are generated when they are read.
#[derive(Debug, Default)]
pub(super) struct ReadIndex {
    tick: u64,
    position: usize,
    /// Rows that are generated but not sent.
    ready: VecDeque<LoggedRow>,
}

impl ReadIndex {
    /// Generates up to `wanted` rows until the tick `now`. Returns whether there are as many.
    pub(super) fn fill(&mut self, fleet: &Fleet, now: u64, wanted: usize) -> bool {
        self.forget_before(now.saturating_sub(RETENTION_TICKS));
        while self.ready.len() < wanted && self.tick <= now {
            if self.position >= fleet.terminals {
                self.tick += 1;
                self.position = 0;
                continue;
            }
            let tick = self.tick;
            let rows = fleet.rows(tick, self.position);
            self.ready.extend(rows.map(|text| LoggedRow { tick, text }));
            self.position += 1;
        }
        self.ready.len() >= wanted
    }

    /// Takes at most `wanted` rows.
    pub(super) fn take(&mut self, wanted: usize) -> Vec<LoggedRow> {
        let count = wanted.min(self.ready.len());
        self.ready.drain(..count).collect()
    }

    /// Returns rows that could not be sent, so that they are taken next.
    pub(super) fn put_back(&mut self, rows: Vec<LoggedRow>) {
        for row in rows.into_iter().rev() {
            self.ready.push_front(row);
        }
    }

    fn forget_before(&mut self, oldest: u64) {
        if self.tick < oldest {
            self.tick = oldest;
            self.position = 0;
        }
        while self.ready.front().is_some_and(|row| row.tick < oldest) {
            self.ready.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(terminals: usize) -> Fleet {
        Fleet {
            seed: 1,
            first: 0,
            terminals,
            routers: false,
            quirks: false,
            origin_ns: 1_756_537_212_000_000_000,
            tick_ns: 15_000_000_000,
        }
    }

    fn texts(rows: Vec<LoggedRow>) -> Vec<String> {
        rows.into_iter().map(|row| row.text).collect()
    }

    #[test]
    fn tokens_expire_and_can_be_revoked() {
        let now = Instant::now();
        let mut tokens = Tokens::default();
        let first = tokens.issue(1, now + Duration::from_secs(10));
        let second = tokens.issue(1, now + Duration::from_secs(20));
        let later = now + Duration::from_secs(10);
        assert_eq!(tokens.check(&first, now), Some(1));
        assert_eq!(tokens.check(&first, later), None);
        assert_eq!(tokens.check(&second, later), Some(2));
        assert_eq!(tokens.check("another", now), None);
        tokens.revoke();
        assert_eq!(tokens.check(&second, now), None);
    }

    #[test]
    fn the_rate_limit_is_one_of_any_minute() {
        let now = Instant::now();
        let mut limit = RateLimit::default();
        let seconds = |seconds| now + Duration::from_secs(seconds);
        for (at, expected) in [
            (0, true),
            (30, true),
            (59, false),
            (60, true),
            (61, false),
            (90, true),
        ] {
            assert_eq!(limit.admit(2, seconds(at)), expected, "{at}");
        }
    }

    #[test]
    fn rows_are_handed_out_once_in_full_batches() {
        let fleet = fleet(10);
        let mut index = ReadIndex::default();
        // Tick 0 has ten terminals and their ten allocations.
        assert!(index.fill(&fleet, 0, 15));
        let first = texts(index.take(15));
        assert!(!index.fill(&fleet, 0, 15));
        let second = texts(index.take(15));
        assert_eq!((first.len(), second.len()), (15, 5));
        assert!(second.iter().all(|row| !first.contains(row)));
        assert!(!index.fill(&fleet, 0, 1));
    }

    #[test]
    fn rows_that_could_not_be_sent_are_taken_again_in_the_same_order() {
        let fleet = fleet(10);
        let mut index = ReadIndex::default();
        index.fill(&fleet, 0, 8);
        let lost = index.take(8);
        let expected: Vec<_> = lost.iter().map(|row| row.text.clone()).collect();
        index.put_back(lost);
        assert_eq!(texts(index.take(8)), expected);
    }

    #[test]
    fn rows_older_than_the_retention_are_dropped() {
        let fleet = fleet(1);
        let mut index = ReadIndex::default();
        index.fill(&fleet, 0, 1);
        index.fill(&fleet, RETENTION_TICKS + 5, 1);
        assert!(index.take(1).iter().all(|row| row.tick == 5));
    }

    #[test]
    fn an_empty_fleet_has_no_rows_at_any_time() {
        let mut index = ReadIndex::default();
        assert!(!index.fill(&fleet(0), 1000, 1));
        assert!(index.take(1).is_empty());
    }
}
