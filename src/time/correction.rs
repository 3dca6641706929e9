//! The offset of the system clock from Starlink's clock, measured by the `Date` headers of responses.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

/// The offset is the median of this many responses.
const REMEMBERED: usize = 5;

/// The correction begins at this offset, in milliseconds.
const BEGINS: i64 = 30_000;

/// The correction ends below this offset, in milliseconds.
const ENDS: i64 = 10_000;

/// `Date` has a resolution of one second. Its time is between the request and the head of the response.
const TOLERANCE: Duration = Duration::from_secs(1);

/// The `Date` header of a response, and when the response was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateHeader {
    /// The header.
    pub date: SystemTime,
    /// When the head was received, by the system clock.
    pub received: SystemTime,
    /// The time from the request to the head.
    pub took: Duration,
}

impl DateHeader {
    /// Starlink's clock minus the system clock in milliseconds: 0 if `Date` is between the request and the head, with a tolerance of
    /// one second; else the distance to the nearer of the two.
    #[must_use]
    pub fn offset(&self) -> i64 {
        let since_receipt = millis_between(self.received, self.date);
        let latest = millis(TOLERANCE);
        let earliest = -millis(self.took.saturating_add(TOLERANCE));
        since_receipt - since_receipt.clamp(earliest, latest)
    }
}

/// How an observation changed the correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The system clock is corrected from now on.
    Began,
    /// The system clock is right again.
    Ended,
}

/// The offsets of the last responses, and whether the system clock is corrected by them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Correction {
    offsets: VecDeque<i64>,
    corrects: bool,
}

impl Correction {
    /// Adds the offset of one more response, in milliseconds.
    pub fn observe(&mut self, offset: i64) -> Option<Change> {
        if self.offsets.len() == REMEMBERED {
            self.offsets.pop_front();
        }
        self.offsets.push_back(offset);
        let offset = self.offset()?.saturating_abs();
        let corrects = offset >= if self.corrects { ENDS } else { BEGINS };
        let changed = std::mem::replace(&mut self.corrects, corrects) != corrects;
        changed.then_some(if corrects {
            Change::Began
        } else {
            Change::Ended
        })
    }

    /// Adjusts the earlier offsets after the system clock was set forward by `forward` milliseconds, or back if that is negative.
    pub fn clock_was_set(&mut self, forward: i64) {
        for offset in &mut self.offsets {
            *offset = offset.saturating_sub(forward);
        }
    }

    /// Starlink's clock minus the system clock in milliseconds: the median of the last five responses, `None` before the first. With
    /// two values in the middle, it is the one nearer to zero.
    #[must_use]
    pub fn offset(&self) -> Option<i64> {
        let mut offsets: Vec<_> = self.offsets.iter().copied().collect();
        offsets.sort_unstable();
        let upper = *offsets.get(offsets.len() / 2)?;
        let lower = *offsets.get((offsets.len() - 1) / 2)?;
        Some(if lower.saturating_abs() <= upper.saturating_abs() {
            lower
        } else {
            upper
        })
    }

    /// Whether the system clock is corrected.
    #[must_use]
    pub fn corrects(&self) -> bool {
        self.corrects
    }

    /// The time `wall` of the system clock, with the correction if there is one.
    #[must_use]
    pub fn correct(&self, wall: SystemTime) -> SystemTime {
        let offset = self.offset().filter(|_| self.corrects).unwrap_or_default();
        let distance = Duration::from_millis(offset.unsigned_abs());
        let corrected = match offset {
            0.. => wall.checked_add(distance),
            _ => wall.checked_sub(distance),
        };
        corrected.unwrap_or(wall)
    }
}

/// The time from `from` to `to` in milliseconds, negative if `to` is earlier.
pub(super) fn millis_between(from: SystemTime, to: SystemTime) -> i64 {
    match to.duration_since(from) {
        Ok(after) => millis(after),
        Err(before) => -millis(before.duration()),
    }
}

/// Milliseconds, limited to a million years, so that sums do not overflow.
pub(super) fn millis(duration: Duration) -> i64 {
    const MOST: i64 = 1_000_000 * 366 * 86_400_000;
    i64::try_from(duration.as_millis()).map_or(MOST, |millis| millis.min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_between_request_and_head_gives_an_offset_of_zero() {
        // Milliseconds: what Date says after the head came, how long it took, the offset.
        let cases = [
            (0, 0, 0),
            (1000, 0, 0),
            (1001, 0, 1),
            (-1000, 0, 0),
            (-1001, 0, -1),
            // The date of a long poll may be as old as its linger.
            (-15_999, 15_000, 0),
            (-16_001, 15_000, -1),
            (300_000, 15_000, 299_000),
            (-300_000, 15_000, -284_000),
        ];
        let received = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for (date, took, expected) in cases {
            let distance = Duration::from_millis(i64::unsigned_abs(date));
            let header = DateHeader {
                date: if date < 0 {
                    received - distance
                } else {
                    received + distance
                },
                received,
                took: Duration::from_millis(took),
            };
            assert_eq!(header.offset(), expected, "{date} {took}");
        }
    }

    #[test]
    fn the_median_of_five_corrects_from_30_seconds_until_below_10() {
        // Offsets one after the other in seconds; the median and whether it corrects after each.
        let cases: &[&[(i64, i64, bool)]] = &[
            &[(0, 0, false), (29, 0, false), (29, 29, false)],
            &[(30, 30, true)],
            &[(-30, -30, true), (0, 0, false)],
            // One wrong response changes nothing.
            &[
                (1, 1, false),
                (0, 0, false),
                (9000, 1, false),
                (0, 0, false),
                (1, 1, false),
            ],
            &[
                (300, 300, true),
                (300, 300, true),
                (300, 300, true),
                (10, 300, true),
                (10, 300, true),
                (10, 10, true),
                (9, 10, true),
                (9, 10, true),
                (9, 9, false),
                (29, 9, false),
            ],
        ];
        for offsets in cases {
            let mut correction = Correction::default();
            let mut before = false;
            for &(offset, median, corrects) in *offsets {
                let change = correction.observe(offset * 1000);
                assert_eq!(correction.offset(), Some(median * 1000), "{offsets:?}");
                assert_eq!(correction.corrects, corrects, "{offsets:?} {offset}");
                let expected = match (before, corrects) {
                    (false, true) => Some(Change::Began),
                    (true, false) => Some(Change::Ended),
                    _ => None,
                };
                assert_eq!(change, expected);
                before = corrects;
            }
        }
    }

    #[test]
    fn the_corrected_clock_equals_starlinks() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let mut correction = Correction::default();
        assert_eq!(
            (correction.offset(), correction.correct(wall)),
            (None, wall)
        );
        correction.observe(-300_000);
        assert_eq!(correction.correct(wall), wall - Duration::from_secs(300));
        // The clock is set right: the adjusted earlier responses end the correction immediately.
        correction.clock_was_set(-300_000);
        assert_eq!(correction.observe(0), Some(Change::Ended));
        assert_eq!(
            (correction.offset(), correction.correct(wall)),
            (Some(0), wall)
        );
        // No value of a header overflows.
        for offset in [i64::MIN, i64::MAX] {
            correction = Correction::default();
            correction.observe(offset);
            correction.clock_was_set(-offset.saturating_abs());
            let _ = correction.correct(wall);
        }
    }
}
