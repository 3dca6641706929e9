//! Generates answers of large fleets: realistic, reproducible rows in a shuffled order.

use std::fmt::Write;
use std::ops::Range;

use starlink_telemetry::simulator::{AnswerBody, TERMINAL_COLUMNS};

/// The most rows of an answer.
pub const MOST_ROWS: usize = 65_000;

/// Additional columns. The documented columns of a terminal are ten numbers, two texts and the alerts; with these there are twelve
/// numbers and three texts, as in the targets for rendering and memory.
const MORE_COLUMNS: [&str; 3] = ["PowerIn", "SnrDb", "HardwareVersion"];

/// A placeholder timestamp in nanoseconds since 1970. It has as many digits as all timestamps of this century, so that timestamps of
/// a body can be overwritten in place.
pub const STAMP: u64 = 1_756_537_212_000_000_000;

/// The interval between reports in nanoseconds.
const INTERVAL: u64 = 1_000_000_000;

/// The number of digits of a timestamp.
const STAMP_LENGTH: usize = 19;

/// Formats a fraction.
pub type Digits = fn(f64) -> String;

/// Formats a fraction with the digits of single precision, at most nine, as in the documented answers.
pub fn documented(value: f64) -> String {
    (value as f32).to_string()
}

/// The body of an answer in which all rows of a report have the same timestamp.
#[derive(Debug, Clone)]
pub struct Body {
    json: Vec<u8>,
    stamps: Vec<usize>,
    /// The number of rows of a report.
    of_report: usize,
}

impl Body {
    /// One row of each terminal, in the documented columns or in [`columns`]. Terminals are numbered from 0. All numbers differ between
    /// `variant`s.
    pub fn terminals(
        columns: &[&str],
        terminals: impl Iterator<Item = usize>,
        variant: u64,
        digits: Digits,
    ) -> Self {
        Self::reports(columns, terminals, variant..variant + 1, digits)
    }

    /// Several rows of each terminal, as in a backlog: one of each variant. Reports are one second apart.
    pub fn reports(
        columns: &[&str],
        terminals: impl Iterator<Item = usize>,
        variants: Range<u64>,
        digits: Digits,
    ) -> Self {
        let extended = columns.len() > TERMINAL_COLUMNS.len();
        let terminals = &shuffled(terminals);
        let row = |terminal, variant| terminal_row(terminal, variant, extended, digits);
        let rows = variants.flat_map(|variant| {
            terminals
                .iter()
                .map(move |&terminal| row(terminal, variant))
        });
        Self {
            of_report: terminals.len().max(1),
            ..Self::of(AnswerBody::new().columns("u", columns).rows(rows))
        }
    }

    /// The IP allocations of a range of terminals. One in ten terminals has one.
    pub fn allocations(terminals: impl Iterator<Item = usize>) -> Self {
        let holders = terminals.filter(|terminal| terminal % 10 == 0);
        Self::of(AnswerBody::new().rows(shuffled(holders).into_iter().map(allocation_row)))
    }

    /// An answer in which all rows have the timestamp [`STAMP`].
    pub fn of(answer: AnswerBody) -> Self {
        let json = answer.to_json();
        let stamp = STAMP.to_string();
        let stamps: Vec<_> = json.match_indices(&stamp).map(|(at, _)| at).collect();
        Self {
            json: json.into_bytes(),
            of_report: stamps.len().max(1),
            stamps,
        }
    }

    /// Sets the timestamp of the rows of the first report, in nanoseconds since 1970, and those of others after it.
    pub fn stamp(&mut self, timestamp: u64) {
        for (report, stamps) in self.stamps.chunks(self.of_report).enumerate() {
            let digits = (timestamp + report as u64 * INTERVAL).to_string();
            for &at in stamps {
                self.json[at..at + STAMP_LENGTH].copy_from_slice(digits.as_bytes());
            }
        }
    }

    /// The JSON text.
    pub fn json(&self) -> &[u8] {
        &self.json
    }
}

/// The columns of a terminal with twelve numbers and three texts.
pub fn columns() -> Vec<&'static str> {
    [TERMINAL_COLUMNS, &MORE_COLUMNS].concat()
}

/// The timestamp of the report with this number. Reports are one second apart.
pub fn stamp_of(number: u64) -> u64 {
    STAMP + number * INTERVAL
}

/// The identifier of a terminal.
pub fn terminal_id(terminal: usize) -> String {
    // Real identifiers are not consecutive. Multiplication by an odd factor spreads them and keeps them unique.
    format!(
        "ut01000000-00000000-{:08x}",
        (terminal as u32).wrapping_mul(0x9e37_79b1)
    )
}

fn terminal_row(terminal: usize, variant: u64, extended: bool, digits: Digits) -> String {
    let unit = |column| unit(terminal, column, variant);
    let fixed = |column| hash(terminal, column, 0);
    let mut row = String::with_capacity(320);
    let id = terminal_id(terminal);
    let uptime = 2 * (fixed(5) % 2_000_000) + variant;
    let alerts = match fixed(12) % 50 {
        0 => "82",
        1 => "66,81",
        _ => "",
    };
    let country = ["US", "DE", "JP", "BR"][fixed(10) as usize % 4];
    let release = 60_000 + fixed(9) % 20;
    let in_waters = fixed(11).wrapping_add(variant).is_multiple_of(3);
    // Writing to a String cannot fail.
    let _ = write!(
        row,
        r#"["u",{STAMP},"{id}",{},{},{},{},{},{uptime},{},{},{},"2025.08.11.mr{release}","{country}",{in_waters},[{alerts}]"#,
        digits(220.0 * unit(0)),
        digits(25.0 * unit(1)),
        digits(unit(2)),
        digits(20.0 + 40.0 * unit(3)),
        digits(unit(4)),
        digits(unit(6)),
        h3_cell(fixed(7)),
        (86_400.0 * unit(8)) as u64,
    );
    if extended {
        let _ = write!(
            row,
            r#",{},{},"rev{}_proto{}""#,
            digits(90.0 * unit(13)),
            digits(12.0 * unit(14)),
            fixed(15) % 4,
            fixed(16) % 3
        );
    }
    row.push(']');
    row
}

/// The row of the IP allocation of a terminal.
pub fn allocation_row(terminal: usize) -> String {
    let id = terminal_id(terminal);
    let (high, low) = (terminal >> 16 & 0xff, terminal & 0xffff);
    let account = terminal % 3;
    format!(
        r#"["i",{STAMP},"ip-{id}","ACC-1234567-89012-{account}",["198.51.{high}.{}"],["2001:db8:{high:x}:{low:x}::/64"],["2001:db8:{low:x}:{high:x}00::/56"]]"#,
        low & 0xff
    )
}

/// An H3 cell of resolution 5: mode, resolution, one of the base cells 15 to 23 (none of which is a pentagon), five digits from
/// 0 to 6, and the unused digits, which are 7.
fn h3_cell(random: u64) -> u64 {
    let base = 15 + random % 9;
    let mut cell = 1 << 59 | 5 << 52 | base << 45 | ((1 << 30) - 1);
    let mut rest = random / 9;
    for digit in 0..5 {
        cell |= (rest % 7) << (42 - 3 * digit);
        rest /= 7;
    }
    cell
}

/// A reproducible shuffled order.
fn shuffled(items: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut items: Vec<_> = items.collect();
    items.sort_by_cached_key(|&item| hash(item, 99, 0));
    items
}

/// A reproducible number in `0.0..1.0`.
fn unit(terminal: usize, column: u64, variant: u64) -> f64 {
    (hash(terminal, column, variant) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A reproducible pseudo-random number (splitmix64).
fn hash(terminal: usize, column: u64, variant: u64) -> u64 {
    let mut state = (terminal as u64) << 16 | column << 8 | variant;
    state = state.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ state >> 31
}
