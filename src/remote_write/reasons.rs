//! Why rows and samples are not stored: the closed lists of the label `reason`.

/// Why a row was not sent: `starlink_exporter_remote_write_rows_dropped_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowReason {
    /// The device has another row with the same time.
    Duplicate,
    /// Its time is too far ahead of the clock.
    Future,
    /// It is older than a row of its device that was sent, and the receiver has no out-of-order window.
    OutOfOrder,
    /// It is older than the receiver's out-of-order window.
    TooOld,
    /// Its record cannot be read.
    Unreadable,
    /// The journal reached `JOURNAL_MAX_BYTES`.
    MaxBytes,
    /// The journal's segment reached `JOURNAL_MAX_AGE`.
    MaxAge,
    /// The file system of the journal was nearly full.
    DiskSpace,
    /// The journal could not be written, and the memory for answers was full or the journal failed too often.
    Memory,
}

impl RowReason {
    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::Duplicate,
        Self::Future,
        Self::OutOfOrder,
        Self::TooOld,
        Self::Unreadable,
        Self::MaxBytes,
        Self::MaxAge,
        Self::DiskSpace,
        Self::Memory,
    ];

    /// The value of the label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::Future => "future",
            Self::OutOfOrder => "out_of_order",
            Self::TooOld => "too_old",
            Self::Unreadable => "unreadable",
            Self::MaxBytes => "max_bytes",
            Self::MaxAge => "max_age",
            Self::DiskSpace => "disk_space",
            Self::Memory => "memory",
        }
    }
}

/// What a receiver says about the time of samples that it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimeReason {
    /// It has a newer sample of the series, and no out-of-order window.
    OutOfOrder,
    /// It has another sample of the series at this time.
    Duplicate,
    /// The sample is older than its out-of-order window.
    TooOld,
    /// The sample is outside of the times that it accepts, or too far ahead.
    OutOfBounds,
}

/// Why a sample was sent and not stored: `starlink_exporter_remote_write_samples_failed_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SampleReason {
    /// An earlier attempt, or the other instance of a pair, probably stored it.
    AlreadyStored,
    /// The receiver answered 202: its HA tracker dropped it.
    NotStored,
    /// Its series was refused within the last hour, so it was not sent.
    Quarantined,
    /// The receiver refused it, or the request in which it was.
    Rejected,
    /// The receiver refused its time.
    Time(TimeReason),
}

impl SampleReason {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::AlreadyStored,
        Self::NotStored,
        Self::Quarantined,
        Self::Rejected,
        Self::Time(TimeReason::OutOfOrder),
        Self::Time(TimeReason::Duplicate),
        Self::Time(TimeReason::TooOld),
        Self::Time(TimeReason::OutOfBounds),
    ];

    /// The value of the label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::AlreadyStored => "already_stored",
            Self::NotStored => "not_stored",
            Self::Quarantined => "quarantined",
            Self::Rejected => "rejected",
            Self::Time(TimeReason::OutOfOrder) => "out_of_order",
            Self::Time(TimeReason::Duplicate) => "duplicate",
            Self::Time(TimeReason::TooOld) => "too_old",
            Self::Time(TimeReason::OutOfBounds) => "out_of_bounds",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn labels_are_unique() {
        let rows: BTreeSet<_> = RowReason::ALL.map(RowReason::label).into();
        let samples: BTreeSet<_> = SampleReason::ALL.map(SampleReason::label).into();
        assert_eq!(rows.len(), RowReason::ALL.len());
        assert_eq!(samples.len(), SampleReason::ALL.len());
    }
}
