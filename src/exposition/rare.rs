//! Finds the families that few blocks have: alerts and addresses.

use std::collections::HashMap;
use std::sync::Arc;

use super::Shard;
use super::layout::{ActiveSlots, BlockRef, find};
use crate::fleet::block::Block;
use crate::fleet::{Presence, Snapshot};

/// Where families occur that few blocks have, found in one pass over all devices.
#[derive(Default)]
pub(super) struct Rare {
    /// The most addresses of an allocation that has several, by kind.
    pub(super) most_addresses: [usize; 3],
    /// The blocks with allocations.
    pub(super) allocations: Vec<BlockRef>,
    /// Where each alert is active.
    pub(super) alerts: Vec<(Arc<str>, Vec<ActiveSlots>)>,
    /// The index of each alert in `alerts`, by the address of its text. Most devices share one text, so that few names are compared.
    by_address: HashMap<*const u8, usize>,
    /// The same by name.
    by_name: HashMap<Arc<str>, usize>,
}

impl Rare {
    pub(super) fn collect(snapshot: &Snapshot, shard: Shard, blocks: &[BlockRef]) -> Self {
        let mut found = Self::default();
        for &at in blocks {
            let (_, _, block) = find(snapshot, at);
            for slot in 0..block.len() {
                if shard.holds(block.labels().hash(slot)) {
                    found.device(block, slot, at);
                }
            }
        }
        found
    }

    /// Adds the active alerts and the addresses of a device.
    fn device(&mut self, block: &Block, slot: usize, at: BlockRef) {
        let presence = block.presences()[slot];
        if presence == Presence::Online {
            for name in block.alerts(slot).iter().flat_map(|names| names.iter()) {
                self.alert(name, at, slot);
            }
        }
        if block.has_reported(slot)
            && let Some(allocation) = block.allocation(slot)
        {
            push_new(&mut self.allocations, at);
            let kinds = self.most_addresses.iter_mut();
            for (most, addresses) in kinds.zip(&allocation.content.addresses) {
                if addresses.len() > 1 {
                    *most = addresses.len().max(*most);
                }
            }
        }
    }

    /// Records that an alert is active on a device.
    fn alert(&mut self, name: &Arc<str>, at: BlockRef, slot: usize) {
        let address = name.as_ptr();
        let alert = match self.by_address.get(&address) {
            Some(alert) => *alert,
            None => {
                let alert = match self.by_name.get(name) {
                    Some(alert) => *alert,
                    None => {
                        self.alerts.push((Arc::clone(name), Vec::new()));
                        self.by_name.insert(Arc::clone(name), self.alerts.len() - 1);
                        self.alerts.len() - 1
                    }
                };
                self.by_address.insert(address, alert);
                alert
            }
        };
        let (_, active) = &mut self.alerts[alert];
        // A block has 256 slots.
        match active.last_mut() {
            Some((block, slots)) if *block == at => slots.push(slot as u8),
            _ => active.push((at, vec![slot as u8])),
        }
    }
}

/// Adds a block, unless it is the last one. Equal blocks come one after the other.
fn push_new(blocks: &mut Vec<BlockRef>, block: BlockRef) {
    if blocks.last() != Some(&block) {
        blocks.push(block);
    }
}
