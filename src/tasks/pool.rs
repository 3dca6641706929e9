//! A pool of threads for long jobs, which would delay heartbeats and requests if they ran on the threads of actors or HTTP. All threads
//! are started with the pool, so that a job never fails because no thread can be started.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads. Clones share them; they end with the last clone.
///
/// The queue of jobs has no limit; callers must hold a permit of a limited resource.
#[derive(Debug, Clone)]
pub struct Pool(Sender<Job>);

impl Pool {
    /// Starts the threads.
    ///
    /// # Errors
    /// The operating system cannot start all of them.
    pub fn start(name: &str, threads: usize) -> io::Result<Self> {
        let (sender, jobs) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..threads {
            let jobs = Arc::clone(&jobs);
            let thread = thread::Builder::new().name(name.to_owned());
            thread.spawn(move || work(&jobs))?;
        }
        Ok(Self(sender))
    }

    /// Runs a job on a thread. The future returns an error if the job panics. Everything that the job holds is dropped in any case.
    pub fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        let job = Box::new(move || {
            // An error means that the result is not awaited any more.
            let _ = sender.send(job());
        });
        // The threads end only after all senders. So the job is run, or dropped here, which ends the receiver with an error.
        drop(self.0.send(job));
        receiver
    }
}

/// Runs jobs until the pool is dropped and the queue is empty.
fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The panic itself has been logged.
        drop(catch_unwind(AssertUnwindSafe(job)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn the_pool_runs_jobs_after_panics() {
        let pool = Pool::start("test", 2).unwrap();
        for number in 0..20 {
            let failed = pool.run(|| panic!("a job panics"));
            assert!(failed.await.is_err());
            assert_eq!(pool.run(move || number).await, Ok(number));
        }
    }

    #[actix_rt::test]
    async fn a_job_runs_on_a_thread_of_the_pool_which_survives_its_panic() {
        let pool = Pool::start("test", 1).unwrap();
        let here = thread::current().id();
        let first = pool.run(|| thread::current().id()).await.unwrap();
        assert_ne!(first, here);
        let panicked = pool.run(|| panic!("a panic of the test")).await;
        assert!(panicked.is_err());
        assert_eq!(pool.run(|| thread::current().id()).await, Ok(first));
    }

    #[actix_rt::test]
    async fn a_job_does_not_block_the_calling_thread() {
        let pool = Pool::start("test", 1).unwrap();
        let (sender, receiver) = channel();
        let job = pool.run(move || receiver.recv().unwrap());
        // On the same thread after the job has begun; otherwise both would wait without end.
        let other = async { sender.send(7).unwrap() };
        let (result, ()) = futures_util::future::join(job, other).await;
        assert_eq!(result, Ok(7));
    }

    #[actix_rt::test]
    async fn threads_end_with_the_pool() {
        let held = Arc::new(());
        let pool = Pool::start("test", 2).unwrap();
        let job = {
            let held = Arc::clone(&held);
            pool.run(move || drop(held))
        };
        drop(pool);
        job.await.unwrap();
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
