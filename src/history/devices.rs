//! What a history remembers of each device: as little as possible, because every destination has it for every device.

use std::collections::BinaryHeap;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::families::FamilyId;
use super::info::Info;
use crate::text::fnv;

/// Families of a row, ascending. Most devices share one list.
pub(super) type Shape = Arc<Box<[FamilyId]>>;

/// The allocation of a terminal: its last row.
#[derive(Debug)]
pub(super) struct Allocation {
    /// `UtcTimestampNs`.
    pub(super) reported: i64,
    /// The numbers of addresses of each kind.
    pub(super) counts: [u16; 3],
    /// All addresses as numbers, by kind.
    pub(super) numbers: Box<[f64]>,
    /// The info fields.
    pub(super) infos: Arc<Info>,
}

/// Code and identifier of a device. Those of all devices that Starlink has are short; an allocation for each would take more memory.
#[derive(Debug)]
enum Key {
    Short {
        /// The lengths of the code, and of both.
        code: u8,
        length: u8,
        /// The code, the identifier, and zeros.
        bytes: [u8; SHORT],
    },
    Long {
        /// The length of the code.
        code: u16,
        text: Box<str>,
    },
}

/// The most bytes of a short key: with its lengths and the kind of key, 40 bytes.
const SHORT: usize = 37;

impl Key {
    /// `None` if the code is too long.
    fn new(code: &str, id: &str) -> Option<Self> {
        let text = [code, id].concat();
        let mut bytes = [0; SHORT];
        Some(match bytes.get_mut(..text.len()) {
            Some(start) => {
                start.copy_from_slice(text.as_bytes());
                Self::Short {
                    code: code.len().try_into().ok()?,
                    length: text.len().try_into().ok()?,
                    bytes,
                }
            }
            None => Self::Long {
                code: code.len().try_into().ok()?,
                text: text.into(),
            },
        })
    }

    /// The code and the identifier.
    fn parts(&self) -> (&[u8], &[u8]) {
        let (code, text) = match self {
            Self::Short {
                code,
                length,
                bytes,
            } => {
                let text = bytes.get(..usize::from(*length)).unwrap_or_default();
                (usize::from(*code), text)
            }
            Self::Long { code, text } => (usize::from(*code), text.as_bytes()),
        };
        text.split_at_checked(code).unwrap_or_default()
    }
}

/// A device.
#[derive(Debug)]
pub(super) struct Device {
    key: Key,
    /// Whether its fields and alerts have ended because it is silent.
    pub(super) is_silent: bool,
    /// The label `device_type` of its newest row. A pointer to a pointer, because it takes half the space.
    pub(super) device_type: Option<Arc<Arc<str>>>,
    /// The time of its newest row in milliseconds since 1970; `i64::MIN` without one.
    pub(super) newest: i64,
    /// The stream time of its last row, which may be an older one, in milliseconds.
    pub(super) seen: u64,
    /// The series of its newest row without `starlink_info`.
    pub(super) shape: Option<Shape>,
    /// The labels of its `starlink_info`.
    pub(super) info: Option<Arc<Info>>,
    /// Its IP allocation.
    pub(super) allocation: Option<Box<Allocation>>,
}

impl Device {
    /// `None` if the code is too long.
    fn new(code: &str, id: &str) -> Option<Self> {
        Some(Self {
            key: Key::new(code, id)?,
            is_silent: false,
            device_type: None,
            newest: i64::MIN,
            seen: 0,
            shape: None,
            info: None,
            allocation: None,
        })
    }

    /// `DeviceId`, as Starlink spells it.
    pub(super) fn id(&self) -> &str {
        // The bytes are those of a `str`.
        str::from_utf8(self.key.parts().1).unwrap_or_default()
    }

    /// Determines its shard. Computed when it is needed, because it would take memory.
    pub(super) fn hash(&self) -> u64 {
        let (code, id) = self.key.parts();
        stable_hash(code, id)
    }

    /// Whether its fields or alerts end if it stays silent.
    pub(super) fn is_awaited(&self) -> bool {
        !self.is_silent && self.shape.is_some()
    }

    /// The time of its newest row, or that of its allocation, in milliseconds since 1970.
    pub(super) fn last(&self) -> i64 {
        let allocation = self.allocation.as_ref();
        let allocation = allocation.map_or(i64::MIN, |known| known.reported.div_euclid(1_000_000));
        self.newest.max(allocation)
    }
}

/// The devices by slot, and their slots by code and identifier.
#[derive(Debug, Default)]
pub(super) struct Devices {
    slots: Vec<Option<Device>>,
    free: Vec<u32>,
    by_key: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Devices {
    /// The number of devices.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The number of slots, including free ones.
    pub(super) fn slots(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Device> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Device> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// The slot of a device.
    pub(super) fn find(&self, code: &str, id: &str) -> Option<u32> {
        let key = (code.as_bytes(), id.as_bytes());
        let hash = self.hasher.hash_one(key);
        let is_it = |slot: &u32| {
            self.get(*slot)
                .is_some_and(|device| device.key.parts() == key)
        };
        self.by_key.find(hash, is_it).copied()
    }

    /// The slot of a device, which is added if it is new. `None` if the code has more than 64 KiB.
    pub(super) fn find_or_add(&mut self, code: &str, id: &str) -> Option<u32> {
        if let Some(slot) = self.find(code, id) {
            return Some(slot);
        }
        let device = Device::new(code, id)?;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.slots.len()).ok()?;
                if self.slots.len() == self.slots.capacity() {
                    // Less than the usual doubling, because memory counts here.
                    self.slots.reserve_exact(16 + self.slots.len() / 8);
                }
                self.slots.push(None);
                slot
            }
        };
        *self.slots.get_mut(slot as usize)? = Some(device);
        let Self {
            slots,
            by_key,
            hasher,
            ..
        } = self;
        let hash_of = |slot: &u32| {
            let device = slots.get(*slot as usize).and_then(Option::as_ref);
            device.map_or(0, |device| hasher.hash_one(device.key.parts()))
        };
        let hash = hasher.hash_one((code.as_bytes(), id.as_bytes()));
        by_key.insert_unique(hash, slot, hash_of);
        Some(slot)
    }

    /// Forgets the device of a slot.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(device) = self.slots.get_mut(slot as usize).and_then(Option::take) else {
            return;
        };
        let hash = self.hasher.hash_one(device.key.parts());
        if let Ok(entry) = self.by_key.find_entry(hash, |known| *known == slot) {
            entry.remove();
        }
        self.free.push(slot);
    }

    /// Forgets the devices beyond a number: those without rows first, then those that have been silent for longest.
    pub(super) fn forget_beyond(&mut self, most: usize) {
        let excess = self.len().saturating_sub(most);
        if excess == 0 {
            return;
        }
        let mut silent = BinaryHeap::with_capacity(excess + 1);
        for (slot, device) in (0_u32..).zip(&self.slots) {
            let Some(device) = device else {
                continue;
            };
            silent.push((device.seen, device.last(), device.hash(), slot));
            if silent.len() > excess {
                silent.pop();
            }
        }
        for (.., slot) in silent {
            self.remove(slot);
        }
    }
}

/// The hash of a device, which determines its shard: FNV-1a in 64 bits over code, a zero byte and identifier, then the finalizer of
/// MurmurHash3, because the highest bits of FNV hardly depend on the last bytes. The same in every process.
pub(super) fn stable_hash(code: &[u8], id: &[u8]) -> u64 {
    let parts = [code, &[0], id];
    let mut hash = parts.into_iter().fold(fnv::EMPTY, fnv::append);
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn devices_are_found_until_they_are_removed(
            // Short keys, and others.
            steps in prop::collection::vec(("[ur]{1,2}", "[ur]{0,2}|é{17,19}", any::<bool>()), 0..80),
        ) {
            let mut devices = Devices::default();
            let mut model: BTreeMap<(String, String), u32> = BTreeMap::new();
            let mut most = 0;
            for (code, id, adds) in steps {
                let key = (code.clone(), id.clone());
                prop_assert_eq!(devices.find(&code, &id), model.get(&key).copied());
                if adds {
                    let slot = devices.find_or_add(&code, &id).unwrap();
                    prop_assert_eq!(devices.get(slot).unwrap().id(), &id);
                    model.insert(key, slot);
                } else if let Some(slot) = model.remove(&key) {
                    devices.remove(slot);
                    prop_assert!(devices.get(slot).is_none());
                }
                prop_assert_eq!(devices.len(), model.len());
                for ((code, id), slot) in &model {
                    prop_assert_eq!(devices.find(code, id), Some(*slot));
                }
                most = most.max(model.len());
            }
            prop_assert_eq!(devices.slots() as usize, most);
        }
    }

    #[test]
    fn the_devices_that_are_silent_for_longest_are_forgotten() {
        // Identifier, stream time of the last row, and time of the newest one.
        let known = [
            ("only an allocation", 0, i64::MIN),
            ("oldest", 1, 700),
            ("old", 2, 300),
            ("as old, newer row", 2, 400),
            ("new", 9, 100),
        ];
        for most in 0..=known.len() + 1 {
            let mut devices = Devices::default();
            for (id, seen, newest) in known {
                let slot = devices.find_or_add("u", id).unwrap();
                let device = devices.get_mut(slot).unwrap();
                (device.seen, device.newest) = (seen, newest);
            }
            devices.forget_beyond(most);
            let forgotten = known.len().saturating_sub(most);
            for (index, (id, ..)) in known.iter().enumerate() {
                let is_known = devices.find("u", id).is_some();
                assert_eq!(is_known, index >= forgotten, "{id} of {most}");
            }
        }
    }

    #[test]
    fn the_hash_of_a_device_never_changes() {
        // Changing these moves devices between shards.
        for (code, id, expected) in [
            (
                "u",
                "ut01000000-00000000-00aa0001",
                3_156_704_259_504_881_867,
            ),
            (
                "r",
                "ut01000000-00000000-00aa0001",
                2_085_006_359_655_134_525,
            ),
            ("u", "é", 4_712_003_639_134_559_619),
        ] {
            assert_eq!(
                stable_hash(code.as_bytes(), id.as_bytes()),
                expected,
                "{code} {id}"
            );
        }
    }
}
