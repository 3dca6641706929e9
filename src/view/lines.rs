//! Lists of service lines with their data use and terminals, filtered and sorted, in pages. Ranks all lines, copies those of the page, then
//! reads all terminals once to find those of these lines.

use std::collections::HashMap;

use serde::Serialize;

use super::NamedFleet;
use super::line_query::{LineKey, LineQuery};
use super::list::contains;
use super::page::Page;
use super::rank::Rank;
use super::service_line::{ServiceLine, UseRank};
use crate::inventory::{Inventory, Line, UsageFacts};
use crate::names::name_of_listed;

/// The most terminals of a line that are listed. A line usually has one.
const MOST_TERMINALS: usize = 100;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LinePage {
    /// The number of lines on all pages.
    pub total: usize,
    /// The number of this page, from 1.
    pub page: usize,
    /// The number of pages; 1 if there are no lines.
    pub pages: usize,
    /// The most lines of a page.
    pub per_page: usize,
    /// The lines; empty beyond the last page.
    pub lines: Vec<LineEntry>,
}

/// A service line in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LineEntry {
    /// The line.
    #[serde(flatten)]
    pub line: ServiceLine,
    /// Its terminals, or the first of them, sorted by ID.
    pub terminals: Vec<LineTerminal>,
    /// The number of its terminals.
    pub terminals_total: usize,
}

/// A terminal of a service line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineTerminal {
    /// The ID that telemetry uses.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// The serial number of the kit.
    pub kit_serial: Option<String>,
}

/// A line in the inventory of an account.
#[derive(Debug, Clone, Copy)]
struct LineRef<'d> {
    account: &'d str,
    inventory: &'d Inventory,
    number: &'d str,
    /// The positions in the lists of lines and of data use.
    line: Option<usize>,
    usage: Option<usize>,
}

impl<'d> LineRef<'d> {
    fn line(&self) -> Option<Line<'d>> {
        self.inventory.lines.as_ref()?.value.get(self.line?)
    }

    fn usage(&self) -> Option<UsageFacts> {
        let usages = self.inventory.usage.as_ref()?;
        Some(usages.value.get(self.usage?)?.facts)
    }

    fn matches(&self, search: &str) -> bool {
        let line = self.line();
        let texts = [
            Some(self.number),
            line.and_then(|line| line.nickname),
            line.and_then(|line| line.product),
            line.and_then(|line| line.tail_number),
        ];
        let mut texts = texts.into_iter().flatten();
        texts.any(|text| contains(text, search))
    }

    fn rank(&self, key: LineKey) -> Rank<'d> {
        let text = |text: fn(Line<'d>) -> Option<&'d str>| {
            self.line().and_then(text).map_or(Rank::Absent, Rank::Text)
        };
        let number = |number: Option<f64>| number.map_or(Rank::Absent, Rank::Number);
        match key {
            LineKey::DataUse => {
                let rank = self.usage().and_then(|usage| UseRank::of(&usage));
                rank.map_or(Rank::Absent, Rank::Use)
            }
            LineKey::Number => Rank::Text(self.number),
            LineKey::Nickname => text(|line| line.nickname),
            LineKey::Product => text(|line| line.product),
            LineKey::Account => Rank::Text(self.account),
            LineKey::Overage => {
                let overage = self.usage().and_then(|usage| usage.overage_bytes());
                number(overage)
            }
            LineKey::End => {
                let subscription = self.usage().and_then(|usage| usage.subscription_end());
                number(subscription.or_else(|| self.line()?.end))
            }
        }
    }
}

/// The page that a query asks for.
#[must_use]
pub fn lines(fleet: &NamedFleet, query: &LineQuery) -> LinePage {
    let search = query.search.as_ref().map(|text| text.to_lowercase());
    let accounts = fleet.snapshot.directory.accounts().iter();
    let accounts = accounts.filter(|(name, _)| {
        let account = query.account.as_deref();
        account.is_none_or(|account| account == &**name)
    });
    let all = accounts.flat_map(|(name, inventory)| of_account(name, inventory));
    let mut found: Vec<_> = all
        .filter(|line| search.as_deref().is_none_or(|search| line.matches(search)))
        .map(|line| (line.rank(query.order.key), line))
        .collect();
    let order = |one: &(Rank<'_>, LineRef<'_>), other: &(Rank<'_>, LineRef<'_>)| {
        let by_rank = one.0.compare(other.0, query.order.is_descending);
        let (one, other) = (&one.1, &other.1);
        by_rank
            .then_with(|| one.number.cmp(other.number))
            .then_with(|| one.account.cmp(other.account))
    };
    let part = Page::new(query.page, query.per_page).of(&mut found, order);
    let entry = |(_, line): &(Rank<'_>, LineRef<'_>)| LineEntry {
        line: ServiceLine::new(line.account, line.number, line.line(), line.usage()),
        terminals: Vec::new(),
        terminals_total: 0,
    };
    let mut lines: Vec<_> = part.entries.iter().map(entry).collect();
    add_terminals(fleet, &mut lines, part.entries);
    LinePage {
        total: part.total,
        page: query.page,
        pages: part.pages,
        per_page: query.per_page,
        lines,
    }
}

/// The lines of an account, and those of which only the data use is known.
fn of_account<'d>(account: &'d str, inventory: &'d Inventory) -> impl Iterator<Item = LineRef<'d>> {
    let lines = inventory.lines.as_ref().map(|known| &*known.value);
    let usages = inventory.usage.as_ref().map(|known| &*known.value);
    let of_list = lines.into_iter().flat_map(|lines| lines.iter());
    let of_list = of_list.enumerate().map(move |(at, line)| LineRef {
        account,
        inventory,
        number: line.number,
        line: Some(at),
        usage: usages.and_then(|usages| usages.find(line.number)),
    });
    let of_use = usages.into_iter().flat_map(|usages| usages.iter());
    let only_used = of_use.enumerate().filter_map(move |(at, usage)| {
        let is_listed = lines.is_some_and(|lines| lines.find(usage.line).is_some());
        (!is_listed).then_some(LineRef {
            account,
            inventory,
            number: usage.line,
            line: None,
            usage: Some(at),
        })
    });
    of_list.chain(only_used)
}

/// Adds the terminals of these lines.
fn add_terminals(
    fleet: &NamedFleet,
    lines: &mut [LineEntry],
    references: &[(Rank<'_>, LineRef<'_>)],
) {
    let positions = references.iter().enumerate();
    let positions: HashMap<_, _> = positions
        .map(|(at, (_, line))| ((line.account, line.number), at))
        .collect();
    if positions.is_empty() {
        return;
    }
    let directory = &fleet.snapshot.directory;
    for entry in directory.entries() {
        let Some(listed) = directory.terminal(entry) else {
            continue;
        };
        let Some(number) = listed.terminal.service_line else {
            continue;
        };
        let position = positions.get(&(&**listed.account, number));
        let Some(line) = position.and_then(|&at| lines.get_mut(at)) else {
            continue;
        };
        line.terminals_total += 1;
        if line.terminals.len() < MOST_TERMINALS {
            let name = name_of_listed(&fleet.names, directory, entry);
            line.terminals.push(LineTerminal {
                id: listed.terminal.device_id(),
                name: name.map(|name| name.name.to_owned()),
                kit_serial: listed.terminal.kit_serial.map(str::to_owned),
            });
        }
    }
    for line in lines {
        line.terminals.sort_by(|one, other| one.id.cmp(&other.id));
    }
}
