//! The memory that all clients together can use: the figures of docs/LIMITS.md.

use super::bodies::BodyLimits;
use super::segments::{COMPRESSOR_BYTES, LARGEST_SEGMENT, MOST_COMPRESSORS};
use crate::fleet::Snapshot;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// All scrapes: compressors, kept bodies, and what each scrape holds while it is read.
const SCRAPES: usize = 128 * MIB;

/// Cached compressed bodies.
const KEPT: usize = 48 * MIB;

/// What remains for scrapes while they are read. Each takes its share when it is admitted.
pub const SCRAPE_SHARES: usize = SCRAPES - KEPT - MOST_COMPRESSORS * COMPRESSOR_BYTES;

/// A chunk of text or a compressed segment, and the connection's buffer.
const SCRAPE: usize = LARGEST_SEGMENT + 160 * KIB;

/// The size of a scrape's layout for each family and block of devices.
const STEP: usize = 16;

/// Families of a block that are not fields: addresses, alerts, locations, names.
const OTHER_FAMILIES: usize = 24;

/// All pages and API responses, until they are read.
pub const PAGES: usize = 64 * MIB;

/// The most pages that are made at the same time.
pub const PAGES_AT_ONCE: usize = 2;

/// The threads that render pages and compress scrapes.
#[must_use]
pub fn threads() -> usize {
    bodies().compressors + PAGES_AT_ONCE
}

/// The limits of all compressed bodies.
#[must_use]
pub fn bodies() -> BodyLimits {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    BodyLimits {
        kept: KEPT,
        compressors: (4 * cores).min(MOST_COMPRESSORS),
    }
}

/// The memory of a scrape of this snapshot while it is read.
#[must_use]
pub fn scrape(snapshot: &Snapshot) -> usize {
    let steps = snapshot.tables.iter().map(|table| {
        let families = table.gauges.all().len() + OTHER_FAMILIES;
        families.saturating_mul(table.blocks.len())
    });
    SCRAPE + STEP * steps.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_scrapes_fit_into_the_budget() {
        assert_eq!(SCRAPE_SHARES, 70 * MIB);
        assert!(SCRAPE_SHARES / scrape(&Snapshot::default()) >= 200);
    }
}
