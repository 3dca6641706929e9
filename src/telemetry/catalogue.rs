//! The catalogue of telemetry families: name, help, unit and type of each. All other modules take them from here.

mod inventory;

use std::borrow::Cow;

use super::ip::Address;
use super::values::{info_key, sanitise};

pub use self::inventory::InventoryFamily;
pub use super::known_fields::{KnownField, Unit, find as known_field};

/// The prefix of all telemetry families.
const PREFIX: &str = "starlink_";

/// The prefix of the families about the exporter.
const EXPORTER_PREFIX: &str = "starlink_exporter_";

/// The prefix of the families of active alerts.
const ALERT_PREFIX: &str = "starlink_alert_active_";

const LATITUDE: &str = "starlink_latitude";
const LONGITUDE: &str = "starlink_longitude";
const LAST_REPORT: &str = "starlink_last_report_timestamp_seconds";
const ONLINE: &str = "starlink_online";
const INFO: &str = "starlink_info";

/// Reserved names that no column can have, in addition to those of alerts, addresses, the inventory and the exporter. The last three are
/// families of type info in OpenMetrics, which leaves out the suffix `_info` there.
pub const RESERVED: [&str; 9] = [
    LATITUDE,
    LONGITUDE,
    LAST_REPORT,
    ONLINE,
    INFO,
    "starlink_up",
    "starlink_terminal",
    "starlink_service_line",
    "starlink_account",
];

/// The labels of every telemetry series, in order: the name of the device's type, and the device's ID in Starlink's spelling.
pub const DEVICE_LABELS: [&str; 2] = ["device_type", "deviceID"];

/// The three address columns of an IP allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressKind {
    /// `Ipv4`
    Ipv4,
    /// `Ipv6Ue`
    Ipv6Ue,
    /// `Ipv6Cpe`
    Ipv6Cpe,
}

impl AddressKind {
    /// All three, in the order of their families.
    pub const ALL: [Self; 3] = [Self::Ipv4, Self::Ipv6Ue, Self::Ipv6Cpe];

    /// The family if an allocation has one address of this kind. If it has several, `_0`, `_1`, … are appended.
    #[must_use]
    pub fn family(self) -> &'static str {
        match self {
            Self::Ipv4 => "starlink_Ipv4_numeric",
            Self::Ipv6Ue => "starlink_Ipv6Ue_numeric",
            Self::Ipv6Cpe => "starlink_Ipv6Cpe_numeric",
        }
    }

    /// Whether an address has the IP version of this kind.
    #[must_use]
    pub fn matches(self, address: Address) -> bool {
        address.address().is_ipv4() == (self == Self::Ipv4)
    }

    /// The column that has these addresses.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Ipv4 => "Ipv4",
            Self::Ipv6Ue => "Ipv6Ue",
            Self::Ipv6Cpe => "Ipv6Cpe",
        }
    }
}

/// The type of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyType {
    /// A number that goes up and down.
    Gauge,
    /// Information in labels, with the value 1.
    Info,
}

/// A family of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TelemetryFamily<'a> {
    /// The numbers of a field.
    Field {
        /// The family's name, from [`field_family`].
        name: &'a str,
        /// The field's name, as Starlink spells it.
        field: &'a str,
    },
    /// An address of a terminal.
    Address {
        /// Which of the three kinds.
        kind: AddressKind,
        /// The number of the address, from 0, if the terminal has several of this kind; else `None`.
        nth: Option<usize>,
    },
    /// An alert, by its name.
    Alert(&'a str),
    /// The latitude of a device.
    Latitude,
    /// The longitude of a device.
    Longitude,
    /// The time of a device's last row.
    LastReport,
    /// Whether a device reports.
    Online,
    /// The text fields of a device.
    Info,
    /// A family of the inventory.
    Inventory(InventoryFamily),
}

impl<'a> TelemetryFamily<'a> {
    /// The name of the samples.
    #[must_use]
    pub fn name(&self) -> Cow<'a, str> {
        match *self {
            Self::Field { name, .. } => name.into(),
            Self::Address { kind, nth: None } => kind.family().into(),
            Self::Address {
                kind,
                nth: Some(nth),
            } => format!("{}_{nth}", kind.family()).into(),
            Self::Alert(name) => format!("{ALERT_PREFIX}{name}").into(),
            Self::Latitude => LATITUDE.into(),
            Self::Longitude => LONGITUDE.into(),
            Self::LastReport => LAST_REPORT.into(),
            Self::Online => ONLINE.into(),
            Self::Info => INFO.into(),
            Self::Inventory(family) => family.name().into(),
        }
    }

    /// The text of HELP, unescaped.
    #[must_use]
    pub fn help(&self) -> Cow<'static, str> {
        match *self {
            Self::Field { field, .. } => match known_field(field) {
                Some(known) => known.help().into(),
                None => format!("Starlink telemetry field {field}.").into(),
            },
            Self::Address { kind, .. } => match kind {
                AddressKind::Ipv4 => {
                    "IPv4 address allocated to the terminal, as a 32-bit integer.".into()
                }
                AddressKind::Ipv6Ue => {
                    "IPv6 network of the terminal's own interface, folded into 52 bits.".into()
                }
                AddressKind::Ipv6Cpe => {
                    "IPv6 network delegated to the terminal's customer, folded into 52 bits.".into()
                }
            },
            Self::Alert(name) => format!("Alert {name} is active on the device.").into(),
            Self::Latitude => "Latitude of the centre of the device's H3 cell, in degrees.".into(),
            Self::Longitude => {
                "Longitude of the centre of the device's H3 cell, in degrees.".into()
            }
            Self::LastReport => {
                "Timestamp of the device's last accepted row, in seconds since 1970.".into()
            }
            Self::Online => {
                "Whether the device reports: 1 online, 0 offline (no data although polls succeeded)."
                    .into()
            }
            Self::Info => "What the device reports as text.".into(),
            Self::Inventory(family) => family.help().into(),
        }
    }

    /// The unit of the values.
    #[must_use]
    pub fn unit(&self) -> Unit {
        match *self {
            Self::Field { field, .. } => known_field(field).map_or(Unit::None, |known| known.unit),
            Self::Latitude | Self::Longitude => Unit::Degrees,
            Self::LastReport => Unit::Seconds,
            Self::Alert(_) | Self::Online => Unit::Flag,
            Self::Address { .. } | Self::Info => Unit::None,
            Self::Inventory(family) => family.unit(),
        }
    }

    /// The type.
    #[must_use]
    pub fn family_type(&self) -> FamilyType {
        match self {
            Self::Info => FamilyType::Info,
            Self::Inventory(family) => family.family_type(),
            _ => FamilyType::Gauge,
        }
    }
}

/// The family of a field's numbers, by the field's name.
#[must_use]
pub fn field_family(field: &str) -> String {
    format!("{PREFIX}{}", sanitise(field))
}

/// Whether a name has the form of a field's family: the prefix, and only characters that [`sanitise`] keeps.
#[must_use]
pub fn is_field_family(family: &str) -> bool {
    family.starts_with(PREFIX) && sanitise(family) == family
}

/// Whether the name of a family is reserved, so that no field can have it.
#[must_use]
pub fn is_reserved_family(family: &str) -> bool {
    RESERVED.contains(&family)
        || InventoryFamily::ALL
            .iter()
            .any(|known| known.name() == family)
        || family.starts_with(EXPORTER_PREFIX)
        || family.starts_with(ALERT_PREFIX)
        || AddressKind::ALL
            .into_iter()
            .any(|kind| is_address_family(family, kind))
}

/// Whether a field can have this info key: it is a valid key, and not a label of all series.
#[must_use]
pub fn is_free_key(key: &str) -> bool {
    let is_device_label = |label: &&str| label.eq_ignore_ascii_case(key);
    info_key(key) == key && !DEVICE_LABELS.iter().any(is_device_label)
}

/// Whether a family is that of a kind of address, with or without a number.
fn is_address_family(family: &str, kind: AddressKind) -> bool {
    let Some(rest) = family.strip_prefix(kind.family()) else {
        return false;
    };
    let number = rest.strip_prefix('_').unwrap_or_default();
    rest.is_empty() || (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// One of each variant.
    fn families() -> Vec<TelemetryFamily<'static>> {
        let addresses = AddressKind::ALL.into_iter().flat_map(|kind| {
            [None, Some(0), Some(12)].map(|nth| TelemetryFamily::Address { kind, nth })
        });
        let others = [
            TelemetryFamily::Alert("motors_stuck"),
            TelemetryFamily::Latitude,
            TelemetryFamily::Longitude,
            TelemetryFamily::LastReport,
            TelemetryFamily::Online,
            TelemetryFamily::Info,
        ];
        let listed = InventoryFamily::ALL.map(TelemetryFamily::Inventory);
        addresses.chain(others).chain(listed).collect()
    }

    #[test]
    fn names_are_unique_and_reserved() {
        let names: BTreeSet<_> = families().iter().map(TelemetryFamily::name).collect();
        assert_eq!(names.len(), families().len());
        for name in names {
            assert!(is_field_family(&name), "{name}");
            assert!(is_reserved_family(&name), "{name}");
        }
        // OpenMetrics names a family of type info without the suffix.
        let infos = families().into_iter();
        for family in infos.filter(|family| family.family_type() == FamilyType::Info) {
            let name = family.name();
            let base = name.strip_suffix("_info").unwrap();
            assert!(is_reserved_family(base) || !is_field_family(base), "{base}");
        }
        assert_eq!(
            RESERVED.iter().collect::<BTreeSet<_>>().len(),
            RESERVED.len()
        );
        for name in RESERVED {
            assert!(is_field_family(name), "{name}");
        }
    }

    #[test]
    fn names_of_the_exporter_are_reserved() {
        for (family, expected) in [
            ("starlink_exporter_anything", true),
            ("starlink_alert_active_anything", true),
            ("starlink_Ipv4_numeric_12", true),
            ("starlink_Ipv4_numeric_", false),
            ("starlink_Ipv4_numeric_x", false),
            ("starlink_Ipv4_numerics", false),
            ("starlink_account_info", true),
            ("starlink_Account_Info", false),
            ("starlink_terminal", true),
            ("starlink_Terminal", false),
            ("starlink_Uptime", false),
        ] {
            assert_eq!(is_reserved_family(family), expected, "{family}");
        }
        for (key, expected) in [
            ("device_type", false),
            ("deviceid", false),
            ("deviceID", false),
            ("devicetype", true),
            ("countrycode", true),
            ("CountryCode", false),
        ] {
            assert_eq!(is_free_key(key), expected, "{key}");
        }
    }

    #[test]
    fn the_help_of_a_field_states_its_unit() {
        let field = |name| TelemetryFamily::Field {
            name: "starlink_x",
            field: name,
        };
        for (name, unit, help) in [
            (
                "Uptime",
                Unit::Seconds,
                "Time since the terminal started, in seconds.",
            ),
            (
                "WanRxBytes",
                Unit::Bytes,
                "Bytes received on the WAN side since the router started.",
            ),
            (
                "New-Field",
                Unit::None,
                "Starlink telemetry field New-Field.",
            ),
        ] {
            assert_eq!(
                (field(name).unit(), &*field(name).help()),
                (unit, help),
                "{name}"
            );
        }
    }
}
