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
    /// The kind of the change.
    #[must_use]
    pub fn kind(&self) -> ChangeKind {
        match self {
            Self::WentSilent => ChangeKind::WentSilent,
            Self::CameBack => ChangeKind::CameBack,
            Self::AlertRaised(_) => ChangeKind::AlertRaised,
            Self::AlertCleared(_) => ChangeKind::AlertCleared,
            Self::SoftwareChanged { .. } => ChangeKind::SoftwareChanged,
            Self::Moved { .. } => ChangeKind::Moved,
            Self::Forgotten => ChangeKind::Forgotten,
        }
    }
}

/// The kind of a change: [`What`] without its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// [`What::WentSilent`]
    WentSilent,
    /// [`What::CameBack`]
    CameBack,
    /// [`What::AlertRaised`]
    AlertRaised,
    /// [`What::AlertCleared`]
    AlertCleared,
    /// [`What::SoftwareChanged`]
    SoftwareChanged,
    /// [`What::Moved`]
    Moved,
    /// [`What::Forgotten`]
    Forgotten,
}

impl ChangeKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::WentSilent,
        Self::CameBack,
        Self::AlertRaised,
        Self::AlertCleared,
        Self::SoftwareChanged,
        Self::Moved,
        Self::Forgotten,
    ];

    /// The name in log lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WentSilent => "went_silent",
            Self::CameBack => "came_back",
            Self::AlertRaised => "alert_raised",
            Self::AlertCleared => "alert_cleared",
            Self::SoftwareChanged => "software_changed",
            Self::Moved => "moved",
            Self::Forgotten => "forgotten",
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

/// The changes of one batch, or of one call of [`super::Fleet::expire`]. Drop them soon: while they exist, the alert names and software
/// versions in them are not freed, and use up the fleet's limits of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// The first thousand changes, in order.
    pub kept: Vec<Change>,
    /// The number of all changes, by [`ChangeKind`].
    counts: [u64; ChangeKind::ALL.len()],
}

impl Changes {
    /// Whether nothing has changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// The number of changes of a kind.
    #[must_use]
    pub fn count(&self, kind: ChangeKind) -> u64 {
        self.counts[kind as usize]
    }

    pub(super) fn add(&mut self, device_type: &Arc<str>, device_id: &str, what: What) {
        self.counts[what.kind() as usize] += 1;
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
    /// Whether a row of it was accepted.
    pub(super) has_streamed: bool,
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
    if !before.has_streamed {
        return;
    }
    if before.presence == Presence::Offline {
        add(What::CameBack);
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
            Difference::Info(..) | Difference::Location(_) => {}
        }
    }
}

fn names(alerts: &Alerts) -> &[Arc<str>] {
    alerts.as_deref().map_or(&[], Vec::as_slice)
}
