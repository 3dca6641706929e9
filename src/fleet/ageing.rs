//! What the passing of time changes for a device and its IP allocation. Pure: each function takes the state and the time.

use std::ops::ControlFlow;

use super::allocation::Allocation;
use super::device::{LastRow, Presence};
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
    now: Moment,
    stream: Moment,
    retention: &Retention,
) -> ControlFlow<Ageing, Due> {
    let forgotten = last.seen.after(retention.forget_after);
    let stale = last.seen.after(retention.stale_after);
    let silent = last.seen_in_stream.after(retention.stale_after);
    match presence {
        Presence::Absent | Presence::Listed => ControlFlow::Continue(Due::NEVER),
        _ if now >= forgotten => ControlFlow::Break(Ageing::Forget),
        Presence::Online if now >= stale => ControlFlow::Break(Ageing::Presence(Presence::Stale)),
        Presence::Online => ControlFlow::Continue(Due::by_clock(stale.min(forgotten))),
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

/// Reviews the allocation of a terminal: the change at `now`, or when to review it again. The allocation of a known terminal is kept as
/// long as the terminal.
pub(super) fn review_allocation(
    presence: Presence,
    allocation: &Allocation,
    now: Moment,
    retention: &Retention,
) -> ControlFlow<Ageing, Due> {
    let is_known = presence != Presence::Absent;
    let stale = allocation.seen.after(retention.ip_stale_after);
    let forgotten = allocation.seen.after(retention.forget_after);
    if !is_known && now >= forgotten {
        return ControlFlow::Break(Ageing::DropAllocation);
    }
    let has_addresses = allocation.content.has_addresses();
    if has_addresses && now >= stale {
        return ControlFlow::Break(Ageing::DropAddresses);
    }
    let stale = if has_addresses { stale } else { Moment::NEVER };
    let forgotten = if is_known { Moment::NEVER } else { forgotten };
    ControlFlow::Continue(Due::by_clock(stale.min(forgotten)))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::fleet::allocation::AllocationContent;
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
        // Its last row came at 1000 s by the clock, at 50 s of stream time.
        let last = LastRow {
            seen: at(1000),
            seen_in_stream: at(50),
            ..LastRow::default()
        };
        let by_stream = Due {
            clock: at(1100),
            stream: at(60),
        };
        for (presence, now, stream, expected) in [
            (Presence::Absent, 9999, 9999, Continue(Due::NEVER)),
            (
                Presence::Online,
                1009,
                99,
                Continue(Due::by_clock(at(1010))),
            ),
            (
                Presence::Online,
                1010,
                50,
                Break(Ageing::Presence(Presence::Stale)),
            ),
            (Presence::Stale, 1099, 59, Continue(by_stream)),
            (
                Presence::Stale,
                1010,
                60,
                Break(Ageing::Presence(Presence::Offline)),
            ),
            (Presence::Stale, 1100, 59, Break(Ageing::Forget)),
            (
                Presence::Offline,
                1099,
                99,
                Continue(Due::by_clock(at(1100))),
            ),
            (Presence::Offline, 1100, 99, Break(Ageing::Forget)),
        ] {
            let found = review_device(presence, &last, at(now), at(stream), &RETENTION);
            assert_eq!(found, expected, "{presence:?} at {now} s, {stream} s");
        }
    }

    #[test]
    fn the_allocation_of_a_known_terminal_is_kept_as_long_as_the_terminal() {
        use ControlFlow::{Break, Continue};
        let address = Address::new(IpAddr::V4(Ipv4Addr::LOCALHOST), None).unwrap();
        for (presence, has_address, now, expected) in [
            (Presence::Online, true, 19, Continue(Due::by_clock(at(20)))),
            (Presence::Online, true, 20, Break(Ageing::DropAddresses)),
            (Presence::Online, false, 9999, Continue(Due::NEVER)),
            (Presence::Absent, true, 20, Break(Ageing::DropAddresses)),
            (
                Presence::Absent,
                false,
                99,
                Continue(Due::by_clock(at(100))),
            ),
            (Presence::Absent, true, 100, Break(Ageing::DropAllocation)),
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
            let found = review_allocation(presence, &allocation, at(now), &RETENTION);
            assert_eq!(found, expected, "{presence:?} {has_address} at {now} s");
        }
    }
}
