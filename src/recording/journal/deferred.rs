//! A reply that is known later.

use actix::dev::{MessageResponse, OneshotSender};
use actix::{Actor, Message};
use tokio::sync::oneshot;

/// The reply to a message, which is sent when the other half of the channel sends it. If that is dropped, the sender of the message gets
/// an error. When the reply is not awaited any more, the other half is closed. A restart of the actor does not affect it.
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
        let Some(mut sender) = sender else { return };
        actix_rt::spawn(async move {
            tokio::select! {
                reply = self.0 => if let Ok(reply) = reply {
                    // An error means that the reply is not awaited any more.
                    let _ = sender.send(reply);
                },
                () = sender.closed() => {}
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use actix::{Context, Handler};

    use super::*;

    /// Hands over the other half of each reply.
    struct Asked(tokio::sync::mpsc::UnboundedSender<oneshot::Sender<()>>);

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Ask;

    impl Actor for Asked {
        type Context = Context<Self>;
    }

    impl Handler<Ask> for Asked {
        type Result = Deferred<()>;

        fn handle(&mut self, _: Ask, _: &mut Self::Context) -> Self::Result {
            let (reply, deferred) = Deferred::new();
            self.0.send(reply).unwrap();
            deferred
        }
    }

    #[actix_rt::test]
    async fn a_reply_that_is_not_awaited_any_more_is_closed() {
        let (replies, mut received) = tokio::sync::mpsc::unbounded_channel();
        let asked = Asked(replies).start();
        let waiting = actix_rt::spawn(asked.send(Ask));
        received.recv().await.unwrap().send(()).unwrap();
        waiting.await.unwrap().unwrap();
        let short = tokio::time::timeout(Duration::from_millis(1), asked.send(Ask));
        let (given_up, mut reply) = tokio::join!(short, async { received.recv().await.unwrap() });
        assert!(given_up.is_err());
        reply.closed().await;
    }
}
