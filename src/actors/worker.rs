//! A thread for work that takes long: on the thread of an actor no heartbeat would be answered meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

/// The work panicked; the panic is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it panicked")]
pub struct WorkPanicked;

type Work = Box<dyn FnOnce() + Send>;

/// One thread, started when it is first needed. It survives panics of the work and ends with the last clone of its handle.
#[derive(Debug, Clone, Default)]
pub struct Worker {
    queue: Arc<Mutex<Option<Sender<Work>>>>,
}

impl Worker {
    /// Does the work after that which was given before. Where no thread can be had it is done at once by the caller's.
    ///
    /// # Errors
    /// When the work panics.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkPanicked> {
        let (sender, receiver) = oneshot::channel();
        let work: Work = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            // Whoever asked may have gone.
            let _ = sender.send(result.map_err(|_| WorkPanicked));
        });
        if let Err(work) = self.enqueue(work) {
            work();
        }
        receiver.await.unwrap_or(Err(WorkPanicked))
    }

    /// Gives the work to the thread, which is started if need be. Gives it back where that is impossible.
    fn enqueue(&self, work: Work) -> Result<(), Work> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let work = match &*queue {
            Some(thread) => match thread.send(work) {
                Ok(()) => return Ok(()),
                Err(mpsc::SendError(work)) => work,
            },
            None => work,
        };
        let (sender, receiver) = mpsc::channel::<Work>();
        let body = move || receiver.into_iter().for_each(|work| work());
        let started = thread::Builder::new().name("decode".to_owned()).spawn(body);
        match started {
            Ok(_) => {
                let sent = sender.send(work).map_err(|mpsc::SendError(work)| work);
                *queue = Some(sender);
                sent
            }
            Err(_) => Err(work),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[actix_rt::test]
    async fn work_is_done_elsewhere_and_panics_cost_nothing_else() {
        let worker = Worker::default();
        let here = thread::current().id();
        let first = worker.run(|| thread::current().id()).await.unwrap();
        assert_ne!(first, here);
        let panicked = worker.run(|| panic!("a panic of the test")).await;
        assert_eq!(panicked, Err::<(), _>(WorkPanicked));
        assert_eq!(worker.run(|| thread::current().id()).await, Ok(first));
    }

    #[actix_rt::test]
    async fn the_callers_thread_goes_on_meanwhile() {
        let worker = Worker::default();
        let (sender, receiver) = mpsc::channel();
        let work = worker.run(move || receiver.recv().unwrap());
        // Polled after the work has begun, on the same thread: else both would wait for ever.
        let other = async { sender.send(7).unwrap() };
        let (result, ()) = futures_util::future::join(work, other).await;
        assert_eq!(result, Ok(7));
    }
}
