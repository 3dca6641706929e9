//! The state of reading an accounts file, which all its entries share.

use std::path::Path;

use super::defaults::Defaults;
use super::loaded::UnusableEntry;
use crate::config::error::Warning;
use crate::files::FileReader;
use crate::text::Problems;

/// The inputs, and what was found so far.
pub(super) struct Context<'c> {
    /// The directory of the accounts file, to which relative paths refer.
    pub(super) directory: &'c Path,
    /// The values of settings that an entry does not have.
    pub(super) defaults: &'c Defaults,
    /// Reads credential files.
    pub(super) files: &'c mut FileReader,
    pub(super) problems: Problems,
    pub(super) warnings: Vec<Warning>,
    /// The entries whose credential files cannot be used.
    pub(super) unusable: Vec<UnusableEntry>,
    /// The credential files of the current entry that cannot be used: their lines, and what is wrong.
    pub(super) unusable_files: Vec<(usize, String)>,
}
