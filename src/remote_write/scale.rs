//! How many shards a destination needs.

use std::time::Duration;

use crate::time::Moment;

/// A destination is behind if its oldest record waits for longer.
const BEHIND: Duration = Duration::from_secs(15);

/// Busy shards that are further behind than this are increased to the maximum at once.
const FAR_BEHIND: Duration = Duration::from_secs(10 * 60);

/// Shards are busy if they have a request in flight for this part of the time, and idle below the other one.
const BUSY: f64 = 0.8;
const IDLE: f64 = 0.3;

/// The least time between two changes: a change is effective only when all shards are drained, which takes as long as a few requests. A
/// backlog of hours takes some seconds; it should not be sent before there are enough shards.
const UP_AFTER: Duration = Duration::from_secs(1);
const DOWN_AFTER: Duration = Duration::from_secs(10 * 60);

/// What the shards did since the last decision.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How long the oldest record waits that is not done.
    pub behind: Duration,
    /// The mean part of the time in which a shard had a request in flight, 0 to 1.
    pub busy: f64,
    /// Whether requests waited for the pace, were refused as too fast, or failed: more shards would not help.
    pub is_limited: bool,
}

/// Decides the number of shards.
#[derive(Debug, Clone)]
pub struct Scale {
    most: u16,
    changed: Moment,
}

impl Scale {
    /// At most `most` shards, from now on.
    #[must_use]
    pub fn new(most: u16, now: Moment) -> Self {
        Self {
            most: most.max(1),
            changed: now,
        }
    }

    /// The number that follows `current`: twice as many while busy shards are behind, or all if they are far behind; half as many once they are
    /// idle.
    pub fn next(&mut self, current: u16, load: &Load, now: Moment) -> u16 {
        let unchanged_for = now.since(self.changed);
        let is_busy = load.behind > BEHIND && load.busy > BUSY && !load.is_limited;
        let next = if current > self.most || is_busy && load.behind > FAR_BEHIND {
            self.most
        } else if is_busy && unchanged_for >= UP_AFTER {
            current.saturating_mul(2).clamp(1, self.most)
        } else if load.busy < IDLE && load.behind <= BEHIND && unchanged_for >= DOWN_AFTER {
            (current / 2).max(1)
        } else {
            current
        };
        if next != current {
            self.changed = now;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_follows_the_load() {
        // Seconds since the last change, the current number, how far behind, how busy, whether limited, and the next number.
        for (seconds, current, behind, busy, is_limited, expected) in [
            (1, 1, 16, 0.9, false, 2),
            (0, 1, 16, 0.9, false, 1),
            (1, 3, 16, 0.9, false, 6),
            (1, 4, 16, 0.9, false, 6),
            (1, 6, 16, 0.9, false, 6),
            (0, 1, 600, 0.9, false, 1),
            (0, 1, 601, 0.9, false, 6),
            (0, 2, 601, 0.8, false, 2),
            (0, 2, 601, 0.9, true, 2),
            (1, 1, 15, 0.9, false, 1),
            (1, 1, 16, 0.8, false, 1),
            (1, 1, 16, 0.9, true, 1),
            (600, 4, 0, 0.2, false, 2),
            (600, 4, 0, 0.2, true, 2),
            (599, 4, 0, 0.2, false, 4),
            (600, 4, 0, 0.3, false, 4),
            (600, 4, 16, 0.2, false, 4),
            (600, 1, 0, 0.0, false, 1),
            (0, 9, 0, 0.0, false, 6),
        ] {
            let mut scale = Scale::new(6, Moment::from_millis(1000));
            let load = Load {
                behind: Duration::from_secs(behind),
                busy,
                is_limited,
            };
            let now = Moment::from_millis(1000 + seconds * 1000);
            let next = scale.next(current, &load, now);
            assert_eq!(next, expected, "{seconds} {current} {load:?}");
            // A change takes time to show.
            let again = scale.next(next, &load, now);
            assert!(next == current || again == next, "{seconds} {current}");
        }
    }
}
