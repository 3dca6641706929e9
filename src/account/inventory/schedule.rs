//! When the parts of an account's inventory are read, as a state machine: `(state, event, now) → effects`, without actors, sockets and
//! answers.
//!
//! One request is in flight at a time. A part is read page by page to its end before the next one. Only while a part waits after a failed
//! page, others are read. If several parts are due, the one that waits longest is next.

mod events;

use std::time::Duration;

pub(super) use self::events::{Effect, Event, Outcome, Step};
use super::pages::Skipped;
use super::request::{RequestError, page_query};
use crate::account::messages::Renewal;
use crate::account::now::Now;
use crate::inventory::{Bounds, Part, Rejected};
use crate::starlink::{PollFailure, Query};
use crate::time::{Backoff, Moment};

/// The time between the starts of two readings of a part; data use changes less often.
const OFTEN: Duration = Duration::from_secs(15 * 60);
const SELDOM: Duration = Duration::from_secs(30 * 60);

/// How long a part whose permission is missing is not requested.
const FORBIDDEN: Duration = Duration::from_secs(60 * 60);

/// Waits are made longer or shorter by at most this part, so that accounts do not stay in step.
const JITTER: f64 = 0.1;

/// After so many failures of one page, the part is read from its first page again. After so many attempts without a token, the last values
/// are not requested.
const MOST_FAILURES: u32 = 5;

/// A reading that finds entries twice may have so many pages more than the list.
const MORE_PAGES: usize = 10;

/// After so many pages in a row without a new entry, of which none is the last, a reading fails. While the order of a list changes, single
/// pages may have none.
const MOST_IDLE_PAGES: u32 = 3;

/// The schedule of one account.
#[derive(Debug)]
pub(super) struct Schedule {
    bounds: Bounds,
    parts: Vec<Reading>,
    phase: Phase,
    /// The part that is read to its end before another one.
    current: Option<Part>,
    /// Nothing is requested before: Starlink refuses all requests, or there is no token.
    held_until: Moment,
    /// The token that the next request must not use.
    renewal: Option<Renewal>,
    /// Whether the one retry after a 401 was made.
    has_retried: bool,
    last_values: LastValues,
    /// The invalid last values so far.
    rejected_last_values: Rejected,
    /// For attempts to request last values without a token.
    last_values_backoff: Backoff,
}

#[derive(Debug)]
enum Phase {
    /// Nothing is due until this moment.
    Waiting(Moment),
    Requesting(Step),
    Merging(Part),
}

/// The last values of terminals, which are requested at most once.
#[derive(Debug, Clone, Copy)]
enum LastValues {
    /// They are requested when the terminals are known.
    Wanted,
    Reading {
        chunk: u32,
        chunks: u32,
        /// How often there was no token for the chunk.
        failures: u32,
    },
    /// They were read, or are not wanted.
    Done,
}

/// One part's reading, in progress or planned.
#[derive(Debug)]
struct Reading {
    part: Part,
    /// The earliest time of the next request.
    due: Moment,
    /// When its first page was requested.
    began: Moment,
    page: u32,
    /// How many pages in a row had no new entry.
    idle_pages: u32,
    /// How often the page has failed in a row.
    failures: u32,
    backoff: Backoff,
    /// Whether a reading has failed with all its pages since the last complete one. Then a page that is read does not end the backoff.
    starts_over: bool,
}

impl Reading {
    fn interval(&self) -> Duration {
        match self.part {
            Part::Account | Part::Terminals | Part::ServiceLines | Part::Balance => OFTEN,
            Part::DataUsage => SELDOM,
        }
    }

    /// The page was read.
    fn page_read(&mut self, has_new: bool) {
        self.page += 1;
        self.idle_pages = if has_new { 0 } else { self.idle_pages + 1 };
        self.failures = 0;
        if !self.starts_over {
            self.backoff.reset();
        }
    }

    /// The reading is complete, or not permitted. The next one begins at the earliest at this moment.
    fn ended(&mut self, due: Moment) {
        self.restart(due);
        self.starts_over = false;
        self.backoff.reset();
    }

    /// Begins again with the first page, at the earliest at this moment.
    fn restart(&mut self, due: Moment) {
        self.page = 0;
        self.idle_pages = 0;
        self.failures = 0;
        self.due = due;
    }
}

impl Schedule {
    /// A schedule before its first request. `wants_last_values`: whether the last values of terminals are requested once.
    pub(super) fn new(
        parts: impl IntoIterator<Item = Part>,
        bounds: Bounds,
        wants_last_values: bool,
    ) -> Self {
        let reading = |part| Reading {
            part,
            due: Moment::default(),
            began: Moment::default(),
            page: 0,
            idle_pages: 0,
            failures: 0,
            backoff: Backoff::READINGS,
            starts_over: false,
        };
        Self {
            bounds,
            parts: parts.into_iter().map(reading).collect(),
            phase: Phase::Waiting(Moment::default()),
            current: None,
            held_until: Moment::default(),
            renewal: None,
            has_retried: false,
            last_values: match wants_last_values {
                true => LastValues::Wanted,
                false => LastValues::Done,
            },
            rejected_last_values: Rejected::default(),
            last_values_backoff: Backoff::READINGS,
        }
    }

    /// Handles an event. Returns the resulting actions.
    pub(super) fn on(&mut self, event: Event, now: Now) -> Vec<Effect> {
        match (event, &self.phase) {
            (Event::Started, Phase::Waiting(until)) => vec![Effect::Wait(*until)],
            (Event::Started, Phase::Requesting(step)) => vec![self.request(*step)],
            (Event::Started, Phase::Merging(part)) => vec![Effect::Merge(*part)],
            (Event::WaitIsOver, Phase::Waiting(_)) => self.next(now),
            (Event::PageRead { is_last, has_new }, Phase::Requesting(Step::Page { part, .. })) => {
                let part = *part;
                self.token_was_accepted();
                self.answered(part, is_last, has_new, now)
            }
            (Event::LastValuesRead(rejected), Phase::Requesting(Step::LastValues { .. })) => {
                self.token_was_accepted();
                self.last_values_read(rejected, now)
            }
            (
                Event::Failed {
                    error,
                    token_serial,
                },
                Phase::Requesting(step),
            ) => self.failed(*step, error, token_serial, now),
            (Event::Merged { terminals, skipped }, Phase::Merging(part)) => {
                self.merged(*part, terminals, skipped, now)
            }
            (Event::NotMerged(error), Phase::Merging(part)) => self.page_failed(*part, error, now),
            _ => Vec::new(),
        }
    }

    fn request(&self, step: Step) -> Effect {
        Effect::Request {
            step,
            instead_of: self.renewal,
        }
    }

    /// Makes the next request, or waits until one is due.
    fn next(&mut self, now: Now) -> Vec<Effect> {
        let moment = now.moment();
        let Some(step) = self.due(moment) else {
            let due = self.parts.iter().map(|reading| reading.due);
            let until = due.fold(Moment::NEVER, Moment::min).max(self.held_until);
            self.phase = Phase::Waiting(until);
            return vec![Effect::Wait(until)];
        };
        if let Step::Page { part, page } = step {
            self.current = Some(part);
            if page == 0 {
                self.change(part, |reading| reading.began = moment);
            }
        }
        self.phase = Phase::Requesting(step);
        vec![self.request(step)]
    }

    fn due(&self, now: Moment) -> Option<Step> {
        if now < self.held_until {
            return None;
        }
        if let LastValues::Reading { chunk, .. } = self.last_values {
            return Some(Step::LastValues { chunk });
        }
        let mut due = self.parts.iter().filter(|reading| reading.due <= now);
        let current = due
            .clone()
            .find(|reading| Some(reading.part) == self.current);
        let reading = match current {
            Some(reading) => reading,
            // Of those that wait equally long, the first.
            None => due.by_ref().min_by_key(|reading| reading.due)?,
        };
        Some(Step::Page {
            part: reading.part,
            page: reading.page,
        })
    }

    fn change(&mut self, part: Part, change: impl FnOnce(&mut Reading)) {
        let mut parts = self.parts.iter_mut();
        if let Some(reading) = parts.find(|reading| reading.part == part) {
            change(reading);
        }
    }

    fn token_was_accepted(&mut self) {
        self.renewal = None;
        self.has_retried = false;
    }

    fn last_values_read(&mut self, rejected: Rejected, now: Now) -> Vec<Effect> {
        self.rejected_last_values.append(rejected);
        self.last_values_backoff.reset();
        let mut effects = Vec::new();
        if let LastValues::Reading { chunk, chunks, .. } = self.last_values {
            let chunk = chunk + 1;
            self.last_values = match chunk < chunks {
                true => LastValues::Reading {
                    chunk,
                    chunks,
                    failures: 0,
                },
                false => {
                    let rejected = std::mem::take(&mut self.rejected_last_values);
                    effects.push(Effect::Record(Outcome::LastValuesRead(rejected)));
                    LastValues::Done
                }
            };
        }
        effects.extend(self.next(now));
        effects
    }

    /// A page of the part was read.
    fn answered(&mut self, part: Part, is_last: bool, has_new: bool, now: Now) -> Vec<Effect> {
        let (mut pages, mut idle_pages) = (0, 0);
        self.change(part, |reading| {
            reading.page_read(has_new);
            (pages, idle_pages) = (reading.page, reading.idle_pages);
        });
        match !is_last && idle_pages >= MOST_IDLE_PAGES {
            true => self.page_failed(part, no_new_entries(part, pages - 1), now),
            false => self.page_read(part, pages, is_last, now),
        }
    }

    /// `pages` of the part were read.
    fn page_read(&mut self, part: Part, pages: u32, is_last: bool, now: Now) -> Vec<Effect> {
        let mut effects = vec![Effect::Record(Outcome::Permitted(part))];
        let is_cut = !is_last && pages as usize >= self.most_pages(part);
        if is_cut {
            effects.push(Effect::Record(Outcome::Cut { part, pages }));
        }
        if is_last || is_cut {
            self.phase = Phase::Merging(part);
            effects.push(Effect::Merge(part));
        } else {
            effects.extend(self.next(now));
        }
        effects
    }

    /// The most pages of a reading: twice as many as a list of the greatest length has, and some more.
    fn most_pages(&self, part: Part) -> usize {
        let size = match part {
            Part::DataUsage => Query::USAGE_PAGE_SIZE,
            _ => Query::PAGE_SIZE,
        };
        let pages = self.bounds.entries.saturating_mul(2) / size as usize;
        pages.saturating_add(MORE_PAGES)
    }

    /// The part has a new value.
    fn merged(&mut self, part: Part, terminals: usize, skipped: Skipped, now: Now) -> Vec<Effect> {
        self.current = None;
        self.change(part, |reading| {
            let interval = jittered(reading.interval(), now);
            reading.ended(reading.began.after(interval));
        });
        if part == Part::Terminals && matches!(self.last_values, LastValues::Wanted) {
            let chunks = terminals.div_ceil(Query::PAGE_SIZE as usize);
            self.last_values = match u32::try_from(chunks) {
                Ok(chunks @ 1..) => LastValues::Reading {
                    chunk: 0,
                    chunks,
                    failures: 0,
                },
                // An account without terminals.
                _ => LastValues::Done,
            };
        }
        let mut effects = vec![
            Effect::DropPages(part),
            Effect::Record(Outcome::Read { part, skipped }),
            Effect::Offer,
        ];
        effects.extend(self.next(now));
        effects
    }

    fn failed(
        &mut self,
        step: Step,
        error: RequestError,
        token_serial: Option<u64>,
        now: Now,
    ) -> Vec<Effect> {
        let reason = error.reason();
        if reason == PollFailure::Unauthorized {
            self.renewal = token_serial.map(|serial| Renewal {
                serial,
                discard: true,
            });
            if !std::mem::replace(&mut self.has_retried, true) {
                return vec![self.request(step)];
            }
        }
        let mut effects = Vec::new();
        if reason == PollFailure::RateLimited {
            effects.push(Effect::SlowDown);
        }
        effects.extend(match step {
            Step::Page { part, .. } if reason == PollFailure::Forbidden => {
                self.forbidden(part, now)
            }
            Step::Page { part, .. } => self.page_failed(part, error, now),
            Step::LastValues { .. } => self.last_values_failed(error, now),
        });
        effects
    }

    /// The last values are not requested again, unless nothing was requested: without a token, the chunk waits for the next one.
    fn last_values_failed(&mut self, error: RequestError, now: Now) -> Vec<Effect> {
        if concerns_all_requests(&error) {
            let wait = error.retry_after().unwrap_or_default();
            let wait = wait.max(self.last_values_backoff.next(0.0));
            self.held_until = self.held_until.max(now.moment().after(wait));
        }
        let mut effects = Vec::new();
        match &mut self.last_values {
            LastValues::Reading { failures, .. }
                if error.reason() == PollFailure::Token && *failures + 1 < MOST_FAILURES =>
            {
                *failures += 1;
            }
            _ => {
                self.last_values = LastValues::Done;
                effects.push(Effect::Record(Outcome::LastValuesFailed(error)));
            }
        }
        effects.extend(self.next(now));
        effects
    }

    fn forbidden(&mut self, part: Part, now: Now) -> Vec<Effect> {
        self.current = None;
        self.token_was_accepted();
        let due = now.moment().after(jittered(FORBIDDEN, now));
        self.change(part, |reading| reading.ended(due));
        let mut effects = vec![
            Effect::DropPages(part),
            Effect::Forget(part),
            Effect::Record(Outcome::Forbidden(part)),
        ];
        effects.extend(self.next(now));
        effects
    }

    /// The page is requested again after a wait. If it has failed too often, its part begins again with the first page.
    fn page_failed(&mut self, part: Part, error: RequestError, now: Now) -> Vec<Effect> {
        self.current = None;
        let mut wait = error.retry_after().unwrap_or_default();
        let (mut due, mut begins_again) = (Moment::default(), false);
        let is_complete = matches!(self.phase, Phase::Merging(_))
            || matches!(error, RequestError::NoNewEntries { .. });
        self.change(part, |reading| {
            wait = wait.max(reading.backoff.next(0.0));
            due = now.moment().after(wait);
            reading.due = due;
            reading.failures += 1;
            begins_again = is_complete || reading.failures >= MOST_FAILURES;
            reading.starts_over |= is_complete;
            if begins_again {
                reading.restart(due);
            }
        });
        if concerns_all_requests(&error) {
            self.held_until = self.held_until.max(due);
        }
        let mut effects = Vec::new();
        if begins_again {
            effects.push(Effect::DropPages(part));
        }
        effects.push(Effect::Record(Outcome::Failed { part, error, wait }));
        effects.extend(self.next(now));
        effects
    }
}

/// Whether the other requests would fail for the same reason.
fn concerns_all_requests(error: &RequestError) -> bool {
    matches!(
        error.reason(),
        PollFailure::Token | PollFailure::RateLimited
    )
}

/// The error after the last of [`MOST_IDLE_PAGES`] pages.
fn no_new_entries(part: Part, last: u32) -> RequestError {
    RequestError::NoNewEntries {
        request: page_query(part, last).path(),
        first: (last + 1).saturating_sub(MOST_IDLE_PAGES),
        last,
    }
}

/// A duration that is up to a tenth longer or shorter.
fn jittered(duration: Duration, now: Now) -> Duration {
    duration.mul_f64(1.0 - JITTER + 2.0 * JITTER * now.jitter)
}

#[cfg(test)]
mod tests;
