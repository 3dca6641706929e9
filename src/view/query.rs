//! The parameters of `/api/v1/devices` and of the page: which devices a list shows, in which order, and how many.

use std::str::FromStr;

use super::device::{DeviceState, InfoField, Measure};
use super::parameters::{self, Order, QueryError, SortBy};

/// The parameters, as errors name them.
const PARAMETERS: &str = "state, alert, type, account, search, near, sort, page, per_page";

/// The value by which a list is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    /// The identifier.
    Id,
    /// The name.
    Name,
    /// The group in `NAMES_FILE`.
    Group,
    /// The type.
    Type,
    /// The name of the account.
    Account,
    /// The state, the worst first.
    State,
    /// The time of the last report, the oldest first.
    LastReport,
    /// One of the numbers.
    Measure(Measure),
    /// The number of active alerts.
    Alerts,
    /// One of the texts.
    InfoField(InfoField),
    /// The data use of the service line: by bytes where it has no limit, then by share of the limit.
    DataUse,
}

impl SortKey {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 16] = [
        (Self::Id, "id"),
        (Self::Name, "name"),
        (Self::Group, "group"),
        (Self::Type, "type"),
        (Self::Account, "account"),
        (Self::State, "state"),
        (Self::LastReport, "last_report"),
        (Self::Measure(Measure::Downlink), "downlink"),
        (Self::Measure(Measure::Uplink), "uplink"),
        (Self::Measure(Measure::Latency), "latency"),
        (Self::Measure(Measure::DropRate), "drop_rate"),
        (Self::Measure(Measure::Obstruction), "obstruction"),
        (Self::Alerts, "alerts"),
        (Self::InfoField(InfoField::Software), "software"),
        (Self::InfoField(InfoField::Country), "country"),
        (Self::DataUse, "data_use"),
    ];
}

impl SortBy for SortKey {
    const KEYS: &'static [(Self, &'static str)] = &Self::ALL;
}

/// The devices that a list shows by their state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateFilter {
    /// Those in this state.
    In(DeviceState),
    /// Those that are not online and have never reported.
    NeverHeard,
}

impl StateFilter {
    /// All filters.
    pub const ALL: [Self; 4] = [
        Self::In(DeviceState::Offline),
        Self::In(DeviceState::Unknown),
        Self::In(DeviceState::Online),
        Self::NeverHeard,
    ];

    /// The value of the parameter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::In(state) => state.name(),
            Self::NeverHeard => "never_heard",
        }
    }
}

impl From<DeviceState> for StateFilter {
    fn from(state: DeviceState) -> Self {
        Self::In(state)
    }
}

impl FromStr for StateFilter {
    type Err = QueryError;

    fn from_str(name: &str) -> Result<Self, QueryError> {
        let found = Self::ALL.into_iter().find(|filter| filter.name() == name);
        found.ok_or_else(|| QueryError::value("state", name, Self::ALL.map(Self::name).join(", ")))
    }
}

/// A location on Earth, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Near {
    /// North positive, −90 to 90.
    pub latitude: f64,
    /// East positive, −180 to 180.
    pub longitude: f64,
}

impl FromStr for Near {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        let expected = "latitude,longitude in degrees, such as 47.5,-122.3";
        Self::parse(text).ok_or_else(|| QueryError::form("near", text, expected))
    }
}

impl Near {
    fn parse(text: &str) -> Option<Self> {
        let (latitude, longitude) = text.split_once(',')?;
        let latitude: f64 = latitude.trim().parse().ok()?;
        let longitude: f64 = longitude.trim().parse().ok()?;
        let is_place = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
        is_place.then_some(Self {
            latitude,
            longitude,
        })
    }
}

/// A query for a list of devices.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceQuery {
    /// Only devices in this state.
    pub state: Option<StateFilter>,
    /// Only devices with this alert.
    pub alert: Option<String>,
    /// Only devices of the type with this name.
    pub device_type: Option<String>,
    /// Only devices of the account with this name.
    pub account: Option<String>,
    /// Only devices that contain this in their identifier, name, group or texts, in a serial number, in the number or the nickname of their
    /// service line, or in an address if it contains a dot or a colon; case is ignored.
    pub search: Option<String>,
    /// Only devices with a location, the nearest to this place first.
    pub near: Option<Near>,
    /// The order. `None`: by distance if a place is given, else by identifier.
    pub order: Option<Order<SortKey>>,
    /// The page, from 1.
    pub page: usize,
    /// The most devices of a page.
    pub per_page: usize,
}

impl Default for DeviceQuery {
    fn default() -> Self {
        Self {
            state: None,
            alert: None,
            device_type: None,
            account: None,
            search: None,
            near: None,
            order: None,
            page: 1,
            per_page: parameters::PER_PAGE,
        }
    }
}

impl DeviceQuery {
    /// Parses the query of a URL. Empty values, as forms send them, count as absent.
    ///
    /// # Errors
    /// A parameter is unknown, is given more than once, or has an invalid value.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        parameters::read(text, Self::default(), Self::set)
    }

    /// Parses the valid parameters of a query, and leaves out those that [`DeviceQuery::parse`] refuses.
    #[must_use]
    pub fn usable(text: &str) -> Self {
        parameters::read_valid(text, Self::default(), Self::set)
    }

    /// The query, if it names no account or one that exists.
    ///
    /// # Errors
    /// There is no such account.
    pub fn of_known_account(self, is_known: impl Fn(&str) -> bool) -> Result<Self, QueryError> {
        parameters::known_account(self.account.as_deref(), is_known)?;
        Ok(self)
    }

    /// Sets one parameter, and returns its name.
    fn set(&mut self, name: &str, value: Option<&str>) -> Result<&'static str, QueryError> {
        Ok(match name {
            "state" => {
                self.state = value.map(str::parse).transpose()?;
                "state"
            }
            "alert" => {
                self.alert = parameters::text("alert", value)?;
                "alert"
            }
            "type" => {
                self.device_type = parameters::text("type", value)?;
                "type"
            }
            "search" => {
                self.search = parameters::search(value)?;
                "search"
            }
            "near" => {
                self.near = value.map(str::parse).transpose()?;
                "near"
            }
            "sort" => {
                self.order = value.map(Order::parse).transpose()?;
                "sort"
            }
            _ => {
                let part = (&mut self.account, &mut self.page, &mut self.per_page);
                parameters::set_part(part, name, value, PARAMETERS)?
            }
        })
    }

    /// The query of a URL from which [`DeviceQuery::parse`] makes an equal one.
    #[must_use]
    pub fn to_text(&self) -> String {
        let near = |near: Near| format!("{},{}", near.latitude, near.longitude);
        parameters::to_text([
            ("state", self.state.map(|state| state.name().to_owned())),
            ("alert", self.alert.clone()),
            ("type", self.device_type.clone()),
            ("account", self.account.clone()),
            ("search", self.search.clone()),
            ("near", self.near.map(near)),
            ("sort", self.order.map(Order::parameter)),
            ("page", parameters::page_text(self.page)),
            ("per_page", parameters::per_page_text(self.per_page)),
        ])
    }
}
