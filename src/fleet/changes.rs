//! The changes that a batch or the passing of time causes, each with its device.

use std::sync::Arc;

use super::device::{Alerts, Difference, Presence};
use super::interner::Text;

/// The most changes that are listed. Further ones are only counted, because at the end of an outage every device changes.
const MOST_KEPT: usize = 1000;

/// The field with the software version of a device.
pub(super) const SOFTWARE_FIELD: &str = "RunningSoftwareVersion";

/// A change of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It has become offline.
    WentSilent,
    /// It was offline and has reported again.
    CameBack,
    /// An alert with this name has become active. Not used for a device that was not known before.
    AlertRaised(Arc<str>),
    /// An alert with this name is no longer active.
    AlertCleared(Arc<str>),
    /// Its software version has changed.
    SoftwareChanged {
        /// The version before.
        from: Text,
        /// The version now.
        to: Text,
    },
    /// It has moved to another account.
    Moved {
        /// The name of the account before; `None` if it was not known.
        from: Option<Arc<str>>,
        /// The name of the account now.
        to: Arc<str>,
    },
    /// It was removed: after `FORGET_AFTER`, to make room for a new device, or with its account.
    Forgotten,
}

impl What {
    /// The names of all kinds of changes, in the order of [`Changes::counts`].
    pub const NAMES: [&'static str; 7] = [
        "went_silent",
        "came_back",
        "alert_raised",
        "alert_cleared",
        "software_changed",
        "moved",
        "forgotten",
    ];

    /// The index of its name in [`What::NAMES`].
    fn number(&self) -> usize {
        match self {
            Self::WentSilent => 0,
            Self::CameBack => 1,
            Self::AlertRaised(_) => 2,
            Self::AlertCleared(_) => 3,
            Self::SoftwareChanged { .. } => 4,
            Self::Moved { .. } => 5,
            Self::Forgotten => 6,
        }
    }
}

/// A change and its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The value of the label `device_type`.
    pub device_type: Arc<str>,
    /// `DeviceId`, as Starlink spells it.
    pub device_id: Box<str>,
    /// The change.
    pub what: What,
}

/// The changes of one batch, or of one call of [`super::Fleet::expire`]. They must not be held for long, because the names of alerts and
/// the versions in them count toward the fleet's limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The first thousand changes, in order.
    pub kept: Vec<Change>,
    /// The number of changes of each kind, by [`What::NAMES`].
    pub counts: [u64; What::NAMES.len()],
}

impl Changes {
    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    pub(super) fn add(&mut self, device_type: &Arc<str>, device_id: &str, what: What) {
        self.counts[what.number()] += 1;
        if self.kept.len() < MOST_KEPT {
            self.kept.push(Change {
                device_type: Arc::clone(device_type),
                device_id: device_id.into(),
                what,
            });
        }
    }
}

/// The state of a device before a row changes it.
pub(super) struct Before<'b> {
    pub(super) presence: Presence,
    pub(super) alerts: &'b Alerts,
    /// Its software version.
    pub(super) software: Option<&'b Text>,
}

/// Calls `add` with each change of a device by a row. `software` is the info lane of the software version.
pub(super) fn of_row(
    before: &Before<'_>,
    differences: &[Difference],
    software: Option<usize>,
    mut add: impl FnMut(What),
) {
    match before.presence {
        Presence::Absent => return,
        Presence::Offline => add(What::CameBack),
        Presence::Online | Presence::Stale => {}
    }
    for difference in differences {
        match difference {
            Difference::Alerts(alerts) => {
                let (before, now) = (names(before.alerts), names(alerts));
                let missing = |from: &[Arc<str>], name| from.binary_search(name).is_err();
                let raised = now.iter().filter(|name| missing(before, name));
                raised.for_each(|name| add(What::AlertRaised(Arc::clone(name))));
                let cleared = before.iter().filter(|name| missing(now, name));
                cleared.for_each(|name| add(What::AlertCleared(Arc::clone(name))));
            }
            Difference::Info(lane, Some(to)) if Some(*lane) == software => {
                if let Some(from) = before.software {
                    let (from, to) = (from.clone(), to.clone());
                    add(What::SoftwareChanged { from, to });
                }
            }
            Difference::Info(..) | Difference::Place(_) => {}
        }
    }
}

fn names(alerts: &Alerts) -> &[Arc<str>] {
    alerts.as_deref().map_or(&[], Vec::as_slice)
}
