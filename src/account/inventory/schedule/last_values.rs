//! When the last values of terminals are requested: once, in chunks, after the terminals and the service lines.

use std::time::Duration;

use super::{Outcome, Step};
use crate::account::inventory::request::RequestError;
use crate::inventory::Rejected;
use crate::starlink::Query;
use crate::time::{Backoff, Moment};

/// A failed chunk is requested again so many times.
const MOST_RETRIES: u32 = 3;

/// After so many chunks in a row that were given up, the remaining ones are not requested.
const MOST_GIVEN_UP: u32 = 3;

/// The requests for the last values of terminals.
#[derive(Debug)]
pub(super) enum LastValues {
    /// They begin when the terminals are known.
    Wanted,
    Reading(Chunks),
    /// They have ended, or are not wanted.
    Done,
}

/// A reading of last values.
#[derive(Debug)]
pub(super) struct Chunks {
    /// The next chunk.
    chunk: u32,
    /// The terminals of all chunks.
    terminals: usize,
    /// The terminals of chunks that were given up.
    missing: usize,
    /// Those that are invalid.
    rejected: Rejected,
    /// The earliest time of the next request.
    due: Moment,
    /// How often the chunk has failed.
    failures: u32,
    /// How many chunks in a row were given up.
    given_up: u32,
    backoff: Backoff,
}

impl LastValues {
    /// So many terminals are known.
    pub(super) fn begin(&mut self, terminals: usize) {
        if !matches!(self, Self::Wanted) {
            return;
        }
        *self = match terminals {
            0 => Self::Done,
            _ => Self::Reading(Chunks {
                chunk: 0,
                terminals,
                missing: 0,
                rejected: Rejected::default(),
                due: Moment::default(),
                failures: 0,
                given_up: 0,
                backoff: Backoff::READINGS,
            }),
        };
    }

    /// The earliest time of the next request, if there is one.
    pub(super) fn due(&self) -> Option<Moment> {
        match self {
            Self::Reading(chunks) => Some(chunks.due),
            Self::Wanted | Self::Done => None,
        }
    }

    /// The next request, if it is due.
    pub(super) fn step(&self, now: Moment) -> Option<Step> {
        match self {
            Self::Reading(chunks) if chunks.due <= now => Some(Step::LastValues {
                chunk: chunks.chunk,
            }),
            _ => None,
        }
    }

    /// The chunk was read, except these terminals.
    pub(super) fn answered(&mut self, rejected: Rejected) -> Option<Outcome> {
        let Self::Reading(chunks) = self else {
            return None;
        };
        chunks.rejected.append(rejected);
        chunks.given_up = 0;
        chunks.backoff.reset();
        chunks.advance();
        self.end_if_complete()
    }

    /// The request has failed. Returns the outcomes, and the wait before the next request.
    pub(super) fn failed(&mut self, error: RequestError, now: Moment) -> (Vec<Outcome>, Duration) {
        let Self::Reading(chunks) = self else {
            return (Vec::new(), Duration::ZERO);
        };
        let wait = error.retry_after().unwrap_or_default();
        let wait = wait.max(chunks.backoff.next(0.0));
        chunks.due = now.after(wait);
        chunks.failures += 1;
        let is_permission = error.is_permission();
        if chunks.failures <= MOST_RETRIES && !is_permission {
            return (vec![Outcome::LastValuesFailed { error, wait }], wait);
        }
        chunks.given_up += 1;
        let terminals = match is_permission || chunks.given_up >= MOST_GIVEN_UP {
            true => chunks.give_up_all(),
            false => chunks.give_up_one(),
        };
        let mut outcomes = vec![Outcome::LastValuesMissing { error, terminals }];
        outcomes.extend(self.end_if_complete());
        (outcomes, wait)
    }

    fn end_if_complete(&mut self) -> Option<Outcome> {
        let Self::Reading(chunks) = self else {
            return None;
        };
        if chunks.remaining() > 0 {
            return None;
        }
        let ended = Outcome::LastValuesEnded {
            terminals: chunks.terminals,
            missing: chunks.missing,
            rejected: std::mem::take(&mut chunks.rejected),
        };
        *self = Self::Done;
        Some(ended)
    }
}

impl Chunks {
    /// The terminals of the next chunk and of those after it.
    fn remaining(&self) -> usize {
        let before = self.chunk as usize * Query::PAGE_SIZE as usize;
        self.terminals.saturating_sub(before)
    }

    fn advance(&mut self) {
        self.chunk += 1;
        self.failures = 0;
    }

    fn give_up_one(&mut self) -> usize {
        let terminals = self.remaining().min(Query::PAGE_SIZE as usize);
        self.missing += terminals;
        self.advance();
        terminals
    }

    fn give_up_all(&mut self) -> usize {
        let mut terminals = 0;
        while self.remaining() > 0 {
            terminals += self.give_up_one();
        }
        terminals
    }
}
