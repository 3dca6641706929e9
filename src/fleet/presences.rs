//! The presences of a block's devices and their numbers, which are kept with each change: every snapshot needs the numbers of all blocks,
//! and most blocks have not changed since the previous one.

use std::ops::{AddAssign, Index};

use serde::Serialize;

use super::device::Presence;

/// The numbers of devices in the three states of `starlink_exporter_devices`, the page and the API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// A row within `STALE_AFTER`.
    pub online: usize,
    /// No row for `STALE_AFTER` of stream time.
    pub offline: usize,
    /// No row within `STALE_AFTER`, but answers did not cover that time either.
    pub unknown: usize,
}

impl Counts {
    /// The number of devices.
    #[must_use]
    pub const fn all(self) -> usize {
        self.online + self.offline + self.unknown
    }

    /// The number of devices with this presence. Free slots and terminals that are not expected to report are not counted.
    const fn of(&mut self, presence: Presence) -> Option<&mut usize> {
        match presence {
            Presence::Absent | Presence::Listed => None,
            Presence::Online => Some(&mut self.online),
            Presence::Offline => Some(&mut self.offline),
            Presence::Stale => Some(&mut self.unknown),
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.online += other.online;
        self.offline += other.offline;
        self.unknown += other.unknown;
    }
}

/// The presences of a block's devices by slot, and their numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Presences {
    slots: Vec<Presence>,
    counts: Counts,
}

impl Presences {
    /// Adds a free slot.
    pub(super) fn push_absent(&mut self) {
        self.slots.push(Presence::Absent);
    }

    /// Changes the presence of a slot. Returns the previous one.
    pub(super) fn set(&mut self, slot: usize, presence: Presence) -> Presence {
        let before = std::mem::replace(&mut self.slots[slot], presence);
        if let Some(count) = self.counts.of(before) {
            *count -= 1;
        }
        if let Some(count) = self.counts.of(presence) {
            *count += 1;
        }
        before
    }

    pub(super) fn as_slice(&self) -> &[Presence] {
        &self.slots
    }

    /// The numbers of devices by state.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }
}

impl Index<usize> for Presences {
    type Output = Presence;

    fn index(&self, slot: usize) -> &Presence {
        &self.slots[slot]
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn presence() -> impl Strategy<Value = Presence> {
        prop_oneof![
            Just(Presence::Absent),
            Just(Presence::Online),
            Just(Presence::Stale),
            Just(Presence::Offline),
            Just(Presence::Listed),
        ]
    }

    proptest! {
        #[test]
        fn counts_equal_the_presences_of_the_slots(changes in vec((0..8_usize, presence()), 0..60)) {
            let mut presences = Presences::default();
            let mut expected = [Presence::Absent; 8];
            expected.iter().for_each(|_| presences.push_absent());
            for (slot, presence) in changes {
                let before = std::mem::replace(&mut expected[slot], presence);
                prop_assert_eq!(presences.set(slot, presence), before);
                let number = |wanted| expected.iter().filter(|known| **known == wanted).count();
                let counts = Counts {
                    online: number(Presence::Online),
                    offline: number(Presence::Offline),
                    unknown: number(Presence::Stale),
                };
                prop_assert_eq!(presences.counts(), counts);
                prop_assert_eq!(presences.as_slice(), expected);
            }
        }
    }
}
