//! Tests of writing and reading a fleet, and of invalid bytes.

use proptest::prelude::*;

use super::*;
use crate::fleet::allocation::{ADDRESS_BYTES, INFO_BYTES};
use crate::fleet::tests::{World, body};
use crate::fleet::{Fleet, FleetOptions};
use crate::telemetry::FieldFilter;

/// The clock at the start.
const NOW: Moment = Moment::from_millis(0);

/// A small fleet with values of every kind.
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

fn thaw(options: FleetOptions, now: Moment, bytes: &[u8]) -> Result<Fleet, DumpError> {
    Fleet::thaw(options, now, Form::WithInventories, bytes)
}

fn bytes(world: &World) -> Vec<u8> {
    let mut bytes = Vec::new();
    world.fleet.freeze().write(&mut bytes).unwrap();
    bytes
}

/// The world with the fleet of the bytes, at the same moment.
fn thawed(mut world: World, bytes: &[u8]) -> World {
    let now = Moment::from_millis(world.now);
    world.fleet = thaw(world.fleet.options.clone(), now, bytes).unwrap();
    world.fleet.expire(Moment::from_millis(world.now));
    world
}

#[test]
fn a_fleet_is_restored_and_continues_to_age() {
    for seconds in [0, 119, 120, 899, 900, 86_399, 86_400] {
        let mut expected = world();
        let mut world = thawed(world(), &bytes(&expected));
        expected.wait(seconds);
        world.wait(seconds);
        assert_eq!(world.lines(), expected.lines(), "after {seconds} s");
        // An allocation without a terminal is restored, too.
        let row = r#"["u",9000000000,"waiting",1,"v",null,null]"#;
        expected.rows(row);
        world.rows(row);
        assert_eq!(world.lines(), expected.lines(), "after {seconds} s");
    }
}

#[test]
fn fields_whose_names_are_reserved_now_are_left_out() {
    let mut before = World::new();
    before.answer(&body(
        r#"["u",1,"a",5,6]"#,
        r#""u":["DeviceType","UtcTimestampNs","DeviceId","Account_Suspension","Speed"]"#,
    ));
    let (name, reserved) = (
        b"starlink_Account_Suspension",
        b"starlink_account_suspension",
    );
    let mut bytes = bytes(&before);
    let at = bytes.windows(name.len()).position(|window| window == name);
    let at = at.unwrap();
    bytes[at..at + name.len()].copy_from_slice(reserved);
    let lines = thawed(World::new(), &bytes).lines();
    assert_eq!(&*before.lines()[0], r#"Account_Suspension{"a"} 5"#);
    assert_eq!(lines, before.lines()[1..]);
}

#[test]
fn rows_older_than_the_last_one_before_the_restart_are_ignored() {
    let before = world();
    let mut world = thawed(world(), &bytes(&before));
    world.rows(r#"["u",1400000000,"a",9,"old",null,null]"#);
    assert_eq!(world.lines(), before.lines());
}

#[test]
fn a_silent_stream_stays_silent_over_a_restart() {
    for (terminals, is_silent) in [(9, false), (10, true)] {
        let mut world = World::new();
        let rows = |number| format!(r#"["u",1500000000,"ut-{number}",0.5,"v1",null,[]]"#);
        world.rows(&(0..terminals).map(rows).collect::<Vec<_>>().join(","));
        // All are stale when the state is written.
        for _ in 0..5 {
            world.listen(60);
        }
        let bytes = bytes(&world);
        let mut world = thawed(world, &bytes);
        for _ in 0..5 {
            world.listen(60);
        }
        let offline = world.lines();
        let offline = offline.iter().filter(|line| line.starts_with("online{"));
        let expected = if is_silent { 0 } else { terminals };
        assert_eq!(offline.count(), expected, "{terminals}");
        let account = world.fleet.account(&"default".into()).unwrap();
        assert_eq!(
            world.fleet.is_stream_silent(account),
            is_silent,
            "{terminals}"
        );
    }
}

#[test]
fn values_that_the_options_leave_out_are_not_restored() {
    let bytes = bytes(&world());
    let mut world = World::with(|options| options.fields = FieldFilter::new(false, Vec::new()));
    world.fleet = thaw(world.fleet.options.clone(), NOW, &bytes).unwrap();
    world.fleet.expire(Moment::from_millis(0));
    let lines = world.lines().join("\n");
    assert!(lines.contains("Speed{\"a\"} 0.5"), "{lines}");
    assert!(
        !lines.contains("H3CellId") && !lines.contains("tude"),
        "{lines}"
    );
}

#[test]
fn truncated_dumps_are_rejected() {
    let bytes = bytes(&world());
    let options = world().fleet.options.clone();
    for end in 0..bytes.len() {
        let error = thaw(options.clone(), NOW, &bytes[..end]).unwrap_err();
        assert_eq!(error, DumpError::Truncated, "up to {end}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(
        thaw(options.clone(), NOW, &longer).unwrap_err(),
        DumpError::Trailing
    );
}

proptest! {
    /// A file with a valid checksum may still have any content.
    #[test]
    fn changed_bytes_are_rejected_or_give_a_fleet_that_can_be_shown(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut world = world();
        let mut bytes = bytes(&world);
        for (place, byte) in changes {
            let length = bytes.len();
            bytes[place.index(length)] = byte;
        }
        if let Ok(fleet) = thaw(world.fleet.options.clone(), NOW, &bytes) {
            world.fleet = fleet;
            world.wait(1).lines();
            world.rows(r#"["u",1500000000,"a",0.5,"v1",null,[82]]"#);
            world.lines();
        }
    }

    #[test]
    fn any_bytes_cause_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let world = World::new();
        let _ = thaw(world.fleet.options.clone(), NOW, &bytes);
    }
}

/// The bytes of a fleet in each version of the format, which the fuzzer also starts with. `UPDATE_GOLDEN=1` rewrites those of the last
/// version, which must happen only together with a new version of the format.
#[test]
fn dumps_of_all_versions_can_be_read() {
    let path = |name: &str| format!("{}/fuzz/corpus/state/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(path("inventories"), bytes(&world())).unwrap();
    }
    for (name, form) in [
        ("fleet", Form::WithoutAccounts),
        ("accounts", Form::WithAccounts),
        ("inventories", Form::WithInventories),
    ] {
        let written = std::fs::read(path(name)).unwrap();
        let mut read = world();
        let options = read.fleet.options.clone();
        read.fleet = Fleet::thaw(options, NOW, form, &written).unwrap();
        assert_eq!(read.lines(), world().lines(), "{name}");
    }
}

/// Without an account, a device has no clock by which it is silent. Its first row assigns it to an account.
#[test]
fn devices_of_a_file_without_accounts_are_not_offline_before_their_first_row() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/state/fleet");
    let written = std::fs::read(path).unwrap();
    let mut world = world();
    let options = world.fleet.options.clone();
    world.fleet = Fleet::thaw(options, NOW, Form::WithoutAccounts, &written).unwrap();
    let online = |world: &World| -> Vec<String> {
        let lines = world.lines().into_iter();
        lines.filter(|line| line.starts_with("online")).collect()
    };
    world.listen(600).listen(600);
    assert!(online(&world).is_empty(), "{:?}", online(&world));
    world.rows(r#"["u",1700000000,"a",0.5,"v1",null,[]]"#);
    world.listen(119);
    assert_eq!(online(&world), [r#"online{"a"} 1"#]);
    world.listen(1);
    assert_eq!(online(&world), [r#"online{"a"} 0"#]);
}

/// The bytes of a file, field by field.
#[derive(Default)]
struct Crafted(Vec<u8>);

impl Crafted {
    fn moment(mut self, millis: u64) -> Self {
        self.0.extend(millis.to_le_bytes());
        self
    }

    fn number(mut self, number: usize) -> Self {
        self.0.extend(u32::try_from(number).unwrap().to_le_bytes());
        self
    }

    fn text(self, text: &str) -> Self {
        let mut crafted = self.number(text.len());
        crafted.0.extend(text.as_bytes());
        crafted
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// A fleet without accounts, of one table, up to the list of its gauge lanes.
    fn table(code: &str) -> Self {
        Self::default().moment(0).number(1).text(code).text("Name")
    }

    /// A terminal with a row at a moment, up to its alerts.
    fn terminal(self, id: &str, seen: u64) -> Self {
        self.text(id)
            .raw(&[DEVICE])
            .moment(1)
            .moment(seen)
            .moment(seen)
            .moment(0)
    }
}

fn limited(change: impl FnOnce(&mut crate::fleet::Limits)) -> FleetOptions {
    let mut options = World::new().fleet.options.clone();
    change(&mut options.limits);
    options
}

#[test]
fn lanes_beyond_the_limit_use_no_memory() {
    let options = limited(|limits| limits.lanes = 10);
    let mut crafted = Crafted::table("u").number(3000);
    for lane in 0..3000 {
        crafted = crafted
            .text(&format!("starlink_G{lane}"))
            .text(&format!("G{lane}"));
    }
    crafted = crafted.number(3000);
    for lane in 0..3000 {
        crafted = crafted
            .text(&format!("t{lane}"))
            .text(&format!("T{lane}"))
            .number(lane);
    }
    crafted = crafted.number(1).terminal("a", 0).number(0).number(3000);
    for lane in 0..3000 {
        crafted = crafted.raw(&f64::from(lane).to_le_bytes());
    }
    let texts = [0, 9, 10, 2999];
    crafted = crafted.number(texts.len());
    for lane in texts {
        crafted = crafted.number(lane).text("text");
    }
    let fleet = Fleet::thaw(options, NOW, Form::WithoutAccounts, &crafted.0).unwrap();
    let view = &fleet.snapshot().tables[0];
    assert_eq!((view.gauges.all().len(), view.infos.all().len()), (10, 10));
    assert_eq!(view.blocks[0].gauges().row(0).len(), 10);
    assert_eq!(view.blocks[0].infos().row(0).len(), 2);
    assert!(view.blocks[0].value_bytes() < 4096);
}

#[test]
fn fields_beyond_the_limits_are_left_out() {
    let empty = |crafted: Crafted, id| crafted.terminal(id, 0).number(0).number(0).number(0);
    let devices = |options: FleetOptions, crafted: Crafted| {
        let mut fleet = Fleet::thaw(options, NOW, Form::WithoutAccounts, &crafted.0).unwrap();
        fleet.expire(NOW);
        fleet.devices()
    };
    let table = |code: &str| Crafted::table(code).number(0).number(0).number(2);
    let two = |code: &str| empty(empty(table(code), "a"), "bb");
    assert_eq!(devices(limited(|_| {}), two("u")), 2);
    assert_eq!(
        devices(limited(|limits| limits.identifier = 1), two("u")),
        1
    );
    assert_eq!(devices(limited(|limits| limits.devices = 1), two("u")), 1);
    assert_eq!(devices(limited(|limits| limits.types = 0), two("u")), 0);
    assert_eq!(
        devices(limited(|limits| limits.identifier = 1), two("uu")),
        0
    );

    let shown = |options: FleetOptions| {
        let crafted = Crafted::table("u")
            .number(0)
            .number(1)
            .text("t")
            .text("T")
            .number(0)
            .number(1);
        let crafted = crafted
            .terminal("a", 0)
            .number(3)
            .text("one")
            .text("two")
            .text("three");
        let crafted = crafted.number(0).number(1).number(0).text("a long text");
        let mut world = World::new();
        world.fleet = Fleet::thaw(options, NOW, Form::WithoutAccounts, &crafted.0).unwrap();
        world.wait(1).lines().len()
    };
    assert_eq!(shown(limited(|_| {})), 3 + 3);
    assert_eq!(shown(limited(|limits| limits.alerts = 1)), 1 + 3);
    assert_eq!(shown(limited(|limits| limits.text = 3)), 3 + 2);
    assert_eq!(shown(limited(|limits| limits.values = 0)), 2);
}

#[test]
fn entries_of_allocations_beyond_the_limit_are_left_out() {
    const TERMINALS: usize = 1000;
    let crafted = Crafted::table("u").number(0).number(0).number(TERMINALS);
    let crafted = (0..TERMINALS).fold(crafted, |crafted, id| {
        let crafted = crafted.text(&format!("ut-{id}")).raw(&[ALLOCATION]);
        let crafted = crafted.moment(1).moment(0).number(1);
        let crafted = crafted.raw(&[IPV4, 192, 0, 2, 1, NO_PREFIX]);
        let mut crafted = crafted.number(0).number(0).number(10);
        for key in 0..10 {
            crafted = crafted.text(&format!("k{key}")).text("text");
        }
        crafted
    });
    let taken = |values: usize| {
        let options = limited(|limits| limits.values = values);
        let fleet = Fleet::thaw(options, NOW, Form::WithoutAccounts, &crafted.0).unwrap();
        assert_eq!(fleet.devices(), TERMINALS);
        fleet.tables.value_bytes()
    };
    let all = taken(usize::MAX);
    assert_eq!(all, TERMINALS * (ADDRESS_BYTES + 10 * INFO_BYTES));
    let some = taken(2 * LEAST_ROOM);
    assert!(
        LEAST_ROOM < some && some <= 2 * LEAST_ROOM,
        "{some} of {all}"
    );
}

#[test]
fn addresses_are_restored_in_order_without_duplicates_and_within_the_limit() {
    let crafted = Crafted::table("u")
        .number(0)
        .number(0)
        .number(1)
        .text("a")
        .raw(&[ALLOCATION]);
    let ipv4 = |last| [IPV4, 192, 0, 2, last, NO_PREFIX];
    let crafted = crafted.moment(1).moment(0).number(4);
    let crafted = [9, 3, 9, 5]
        .into_iter()
        .fold(crafted, |crafted, last| crafted.raw(&ipv4(last)));
    let crafted = crafted.number(1).raw(&ipv4(1)).number(0).number(0);
    let fleet = Fleet::thaw(
        limited(|limits| limits.addresses = 2),
        NOW,
        Form::WithoutAccounts,
        &crafted.0,
    )
    .unwrap();
    let (block, slot) = fleet.tables.get(0).block(0);
    let content = &block.allocation(slot).unwrap().content;
    let restored: Vec<_> = content
        .addresses
        .iter()
        .map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        .collect();
    assert_eq!(
        restored,
        [
            vec!["192.0.2.3".to_owned(), "192.0.2.9".to_owned()],
            vec![],
            vec![]
        ]
    );
}

#[test]
fn moments_after_the_clock_of_the_file_are_replaced_by_it() {
    let far = LAST_MOMENT.millis();
    let crafted = Crafted::table("u")
        .number(0)
        .number(0)
        .number(1)
        .terminal("a", far);
    let crafted = crafted.number(0).number(0).number(0);
    let mut world = World::new();
    world.now = 5000;
    let now = Moment::from_millis(world.now);
    world.fleet = Fleet::thaw(
        world.fleet.options.clone(),
        now,
        Form::WithoutAccounts,
        &crafted.0,
    )
    .unwrap();
    assert!(
        world
            .wait(119)
            .lines()
            .contains(&r#"online{device_type="Name",deviceID="a"} 1"#.to_owned())
    );
    assert!(
        !world
            .wait(1)
            .lines()
            .iter()
            .any(|line| line.ends_with(" 1") && line.starts_with("online"))
    );
    for clock in [far + 1, u64::MAX] {
        let options = world.fleet.options.clone();
        let error = Fleet::thaw(
            options,
            Moment::from_millis(clock),
            Form::WithoutAccounts,
            &crafted.0,
        )
        .unwrap_err();
        assert_eq!(error, DumpError::Invalid("time of the dump"));
    }
}
