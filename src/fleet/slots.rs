//! Which slot of which block is whose. Each block belongs to one account, or to none.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::ControlFlow;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Retention;
use super::accounts::{AccountId, Clocks};
use super::block::{Ageing, BLOCK_SIZE, Block, Due, Presence};
use super::changes::{Changes, What};
use super::labels::stable_hash;
use crate::time::Moment;

/// What a row speaks of: the device at a slot, or its IP allocation.
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
    /// How many slots of each block are claimed.
    claimed: Vec<usize>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Slots that were given back, by account.
    free: BTreeMap<Option<AccountId>, Vec<usize>>,
    /// The block that an account's next slot is in.
    open: BTreeMap<Option<AccountId>, usize>,
    /// Blocks without devices: the next account that needs one gets it.
    empty: Vec<usize>,
    /// By slot: notes of the planner, by [`Subject`]. Nothing is ever erased there: a reader checks what it reads.
    notes: Vec<[u32; 2]>,
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

    /// A number that grows whenever a block is added or goes to another account.
    pub(super) fn layouts(&self) -> u64 {
        self.layouts
    }

    /// How many slots there are, free ones included.
    pub(super) fn slots(&self) -> usize {
        self.blocks.iter().map(|block| block.len()).sum()
    }

    /// How many slots are taken.
    pub(super) fn devices(&self) -> usize {
        self.index.len()
    }

    /// The slot of a device. If it has none it gets one of the account, where it may: known only once something is written to it.
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

    /// Puts an identifier into a free slot of the account.
    fn claim(&mut self, code: &str, id: &str, account: Option<AccountId>) -> usize {
        let slot = self.next_slot(account);
        let block = slot / BLOCK_SIZE;
        if slot >= self.notes.len() {
            self.notes.resize(slot + 1, [0; 2]);
        }
        let hash = stable_hash(code, id);
        Arc::make_mut(&mut self.blocks[block]).claim(slot % BLOCK_SIZE, id, hash);
        self.claimed[block] += 1;
        // A slot to which nothing is written after all is freed at the next review.
        self.due[block].clock = Moment::default();
        slot
    }

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

    /// Gives a slot back, and its block if that has no other devices.
    fn give_back(&mut self, slot: usize) {
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

    /// Takes a slot's identifier out of the index and gives the slot back.
    fn release(&mut self, slot: usize) {
        let hash = self.hasher.hash_one(id_at(&self.blocks, slot));
        let number = numbered(slot);
        if let Ok(entry) = self.index.find_entry(hash, |&known| known == number) {
            entry.remove();
        }
        self.give_back(slot);
    }

    /// Moves a device with all that is known of it, its numbers excepted, to a slot of the account.
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
        self.give_back(slot);
        to
    }

    /// The number that was noted last for a slot, by this batch or by an earlier one.
    pub(super) fn note(&mut self, slot: usize, subject: Subject) -> &mut u32 {
        &mut self.notes[slot][subject as usize]
    }

    /// The same number, to look at.
    pub(super) fn noted(&self, slot: usize, subject: Subject) -> u32 {
        self.notes[slot][subject as usize]
    }

    /// The block of a slot, and the slot within it.
    pub(super) fn block(&self, slot: usize) -> (&Block, usize) {
        (&self.blocks[slot / BLOCK_SIZE], slot % BLOCK_SIZE)
    }

    /// The block of a slot for writing, copied if a snapshot shares it; it is reviewed at `due` or before.
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

    /// Does what time asks for in the blocks that are due, and adds what changes for devices, whose type is called `name`. Whether a
    /// scrape shows a difference.
    pub(super) fn expire(
        &mut self,
        now: Moment,
        clocks: &Clocks,
        retention: &Retention,
        name: &Arc<str>,
        changes: &mut Changes,
    ) -> bool {
        let mut changed = false;
        for block in 0..self.blocks.len() {
            let clock = clocks.of(self.blocks[block].account());
            if clock.end <= now && self.claimed[block] > 0 {
                changed |= self.end_block(block, name, changes);
            } else if self.due[block].is_over(now, clock.stream) {
                let mut add = |id: &str, what| changes.add(name, id, what);
                changed |= self.expire_block(block, now, clock.stream, retention, &mut add);
            }
        }
        changed
    }

    /// Forgets all devices of a block, whose account was removed.
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

    fn expire_block(
        &mut self,
        block: usize,
        now: Moment,
        stream: Moment,
        retention: &Retention,
        add: &mut impl FnMut(&str, What),
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
                        match ageing {
                            Ageing::Presence(Presence::Offline) => add(id, What::WentSilent),
                            Ageing::Forget => add(id, What::Forgotten),
                            _ => {}
                        }
                        if ageing == Ageing::Free {
                            self.release(block * BLOCK_SIZE + slot);
                        } else {
                            changed = true;
                        }
                        Arc::make_mut(&mut self.blocks[block]).change(slot, ageing);
                    }
                }
            }
        }
        self.due[block] = due;
        changed
    }

    /// Forgets everything about a slot, so that another device can have it. Whether a scrape shows the difference.
    pub(super) fn evict(&mut self, slot: usize, name: &Arc<str>, changes: &mut Changes) -> bool {
        let (block, at) = self.block(slot);
        let was_known = block.presences()[at] != Presence::Absent;
        if was_known {
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

/// A slot as the index keeps it. A fleet of 2^32 devices would not fit into any memory.
fn numbered(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}
