//! The TokenActor: holds the access token of one account. It carries out what the [token's state](super::token_state) decides.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, Supervised, WrapFuture,
};
use tokio::sync::oneshot;
use url::Url;

use super::messages::{GetToken, IssuedToken, TokenRefused};
use super::metrics::AccountMetrics;
use super::now::Now;
use super::token_budget::TokenBudget;
use super::token_record::TokenRecord;
use super::token_state::{Effect, Event, Refresh, Request, TokenState};
use crate::config::{Credential, Origin};
use crate::starlink::{Client, ClientOptions, TokenError};
use crate::supervise::{Heartbeat, act_at};
use crate::time::Clock;

/// The settings of a TokenActor.
#[derive(Debug, Clone)]
pub struct TokenOptions {
    /// The name of the account, for the log.
    pub account: Arc<str>,
    /// The client ID.
    pub client_id: Credential,
    /// The client secret.
    pub client_secret: Credential,
    /// Which settings these and the URLs come from.
    pub origin: Origin,
    /// The token URLs. If the first issues no token, the second is tried: after any answer until a token was issued, later only after
    /// 404 and 405.
    pub urls: Vec<Url>,
    /// Limits the requests of all accounts together.
    pub budget: TokenBudget,
    /// The options of the client.
    pub client: ClientOptions,
}

/// The promise of a reply to a caller.
type Promise = oneshot::Sender<Result<IssuedToken, TokenRefused>>;

/// Holds the token. The token and the promised replies survive restarts of the actor.
pub struct TokenActor {
    options: TokenOptions,
    client: Option<Rc<Client>>,
    clock: Clock,
    metrics: Arc<AccountMetrics>,
    state: TokenState,
    record: TokenRecord,
    /// By the number of the caller.
    promises: BTreeMap<u64, Promise>,
    askers: u64,
    #[cfg(feature = "fault-injection")]
    pub(super) faults: crate::supervise::faults::Armed,
}

impl TokenActor {
    /// An actor without a token.
    #[must_use]
    pub fn new(options: TokenOptions, clock: Clock, metrics: Arc<AccountMetrics>) -> Self {
        Self {
            state: TokenState::new(options.urls.clone()),
            record: TokenRecord::new(
                Arc::clone(&options.account),
                options.origin.clone(),
                clock.clone(),
                Arc::clone(&metrics),
            ),
            options,
            client: None,
            clock,
            metrics,
            promises: BTreeMap::new(),
            askers: 0,
            #[cfg(feature = "fault-injection")]
            faults: Default::default(),
        }
    }

    /// Hands an event to the state machine and carries out its effects.
    fn handle_event(&mut self, event: Event, context: &mut Context<Self>) {
        for effect in self.state.on(event, Now::read(&self.clock)) {
            match effect {
                Effect::Request(request) => self.request(request, context),
                Effect::Reply(asker, reply) => {
                    if let Some(promise) = self.promises.remove(&asker) {
                        // The caller may no longer wait.
                        let _ = promise.send(reply);
                    }
                }
                Effect::RefreshAt(refresh) => self.refresh_at(refresh, context),
                Effect::Record(outcome) => {
                    self.record.record(outcome);
                    self.watch_outage(context);
                }
            }
        }
    }

    fn request(&mut self, request: Request, context: &mut Context<Self>) {
        let options = &self.options;
        let make = || Rc::new(Client::new(options.client.clone()));
        let client = Rc::clone(self.client.get_or_insert_with(make));
        let (id, secret) = (options.client_id.clone(), options.client_secret.clone());
        let (clock, metrics) = (self.clock.clone(), Arc::clone(&self.metrics));
        let (account, budget) = (Arc::clone(&options.account), options.budget.clone());
        let answer = async move {
            clock.sleep(request.wait).await;
            let admit = async || {
                clock.sleep(budget.reserve(&account, clock.elapsed())).await;
                metrics.token_requests.increment();
            };
            let (id, secret) = (id.value(), secret.value());
            let leads_on = |error: &TokenError| request.leads_on(error);
            let asked = client.request_token_from(&request.urls, &id, &secret, leads_on, admit);
            asked.await.map(|(token, url)| (token, url.clone()))
        };
        context.spawn(answer.into_actor(self).map(|answer, actor, context| {
            actor.handle_event(Event::Answered(answer), context);
        }));
    }

    fn refresh_at(&self, refresh: Refresh, context: &mut Context<Self>) {
        act_at(&self.clock, refresh.at, context, move |actor, context| {
            actor.handle_event(Event::RefreshIsDue(refresh), context);
        });
    }

    /// Logs the end of an outage when it comes.
    fn watch_outage(&self, context: &mut Context<Self>) {
        if let Some(over_at) = self.record.outage_over_at() {
            act_at(&self.clock, over_at, context, move |actor: &mut Self, _| {
                if actor.record.outage_over_at() == Some(over_at) {
                    actor.record.log_recovery();
                }
            });
        }
    }
}

#[cfg(feature = "fault-injection")]
crate::supervise::faults::injectable!(TokenActor);

impl Supervised for TokenActor {}

impl Actor for TokenActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        #[cfg(feature = "fault-injection")]
        self.faults.on_start(context);
        // A connection may be the reason why the actor failed.
        self.client = None;
        self.watch_outage(context);
        self.handle_event(Event::Started, context);
    }
}

impl Handler<Heartbeat> for TokenActor {
    type Result = ();

    fn handle(&mut self, _: Heartbeat, _: &mut Self::Context) {}
}

impl Handler<GetToken> for TokenActor {
    type Result = ResponseFuture<Result<IssuedToken, TokenRefused>>;

    fn handle(
        &mut self,
        GetToken { instead_of }: GetToken,
        context: &mut Self::Context,
    ) -> Self::Result {
        #[cfg(feature = "fault-injection")]
        self.faults.on_message(context);
        self.askers += 1;
        let asker = self.askers;
        let (promise, reply) = oneshot::channel();
        self.promises.insert(asker, promise);
        self.handle_event(Event::Asked { asker, instead_of }, context);
        Box::pin(async move {
            match reply.await {
                Ok(reply) => reply,
                // The actor was given up. The time limit of the caller ends the wait.
                Err(_) => std::future::pending().await,
            }
        })
    }
}
