//! Injects panics, stops and hangs into actors, for tests. Not part of a release build (feature `fault-injection`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Message, WrapFuture};

/// The kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The actor panics.
    Panic,
    /// The actor panics with this message.
    PanicSaying(&'static str),
    /// The actor stops.
    Stop,
    /// The actor's thread blocks for this time.
    Hang(Duration),
    /// The actor's thread blocks until the latch is opened.
    HangUntil(Latch),
}

/// Ends a [`Fault::HangUntil`]. Copies are the same latch, which is never freed.
#[derive(Debug, Clone, Copy)]
pub struct Latch(&'static AtomicBool);

impl Latch {
    /// A closed latch.
    #[must_use]
    pub fn closed() -> Self {
        Self(Box::leak(Box::default()))
    }

    /// Opens it for ever.
    pub fn open(self) {
        self.0.store(true, Ordering::Release);
    }

    fn wait(self) {
        while !self.0.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl PartialEq for Latch {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Latch {}

/// The place at which a fault happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the handler of the message that injects it.
    Handler,
    /// In a future that the actor has spawned.
    Future,
    /// In an interval.
    Interval,
    /// In `started`, this many times. The actor is stopped first, so that it is restarted.
    Started(usize),
    /// In the handlers of the actor's next ordinary messages, this many times. The StreamActor has none; instead its next attempt panics
    /// while it reads an answer, whatever the fault is.
    NextMessage(usize),
    /// In the StreamActor or the InventoryActor, when it takes the result of an attempt or a request, this many times.
    Answer(usize),
}

/// Injects a fault. The reply is sent before the fault happens, unless it happens in the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Inject(pub Place, pub Fault);

/// The pending faults of an actor. They are kept when it restarts.
#[derive(Debug, Default)]
pub struct Armed {
    started: Option<(usize, Fault)>,
    message: Option<(usize, Fault)>,
    answer: Option<(usize, Fault)>,
}

impl Armed {
    /// Call it in `started`.
    pub fn on_start<A: Actor<Context = Context<A>>>(&mut self, context: &mut Context<A>) {
        cause_if_armed(&mut self.started, context);
    }

    /// Takes the fault of the next message, for a caller that makes it happen itself.
    pub(crate) fn take_message(&mut self) -> Option<Fault> {
        self.message.take().map(|(_, fault)| fault)
    }

    /// Call it where an answer is taken.
    pub(crate) fn on_answer<A: Actor<Context = Context<A>>>(&mut self, context: &mut Context<A>) {
        cause_if_armed(&mut self.answer, context);
    }

    /// Call it in the handler of an ordinary message, before it changes the state.
    pub fn on_message<A: Actor<Context = Context<A>>>(&mut self, context: &mut Context<A>) {
        cause_if_armed(&mut self.message, context);
    }
}

fn cause_if_armed<A: Actor<Context = Context<A>>>(
    armed: &mut Option<(usize, Fault)>,
    context: &mut Context<A>,
) {
    if let Some((times, fault)) = armed.take() {
        if times > 1 {
            *armed = Some((times - 1, fault));
        }
        cause(fault, context);
    }
}

fn cause<A: Actor<Context = Context<A>>>(fault: Fault, context: &mut Context<A>) {
    match fault {
        Fault::Panic => panic!("injected panic"),
        Fault::PanicSaying(message) => panic!("{message}"),
        Fault::Stop => context.stop(),
        Fault::Hang(duration) => std::thread::sleep(duration),
        Fault::HangUntil(latch) => latch.wait(),
    }
}

/// Executes [`Inject`] in an actor; called by [`injectable`].
pub(crate) fn inject<A: Actor<Context = Context<A>>>(
    Inject(place, fault): Inject,
    armed: impl Fn(&mut A) -> &mut Armed,
    actor: &mut A,
    context: &mut Context<A>,
) {
    match place {
        Place::Handler => cause(fault, context),
        Place::Future => {
            let future = std::future::ready(()).into_actor(actor);
            context.spawn(future.map(move |(), _, context| cause(fault, context)));
        }
        Place::Interval => {
            context.run_interval(Duration::from_millis(1), move |_, context| {
                cause(fault, context);
            });
        }
        Place::Started(times) => {
            armed(actor).started = Some((times, fault));
            context.stop();
        }
        Place::NextMessage(times) => armed(actor).message = Some((times, fault)),
        Place::Answer(times) => armed(actor).answer = Some((times, fault)),
    }
}

/// Implements the handler of [`Inject`] for an actor with a field `faults` of type [`Armed`].
macro_rules! injectable {
    ($actor:ty) => {
        impl actix::Handler<crate::supervise::faults::Inject> for $actor {
            type Result = ();

            fn handle(
                &mut self,
                message: crate::supervise::faults::Inject,
                context: &mut Self::Context,
            ) {
                crate::supervise::faults::inject(
                    message,
                    |actor: &mut Self| &mut actor.faults,
                    self,
                    context,
                );
            }
        }
    };
}
pub(crate) use injectable;
