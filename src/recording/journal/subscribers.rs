//! The destinations of a journal: their cursors, and the rows that they were not sent. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::worker::Positions;
use crate::journal::files::Deleted;
use crate::journal::retention::Reason;
use crate::journal::{Cursor, Record, Start};
use crate::recording::messages::Subscription;
use crate::recording::status::SenderStatus;
use crate::remote_write::RowReason;

/// How long the cursor of a destination that is not configured is kept.
const KEPT: Duration = Duration::from_secs(3600);

/// The destinations, by name.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    all: BTreeMap<Arc<str>, Subscriber>,
    /// Numbers the counts that are requested.
    counts: u64,
    /// The tenant of the account, which is saved with the cursors. `None` leaves the saved one as it is.
    tenant: Option<Arc<str>>,
    /// The destinations whose cursors must be removed from the file.
    released: Vec<Arc<str>>,
    /// Whether something has changed since it was saved.
    has_changed: bool,
}

/// What is to be saved.
#[derive(Debug, Clone, Default)]
pub(super) struct Unsaved {
    /// The cursors of destinations.
    pub(super) cursors: Positions,
    /// The destinations whose cursors are removed.
    pub(super) released: Vec<Arc<str>>,
    /// The tenant of the account, if it is known.
    pub(super) tenant: Option<Arc<str>>,
}

#[derive(Debug)]
struct Subscriber {
    start: Start,
    /// `None` if only its cursor is known, from an earlier process.
    status: Option<Arc<SenderStatus>>,
    /// `None` until the journal is open.
    cursor: Option<Cursor>,
    /// Since when it is not configured.
    gone_since: Option<Duration>,
    pending: Pending,
    /// Whether records were deleted that it may have read and be done with later. Their rows are not in `pending` any more.
    has_lost: bool,
}

/// The rows that a destination was not sent.
#[derive(Debug, Default)]
enum Pending {
    /// They must be counted.
    #[default]
    Unknown,
    /// They are being counted, with this number. The sum of changes since.
    Requested(u64, i128),
    /// The count.
    Known(u64),
}

/// A destination whose rows must be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Uncounted {
    /// Its name.
    pub(super) destination: Arc<str>,
    /// Its cursor.
    pub(super) cursor: Cursor,
    /// The number of the count.
    count: u64,
}

impl Subscribers {
    /// Replaces the configured destinations.
    pub(super) fn set(&mut self, subscriptions: Vec<Subscription>, now: Duration) {
        let mut before = std::mem::take(&mut self.all);
        for subscription in subscriptions {
            let Subscription {
                destination,
                start,
                status,
            } = subscription;
            self.released.retain(|released| *released != destination);
            let known = before.remove(&destination);
            let same = known.as_ref().and_then(|known| known.status.as_ref());
            let is_same = same.is_some_and(|same| Arc::ptr_eq(same, &status));
            let (cursor, pending, has_lost) = match known {
                Some(known) if is_same => (known.cursor, known.pending, known.has_lost),
                known => (
                    known.and_then(|known| known.cursor),
                    Pending::Unknown,
                    false,
                ),
            };
            let subscriber = Subscriber {
                start,
                status: Some(status),
                cursor,
                gone_since: None,
                pending,
                has_lost,
            };
            self.all.insert(destination, subscriber);
        }
        for (destination, mut subscriber) in before {
            subscriber.gone_since.get_or_insert(now);
            self.all.insert(destination, subscriber);
        }
    }

    /// Takes the cursors of an open journal. Those of unknown destinations are of earlier processes.
    pub(super) fn opened(&mut self, cursors: Positions, now: Duration) {
        for (destination, cursor) in cursors {
            let subscriber = self.all.entry(destination);
            let subscriber = subscriber.or_insert_with(|| Subscriber {
                start: Start::Oldest,
                status: None,
                cursor: None,
                gone_since: Some(now),
                pending: Pending::Unknown,
                has_lost: false,
            });
            subscriber.cursor.get_or_insert(cursor);
        }
    }

    /// Takes the cursors of new destinations.
    pub(super) fn subscribed(&mut self, mut cursors: Positions) {
        for (destination, subscriber) in &mut self.all {
            if let (None, Some(cursor)) = (&subscriber.cursor, cursors.remove(destination)) {
                subscriber.cursor = Some(cursor);
                self.has_changed = true;
            }
        }
    }

    /// Sets the tenant of the account.
    pub(super) fn set_tenant(&mut self, tenant: Arc<str>) {
        self.tenant = Some(tenant);
        self.has_changed = true;
    }

    /// The tenant of the account, if it is known.
    pub(super) fn tenant(&self) -> Option<Arc<str>> {
        self.tenant.clone()
    }

    /// Whether something has changed since it was saved.
    pub(super) fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// What is to be saved now.
    pub(super) fn take_unsaved(&mut self) -> Unsaved {
        self.has_changed = false;
        Unsaved {
            cursors: self.cursors(),
            released: std::mem::take(&mut self.released),
            tenant: self.tenant(),
        }
    }

    /// What was taken last is to be saved again. Cursors that are removed stay so.
    pub(super) fn save_failed(&mut self) {
        self.has_changed = true;
    }

    /// Removes the destinations that have not been configured for an hour. Returns their names.
    pub(super) fn release(&mut self, now: Duration) -> Vec<Arc<str>> {
        let is_over = |since: Duration| now.saturating_sub(since) >= KEPT;
        let released = self
            .all
            .extract_if(.., |_, it| it.gone_since.is_some_and(is_over));
        let released: Vec<_> = released.map(|(destination, _)| destination).collect();
        self.has_changed |= !released.is_empty();
        self.released.extend_from_slice(&released);
        released
    }

    /// Whether there are none, so that nothing need be recorded.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether a destination is configured.
    pub(super) fn contains(&self, destination: &str) -> bool {
        let subscriber = self.all.get(destination);
        subscriber.is_some_and(|subscriber| subscriber.gone_since.is_none())
    }

    /// The cursor of a configured destination, if it is known.
    pub(super) fn cursor(&self, destination: &str) -> Option<&Cursor> {
        let subscriber = self.all.get(destination);
        let subscriber = subscriber.filter(|subscriber| subscriber.gone_since.is_none())?;
        subscriber.cursor.as_ref()
    }

    /// All known cursors.
    pub(super) fn cursors(&self) -> Positions {
        let known = self.all.iter();
        let known = known.filter_map(|(name, it)| Some((Arc::clone(name), it.cursor.clone()?)));
        known.collect()
    }

    /// The configured destinations without cursors, and where they start.
    pub(super) fn without_cursors(&self) -> Vec<(Arc<str>, Start)> {
        let new = self.all.iter().filter(|(_, it)| it.cursor.is_none());
        let new = new.filter(|(_, it)| it.gone_since.is_none());
        new.map(|(name, it)| (Arc::clone(name), it.start)).collect()
    }

    /// The configured destinations, and where they start.
    pub(super) fn configured(&self) -> Vec<(Arc<str>, Start)> {
        let configured = self.all.iter().filter(|(_, it)| it.gone_since.is_none());
        let configured = configured.map(|(name, it)| (Arc::clone(name), it.start));
        configured.collect()
    }

    /// The number below which all destinations have all records; `None` without destinations, or before all cursors are known.
    pub(super) fn sent(&self) -> Option<u64> {
        let mut sent = None;
        for subscriber in self.all.values() {
            let oldest = subscriber.cursor.as_ref()?.oldest();
            sent = Some(sent.map_or(oldest, |sent: u64| sent.min(oldest)));
        }
        sent
    }

    /// Sets the cursor of a configured destination that is done with this number of rows.
    pub(super) fn advance(&mut self, destination: &str, cursor: Cursor, rows: u64) {
        let Some(subscriber) = self.all.get_mut(destination) else {
            return;
        };
        if subscriber.cursor.is_some() {
            subscriber.cursor = Some(cursor);
            self.has_changed = true;
            match std::mem::take(&mut subscriber.has_lost) {
                true => subscriber.pending = Pending::Unknown,
                false => subscriber.change(-i128::from(rows)),
            }
        }
    }

    /// Counts the rows of a new record.
    pub(super) fn recorded(&mut self, rows: u32) {
        for subscriber in self.all.values_mut() {
            subscriber.change(rows.into());
        }
    }

    /// Counts the rows of records that are lost for the destinations that do not have them.
    pub(super) fn lost(&mut self, records: &[Arc<Record>]) {
        for subscriber in self.all.values_mut() {
            let cursor = &subscriber.cursor;
            let lacks = |number| cursor.as_ref().is_none_or(|cursor| cursor.lacks(number));
            let lost = records.iter().map(|record| &record.header);
            let lost = lost.filter(|header| lacks(header.sequence));
            let rows: u64 = lost.map(|header| u64::from(header.rows)).sum();
            subscriber.drop_rows(RowReason::Memory, rows);
            subscriber.change(-i128::from(rows));
        }
    }

    /// Counts rows that are lost for all destinations without having been recorded.
    pub(super) fn not_recorded(&self, rows: u32) {
        for subscriber in self.all.values() {
            subscriber.drop_rows(RowReason::Memory, rows.into());
        }
    }

    /// Counts the rows of a deleted segment for the destinations that do not have them. Their rows are counted again.
    pub(super) fn deleted(&mut self, reason: Reason, deleted: &Deleted) {
        self.has_changed = true;
        for (destination, subscriber) in &mut self.all {
            if let Some(cursor) = &mut subscriber.cursor {
                cursor.skip_to(deleted.end);
            }
            let Some(rows) = deleted.lost.get(destination) else {
                continue;
            };
            if let Some(reason) = row_reason(reason) {
                subscriber.drop_rows(reason, *rows);
            }
            subscriber.pending = Pending::Unknown;
            subscriber.has_lost = true;
        }
    }

    /// The destinations whose rows must be counted.
    pub(super) fn uncounted(&mut self) -> Vec<Uncounted> {
        let mut uncounted = Vec::new();
        for (destination, subscriber) in &mut self.all {
            if let (Pending::Unknown, Some(cursor)) = (&subscriber.pending, &subscriber.cursor) {
                self.counts += 1;
                subscriber.pending = Pending::Requested(self.counts, 0);
                uncounted.push(Uncounted {
                    destination: Arc::clone(destination),
                    cursor: cursor.clone(),
                    count: self.counts,
                });
            }
        }
        uncounted
    }

    /// Takes the rows of destinations; fewer if not all could be counted.
    pub(super) fn counted(&mut self, uncounted: &[Uncounted], rows: Option<Vec<u64>>) {
        let rows = rows.unwrap_or_default().into_iter().map(Some);
        let rows = rows.chain(std::iter::repeat(None));
        for (wanted, rows) in uncounted.iter().zip(rows) {
            let Some(subscriber) = self.all.get_mut(&wanted.destination) else {
                continue;
            };
            match subscriber.pending {
                Pending::Requested(count, change) if count == wanted.count => {
                    subscriber.pending = match rows {
                        Some(rows) => Pending::Known(sum(rows, change)),
                        None => Pending::Unknown,
                    };
                    subscriber.report();
                }
                // Another count was requested since.
                _ => {}
            }
        }
    }

    /// Counts that were requested may have got lost.
    pub(super) fn count_again(&mut self) {
        for subscriber in self.all.values_mut() {
            if let Pending::Requested(..) = subscriber.pending {
                subscriber.pending = Pending::Unknown;
            }
        }
    }
}

impl Subscriber {
    fn change(&mut self, by: i128) {
        match &mut self.pending {
            Pending::Unknown => {}
            Pending::Requested(_, change) => *change += by,
            Pending::Known(rows) => *rows = sum(*rows, by),
        }
        self.report();
    }

    fn report(&self) {
        if let (Pending::Known(rows), Some(status)) = (&self.pending, &self.status) {
            status.set_pending_rows(*rows);
        }
    }

    fn drop_rows(&self, reason: RowReason, rows: u64) {
        if let Some(status) = &self.status {
            status.count_dropped(reason, rows);
        }
    }
}

fn sum(rows: u64, change: i128) -> u64 {
    u64::try_from((i128::from(rows) + change).max(0)).unwrap_or(u64::MAX)
}

/// The reason of a deleted segment's rows; `None` if all destinations have them.
pub(super) fn row_reason(reason: Reason) -> Option<RowReason> {
    match reason {
        Reason::Sent => None,
        Reason::MaxAge => Some(RowReason::MaxAge),
        Reason::MaxBytes => Some(RowReason::MaxBytes),
        Reason::DiskSpace => Some(RowReason::DiskSpace),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::tests::record;

    fn cursor(next: u64) -> Cursor {
        Cursor {
            next,
            gap: None,
            shards: 1,
        }
    }

    fn subscription(destination: &str) -> Subscription {
        let destination: Arc<str> = destination.into();
        let account = "a".into();
        let status = SenderStatus::new(account, Arc::clone(&destination), Duration::ZERO);
        Subscription {
            destination,
            start: Start::Next,
            status: Arc::new(status),
        }
    }

    #[test]
    fn rows_that_wait_are_counted_while_they_are_recorded_sent_lost_and_deleted() {
        let subscription = subscription("d");
        let status = Arc::clone(&subscription.status);
        let mut subscribers = Subscribers::default();
        subscribers.set(vec![subscription.clone()], Duration::ZERO);
        subscribers.recorded(7);
        assert!(subscribers.uncounted().is_empty(), "without a cursor");
        subscribers.opened(Positions::from([("d".into(), cursor(2))]), Duration::ZERO);
        let first = subscribers.uncounted();
        subscribers.recorded(5);
        subscribers.advance("d", cursor(3), 2);
        subscribers.counted(&first, Some(vec![10]));
        assert_eq!(status.pending_rows(), 13);
        subscribers.lost(&[2, 3].map(|number| Arc::new(record(number, b""))));
        assert_eq!(status.pending_rows(), 10, "number 2 was sent");
        let lost = BTreeMap::from([("d".into(), 4)]);
        subscribers.deleted(
            Reason::MaxAge,
            &Deleted {
                end: 5,
                lost,
                unread: None,
            },
        );
        assert_eq!(subscribers.cursor("d"), Some(&cursor(5)));
        let again = subscribers.uncounted();
        subscribers.counted(&first, Some(vec![99]));
        subscribers.counted(&again, None);
        assert_eq!(status.pending_rows(), 10);
        let again = subscribers.uncounted();
        subscribers.counted(&again, Some(vec![6]));
        assert_eq!(status.pending_rows(), 6);
        // It had read a record that was deleted. The list of destinations is replaced meanwhile.
        subscribers.set(vec![subscription], Duration::ZERO);
        subscribers.advance("d", cursor(6), 5);
        let again = subscribers.uncounted();
        subscribers.counted(&again, Some(vec![4]));
        assert_eq!(status.pending_rows(), 4);
        subscribers.advance("d", cursor(9), 7);
        assert_eq!(status.pending_rows(), 0);
        let dropped = status.rows_dropped().filter(|(_, count)| count.count() > 0);
        let dropped: Vec<_> = dropped.map(|(reason, it)| (reason, it.count())).collect();
        assert_eq!(dropped, [(RowReason::MaxAge, 4), (RowReason::Memory, 3)]);
    }

    #[test]
    fn records_are_needed_until_all_destinations_have_them() {
        let mut subscribers = Subscribers::default();
        assert_eq!(subscribers.sent(), None);
        subscribers.set(vec![subscription("a"), subscription("b")], Duration::ZERO);
        subscribers.opened(Positions::from([("a".into(), cursor(4))]), Duration::ZERO);
        assert_eq!(subscribers.sent(), None);
        let new = subscribers.without_cursors();
        assert_eq!(new, [("b".into(), Start::Next)]);
        subscribers.subscribed(Positions::from([("b".into(), cursor(2))]));
        assert_eq!(subscribers.sent(), Some(2));
        subscribers.set(vec![subscription("a")], Duration::from_secs(9));
        assert_eq!(subscribers.sent(), Some(2));
        assert!(subscribers.cursor("b").is_none() && !subscribers.contains("b"));
        assert!(subscribers.release(Duration::from_secs(3608)).is_empty());
        assert_eq!(subscribers.release(Duration::from_secs(3609)), ["b".into()]);
        assert_eq!(subscribers.sent(), Some(4));
    }
}
