//! What the passing of time changes for a device and its IP allocation. Pure: each function takes the state and the time.

use std::ops::ControlFlow;

use super::allocation::Allocation;
use super::device::{LastRow, Listing, Presence};
use super::options::Retention;
use crate::time::Moment;

/// A change that the passing of time causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ageing {
    /// The presence of the device changes.
    Presence(Presence),
    /// The device must be forgotten, but not its allocation.
    Forget,
    /// The addresses of the allocation are stale and must be removed.
    DropAddresses,
    /// The allocation of an unknown terminal must be forgotten.
    DropAllocation,
    /// The slot has neither a device nor an allocation any more, and must be freed.
    Free,
}

/// When a slot or block must be reviewed again without new rows: at the earlier of two times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// By the clock.
    pub clock: Moment,
    /// By stream time.
    pub stream: Moment,
}

impl Due {
    /// Never by time alone.
    pub const NEVER: Self = Self::by_clock(Moment::NEVER);

    /// At a moment of the clock.
    #[must_use]
    pub const fn by_clock(clock: Moment) -> Self {
        Self {
            clock,
            stream: Moment::NEVER,
        }
    }

    /// The earlier moment of each clock.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            clock: self.clock.min(other.clock),
            stream: self.stream.min(other.stream),
        }
    }

    /// Whether a review is due.
    #[must_use]
    pub fn is_reached(self, clock: Moment, stream: Moment) -> bool {
        self.clock <= clock || self.stream <= stream
    }
}

/// Reviews a device: the change at `now` by the clock and `stream` by the account's stream time, or when to review it again.
pub(super) fn review_device(
    presence: Presence,
    last: &LastRow,
    listing: Listing,
    now: Moment,
    stream: Moment,
    retention: &Retention,
) -> ControlFlow<Ageing, Due> {
    // Without a row there is nothing to forget.
    let forgotten = match last.reported {
        0 => Moment::NEVER,
        _ => last.seen.after(retention.forget_after),
    };
    let stale = last.seen.after(retention.stale_after);
    let silent = last.seen_in_stream.after(retention.stale_after);
    match presence {
        Presence::Absent | Presence::Listed => ControlFlow::Continue(Due::NEVER),
        _ if now >= forgotten => ControlFlow::Break(Ageing::Forget),
        Presence::Online if now >= stale => ControlFlow::Break(Ageing::Presence(Presence::Stale)),
        Presence::Online => ControlFlow::Continue(Due::by_clock(stale.min(forgotten))),
        // Silence says nothing about a terminal that is not expected to report.
        Presence::Stale if listing.is_inactive() => ControlFlow::Continue(Due::by_clock(forgotten)),
        Presence::Offline if listing.is_inactive() => {
            ControlFlow::Break(Ageing::Presence(Presence::Stale))
        }
        Presence::Stale if stream >= silent => {
            ControlFlow::Break(Ageing::Presence(Presence::Offline))
        }
        Presence::Stale => ControlFlow::Continue(Due {
            clock: forgotten,
            stream: silent,
        }),
        Presence::Offline => ControlFlow::Continue(Due::by_clock(forgotten)),
    }
}

/// Reviews the allocation of a terminal: the change at `now`, or when to review it again. The allocation of a terminal that has reported is
/// kept as long as its rows.
pub(super) fn review_allocation(
    has_reported: bool,
    allocation: &Allocation,
    now: Moment,
    retention: &Retention,
) -> ControlFlow<Ageing, Due> {
    let stale = allocation.seen.after(retention.ip_stale_after);
    let forgotten = allocation.seen.after(retention.forget_after);
    if !has_reported && now >= forgotten {
        return ControlFlow::Break(Ageing::DropAllocation);
    }
    let has_addresses = allocation.content.has_addresses();
    if has_addresses && now >= stale {
        return ControlFlow::Break(Ageing::DropAddresses);
    }
    let stale = if has_addresses { stale } else { Moment::NEVER };
    let forgotten = if has_reported {
        Moment::NEVER
    } else {
        forgotten
    };
    ControlFlow::Continue(Due::by_clock(stale.min(forgotten)))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::fleet::allocation::AllocationContent;
    use crate::inventory::Activity;
    use crate::telemetry::AddressKind;
    use crate::telemetry::ip::Address;

    const RETENTION: Retention = Retention {
        stale_after: Duration::from_secs(10),
        ip_stale_after: Duration::from_secs(20),
        forget_after: Duration::from_secs(100),
    };

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    #[test]
    fn a_device_ages_by_two_clocks() {
        use ControlFlow::{Break, Continue};
        use Presence::{Absent, Listed, Offline, Online, Stale};
        const NONE: Listing = Listing::None;
        const ACTIVE: Listing = Listing::Terminal(0, Activity::Active);
        const INACTIVE: Listing = Listing::Terminal(0, Activity::Inactive);
        const UNKNOWN: Listing = Listing::Terminal(0, Activity::Unknown);
        // Its last row came at 1000 s by the clock, at 50 s of stream time.
        let last = LastRow {
            reported: 1,
            seen: at(1000),
            seen_in_stream: at(50),
            ..LastRow::default()
        };
        let never = LastRow {
            seen_in_stream: at(50),
            ..LastRow::default()
        };
        let due = |clock, stream| {
            Continue(Due {
                clock: at(clock),
                stream: at(stream),
            })
        };
        let by_clock = |clock| Continue(Due::by_clock(at(clock)));
        let becomes = |presence| Break(Ageing::Presence(presence));
        let by_stream = Continue(Due {
            clock: Moment::NEVER,
            stream: at(60),
        });
        for (presence, row, listing, now, stream, expected) in [
            (Absent, &last, NONE, 9999, 9999, Continue(Due::NEVER)),
            (Online, &last, NONE, 1009, 99, by_clock(1010)),
            (Online, &last, NONE, 1010, 50, becomes(Stale)),
            (Stale, &last, NONE, 1099, 59, due(1100, 60)),
            (Stale, &last, NONE, 1010, 60, becomes(Offline)),
            (Stale, &last, NONE, 1100, 59, Break(Ageing::Forget)),
            (Offline, &last, NONE, 1099, 99, by_clock(1100)),
            (Offline, &last, NONE, 1100, 99, Break(Ageing::Forget)),
            // With an active service line, or if the lines are not known, a terminal ages like any device.
            (Stale, &last, ACTIVE, 1010, 60, becomes(Offline)),
            (Stale, &last, UNKNOWN, 1010, 60, becomes(Offline)),
            (Offline, &last, ACTIVE, 1100, 99, Break(Ageing::Forget)),
            // Without an active line it is not offline.
            (Online, &last, INACTIVE, 1010, 99, becomes(Stale)),
            (Stale, &last, INACTIVE, 1010, 60, by_clock(1100)),
            (Offline, &last, INACTIVE, 1010, 60, becomes(Stale)),
            (Stale, &last, INACTIVE, 1100, 60, Break(Ageing::Forget)),
            // A terminal of which no row is known.
            (Stale, &never, ACTIVE, 9999, 59, by_stream),
            (Stale, &never, ACTIVE, 9999, 60, becomes(Offline)),
            (Offline, &never, ACTIVE, 9999, 99, by_never()),
            (Listed, &never, INACTIVE, 9999, 9999, Continue(Due::NEVER)),
        ] {
            let found = review_device(presence, row, listing, at(now), at(stream), &RETENTION);
            assert_eq!(
                found, expected,
                "{presence:?} {listing:?} at {now} s, {stream} s"
            );
        }
    }

    fn by_never() -> ControlFlow<Ageing, Due> {
        ControlFlow::Continue(Due::NEVER)
    }

    #[test]
    fn the_allocation_of_a_terminal_is_kept_as_long_as_its_rows() {
        use ControlFlow::{Break, Continue};
        let address = Address::new(IpAddr::V4(Ipv4Addr::LOCALHOST), None).unwrap();
        for (has_reported, has_address, now, expected) in [
            (true, true, 19, Continue(Due::by_clock(at(20)))),
            (true, true, 20, Break(Ageing::DropAddresses)),
            (true, false, 9999, Continue(Due::NEVER)),
            (false, true, 20, Break(Ageing::DropAddresses)),
            (false, false, 99, Continue(Due::by_clock(at(100)))),
            (false, true, 100, Break(Ageing::DropAllocation)),
        ] {
            let mut content = AllocationContent::default();
            if has_address {
                content.add(AddressKind::Ipv4, address, 1);
            }
            let allocation = Allocation {
                reported: 0,
                seen: at(0),
                content: Arc::new(content),
            };
            let found = review_allocation(has_reported, &allocation, at(now), &RETENTION);
            assert_eq!(found, expected, "{has_reported} {has_address} at {now} s");
        }
    }
}
