//! Checks that docs/METRICS.md lists the metrics as the service exports them.
//! `UPDATE_GOLDEN=1 cargo test --locked --test it documented` updates it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use starlink_telemetry::exposition::{Format, write_end};
use starlink_telemetry::recording::{DestinationStatus, JournalStatus, SenderStatus, Statuses};
use starlink_telemetry::remote_write::parse;
use starlink_telemetry::simulator::{Part as Listed, ROUTER_COLUMNS, TERMINAL_COLUMNS};
use starlink_telemetry::telemetry::catalogue::RESERVED;

use super::recorded::{NOWHERE, SENDER_UP};
use crate::form::{Body, Family, read};
use crate::harness::{REPORTS_SKIPPED, Service, UP, eventually, throughput};
use crate::listed;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md");

/// A family that is absent on systems without a limit of open files.
const OPTIONAL: &str = "process_max_fds";

const DEVICE_LABELS: [&str; 2] = ["device_type", "deviceID"];

const BEGIN: &str = "\
# Metrics

What `/metrics` contains. The tables are generated from the service. Names are those of the Prometheus text format; OpenMetrics names the family of a
counter without `_total`, and that of an info without `_info`.

Every series of a device has the labels `device_type` (`UserTerminal`, `Router`, …) and `deviceID`, and no others, except for `starlink_info`
and the series of the [inventory](#inventory). Samples have no timestamps. What a device does not report is absent: never 0, never an older value.

`/metrics?collect[]=telemetry` has only the fields and what is derived from them, `collect[]=inventory` only the [inventory](#inventory), and
`collect[]=exporter` only the [exporter's own metrics](#the-exporter). The parameter can be repeated; without it, all are there.
";

/// How the families begin that `collect[]=inventory` selects.
const INVENTORY: [&str; 6] = [
    "starlink_device_",
    "starlink_terminal_info",
    "starlink_router_terminal",
    "starlink_service_line_",
    "starlink_data_pool_",
    "starlink_account_",
];

/// The text after the tables.
const END: &str = include_str!("documented.md");

/// A part of the document: its title, its introduction, and the filter of its families.
type Part = (&'static str, &'static str, fn(&Family) -> bool);

const PARTS: [Part; 6] = [
    (
        "Fields of terminals",
        "Fields that Starlink adds appear automatically, as `starlink_<Field>`.",
        |family| is_field(family) && is_of(family, "UserTerminal"),
    ),
    (
        "Fields of routers",
        "With `INCLUDE_ROUTERS=true`. Rates and signal strengths of clients are absent if no client is connected.",
        |family| is_field(family) && !is_of(family, "UserTerminal"),
    ),
    (
        "Derived from what devices report",
        "A terminal with several addresses has `starlink_Ipv4_numeric_0`, `starlink_Ipv4_numeric_1` and so on instead, and IPv6 likewise. \
         `starlink_info` has a label for each text field, its name in lower case. For when a series is absent, see [below](#when-a-series-is-absent).",
        |family| !is_field(family) && !is_listed(family) && labels(family).contains_key("deviceID"),
    ),
    (
        "Inventory",
        "From Starlink's management API, except for `starlink_device_account`, names of `NAMES_FILE`, and terminals of routers that report them: see \
         [Inventory](INVENTORY.md). `category` is a closed list. A label whose text is not known is empty.",
        is_listed,
    ),
    (
        "The exporter",
        "The values of `reason`, `cause`, `actor`, `code`, `format`, `part`, `state` and `task` are closed lists; all counters exist from the start, at 0.",
        |family| {
            !is_listed(family) && !is_recorded(family) && !labels(family).contains_key("deviceID")
        },
    ),
    (
        "Journal and remote write",
        "Only if rows are sent to destinations of remote write (`REMOTE_WRITE_URL` or `REMOTE_WRITE_FILE`). `reason` and `operation` are closed lists, whose counters exist from \
         the start, at 0. `code` is a status, `error` or `timeout`, and exists from the first such response on.",
        is_recorded,
    ),
];

/// Whether the family is one of the inventory.
fn is_listed(family: &Family) -> bool {
    INVENTORY.iter().any(|begin| family.name.starts_with(begin))
}

/// Whether the family is about a journal or a destination.
fn is_recorded(family: &Family) -> bool {
    ["journal", "remote_write"].iter().any(|part| {
        let begin = format!("starlink_exporter_{part}_");
        family.name.starts_with(&begin)
    })
}

/// Whether the family is a field of Starlink. Names of fields begin with a capital letter.
fn is_field(family: &Family) -> bool {
    let field = family.name.strip_prefix("starlink_").unwrap_or_default();
    field.starts_with(|first: char| first.is_ascii_uppercase()) && !field.ends_with("_numeric")
}

fn is_of(family: &Family, device_type: &str) -> bool {
    let label = format!("device_type=\"{device_type}\"");
    family
        .samples
        .iter()
        .any(|(series, _)| series.contains(&label))
}

/// The labels of a family and their values.
fn labels(family: &Family) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (series, _) in &family.samples {
        let (_, inner) = series.split_once('{').unwrap_or_default();
        for label in inner.trim_end_matches('}').split("\",") {
            if let Some((name, value)) = label.split_once("=\"") {
                labels
                    .entry(name)
                    .or_default()
                    .insert(value.trim_end_matches('"'));
            }
        }
    }
    // The label of the buckets of a histogram, which is not documented for each family.
    labels.remove("le");
    labels
}

/// The cell about a family's labels: the names of labels, and the values of those with a closed list.
fn label_cell(family: &Family) -> String {
    let labels = labels(family);
    let has_device = DEVICE_LABELS.iter().all(|name| labels.contains_key(name));
    let cells = labels
        .iter()
        .filter(|(name, _)| !(has_device && DEVICE_LABELS.contains(name)));
    let cells: Vec<_> = cells
        .map(|(name, values)| match *name {
            // Starlink's words.
            "reason" if is_listed(family) => "`reason`".to_owned(),
            "code" if is_recorded(family) => "`code`".to_owned(),
            "actor" | "category" | "cause" | "code" | "format" | "operation" | "part"
            | "reason" | "state" | "task" => {
                let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
                format!("`{name}`: {}", values.join(", "))
            }
            _ if family.name == "starlink_info" => "one for each text field".to_owned(),
            _ => format!("`{name}`"),
        })
        .collect();
    let unique: BTreeSet<_> = cells.iter().map(String::as_str).collect();
    unique.into_iter().collect::<Vec<_>>().join("; ")
}

fn shown_name(family: &Family) -> &str {
    match family.name.starts_with("starlink_alert_active_") {
        true => "starlink_alert_active_<name>",
        false => &family.name,
    }
}

/// One row of a table.
fn row(family: &Family, with_labels: bool) -> String {
    let name = shown_name(family);
    let alert = family.name.strip_prefix("starlink_alert_active_");
    let help = family.help.replace(alert.unwrap_or("\0"), "`<name>`");
    let cells = [name, &family.kind, &label_cell(family), &help];
    let cells = cells.map(|cell| cell.replace("\\\\", "\\").replace('|', "\\|"));
    let [name, kind, labels, help] = cells;
    match with_labels {
        true => format!("| `{name}` | {kind} | {labels} | {help} |\n"),
        false => format!("| `{name}` | {kind} | {help} |\n"),
    }
}

/// The document for the families of a body.
fn document(body: &Body) -> String {
    let mut document = BEGIN.to_owned();
    for (title, text, belongs) in PARTS {
        let families = || body.families.iter().filter(|family| belongs(family));
        let with_labels = families().any(|family| !label_cell(family).is_empty());
        let head = match with_labels {
            true => "| metric | type | labels | meaning |\n|---|---|---|---|\n",
            false => "| metric | type | meaning |\n|---|---|---|\n",
        };
        document += &format!("\n## {title}\n\n{text}\n\n{head}");
        document.extend(families().map(|family| row(family, with_labels)));
    }
    document + &reserved(body) + END
}

/// The section of reserved names that no family of the body has.
fn reserved(body: &Body) -> String {
    let others = RESERVED.iter().filter(|name| body.family(name).is_none());
    let list: Vec<_> = others.map(|name| format!("`{name}`")).collect();
    format!(
        "\n## Reserved names\n\nA field that would get the name of a family above is ignored, with a warning in the log. OpenMetrics names \
         the family of an info without `_info`, so these names are reserved as well: {}.\n",
        list.join(", ")
    )
}

/// A row that fills all columns of its type.
fn full_row(code: &str, id: &str, columns: &[&str]) -> String {
    let texts = [
        "RunningSoftwareVersion",
        "CountryCode",
        "WifiSoftwareVersion",
        "WifiHardwareVersion",
        "DishId",
    ];
    let cells = columns.iter().map(|column| match *column {
        "DeviceType" => format!("\"{code}\""),
        "UtcTimestampNs" => "1767225645000000000".to_owned(),
        "DeviceId" => format!("\"{id}\""),
        "H3CellId" => "599686042433355775".to_owned(),
        "ActiveAlerts" => "[55]".to_owned(),
        // Its type is not documented.
        "ApiVersion" => "null".to_owned(),
        text if texts.contains(&text) => "\"text\"".to_owned(),
        _ => "1".to_owned(),
    });
    format!("[{}]", cells.collect::<Vec<_>>().join(","))
}

/// A scrape with all families: one device of each kind with all columns, and each setting that adds a family.
async fn full_body() -> Body {
    let simulator = listed::simulator();
    let suspended = listed::answer("account-suspended");
    simulator.set_inventory_answer(Listed::Account, Some(suspended));
    simulator.push_rows([
        full_row("u", "ut-1", TERMINAL_COLUMNS),
        full_row("r", "Router-1", ROUTER_COLUMNS)
            .replace("[55]", "[]"),
        r#"["i",1767225645000000000,"ip-ut-1","ACC-1",["192.0.2.1"],["2001:db8::/64"],["2001:db8::/56"]]"#.to_owned(),
    ]);
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let journal = directory.path().join("journal");
    let names = directory.path().join("names.csv");
    fs::write(&names, "deviceID,name,group\nut-1,Aurora,north\n").unwrap();
    let changes = [
        ("NAMES_FILE", names.to_str().unwrap()),
        ("STATE_FILE", state.to_str().unwrap()),
        ("STATE_INTERVAL", "1"),
        ("JOURNAL_DIR", journal.to_str().unwrap()),
        ("REMOTE_WRITE_URL", NOWHERE),
    ];
    let changes = [&listed::ON[..], &changes].concat();
    let service = Service::start(&simulator, &changes).await;
    service.shows(&throughput("ut-1"), 1.0).await;
    service.shows(UP, 1.0).await;
    service.shows(SENDER_UP, 1.0).await;
    let next_report = full_row("u", "ut-1", TERMINAL_COLUMNS).replace("1767225645", "1767225660");
    simulator.push_rows([next_report]);
    service.shows(REPORTS_SKIPPED, 0.0).await;
    listed::has_read(&service).await;
    let written = "starlink_exporter_state_last_write_timestamp_seconds";
    eventually("the state is written", || async {
        service.scrape().await.has(written)
    })
    .await;
    service.scrape().await
}

/// The families of one account and one destination.
fn recorded() -> Vec<Family> {
    let file = "remote_write: [{name: central, url: 'http://127.0.0.1/write'}]";
    let mut destinations = parse(file.as_bytes(), Path::new("/")).unwrap();
    let destination = Arc::new(destinations.remove(0));
    let journal = JournalStatus::new("default".into(), Duration::ZERO);
    let sender = SenderStatus::new(
        "default".into(),
        Arc::clone(&destination.name),
        Duration::ZERO,
    );
    let unknown = [
        &journal.bytes,
        &journal.records,
        &journal.oldest_record,
        &sender.oldest_pending,
        &sender.shards,
        &sender.protocol_version,
    ];
    for gauge in unknown {
        gauge.set(1.0);
    }
    sender.count_request("200");
    let statuses = Statuses {
        journals: vec![Arc::new(journal)],
        destinations: vec![Arc::new(DestinationStatus::new(destination))],
        senders: vec![Arc::new(sender)],
    };
    let mut text = Vec::new();
    write_end(&mut text, Format::Prometheus, &statuses.families());
    read(std::str::from_utf8(&text).unwrap(), "prometheus").families
}

#[actix_rt::test]
async fn the_documented_metrics_are_those_that_exist() {
    let mut body = full_body().await;
    // Some of them are absent without a receiver.
    body.families.retain(|family| !is_recorded(family));
    body.families.extend(recorded());
    let mut found = document(&body);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(FILE, &found).unwrap();
    }
    let mut expected = fs::read_to_string(FILE).unwrap();
    if body.family(OPTIONAL).is_none() {
        let lines = expected.lines().filter(|line| !line.contains(OPTIONAL));
        expected = lines.collect::<Vec<_>>().join("\n");
        found = found.trim_end().to_owned();
    }
    let pairs = expected.lines().zip(found.lines());
    let first = pairs
        .into_iter()
        .find(|(expected, found)| expected != found);
    assert!(
        expected == found,
        "docs/METRICS.md differs, first at {first:?}"
    );
}
