//! Starts and ends the senders of own series, so that they fit the list of destinations.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use actix::Arbiter;
use arc_swap::ArcSwap;
use futures_util::future::join_all;

use super::{OwnOptions, OwnSender, Tenants};
use crate::http::Sources;
use crate::recording::sender::{ClientContext, SenderContext};
use crate::recording::status::DestinationStatus;
use crate::tasks::Pool;

/// The senders of own series to all destinations, on a thread of their own.
#[derive(Debug)]
pub struct OwnSenders {
    arbiter: Arbiter,
    sources: Sources,
    tenants: Arc<Tenants>,
    pool: Pool,
    client: ClientContext,
    /// By the name of the destination.
    senders: BTreeMap<Arc<str>, (Arc<DestinationStatus>, OwnSender)>,
}

impl OwnSenders {
    /// Starts the thread, without destinations.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(sources: Sources, context: &SenderContext) -> io::Result<Self> {
        Ok(Self {
            arbiter: Arbiter::try_new()?,
            sources,
            tenants: Arc::new(ArcSwap::default()),
            pool: context.pool.clone(),
            client: ClientContext::from(context),
            senders: BTreeMap::new(),
        })
    }

    /// Sets the tenants of the accounts by name.
    pub fn set_tenants(&self, tenants: BTreeMap<Arc<str>, Arc<str>>) {
        self.tenants.store(Arc::new(tenants));
    }

    /// Sends to these destinations from now on, unless `own_metrics` is false. The series of others end. A destination with other settings is
    /// a new one, which begins when the old one has ended.
    pub fn follow(&mut self, destinations: &[Arc<DestinationStatus>]) {
        let mut before = std::mem::take(&mut self.senders);
        for status in destinations {
            if !status.destination.own_metrics {
                continue;
            }
            let name = &status.destination.name;
            let sender = match before.remove(name) {
                Some((known, sender)) if Arc::ptr_eq(&known, status) => sender,
                old => self.sender(status, old.map(|(_, sender)| sender)),
            };
            let sender = (Arc::clone(status), sender);
            self.senders.insert(Arc::clone(name), sender);
        }
    }

    fn sender(&self, destination: &Arc<DestinationStatus>, old: Option<OwnSender>) -> OwnSender {
        let options = OwnOptions {
            destination: Arc::clone(destination),
            sources: self.sources.clone(),
            tenants: Arc::clone(&self.tenants),
            pool: self.pool.clone(),
            client: self.client.clone(),
        };
        OwnSender::start_after(old, options, &self.arbiter.handle())
    }

    /// Ends all series with stale markers, for at most a second, and the thread.
    pub async fn finish(self) {
        let senders = self.senders.into_values();
        join_all(senders.map(|(_, sender)| sender.finish())).await;
        self.arbiter.stop();
    }
}
