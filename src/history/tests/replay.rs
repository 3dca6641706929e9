//! A process that begins later gives the same samples, once it knows the records of 15 minutes.

use proptest::prelude::*;

use super::*;

/// Seconds from a record to the next one.
const STEP: i64 = 15;

/// The records of 15 minutes.
const KNOWN: usize = 15 * 60 / STEP as usize;

/// All devices have rows in each of so many records, so that the records of 15 minutes suffice.
const REGULAR: usize = 20;

/// What a terminal has in a record.
#[derive(Debug, Clone)]
struct Report {
    terminal: u8,
    /// The number of its rows; the first is the newest.
    rows: i64,
    /// Whether there is a row that comes late.
    is_late: bool,
    speed: Option<u8>,
    version: u8,
    alert: u8,
    /// The last byte of its address, if it has an allocation.
    address: Option<u8>,
}

fn report() -> impl Strategy<Value = Report> {
    let values = (prop::option::of(0..9_u8), 0..3_u8, 70..90_u8);
    let address = prop::option::weighted(0.2, 0..3_u8);
    let late = prop::bool::weighted(0.1);
    (0..6_u8, 1..4_i64, late, values, address).prop_map(
        |(terminal, rows, is_late, (speed, version, alert), address)| Report {
            terminal,
            rows,
            is_late,
            speed,
            version,
            alert,
            address,
        },
    )
}

impl Report {
    fn json(&self, record: usize) -> Vec<String> {
        let newest = STEP * record as i64;
        let terminal = self.terminal;
        let device = |seconds: i64, number: i64| {
            let speed = self.speed.map_or("null".to_owned(), |speed| {
                (i64::from(speed) + number).to_string()
            });
            let (version, alert) = (self.version, self.alert);
            // Terminals differ by some milliseconds.
            let time = at(seconds) + i64::from(terminal) * 7_000_000;
            format!(
                r#"["u",{time},"ut{terminal}",{speed},1,"v{version}",null,599686042433355775,[{alert}]]"#
            )
        };
        let mut rows: Vec<_> = (0..self.rows)
            .map(|row| device(newest - 4 * row, row))
            .collect();
        if self.is_late {
            rows.push(device(newest - 200, 0));
        }
        rows.extend(self.address.map(|last| {
            format!(
                r#"["i",{},"ip-ut{terminal}","acc{last}",null,["0.0.0.{last}"],null,null]"#,
                at(newest)
            )
        }));
        rows
    }
}

/// The rows of a slice in its order, with their samples by name.
fn lines(slice: &Slice) -> Vec<String> {
    let line = |row: &DeviceRow| {
        let samples = slice.samples(row);
        let samples: BTreeMap<_, _> = samples
            .map(|sample| {
                let family = slice.family(sample.family).unwrap();
                (Arc::clone(&family.name), sample.value.to_bits())
            })
            .collect();
        let infos = slice.infos(row).iter();
        let infos: Vec<_> = infos
            .map(|sample| {
                (
                    sample.info.iter().collect::<Vec<_>>(),
                    sample.value.to_bits(),
                )
            })
            .collect();
        format!(
            "{:?} {} {} {samples:?} {infos:?}",
            slice.device(row),
            row.time,
            row.is_marker
        )
    };
    slice.rows().iter().map(line).collect()
}

/// The rows of each record from one on.
fn play(records: &[(u32, Vec<Report>)], from: usize) -> Vec<Vec<String>> {
    let mut world = World::new();
    let records = records.iter().enumerate().skip(from);
    let read = records.map(|(number, (covers, reports))| {
        world.now = START + 1000 * STEP * number as i64;
        let rows: Vec<_> = reports
            .iter()
            .flat_map(|report| report.json(number))
            .collect();
        let batch = world.batch(&rows.join(","));
        let content = match rows.is_empty() {
            true => Content::Tick,
            false => Content::Answer(&batch),
        };
        lines(&world.slice(*covers, content))
    });
    read.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn samples_do_not_depend_on_the_first_record(
        mut records in prop::collection::vec((0..30_000_u32, prop::collection::vec(report(), 0..5)), KNOWN + 40),
        regular in prop::collection::vec((0..3_u8, 0..3_u8), 6),
        from in 0..40_usize,
    ) {
        for (_, reports) in records.iter_mut().step_by(REGULAR) {
            let all = (0..6).zip(&regular).map(|(terminal, (version, address))| Report {
                terminal,
                rows: 1,
                is_late: false,
                speed: Some(1),
                version: *version,
                alert: 82,
                address: Some(*address),
            });
            // After the random reports, so that the devices first occur in different orders.
            reports.extend(all);
        }
        let (whole, later) = (play(&records, 0), play(&records, from));
        for number in from + KNOWN..records.len() {
            prop_assert_eq!(&whole[number], &later[number - from], "record {} from {}", number, from);
        }
    }
}
