//! Ages: what a scrape must show and must not show of devices whose last rows were sent some time ago.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use starlink_telemetry::simulator::{Journal, Poll};

use crate::answers::id;
use crate::form::Body;
use crate::model::{Floor, Model, Row};
use crate::scraper::by_device;

/// The ages at which series end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ages {
    pub stale: Duration,
    pub ip_stale: Duration,
    pub forget: Duration,
}

impl Ages {
    /// No device ages within a world.
    pub const LONG: Self = Self {
        stale: Duration::from_secs(3600),
        ip_stale: Duration::from_secs(7200),
        forget: Duration::from_secs(86_400),
    };

    /// All of it happens within a world.
    pub const SHORT: Self = Self {
        stale: Duration::from_secs(3),
        ip_stale: Duration::from_secs(5),
        forget: Duration::from_secs(8),
    };

    /// As settings.
    pub fn settings(self) -> [(&'static str, String); 3] {
        let seconds = |age: Duration| age.as_secs().to_string();
        [
            ("STALE_AFTER", seconds(self.stale)),
            ("IP_STALE_AFTER", seconds(self.ip_stale)),
            ("FORGET_AFTER", seconds(self.forget)),
        ]
    }
}

/// The exporter's clock counts in milliseconds: so much less than an age is surely less.
const ROUNDING: Duration = Duration::from_millis(50);

/// The store removes what is too old by a timer, which a busy machine delays.
const REMOVED_WITHIN: Duration = Duration::from_secs(2);

/// A store that was seen dead, or not at all, removes nothing meanwhile.
const EXCUSED_FOR: Duration = Duration::from_secs(3);

/// Answers end later for the service than for the simulator, by less than this.
const ARRIVAL: Duration = Duration::from_secs(1);

/// When a scrape began, and when it had come.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    pub from: Instant,
    pub to: Instant,
}

impl Taken {
    /// Whether what was sent then is younger than an age in this scrape, whenever it was stored.
    fn is_young(self, sent: Instant, age: Duration) -> bool {
        self.to.duration_since(sent) + ROUNDING < age
    }

    /// Whether what was stored by then is older than an age, and the store has had the time to remove it.
    fn is_old(self, stored: Instant, age: Duration) -> bool {
        self.from.saturating_duration_since(stored) > age + REMOVED_WITHIN
    }
}

/// Notes whether the store is up; whether it may be behind in removing.
fn may_be_late(body: &Body, model: &mut Model, taken: Taken) -> bool {
    let up = body.value(r#"starlink_exporter_actor_up{actor="metrics_store"}"#);
    if up != Some(1.0) {
        model.store_down = Some(taken.to);
    }
    let down = model.store_down;
    down.is_some_and(|down| taken.from.saturating_duration_since(down) < EXCUSED_FOR)
}

/// Judges which devices show what. `numbers` are the rows that are shown by their gauges.
pub fn check(
    body: &Body,
    model: &mut Model,
    floor: &Floor,
    numbers: &BTreeMap<usize, usize>,
    taken: Taken,
) {
    let may_be_late = may_be_late(body, model, taken);
    let reports = by_device(body, "starlink_last_report_timestamp_seconds");
    let online = by_device(body, "starlink_online");
    let ages = model.ages;
    for (&device, &least) in floor {
        let sent = model.sent(least);
        assert!(
            numbers.contains_key(&device) || !taken.is_young(sent, ages.stale),
            "device {device} is gone or stale, its row {least} was stored"
        );
        assert!(
            reports.contains_key(&device) || !taken.is_young(sent, ages.forget),
            "device {device} is forgotten, its row {least} was stored"
        );
    }
    for (&device, &seconds) in &reports {
        let newest = floor.get(&device).map(|&least| model.rows[least].timestamp);
        let is_of = |row: &Row| {
            row.device == device
                && row.timestamp as f64 / 1e9 == seconds
                && Some(row.timestamp) >= newest
        };
        assert!(model.rows.iter().any(is_of), "device {device}: {seconds}");
        let is_shown = numbers.contains_key(&device);
        let online = online.get(&device).copied();
        assert_eq!(online == Some(1.0), is_shown, "device {device}: {online:?}");
        if let Some(last) = model.last_word(device).filter(|_| !may_be_late) {
            let old = |age| taken.is_old(last, age);
            assert!(!is_shown || !old(ages.stale), "device {device} is stale");
            assert!(!old(ages.forget), "device {device} is to be forgotten");
        }
    }
    let unknown = |(device, _): &(&usize, &f64)| !reports.contains_key(device);
    assert_eq!(online.iter().find(unknown), None, "it is not known");
    check_addresses(body, model, &reports, taken, may_be_late);
}

/// Addresses age by themselves, and show while their terminal is known.
fn check_addresses(
    body: &Body,
    model: &Model,
    reports: &BTreeMap<usize, f64>,
    taken: Taken,
    may_be_late: bool,
) {
    let shown = by_device(body, "starlink_Ipv4_numeric");
    let age = model.ages.ip_stale;
    for (&device, &value) in &shown {
        assert!(reports.contains_key(&device), "device {device} is unknown");
        let least = model.certain_address(device, taken.from);
        let number = model.allocation(device, value);
        assert!(number >= least, "device {device}: {number:?} < {least:?}");
        if let Some(last) = model.last_address(device).filter(|_| !may_be_late) {
            assert!(!taken.is_old(last, age), "device {device}: an old address");
        }
    }
    for &device in reports.keys() {
        if let Some(least) = model.certain_address(device, taken.from) {
            let is_young = taken.is_young(model.address_sent(least), age);
            let is_shown = shown.contains_key(&device);
            assert!(is_shown || !is_young, "device {device}: no address");
        }
    }
}

/// No device is offline that was not silent for long enough in answers: an outage is nobody's silence. Gives how many are offline.
pub fn check_offline(body: &Body, model: &Model, floor: &Floor, journal: &Journal) -> usize {
    let online = by_device(body, "starlink_online");
    let offline = online.iter().filter(|(_, online)| **online == 0.0);
    let offline = offline.map(|(&device, _)| device);
    let mut count = 0;
    for device in offline {
        count += 1;
        // Of a device without a row that was surely stored nothing is known.
        let Some(&least) = floor.get(&device) else {
            continue;
        };
        let heard = covered(&journal.polls, model.sent(least));
        assert!(
            heard + ARRIVAL >= model.ages.stale,
            "device {device} is offline, and answers have covered {heard:?}"
        );
    }
    count
}

/// The most that answers can have covered since a moment: from the end of each answer, or from the request where there was
/// none before it.
fn covered(polls: &[Poll], since: Instant) -> Duration {
    let ended = |poll: &Poll| poll.ended.filter(|_| poll.status == Some(200));
    let mut before = None;
    let mut covered = Duration::ZERO;
    for poll in polls {
        let end = ended(poll);
        if let Some(end) = end {
            let start = before.unwrap_or(poll.started).max(since);
            covered += end.saturating_duration_since(start);
        }
        before = end;
    }
    covered
}

/// Whether a body says nothing of a device, in any format.
pub fn is_forgotten(body: &Body, device: usize) -> bool {
    let id = id(device);
    let spelled = [format!("deviceID=\"{id}\""), format!("deviceID={id} ")];
    !spelled.iter().any(|spelled| body.text.contains(spelled))
}
