//! Injects panics, stops and hangs into actors, for tests. Not part of a release build (feature `fault-injection`).

use std::time::Duration;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Message, WrapFuture};

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The actor panics.
    Panic,
    /// The actor panics with this message.
    PanicSaying(&'static str),
    /// The actor stops.
    Stop,
    /// The actor's thread is stuck for so long.
    Hang(Duration),
}

/// Where it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the handler of the message that injects it.
    Handler,
    /// In a future that the actor has spawned.
    Future,
    /// In an interval.
    Interval,
    /// In `started`, so many times: the actor stops first.
    Started(usize),
    /// In the handler of the actor's next real message, so many times. The StreamActor gets none: there it is the reading of an
    /// answer by one of its next attempts, and a panic whatever the fault.
    NextMessage(usize),
    /// In the StreamActor, when it takes what an attempt has brought, so many times.
    Answer(usize),
}

/// Injects a fault. Answered before it happens, unless it happens in the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Inject(pub Place, pub Fault);

/// Faults that wait for their time. Kept over restarts, like the actor they are in.
#[derive(Debug, Default)]
pub struct Armed {
    started: Option<(usize, Fault)>,
    message: Option<(usize, Fault)>,
    answer: Option<(usize, Fault)>,
}

impl Armed {
    /// To be called in `started`.
    pub fn on_start<A: Actor<Context = Context<A>>>(&mut self, context: &mut Context<A>) {
        trip(&mut self.started, context);
    }

    /// The fault of the next message, for whoever makes it happen by itself.
    pub(crate) fn take_message(&mut self) -> Option<Fault> {
        self.message.take().map(|(_, fault)| fault)
    }

    /// To be called where an answer is taken.
    pub(crate) fn on_answer<A: Actor<Context = Context<A>>>(&mut self, context: &mut Context<A>) {
        trip(&mut self.answer, context);
    }

    /// To be called in the handler of a real message, before it does anything that lasts.
    pub fn on_message<A: Actor<Context = Context<A>>>(&mut self, context: &mut Context<A>) {
        trip(&mut self.message, context);
    }
}

fn trip<A: Actor<Context = Context<A>>>(
    armed: &mut Option<(usize, Fault)>,
    context: &mut Context<A>,
) {
    if let Some((times, fault)) = armed.take() {
        if times > 1 {
            *armed = Some((times - 1, fault));
        }
        happen(fault, context);
    }
}

fn happen<A: Actor<Context = Context<A>>>(fault: Fault, context: &mut Context<A>) {
    match fault {
        Fault::Panic => panic!("injected panic"),
        Fault::PanicSaying(message) => panic!("{message}"),
        Fault::Stop => context.stop(),
        Fault::Hang(duration) => std::thread::sleep(duration),
    }
}

/// Does what [`Inject`] asks of an actor; [`injectable`] calls it.
pub(crate) fn inject<A: Actor<Context = Context<A>>>(
    Inject(place, fault): Inject,
    armed: impl Fn(&mut A) -> &mut Armed,
    actor: &mut A,
    context: &mut Context<A>,
) {
    match place {
        Place::Handler => happen(fault, context),
        Place::Future => {
            let future = std::future::ready(()).into_actor(actor);
            context.spawn(future.map(move |(), _, context| happen(fault, context)));
        }
        Place::Interval => {
            context.run_interval(Duration::from_millis(1), move |_, context| {
                happen(fault, context);
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

/// Has an actor with a field `faults` of type [`Armed`] answer [`Inject`].
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
