//! The memory of a history, and of writing requests.

use starlink_telemetry::history::{
    Content, DestinationLabels, Encoder, History, Input, Options, Protocol, Slice,
};
use starlink_telemetry::telemetry::{Batch, SchemaCache, decode};
use std::sync::Arc;

use super::bombs::BOMBS;
use super::{MIB, allocations, allowed, peak, turn};

/// The terminals of the fleet.
const TERMINALS: usize = 20_000;

/// The time of the first answer in nanoseconds since 1970.
const START: i64 = 1_700_000_000_000_000_000;

/// One row of each terminal with its documented columns, and one of its allocation.
fn batch(schemas: &mut SchemaCache, step: i64) -> Batch {
    let time = START + step * 15_000_000_000;
    let allocations = (0..TERMINALS).map(|number| {
        let (high, low) = (number / 256, number % 256);
        format!(
            r#"["i",{time},"ip-{}","ACC-1",["10.0.{high}.{low}"],["2001:db8:{high:x}:{low:x}::/64"],["2001:db9:{high:x}:{low:x}::/56"]]"#,
            id(number)
        )
    });
    answer(
        schemas,
        allocations.chain((0..TERMINALS).map(|number| row(time, number))),
    )
}

/// One row of each terminal.
fn rows(schemas: &mut SchemaCache, step: i64) -> Batch {
    let time = START + step * 15_000_000_000;
    answer(schemas, (0..TERMINALS).map(|number| row(time, number)))
}

fn id(number: usize) -> String {
    format!("ut01000000-00000000-{number:08x}")
}

/// A row of a terminal with its documented columns.
fn row(time: i64, number: usize) -> String {
    format!(
        r#"["u",{time},"{}",{number}.5,2,0.1,30,0.01,1000,0.9,599686042433355775,-1,"2025.08.11.mr{}","US",true,[]]"#,
        id(number),
        number % 7
    )
}

fn answer(schemas: &mut SchemaCache, rows: impl Iterator<Item = String>) -> Batch {
    let rows: Vec<_> = rows.collect();
    let body = format!(
        r#"{{"data":{{"values":[{}],"columnNamesByDeviceType":{{
            "u":["DeviceType","UtcTimestampNs","DeviceId","DownlinkThroughput","UplinkThroughput","PingDropRateAvg","PingLatencyMsAvg","ObstructionPercentTime","Uptime","SignalQuality","H3CellId","SecondsUntilSwupdateRebootPossible","RunningSoftwareVersion","CountryCode","InTerritorialWaters","ActiveAlerts"],
            "i":["DeviceType","UtcTimestampNs","DeviceId","AccountNumber","Ipv4","Ipv6Ue","Ipv6Cpe"]}}}}}}"#,
        rows.join(",")
    );
    let (rows, metadata) = decode(body.into_bytes()).unwrap();
    let schema = schemas.resolve(&metadata).schema;
    Batch { rows, schema }
}

fn empty_history() -> History {
    History::new(Arc::new(Options::standard(false)))
}

fn read(history: &mut History, batch: &Batch, step: i64) -> Slice {
    history.read(&Input {
        received: START + step * 15_000_000_000,
        covers: 15_000,
        content: Content::Answer(batch),
    })
}

#[test]
fn a_history_remembers_at_most_200_bytes_of_a_terminal() {
    let _turn = turn();
    // Much more than reading needs, so that the peak is when it is allocated.
    const PROBE: usize = 1 << 30;
    let mut schemas = SchemaCache::default();
    let batches = [0, 1].map(|step| batch(&mut schemas, step));
    let mut history = empty_history();
    let peak = peak(|| {
        for (step, batch) in (0..).zip(&batches) {
            assert!(read(&mut history, batch, step).len() > 12 * TERMINALS);
        }
        drop(std::hint::black_box(Vec::<u8>::with_capacity(PROBE)));
    });
    let each = (peak - PROBE) / TERMINALS;
    assert!((100..=200).contains(&each), "{each} bytes");
}

#[test]
fn samples_cost_no_allocation_of_their_own() {
    let _turn = turn();
    let mut schemas = SchemaCache::default();
    let mut history = empty_history();
    let mut encoder = Encoder::new(&DestinationLabels::default());
    read(&mut history, &batch(&mut schemas, 0), 0);
    // In the second and third row, half of the devices send `starlink_info` again.
    for step in 1..=3 {
        let batch = rows(&mut schemas, step);
        let mut slice = Slice::default();
        let mut reading = 0;
        let count = allocations(|| reading = peak(|| slice = read(&mut history, &batch, step)));
        let samples = slice.len();
        assert!(samples > 12 * TERMINALS, "{samples} samples");
        // Vectors that grow have up to three times the size of their content for a moment.
        assert!(
            reading < 64 * samples,
            "{reading} bytes for {samples} samples"
        );
        assert!(count < 150, "{count} allocations to read {samples} samples");
        for protocol in [Protocol::V1, Protocol::V2] {
            let mut encode = || {
                let rows = slice.rows().iter().map(|row| (&slice, row));
                encoder.rows(protocol, rows).unwrap()
            };
            let body = encode().body.len();
            let mut again = 0;
            let count = allocations(|| again = peak(|| drop(encode())));
            assert!(again < body + MIB, "{again} bytes for a body of {body}");
            assert!(
                count < 20,
                "{count} allocations to encode {samples} samples"
            );
        }
    }
}

#[test]
fn expensive_answers_cost_at_most_sixteen_times_their_length() {
    let _turn = turn();
    for bomb in BOMBS {
        let body = bomb.body(3 * MIB);
        let length = body.len();
        let Ok((rows, metadata)) = decode(body) else {
            continue;
        };
        let schema = SchemaCache::default().resolve(&metadata).schema;
        let batch = Batch { rows, schema };
        let mut history = empty_history();
        let peak = peak(|| drop(read(&mut history, &batch, 0)));
        assert!(
            peak <= allowed(length),
            "{}: {} MiB for {} MiB",
            bomb.name,
            peak / MIB,
            length / MIB
        );
    }
}
