//! Detects from the readings of clocks that the process was stopped or the machine suspended.

use std::time::{Duration, SystemTime};

use super::correction::{DateHeader, millis, millis_between};

/// The interval at which the clocks are read.
pub(super) const TICK: Duration = Duration::from_millis(250);

/// A longer gap between readings means that the process was stopped. It is longer than delays on a busy machine.
const MAX_GAP: Duration = Duration::from_secs(1);

/// In milliseconds. If the system clock jumps at least this far against the monotonic one between two readings, it was set or the
/// machine was suspended.
const MIN_JUMP: i64 = 5_000;

/// Measures the time while the process was stopped (`SIGSTOP`, a frozen container, a debugger).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stops {
    last: Duration,
    stopped: Duration,
}

impl Stops {
    /// Starts the regular readings at `now`. Time before is not evaluated.
    pub(super) fn begin(&mut self, now: Duration) {
        self.last = now;
    }

    /// Takes a reading of a clock that excludes suspensions of the machine. Returns how long the process was stopped since the
    /// last reading.
    pub(super) fn read(&mut self, now: Duration) -> Duration {
        let gap = now.saturating_sub(self.last);
        self.last = self.last.max(now);
        if gap <= MAX_GAP {
            return Duration::ZERO;
        }
        // The process ran at most until the next reading was due.
        let stopped = gap.saturating_sub(TICK);
        self.stopped = self.stopped.saturating_add(stopped);
        stopped
    }

    /// The total time while the process was stopped.
    pub(super) fn stopped(&self) -> Duration {
        self.stopped
    }
}

/// Why the system clock jumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Jump {
    /// It was set forward by this many milliseconds, or back if negative.
    Set(i64),
    /// The machine was suspended for this long, which no monotonic clock counted.
    Slept(Duration),
}

/// Detects jumps of the system clock against the monotonic one. The `Date` of the next response explains them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Jumps {
    /// The system clock minus the monotonic one at the last reading, in milliseconds.
    drift: Option<i64>,
    unexplained: i64,
}

impl Jumps {
    /// Reads both clocks.
    pub(super) fn read(&mut self, now: Duration, wall: SystemTime) {
        let drift = millis_between(SystemTime::UNIX_EPOCH, wall) - millis(now);
        if let Some(before) = self.drift.replace(drift)
            && (drift - before).abs() >= MIN_JUMP
        {
            self.unexplained += drift - before;
        }
    }

    /// Explains the jump since the last response by a new response; `None` without a jump, or if it is too small to explain. `before`
    /// is Starlink's clock minus the system clock before the jump, in milliseconds.
    pub(super) fn explain(&mut self, header: DateHeader, before: Option<i64>) -> Option<Jump> {
        let jump = std::mem::take(&mut self.unexplained);
        // The uncertainty of a `Date` is the duration of its request.
        if jump.abs() < MIN_JUMP || jump.abs() <= millis(header.took) + 2000 {
            return None;
        }
        let offset = header.offset();
        // Starlink's clock moved as far as the system clock, so the time has really passed.
        let has_passed = |before: i64| (offset - before).abs() < (offset - (before - jump)).abs();
        match before {
            Some(before) if jump > 0 && has_passed(before) => {
                self.drift = self.drift.map(|drift| drift - jump);
                Some(Jump::Slept(Duration::from_millis(jump.unsigned_abs())))
            }
            _ => Some(Jump::Set(jump)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_gap_between_readings_counts_as_a_stop() {
        let mut stops = Stops::default();
        stops.begin(Duration::from_secs(100));
        // When the clock was read, and how long the process was stopped until then, in milliseconds.
        let cases = [
            (100_250, 0),
            (101_250, 0),
            (101_300, 0),
            // Just longer than the longest gap.
            (102_301, 751),
            (102_500, 751),
            (117_500, 751 + 14_750),
            // A reading that is older than the one before it.
            (117_400, 751 + 14_750),
            (117_750, 751 + 14_750),
        ];
        for (at, stopped) in cases {
            stops.read(Duration::from_millis(at));
            assert_eq!(stops.stopped(), Duration::from_millis(stopped), "{at}");
        }
    }

    #[test]
    fn the_next_date_header_explains_a_jump() {
        const HOUR: i64 = 3_600_000;
        // The jump, the offset before it, the offset and the duration of the next answer, and what that means.
        let cases = [
            ("no jump", 0, Some(0), 0, 100, None),
            (
                "an NTP step forward",
                HOUR,
                Some(HOUR),
                0,
                100,
                Some(Jump::Set(HOUR)),
            ),
            (
                "set wrong",
                HOUR,
                Some(0),
                -HOUR,
                100,
                Some(Jump::Set(HOUR)),
            ),
            (
                "set back",
                -HOUR,
                Some(0),
                HOUR,
                100,
                Some(Jump::Set(-HOUR)),
            ),
            (
                "an NTP step back",
                -HOUR,
                Some(-HOUR),
                0,
                100,
                Some(Jump::Set(-HOUR)),
            ),
            (
                "asleep",
                HOUR,
                Some(0),
                0,
                100,
                Some(Jump::Slept(Duration::from_secs(3600))),
            ),
            (
                "suspended with a wrong clock",
                HOUR,
                Some(-HOUR),
                -HOUR,
                100,
                Some(Jump::Slept(Duration::from_secs(3600))),
            ),
            (
                "no offset before",
                HOUR,
                None,
                0,
                100,
                Some(Jump::Set(HOUR)),
            ),
            ("too small to explain", 20_000, Some(0), 0, 20_000, None),
        ];
        for (name, jump, before, offset, took, expected) in cases {
            let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
            let moved = |by: i64| {
                let distance = Duration::from_millis(by.unsigned_abs());
                if by < 0 {
                    start - distance
                } else {
                    start + distance
                }
            };
            let mut jumps = Jumps::default();
            let now = Duration::from_secs(50);
            jumps.read(now, start);
            jumps.read(now, moved(jump));
            let tolerance = if offset < 0 {
                -1000 - took as i64
            } else {
                1000
            };
            let header = DateHeader {
                date: moved(jump + offset + if offset == 0 { 0 } else { tolerance }),
                received: moved(jump),
                took: Duration::from_millis(took),
            };
            assert_eq!(jumps.explain(header, before), expected, "{name}");
            assert_eq!(
                jumps.explain(header, before),
                None,
                "{name}: explained once"
            );
            // Both clocks advance together.
            let slept = match expected {
                Some(Jump::Slept(slept)) => slept,
                _ => Duration::ZERO,
            };
            jumps.read(now + slept, moved(jump));
            assert_eq!(jumps.unexplained, 0, "{name}");
        }
    }

    #[test]
    fn a_clock_that_drifts_does_not_jump() {
        let mut jumps = Jumps::default();
        for seconds in 0..10_000_u64 {
            let now = Duration::from_secs(seconds);
            // 100 ms in each second: far more than NTP slews.
            let wall = SystemTime::UNIX_EPOCH + now + now / 10;
            jumps.read(now, wall);
        }
        assert_eq!(jumps.unexplained, 0);
    }
}
