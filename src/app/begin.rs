//! What the service begins with: the fleet that the process before this one left, or an empty one.

use crate::config::Settings;
use crate::fleet::{Fleet, FleetOptions, Limits, Retention};
use crate::state_file::{Lock, LockError, Recovered, StateFile, recover};
use crate::time::Clock;

/// What the service begins with.
pub(super) struct Begin {
    pub(super) fleet: Fleet,
    pub(super) clock: Clock,
    pub(super) state_lock: Option<Lock>,
    /// Whether the state file may hold a fleet that could not be read.
    pub(super) is_unread: bool,
}

/// The fleet and its clock: those of the process before this one, if it left them.
pub(super) fn begin(settings: &Settings, clock: Clock) -> Result<Begin, LockError> {
    let options = fleet_options(settings);
    let mut begin = Begin {
        fleet: Fleet::new(options.clone()),
        clock,
        state_lock: None,
        is_unread: false,
    };
    let Some(state) = &settings.state else {
        return Ok(begin);
    };
    let file = StateFile::new(state.file.clone());
    begin.state_lock = Some(file.lock()?);
    match recover(&file, options, &begin.clock) {
        Recovered::Fleet(restored) => {
            begin.clock = begin.clock.resume(restored.now);
            begin.fleet = restored.fleet;
        }
        Recovered::Nothing => {}
        Recovered::Unread => begin.is_unread = true,
    }
    Ok(begin)
}

fn fleet_options(settings: &Settings) -> FleetOptions {
    FleetOptions {
        include_routers: settings.fleet.include_routers,
        fields: settings.fleet.fields.clone(),
        retention: Retention {
            stale_after: settings.fleet.stale_after,
            ip_stale_after: settings.fleet.ip_stale_after,
            forget_after: settings.fleet.forget_after,
        },
        limits: Limits {
            devices: settings.fleet.max_devices,
            ..Limits::STANDARD
        },
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::config::Sources;

    #[test]
    fn the_default_settings_give_the_standard_options() {
        let required = [
            ("CLIENT_ID", "somebody"),
            ("CLIENT_SECRET", "secret"),
            ("BATCH_SIZE", "1000"),
            ("MAX_LINGER", "15000"),
        ];
        let required = required.map(|(name, value)| (name.to_owned(), OsString::from(value)));
        let settings = Settings::from_sources(Sources {
            environment: required.to_vec(),
            ..Sources::default()
        });
        assert_eq!(fleet_options(&settings.unwrap()), FleetOptions::STANDARD);
    }
}
