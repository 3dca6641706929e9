//! Sends the samples of a set, request by request.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::Arc;

use thiserror::Error;
use tracing::info;

use super::OwnOptions;
use super::making::Making;
use super::rounds::Scope;
use crate::exposition::{Collect, Format, Revoked, Shard};
use crate::history::{DestinationLabels, Encoder, OwnSeries, OwnSet, Protocol, Request, TooLarge};
use crate::http::{Shown, own_name};
use crate::recording::sender::{AccessError, Client, HoldLog, Message, labels};
use crate::remote_write::{
    Class, HOLD, Hold, ProtocolChoice, Quarantine, Refusal, SampleReason, Search, classify,
    wait_to_retry,
};
use crate::text::fnv;
use crate::time::{Backoff, Clock, Moment};

/// Why a set was not sent.
#[derive(Debug, Clone, Error)]
pub enum NotSent {
    /// The next one was due.
    #[error("the receiver has not stored them before the next ones are due")]
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
    /// The receiver refuses all requests until a person changes something.
    #[error("the receiver refuses all requests")]
    Held,
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
    /// No set is sent before this moment, because the receiver refuses all requests.
    held_until: Cell<Moment>,
    holds: RefCell<HoldLog>,
    /// Series that the receiver refuses.
    quarantine: RefCell<Quarantine>,
}

/// The series of a set of which the receiver may have some, before all are sent.
pub type PartlySent = RefCell<Option<OwnSeries>>;

/// How a request ended.
enum Sent {
    Stored,
    /// The receiver refuses some of it, with this text, and has stored what is valid.
    InPart(String),
    /// The receiver refuses some of it, with this text, and has stored nothing.
    Bad(String),
    /// The receiver refuses it as too large, with this text.
    TooLarge(String),
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
        let labels = labels(destination);
        let names = destination.names.clone();
        let instance = destination.instance.clone().unwrap_or_else(own_name);
        let sending = Self {
            client: Client::new(Arc::clone(&options.destination), options.client.clone()),
            labels,
            no_series: OwnSeries::new(instance.into(), Arc::new(names)),
            most: Cell::new(1),
            held_until: Cell::default(),
            holds: RefCell::default(),
            quarantine: RefCell::default(),
            options,
        };
        sending.most.set(sending.most_in_settings());
        sending
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

    /// Sends a set with the samples of now. Returns its series once all are sent, and why the receiver has not stored some. Before that, the
    /// receiver may have those of `partly`.
    ///
    /// # Errors
    /// [`NotSent`]; some of the samples may have been stored.
    pub async fn scrape(
        &self,
        scope: &Scope,
        collect: Collect,
        before: OwnSeries,
        time: i64,
        partly: &PartlySent,
    ) -> Result<(OwnSeries, Option<NotSent>), NotSent> {
        self.is_not_held()?;
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
        let (series, refused) = self.send_all(scope, making, partly).await?;
        Ok((series.ok_or(NotSent::Panicked)?, refused))
    }

    /// Sends stale markers for all series.
    ///
    /// # Errors
    /// [`NotSent`]; some may have been stored.
    pub async fn end(&self, scope: &Scope, series: OwnSeries, time: i64) -> Result<(), NotSent> {
        self.is_not_held()?;
        let making = Making::end(series, time);
        self.send_all(scope, making, &PartlySent::default()).await?;
        Ok(())
    }

    /// The series of both.
    pub async fn both(&self, before: OwnSeries, partly: OwnSeries) -> OwnSeries {
        let otherwise = before.clone();
        let both = self.options.pool.run(move || before.with(&partly));
        both.await.unwrap_or(otherwise)
    }

    async fn send_all(
        &self,
        scope: &Scope,
        mut making: Making,
        partly: &PartlySent,
    ) -> Result<(Option<OwnSeries>, Option<NotSent>), NotSent> {
        let mut refused = None;
        loop {
            let most = self.most.get();
            let next = self.options.pool.run(move || {
                let set = making.next(most)?;
                let series = making.series_so_far();
                Ok::<_, NotSent>((making, set, series))
            });
            match next.await.map_err(|_| NotSent::Panicked)?? {
                (next, Some(set), series) => {
                    making = next;
                    partly.replace(series);
                    refused = self.send_parts(scope, set).await?.or(refused);
                }
                (ended, None, _) => {
                    let most = self.most.get().saturating_mul(2);
                    self.most.set(most.min(self.most_in_settings()));
                    return Ok((ended.into_series(), refused.map(NotSent::Refused)));
                }
            }
        }
    }

    /// Sends samples, in smaller parts if the receiver refuses a request as too large, or for bad series. Returns why some are not stored.
    async fn send_parts(&self, scope: &Scope, set: OwnSet) -> Result<Option<String>, NotSent> {
        let set = Arc::new(self.without_quarantined(set));
        let mut search = Search::new(u32::try_from(set.len()).unwrap_or(u32::MAX), u32::MAX);
        let mut reason = None;
        while let Some(range) = search.next() {
            match self.send(scope, &part(&set, &range)).await? {
                Sent::Stored => search.stored(),
                Sent::InPart(text) => {
                    reason = Some(text);
                    search.stored();
                }
                Sent::Bad(text) => {
                    reason = Some(text);
                    search.refused(Refusal::Bad(SampleReason::Rejected));
                }
                Sent::TooLarge(_) if range.len() > 1 => {
                    self.most.set(self.most.get().min(range.len() / 2));
                    search.refused(Refusal::TooLarge);
                }
                Sent::TooLarge(text) => {
                    // Smaller requests do not help.
                    self.most.set(self.most_in_settings());
                    return Err(NotSent::Refused(text));
                }
            }
            let found = search.take_found().into_iter();
            for found in found.filter(|found| found.is_exact) {
                if let Some(series) = set.series(found.samples.start as usize) {
                    let now = self.clock().now();
                    self.quarantine.borrow_mut().add(hash(series), now);
                }
            }
        }
        Ok(reason)
    }

    /// The samples whose series the receiver has not refused within the last hour.
    fn without_quarantined(&self, mut set: OwnSet) -> OwnSet {
        let (mut quarantine, now) = (self.quarantine.borrow_mut(), self.clock().now());
        quarantine.release(now);
        if !quarantine.is_empty() {
            set.retain(|series| !quarantine.holds(hash(series), now));
        }
        set
    }

    /// Sends a request until the receiver has stored it, or refuses it.
    async fn send(&self, scope: &Scope, set: &Arc<OwnSet>) -> Result<Sent, NotSent> {
        let link = &self.options.destination.link;
        let choice = self.options.destination.destination.protocol;
        let mut protocol = link.protocol();
        let mut request = self.encoded(set, protocol).await?;
        let mut backoff = Backoff::REQUESTS;
        let mut attempt = 0;
        loop {
            let samples = request.samples as u64;
            link.wait_for_pace(samples, self.clock()).await;
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
                    self.holds.borrow_mut().ended(None, self.destination());
                    return Ok(Sent::Stored);
                }
                Class::Unsupported if self.may_fall_back(protocol) => {
                    if link.fall_back() {
                        let destination = self.destination();
                        info!(
                            destination,
                            "the receiver does not support remote write 2.0: sending 1.0"
                        );
                    }
                    protocol = Protocol::V1;
                    request = self.encoded(set, protocol).await?;
                    continue;
                }
                Class::TooLarge => return Ok(Sent::TooLarge(outcome.text)),
                Class::Retry {
                    after,
                    is_throttled,
                    ..
                } => {
                    if is_throttled {
                        link.lower_pace(self.clock().now());
                    }
                    wait_to_retry(after, &mut backoff, fastrand::f64())
                }
                Class::Unsupported if choice == ProtocolChoice::Auto => {
                    link.begin_again();
                    return Err(self.hold(Hold::NoVersion, &outcome.text));
                }
                Class::Unsupported => return Err(self.hold(Hold::Protocol, &outcome.text)),
                Class::Hold(hold) => return Err(self.hold(hold, &outcome.text)),
                Class::Bad if protocol == Protocol::V1 => return Ok(Sent::Bad(outcome.text)),
                Class::Bad | Class::Time(_) if protocol == Protocol::V2 => {
                    return Ok(Sent::InPart(outcome.text));
                }
                Class::Bad | Class::Time(_) | Class::NotStored => {
                    return Err(NotSent::Refused(outcome.text));
                }
            };
            attempt += 1;
            self.clock().sleep(wait).await;
        }
    }

    fn is_not_held(&self) -> Result<(), NotSent> {
        match self.clock().now() < self.held_until.get() {
            true => Err(NotSent::Held),
            false => Ok(()),
        }
    }

    /// Sends nothing for some time, because the receiver refuses all requests until a person changes something.
    fn hold(&self, hold: Hold, error: &str) -> NotSent {
        let (destination, elapsed) = (self.destination(), self.clock().elapsed());
        self.held_until.set(self.clock().now().after(HOLD));
        let mut holds = self.holds.borrow_mut();
        holds.held(None, destination, hold, error, elapsed);
        NotSent::Held
    }

    /// The most samples of a request in the settings.
    fn most_in_settings(&self) -> usize {
        let most = self.options.destination.destination.max_samples_per_send;
        usize::try_from(most).unwrap_or(usize::MAX).max(1)
    }

    fn may_fall_back(&self, protocol: Protocol) -> bool {
        let choice = self.options.destination.destination.protocol;
        protocol == Protocol::V2 && choice == ProtocolChoice::Auto
    }

    /// Encodes a set. The buffers are freed at once, because the next one is due in some seconds.
    async fn encoded(&self, set: &Arc<OwnSet>, protocol: Protocol) -> Result<Request, NotSent> {
        let (labels, set) = (self.labels.clone(), Arc::clone(set));
        let encode = move || Encoder::new(&labels).own(protocol, &set);
        let request = self.options.pool.run(encode).await;
        Ok(request.map_err(|_| NotSent::Panicked)??)
    }
}

fn hash(series: &str) -> u64 {
    fnv::append(fnv::EMPTY, series.as_bytes())
}

/// Some of the samples of a set.
fn part(set: &Arc<OwnSet>, range: &Range<u32>) -> Arc<OwnSet> {
    if range.len() == set.len() {
        return Arc::clone(set);
    }
    let mut rest = OwnSet::clone(set);
    drop(rest.take(range.start as usize));
    Arc::new(rest.take(range.len()))
}
