//! The MetricsStoreActor: the only owner and writer of the fleet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, MessageResult, SpawnHandle, Supervised};

use tokio::sync::mpsc;
use tracing::{debug, error, warn};

use super::listing_pace::ListingPace;
use super::messages::Freeze;
use super::published::{PinLimits, Published, Publisher};
use super::row_watch::RowWatch;
use crate::account::messages::{AddAccount, OfferInventory, OfferLastKnown, RemoveAccount};
use crate::account::{AccountMetrics, OfferBatch, StreamId};
use crate::fleet::plan::Plan;
use crate::fleet::{
    AccountId, ChangeKind, Changes, Committed, Coverage, DoubleDelivery, Example, Fleet, Limits,
    NotListed, RowIgnored, TakenOver, Tally, latest,
};
use crate::supervise::{Heartbeat, act_at};
use crate::text::listed;
use crate::time::{Clock, Moment, Throttle, unix_nanos};

/// Applies batches, expires devices, and publishes snapshots. A restart of the actor keeps the fleet.
#[derive(Debug)]
pub struct MetricsStoreActor {
    fleet: Fleet,
    publisher: Publisher,
    clock: Clock,
    accounts: BTreeMap<Arc<str>, Account>,
    /// The timer for the next change that needs no batch: devices become stale, a delayed snapshot is retried, or inventories are listed.
    alarm: Option<SpawnHandle>,
    /// Whether devices are left out for lack of room, which is logged once.
    is_full: bool,
    /// Limits the warnings about timestamps in the future.
    future: Throttle,
    /// Limits the warnings about timestamps from before 2019.
    early: Throttle,
    /// Limits the warnings about accounts that deliver the same devices.
    double_delivery: Throttle,
    /// When the inventories may be listed again.
    listing: ListingPace,
    /// Limits the warnings about terminals of inventories that have no room.
    without_room: Throttle,
    /// Limits the warnings about terminals of inventories with long IDs.
    with_long_ids: Throttle,
    /// Receives the devices that another account has taken over.
    taken_over: Option<mpsc::UnboundedSender<Vec<TakenOver>>>,
    #[cfg(feature = "fault-injection")]
    pub(super) faults: crate::supervise::faults::Armed,
}

/// What the store keeps about an account, in addition to its devices.
#[derive(Debug, Default)]
struct Account {
    /// The incarnation and number of the last batch, by which a repeated offer is recognised.
    applied: Option<(u64, u64)>,
    rows: RowWatch,
    metrics: Arc<AccountMetrics>,
    /// Its identifier in the fleet; `None` before its first batch.
    owner: Option<AccountId>,
}

impl MetricsStoreActor {
    /// A store that owns the fleet and publishes its snapshots in `published`.
    #[must_use]
    pub fn new(fleet: Fleet, published: Arc<Published>, pins: PinLimits, clock: Clock) -> Self {
        Self {
            fleet,
            publisher: Publisher::new(published, pins),
            clock,
            accounts: BTreeMap::new(),
            alarm: None,
            is_full: false,
            future: Throttle::default(),
            early: Throttle::default(),
            double_delivery: Throttle::default(),
            listing: ListingPace::default(),
            without_room: Throttle::default(),
            with_long_ids: Throttle::default(),
            taken_over: None,
            #[cfg(feature = "fault-injection")]
            faults: Default::default(),
        }
    }

    /// The same store, which reports devices that another account has taken over.
    #[must_use]
    pub fn reporting(self, taken_over: mpsc::UnboundedSender<Vec<TakenOver>>) -> Self {
        let taken_over = Some(taken_over);
        Self { taken_over, ..self }
    }

    /// Publishes the fleet, and sets the timer of the next change by time.
    fn publish(&mut self, context: &mut Context<Self>) {
        let now = self.clock.now();
        let again = self.publisher.publish(&self.fleet, now);
        let due = self.fleet.due();
        let next = (due != Moment::NEVER).then(|| due.since(now));
        let next = again.into_iter().chain(next).min();
        let valid_until = next.map_or(Moment::NEVER, |next| now.after(next));
        self.publisher.set_valid_until(valid_until);
        // Scrapes do not wait for inventories.
        let must_list = self.fleet.must_list_inventories();
        let listing = must_list.then(|| self.listing.wait(self.clock.ran()));
        let next = next.into_iter().chain(listing).min();
        if let Some(alarm) = self.alarm.take() {
            context.cancel_future(alarm);
        }
        self.alarm = next.map(|next| {
            act_at(
                &self.clock,
                now.after(next),
                context,
                |store: &mut Self, context| {
                    store.alarm = None;
                    store.expire();
                    store.list_and_publish(context);
                },
            )
        });
    }

    /// Lists the inventories if they have changed and may be listed now, and publishes the fleet. After a batch this is left to the timer.
    fn list_and_publish(&mut self, context: &mut Context<Self>) {
        let started = self.clock.ran();
        let is_due = self.fleet.must_list_inventories() && self.listing.wait(started).is_zero();
        if !is_due {
            self.publish(context);
            return;
        }
        self.listing.begin(started);
        let now = self.clock.now();
        self.publisher.withdraw(&self.fleet, now);
        let not_listed = self.fleet.list_inventories();
        log_changes(&self.fleet.expire(now));
        self.publish(context);
        self.listing.end(started, self.clock.ran());
        self.warn_of_not_listed(not_listed);
    }

    /// Logs how many terminals of the inventories are not listed, at most once a minute.
    fn warn_of_not_listed(&mut self, not_listed: NotListed) {
        let now = self.clock.elapsed();
        let NotListed {
            without_room,
            with_long_ids,
        } = not_listed;
        if without_room > 0 && self.without_room.admit(now).is_some() {
            warn!(
                terminals = without_room,
                "terminals of the inventory have no room in the fleet: MAX_DEVICES or the limit of device types is reached"
            );
        }
        if with_long_ids > 0 && self.with_long_ids.admit(now).is_some() {
            warn!(
                terminals = with_long_ids,
                "terminals of the inventory are ignored: their IDs are too long"
            );
        }
    }

    /// Logs a warning when the first devices are left out; the next one only after there was room again.
    fn warn_if_full(&mut self, tally: &Tally) {
        let left_out = tally.ignored[RowIgnored::DeviceLimit as usize] > tally.evicted;
        if left_out && !self.is_full {
            let devices = self.fleet.devices();
            warn!(
                devices,
                "further devices are ignored: MAX_DEVICES or the limit of device types is reached"
            );
        }
        self.is_full = left_out || (self.is_full && !self.fleet.has_room());
    }

    /// Logs an example of rows with invalid timestamps, at most once a minute.
    fn warn_of_timestamps(&mut self, plan: &Plan) {
        let now = self.clock.elapsed();
        if let Some(Example { id, reported }) = &plan.future
            && self.future.admit(now).is_some()
        {
            warn!(
                device = id,
                timestamp_ns = reported,
                rows = plan.tally.ignored[RowIgnored::Future as usize],
                "rows ignored: their timestamps are more than 10 minutes in the future"
            );
        }
        if let Some(Example { id, reported }) = &plan.early
            && self.early.admit(now).is_some()
        {
            warn!(
                device = id,
                timestamp_ns = reported,
                "rows rejected: their timestamps are before 2019, or not in nanoseconds"
            );
        }
    }

    /// Logs two accounts that keep delivering the same devices, at most once a minute.
    fn warn_of_double_delivery(&mut self, double_delivery: Option<&DoubleDelivery>) {
        if let Some(DoubleDelivery {
            device_id,
            accounts: [account, other],
        }) = double_delivery
            && self.double_delivery.admit(self.clock.elapsed()).is_some()
        {
            let device = device_id.escape_debug();
            warn!(
                %account,
                %other,
                %device,
                "two accounts deliver the same devices: they are service accounts of one Starlink account, remove one of them"
            );
        }
    }

    /// Counts the rows of a stored batch, and tracks whether rows arrive and are accepted.
    fn count(&mut self, account: Arc<str>, owner: AccountId, tally: &Tally) {
        let account = self.accounts.entry(account).or_default();
        account.owner = Some(owner);
        let Account { rows, metrics, .. } = account;
        metrics.count(tally);
        let is_silent = f64::from(u8::from(self.fleet.is_stream_silent(owner)));
        metrics.stream_silent.set(is_silent);
        let no_rows_for = self.fleet.no_rows_for(owner);
        let seconds = no_rows_for.map(|time| time.as_secs_f64());
        metrics.no_rows_for.set_or_clear(seconds);
        let skipped = self.fleet.reports_skipped(owner, self.clock.now());
        metrics.reports_skipped.set_or_clear(skipped);
        rows.note(tally, self.clock.ran(), metrics);
        let (devices, now) = (self.fleet.devices(), self.clock.elapsed());
        rows.log_silence(no_rows_for, tally, devices, now);
    }

    fn expire(&mut self) {
        let now = self.clock.now();
        if self.fleet.due() <= now {
            self.publisher.withdraw(&self.fleet, now);
            log_changes(&self.fleet.expire(now));
            for Account { metrics, owner, .. } in self.accounts.values() {
                let skipped = owner.and_then(|owner| self.fleet.reports_skipped(owner, now));
                metrics.reports_skipped.set_or_clear(skipped);
            }
        }
    }
}

/// Logs how many devices have changed, if any have.
fn log_changes(changes: &Changes) {
    if changes.is_empty() {
        return;
    }
    let counts = ChangeKind::ALL.map(|kind| (kind.name(), changes.count(kind)));
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    let counts: Vec<_> = counts
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    debug!(changes = counts.join(", "), "devices changed");
}

#[cfg(feature = "fault-injection")]
crate::supervise::faults::injectable!(MetricsStoreActor);

impl Supervised for MetricsStoreActor {}

impl Actor for MetricsStoreActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        #[cfg(feature = "fault-injection")]
        self.faults.on_start(context);
        // A restart cancels all timers, and the old handle could cancel a new timer.
        self.alarm = None;
        self.expire();
        self.list_and_publish(context);
    }
}

impl Handler<Heartbeat> for MetricsStoreActor {
    type Result = ();

    fn handle(&mut self, _: Heartbeat, _: &mut Self::Context) {}
}

impl Handler<OfferBatch> for MetricsStoreActor {
    type Result = ();

    fn handle(&mut self, message: OfferBatch, context: &mut Self::Context) {
        let OfferBatch {
            id,
            batch,
            coverage,
            latest,
            handover,
        } = message;
        let StreamId {
            account,
            incarnation,
        } = id.stream;
        let number = (incarnation, id.number);
        let known = self.accounts.get(&account);
        if known.and_then(|known| known.applied) == Some(number) {
            return;
        }
        // The batch's own end time counts, so that queueing does not age devices.
        log_changes(&self.fleet.expire(coverage.to));
        let Some(owner) = self.fleet.account(&account) else {
            let rows = batch.rows.received();
            error!(%account, rows, "rows lost: too many accounts were added and removed");
            return;
        };
        let plan = self.fleet.plan(owner, &batch, coverage.to, latest);
        // The plan reports each column once, even if the batch is not committed.
        if !plan.churning.is_empty() {
            let columns = listed(&plan.churning, plan.churning.len());
            warn!(
                columns,
                "text changes in nearly every row of most devices, and each change starts a new series of starlink_info: \
                 add these columns to DROP_FIELDS"
            );
        }
        #[cfg(feature = "fault-injection")]
        self.faults.on_message(context);
        // Nothing after this line can fail.
        if !handover.take() {
            return;
        }
        if !plan.is_empty() {
            self.publisher.withdraw(&self.fleet, coverage.to);
        }
        let Committed {
            tally,
            changes,
            double_delivery,
            taken_over,
        } = self.fleet.commit(&plan, coverage);
        log_changes(&changes);
        if let Some(listener) = &self.taken_over
            && !taken_over.is_empty()
        {
            // Sending fails only when the process ends.
            let _ = listener.send(taken_over);
        }
        let known = self.accounts.entry(Arc::clone(&account)).or_default();
        known.applied = Some(number);
        // Stream time has also advanced.
        log_changes(&self.fleet.expire(coverage.to));
        self.publish(context);
        self.count(account, owner, &tally);
        self.warn_if_full(&tally);
        self.warn_of_timestamps(&plan);
        self.warn_of_double_delivery(double_delivery.as_ref());
    }
}

impl Handler<AddAccount> for MetricsStoreActor {
    type Result = ();

    fn handle(&mut self, message: AddAccount, context: &mut Self::Context) {
        let AddAccount { name, metrics } = message;
        // An account that was removed shortly before keeps its devices.
        if self.fleet.account(&name).is_none() && self.fleet.displace_removed_account() {
            self.expire();
            self.publish(context);
            // If there is still no room, the first batch logs that.
            let _ = self.fleet.account(&name);
        }
        self.accounts.entry(name).or_default().metrics = metrics;
    }
}

impl Handler<RemoveAccount> for MetricsStoreActor {
    type Result = ();

    fn handle(&mut self, message: RemoveAccount, context: &mut Self::Context) {
        let RemoveAccount { name } = message;
        self.accounts.remove(&name);
        if let Some(account) = self.fleet.find_account(&name) {
            self.fleet.remove_account(account, self.clock.now());
            // Sets the timer for the removal of its devices.
            self.list_and_publish(context);
        }
    }
}

impl Handler<OfferInventory> for MetricsStoreActor {
    type Result = ();

    fn handle(&mut self, message: OfferInventory, context: &mut Self::Context) {
        let OfferInventory { account, inventory } = message;
        // An account that was removed meanwhile stays removed.
        let Some(owner) = self.fleet.find_account(&account) else {
            return;
        };
        self.fleet.set_inventory(owner, inventory);
        self.list_and_publish(context);
    }
}

impl Handler<OfferLastKnown> for MetricsStoreActor {
    type Result = ();

    fn handle(&mut self, message: OfferLastKnown, context: &mut Self::Context) {
        let OfferLastKnown { account, batch } = message;
        let Some(owner) = self.fleet.find_account(&account) else {
            return;
        };
        let now = self.clock.now();
        log_changes(&self.fleet.expire(now));
        let corrected = unix_nanos(self.clock.corrected());
        let latest = latest(&batch, Some(corrected), &Limits::STANDARD);
        let plan = self.fleet.plan_last_known(owner, &batch, now, latest);
        self.publisher.withdraw(&self.fleet, now);
        let coverage = Coverage {
            to: now,
            covers: Duration::ZERO,
        };
        log_changes(&self.fleet.commit(&plan, coverage).changes);
        self.publish(context);
    }
}

impl Handler<Freeze> for MetricsStoreActor {
    type Result = MessageResult<Freeze>;

    fn handle(&mut self, _: Freeze, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.fleet.freeze())
    }
}
