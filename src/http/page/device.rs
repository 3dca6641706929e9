//! `/device`: all that is known of one device.

use std::borrow::Cow;

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use askama::Template;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::form_urlencoded;

use super::format::{age, decimals, moment, number, tame};
use super::map::Map;
use super::table::{filter_link, link};
use super::{Frame, Packing, page};
use crate::exposition::help;
use crate::http::look::look;
use crate::http::{State, device_type, parameter};
use crate::view::{self, DeviceDetail, Near, Question};

/// The whole page.
#[derive(Debug, Template)]
#[template(path = "device.html", config = "src/http/page/askama.toml")]
struct DeviceView {
    frame: Frame,
    /// Its name, or its identifier.
    title: String,
    id: String,
    device_type: String,
    group: Option<String>,
    state: &'static str,
    silence: String,
    reported: String,
    country: Option<String>,
    alerts: Vec<(String, String)>,
    place: Option<Place>,
    fields: Vec<Field>,
    info: Vec<(String, String)>,
    addresses: Vec<(&'static str, Vec<String>)>,
    api: String,
    /// Devices of its type.
    kind_link: String,
}

/// Where it is.
#[derive(Debug)]
struct Place {
    map: Map,
    text: String,
    cell: Option<String>,
    /// The devices that are nearest.
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

/// Instead of a device.
#[derive(Debug, Template)]
#[template(path = "message.html", config = "src/http/page/askama.toml")]
struct Message {
    frame: Frame,
    title: &'static str,
    text: String,
}

/// `/device?id=…&type=…`
pub async fn show(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    let packing = Packing::wanted(&request);
    let Some(id) = parameter(&request, "id").map(Cow::into_owned) else {
        let text = "The parameter id says which device to show: /device?id=…".to_owned();
        return message(HttpResponse::BadRequest(), packing, "No device", text);
    };
    let device_type = device_type(&request);
    let wanted = id.clone();
    let seen = look(&request, &state, move |scene| {
        let device = view::find(scene, &wanted, device_type.as_deref())?;
        Some(packing.render(&DeviceView::of(&device)))
    });
    match seen.await {
        Ok(Some(html)) => page(HttpResponse::Ok(), html),
        Ok(None) => {
            let text = format!(
                "No device with the identifier “{}” is known. Devices that have been silent for FORGET_AFTER are forgotten.",
                tame(&id)
            );
            message(HttpResponse::NotFound(), packing, "Unknown device", text)
        }
        Err(blind) => message(
            blind.response(),
            packing,
            "Nothing to see",
            format!("{blind}."),
        ),
    }
}

fn message(
    response: HttpResponseBuilder,
    packing: Packing,
    title: &'static str,
    text: String,
) -> HttpResponse {
    let frame = Frame::new();
    page(response, packing.render(&Message { frame, title, text }))
}

impl DeviceView {
    fn of(detail: &DeviceDetail) -> Self {
        let device = &detail.device;
        let tamed = |text: &Option<String>| text.as_deref().map(tame);
        let pairs = detail.info.iter();
        let kinds = [
            ("IPv4", &device.ipv4),
            ("IPv6, terminal", &device.ipv6_ue),
            ("IPv6, delegated", &device.ipv6_cpe),
        ];
        let there = kinds
            .into_iter()
            .filter(|(_, addresses)| !addresses.is_empty());
        let alert = |name: &String| (tame(name), filter_link(None, None, Some(name)));
        Self {
            frame: Frame::new(),
            title: tame(device.name.as_ref().unwrap_or(&device.id)),
            id: tame(&device.id),
            device_type: tame(&device.device_type),
            group: tamed(&device.group),
            state: device.state.name(),
            silence: age(device.silent_for_seconds),
            reported: moment(device.last_report_timestamp_seconds),
            country: tamed(&device.country),
            alerts: device.alerts.iter().map(alert).collect(),
            place: place(detail),
            fields: detail
                .fields
                .iter()
                .map(|(name, &value)| field(name, value))
                .collect(),
            info: pairs.map(|(key, value)| (tame(key), tame(value))).collect(),
            addresses: there
                .map(|(kind, addresses)| (kind, addresses.iter().map(|text| tame(text)).collect()))
                .collect(),
            api: api_link(detail),
            kind_link: filter_link(Some(&device.device_type), None, None),
        }
    }
}

/// The same device in the JSON API. Some identifiers cannot stand in a path, for browsers shorten it.
fn api_link(detail: &DeviceDetail) -> String {
    let device = &detail.device;
    let id = utf8_percent_encode(&device.id, NON_ALPHANUMERIC);
    let kind: String = form_urlencoded::byte_serialize(device.device_type.as_bytes()).collect();
    format!("/api/v1/devices/{id}?type={kind}")
}

fn place(detail: &DeviceDetail) -> Option<Place> {
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
    // The centre of a cell is known no better.
    let round = |value: f64| (value * 100.0).round() / 100.0;
    Some(Place {
        map: Map::around(device.state, latitude, longitude),
        text,
        cell: detail.h3_cell.clone(),
        link: link(&Question {
            near: Some(Near {
                latitude: round(latitude),
                longitude: round(longitude),
            }),
            ..Question::default()
        }),
    })
}

fn field(name: &str, value: f64) -> Field {
    let (unit, meaning) = match help::field(name) {
        Cow::Borrowed(sentence) => (unit(sentence), Some(sentence.to_owned())),
        Cow::Owned(_) => ("", None),
    };
    let (value, unit) = scaled(value, unit);
    Field {
        name: tame(name),
        value,
        unit,
        meaning,
    }
}

/// Long times and many bytes in units that have fewer digits.
fn scaled(value: f64, unit: &'static str) -> (String, &'static str) {
    const BYTES: [(f64, &str); 4] = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    const TIMES: [(f64, f64, &str); 3] = [
        (48.0 * 3600.0, 86400.0, "d"),
        (100.0 * 60.0, 3600.0, "h"),
        (100.0, 60.0, "min"),
    ];
    let found = match unit {
        "B" => BYTES.into_iter().find(|(size, _)| value >= *size),
        "s" => {
            let time = TIMES.into_iter().find(|(least, ..)| value >= *least);
            time.map(|(_, size, name)| (size, name))
        }
        _ => None,
    };
    match found {
        Some((size, name)) => (decimals(value / size, 1), name),
        None => (number(value), unit),
    }
}

/// The unit that a field's help names.
fn unit(sentence: &str) -> &'static str {
    const UNITS: [(&str, &str); 5] = [
        ("in Mbit/s", "Mbit/s"),
        ("in dBm", "dBm"),
        ("in milliseconds", "ms"),
        ("in seconds", "s"),
        ("Bytes ", "B"),
    ];
    let mut found = UNITS.iter().filter(|(words, _)| sentence.contains(words));
    found.next().map_or("", |(_, unit)| unit)
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
            ("SignalQuality", 0.5, "0.5", ""),
            ("Clients", 3.0, "3", ""),
        ] {
            let field = field(name, value);
            assert_eq!((&*field.value, field.unit), (shown, unit), "{name}");
            assert!(field.meaning.is_some(), "{name}");
        }
        let unknown = field("New\n", 1.0);
        assert_eq!((&*unknown.name, unknown.meaning), ("New␊", None));
    }
}
