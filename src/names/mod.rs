//! What people call the devices: a CSV file with a name for each device ID, read again when it changes.

mod error;
mod file;
mod parse;

use std::collections::HashMap;
use std::sync::Arc;

pub use self::error::{Fault, NamesError, Problem};
pub use self::file::Watch;

/// What a device is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The device's name; never empty.
    pub name: Box<str>,
    /// The group that it belongs to; empty where it belongs to none. Groups are few, and shared.
    pub group: Arc<str>,
}

/// The names of devices, as a file had them at one moment.
#[derive(Debug, Default)]
pub struct Names {
    by_id: HashMap<Box<str>, Name>,
    generation: u64,
}

impl Names {
    /// What a device is called, by its ID as Starlink spells it.
    #[must_use]
    pub fn get(&self, device_id: &str) -> Option<&Name> {
        self.by_id.get(device_id)
    }

    /// How often the file has been read: 0 where there is none, 1 at first, more after each change.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none: there is no file, or it has only its header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The names that a text gives, in their first generation.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn parse(text: &[u8]) -> Result<Self, Fault> {
        Ok(Self {
            by_id: parse::parse(text)?,
            generation: 1,
        })
    }
}
