//! Starts the simulated Starlink accounts of the demo, and reads the settings that connect to them.

use secrecy::SecretString;

use starlink_telemetry::config::{DemoAccount, Settings, Sources};
use starlink_telemetry::simulator::{InventoryOptions, Options, Simulator};

/// The number of terminals of each account that report.
pub const TERMINALS: usize = 25;

/// The speed of simulated time, relative to real time: terminals report every second instead of every 15 s.
const SPEED: f64 = 15.0;

/// The first terminal of the second account, so that its IDs and names differ from those of the first one. A multiple of 6,
/// so that it has the same mix of uses.
const SECOND_FLEET: usize = 36;

const CLIENT_ID: &str = "simulated-client-id";
const CLIENT_SECRET: &str = "simulated-client-secret";

/// Starts one simulator for each account, 1 or 2, and reads the settings. The simulators end when they are dropped. `remote_write`: rows are
/// sent to the destinations of the settings.
///
/// # Errors
/// A simulator cannot start, or a setting is wrong.
pub fn start(
    accounts: u8,
    sources: Sources,
    remote_write: bool,
) -> Result<(Vec<Simulator>, Settings), Box<dyn std::error::Error>> {
    let mut simulators = vec![Simulator::start(first())?];
    if accounts > 1 {
        simulators.push(Simulator::start(second())?);
    }
    let mut demo_accounts = Vec::new();
    for (index, simulator) in simulators.iter().enumerate() {
        demo_accounts.push(DemoAccount {
            name: ["demo", "demo-2"][index.min(1)],
            api_url: simulator.api_url().parse()?,
            client_id: SecretString::from(client_id(index)),
            client_secret: SecretString::from(CLIENT_SECRET),
        });
    }
    let settings = Settings::for_demo(sources, demo_accounts, remote_write)?;
    Ok((simulators, settings))
}

/// The client ID of an account, counted from 0.
fn client_id(index: usize) -> String {
    match index {
        0 => CLIENT_ID.to_owned(),
        _ => format!("{CLIENT_ID}-{}", index + 1),
    }
}

/// An account with a terminal of each kind.
fn first() -> Options {
    Options {
        client_id: client_id(0),
        client_secret: CLIENT_SECRET.to_owned(),
        terminals: TERMINALS,
        routers: true,
        speed: SPEED,
        inventory: Some(InventoryOptions {
            silent: 1,
            never_heard: 1,
            deactivated: 1,
            in_store: 1,
            ..InventoryOptions::default()
        }),
        ..Options::default()
    }
}

/// A suspended account. Its terminals still report.
fn second() -> Options {
    Options {
        client_id: client_id(1),
        first_terminal: SECOND_FLEET,
        seed: 2,
        inventory: Some(InventoryOptions {
            account_number: "ACC-730215-48816-22".to_owned(),
            account_name: None,
            suspensions: vec!["PastDueBalance".to_owned()],
            ..InventoryOptions::default()
        }),
        ..first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_has_its_own_simulator_and_credentials() {
        for accounts in [1, 2] {
            let (simulators, settings) = start(accounts, Sources::default(), false).unwrap();
            let list = settings.accounts.list();
            assert_eq!(simulators.len(), usize::from(accounts));
            let urls: Vec<_> = list
                .iter()
                .map(|account| account.api_url.to_string())
                .collect();
            let expected: Vec<_> = simulators.iter().map(Simulator::api_url).collect();
            assert_eq!(urls, expected);
            let names: Vec<_> = list.iter().map(|account| &*account.name).collect();
            assert_eq!(names, ["demo", "demo-2"][..usize::from(accounts)]);
            for (index, account) in list.iter().enumerate() {
                assert!(
                    list[..index]
                        .iter()
                        .all(|other| other.client_id != account.client_id)
                );
            }
        }
    }
}
