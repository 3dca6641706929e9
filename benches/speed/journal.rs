//! Benchmarks appending an answer to a journal, compared with writing and syncing the same bytes without a journal.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use criterion::Throughput;
use starlink_telemetry::fleet::RowSpan;
use starlink_telemetry::journal::{Answer, Disk, Durability, Intake, Log, Record, SegmentLimits};
use starlink_telemetry::journal::{payload, record};
use starlink_telemetry::simulator::TERMINAL_COLUMNS;
use starlink_telemetry::telemetry::{Metadata, decode};

use crate::feed::{Body, documented, stamp_of};
use crate::runs::{Runs, timed};
use crate::verdict::Target;

/// The rows of an answer.
const ROWS: usize = 1000;

/// How much longer an append may take than a bare write, if that is more than as long again.
const ADDED: Duration = Duration::from_micros(100);

/// Measures appends. The files are on the disk of the build.
///
/// # Errors
/// The answer cannot be decoded, or the files cannot be written.
pub fn run(runs: &mut Runs) -> Result<(), Box<dyn Error>> {
    let mut body = Body::terminals(TERMINAL_COLUMNS, 0..ROWS, 0, documented);
    body.stamp(stamp_of(1));
    let (rows, metadata) = decode(body.json().to_vec())?;
    let text = rows.body();
    let work = Throughput::Elements(ROWS as u64);
    runs.time("journal/compress an answer", work.clone(), || {
        timed(|| payload::compress(&text))
    });
    let span = RowSpan::of(&rows, &metadata);
    let first = recorded(&text, span, &metadata)?;
    let mut bytes = Vec::new();
    record::encode(&first, &mut bytes)?;
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut bare = File::create(directory.path().join("bare"))?;
    runs.time("journal/write and sync", work.clone(), || {
        timed(|| bare.write_all(&bytes).and_then(|()| bare.sync_data()))
    });
    let disk = Disk::new(directory.path().to_owned());
    let limits = SegmentLimits::STANDARD;
    let mut log = Log::open(disk, Arc::from("a"), limits, 1)?;
    let mut next = first;
    runs.time("journal/append", work, || {
        next.header.sequence = log.next();
        timed(|| log.append(&next, Durability::Synced, Duration::ZERO))
    });
    runs.compare("journal/append", "journal/write and sync", Target::None);
    runs.not_slower("journal/append", "journal/write and sync", 2.0, ADDED);
    runs.report(
        "bytes of a row in the journal",
        bytes.len() as f64 / ROWS as f64,
        " B",
        Target::None,
    );
    Ok(())
}

/// The record of an answer.
fn recorded(text: &str, span: RowSpan, metadata: &Metadata) -> Result<Record, Box<dyn Error>> {
    let answer = Answer {
        incarnation: 1,
        batch: 1,
        metadata,
        covers: Duration::from_secs(15),
        received: 1,
        span,
    };
    let payload = payload::compress(text)?;
    let record = Intake::new(1, Duration::ZERO).answer(&answer, payload, 0, Duration::ZERO);
    Ok(record.ok_or("the answer has no rows")?)
}
