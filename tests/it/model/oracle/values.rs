//! Parses single cells, and derives metric names and info keys from names of Starlink.

use super::*;

pub(super) fn is_own_family(name: &str) -> bool {
    let name = name.strip_prefix("starlink_").unwrap();
    let named = [
        "info",
        "latitude",
        "longitude",
        "last_report_timestamp_seconds",
        "online",
        "up",
    ];
    let address = ADDRESS_COLUMNS.into_iter().any(|column| {
        let rest = name
            .strip_prefix(column)
            .and_then(|rest| rest.strip_prefix("_numeric"));
        rest.is_some_and(|rest| {
            let index = rest.strip_prefix('_').unwrap_or_default();
            let is_index = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
            rest.is_empty() || is_index
        })
    });
    named.contains(&name)
        || address
        || name.starts_with("exporter_")
        || name.starts_with("alert_active_")
}

pub fn sanitised(name: &str) -> String {
    let sane = |char: char| {
        if char.is_ascii_alphanumeric() {
            char
        } else {
            '_'
        }
    };
    name.chars().map(sane).collect()
}

pub(super) fn info_key(name: &str) -> String {
    let key = sanitised(&name.to_lowercase());
    match key.chars().next() {
        None | Some('0'..='9' | '_') => format!("field_{key}"),
        Some(_) => key,
    }
}

pub(super) fn judge(cell: &Json) -> Judged {
    match cell {
        Json::Null => Judged::Absent,
        Json::Bool(value) => Judged::Gauge(f64::from(u8::from(*value))),
        Json::Number(spelled) => match spelled.parse::<f64>().unwrap() {
            value if value.is_finite() => Judged::Gauge(value),
            _ => Judged::Rejected,
        },
        Json::Text(_) | Json::List(_) => match spelled(cell) {
            None => Judged::Rejected,
            Some(text) if text.is_empty() => Judged::Absent,
            Some(text) => match finite_decimal(&text) {
                Some(value) => Judged::Gauge(value),
                None => Judged::Info(text),
            },
        },
        Json::Object(_) | Json::Broken(_) => Judged::Rejected,
    }
}

/// A cell as a text; `None` if it cannot be read.
pub(super) fn spelled(cell: &Json) -> Option<String> {
    match cell {
        Json::Null => Some(String::new()),
        Json::Bool(value) => Some(value.to_string()),
        Json::Number(spelled) => {
            let finite = spelled.parse::<f64>().unwrap().is_finite();
            finite.then(|| spelled.clone())
        }
        Json::Text(text) => Some(text.clone()),
        Json::List(items) => {
            let items = items.iter().filter(|item| **item != Json::Null);
            let items = items.map(|item| match item {
                Json::List(_) => None,
                Json::Number(text) => Some(text.clone()),
                item => spelled(item),
            });
            Some(items.collect::<Option<Vec<_>>>()?.join(";"))
        }
        Json::Broken(_) | Json::Object(_) => None,
    }
}

/// A cell of an allocation as a text; `None` if it cannot be read. In a list, numbers are written as they are spelled. Outside a list, an
/// integer has all its digits, and any other number the fewest digits that identify it, without an exponent.
pub(super) fn allocation_text(cell: &Json) -> Option<String> {
    match cell {
        Json::Number(spelled) => {
            let value = spelled.parse::<f64>().unwrap();
            match spelled.as_str() {
                "-0" => Some("0".to_owned()),
                spelled if is_integer(spelled) => Some(spelled.to_owned()),
                _ => value.is_finite().then(|| value.to_string()),
            }
        }
        cell => spelled(cell),
    }
}

/// `[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?`, and finite.
pub(super) fn finite_decimal(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    let well_formed = !whole.is_empty()
        && digits(whole)
        && digits(fraction)
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent));
    let value = text.parse::<f64>().ok().filter(|_| well_formed)?;
    value.is_finite().then_some(value)
}

/// Whether a number is an integer of 64 bits, without fraction and exponent.
pub(super) fn is_integer(spelled: &str) -> bool {
    spelled.parse::<i64>().is_ok()
}

/// The elements of a list. An absent cell has no elements, and any other cell is a list of one.
pub(super) fn entries(cell: &Json) -> &[Json] {
    match cell {
        Json::List(items) => items,
        Json::Text(text) if text.is_empty() => &[],
        cell => std::slice::from_ref(cell),
    }
}

pub(super) fn locate(cell: &Json, device: &mut Device, rejected: &mut u64, non_cells: &mut u64) {
    let index = match cell {
        Json::Null => return,
        Json::Text(text) if text.is_empty() => return,
        Json::List(items) if items.iter().all(|item| *item == Json::Null) => return,
        Json::Number(spelled) if is_integer(spelled) => {
            let value = spelled.parse::<f64>().unwrap();
            device.gauges.push(("starlink_H3CellId".to_owned(), value));
            spelled.parse::<u64>().ok()
        }
        Json::Number(spelled) if spelled.parse::<f64>().unwrap().is_infinite() => {
            *rejected += 1;
            return;
        }
        Json::Object(_) | Json::Broken(_) => {
            *rejected += 1;
            return;
        }
        Json::Text(text) => {
            let digits = text.strip_prefix("0x").unwrap_or(text);
            let all = |text: &str, radix| text.chars().all(|char| char.is_digit(radix));
            if [15, 16].contains(&digits.len()) && all(digits, 16) {
                u64::from_str_radix(digits, 16).ok()
            } else if all(text, 10) {
                text.parse().ok()
            } else {
                None
            }
        }
        _ => None,
    };
    match index.and_then(|index| h3o::CellIndex::try_from(index).ok()) {
        Some(cell) => {
            let centre = h3o::LatLng::from(cell);
            device.place = Some((centre.lat(), centre.lng()));
        }
        None => *non_cells += 1,
    }
}

/// The numbers of a cell's valid addresses of one family, in the order of the addresses, each once.
pub(super) fn addresses(cell: &Json, ipv4: bool, rejected: &mut u64) -> Vec<f64> {
    let mut found = BTreeSet::new();
    for entry in entries(cell) {
        let address = match entry {
            Json::Null => continue,
            Json::Text(text) => address(text),
            _ => None,
        };
        match address {
            Some(IpAddr::V4(address)) if ipv4 => drop(found.insert(u128::from(u32::from(address)))),
            Some(IpAddr::V6(address)) if !ipv4 => drop(found.insert(u128::from(address))),
            _ => *rejected += 1,
        }
    }
    let number = |bits: u128| {
        let group = |shift: u32| (bits >> shift) & ((1 << 52) - 1);
        (group(0) ^ group(52) ^ group(104)) as f64
    };
    found.into_iter().map(number).collect()
}

/// An address, or the address of a CIDR. An IPv4-mapped IPv6 address counts as its IPv4 address.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    let (address, length) = text.split_once('/').unwrap_or((text, "0"));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let is_valid = length.parse::<u8>().ok()? <= most;
    let mapped = match address {
        IpAddr::V6(address) => match address.segments() {
            [0, 0, 0, 0, 0, 0xffff, ..] => {
                let [.., a, b, c, d] = address.octets();
                Some(IpAddr::from([a, b, c, d]))
            }
            _ => None,
        },
        IpAddr::V4(_) => None,
    };
    is_valid.then_some(mapped.unwrap_or(address))
}

/// Nanoseconds as seconds, with a single rounding.
pub(super) fn seconds(nanoseconds: i64) -> f64 {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let (seconds, rest) = (
        nanoseconds.unsigned_abs() / 1_000_000_000,
        nanoseconds.unsigned_abs() % 1_000_000_000,
    );
    format!("{sign}{seconds}.{rest:09}").parse().unwrap()
}
