//! Which accounts may start.

use crate::config::Account;

/// The accounts that are wanted, do not run, and may start: neither their name nor their client ID is in use.
pub(super) fn startable<'a>(
    wanted: &[Account],
    running: impl Iterator<Item = &'a Account> + Clone,
) -> Vec<Account> {
    let conflicts = |one: &Account, other: &Account| {
        one.name == other.name || one.client_id.identity() == other.client_id.identity()
    };
    let is_free = |account: &&Account| running.clone().all(|other| !conflicts(account, other));
    wanted.iter().filter(is_free).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Credential, Origin};

    fn account(name: &str, id: &str, secret: &str) -> Account {
        let fixed = |text: &str| Credential::fixed(text.into());
        Account {
            name: name.into(),
            client_id: fixed(id),
            client_secret: fixed(secret),
            batch_size: 1,
            max_linger: Duration::ZERO,
            polls_per_minute: 200,
            api_url: "http://127.0.0.1:1".parse().unwrap(),
            token_url: None,
            tenant: None,
            origin: Origin::variables(false, false),
        }
    }

    #[test]
    fn an_account_starts_when_its_name_and_its_client_id_are_free() {
        let running = [account("a", "1", "x"), account("b", "2", "x")];
        for (wanted, expected) in [
            (vec![account("a", "1", "x")], vec![]),
            (vec![account("c", "3", "x")], vec!["c"]),
            // Another secret, another name, and exchanged names.
            (vec![account("a", "1", "y")], vec![]),
            (
                vec![account("c", "1", "x"), account("d", "4", "x")],
                vec!["d"],
            ),
            (vec![account("a", "2", "x"), account("b", "1", "x")], vec![]),
            // White space around a client ID does not make it another one.
            (vec![account("c", " 1 ", "x")], vec![]),
        ] {
            let found = startable(&wanted, running.iter());
            let found: Vec<_> = found.iter().map(|account| &*account.name).collect();
            assert_eq!(found, expected);
        }
    }
}
