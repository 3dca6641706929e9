//! Lists of devices, filtered and sorted, in pages. Reads each device once; only those of the page are sorted and copied.

use serde::Serialize;

use super::NamedFleet;
use super::device::{DeviceRef, DeviceTable, group};
use super::page::Page;
use super::parameters::Order;
use super::query::{DeviceQuery, Near, SortKey, StateFilter};
use super::rank::Rank;
use super::service_line::{ServiceLine, UseRank};
use super::values::{Device, DeviceDetail};
use crate::fleet::AccountId;
use crate::inventory::ListedTerminal;
use crate::names::name_of_listed;
use crate::telemetry::{AddressKind, DeviceKind};

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DevicePage {
    /// The number of devices on all pages.
    pub total: usize,
    /// The number of this page, from 1.
    pub page: usize,
    /// The number of pages; 1 if there are no devices.
    pub pages: usize,
    /// The most devices of a page.
    pub per_page: usize,
    /// The devices; empty beyond the last page.
    pub devices: Vec<Device>,
}

/// The page that a query asks for.
#[must_use]
pub fn list(fleet: &NamedFleet, query: &DeviceQuery) -> DevicePage {
    let tables = tables(fleet);
    let filter = Filter::new(fleet, query);
    let devices = tables.iter().flat_map(DeviceTable::devices);
    let mut found: Vec<(Rank<'_>, DeviceRef<'_>)> = devices
        .filter(|device| filter.includes(device))
        .map(|device| (rank(fleet, query, &device), device))
        .collect();
    let is_descending = query.order.is_some_and(|order| order.is_descending);
    let order = |one: &(Rank<'_>, DeviceRef<'_>), other: &(Rank<'_>, DeviceRef<'_>)| {
        let by_rank = one.0.compare(other.0, is_descending);
        let (one, other) = (&one.1, &other.1);
        by_rank
            .then_with(|| one.id().cmp(other.id()))
            .then_with(|| one.device_type().cmp(other.device_type()))
    };
    let part = Page::new(query.page, query.per_page).of(&mut found, order);
    DevicePage {
        total: part.total,
        page: query.page,
        pages: part.pages,
        per_page: query.per_page,
        devices: part
            .entries
            .iter()
            .map(|(_, device)| device.device(fleet))
            .collect(),
    }
}

/// All data of the device with this identifier and type. Without a type, the first device with the identifier. Terminals of the inventory
/// are found by their ID in any case, with and without `ut`, also those that are not expected to report.
#[must_use]
pub fn find(fleet: &NamedFleet, id: &str, device_type: Option<&str>) -> Option<DeviceDetail> {
    let tables = tables(fleet);
    let of_type = tables
        .iter()
        .filter(|table| device_type.is_none_or(|name| name == table.name()));
    let mut devices = of_type.flat_map(DeviceTable::devices);
    if let Some(device) = devices.clone().find(|device| device.id() == id) {
        return Some(device.detail(fleet));
    }
    let entry = fleet.snapshot.directory.find_terminal(id)?;
    if let Some(device) = devices.find(|device| device.terminal_entry() == Some(entry)) {
        return Some(device.detail(fleet));
    }
    let terminals = tables.iter().find(|table| table.is_of_terminals());
    let type_name = terminals.map_or(TERMINAL_TYPE, DeviceTable::name);
    let is_type = device_type.is_none_or(|name| name == type_name);
    is_type
        .then(|| detail_of(entry, type_name, fleet))
        .flatten()
}

/// The name of the type of terminals, before an answer of the stream gives it another one.
const TERMINAL_TYPE: &str = "UserTerminal";

/// The terminal with this number in the inventory, which is not among the devices.
fn detail_of(entry: u32, device_type: &str, fleet: &NamedFleet) -> Option<DeviceDetail> {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let directory = &fleet.snapshot.directory;
    let listed = directory.terminal(entry)?;
    let name = name_of_listed(&fleet.names, directory, entry);
    Some(DeviceDetail {
        device: Device {
            device_type: device_type.to_owned(),
            account: Some(listed.account.to_string()),
            name: owned(name.map(|name| name.name)),
            group: owned(name.and_then(group)),
            never_heard: true,
            kit_serial: owned(listed.terminal.kit_serial),
            dish_serial: owned(listed.terminal.dish_serial),
            service_line: ServiceLine::of(&listed),
            id: listed.terminal.device_id(),
            ..Device::default()
        },
        ..DeviceDetail::default()
    })
}

/// Terminals first, because operators search for their identifiers.
fn tables(fleet: &NamedFleet) -> Vec<DeviceTable<'_>> {
    let mut tables: Vec<_> = fleet.snapshot.tables.iter().collect();
    tables.sort_by_key(|table| table.kind != DeviceKind::Terminal);
    let tables = tables.into_iter();
    tables
        .map(|table| DeviceTable::with_names(table, fleet))
        .collect()
}

fn rank<'s>(fleet: &'s NamedFleet, query: &DeviceQuery, device: &DeviceRef<'s>) -> Rank<'s> {
    let Some(Order { key, .. }) = query.order else {
        return match (query.near, device.location()) {
            (Some(near), Some(place)) => Rank::Number(distance(near, place)),
            _ => Rank::Absent,
        };
    };
    let text = |text: Option<&'s str>| match text {
        None | Some("") => Rank::Absent,
        Some(text) => Rank::Text(text),
    };
    match key {
        SortKey::Id => Rank::Text(device.id()),
        SortKey::Name => text(device.name().map(|name| name.name)),
        SortKey::Group => text(device.name().and_then(group)),
        SortKey::Type => Rank::Text(device.device_type()),
        SortKey::Account => text(device.account_name(fleet)),
        SortKey::State => Rank::Number(f64::from(device.state as u8)),
        SortKey::LastReport => device.reported().map_or(Rank::Absent, Rank::Integer),
        SortKey::Measure(measure) => device.measure(measure).map_or(Rank::Absent, Rank::Number),
        SortKey::Alerts => match device.alerts().len() {
            0 => Rank::Absent,
            // Far below the largest integer that an f64 holds exactly.
            count => Rank::Number(u32::try_from(count).unwrap_or(u32::MAX).into()),
        },
        SortKey::InfoField(kind) => text(device.text(kind)),
        SortKey::DataUse => {
            let usage = device.listed(fleet).and_then(|listed| listed.usage());
            let rank = usage.and_then(|usage| UseRank::of(&usage.facts));
            rank.map_or(Rank::Absent, Rank::Use)
        }
    }
}

/// A query, prepared for many devices.
struct Filter<'q> {
    fleet: &'q NamedFleet,
    query: &'q DeviceQuery,
    /// The account of the query: `Some(None)` if it has delivered no device.
    account: Option<Option<AccountId>>,
    /// In lower case.
    search: Option<String>,
    /// Whether the search may be a part of an address. Only then addresses are compared, because each must be written as text first.
    is_address: bool,
}

impl<'q> Filter<'q> {
    fn new(fleet: &'q NamedFleet, query: &'q DeviceQuery) -> Self {
        let search = query.search.as_ref().map(|text| text.to_lowercase());
        let is_address = search.as_ref().is_some_and(|search| {
            let is_part = |byte: u8| byte.is_ascii_hexdigit() || b".:/".contains(&byte);
            search.bytes().all(is_part) && search.contains(['.', ':'])
        });
        Self {
            fleet,
            query,
            account: query
                .account
                .as_ref()
                .map(|name| fleet.snapshot.account(name)),
            search,
            is_address,
        }
    }

    fn includes(&self, device: &DeviceRef<'_>) -> bool {
        let DeviceQuery {
            state,
            alert,
            device_type,
            near,
            ..
        } = self.query;
        state.is_none_or(|state| is_in(device, state))
            && device_type
                .as_ref()
                .is_none_or(|name| name == device.device_type())
            && self
                .account
                .is_none_or(|account| account.is_some() && account == device.account())
            && (near.is_none() || device.location().is_some())
            && alert
                .as_ref()
                .is_none_or(|alert| device.alerts().any(|active| active == alert))
            && self
                .search
                .as_ref()
                .is_none_or(|search| self.matches(device, search))
    }

    fn matches(&self, device: &DeviceRef<'_>, search: &str) -> bool {
        if contains(device.id(), search) {
            return true;
        }
        let name = device.name();
        let names = [name.map(|name| name.name), name.and_then(group)];
        let listed = device.listed(self.fleet);
        let of_inventory = listed.into_iter().flat_map(|listed| texts(&listed));
        let mut texts = names.into_iter().flatten().chain(of_inventory);
        texts.any(|text| contains(text, search))
            || device.infos().any(|(_, value)| contains(value, search))
            || self.is_address
                && AddressKind::ALL
                    .into_iter()
                    .flat_map(|kind| device.addresses(kind))
                    .any(|address| address.contains(search))
    }
}

/// Whether a filter includes a device.
fn is_in(device: &DeviceRef<'_>, filter: StateFilter) -> bool {
    match filter {
        StateFilter::In(state) => device.state == state,
        StateFilter::NeverHeard => device.reported().is_none(),
    }
}

/// The texts of the inventory that a search finds a terminal by.
fn texts<'d>(listed: &ListedTerminal<'d>) -> impl Iterator<Item = &'d str> + use<'d> {
    let terminal = listed.terminal;
    let line = listed.line;
    let texts = [
        terminal.nickname,
        terminal.kit_serial,
        terminal.dish_serial,
        terminal.service_line,
        line.and_then(|line| line.nickname),
    ];
    texts.into_iter().flatten()
}

/// Whether a text contains `search`, which is in lower case, regardless of case.
pub(super) fn contains(text: &str, search: &str) -> bool {
    if !text.is_ascii() {
        return text.to_lowercase().contains(search);
    }
    let mut windows = text.as_bytes().windows(search.len().max(1));
    windows.any(|window| window.eq_ignore_ascii_case(search.as_bytes()))
}

/// The haversine of the angle between two locations, which increases with their distance.
fn distance(near: Near, (latitude, longitude): (f64, f64)) -> f64 {
    let square = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
    let shrink = near.latitude.to_radians().cos() * latitude.to_radians().cos();
    square(latitude - near.latitude) + shrink * square(longitude - near.longitude)
}
