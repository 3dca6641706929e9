//! The number of rows of an answer, and the time that they span.

use super::Limits;
use crate::telemetry::schema::TIMESTAMP_FIELD;
use crate::telemetry::{Cell, Metadata, Rows};

/// Earlier timestamps are not in nanoseconds, or no times. Rows with them are rejected.
const EARLIEST: i64 = Limits::STANDARD.earliest;

/// The rows of an answer, as far as they must be known to count those that wait or are lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowSpan {
    /// The number of rows.
    pub rows: u32,
    /// The earliest timestamp that is a time, in nanoseconds since 1970; 0 if no row has one. See [`Limits::earliest`].
    pub oldest: i64,
    /// The latest timestamp; 0 if no row has one.
    pub newest: i64,
}

impl RowSpan {
    /// The span of rows with these columns.
    #[must_use]
    pub fn of(rows: &Rows, metadata: &Metadata) -> Self {
        let mut span = Self {
            rows: u32::try_from(rows.received()).unwrap_or(u32::MAX),
            ..Self::default()
        };
        // Rows of a type mostly follow each other, so the column is looked up once for them.
        let mut last = None;
        for cells in rows.iter() {
            let Some(code) = rows.code(cells) else {
                continue;
            };
            let column = match last {
                Some((known, column)) if known == code => column,
                _ => last.insert((code, timestamp_column(metadata, code))).1,
            };
            let cell = column.and_then(|column| cells.get(column));
            if let Some(&Cell::Integer(timestamp)) = cell
                && timestamp >= EARLIEST
            {
                span.add(timestamp);
            }
        }
        span
    }

    fn add(&mut self, timestamp: i64) {
        self.newest = self.newest.max(timestamp);
        self.oldest = match self.oldest {
            0 => timestamp,
            oldest => oldest.min(timestamp),
        };
    }
}

fn timestamp_column(metadata: &Metadata, code: &str) -> Option<usize> {
    let mut columns = metadata.columns.get(code)?.iter();
    columns.position(|name| name.as_deref() == Some(TIMESTAMP_FIELD))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::decode;

    #[test]
    fn rows_are_counted_with_their_time() {
        let at = |nanos| match nanos {
            0 => 0,
            nanos => EARLIEST + nanos,
        };
        let [three, five, nine] = [3, 5, 9].map(at);
        for (rows, (count, oldest, newest)) in [
            (String::new(), (0, 0, 0)),
            (format!(r#"["u",{five}]"#), (1, 5, 5)),
            (
                format!(r#"["u",{five}],["u",{three}],["u",{nine}],["i"]"#),
                (4, 3, 9),
            ),
            (
                r#"["i"],["x",7],7,["u",null],["u",-3],["u","4"]"#.to_owned(),
                (6, 0, 0),
            ),
            // Types in turn, with the timestamp in different columns.
            (
                format!(r#"["u",{five}],["r",1,{three}],["x",{nine}],["u",{five}],["r",{nine}]"#),
                (5, 3, 5),
            ),
            // In seconds, or of a clock that was never set.
            (
                format!(r#"["u",1700000000],["u",{five}],["u",1]"#),
                (3, 5, 5),
            ),
        ] {
            let columns = r#"{"u":["DeviceType","UtcTimestampNs"],"r":["DeviceType","Speed","UtcTimestampNs"],"i":["DeviceType"]}"#;
            let body = format!(
                r#"{{"data":{{"values":[{rows}],"columnNamesByDeviceType":{columns}}},"metadata":{{"enums":{{}}}}}}"#
            );
            let (decoded, metadata) = decode(body.into()).unwrap();
            let span = RowSpan::of(&decoded, &metadata);
            let expected = (count, at(oldest), at(newest));
            assert_eq!((span.rows, span.oldest, span.newest), expected, "{rows}");
        }
    }
}
