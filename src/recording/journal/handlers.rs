//! The messages of a JournalActor.

use std::sync::Arc;

use actix::{AsyncContext, Context, Handler, MessageResult};
use tokio::sync::oneshot;

use super::acknowledgements::acknowledge;
use super::deferred::Deferred;
use super::portion::Portion;
use super::results::{Done, Event};
use super::thread::Panicked;
use super::worker::{Worker, not_open};
use super::{JournalActor, State};
use crate::account::OfferAnswer;
use crate::journal::retention::AccountUse;
use crate::journal::{Cursor, Record, Storage};
use crate::recording::messages::{
    Advance, CursorOf, DeleteOldest, Finish, LIMIT, ReadRecords, ReadReply, RecordMoved,
    SetSubscriptions, SetTenant, Unavailable, Usage,
};
use crate::supervise::Heartbeat;
use crate::time::unix_nanos;

impl<S: Storage + Unpin + 'static> JournalActor<S> {
    /// Runs an operation on the journal's thread, and replies with its result. Without one within the limit, the reply is `otherwise`.
    fn reply_within_limit<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Worker<S>) -> T + Send + 'static,
        otherwise: T,
        reply: oneshot::Sender<T>,
        context: &mut Context<Self>,
    ) {
        let (sender, result) = oneshot::channel();
        let actor = context.address().downgrade();
        self.thread.run(operation, move |result| match result {
            // An error means that the limit is over.
            Ok(result) => drop(sender.send(result)),
            Err(Panicked) => {
                if let Some(actor) = actor.upgrade() {
                    actor.do_send(Done::new(Event::Panicked));
                }
            }
        });
        let clock = self.clock.clone();
        actix_rt::spawn(async move {
            let result = clock.timeout(LIMIT, result).await;
            // An error means that the reply is not awaited any more.
            let _ = reply.send(result.and_then(Result::ok).unwrap_or(otherwise));
        });
    }

    /// The records in memory that can be added to a reading.
    fn in_memory(&self, wanted: ReadRecords) -> Vec<Arc<Record>> {
        let mut room = wanted.most_bytes;
        let mut records = Vec::new();
        for record in self.flow.memory().from(wanted.from) {
            let bytes = record.encoded_len();
            if bytes > room && !records.is_empty() {
                break;
            }
            room = room.saturating_sub(bytes);
            records.push(Arc::clone(record));
        }
        records
    }

    fn read(
        &mut self,
        wanted: ReadRecords,
        reply: oneshot::Sender<Result<ReadReply, Unavailable>>,
        context: &mut Context<Self>,
    ) {
        let ReadRecords {
            from,
            most_bytes,
            may_overtake,
        } = wanted;
        let end = self.intake.next();
        let first = self.flow.memory().first();
        let first = first.map_or(end, |first| first.header.sequence);
        let memory = self.in_memory(wanted);
        let mut portion = Portion::new(from, most_bytes);
        let read = if self.state != State::Open {
            Err(not_open())
        } else if first <= from {
            portion.add(&memory);
            Ok(portion.reply(end))
        } else if !self.thread.hangs() {
            let known = std::mem::take(&mut self.known_gaps);
            let read = move |worker: &mut Worker<S>| worker.read(wanted, &memory, end, &known);
            let otherwise = Err(hangs());
            self.reply_within_limit(read, otherwise, reply, context);
            return;
        } else if may_overtake && !memory.is_empty() {
            portion.overtake(&memory);
            Ok(portion.reply(end))
        } else {
            Err(hangs())
        };
        // An error means that the reply is not awaited any more.
        let _ = reply.send(read);
    }
}

/// Why nothing can be read while an operation takes too long.
fn hangs() -> Unavailable {
    Unavailable(format!("no result within {} s", LIMIT.as_secs()).into())
}

impl<S: Storage + Unpin + 'static> Handler<Heartbeat> for JournalActor<S> {
    type Result = ();

    fn handle(&mut self, _: Heartbeat, _: &mut Self::Context) {}
}

impl<S: Storage + Unpin + 'static> Handler<OfferAnswer> for JournalActor<S> {
    type Result = Deferred<()>;

    fn handle(&mut self, offer: OfferAnswer, context: &mut Self::Context) -> Self::Result {
        #[cfg(feature = "fault-injection")]
        self.faults.on_message(context);
        let (waiter, acknowledged) = Deferred::new();
        self.offered(offer, waiter, context);
        acknowledged
    }
}

impl<S: Storage + Unpin + 'static> Handler<SetSubscriptions> for JournalActor<S> {
    type Result = ();

    fn handle(&mut self, message: SetSubscriptions, context: &mut Self::Context) {
        self.subscribers.set(message.0, self.clock.elapsed());
        self.cursor_replies.answer(&self.subscribers);
        self.request_due(context);
    }
}

impl<S: Storage + Unpin + 'static> Handler<SetTenant> for JournalActor<S> {
    type Result = ();

    fn handle(&mut self, SetTenant(tenant): SetTenant, context: &mut Self::Context) {
        self.subscribers.set_tenant(tenant);
        self.request_due(context);
    }
}

impl<S: Storage + Unpin + 'static> Handler<CursorOf> for JournalActor<S> {
    type Result = Deferred<Result<Option<Cursor>, Unavailable>>;

    fn handle(&mut self, CursorOf(destination): CursorOf, _: &mut Self::Context) -> Self::Result {
        let (reply, cursor) = Deferred::new();
        self.cursor_replies.push(destination, reply);
        match self.state {
            State::Refused => self.cursor_replies.refuse(),
            State::Opening | State::Open => self.cursor_replies.answer(&self.subscribers),
        }
        cursor
    }
}

impl<S: Storage + Unpin + 'static> Handler<ReadRecords> for JournalActor<S> {
    type Result = Deferred<Result<ReadReply, Unavailable>>;

    fn handle(&mut self, wanted: ReadRecords, context: &mut Self::Context) -> Self::Result {
        let (reply, read) = Deferred::new();
        self.read(wanted, reply, context);
        read
    }
}

impl<S: Storage + Unpin + 'static> Handler<Advance> for JournalActor<S> {
    type Result = MessageResult<Advance>;

    fn handle(&mut self, message: Advance, context: &mut Self::Context) -> Self::Result {
        let Advance {
            destination,
            cursor,
            rows,
        } = message;
        self.subscribers.advance(&destination, cursor, rows);
        self.forget_sent(context);
        MessageResult(())
    }
}

impl<S: Storage + Unpin + 'static> Handler<RecordMoved> for JournalActor<S> {
    type Result = MessageResult<RecordMoved>;

    fn handle(
        &mut self,
        RecordMoved(moved): RecordMoved,
        context: &mut Self::Context,
    ) -> Self::Result {
        if self.state != State::Refused && !self.subscribers.is_empty() && !moved.is_empty() {
            let received = unix_nanos(self.clock.corrected());
            let record = self.intake.moved(&moved, received, self.clock.elapsed());
            self.record(record, context);
        }
        MessageResult(())
    }
}

impl<S: Storage + Unpin + 'static> Handler<Usage> for JournalActor<S> {
    type Result = Deferred<Option<AccountUse>>;

    fn handle(&mut self, _: Usage, context: &mut Self::Context) -> Self::Result {
        let (reply, usage) = Deferred::new();
        // While segments are deleted, their use is about to change.
        if self.state != State::Open || self.requested.is_deleting || self.thread.hangs() {
            let _ = reply.send(None);
        } else {
            self.reply_within_limit(|worker| worker.usage(), None, reply, context);
        }
        usage
    }
}

impl<S: Storage + Unpin + 'static> Handler<DeleteOldest> for JournalActor<S> {
    type Result = Deferred<()>;

    fn handle(
        &mut self,
        DeleteOldest(reasons): DeleteOldest,
        context: &mut Self::Context,
    ) -> Self::Result {
        let (reply, done) = Deferred::new();
        if self.state != State::Open || self.requested.is_deleting {
            let _ = reply.send(());
        } else {
            self.requested.is_deleting = true;
            let cursors = self.subscribers.cursors();
            let known = std::mem::take(&mut self.known_gaps);
            self.request(context, move |worker| {
                Event::Deleted(worker.delete(&reasons, cursors, &known), reply)
            });
        }
        done
    }
}

impl<S: Storage + Unpin + 'static> Handler<Finish> for JournalActor<S> {
    type Result = Deferred<()>;

    fn handle(&mut self, _: Finish, context: &mut Self::Context) -> Self::Result {
        let (waiter, finished) = Deferred::new();
        match self.state {
            // What is in memory is written when the journal is open, if that is before the caller's deadline.
            State::Opening | State::Open => {
                self.finishing.push(waiter);
                self.close_if_finishing(context);
            }
            // Nothing is written.
            State::Refused => acknowledge(vec![waiter]),
        }
        finished
    }
}
