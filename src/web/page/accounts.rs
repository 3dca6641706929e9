//! The list of accounts, which the page has if there are several: those with problems, and the others folded.

use super::facts::lag;
use super::format::{age, count, printable};
use super::level::Level;
use super::table::{Link, link};
use super::verdict::{Condition, of_account};
use crate::view::{DeviceQuery, DeviceState};
use crate::web::status::{Account, Status};

/// The most accounts that are listed unfolded. Up to this number, all accounts are listed unfolded; with more, only those with problems.
const MOST_UNFOLDED: usize = 5;

/// A part of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountGroup {
    /// Identifies the group on the page.
    pub key: &'static str,
    /// What a folded group contains; `None` for a group that is not folded.
    pub summary: Option<String>,
    /// Whether all its accounts are without problems. Then it has no column for problems.
    pub is_healthy: bool,
    /// The accounts.
    pub rows: Vec<AccountRow>,
}

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
    /// Its devices by state, in the order of [`STATES`], with links to their lists.
    pub devices: Vec<Link>,
    /// What is wrong and what an operator can do about it.
    pub note: Option<String>,
}

/// In the order of display.
pub const STATES: [DeviceState; 3] = [
    DeviceState::Online,
    DeviceState::Unknown,
    DeviceState::Offline,
];

/// The accounts in groups, those with problems first. None if there is only one account, which the other parts of the page describe.
/// `query` is the list of devices that the page shows.
#[must_use]
pub fn groups(status: &Status, query: &DeviceQuery) -> Vec<AccountGroup> {
    if !status.has_several_accounts() {
        return Vec::new();
    }
    let rows = rows(status, query);
    if rows.len() <= MOST_UNFOLDED {
        return vec![AccountGroup {
            key: "all",
            summary: None,
            is_healthy: false,
            rows,
        }];
    }
    let (healthy, mut problems): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row| row.level == Level::Good);
    let more = problems.split_off(problems.len().min(MOST_UNFOLDED));
    let groups = [
        AccountGroup {
            key: "problems",
            summary: None,
            is_healthy: false,
            rows: problems,
        },
        AccountGroup {
            key: "more",
            summary: Some(accounts(more.len(), "more ", "")),
            is_healthy: false,
            rows: more,
        },
        AccountGroup {
            key: "healthy",
            summary: Some(accounts(healthy.len(), "", " without problems")),
            is_healthy: true,
            rows: healthy,
        },
    ];
    groups
        .into_iter()
        .filter(|group| !group.rows.is_empty())
        .collect()
}

/// A number of accounts in words.
fn accounts(number: usize, before: &str, after: &str) -> String {
    let noun = if number == 1 { "account" } else { "accounts" };
    format!("{} {before}{noun}{after}", count(number))
}

/// All accounts, the worst first, else by name.
fn rows(status: &Status, query: &DeviceQuery) -> Vec<AccountRow> {
    let accounts = status.accounts.iter();
    let mut rows: Vec<_> = accounts
        .map(|account| row(status, account, query))
        .collect();
    rows.sort_by(|(one, a), (other, b)| one.cmp(other).then_with(|| a.name.cmp(&b.name)));
    rows.into_iter().map(|(_, row)| row).collect()
}

fn row(status: &Status, account: &Account, query: &DeviceQuery) -> (Condition, AccountRow) {
    let finding = of_account(status, account);
    let success = account.stream.last_success_timestamp_seconds;
    let list = |state| {
        link(&DeviceQuery {
            account: Some(account.name.clone()),
            state,
            ..DeviceQuery::default()
        })
    };
    let devices = STATES.map(|state| {
        let devices = match state {
            DeviceState::Online => account.devices.online,
            DeviceState::Unknown => account.devices.unknown,
            DeviceState::Offline => account.devices.offline,
        };
        Link::new(state.name(), devices, list(Some(state.into())), query)
    });
    let note = finding.text();
    let row = AccountRow {
        name: printable(&account.name),
        link: list(None),
        condition: match finding.condition {
            Condition::Healthy => "up",
            other => other.word(),
        },
        level: finding.condition.level(),
        last_success: success.map(|at| age(status.timestamp_seconds - at)),
        lag: lag(status, account).1,
        devices: devices.into(),
        note: (!note.is_empty()).then_some(note),
    };
    (finding.condition, row)
}

#[cfg(test)]
mod tests {
    use super::super::verdict::tests::{fail, with_accounts};
    use super::*;

    fn fleet(accounts: usize) -> Status {
        let names: Vec<_> = (1..=accounts)
            .map(|number| format!("ship-{number:02}"))
            .collect();
        with_accounts(&names.iter().map(String::as_str).collect::<Vec<_>>())
    }

    #[test]
    fn a_row_has_the_problem_the_remedy_and_links_to_the_devices() {
        let mut status = fleet(2);
        fail(&mut status.accounts[1]);
        let query = DeviceQuery::parse("account=ship-02&state=offline").unwrap();
        let [group] = &groups(&status, &query)[..] else {
            panic!("there is one group");
        };
        let link = |title: &str, count: &str, query: &str| Link {
            title: title.to_owned(),
            count: count.to_owned(),
            is_none: count == "0",
            link: format!("./?{query}#devices"),
            is_current: title == "offline",
        };
        let expected = AccountRow {
            name: "ship-02".to_owned(),
            link: "./?account=ship-02#devices".to_owned(),
            condition: "Failing",
            level: Level::Bad,
            last_success: Some("3 s".to_owned()),
            lag: "12 s (of the last rows, 4 s ago)".to_owned(),
            devices: vec![
                link("online", "5", "state=online&account=ship-02"),
                link("unknown", "0", "state=unknown&account=ship-02"),
                link("offline", "1", "state=offline&account=ship-02"),
            ],
            note: Some(
                "Starlink rejected the credentials. Check client_id and client_secret of account ship-02 in ACCOUNTS_FILE."
                    .to_owned(),
            ),
        };
        assert_eq!(group.rows[0], expected, "the worst is first");
        let healthy = &group.rows[1];
        assert_eq!((&*healthy.name, healthy.condition), ("ship-01", "up"));
        assert_eq!((healthy.level, &healthy.note), (Level::Good, &None));
    }

    #[test]
    fn many_accounts_without_problems_are_folded() {
        // Accounts, how many of them fail, and for each group its summary and its first account.
        for (accounts, failing, expected) in [
            (0, 0, &[][..]),
            (1, 1, &[]),
            (5, 0, &[(None, "ship-01")][..]),
            (5, 1, &[(None, "ship-05")]),
            (6, 0, &[(Some("6 accounts without problems"), "ship-01")]),
            (
                40,
                3,
                &[
                    (None, "ship-38"),
                    (Some("37 accounts without problems"), "ship-01"),
                ],
            ),
            (
                40,
                11,
                &[
                    (None, "ship-30"),
                    (Some("6 more accounts"), "ship-35"),
                    (Some("29 accounts without problems"), "ship-01"),
                ],
            ),
            (
                12,
                12,
                &[(None, "ship-01"), (Some("7 more accounts"), "ship-06")],
            ),
            (
                7,
                6,
                &[
                    (None, "ship-02"),
                    (Some("1 more account"), "ship-07"),
                    (Some("1 account without problems"), "ship-01"),
                ],
            ),
        ] {
            let mut status = fleet(accounts);
            status
                .accounts
                .iter_mut()
                .rev()
                .take(failing)
                .for_each(fail);
            let groups = groups(&status, &DeviceQuery::default());
            let found: Vec<_> = groups
                .iter()
                .map(|group| (group.summary.as_deref(), &*group.rows[0].name))
                .collect();
            assert_eq!(found, expected, "{failing} of {accounts}");
            let rows = groups.iter().map(|group| group.rows.len()).sum::<usize>();
            assert_eq!(rows, if accounts > 1 { accounts } else { 0 });
        }
    }
}
