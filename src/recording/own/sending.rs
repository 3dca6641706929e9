//! Sends the samples of a set, request by request.

use std::cell::Cell;
use std::sync::Arc;

use thiserror::Error;
use tracing::info;

use super::OwnOptions;
use super::making::Making;
use super::rounds::Scope;
use crate::exposition::{Collect, Format, Revoked, Shard};
use crate::history::{DestinationLabels, Encoder, OwnSeries, OwnSet, Protocol, Request, TooLarge};
use crate::http::{Shown, own_name};
use crate::recording::sender::{AccessError, Client, Message};
use crate::remote_write::{Class, ProtocolChoice, classify};
use crate::time::{Backoff, Clock};

/// Why a set was not sent.
#[derive(Debug, Clone, Error)]
pub enum NotSent {
    /// The next one was due.
    #[error("the receiver does not take them in time")]
    Late,
    /// There is no account with this name any more.
    #[error("the account was removed")]
    NoAccount,
    /// The store publishes no snapshot in time.
    #[error("the store does not answer")]
    Store,
    /// The snapshot was revoked.
    #[error(transparent)]
    Revoked(#[from] Revoked),
    /// A job panicked.
    #[error("a set cannot be made")]
    Panicked,
    /// A request exceeds what can be represented.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// A file of the destination cannot be used.
    #[error(transparent)]
    Access(Arc<AccessError>),
    /// The receiver refused a request.
    #[error("{0}")]
    Refused(String),
}

/// Sends sets to one destination.
pub struct Sending {
    options: OwnOptions,
    client: Client,
    labels: DestinationLabels,
    /// The series before the first set.
    no_series: OwnSeries,
    /// The most samples of a request: fewer than in the settings if the receiver refuses requests as too large.
    most: Cell<usize>,
}

impl std::fmt::Debug for Sending {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sending").finish_non_exhaustive()
    }
}

impl Sending {
    /// A sender with its own connections.
    #[must_use]
    pub fn new(options: OwnOptions) -> Self {
        let destination = &options.destination.destination;
        let mut labels = DestinationLabels::none();
        for (name, value) in &destination.labels {
            // They were checked when the destination was parsed.
            let _ = labels.set(name, value);
        }
        let names = destination.names.clone();
        let instance = destination.instance.clone().unwrap_or_else(own_name);
        let most = usize::try_from(destination.max_samples_per_send).unwrap_or(usize::MAX);
        Self {
            client: Client::new(Arc::clone(&options.destination), options.client.clone()),
            labels,
            no_series: OwnSeries::new(instance.into(), Arc::new(names)),
            most: Cell::new(most.max(1)),
            options,
        }
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.options.client.clock
    }

    /// The name of the destination.
    #[must_use]
    pub fn destination(&self) -> &str {
        &self.options.destination.destination.name
    }

    /// Counts a set that was not sent.
    pub fn count_dropped(&self) {
        self.options.destination.own_sets_dropped.increment();
    }

    /// The series before the first set.
    #[must_use]
    pub fn no_series(&self) -> OwnSeries {
        self.no_series.clone()
    }

    /// Whose series are sent now: all together, or those of each account with its tenant.
    #[must_use]
    pub fn scopes(&self) -> Vec<Scope> {
        if self.options.destination.destination.takes_process_metrics() {
            return vec![Scope {
                account: None,
                tenant: "".into(),
            }];
        }
        let tenants = self.options.tenants.load();
        let accounts = self.options.sources.accounts.all();
        let accounts = accounts.iter().map(|account| Scope {
            tenant: Arc::clone(tenants.get(&account.name).unwrap_or(&account.name)),
            account: Some(Arc::clone(&account.name)),
        });
        accounts.collect()
    }

    /// Sends a set with the samples of now. Returns its series once all are sent.
    ///
    /// # Errors
    /// [`NotSent`]; some of the samples may have been stored.
    pub async fn scrape(
        &self,
        scope: &Scope,
        collect: Collect,
        before: OwnSeries,
        time: i64,
    ) -> Result<OwnSeries, NotSent> {
        let sources = &self.options.sources;
        let shown = Shown::of(sources, scope.account.as_deref());
        let shown = shown.ok_or(NotSent::NoAccount)?;
        let content = shown.read(sources, Shard::WHOLE, collect).await;
        let content = content.ok_or(NotSent::Store)?;
        let pool = &self.options.pool;
        let making = pool.run(move || {
            // The layout reads every device.
            let text = content.text(Format::Prometheus);
            Making::scrape(text, &before, time)
        });
        let making = making.await.map_err(|_| NotSent::Panicked)?;
        let series = self.send_all(scope, making).await?;
        series.ok_or(NotSent::Panicked)
    }

    /// Sends stale markers for all series.
    ///
    /// # Errors
    /// [`NotSent`]; some may have been stored.
    pub async fn end(&self, scope: &Scope, series: OwnSeries, time: i64) -> Result<(), NotSent> {
        self.send_all(scope, Making::end(series, time)).await?;
        Ok(())
    }

    async fn send_all(
        &self,
        scope: &Scope,
        mut making: Making,
    ) -> Result<Option<OwnSeries>, NotSent> {
        loop {
            let (most, protocol) = (self.most.get(), self.options.destination.link.protocol());
            let labels = self.labels.clone();
            let next = self.options.pool.run(move || {
                let set = making.next(most)?.map(Arc::new);
                let request = set.as_ref().map(|set| encode(&labels, protocol, set));
                Ok::<_, NotSent>((making, set.zip(request.transpose()?)))
            });
            let next = next.await.map_err(|_| NotSent::Panicked)??;
            match next {
                (next, Some((set, request))) => {
                    making = next;
                    self.send(scope, &set, protocol, request).await?;
                }
                (ended, None) => return Ok(ended.into_series()),
            }
        }
    }

    /// Sends a request until the receiver has stored it, or refuses it.
    async fn send(
        &self,
        scope: &Scope,
        set: &Arc<OwnSet>,
        mut protocol: Protocol,
        mut request: Request,
    ) -> Result<(), NotSent> {
        let link = &self.options.destination.link;
        let mut backoff = Backoff::REQUESTS;
        let mut attempt = 0;
        loop {
            self.pace(request.samples).await;
            let message = Message {
                protocol,
                body: &request.body,
                attempt,
                tenant: &scope.tenant,
            };
            let outcome = self.client.send(&message).await;
            let outcome = outcome.map_err(NotSent::Access)?;
            let wait = match classify(&outcome.answer(), protocol) {
                Class::Done => {
                    link.succeed(self.clock().now());
                    return Ok(());
                }
                Class::Unsupported if self.may_fall_back(protocol) => {
                    if link.fall_back() {
                        let destination = self.destination();
                        info!(
                            destination,
                            "the receiver does not understand remote write 2.0: sending 1.0"
                        );
                    }
                    protocol = Protocol::V1;
                    request = self.encoded(set, protocol).await?;
                    continue;
                }
                Class::TooLarge => {
                    self.most.set((request.samples / 2).max(1));
                    return Err(NotSent::Refused(outcome.text));
                }
                Class::Retry {
                    after,
                    is_throttled,
                    ..
                } => {
                    if is_throttled {
                        link.lower_pace(self.clock().now());
                    }
                    after.unwrap_or_else(|| backoff.next(fastrand::f64()))
                }
                _ => return Err(NotSent::Refused(outcome.text)),
            };
            attempt += 1;
            self.clock().sleep(wait).await;
        }
    }

    /// Waits for the pace of the destination.
    async fn pace(&self, samples: usize) {
        let link = &self.options.destination.link;
        loop {
            let wait = link.spend(samples as u64, self.clock().now());
            if wait.is_zero() {
                return;
            }
            self.clock().sleep(wait).await;
        }
    }

    fn may_fall_back(&self, protocol: Protocol) -> bool {
        let choice = self.options.destination.destination.protocol;
        protocol == Protocol::V2 && choice == ProtocolChoice::Auto
    }

    async fn encoded(&self, set: &Arc<OwnSet>, protocol: Protocol) -> Result<Request, NotSent> {
        let (labels, set) = (self.labels.clone(), Arc::clone(set));
        let request = self
            .options
            .pool
            .run(move || encode(&labels, protocol, &set));
        Ok(request.await.map_err(|_| NotSent::Panicked)??)
    }
}

/// Encodes a set. The buffers are freed at once, because the next one is due in some seconds.
fn encode(
    labels: &DestinationLabels,
    protocol: Protocol,
    set: &OwnSet,
) -> Result<Request, TooLarge> {
    Encoder::new(labels).own(protocol, set)
}
