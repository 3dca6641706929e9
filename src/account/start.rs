//! Starts the actors of one account.

use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, ArbiterHandle};

use super::MetadataActor;
use super::accounts::AccountStatus;
use super::messages::Drain;
use super::offer::{Consumer, StreamId};
use super::peers::Peers;
use super::polling::Polling;
use super::stream::{StreamActor, StreamOptions};
use super::token::{TokenActor, TokenOptions};
use super::token_budget::TokenBudget;
use crate::config::Account;
use crate::starlink::ClientOptions;
use crate::supervise::{Owner, Supervisor};
use crate::tasks::Pool;
use crate::telemetry::SharedSchemas;
use crate::time::{Clock, Pacer};

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
    polling: Polling,
}

impl AccountActors {
    /// Ends polling, and waits until the last answer is stored, also if the StreamActor was given up. To be bounded by the caller.
    pub(super) async fn drain(&self, drain: Drain) {
        // The reply may also mean that the actor was given up, before or during the drain.
        let _ = self.stream.send(drain).await;
        self.polling.finish().await;
    }

    /// The pace of its polls.
    pub(super) fn pacer(&self) -> Pacer {
        self.polling.state().pacer().clone()
    }

    /// Ends the delivery of the last answer, before the thread ends. A later [`AccountActors::drain`] does nothing.
    pub(super) async fn close(&self) {
        self.polling.close().await;
    }
}

/// Starts the actors of an account, which polls at the given pace, on an arbiter of their own, so that a hanging thread affects no other account.
pub(super) fn start(
    supervisor: &Supervisor,
    arbiter: &ArbiterHandle,
    incarnation: u64,
    account: &Account,
    status: &AccountStatus,
    pacer: Pacer,
    context: AccountContext,
) -> AccountActors {
    let AccountContext {
        clock,
        client,
        decoder,
        token_budget,
        consumers,
        schemas,
        stale_after,
    } = context;
    let name = Arc::clone(&account.name);
    let supervisor = supervisor.of(Owner {
        account: Arc::clone(&name),
        incarnation,
    });
    let [token_status, metadata_status, stream_status] = &status.actors;
    let token = {
        let options = TokenOptions {
            account: Arc::clone(&name),
            client_id: account.client_id.clone(),
            client_secret: account.client_secret.clone(),
            origin: account.origin.clone(),
            urls: account.token_urls(),
            budget: token_budget,
            client: client.clone(),
        };
        let (clock, metrics) = (clock.clone(), Arc::clone(&status.metrics));
        let make = move || TokenActor::new(options, clock, metrics);
        supervisor.start(token_status, arbiter, make)
    };
    let metadata = {
        let account_name = Arc::clone(&name);
        let (clock, metrics) = (clock.clone(), Arc::clone(&status.metrics));
        let schemas = schemas.clone();
        let make = move || MetadataActor::new(account_name, schemas, clock, metrics);
        supervisor.start(metadata_status, arbiter, make)
    };
    let options = StreamOptions {
        stream: StreamId {
            account: name,
            incarnation,
        },
        url: account.stream_url(),
        batch_size: account.batch_size,
        max_linger: account.max_linger,
        origin: account.origin.clone(),
        stale_after,
        client,
    };
    let peers = Peers {
        token: token.clone(),
        metadata: metadata.clone(),
        schemas,
        consumers,
        decoder,
    };
    let metrics = Arc::clone(&status.metrics);
    let polling = Polling::new(&options, pacer, peers, clock, metrics);
    let make = {
        let polling = polling.clone();
        move || StreamActor::new(options, polling)
    };
    let stream = supervisor.start(stream_status, arbiter, make);
    AccountActors {
        token,
        metadata,
        stream,
        polling,
    }
}
