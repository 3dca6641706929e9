//! What happens to the inventory of an account: other entries, faults of the management API, and faults of the InventoryActor.

use super::*;
use crate::faults::draw_of;
use crate::inventory;

impl Lane {
    /// Sometimes changes what the management API answers.
    pub(super) fn change_inventory(&mut self) {
        let listed = self.world.listed;
        let world = Rc::clone(&self.world);
        let simulator = &world.simulators[self.number];
        match self.random.u8(..8) {
            0 => {
                self.count("inventories");
                let mut model = lock(&world.model);
                let terminals = inventory::replace(simulator, &mut self.random, listed);
                model.list(self.number, &terminals);
            }
            1 | 2 => {
                // After a 429 the account polls more slowly.
                let may_slow_down = self.temper == Temper::Faulty;
                let what = inventory::add_fault(simulator, &mut self.random, listed, may_slow_down);
                self.count(format!("inventory faults: {what}"));
            }
            _ => {}
        }
    }

    /// Injects a fault into the InventoryActor, and checks that it recovers.
    pub(super) async fn hurt_inventory(&mut self) {
        let fault = draw_of(&mut self.random, Role::Inventory);
        let Some(actors) = self.actors() else {
            return;
        };
        self.count(name(Role::Inventory, fault));
        inject(&self.world.service, &actors, Role::Inventory, fault).await;
        self.are_up().await;
    }

    /// Checks that none of the actors of telemetry has failed, whatever happened to the inventory.
    pub(super) fn check_unhurt(&self, body: &Body) {
        let name = self.name().unwrap_or_default();
        for role in [Role::Token, Role::Stream, Role::Metadata] {
            let actor = role.name();
            let restarts = body.beginning(&format!(
                "starlink_exporter_actor_restarts_total{{account=\"{name}\",actor=\"{actor}\""
            ));
            assert!(restarts.values().all(|count| *count == 0.0), "{restarts:?}");
        }
    }
}
