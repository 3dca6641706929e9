//! Tests that the names of device types are unique with any sequence of enums.

use super::*;

const NAMED: [&str; 2] = ["d", "u"];

/// An answer with this enum and a row of each type.
fn answer(enums: &str, types: &[&str]) -> String {
    let columns =
        NAMED.map(|code| format!(r#""{code}":["DeviceType","UtcTimestampNs","DeviceId"]"#));
    let rows: Vec<_> = types
        .iter()
        .map(|code| format!(r#"["{code}",1,"a"]"#))
        .collect();
    format!(
        r#"{{"data":{{"values":[{}],"columnNamesByDeviceType":{{{}}}}},"metadata":{{"enums":{{"DeviceType":{{{enums}}}}}}}}}"#,
        rows.join(","),
        columns.join(",")
    )
}

/// The label values of the types `d` and `u`, in this order.
fn device_types(fleet: &Fleet) -> Vec<String> {
    let tables = fleet.snapshot().tables;
    tables.iter().map(|table| table.name.to_string()).collect()
}

#[test]
fn types_with_the_same_name_have_no_duplicate_series() {
    let shared = r#""d":"A","u":"A""#;
    // Enums and types of answers, and the names of `d` and `u` after each.
    type Step = (&'static str, &'static [&'static str], [&'static str; 2]);
    let cases: &[(&str, &[Step])] = &[
        ("within an enum", &[(shared, &NAMED, ["A", "A_u"])]),
        (
            "of a code without a name",
            &[(r#""u":"d""#, &NAMED, ["d_d", "d"])],
        ),
        (
            "of two answers: the last one counts",
            &[
                (r#""d":"B","u":"A""#, &NAMED, ["B", "A"]),
                (r#""d":"A","u":"B""#, &["d"], ["A", "A_u"]),
                (r#""d":"B","u":"A""#, &["u"], ["A_d", "A"]),
                (r#""d":"B","u":"A""#, &["u"], ["A_d", "A"]),
                (r#""d":"B","u":"A""#, &["d"], ["B", "A"]),
            ],
        ),
    ];
    for (name, steps) in cases {
        let mut world = World::new();
        for (number, (enums, types, expected)) in steps.iter().enumerate() {
            world.answer(&answer(enums, types));
            let found = device_types(&world.fleet);
            assert_eq!(found, *expected, "{name}, {number}");
        }
    }
}

#[test]
fn a_type_without_accepted_rows_changes_no_name() {
    let mut world = World::new();
    world.answer(&answer(r#""u":"d""#, &["u"]));
    let version = world.fleet.version();
    let early = answer("", &["d"]).replace(r#""d",1,"#, r#""d",null,"#);
    world.answer(&early);
    assert_eq!(device_types(&world.fleet), ["d"]);
    assert_eq!(world.fleet.version(), version);
}

#[test]
fn types_with_the_same_name_in_a_state_file_have_no_duplicate_series() {
    let mut world = World::new();
    world.answer(&answer(r#""d":"A","u":"B""#, &NAMED));
    let mut state = Vec::new();
    world.fleet.freeze().write(&mut state).unwrap();
    let name = state
        .windows(5)
        .position(|bytes| bytes == b"\x01\0\0\0B")
        .unwrap();
    state[name + 4] = b'A';
    let thawed = Fleet::thaw(
        world.fleet.options.clone(),
        Moment::default(),
        Form::WithInventories,
        &state,
    )
    .unwrap();
    assert_eq!(device_types(&thawed), ["A_d", "A"]);
}
