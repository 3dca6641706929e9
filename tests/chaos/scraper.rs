//! Scrapes in every format, and checks each body against the model.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use flate2::read::MultiGzDecoder;

use crate::ageing::{self, Taken};
use crate::form::{self, Body, FORMATS};
use crate::model::{Floor, Model};
use crate::wire::get;

pub fn lock(model: &Mutex<Model>) -> MutexGuard<'_, Model> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long scrapes may fail after a fault of the store: the longest restart backoff plus the time that a scrape waits.
const EXCUSED_FOR: Duration = Duration::from_secs(20);

/// A scraper. Its scrapes are sequential, so counters must not decrease.
#[derive(Default)]
pub struct Scraper {
    counters: BTreeMap<String, f64>,
    pub counts: BTreeMap<String, u64>,
}

impl Scraper {
    /// Scrapes once and checks the body; `None` if the scrape failed and was allowed to.
    pub async fn scrape(
        &mut self,
        address: SocketAddr,
        model: &Mutex<Model>,
        random: &mut Rng,
    ) -> Option<Body> {
        let format = FORMATS[random.usize(..FORMATS.len())];
        let is_gzip = random.bool();
        let encoding = if is_gzip { "gzip" } else { "identity" };
        let (floor, from) = {
            let model = lock(model);
            (model.floor(), model.time.now())
        };
        let target = format!("/metrics?format={format}");
        let answer = get(address, &target, &[("Accept-Encoding", encoding)]).await;
        *self
            .counts
            .entry(format!("scrapes {format} {encoding} {}", answer.status))
            .or_default() += 1;
        let to = lock(model).time.now();
        if answer.status == 503 {
            let mut model = lock(model);
            model.store_down = Some(to);
            let hurt = model.store_hurt;
            drop(model);
            let is_excused = hurt.is_some_and(|hurt| to.saturating_sub(hurt) < EXCUSED_FOR);
            assert!(
                is_excused,
                "the store had no fault that explains a failed scrape: {}",
                answer.body
            );
            return None;
        }
        assert_eq!(answer.status, 200, "{}", answer.body);
        let text = match is_gzip {
            true => {
                let mut text = String::new();
                MultiGzDecoder::new(&answer.bytes[..])
                    .read_to_string(&mut text)
                    .unwrap();
                text
            }
            false => answer.body,
        };
        let body = form::read(&text, format);
        let mut model = lock(model);
        let taken = Taken { from, to };
        check_devices(&body, &mut model, &floor, taken);
        self.check_counters(&body, format);
        Some(body)
    }

    fn check_counters(&mut self, body: &Body, format: &str) {
        for family in &body.families {
            let is_counter = ["counter", "histogram"].contains(&family.kind.as_str());
            // Sums of floats and CPU time are counters too.
            for (series, value) in family.samples.iter().filter(|_| is_counter) {
                let before = self.counters.insert(series.clone(), *value);
                assert!(
                    before <= Some(*value),
                    "{series} fell from {before:?} to {value} ({format})"
                );
            }
        }
    }
}

/// The device of a series.
pub fn device(series: &str) -> Option<usize> {
    let (_, rest) = series.split_once("deviceID=\"ut-")?;
    rest.split('"').next()?.parse().ok()
}

/// Checks that each device shows exactly one row completely, and none that is too old.
fn check_devices(body: &Body, model: &mut Model, floor: &Floor, taken: Taken) {
    let mut shown: BTreeMap<usize, usize> = BTreeMap::new();
    for (series, value) in body.beginning("starlink_Number{") {
        if let Some(device) = device(series) {
            assert!(value >= 0.0, "{series} {value}");
            shown.insert(device, value as usize);
        }
    }
    for (&device, &row) in &shown {
        if let Err(wrong) = model.may_show(row, device, floor) {
            let least = floor.get(&device).map(|&least| (least, &model.rows[least]));
            let shown = &model.rows[row];
            panic!("device {device} shows row {row}, {shown:?}: {wrong}; at least {least:?}");
        }
    }
    check_whole(body, model, &shown);
    ageing::check(body, model, floor, &shown, taken);
    for &row in shown.values() {
        model.saw(row);
    }
}

/// The samples with a name, by device.
pub fn by_device(body: &Body, name: &str) -> BTreeMap<usize, f64> {
    let samples = body.beginning(&format!("{name}{{")).into_iter();
    samples
        .filter_map(|(series, value)| Some((device(series)?, value)))
        .collect()
}

/// Checks that all samples of a device come from the same row.
fn check_whole(body: &Body, model: &Model, shown: &BTreeMap<usize, usize>) {
    let doubles = by_device(body, "starlink_Double");
    let reports = by_device(body, "starlink_last_report_timestamp_seconds");
    let is_torn = |device: &&usize| !shown.contains_key(device);
    assert_eq!(doubles.keys().find(is_torn), None, "half of a row");
    for (&device, &number) in shown {
        let row = &model.rows[number];
        let double = row.has_double.then_some(2.0 * number as f64);
        assert_eq!(
            doubles.get(&device).copied(),
            double,
            "device {device} is torn"
        );
        let seconds = row.timestamp as f64 / 1e9;
        assert_eq!(
            reports.get(&device),
            Some(&seconds),
            "device {device} is torn"
        );
        let alert = format!("starlink_alert_active_{}{{", 1_000_000 + number);
        let is_active = body
            .beginning(&alert)
            .keys()
            .any(|series| self::device(series) == Some(device));
        assert_eq!(is_active, row.has_alert, "device {device} is torn");
        let text = format!("text=\"text {number}\"");
        let has_text = body.text.lines().any(|line| {
            line.starts_with("starlink_info")
                && line.contains(&text)
                && line.contains(&format!("ut-{device}"))
        });
        assert_eq!(has_text, row.has_text, "device {device} is torn");
    }
    let alerts = body.beginning("starlink_alert_active_");
    let alerts = alerts
        .keys()
        .filter(|series| device(series).is_some())
        .count();
    let expected = shown
        .values()
        .filter(|&&row| model.rows[row].has_alert)
        .count();
    assert_eq!(alerts, expected, "alerts of rows that are no longer shown");
}
