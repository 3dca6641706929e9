//! What a JournalActor requests from the journal's thread, and what it does with the results.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context, Handler, Message};
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::acknowledgements::acknowledge;
use super::subscribers::{Uncounted, row_reason};
use super::thread::Panicked;
use super::worker::{Appended, Opened, Positions, Worker};
use super::{CLOSE, JournalActor, State};
use crate::journal::files::Deleted;
use crate::journal::retention::Reason;
use crate::journal::{OpenError, Record, Storage};
use crate::supervise::act_at;

/// The operations whose results are awaited, and those that are due.
#[derive(Debug)]
pub(super) struct Requested {
    /// The number of the last opening.
    open: u64,
    /// The number of the last append.
    append: u64,
    is_subscribing: bool,
    is_saving: bool,
    is_surveying: bool,
    is_counting: bool,
    pub(super) is_deleting: bool,
    /// When a segment is closed if it is old.
    close_at: Duration,
    /// Whether the sums of segments may be unknown.
    must_survey: bool,
    /// No segment is read to count before: it failed.
    survey_at: Duration,
}

impl Requested {
    /// Nothing is awaited. `now` is a monotonic time.
    pub(super) fn new(now: Duration) -> Self {
        Self {
            open: 0,
            append: 0,
            is_subscribing: false,
            is_saving: false,
            is_surveying: false,
            is_counting: false,
            is_deleting: false,
            close_at: now,
            must_survey: true,
            survey_at: now,
        }
    }

    /// Nothing is awaited any more: it may have no result.
    fn forget(&mut self) {
        *self = Self {
            open: self.open,
            append: self.append,
            must_survey: self.must_survey,
            survey_at: self.survey_at,
            ..Self::new(self.close_at)
        };
    }
}

/// The result of an operation.
#[derive(Debug)]
pub(super) enum Event {
    Opened {
        request: u64,
        opened: Result<Opened, OpenError>,
    },
    Appended {
        request: u64,
        appended: Appended,
    },
    Subscribed(Positions),
    /// Whether further sums are unknown; `None` if a segment cannot be read.
    Surveyed(Option<bool>),
    Counted(Vec<Uncounted>, Option<Vec<u64>>),
    /// Whether the cursors are saved.
    Saved(bool),
    Deleted(Vec<(Reason, Deleted)>, oneshot::Sender<()>),
    Closed,
    Panicked,
}

/// Hands a result to the actor.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Done(Event);

impl Done {
    /// The message for an event.
    pub(super) fn new(event: Event) -> Self {
        Self(event)
    }
}

impl<S: Storage + Unpin + 'static> JournalActor<S> {
    /// Runs an operation on the journal's thread, whose result is an event.
    pub(super) fn request(
        &self,
        context: &mut Context<Self>,
        operation: impl FnOnce(&mut Worker<S>) -> Event + Send + 'static,
    ) {
        // An operation that hangs does not keep the actor.
        let actor = context.address().downgrade();
        self.thread.run(operation, move |event| {
            let event = event.unwrap_or_else(|Panicked| Event::Panicked);
            if let Some(actor) = actor.upgrade() {
                actor.do_send(Done::new(event));
            }
        });
    }

    pub(super) fn open(&mut self, context: &mut Context<Self>) {
        self.state = State::Opening;
        self.requested.open += 1;
        let request = self.requested.open;
        if let Err(error) = self.thread.start() {
            self.opened(Err(OpenError::Io(error)), context);
            return;
        }
        // Also those with cursors, which may not be in the file yet.
        let (wanted, tenant) = (self.subscribers.configured(), self.subscribers.tenant());
        self.request(context, move |worker| {
            let opened = worker.open(&wanted, tenant);
            Event::Opened { request, opened }
        });
    }

    fn opened(&mut self, opened: Result<Opened, OpenError>, context: &mut Context<Self>) {
        if self.state != State::Opening {
            return;
        }
        let error = match opened {
            Ok(Opened { next, cursors }) => {
                self.opening.reset();
                self.state = State::Open;
                let shift = self.number(next);
                self.subscribers.opened(cursors, self.clock.elapsed());
                let effects = self.flow.opened(shift, self.clock.ran());
                self.carry_out(effects, context);
                // Not 1 after an earlier start of the journal that failed.
                let is_durable = self.flow.is_durable();
                self.status.durable.set(f64::from(u8::from(is_durable)));
                self.requested.must_survey = true;
                self.announce();
                self.cursor_replies.answer(&self.subscribers);
                self.request_due(context);
                self.close_if_finishing(context);
                return;
            }
            Err(error) => error,
        };
        if !error.is_temporary() {
            let (account, directory) = (&self.account, self.path.display());
            error!(
                %account,
                %directory,
                %error,
                "the journal has files of another version or account: it is not changed, and rows of the account are lost until its directory is moved away and the service restarted"
            );
            self.state = State::Refused;
        }
        self.error = Some(error.to_string());
        let effects = self.flow.closed();
        self.carry_out(effects, context);
        if error.is_temporary() {
            let wait = self.opening.next(fastrand::f64());
            let until = self.clock.now().after(wait);
            let request = self.requested.open;
            act_at(
                &self.clock,
                until,
                context,
                move |actor: &mut Self, context| {
                    // Otherwise it was opened again meanwhile.
                    if actor.state == State::Opening && actor.requested.open == request {
                        actor.open(context);
                    }
                },
            );
        } else {
            self.refuse();
        }
    }

    /// Numbers what was recorded before the first opening. `next` is above the numbers on disk. Returns what is added to provisional numbers.
    fn number(&mut self, next: u64) -> u64 {
        if std::mem::replace(&mut self.is_numbered, true) {
            return 0;
        }
        // An append of the journal's earlier start in this process may hang, and write its record later. So its numbers are not used again.
        let earlier = *self.status.end.borrow();
        let shift = next.max(earlier).saturating_sub(1);
        self.intake.shift(shift);
        self.acknowledgements.shift(shift);
        self.known_gaps.shift(shift);
        if next < earlier {
            // These records were counted as lost then.
            self.known_gaps.add(next..=earlier - 1);
        }
        shift
    }

    /// The files belong to another version or account: nothing is recorded.
    fn refuse(&mut self) {
        self.state = State::Refused;
        let records: Vec<_> = self.flow.memory().from(0).cloned().collect();
        self.subscribers.lost(&records);
        self.flow.clear();
        self.cursor_replies.refuse();
        acknowledge(std::mem::take(&mut self.finishing));
    }

    pub(super) fn append(&mut self, records: Vec<Arc<Record>>, context: &mut Context<Self>) {
        self.requested.append += 1;
        let request = self.requested.append;
        let cursors = self.subscribers.cursors();
        self.request(context, move |worker| Event::Appended {
            request,
            appended: worker.append(&records, cursors),
        });
    }

    /// Requests what is due: cursors of new destinations, the sums of segments, the rows that destinations lack, and saving cursors.
    pub(super) fn request_due(&mut self, context: &mut Context<Self>) {
        if self.state != State::Open {
            return;
        }
        let wanted = self.subscribers.without_cursors();
        if !wanted.is_empty() && !std::mem::replace(&mut self.requested.is_subscribing, true) {
            let next = self.intake.next();
            self.request(context, move |worker| {
                Event::Subscribed(worker.subscribe(&wanted, next))
            });
        }
        let now = self.clock.elapsed();
        let is_due = self.requested.close_at <= now || self.subscribers.has_changed();
        if is_due && !std::mem::replace(&mut self.requested.is_saving, true) {
            self.requested.close_at = now.saturating_add(CLOSE);
            let unsaved = self.subscribers.take_unsaved();
            self.request(context, move |worker| Event::Saved(worker.save(unsaved)));
        }
        match self.requested.must_survey {
            true => self.survey(context),
            false => self.count(context),
        }
    }

    /// Reads the sums of one segment, so that appends need not wait for all.
    fn survey(&mut self, context: &mut Context<Self>) {
        let now = self.clock.elapsed();
        if self.requested.survey_at <= now
            && !std::mem::replace(&mut self.requested.is_surveying, true)
        {
            self.request(context, |worker| Event::Surveyed(worker.survey().ok()));
        }
    }

    fn count(&mut self, context: &mut Context<Self>) {
        if self.requested.is_counting || self.requested.survey_at > self.clock.elapsed() {
            return;
        }
        let wanted = self.subscribers.uncounted();
        if wanted.is_empty() {
            return;
        }
        self.requested.is_counting = true;
        let end = self.intake.next();
        let headers = self.flow.memory().from(0).map(|record| &record.header);
        let memory: Vec<_> = headers
            .map(|header| (header.sequence, header.rows))
            .collect();
        self.request(context, move |worker| {
            let counted = worker.count(&wanted, end, &memory).ok();
            Event::Counted(wanted, counted)
        });
    }

    /// Closes the segment and saves the cursors behind all appends, if that is wanted.
    pub(super) fn close_if_finishing(&mut self, context: &mut Context<Self>) {
        if self.finishing.is_empty() || self.state != State::Open {
            return;
        }
        let effects = self.flow.repeat(self.clock.ran());
        self.carry_out(effects, context);
        let unsaved = self.subscribers.take_unsaved();
        self.request(context, move |worker| {
            worker.close(unsaved);
            Event::Closed
        });
    }

    fn appended(&mut self, appended: Appended, context: &mut Context<Self>) {
        let Appended { end, error } = appended;
        let is_success = error.is_none();
        self.error = error.or(self.error.take());
        let effects = self.flow.appended(end, is_success, self.clock.ran());
        self.carry_out(effects, context);
    }

    fn deleted(&mut self, deleted: &[(Reason, Deleted)]) {
        let mut lost = BTreeMap::<_, BTreeMap<_, u64>>::new();
        for (reason, segment) in deleted {
            self.subscribers.deleted(*reason, segment);
            if let Some(reason) = row_reason(*reason) {
                let lost = lost.entry(reason).or_default();
                for (destination, rows) in &segment.lost {
                    *lost.entry(Arc::clone(destination)).or_default() += rows;
                }
            }
        }
        lost.retain(|_, lost| !lost.is_empty());
        for (reason, lost) in lost {
            let rows: u64 = lost.values().sum();
            let lost = lost.iter().map(|(name, rows)| format!("{name}: {rows}"));
            warn!(
                account = %self.account,
                reason = reason.label(),
                rows,
                rows_of_destinations = lost.collect::<Vec<_>>().join(", "),
                "the oldest records of the journal are deleted before their rows were sent"
            );
        }
    }

    /// The files must be opened again.
    fn panicked(&mut self, context: &mut Context<Self>) {
        if self.state == State::Open {
            self.error = Some("an operation panicked".to_owned());
            let effects = self.flow.closed();
            self.carry_out(effects, context);
            self.forget_requests();
            self.open(context);
        } else if self.state == State::Opening {
            self.opened(Err(OpenError::Io(io::Error::other("it panicked"))), context);
        }
    }

    /// What was requested may have no result.
    pub(super) fn forget_requests(&mut self) {
        self.requested.forget();
        self.subscribers.count_again();
    }
}

impl<S: Storage + Unpin + 'static> Handler<Done> for JournalActor<S> {
    type Result = ();

    fn handle(&mut self, Done(event): Done, context: &mut Context<Self>) {
        match event {
            Event::Opened { request, opened } if request == self.requested.open => {
                self.opened(opened, context);
            }
            // It was requested again.
            Event::Opened { .. } => {}
            Event::Appended { request, appended } if request == self.requested.append => {
                self.appended(appended, context);
            }
            // It was requested again.
            Event::Appended { .. } => {}
            Event::Subscribed(cursors) => {
                self.requested.is_subscribing = false;
                self.subscribers.subscribed(cursors);
                self.cursor_replies.answer(&self.subscribers);
                self.request_due(context);
            }
            Event::Surveyed(surveyed) => {
                self.requested.is_surveying = false;
                self.requested.must_survey = surveyed != Some(false);
                if surveyed.is_none() {
                    self.requested.survey_at = self.clock.elapsed().saturating_add(CLOSE);
                }
                self.request_due(context);
            }
            Event::Counted(wanted, rows) => {
                self.requested.is_counting = false;
                if rows.is_none() {
                    self.requested.survey_at = self.clock.elapsed().saturating_add(CLOSE);
                }
                self.subscribers.counted(&wanted, rows);
                self.request_due(context);
            }
            Event::Saved(is_success) => {
                self.requested.is_saving = false;
                if !is_success {
                    self.subscribers.save_failed();
                }
            }
            Event::Deleted(deleted, reply) => {
                self.requested.is_deleting = false;
                self.deleted(&deleted);
                acknowledge(vec![reply]);
                self.request_due(context);
            }
            Event::Closed => acknowledge(std::mem::take(&mut self.finishing)),
            Event::Panicked => self.panicked(context),
        }
    }
}
