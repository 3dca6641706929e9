//! Decides when records are written and answers are acknowledged: after the records are durable, or at once while the storage fails.
//! A pure state machine; times are monotonic.

use std::ops::RangeInclusive;
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
    /// These records are lost for the destinations that do not have them yet: the memory is full.
    Lost(Vec<Arc<Record>>),
    /// The journal is not durable any more.
    Failing,
    /// The journal is durable again.
    Recovered,
}

/// The records on their way to the storage.
#[derive(Debug)]
pub struct Flow {
    memory: Memory,
    /// Whether the storage is open, so that the records have their final numbers.
    is_open: bool,
    /// Whether records are being appended.
    is_appending: bool,
    /// When the answer that waits longest was recorded.
    waiting_since: Option<Duration>,
    is_durable: bool,
    /// Nothing is written before.
    retry_at: Duration,
}

impl Flow {
    /// No records; the storage is not open yet. Until [`Flow::opened`] records have provisional numbers.
    #[must_use]
    pub fn new(memory: Memory) -> Self {
        Self {
            memory,
            is_open: false,
            is_appending: false,
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

    /// The storage is open. `shift` is added to the provisional numbers.
    pub fn opened(&mut self, shift: u64, now: Duration) -> Vec<Effect> {
        self.memory.shift(shift);
        self.is_open = true;
        self.repeat(now)
    }

    /// The storage cannot be opened, or must be opened again.
    pub fn closed(&mut self) -> Vec<Effect> {
        self.is_open = false;
        self.is_appending = false;
        self.fail()
    }

    /// Appends what is not durable now, also if it is being appended: the report may be lost.
    pub fn repeat(&mut self, now: Duration) -> Vec<Effect> {
        self.is_appending = false;
        self.retry_at = now;
        let effects = [self.recover(), self.append(now)];
        effects.into_iter().flatten().collect()
    }

    /// Takes a new record.
    pub fn record(&mut self, record: Record, now: Duration) -> Vec<Effect> {
        let (number, kind) = (record.header.sequence, record.header.kind);
        let lost = self.memory.add(Arc::new(record));
        let mut effects = Vec::new();
        if !lost.is_empty() {
            effects.push(Effect::Lost(lost));
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
        self.is_appending = false;
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
        effects.extend(self.recover());
        effects.extend(self.append(now));
        effects
    }

    /// The time has passed, see [`Flow::due`].
    pub fn elapsed(&mut self, now: Duration) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.limit().is_some_and(|limit| limit <= now) {
            effects.extend(self.fail());
        }
        effects.extend(self.append(now));
        effects
    }

    /// When [`Flow::elapsed`] must be called.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let can_retry = self.is_open && !self.is_appending && !self.memory.is_empty();
        let retry = can_retry.then_some(self.retry_at);
        self.limit().into_iter().chain(retry).min()
    }

    /// When the storage counts as failing, unless an append ends before.
    fn limit(&self) -> Option<Duration> {
        let since = self.waiting_since?;
        Some(since.saturating_add(APPEND_LIMIT))
    }

    /// All destinations have the records with numbers below `end`. While the storage fails, they leave the memory if it is more than half
    /// full. Until then they stay, and are written later, because what follows them gives other samples without them, such as those of an
    /// IP allocation. Returns the numbers of those that leave.
    pub fn sent(&mut self, end: u64) -> Option<RangeInclusive<u64>> {
        let first = self.memory.first()?.header.sequence;
        if self.is_durable || first >= end || !self.memory.is_more_than_half_full() {
            return None;
        }
        self.memory.remove_below(end);
        Some(first..=end - 1)
    }

    /// Forgets all records: nothing is written any more.
    pub fn clear(&mut self) {
        self.memory.remove_below(u64::MAX);
    }

    /// All acknowledged records are durable if none waits.
    fn recover(&mut self) -> Option<Effect> {
        if self.is_durable || !self.is_open || !self.memory.is_empty() {
            return None;
        }
        self.is_durable = true;
        Some(Effect::Recovered)
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
        let is_possible = self.is_open && !self.is_appending && now >= self.retry_at;
        if !is_possible || self.memory.is_empty() {
            return None;
        }
        self.is_appending = true;
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
        Closed,
        Opened(u64),
        Repeat,
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
            Effect::Lost(records) => {
                let rows = records.iter().map(|record| record.header.rows);
                format!("lost {}", rows.sum::<u32>())
            }
            Effect::Failing => "failing".to_owned(),
            Effect::Recovered => "recovered".to_owned(),
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    /// A step: the second, the event, the effects, and when the next step is due.
    type Step = (u64, Event, &'static str, Option<u64>);

    fn check(name: &str, room: usize, steps: &[Step]) {
        let mut flow = flow(room);
        assert_eq!(flow.opened(0, Duration::ZERO), []);
        follow(name, flow, steps);
    }

    /// A flow with room for this number of records.
    fn flow(room: usize) -> Flow {
        let size = record(1, b"").encoded_len();
        let budget = MemoryBudget::new(room * size);
        Flow::new(Memory::new(budget))
    }

    fn follow(name: &str, mut flow: Flow, steps: &[Step]) {
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
                Event::Closed => flow.closed(),
                Event::Opened(shift) => flow.opened(shift, now),
                Event::Repeat => flow.repeat(now),
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
            "what destinations have is written, too, unless the memory is more than half full",
            4,
            &[
                (1, Record(1), "append 1", Some(6)),
                (2, Failed(1), "ack 0, ack 1, failing", Some(7)),
                (3, Record(2), "ack 2", Some(7)),
                (4, Sent(2), "", Some(7)),
                (7, Elapsed, "append 1+2", None),
                (8, Failed(1), "ack 0, ack 2", Some(13)),
                (9, Record(3), "ack 3", Some(13)),
                (10, Sent(3), "", Some(13)),
                (13, Elapsed, "append 3", None),
                (14, Appended(4), "ack 3, recovered", None),
            ],
        );
        check(
            "a record that is longer than the memory",
            0,
            &[(1, Record(1), "lost 3, failing, ack 1", None)],
        );
    }
    #[test]
    fn records_before_the_opening_get_their_numbers_and_are_appended_then() {
        use Event::{Appended, Closed, Elapsed, Opened, Record, Repeat, Sent};
        follow(
            "an opening that fails",
            flow(9),
            &[
                (1, Record(1), "", Some(6)),
                (2, Closed, "ack 1, failing", None),
                (3, Record(2), "ack 2", None),
                (4, Closed, "ack 2", None),
                (5, Opened(10), "append 11+12", None),
                (6, Appended(13), "ack 12, recovered", None),
                (7, Closed, "failing", None),
                (8, Opened(0), "recovered", None),
            ],
        );
        follow(
            "an opening that hangs",
            flow(9),
            &[
                (1, Record(1), "", Some(6)),
                (6, Elapsed, "ack 1, failing", None),
                (7, Record(2), "ack 2", None),
                (8, Opened(4), "append 5+6", None),
            ],
        );
        follow(
            "a lost report",
            flow(9),
            &[
                (0, Opened(0), "", None),
                (1, Record(1), "append 1", Some(6)),
                (2, Repeat, "append 1", Some(6)),
                // What destinations have stays until it is durable, so that its answer is acknowledged.
                (3, Sent(2), "", Some(6)),
                (4, Appended(2), "ack 1", None),
                (5, Repeat, "", None),
            ],
        );
    }
}
