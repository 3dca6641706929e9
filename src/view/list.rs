//! Lists of devices, filtered and sorted, in pages. Reads each device once; only those of the page are sorted and copied.

use std::cmp::Ordering;

use serde::Serialize;

use super::NamedFleet;
use super::device::{Device, DeviceDetail, DeviceRef, DeviceTable};
use super::query::{DeviceQuery, Near, Order, SortKey};
use crate::fleet::AccountId;
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

/// The value by which a device is sorted.
#[derive(Debug, Clone, Copy)]
enum Rank<'s> {
    Number(f64),
    Integer(i64),
    Text(&'s str),
    Absent,
}

impl Rank<'_> {
    fn compare(self, other: Self, is_descending: bool) -> Ordering {
        let order = match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.total_cmp(&other),
            (Self::Integer(one), Self::Integer(other)) => one.cmp(&other),
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Absent, Self::Absent) => return Ordering::Equal,
            (Self::Absent, _) => return Ordering::Greater,
            (_, Self::Absent) => return Ordering::Less,
            // All keys of a list have the same variant.
            _ => Ordering::Equal,
        };
        if is_descending {
            order.reverse()
        } else {
            order
        }
    }
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
    let total = found.len();
    let start = (query.page - 1).saturating_mul(query.per_page).min(total);
    let end = start.saturating_add(query.per_page).min(total);
    if start < end {
        if end < total {
            found.select_nth_unstable_by(end, order);
        }
        found.truncate(end);
        found.sort_unstable_by(order);
    } else {
        found.clear();
    }
    let devices = found.get(start..).unwrap_or_default();
    DevicePage {
        total,
        page: query.page,
        pages: total.div_ceil(query.per_page).max(1),
        per_page: query.per_page,
        devices: devices
            .iter()
            .map(|(_, device)| device.device(fleet))
            .collect(),
    }
}

/// All data of the device with this identifier and type. Without a type, the first device with the identifier.
#[must_use]
pub fn find(fleet: &NamedFleet, id: &str, device_type: Option<&str>) -> Option<DeviceDetail> {
    let tables = tables(fleet);
    let mut devices = tables.iter().flat_map(DeviceTable::devices);
    let found = devices.find(|device| {
        device.id() == id && device_type.is_none_or(|name| name == device.device_type())
    });
    found.map(|device| device.detail(fleet))
}

/// Terminals first, because operators search for their identifiers.
fn tables(fleet: &NamedFleet) -> Vec<DeviceTable<'_>> {
    let mut tables: Vec<_> = fleet.snapshot.tables.iter().collect();
    tables.sort_by_key(|table| table.kind != DeviceKind::Terminal);
    tables.into_iter().map(DeviceTable::new).collect()
}

fn rank<'s>(fleet: &'s NamedFleet, query: &DeviceQuery, device: &DeviceRef<'s>) -> Rank<'s> {
    let Some(Order { key, .. }) = query.order else {
        return match (query.near, device.location()) {
            (Some(near), Some(place)) => Rank::Number(distance(near, place)),
            _ => Rank::Absent,
        };
    };
    let named = || fleet.names.get(device.id());
    let text = |text: Option<&'s str>| match text {
        None | Some("") => Rank::Absent,
        Some(text) => Rank::Text(text),
    };
    match key {
        SortKey::Id => Rank::Text(device.id()),
        SortKey::Name => text(named().map(|name| &*name.name)),
        SortKey::Group => text(named().map(|name| &*name.group)),
        SortKey::Type => Rank::Text(device.device_type()),
        SortKey::Account => text(device.account_name(fleet)),
        SortKey::State => Rank::Number(f64::from(device.state as u8)),
        SortKey::LastReport => Rank::Integer(device.reported()),
        SortKey::Measure(measure) => device.measure(measure).map_or(Rank::Absent, Rank::Number),
        SortKey::Alerts => match device.alerts().len() {
            0 => Rank::Absent,
            // Far below the largest integer that an f64 holds exactly.
            count => Rank::Number(u32::try_from(count).unwrap_or(u32::MAX).into()),
        },
        SortKey::InfoField(kind) => text(device.text(kind)),
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
        state.is_none_or(|state| state == device.state)
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
        let name = self.fleet.names.get(device.id());
        name.is_some_and(|name| contains(&name.name, search) || contains(&name.group, search))
            || device.infos().any(|(_, value)| contains(value, search))
            || self.is_address
                && AddressKind::ALL
                    .into_iter()
                    .flat_map(|kind| device.addresses(kind))
                    .any(|address| address.contains(search))
    }
}

/// Whether a text contains `search`, which is in lower case, regardless of case.
fn contains(text: &str, search: &str) -> bool {
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
