//! The terminals to which routers are bonded.

use std::borrow::Cow;

use super::{TERMINAL_PREFIX, is_identifier};
use crate::fleet::block::Block;
use crate::fleet::snapshot::TableView;
use crate::fleet::{Listing, Snapshot};
use crate::inventory::{Directory, usual_terminal_id};
use crate::telemetry::DeviceKind;

/// The info field in which a router reports the ID of its terminal.
const DISH_ID: &str = "dishid";

/// The terminals of the routers of one table.
#[derive(Debug, Clone, Copy)]
pub struct Bonds<'s> {
    snapshot: &'s Snapshot,
    is_of_routers: bool,
    /// The lane of the ID that routers report.
    dish_id: Option<usize>,
}

impl<'s> Bonds<'s> {
    /// Finds the lane of the table, once for all devices.
    #[must_use]
    pub fn new(snapshot: &'s Snapshot, view: &TableView) -> Self {
        Self {
            snapshot,
            is_of_routers: view.kind == DeviceKind::Router,
            dish_id: view.infos.find(DISH_ID),
        }
    }

    /// The ID of a router's terminal: the one that it reports, else the one that the inventory has, in the spelling of the label `deviceID` of
    /// the terminal. `None` for other devices.
    #[must_use]
    pub fn terminal(&self, block: &'s Block, slot: usize) -> Option<Cow<'s, str>> {
        if !self.is_of_routers {
            return None;
        }
        let reported = self.dish_id.and_then(|lane| block.info(lane, slot));
        let id = terminal_of(
            &self.snapshot.directory,
            router_entry(block.listing(slot)),
            reported.map(|id| &**id),
        )?;
        Some(self.spelled(id))
    }

    /// The ID as the terminal has it, if the snapshot has the terminal.
    fn spelled(&self, id: Cow<'s, str>) -> Cow<'s, str> {
        let usual = usual_terminal_id(&id);
        if let Some(spelled) = self.snapshot.unusual_id(&usual) {
            return spelled.into();
        }
        let is_usual = matches!(usual, Cow::Borrowed(_));
        // Any other ID is not that of a terminal.
        let has_prefix = usual.len() == id.len();
        match !is_usual && has_prefix {
            true => usual.into_owned().into(),
            false => {
                drop(usual);
                id
            }
        }
    }
}

/// The number of a router in the directory.
pub(super) fn router_entry(listing: Listing) -> Option<u32> {
    match listing {
        Listing::Router(entry) => Some(entry),
        Listing::Terminal(..) | Listing::None => None,
    }
}

/// The ID of the terminal of a router with this number, which reports this terminal, with or without the prefix.
pub(super) fn terminal_of<'t>(
    directory: &'t Directory,
    entry: Option<u32>,
    reported: Option<&'t str>,
) -> Option<Cow<'t, str>> {
    let with_prefix = |id: &str| format!("{TERMINAL_PREFIX}{id}").into();
    match reported.filter(|id| !id.is_empty()) {
        Some(bare) if is_identifier(bare) => Some(with_prefix(bare)),
        Some(id) => Some(id.into()),
        None => directory
            .router(entry?)
            .map(|router| with_prefix(router.terminal)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::tests::{World, body};

    #[test]
    fn the_terminal_of_a_router_is_spelled_as_the_device() {
        let terminals = r#""u":["DeviceType","UtcTimestampNs","DeviceId"]"#;
        let routers = r#""r":["DeviceType","UtcTimestampNs","DeviceId","DishId"]"#;
        for (device, dish, expected) in [
            ("ut00-0a", "ut00-0a", "ut00-0a"),
            ("ut00-0a", "UT00-0A", "ut00-0a"),
            ("ut00-0a", "00-0A", "ut00-0a"),
            ("ut00-0A", "ut00-0a", "ut00-0A"),
            ("UT00-0A", "00-0a", "UT00-0A"),
            // Telemetry has no prefix.
            ("00-0A", "ut00-0a", "00-0A"),
            ("00-0a", "00-0A", "00-0a"),
            ("x-1", "X-1", "x-1"),
            // Another terminal.
            ("ut00-0b", "ut00-0a", "ut00-0a"),
            ("ut00-0b", "y-1", "y-1"),
        ] {
            let mut world = World::with(|options| options.include_routers = true);
            let rows = format!(r#"["u",1,"{device}"],["r",1,"Router-1","{dish}"]"#);
            world.answer(&body(&rows, &format!("{terminals},{routers}")));
            let snapshot = world.fleet.snapshot();
            let mut views = snapshot.tables.iter();
            let view = views.find(|view| view.kind == DeviceKind::Router).unwrap();
            let bonds = Bonds::new(&snapshot, view);
            let terminal = bonds.terminal(&view.blocks[0], 0);
            assert_eq!(terminal.as_deref(), Some(expected), "{device} {dish}");
        }
    }
}
