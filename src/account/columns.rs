//! Tracks the columns and codes in the answers of one account, and decides which changes are logged. Without I/O.

use std::sync::Arc;
use std::time::Duration;

use crate::telemetry::column_changes::Named;
use crate::telemetry::schema_cache::Resolved;
use crate::telemetry::{Metadata, Schema, SchemaCache, SharedSchemas};
use crate::text::{listed, listed_within};
use crate::time::Throttle;

/// Longer codes of types are cut in the log.
const LONGEST_TYPE: usize = 12;

/// Longer names of columns are cut in the log. Starlink's have up to 34 characters.
const LONGEST_COLUMN: usize = 36;

/// The columns of the answers so far.
#[derive(Debug)]
pub(super) struct Columns {
    cache: SchemaCache,
    /// Whether [`Notice::TooMany`] was returned. It is returned once, because columns may change with every poll.
    has_reported_too_many: bool,
    changes: Throttle,
    collisions: Throttle,
}

/// The explanation of an answer's columns.
#[derive(Debug)]
pub(super) struct Explained {
    pub(super) schema: Arc<Schema>,
    /// The number of types whose columns differ from those of the previous answer.
    pub(super) changed_types: u64,
    /// The notices to log.
    pub(super) notices: Vec<Notice>,
}

/// A notice about columns, to be logged. Lists are limited in length; `not_logged` counts earlier notices that were suppressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Columns were added or removed.
    Changed {
        device_types: String,
        added: Option<String>,
        removed: Option<String>,
        not_logged: Option<u64>,
    },
    /// Columns are left out because their metric names are already in use.
    Collided {
        count: usize,
        columns: String,
        names: String,
        not_logged: Option<u64>,
    },
    /// Names are left out because there are too many, or they are too long. `names` is their number.
    TooMany { names: usize },
}

impl Columns {
    /// The state before the first answer.
    pub(super) fn new(schemas: SharedSchemas) -> Self {
        Self {
            cache: SchemaCache::sharing(schemas),
            has_reported_too_many: false,
            changes: Throttle::default(),
            collisions: Throttle::default(),
        }
    }

    /// Explains the columns of an answer. `now` is a monotonic time.
    pub(super) fn explain(&mut self, metadata: &Metadata, now: Duration) -> Explained {
        let resolved = self.cache.resolve(metadata);
        let notices = [
            self.changed(&resolved, now),
            self.collided(&resolved, now),
            self.too_many(&resolved),
        ];
        Explained {
            changed_types: resolved.changed.types.len() as u64,
            schema: resolved.schema,
            notices: notices.into_iter().flatten().collect(),
        }
    }

    /// At most one notice a minute, because column lists may change with every poll.
    fn changed(&mut self, resolved: &Resolved, now: Duration) -> Option<Notice> {
        let changed = &resolved.changed;
        if changed.types.is_empty() {
            return None;
        }
        let not_logged = self.changes.admit(now)?;
        let columns = |named: &Named| {
            let is_any = named.count > 0;
            is_any.then(|| listed_within(LONGEST_COLUMN, &named.names, named.count))
        };
        Some(Notice::Changed {
            device_types: listed_within(LONGEST_TYPE, &changed.types, changed.types.len()),
            added: columns(&changed.added),
            removed: columns(&changed.removed),
            not_logged: positive(not_logged),
        })
    }

    /// At most one notice a minute.
    fn collided(&mut self, resolved: &Resolved, now: Duration) -> Option<Notice> {
        let collisions = &resolved.collisions;
        let count = collisions.count;
        if count == 0 {
            return None;
        }
        let not_logged = self.collisions.admit(now)?;
        let named = collisions.named.iter();
        Some(Notice::Collided {
            count,
            columns: listed(named.clone().map(|it| &it.column), count),
            names: listed(named.map(|it| &it.name), count),
            not_logged: positive(not_logged),
        })
    }

    fn too_many(&mut self, resolved: &Resolved) -> Option<Notice> {
        let names = resolved.left_out;
        if names == 0 || std::mem::replace(&mut self.has_reported_too_many, true) {
            return None;
        }
        Some(Notice::TooMany { names })
    }
}

fn positive(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_and_collisions_are_reported_once_a_minute() {
        let changed = |added: Option<&str>, removed: Option<&str>, not_logged| Notice::Changed {
            device_types: "u".to_owned(),
            added: added.map(str::to_owned),
            removed: removed.map(str::to_owned),
            not_logged,
        };
        let collided = |columns: &str, not_logged| Notice::Collided {
            // As a gauge and as an info field.
            count: 2,
            columns: columns.to_owned(),
            names: "starlink_A_B, a_b".to_owned(),
            not_logged,
        };
        // Seconds, columns, how many types changed, notices.
        let cases: [(u64, &[&str], u64, Vec<Notice>); 7] = [
            (0, &["A"], 0, vec![]),
            (1, &["A"], 0, vec![]),
            (2, &["A", "B"], 1, vec![changed(Some("B"), None, None)]),
            (3, &["A"], 1, vec![]),
            (61, &["A", "C"], 1, vec![]),
            (62, &["C"], 1, vec![changed(None, Some("A"), Some(2))]),
            (63, &["A-B", "A.B"], 1, vec![collided("A.B, A.B", None)]),
        ];
        let mut columns = Columns::new(SharedSchemas::default());
        for (now, names, types, notices) in cases {
            let explained = columns.explain(
                &Metadata::of_columns(&[("u", names)]),
                Duration::from_secs(now),
            );
            assert_eq!(explained.changed_types, types, "at {now} s");
            assert_eq!(explained.notices, notices, "at {now} s");
        }
    }

    #[test]
    fn too_many_names_are_reported_once() {
        let mut columns = Columns::new(SharedSchemas::default());
        let reports = [3, 4].map(|left_out| {
            let metadata = Metadata {
                left_out,
                ..Metadata::of_columns(&[("u", &["A"])])
            };
            columns.explain(&metadata, Duration::ZERO).notices
        });
        assert_eq!(reports, [vec![Notice::TooMany { names: 3 }], vec![]]);
    }
}
