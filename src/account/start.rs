//! Starts the actors of one account.

use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, ArbiterHandle};

use super::MetadataActor;
use super::accounts::AccountStatus;
use super::inventory::{InventoryActor, InventoryOptions, InventorySettings, InventoryStart};
use super::messages::Drain;
use super::offer::{Consumer, StreamId};
use super::paces::Pace;
use super::peers::Peers;
use super::polling::Polling;
use super::stream::{StreamActor, StreamOptions};
use super::token::{TokenActor, TokenOptions};
use super::token_budget::TokenBudget;
use crate::config::Account;
use crate::inventory::ClientDigest;
use crate::starlink::ClientOptions;
use crate::supervise::{Owner, Supervisor};
use crate::tasks::Pool;
use crate::telemetry::SharedSchemas;
use crate::time::Clock;

/// The values that the actors of all accounts share.
#[derive(Debug, Clone)]
pub struct AccountContext {
    /// The application's clock.
    pub clock: Clock,
    /// The options of the clients of Starlink.
    pub client: ClientOptions,
    /// Decodes answers.
    pub decoder: Pool,
    /// Limits the token requests of all accounts together.
    pub token_budget: TokenBudget,
    /// The consumers of answers and batches.
    pub consumers: Vec<Consumer>,
    /// The columns of Starlink's answers.
    pub schemas: SharedSchemas,
    /// If full batches have a greater lag, an account is catching up.
    pub stale_after: Duration,
    /// How inventories are read; `None` if they are not.
    pub inventory: Option<InventorySettings>,
}

/// The addresses of the actors of one account.
#[derive(Debug, Clone)]
pub struct AccountActors {
    /// Holds the token.
    pub token: Addr<TokenActor>,
    /// Explains columns.
    pub metadata: Addr<MetadataActor>,
    /// Polls.
    pub stream: Addr<StreamActor>,
    /// Reads the inventory; `None` if inventories are not read.
    pub inventory: Option<Addr<InventoryActor>>,
    polling: Polling,
}

impl AccountActors {
    /// Ends polling, and waits until the last answer is stored, also if the StreamActor was given up. To be bounded by the caller.
    pub(super) async fn drain(&self, drain: Drain) {
        // The reply may also mean that the actor was given up, before or during the drain.
        let _ = self.stream.send(drain).await;
        self.polling.finish().await;
    }

    /// Ends its requests, after a drain. Returns their paces.
    pub(super) fn end_requests(&self) -> Pace {
        self.polling.end_requests()
    }

    /// Ends the delivery of the last answer, before the thread ends. A later [`AccountActors::drain`] does nothing.
    pub(super) async fn close(&self) {
        self.polling.close().await;
    }
}

/// Starts the actors of an account, on an arbiter of their own, so that a hanging thread affects no other account.
pub(super) struct Starter<'a> {
    pub(super) supervisor: &'a Supervisor,
    pub(super) arbiter: &'a ArbiterHandle,
    pub(super) incarnation: u64,
    pub(super) account: &'a Account,
    pub(super) status: &'a AccountStatus,
    pub(super) context: &'a AccountContext,
}

impl Starter<'_> {
    /// Starts all actors. The requests have the given paces.
    pub(super) fn start(self, pace: Pace) -> AccountActors {
        let (token, metadata) = (self.token(), self.metadata());
        let context = self.context;
        let options = StreamOptions {
            stream: self.stream_id(),
            url: self.account.stream_url(),
            batch_size: self.account.batch_size,
            max_linger: self.account.max_linger,
            origin: self.account.origin.clone(),
            stale_after: context.stale_after,
            client: context.client.clone(),
        };
        let peers = Peers {
            token: token.clone(),
            metadata: metadata.clone(),
            schemas: context.schemas.clone(),
            consumers: context.consumers.clone(),
            decoder: context.decoder.clone(),
        };
        let metrics = Arc::clone(&self.status.metrics);
        let polling = Polling::new(&options, pace, peers, context.clock.clone(), metrics);
        let make = {
            let polling = polling.clone();
            move || StreamActor::new(options, polling)
        };
        let [_, _, status] = &self.status.polling_actors;
        let stream = self.supervisor().start(status, self.arbiter, make);
        AccountActors {
            token,
            metadata,
            stream,
            inventory: self.inventory(&polling),
            polling,
        }
    }

    /// Starts the InventoryActor alone, after a pause.
    pub(super) fn restart_inventory(self, actors: &mut AccountActors) {
        actors.inventory = self.inventory(&actors.polling);
    }

    fn token(&self) -> Addr<TokenActor> {
        let (account, context) = (self.account, self.context);
        let options = TokenOptions {
            account: Arc::clone(&account.name),
            client_id: account.client_id.clone(),
            client_secret: account.client_secret.clone(),
            origin: account.origin.clone(),
            urls: account.token_urls(),
            budget: context.token_budget.clone(),
            client: context.client.clone(),
        };
        let (clock, metrics) = (context.clock.clone(), Arc::clone(&self.status.metrics));
        let make = move || TokenActor::new(options, clock, metrics);
        let [status, _, _] = &self.status.polling_actors;
        self.supervisor().start(status, self.arbiter, make)
    }

    fn metadata(&self) -> Addr<MetadataActor> {
        let (account, context) = (Arc::clone(&self.account.name), self.context);
        let (clock, metrics) = (context.clock.clone(), Arc::clone(&self.status.metrics));
        let schemas = context.schemas.clone();
        let make = move || MetadataActor::new(account, schemas, clock, metrics);
        let [_, status, _] = &self.status.polling_actors;
        self.supervisor().start(status, self.arbiter, make)
    }

    fn inventory(&self, polling: &Polling) -> Option<Addr<InventoryActor>> {
        let settings = self.context.inventory.clone()?;
        let status = self.status.inventory_actor.as_ref()?;
        let (account, known) = (self.account, Arc::clone(&self.status.inventory));
        let start = InventoryStart {
            incarnation: self.incarnation,
            client: ClientDigest::of(&account.client_id.identity()),
            balance: settings.balance,
        };
        let is_outdated = known.begin(start);
        if is_outdated {
            self.status.metrics.forget_inventory();
        }
        let options = InventoryOptions {
            stream: self.stream_id(),
            base: account.management_url(),
            settings,
            client: self.context.client.clone(),
            is_outdated,
        };
        let (polling, metrics) = (polling.clone(), Arc::clone(&self.status.metrics));
        let make = move || InventoryActor::new(options, polling, known, metrics);
        Some(self.supervisor().start(status, self.arbiter, make))
    }

    fn supervisor(&self) -> Supervisor {
        self.supervisor.of(Owner {
            account: Arc::clone(&self.account.name),
            incarnation: self.incarnation,
        })
    }

    fn stream_id(&self) -> StreamId {
        StreamId {
            account: Arc::clone(&self.account.name),
            incarnation: self.incarnation,
        }
    }
}
