//! Reads the values of a dump one after the other. Each is checked, because anything may have changed the file.

use super::{DumpError, LAST_MOMENT};
use crate::time::Moment;

/// The bytes that are not read yet.
pub(super) struct Input<'i> {
    pub(super) rest: &'i [u8],
}

impl<'i> Input<'i> {
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DumpError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(DumpError::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }

    pub(super) fn length(&mut self) -> Result<u32, DumpError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'i [u8], DumpError> {
        let split = self.rest.split_at_checked(length);
        let (bytes, rest) = split.ok_or(DumpError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'i str, DumpError> {
        let length = self.length()? as usize;
        str::from_utf8(self.bytes(length)?).map_err(|_| DumpError::Invalid("UTF-8 text"))
    }

    pub(super) fn moment(&mut self) -> Result<Moment, DumpError> {
        let moment = Moment::from_millis(u64::from_le_bytes(self.array()?));
        match moment <= LAST_MOMENT {
            true => Ok(moment),
            false => Err(DumpError::Invalid("time")),
        }
    }
}
