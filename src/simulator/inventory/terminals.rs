//! The entries of `user-terminals`.

use serde_json::{Value, json};

use super::{Inventory, Kind, Use};
use crate::simulator::fleet::{FIRST_NUMBER, router_id, terminal_id};

/// The names of ships; further ones get a number.
const SHIPS: [&str; 12] = [
    "Aurora",
    "Borealis",
    "Cygnus",
    "Delphinus",
    "Electra",
    "Fornax",
    "Gemini",
    "Hydra",
    "Indus",
    "Lyra",
    "Meridian",
    "Norma",
];

impl Inventory {
    /// The ID of a terminal as the management API writes it.
    pub(in crate::simulator) fn terminal_id(&self, index: usize) -> String {
        let device_id = terminal_id(self.first + index);
        device_id.trim_start_matches("ut").to_owned()
    }

    /// The ID of the router of a terminal as the management API writes it.
    pub(in crate::simulator) fn router_id(&self, index: usize) -> String {
        let device_id = router_id(self.first + index);
        device_id.trim_start_matches("Router-").to_owned()
    }

    /// The index of the device with this ID, if it has the form of one; it may be that of another device.
    pub(in crate::simulator) fn index_of(&self, id: &str) -> Option<usize> {
        let digits = id.get(id.len().checked_sub(8)?..)?;
        let number = usize::from_str_radix(digits, 16).ok()?;
        number.checked_sub(FIRST_NUMBER + self.first)
    }

    /// The entry of a terminal.
    pub(super) fn terminal(&self, index: usize) -> Value {
        let kind = self.kind(index);
        let has_router = self.routers && matches!(kind, Some(Kind::Reporting | Kind::Silent));
        let has_line = kind != Some(Kind::InStore);
        let id = self.terminal_id(index);
        let routers: Vec<Value> = has_router
            .then(|| self.router(index, &id))
            .into_iter()
            .collect();
        let serial = 310_500 + self.first + index;
        json!({
            "userTerminalId": id,
            "nickname": self.terminal_nickname(index),
            "kitSerialNumber": format!("KIT{serial:08}"),
            "dishSerialNumber": format!("DISH{serial:08}"),
            "serviceLineNumber": has_line.then(|| self.line_number(index)),
            "l2VpnCircuits": [],
            "routers": routers,
        })
    }

    fn router(&self, index: usize, terminal: &str) -> Value {
        json!({
            "routerId": self.router_id(index),
            "nickname": null,
            "userTerminalId": terminal,
            "configId": null,
            "hardwareVersion": null,
            "lastBonded": null,
        })
    }

    /// The nickname of a terminal. Some have none: those in aircraft, those with a pool and those without a limit.
    fn terminal_nickname(&self, index: usize) -> Option<String> {
        if self.kind(index) == Some(Kind::InStore) {
            return Some(format!("spare {}, in store", index + 1 - self.lines()));
        }
        let number = (self.first + index) / 6;
        match self.use_of(index) {
            Use::Ship => {
                let name = SHIPS[number % SHIPS.len()];
                Some(match number / SHIPS.len() {
                    0 => name.to_owned(),
                    round => format!("{name} {}", round + 1),
                })
            }
            Use::Depot => Some(format!("Depot {}, gate {}", number + 1, 1 + index % 4)),
            Use::Office => Some(format!("Office {}", number + 1)),
            Use::Aircraft | Use::Pooled | Use::Unlimited => None,
        }
    }
}
