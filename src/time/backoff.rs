//! Exponential backoff between two bounds, with or without jitter.

use std::time::Duration;

/// Invalid bounds of a backoff: the minimum is zero, or greater than the maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the minimum of a backoff must be greater than zero and not greater than its maximum")]
pub struct InvalidBounds;

/// Whether waits are randomised, so that many clients do not retry at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jitter {
    /// Each wait equals the ceiling.
    None,
    /// Each wait is drawn uniformly between zero and the ceiling, and is at least the minimum.
    Full,
}

/// Waits between attempts. The ceiling starts at the minimum and doubles with each failure up to
/// the maximum; [`Backoff::reset`] sets it to the minimum after a success.
///
/// The type is pure: it neither sleeps nor draws random numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    ceiling: Duration,
    jitter: Jitter,
}

impl Backoff {
    /// For requests to Starlink: 1 s to 60 s, full jitter, so never below 1 s.
    pub const REQUESTS: Self = Self::proven(Self::new(
        Duration::from_secs(1),
        Duration::from_secs(60),
        Jitter::Full,
    ));

    /// For readings of a part of an inventory: 30 s to 15 minutes, doubling, without jitter.
    pub const READINGS: Self = Self::proven(Self::new(
        Duration::from_secs(30),
        Duration::from_secs(15 * 60),
        Jitter::None,
    ));

    /// For restarts of an actor: 100 ms to 5 s, doubling, without jitter.
    pub const RESTARTS: Self = Self::proven(Self::new(
        Duration::from_millis(100),
        Duration::from_secs(5),
        Jitter::None,
    ));

    /// For starting an account again whose actors keep failing: 1, 2, 4 … 15 minutes.
    pub const PAUSES: Self = Self::proven(Self::new(
        Duration::from_secs(60),
        Duration::from_secs(15 * 60),
        Jitter::None,
    ));

    /// A backoff whose waits are all within `min..=max`.
    ///
    /// # Errors
    /// [`InvalidBounds`] when `min` is zero or above `max`.
    pub const fn new(min: Duration, max: Duration, jitter: Jitter) -> Result<Self, InvalidBounds> {
        if min.is_zero() || min.as_nanos() > max.as_nanos() {
            return Err(InvalidBounds);
        }
        Ok(Self {
            min,
            max,
            ceiling: min,
            jitter,
        })
    }

    /// Validates the constants at compile time.
    const fn proven(backoff: Result<Self, InvalidBounds>) -> Self {
        match backoff {
            Ok(backoff) => backoff,
            Err(InvalidBounds) => panic!("the bounds of a constant are wrong"),
        }
    }

    /// The wait after one more failure. `fraction` is a random number in `[0, 1)`, used only
    /// with [`Jitter::Full`]; a value outside of that range gives the longest wait.
    pub fn next(&mut self, fraction: f64) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = ceiling.saturating_mul(2).min(self.max);
        match self.jitter {
            Jitter::None => ceiling,
            Jitter::Full if (0.0..1.0).contains(&fraction) => {
                ceiling.mul_f64(fraction).max(self.min)
            }
            Jitter::Full => ceiling,
        }
    }

    /// Starts again from the minimum, after a success.
    pub fn reset(&mut self) {
        self.ceiling = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn waits_double_up_to_the_maximum() {
        let cases: [(&str, Backoff, f64, &[u64]); 5] = [
            (
                "restarts",
                Backoff::RESTARTS,
                0.0,
                &[100, 200, 400, 800, 1600, 3200, 5000, 5000],
            ),
            (
                "requests, the longest",
                Backoff::REQUESTS,
                1.0,
                &[1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000],
            ),
            (
                "requests, halfway",
                Backoff::REQUESTS,
                0.5,
                &[1000, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000],
            ),
            ("requests, the shortest", Backoff::REQUESTS, 0.0, &[1000; 8]),
            (
                "not a number",
                Backoff::REQUESTS,
                f64::NAN,
                &[1000, 2000, 4000],
            ),
        ];
        for (name, mut backoff, fraction, expected) in cases {
            let waits: Vec<_> = expected.iter().map(|_| backoff.next(fraction)).collect();
            let expected: Vec<_> = expected.iter().copied().map(millis).collect();
            assert_eq!(waits, expected, "{name}");
        }
    }

    #[test]
    fn invalid_bounds_are_rejected() {
        let cases = [
            (0, 1, false),
            (2, 1, false),
            (0, 0, false),
            (1, 1, true),
            (1, 2, true),
        ];
        for (min, max, possible) in cases {
            let backoff = Backoff::new(millis(min), millis(max), Jitter::None);
            assert_eq!(backoff.is_ok(), possible, "{min}..={max}");
        }
    }

    proptest! {
        #[test]
        fn waits_stay_within_the_bounds(
            min in 1_u64..100_000,
            span in 0_u64..u64::MAX / 2_000_000,
            full in any::<bool>(),
            fractions in prop::collection::vec(any::<f64>(), 1..100),
        ) {
            let jitter = if full { Jitter::Full } else { Jitter::None };
            let (min, max) = (millis(min), millis(min + span));
            let mut backoff = Backoff::new(min, max, jitter).unwrap();
            for fraction in fractions {
                let wait = backoff.next(fraction);
                prop_assert!(min <= wait && wait <= max, "{wait:?}");
            }
        }

        #[test]
        fn the_ceiling_only_rises_until_a_reset(failures in 1_usize..100, fraction in 0.0..1.0_f64) {
            let mut backoff = Backoff::REQUESTS;
            let mut last = Duration::ZERO;
            for _ in 0..failures {
                let ceiling = backoff.ceiling;
                prop_assert!(ceiling >= last);
                prop_assert!(backoff.next(fraction) <= ceiling);
                last = ceiling;
            }
            backoff.reset();
            prop_assert_eq!(backoff, Backoff::REQUESTS);
        }
    }
}
