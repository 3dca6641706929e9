//! The terminals to which routers are bonded.

use std::fmt;

use super::TERMINAL_PREFIX;
use crate::fleet::block::Block;
use crate::fleet::snapshot::TableView;
use crate::fleet::{Listing, Snapshot};
use crate::inventory::Directory;
use crate::telemetry::DeviceKind;

/// The info field in which a router reports the ID of its terminal.
const DISH_ID: &str = "dishid";

/// The ID of a terminal in telemetry, in two parts, so that the prefix can be added to an ID of the management API without a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalId<'i> {
    /// `ut` or empty.
    pub prefix: &'static str,
    /// What follows the prefix.
    pub rest: &'i str,
}

impl<'i> TerminalId<'i> {
    /// The ID of the management API, which leaves out the prefix.
    #[must_use]
    pub fn listed(id: &'i str) -> Self {
        Self {
            prefix: TERMINAL_PREFIX,
            rest: id,
        }
    }

    /// The ID that a router reports, with or without the prefix.
    #[must_use]
    pub fn reported(id: &'i str) -> Self {
        let is_bare = id.starts_with(|first: char| first.is_ascii_hexdigit());
        Self {
            prefix: if is_bare { TERMINAL_PREFIX } else { "" },
            rest: id,
        }
    }
}

impl fmt::Display for TerminalId<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.prefix, self.rest)
    }
}

/// The terminals of the routers of one table.
#[derive(Debug, Clone, Copy)]
pub struct Bonds<'s> {
    directory: &'s Directory,
    is_of_routers: bool,
    /// The lane of the ID that routers report.
    dish_id: Option<usize>,
}

impl<'s> Bonds<'s> {
    /// Finds the lane of the table, once for all devices.
    #[must_use]
    pub fn new(snapshot: &'s Snapshot, view: &TableView) -> Self {
        Self {
            directory: &snapshot.directory,
            is_of_routers: view.kind == DeviceKind::Router,
            dish_id: view.infos.find(DISH_ID),
        }
    }

    /// The terminal of a router: the one that it reports, else the one that the inventory has. `None` for other devices.
    #[must_use]
    pub fn terminal(&self, block: &'s Block, slot: usize) -> Option<TerminalId<'s>> {
        if !self.is_of_routers {
            return None;
        }
        let reported = self.dish_id.and_then(|lane| block.info(lane, slot));
        terminal_of(
            self.directory,
            router_entry(block.listing(slot)),
            reported.map(|id| &**id),
        )
    }
}

/// The number of a router in the directory.
pub(super) fn router_entry(listing: Listing) -> Option<u32> {
    match listing {
        Listing::Router(entry) => Some(entry),
        Listing::Terminal(..) | Listing::None => None,
    }
}

/// The terminal of a router with this number, which reports this terminal.
pub(super) fn terminal_of<'t>(
    directory: &'t Directory,
    entry: Option<u32>,
    reported: Option<&'t str>,
) -> Option<TerminalId<'t>> {
    let listed = || directory.router(entry?).map(|router| router.terminal);
    let reported = reported.filter(|id| !id.is_empty());
    reported
        .map(TerminalId::reported)
        .or_else(|| listed().map(TerminalId::listed))
}
