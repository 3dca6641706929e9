//! Checks ages: which series a scrape must and must not contain for devices whose last rows were sent some time ago.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fastrand::Rng;
use starlink_telemetry::simulator::{Journal, Poll};

use crate::answers::id;
use crate::form::Body;
use crate::model::{Floor, Model, Row};
use crate::scraper::{self, by_device};
use crate::timeline::{Elapsed, Timeline};

/// The ages at which series end: the settings `STALE_AFTER`, `IP_STALE_AFTER` and `FORGET_AFTER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ages {
    pub stale: Duration,
    pub ip_stale: Duration,
    pub forget: Duration,
    /// Whether the clocks jump, so that the ages are reached although they are long.
    pub have_jumps: bool,
}

impl Ages {
    /// So long that no device ages within a run.
    pub const LONG: Self = Self {
        stale: Duration::from_secs(3600),
        ip_stale: Duration::from_secs(7200),
        forget: Duration::from_secs(86_400),
        have_jumps: false,
    };

    /// The ages of a run: in most runs all are reached within the run, because they are short or the clocks jump.
    pub fn draw(random: &mut Rng) -> Self {
        match random.u8(..3) {
            0 => Self::LONG,
            1 => Self {
                stale: Duration::from_secs(random.u64(120..=600)),
                ip_stale: Duration::from_secs(7200),
                forget: Duration::from_secs(86_400),
                have_jumps: true,
            },
            _ => {
                let stale = random.u64(2..=5);
                Self {
                    stale: Duration::from_secs(stale),
                    ip_stale: Duration::from_secs(stale + 2),
                    // After several 429s an account polls every 5 s. Devices are to be offline for several of its polls.
                    forget: Duration::from_secs(stale + 20),
                    have_jumps: false,
                }
            }
        }
    }

    /// How far the clocks jump: about as long as one of the ages, or past a backoff.
    pub fn draw_jump(self, random: &mut Rng) -> Duration {
        let most = match random.u8(..8) {
            0..3 => Duration::from_secs(60),
            3..6 => 2 * self.stale,
            6 => 2 * self.ip_stale,
            _ => 2 * self.forget,
        };
        most.mul_f64(random.f64())
    }

    /// The settings.
    pub fn settings(self) -> [(&'static str, String); 3] {
        let seconds = |age: Duration| age.as_secs().to_string();
        [
            ("STALE_AFTER", seconds(self.stale)),
            ("IP_STALE_AFTER", seconds(self.ip_stale)),
            ("FORGET_AFTER", seconds(self.forget)),
        ]
    }
}

/// The resolution of the exporter's clock is a millisecond. An age below the limit minus this is certainly below the limit.
const ROUNDING: Duration = Duration::from_millis(50);

/// The store removes old series by a timer, which may be delayed on a busy machine.
const REMOVED_WITHIN: Duration = Duration::from_secs(2);

/// The additional delay after a scrape that failed or showed the store as down, because a stopped store removes nothing.
const EXCUSED_FOR: Duration = Duration::from_secs(3);

/// The largest difference between the end of an answer for the service and for the simulator.
const ARRIVAL: Duration = Duration::from_secs(1);

/// The start and the end of a scrape.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    pub from: Elapsed,
    pub to: Elapsed,
}

impl Taken {
    /// Whether a row sent at `sent` was certainly younger than `age` in this scrape.
    fn is_young(self, sent: Elapsed, age: Duration) -> bool {
        self.to.saturating_sub(sent) + ROUNDING < age
    }

    /// Whether a row stored at `stored` was certainly older than `age`, and the store had the time to remove it.
    fn is_old(self, stored: Elapsed, age: Duration) -> bool {
        self.from.saturating_sub(stored) > age + REMOVED_WITHIN
    }
}

/// Records whether the store is up. Returns whether it may be late in removing old series.
fn may_be_late(body: &Body, model: &mut Model, taken: Taken) -> bool {
    let up = body.value(r#"starlink_exporter_actor_up{actor="metrics_store"}"#);
    if up != Some(1.0) {
        model.store_down = Some(taken.to);
    }
    let down = model.store_down;
    down.is_some_and(|down| taken.from.saturating_sub(down) < EXCUSED_FOR)
}

/// Checks which series each device has. `numbers` are the rows of the shown gauges, by device.
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
        // The devices of a removed account are removed earlier.
        let kept = match model.roll.is_removed_since(sent) {
            true => ages.stale,
            false => ages.forget,
        };
        assert!(
            reports.contains_key(&device) || !taken.is_young(sent, kept),
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
        if let Some(last) = model.last_stored(device).filter(|_| !may_be_late) {
            let old = |age| taken.is_old(last, age);
            assert!(!is_shown || !old(ages.stale), "device {device} is stale");
            assert!(!old(ages.forget), "device {device} is to be forgotten");
        }
    }
    for (&device, &online) in online.iter() {
        let is_unheard = model.is_listed(device) && online == 0.0;
        assert!(
            reports.contains_key(&device) || is_unheard,
            "device {device} is not known and {online}"
        );
    }
    check_numbers(body);
    check_addresses(body, model, &reports, taken, may_be_late);
    check_accounts(body, model, floor, &reports, taken, may_be_late);
    model.roll.check_families(body, taken.from);
}

/// Checks the numbers of devices by state.
fn check_numbers(body: &Body) {
    let online = body.beginning("starlink_online{");
    for (state, value) in [("online", 1.0), ("offline", 0.0)] {
        let shown = online.values().filter(|online| **online == value).count();
        let devices = body.beginning("starlink_exporter_devices{").into_iter();
        let of_state = format!("state=\"{state}\"");
        let counted: f64 = devices
            .filter(|(series, _)| series.contains(&of_state))
            .map(|(_, count)| count)
            .sum();
        assert_eq!(counted, shown as f64, "devices that are {state}");
    }
}

/// The account of each device.
fn accounts(body: &Body) -> BTreeMap<usize, String> {
    let mut accounts = BTreeMap::new();
    for (series, _) in body.beginning("starlink_device_account{") {
        let name = series.split_once("account=\"").map(|(_, rest)| rest);
        let name = name.and_then(|rest| rest.split('"').next()).unwrap();
        let Some(device) = scraper::device(series) else {
            // One of the generated terminals of an inventory.
            continue;
        };
        let other = accounts.insert(device, name.to_owned());
        assert_eq!(other, None, "device {device} has two accounts: {name}");
    }
    accounts
}

/// Checks that each device has one account, one that has sent rows of it.
fn check_accounts(
    body: &Body,
    model: &mut Model,
    floor: &Floor,
    reports: &BTreeMap<usize, f64>,
    taken: Taken,
    may_be_late: bool,
) {
    let accounts = accounts(body);
    for device in reports.keys() {
        assert!(
            accounts.contains_key(device),
            "device {device} has no account"
        );
    }
    let ages = model.ages;
    for (&device, name) in &accounts {
        let lane = model.roll.lane(name);
        assert!(lane.is_some(), "device {device}: {name} was never listed");
        if !may_be_late {
            let limit = ages.stale + REMOVED_WITHIN;
            model.roll.check_gone(name, taken.from, limit);
        }
        if !reports.contains_key(&device) {
            // A terminal of which no row is known.
            let is_listed = lane.is_some_and(|lane| model.is_listed_by(device, lane));
            assert!(is_listed, "{name} does not list device {device}");
            continue;
        }
        let has_sent = model.lanes(device).any(|it| it.is_none() || it == lane);
        assert!(has_sent, "{name} has never sent device {device}");
        model.roll.check_owner(device, name, ages);
        // Where only one account has sent the device for long enough, it is the device's account.
        let Some(&least) = floor.get(&device) else {
            continue;
        };
        let sender = model.lane(least);
        let silent = model.sent(least).checked_sub(ages.stale + ROUNDING);
        if silent.is_some_and(|silent| model.is_sole(device, sender, silent)) {
            assert_eq!(lane, Some(sender), "device {device} belongs to {name}");
        }
    }
}

/// Checks addresses, which age independently and are shown while their terminal is known.
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
            let sent = model.address_sent(least);
            // It is removed with the devices of a removed account.
            let kept = match model.roll.is_removed_since(sent) {
                true => age.min(model.ages.stale),
                false => age,
            };
            let is_young = taken.is_young(sent, kept);
            let is_shown = shown.contains_key(&device);
            assert!(is_shown || !is_young, "device {device}: no address");
        }
    }
}

/// Checks that each offline device was missing in answers of its account for long enough; the time of outages does not count, nor
/// what other accounts answer. `journals` are those of the accounts. Returns the number of offline devices.
pub fn check_offline(body: &Body, model: &Model, floor: &Floor, journals: &[Journal]) -> usize {
    let accounts = accounts(body);
    let online = by_device(body, "starlink_online");
    let offline = online.iter().filter(|(_, online)| **online == 0.0);
    let offline = offline.map(|(&device, _)| device);
    // A listed terminal is offline without a row too.
    let reports = by_device(body, "starlink_last_report_timestamp_seconds");
    let offline = offline.filter(|device| reports.contains_key(device));
    let mut count = 0;
    for device in offline {
        count += 1;
        // Without a row that was certainly stored, nothing can be checked.
        let Some(&least) = floor.get(&device) else {
            continue;
        };
        let lane = model.roll.lane(&accounts[&device]).unwrap();
        let heard = covered(&journals[lane].polls, model.sent(least), &model.time);
        assert!(
            heard + ARRIVAL >= model.ages.stale,
            "device {device} is offline, and answers have covered {heard:?}"
        );
    }
    count
}

/// The longest time that answers can have covered since a moment: each covers the time since the end of the previous answer, or since
/// its own request if there was none.
fn covered(polls: &[Poll], since: Elapsed, time: &Timeline) -> Duration {
    let ended = |poll: &Poll| poll.ended.filter(|_| poll.status == Some(200));
    let mut before = None;
    // No time is covered twice.
    let mut until = since;
    let mut covered = Duration::ZERO;
    for poll in polls {
        let end = ended(poll);
        if let Some(end) = end {
            let start = time.at(before.unwrap_or(poll.started)).max(until);
            let received = received(end, time);
            covered += received.saturating_sub(start);
            until = until.max(received);
        }
        before = end;
    }
    covered
}

/// The latest time at which the service can have received an answer that the simulator sent at `sent`: after a jump of the clocks that
/// followed immediately.
fn received(sent: Instant, time: &Timeline) -> Elapsed {
    let latest = time.at(sent + ARRIVAL).saturating_sub(ARRIVAL);
    latest.max(time.at(sent))
}

/// The number of terminals that are shown as offline although no row of them is known, because an inventory lists them.
pub fn unheard(body: &Body) -> usize {
    let reports = by_device(body, "starlink_last_report_timestamp_seconds");
    let online = by_device(body, "starlink_online");
    let unheard = online.keys().filter(|device| !reports.contains_key(device));
    unheard.count()
}

/// Whether a body in any format does not contain a device; a terminal that an inventory lists may stay, without its last report.
pub fn is_forgotten(body: &Body, model: &Model, device: usize) -> bool {
    if model.is_listed(device) {
        let reports = by_device(body, "starlink_last_report_timestamp_seconds");
        return !reports.contains_key(&device);
    }
    let id = id(device);
    let spelled = [format!("deviceID=\"{id}\""), format!("deviceID={id} ")];
    !spelled.iter().any(|spelled| body.text.contains(spelled))
}
