//! Tests of plans, snapshots and versions.

use super::*;

#[test]
fn planning_has_no_visible_effect_and_can_be_repeated() {
    let mut world = World::new();
    world.rows(r#"["u",1000000000,"a",1]"#);
    let before = world.text(Format::Mixed);
    let version = world.fleet.version();
    let body = body(
        r#"["u",2000000000,"a",2],["u",1,"b",3],["i",1,"ip-c","ACC"]"#,
        &format!("{TERMINAL},{ALLOCATION}"),
    );
    let (rows, metadata) = decode(body.clone().into()).unwrap();
    let schema = world.schemas.resolve(&metadata).schema;
    drop(world.fleet.plan(
        AccountId::default(),
        &Batch { rows, schema },
        Moment::from_millis(0),
        i64::MAX,
    ));
    assert_eq!(
        (world.text(Format::Mixed), world.fleet.version()),
        (before, version)
    );
    world.answer(&body);
    assert_eq!(world.lines()[..2], [r#"Speed{"a"} 2"#, r#"Speed{"b"} 3"#]);
}

#[test]
fn a_plan_that_adds_a_block_changes_the_version_even_without_a_commit() {
    let mut world = World::new();
    world.rows(r#"["u",1,"a",1]"#);
    let before = (world.fleet.snapshot(), world.fleet.version());
    let rows: Vec<_> = (0..300).map(|id| format!(r#"["u",1,"{id}",1]"#)).collect();
    drop(world.plan(&rows.join(",")));
    let after = world.fleet.snapshot();
    assert_eq!(before.0.version, before.1);
    assert_eq!(after.tables[0].blocks.len(), 2);
    assert_ne!(
        (before.0.version, before.1),
        (after.version, world.fleet.version())
    );
    let version = after.version;
    drop(world.plan(r#"["u",1,"0",1]"#));
    assert_eq!(world.fleet.version(), version);
}

#[test]
fn a_snapshot_does_not_change() {
    let mut world = World::new();
    world.rows(r#"["u",1,"a",1]"#);
    let snapshot = Arc::new(world.fleet.snapshot());
    let render = || {
        Exposition::new(
            Telemetry::new(Format::Mixed, Arc::clone(&snapshot), Shard::WHOLE),
            Vec::new(),
        )
        .flatten()
        .collect::<Vec<u8>>()
    };
    let before = render();
    world.rows(r#"["u",2,"a",2],["u",1,"b",1]"#);
    assert_eq!(render(), before);
    assert_ne!(world.text(Format::Mixed).into_bytes(), before);
}

#[test]
fn the_version_changes_only_with_what_is_shown() {
    let mut world = World::new();
    world.rows(r#"["u",5,"a",1]"#);
    let version = world.fleet.version();
    world.listen(1).rows(r#"["u",1,"a",9],["u",5]"#);
    assert_eq!(world.fleet.version(), version);
    world.wait(120);
    assert_ne!(world.fleet.version(), version);
}
