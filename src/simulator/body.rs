//! Builds the body of a valid answer from rows: the values first, then the columns and the meaning of codes.

/// The columns of a terminal's row, in the order in which the generated rows have them.
pub const TERMINAL_COLUMNS: &[&str] = &[
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
    "ActiveAlerts",
];

/// The columns of a router's row, in the order in which the generated rows have them.
pub const ROUTER_COLUMNS: &[&str] = &[
    "DeviceType",
    "UtcTimestampNs",
    "DeviceId",
    "WifiUptimeS",
    "WifiSoftwareVersion",
    "WifiHardwareVersion",
    "WifiIsRepeater",
    "WifiHopsFromController",
    "WifiIsBypassed",
    "InternetPingDropRate",
    "InternetPingLatencyMs",
    "WifiPopPingDropRate",
    "WifiPopPingLatencyMs",
    "DishPingDropRate",
    "DishPingLatencyMs",
    "Clients",
    "Clients2Ghz",
    "Clients5Ghz",
    "ClientsEth",
    "WanRxBytes",
    "WanTxBytes",
    "Clients2GhzRxRateMbpsMin",
    "Clients2GhzRxRateMbpsMax",
    "Clients2GhzRxRateMbpsAvg",
    "Clients2GhzSignalStrengthMin",
    "Clients2GhzSignalStrengthMax",
    "Clients2GhzSignalStrengthAvg",
    "Clients5GhzRxRateMbpsMin",
    "Clients5GhzRxRateMbpsMax",
    "Clients5GhzRxRateMbpsAvg",
    "Clients5GhzSignalStrengthMin",
    "Clients5GhzSignalStrengthMax",
    "Clients5GhzSignalStrengthAvg",
    "DishId",
    "ApiVersion",
    "ActiveAlerts",
];

/// The columns of an IP allocation's row.
pub const IP_COLUMNS: &[&str] = &[
    "DeviceType",
    "UtcTimestampNs",
    "DeviceId",
    "AccountNumber",
    "Ipv4",
    "Ipv6Ue",
    "Ipv6Cpe",
];

/// The names of the device type codes. No row of type `d` has been seen, though the enum names it.
pub const DEVICE_TYPES: &[(&str, &str)] = &[
    ("u", "UserTerminal"),
    ("r", "Router"),
    ("i", "IpAllocs"),
    ("d", "UserTerminalDataUsage"),
];

/// The names of a terminal's alert codes.
pub const TERMINAL_ALERTS: &[(&str, &str)] = &[
    ("50", "ethernet_slow_10mbps"),
    ("51", "ethernet_slow_100mbps"),
    ("53", "actuator_motor_stuck"),
    ("54", "mast_not_vertical"),
    ("55", "disabled_no_active_service_line"),
    ("56", "disabled_too_far_from_service_address"),
    ("62", "pop_change"),
    ("66", "high_time_obstruction"),
    ("80", "thermal_shutdown"),
    ("81", "thermal_throttling"),
    ("82", "software_update_reboot_pending"),
    ("84", "disabled_data_usage_exceeded_quota"),
    ("97", "data_overage_rate_limited"),
];

/// The names of a router's alert codes. Code 55 has another meaning than for a terminal.
pub const ROUTER_ALERTS: &[(&str, &str)] = &[("55", "offline_networks_disabled")];

/// Names in the order of the text: each key with its JSON value.
type Members = Vec<(String, String)>;

/// Builds the body of a valid answer from rows given as JSON text.
///
/// It starts with the columns and enums of the generated answers; each can be replaced or removed.
///
/// ```
/// use starlink_telemetry::simulator::AnswerBody;
///
/// let body = AnswerBody::new()
///     .row(r#"["u",1756537212000000000,"ut01",0.5]"#)
///     .columns("u", &["DeviceType", "UtcTimestampNs", "DeviceId", "DownlinkThroughput"])
///     .without_device_types();
/// assert!(body.to_json().starts_with(r#"{"data":{"values":[["u",1756537212000000000,"#));
/// ```
#[derive(Debug, Clone)]
pub struct AnswerBody {
    rows: Vec<String>,
    columns: Members,
    device_types: Option<String>,
    alerts: Option<Members>,
    metadata: bool,
    padding: usize,
}

impl Default for AnswerBody {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            columns: Vec::new(),
            device_types: Some(names(DEVICE_TYPES)),
            alerts: Some(Vec::new()),
            metadata: true,
            padding: 0,
        }
        .columns("u", TERMINAL_COLUMNS)
        .columns("r", ROUTER_COLUMNS)
        .columns("i", IP_COLUMNS)
        .alerts("u", TERMINAL_ALERTS)
        .alerts("r", ROUTER_ALERTS)
    }
}

impl AnswerBody {
    /// An empty answer with the default columns and enums.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row: a JSON text that is written unchanged (even if it is not valid JSON).
    pub fn row(mut self, json: impl Into<String>) -> Self {
        self.rows.push(json.into());
        self
    }

    /// Adds rows as [`AnswerBody::row`] does.
    pub fn rows<R: Into<String>>(mut self, rows: impl IntoIterator<Item = R>) -> Self {
        self.rows.extend(rows.into_iter().map(Into::into));
        self
    }

    /// Sets the columns of a device type.
    pub fn columns(mut self, device_type: &str, columns: &[&str]) -> Self {
        let list: Vec<_> = columns.iter().map(|column| quoted(column)).collect();
        set(
            &mut self.columns,
            device_type,
            format!("[{}]", list.join(",")),
        );
        self
    }

    /// Leaves out the columns of a device type.
    pub fn without_columns(mut self, device_type: &str) -> Self {
        self.columns.retain(|(name, _)| name != device_type);
        self
    }

    /// Sets the `DeviceType` enum: pairs of code and name.
    pub fn device_types(mut self, pairs: &[(&str, &str)]) -> Self {
        self.device_types = Some(names(pairs));
        self
    }

    /// Leaves out the `DeviceType` enum.
    pub fn without_device_types(mut self) -> Self {
        self.device_types = None;
        self
    }

    /// Sets the alert names of a device type: pairs of code and name.
    pub fn alerts(mut self, device_type: &str, pairs: &[(&str, &str)]) -> Self {
        let alerts = self.alerts.get_or_insert_default();
        set(alerts, device_type, names(pairs));
        self
    }

    /// Leaves out the alert names of a device type.
    pub fn without_alerts_of(mut self, device_type: &str) -> Self {
        if let Some(alerts) = &mut self.alerts {
            alerts.retain(|(name, _)| name != device_type);
        }
        self
    }

    /// Leaves out the `AlertsByDeviceType` enum.
    pub fn without_alerts(mut self) -> Self {
        self.alerts = None;
        self
    }

    /// Leaves out `metadata`, with all enums.
    pub fn without_metadata(mut self) -> Self {
        self.metadata = false;
        self
    }

    /// Adds `bytes` spaces to the text, which remains valid JSON, to create bodies that are too large.
    pub fn padding(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }

    /// The number of rows.
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// The body as text.
    pub fn to_json(&self) -> String {
        let length: usize = self.rows.iter().map(|row| row.len() + 1).sum();
        let mut json = String::with_capacity(length + self.padding + 4096);
        json.push_str(r#"{"data":{"values":["#);
        for (index, row) in self.rows.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            json.push_str(row);
        }
        json.push(']');
        json.extend(std::iter::repeat_n(' ', self.padding));
        json.push_str(r#","columnNamesByDeviceType":"#);
        json.push_str(&object(&self.columns));
        json.push_str(r#","aggregateValues":null}"#);
        if self.metadata {
            json.push_str(r#","metadata":{"enums":"#);
            json.push_str(&object(&self.enums()));
            json.push('}');
        }
        json.push('}');
        json
    }

    fn enums(&self) -> Members {
        let device_types = self.device_types.clone();
        let alerts = self.alerts.as_deref().map(object);
        [("DeviceType", device_types), ("AlertsByDeviceType", alerts)]
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect()
    }
}

fn set(members: &mut Members, name: &str, value: String) {
    match members.iter_mut().find(|(known, _)| known == name) {
        Some(member) => member.1 = value,
        None => members.push((name.to_owned(), value)),
    }
}

fn names(pairs: &[(&str, &str)]) -> String {
    let members: Members = pairs
        .iter()
        .map(|&(code, name)| (code.to_owned(), quoted(name)))
        .collect();
    object(&members)
}

fn object(members: &[(String, String)]) -> String {
    let members: Vec<_> = members
        .iter()
        .map(|(name, value)| format!("{}:{value}", quoted(name)))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// A string as JSON, escapes included.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parsed(body: &AnswerBody) -> Value {
        serde_json::from_str(&body.to_json()).expect("valid JSON")
    }

    #[test]
    fn the_usual_members_are_there_and_values_come_first() {
        let body = AnswerBody::new().row("[1]").rows(["[2]", "[3]"]);
        let value = parsed(&body);
        assert_eq!(value["data"]["values"], json!([[1], [2], [3]]));
        assert_eq!(
            value["data"]["columnNamesByDeviceType"]["u"],
            json!(TERMINAL_COLUMNS)
        );
        assert_eq!(
            value["metadata"]["enums"]["DeviceType"]["d"],
            "UserTerminalDataUsage"
        );
        assert_eq!(
            value["metadata"]["enums"]["AlertsByDeviceType"]["r"],
            json!({"55": "offline_networks_disabled"})
        );
        let json = body.to_json();
        assert!(json.find("values") < json.find("columnNamesByDeviceType"));
        assert_eq!(body.row_count(), 3);
    }

    #[test]
    fn each_member_can_be_left_out_or_replaced() {
        let cases: [(AnswerBody, &str, Value); 8] = [
            (
                AnswerBody::new().columns("u", &["A\"B"]),
                "/data/columnNamesByDeviceType/u",
                json!(["A\"B"]),
            ),
            (
                AnswerBody::new().without_columns("u"),
                "/data/columnNamesByDeviceType/u",
                Value::Null,
            ),
            (
                AnswerBody::new().device_types(&[("x", "New")]),
                "/metadata/enums/DeviceType",
                json!({"x": "New"}),
            ),
            (
                AnswerBody::new().without_device_types(),
                "/metadata/enums/DeviceType",
                Value::Null,
            ),
            (
                AnswerBody::new().alerts("u", &[("1", "one")]),
                "/metadata/enums/AlertsByDeviceType/u",
                json!({"1": "one"}),
            ),
            (
                AnswerBody::new().without_alerts_of("u"),
                "/metadata/enums/AlertsByDeviceType/u",
                Value::Null,
            ),
            (
                AnswerBody::new().without_alerts(),
                "/metadata/enums/AlertsByDeviceType",
                Value::Null,
            ),
            (
                AnswerBody::new().without_metadata(),
                "/metadata",
                Value::Null,
            ),
        ];
        for (body, pointer, expected) in cases {
            let value = parsed(&body);
            assert_eq!(
                value.pointer(pointer).unwrap_or(&Value::Null),
                &expected,
                "{pointer}"
            );
        }
    }

    #[test]
    fn padding_keeps_the_json_valid() {
        let body = AnswerBody::new().padding(10_000);
        assert!(body.to_json().len() > 10_000);
        parsed(&body);
    }
}
