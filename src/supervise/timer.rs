//! Timers of actors by the application's clock, which tests can move.

use actix::fut::wrap_future;
use actix::{Actor, ActorFutureExt, AsyncContext, Context, SpawnHandle};

use crate::time::{Clock, Moment};

/// Calls `act` with an actor at a moment of the clock. A restart of the actor cancels the timer, and so does its handle.
pub fn act_at<A: Actor<Context = Context<A>>>(
    clock: &Clock,
    moment: Moment,
    context: &mut Context<A>,
    act: impl FnOnce(&mut A, &mut Context<A>) + 'static,
) -> SpawnHandle {
    let clock = clock.clone();
    let wait = wrap_future::<_, A>(async move { clock.sleep_until(moment).await });
    context.spawn(wait.map(|(), actor, context| act(actor, context)))
}
