//! The replies that need the cursor of a destination, which is known when the journal is open. Pure.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::subscribers::Subscribers;
use super::worker::not_open;
use crate::journal::Cursor;
use crate::recording::messages::Unavailable;

/// Sends the cursor of a destination; `None` if it is not subscribed.
pub(super) type CursorReply = oneshot::Sender<Result<Option<Cursor>, Unavailable>>;

/// The replies that wait, by the names of the destinations.
#[derive(Debug, Default)]
pub(super) struct CursorReplies(Vec<(Arc<str>, CursorReply)>);

impl CursorReplies {
    /// Adds a reply. Those that are not awaited any more are forgotten: senders ask again and again while the journal cannot be opened.
    pub(super) fn push(&mut self, destination: Arc<str>, reply: CursorReply) {
        self.0.retain(|(_, reply)| !reply.is_closed());
        self.0.push((destination, reply));
    }

    /// Sends the replies that are known now.
    pub(super) fn answer(&mut self, subscribers: &Subscribers) {
        for (destination, reply) in std::mem::take(&mut self.0) {
            let cursor = subscribers.cursor(&destination).cloned();
            if cursor.is_some() || !subscribers.contains(&destination) {
                // An error means that the reply is not awaited any more.
                let _ = reply.send(Ok(cursor));
            } else {
                self.0.push((destination, reply));
            }
        }
    }

    /// Replies that the journal cannot be read.
    pub(super) fn refuse(&mut self) {
        for (_, reply) in self.0.drain(..) {
            // An error means that the reply is not awaited any more.
            let _ = reply.send(Err(not_open()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_that_are_not_awaited_are_forgotten() {
        let mut replies = CursorReplies::default();
        for _ in 0..9 {
            let (reply, _) = oneshot::channel();
            replies.push("d".into(), reply);
        }
        let (reply, mut cursor) = oneshot::channel();
        replies.push("d".into(), reply);
        assert_eq!(replies.0.len(), 1);
        replies.answer(&Subscribers::default());
        assert_eq!(cursor.try_recv().unwrap().unwrap(), None);
    }
}
