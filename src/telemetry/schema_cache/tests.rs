//! Tests of schemas: from column lists and enums to meanings and names.

use super::*;
use crate::telemetry::AddressKind;
use crate::telemetry::catalogue::{InventoryFamily, RESERVED};
use crate::telemetry::column_changes::Named;
use crate::telemetry::columns::MOST_NAMED;
use crate::telemetry::schema::Column;

fn enums(mut metadata: Metadata, names: &[(&str, &str)], alerts: &[(&str, &str)]) -> Metadata {
    let owned = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    };
    metadata.device_types = Some(owned(names));
    metadata.alerts.insert("u".into(), owned(alerts));
    metadata
}

fn names(schema: &TypeSchema) -> Vec<String> {
    let show = |name: &Option<Arc<str>>| name.as_deref().unwrap_or("-").to_owned();
    schema
        .columns
        .iter()
        .map(|column| match column {
            Column::Field(field) => format!("{} {}", show(&field.gauge), show(&field.info)),
            Column::Location(field) => format!("location {}", show(&field.gauge)),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn the_meaning_and_the_names_of_columns_are_derived_from_their_names() {
    let mut cache = SchemaCache::default();
    let columns: &[&str] = &[
        "DeviceType",
        "UtcTimestampNs",
        "DeviceId",
        "Uptime",
        "H3CellId",
        "ActiveAlerts",
        "Ipv4",
    ];
    let resolved = cache.resolve(&Metadata::of_columns(&[
        ("u", columns),
        ("i", &["DeviceId", "Ipv4", "Ipv6Ue", "Ipv6Cpe"]),
    ]));
    let terminal = resolved.schema.get("u").unwrap();
    assert_eq!(
        names(terminal),
        [
            "Ignored",
            "Ignored",
            "Ignored",
            "starlink_Uptime uptime",
            "location starlink_H3CellId",
            "Alerts(\"ActiveAlerts\")",
            "starlink_Ipv4 ipv4",
        ]
    );
    assert_eq!(
        (terminal.identifier, terminal.timestamp),
        (Some(2), Some(1))
    );
    assert_eq!(&*terminal.name, "u");
    let allocation = resolved.schema.get("i").unwrap();
    assert_eq!(allocation.columns[1], Column::Addresses(AddressKind::Ipv4));
    assert_eq!(allocation.timestamp, None);
    assert!(resolved.schema.get("r").is_none());
}

#[test]
fn the_first_column_gets_a_name_and_reserved_names_are_kept() {
    let mut cache = SchemaCache::default();
    let columns: &[&str] = &[
        "A-B",
        "A.B",
        "a.b",
        "up",
        "Info",
        "exporter_x",
        "alert_active_y",
        "Ipv4_numeric",
        "Ipv4_numeric_12",
        "Ipv4_numeric_x",
        "Device-Type",
        "DeviceID",
    ];
    let resolved = cache.resolve(&Metadata::of_columns(&[("u", columns)]));
    assert_eq!(
        names(resolved.schema.get("u").unwrap()),
        [
            "starlink_A_B a_b",
            "- -",
            "starlink_a_b -",
            "- up",
            "starlink_Info info",
            "- exporter_x",
            "- alert_active_y",
            "- ipv4_numeric",
            "- ipv4_numeric_12",
            "starlink_Ipv4_numeric_x ipv4_numeric_x",
            "starlink_Device_Type -",
            "starlink_DeviceID -",
        ]
    );
    let collisions: Vec<_> = resolved
        .collisions
        .named
        .iter()
        .map(|c| (&*c.column, c.name.as_str()))
        .collect();
    assert_eq!(
        collisions[..4],
        [
            ("A.B", "starlink_A_B"),
            ("A.B", "a_b"),
            ("a.b", "a_b"),
            ("up", "starlink_up")
        ]
    );
    let again = cache.resolve(&enums(
        Metadata::of_columns(&[("u", columns)]),
        &[("u", "UserTerminal")],
        &[],
    ));
    assert_eq!(
        again.collisions.count, 0,
        "reported once for each column list"
    );
    cache.resolve(&Metadata::of_columns(&[("u", &["B"])]));
    let back = cache.resolve(&Metadata::of_columns(&[("u", columns)]));
    assert_eq!(back.collisions.count, 0, "a list that returns is not new");
}

#[test]
fn no_column_gets_a_reserved_name() {
    let mut cache = SchemaCache::default();
    let listed = InventoryFamily::ALL.map(InventoryFamily::name);
    let reserved = [&RESERVED[..], &listed].concat();
    let columns = reserved
        .iter()
        .map(|family| family.strip_prefix("starlink_").unwrap());
    let columns: Vec<_> = columns.collect();
    let resolved = cache.resolve(&Metadata::of_columns(&[("u", &columns)]));
    let keys = columns.iter().map(|column| format!("- {column}"));
    let keys: Vec<_> = keys.collect();
    assert_eq!(names(resolved.schema.get("u").unwrap()), keys);
    let ignored: Vec<_> = resolved.collisions.named.iter().map(|c| &*c.name).collect();
    assert_eq!(ignored, reserved[..MOST_NAMED]);
    assert_eq!(resolved.collisions.count, reserved.len());
}

#[test]
fn the_same_answer_gives_the_same_schema() {
    let mut cache = SchemaCache::default();
    let first = cache.resolve(&Metadata::of_columns(&[("u", &["A"]), ("r", &["B"])]));
    let same = cache.resolve(&Metadata::of_columns(&[("u", &["A"]), ("r", &["B"])]));
    assert!(Arc::ptr_eq(&first.schema, &same.schema));
    let fewer = cache.resolve(&Metadata::of_columns(&[("u", &["A"])]));
    assert!(fewer.changed.types.is_empty() && fewer.schema.get("r").is_none());
    let unchanged = fewer.schema.get("u").unwrap();
    assert!(Arc::ptr_eq(first.schema.get("u").unwrap(), unchanged));
    let other = cache.resolve(&Metadata::of_columns(&[("u", &["A", "C"]), ("r", &["B"])]));
    assert_eq!(other.changed.types, ["u".into()]);
}

#[test]
fn changes_list_added_and_removed_columns() {
    let mut cache = SchemaCache::default();
    let many: Vec<_> = (0..12).map(|number| format!("N{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let mut changes = |columns: &[&str]| {
        let Changes { added, removed, .. } = cache
            .resolve(&Metadata::of_columns(&[("u", columns)]))
            .changed;
        let listed = |named: Named| (named.names.join(" "), named.count);
        (listed(added), listed(removed))
    };
    let none = || (String::new(), 0);
    let named = |names: &str, count| (names.to_owned(), count);
    assert_eq!(
        changes(&["DeviceId", "A", "B", "ActiveAlerts"]),
        (none(), none())
    );
    assert_eq!(
        changes(&["B", "A", "DeviceId", "ActiveAlerts"]),
        (none(), none())
    );
    assert_eq!(
        changes(&["B", "C", "H3CellId"]),
        (named("C H3CellId", 2), named("DeviceId A ActiveAlerts", 3))
    );
    let first = named("N0 N1 N2 N3 N4 N5 N6 N7 N8 N9", 12);
    assert_eq!(changes(&many), (first.clone(), named("B C H3CellId", 3)));
    assert_eq!(changes(&[]), (none(), first));
}

#[test]
fn enums_that_an_answer_lacks_are_the_last_ones_seen() {
    let mut cache = SchemaCache::default();
    let columns = || Metadata::of_columns(&[("u", &["A"])]);
    let alert =
        |resolved: &Resolved, code| resolved.schema.get("u").unwrap().alert(code).to_string();
    let name = |resolved: &Resolved| resolved.schema.get("u").unwrap().name.to_string();

    let none = cache.resolve(&columns());
    assert_eq!((name(&none), alert(&none, "82")), ("u".into(), "82".into()));
    let named = cache.resolve(&enums(
        columns(),
        &[("u", "UserTerminal")],
        &[("82", "pending-reboot")],
    ));
    assert_eq!(
        (name(&named), alert(&named, "82")),
        ("UserTerminal".into(), "pending_reboot".into())
    );
    let lacking = cache.resolve(&columns());
    assert_eq!(
        (name(&lacking), alert(&lacking, "82")),
        ("UserTerminal".into(), "pending_reboot".into())
    );
    let repointed = cache.resolve(&enums(columns(), &[], &[("83", "other")]));
    assert_eq!(
        (name(&repointed), alert(&repointed, "82")),
        ("u".into(), "82".into())
    );
    assert_eq!(alert(&repointed, "83"), "other");
}
