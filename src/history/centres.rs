//! Remembers the centres of H3 cells, because computing one needs trigonometry.

use std::num::NonZeroU64;

use crate::telemetry::location::{Location, centre};

/// The number of remembered cells. A fleet in more cells computes some centres again.
const ENTRIES: usize = 1024;

/// The centres of cells that occurred last: each at the entry that its index determines.
#[derive(Debug, Default)]
pub(super) struct Centres(Vec<Option<(NonZeroU64, Option<Location>)>>);

impl Centres {
    /// The centre of the cell with this index; `None` if there is no such cell.
    pub(super) fn get(&mut self, index: NonZeroU64) -> Option<Location> {
        self.0.resize(ENTRIES, None);
        // Multiplication by the golden ratio spreads neighbouring cells; the highest bits are the best ones.
        let spread = index.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let entry = &mut self.0[spread as usize % ENTRIES];
        match entry {
            Some((known, location)) if *known == index => *location,
            _ => {
                let location = centre(index.get());
                *entry = Some((index, location));
                location
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn centres_equal_the_computed_ones() {
        let mut centres = Centres::default();
        let base = 599_686_042_433_355_775_u64;
        // Cells of resolution 5 differ by 2^30; some of these numbers are no cells.
        for index in (0..5000).map(|step| base + (step % 1700) * (1 << 30)) {
            let index = NonZeroU64::new(index).unwrap();
            assert_eq!(centres.get(index), centre(index.get()), "{index}");
        }
    }
}
