//! The TokenActor: owner of the access token.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, Supervised, WrapFuture,
};
use tokio::sync::oneshot;
use tracing::{debug, error, info, warn};
use url::Url;

use super::messages::{GetToken, IssuedToken, Renewal, TokenRefused};
use super::told;
use crate::config::Credential;
use crate::self_metrics::SelfMetrics;
use crate::starlink::{
    BETWEEN_TOKEN_REQUESTS, Client, ClientOptions, Token, TokenError, TokenFailure,
};
use crate::supervise::Heartbeat;
use crate::text::with_sources;
use crate::time::Backoff;
use crate::time::Moment;
use crate::time::{Clock, unix_seconds};
use crate::time::{FailureLog, Report};

/// A token is renewed when so much of its life is over.
const REFRESH_AT: f64 = 0.8;

/// What a TokenActor needs to know.
#[derive(Debug, Clone)]
pub struct TokenOptions {
    /// Who we are.
    pub client_id: Credential,
    /// And how we prove it.
    pub client_secret: Credential,
    /// Where to ask: the first, and, if that gives no token, the second: until one was issued for any answer, later for 404 and
    /// 405 alone. A single one is the only one asked.
    pub urls: Vec<Url>,
    /// How to ask.
    pub client: ClientOptions,
}

/// A promise to somebody who asked.
#[derive(Debug)]
struct Waiter {
    instead_of: Option<Renewal>,
    answer: oneshot::Sender<Result<IssuedToken, TokenRefused>>,
}

/// The token in use.
#[derive(Debug)]
struct Current {
    token: IssuedToken,
    refresh_at: Moment,
}

/// Holds the token: everybody who asks at the same time shares one request, and it is renewed before it expires. Token and
/// promises survive the actor's restart.
pub struct TokenActor {
    options: TokenOptions,
    client: Option<Rc<Client>>,
    clock: Clock,
    metrics: Arc<SelfMetrics>,
    current: Option<Current>,
    serial: u64,
    is_requesting: bool,
    last_request: Option<Moment>,
    waiters: Vec<Waiter>,
    backoff: Backoff,
    /// After a failed request: no other one before, as long as the last token may be used.
    retry_at: Option<Moment>,
    failures: FailureLog<(TokenFailure, Option<u16>)>,
    #[cfg(feature = "fault-injection")]
    pub(super) faults: crate::supervise::faults::Armed,
}

impl TokenActor {
    /// An actor without a token.
    #[must_use]
    pub fn new(options: TokenOptions, clock: Clock, metrics: Arc<SelfMetrics>) -> Self {
        Self {
            options,
            client: None,
            clock,
            metrics,
            current: None,
            serial: 0,
            is_requesting: false,
            last_request: None,
            waiters: Vec::new(),
            backoff: Backoff::REQUESTS,
            retry_at: None,
            failures: FailureLog::new(),
            #[cfg(feature = "fault-injection")]
            faults: Default::default(),
        }
    }

    /// The token, unless it is the one that must be renewed. After a failed renewal it serves until the next one, unless Starlink
    /// has refused it.
    fn usable(&self, instead_of: Option<Renewal>) -> Option<IssuedToken> {
        let current = self.current.as_ref()?;
        let is_early = self.retry_at.is_some_and(|at| self.clock.now() < at);
        let renew = instead_of.is_some_and(|renewal| {
            renewal.serial == current.token.serial && (renewal.discard || !is_early)
        });
        (!renew).then(|| current.token.clone())
    }

    /// Requests a token, unless a request is under way.
    fn request(&mut self, context: &mut Context<Self>) {
        let Some(client) = self.client.clone() else {
            return;
        };
        if std::mem::replace(&mut self.is_requesting, true) {
            return;
        }
        let now = self.clock.now();
        let earliest = self
            .last_request
            .map(|last| last.after(BETWEEN_TOKEN_REQUESTS));
        let wait = earliest.map_or(Duration::ZERO, |earliest| earliest.since(now));
        let urls = self.options.urls.clone();
        let (id, secret) = (
            self.options.client_id.clone(),
            self.options.client_secret.clone(),
        );
        let (clock, metrics) = (self.clock.clone(), Arc::clone(&self.metrics));
        let was_issued = self.serial > 0;
        // Noted ahead: a request that dies with the actor has perhaps been sent.
        self.last_request = Some(now.after(wait));
        let answer = async move {
            clock.sleep(wait).await;
            let count = || metrics.token_requests.increment();
            let (id, secret) = (id.value(), secret.value());
            let follows = |error: &TokenError| match was_issued {
                true => error.reason() == TokenFailure::NotFound,
                false => error.is_answer(),
            };
            let asked = client.request_token_from(&urls, &id, &secret, follows, count);
            asked.await.map(|(token, url)| (token, url.clone()))
        };
        context.spawn(answer.into_actor(self).map(Self::answered));
    }

    fn answered(
        result: Result<(Token, Url), TokenError>,
        actor: &mut Self,
        context: &mut Context<Self>,
    ) {
        actor.is_requesting = false;
        actor.last_request = Some(actor.clock.now());
        match result {
            Ok((token, url)) => {
                if actor.options.urls.first() != Some(&url) {
                    // The second address has worked where the first has not: it is kept.
                    actor.options.urls = vec![url];
                }
                actor.issued(token, context);
            }
            Err(error) => actor.failed(error, context),
        }
    }

    fn issued(&mut self, token: Token, context: &mut Context<Self>) {
        self.tell_recovery();
        self.arm_recovery(context);
        debug!(lifetime = ?token.lifetime, "token issued");
        self.backoff.reset();
        self.retry_at = None;
        self.serial += 1;
        let expiry = unix_seconds(self.clock.corrected() + token.lifetime);
        self.metrics.token_expiry.set(expiry);
        let issued = IssuedToken {
            serial: self.serial,
            bearer: token.bearer,
        };
        self.current = Some(Current {
            token: issued.clone(),
            refresh_at: self.clock.now().after(token.lifetime.mul_f64(REFRESH_AT)),
        });
        for waiter in self.waiters.drain(..) {
            // Whoever asked may have gone.
            let _ = waiter.answer.send(Ok(issued.clone()));
        }
        self.arm_refresh(context);
    }

    fn failed(&mut self, error: TokenError, context: &mut Context<Self>) {
        let reason = error.reason();
        self.metrics
            .token_request_failed(reason, told::token(&error));
        let retry_after = error.retry_after().unwrap_or_default();
        let retry_in = self.backoff.next(fastrand::f64()).max(retry_after);
        let retry_at = self.clock.now().after(retry_in);
        self.retry_at = Some(retry_at);
        self.log(&error, retry_in);
        let refused = TokenRefused {
            error: Arc::new(error),
            retry_in,
        };
        for waiter in std::mem::take(&mut self.waiters) {
            let discard = waiter.instead_of.is_some_and(|renewal| renewal.discard);
            let old = self.current.as_ref().filter(|_| !discard);
            let answer = old.map(|current| current.token.clone());
            let _ = waiter.answer.send(answer.ok_or_else(|| refused.clone()));
        }
        if let Some(current) = &mut self.current {
            current.refresh_at = retry_at;
            self.arm_refresh(context);
        }
    }

    /// Logs a failed request; the next one comes in `retry_in`.
    fn log(&mut self, error: &TokenError, retry_in: Duration) {
        let status = error.answer().map(|answer| answer.status);
        // Not the message: one that differs each time (a request's number) would flood the log.
        let key = (error.reason(), status);
        let error_is_refusal = error.reason() == TokenFailure::Refused;
        let reason = error.reason().name();
        let error = with_sources(error);
        let retry_in_seconds = retry_in.as_secs_f64();
        match self.failures.failed(key, self.clock.elapsed()) {
            Report::Silent => debug!(
                reason,
                status, error, retry_in_seconds, "token request failed again"
            ),
            Report::First if error_is_refusal => error!(
                reason,
                status, error, retry_in_seconds, "token refused: check CLIENT_ID and CLIENT_SECRET"
            ),
            Report::First => warn!(
                reason,
                status, error, retry_in_seconds, "token request failed: retrying"
            ),
            Report::Repeated { count, since } => warn!(
                reason,
                status,
                error,
                count,
                for_seconds = since.as_secs(),
                retry_in_seconds,
                "token requests still fail"
            ),
        }
    }

    /// Logs the end of an outage, if this is one.
    fn tell_recovery(&mut self) {
        if let Some(recovered) = self.failures.recovered(self.clock.elapsed()) {
            info!(
                failures = recovered.failures,
                for_seconds = recovered.lasted.as_secs(),
                "token requests succeed again"
            );
        }
    }

    /// Looks again when the outage will be over: the next request may be many minutes away.
    fn arm_recovery(&self, context: &mut Context<Self>) {
        if let Some(over_at) = self.failures.over_at() {
            // Moments are whole milliseconds: not before it is over.
            let moment = Moment::at(over_at).after(Duration::from_millis(1));
            self.later(moment, context, move |actor, _| {
                if actor.failures.over_at() == Some(over_at) {
                    actor.tell_recovery();
                }
            });
        }
    }

    /// Does something at a moment of the clock.
    fn later(
        &self,
        moment: Moment,
        context: &mut Context<Self>,
        act: impl FnOnce(&mut Self, &mut Context<Self>) + 'static,
    ) {
        let clock = self.clock.clone();
        let wait = async move { clock.sleep_until(moment).await }.into_actor(self);
        context.spawn(wait.map(|(), actor, context| act(actor, context)));
    }

    /// Renews the token when its time has come.
    fn arm_refresh(&self, context: &mut Context<Self>) {
        let Some(current) = &self.current else {
            return;
        };
        let serial = current.token.serial;
        let refresh_at = current.refresh_at;
        self.later(refresh_at, context, move |actor, context| {
            let is_due = |current: &Current| {
                current.token.serial == serial && current.refresh_at == refresh_at
            };
            if actor.current.as_ref().is_some_and(is_due) {
                actor.request(context);
            }
        });
    }
}

#[cfg(feature = "fault-injection")]
crate::supervise::faults::injectable!(TokenActor);

impl Supervised for TokenActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        // The request died with its future.
        self.is_requesting = false;
    }
}

impl Actor for TokenActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        #[cfg(feature = "fault-injection")]
        self.faults.on_start(context);
        self.client = Some(Rc::new(Client::new(self.options.client.clone())));
        self.arm_refresh(context);
        self.arm_recovery(context);
        if !self.waiters.is_empty() {
            self.request(context);
        }
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
        if let Some(token) = self.usable(instead_of) {
            return Box::pin(std::future::ready(Ok(token)));
        }
        if instead_of.is_some_and(|renewal| renewal.discard) {
            self.current = None;
            self.metrics.token_expiry.clear();
        }
        let (answer, receiver) = oneshot::channel();
        self.waiters.push(Waiter { instead_of, answer });
        self.request(context);
        Box::pin(async move {
            match receiver.await {
                Ok(result) => result,
                // The actor is gone for good, and the process is about to end: the asker's time-out tells it so.
                Err(_) => std::future::pending().await,
            }
        })
    }
}
