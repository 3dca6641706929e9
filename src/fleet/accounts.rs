//! The accounts that deliver devices, and the stream time of each.

use std::sync::Arc;
use std::time::Duration;

use super::gaps::RecentGaps;
use super::stream_time::StreamTime;
use crate::inventory::Inventory;
use crate::time::Moment;

/// Identifies an account of a fleet. After [`super::Fleet::remove_account`] and `STALE_AFTER`, another account may get the identifier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(u16);

impl AccountId {
    /// The account at this index of lists by account, which have at most 65,536 entries.
    pub(super) fn at(index: usize) -> Self {
        Self(u16::try_from(index).unwrap_or(u16::MAX))
    }

    /// Its index in lists by account.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// An account.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) name: Arc<str>,
    pub(super) stream_time: StreamTime,
    /// The gaps between the reports of its devices.
    pub(super) gaps: RecentGaps,
    /// What Starlink's management API says about it; `None` if nothing is known.
    pub(super) inventory: Option<Arc<Inventory>>,
    /// When it was removed.
    removed: Option<Moment>,
    /// Whether its devices are removed without waiting for `STALE_AFTER`, because another account needs its entry.
    is_displaced: bool,
}

/// The accounts by identifier. The entry of a removed account becomes free when its devices are removed.
#[derive(Debug, Default)]
pub(super) struct Accounts(Vec<Option<Account>>);

/// The clock of a block's devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockClock {
    /// The stream time of the account. The clock of devices without an account does not advance.
    pub(super) stream: Moment,
    /// When the devices are removed because their account was removed.
    pub(super) end: Moment,
}

impl BlockClock {
    /// The clock of devices without an account.
    const NONE: Self = Self {
        stream: Moment::from_millis(0),
        end: Moment::NEVER,
    };
}

impl Accounts {
    /// The account with this name. It is added if there are fewer than `most`, and restored if it was removed.
    pub(super) fn find_or_add(&mut self, name: &Arc<str>, most: usize) -> Option<AccountId> {
        let known = |account: &Option<Account>| account.as_ref().is_some_and(|it| it.name == *name);
        if let Some(known) = self.0.iter().position(known) {
            if let Some(account) = &mut self.0[known] {
                account.removed = None;
                account.is_displaced = false;
            }
            return numbered(known);
        }
        let account = Account {
            name: Arc::clone(name),
            stream_time: StreamTime::default(),
            gaps: RecentGaps::default(),
            inventory: None,
            removed: None,
            is_displaced: false,
        };
        let free = self.0.iter().position(Option::is_none);
        let index = free.unwrap_or(self.0.len());
        let id = numbered(index).filter(|_| index < most)?;
        if index == self.0.len() {
            self.0.push(None);
        }
        self.0[index] = Some(account);
        Some(id)
    }

    /// The account with this name.
    pub(super) fn find(&self, name: &str) -> Option<AccountId> {
        let mut all = self.all();
        let found = all.find(|(_, account)| *account.name == *name);
        found.map(|(id, _)| id)
    }

    pub(super) fn get(&self, id: AccountId) -> Option<&Account> {
        self.0.get(id.index())?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.0.get_mut(id.index())?.as_mut()
    }

    pub(super) fn remove(&mut self, id: AccountId, now: Moment) {
        if let Some(account) = self.get_mut(id) {
            account.removed.get_or_insert(now);
        }
    }

    /// Ends the wait for the devices of the account that was removed first, so that its entry becomes free. Returns whether there is
    /// such an account.
    pub(super) fn displace_first_removed(&mut self) -> bool {
        let accounts = self.0.iter_mut().flatten();
        let removed = accounts.filter(|account| account.removed.is_some() && !account.is_displaced);
        let first = removed.min_by_key(|account| account.removed);
        first.map(|account| account.is_displaced = true).is_some()
    }

    /// Whether the account was removed, so that its devices move to any account that delivers them.
    pub(super) fn is_removed(&self, id: AccountId) -> bool {
        self.get(id).is_none_or(|account| account.removed.is_some())
    }

    /// Removes the gaps between reports that are too old.
    pub(super) fn expire_gaps(&mut self, now: Moment) {
        for account in self.0.iter_mut().flatten() {
            account.gaps.expire(now);
        }
    }

    /// Frees the entries of removed accounts whose devices are removed. Returns whether there were any.
    pub(super) fn forget_removed(&mut self, now: Moment, stale_after: Duration) -> bool {
        let mut has_forgotten = false;
        for entry in &mut self.0 {
            let ended = entry.take_if(|account| end_of(account, stale_after) <= now);
            has_forgotten |= ended.is_some();
        }
        has_forgotten
    }

    /// Removes the inventory of an account. Returns whether it had one.
    pub(super) fn take_inventory(&mut self, id: AccountId) -> bool {
        let account = self.get_mut(id);
        account
            .and_then(|account| account.inventory.take())
            .is_some()
    }

    /// The first moment at which the devices of a removed account are removed, or gaps between reports become too old.
    pub(super) fn due(&self, stale_after: Duration) -> Moment {
        let ends = self.0.iter().flatten();
        let ends = ends.map(|account| end_of(account, stale_after).min(account.gaps.due()));
        ends.min().unwrap_or(Moment::NEVER)
    }

    /// The clocks of blocks.
    pub(super) fn clocks(&self, stale_after: Duration) -> Clocks {
        let clock = |account: &Option<Account>| {
            let account = account.as_ref()?;
            Some(BlockClock {
                stream: account.stream_time.now(),
                end: end_of(account, stale_after),
            })
        };
        Clocks(self.0.iter().map(clock).collect())
    }

    /// All accounts, including removed ones whose devices still exist.
    pub(super) fn all(&self) -> impl Iterator<Item = (AccountId, &Account)> {
        let accounts = self.0.iter().enumerate();
        accounts.filter_map(|(index, account)| Some((numbered(index)?, account.as_ref()?)))
    }

    /// All accounts that are not removed.
    pub(super) fn iter(&self) -> impl Iterator<Item = (AccountId, &Account)> {
        self.all().filter(|(_, account)| account.removed.is_none())
    }

    /// The names by [`AccountId::index`].
    pub(super) fn names(&self) -> Vec<Option<Arc<str>>> {
        let name = |account: &Option<Account>| Some(Arc::clone(&account.as_ref()?.name));
        self.0.iter().map(name).collect()
    }
}

/// The clocks of all accounts at one moment.
#[derive(Debug)]
pub(super) struct Clocks(Vec<Option<BlockClock>>);

impl Clocks {
    /// The clock of a block of this account.
    pub(super) fn of(&self, account: Option<AccountId>) -> BlockClock {
        let clock = account.and_then(|id| *self.0.get(id.index())?);
        clock.unwrap_or(BlockClock::NONE)
    }
}

/// When the devices of an account are removed because it was removed.
fn end_of(account: &Account, stale_after: Duration) -> Moment {
    match account.removed {
        None => Moment::NEVER,
        Some(_) if account.is_displaced => Moment::default(),
        Some(removed) => removed.after(stale_after),
    }
}

/// The account at this index; `None` if there are too many.
fn numbered(index: usize) -> Option<AccountId> {
    u16::try_from(index).ok().map(AccountId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identifier_of_a_removed_account_is_free_after_stale_after() {
        const STALE_AFTER: Duration = Duration::from_secs(120);
        let at = |seconds: u64| Moment::from_millis(seconds * 1000);
        let mut accounts = Accounts::default();
        let add = |accounts: &mut Accounts, name: &str| accounts.find_or_add(&name.into(), 2);
        let a = add(&mut accounts, "a").unwrap();
        let b = add(&mut accounts, "b").unwrap();
        assert_ne!(a, b);
        assert_eq!(add(&mut accounts, "a"), Some(a));
        assert_eq!(add(&mut accounts, "c"), None);
        accounts.remove(a, at(10));
        assert!(accounts.is_removed(a) && !accounts.is_removed(b));
        assert_eq!(accounts.due(STALE_AFTER), at(130));
        accounts.forget_removed(at(129), STALE_AFTER);
        assert_eq!(add(&mut accounts, "c"), None);
        assert_eq!(add(&mut accounts, "a"), Some(a), "it is restored");
        accounts.forget_removed(at(200), STALE_AFTER);
        assert!(!accounts.is_removed(a));
        accounts.remove(a, at(10));
        accounts.forget_removed(at(130), STALE_AFTER);
        assert_eq!(add(&mut accounts, "c"), Some(a));
    }

    #[test]
    fn the_account_that_was_removed_first_is_displaced_first() {
        const LONG: Duration = Duration::from_secs(86_400);
        let at = |seconds: u64| Moment::from_millis(seconds * 1000);
        let mut accounts = Accounts::default();
        let add = |accounts: &mut Accounts, name: &str| accounts.find_or_add(&name.into(), 3);
        let [a, b, c] = ["a", "b", "c"].map(|name| add(&mut accounts, name).unwrap());
        assert!(!accounts.displace_first_removed(), "none is removed");
        accounts.remove(c, at(10));
        accounts.remove(b, at(20));
        assert!(accounts.displace_first_removed());
        assert!(accounts.due(LONG) <= at(21));
        accounts.forget_removed(at(21), LONG);
        assert!(accounts.get(c).is_none() && accounts.get(b).is_some());
        assert_eq!(add(&mut accounts, "d"), Some(c));
        assert!(accounts.displace_first_removed());
        assert_eq!(add(&mut accounts, "b"), Some(b), "it is configured again");
        accounts.forget_removed(at(21), LONG);
        assert!([a, b, c].iter().all(|id| accounts.get(*id).is_some()));
    }
}
