//! Tests of terminals that one account delivers and another one lists.

use super::*;

fn listed() -> Inventory {
    inventory(&[("a", Some("L"))], Some(&[("L", true)]))
}

/// The account of the only device.
fn owner(world: &World) -> String {
    let devices = world.devices();
    assert_eq!(devices.len(), 1, "{devices:?}");
    devices[0].2.clone()
}

#[test]
fn a_terminal_whose_rows_are_forgotten_returns_to_the_account_that_lists_it() {
    let mut world = World::new();
    world.list("y", listed());
    world.rows_of_inventory("x", r#"["u",1000000000,"uta",1]"#);
    assert_eq!(owner(&world), "x");
    world.wait(86_400 - 1);
    assert_eq!(owner(&world), "x");
    world.wait(1);
    assert_eq!(owner(&world), "y");
    // Its silence begins anew in the other account.
    assert_eq!(world.presence("uta"), Presence::Stale);
    world.listen_as("x", 200);
    assert_eq!(world.presence("uta"), Presence::Stale);
    world.listen_as("y", 120);
    assert_eq!(world.presence("uta"), Presence::Offline);
}
