//! What `check-config` says about the destinations of remote write: their cost, what they would not get after an outage, and optionally what
//! they answer.

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt};
use starlink_telemetry::config::{RecordingSettings, Settings};
use starlink_telemetry::fleet::FleetOptions;
use starlink_telemetry::outgoing::Resolver;
use starlink_telemetry::recording::{ClientContext, inquire};
use starlink_telemetry::remote_write::{Cost, FleetSize, Tenant};
use starlink_telemetry::state_file::StateFile;
use starlink_telemetry::telemetry::DeviceKind;
use starlink_telemetry::time::Clock;

use super::check_config::{CONCURRENT, named};

/// The number of terminals without a state file.
const TERMINALS: usize = 1000;

/// The devices that the cost is estimated for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Devices {
    terminals: usize,
    routers: usize,
}

impl Devices {
    /// The devices without a state file.
    fn usual(include_routers: bool) -> Self {
        Self {
            terminals: TERMINALS,
            routers: if include_routers { TERMINALS } else { 0 },
        }
    }
}

/// A line about the cost of each destination, and one about what would be left out.
pub(super) fn lines(settings: &Settings) -> Vec<String> {
    let Some(recording) = &settings.recording else {
        return Vec::new();
    };
    let known = known_devices(settings);
    let include_routers = settings.fleet.include_routers;
    let devices = known.unwrap_or_else(|| Devices::usual(include_routers));
    let Devices { terminals, routers } = devices;
    let whose = match (known.is_some(), include_routers) {
        (true, true) => {
            format!("for the {terminals} terminals and {routers} routers of STATE_FILE")
        }
        (true, false) => format!("for the {terminals} terminals of STATE_FILE"),
        (false, true) => format!("per {terminals} terminals with a router each"),
        (false, false) => format!("per {terminals} terminals"),
    };
    let fleet = fleet_of(settings, recording, devices);
    let mut lines = of(recording, &fleet, &whose);
    if known.is_some() {
        lines.extend(slow(recording, &fleet));
    }
    lines
}

/// A line about each destination whose rate is too low for the devices in the state file, if there is one.
pub(super) fn rates(settings: &Settings) -> Vec<String> {
    let Some(recording) = &settings.recording else {
        return Vec::new();
    };
    let mut destinations = recording.destinations.iter();
    // The state file may be large.
    if destinations.all(|it| it.destination.max_samples_per_second == 0) {
        return Vec::new();
    }
    let known = known_devices(settings);
    known.map_or_else(Vec::new, |devices| {
        slow(recording, &fleet_of(settings, recording, devices))
    })
}

fn fleet_of(settings: &Settings, recording: &RecordingSettings, devices: Devices) -> FleetSize {
    let has_inventory = settings.inventory.is_some();
    FleetSize {
        terminals: devices.terminals,
        routers: devices.routers,
        accounts: settings.accounts.list().len(),
        destinations: recording.destinations.len(),
        has_inventory,
        has_names: has_inventory || settings.names.is_some(),
        fields: settings.fleet.fields.clone(),
    }
}

fn slow(recording: &RecordingSettings, fleet: &FleetSize) -> Vec<String> {
    let destinations = recording.destinations.iter();
    let slow = destinations.filter_map(|configured| {
        let what = configured.destination.too_slow(fleet)?;
        Some(format!(
            "destination {}: {what}",
            configured.destination.name
        ))
    });
    slow.collect()
}

fn of(recording: &RecordingSettings, fleet: &FleetSize, whose: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for configured in &recording.destinations {
        let destination = &configured.destination;
        let name = &destination.name;
        let cost = described(destination.cost(fleet), whose);
        lines.push(format!("destination {name}: {cost}"));
        let left_out = destination.left_out(recording.bounds.age);
        lines.extend(left_out.map(|what| format!("destination {name}: {what}")));
    }
    lines
}

/// What a fleet costs, in words. `whose` says which one.
fn described(cost: Cost, whose: &str) -> String {
    let kilobytes = |bytes: f64| format!("{:.1} kB/s", bytes / 1000.0);
    let (samples, series) = (cost.samples, cost.series);
    let bytes = cost.bytes_v1.or(cost.bytes_v2).unwrap_or_default();
    let otherwise = cost.bytes_v1.and(cost.bytes_v2).map(|bytes| {
        let bytes = kilobytes(bytes);
        format!(" ({bytes} if the receiver supports remote write 2.0)")
    });
    format!(
        "about {samples:.0} samples/s, {series:.0} series, {} {whose}{}",
        kilobytes(bytes),
        otherwise.unwrap_or_default()
    )
}

/// The devices in the state file, if it has any.
fn known_devices(settings: &Settings) -> Option<Devices> {
    let state = settings.state.as_ref()?;
    let file = StateFile::new(state.file.clone());
    let options = FleetOptions {
        include_routers: settings.fleet.include_routers,
        ..FleetOptions::STANDARD
    };
    // A file that cannot be read is reported by the service.
    let restored = file.read(options, Clock::system().wall()).ok()??;
    let tables = restored.fleet.snapshot().tables;
    let count = |kind: DeviceKind| {
        let of_kind = tables.iter().filter(|table| table.kind == kind);
        of_kind.map(|table| table.counts.all()).sum()
    };
    let devices = Devices {
        terminals: count(DeviceKind::Terminal),
        routers: count(DeviceKind::Router),
    };
    (devices.terminals + devices.routers > 0).then_some(devices)
}

/// Sends an empty request to each destination; with the tenant `account`, one for each tenant. Adds a line about each answer to `output`.
/// Returns the result as a text that continues the verdict on the settings.
pub(super) async fn try_all(settings: &Settings, output: &mut String) -> Result<String, String> {
    let Some(recording) = &settings.recording else {
        return Ok(String::new());
    };
    let context = ClientContext {
        clock: Clock::system(),
        resolver: Resolver::system(),
        proxy: settings.outgoing.proxy.clone(),
        authorities: settings.outgoing.authorities.clone(),
        redactor: settings.redactor.clone(),
    };
    let tenants = tenants(settings);
    let destinations = recording.destinations.iter();
    let destinations = destinations.map(|configured| &configured.destination);
    let inquiries = destinations
        .flat_map(|destination| match destination.tenant {
            Tenant::Account => tenants.iter().map(|it| (destination, Some(*it))).collect(),
            Tenant::None | Tenant::Fixed(_) => vec![(destination, None)],
        })
        .map(|(destination, tenant)| {
            let context = context.clone();
            async move {
                let answer = inquire(destination, tenant.unwrap_or_default(), context).await;
                (destination, tenant, answer)
            }
        });
    let answers: Vec<_> = stream::iter(inquiries).buffered(CONCURRENT).collect().await;
    let mut failed = Vec::new();
    for (destination, tenant, answer) in &answers {
        let name = &*destination.name;
        let whose = match tenant {
            Some(tenant) => format!("destination {name}, tenant {tenant}"),
            None => format!("destination {name}"),
        };
        *output += &match answer {
            Ok(text) => format!("OK: {whose}: {text}\n"),
            Err(text) => {
                failed.push(name);
                format!("FAILED: {whose}: {text}\n")
            }
        };
    }
    failed.dedup();
    summary(recording.destinations.len(), &failed)
}

fn summary(destinations: usize, failed: &[&str]) -> Result<String, String> {
    match (failed.len(), destinations) {
        (0, 1) => Ok(", and the destination can be written to".to_owned()),
        (0, all) => Ok(format!(", and all {all} destinations can be written to")),
        (count, all) => Err(format!(
            "{count} of {all} destinations cannot be written to: {}",
            named(failed)
        )),
    }
}

/// The tenants of all accounts, each once.
fn tenants(settings: &Settings) -> BTreeSet<&str> {
    let accounts = settings.accounts.list().iter();
    accounts
        .map(|account| account.tenant.as_deref().map_or(&*account.name, |it| it))
        .collect()
}
