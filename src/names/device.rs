//! The name of a device: from the names file, else from the inventory.

use std::borrow::Cow;

use super::bond::{Bonds, router_entry};
use super::{Name, Names};
use crate::fleet::block::Block;
use crate::fleet::snapshot::TableView;
use crate::fleet::{Listing, Snapshot};
use crate::inventory::{Directory, ListedTerminal};
use crate::telemetry::DeviceKind;

/// The name and the group of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceName<'n> {
    /// Its name; never empty.
    pub name: &'n str,
    /// Its group in the names file; empty without one.
    pub group: &'n str,
}

impl<'n> From<&'n Name> for DeviceName<'n> {
    fn from(name: &'n Name) -> Self {
        Self {
            name: &name.name,
            group: &name.group,
        }
    }
}

/// The names of the devices of one table.
#[derive(Debug, Clone, Copy)]
pub struct TableNames<'n> {
    file: &'n Names,
    directory: &'n Directory,
    kind: DeviceKind,
    bonds: Bonds<'n>,
}

impl<'n> TableNames<'n> {
    /// The names of the devices of a table of the snapshot. `file` is empty without a names file.
    #[must_use]
    pub fn new(file: &'n Names, snapshot: &'n Snapshot, view: &TableView) -> Self {
        Self {
            file,
            directory: &snapshot.directory,
            kind: view.kind,
            bonds: Bonds::new(snapshot, view),
        }
    }

    /// The name of the device in a slot.
    #[must_use]
    pub fn get(&self, block: &'n Block, slot: usize) -> Option<DeviceName<'n>> {
        let names = Sources {
            file: self.file,
            directory: self.directory,
        };
        let (id, listing) = (block.labels().id(slot), block.listing(slot));
        match self.kind {
            DeviceKind::Terminal => names.of_terminal(id, terminal_entry(listing)),
            DeviceKind::Router => names.of_router(id, router_entry(listing), || {
                self.bonds.terminal(block, slot)
            }),
            DeviceKind::Allocation | DeviceKind::Other => names.of_other(id),
        }
    }
}

/// The name of the terminal with this number in the directory.
#[must_use]
pub fn name_of_listed<'n>(
    file: &'n Names,
    directory: &'n Directory,
    entry: u32,
) -> Option<DeviceName<'n>> {
    let id = directory.terminal(entry)?.terminal.device_id();
    Sources { file, directory }.of_terminal(&id, Some(entry))
}

/// Where names come from.
#[derive(Debug, Clone, Copy)]
struct Sources<'n> {
    file: &'n Names,
    directory: &'n Directory,
}

impl<'n> Sources<'n> {
    /// From the file by the ID.
    fn of_other(self, id: &str) -> Option<DeviceName<'n>> {
        match self.file.is_empty() {
            true => None,
            false => self.file.get(id).map(DeviceName::from),
        }
    }

    /// From the file by ID, kit serial or dish serial, else from the inventory.
    fn of_terminal(self, id: &str, entry: Option<u32>) -> Option<DeviceName<'n>> {
        self.of_other(id).or_else(|| {
            let listed = self.directory.terminal(entry?)?;
            self.by_serials(&listed).or_else(|| listed_name(&listed))
        })
    }

    /// From the file by the ID, else the router's nickname in the inventory, else the name of its terminal.
    fn of_router(
        self,
        id: &str,
        entry: Option<u32>,
        terminal: impl FnOnce() -> Option<Cow<'n, str>>,
    ) -> Option<DeviceName<'n>> {
        let nickname = || self.directory.router(entry?)?.nickname;
        self.of_other(id)
            .or_else(|| nickname().and_then(ungrouped))
            .or_else(|| self.of_bonded(&terminal()?))
    }

    /// The name of a router's terminal.
    fn of_bonded(self, terminal: &str) -> Option<DeviceName<'n>> {
        self.of_terminal(terminal, self.directory.find_terminal(terminal))
    }

    fn by_serials(self, listed: &ListedTerminal<'_>) -> Option<DeviceName<'n>> {
        if self.file.is_empty() {
            return None;
        }
        let serials = [listed.terminal.kit_serial, listed.terminal.dish_serial];
        let mut serials = serials.into_iter().flatten();
        serials
            .find_map(|serial| self.file.by_serial(serial))
            .map(DeviceName::from)
    }
}

/// The number of a terminal in the directory.
fn terminal_entry(listing: Listing) -> Option<u32> {
    match listing {
        Listing::Terminal(entry, _) => Some(entry),
        Listing::Router(_) | Listing::None => None,
    }
}

fn listed_name<'n>(listed: &ListedTerminal<'n>) -> Option<DeviceName<'n>> {
    listed.name().and_then(ungrouped)
}

/// A name of the inventory, which has no groups.
fn ungrouped(name: &str) -> Option<DeviceName<'_>> {
    let is_blank = name.trim().is_empty();
    (!is_blank).then_some(DeviceName { name, group: "" })
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::super::bond::terminal_of;
    use super::*;
    use crate::inventory::{Bounds, Inventory, Known, Lines, Terminals};

    /// Terminals 0a (with a nickname), 0b (its line has one), 0c (its aircraft has a tail number) and 0d (without names), and routers.
    pub fn directory() -> Directory {
        let bounds = Bounds {
            routers: true,
            ..Bounds::STANDARD
        };
        let page = |results: &str| {
            format!(r#"{{"content":{{"isLastPage":true,"results":[{results}]}},"isValid":true}}"#)
        };
        let terminal = |id: &str, line: &str, rest: &str| {
            format!(
                r#"{{"userTerminalId":"{id}","kitSerialNumber":"KIT{id}","dishSerialNumber":"2DHT{id}","serviceLineNumber":"{line}"{rest}}}"#
            )
        };
        let routers = r#","routers":[{"routerId":"0A1"},{"routerId":"0a2","nickname":"Galley"},{"routerId":"0a3","nickname":" "}]"#;
        let terminals = [
            terminal(
                "0a",
                "L1",
                &format!(r#","nickname":"Aurora, north"{routers}"#),
            ),
            terminal("0b", "L1", r#","nickname":" ""#),
            terminal("0c", "L2", ""),
            terminal("0d", "L3", r#","routers":[{"routerId":"0d1"}]"#),
        ];
        let terminals = Terminals::parse(page(&terminals.join(",")).as_bytes(), &bounds).unwrap();
        let lines = r#"{"serviceLineNumber":"L1","nickname":"Line 1","aviationMetadata":{"tailNumber":"T-1"}},
            {"serviceLineNumber":"L2","aviationMetadata":{"tailNumber":"T-2"}},{"serviceLineNumber":"L3"}"#;
        let lines = Lines::parse(page(lines).as_bytes(), &bounds).unwrap();
        let inventory = Inventory {
            terminals: Some(Known {
                at: 0.0,
                value: Arc::new(terminals.entries),
            }),
            lines: Some(Known {
                at: 0.0,
                value: Arc::new(lines.entries),
            }),
            ..Inventory::default()
        };
        Directory::of(vec![("default".into(), Arc::new(inventory))])
    }

    fn file(lines: &str) -> Names {
        match lines {
            "" => Names::default(),
            lines => Names::parse(format!("deviceID,name,group\n{lines}\n").as_bytes()).unwrap(),
        }
    }

    #[test]
    fn a_terminal_takes_its_name_from_the_file_else_from_the_inventory() {
        let directory = directory();
        for (lines, id, expected) in [
            ("", "ut0a", Some(("Aurora, north", ""))),
            ("", "ut0A", Some(("Aurora, north", ""))),
            ("", "ut0b", Some(("Line 1", ""))),
            ("", "ut0c", Some(("T-2", ""))),
            ("", "ut0d", None),
            ("", "ut0e", None),
            ("ut0a,File,g", "ut0a", Some(("File", "g"))),
            ("0A,File,", "ut0a", Some(("File", ""))),
            ("kit0a,Kit,g", "ut0a", Some(("Kit", "g"))),
            ("2dHt0a,Dish,g", "ut0a", Some(("Dish", "g"))),
            ("2DHT0d,Dish,g\nKIT0D,Kit,k", "ut0d", Some(("Kit", "k"))),
            (
                "2DHT0d,Dish,g\nKIT0D,Kit,k\n0d,ID,i",
                "ut0d",
                Some(("ID", "i")),
            ),
            ("KIT0a,Kit,g", "ut0b", Some(("Line 1", ""))),
            ("ut0e,File,g", "ut0e", Some(("File", "g"))),
        ] {
            let file = file(lines);
            let names = Sources {
                file: &file,
                directory: &directory,
            };
            let entry = directory.find_terminal(id);
            let found = names.of_terminal(id, entry);
            let found = found.map(|found| (found.name, found.group));
            assert_eq!(found, expected, "{id} with {lines}");
        }
    }

    #[test]
    fn a_router_takes_its_own_name_else_that_of_its_terminal() {
        let directory = directory();
        for (lines, id, reported, expected) in [
            ("", "Router-0A1", None, Some(("Aurora, north", ""))),
            ("", "Router-0a2", None, Some(("Galley", ""))),
            ("", "Router-0a2", Some("ut0b"), Some(("Galley", ""))),
            // A blank nickname is none.
            ("", "Router-0a3", None, Some(("Aurora, north", ""))),
            ("", "Router-0A1", Some("ut0b"), Some(("Line 1", ""))),
            ("", "Router-0A1", Some(""), Some(("Aurora, north", ""))),
            ("", "Router-0d1", None, None),
            ("", "Router-0e1", None, None),
            ("", "Router-0e1", Some("0C"), Some(("T-2", ""))),
            ("ut0a,File,g", "Router-0A1", None, Some(("File", "g"))),
            ("KIT0a,Kit,g", "Router-0A1", None, Some(("Kit", "g"))),
            ("ut0f,File,g", "Router-0e1", Some("0f"), Some(("File", "g"))),
            ("0f,File,g", "Router-0e1", Some("ut0f"), Some(("File", "g"))),
            (
                "ut0a,File,g\n0a1,Own,o",
                "Router-0A1",
                None,
                Some(("Own", "o")),
            ),
        ] {
            let file = file(lines);
            let names = Sources {
                file: &file,
                directory: &directory,
            };
            let entry = directory.find_router(id);
            let found = names.of_router(id, entry, || terminal_of(&directory, entry, reported));
            let found = found.map(|found| (found.name, found.group));
            assert_eq!(found, expected, "{id} at {reported:?} with {lines}");
        }
    }

    #[test]
    fn the_terminal_of_a_router_has_the_id_of_telemetry() {
        let directory = directory();
        let listed = |id| directory.find_router(id);
        for (id, reported, expected) in [
            ("Router-0a1", None, Some("ut0a")),
            ("Router-0a1", Some("0B"), Some("ut0B")),
            ("Router-0a1", Some("ut0b"), Some("ut0b")),
            ("Router-0a1", Some("x-1"), Some("x-1")),
            ("Router-0e1", Some(""), None),
            ("Router-0e1", None, None),
        ] {
            let found = terminal_of(&directory, listed(id), reported);
            assert_eq!(found.as_deref(), expected, "{id} {reported:?}");
        }
    }
}
