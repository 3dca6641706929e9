//! The part of the RemoteWriteActor that reads the journal, one step at a time.

use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, MailboxError, WrapFuture};

use super::super::budget::Share;
use super::super::decoder::{self, Decoder, Unreadable, estimate, estimate_decoding};
use super::super::progress::{Progress, Step};
use super::{OUTAGE, Reading, RemoteWriteActor};
use crate::history::Slice;
use crate::journal::{Cursor, Header, Record};
use crate::recording::messages::{CursorOf, ReadRecords, ReadReply};
use crate::remote_write::{Lane, Limits, RowReason};
use crate::supervise::act_at;
use crate::time::{Clock, unix_nanos};

/// The longest wait for a reply of the journal.
const REPLY_LIMIT: Duration = Duration::from_secs(30);

impl RemoteWriteActor {
    pub(super) fn ask_for_cursor(&mut self, context: &mut Context<Self>) {
        if !matches!(self.reading, Reading::Idle) || self.finishing.is_some() {
            return;
        }
        self.reading = Reading::Busy;
        let destination = Arc::clone(&self.options.status.destination);
        let reply = self.options.journal.send(CursorOf(destination));
        let reply = in_time(self.clock.clone(), reply);
        context.spawn(reply.into_actor(self).map(|reply, actor, context| {
            let error = match reply {
                Ok(Ok(Some(cursor))) => return actor.begin(cursor, context),
                Ok(Ok(None)) => "the destination is not subscribed yet".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            actor.read_later(&error, context);
        }));
    }

    fn begin(&mut self, cursor: Cursor, context: &mut Context<Self>) {
        let destination = self.destination();
        let limits = Limits {
            max_samples: destination.max_samples_per_send,
            window: destination.out_of_order_window,
        };
        self.reading = Reading::Idle;
        self.backoff.reset();
        self.cannot_read = false;
        self.progress = Some(Progress::new(limits, cursor, self.end()));
        self.pump(context);
    }

    /// Reads again after a wait.
    fn read_later(&mut self, error: &str, context: &mut Context<Self>) {
        self.cannot_read = true;
        self.log.no_records(error, self.clock.elapsed());
        let until = self.clock.now().after(self.backoff.next(fastrand::f64()));
        act_at(&self.clock, until, context, |actor: &mut Self, context| {
            actor.reading = Reading::Idle;
            actor.pump(context);
        });
    }

    /// Reads the next records, or decodes the next one, unless that is being done.
    pub(super) fn read_on(&mut self, context: &mut Context<Self>) {
        if self.finishing.is_some() {
            return;
        }
        let end = self.end();
        let Some(progress) = &mut self.progress else {
            return;
        };
        let is_empty = progress.is_empty();
        // While requests of all shards fail, reading on would only take memory from other senders.
        let is_stopped =
            self.failing_since.is_some() && !is_empty && self.flights.iter().all(Option::is_some);
        match &self.reading {
            Reading::Busy => return,
            Reading::Waiting {
                handle,
                lane,
                record,
            } => {
                let (handle, lane, record) = (*handle, *lane, Arc::clone(record));
                if is_empty {
                    context.cancel_future(handle);
                    self.decode(lane, record, None, context);
                } else if is_stopped {
                    // Its place in the queue for the budget, too.
                    context.cancel_future(handle);
                    self.reading = Reading::Idle;
                }
                return;
            }
            Reading::Idle if is_stopped => return,
            Reading::Idle => {}
        }
        if std::mem::take(&mut self.wants_live_first) {
            progress.live_first(end);
        }
        match progress.step(end) {
            Step::Wait => {}
            Step::Read {
                lane,
                from,
                most_bytes,
                may_overtake,
            } => {
                let wanted = ReadRecords {
                    from,
                    most_bytes,
                    may_overtake,
                };
                self.read(lane, wanted, context);
            }
            Step::Decode { lane, record } => self.admit(lane, record, context),
        }
    }

    fn read(&mut self, lane: Lane, wanted: ReadRecords, context: &mut Context<Self>) {
        self.reading = Reading::Busy;
        let from = wanted.from;
        let reply = self.options.journal.send(wanted);
        let reply = in_time(self.clock.clone(), reply);
        context.spawn(reply.into_actor(self).map(move |reply, actor, context| {
            let error = match reply {
                Ok(Ok(reply)) => return actor.was_read(lane, from, reply, context),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            // Without its state, records can still be sent.
            if let Some(progress) = &mut actor.progress
                && progress.give_up_rewind(lane)
            {
                actor.reading = Reading::Idle;
                actor.pump(context);
                return;
            }
            actor.read_later(&error, context);
        }));
    }

    fn was_read(&mut self, lane: Lane, from: u64, reply: ReadReply, context: &mut Context<Self>) {
        self.reading = Reading::Idle;
        self.backoff.reset();
        self.cannot_read = false;
        let now = unix_nanos(self.clock.corrected());
        let Some(progress) = &mut self.progress else {
            return;
        };
        if let Some(first) = reply.records.first()
            && lane == Lane::Live
            && !progress.is_replay(lane, &first.header)
            && !std::mem::replace(&mut self.has_read, true)
        {
            let outage = i64::try_from(OUTAGE.as_nanos()).unwrap_or(i64::MAX);
            self.wants_live_first = now.saturating_sub(first.header.received) > outage;
        }
        match progress.was_read(lane, from, reply) {
            true => self.pump(context),
            false => self.read_later("it has no record where one is expected", context),
        }
    }

    /// Decodes a record as soon as the budget has room for its samples.
    fn admit(&mut self, lane: Lane, record: Arc<Record>, context: &mut Context<Self>) {
        let sequence = record.header.sequence;
        if self.kills.is_skipped(sequence) {
            self.leave_out(lane, &record.header, "reading it failed twice");
            self.pump(context);
            return;
        }
        let Some(progress) = &mut self.progress else {
            return;
        };
        let budget = self.options.context.budget.clone();
        let bytes = estimate(record.header.rows);
        let is_free = bytes == 0 || progress.is_replay(lane, &record.header);
        let share = match is_free {
            true => None,
            false => budget.try_take(bytes),
        };
        if share.is_some() || is_free || progress.is_empty() {
            self.decode(lane, record, share, context);
            return;
        }
        let waiting = Arc::clone(&record);
        let taken = async move { budget.take(bytes).await };
        let taken = taken.into_actor(self).map(move |share, actor, context| {
            // A wait that was cancelled can still end: actix removes it only after the next future that is not ready.
            if let Reading::Waiting { handle, .. } = actor.reading {
                context.cancel_future(handle);
                actor.decode(lane, record, share, context);
            }
        });
        self.reading = Reading::Waiting {
            handle: context.spawn(taken),
            lane,
            record: waiting,
        };
    }

    fn decode(
        &mut self,
        lane: Lane,
        record: Arc<Record>,
        share: Option<Share>,
        context: &mut Context<Self>,
    ) {
        let Some(progress) = &mut self.progress else {
            return;
        };
        self.reading = Reading::Busy;
        self.at_risk = Some(record.header.sequence);
        let (shared, destination) = (&self.options.context, &self.options.destination);
        let mut decoder = progress.take_decoder(lane, || {
            let options = decoder::options(&destination.destination, shared);
            Decoder::new(shared.schemas.clone(), Arc::new(options))
        });
        let read = Arc::clone(&record);
        let (budget, pool) = (shared.budget.clone(), shared.pool.clone());
        let decoded = async move {
            let _decoding = budget.decode(estimate_decoding(read.header.rows)).await;
            let decode = move || {
                let slice = decoder.read(&read);
                (decoder, slice)
            };
            pool.run(decode).await
        };
        context.spawn(
            decoded
                .into_actor(self)
                .map(move |decoded, actor, context| {
                    match decoded {
                        Ok((decoder, slice)) => {
                            actor.was_decoded(lane, &record, decoder, slice, share)
                        }
                        Err(_) => actor.was_killed(),
                    }
                    actor.reading = Reading::Idle;
                    actor.at_risk = None;
                    actor.pump(context);
                }),
        );
    }

    fn was_decoded(
        &mut self,
        lane: Lane,
        record: &Record,
        decoder: Box<Decoder>,
        slice: Result<Slice, Unreadable>,
        share: Option<Share>,
    ) {
        let Some(progress) = &mut self.progress else {
            return;
        };
        let (header, budget) = (&record.header, &self.options.context.budget);
        match slice {
            Ok(slice) => {
                let share = share.map(|mut share| {
                    budget.resize(&mut share, decoder::bytes(&slice));
                    share
                });
                progress.decoded(lane, header, decoder, Some(slice), share);
            }
            Err(error) => {
                let is_replay = progress.is_replay(lane, header);
                progress.decoded(lane, header, decoder, None, None);
                if !is_replay {
                    self.count_unreadable(header, &error.to_string());
                }
            }
        }
    }

    /// Skips a record without its state.
    fn leave_out(&mut self, lane: Lane, header: &Header, error: &str) {
        let Some(progress) = &mut self.progress else {
            return;
        };
        let is_replay = progress.is_replay(lane, header);
        progress.skip(lane, header);
        if !is_replay {
            self.count_unreadable(header, error);
        }
    }

    fn count_unreadable(&mut self, header: &Header, error: &str) {
        let rows = u64::from(header.rows);
        self.options
            .status
            .count_dropped(RowReason::Unreadable, rows);
        let error = self.options.context.redactor.redact(error);
        let now = self.clock.elapsed();
        self.log.unreadable(header.sequence, rows, &error, now);
    }

    /// Decoding a record panicked, or the actor did meanwhile.
    pub(super) fn was_killed(&mut self) {
        if let Some(sequence) = self.at_risk.take() {
            self.kills.add(sequence);
        }
    }
}

async fn in_time<T>(
    clock: Clock,
    reply: impl Future<Output = Result<T, MailboxError>>,
) -> Result<T, MailboxError> {
    let reply = clock.timeout(REPLY_LIMIT, reply).await;
    reply.unwrap_or(Err(MailboxError::Timeout))
}
