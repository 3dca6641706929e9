//! The rows of the table of accounts, which the page has if there are several.

use super::facts::lag;
use super::format::{age, count, printable};
use super::level::Level;
use super::table::link;
use super::verdict::{Condition, of_account};
use crate::view::DeviceQuery;
use crate::web::status::{Account, Status};

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// The name.
    pub name: String,
    /// The list of its devices.
    pub link: String,
    /// Its condition.
    pub condition: &'static str,
    /// How bad that is.
    pub level: Level,
    /// Age of the last successful poll.
    pub last_success: Option<String>,
    /// The lag of its last rows.
    pub lag: String,
    /// Online, unknown and offline devices.
    pub devices: [String; 3],
    /// What is wrong and what an operator can do about it.
    pub note: Option<String>,
}

/// The accounts, the worst first, else by name. None if there is only one, which the other parts of the page describe.
#[must_use]
pub fn rows(status: &Status) -> Vec<AccountRow> {
    if status.accounts.len() == 1 {
        return Vec::new();
    }
    let mut rows: Vec<_> = status
        .accounts
        .iter()
        .map(|account| row(status, account))
        .collect();
    rows.sort_by(|(one, a), (other, b)| one.cmp(other).then_with(|| a.name.cmp(&b.name)));
    rows.into_iter().map(|(_, row)| row).collect()
}

fn row(status: &Status, account: &Account) -> (Condition, AccountRow) {
    let (condition, because) = of_account(status, account);
    let success = account.stream.last_success_timestamp_seconds;
    let devices = account.devices;
    let row = AccountRow {
        name: printable(&account.name),
        link: link(&DeviceQuery {
            account: Some(account.name.clone()),
            ..DeviceQuery::default()
        }),
        condition: match condition {
            Condition::Healthy => "up",
            other => other.word(),
        },
        level: condition.level(),
        last_success: success.map(|at| age(status.timestamp_seconds - at)),
        lag: lag(status, account).1,
        devices: [devices.online, devices.unknown, devices.offline].map(count),
        note: (!because.is_empty()).then_some(because),
    };
    (condition, row)
}
