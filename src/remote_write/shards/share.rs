//! Which of the two ranges of records a shard sends from next.

use super::Lane;

/// How many samples of each range were sent since both have some.
#[derive(Debug, Default)]
pub(super) struct Share {
    live: u64,
    gap: u64,
}

impl Share {
    /// The live range first, but at least a third for the gap.
    pub(super) fn turn(&self) -> Lane {
        match self.gap.saturating_mul(2) < self.live {
            true => Lane::Gap,
            false => Lane::Live,
        }
    }

    /// Samples of a range were put into a request, while the other range had some or not.
    pub(super) fn add(&mut self, lane: Lane, samples: u64, other_waits: bool) {
        match lane {
            _ if !other_waits => *self = Self::default(),
            Lane::Live => self.live = self.live.saturating_add(samples),
            Lane::Gap => self.gap = self.gap.saturating_add(samples),
        }
    }
}
