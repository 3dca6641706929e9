//! When the parts of an account's inventory are read, as a state machine: `(state, event, now) → effects`, without actors, sockets and
//! answers.
//!
//! One request is in flight at a time. A part is read page by page to its end before the next one. Only while a part waits after a failed
//! page, others are read. If several parts are due, the one that waits longest is next; last values come before all of them, but after the
//! terminals and the service lines.

mod events;
mod last_values;

use std::time::Duration;

pub(super) use self::events::{Effect, Event, Outcome, Step};
use self::last_values::LastValues;
use super::pages::Skipped;
use super::request::{RequestError, page_query};
use crate::account::messages::Renewal;
use crate::account::now::Now;
use crate::inventory::{Bounds, Part};
use crate::starlink::{PollFailure, Query};
use crate::time::{Backoff, Moment};

/// The time between the starts of two readings of a part; data use changes less often.
const OFTEN: Duration = Duration::from_secs(15 * 60);
const SELDOM: Duration = Duration::from_secs(30 * 60);

/// How long a part whose permission is missing is not requested.
const FORBIDDEN: Duration = Duration::from_secs(60 * 60);

/// Waits are made longer or shorter by at most this part, so that accounts do not stay in step.
const JITTER: f64 = 0.1;

/// The least time between two 401s that ask for another token. The management API may refuse a token that the stream accepts, and token
/// requests are limited.
const BETWEEN_RENEWALS: Duration = Duration::from_secs(5 * 60);

/// After so many failures of one page, the part is read from its first page again.
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
    /// The token that the request in flight must not use, unless there is no other one.
    renewal: Option<Renewal>,
    /// A 401 before does not ask for another token.
    next_renewal: Moment,
    last_values: LastValues,
    /// Whether the service lines were read, or have failed, since the start.
    has_tried_lines: bool,
}

/// Why a page may be the last one of its reading.
#[derive(Debug, Clone, Copy)]
struct PageEnd {
    /// No page follows.
    is_last: bool,
    /// The pages are as much as the inventory can hold.
    is_full: bool,
}

#[derive(Debug)]
enum Phase {
    /// Nothing is due until this moment.
    Waiting(Moment),
    Requesting(Step),
    Merging(Part),
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
            next_renewal: Moment::default(),
            last_values: match wants_last_values {
                true => LastValues::Wanted,
                false => LastValues::Done,
            },
            has_tried_lines: false,
        }
    }

    /// Whether the next complete reading of terminals gives those whose last values are requested.
    pub(super) fn wants_last_values(&self) -> bool {
        matches!(self.last_values, LastValues::Wanted)
    }

    /// Handles an event. Returns the resulting actions.
    pub(super) fn on(&mut self, event: Event, now: Now) -> Vec<Effect> {
        match (event, &self.phase) {
            (Event::Started, Phase::Waiting(until)) => vec![Effect::Wait(*until)],
            (Event::Started, Phase::Requesting(step)) => vec![self.request(*step)],
            (Event::Started, Phase::Merging(part)) => vec![Effect::Merge(*part)],
            (Event::WaitIsOver, Phase::Waiting(_)) => self.next(now),
            (
                Event::PageRead {
                    is_last,
                    has_new,
                    is_full,
                },
                Phase::Requesting(Step::Page { part, .. }),
            ) => {
                let part = *part;
                self.renewal = None;
                self.answered(part, PageEnd { is_last, is_full }, has_new, now)
            }
            (Event::LastValuesRead(rejected), Phase::Requesting(Step::LastValues { .. })) => {
                self.renewal = None;
                let ended = self.last_values.answered(rejected).map(Effect::Record);
                ended.into_iter().chain(self.next(now)).collect()
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
            let due = due.chain(self.last_values.due());
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
        let mut due = self.parts.iter().filter(|reading| reading.due <= now);
        let current = due
            .clone()
            .find(|reading| Some(reading.part) == self.current);
        let last_values = self.last_values.step(now);
        let last_values = last_values.filter(|_| self.has_tried_lines);
        let reading = match (current, last_values) {
            (Some(reading), _) => reading,
            (None, Some(step)) => return Some(step),
            // Of those that wait equally long, the first.
            (None, None) => due.by_ref().min_by_key(|reading| reading.due)?,
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

    /// A page of the part was read.
    fn answered(&mut self, part: Part, end: PageEnd, has_new: bool, now: Now) -> Vec<Effect> {
        let (mut pages, mut idle_pages) = (0, 0);
        self.change(part, |reading| {
            reading.page_read(has_new);
            (pages, idle_pages) = (reading.page, reading.idle_pages);
        });
        let goes_on = !end.is_last && !end.is_full;
        match goes_on && idle_pages >= MOST_IDLE_PAGES {
            true => self.page_failed(part, no_new_entries(part, pages - 1), now),
            false => self.page_read(part, pages, end, now),
        }
    }

    /// `pages` of the part were read.
    fn page_read(&mut self, part: Part, pages: u32, end: PageEnd, now: Now) -> Vec<Effect> {
        let mut effects = vec![Effect::Record(Outcome::Permitted(part))];
        let has_most = pages as usize >= self.most_pages(part);
        let is_cut = end.is_full || (!end.is_last && has_most);
        if is_cut {
            effects.push(Effect::Record(Outcome::Cut { part, pages }));
        }
        if end.is_last || is_cut {
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

    /// A part has ended, or has failed.
    fn tried(&mut self, part: Part) {
        self.current = None;
        self.has_tried_lines |= part == Part::ServiceLines;
    }

    /// The part has a new value.
    fn merged(&mut self, part: Part, terminals: usize, skipped: Skipped, now: Now) -> Vec<Effect> {
        self.change(part, |reading| {
            let interval = jittered(reading.interval(), now);
            reading.ended(reading.began.after(interval));
        });
        if part == Part::Terminals {
            self.last_values.begin(terminals);
        }
        self.tried(part);
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
            self.renewal = self.renewal_of(token_serial, now.moment());
            if self.renewal.is_some() {
                return vec![self.request(step)];
            }
        }
        self.renewal = None;
        let mut effects = Vec::new();
        if reason == PollFailure::RateLimited {
            effects.push(Effect::SlowDown);
        }
        effects.extend(match step {
            Step::Page { part, .. } if error.is_permission() => self.forbidden(part, now),
            Step::Page { part, .. } => self.page_failed(part, error, now),
            Step::LastValues { .. } => self.last_values_failed(error, now),
        });
        effects
    }

    fn last_values_failed(&mut self, error: RequestError, now: Now) -> Vec<Effect> {
        let concerns_all = concerns_all_requests(&error);
        let (outcomes, wait) = self.last_values.failed(error, now.moment());
        if concerns_all {
            self.held_until = self.held_until.max(now.moment().after(wait));
        }
        let outcomes = outcomes.into_iter().map(Effect::Record);
        outcomes.chain(self.next(now)).collect()
    }

    /// Asks for another token than the one that was refused, unless a 401 did so a short time ago. The token is not discarded: the stream
    /// uses it, and may be accepted with it.
    fn renewal_of(&mut self, serial: Option<u64>, now: Moment) -> Option<Renewal> {
        let serial = serial.filter(|_| self.next_renewal <= now)?;
        self.next_renewal = now.after(BETWEEN_RENEWALS);
        Some(Renewal {
            serial,
            discard: false,
        })
    }

    fn forbidden(&mut self, part: Part, now: Now) -> Vec<Effect> {
        self.tried(part);
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
        self.tried(part);
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
