//! Counts the names of the file that match no device at regular intervals, and logs the result once for each version of the file.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tracing::{info, warn};

use super::{Names, ROUTER_PREFIX};
use crate::account::Accounts;
use crate::fleet::Snapshot;
use crate::inventory::Directory;
use crate::self_metrics::ProcessMetrics;
use crate::store::Published;
use crate::tasks::{Pulse, in_thread};
use crate::time::{Clock, Moment};

/// The number of comparisons before unmatched names are logged: one minute with the usual interval, in which each terminal reports four
/// times.
const COMPARISONS_BEFORE_LOG: u32 = 4;

/// If terminals of the inventory are still being read then, the log waits for them, at most until so many comparisons: two hours with the
/// usual interval, in which the terminals of the largest accounts are read.
const MOST_COMPARISONS_BEFORE_LOG: u32 = 480;

/// The advice in the log.
const HINT: &str = "deviceID is the ID that telemetry uses (ut… or Router-…, with or without the prefix), or the serial number of the kit or the dish, which needs the inventory (INVENTORY=auto, and the permission \"Device management, View\")";

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
    let mut is_logged = false;
    let mut generation = 0;
    let mut last = clock.now();
    let mut counted = None;
    loop {
        pulse.during(clock.sleep(interval.min(SOON))).await;
        let current = names.load_full();
        if current.generation() != generation {
            generation = current.generation();
            comparisons = 0;
            is_logged = false;
            counted = None;
        }
        let lease = pulse.during(published.lease(Moment::default())).await;
        let known = lease.get().map(|snapshot| size(&snapshot));
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
            if !is_logged && is_log_due(comparisons, &accounts) {
                is_logged = true;
                log_unmatched(&current, &unmatched);
            }
        }
    }
}

/// Whether unmatched names are logged, if they have not been.
fn is_log_due(comparisons: u32, accounts: &Accounts) -> bool {
    let are_terminals_read = || {
        accounts
            .all()
            .iter()
            .all(|account| account.has_read_terminals())
    };
    match comparisons {
        ..COMPARISONS_BEFORE_LOG => false,
        COMPARISONS_BEFORE_LOG..MOST_COMPARISONS_BEFORE_LOG => are_terminals_read(),
        _ => true,
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

/// The numbers of devices and of terminals of the inventory. A change of one of them is a reason for a comparison.
fn size(snapshot: &Snapshot) -> (usize, usize) {
    (snapshot.devices(), snapshot.directory.len())
}

/// The IDs of the devices that a snapshot shows, and the IDs and serial numbers of the inventory.
fn ids(snapshot: &Snapshot) -> impl Iterator<Item = Cow<'_, str>> {
    let blocks = snapshot.tables.iter().flat_map(|table| &table.blocks);
    let devices = blocks.flat_map(|block| block.known().map(|slot| block.labels().id(slot)));
    devices
        .map(Cow::from)
        .chain(listed_ids(&snapshot.directory))
}

fn listed_ids(directory: &Directory) -> impl Iterator<Item = Cow<'_, str>> {
    let terminals = directory
        .entries()
        .filter_map(|entry| directory.terminal(entry));
    let terminals = terminals.flat_map(|listed| {
        let serials = [listed.terminal.kit_serial, listed.terminal.dish_serial];
        let serials = serials.into_iter().flatten().map(Cow::from);
        std::iter::once(listed.terminal.device_id().into()).chain(serials)
    });
    let routers = (0..).map_while(|entry| directory.router(entry));
    let routers = routers.map(|router| format!("{ROUTER_PREFIX}{}", router.id).into());
    terminals.chain(routers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::AccountStatus;
    use crate::inventory::{Inventory, Part};
    use crate::names::device::tests::directory;

    #[test]
    fn unmatched_names_are_logged_when_the_terminals_of_all_accounts_are_read() {
        let account = |name: &str, inventory: Option<Inventory>| {
            let status = AccountStatus::new(name.into(), Duration::ZERO);
            Arc::new(match inventory {
                Some(inventory) => status.with_inventory(inventory, Duration::ZERO),
                None => status,
            })
        };
        let (off, read) = (
            account("off", None),
            account("read", Some(Inventory::default())),
        );
        let accounts = Accounts::new(vec![off, Arc::clone(&read)]);
        for comparisons in [3, 4, 479] {
            assert!(!is_log_due(comparisons, &accounts), "{comparisons}");
        }
        assert!(is_log_due(480, &accounts));
        let terminals = read.metrics.inventory(Part::Terminals);
        terminals.permitted.set(0.0);
        assert!(is_log_due(4, &accounts));
        terminals.permitted.set(1.0);
        assert!(!is_log_due(4, &accounts));
        terminals.last_success.set(1.0);
        assert!(is_log_due(4, &accounts) && !is_log_due(3, &accounts));
    }

    #[test]
    fn names_match_the_ids_and_serial_numbers_of_the_inventory() {
        let lines = "0a,A\nut0b,B\nkit0c,C\n2dht0D,D\n0A1,Router\nrouter-0d1,Router\nKIT9,Nothing";
        let names = Names::parse(format!("deviceID,name\n{lines}").as_bytes()).unwrap();
        let unmatched = names.match_ids(listed_ids(&directory()));
        assert_eq!(
            unmatched,
            Unmatched {
                count: 1,
                example: Some("kit9".into())
            }
        );
    }
}
