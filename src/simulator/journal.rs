//! Records the requests that the simulator received, for the assertions of tests.

use std::time::Instant;

/// A demo that runs for weeks must not fill the memory: of polls and of token requests at least so many stay.
const KEPT: usize = 20_000;

/// What was asked since the start: all of it, up to 20,000 polls and as many token requests, then the latest.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Journal {
    /// Every request to the stream, refused ones too, in the order of their arrival.
    pub polls: Vec<Poll>,
    /// Every request for a token, in the order of their arrival.
    pub token_requests: Vec<TokenRequest>,
    /// How many polls are being answered now.
    pub polls_in_flight: usize,
    /// The highest number of polls that were being answered at one time.
    pub most_polls_in_flight: usize,
    /// How many rows were in answers that were sent whole (those of [`super::Answer::text`] are not counted).
    pub rows_handed_out: u64,
    /// How many of the first polls are no longer in `polls`.
    forgotten_polls: usize,
}

/// One request to the stream.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Poll {
    /// When its body had arrived.
    pub started: Instant,
    /// When it was answered or given up.
    pub ended: Option<Instant>,
    /// The request's body as it came, bytes that are no UTF-8 replaced.
    pub body: String,
    /// `batchSize`, when the body was accepted.
    pub batch_size: Option<u32>,
    /// `maxLingerMs`, when the body was accepted.
    pub max_linger_ms: Option<u32>,
    /// Which token it carried, counted from 1 in the order of issue; none when none of ours.
    pub token_serial: Option<u64>,
    /// The status that was answered, if a head was sent.
    pub status: Option<u16>,
    /// How many rows the answer has.
    pub rows: usize,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Still being answered.
    Open,
    /// The whole answer was sent, whatever its status.
    Answered,
    /// The script closed the connection.
    Cut,
    /// The client went away first, or the network was pulled.
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
    /// The status that was answered; none when the connection was closed instead.
    pub status: Option<u16>,
}

impl Journal {
    /// How many polls have that outcome.
    pub fn polls_with(&self, outcome: Outcome) -> usize {
        self.polls
            .iter()
            .filter(|poll| poll.outcome == outcome)
            .count()
    }

    /// How many polls were wholly answered with that status.
    pub fn polls_answered_with(&self, status: u16) -> usize {
        self.polls
            .iter()
            .filter(|poll| poll.outcome == Outcome::Answered && poll.status == Some(status))
            .count()
    }

    /// Writes down the beginning of a poll and gives its place.
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
            outcome: Outcome::Open,
        });
        self.forgotten_polls + self.polls.len() - 1
    }

    /// The poll at that place, unless it is forgotten.
    pub(super) fn poll_mut(&mut self, place: usize) -> Option<&mut Poll> {
        self.polls.get_mut(place.checked_sub(self.forgotten_polls)?)
    }

    /// Writes down the end of the poll at that place.
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

    /// Writes down a token request.
    pub(super) fn add_token_request(&mut self, request: TokenRequest) {
        forget(&mut self.token_requests);
        self.token_requests.push(request);
    }
}

/// Makes room, seldom and for many; how many were forgotten.
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
