//! Writes and reads the inventories of a dump.

use std::io::{self, Write};

use super::DumpError;
use crate::inventory::Inventory;

/// Writes an inventory as JSON, after its length. It is serialised twice, because a buffer for it would take much memory.
pub(super) fn write(out: &mut impl Write, inventory: &Inventory) -> io::Result<()> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, inventory)?;
    out.write_all(&length.0.to_le_bytes())?;
    serde_json::to_writer(out, inventory)?;
    Ok(())
}

/// Reads an inventory from JSON.
pub(super) fn read(json: &[u8]) -> Result<Inventory, DumpError> {
    serde_json::from_slice(json).map_err(|_| DumpError::Invalid("inventory"))
}

/// Counts the bytes that are written.
struct Length(u64);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
