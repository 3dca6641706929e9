//! Three hours of simulated time in which terminals come and go, 100,000 in each hour: checks that memory of forgotten devices is
//! freed, and that nothing else grows. Memory may grow in the first two hours, until the allocator's use is stable, but not in the third.

use std::io::Read;
use std::time::Duration;

use crate::Failure;
use crate::feeder::{Feeder, LINGER};
use crate::process::{Service, wait_for};
use crate::verdict::{Target, Verdict};
use crate::wire;

/// The number of quarters: three hours.
const QUARTERS: usize = 12;

/// The batches of a quarter of an hour in simulated time. A batch is sent each second, for 15 simulated seconds.
const QUARTER: usize = 60;

/// New terminals in each batch: 100,080 in an hour.
const NEWCOMERS: usize = 417;

/// The number of batches in which a terminal reports: five minutes.
const STAY: usize = 20;

const EVERY: Duration = Duration::from_secs(1);

/// The shortest possible values of the ages: 15 and 30 seconds.
const SETTINGS: [(&str, &str); 4] = [
    ("STALE_AFTER", "1"),
    ("IP_STALE_AFTER", "1"),
    ("FORGET_AFTER", "2"),
    ("STATE_INTERVAL", "5"),
];

const MIB: f64 = 1024.0 * 1024.0;

/// Measures resident memory and open files after each quarter.
///
/// # Errors
/// A process does not start, or ends.
pub fn run(verdict: &mut Verdict) -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let state = directory.path().join("state");
    let state = state.to_str().ok_or("an odd directory")?;
    let mut feeder = Feeder::start_passing(NEWCOMERS, STAY)?;
    let settings = [&SETTINGS[..], &[("STATE_FILE", state)]].concat();
    let service = Service::start_with(feeder.api_url(), LINGER.as_millis() as u32, &settings)?;

    let mut quarters = Vec::new();
    for _ in 0..QUARTERS {
        feeder.begin(QUARTER, EVERY)?;
        let mut resident = Vec::new();
        for _ in 0..QUARTER {
            feeder.fed(1)?;
            // Each scrape uses a new connection.
            for is_gzip in [false, true] {
                scrape(&service, is_gzip)?;
            }
            resident.push(service.memory("VmRSS")? / MIB);
        }
        // The median, because the allocator decides when freed memory is returned.
        resident.sort_by(f64::total_cmp);
        quarters.push((resident[QUARTER / 2], service.open_files()? as f64));
    }
    let [.., (first, first_files), _, _, _, (last, last_files)] = quarters[..] else {
        return Err("there are more than four quarters".into());
    };
    let medians: Vec<_> = quarters
        .iter()
        .map(|(resident, _)| format!("{resident:.1}"))
        .collect();
    let yardstick = format!("medians of the quarters: {} MiB", medians.join(", "));
    let figure = "soak: resident in the third hour's last quarter, to the second's";
    verdict.judge(figure, &yardstick, last / first, "", Target::AtMost(1.05));
    let yardstick = format!("after the second hour: {first_files}");
    let figure = "soak: open files after the third hour";
    let limit = Target::AtMost(first_files + 2.0);
    verdict.judge(figure, &yardstick, last_files, "", limit);
    let known = terminals(&service)?;
    verdict.judge(
        "soak: terminals known at the end",
        "300,240 have been there",
        known,
        "",
        Target::AtMost((NEWCOMERS * (STAY + 4)) as f64),
    );
    let is_empty = wait_for(Duration::from_secs(20), || Ok(terminals(&service)? == 0.0))?;
    let took = is_empty.map_or(f64::INFINITY, |took| took.as_secs_f64());
    verdict.judge(
        "soak: until all that are silent are forgotten",
        "",
        took,
        " s",
        Target::AtMost(10.0),
    );
    let complaints = service.complaints();
    verdict.judge(
        "soak: complaints in the log",
        "",
        complaints.len() as f64,
        "",
        Target::AtMost(0.0),
    );
    for complaint in complaints.iter().take(3) {
        eprintln!("{complaint}");
    }
    Ok(())
}

fn scrape(service: &Service, is_gzip: bool) -> Result<Vec<u8>, Failure> {
    let mut answer = Vec::new();
    wire::request(service.address, "/metrics?format=prometheus", is_gzip)?
        .read_to_end(&mut answer)?;
    Ok(answer)
}

/// The number of terminals in a scrape.
fn terminals(service: &Service) -> Result<f64, Failure> {
    let answer = scrape(service, false)?;
    let text = String::from_utf8_lossy(&answer);
    Ok(text.matches("\nstarlink_online{").count() as f64)
}
