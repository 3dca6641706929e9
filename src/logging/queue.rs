//! Lines on their way to the writer: bounded in bytes. What does not fit is dropped and counted.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::self_metrics::Counter;

/// What a line costs beyond its bytes.
const OVERHEAD: usize = 64;

/// The lines that wait, and those that were lost.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is a line to write.
    filled: Condvar,
    /// Everything is written.
    emptied: Condvar,
    dropped: Arc<Counter>,
}

#[derive(Debug)]
struct State {
    lines: Lines,
    /// Whether a line was taken and is not written yet.
    is_writing: bool,
}

/// How important a line is when there is little room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Importance {
    /// INFO and above: all of the room.
    Event,
    /// DEBUG and below: three quarters of it, so that a talkative level does not displace a warning.
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

    /// Hands a line to the writer, or drops it. Waits for nothing but other threads that do the same.
    pub(super) fn push(&self, line: Vec<u8>, importance: Importance) {
        if self.state().lines.push(line, importance) {
            self.filled.notify_one();
        } else {
            self.dropped.increment();
        }
    }

    /// Waits for a line. The one before it counts as written from now on.
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

    /// A line was lost while it was written.
    pub(super) fn lost(&self) {
        self.dropped.increment();
    }

    /// How many lines were lost so far.
    pub(super) fn dropped(&self) -> f64 {
        self.dropped.value()
    }

    /// Whether no line waits.
    pub(super) fn is_empty(&self) -> bool {
        self.state().lines.queue.is_empty()
    }

    /// Waits until everything is written, at most so long.
    pub(super) fn wait_until_written(&self, limit: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.lines.queue.is_empty();
        let waited = self
            .emptied
            .wait_timeout_while(self.state(), limit, is_busy);
        // Whether it came to that or not, the process ends.
        drop(waited);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lines themselves, in order.
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

    /// Whether the line fits.
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
    fn the_bound_is_in_bytes_and_details_leave_room_for_events() {
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
    fn what_does_not_fit_is_counted_and_written_is_what_was_taken() {
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
