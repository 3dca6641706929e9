//! A snapshot that can be taken away from its readers.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::Fleet;
use super::block::Block;
use super::snapshot::Snapshot;

/// A snapshot that readers share. Whoever works for a slow client asks for it anew with each step, so that its memory is free as
/// soon as it is revoked.
#[derive(Debug)]
pub struct Lease {
    number: u64,
    snapshot: ArcSwapOption<Snapshot>,
}

impl Lease {
    /// A lease with a number that no other lease of the same process has, if readers are to be told apart by it.
    #[must_use]
    pub fn new(number: u64, snapshot: Arc<Snapshot>) -> Self {
        Self {
            number,
            snapshot: ArcSwapOption::new(Some(snapshot)),
        }
    }

    /// Stands for the very snapshot: its contents, and in which blocks they are.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The snapshot, to be held for a moment; `None` once it is revoked.
    #[must_use]
    pub fn get(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.load_full()
    }

    /// Takes the snapshot away from all readers.
    pub fn revoke(&self) {
        self.snapshot.store(None);
    }
}

impl From<Arc<Snapshot>> for Lease {
    fn from(snapshot: Arc<Snapshot>) -> Self {
        Self::new(0, snapshot)
    }
}

/// How many bytes the blocks have that only these snapshots keep alive, and the fleet has no more.
#[must_use]
pub fn pinned<'s>(snapshots: impl Iterator<Item = &'s Snapshot>, fleet: &Fleet) -> usize {
    let mut seen: HashSet<*const Block> = fleet.blocks().map(Arc::as_ptr).collect();
    let blocks = snapshots.flat_map(|snapshot| &snapshot.tables);
    let blocks = blocks.flat_map(|table| &table.blocks);
    let pinned = blocks.filter(|block| seen.insert(Arc::as_ptr(block)));
    pinned.map(|block| block.bytes()).sum()
}
