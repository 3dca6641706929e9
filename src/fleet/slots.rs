//! Assigns devices to slots of blocks. Each block belongs to one account, or to none.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::accounts::{AccountId, Clocks};
use super::ageing::{Ageing, Due};
use super::block::Block;
use super::changes::{Changes, What};
use super::columns::BLOCK_SIZE;
use super::device::{Listing, Presence};
use super::labels::stable_hash;
use super::options::Retention;
use crate::time::Moment;

/// What a row describes: the device at a slot, or its IP allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The device.
    Device,
    /// Its allocation.
    Allocation,
}

/// The slots of all devices of one type.
#[derive(Debug, Default)]
pub(super) struct Slots {
    blocks: Vec<Arc<Block>>,
    /// When each block must be reviewed.
    due: Vec<Due>,
    /// The number of claimed slots of each block.
    claimed: Vec<usize>,
    /// The slots by identifier.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Slots that are free again, by account.
    free: BTreeMap<Option<AccountId>, Vec<usize>>,
    /// The block in which an account gets its next new slot.
    open: BTreeMap<Option<AccountId>, usize>,
    /// Blocks without devices, which any account may reuse.
    empty: Vec<usize>,
    /// By slot and [`Subject`]: the index of the subject's row among the planner's candidates. Not reset after a batch, so its reader must
    /// verify it.
    candidate_indices: Vec<[u32; 2]>,
    /// Counts the changes of blocks.
    layouts: u64,
}

impl Slots {
    pub(super) fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// Replaces the blocks by others with the same slots.
    pub(super) fn set_blocks(&mut self, blocks: Vec<Arc<Block>>) {
        self.blocks = blocks;
    }

    /// A number that increases when a block is added or gets another account.
    pub(super) fn layouts(&self) -> u64 {
        self.layouts
    }

    /// The slots of a block, including free ones.
    pub(super) fn of_block(&self, block: usize) -> Range<usize> {
        let first = block * BLOCK_SIZE;
        first..first + self.blocks[block].len()
    }

    /// The number of claimed slots.
    pub(super) fn devices(&self) -> usize {
        self.index.len()
    }

    /// The slot of a device. If the device has none and `may_add` is true, it gets one in a block of the account; a scrape shows it only
    /// after its state was written.
    pub(super) fn slot(
        &mut self,
        code: &str,
        id: &str,
        may_add: bool,
        account: Option<AccountId>,
    ) -> Option<usize> {
        let hash = self.hasher.hash_one(id);
        let blocks = &self.blocks;
        let is_it = |&slot: &u32| id_at(blocks, slot as usize) == id;
        if let Some(&slot) = self.index.find(hash, is_it) {
            return Some(slot as usize);
        }
        if !may_add {
            return None;
        }
        let slot = self.claim(code, id, account);
        let (blocks, hasher) = (&self.blocks, &self.hasher);
        let hash_of = |&slot: &u32| hasher.hash_one(id_at(blocks, slot as usize));
        self.index.insert_unique(hash, numbered(slot), hash_of);
        Some(slot)
    }

    /// Assigns an identifier to a free slot of the account.
    fn claim(&mut self, code: &str, id: &str, account: Option<AccountId>) -> usize {
        let slot = self.next_slot(account);
        let block = slot / BLOCK_SIZE;
        if slot >= self.candidate_indices.len() {
            self.candidate_indices.resize(slot + 1, [0; 2]);
        }
        let hash = stable_hash(code, id);
        Arc::make_mut(&mut self.blocks[block]).claim(slot % BLOCK_SIZE, id, hash);
        self.claimed[block] += 1;
        // The next review frees the slot if no state was written to it.
        self.due[block].clock = Moment::default();
        slot
    }

    /// A free slot of the account: one that was freed, or else a new one in its block or in another block.
    fn next_slot(&mut self, account: Option<AccountId>) -> usize {
        if let Some(slot) = self.free.get_mut(&account).and_then(Vec::pop) {
            return slot;
        }
        if let Some(&block) = self.open.get(&account)
            && self.blocks[block].len() < BLOCK_SIZE
        {
            return block * BLOCK_SIZE + self.blocks[block].len();
        }
        self.layouts += 1;
        let new = Arc::new(Block::of(account));
        let block = match self.empty.pop() {
            Some(block) => {
                self.blocks[block] = new;
                block
            }
            None => {
                self.blocks.push(new);
                self.due.push(Due::NEVER);
                self.claimed.push(0);
                self.blocks.len() - 1
            }
        };
        self.open.insert(account, block);
        block * BLOCK_SIZE
    }

    /// Marks a slot as free, and its block if that has no other devices.
    fn mark_free(&mut self, slot: usize) {
        let block = slot / BLOCK_SIZE;
        let account = self.blocks[block].account();
        self.claimed[block] -= 1;
        if self.claimed[block] > 0 {
            self.free.entry(account).or_default().push(slot);
            return;
        }
        if let Some(free) = self.free.get_mut(&account) {
            free.retain(|slot| slot / BLOCK_SIZE != block);
            if free.is_empty() {
                self.free.remove(&account);
            }
        }
        if self.open.get(&account) == Some(&block) {
            self.open.remove(&account);
        }
        self.empty.push(block);
    }

    /// Removes the identifier of a slot from the index, and frees the slot.
    fn release(&mut self, slot: usize) {
        let hash = self.hasher.hash_one(id_at(&self.blocks, slot));
        let number = numbered(slot);
        if let Ok(entry) = self.index.find_entry(hash, |&known| known == number) {
            entry.remove();
        }
        self.mark_free(slot);
    }

    /// Moves a device to a slot of the account, with its whole state except its numbers, which the next row replaces. Returns the slot.
    pub(super) fn relocate(&mut self, code: &str, slot: usize, account: AccountId) -> usize {
        let id = id_at(&self.blocks, slot).to_owned();
        let to = self.claim(code, &id, Some(account));
        let known = Arc::make_mut(&mut self.blocks[slot / BLOCK_SIZE]).take(slot % BLOCK_SIZE);
        Arc::make_mut(&mut self.blocks[to / BLOCK_SIZE]).put(to % BLOCK_SIZE, known);
        let hash = self.hasher.hash_one(&*id);
        let number = numbered(slot);
        if let Ok(mut entry) = self.index.find_entry(hash, |&known| known == number) {
            *entry.get_mut() = numbered(to);
        }
        self.mark_free(slot);
        to
    }

    /// The last candidate index of a slot, from this batch or from an earlier one.
    pub(super) fn candidate_index_mut(&mut self, slot: usize, subject: Subject) -> &mut u32 {
        &mut self.candidate_indices[slot][subject as usize]
    }

    /// The same index, for reading.
    pub(super) fn candidate_index(&self, slot: usize, subject: Subject) -> u32 {
        self.candidate_indices[slot][subject as usize]
    }

    /// The block of a slot, and the slot within it.
    pub(super) fn block(&self, slot: usize) -> (&Block, usize) {
        (&self.blocks[slot / BLOCK_SIZE], slot % BLOCK_SIZE)
    }

    /// The block of a slot for writing, and the slot within it. The block is copied if a snapshot shares it, and reviewed at `due` at the
    /// latest.
    pub(super) fn block_mut(&mut self, slot: usize, due: Moment) -> (&mut Block, usize) {
        let block = slot / BLOCK_SIZE;
        self.due[block].clock = self.due[block].clock.min(due);
        (Arc::make_mut(&mut self.blocks[block]), slot % BLOCK_SIZE)
    }

    /// When the next block must be reviewed, by the clock.
    pub(super) fn due(&self) -> Moment {
        let due = self.due.iter().map(|due| due.clock);
        due.min().unwrap_or(Moment::NEVER)
    }

    /// Applies the passing of time to the blocks that are due, and adds the changes of devices of the type `name`, and the slots of terminals
    /// that stay without rows because an inventory lists them. Returns whether a scrape shows a difference.
    pub(super) fn expire(
        &mut self,
        now: Moment,
        clocks: &Clocks,
        retention: &Retention,
        name: &Arc<str>,
        changes: &mut Changes,
        unheard: &mut Vec<usize>,
    ) -> bool {
        let mut changed = false;
        for block in 0..self.blocks.len() {
            let clock = clocks.of(self.blocks[block].account());
            if clock.end <= now && self.claimed[block] > 0 {
                changed |= self.end_block(block, name, changes);
            } else if self.due[block].is_reached(now, clock.stream) {
                let mut add = |id: &str, what| changes.add(name, id, what);
                changed |=
                    self.expire_block(block, now, clock.stream, retention, &mut add, unheard);
            }
        }
        changed
    }

    /// Removes all devices of a block, because its account was removed.
    fn end_block(&mut self, block: usize, name: &Arc<str>, changes: &mut Changes) -> bool {
        let mut changed = false;
        for slot in 0..self.blocks[block].len() {
            if !self.blocks[block].labels().id(slot).is_empty() {
                changed |= self.evict(block * BLOCK_SIZE + slot, name, changes);
            }
        }
        self.due[block] = Due::NEVER;
        changed
    }

    /// Applies the passing of time to a block, slot by slot, and sets when it must be reviewed next.
    fn expire_block(
        &mut self,
        block: usize,
        now: Moment,
        stream: Moment,
        retention: &Retention,
        add: &mut impl FnMut(&str, What),
        unheard: &mut Vec<usize>,
    ) -> bool {
        let mut changed = false;
        let mut due = Due::NEVER;
        for slot in 0..self.blocks[block].len() {
            loop {
                match self.blocks[block].review(slot, now, stream, retention) {
                    ControlFlow::Continue(next) => {
                        due = due.min(next);
                        break;
                    }
                    ControlFlow::Break(ageing) => {
                        let id = self.blocks[block].labels().id(slot);
                        let has_streamed = self.blocks[block].has_streamed(slot);
                        match ageing {
                            Ageing::Presence(Presence::Offline) if has_streamed => {
                                add(id, What::WentSilent);
                            }
                            Ageing::Forget if has_streamed => add(id, What::Forgotten),
                            _ => {}
                        }
                        if ageing == Ageing::Free {
                            self.release(block * BLOCK_SIZE + slot);
                        } else {
                            changed = true;
                        }
                        Arc::make_mut(&mut self.blocks[block]).change(slot, ageing);
                        let listing = self.blocks[block].listing(slot);
                        if ageing == Ageing::Forget && matches!(listing, Listing::Terminal(..)) {
                            unheard.push(block * BLOCK_SIZE + slot);
                        }
                    }
                }
            }
        }
        self.due[block] = due;
        changed
    }

    /// Removes the device and the allocation of a slot, so that another device can use it. Returns whether a scrape shows a difference.
    pub(super) fn evict(&mut self, slot: usize, name: &Arc<str>, changes: &mut Changes) -> bool {
        let (block, at) = self.block(slot);
        let was_known = block.presences()[at] != Presence::Absent;
        if block.has_streamed(at) {
            changes.add(name, block.labels().id(at), What::Forgotten);
        }
        self.release(slot);
        Arc::make_mut(&mut self.blocks[slot / BLOCK_SIZE]).free(at);
        was_known
    }
}

/// The identifier at a slot of a table.
fn id_at(blocks: &[Arc<Block>], slot: usize) -> &str {
    blocks[slot / BLOCK_SIZE].labels().id(slot % BLOCK_SIZE)
}

/// A slot as a 32-bit number. More slots do not fit into memory.
fn numbered(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}
