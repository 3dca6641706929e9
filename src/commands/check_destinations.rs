//! What `check-config` says about the destinations of remote write: their cost, and what they would not get after an outage.

use starlink_telemetry::config::{RecordingSettings, Settings};
use starlink_telemetry::fleet::FleetOptions;
use starlink_telemetry::state_file::StateFile;
use starlink_telemetry::time::Clock;

/// The number of terminals without a state file.
const TERMINALS: usize = 1000;

/// A line about the cost of each destination, and one about what would be left out.
pub(super) fn lines(settings: &Settings) -> Vec<String> {
    let Some(recording) = &settings.recording else {
        return Vec::new();
    };
    let known = known_devices(settings);
    of(recording, known)
}

fn of(recording: &RecordingSettings, known: Option<usize>) -> Vec<String> {
    let (devices, whose) = match known {
        Some(devices) => (devices, format!("for the {devices} devices of STATE_FILE")),
        None => (TERMINALS, format!("per {TERMINALS} terminals")),
    };
    let mut lines = Vec::new();
    for configured in &recording.destinations {
        let destination = &configured.destination;
        let name = &destination.name;
        let cost = destination.cost(devices);
        lines.push(format!(
            "destination {name}: about {:.0} samples/s, {:.0} series, {:.1} kB/s {whose}",
            cost.samples,
            cost.series,
            cost.bytes / 1000.0
        ));
        let left_out = destination.left_out(recording.bounds.age);
        lines.extend(left_out.map(|what| format!("destination {name}: {what}")));
    }
    lines
}

/// The number of devices in the state file, if it has any.
fn known_devices(settings: &Settings) -> Option<usize> {
    let state = settings.state.as_ref()?;
    let file = StateFile::new(state.file.clone());
    let options = FleetOptions {
        include_routers: settings.fleet.include_routers,
        ..FleetOptions::STANDARD
    };
    // A file that cannot be read is reported by the service.
    let restored = file.read(options, Clock::system().wall()).ok()??;
    Some(restored.fleet.devices()).filter(|devices| *devices > 0)
}
