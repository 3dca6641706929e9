//! Decides when records are written and answers are acknowledged: after the records are durable, or at once while the storage fails.
//! A pure state machine; times are monotonic.

use std::sync::Arc;
use std::time::Duration;

use super::memory::Memory;
use super::record::{Kind, Record};

/// How long an answer waits until it is durable. Then the storage counts as failing.
const APPEND_LIMIT: Duration = Duration::from_secs(5);

/// The time between two attempts to write while the storage fails.
const RETRY: Duration = Duration::from_secs(5);

/// What must be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Append these records in order, and report by [`Flow::appended`].
    Append(Vec<Arc<Record>>),
    /// Acknowledge the answers whose records have at most this number.
    Acknowledge(u64),
    /// This number of rows is lost for the destinations that do not have them yet: the memory is full.
    Lost {
        /// The number of rows.
        rows: u64,
    },
    /// The journal is not durable any more.
    Failing,
    /// The journal is durable again.
    Recovered,
}

/// The records on their way to the storage.
#[derive(Debug)]
pub struct Flow {
    memory: Memory,
    /// Since when records are being appended.
    appending: Option<Duration>,
    /// When the answer that waits longest was recorded.
    waiting_since: Option<Duration>,
    is_durable: bool,
    /// Nothing is written before.
    retry_at: Duration,
}

impl Flow {
    /// No records; the storage works.
    #[must_use]
    pub fn new(memory: Memory) -> Self {
        Self {
            memory,
            appending: None,
            waiting_since: None,
            is_durable: true,
            retry_at: Duration::ZERO,
        }
    }

    /// Whether all acknowledged records are durable, except ticks.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.is_durable
    }

    /// The records that are not durable. Destinations read them from here.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Takes a new record.
    pub fn record(&mut self, record: Record, now: Duration) -> Vec<Effect> {
        let (number, kind) = (record.header.sequence, record.header.kind);
        let lost = self.memory.add(Arc::new(record));
        let mut effects = Vec::new();
        let rows = lost.iter().map(|record| u64::from(record.header.rows));
        if !lost.is_empty() {
            effects.push(Effect::Lost { rows: rows.sum() });
            effects.extend(self.fail());
        }
        match self.is_durable {
            true if kind == Kind::Tick => {}
            true => drop(self.waiting_since.get_or_insert(now)),
            false => effects.push(Effect::Acknowledge(number)),
        }
        effects.extend(self.append(now));
        effects
    }

    /// The records with numbers below `end` were appended. Without success, the one with this number was not.
    pub fn appended(&mut self, end: u64, is_success: bool, now: Duration) -> Vec<Effect> {
        self.appending = None;
        self.memory.remove_below(end);
        let mut effects = Vec::new();
        if let Some(last) = end.checked_sub(1) {
            effects.push(Effect::Acknowledge(last));
        }
        // Those that were recorded meanwhile wait since now.
        self.waiting_since = self.waiting_since.filter(|_| !self.memory.is_empty());
        self.waiting_since = self.waiting_since.map(|_| now);
        if !is_success {
            self.retry_at = now.saturating_add(RETRY);
            effects.extend(self.fail());
            return effects;
        }
        self.retry_at = now;
        if !self.is_durable && self.memory.is_empty() {
            self.is_durable = true;
            effects.push(Effect::Recovered);
        }
        effects.extend(self.append(now));
        effects
    }

    /// The time has passed, see [`Flow::due`].
    pub fn elapsed(&mut self, now: Duration) -> Vec<Effect> {
        let limit = self
            .waiting_since
            .map(|since| since.saturating_add(APPEND_LIMIT));
        let mut effects = Vec::new();
        if limit.is_some_and(|limit| limit <= now) {
            effects.extend(self.fail());
        }
        effects.extend(self.append(now));
        effects
    }

    /// When [`Flow::elapsed`] must be called.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let limit = self
            .waiting_since
            .map(|since| since.saturating_add(APPEND_LIMIT));
        let can_retry = self.appending.is_none() && !self.memory.is_empty();
        let retry = can_retry.then_some(self.retry_at);
        limit.into_iter().chain(retry).min()
    }

    /// All destinations have the records with numbers below `end`. While the storage fails, they leave the memory.
    pub fn sent(&mut self, end: u64) {
        self.memory.remove_below(end);
    }

    /// Polls do not wait any more.
    fn fail(&mut self) -> Vec<Effect> {
        self.waiting_since = None;
        let mut effects = Vec::new();
        if let Some(last) = self.memory.last() {
            effects.push(Effect::Acknowledge(last.header.sequence));
        }
        if std::mem::replace(&mut self.is_durable, false) {
            effects.push(Effect::Failing);
        }
        effects
    }

    /// Begins to append all records, one operation at a time.
    fn append(&mut self, now: Duration) -> Option<Effect> {
        if self.appending.is_some() || self.memory.is_empty() || now < self.retry_at {
            return None;
        }
        self.appending = Some(now);
        let records = self.memory.from(0).cloned();
        Some(Effect::Append(records.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryBudget;
    use super::super::record::tests::record;
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// An event at a second.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        Record(u64),
        Tick(u64),
        Appended(u64),
        Failed(u64),
        Elapsed,
        Sent(u64),
    }

    /// Effects as text.
    fn shown(effects: Vec<Effect>) -> String {
        let shown = effects.into_iter().map(|effect| match effect {
            Effect::Append(records) => {
                let numbers = records
                    .iter()
                    .map(|record| record.header.sequence.to_string());
                format!("append {}", numbers.collect::<Vec<_>>().join("+"))
            }
            Effect::Acknowledge(last) => format!("ack {last}"),
            Effect::Lost { rows } => format!("lost {rows}"),
            Effect::Failing => "failing".to_owned(),
            Effect::Recovered => "recovered".to_owned(),
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    /// A step: the second, the event, the effects, and when the next step is due.
    type Step = (u64, Event, &'static str, Option<u64>);

    fn check(name: &str, room: usize, steps: &[Step]) {
        let size = record(1, b"").encoded_len();
        let budget = MemoryBudget::new(room * size);
        let mut flow = Flow::new(Memory::new(budget));
        for (at, event, expected, due) in steps {
            let now = secs(*at);
            let effects = match *event {
                Event::Record(number) => flow.record(record(number, b""), now),
                Event::Tick(number) => {
                    let mut tick = record(number, b"");
                    tick.header.kind = Kind::Tick;
                    flow.record(tick, now)
                }
                Event::Appended(end) => flow.appended(end, true, now),
                Event::Failed(end) => flow.appended(end, false, now),
                Event::Elapsed => flow.elapsed(now),
                Event::Sent(end) => {
                    flow.sent(end);
                    vec![]
                }
            };
            assert_eq!(shown(effects), *expected, "{name}: {event:?} at {at} s");
            assert_eq!(flow.due(), due.map(secs), "{name}: {event:?} at {at} s");
        }
    }

    #[test]
    fn answers_are_acknowledged_when_they_are_durable_or_while_the_storage_fails() {
        use Event::{Appended, Elapsed, Failed, Record, Sent, Tick};
        check(
            "a storage that works",
            9,
            &[
                (1, Record(1), "append 1", Some(6)),
                (2, Appended(2), "ack 1", None),
                (3, Record(2), "append 2", Some(8)),
                (4, Record(3), "", Some(8)),
                (5, Appended(3), "ack 2, append 3", Some(10)),
                (6, Appended(4), "ack 3", None),
                // A tick is not awaited.
                (7, Tick(4), "append 4", None),
                (8, Record(5), "", Some(13)),
                (8, Appended(5), "ack 4, append 5", Some(13)),
            ],
        );
        check(
            "a storage that fails, and works again",
            9,
            &[
                (1, Record(1), "append 1", Some(6)),
                (2, Failed(1), "ack 0, ack 1, failing", Some(7)),
                (3, Record(2), "ack 2", Some(7)),
                (7, Elapsed, "append 1+2", None),
                (8, Failed(2), "ack 1, ack 2", Some(13)),
                (13, Elapsed, "append 2", None),
                (14, Record(3), "ack 3", None),
                (15, Appended(3), "ack 2, append 3", None),
                (16, Appended(4), "ack 3, recovered", None),
                (17, Record(4), "append 4", Some(22)),
            ],
        );
        check(
            "a storage that hangs is awaited once",
            9,
            &[
                (1, Record(1), "append 1", Some(6)),
                (5, Elapsed, "", Some(6)),
                (6, Elapsed, "ack 1, failing", None),
                (7, Record(2), "ack 2", None),
                (99, Elapsed, "", None),
                (100, Appended(2), "ack 1, append 2", None),
                (101, Appended(3), "ack 2, recovered", None),
            ],
        );
        check(
            "a full memory loses the oldest records",
            2,
            &[
                (1, Record(1), "append 1", Some(6)),
                (2, Failed(1), "ack 0, ack 1, failing", Some(7)),
                (3, Record(2), "ack 2", Some(7)),
                (4, Record(3), "lost 3, ack 3, ack 3", Some(7)),
                (5, Sent(4), "", None),
                (6, Record(4), "ack 4", Some(7)),
                (7, Elapsed, "append 4", None),
            ],
        );
        check(
            "a record that is longer than the memory",
            0,
            &[(1, Record(1), "lost 3, failing, ack 1", None)],
        );
    }
}
