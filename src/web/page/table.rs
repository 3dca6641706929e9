//! The table of devices: columns, cells as text, and the links that sort it and lead to other pages.

use url::form_urlencoded;

use super::data_use::UseCell;
use super::format::{age, count, decimals, printable};
use super::paging::{Paging, counted};
use crate::view::device::{InfoField, Measure};
use crate::view::{Device, DevicePage, DeviceQuery, DeviceState, Order, SortKey, StateFilter};

/// The most alerts or addresses that a row lists; further ones are counted.
const MOST_LISTED: usize = 3;

/// A column by which the table can be sorted.
struct Column {
    key: SortKey,
    title: &'static str,
    unit: &'static str,
    /// Whether its natural order is descending.
    is_largest_first: bool,
}

const fn column(
    key: SortKey,
    title: &'static str,
    unit: &'static str,
    is_largest_first: bool,
) -> Column {
    Column {
        key,
        title,
        unit,
        is_largest_first,
    }
}

/// In the order of the table. The last column, addresses, cannot be sorted by.
const COLUMNS: [Column; 14] = [
    column(SortKey::Id, "Device", "", false),
    column(SortKey::Account, "Account", "", false),
    column(SortKey::Type, "Type", "", false),
    column(SortKey::State, "State", "", false),
    column(SortKey::LastReport, "Last report", "", false),
    column(SortKey::DataUse, "Data use", "", true),
    column(SortKey::Measure(Measure::Downlink), "Down", "Mbit/s", true),
    column(SortKey::Measure(Measure::Uplink), "Up", "Mbit/s", true),
    column(SortKey::Measure(Measure::Latency), "Latency", "ms", true),
    column(SortKey::Measure(Measure::DropRate), "Drop rate", "%", true),
    column(
        SortKey::Measure(Measure::Obstruction),
        "Obstruction",
        "%",
        true,
    ),
    column(SortKey::Alerts, "Alerts", "", true),
    column(
        SortKey::InfoField(InfoField::Software),
        "Software",
        "",
        false,
    ),
    column(SortKey::InfoField(InfoField::Country), "Country", "", false),
];

/// Further orders, which only the form offers.
const MORE: [Column; 2] = [
    column(SortKey::Name, "Name", "", false),
    column(SortKey::Group, "Group", "", false),
];

/// The columns that the table has only in some cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionalColumns {
    /// Accounts, if there are several.
    pub account: bool,
    /// Types, if there are several.
    pub device_type: bool,
    /// The data use of the service line, if the inventory has it.
    pub data_use: bool,
}

/// The columns of the table.
fn columns(optional: OptionalColumns) -> impl Iterator<Item = &'static Column> {
    COLUMNS.iter().filter(move |column| match column.key {
        SortKey::Account => optional.account,
        SortKey::Type => optional.device_type,
        SortKey::DataUse => optional.data_use,
        _ => true,
    })
}

/// The head of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnHead {
    /// What the column shows.
    pub title: &'static str,
    /// The unit; empty if there is none.
    pub unit: &'static str,
    /// Sorts by the column, or reverses the order.
    pub link: String,
    /// The value of `aria-sort`, if the table is sorted by the column.
    pub sorted: Option<&'static str>,
}

/// The heads of the table for a query.
#[must_use]
pub fn heads(query: &DeviceQuery, optional: OptionalColumns) -> Vec<ColumnHead> {
    let head = |column: &Column| {
        let current = query.order.filter(|order| order.key == column.key);
        let is_descending = current.map_or(column.is_largest_first, |order| !order.is_descending);
        let order = Some(Order {
            key: column.key,
            is_descending,
        });
        let sorted = current.map(|order| match order.is_descending {
            true => "descending",
            false => "ascending",
        });
        ColumnHead {
            title: column.title,
            unit: column.unit,
            link: link(&DeviceQuery {
                order,
                page: 1,
                ..query.clone()
            }),
            sorted,
        }
    };
    columns(optional).map(head).collect()
}

/// An entry of a list in the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The parameter's value.
    pub value: String,
    /// What the form shows.
    pub title: String,
    /// Whether it is chosen.
    pub is_chosen: bool,
}

impl Choice {
    /// Choices whose title is their value. A chosen value that is not among them is added.
    #[must_use]
    pub fn list<'a>(values: impl Iterator<Item = &'a str>, chosen: Option<&str>) -> Vec<Self> {
        let choice = |value: &str| Self {
            value: value.to_owned(),
            title: printable(value),
            is_chosen: chosen == Some(value),
        };
        let mut choices: Vec<_> = values.map(choice).collect();
        if let Some(chosen) = chosen
            && !choices.iter().any(|choice| choice.is_chosen)
        {
            choices.push(choice(chosen));
        }
        choices
    }
}

/// The orders that the form offers, with the current one marked.
#[must_use]
pub fn orders(query: &DeviceQuery, optional: OptionalColumns) -> Vec<Choice> {
    let all = columns(optional).chain(&MORE);
    let offered = all.map(|column| (column, column.is_largest_first));
    let current = query.order;
    let title = |column: &Column, is_descending: bool| {
        let order = match (is_descending, column.is_largest_first) {
            (true, true) => "",
            (true, false) => ", descending",
            (false, true) => ", ascending",
            (false, false) => "",
        };
        format!("{}{order}", column.title)
    };
    let mut choices = Vec::new();
    for (column, natural) in offered {
        let is_sorted = current.filter(|order| order.key == column.key);
        let other = is_sorted.filter(|order| order.is_descending != natural);
        for is_descending in [Some(natural), other.map(|_| !natural)]
            .into_iter()
            .flatten()
        {
            let key = column.key;
            choices.push(Choice {
                value: Order { key, is_descending }.parameter(),
                title: title(column, is_descending),
                is_chosen: is_sorted.is_some_and(|order| order.is_descending == is_descending),
            });
        }
    }
    choices
}

/// A number of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberCell {
    /// The title of its column.
    pub title: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// The number, if it is known.
    pub value: Option<String>,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Identifies the row.
    pub key: String,
    /// The page of the device, with a link back to this list.
    pub link: String,
    /// The name, if it has one.
    pub name: Option<String>,
    /// Its identifier.
    pub id: String,
    /// The name of its account, if that is known.
    pub account: Option<String>,
    /// Its type.
    pub device_type: String,
    /// Its state.
    pub state: &'static str,
    /// Age of its last report; `None` if it has never reported.
    pub age: Option<String>,
    /// Throughput down and up, latency, drop rate, obstruction.
    pub numbers: Vec<NumberCell>,
    /// The data use of its service line.
    pub data_use: Option<UseCell>,
    /// Its alerts, or the first of them; `None` where they are unknown.
    pub alerts: Option<Vec<String>>,
    /// How many more there are.
    pub more_alerts: usize,
    /// The version of its software.
    pub software: Option<String>,
    /// The country that it is in.
    pub country: Option<String>,
    /// Its addresses, or the first of them.
    pub addresses: Vec<String>,
    /// How many more there are.
    pub more_addresses: usize,
}

impl Row {
    /// The row of a device in the list of a query, at this time in seconds since 1970.
    #[must_use]
    pub fn of(device: &Device, query: &DeviceQuery, now: f64) -> Self {
        let key = device_link(device);
        let alerts = device.alerts.as_ref();
        let one = |value: Option<f64>| value.map(|value| decimals(value, 1));
        let percent = |share: Option<f64>| one(share.map(|share| share * 100.0));
        let addresses = [&device.ipv4, &device.ipv6_ue, &device.ipv6_cpe];
        let addresses = addresses.into_iter().flatten();
        let numbers = [
            one(device.downlink_mbps),
            one(device.uplink_mbps),
            device.latency_ms.map(|value| decimals(value, 0)),
            percent(device.drop_rate),
            percent(device.obstruction),
        ];
        let is_number = |column: &&Column| matches!(column.key, SortKey::Measure(_));
        let numbers = COLUMNS.iter().filter(is_number).zip(numbers);
        let shown = |text: &String| printable(text);
        Self {
            link: with_list(&key, query),
            key,
            name: device.name.as_ref().map(shown),
            id: printable(&device.id),
            account: device.account.as_ref().map(shown),
            device_type: printable(&device.device_type),
            state: device.state.map_or("", DeviceState::name),
            age: device.last_report_timestamp_seconds.map(|at| age(now - at)),
            numbers: numbers
                .map(|(column, value)| NumberCell {
                    title: column.title,
                    unit: column.unit,
                    value,
                })
                .collect(),
            data_use: data_use(device),
            alerts: alerts.map(|alerts| alerts.iter().take(MOST_LISTED).map(shown).collect()),
            more_alerts: alerts.map_or(0, |alerts| alerts.len().saturating_sub(MOST_LISTED)),
            software: device.software.as_ref().map(shown),
            country: device.country.as_ref().map(shown),
            more_addresses: addresses.clone().count().saturating_sub(MOST_LISTED),
            addresses: addresses.take(MOST_LISTED).map(shown).collect(),
        }
    }
}

fn data_use(device: &Device) -> Option<UseCell> {
    let line = device.service_line.as_ref()?;
    UseCell::of(line.data_use.as_ref()?)
}

/// The page of a device. The identifier is in the query: browsers shorten paths with dots in them. Without a type, the page shows the first
/// device with the identifier.
#[must_use]
pub fn device_address(id: &str, device_type: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("id", id);
    if let Some(device_type) = device_type {
        query.append_pair("type", device_type);
    }
    format!("device?{}", query.finish())
}

/// The page of a device of a list.
#[must_use]
pub fn device_link(device: &Device) -> String {
    device_address(&device.id, Some(&device.device_type))
}

/// Adds the query of the list to the link of a device, so that the device's page can link back to it.
fn with_list(device: &str, query: &DeviceQuery) -> String {
    let list = query.to_text();
    if list.is_empty() || list.len() > MOST_LIST {
        return device.to_owned();
    }
    let list: String = form_urlencoded::byte_serialize(list.as_bytes()).collect();
    format!("{device}&{LIST}={list}")
}

/// The longest query of a list, in bytes, that links of devices contain. Longer ones are left out.
const MOST_LIST: usize = 512;

/// The parameter of a device's page with the query of the list from which it was opened.
pub const LIST: &str = "list";

/// The page with the table that a query asks for, scrolled to the table.
#[must_use]
pub fn link(query: &DeviceQuery) -> String {
    let query = query.to_text();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("./{mark}{query}#devices")
}

/// A link to a list of devices, with its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The title.
    pub title: String,
    /// The number of devices.
    pub count: String,
    /// Whether there are none.
    pub is_none: bool,
    /// The address.
    pub link: String,
    /// Whether the page shows this list.
    pub is_current: bool,
}

impl Link {
    /// A link to a list of so many devices, on the page that shows the list of `query`.
    #[must_use]
    pub fn new(title: &str, devices: usize, address: String, query: &DeviceQuery) -> Self {
        Self {
            title: printable(title),
            count: count(devices),
            is_none: devices == 0,
            is_current: address == link(query),
            link: address,
        }
    }
}

/// A number of devices in words.
#[must_use]
pub fn devices(number: usize) -> String {
    counted(number, NOUNS)
}

/// What one entry of the list and several are called.
const NOUNS: [&str; 2] = ["device", "devices"];

/// The page of a list.
#[must_use]
pub fn paging(page: &DevicePage) -> Paging {
    Paging {
        total: page.total,
        page: page.page,
        pages: page.pages,
        per_page: page.per_page,
        shown: page.devices.len(),
        nouns: NOUNS,
    }
}

/// Which part of the list the table shows.
#[must_use]
pub fn caption(page: &DevicePage, query: &DeviceQuery) -> String {
    let is_by_distance = query.near.is_some() && query.order.is_none();
    paging(page).caption(if is_by_distance {
        ", nearest first"
    } else {
        ""
    })
}

/// The page with this number of the list of a query.
#[must_use]
pub fn page_link(query: &DeviceQuery, page: usize) -> String {
    link(&DeviceQuery {
        page,
        ..query.clone()
    })
}

/// The list of devices with this type, state and alert.
#[must_use]
pub fn filter_link(
    device_type: Option<&str>,
    state: Option<StateFilter>,
    alert: Option<&str>,
) -> String {
    link(&DeviceQuery {
        device_type: device_type.map(ToOwned::to_owned),
        state,
        alert: alert.map(ToOwned::to_owned),
        ..DeviceQuery::default()
    })
}

#[cfg(test)]
mod tests;
