//! What a scrape shows: the families of all accounts and of the process, or of one account alone. The exporter's own sets of remote write
//! are made of the same.

use std::sync::Arc;

use super::Sources;
use super::actor_families::actor_families;
use crate::account::{self, AccountStatus};
use crate::exposition::{
    Collect, Exposition, Format, OwnFamily, Selection, Shard, Telemetry, pool_families,
};
use crate::fleet::{AccountId, Lease, Snapshot};
use crate::names::Names;
use crate::recording::Statuses;
use crate::self_metrics;
use crate::time::unix_seconds;

/// The accounts whose families are shown.
#[derive(Debug)]
pub struct Shown {
    accounts: Arc<Vec<Arc<AccountStatus>>>,
    /// `None` for all accounts and the process.
    account: Option<Arc<AccountStatus>>,
    recording: Arc<Statuses>,
}

/// What a scrape is made of.
#[derive(Debug)]
pub struct Content {
    /// Identifies the snapshot of the fleet.
    pub number: u64,
    /// The snapshot.
    pub lease: Arc<Lease>,
    /// The part of the snapshot that is written.
    pub selection: Selection,
    /// The names of devices.
    pub names: Arc<Names>,
    /// The families that follow those of the snapshot.
    pub own: Vec<OwnFamily>,
}

impl Content {
    /// The text. The snapshot can be revoked while it is written.
    #[must_use]
    pub fn text(self, format: Format) -> Exposition {
        let telemetry = Telemetry::named(format, self.lease, self.selection, &self.names);
        Exposition::new(telemetry, self.own)
    }
}

impl Shown {
    /// All accounts and the process, or the account with this name; `None` if there is no such account.
    #[must_use]
    pub fn of(sources: &Sources, name: Option<&str>) -> Option<Self> {
        let recording = sources.recording.all();
        let Some(name) = name else {
            return Some(Self {
                accounts: sources.accounts.all(),
                account: None,
                recording,
            });
        };
        let account = sources.accounts.find(name)?;
        Some(Self {
            accounts: Arc::new(vec![Arc::clone(&account)]),
            recording: Arc::new(recording.of_account(&account.name)),
            account: Some(account),
        })
    }

    /// The name of the account, unless all are shown.
    #[must_use]
    pub fn into_name(self) -> Option<Arc<str>> {
        self.account.map(|account| Arc::clone(&account.name))
    }

    /// What is shown now; `None` if the store publishes no snapshot in time.
    pub async fn read(&self, sources: &Sources, shard: Shard, collect: Collect) -> Option<Content> {
        // Read before the snapshot is taken, so that a scrape that counts a batch also shows it.
        let is_own_shown = shard.is_first() && collect.exporter;
        let polls = match is_own_shown {
            true => self.families(sources),
            false => Vec::new(),
        };
        let lease = sources.fleet.lease().await?;
        let snapshot = lease.get()?;
        let number = lease.number();
        let account = self.account.as_ref().map(|account| &*account.name);
        let (lease, snapshot, account) = restricted(lease, snapshot, account);
        let mut own = match shard.is_first() && collect.inventory {
            true => pool_families(&snapshot, account, unix_seconds(sources.clock.corrected())),
            false => Vec::new(),
        };
        own.extend(polls);
        if is_own_shown {
            own.extend(self.families_with(&snapshot, sources));
        }
        Some(Content {
            number,
            lease,
            selection: Selection {
                shard,
                account,
                collect,
            },
            names: sources.names.load_full(),
            own,
        })
    }

    /// The families about polls, what is recorded, and scrapes.
    fn families(&self, sources: &Sources) -> Vec<OwnFamily> {
        let mut own = account::families(&self.accounts);
        own.extend(self.recording.families());
        if self.account.is_none() {
            own.extend(sources.metrics.families());
        }
        own
    }

    /// The families that follow them: devices, actors, build and process.
    fn families_with(&self, snapshot: &Snapshot, sources: &Sources) -> Vec<OwnFamily> {
        if let Some(account) = &self.account {
            let mut own = vec![self_metrics::devices(snapshot, Some(&account.name))];
            own.extend(actor_families(&[], &self.accounts, &self.recording));
            return own;
        }
        let mut own = vec![
            self_metrics::clock_offset(&sources.clock),
            self_metrics::devices(snapshot, None),
        ];
        let store = std::slice::from_ref(sources.health.store());
        own.extend(actor_families(store, &self.accounts, &self.recording));
        own.push(self_metrics::dropped_lines(&sources.dropped_lines));
        own.push(self_metrics::build_info());
        own.extend(self_metrics::process());
        own
    }
}

/// The snapshot to write, and the account whose devices are written; `None` for all devices.
fn restricted(
    lease: Arc<Lease>,
    snapshot: Arc<Snapshot>,
    account: Option<&str>,
) -> (Arc<Lease>, Arc<Snapshot>, Option<AccountId>) {
    let Some(name) = account else {
        return (lease, snapshot, None);
    };
    match snapshot.account(name) {
        Some(id) => (lease, snapshot, Some(id)),
        // The account has delivered nothing yet: an empty snapshot.
        None => {
            let empty = Arc::new(Snapshot::default());
            let lease = Arc::new(Lease::from(Arc::clone(&empty)));
            (lease, empty, None)
        }
    }
}
