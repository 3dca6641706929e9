//! What people call their devices.

use std::collections::HashMap;

/// A device's name and the group that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// What people call the device.
    pub name: Box<str>,
    /// Empty where it belongs to none.
    pub group: Box<str>,
}

/// The names of devices.
#[derive(Debug, Default)]
pub struct Names {
    names: HashMap<Box<str>, Name>,
}

impl Names {
    /// The name of the device with this identifier.
    #[must_use]
    pub fn get(&self, device_id: &str) -> Option<&Name> {
        self.names.get(device_id)
    }
}
