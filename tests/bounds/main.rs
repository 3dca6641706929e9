//! Measures the memory for answers and state files by a counting allocator.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../benches/support/bombs.rs"]
mod bombs;
mod history;
#[path = "../../fuzz/src/pipeline.rs"]
mod pipeline;

use std::alloc::System;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peakmem_alloc::{PeakMemAlloc, PeakMemAllocTrait};
use starlink_telemetry::exposition::{Exposition, Format, Shard, Telemetry};
use starlink_telemetry::fleet::{Fleet, FleetOptions, Form};
use starlink_telemetry::inventory::{
    Bounds, Directory, Inventory, Known, Lines, Terminals, Usages,
};
use starlink_telemetry::telemetry::decode;
use starlink_telemetry::time::Moment;
use stats_alloc::StatsAlloc;

use self::bombs::BOMBS;
use self::pipeline::Pipeline;

#[global_allocator]
static MEMORY: PeakMemAlloc<&StatsAlloc<System>> = PeakMemAlloc::new(COUNTS);

/// Counts allocations.
static COUNTS: &StatsAlloc<System> = &stats_alloc::INSTRUMENTED_SYSTEM;

/// Serialises the tests, because the allocator counts for the whole process.
static TURN: Mutex<()> = Mutex::new(());

const MIB: usize = 1024 * 1024;

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The peak of allocated bytes during `work`, minus those allocated before.
fn peak(work: impl FnOnce()) -> usize {
    MEMORY.reset_peak_memory();
    work();
    MEMORY.get_peak_memory()
}

/// The number of allocations during `work`. A reallocation is one too.
fn allocations(work: impl FnOnce()) -> usize {
    let before = COUNTS.stats();
    work();
    let during = COUNTS.stats() - before;
    during.allocations + during.reallocations
}

fn options() -> FleetOptions {
    FleetOptions {
        include_routers: true,
        ..FleetOptions::STANDARD
    }
}

/// The length of a scrape in bytes.
fn scrape(pipeline: &Pipeline) -> usize {
    let snapshot = Arc::new(pipeline.fleet.snapshot());
    let telemetry = Telemetry::new(Format::OpenMetrics, snapshot, Shard::WHOLE);
    Exposition::new(telemetry, Vec::new())
        .map(|chunk| chunk.len())
        .sum()
}

/// An answer with the given rows, for terminals with `numbers` numeric columns.
fn answer(rows: &str, numbers: usize) -> Vec<u8> {
    let mut columns = String::new();
    for number in 0..numbers {
        write!(columns, ",\"Number{number}\"").unwrap();
    }
    format!(
        r#"{{"data":{{"values":[{rows}],"columnNamesByDeviceType":{{"u":["DeviceType","UtcTimestampNs","DeviceId"{columns}]}}}}}}"#
    )
    .into_bytes()
}

/// Rows of `count` terminals with equal numbers.
fn rows(first: usize, count: usize, numbers: usize) -> String {
    let numbers = ",1".repeat(numbers);
    let row = |id| format!(r#"["u",1600000000000000000,"ut-{id}"{numbers}]"#);
    (first..first + count)
        .map(row)
        .collect::<Vec<_>>()
        .join(",")
}

/// The memory limit: 16 times the length of the input, plus 8 MiB. The fuzz targets use the same limit.
fn allowed(length: usize) -> usize {
    16 * length + 8 * MIB
}

#[test]
fn expensive_answers_cost_at_most_sixteen_times_their_length() {
    let _turn = turn();
    for bomb in BOMBS {
        let body = bomb.body(3 * MIB);
        let length = body.len();
        let mut pipeline = Pipeline::new(options());
        let peak = peak(|| pipeline.answer(body));
        assert!(
            peak <= allowed(length),
            "{}: {} MiB for {} MiB",
            bomb.name,
            peak / MIB,
            length / MIB
        );
    }
}

#[test]
fn one_wide_row_does_not_make_the_others_larger() {
    let _turn = turn();
    let cost = |wide: usize| {
        // Not the first row, because the capacity for all rows is estimated (though not touched) from the first.
        let parts = [rows(1, 300, 3), rows(0, 1, wide), rows(301, 19_700, 3)];
        let body = answer(&parts.join(","), 900);
        let again = answer(&rows(1, 20_000, 3), 900);
        let mut pipeline = Pipeline::new(options());
        peak(|| {
            pipeline.answer(body);
            pipeline.answer(again);
            scrape(&pipeline);
        })
    };
    let (narrow, wide) = (cost(3), cost(900));
    assert!(wide < narrow + MIB, "{wide} beside {narrow}");
}

#[test]
fn wide_rows_in_every_block_cost_what_they_hold() {
    let _turn = turn();
    // Every 250th terminal has 900 numbers: 80 of 20,000.
    let mut all = String::new();
    for first in (0..20_000).step_by(250) {
        write!(all, "{},{},", rows(first, 1, 900), rows(first + 1, 249, 3)).unwrap();
    }
    let body = answer(all.trim_end_matches(','), 900);
    let mut pipeline = Pipeline::new(options());
    let peak = peak(|| pipeline.answer(body));
    // 72,000 numbers at 128 bytes, and 20,000 terminals.
    assert!(peak < 40 * MIB, "{} MiB", peak / MIB);
}

#[test]
fn the_memory_of_names_is_limited() {
    let _turn = turn();
    let name = "n".repeat(240);
    let list: Vec<_> = (0..1024).map(|at| format!("\"{at}{name}\"")).collect();
    let list = list.join(",");
    let mut body = String::from(r#"{"data":{"values":[],"columnNamesByDeviceType":{"t":[]"#);
    for code in 0..64 {
        write!(body, ",\"t{code}\":[{list}]").unwrap();
    }
    body.push_str("}}}");
    let mut pipeline = Pipeline::new(options());
    let metadata = decode(body.into_bytes()).unwrap().1;
    assert!(metadata.left_out > 0);
    // Each name is held three times: as Starlink's spelling, as family and as key.
    let peak = peak(|| drop(pipeline.schemas.resolve(&metadata)));
    assert!(peak < 40 * MIB, "{} MiB", peak / MIB);
}

/// The peak of ten answers with different terminals, if the limit of values is reached.
fn peak_of_ten_answers(values: usize, columns: &str, row: impl Fn(usize) -> String) -> usize {
    const TERMINALS: usize = 1000;
    let mut options = options();
    options.limits.values = values;
    let mut pipeline = Pipeline::new(options);
    peak(|| {
        for first in (0..10 * TERMINALS).step_by(TERMINALS) {
            let rows: Vec<_> = (first..first + TERMINALS).map(&row).collect();
            let rows = rows.join(",");
            let body = format!(
                r#"{{"data":{{"values":[{rows}],"columnNamesByDeviceType":{{{columns}}}}}}}"#
            );
            drop(rows);
            pipeline.answer(body.into_bytes());
        }
        assert_eq!(pipeline.fleet.devices(), 10 * TERMINALS);
    })
}

#[test]
fn allocations_and_alerts_count_against_the_limit_of_values() {
    let _turn = turn();
    // Each allocation has 250 texts: 6 kB each, 60 MB in ten answers.
    let texts: String = (0..250).map(|text| format!(",\"T{text}\"")).collect();
    let columns = format!(r#""i":["DeviceType","UtcTimestampNs","DeviceId"{texts}]"#);
    let cells = ",\"t\"".repeat(250);
    let row = |id| format!(r#"["i",1600000000000000000,"ip-{id}"{cells}]"#);
    let allocations = peak_of_ten_answers(32 * MIB, &columns, row);
    // Each terminal has 300 alerts: 4.8 kB each, 48 MB in ten answers.
    let columns = r#""u":["DeviceType","UtcTimestampNs","DeviceId","ActiveAlerts"]"#;
    let codes: Vec<_> = (0..300).map(|code: usize| code.to_string()).collect();
    let codes = codes.join(",");
    let row = |id| format!(r#"["u",1600000000000000000,"ut-{id}",[{codes}]]"#);
    let alerts = peak_of_ten_answers(16 * MIB, columns, row);
    for (what, peak) in [("allocations", allocations), ("alerts", alerts)] {
        assert!(peak < 40 * MIB, "{what}: {} MiB", peak / MIB);
    }
}

#[test]
fn state_files_cost_at_most_sixteen_times_their_length() {
    let _turn = turn();
    let number = |out: &mut Vec<u8>, number: usize| {
        out.extend(u32::try_from(number).unwrap().to_le_bytes());
    };
    let text = |out: &mut Vec<u8>, text: &str| {
        number(out, text.len());
        out.extend(text.as_bytes());
    };
    // In the first form of the file: one terminal whose only text is in the last of many lanes.
    let mut bytes = 0_u64.to_le_bytes().to_vec();
    number(&mut bytes, 1);
    text(&mut bytes, "u");
    text(&mut bytes, "UserTerminal");
    number(&mut bytes, 0);
    const LANES: usize = 70_000;
    number(&mut bytes, LANES);
    for lane in 0..LANES {
        text(&mut bytes, &format!("k{lane}"));
        text(&mut bytes, &format!("K{lane}"));
        number(&mut bytes, lane);
    }
    number(&mut bytes, 1);
    text(&mut bytes, "ut-1");
    bytes.push(1);
    bytes.extend([0; 8 * 4]);
    number(&mut bytes, 0);
    number(&mut bytes, 0);
    number(&mut bytes, 1);
    number(&mut bytes, LANES - 1);
    text(&mut bytes, "text");
    let peak = peak(|| {
        drop(Fleet::thaw(options(), Moment::default(), Form::WithoutAccounts, &bytes).unwrap())
    });
    assert!(peak <= allowed(bytes.len()), "{} MiB", peak / MIB);
    assert!(peak <= 4 * bytes.len(), "{peak} for {}", bytes.len());
}

/// The terminals of the measured inventories.
const TERMINALS: usize = 100_000;

/// The most bytes for each entry of a part while its pages are merged, with the new list, without the pages and the list before.
const MERGING: usize = 300;

/// The entries of an answer in pages of 100.
fn pages(entry: impl Fn(usize) -> String) -> impl Iterator<Item = Vec<u8>> {
    (0..TERMINALS / 100).map(move |page| {
        let entries: Vec<_> = (page * 100..(page + 1) * 100).map(&entry).collect();
        let results = entries.join(",");
        format!(r#"{{"content":{{"isLastPage":false,"results":[{results}]}}}}"#).into_bytes()
    })
}

fn known<T>(value: T) -> Option<Known<T>> {
    Some(Known {
        at: 0.0,
        value: Arc::new(value),
    })
}

/// Each terminal has a nickname, two serial numbers, a router that is not read, and a service line of its own with a nickname and data use.
#[test]
fn a_terminal_of_the_inventory_takes_at_most_300_bytes() {
    let _turn = turn();
    let bounds = Bounds::STANDARD;
    fn per_terminal<T: Clone>(value: &T) -> usize {
        peak(|| drop(value.clone())) / TERMINALS
    }
    let read: Vec<_> = pages(|at| {
        format!(
            r#"{{"userTerminalId":"01000000-00000000-{at:08x}","nickname":"Vessel {at}","kitSerialNumber":"KIT{at:08}","dishSerialNumber":"2DHT{at:08}","serviceLineNumber":"AST-{at:06}-48816-21","routers":[{{"routerId":"0100000000000000{at:08X}"}}]}}"#
        )
    })
    .map(|body| Terminals::parse(&body, &bounds).unwrap().entries)
    .collect();
    let terminals = Terminals::merged(None, &read, &bounds);
    let again = peak(|| drop(Terminals::merged(Some(&terminals), &read, &bounds)));
    let mut merging = vec![again / TERMINALS];

    let read: Vec<_> = pages(|at| {
        format!(
            r#"{{"serviceLineNumber":"AST-{at:06}-48816-21","nickname":"Line {at}","productReferenceId":"maritime-1000gb-usd","active":true,"publicIp":true}}"#
        )
    })
    .map(|body| Lines::parse(&body, &bounds).unwrap().entries)
    .collect();
    let lines = Lines::merged(None, &read, &bounds);
    let again = peak(|| drop(Lines::merged(Some(&lines), &read, &bounds)));
    merging.push(again / TERMINALS);

    let read: Vec<_> = pages(|at| {
        format!(
            r#"{{"serviceLineNumber":"AST-{at:06}-48816-21","billingCycles":[{{"startDate":"2026-11-10T00:00:00+00:00","endDate":"2026-12-10T00:00:00+00:00","totalPriorityGB":{at},"totalStandardGB":1.5,"totalOptInPriorityGB":0,"totalNonBillableGB":0,"overageLines":[]}}],"servicePlan":{{"usageLimitGB":1000,"isOptedIntoOverage":false}}}}"#
        )
    })
    .map(|body| Usages::parse(&body, 0.0, &bounds).unwrap().entries)
    .collect();
    let usage = Usages::merged(None, &read, &bounds);
    let again = peak(|| drop(Usages::merged(Some(&usage), &read, &bounds)));
    merging.push(again / TERMINALS);
    drop(read);

    let [terminal, line, of_usage] = [
        per_terminal(&terminals),
        per_terminal(&lines),
        per_terminal(&usage),
    ];
    let inventory = Inventory {
        terminals: known(terminals),
        lines: known(lines),
        usage: known(usage),
        ..Inventory::default()
    };
    let directory = Directory::of(vec![("default".into(), Arc::new(inventory))]);
    let index = directory.bytes() / TERMINALS;
    println!(
        "bytes for each terminal: {terminal}, {index} for the index, {line} for its line, {of_usage} for its data use; while the pages of a part are merged: {merging:?}"
    );
    assert_eq!(directory.len(), TERMINALS);
    let all = terminal + index + line + of_usage;
    assert!(all <= 300, "{all}");
    // The list that is made, and what making it takes; one part is read at a time.
    assert!(merging.iter().all(|bytes| *bytes <= MERGING), "{merging:?}");
}
