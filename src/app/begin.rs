//! The initial fleet of the process: the fleet of the state file, or an empty one.

use std::sync::Arc;

use crate::config::Settings;
use crate::fleet::{Fleet, FleetOptions, Limits, Retention};
use crate::inventory::{ClientDigest, Inventory};
use crate::state_file::{Lock, LockError, Recovered, StateFile, recover};
use crate::time::Clock;

/// The initial fleet and its clock.
pub(super) struct Begin {
    pub(super) fleet: Fleet,
    pub(super) clock: Clock,
    pub(super) state_lock: Option<Lock>,
    /// Whether a state file was read.
    pub(super) is_restored: bool,
    /// Whether the state file may contain a fleet that could not be read.
    pub(super) is_unread: bool,
}

/// The fleet and its clock; those of the previous process if there is a usable state file.
pub(super) fn begin(settings: &Settings, clock: Clock) -> Result<Begin, LockError> {
    let options = fleet_options(settings);
    let mut begin = Begin {
        fleet: Fleet::new(options.clone()),
        clock,
        state_lock: None,
        is_restored: false,
        is_unread: false,
    };
    let Some(state) = &settings.state else {
        return Ok(begin);
    };
    let file = StateFile::new(state.file.clone());
    begin.state_lock = Some(file.lock()?);
    // Reading may take long. This time counts as time after the start, so it is measured before.
    let at = begin.clock.now();
    match recover(&file, options, &begin.clock) {
        Recovered::Fleet(restored) => {
            begin.clock = begin.clock.resume(restored.now, at);
            begin.fleet = restored.fleet;
            let configured = settings.accounts.list().iter();
            let configured: Vec<_> = configured.map(|account| &*account.name).collect();
            begin.fleet.keep_accounts(&configured, begin.clock.now());
            begin.is_restored = true;
            forget_inventories(&mut begin.fleet, settings);
        }
        Recovered::Nothing => {}
        Recovered::Unread => begin.is_unread = true,
    }
    Ok(begin)
}

/// Removes what an earlier process read from the management API, if inventories are not read, or for accounts that have another client ID
/// now. The store lists the others at its start.
fn forget_inventories(fleet: &mut Fleet, settings: &Settings) {
    let client_of = |name: &str| {
        let mut accounts = settings.accounts.list().iter();
        let account = accounts.find(|account| &*account.name == name)?;
        Some(ClientDigest::of(&account.client_id.identity()))
    };
    let is_forgotten = |name: &str, inventory: &Inventory| {
        settings.inventory.is_none() || inventory.client != client_of(name)
    };
    let known = fleet.inventories();
    let forgotten = known.filter(|(name, inventory)| is_forgotten(name, inventory));
    let forgotten: Vec<_> = forgotten.map(|(name, _)| Arc::clone(name)).collect();
    for name in forgotten {
        if let Some(account) = fleet.find_account(&name) {
            fleet.set_inventory(account, None);
        }
    }
}

fn fleet_options(settings: &Settings) -> FleetOptions {
    FleetOptions {
        include_routers: settings.fleet.include_routers,
        fields: settings.fleet.fields.clone(),
        retention: retention(settings),
        limits: limits(settings),
    }
}

pub(super) fn retention(settings: &Settings) -> Retention {
    Retention {
        stale_after: settings.fleet.stale_after,
        ip_stale_after: settings.fleet.ip_stale_after,
        forget_after: settings.fleet.forget_after,
    }
}

pub(super) fn limits(settings: &Settings) -> Limits {
    Limits {
        devices: settings.fleet.max_devices,
        ..Limits::STANDARD
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::config::Sources;
    use crate::state_file::Existing;
    use crate::time::Moment;

    fn settings(state_file: Option<&Path>) -> Settings {
        let required = [
            ("CLIENT_ID", "id"),
            ("CLIENT_SECRET", "secret"),
            ("BATCH_SIZE", "1000"),
            ("MAX_LINGER", "15000"),
        ];
        let required = required.map(|(name, value)| (name.to_owned(), OsString::from(value)));
        let state = state_file.map(|path| ("STATE_FILE".to_owned(), path.into()));
        let settings = Settings::from_sources(Sources {
            environment: required.into_iter().chain(state).collect(),
            ..Sources::default()
        });
        settings.unwrap()
    }

    #[test]
    fn the_default_settings_give_the_standard_options() {
        assert_eq!(fleet_options(&settings(None)), FleetOptions::STANDARD);
    }

    #[test]
    fn the_clock_continues_from_the_file_including_the_time_of_the_start() {
        let second = Duration::from_secs(1);
        let (clock, hands) = Clock::manual(SystemTime::UNIX_EPOCH + 1_000_000 * second);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        let shown = Moment::default().after(100 * second);
        let frozen = Fleet::new(FleetOptions::STANDARD).freeze();
        let file = StateFile::new(path.clone());
        file.write(frozen, shown, clock.wall(), Existing::Replaced)
            .unwrap();
        hands.advance(60 * second);
        let began = begin(&settings(Some(&path)), clock).unwrap();
        assert_eq!(began.clock.now(), shown.after(60 * second));
    }

    #[test]
    fn the_inventory_of_another_client_id_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        for (client, is_kept) in [(Some("id"), true), (Some("other"), false), (None, false)] {
            let mut fleet = Fleet::new(FleetOptions::STANDARD);
            let account = fleet.account(&"default".into()).unwrap();
            let inventory = Inventory {
                client: client.map(ClientDigest::of),
                ..Inventory::default()
            };
            fleet.set_inventory(account, Some(Arc::new(inventory)));
            let clock = Clock::system();
            let file = StateFile::new(path.clone());
            let (now, wall) = (clock.now(), clock.wall());
            file.write(fleet.freeze(), now, wall, Existing::Replaced)
                .unwrap();
            let written = std::fs::read(&path).unwrap();
            let mut words = written.windows(7);
            assert!(!words.any(|word| word == b"\"other\""), "only a digest");
            let began = begin(&settings(Some(&path)), clock).unwrap();
            let kept = began.fleet.inventories().count();
            assert_eq!(kept, usize::from(is_kept), "{client:?}");
        }
    }
}
