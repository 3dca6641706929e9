//! Tests of interpreting rows.

use super::*;
use crate::telemetry::{Batch, SchemaCache, decode};

const COLUMNS: &str = r#"
    "u":["DeviceType","UtcTimestampNs","DeviceId","Speed","H3CellId","ActiveAlerts",null,"Speed"],
    "i":["DeviceType","UtcTimestampNs","DeviceId","Account","H3CellId","ActiveAlerts","Ipv4","Ipv6Ue"],
    "x":["DeviceId","UtcTimestampNs","DeviceType","Speed","H3CellId","ActiveAlerts"]"#;

fn batch(rows: &str) -> Batch {
    let enums = r#"{"AlertsByDeviceType":{"u":{"82":"pending-reboot"}}}"#;
    let body = format!(
        r#"{{"data":{{"values":[{rows}],"columnNamesByDeviceType":{{{COLUMNS}}}}},"metadata":{{"enums":{enums}}}}}"#
    );
    let (rows, metadata) = decode(body.into()).unwrap();
    let schema = SchemaCache::default().resolve(&metadata).schema;
    Batch { rows, schema }
}

fn row(batch: &Batch) -> Row<'_> {
    let cells = batch.rows.row(0);
    let code = batch.rows.code(cells).unwrap();
    Row::new(&batch.rows, batch.schema.get(code).unwrap(), cells)
}

/// The readings of a row, each as a text after the index of its column.
fn readings(cells: &str) -> Vec<String> {
    let batch = batch(&format!("[{cells}]"));
    let mut found = Vec::new();
    let fault = |fault: CellFault| format!("fault {}", fault.name());
    for (column, reading) in row(&batch).readings() {
        let mut add = |what: String| found.push(format!("{column} {what}"));
        match reading {
            Reading::Number(field, number) => add(format!("{} {number}", field.name)),
            Reading::Text(field, raw) => add(match raw.interpret(&mut LongNumbers::default()) {
                Ok(text) => format!("{} {text:?}", field.name),
                Err(of) => fault(of),
            }),
            Reading::Info(field, raw) => add(match raw.text() {
                Ok(text) => format!("{} {text:?}", field.name),
                Err(of) => fault(of),
            }),
            Reading::Location(field, RawLocation { index, number }) => {
                add(format!("{} {index:?} {number:?}", field.name));
            }
            Reading::Alerts(alerts) => alerts.each(|alert| {
                add(alert.map_or_else(fault, |it| format!("{} {}", it.code, it.name())));
            }),
            Reading::Addresses(kind, addresses) => addresses.each(|address| {
                add(address.map_or_else(fault, |it| format!("{kind:?} {it}")));
            }),
            Reading::Fault(of) => add(fault(of)),
        }
    }
    found
}

#[test]
fn cells_are_read_by_their_columns() {
    for (cells, expected) in [
        (r#""u",1,"a""#, &[][..]),
        (r#""u",1,"a",null,"",[],5,null"#, &[]),
        (r#""u",1,"a",0.5"#, &["3 Speed 0.5"]),
        (r#""u",1,"a",true"#, &["3 Speed 1"]),
        (r#""u",1,"a","+2.50e1""#, &["3 Speed Number(25.0)"]),
        (r#""u",1,"a","fast""#, &["3 Speed Text(\"fast\")"]),
        (r#""u",1,"a",[1,null,2.50]"#, &["3 Speed Text(\"1;2.50\")"]),
        (r#""u",1,"a",[""]"#, &["3 Speed Absent"]),
        (r#""u",1,"a",[[1]]"#, &["3 fault shape"]),
        (r#""u",1,"a",1e999"#, &["3 fault number"]),
        // A column whose names are taken is read, too.
        (
            r#""u",1,"a",1,null,null,null,2"#,
            &["3 Speed 1", "7 Speed 2"],
        ),
        (
            r#""u",1,"a",null,599686042433355775"#,
            &["4 H3CellId Some(599686042433355775) Some(5.996860424333558e17)"],
        ),
        (
            r#""u",1,"a",null,"0x8f2830828052d25""#,
            &["4 H3CellId Some(644721767721807141) None"],
        ),
        (r#""u",1,"a",null,-2"#, &["4 H3CellId None Some(-2.0)"]),
        (r#""u",1,"a",null,{}"#, &["4 fault shape"]),
        (
            r#""u",1,"a",null,null,[82,"x-y","",true,null]"#,
            &["5 82 pending_reboot", "5 x-y x_y", "5 fault alert"],
        ),
        (r#""u",1,"a",null,null,82"#, &["5 82 pending_reboot"]),
        (
            r#""i",1,"ip-a",17,5,[82],["192.0.2.1","x","2001:db8::1",7],"::1/64""#,
            &[
                "3 Account Some(\"17\")",
                "6 Ipv4 192.0.2.1",
                "6 fault address",
                "6 fault address",
                "6 fault address",
                "7 Ipv6Ue ::1/64",
            ],
        ),
        (
            r#""i",1,"ip-a",[true,1.50]"#,
            &["3 Account Some(\"true;1.50\")"],
        ),
        (r#""i",1,"ip-a",[{}]"#, &["3 fault shape"]),
        (r#""i",1,"ip-a",[""]"#, &["3 Account None"]),
    ] {
        assert_eq!(readings(cells), expected, "{cells}");
    }
}

#[test]
fn alerts_of_other_types_are_ignored() {
    let batch = batch(r#"["x",1,"x",2,null,[82,true]]"#);
    let found: Vec<_> = row(&batch).readings().map(|(column, _)| column).collect();
    assert_eq!(found, [3]);
}

#[test]
fn rows_have_an_identity() {
    let identity = |device_id, reported| {
        Ok(Identity {
            device_id,
            reported,
        })
    };
    for (cells, expected, terminal) in [
        (r#""u",5,"a""#, identity("a", 5), Some("a")),
        (r#""i",5,"ip-a""#, identity("ip-a", 5), Some("a")),
        (r#""i",5,"ip-ip-a""#, identity("ip-ip-a", 5), Some("ip-a")),
        (r#""i",5,"ip-""#, identity("ip-", 5), None),
        (r#""x",5,"d""#, identity("x", 5), Some("x")),
        (r#""u""#, Err(IdentityFault::DeviceId), None),
        (r#""u",5,"""#, Err(IdentityFault::DeviceId), None),
        (r#""u",null,7"#, Err(IdentityFault::DeviceId), None),
        (r#""u",5.5,"a""#, Err(IdentityFault::Timestamp), None),
        (r#""u","5","a""#, Err(IdentityFault::Timestamp), None),
    ] {
        let batch = batch(&format!("[{cells}]"));
        let found = row(&batch).identity();
        assert_eq!(found, expected, "{cells}");
        let found = found.ok().and_then(Identity::terminal);
        assert_eq!(found, terminal, "{cells}");
    }
}
