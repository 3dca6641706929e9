//! What a scrape asks for: a part of the fleet, and the groups of families.

use thiserror::Error;

use super::Shard;
use crate::fleet::AccountId;

/// An unknown group. The message does not repeat it, because a response to a browser must not contain text of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("Unknown value of collect[]: use telemetry, inventory or exporter.")]
pub struct UnknownGroup;

/// Groups of families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Collect {
    /// What rows give.
    pub telemetry: bool,
    /// `starlink_online`, which is a part of the telemetry. No request names it alone.
    pub online: bool,
    /// What the management API gives.
    pub inventory: bool,
    /// The exporter's own families.
    pub exporter: bool,
}

impl Collect {
    /// All groups.
    pub const ALL: Self = Self {
        telemetry: true,
        online: true,
        inventory: true,
        exporter: true,
    };

    /// What changes often of that which the exporter itself knows: its own families and `starlink_online`.
    pub const STATES: Self = Self {
        online: true,
        exporter: true,
        ..Self::NONE
    };

    /// What changes seldom of it: the names of devices, accounts and the inventory.
    pub const LISTS: Self = Self {
        inventory: true,
        ..Self::NONE
    };

    const NONE: Self = Self {
        telemetry: false,
        online: false,
        inventory: false,
        exporter: false,
    };

    /// The groups that these values of `collect[]` name, in any order; all groups without values.
    ///
    /// # Errors
    /// A value names no group.
    pub fn requested<V: AsRef<str>>(
        values: impl IntoIterator<Item = V>,
    ) -> Result<Self, UnknownGroup> {
        let mut wanted = None;
        for value in values {
            let wanted = wanted.get_or_insert(Self::NONE);
            match value.as_ref() {
                "telemetry" => (wanted.telemetry, wanted.online) = (true, true),
                "inventory" => wanted.inventory = true,
                "exporter" => wanted.exporter = true,
                _ => return Err(UnknownGroup),
            }
        }
        Ok(wanted.unwrap_or(Self::ALL))
    }
}

/// The part of a snapshot that a scrape asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// The devices. Families of lines, pools and accounts are in the first shard.
    pub shard: Shard,
    /// The account, or `None` for all.
    pub account: Option<AccountId>,
    /// The groups of families.
    pub collect: Collect,
}

impl From<Shard> for Selection {
    /// All accounts and all groups.
    fn from(shard: Shard) -> Self {
        Self {
            shard,
            account: None,
            collect: Collect::ALL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_select_groups() {
        let groups = |collect: Collect| (collect.telemetry, collect.inventory, collect.exporter);
        for (values, expected) in [
            (&[][..], Some((true, true, true))),
            (&["telemetry"], Some((true, false, false))),
            (&["inventory", "inventory"], Some((false, true, false))),
            (&["exporter", "telemetry"], Some((true, false, true))),
            (
                &["exporter", "telemetry", "inventory"],
                Some((true, true, true)),
            ),
            (&[""], None),
            (&["Telemetry"], None),
            (&["telemetry", "go"], None),
        ] {
            let requested = Collect::requested(values);
            assert!(requested.is_ok_and(|all| all.online == all.telemetry) || expected.is_none());
            assert_eq!(requested.ok().map(groups), expected, "{values:?}");
        }
    }
}
