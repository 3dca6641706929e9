//! Generates sequences of answers and pauses, ordinary and hostile.

mod values;

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use self::values::*;
use super::answer::{Answer, Columns, Json, Names, Style};
use super::oracle::{START, Settings};

/// A step of a scenario.
#[derive(Debug, Clone)]
pub enum Step {
    /// Time passes while a poll is waiting.
    Wait(u64),
    /// Time passes, then a poll of an account fails.
    Fail(u64, usize),
    /// An account is no longer configured.
    Remove(usize),
    /// The process is restarted with its state file.
    Restart,
    /// Time passes, then an answer arrives.
    Answer {
        /// The account whose poll is answered.
        account: usize,
        after: u64,
        answer: Answer,
        /// Whether `expire` is called before the answer even if no device is to be forgotten.
        expire_before: bool,
        /// Whether the answer is planned twice, as after a panic.
        plan_twice: bool,
    },
}

/// The settings of a service, and the steps.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub settings: Settings,
    pub steps: Vec<Step>,
}

const TYPES: [&str; 6] = ["u", "r", "i", "d", "z\"\\\nz", ""];

/// The content of a row. The columns of the answer decide which of it is used.
#[derive(Debug, Clone)]
struct Row {
    kind: RowKind,
    id: Json,
    timestamp: Json,
    fields: Vec<Json>,
    cell: Json,
    alerts: Vec<Json>,
    addresses: Vec<Json>,
    /// The number of cells minus the number of columns.
    length: i8,
}

#[derive(Debug, Clone)]
enum RowKind {
    Of(&'static str),
    /// An element that is not a row, or a row without a type.
    Not(Json),
}

pub fn scenario() -> impl Strategy<Value = Scenario> {
    let maps = vec(columns(), 1..4);
    (settings(), maps)
        .prop_flat_map(|(settings, maps)| (Just(settings), vec(step(maps), 1..7)))
        .prop_map(|(settings, steps)| Scenario { settings, steps })
}

fn settings() -> impl Strategy<Value = Settings> {
    let seconds = prop_oneof![
        6 => Just([120, 900, 86400]),
        2 => Just([10, 5, 20]),
        2 => Just([100, 200, 50]),
        2 => Just([1, 300, 60]),
    ];
    let dropped: [&[&str]; 4] = [
        &[],
        &["Speed", "Ipv4"],
        &["AccountNumber"],
        &["H3CellId", "Alerts"],
    ];
    let dropped = prop_oneof![4 => Just(dropped[0]), 1 => select(dropped.to_vec())];
    (
        seconds,
        any::<bool>(),
        prop::bool::weighted(0.85),
        prop::bool::weighted(0.8),
        dropped,
    )
        .prop_map(
            |([stale, ip_stale, forget], include_routers, location, dated, dropped)| Settings {
                include_routers,
                location,
                dropped,
                stale_after: stale * 1000,
                ip_stale_after: ip_stale * 1000,
                forget_after: forget * 1000,
                dated,
            },
        )
}

fn millis() -> impl Strategy<Value = u64> {
    let edges = [1, 5, 10, 20, 50, 60, 100, 120, 200, 300, 900, 86400];
    let edge = (select(edges.to_vec()), -1..=1i64);
    prop_oneof![
        2 => Just(0),
        4 => Just(15_000),
        4 => edge.prop_map(|(seconds, off)| (seconds * 1000 + off).unsigned_abs()),
        1 => 0..100_000_000u64,
    ]
}

fn step(maps: Vec<Columns>) -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => millis().prop_map(Step::Wait),
        1 => (millis(), account()).prop_map(|(after, account)| Step::Fail(after, account)),
        1 => account().prop_map(Step::Remove),
        1 => Just(Step::Restart),
        8 => (account(), millis(), answer(maps), any::<bool>(), prop::bool::weighted(0.2)).prop_map(
            |(account, after, answer, expire_before, plan_twice)| Step::Answer {
                account,
                after,
                answer,
                expire_before,
                plan_twice,
            }
        ),
    ]
}

/// Mostly the first account, because devices rarely move.
fn account() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0), 2 => Just(1), 1 => Just(2)]
}

fn answer(maps: Vec<Columns>) -> impl Strategy<Value = Answer> {
    let rows = prop_oneof![vec(row(), 0..3), vec(row(), 0..8)];
    let map = prop_oneof![9 => select(maps), 1 => Just(Columns::new())];
    (style(), type_names(), alert_names(), rows, map).prop_map(
        |(style, device_types, alerts, rows, columns)| Answer {
            rows: rows.into_iter().map(|row| row.cells(&columns)).collect(),
            columns,
            device_types,
            alerts,
            style,
        },
    )
}

fn style() -> impl Strategy<Value = Style> {
    (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(escaped, spaced, rows_last, unknown)| Style {
            escaped,
            spaced,
            rows_last,
            unknown,
        },
    )
}

fn type_names() -> impl Strategy<Value = Option<Names>> {
    let usual = [("u", "UserTerminal"), ("r", "Router"), ("i", "IpAllocs")];
    let renamed = [("u", "Dish \"2\", =\\\n"), ("r", "Router"), ("d", "")];
    prop_oneof![
        6 => Just(Some(names(&usual))),
        2 => Just(None),
        1 => Just(Some(names(&renamed))),
        1 => Just(Some(names(&[("u", "d"), ("r", "d"), ("i", "d_r")]))),
        1 => Just(Some(Names::new())),
    ]
}

fn alert_names() -> impl Strategy<Value = BTreeMap<String, Names>> {
    let usual = vec![
        (
            "u",
            names(&[("82", "reboot_pending"), ("55", "disabled"), ("x-y", "x y")]),
        ),
        ("r", names(&[("55", "offline"), ("82", "offline")])),
    ];
    let pointed = vec![(
        "u",
        names(&[
            ("82", "disabled"),
            ("55", "größe \"\n"),
            ("-1", ""),
            ("7", "é _"),
        ]),
    )];
    let map = |list: Vec<(&str, Names)>| -> BTreeMap<String, Names> {
        let list = list.into_iter();
        list.map(|(code, names)| (code.to_owned(), names)).collect()
    };
    prop_oneof![
        4 => Just(map(usual)),
        2 => Just(map(pointed)),
        2 => Just(BTreeMap::new()),
        1 => Just(map(vec![("u", Names::new())])),
    ]
}

fn names(names: &[(&str, &str)]) -> Names {
    let names = names.iter();
    names
        .map(|(code, name)| ((*code).to_owned(), (*name).to_owned()))
        .collect()
}

/// The column lists of one answer; some types have none.
fn columns() -> impl Strategy<Value = Columns> {
    let lists = TYPES.map(|code| prop::option::weighted(0.85, column_list(code)));
    let [u, r, i, d, z, empty] = lists;
    (u, r, i, d, z, empty).prop_map(|(u, r, i, d, z, empty)| {
        let lists = TYPES.into_iter().zip([u, r, i, d, z, empty]);
        lists
            .filter_map(|(code, list)| Some((code.to_owned(), list?)))
            .collect()
    })
}

fn column_list(code: &'static str) -> impl Strategy<Value = Vec<Option<String>>> {
    let name = if code == "i" {
        allocation_column()
    } else {
        device_column()
    };
    let others = vec(
        prop_oneof![24 => name.prop_map(Some), 1 => Just(None)],
        0..8,
    );
    let place = 0..9usize;
    let lost = prop_oneof![30 => Just(None), 1 => select(vec!["UtcTimestampNs", "DeviceId"]).prop_map(Some)];
    let first = prop_oneof![30 => Just("DeviceType"), 1 => Just("Version")];
    (others, place.clone(), place, lost, first).prop_map(|(others, timestamp, id, lost, first)| {
        let mut list: Vec<_> = others
            .into_iter()
            .map(|name| name.map(str::to_owned))
            .collect();
        list.insert(timestamp.min(list.len()), Some("UtcTimestampNs".to_owned()));
        list.insert(id.min(list.len()), Some("DeviceId".to_owned()));
        list.insert(0, Some(first.to_owned()));
        list.retain(|name| lost.is_none() || name.as_deref() != lost);
        list
    })
}

fn device_column() -> BoxedStrategy<&'static str> {
    prop_oneof![
        8 => select(vec!["Speed", "Version", "H3CellId", "ActiveAlerts", "CountryCode", "AccountNumber"]),
        3 => select(vec![
            "speed", "Spe-ed", "Spe_ed", "version", "h3cellid", "ActiveAlert", "Alerts", "ActiveAlertIds", "alerts",
            "DownlinkThroughput", "Uptime",
        ]),
        1 => select(vec![
            "latitude", "longitude", "online", "up", "info", "last_report_timestamp_seconds", "alert_active_disabled",
            "alert_active_", "alert_active", "Ipv4_numeric", "Ipv6Ue_numeric_0", "Ipv4_numeric_x",
            "Ipv4_numeric5", "exporter_up", "exporter",
            "Ipv4", "Info", "Online", "created", "x_total", "x_count", "x_seconds",
            "GpsLatitude", "LONGITUDE", "altitudeM", "HomeLocation", "geoHash", "OldH3CellId",
        ]),
        1 => select(vec![
            "", "_x", "1x", "Größe", "a\"b\\c\nd", "DeviceID", "Device-Type", "device_type", "deviceid", "DeviceType",
            "DeviceId", "UtcTimestampNs", "field_1x", "é", " ",
        ]),
    ]
    .boxed()
}

fn allocation_column() -> BoxedStrategy<&'static str> {
    prop_oneof![
        6 => select(vec!["Ipv4", "Ipv6Ue", "Ipv6Cpe"]),
        3 => select(vec!["AccountNumber", "Version", "Site", "site"]),
        1 => select(vec!["H3CellId", "ActiveAlerts", "ipv4", "DeviceID", "", "1x", "latitude", "SiteLocation"]),
    ]
    .boxed()
}

fn row() -> impl Strategy<Value = Row> {
    let kind = prop_oneof![
        8 => Just(RowKind::Of("u")),
        3 => Just(RowKind::Of("i")),
        2 => Just(RowKind::Of("r")),
        1 => select(TYPES[3..].to_vec()).prop_map(RowKind::Of),
        1 => not_a_row().prop_map(RowKind::Not),
    ];
    let alerts = prop_oneof![4 => vec(alert(), 0..4).prop_map(Json::List), 1 => select(absent())];
    let addresses = prop_oneof![4 => vec(address(), 0..4).prop_map(Json::List), 1 => address(), 1 => select(absent())];
    (
        kind,
        id(),
        timestamp(),
        vec(field(), 12),
        h3_cell(),
        vec(alerts, 4),
        vec(addresses, 3),
        prop_oneof![6 => Just(0), 1 => -4..4i8],
    )
        .prop_map(
            |(kind, id, timestamp, fields, cell, alerts, addresses, length)| Row {
                kind,
                id,
                timestamp,
                fields,
                cell,
                alerts,
                addresses,
                length,
            },
        )
}

impl Row {
    /// The row with cells in the order of its columns.
    fn cells(self, columns: &Columns) -> Json {
        let code = match self.kind {
            RowKind::Of(code) => code,
            RowKind::Not(json) => return json,
        };
        let usual = [
            "DeviceType",
            "UtcTimestampNs",
            "DeviceId",
            "Speed",
            "Version",
        ]
        .map(|name| Some(name.to_owned()));
        let columns = columns.get(code).cloned().unwrap_or(usual.to_vec());
        let mut fields = self.fields.into_iter().cycle();
        let mut alerts = self.alerts.into_iter().cycle();
        let mut addresses = self.addresses.into_iter().cycle();
        let cells = columns
            .iter()
            .enumerate()
            .map(|(index, column)| match column.as_deref() {
                _ if index == 0 => Some(Json::text(code)),
                // The second column is valid: the specification does not say whether faults in ignored columns count.
                Some("H3CellId") if columns[..index].contains(column) => {
                    Some(number("599685771850416127"))
                }
                Some("Ipv4" | "Ipv6Ue" | "Ipv6Cpe")
                    if columns[..index].contains(column) && code == "i" =>
                {
                    Some(Json::text("198.51.100.9"))
                }
                Some("DeviceId") => Some(self.id.clone()),
                Some("UtcTimestampNs") => Some(self.timestamp.clone()),
                Some("H3CellId") => Some(self.cell.clone()),
                Some("ActiveAlerts" | "ActiveAlert" | "Alerts" | "ActiveAlertIds") => alerts.next(),
                Some("Ipv4" | "Ipv6Ue" | "Ipv6Cpe") if code == "i" => addresses.next(),
                _ => fields.next(),
            });
        let mut cells: Vec<_> = cells.flatten().collect();
        let cut = usize::from(self.length.min(0).unsigned_abs());
        cells.truncate(cells.len().saturating_sub(cut));
        let more = usize::from(self.length.max(0).unsigned_abs());
        cells.extend(fields.take(more));
        Json::List(cells)
    }
}

fn number(spelled: &str) -> Json {
    Json::Number(spelled.to_owned())
}

fn object() -> Json {
    Json::Object(vec![("DeviceId".to_owned(), Json::List(vec![Json::Null]))])
}

fn absent() -> Vec<Json> {
    vec![Json::Null, Json::text(""), Json::List(Vec::new())]
}

fn not_a_row() -> impl Strategy<Value = Json> {
    let untyped = |first: Json| Json::List(vec![first, number("1"), Json::text("a")]);
    select(vec![
        number("7"),
        number("1e999"),
        Json::Null,
        Json::text("u"),
        Json::Broken(r#""\udc00""#),
        object(),
        Json::List(Vec::new()),
        untyped(Json::Null),
        untyped(number("1")),
        untyped(Json::Broken(r#""u\ud800""#)),
        untyped(Json::List(vec![Json::text("u")])),
    ])
}
