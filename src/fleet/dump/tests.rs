//! Out and in again, and what comes of bytes that nobody wrote.

use proptest::prelude::*;

use super::*;
use crate::fleet::tests::World;

/// A small fleet of which everything is known that can be.
fn world() -> World {
    let mut world = World::with(|options| options.include_routers = true);
    world.rows(
        r#"["u",1500000000,"a",0.5,"v1",599686042433355775,[82,"x-y"]],
           ["u",1600000000,"b\"\\",null,"",null,[]],
           ["i",1500000000,"ip-a","ACC",["192.0.2.1"],["2001:db8::/64","2001:db9::/64"],[]],
           ["i",1500000000,"ip-waiting","ACC",["192.0.2.2"],[],[]]"#,
    );
    world
}

fn bytes(world: &World) -> Vec<u8> {
    let mut bytes = Vec::new();
    world.fleet.freeze().write(&mut bytes).unwrap();
    bytes
}

/// The world with the fleet that the bytes are, in the same moment.
fn thawed(mut world: World, bytes: &[u8]) -> World {
    world.fleet = Fleet::thaw(world.fleet.options, bytes).unwrap();
    world.fleet.expire(Moment::from_millis(world.now));
    world
}

#[test]
fn a_fleet_comes_back_as_it_was_and_goes_on_ageing() {
    for seconds in [0, 119, 120, 899, 900, 86_399, 86_400] {
        let mut expected = world();
        let mut world = thawed(world(), &bytes(&expected));
        expected.wait(seconds);
        world.wait(seconds);
        assert_eq!(world.lines(), expected.lines(), "after {seconds} s");
        // An allocation that waits for its terminal still does.
        let row = r#"["u",9000000000,"waiting",1,"v",null,null]"#;
        expected.rows(row);
        world.rows(row);
        assert_eq!(world.lines(), expected.lines(), "after {seconds} s");
    }
}

#[test]
fn an_older_row_than_the_one_before_the_restart_does_not_count() {
    let before = world();
    let mut world = thawed(world(), &bytes(&before));
    world.rows(r#"["u",1400000000,"a",9,"old",null,null]"#);
    assert_eq!(world.lines(), before.lines());
}

#[test]
fn what_the_options_leave_out_does_not_come_back() {
    let bytes = bytes(&world());
    let mut world = World::with(|options| options.location = false);
    world.fleet = Fleet::thaw(world.fleet.options, &bytes).unwrap();
    world.fleet.expire(Moment::from_millis(0));
    let lines = world.lines().join("\n");
    assert!(lines.contains("Speed{\"a\"} 0.5"), "{lines}");
    assert!(
        !lines.contains("H3CellId") && !lines.contains("tude"),
        "{lines}"
    );
}

#[test]
fn every_part_of_a_fleet_is_no_fleet() {
    let bytes = bytes(&world());
    let options = world().fleet.options;
    for end in 0..bytes.len() {
        let error = Fleet::thaw(options, &bytes[..end]).unwrap_err();
        assert_eq!(error, DumpError::End, "up to {end}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Fleet::thaw(options, &longer).unwrap_err(), DumpError::Rest);
}

proptest! {
    /// A file whose checksum is right may hold anything all the same.
    #[test]
    fn strange_bytes_are_refused_or_make_a_fleet_that_can_be_shown(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut world = world();
        let mut bytes = bytes(&world);
        for (place, byte) in changes {
            let length = bytes.len();
            bytes[place.index(length)] = byte;
        }
        if let Ok(fleet) = Fleet::thaw(world.fleet.options, &bytes) {
            world.fleet = fleet;
            world.wait(1).lines();
            world.rows(r#"["u",1500000000,"a",0.5,"v1",null,[82]]"#);
            world.lines();
        }
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let world = World::new();
        let _ = Fleet::thaw(world.fleet.options, &bytes);
    }
}

/// The bytes of a fleet as the first version of the format had them; the fuzzer begins with them, too. Written anew, with
/// `UPDATE_GOLDEN=1`, only together with a new version of the format.
#[test]
fn bytes_that_were_written_once_can_still_be_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/state/fleet");
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(path, bytes(&world())).unwrap();
    }
    let written = std::fs::read(path).unwrap();
    assert_eq!(thawed(world(), &written).lines(), world().lines());
}
