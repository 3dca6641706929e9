//! What follows from an answer, given what happened to the request before. Table-tested, without a clock.

use std::time::Duration;

use super::answer::{Answer, Class, Hold, classify, is_unsupported};
use super::destination::ProtocolChoice;
use super::reasons::{SampleReason, TimeReason};
use crate::history::Protocol;
use crate::time::{Backoff, Moment};

/// Requests that are held are tried again after this time.
pub const HOLD: Duration = Duration::from_secs(60);

/// The waits that a receiver may ask for: never none, so that no loop is without a pause.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 60);

/// A request that fails for so long, while others succeed, is searched for bad samples.
const SUSPECT_AFTER: Duration = Duration::from_secs(60 * 60);

/// Others succeed if one of them did so within this time.
const RECENT: Duration = Duration::from_secs(60);

/// So many refusals in a row for the same reason of time end the halving …
const STREAK: u32 = 3;

/// … for this time.
const NO_HALVING: Duration = Duration::from_secs(10 * 60);

impl ProtocolChoice {
    /// The version to begin with.
    #[must_use]
    pub fn first(self) -> Protocol {
        match self {
            Self::Auto | Self::V2 => Protocol::V2,
            Self::V1 => Protocol::V1,
        }
    }
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The request is done.
    Done,
    /// The request is done; so many of its samples are counted as not stored.
    Count {
        /// Why.
        reason: SampleReason,
        /// The number.
        samples: u64,
    },
    /// The request is divided (see [`super::Search`]): the refusal is the reason of the samples that turn out to be bad.
    Halve(super::Refusal),
    /// The same samples are sent again at once as 1.0, and all others of this process, too.
    FallBack,
    /// The same request is sent again.
    Retry(Retry),
    /// The same request is sent again after `after`; ERROR with the advice of `hold`. Nothing is dropped.
    Hold {
        /// Why.
        hold: Hold,
        /// The wait.
        after: Duration,
    },
}

/// When and how a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The wait.
    pub after: Duration,
    /// The value of the header `Retry-Attempt`, from 1.
    pub attempt: u32,
    /// Whether the pace is to be lowered.
    pub is_throttled: bool,
}

/// What a decision depends on, beside the answer and the request.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    /// Now.
    pub now: Moment,
    /// When another request to the destination last succeeded, if one did.
    pub others_succeeded: Option<Moment>,
    /// A random number from 0 to below 1, for the jitter.
    pub fraction: f64,
}

/// The past of a request, or of a part of one that was divided.
#[derive(Debug, Clone)]
pub struct RequestState {
    choice: ProtocolChoice,
    protocol: Protocol,
    is_pair: bool,
    samples: u64,
    is_ambiguous: bool,
    attempt: u32,
    backoff: Backoff,
    /// When the receiver failed on it first, without another answer since.
    failing_since: Option<Moment>,
    /// Whether it is a part of a request on which the receiver failed for an hour.
    is_suspect: bool,
}

impl RequestState {
    /// A request that was not sent by this process yet. `may_be_repeated`: an earlier process may have sent it.
    #[must_use]
    pub fn new(
        choice: ProtocolChoice,
        protocol: Protocol,
        samples: u64,
        is_pair: bool,
        may_be_repeated: bool,
    ) -> Self {
        Self {
            choice,
            protocol,
            is_pair,
            samples,
            is_ambiguous: may_be_repeated,
            attempt: 0,
            backoff: Backoff::REQUESTS,
            failing_since: None,
            is_suspect: false,
        }
    }

    /// The state of a part with so many samples, after [`Action::Halve`].
    #[must_use]
    pub fn part(&self, samples: u64) -> Self {
        Self {
            samples,
            attempt: 0,
            backoff: Backoff::REQUESTS,
            failing_since: None,
            ..self.clone()
        }
    }

    /// The version of the protocol to send it with.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The value of the header `Retry-Attempt` of the next attempt; 0 for none.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// An attempt ended without a result, so the receiver may have stored the samples.
    pub fn interrupt(&mut self) {
        self.is_ambiguous = true;
    }

    /// Uses 1.0, after another request fell back.
    pub fn fall_back(&mut self) {
        if self.choice == ProtocolChoice::Auto {
            self.protocol = Protocol::V1;
        }
    }

    /// What follows from an answer. `streak` is that of the destination and the account. A whole request must be recorded there, with
    /// [`TimeStreak::record`], before this.
    pub fn decide(
        &mut self,
        answer: &Answer<'_>,
        streak: &TimeStreak,
        moments: &Moments,
    ) -> Action {
        let class = classify(answer, self.protocol);
        let is_failure = matches!(
            class,
            Class::Retry {
                is_failure: true,
                ..
            }
        );
        if !is_failure {
            self.failing_since = None;
        }
        match class {
            Class::Done => Action::Done,
            Class::NotStored => self.count(SampleReason::NotStored, self.samples),
            Class::Unsupported
                if self.choice == ProtocolChoice::Auto && self.protocol == Protocol::V2 =>
            {
                self.protocol = Protocol::V1;
                Action::FallBack
            }
            Class::Unsupported if self.choice == ProtocolChoice::Auto => self.begin_again(),
            Class::Unsupported => hold(Hold::Protocol),
            Class::Bad
                if self.choice == ProtocolChoice::Auto
                    && self.protocol == Protocol::V1
                    && matches!(answer, Answer::Response { body, .. } if is_unsupported(body)) =>
            {
                self.begin_again()
            }
            Class::Time(time) => {
                let reason = self.time_reason(time);
                self.refused(answer, reason, streak.is_halving(moments.now))
            }
            Class::Bad => self.refused(answer, SampleReason::Rejected, true),
            Class::TooLarge if self.samples > 1 => Action::Halve(super::Refusal::TooLarge),
            // No sample is this large: the limit is too low for all of them.
            Class::TooLarge => hold(Hold::TooLarge),
            Class::Retry { .. } if is_failure && self.is_poison(moments) => {
                self.is_suspect = true;
                // As a refusal: the search learns the verdict about a single sample, too.
                Action::Halve(super::Refusal::Bad(SampleReason::Rejected))
            }
            Class::Retry {
                after,
                is_throttled,
                is_ambiguous,
                ..
            } => {
                self.is_ambiguous |= is_ambiguous;
                self.retry(after, is_throttled, moments)
            }
            Class::Hold(reason) => hold(reason),
        }
    }

    /// A permanent refusal of something in the request. In 2.0, receivers store what is valid in a request; in 1.0, Prometheus stores it wholly
    /// or not at all.
    fn refused(&self, answer: &Answer<'_>, reason: SampleReason, may_halve: bool) -> Action {
        let written = match answer {
            // Something was refused, so a number that is not below those that were sent says nothing: Mimir counts what it received, Thanos what
            // was sent, and Prometheus has counted too many.
            Answer::Response { written, .. } => written
                .filter(|written| *written < self.samples)
                .unwrap_or(0),
            Answer::Unreachable | Answer::Ambiguous => 0,
        };
        match self.protocol {
            // The valid part is stored.
            Protocol::V2 => self.count(reason, self.samples.saturating_sub(written)),
            // A single sample is still "halved", so that the search knows its verdict.
            Protocol::V1 if may_halve => Action::Halve(super::Refusal::Bad(reason)),
            Protocol::V1 => self.count(reason, self.samples),
        }
    }

    /// The receiver supports neither version, or a success of something else at its address led to 1.0: 2.0 is tried again, after a wait.
    fn begin_again(&mut self) -> Action {
        self.protocol = Protocol::V2;
        hold(Hold::NoVersion)
    }

    fn time_reason(&self, time: TimeReason) -> SampleReason {
        match self.is_ambiguous || self.is_pair {
            true => SampleReason::AlreadyStored,
            false => SampleReason::Time(time),
        }
    }

    fn count(&self, reason: SampleReason, samples: u64) -> Action {
        Action::Count { reason, samples }
    }

    /// Whether the receiver fails on this request, and on no other. Notes that it failed now.
    fn is_poison(&mut self, moments: &Moments) -> bool {
        let since = *self.failing_since.get_or_insert(moments.now);
        let is_fine = moments
            .others_succeeded
            .is_some_and(|at| moments.now.since(at) <= RECENT);
        is_fine && (self.is_suspect || moments.now.since(since) >= SUSPECT_AFTER)
    }

    fn retry(&mut self, after: Option<Duration>, is_throttled: bool, moments: &Moments) -> Action {
        self.attempt = self.attempt.saturating_add(1);
        Action::Retry(Retry {
            after: wait_to_retry(after, &mut self.backoff, moments.fraction),
            attempt: self.attempt,
            is_throttled,
        })
    }
}

fn hold(hold: Hold) -> Action {
    Action::Hold { hold, after: HOLD }
}

/// How long a request waits that is sent again: what the receiver asks for, within limits, or else the next wait of the backoff. `fraction`
/// is a random number from 0 to below 1.
#[must_use]
pub fn wait_to_retry(asked: Option<Duration>, backoff: &mut Backoff, fraction: f64) -> Duration {
    let wait = backoff.next(fraction);
    asked.map_or(wait, |asked| asked.clamp(SHORTEST_WAIT, LONGEST_WAIT))
}

/// The refusals in a row for one reason of time, of one account and destination. A receiver that refuses everything for its time is not
/// asked 32 times for each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeStreak {
    last: Option<TimeReason>,
    count: u32,
    suspended_until: Option<Moment>,
}

impl TimeStreak {
    /// Records the answer to a request that is not a part of another one.
    pub fn record(&mut self, class: &Class, now: Moment) {
        match *class {
            Class::Time(reason) if self.last == Some(reason) => self.count += 1,
            Class::Time(reason) => (self.last, self.count) = (Some(reason), 1),
            // Neither says anything about the samples.
            Class::Retry { .. } | Class::Hold(_) | Class::Unsupported | Class::TooLarge => return,
            Class::Done | Class::NotStored | Class::Bad => (self.last, self.count) = (None, 0),
        }
        if self.count >= STREAK {
            self.suspended_until = Some(now.after(NO_HALVING));
            self.count = 0;
        }
    }

    /// Whether requests that are refused for their time are halved.
    #[must_use]
    pub fn is_halving(&self, now: Moment) -> bool {
        self.suspended_until.is_none_or(|until| now >= until)
    }
}

#[cfg(test)]
mod tests;
