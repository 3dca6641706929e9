//! Makes records of answers: numbers them, and adds up stream time. Without I/O and clocks.

use std::time::Duration;

use bytes::Bytes;

use super::moved::{self, MovedDevice};
use super::record::{Header, Kind, Record};
use crate::fleet::{RowSpan, StreamTime};
use crate::telemetry::{FilledEnums, LastEnums, Metadata};

/// The longest time without a record while stream time advances.
const TICK_AFTER: Duration = Duration::from_secs(30);

/// An answer to be recorded.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The incarnation of the stream.
    pub incarnation: u64,
    /// The number of the batch in its incarnation.
    pub batch: u64,
    /// The columns and codes.
    pub metadata: &'a Metadata,
    /// The time that the answer covers.
    pub covers: Duration,
    /// When it was received, by the corrected clock, in nanoseconds since 1970.
    pub received: i64,
    /// Its rows.
    pub span: RowSpan,
}

/// The state from answer to answer.
#[derive(Debug)]
pub struct Intake {
    /// The number of the next record.
    next: u64,
    /// The incarnation and number of the last batch.
    last: Option<(u64, u64)>,
    enums: LastEnums,
    stream: StreamTime,
    /// Whether the last answer had rows, so that the next one finds the devices that were online then.
    had_rows: bool,
    /// The stream time that no record has yet, in milliseconds.
    unrecorded: u64,
    /// When the last record was made, by a monotonic clock.
    recorded: Duration,
}

impl Intake {
    /// The state before the first answer. `next` is the number of the next record, `now` a monotonic time.
    #[must_use]
    pub fn new(next: u64, now: Duration) -> Self {
        Self {
            next,
            last: None,
            enums: LastEnums::default(),
            stream: StreamTime::default(),
            had_rows: false,
            unrecorded: 0,
            recorded: now,
        }
    }

    /// The number of the next record.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Adds `by` to the number of the next record: the journal is open.
    pub fn shift(&mut self, by: u64) {
        self.next = self.next.saturating_add(by);
    }

    /// Takes an answer and its compressed body, each once. `None` if it has no rows: the next record has its stream time. `online` is the
    /// number of devices of the account that are online before its rows are applied.
    pub fn answer(
        &mut self,
        answer: &Answer<'_>,
        payload: Bytes,
        online: usize,
        now: Duration,
    ) -> Option<Record> {
        let batch = (answer.incarnation, answer.batch);
        self.last = Some(batch);
        let enums = self.enums.complete(answer.metadata);
        let span = answer.span;
        let has_rows = span.rows > 0;
        let before = self.stream.now();
        if std::mem::replace(&mut self.had_rows, has_rows) {
            self.stream.note_online(online);
        }
        self.stream.advance(answer.covers, has_rows);
        let added = self.stream.now().millis() - before.millis();
        self.unrecorded = self.unrecorded.saturating_add(added);
        if !has_rows {
            return None;
        }
        let mut record = self.record(Kind::Answer, batch, answer.received, now);
        record.header.rows = span.rows;
        record.header.oldest = span.oldest;
        record.header.newest = span.newest;
        record.enums = enums.map_or_else(Bytes::new, |enums| FilledEnums::encode(&enums).into());
        record.payload = payload;
        Some(record)
    }

    /// A record of the stream time of answers without rows, if the last record is too old.
    pub fn tick(&mut self, received: i64, now: Duration) -> Option<Record> {
        let is_due = now.saturating_sub(self.recorded) >= TICK_AFTER;
        let batch = self.last.filter(|_| is_due && self.unrecorded > 0)?;
        Some(self.record(Kind::Tick, batch, received, now))
    }

    /// A record of devices that another account has taken over.
    pub fn moved(&mut self, devices: &[MovedDevice], received: i64, now: Duration) -> Record {
        let batch = self.last.unwrap_or_default();
        let mut record = self.record(Kind::Moved, batch, received, now);
        record.payload = moved::encode(devices).into();
        record
    }

    /// The next record, without rows.
    fn record(
        &mut self,
        kind: Kind,
        (incarnation, batch): (u64, u64),
        received: i64,
        now: Duration,
    ) -> Record {
        let sequence = self.next;
        self.next = self.next.saturating_add(1);
        self.recorded = now;
        let covers = u32::try_from(self.unrecorded).unwrap_or(u32::MAX);
        // Longer times are in several records.
        self.unrecorded -= u64::from(covers);
        Record {
            header: Header {
                sequence,
                incarnation,
                batch,
                received,
                covers,
                rows: 0,
                oldest: 0,
                newest: 0,
                kind,
            },
            enums: Bytes::new(),
            payload: Bytes::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::decode;

    /// It is not read here.
    const PAYLOAD: Bytes = Bytes::from_static(b"compressed");

    /// The earliest time.
    const EARLIEST: i64 = crate::fleet::Limits::STANDARD.earliest;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// An answer's rows, columns and codes.
    fn answer(rows: &str, enums: &str) -> (RowSpan, Metadata) {
        let columns = r#"{"u":["DeviceType","UtcTimestampNs"],"i":["DeviceType"]}"#;
        let body = format!(
            r#"{{"data":{{"values":[{rows}],"columnNamesByDeviceType":{columns}}},"metadata":{{"enums":{{{enums}}}}}}}"#
        );
        let (rows, metadata) = decode(body.into()).unwrap();
        (RowSpan::of(&rows, &metadata), metadata)
    }

    /// Takes answer number `batch` at its second.
    fn take(
        intake: &mut Intake,
        batch: u64,
        rows: &str,
        covers: u64,
        online: usize,
    ) -> Option<Record> {
        let (span, metadata) = answer(rows, "");
        let parts = Answer {
            incarnation: 1,
            batch,
            metadata: &metadata,
            covers: secs(covers),
            received: 1_000_000_000 * batch as i64,
            span,
        };
        intake.answer(&parts, PAYLOAD, online, secs(batch))
    }

    #[test]
    fn an_answer_is_recorded_with_its_number() {
        let mut intake = Intake::new(7, Duration::ZERO);
        let time = EARLIEST + 5;
        let row = &format!(r#"["u",{time}]"#);
        let record = take(&mut intake, 1, row, 15, 1).unwrap();
        assert_eq!(record.payload, PAYLOAD);
        let expected = Header {
            sequence: 7,
            incarnation: 1,
            batch: 1,
            received: 1_000_000_000,
            covers: 15_000,
            rows: 1,
            oldest: time,
            newest: time,
            kind: Kind::Answer,
        };
        assert_eq!(record.header, expected);
        let next = take(&mut intake, 2, row, 15, 1).unwrap().header;
        assert_eq!((next.sequence, next.covers), (8, 15_000));
    }

    #[test]
    fn stream_time_of_answers_without_rows_is_in_the_next_record() {
        let mut intake = Intake::new(1, Duration::ZERO);
        let row = r#"["u",5]"#;
        assert_eq!(take(&mut intake, 1, "", 15, 0), None);
        assert_eq!(take(&mut intake, 2, "", 10, 0), None);
        let header = take(&mut intake, 3, row, 5, 1).unwrap().header;
        assert_eq!((header.sequence, header.covers), (1, 30_000));
        // Without further stream time there is no tick.
        assert_eq!(intake.tick(0, secs(99)), None);
        assert_eq!(take(&mut intake, 4, "", 15, 1), None);
        assert_eq!(intake.tick(5, secs(32)), None);
        let tick = intake.tick(5, secs(33)).unwrap();
        assert_eq!((tick.header.kind, tick.header.covers), (Kind::Tick, 15_000));
        assert_eq!((tick.header.sequence, tick.header.rows), (2, 0));
        assert_eq!(intake.tick(5, secs(99)), None);
        // A silent stream: at least 10 devices were online after the last rows, and are not any more.
        take(&mut intake, 5, row, 0, 1).unwrap();
        assert_eq!(take(&mut intake, 6, "", 60, 10), None);
        assert_eq!(take(&mut intake, 7, "", 60, 0), None);
        assert_eq!(intake.tick(5, secs(99)), None);
    }

    #[test]
    fn long_stream_time_is_in_several_records() {
        let mut intake = Intake::new(1, Duration::ZERO);
        let days = 60 * 24 * 3600;
        assert_eq!(take(&mut intake, 1, "", days, 0), None);
        let one = intake.tick(0, secs(40)).unwrap().header.covers;
        let other = intake.tick(0, secs(80)).unwrap().header.covers;
        assert_eq!(u64::from(one) + u64::from(other), days * 1000);
    }

    #[test]
    fn a_record_has_the_enums_that_its_answer_lacks() {
        let mut intake = Intake::new(1, Duration::ZERO);
        let mut enums = |batch, text: &str| {
            let (span, metadata) = answer(r#"["u",5]"#, text);
            let parts = Answer {
                incarnation: 1,
                batch,
                metadata: &metadata,
                covers: Duration::ZERO,
                received: 0,
                span,
            };
            let taken = intake.answer(&parts, PAYLOAD, 0, Duration::ZERO);
            String::from_utf8(taken.unwrap().enums.to_vec()).unwrap()
        };
        let named = r#""DeviceType":{"u":"UserTerminal"}"#;
        let filled = r#"{"device_types":{"u":"UserTerminal"},"alerts":{}}"#;
        for (batch, text, expected) in [(1, "", ""), (2, named, ""), (3, "", filled)] {
            assert_eq!(enums(batch, text), expected, "{batch}");
        }
    }

    #[test]
    fn devices_that_moved_are_recorded() {
        let mut intake = Intake::new(3, Duration::ZERO);
        let devices = [MovedDevice {
            code: "u".to_owned(),
            id: "one".to_owned(),
        }];
        let record = intake.moved(&devices, 9, Duration::ZERO);
        assert_eq!(
            (record.header.kind, record.header.sequence),
            (Kind::Moved, 3)
        );
        assert_eq!(moved::decode(&record.payload), Ok(devices.to_vec()));
    }
}
