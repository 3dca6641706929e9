//! Tests of the store with inventories.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};

use super::{MetricsStoreActor, PinLimits, Published};
use crate::account::messages::{OfferInventory, RemoveAccount};
use crate::fleet::{Fleet, FleetOptions, Snapshot};
use crate::inventory::{Bounds, Inventory, Known, Terminals};
use crate::time::Clock;

/// So many that listing them takes long.
const TERMINALS: usize = 10_000;

fn inventory(number: usize) -> Arc<Inventory> {
    let terminals = (0..TERMINALS).map(|at| format!(r#"{{"userTerminalId":"{number}-{at}"}}"#));
    let terminals: Vec<_> = terminals.collect();
    let page = terminals.join(",");
    let page = format!(r#"{{"content":{{"isLastPage":true,"results":[{page}]}}}}"#);
    let parsed = Terminals::parse(page.as_bytes(), &Bounds::STANDARD).unwrap();
    Arc::new(Inventory {
        terminals: Some(Known {
            at: 1.0,
            value: Arc::new(parsed.entries),
        }),
        ..Inventory::default()
    })
}

struct World {
    store: Addr<MetricsStoreActor>,
    published: Arc<Published>,
    clock: Clock,
}

impl World {
    fn of(fleet: Fleet) -> Self {
        let (published, clock) = (Arc::new(Published::default()), Clock::system());
        let pins = PinLimits::default();
        let store = MetricsStoreActor::new(fleet, Arc::clone(&published), pins, clock.clone());
        Self {
            store: store.start(),
            published,
            clock,
        }
    }

    async fn snapshot(&self) -> Arc<Snapshot> {
        let lease = self.published.lease(self.clock.now()).await;
        lease.get().unwrap()
    }

    /// Waits until the snapshot has the inventories of these accounts.
    async fn until_listed(&self, expected: &[&str]) -> Arc<Snapshot> {
        let listed = async {
            loop {
                let snapshot = self.snapshot().await;
                let accounts = snapshot.directory.accounts().iter();
                if accounts
                    .map(|(name, _)| &**name)
                    .eq(expected.iter().copied())
                {
                    return snapshot;
                }
                actix_rt::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let limit = Duration::from_secs(60);
        actix_rt::time::timeout(limit, listed).await.unwrap()
    }
}

fn fleet(names: &[&str]) -> Fleet {
    let mut fleet = Fleet::new(FleetOptions::STANDARD);
    for name in names {
        fleet.account(&(*name).into()).unwrap();
    }
    fleet
}

#[actix_rt::test]
async fn many_inventories_are_listed_together() {
    let names: Vec<_> = (0..20).map(|number| format!("a{number:02}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let inventories: Vec<_> = (0..names.len()).map(inventory).collect();
    let world = World::of(fleet(&names));
    let mut listings = 0;
    let mut last = world.snapshot().await;
    for (name, inventory) in names.iter().zip(inventories) {
        let offer = OfferInventory {
            account: (*name).into(),
            inventory: Some(inventory),
        };
        world.store.send(offer).await.unwrap();
        let snapshot = world.snapshot().await;
        listings += usize::from(!Arc::ptr_eq(&snapshot.directory, &last.directory));
        last = snapshot;
    }
    assert!(listings > 0, "the first is listed at once");
    // Usually at most 5. On a busy machine the offers themselves may take longer than some of the pauses.
    assert!(listings < names.len(), "{listings} listings");
    let snapshot = world.until_listed(&names).await;
    assert_eq!(snapshot.directory.len(), names.len() * TERMINALS);
    world.store.do_send(RemoveAccount {
        name: names[0].into(),
    });
    let snapshot = world.until_listed(&names[1..]).await;
    assert_eq!(snapshot.directory.find_terminal("ut0-0"), None);
}

#[actix_rt::test]
async fn a_start_of_the_store_lists_inventories_that_wait() {
    let mut fleet = fleet(&["a"]);
    let account = fleet.find_account("a").unwrap();
    fleet.set_inventory(account, Some(inventory(0)));
    World::of(fleet).until_listed(&["a"]).await;
}
