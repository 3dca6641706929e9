//! Records the requests that the simulator received, for the assertions of tests.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::inventory::Part;

/// The fewest polls, token requests and others that are kept. Older ones are dropped, so that a long-running demo does not fill the memory.
const KEPT: usize = 20_000;

/// The requests since the start; only the latest if there are more than 20,000 polls, token requests or others.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Journal {
    /// All requests to the stream, including rejected ones, in the order of arrival.
    pub polls: Vec<Poll>,
    /// All token requests, in the order of arrival.
    pub token_requests: Vec<TokenRequest>,
    /// All other requests, also those with an unknown path or a wrong method, in the order of arrival.
    pub management: Vec<ManagementRequest>,
    /// The number of polls in progress.
    pub polls_in_flight: usize,
    /// The highest number of concurrent polls.
    pub most_polls_in_flight: usize,
    /// The number of rows in answers that were sent completely (except those of [`super::Answer::text`]).
    pub rows_handed_out: u64,
    /// The number of first polls that were dropped from `polls`.
    forgotten_polls: usize,
}

/// One request to the stream.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Poll {
    /// When its body had arrived.
    pub started: Instant,
    /// When it was answered or aborted.
    pub ended: Option<Instant>,
    /// The body of the request, with invalid UTF-8 replaced.
    pub body: String,
    /// `batchSize`, if the body was accepted.
    pub batch_size: Option<u32>,
    /// `maxLingerMs`, if the body was accepted.
    pub max_linger_ms: Option<u32>,
    /// The number of its token in the order of issue, from 1; `None` if the token is unknown.
    pub token_serial: Option<u64>,
    /// The status of the answer, if a head was sent.
    pub status: Option<u16>,
    /// The number of rows of the answer.
    pub rows: usize,
    /// The uncompressed body of the answer, with [`super::Options::keeps_answers`].
    pub answer: Option<Bytes>,
    /// Its outcome.
    pub outcome: Outcome,
}

/// The outcome of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// In progress.
    Open,
    /// The complete answer was sent, with any status.
    Answered,
    /// The script closed the connection.
    Cut,
    /// The client disconnected first, or all connections were cut.
    Abandoned,
}

/// One request for a token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TokenRequest {
    /// When its body had arrived.
    pub at: Instant,
    /// The path it was sent to.
    pub path: String,
    /// Whether the form had the right credentials and the right grant type.
    pub is_form_ok: bool,
    /// The status of the response; `None` if the connection was closed instead.
    pub status: Option<u16>,
}

/// One request that is neither a poll nor a token request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManagementRequest {
    /// When it was answered, by the simulator's clock; see [`super::Simulator::set_date`].
    pub at: SystemTime,
    /// The part of the management API whose method and path it has.
    pub part: Option<Part>,
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, without the question mark.
    pub query: String,
    /// The body, with invalid UTF-8 replaced.
    pub body: String,
    /// The status of the answer; `None` if the connection was closed instead.
    pub status: Option<u16>,
}

impl Journal {
    /// The requests of a part of the management API.
    pub fn management_of(&self, part: Part) -> impl Iterator<Item = &ManagementRequest> {
        let requests = self.management.iter();
        requests.filter(move |request| request.part == Some(part))
    }

    /// The highest number of management requests in any time of this length, by the simulator's clock.
    pub fn most_management_within(&self, length: Duration) -> usize {
        let mut times: Vec<SystemTime> = self.management.iter().map(|request| request.at).collect();
        times.sort_unstable();
        let mut first = 0;
        let mut most = 0;
        for (last, &time) in times.iter().enumerate() {
            while times[first] + length <= time {
                first += 1;
            }
            most = most.max(last + 1 - first);
        }
        most
    }

    /// Records a request that is neither a poll nor a token request.
    pub(super) fn add_management_request(&mut self, request: ManagementRequest) {
        forget(&mut self.management);
        self.management.push(request);
    }

    /// The number of polls with an outcome.
    pub fn polls_with(&self, outcome: Outcome) -> usize {
        self.polls
            .iter()
            .filter(|poll| poll.outcome == outcome)
            .count()
    }

    /// The number of polls that were completely answered with a status.
    pub fn polls_answered_with(&self, status: u16) -> usize {
        self.polls
            .iter()
            .filter(|poll| poll.outcome == Outcome::Answered && poll.status == Some(status))
            .count()
    }

    /// Records the start of a poll and returns its index.
    pub(super) fn begin(&mut self, body: String, token_serial: Option<u64>) -> usize {
        self.polls_in_flight += 1;
        self.most_polls_in_flight = self.most_polls_in_flight.max(self.polls_in_flight);
        self.forgotten_polls += forget(&mut self.polls);
        self.polls.push(Poll {
            started: Instant::now(),
            ended: None,
            body,
            batch_size: None,
            max_linger_ms: None,
            token_serial,
            status: None,
            rows: 0,
            answer: None,
            outcome: Outcome::Open,
        });
        self.forgotten_polls + self.polls.len() - 1
    }

    /// The poll with this index, unless it was dropped.
    pub(super) fn poll_mut(&mut self, place: usize) -> Option<&mut Poll> {
        self.polls.get_mut(place.checked_sub(self.forgotten_polls)?)
    }

    /// Records the end of a poll.
    pub(super) fn end(&mut self, place: usize, outcome: Outcome) {
        self.polls_in_flight -= 1;
        let Some(poll) = self.poll_mut(place) else {
            return;
        };
        poll.ended = Some(Instant::now());
        poll.outcome = outcome;
        if outcome == Outcome::Answered {
            self.rows_handed_out += poll.rows as u64;
        }
    }

    /// Records a token request.
    pub(super) fn add_token_request(&mut self, request: TokenRequest) {
        forget(&mut self.token_requests);
        self.token_requests.push(request);
    }
}

/// Drops old entries, many at a time. Returns how many.
fn forget<T>(entries: &mut Vec<T>) -> usize {
    if entries.len() < 2 * KEPT {
        return 0;
    }
    entries.drain(..KEPT).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_in_flight_are_counted_and_the_peak_stays() {
        let mut journal = Journal::default();
        let first = journal.begin(String::new(), None);
        let second = journal.begin(String::new(), Some(1));
        journal.polls[second].rows = 3;
        journal.polls[second].status = Some(200);
        journal.end(second, Outcome::Answered);
        journal.end(first, Outcome::Abandoned);
        assert_eq!(journal.polls_in_flight, 0);
        assert_eq!(journal.most_polls_in_flight, 2);
        assert_eq!(journal.rows_handed_out, 3);
        assert_eq!(journal.polls_with(Outcome::Abandoned), 1);
        assert_eq!(journal.polls_answered_with(200), 1);
        assert_eq!(journal.polls_answered_with(500), 0);
    }

    #[test]
    fn the_latest_polls_are_kept_in_bounds() {
        let mut journal = Journal::default();
        for _ in 0..5 * KEPT {
            let place = journal.begin(String::new(), None);
            journal.end(place, Outcome::Answered);
        }
        assert!(journal.polls.len() <= 2 * KEPT);
        assert_eq!(journal.polls_with(Outcome::Answered), journal.polls.len());
    }
}
