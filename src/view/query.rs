//! The parameters of `/api/v1/devices` and of the page: which devices a list shows, in which order, and how many.

use thiserror::Error;
use url::form_urlencoded;

use super::device::{DeviceState, InfoField, Measure};

/// The default number of devices of a page.
const PER_PAGE: usize = 50;

/// The most devices of one page.
const MOST_PER_PAGE: usize = 1000;

/// The longest text of a parameter, in bytes: each link of a page repeats it.
const MOST_TEXT: usize = 4096;

/// The parameters, as errors name them.
const PARAMETERS: &str = "state, alert, type, account, search, near, sort, page, per_page";

/// The value by which a list is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    /// The identifier.
    Id,
    /// The name in `NAMES_FILE`.
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
}

impl SortKey {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 15] = [
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
    ];

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(key, _)| *key == self);
        found.map_or("", |(_, name)| name)
    }
}

/// The order of a list. Devices without the value come last in either direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The value.
    pub key: SortKey,
    /// Whether the order is descending.
    pub is_descending: bool,
}

impl Order {
    /// The value of the parameter.
    #[must_use]
    pub fn parameter(self) -> String {
        let sign = if self.is_descending { "-" } else { "" };
        format!("{sign}{}", self.key.name())
    }

    fn parse(text: &str) -> Option<Self> {
        let (is_descending, name) = match text.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, text),
        };
        let (key, _) = SortKey::ALL.into_iter().find(|(_, known)| *known == name)?;
        Some(Self { key, is_descending })
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
    pub state: Option<DeviceState>,
    /// Only devices with this alert.
    pub alert: Option<String>,
    /// Only devices of the type with this name.
    pub device_type: Option<String>,
    /// Only devices of the account with this name.
    pub account: Option<String>,
    /// Only devices that contain this in their identifier, name, group or texts, or in an address if it contains a dot or a colon; case
    /// is ignored.
    pub search: Option<String>,
    /// Only devices with a location, the nearest to this place first.
    pub near: Option<Near>,
    /// The order. `None`: by distance if a place is given, else by identifier.
    pub order: Option<Order>,
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
            per_page: PER_PAGE,
        }
    }
}

/// What is wrong with a parameter, and what is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QueryError {
    /// The parameter is unknown.
    #[error("unknown parameter {0:?}: use {PARAMETERS}")]
    Unknown(String),
    /// It is given more than once.
    #[error("parameter {0} is given more than once")]
    Twice(&'static str),
    /// Its value is not one of the accepted ones.
    #[error("unknown {name} {value:?}: use {expected}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// The given value.
        value: String,
        /// The accepted values.
        expected: String,
    },
    /// Its value is malformed.
    #[error("{name} must be {expected}, not {value:?}")]
    Form {
        /// The parameter.
        name: &'static str,
        /// What was given.
        value: String,
        /// What may be given.
        expected: &'static str,
    },
    /// There is no such account.
    #[error("unknown account {0:?}")]
    Account(String),
}

impl DeviceQuery {
    /// Parses the query of a URL. Empty values, as forms send them, count as absent.
    ///
    /// # Errors
    /// A parameter is unknown, is given more than once, or has an invalid value.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let mut query = Self::default();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let name = query.set(&name, &value)?;
            if seen.contains(&name) {
                return Err(QueryError::Twice(name));
            }
            seen.push(name);
        }
        Ok(query)
    }

    /// The query, if it names no account or one that exists.
    ///
    /// # Errors
    /// There is no such account.
    pub fn of_known_account(self, is_known: impl Fn(&str) -> bool) -> Result<Self, QueryError> {
        match &self.account {
            Some(name) if !is_known(name) => Err(QueryError::Account(shortened(name))),
            _ => Ok(self),
        }
    }

    /// Parses the valid parameters of a query, and leaves out those that [`DeviceQuery::parse`] refuses.
    #[must_use]
    pub fn usable(text: &str) -> Self {
        let mut query = Self::default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            // A rejected parameter has changed nothing.
            let _ = query.set(&name, &value);
        }
        query
    }

    /// Sets one parameter, and returns its name.
    fn set(&mut self, name: &str, value: &str) -> Result<&'static str, QueryError> {
        let text = (!value.is_empty()).then(|| value.to_owned());
        let wrong = |name, expected: String| QueryError::Value {
            name,
            value: shortened(value),
            expected,
        };
        let ill_formed = |name, expected| QueryError::Form {
            name,
            value: shortened(value),
            expected,
        };
        let number = |name, most: usize, expected| {
            let number = value.parse().ok();
            let number = number.filter(|number| (1..=most).contains(number));
            number.ok_or_else(|| ill_formed(name, expected))
        };
        for named in ["alert", "type", "account", "search"] {
            if name == named && value.len() > MOST_TEXT {
                return Err(ill_formed(named, "at most 4096 bytes long"));
            }
        }
        Ok(match name {
            "state" => {
                let states = DeviceState::ALL.map(DeviceState::name).join(", ");
                let state = text.map(|text| text.parse());
                self.state = state.transpose().map_err(|()| wrong("state", states))?;
                "state"
            }
            "alert" => {
                self.alert = text;
                "alert"
            }
            "type" => {
                self.device_type = text;
                "type"
            }
            "account" => {
                self.account = text;
                "account"
            }
            "search" => {
                let text = value.trim();
                self.search = (!text.is_empty()).then(|| text.to_owned());
                "search"
            }
            "near" => {
                let expected = "latitude,longitude in degrees, such as 47.5,-122.3";
                let near =
                    text.map(|text| Near::parse(&text).ok_or_else(|| ill_formed("near", expected)));
                self.near = near.transpose()?;
                "near"
            }
            "sort" => {
                let keys = SortKey::ALL.map(|(_, name)| name).join(", ");
                let expected = || wrong("sort", format!("{keys}; prefix with - for descending"));
                let order = text.map(|text| Order::parse(&text).ok_or_else(expected));
                self.order = order.transpose()?;
                "sort"
            }
            "page" => {
                if text.is_some() {
                    self.page = number("page", usize::MAX, "a whole number, 1 or greater")?;
                }
                "page"
            }
            "per_page" => {
                if text.is_some() {
                    self.per_page =
                        number("per_page", MOST_PER_PAGE, "a whole number from 1 to 1000")?;
                }
                "per_page"
            }
            _ => return Err(QueryError::Unknown(shortened(name))),
        })
    }

    /// The query of a URL from which [`DeviceQuery::parse`] makes an equal one.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let mut add = |name, value: Option<String>| {
            if let Some(value) = value {
                query.append_pair(name, &value);
            }
        };
        add("state", self.state.map(|state| state.name().to_owned()));
        add("alert", self.alert.clone());
        add("type", self.device_type.clone());
        add("account", self.account.clone());
        add("search", self.search.clone());
        let near = |near: Near| format!("{},{}", near.latitude, near.longitude);
        add("near", self.near.map(near));
        add("sort", self.order.map(Order::parameter));
        add("page", (self.page != 1).then(|| self.page.to_string()));
        let per_page = (self.per_page != PER_PAGE).then(|| self.per_page.to_string());
        add("per_page", per_page);
        query.finish()
    }
}

/// The beginning of a text, as errors repeat it.
fn shortened(text: &str) -> String {
    const MOST: usize = 100;
    let mut start: String = text.chars().take(MOST).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}
