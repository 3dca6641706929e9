//! Turns the answer to `POST telemetry/query` into the form of the stream, so that rows get their meaning in one place.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::answer::{self, AnswerError, Rejected, check_reading, read};
use super::terminals::{TERMINAL_PREFIX, without_prefix};
use super::time::nanoseconds;

/// The columns of terminals: Starlink's names in the stream, in the order of [`RawTerminal`].
const TERMINAL_COLUMNS: [&str; 15] = [
    "DeviceType",
    "UtcTimestampNs",
    "DeviceId",
    "DownlinkThroughput",
    "UplinkThroughput",
    "PingDropRateAvg",
    "PingLatencyMsAvg",
    "ObstructionPercentTime",
    "Uptime",
    "SignalQuality",
    "H3CellId",
    "SecondsUntilSwupdateRebootPossible",
    "RunningSoftwareVersion",
    "CountryCode",
    "InTerritorialWaters",
];

/// The columns of IP allocations.
const ALLOCATION_COLUMNS: [&str; 6] = [
    "DeviceType",
    "UtcTimestampNs",
    "DeviceId",
    "Ipv4",
    "Ipv6Ue",
    "Ipv6Cpe",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawContent<'a> {
    #[serde(borrow)]
    user_terminals: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTerminal<'a> {
    #[serde(borrow)]
    user_terminal_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    downlink_throughput_mbps: Option<&'a RawValue>,
    #[serde(borrow)]
    uplink_throughput_mbps: Option<&'a RawValue>,
    #[serde(borrow)]
    pop_ping_drop_rate_avg: Option<&'a RawValue>,
    #[serde(borrow)]
    pop_ping_latency_ms_avg: Option<&'a RawValue>,
    #[serde(borrow)]
    obstruction_percent_time: Option<&'a RawValue>,
    #[serde(borrow)]
    uptime_seconds: Option<&'a RawValue>,
    #[serde(borrow)]
    signal_quality: Option<&'a RawValue>,
    #[serde(borrow)]
    h3_cell_id: Option<&'a RawValue>,
    #[serde(borrow)]
    seconds_until_software_update_reboot_possible: Option<&'a RawValue>,
    #[serde(borrow)]
    running_software_version: Option<&'a RawValue>,
    #[serde(borrow)]
    country_code: Option<&'a RawValue>,
    #[serde(borrow)]
    in_territorial_waters: Option<&'a RawValue>,
    #[serde(borrow)]
    ip_allocations: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAllocation<'a> {
    #[serde(borrow)]
    ipv4: Option<&'a RawValue>,
    #[serde(borrow)]
    ipv6_ue: Option<&'a RawValue>,
    #[serde(borrow)]
    ipv6_cpe: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StreamData<'a> {
    values: Vec<Vec<Cell<'a>>>,
    column_names_by_device_type: serde_json::Value,
}

/// A cell of a row. A raw value is copied as it is: it may be a number or a nesting that `serde_json` cannot read.
#[derive(Serialize)]
#[serde(untagged)]
enum Cell<'a> {
    Text(Cow<'a, str>),
    Nanoseconds(i64),
    Raw(Option<&'a RawValue>),
}

/// The body of a request for these terminals, whose IDs are as the management API writes them.
#[must_use]
pub fn request<'i>(terminals: impl IntoIterator<Item = &'i str>) -> String {
    let ids: Vec<_> = terminals.into_iter().collect();
    json!({
        "includeUserTerminals": true,
        "userTerminalIds": ids,
        "includeRouters": false,
        "routerIds": [],
    })
    .to_string()
}

/// Last values in the form of an answer of the stream.
#[derive(Debug)]
pub struct StreamAnswer {
    /// The answer.
    pub body: Vec<u8>,
    /// The terminals that were left out because their values cannot be read.
    pub rejected: Rejected,
}

/// The last values of terminals as an answer of the stream: a row for each terminal, and one for its addresses. `is_requested` is called with
/// an ID without its prefix; other terminals are left out. Alerts are left out: they have other names here, and the values are not current.
///
/// # Errors
/// The answer is not JSON or has another shape, or the values of all terminals cannot be read.
pub fn stream_answer(
    body: &[u8],
    is_requested: impl Fn(&str) -> bool,
) -> Result<StreamAnswer, AnswerError> {
    let content: RawContent<'_> = answer::content(body)?;
    let mut values = Vec::new();
    let mut rejected = Rejected::default();
    for (key, raw) in terminals(content.user_terminals)? {
        let Some(terminal) = read::<RawTerminal<'_>>(raw, &mut rejected) else {
            continue;
        };
        let id = terminal.user_terminal_id.as_deref().or(key.as_deref());
        let (Some(id), Some(at)) = (id, nanoseconds(&terminal.timestamp)) else {
            rejected.add(|| "its ID is missing, or its timestamp is not a time".to_owned());
            continue;
        };
        let id = without_prefix(id, TERMINAL_PREFIX);
        if is_requested(id) {
            let id = format!("{TERMINAL_PREFIX}{id}");
            values.extend(terminal.allocation_row(&id, at));
            values.push(terminal.row(id, at));
        }
    }
    check_reading(values.len(), &rejected)?;
    let answer = BTreeMap::from([(
        "data",
        StreamData {
            values,
            column_names_by_device_type: json!({
                "u": TERMINAL_COLUMNS,
                "i": ALLOCATION_COLUMNS,
            }),
        },
    )]);
    Ok(StreamAnswer {
        body: serde_json::to_vec(&answer)?,
        rejected,
    })
}

impl<'a> RawTerminal<'a> {
    fn row(&self, id: String, at: i64) -> Vec<Cell<'a>> {
        let values = [
            self.downlink_throughput_mbps,
            self.uplink_throughput_mbps,
            self.pop_ping_drop_rate_avg,
            self.pop_ping_latency_ms_avg,
            self.obstruction_percent_time,
            self.uptime_seconds,
            self.signal_quality,
            self.h3_cell_id,
            self.seconds_until_software_update_reboot_possible,
            self.running_software_version,
            self.country_code,
            self.in_territorial_waters,
        ];
        row("u", at, id, values)
    }

    /// The row of the addresses, if there are any.
    fn allocation_row(&self, id: &str, at: i64) -> Option<Vec<Cell<'a>>> {
        let allocation: RawAllocation<'a> =
            serde_json::from_str(self.ip_allocations?.get()).ok()?;
        let own = allocation.timestamp.as_deref().and_then(nanoseconds);
        let values = [allocation.ipv4, allocation.ipv6_ue, allocation.ipv6_cpe];
        Some(row("i", own.unwrap_or(at), id.to_owned(), values))
    }
}

fn row<'a, const N: usize>(
    device_type: &'static str,
    at: i64,
    id: String,
    values: [Option<&'a RawValue>; N],
) -> Vec<Cell<'a>> {
    let start = [
        Cell::Text(device_type.into()),
        Cell::Nanoseconds(at),
        Cell::Text(id.into()),
    ];
    start.into_iter().chain(values.map(Cell::Raw)).collect()
}

/// A terminal of an answer: its key, and its text.
type Keyed<'a> = (Option<Cow<'a, str>>, &'a RawValue);

/// The terminals of an answer. Usually an object by ID, sometimes a list.
fn terminals<'a>(raw: Option<&'a RawValue>) -> Result<Vec<Keyed<'a>>, AnswerError> {
    let Some(raw) = raw else {
        return Ok(Vec::new());
    };
    let text = raw.get();
    if let Ok(list) = serde_json::from_str::<Vec<&'a RawValue>>(text) {
        return Ok(list.into_iter().map(|terminal| (None, terminal)).collect());
    }
    let object: Option<BTreeMap<Cow<'a, str>, &'a RawValue>> = serde_json::from_str(text)?;
    let entries = object.unwrap_or_default().into_iter();
    Ok(entries.map(|(key, raw)| (Some(key), raw)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: &str = r#""timestamp":"2026-11-24T07:13:20Z""#;

    fn read(terminals: &str) -> (serde_json::Value, usize) {
        let body = format!(r#"{{"content":{{"userTerminals":{terminals}}}}}"#);
        let read = stream_answer(body.as_bytes(), |id| id != "other").unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&read.body).unwrap();
        let ids = answer["data"]["values"].as_array().unwrap().iter();
        let ids: Vec<_> = ids.map(|row| row[2].clone()).collect();
        (ids.into(), read.rejected.entries)
    }

    #[test]
    fn terminals_that_cannot_be_read_are_counted_and_others_than_requested_are_left_out() {
        for (terminals, ids, rejected) in [
            (
                format!(r#"{{"one":{{{AT}}},"utother":{{{AT}}}}}"#),
                json!(["utone"]),
                0,
            ),
            (
                format!(r#"{{"one":{{{AT}}},"two":{{}},"three":7,"four":null}}"#),
                json!(["utone"]),
                3,
            ),
            (
                format!(
                    r#"[{{{AT}}},{{"userTerminalId":"UTone",{AT}}},{{"userTerminalId":"other",{AT}}}]"#
                ),
                json!(["utone"]),
                1,
            ),
            // An escape in a key, and addresses of another shape.
            (
                format!(r#"{{"o\u006ee":{{{AT},"ipAllocations":7}}}}"#),
                json!(["utone"]),
                0,
            ),
            ("null".to_owned(), json!([]), 0),
        ] {
            assert_eq!(read(&terminals), (ids, rejected), "{terminals}");
        }
    }

    #[test]
    fn any_value_costs_at_most_its_cell() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        for value in [
            "1e999",
            "-1e999",
            "[1e999]",
            deep.as_str(),
            r#""\ud800""#,
            "{}",
        ] {
            let one = format!(
                r#"{{{AT},"signalQuality":{value},"uptimeSeconds":7,"ipAllocations":{{"ipv4":{value}}}}}"#
            );
            let body = format!(r#"{{"content":{{"userTerminals":{{"one":{one}}}}}}}"#);
            let read = stream_answer(body.as_bytes(), |_| true).unwrap();
            assert_eq!(read.rejected.entries, 0, "{value:.20}");
            let text = String::from_utf8(read.body).unwrap();
            let ns = 1_795_504_400_000_000_000_i64;
            let row = format!(r#"["u",{ns},"utone",null,null,null,null,null,7,{value},null"#);
            assert!(text.contains(&row), "{text:.200}");
            let row = format!(r#"["i",{ns},"utone",{value},null,null]"#);
            assert!(text.contains(&row), "{text:.200}");
        }
    }
}
