//! The queue of lines for the writer: limited in bytes. Lines that do not fit are dropped and counted.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::self_metrics::Counter;

/// The memory of a line in addition to its bytes.
const OVERHEAD: usize = 64;

/// The waiting lines, and the count of dropped ones.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Notified when there is a line to write.
    filled: Condvar,
    /// Notified when all lines are written.
    emptied: Condvar,
    dropped: Arc<Counter>,
}

#[derive(Debug)]
struct State {
    lines: Lines,
    /// Whether the writer has taken a line that is not written yet.
    is_writing: bool,
}

/// How much of the queue a line may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Importance {
    /// INFO and above: the whole queue.
    Event,
    /// DEBUG and below: three quarters of the queue, so that many details do not displace a warning.
    Detail,
}

impl Queue {
    pub(super) fn new(limit: usize, dropped: Arc<Counter>) -> Self {
        Self {
            state: Mutex::new(State {
                lines: Lines::new(limit),
                is_writing: false,
            }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            dropped,
        }
    }

    /// Queues a line, or drops it if it does not fit. Blocks only briefly, on the lock.
    pub(super) fn push(&self, line: Vec<u8>, importance: Importance) {
        if self.state().lines.push(line, importance) {
            self.filled.notify_one();
        } else {
            self.dropped.increment();
        }
    }

    /// Waits for a line and takes it. The line taken before counts as written from now on.
    pub(super) fn next(&self) -> Vec<u8> {
        let mut state = self.state();
        state.is_writing = false;
        loop {
            if let Some(line) = state.lines.pop() {
                state.is_writing = true;
                return line;
            }
            self.emptied.notify_all();
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Counts a line that could not be written.
    pub(super) fn lost(&self) {
        self.dropped.increment();
    }

    /// The number of lines that were dropped so far.
    pub(super) fn dropped(&self) -> f64 {
        self.dropped.value()
    }

    /// Whether no line is waiting.
    pub(super) fn is_empty(&self) -> bool {
        self.state().lines.queue.is_empty()
    }

    /// Waits until all lines are written, at most `limit`.
    pub(super) fn wait_until_written(&self, limit: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.lines.queue.is_empty();
        let waited = self
            .emptied
            .wait_timeout_while(self.state(), limit, is_busy);
        // The process ends in both cases.
        drop(waited);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waiting lines, in order.
#[derive(Debug)]
struct Lines {
    queue: VecDeque<Vec<u8>>,
    bytes: usize,
    limit: usize,
}

impl Lines {
    fn new(limit: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            limit,
        }
    }

    /// Adds a line if it fits. Returns whether it does.
    fn push(&mut self, mut line: Vec<u8>, importance: Importance) -> bool {
        let limit = match importance {
            Importance::Event => self.limit,
            Importance::Detail => self.limit / 4 * 3,
        };
        line.shrink_to_fit();
        let cost = line.len() + OVERHEAD;
        let fits = self.bytes + cost <= limit;
        if fits {
            self.bytes += cost;
            self.queue.push_back(line);
        }
        fits
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let line = self.queue.pop_front()?;
        self.bytes -= line.len() + OVERHEAD;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::Importance::{Detail, Event};
    use super::*;

    #[test]
    fn the_limit_is_in_bytes_and_details_leave_room_for_events() {
        let mut lines = Lines::new(1000);
        let line = |length| vec![b'x'; length];
        for (length, importance, expected) in [
            (1000, Event, false),
            (900, Detail, false),
            (500, Detail, true),
            (200, Detail, false),
            (200, Event, true),
            (107, Event, true),
            (1, Event, false),
            (0, Detail, false),
        ] {
            let fits = lines.push(line(length), importance);
            assert_eq!(fits, expected, "{length} {importance:?}");
        }
        let popped: Vec<_> = std::iter::from_fn(|| lines.pop()).collect();
        assert_eq!(popped, [500, 200, 107].map(line));
        assert_eq!(lines.bytes, 0);
    }

    #[test]
    fn dropped_lines_are_counted_and_a_taken_line_is_written_at_the_next() {
        let dropped = Arc::new(Counter::default());
        let queue = Queue::new(100, Arc::clone(&dropped));
        queue.wait_until_written(Duration::MAX);
        queue.push(b"one\n".to_vec(), Event);
        queue.push(b"two\n".to_vec(), Event);
        assert_eq!(dropped.value(), 1.0);
        queue.wait_until_written(Duration::ZERO);
        assert_eq!(queue.next(), b"one\n");
        assert!(queue.is_empty());
        queue.lost();
        assert_eq!(queue.dropped(), 2.0);
    }
}
