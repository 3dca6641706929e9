//! The IP allocation of a terminal.

use std::sync::Arc;

use super::interner::Text;
use crate::telemetry::AddressKind;
use crate::telemetry::ip::Address;
use crate::time::Moment;

/// The memory of an address in an allocation, in bytes.
pub const ADDRESS_BYTES: usize = size_of::<Address>();

/// The memory of an info key and its value in an allocation in bytes, without the texts themselves.
pub const INFO_BYTES: usize = size_of::<(Arc<str>, Text)>();

/// A terminal's IP allocation.
#[derive(Debug, Clone)]
pub struct Allocation {
    /// `UtcTimestampNs` of its last row; 0 if only its last known value is known, so that any row is newer.
    pub reported: i64,
    /// When that row arrived.
    pub seen: Moment,
    /// The content of that row.
    pub content: Arc<AllocationContent>,
}

impl Allocation {
    /// Whether no row of the stream has brought it.
    #[must_use]
    pub fn is_last_known(&self) -> bool {
        self.reported == 0
    }

    /// Removes its addresses, which are stale.
    pub fn drop_addresses(&mut self) {
        Arc::make_mut(&mut self.content).addresses = Default::default();
    }
}

/// The content of an allocation row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AllocationContent {
    /// The addresses by [`AddressKind`], ascending and without duplicates; empty after they are stale.
    pub addresses: [Vec<Address>; 3],
    /// Info keys and values, in column order.
    pub infos: Vec<(Arc<str>, Text)>,
}

impl AllocationContent {
    /// Adds an address in order, unless it is in the list already. Returns false if the list has `most` other addresses.
    pub fn add(&mut self, kind: AddressKind, address: Address, most: usize) -> bool {
        let addresses = &mut self.addresses[kind as usize];
        let found = addresses.binary_search_by_key(&address.address(), |known| known.address());
        match found {
            Ok(_) => true,
            Err(_) if addresses.len() >= most => false,
            Err(index) => {
                addresses.insert(index, address);
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

    /// The memory of its entries in bytes, without the texts themselves.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let addresses: usize = self.addresses.iter().map(Vec::len).sum();
        addresses * ADDRESS_BYTES + self.infos.len() * INFO_BYTES
    }

    /// Frees the unused capacity of the lists.
    pub fn shrink_to_fit(&mut self) {
        self.addresses.iter_mut().for_each(Vec::shrink_to_fit);
        self.infos.shrink_to_fit();
    }
}
