//! Detects devices that two accounts keep delivering, because both are service accounts of one Starlink account.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::accounts::AccountId;
use crate::time::Moment;

/// The most devices that are tracked. One would be enough to show that two accounts deliver the same fleet.
const MOST_DEVICES: usize = 64;

/// Identifies a device by table and slot.
type DeviceSlot = (usize, usize);

/// A device that two accounts keep delivering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoubleDelivery {
    /// `DeviceId`, as Starlink spells it.
    pub device_id: Box<str>,
    /// The names of the device's own account and of the other one.
    pub accounts: [Arc<str>; 2],
}

/// The delivery of a device by an account other than its own.
#[derive(Debug, Clone, Copy)]
struct OtherDelivery {
    /// The other account.
    account: AccountId,
    /// When it first delivered the device.
    since: Moment,
    /// When it last delivered the device.
    last: Moment,
}

/// The devices that were recently delivered by an account other than their own.
#[derive(Debug, Default)]
pub(super) struct DoubleDeliveries(BTreeMap<DeviceSlot, OtherDelivery>);

impl DoubleDeliveries {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes devices that the other account has not delivered for `stale_after`.
    pub(super) fn prune(&mut self, now: Moment, stale_after: Duration) {
        self.0
            .retain(|_, other| now.since(other.last) < stale_after);
    }

    /// Records that another account has delivered a device.
    pub(super) fn record_other(&mut self, device: DeviceSlot, account: AccountId, now: Moment) {
        let has_room = self.0.len() < MOST_DEVICES;
        match self.0.get_mut(&device) {
            Some(other) if other.account == account => other.last = now,
            known if known.is_some() || has_room => {
                let other = OtherDelivery {
                    account,
                    since: now,
                    last: now,
                };
                self.0.insert(device, other);
            }
            _ => {}
        }
    }

    /// The other account that delivers a device, if it has done so for at least `stale_after`. Call it when the device's own account has
    /// delivered the device.
    pub(super) fn long_term_other(
        &self,
        device: DeviceSlot,
        now: Moment,
        stale_after: Duration,
    ) -> Option<AccountId> {
        let other = self.0.get(&device)?;
        (now.since(other.since) >= stale_after).then_some(other.account)
    }

    /// Stops tracking a device, because it has moved to another account.
    pub(super) fn forget(&mut self, device: DeviceSlot) {
        self.0.remove(&device);
    }
}
