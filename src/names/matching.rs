//! Counts the names that match no device at regular intervals, and logs the result once for each version of the file.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tracing::{info, warn};

use super::Names;
use crate::account::Accounts;
use crate::fleet::Snapshot;
use crate::self_metrics::ProcessMetrics;
use crate::store::Published;
use crate::tasks::{Pulse, in_thread};
use crate::time::{Clock, Moment};

/// The number of comparisons before unmatched names are logged: one minute with the usual interval, in which each terminal reports four
/// times.
const COMPARISONS_BEFORE_LOG: u32 = 4;

/// The advice in the log.
const HINT: &str = "deviceID is the ID that telemetry uses (ut… or Router-…, with or without the prefix), not a kit number or a serial number";

/// The names that match no device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unmatched {
    /// The number of names.
    pub count: usize,
    /// An example, in lower case.
    pub example: Option<String>,
}

impl Unmatched {
    /// The count as the value of a sample.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a sample is an f64")]
    pub fn sample(&self) -> f64 {
        self.count as f64
    }
}

/// The delay of a comparison after a device was added.
const SOON: Duration = Duration::from_millis(250);

/// Compares names with the known devices, soon after their number has changed and at every interval, without end.
pub async fn match_devices(
    names: Arc<ArcSwap<Names>>,
    published: Arc<Published>,
    metrics: Arc<ProcessMetrics>,
    accounts: Arc<Accounts>,
    (clock, interval): (Clock, Duration),
    pulse: Pulse,
) {
    let mut comparisons = 0;
    let mut generation = 0;
    let mut last = clock.now();
    let mut counted = None;
    loop {
        pulse.during(clock.sleep(interval.min(SOON))).await;
        let current = names.load_full();
        if current.generation() != generation {
            generation = current.generation();
            comparisons = 0;
            counted = None;
        }
        let lease = pulse.during(published.lease(Moment::default())).await;
        let known = lease.get().map(|snapshot| snapshot.devices());
        let is_due = clock.now().since(last) >= interval;
        if known == counted && !is_due {
            continue;
        }
        let matching = {
            let current = Arc::clone(&current);
            in_thread("names", move || {
                let snapshot = lease.get()?;
                Some(current.match_ids(ids(&snapshot)))
            })
        };
        // If no thread can be started or the snapshot was revoked, the last count is kept.
        let Ok(Some(unmatched)) = pulse.during(matching).await else {
            continue;
        };
        counted = known;
        metrics.names_unmatched.set(unmatched.sample());
        if is_due {
            last = clock.now();
        }
        // Before the first poll no device is known.
        if is_due && accounts.has_any_polled() {
            comparisons += 1;
            if comparisons == COMPARISONS_BEFORE_LOG {
                log_unmatched(&current, &unmatched);
            }
        }
    }
}

fn log_unmatched(names: &Names, unmatched: &Unmatched) {
    let Some(example) = &unmatched.example else {
        return;
    };
    let (unmatched, names) = (unmatched.count, names.len());
    match unmatched == names {
        true => warn!(
            unmatched,
            names,
            example,
            hint = HINT,
            "names match no device"
        ),
        false => info!(
            unmatched,
            names,
            example,
            hint = HINT,
            "some names match no device"
        ),
    }
}

/// The IDs of the devices that a snapshot shows.
fn ids(snapshot: &Snapshot) -> impl Iterator<Item = &str> {
    let blocks = snapshot.tables.iter().flat_map(|table| &table.blocks);
    blocks.flat_map(|block| block.known().map(|slot| block.labels().id(slot)))
}
