//! `/device`: all values of one device.

use std::borrow::Cow;
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use askama::Template;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::form_urlencoded;

use super::format::{age, decimals, moment, number, printable};
use super::line_section::LineSection;
use super::map::Map;
use super::suspensions::{Suspension, suspension};
use super::table::{LIST, device_address, filter_link, link};
use super::{Frame, NO_LOCATIONS, page, render};
use crate::http::{Compress, parameter};
use crate::telemetry::catalogue::{Unit, known_field};
use crate::telemetry::schema::LOCATION_FIELD;
use crate::view::{self, Device, DeviceDetail, DeviceQuery, DeviceState, Near};
use crate::web::request::device_type;
use crate::web::state::WebState;
use crate::web::status::AccountInventory;
use crate::web::with_fleet::with_fleet;

/// The whole page.
#[derive(Debug, Template)]
#[template(path = "device.html", config = "src/web/page/askama.toml")]
struct DeviceView {
    frame: Frame,
    /// If Starlink has suspended its account.
    suspension: Option<Suspension>,
    /// Its name, or its identifier.
    title: String,
    id: String,
    device_type: String,
    /// Its account, if there are several.
    account: Option<AccountLink>,
    group: Option<String>,
    /// `None` for a terminal that is not expected to report.
    state: Option<&'static str>,
    /// Its last report; `None` if it has never reported.
    report: Option<Report>,
    /// Why a terminal that has never reported is shown.
    never_heard: &'static str,
    kit_serial: Option<String>,
    dish_serial: Option<String>,
    line: Option<LineSection>,
    /// The terminal of a router.
    terminal: Option<TerminalLink>,
    country: Option<Country>,
    /// The active alerts; those of the last report, if the device is not online.
    alerts: Vec<(String, String)>,
    /// Whether the device is online: alerts and fields are current.
    is_online: bool,
    location: Option<Location>,
    /// Why there is no location.
    no_location: &'static str,
    /// The numbers of the last report.
    fields: Vec<Field>,
    info: Vec<(String, String)>,
    addresses: Vec<(&'static str, Vec<String>)>,
    api: String,
    /// The list from which the page was opened.
    list_link: String,
    /// Devices of its type.
    type_link: String,
}

/// The last report of a device.
#[derive(Debug, PartialEq, Eq)]
struct Report {
    age: String,
    /// Date and time.
    at: String,
}

/// The terminal to which a router is bonded.
#[derive(Debug, PartialEq, Eq)]
struct TerminalLink {
    id: String,
    link: String,
}

/// The account that delivers a device.
#[derive(Debug, PartialEq, Eq)]
struct AccountLink {
    name: String,
    /// The list of its devices.
    link: String,
}

impl AccountLink {
    fn new(name: &str) -> Self {
        Self {
            name: printable(name),
            link: link(&DeviceQuery {
                account: Some(name.to_owned()),
                ..DeviceQuery::default()
            }),
        }
    }
}

/// The country that a device is in.
#[derive(Debug, PartialEq, Eq)]
struct Country {
    code: String,
    /// The meaning of a code that is not a country's.
    meaning: Option<&'static str>,
}

impl Country {
    fn new(code: &str) -> Self {
        Self {
            code: printable(code),
            // UN/LOCODE's code for installations in international waters.
            meaning: (code == "XZ").then_some("international waters"),
        }
    }
}

/// The location of a device.
#[derive(Debug)]
struct Location {
    map: Map,
    text: String,
    cell: Option<String>,
    /// The nearest devices.
    link: String,
}

/// A number.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    name: String,
    value: String,
    unit: &'static str,
    meaning: Option<String>,
}

/// A message in place of a device.
#[derive(Debug, Template)]
#[template(path = "message.html", config = "src/web/page/askama.toml")]
struct Message {
    frame: Frame,
    title: &'static str,
    text: String,
}

/// `/device?id=…&type=…`
pub async fn show(request: HttpRequest, state: web::Data<WebState>) -> HttpResponse {
    let compress = Compress::accepted(&request);
    let frame = Frame::of(&request);
    let Some(id) = parameter(&request, "id").map(Cow::into_owned) else {
        let text = "The parameter id is missing. Use /device?id=ID.".to_owned();
        return message(HttpResponse::BadRequest(), &request, "No device", text);
    };
    let list_link = parameter(&request, LIST).and_then(|list| DeviceQuery::parse(&list).ok());
    let list_link = link(&list_link.unwrap_or_default());
    let device_type = device_type(&request);
    let no_location = match state.options.has_locations {
        true => "No location reported.",
        false => NO_LOCATIONS,
    };
    let wanted = id.clone();
    let accounts = Arc::clone(&state.sources.accounts);
    let has_several_accounts = accounts.all().len() > 1;
    let rendered = with_fleet(&request, &state, move |fleet| {
        let device = view::find(fleet, &wanted, device_type.as_deref())?;
        let mut view = DeviceView::of(frame, &device, fleet.unix_now, list_link, no_location);
        if !has_several_accounts {
            view.account = None;
        }
        let account = device.device.account.as_deref();
        let account = account.and_then(|account| accounts.find(account));
        view.suspension = account.and_then(|account| {
            let inventory = AccountInventory::of(&account, &fleet.snapshot);
            suspension(&inventory, has_several_accounts)
        });
        Some(render(compress, &view))
    });
    match rendered.await {
        Ok(Some(html)) => page(HttpResponse::Ok(), html),
        Ok(None) => {
            let text = format!(
                "No device with the ID “{}” is known. A device is forgotten when it has not reported for FORGET_AFTER.",
                printable(&id)
            );
            message(HttpResponse::NotFound(), &request, "Unknown device", text)
        }
        Err(error) => message(
            error.response(),
            &request,
            "Not available",
            format!("{error}."),
        ),
    }
}

/// A page with a message.
pub(super) fn message(
    response: HttpResponseBuilder,
    request: &HttpRequest,
    title: &'static str,
    text: String,
) -> HttpResponse {
    let frame = Frame::of(request);
    let message = Message { frame, title, text };
    page(response, render(Compress::accepted(request), &message))
}

/// The page of an unknown path.
pub fn not_found(request: &HttpRequest) -> HttpResponse {
    let text = "There is no page at this address.".to_owned();
    message(HttpResponse::NotFound(), request, "Not found", text)
}

impl DeviceView {
    fn of(
        frame: Frame,
        detail: &DeviceDetail,
        now: f64,
        list_link: String,
        no_location: &'static str,
    ) -> Self {
        let device = &detail.device;
        let last = detail.last_readings.as_ref();
        let alerts = match last {
            Some(last) => &last.alerts[..],
            None => device.alerts.as_deref().unwrap_or_default(),
        };
        let numbers = last.map_or(&detail.fields, |last| &last.fields);
        let shown = |text: &Option<String>| text.as_deref().map(printable);
        let info = detail.info.iter();
        let addresses = [
            ("IPv4", &device.ipv4),
            ("IPv6, terminal", &device.ipv6_ue),
            ("IPv6, delegated", &device.ipv6_cpe),
        ];
        let addresses = addresses
            .into_iter()
            .filter(|(_, addresses)| !addresses.is_empty());
        let alert = |name: &String| (printable(name), filter_link(None, None, Some(name)));
        Self {
            frame,
            suspension: None,
            title: printable(device.name.as_ref().unwrap_or(&device.id)),
            id: printable(&device.id),
            device_type: printable(&device.device_type),
            account: device.account.as_deref().map(AccountLink::new),
            group: shown(&device.group),
            state: device.state.map(DeviceState::name),
            report: device.last_report_timestamp_seconds.map(|at| Report {
                age: age(now - at),
                at: moment(at),
            }),
            never_heard: never_heard(device),
            kit_serial: shown(&device.kit_serial),
            dish_serial: shown(&device.dish_serial),
            line: device
                .service_line
                .as_ref()
                .map(|line| LineSection::of(line, now)),
            country: device.country.as_deref().map(Country::new),
            alerts: alerts.iter().map(alert).collect(),
            terminal: detail.terminal.as_deref().map(|id| TerminalLink {
                id: printable(id),
                link: device_address(id, None),
            }),
            is_online: device.state == Some(DeviceState::Online),
            location: location(detail),
            no_location,
            fields: numbers
                .iter()
                .filter_map(|(name, &value)| match (&**name, &detail.h3_cell) {
                    (LOCATION_FIELD, Some(cell)) => cell_field(cell),
                    (LOCATION_FIELD, None) => None,
                    _ => Some(field(name, value)),
                })
                .collect(),
            info: info
                .map(|(key, value)| (printable(key), printable(value)))
                .collect(),
            addresses: addresses
                .map(|(kind, addresses)| {
                    (kind, addresses.iter().map(|text| printable(text)).collect())
                })
                .collect(),
            api: api_link(detail),
            list_link,
            type_link: filter_link(Some(&device.device_type), None, None),
        }
    }
}

/// Why the inventory lists a terminal that has never reported, and whether it is expected to report.
fn never_heard(device: &Device) -> &'static str {
    let line = device.service_line.as_ref();
    match (device.state, line.map(|line| line.active)) {
        (Some(_), _) => {
            "Its service line is active, but it has never reported: it has not been set up yet, or it is out of order."
        }
        (None, None) => "It has no service line, so it is not expected to report.",
        (None, Some(Some(false))) => {
            "Its service line is not active, so it is not expected to report."
        }
        (None, Some(Some(true))) => "It is not among the devices yet: see MAX_DEVICES.",
        (None, Some(None)) => "Whether its service line is active is not known.",
    }
}

/// The same device in the JSON API. The identifier is percent-encoded whole, as browsers shorten paths with dots in them.
fn api_link(detail: &DeviceDetail) -> String {
    let device = &detail.device;
    let id = utf8_percent_encode(&device.id, NON_ALPHANUMERIC);
    let device_type: String =
        form_urlencoded::byte_serialize(device.device_type.as_bytes()).collect();
    format!("./api/v1/devices/{id}?type={device_type}")
}

fn location(detail: &DeviceDetail) -> Option<Location> {
    let device = &detail.device;
    let (latitude, longitude) = (device.latitude?, device.longitude?);
    let side = |value: f64, [positive, negative]: [&str; 2]| {
        let side = if value < 0.0 { negative } else { positive };
        format!("{:.2}° {side}", value.abs())
    };
    let text = format!(
        "{}, {}",
        side(latitude, ["N", "S"]),
        side(longitude, ["E", "W"])
    );
    // A cell is about 10 km wide: more decimals would mean nothing.
    let round = |value: f64| (value * 100.0).round() / 100.0;
    Some(Location {
        map: Map::around(device.state?, latitude, longitude),
        text,
        cell: detail.h3_cell.clone(),
        link: link(&DeviceQuery {
            near: Some(Near {
                latitude: round(latitude),
                longitude: round(longitude),
            }),
            ..DeviceQuery::default()
        }),
    })
}

/// The H3 cell with all its digits, which an `f64` cannot hold.
fn cell_field(cell: &str) -> Option<Field> {
    Some(Field {
        name: LOCATION_FIELD.to_owned(),
        value: u64::from_str_radix(cell, 16).ok()?.to_string(),
        unit: "",
        // Without the note, which is about the rounded number.
        meaning: known_field(LOCATION_FIELD).map(|known| format!("{}.", known.meaning)),
    })
}

fn field(name: &str, value: f64) -> Field {
    let known = known_field(name);
    let (value, unit) = scaled(value, known.map_or(Unit::None, |known| known.unit));
    Field {
        name: printable(name),
        value,
        unit,
        // Without the field's own unit: the value may be shown in another one.
        meaning: known.map(|known| match known.unit {
            Unit::Flag => known.help(),
            _ => format!("{}{}.", known.meaning, known.note),
        }),
    }
}

/// A value and the symbol of its unit: long times and many bytes in units that have fewer digits, shares in percent.
fn scaled(value: f64, unit: Unit) -> (String, &'static str) {
    const BYTES: [(f64, &str); 4] = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    const TIMES: [(f64, f64, &str); 3] = [
        (48.0 * 3600.0, 86400.0, "d"),
        (100.0 * 60.0, 3600.0, "h"),
        (100.0, 60.0, "min"),
    ];
    let larger = |size: f64, symbol| (decimals(value / size, 1), symbol);
    let plain = |symbol| (number(value), symbol);
    match unit {
        Unit::None | Unit::Flag => plain(""),
        Unit::Ratio => (number(value * 100.0), "%"),
        Unit::MegabitsPerSecond => plain("Mbit/s"),
        Unit::Dbm => plain("dBm"),
        Unit::Milliseconds => plain("ms"),
        Unit::Degrees => plain("°"),
        Unit::Bytes => match BYTES.into_iter().find(|(size, _)| value >= *size) {
            Some((size, symbol)) => larger(size, symbol),
            None => plain("B"),
        },
        Unit::Seconds => match TIMES.into_iter().find(|(least, ..)| value >= *least) {
            Some((_, size, symbol)) => larger(size, symbol),
            None => plain("s"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_their_unit() {
        for (name, value, shown, unit) in [
            ("DownlinkThroughput", 12.345_6, "12.35", "Mbit/s"),
            ("PingLatencyMsAvg", 33.0, "33", "ms"),
            ("SecondsUntilSwupdateRebootPossible", -1.0, "-1", "s"),
            ("Clients2GhzSignalStrengthMin", -70.5, "-70.5", "dBm"),
            ("WanRxBytes", 1.25e9, "1.2", "GB"),
            ("WanRxBytes", 999.0, "999", "B"),
            ("Uptime", 60.0, "60", "s"),
            ("Uptime", 454_060.0, "5.3", "d"),
            ("SignalQuality", 0.5, "50", "%"),
            ("ObstructionPercentTime", 0.0768, "7.68", "%"),
            ("InternetPingDropRate", 0.000_4, "0.04", "%"),
            ("Clients", 3.0, "3", ""),
        ] {
            let field = field(name, value);
            assert_eq!((&*field.value, field.unit), (shown, unit), "{name}");
            let meaning = field.meaning.unwrap();
            for words in [" in seconds", " 0 to 1", " in Mbit/s"] {
                assert!(!meaning.contains(words), "{name}: {meaning}");
            }
        }
        let unknown = field("New\n", 1.0);
        assert_eq!((&*unknown.name, unknown.meaning), ("New␊", None));
        let cell = cell_field("85283083fffffff").unwrap();
        assert_eq!((&*cell.value, cell.unit), ("599685771850416127", ""));
    }
}
