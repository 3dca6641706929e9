//! Measures the memory that an inventory adds: its terminals, service lines and data use.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use starlink_telemetry::fleet::{Fleet, FleetOptions};
use starlink_telemetry::inventory::ClientDigest;
use starlink_telemetry::state_file::{Existing, StateFile};
use starlink_telemetry::time::Moment;

use crate::Failure;
use crate::feeder::{Feeder, LINGER};
use crate::inventory;
use crate::process::{CLIENT_ID, Service};
use crate::scraper::Scraper;
use crate::verdict::{Target, Verdict};

/// The number of terminals, each with a service line and data use.
const TERMINALS: usize = 100_000;

/// How long each service is scraped, plain and compressed.
const SECONDS: u64 = 10;

const MIB: f64 = 1024.0 * 1024.0;

/// Compares a service with and without an inventory.
///
/// # Errors
/// A process does not start, or ends.
pub fn run(verdict: &mut Verdict) -> Result<(), Failure> {
    let [resident, peak] = measure(0)?;
    let [listed, listed_peak] = measure(TERMINALS)?;
    let added = (listed - resident) / TERMINALS as f64;
    let yardstick = format!("without: {:.0} MiB", resident / MIB);
    let figure = format!("memory: each of {TERMINALS} terminals of an inventory adds");
    verdict.judge(&figure, &yardstick, added, " B", Target::None);
    let yardstick = format!("without: {:.0} MiB", peak / MIB);
    let figure = format!("memory: peak with an inventory of {TERMINALS} terminals");
    verdict.judge(&figure, &yardstick, listed_peak / MIB, " MiB", Target::None);
    Ok(())
}

/// Resident memory after scrapes, and at its peak, in bytes. The inventory comes from a state file, because reading it at the permitted rate
/// takes two hours.
fn measure(listed: usize) -> Result<[f64; 2], Failure> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("state");
    write_state(&path, listed)?;
    let path = path.to_string_lossy();
    let mut feeder = Feeder::start(TERMINALS)?;
    let settings = [("STATE_FILE", &*path), ("INVENTORY", "auto")];
    let service = Service::start_with(feeder.api_url(), LINGER.as_millis() as u32, &settings)?;
    feeder.fill()?;
    let scrapers =
        [false, true].map(|is_gzip| Scraper::start(service.address, is_gzip, SECONDS, 0));
    for scraper in scrapers {
        if let Some(fault) = scraper?.scrapes().faults.first() {
            return Err(fault.clone().into());
        }
    }
    Ok([service.memory("VmRSS")?, service.memory("VmHWM")?])
}

/// Writes a state file without devices, and with an inventory of this many terminals.
fn write_state(path: &Path, terminals: usize) -> Result<(), Failure> {
    let mut fleet = Fleet::new(FleetOptions::STANDARD);
    let account = fleet.account(&"default".into()).ok_or("no account")?;
    if terminals > 0 {
        let mut inventory = inventory::of(terminals)?;
        inventory.client = Some(ClientDigest::of(CLIENT_ID));
        fleet.set_inventory(account, Some(Arc::new(inventory)));
    }
    let file = StateFile::new(path.to_owned());
    Ok(file.write(
        fleet.freeze(),
        Moment::default(),
        SystemTime::now(),
        Existing::Replaced,
    )?)
}
