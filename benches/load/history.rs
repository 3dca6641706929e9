//! Measures the memory that a journal and two destinations of remote write add, while one of them is down and then receives all that waits.
//! Both services are scraped for the exporter's own metrics only, as is usual with remote write.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::Failure;
use crate::feeder::{Feeder, LINGER};
use crate::process::{Service, wait_for};
use crate::request::read_request;
use crate::verdict::{Target, Verdict};
use crate::wire;

/// The sizes of the fleets, and the most rows of a batch: those that README.md recommends, and the largest.
const FLEETS: [(usize, usize); 3] = [(10_000, 1_000), (100_000, 4_000), (100_000, 65_000)];

/// How often each terminal reports.
const REPORTS: usize = 8;

/// The interval between batches: the service polls 200 times a minute.
const EVERY: Duration = Duration::from_millis(300);

/// As in the image and the systemd unit: glibc returns freed memory.
const TRIMMED: (&str, &str) = ("MALLOC_TRIM_THRESHOLD_", "131072");

/// How long the destination that was down may need.
const DRAIN: Duration = Duration::from_secs(300);

/// What the journal and two destinations may add, and for each terminal.
const ADDED: f64 = 64.0 * MIB;
const EACH: f64 = 400.0;

const MIB: f64 = 1024.0 * 1024.0;

/// The metrics of the exporter.
const EXPORTER: &str = "/metrics?collect%5B%5D=exporter";

/// The rows that wait, by account and destination.
const PENDING: &str = "starlink_exporter_remote_write_pending_rows{";

/// Compares services with and without a journal.
///
/// # Errors
/// A process does not start, or ends.
pub fn run(verdict: &mut Verdict) -> Result<(), Failure> {
    for (terminals, rows) in FLEETS {
        let without = measure(terminals, rows, &[TRIMMED], |_| Ok(()))?;
        let directory = tempfile::tempdir()?;
        let down = Arc::new(AtomicBool::new(true));
        let addresses = [receiver(Arc::default())?, receiver(Arc::clone(&down))?];
        let file = directory.path().join("destinations.yml");
        fs::write(&file, destinations(addresses))?;
        let journal = directory.path().join("journal");
        fs::create_dir(&journal)?;
        let (file, journal) = (file.to_string_lossy(), journal.to_string_lossy());
        let settings = [
            ("REMOTE_WRITE_FILE", &*file),
            ("JOURNAL_DIR", &*journal),
            TRIMMED,
        ];
        let with = measure(terminals, rows, &settings, |service| {
            let waiting = pending(service)?;
            down.store(false, Ordering::Relaxed);
            let took = wait_for(DRAIN, || Ok(pending(service)? == 0.0))?;
            let took = took.ok_or("rows still wait")?;
            eprintln!("{waiting} rows of {terminals} terminals were sent in {took:?}");
            Ok(())
        })?;
        let most = (ADDED + EACH * terminals as f64) / MIB;
        let figure = format!(
            "history: a journal and two destinations add, {terminals} terminals, batches of {rows} rows"
        );
        let yardstick = format!("peak without: {:.0} MiB", without / MIB);
        let added = (with - without) / MIB;
        verdict.judge(&figure, &yardstick, added, " MiB", Target::AtMost(most));
    }
    Ok(())
}

/// The peak of the resident memory in bytes, while the exporter's own metrics are scraped after each report of the fleet. `after` is called
/// when all terminals have reported.
fn measure(
    terminals: usize,
    rows: usize,
    settings: &[(&str, &str)],
    after: impl FnOnce(&Service) -> Result<(), Failure>,
) -> Result<f64, Failure> {
    let mut feeder = Feeder::start_small(terminals, rows)?;
    let linger = LINGER.as_millis() as u32;
    let service = Service::start_with(feeder.api_url(), linger, settings)?;
    feeder.fill()?;
    for _ in 0..REPORTS {
        feeder.feed(feeder.sweep, EVERY)?;
        exporter(&service)?;
    }
    after(&service)?;
    service.memory("VmHWM")
}

/// The file of the destinations. Messages of 1.0 are the larger ones. Both take samples out of order, so that what waits is sent in large
/// requests beside new rows.
fn destinations(addresses: [SocketAddr; 2]) -> String {
    let entries = addresses.iter().zip(["up", "down"]).map(|(address, name)| {
        format!(
            "  - name: {name}\n    url: http://{address}/write\n    protocol: \"1.0\"\n    out_of_order_window: unlimited\n"
        )
    });
    format!("remote_write:\n{}", entries.collect::<String>())
}

/// The rows that wait for any destination.
///
/// # Errors
/// The service does not answer.
pub fn pending(service: &Service) -> Result<f64, Failure> {
    let text = exporter(service)?;
    let lines = text.lines().filter(|line| line.starts_with(PENDING));
    let mut total = 0.0;
    for value in lines.filter_map(|line| line.split(' ').nth(1)) {
        total += value.parse::<f64>()?;
    }
    Ok(total)
}

/// The exporter's own metrics.
fn exporter(service: &Service) -> Result<String, Failure> {
    let mut answer = Vec::new();
    wire::request(service.address, EXPORTER, false)?.read_to_end(&mut answer)?;
    Ok(String::from_utf8(wire::body(&answer)?)?)
}

/// Starts a receiver that takes everything unless it is down. Its threads end with the program.
fn receiver(is_down: Arc<AtomicBool>) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let is_down = Arc::clone(&is_down);
            // Errors are ignored: the service may close the connection at any time.
            std::thread::spawn(move || answer(connection, &is_down));
        }
    });
    Ok(address)
}

/// Answers the requests of a connection.
fn answer(mut connection: TcpStream, is_down: &AtomicBool) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut reader = BufReader::new(connection.try_clone()?);
    while read_request(&mut reader)?.is_some() {
        let status = match is_down.load(Ordering::Relaxed) {
            true => "503 Service Unavailable\r\nContent-Length: 0",
            false => "204 No Content",
        };
        write!(connection, "HTTP/1.1 {status}\r\n\r\n")?;
    }
    Ok(())
}
