//! A snapshot that can be revoked from its readers, to free its memory.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::Fleet;
use super::block::Block;
use super::snapshot::Snapshot;

/// A snapshot that readers share. Code that serves a slow client calls [`Lease::get`] again for each step, so that the memory of a revoked
/// snapshot is freed soon.
#[derive(Debug)]
pub struct Lease {
    number: u64,
    snapshot: ArcSwapOption<Snapshot>,
}

impl Lease {
    /// A lease with a number that identifies the snapshot within the process.
    #[must_use]
    pub fn new(number: u64, snapshot: Arc<Snapshot>) -> Self {
        Self {
            number,
            snapshot: ArcSwapOption::new(Some(snapshot)),
        }
    }

    /// Identifies the snapshot: its contents and its blocks.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The snapshot, which must be held only briefly; `None` once it is revoked.
    #[must_use]
    pub fn get(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.load_full()
    }

    /// Revokes the snapshot for all readers.
    pub fn revoke(&self) {
        self.snapshot.store(None);
    }
}

impl From<Arc<Snapshot>> for Lease {
    fn from(snapshot: Arc<Snapshot>) -> Self {
        Self::new(0, snapshot)
    }
}

/// The memory in bytes of the blocks that only these snapshots hold, and the current fleet does not.
#[must_use]
pub fn pinned<'s>(snapshots: impl Iterator<Item = &'s Snapshot>, fleet: &Fleet) -> usize {
    let mut seen: HashSet<*const Block> = fleet.blocks().map(Arc::as_ptr).collect();
    let blocks = snapshots.flat_map(|snapshot| &snapshot.tables);
    let blocks = blocks.flat_map(|table| &table.blocks);
    let pinned = blocks.filter(|block| seen.insert(Arc::as_ptr(block)));
    pinned.map(|block| block.bytes()).sum()
}
