//! The memory that all clients together can use: the figures of docs/LIMITS.md.

use super::bodies::BodyLimits;
use super::segments::{COMPRESSOR_BYTES, LARGEST_SEGMENT, MOST_COMPRESSORS};
use crate::exposition::Collect;
use crate::fleet::Snapshot;
use crate::inventory::Inventory;

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

/// Families of a block that are not fields: addresses, alerts, locations, last reports, infos.
const OTHER_FAMILIES: usize = 22;

/// Families of a block that belong to the inventory.
const LISTED_FAMILIES: usize = 4;

/// Families of service lines.
const LINE_FAMILIES: usize = 10;

/// Service lines of a step.
const LINES: usize = 256;

/// A sample of a pool or an account: its labels, which a scrape copies, and its text, without the label values.
const FEW: usize = 512;

/// How often the text of a label of a pool or an account is in memory: copied, written, and compressed.
const COPIES: usize = 3;

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
pub fn scrape(snapshot: &Snapshot, collect: Collect) -> usize {
    let steps = snapshot.tables.iter().map(|table| {
        let telemetry = table.gauges.all().len() + OTHER_FAMILIES;
        let families = usize::from(collect.telemetry) * telemetry
            + usize::from(collect.inventory) * LISTED_FAMILIES;
        families.saturating_mul(table.blocks.len())
    });
    let devices = SCRAPE + STEP * steps.sum::<usize>();
    match collect.inventory {
        true => {
            let accounts = snapshot.directory.accounts().iter();
            devices
                + accounts
                    .map(|(_, inventory)| listed(inventory))
                    .sum::<usize>()
        }
        false => devices,
    }
}

/// The memory of the families of an account's lines, pools and of the account itself.
fn listed(inventory: &Inventory) -> usize {
    let lines = inventory
        .lines
        .as_ref()
        .map_or(0, |known| known.value.len());
    let usage = inventory.usage.as_ref().map(|known| &*known.value);
    let used = usage.map_or(0, |usage| usage.len());
    let steps = LINE_FAMILIES * (lines.div_ceil(LINES) + used.div_ceil(LINES));
    let text = |text: &str| FEW + COPIES * text.len();
    let pools = usage.into_iter().flat_map(|usage| usage.pools());
    // Each pool has two samples.
    let pools = pools.map(|pool| 2 * text(&pool.id));
    let account = inventory.account.iter().map(|known| &*known.value);
    let account = account.map(|account| {
        let suspensions = account.suspensions.iter().map(|reason| text(reason));
        let names = [&account.number, &account.name, &account.region];
        suspensions.sum::<usize>() + names.map(|name| text(name)).iter().sum::<usize>()
    });
    let balances = inventory.balance.iter().flat_map(|known| &*known.value);
    let balances = balances.map(|balance| text(&balance.currency));
    STEP * steps + pools.chain(account).chain(balances).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_scrapes_fit_into_the_budget() {
        assert_eq!(SCRAPE_SHARES, 70 * MIB);
        assert!(SCRAPE_SHARES / scrape(&Snapshot::default(), Collect::ALL) >= 200);
    }
}
