//! The families of a history: their names and descriptions, each once.

use std::collections::HashMap;
use std::sync::Arc;

use super::encode::label_field;
use super::labels::NAME;
use super::names::NameFilter;
use crate::telemetry::AddressKind;
use crate::telemetry::catalogue::{FamilyType, TelemetryFamily, Unit};

/// The number of a family in its history.
pub type FamilyId = u32;

/// `starlink_last_report_timestamp_seconds`
pub(super) const LAST_REPORT: FamilyId = 0;
/// `starlink_latitude`
pub(super) const LATITUDE: FamilyId = 1;
/// `starlink_longitude`
pub(super) const LONGITUDE: FamilyId = 2;
/// `starlink_info`
pub(super) const INFO: FamilyId = 3;

/// The families with a fixed number, in that order.
const FIXED: [TelemetryFamily<'static>; 4] = [
    TelemetryFamily::LastReport,
    TelemetryFamily::Latitude,
    TelemetryFamily::Longitude,
    TelemetryFamily::Info,
];

/// The most families. Columns and alerts with further ones give no samples. Starlink documents about 100.
const MOST_FAMILIES: usize = 65_536;

/// A metric family.
#[derive(Debug)]
pub struct Family {
    /// The name of its samples.
    pub name: Arc<str>,
    /// The text of HELP, unescaped.
    pub help: Arc<str>,
    /// The unit, if the name ends in it; else empty.
    pub unit: &'static str,
    /// The type.
    pub family_type: FamilyType,
    /// Whether the destination gets it.
    pub(super) is_kept: bool,
    /// Whether a scrape shows it only while the device is not silent: fields and alerts.
    pub(super) ends_in_silence: bool,
    /// The label with the name, as a field of a message of remote write 1.0.
    pub(super) label: Box<[u8]>,
}

/// The families by number. Cheap to clone.
pub(super) type FamilyTable = Arc<Vec<Arc<Family>>>;

/// Assigns numbers to families.
#[derive(Debug)]
pub(super) struct Families {
    names: NameFilter,
    table: FamilyTable,
    by_name: HashMap<Arc<str>, FamilyId>,
    /// The families of several addresses of a kind, by their position; `None` if there is no room.
    addresses: [Vec<Option<FamilyId>>; 3],
}

impl Families {
    pub(super) fn new(names: NameFilter) -> Self {
        let mut families = Self {
            names,
            table: Arc::default(),
            by_name: HashMap::new(),
            addresses: Default::default(),
        };
        for family in FIXED {
            families.intern(family);
        }
        families
    }

    pub(super) fn table(&self) -> &FamilyTable {
        &self.table
    }

    /// The family with this number.
    pub(super) fn get(&self, id: FamilyId) -> Option<&Arc<Family>> {
        self.table.get(id as usize)
    }

    /// The number, if the destination gets the family.
    pub(super) fn kept(&self, id: FamilyId) -> Option<FamilyId> {
        self.get(id).filter(|family| family.is_kept).map(|_| id)
    }

    /// The number of a family; `None` if the destination does not get it, or there are too many.
    pub(super) fn intern(&mut self, family: TelemetryFamily<'_>) -> Option<FamilyId> {
        let name = family.name();
        if let Some(id) = self.by_name.get(&*name) {
            return self.kept(*id);
        }
        if self.table.len() >= MOST_FAMILIES {
            return None;
        }
        let id = FamilyId::try_from(self.table.len()).ok()?;
        let name: Arc<str> = name.into();
        let mut label = Vec::new();
        label_field(&mut label, NAME, &name);
        Arc::make_mut(&mut self.table).push(Arc::new(Family {
            help: family.help().into(),
            unit: match family.unit() {
                Unit::Seconds if name.ends_with("_seconds") => "seconds",
                Unit::Bytes if name.ends_with("_bytes") => "bytes",
                _ => "",
            },
            family_type: family.family_type(),
            is_kept: self.names.keeps(&name),
            ends_in_silence: matches!(
                family,
                TelemetryFamily::Field { .. } | TelemetryFamily::Alert(_)
            ),
            label: label.into(),
            name: Arc::clone(&name),
        }));
        self.by_name.insert(name, id);
        self.kept(id)
    }

    /// The family of an address: of the only one, or of the nth of several.
    pub(super) fn address(&mut self, kind: AddressKind, nth: Option<usize>) -> Option<FamilyId> {
        let position = nth.map_or(0, |nth| nth + 1);
        for next in self.addresses[kind as usize].len()..=position {
            let nth = next.checked_sub(1);
            let id = self.intern(TelemetryFamily::Address { kind, nth });
            self.addresses[kind as usize].push(id);
        }
        self.addresses[kind as usize][position]
    }
}
