//! Turns the answer to `POST telemetry/query` into the form of the stream, so that rows get their meaning in one place.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::answer::{self, AnswerError, Rejected, check_reading, read, valid};
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
    ip_allocations: Option<RawAllocation<'a>>,
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

/// The last values of terminals as an answer of the stream: a row for each terminal, and one for its addresses. Alerts are left out: they
/// have other names here, and the values are not current.
///
/// # Errors
/// The answer is not JSON or has another shape, or the values of all terminals cannot be read.
pub fn stream_answer(body: &[u8]) -> Result<StreamAnswer, AnswerError> {
    let content: RawContent<'_> = answer::content(body)?;
    let mut rows = Vec::new();
    let (terminals, mut rejected) = terminals(content.user_terminals)?;
    for (key, terminal) in terminals {
        let id = terminal.user_terminal_id.as_deref().or(key);
        let (Some(id), Some(at)) = (id, nanoseconds(&terminal.timestamp)) else {
            rejected.add(|| "its ID is missing, or its timestamp is not a time".to_owned());
            continue;
        };
        let id = format!("{TERMINAL_PREFIX}{}", without_prefix(id, TERMINAL_PREFIX));
        if let Some(allocation) = &terminal.ip_allocations {
            let at = allocation
                .timestamp
                .as_deref()
                .and_then(nanoseconds)
                .unwrap_or(at);
            rows.push(json!([
                "i",
                at,
                id,
                allocation.ipv4,
                allocation.ipv6_ue,
                allocation.ipv6_cpe
            ]));
        }
        rows.push(json!([
            "u",
            at,
            id,
            terminal.downlink_throughput_mbps,
            terminal.uplink_throughput_mbps,
            terminal.pop_ping_drop_rate_avg,
            terminal.pop_ping_latency_ms_avg,
            terminal.obstruction_percent_time,
            terminal.uptime_seconds,
            terminal.signal_quality,
            terminal.h3_cell_id,
            terminal.seconds_until_software_update_reboot_possible,
            terminal.running_software_version,
            terminal.country_code,
            terminal.in_territorial_waters,
        ]));
    }
    check_reading(rows.len(), &rejected)?;
    let answer = json!({
        "data": {
            "values": rows,
            "columnNamesByDeviceType": { "u": TERMINAL_COLUMNS, "i": ALLOCATION_COLUMNS },
        },
        "metadata": { "enums": { "DeviceType": {}, "AlertsByDeviceType": {} } },
    });
    Ok(StreamAnswer {
        body: answer.to_string().into_bytes(),
        rejected,
    })
}

/// A terminal with the ID that is its key, if it has one.
type Keyed<'a> = (Option<&'a str>, RawTerminal<'a>);

/// The terminals of an answer, which are usually in an object; a list was seen too.
fn terminals<'a>(raw: Option<&'a RawValue>) -> Result<(Vec<Keyed<'a>>, Rejected), AnswerError> {
    let Some(raw) = raw else {
        return Ok(Default::default());
    };
    let text = raw.get();
    if let Ok(list) = serde_json::from_str::<Vec<&'a RawValue>>(text) {
        let (terminals, rejected) = valid(&list);
        let terminals = terminals.into_iter().map(|terminal| (None, terminal));
        return Ok((terminals.collect(), rejected));
    }
    let object: Option<BTreeMap<&'a str, &'a RawValue>> = serde_json::from_str(text)?;
    let mut rejected = Rejected::default();
    let entries = object.unwrap_or_default().into_iter();
    let terminals = entries
        .filter_map(|(key, terminal)| Some((Some(key), read(terminal, &mut rejected)?)))
        .collect();
    Ok((terminals, rejected))
}
