//! Measures how busy the shards are, for the decision how many there are.

use std::time::Duration;

use crate::remote_write::{Load, Scale};
use crate::time::Moment;

/// The time over which the load is measured.
const MEASURED: Duration = Duration::from_millis(500);

/// The load of the shards of a sender.
#[derive(Debug)]
pub(super) struct LoadMeter {
    scale: Scale,
    begin: Moment,
    /// The number of attempts that are being made, and since when it is so.
    sending: u32,
    since: Moment,
    /// The time of all attempts together.
    busy: Duration,
    is_limited: bool,
    /// Whether an attempt has ended since `begin`. Before that it is not known whether it waits for the pace.
    has_ended: bool,
}

impl LoadMeter {
    pub(super) fn new(most: u16, now: Moment) -> Self {
        Self {
            scale: Scale::new(most, now),
            begin: now,
            sending: 0,
            since: now,
            busy: Duration::ZERO,
            is_limited: false,
            has_ended: false,
        }
    }

    /// All attempts are lost.
    pub(super) fn reset(&mut self, now: Moment) {
        self.add_up(now);
        self.sending = 0;
    }

    /// An attempt began.
    pub(super) fn began(&mut self, now: Moment) {
        self.add_up(now);
        self.sending += 1;
    }

    /// An attempt ended.
    pub(super) fn ended(&mut self, now: Moment) {
        self.add_up(now);
        self.sending = self.sending.saturating_sub(1);
        self.has_ended = true;
    }

    /// An attempt waited for the pace, or requests fail: more shards would not help.
    pub(super) fn limited(&mut self) {
        self.is_limited = true;
    }

    /// The number of shards that follows `current`, when the load was measured for long enough.
    pub(super) fn next(&mut self, current: u16, behind: Duration, now: Moment) -> u16 {
        self.add_up(now);
        let measured = now.since(self.begin);
        if measured < MEASURED || !self.has_ended {
            return current;
        }
        let load = Load {
            behind,
            busy: self.busy.as_secs_f64() / measured.as_secs_f64() / f64::from(current.max(1)),
            is_limited: self.is_limited,
        };
        self.begin = now;
        self.busy = Duration::ZERO;
        self.is_limited = false;
        self.has_ended = false;
        self.scale.next(current, &load, now)
    }

    fn add_up(&mut self, now: Moment) {
        self.busy += now.since(self.since) * self.sending;
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_added_while_they_are_busy_and_behind() {
        let at = Moment::from_millis;
        let mut meter = LoadMeter::new(8, at(0));
        let behind = Duration::from_secs(60);
        let ended = |meter: &mut LoadMeter, now| {
            meter.ended(now);
            meter.began(now);
        };
        meter.began(at(0));
        ended(&mut meter, at(400));
        assert_eq!(meter.next(1, behind, at(499)), 1, "not long enough");
        assert_eq!(meter.next(1, behind, at(40_000)), 2);
        assert_eq!(meter.next(2, behind, at(60_000)), 2, "none has ended");
        // One of two is busy.
        ended(&mut meter, at(70_000));
        assert_eq!(meter.next(2, behind, at(80_000)), 2);
        meter.began(at(80_000));
        ended(&mut meter, at(90_000));
        meter.limited();
        assert_eq!(meter.next(2, behind, at(120_000)), 2, "limited");
        ended(&mut meter, at(130_000));
        assert_eq!(meter.next(2, behind, at(160_000)), 4);
        meter.ended(at(160_000));
        meter.ended(at(160_000));
        assert_eq!(meter.next(4, Duration::ZERO, at(800_000)), 2, "idle");
    }
}
