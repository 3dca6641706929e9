//! The state of one device, and the values of a row that change it.

use std::num::NonZeroU64;
use std::sync::Arc;

use super::interner::Text;
use crate::inventory::Activity;
use crate::telemetry::location::Location;
use crate::time::Moment;

/// Whether a device reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// No device: a free slot, or a terminal with only an IP allocation so far.
    Absent,
    /// A row was accepted within `STALE_AFTER`.
    Online,
    /// No row within `STALE_AFTER`, but answers did not cover enough time to conclude that the device is silent.
    Stale,
    /// No row for `STALE_AFTER` of stream time.
    Offline,
    /// A terminal of the inventory of which no row is known, and which is not expected to report.
    Listed,
}

/// What the inventory says about the device of a slot. Numbers are those of the [`Directory`](crate::inventory::Directory) of the same
/// snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Listing {
    /// No inventory has the device.
    #[default]
    None,
    /// The terminal with this number, and whether it is expected to report.
    Terminal(u32, Activity),
    /// The router with this number.
    Router(u32),
}

impl Listing {
    /// The presence of a terminal of which no row is known, if it was `before`.
    pub(super) fn without_rows(self, before: Presence) -> Presence {
        match (self, before) {
            (Self::None | Self::Router(_), _) => Presence::Absent,
            (Self::Terminal(_, Activity::Active), Presence::Offline) => Presence::Offline,
            (Self::Terminal(_, Activity::Active), _) => Presence::Stale,
            (Self::Terminal(..), _) => Presence::Listed,
        }
    }

    /// Whether the device is a terminal of the inventory that is not expected to report.
    pub(super) fn is_inactive(self) -> bool {
        matches!(self, Self::Terminal(_, Activity::Inactive))
    }
}

/// The rows of the stream that were accepted of a device since it became known. Last known values are not among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Streamed {
    /// None.
    #[default]
    Never,
    /// One.
    Once,
    /// More than one.
    Repeatedly,
}

impl Streamed {
    /// After another row.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Never => Self::Once,
            Self::Once | Self::Repeatedly => Self::Repeatedly,
        }
    }
}

/// The location of a device, and the H3 index that it comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeviceLocation {
    /// The H3 cell, which is never 0.
    pub index: NonZeroU64,
    /// Its centre.
    pub centre: Location,
}

/// Active alerts: sorted names without duplicates. `None` if there are none.
pub type Alerts = Option<Arc<Vec<Arc<str>>>>;

/// The memory of `count` alerts of a device in bytes, without the names themselves.
#[must_use]
pub const fn alert_bytes(count: usize) -> usize {
    count * size_of::<Arc<str>>()
}

/// The complete new state of a device from a row.
#[derive(Debug)]
pub struct DeviceState<'p> {
    /// `UtcTimestampNs`.
    pub reported: i64,
    /// The lanes in which it has numbers, ascending.
    pub lanes: &'p [u32],
    /// The numbers in these lanes.
    pub gauges: &'p [f64],
    /// All other changes.
    pub changes: &'p [Difference],
}

/// A change of a row compared with the previous one.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    /// The text of a lane.
    Info(usize, Option<Text>),
    /// The location.
    Location(Option<DeviceLocation>),
    /// The active alerts.
    Alerts(Alerts),
}

/// The times of a device's last row.
#[derive(Debug, Clone, Default)]
pub(super) struct LastRow {
    /// `UtcTimestampNs`.
    pub(super) reported: i64,
    /// When it arrived.
    pub(super) seen: Moment,
    /// When it arrived, by the stream time of the account.
    pub(super) seen_in_stream: Moment,
    /// When the account of the block last delivered a row of the device, accepted or not.
    pub(super) delivered: Moment,
}
