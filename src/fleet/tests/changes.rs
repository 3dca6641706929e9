//! Tests of the changes that answers and time cause.

use super::*;

/// The changes of the last step, one line each, without the device's type.
fn changes(world: &World) -> Vec<String> {
    let line = |Change {
                    device_id, what, ..
                }: &Change| match what {
        What::AlertRaised(name) => format!("{device_id} raised {name}"),
        What::AlertCleared(name) => format!("{device_id} cleared {name}"),
        What::SoftwareChanged { from, to } => format!("{device_id} software {} {}", &**from, &**to),
        other => format!("{device_id} {other:?}"),
    };
    world.changes.kept.iter().map(line).collect()
}

#[test]
fn only_known_devices_have_changes() {
    type Step = fn(&mut World);
    let steps: &[(Step, &[&str])] = &[
        // A new device causes no change.
        (
            |world| rows_of(world, r#"["u",1,"a",[82],"v1"],["u",1,"b",[],"v1"]"#),
            &[],
        ),
        (
            |world| rows_of(world, r#"["u",2,"a",[82],"v1"],["u",2,"b",[],"v1"]"#),
            &[],
        ),
        (
            |world| rows_of(world, r#"["u",3,"a",[7,8],"v2"],["u",3,"b",[],null]"#),
            &[
                "a raised 7",
                "a raised 8",
                "a cleared pending",
                "a software v1 v2",
            ],
        ),
        // A version after an absent one is not a change.
        (
            |world| rows_of(world, r#"["u",4,"a",[],"v2"],["u",4,"b",[],"v3"]"#),
            &["a cleared 7", "a cleared 8"],
        ),
        // A stale device is not silent yet.
        (|world| _ = world.wait(120), &[]),
        (
            |world| rows_of(world, r#"["u",5,"a",[],"v2"]"#),
            &["b WentSilent"],
        ),
        (
            |world| rows_of(world, r#"["u",6,"b",[82],"v4"]"#),
            &["b CameBack", "b raised pending", "b software v3 v4"],
        ),
        (
            |world| _ = world.outage(86_400),
            &["a Forgotten", "b Forgotten"],
        ),
        (|world| rows_of(world, r#"["u",7,"a",[82],"v1"]"#), &[]),
    ];
    fn rows_of(world: &mut World, rows: &str) {
        let columns =
            r#""u":["DeviceType","UtcTimestampNs","DeviceId","Alerts","RunningSoftwareVersion"]"#;
        world.answer(&body(rows, columns));
    }
    let mut world = World::new();
    for (number, (step, expected)) in steps.iter().enumerate() {
        step(&mut world);
        let mut found = changes(&world);
        let mut expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "step {number}");
    }
}

#[test]
fn a_device_that_is_evicted_is_reported_as_forgotten() {
    let mut world = World::with(|options| options.limits.devices = 1);
    world.rows(r#"["u",1,"a",1]"#);
    world.wait(121).rows(r#"["u",1,"b",1]"#);
    assert_eq!(changes(&world), ["a Forgotten"]);
}

#[test]
fn the_first_changes_are_listed_and_all_are_counted() {
    let mut world = World::new();
    let rows: Vec<_> = (0..1200).map(|id| format!(r#"["u",1,"{id}",1]"#)).collect();
    world.rows(&rows.join(","));
    let changes = world.fleet.expire(Moment::from_millis(86_400_000));
    assert_eq!(changes.kept.len(), 1000);
    for kind in ChangeKind::ALL {
        let expected = if kind == ChangeKind::Forgotten {
            1200
        } else {
            0
        };
        assert_eq!(changes.count(kind), expected, "{kind:?}");
    }
    assert!(
        world
            .fleet
            .expire(Moment::from_millis(86_400_000))
            .is_empty()
    );
}
