//! Measures remote write into a real VictoriaMetrics: how soon rows are stored, and how fast a backlog is, next to vmagent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prost::Message as _;
use tempfile::TempDir;

use crate::Failure;
use crate::feed::stamp_of;
use crate::feeder::{Feeder, LINGER};
use crate::history::pending;
use crate::process::{Service, wait_for};
use crate::receivers::{Programs, Receiver, free_address, write_url};
use crate::verdict::{Target, Verdict};

/// The size of the fleet.
const TERMINALS: usize = 1_000;

/// How many times each terminal reports while rows are live, once a second, which is 15 times as often as Starlink's terminals do.
const LIVE: usize = 120;

/// The interval between live reports.
const EVERY: Duration = Duration::from_secs(1);

/// The longest that 99 % of the samples may take.
const SOON: f64 = 1.0;

/// How many times each terminal reports in 8 hours.
const BACKLOG: usize = 8 * 60 * 4;

/// How many rows of each terminal an answer has meanwhile.
const TOGETHER: usize = 20;

/// How long vmagent may need to take a backlog.
const TAKEN: Duration = Duration::from_secs(600);

/// What a request of 1.0 must be read for. Other fields are skipped.
#[derive(Clone, PartialEq, prost::Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// Answered samples: the time of the row in milliseconds, and when the receiver answered.
type Answered = Arc<Mutex<Vec<(i64, Instant)>>>;

/// Measures from the receipt of rows until VictoriaMetrics has answered.
///
/// # Errors
/// A process does not start, or ends.
pub fn soon(verdict: &mut Verdict) -> Result<(), Failure> {
    let Some(programs) = Programs::found() else {
        return Ok(());
    };
    let receiver = Receiver::victoria_metrics(&programs, free_address()?)?;
    let answered = Answered::default();
    let relay = relay(receiver.address, Arc::clone(&answered))?;
    let mut feeder = Feeder::start(TERMINALS)?;
    let _service = Sender::start(&feeder, &write_url(relay))?;
    feeder.fill()?;
    // The first batches have the allocations and one report of each terminal.
    let first = feeder.filled();
    let mut begun = Vec::with_capacity(LIVE);
    for _ in 0..LIVE {
        // The answer is on its way after this, so no delay is measured too short.
        begun.push(Instant::now());
        feeder.feed(1, Duration::ZERO)?;
        std::thread::sleep(EVERY);
    }
    let is_there = || {
        let last = millis_of(first + LIVE - 1);
        Ok(lock(&answered).iter().any(|(time, _)| *time == last))
    };
    wait_for(Duration::from_secs(60), is_there)?.ok_or("the last row does not arrive")?;
    let mut delays = Vec::new();
    for (batch, begun) in begun.iter().enumerate() {
        let time = millis_of(first + batch);
        let answered = lock(&answered);
        let of_batch = answered.iter().filter(|(answered, _)| *answered == time);
        delays.extend(of_batch.map(|(_, answered)| answered.duration_since(*begun).as_secs_f64()));
    }
    delays.sort_by(f64::total_cmp);
    let quantile = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize];
    let figure =
        format!("soon: from receipt to the receiver's answer, {TERMINALS} rows a second, p99");
    let yardstick = format!("median {:.3} s, of {} samples", quantile(0.5), delays.len());
    verdict.judge(
        &figure,
        &yardstick,
        quantile(0.99),
        " s",
        Target::AtMost(SOON),
    );
    Ok(())
}

/// Compares how fast VictoriaMetrics stores 8 hours of rows from the service and from vmagent, which got them from the service.
///
/// # Errors
/// A process does not start, or ends.
pub fn backlog(verdict: &mut Verdict) -> Result<(), Failure> {
    let Some(programs) = Programs::found() else {
        return Ok(());
    };
    let address = free_address()?;
    let mut feeder = Feeder::start_backlog(TERMINALS, TOGETHER)?;
    let service = Sender::start(&feeder, &write_url(address))?;
    feeder.feed(BACKLOG / TOGETHER, Duration::ZERO)?;
    let receiver = Receiver::victoria_metrics(&programs, address)?;
    let before = service.service.cpu()?;
    let ours = receiver.store_all()?;
    let spent = service.service.cpu()?.saturating_sub(before);
    let peak = service.service.memory("VmHWM")? / 1024.0 / 1024.0;
    eprintln!("this service: {ours:?}, CPU time {spent:?}, peak of its memory {peak:.0} MiB");
    drop((service, receiver));

    let address = free_address()?;
    let agent = Receiver::vmagent(&programs, &write_url(address))?;
    let mut feeder = Feeder::start_backlog(TERMINALS, TOGETHER)?;
    let service = Sender::start(&feeder, &agent.write_url())?;
    feeder.feed(BACKLOG / TOGETHER, Duration::ZERO)?;
    let is_taken = || Ok(pending(&service.service)? == 0.0);
    wait_for(TAKEN, is_taken)?.ok_or("vmagent does not take everything")?;
    let receiver = Receiver::victoria_metrics(&programs, address)?;
    let theirs = receiver.store_all()?;
    eprintln!("vmagent: {theirs:?}");

    let rate = |stored: &crate::receivers::Stored| stored.samples / stored.took.as_secs_f64() / 1e6;
    let figure =
        format!("backlog: 8 hours of {TERMINALS} terminals into VictoriaMetrics, samples/s");
    let yardstick = format!(
        "vmagent: {:.2} M of {:.1} M",
        rate(&theirs),
        theirs.samples / 1e6
    );
    let ratio = rate(&ours) / rate(&theirs);
    verdict.judge(&figure, &yardstick, ratio, "×", Target::AtLeast(1.0));
    let busy = ours.cpu.as_secs_f64() / ours.took.as_secs_f64();
    let spent = spent.as_secs_f64() / ours.took.as_secs_f64();
    let figure = "backlog: cores that VictoriaMetrics uses meanwhile";
    verdict.judge(
        figure,
        &format!("this service: {spent:.2}"),
        busy,
        "",
        Target::None,
    );
    Ok(())
}

/// A service with a journal and one destination.
struct Sender {
    service: Service,
    _directory: TempDir,
}

impl Sender {
    fn start(feeder: &Feeder, url: &str) -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let at = |name: &str| directory.path().join(name).display().to_string();
        let destination = format!(
            "remote_write:\n  - name: receiver\n    url: {url}\n    protocol: \"1.0\"\n    out_of_order_window: unlimited\n    own_metrics: false\n"
        );
        let (file, journal) = (at("destinations.yml"), at("journal"));
        std::fs::write(&file, destination)?;
        let settings = [("REMOTE_WRITE_FILE", &*file), ("JOURNAL_DIR", &*journal)];
        let linger = LINGER.as_millis() as u32;
        let service = Service::start_with(feeder.api_url(), linger, &settings)?;
        Ok(Self {
            service,
            _directory: directory,
        })
    }
}

/// The time of a batch's rows in milliseconds.
fn millis_of(batch: usize) -> i64 {
    (stamp_of(batch as u64) / 1_000_000) as i64
}

/// Starts a relay that notes when the receiver has answered for each sample. Its threads end with the program.
fn relay(receiver: SocketAddr, answered: Answered) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let answered = Arc::clone(&answered);
            std::thread::spawn(move || {
                // Errors end the connection: the service sends what it had again.
                let _ = pass_on(connection, receiver, &answered);
            });
        }
    });
    Ok(address)
}

/// Passes the requests of a connection on, and the answers back.
fn pass_on(mut from: TcpStream, to: SocketAddr, answered: &Answered) -> Result<(), Failure> {
    let mut to = TcpStream::connect(to)?;
    for connection in [&from, &to] {
        connection.set_nodelay(true)?;
    }
    let mut requests = BufReader::new(from.try_clone()?);
    let mut answers = BufReader::new(to.try_clone()?);
    while let Some((head, body)) = read(&mut requests)? {
        to.write_all(&head)?;
        to.write_all(&body)?;
        let (head, content) = read(&mut answers)?.ok_or("no answer")?;
        let now = Instant::now();
        from.write_all(&head)?;
        from.write_all(&content)?;
        let plain = snap::raw::Decoder::new().decompress_vec(&body)?;
        let request = WriteRequest::decode(&*plain)?;
        let samples = request.timeseries.iter().flat_map(|series| &series.samples);
        lock(answered).extend(samples.map(|sample| (sample.timestamp, now)));
    }
    Ok(())
}

/// The bytes of a head, and of the content behind it.
type Head = Vec<u8>;
type Content = Vec<u8>;

/// Reads a request or an answer: its head and its content. `None` at the end of the connection.
fn read(reader: &mut BufReader<TcpStream>) -> Result<Option<(Head, Content)>, Failure> {
    let mut head = Vec::new();
    let mut length = 0;
    loop {
        let begun = head.len();
        if reader.read_until(b'\n', &mut head)? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&head[begun..]).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line.trim_end().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some((head, body)))
}

fn lock(answered: &Answered) -> std::sync::MutexGuard<'_, Vec<(i64, Instant)>> {
    answered.lock().unwrap_or_else(PoisonError::into_inner)
}
