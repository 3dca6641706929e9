//! The table of devices: its columns, its cells as people read them, and the links that sort it and turn its pages.

use url::form_urlencoded;

use super::format::{age, count, decimals, tame};
use crate::view::device::{Measure, Trait};
use crate::view::{Device, DevicePage, DeviceState, Order, Question, SortKey};

/// More alerts or addresses than that are only counted: one device does not fill a screen.
const MOST_LISTED: usize = 3;

/// Something by which the table is sorted, as people call it.
struct Column {
    key: SortKey,
    title: &'static str,
    unit: &'static str,
    /// Which end is looked for first.
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

/// In the order of the table, whose last column has addresses and is not sorted.
const COLUMNS: [Column; 12] = [
    column(SortKey::Id, "Device", "", false),
    column(SortKey::Type, "Type", "", false),
    column(SortKey::State, "State", "", false),
    column(SortKey::LastReport, "Last report", "", false),
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
    column(SortKey::Trait(Trait::Software), "Software", "", false),
    column(SortKey::Trait(Trait::Country), "Country", "", false),
];

/// More of them, which only the list of the form offers.
const MORE: [Column; 2] = [
    column(SortKey::Name, "Name", "", false),
    column(SortKey::Group, "Group", "", false),
];

/// The head of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// What the column shows.
    pub title: &'static str,
    /// In which unit; empty where there is none.
    pub unit: &'static str,
    /// Sorts by it, or the other way round.
    pub link: String,
    /// How the table is sorted by it: the value of `aria-sort`.
    pub sorted: Option<&'static str>,
}

/// The heads, for a table that this was asked for.
#[must_use]
pub fn heads(question: &Question) -> Vec<Head> {
    let head = |column: &Column| {
        let current = question.order.filter(|order| order.key == column.key);
        let is_descending = current.map_or(column.is_largest_first, |order| !order.is_descending);
        let order = Some(Order {
            key: column.key,
            is_descending,
        });
        let sorted = current.map(|order| match order.is_descending {
            true => "descending",
            false => "ascending",
        });
        Head {
            title: column.title,
            unit: column.unit,
            link: link(&Question {
                order,
                page: 1,
                ..question.clone()
            }),
            sorted,
        }
    };
    COLUMNS.iter().map(head).collect()
}

/// An entry of a list in the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The parameter's value.
    pub value: String,
    /// What people read.
    pub title: String,
    /// Whether it is chosen.
    pub is_chosen: bool,
}

impl Choice {
    /// Values that stand for themselves; a chosen one that is not among them is added.
    #[must_use]
    pub fn list<'a>(values: impl Iterator<Item = &'a str>, chosen: Option<&str>) -> Vec<Self> {
        let choice = |value: &str| Self {
            value: value.to_owned(),
            title: tame(value),
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

/// The orders that the form offers, and the one in force.
#[must_use]
pub fn orders(question: &Question) -> Vec<Choice> {
    let all = COLUMNS.iter().chain(&MORE);
    let offered = all.map(|column| (column, column.is_largest_first));
    let current = question.order;
    let title = |column: &Column, is_descending: bool| {
        let order = match (is_descending, column.is_largest_first) {
            (true, true) => "",
            (true, false) => ", the other way round",
            (false, true) => ", least first",
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

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The page of the device.
    pub link: String,
    /// What it is called, if it has a name.
    pub name: Option<String>,
    /// Its identifier.
    pub id: String,
    /// Its type.
    pub device_type: String,
    /// Its state.
    pub state: &'static str,
    /// How long ago it reported.
    pub silence: String,
    /// Throughput down and up, latency, drop rate, obstruction.
    pub numbers: [Option<String>; 5],
    /// Its alerts, or the first of them.
    pub alerts: Vec<String>,
    /// How many more there are.
    pub more_alerts: usize,
    /// The version of its software.
    pub software: Option<String>,
    /// Where it is.
    pub country: Option<String>,
    /// Its addresses, or the first of them.
    pub addresses: Vec<String>,
    /// How many more there are.
    pub more_addresses: usize,
}

impl Row {
    /// What is shown of a device.
    #[must_use]
    pub fn of(device: &Device) -> Self {
        let one = |value: Option<f64>| value.map(|value| decimals(value, 1));
        let percent = |share: Option<f64>| one(share.map(|share| share * 100.0));
        let addresses = [&device.ipv4, &device.ipv6_ue, &device.ipv6_cpe];
        let addresses = addresses.into_iter().flatten();
        let tamed = |text: &String| tame(text);
        Self {
            link: device_link(device),
            name: device.name.as_ref().map(tamed),
            id: tame(&device.id),
            device_type: tame(&device.device_type),
            state: device.state.name(),
            silence: age(device.silent_for_seconds),
            numbers: [
                one(device.downlink_mbps),
                one(device.uplink_mbps),
                device.latency_ms.map(|value| decimals(value, 0)),
                percent(device.drop_rate),
                percent(device.obstruction),
            ],
            alerts: device.alerts.iter().take(MOST_LISTED).map(tamed).collect(),
            more_alerts: device.alerts.len().saturating_sub(MOST_LISTED),
            software: device.software.as_ref().map(tamed),
            country: device.country.as_ref().map(tamed),
            more_addresses: addresses.clone().count().saturating_sub(MOST_LISTED),
            addresses: addresses.take(MOST_LISTED).map(tamed).collect(),
        }
    }
}

/// The page of a device. A query holds any identifier; a path would not, for browsers shorten those with dots.
#[must_use]
pub fn device_link(device: &Device) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("id", &device.id);
    query.append_pair("type", &device.device_type);
    format!("/device?{}", query.finish())
}

/// The page with the table that a question asks for, and in it the table.
#[must_use]
pub fn link(question: &Question) -> String {
    let query = question.query();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/{mark}{query}#devices")
}

/// A link to another page of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Where it leads.
    pub title: &'static str,
    /// Its address; none where there is nothing there.
    pub link: Option<String>,
}

/// The links between pages.
#[must_use]
pub fn turns(page: &DevicePage, question: &Question) -> Vec<Turn> {
    let to = |number: usize| {
        link(&Question {
            page: number,
            ..question.clone()
        })
    };
    // Behind the last page, the way back leads to the last one.
    let before = page.page.saturating_sub(1).min(page.pages);
    let turn = |title, is_there: bool, number| Turn {
        title,
        link: is_there.then(|| to(number)),
    };
    vec![
        turn("First", page.page > 1, 1),
        turn("Previous", page.page > 1, before),
        turn("Next", page.page < page.pages, page.page + 1),
        turn("Last", page.page < page.pages, page.pages),
    ]
}

/// What of how many the table shows.
#[must_use]
pub fn caption(page: &DevicePage, question: &Question) -> String {
    let devices = |number| match number {
        1 => "1 device".to_owned(),
        number => format!("{} devices", count(number)),
    };
    if page.devices.is_empty() {
        return match page.total {
            0 => devices(0),
            total => format!(
                "page {} of {}, of {}",
                count(page.page),
                count(page.pages),
                devices(total)
            ),
        };
    }
    let first = (page.page - 1) * page.per_page + 1;
    let last = first + page.devices.len() - 1;
    let near = question.near.is_some() && question.order.is_none();
    let nearest = if near { ", the nearest first" } else { "" };
    if (first, last) == (1, page.total) {
        return format!("{}{nearest}", devices(page.total));
    }
    let range = format!("{} to {}", count(first), count(last));
    format!("{range} of {}{nearest}", devices(page.total))
}

/// The devices of a type in a state, or all of them.
#[must_use]
pub fn filter_link(
    device_type: Option<&str>,
    state: Option<DeviceState>,
    alert: Option<&str>,
) -> String {
    link(&Question {
        device_type: device_type.map(ToOwned::to_owned),
        state,
        alert: alert.map(ToOwned::to_owned),
        ..Question::default()
    })
}

#[cfg(test)]
mod tests;
