//! `/lines`: the service lines with their data use, the data pools, and the state of the inventory.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::data_use::{Bar, UseCell};
use super::device::message;
use super::format::{amount, count, date, gigabytes, percent, printable};
use super::inventory_state::InventoryTable;
use super::line_section::link;
use super::paging::{PageLink, Paging};
use super::suspensions::{Suspension, suspensions};
use super::table::{Choice, device_address};
use super::{Frame, page, render};
use crate::http::{Compress, parameter};
use crate::view::lines::LineEntry;
use crate::view::pools::DataPool;
use crate::view::{self, LineKey, LineQuery, NamedFleet, Order, PoolQuery};
use crate::web::request::{line_query, refused};
use crate::web::state::WebState;
use crate::web::status::AccountInventory;
use crate::web::with_fleet::with_fleet;

/// The whole page.
#[derive(Debug, Template)]
#[template(path = "lines.html", config = "src/web/page/askama.toml")]
struct Lines {
    frame: Frame,
    suspensions: Vec<Suspension>,
    /// What is wrong with the query, if anything. Then all lines are listed.
    mistake: Option<String>,
    search: String,
    per_page: Option<String>,
    /// None if there is only one account.
    accounts: Vec<Choice>,
    orders: Vec<Choice>,
    is_filtered: bool,
    total: String,
    caption: String,
    has_several_accounts: bool,
    heads: Vec<LineHead>,
    rows: Vec<LineRow>,
    pages: Option<String>,
    page_links: Vec<PageLink>,
    last_page: Option<String>,
    pools: Vec<PoolRow>,
    /// How many pools are not shown.
    more_pools: usize,
    inventory: InventoryTable,
}

/// The head of a column.
#[derive(Debug, PartialEq, Eq)]
struct LineHead {
    title: &'static str,
    /// Empty if there is none.
    unit: &'static str,
    /// Sorts by the column, or reverses the order; `None` where that is not possible.
    link: Option<String>,
    /// The value of `aria-sort`, if the table is sorted by the column.
    sorted: Option<&'static str>,
}

/// A service line.
#[derive(Debug)]
struct LineRow {
    number: String,
    nickname: Option<String>,
    account: String,
    terminals: Vec<TerminalLink>,
    more_terminals: usize,
    product: Option<String>,
    active: Option<&'static str>,
    data_use: Option<UseCell>,
    /// The limit and the use by category, in GB, with the titles of their columns.
    amounts: Vec<(&'static str, Option<String>)>,
    overage: Option<String>,
    /// Whether the customer has opted into overage, in words.
    opted_in: Option<&'static str>,
    cycle_end: Option<String>,
    end: Option<String>,
}

/// A terminal of a service line.
#[derive(Debug)]
struct TerminalLink {
    link: String,
    name: String,
}

/// A data pool.
#[derive(Debug)]
struct PoolRow {
    id: String,
    account: String,
    share: Option<(Bar, String)>,
    used: Option<String>,
    limit: Option<String>,
}

/// The most terminals that a row links to.
const MOST_TERMINALS: usize = 3;

/// The most characters of a wrong parameter that the form shows.
const MOST_TYPED: usize = 200;

/// A column.
struct Column {
    /// The value by which it sorts.
    key: Option<LineKey>,
    title: &'static str,
    unit: &'static str,
    /// Whether its natural order is descending.
    is_largest_first: bool,
}

/// A column that cannot be sorted by.
const fn plain(title: &'static str, unit: &'static str) -> Column {
    Column {
        key: None,
        title,
        unit,
        is_largest_first: false,
    }
}

const fn column(
    key: LineKey,
    title: &'static str,
    unit: &'static str,
    is_largest_first: bool,
) -> Column {
    Column {
        key: Some(key),
        title,
        unit,
        is_largest_first,
    }
}

/// In the order of the table.
const COLUMNS: [Column; 14] = [
    column(LineKey::Number, "Service line", "", false),
    column(LineKey::Account, "Account", "", false),
    plain("Terminals", ""),
    column(LineKey::Product, "Product", "", false),
    plain("Active", ""),
    column(LineKey::DataUse, "Data use", "", true),
    plain("Limit", "GB"),
    plain("Priority", "GB"),
    plain("Opt-in", "GB"),
    plain("Standard", "GB"),
    plain("Not billed", "GB"),
    column(LineKey::Overage, "Overage", "GB", true),
    plain("Cycle ends", ""),
    column(LineKey::End, "Line ends", "", false),
];

/// `/lines`
pub async fn show(request: HttpRequest, state: web::Data<WebState>) -> HttpResponse {
    let (query, mistake, response) = match line_query(&request, &state) {
        Ok(query) => (query, None, HttpResponse::Ok()),
        Err(error) => {
            let mistake = printable(&format!("{error}. All service lines are listed."));
            (LineQuery::default(), Some(mistake), refused(&error))
        }
    };
    let typed = parameter(&request, "search").unwrap_or_default();
    let search = match &mistake {
        Some(_) => typed.chars().take(MOST_TYPED).collect(),
        None => query.search.clone().unwrap_or_default(),
    };
    let compress = Compress::accepted(&request);
    let frame = Frame::of(&request);
    let shared = state.clone();
    let html = with_fleet(&request, &state, move |fleet| {
        let inventories = AccountInventory::all(&shared, &fleet.snapshot);
        let mut lines = Lines::of(frame, fleet, &inventories, &query);
        lines.search = printable(&search);
        lines.mistake = mistake;
        render(compress, &lines)
    });
    match html.await {
        Ok(html) => page(response, html),
        Err(error) => message(
            error.response(),
            &request,
            "Not available",
            format!("{error}."),
        ),
    }
}

impl Lines {
    fn of(
        frame: Frame,
        fleet: &NamedFleet,
        inventories: &[AccountInventory],
        query: &LineQuery,
    ) -> Self {
        let list = view::lines(fleet, query);
        let has_several_accounts = inventories.len() > 1;
        let paging = Paging {
            total: list.total,
            page: list.page,
            pages: list.pages,
            per_page: list.per_page,
            shown: list.lines.len(),
            nouns: ["service line", "service lines"],
        };
        let to_page = |page| {
            link(&LineQuery {
                page,
                ..query.clone()
            })
        };
        let pools = view::pools(
            fleet,
            &PoolQuery {
                account: query.account.clone(),
                ..PoolQuery::default()
            },
        );
        let standard = LineQuery::default();
        let order = match query.order == standard.order {
            true => ", most used first",
            false => "",
        };
        Self {
            frame,
            suspensions: suspensions(inventories),
            mistake: None,
            search: String::new(),
            per_page: (query.per_page != standard.per_page).then(|| query.per_page.to_string()),
            accounts: accounts(inventories, query),
            orders: orders(query, has_several_accounts),
            is_filtered: query.account.is_some() || query.search.is_some(),
            total: count(list.total),
            caption: paging.caption(order),
            has_several_accounts,
            heads: heads(query, has_several_accounts),
            rows: list.lines.iter().map(LineRow::of).collect(),
            pages: paging.position(),
            page_links: paging.links(to_page),
            last_page: paging.is_past_the_end().then(|| to_page(list.pages)),
            more_pools: pools.total.saturating_sub(pools.pools.len()),
            pools: pools.pools.iter().map(PoolRow::of).collect(),
            inventory: InventoryTable::of(inventories, fleet.unix_now),
        }
    }
}

impl LineRow {
    fn of(entry: &LineEntry) -> Self {
        let line = &entry.line;
        let data_use = line.data_use.as_ref();
        let shown = |text: &Option<String>| text.as_deref().map(printable);
        let terminals = entry.terminals.iter().take(MOST_TERMINALS);
        let terminals: Vec<_> = terminals
            .map(|terminal| TerminalLink {
                link: device_address(&terminal.id, None),
                name: printable(terminal.name.as_ref().unwrap_or(&terminal.id)),
            })
            .collect();
        let bytes = |title, bytes: Option<f64>| (title, bytes.map(amount));
        Self {
            number: printable(&line.number),
            nickname: shown(&line.nickname),
            account: printable(&line.account),
            more_terminals: entry.terminals_total.saturating_sub(terminals.len()),
            terminals,
            product: shown(&line.product),
            active: line.active.map(|active| if active { "yes" } else { "no" }),
            data_use: data_use.and_then(UseCell::of),
            amounts: vec![
                bytes("Limit", data_use.and_then(|it| it.limit_bytes)),
                bytes("Priority", data_use.and_then(|it| it.priority_bytes)),
                bytes("Opt-in", data_use.and_then(|it| it.opt_in_priority_bytes)),
                bytes("Standard", data_use.and_then(|it| it.standard_bytes)),
                bytes("Not billed", data_use.and_then(|it| it.non_billable_bytes)),
            ],
            overage: data_use.and_then(|it| it.overage_bytes).map(amount),
            opted_in: data_use
                .and_then(|it| it.overage_opted_in)
                .map(|is| if is { "opted in" } else { "not opted in" }),
            cycle_end: data_use
                .and_then(|it| it.cycle_end_timestamp_seconds)
                .map(date),
            end: line.end_timestamp_seconds.map(date),
        }
    }
}

impl PoolRow {
    fn of(pool: &DataPool) -> Self {
        Self {
            id: printable(&pool.id),
            account: printable(&pool.account),
            share: pool
                .limit_share
                .map(|share| (Bar::of(share), percent(share))),
            used: pool.used_bytes.map(gigabytes),
            limit: pool.limit_bytes.map(gigabytes),
        }
    }
}

fn accounts(inventories: &[AccountInventory], query: &LineQuery) -> Vec<Choice> {
    if inventories.len() < 2 {
        return Vec::new();
    }
    let names = inventories.iter().map(|account| account.name.as_str());
    Choice::list(names, query.account.as_deref())
}

/// The columns, without that of accounts if there is only one.
fn columns(has_several_accounts: bool) -> impl Iterator<Item = &'static Column> {
    COLUMNS
        .iter()
        .filter(move |column| has_several_accounts || column.key != Some(LineKey::Account))
}

fn heads(query: &LineQuery, has_several_accounts: bool) -> Vec<LineHead> {
    let head = |column: &Column| {
        let current = Some(query.order).filter(|order| Some(order.key) == column.key);
        let is_descending = current.map_or(column.is_largest_first, |order| !order.is_descending);
        LineHead {
            title: column.title,
            unit: column.unit,
            link: column.key.map(|key| {
                link(&LineQuery {
                    order: Order { key, is_descending },
                    page: 1,
                    ..query.clone()
                })
            }),
            sorted: current.map(|order| match order.is_descending {
                true => "descending",
                false => "ascending",
            }),
        }
    };
    columns(has_several_accounts).map(head).collect()
}

/// The orders that the form offers, with the current one marked.
fn orders(query: &LineQuery, has_several_accounts: bool) -> Vec<Choice> {
    let by_column = columns(has_several_accounts)
        .filter_map(|column| Some((column.key?, column.title, column.is_largest_first)));
    let nickname = (LineKey::Nickname, "Nickname", false);
    let mut choices = Vec::new();
    for (key, title, is_largest_first) in by_column.chain([nickname]) {
        let other = query.order.key == key && query.order.is_descending != is_largest_first;
        for is_descending in [is_largest_first, !is_largest_first] {
            let is_natural = is_descending == is_largest_first;
            if !is_natural && !other {
                continue;
            }
            let order = Order { key, is_descending };
            let direction = match (is_natural, is_descending) {
                (true, _) => "",
                (false, true) => ", descending",
                (false, false) => ", ascending",
            };
            choices.push(Choice {
                value: order.parameter(),
                title: format!("{title}{direction}"),
                is_chosen: query.order == order,
            });
        }
    }
    choices
}
