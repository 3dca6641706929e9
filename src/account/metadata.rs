//! The MetadataActor: explains the columns and codes of answers, and logs the notices of [`Columns`](super::columns).

use std::sync::Arc;

use actix::{Actor, Context, Handler, MessageResult, Supervised};
use tracing::{info, warn};

use super::columns::{Columns, Notice};
use super::messages::Resolve;
use super::metrics::AccountMetrics;
use crate::supervise::Heartbeat;
use crate::telemetry::{Metadata, Schema, SharedSchemas};
use crate::time::Clock;

/// Caches column maps and alert names by device type. The cache survives restarts of the actor.
#[derive(Debug)]
pub struct MetadataActor {
    account: Arc<str>,
    columns: Columns,
    clock: Clock,
    metrics: Arc<AccountMetrics>,
    #[cfg(feature = "fault-injection")]
    pub(super) faults: crate::supervise::faults::Armed,
}

impl MetadataActor {
    /// An actor before its first answer.
    #[must_use]
    pub fn new(
        account: Arc<str>,
        schemas: SharedSchemas,
        clock: Clock,
        metrics: Arc<AccountMetrics>,
    ) -> Self {
        Self {
            account,
            columns: Columns::new(schemas),
            clock,
            metrics,
            #[cfg(feature = "fault-injection")]
            faults: Default::default(),
        }
    }

    fn explain(&mut self, metadata: &Metadata) -> Arc<Schema> {
        let explained = self.columns.explain(metadata, self.clock.elapsed());
        self.metrics.schema_changes.add(explained.changed_types);
        for notice in explained.notices {
            log(&self.account, notice);
        }
        explained.schema
    }
}

fn log(account: &str, notice: Notice) {
    match notice {
        Notice::Changed {
            device_types,
            added,
            removed,
            not_logged,
        } => info!(
            account,
            device_types, added, removed, not_logged, "columns changed"
        ),
        Notice::Collided {
            count,
            columns,
            names,
            not_logged,
        } => warn!(
            account,
            count, columns, names, not_logged, "columns ignored: metric name already in use"
        ),
        Notice::TooMany { names } => warn!(
            account,
            names, "columns, types or alerts ignored: too many or too long"
        ),
    }
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

    /// An answer with this number of types and columns. The names are long, collide in pairs, and differ from answer to answer.
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
            "ship".into(),
            SharedSchemas::default(),
            clock,
            Arc::new(AccountMetrics::default()),
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
