//! A reply that is known later.

use actix::dev::{MessageResponse, OneshotSender};
use actix::{Actor, Message};
use tokio::sync::oneshot;

/// The reply to a message, which is sent when the other half of the channel sends it. If that is dropped, the sender of the message gets
/// an error. A restart of the actor does not affect it.
#[derive(Debug)]
pub struct Deferred<T>(oneshot::Receiver<T>);

impl<T> Deferred<T> {
    /// A reply, and the sender that gives it.
    pub(super) fn new() -> (oneshot::Sender<T>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(receiver))
    }
}

impl<A: Actor, M: Message> MessageResponse<A, M> for Deferred<M::Result>
where
    M::Result: Send,
{
    fn handle(self, _: &mut A::Context, sender: Option<OneshotSender<M::Result>>) {
        actix_rt::spawn(async move {
            if let (Ok(reply), Some(sender)) = (self.0.await, sender) {
                // An error means that the reply is not awaited any more.
                let _ = sender.send(reply);
            }
        });
    }
}
