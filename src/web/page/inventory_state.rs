//! What is known of the inventory of each account, and which permissions are missing.

use super::format::{age, count, printable};
use super::level::Level;
use super::paging::counted;
use crate::inventory::Part;
use crate::web::status::{AccountInventory, PartState};

/// The accounts and the parts of their inventories.
#[derive(Debug, PartialEq, Eq)]
pub struct InventoryTable {
    /// The number of accounts, if they are so many that they are folded.
    pub summary: Option<String>,
    /// The titles of the parts.
    pub parts: Vec<&'static str>,
    /// The accounts.
    pub rows: Vec<InventoryRow>,
    /// Whether a permission is missing.
    pub is_permission_missing: bool,
    /// Whether no inventory is read.
    pub is_off: bool,
}

/// An account.
#[derive(Debug, PartialEq, Eq)]
pub struct InventoryRow {
    /// The name, by which the exporter knows the account.
    pub name: String,
    /// The number and the name that it has at Starlink.
    pub account: Option<String>,
    /// The states of its parts.
    pub parts: Vec<PartCell>,
}

/// The state of a part.
#[derive(Debug, PartialEq, Eq)]
pub struct PartCell {
    /// The title of the part.
    pub title: &'static str,
    /// The number of entries, if the part is a list that is known.
    pub entries: Option<String>,
    /// The age of the part, or why it is not known.
    pub state: String,
    /// The level.
    pub level: Level,
}

/// Up to this number, all accounts are listed unfolded.
const MOST_UNFOLDED: usize = 5;

/// The parts that each account has. The balance is not shown here.
const PARTS: [(Part, &str); 4] = [
    (Part::Account, "Account details"),
    (Part::Terminals, "Terminals"),
    (Part::ServiceLines, "Service lines"),
    (Part::DataUsage, "Data use"),
];

impl InventoryTable {
    /// The table at a time in seconds since 1970.
    #[must_use]
    pub fn of(inventories: &[AccountInventory], now: f64) -> Self {
        let rows = inventories
            .iter()
            .map(|account| InventoryRow::of(account, now));
        let mut rows: Vec<_> = rows.collect();
        // Accounts with problems first; the order is by name else.
        rows.sort_by_key(InventoryRow::is_without_problems);
        let summary = counted(rows.len(), ["account", "accounts"]);
        Self {
            summary: (rows.len() > MOST_UNFOLDED).then_some(summary),
            parts: PARTS.map(|(_, title)| title).into(),
            rows,
            is_off: inventories.iter().all(|account| !account.inventory.enabled),
            is_permission_missing: inventories
                .iter()
                .flat_map(|account| &account.inventory.parts)
                .any(|part| part.permitted == Some(false)),
        }
    }
}

impl InventoryRow {
    fn of(account: &AccountInventory, now: f64) -> Self {
        let inventory = &account.inventory;
        let names = [&inventory.account_number, &inventory.account_name];
        let names: Vec<_> = names
            .into_iter()
            .flatten()
            .map(|name| printable(name))
            .collect();
        let cell = |(part, title): (Part, &'static str)| {
            let entries = match part {
                Part::Terminals => inventory.terminals,
                Part::ServiceLines => inventory.service_lines,
                Part::Account | Part::DataUsage | Part::Balance => None,
            };
            let state = inventory.parts.iter().find(|it| it.part == part.name());
            let (level, state) = state.map_or((Level::Good, "not known".to_owned()), |it| {
                in_words(it, now)
            });
            PartCell {
                title,
                entries: entries.map(count),
                state,
                level,
            }
        };
        Self {
            name: printable(&account.name),
            account: (!names.is_empty()).then(|| names.join(", ")),
            parts: PARTS.map(cell).into(),
        }
    }

    fn is_without_problems(&self) -> bool {
        self.parts.iter().all(|part| part.level == Level::Good)
    }
}

/// The state of a part.
fn in_words(part: &PartState, now: f64) -> (Level, String) {
    let read = part.read_timestamp_seconds;
    let read = read.map(|at| format!("read {} ago", age(now - at)));
    match (part.permitted, part.up, read) {
        (Some(false), ..) => (
            Level::Notice,
            format!("permission missing: {}", part.permission),
        ),
        (_, Some(false), Some(read)) => (Level::Notice, format!("cannot be read; {read}")),
        (_, Some(false), None) => (Level::Notice, "cannot be read".to_owned()),
        (_, _, Some(read)) => (Level::Good, read),
        (_, _, None) => (Level::Good, "not read yet".to_owned()),
    }
}
