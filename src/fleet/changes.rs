//! What a batch, or the passing of time, has changed for which device.

use std::sync::Arc;

use super::block::{Alerts, Difference, Presence};
use super::interner::Text;

/// How many changes are kept one by one. Further ones are counted alone: an outage ends for a whole fleet at once.
const MOST_KEPT: usize = 1000;

/// The field whose text is the version of a device's software.
pub(super) const SOFTWARE_FIELD: &str = "RunningSoftwareVersion";

/// What has changed for a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It is offline now.
    WentSilent,
    /// It was offline and reports again.
    CameBack,
    /// An alert of this name is active that was not. Not for alerts of a device that was not known before.
    AlertRaised(Arc<str>),
    /// An alert of this name is no longer active.
    AlertCleared(Arc<str>),
    /// The version of its software is another one.
    SoftwareChanged {
        /// The version before.
        from: Text,
        /// The version now.
        to: Text,
    },
    /// It belongs to another account now.
    Moved {
        /// The name of the account before; `None` where it was not known.
        from: Option<Arc<str>>,
        /// The name of the account now.
        to: Arc<str>,
    },
    /// It was silent for so long that it is no longer known, it gave way to a new device, or its account was removed.
    Forgotten,
}

impl What {
    /// The names of all changes, in the order of [`Changes::counts`].
    pub const NAMES: [&'static str; 7] = [
        "went_silent",
        "came_back",
        "alert_raised",
        "alert_cleared",
        "software_changed",
        "moved",
        "forgotten",
    ];

    /// Where its name is in [`What::NAMES`].
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
    /// What has changed.
    pub what: What,
}

/// The changes of one batch, or of one look at the clock. They keep names of alerts and versions in memory that count against the
/// fleet's limits: not to be held for long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The first thousand changes, in their order.
    pub kept: Vec<Change>,
    /// How many there were of each, by [`What::NAMES`].
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

/// A device before a row that counts for it.
pub(super) struct Before<'b> {
    pub(super) presence: Presence,
    pub(super) alerts: &'b Alerts,
    /// The version of its software.
    pub(super) software: Option<&'b Text>,
}

/// What a row changes for a device. `software` is the info lane of the software's version.
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
