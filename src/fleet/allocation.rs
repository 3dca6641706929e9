//! The IP allocation of a terminal.

use std::sync::Arc;

use super::interner::Text;
use crate::telemetry::AddressKind;
use crate::telemetry::ip::Address;
use crate::time::Moment;

/// What an address takes in an allocation.
pub const ADDRESS_BYTES: usize = size_of::<Address>();

/// What an info key and its value take in an allocation, the texts themselves not counted.
pub const INFO_BYTES: usize = size_of::<(Arc<str>, Text)>();

/// A terminal's IP allocation.
#[derive(Debug, Clone)]
pub struct Allocation {
    /// `UtcTimestampNs` of its last row.
    pub reported: i64,
    /// When that row came.
    pub seen: Moment,
    /// What it said.
    pub content: Arc<AllocationContent>,
}

impl Allocation {
    /// Forgets its addresses, which are stale.
    pub fn drop_addresses(&mut self) {
        Arc::make_mut(&mut self.content).addresses = Default::default();
    }
}

/// What a row of an IP allocation says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AllocationContent {
    /// The addresses, by [`AddressKind`], ascending, each once; none once they are stale.
    pub addresses: [Vec<Address>; 3],
    /// Info keys and values, in column order.
    pub infos: Vec<(Arc<str>, Text)>,
}

impl AllocationContent {
    /// Puts an address of the kind's family at its place in the ascending order, unless it stands there already. False when there are
    /// `most` addresses and this would be another one.
    pub fn add(&mut self, kind: AddressKind, address: Address, most: usize) -> bool {
        let addresses = &mut self.addresses[kind as usize];
        let place = addresses.binary_search_by_key(&address.address(), |known| known.address());
        match place {
            Ok(_) => true,
            Err(_) if addresses.len() >= most => false,
            Err(place) => {
                addresses.insert(place, address);
                true
            }
        }
    }

    /// The value of an info key.
    #[must_use]
    pub fn info(&self, key: &str) -> Option<&Text> {
        let mut infos = self.infos.iter();
        infos.find_map(|(known, text)| (**known == *key).then_some(text))
    }

    /// Whether there is an address of any kind.
    #[must_use]
    pub fn has_addresses(&self) -> bool {
        self.addresses.iter().any(|addresses| !addresses.is_empty())
    }

    /// How many bytes its entries take, the texts themselves not counted.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let addresses: usize = self.addresses.iter().map(Vec::len).sum();
        addresses * ADDRESS_BYTES + self.infos.len() * INFO_BYTES
    }

    /// Gives back the room that the lists have beyond their entries.
    pub fn shrink_to_fit(&mut self) {
        self.addresses.iter_mut().for_each(Vec::shrink_to_fit);
        self.infos.shrink_to_fit();
    }
}
