//! Devices that two accounts go on delivering: two service accounts of one Starlink account.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::accounts::AccountId;
use crate::time::Moment;

/// How many devices are looked at. One is enough to see that two accounts deliver the same fleet.
const MOST: usize = 64;

/// A device, by table and slot.
type Place = (usize, usize);

/// A device that two accounts go on delivering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rivalry {
    /// `DeviceId`, as Starlink spells it.
    pub device_id: Box<str>,
    /// The names of the device's account, and of the other one.
    pub accounts: [Arc<str>; 2],
}

/// Another account than the device's delivers it.
#[derive(Debug, Clone, Copy)]
struct Rival {
    account: AccountId,
    since: Moment,
    last: Moment,
}

/// The devices that were lately delivered by another account than theirs.
#[derive(Debug, Default)]
pub(super) struct Rivals(BTreeMap<Place, Rival>);

impl Rivals {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets the accounts that have ceased to deliver.
    pub(super) fn prune(&mut self, now: Moment, stale_after: Duration) {
        self.0
            .retain(|_, rival| now.since(rival.last) < stale_after);
    }

    /// Another account than the device's has delivered it.
    pub(super) fn note_other(&mut self, device: Place, account: AccountId, now: Moment) {
        let has_room = self.0.len() < MOST;
        match self.0.get_mut(&device) {
            Some(rival) if rival.account == account => rival.last = now,
            known if known.is_some() || has_room => {
                let rival = Rival {
                    account,
                    since: now,
                    last: now,
                };
                self.0.insert(device, rival);
            }
            _ => {}
        }
    }

    /// The device's own account has delivered it. The other account, if that has delivered it for `stale_after` by now.
    pub(super) fn note_own(
        &self,
        device: Place,
        now: Moment,
        stale_after: Duration,
    ) -> Option<AccountId> {
        let rival = self.0.get(&device)?;
        (now.since(rival.since) >= stale_after).then_some(rival.account)
    }

    /// The device belongs to another account now.
    pub(super) fn forget(&mut self, device: Place) {
        self.0.remove(&device);
    }
}
