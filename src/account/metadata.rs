//! The MetadataActor: what the columns and codes of an answer mean.

use std::sync::Arc;

use actix::{Actor, Context, Handler, MessageResult, Supervised};
use tracing::{info, warn};

use super::messages::Resolve;
use crate::self_metrics::SelfMetrics;
use crate::supervise::Heartbeat;
use crate::telemetry::schema::{Named, Resolved};
use crate::telemetry::{FieldFilter, Metadata, Schema, SchemaCache};
use crate::text::{listed, listed_within};
use crate::time::{Clock, Throttle};

/// Longer codes of types are cut in the log.
const LONGEST_TYPE: usize = 12;

/// Longer names of columns are cut in the log. Starlink's have up to 34 characters.
const LONGEST_COLUMN: usize = 36;

/// Caches column maps and alert names by device type. The cache survives its restart.
#[derive(Debug)]
pub struct MetadataActor {
    cache: SchemaCache,
    /// Whether the names that are left out have been reported. Answers may change with every poll: once is enough.
    has_told: bool,
    changes: Throttle,
    collisions: Throttle,
    clock: Clock,
    metrics: Arc<SelfMetrics>,
    #[cfg(feature = "fault-injection")]
    pub(super) faults: crate::supervise::faults::Armed,
}

impl MetadataActor {
    /// An actor that has seen no answer yet. `fields` says which columns are left out.
    #[must_use]
    pub fn new(fields: FieldFilter, clock: Clock, metrics: Arc<SelfMetrics>) -> Self {
        Self {
            cache: SchemaCache::new(fields),
            has_told: false,
            changes: Throttle::default(),
            collisions: Throttle::default(),
            clock,
            metrics,
            #[cfg(feature = "fault-injection")]
            faults: Default::default(),
        }
    }

    fn explain(&mut self, metadata: &Metadata) -> Arc<Schema> {
        let resolved = self.cache.resolve(metadata);
        self.log(&resolved);
        resolved.schema
    }

    /// Column lists may change with every poll: one line a minute about changes, one about collisions.
    fn log(&mut self, resolved: &Resolved) {
        let now = self.clock.elapsed();
        let changed = &resolved.changed;
        for _ in &changed.types {
            self.metrics.schema_changes.increment();
        }
        if !changed.types.is_empty()
            && let Some(not_logged) = self.changes.admit(now)
        {
            let device_types = listed_within(LONGEST_TYPE, &changed.types, changed.types.len());
            let columns = |named: &Named| {
                let is_any = named.count > 0;
                is_any.then(|| listed_within(LONGEST_COLUMN, &named.names, named.count))
            };
            info!(
                device_types,
                added = columns(&changed.added),
                removed = columns(&changed.removed),
                not_logged = some(not_logged),
                "columns changed"
            );
        }
        let collisions = &resolved.collisions;
        if collisions.count > 0
            && let Some(not_logged) = self.collisions.admit(now)
        {
            let count = collisions.count;
            let named = collisions.named.iter();
            let columns = listed(named.clone().map(|it| &it.column), count);
            let names = listed(named.map(|it| &it.name), count);
            warn!(
                count,
                columns,
                names,
                not_logged = some(not_logged),
                "columns ignored: metric name already in use"
            );
        }
        if resolved.left_out > 0 && !self.has_told {
            self.has_told = true;
            let names = resolved.left_out;
            warn!(
                names,
                "columns, types or alerts ignored: too many or too long"
            );
        }
    }
}

/// Earlier lines of the kind that were not logged, if there were any.
fn some(not_logged: u64) -> Option<u64> {
    (not_logged > 0).then_some(not_logged)
}

#[cfg(feature = "fault-injection")]
crate::supervise::faults::injectable!(MetadataActor);

impl Supervised for MetadataActor {}

impl Actor for MetadataActor {
    type Context = Context<Self>;

    #[cfg(feature = "fault-injection")]
    fn started(&mut self, context: &mut Self::Context) {
        self.faults.on_start(context);
    }
}

impl Handler<Heartbeat> for MetadataActor {
    type Result = ();

    fn handle(&mut self, _: Heartbeat, _: &mut Self::Context) {}
}

impl Handler<Resolve> for MetadataActor {
    type Result = MessageResult<Resolve>;

    fn handle(&mut self, Resolve(metadata): Resolve, _context: &mut Self::Context) -> Self::Result {
        #[cfg(feature = "fault-injection")]
        self.faults.on_message(_context);
        MessageResult(self.explain(&metadata))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Mutex;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::telemetry::decode;

    /// Lines of the log.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// So many types of so many columns, whose long names collide in pairs and change from answer to answer.
    fn answer(number: usize, types: usize, columns: usize) -> Metadata {
        let name = |at: usize| {
            let mark = ["-", "."][at % 2];
            format!("\"{number}{mark}{}{}\"", at / 2, "ü".repeat(100))
        };
        let columns: Vec<_> = (0..columns).map(name).collect();
        let columns = columns.join(",");
        let list = |code| format!("\"t{code}\":[{columns}]");
        let lists: Vec<_> = (0..types).map(list).collect();
        let body = format!(
            r#"{{"data":{{"values":[],"columnNamesByDeviceType":{{{}}}}}}}"#,
            lists.join(",")
        );
        decode(body.into()).unwrap().1
    }

    #[test]
    fn changing_columns_are_logged_once_a_minute_in_short_lines() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let (clock, hand) = Clock::manual(SystemTime::UNIX_EPOCH);
        let mut actor = MetadataActor::new(
            FieldFilter::default(),
            clock,
            Arc::new(SelfMetrics::default()),
        );
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..9 {
                actor.explain(&answer(number, 40, 100));
                hand.advance(Duration::from_secs(15));
            }
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let count = |message: &str| lines.iter().filter(|line| line.contains(message)).count();
        // At 0, 60 and 120 s; the first answer changes nothing.
        assert_eq!(count("columns ignored: metric name"), 3, "{text}");
        assert_eq!(count("columns changed"), 2, "{text}");
        assert!(lines.iter().all(|line| line.len() <= 4096), "{text}");
        assert!(lines.len() <= 6, "{text}");
        // 40 types of 100 columns, all of which are others than before.
        let changes = lines.iter().filter(|line| line.contains("columns changed"));
        for (line, number) in changes.zip([1, 5]) {
            for part in [
                "device_types=\"t0, t1,".to_owned(),
                format!("added=\"{number}-0"),
                format!("removed=\"{}-0", number - 1),
                " and 3990 more\"".to_owned(),
            ] {
                assert!(line.contains(&part), "{part}: {line}");
            }
            assert_eq!(line.contains("not_logged=3"), number == 5, "{line}");
        }
        assert!(!text.contains("not_logged=0"), "{text}");
    }
}
