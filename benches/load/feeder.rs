//! A Starlink API for fleets of any size: sends prepared answers at a given rate, in its own process.
//!
//! The simulator generates each row on demand, which is too slow for a million terminals on the two cores of the service, and it
//! spreads the timestamps of a batch. Here all rows of a batch have one timestamp, so that a scrape can be checked to show a single
//! batch, and the values of a terminal alternate. In another mode terminals come and go: each batch has new terminals, and others
//! report for the last time.

use std::io::{BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use starlink_telemetry::simulator::AnswerBody;

use crate::Failure;
use crate::feed::{
    Body, MOST_ROWS, STAMP, allocation_row, columns, documented, stamp_of, terminal_id,
};
use crate::process::{Helper, Service};
use crate::request::read_request;

/// How long a poll waits for a batch before it gets an empty answer.
pub const LINGER: Duration = Duration::from_millis(1000);

/// The end of the path of a poll.
const STREAM: &str = "/telemetry/stream";

/// The response to requests of the inventory: a service that has one keeps it.
const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

/// A feeder in its own process.
#[derive(Debug)]
pub struct Feeder {
    helper: Helper,
    /// The number of batches of each account that report the whole fleet.
    pub sweep: usize,
    /// The number of batches of each account with the allocations, which are sent once before all others.
    allocations: usize,
    /// The values of `API_URL`, one for each account.
    api_urls: Vec<String>,
}

impl Feeder {
    /// Starts a feeder for one account with a fleet of `terminals`. Batches have one row of each, at most 65,000.
    ///
    /// # Errors
    /// The process does not start.
    pub fn start(terminals: usize) -> Result<Self, Failure> {
        Self::start_accounts(1, terminals)
    }

    /// Starts a feeder for one account whose batches have at most `rows` rows.
    ///
    /// # Errors
    /// The process does not start.
    pub fn start_small(terminals: usize, rows: usize) -> Result<Self, Failure> {
        Self::start_staying(1, terminals, rows)
    }

    /// Starts a feeder for `accounts` accounts with a fleet of `terminals` each. All terminals are different.
    ///
    /// # Errors
    /// The process does not start.
    pub fn start_accounts(accounts: usize, terminals: usize) -> Result<Self, Failure> {
        Self::start_staying(accounts, terminals, MOST_ROWS)
    }

    fn start_staying(accounts: usize, terminals: usize, rows: usize) -> Result<Self, Failure> {
        let numbers = format!("{accounts} {terminals} {rows}");
        let helper = Helper::start("feeder", &["staying", &numbers])?;
        let origin = helper.hear()?;
        Ok(Self {
            helper,
            sweep: terminals.div_ceil(rows).max(1),
            allocations: terminals.div_ceil(10).div_ceil(rows),
            api_urls: (0..accounts)
                .map(|account| api_url(&origin, account))
                .collect(),
        })
    }

    /// Starts a feeder whose terminals come and go: each batch has `newcomers` new terminals, each of which reports in `stay` batches.
    ///
    /// # Errors
    /// The process does not start.
    pub fn start_passing(newcomers: usize, stay: usize) -> Result<Self, Failure> {
        Self::start_one("passing", newcomers, stay)
    }

    /// Starts a feeder for one account whose batches have `reports` rows of each of its `terminals`, as after an outage.
    ///
    /// # Errors
    /// The process does not start.
    pub fn start_backlog(terminals: usize, reports: usize) -> Result<Self, Failure> {
        Self::start_one("backlog", terminals, reports)
    }

    /// Starts a feeder for one account whose every batch is of the same kind.
    fn start_one(kind: &str, first: usize, second: usize) -> Result<Self, Failure> {
        let helper = Helper::start("feeder", &[kind, &format!("{first} {second}")])?;
        let origin = helper.hear()?;
        Ok(Self {
            helper,
            sweep: 1,
            allocations: 0,
            api_urls: vec![api_url(&origin, 0)],
        })
    }

    /// The value of `API_URL` of the first account.
    pub fn api_url(&self) -> &str {
        &self.api_urls[0]
    }

    /// The values of `API_URL` of all accounts.
    pub fn api_urls(&self) -> &[String] {
        &self.api_urls
    }

    /// Starts a service, and sends the whole fleet to it.
    ///
    /// # Errors
    /// The service does not start or does not accept a batch.
    pub fn serve(&mut self) -> Result<Service, Failure> {
        let service = Service::start(self.api_url(), LINGER.as_millis() as u32)?;
        self.fill()?;
        Ok(service)
    }

    /// Sends the whole fleet to a running service.
    ///
    /// # Errors
    /// The service does not accept a batch.
    pub fn fill(&mut self) -> Result<(), Failure> {
        self.feed(self.filled(), Duration::ZERO)?;
        Ok(())
    }

    /// The number of batches of each account after [`Feeder::fill`], which is the number of the next batch.
    pub fn filled(&self) -> usize {
        self.allocations + self.sweep
    }

    /// Sends `batches` batches to each account, at least `interval` apart, and waits until the service has stored them. Returns how long
    /// the service took for each, from the first byte of the answer until the next poll.
    ///
    /// # Errors
    /// The service does not poll.
    pub fn feed(&mut self, batches: usize, interval: Duration) -> Result<Vec<Duration>, Failure> {
        self.begin(batches, interval)?;
        self.fed(batches)
    }

    /// Starts [`Feeder::feed`] without waiting.
    ///
    /// # Errors
    /// The process has ended.
    pub fn begin(&mut self, batches: usize, interval: Duration) -> Result<(), Failure> {
        self.helper
            .send(&format!("{batches} {}", interval.as_millis()))
    }

    /// Waits for batches that were started by [`Feeder::begin`].
    ///
    /// # Errors
    /// The service does not poll.
    pub fn fed(&mut self, batches: usize) -> Result<Vec<Duration>, Failure> {
        let took = |_| Ok(Duration::from_micros(self.helper.hear()?.parse()?));
        (0..batches * self.api_urls.len()).map(took).collect()
    }
}

/// The value of `API_URL` of an account. The first segment of the path is the account's number.
fn api_url(origin: &str, account: usize) -> String {
    format!("{origin}/{account}/api/public")
}

/// The number of the account that a request is for.
fn account_of(path: &str) -> Option<usize> {
    path.split('/').nth(1)?.parse().ok()
}

/// The terminals whose rows are sent.
enum Terminals {
    /// A constant fleet.
    Staying {
        /// The allocations, which are sent once.
        once: Vec<Body>,
        /// The terminals, whose batches are sent in rotation.
        rounds: Vec<Body>,
    },
    /// A constant fleet, with several rows of each terminal in each batch.
    Backlog { reports: usize, body: Body },
    /// Terminals that come and go.
    Passing {
        newcomers: usize,
        stay: usize,
        /// The previous batch.
        body: Body,
    },
}

impl Terminals {
    /// The number of reports of each terminal in a batch.
    fn reports(&self) -> usize {
        match self {
            Self::Backlog { reports, .. } => *reports,
            Self::Staying { .. } | Self::Passing { .. } => 1,
        }
    }

    /// The batch with this number.
    fn batch(&mut self, number: usize) -> &mut Body {
        match self {
            Self::Staying { once, rounds } => match number.checked_sub(once.len()) {
                None => &mut once[number],
                Some(number) => {
                    let rounds_count = rounds.len();
                    &mut rounds[number % rounds_count]
                }
            },
            Self::Backlog { body, .. } => body,
            Self::Passing {
                newcomers,
                stay,
                body,
            } => {
                let first = (number + 1).saturating_sub(*stay) * *newcomers;
                *body = passing(first..(number + 1) * *newcomers);
                body
            }
        }
    }
}

/// A row of each terminal with its allocation and a unique text.
fn passing(terminals: Range<usize>) -> Body {
    let columns = [
        "DeviceType",
        "UtcTimestampNs",
        "DeviceId",
        "DownlinkThroughput",
        "Note",
    ];
    let row = |terminal| {
        let id = terminal_id(terminal);
        format!(r#"["u",{STAMP},"{id}",{}.5,"note {id}"]"#, terminal % 200)
    };
    let rows = terminals.clone().map(row);
    let allocations = terminals.map(allocation_row);
    let answer = AnswerBody::new().columns("u", &columns);
    Body::of(answer.rows(rows.chain(allocations)))
}

/// The state of the stream.
struct Stream {
    terminals: Terminals,
    handed_out: usize,
    /// The number of batches that may be sent.
    allowed: usize,
    interval: Duration,
    due: Instant,
    /// The start of the answer that the next poll acknowledges.
    answered: Option<Instant>,
}

impl Stream {
    fn of(terminals: Range<usize>, most: usize) -> Self {
        let chunk = |first: usize, most: usize| first..terminals.end.min(first + most);
        let mut once = Vec::new();
        for first in terminals.clone().step_by(10 * most) {
            once.push(Body::allocations(chunk(first, 10 * most)));
        }
        let columns = columns();
        let mut rounds = Vec::new();
        for variant in 0..2 {
            // Without terminals there is one empty batch.
            let end = terminals.end.max(terminals.start + 1);
            for first in (terminals.start..end).step_by(most) {
                let rows = chunk(first, most);
                rounds.push(Body::terminals(&columns, rows, variant, documented));
            }
        }
        Self::with(Terminals::Staying { once, rounds })
    }

    fn with(terminals: Terminals) -> Self {
        Self {
            terminals,
            handed_out: 0,
            allowed: 0,
            interval: Duration::ZERO,
            due: Instant::now(),
            answered: None,
        }
    }

    /// The next batch, if one may be sent.
    fn next(&mut self, now: Instant) -> Option<&[u8]> {
        if self.allowed == 0 || now < self.due {
            return None;
        }
        self.allowed -= 1;
        self.due = now.max(self.due + self.interval);
        let number = self.handed_out;
        self.handed_out += 1;
        let report = number * self.terminals.reports();
        let body = self.terminals.batch(number);
        body.stamp(stamp_of(report as u64));
        Some(body.json())
    }
}

/// The stream of an account, and a condition variable that signals that a batch may be sent.
struct Shared {
    stream: Mutex<Stream>,
    bell: Condvar,
}

impl Shared {
    fn of(stream: Stream) -> Self {
        Self {
            stream: Mutex::new(stream),
            bell: Condvar::new(),
        }
    }
}

/// The arguments of the process.
const USAGE: &str = "feeder staying \"ACCOUNTS TERMINALS ROWS\", feeder backlog \"TERMINALS REPORTS\", or feeder passing \"NEWCOMERS STAY\"";

/// The main function of the process. Its arguments are `staying ACCOUNTS TERMINALS ROWS`, the terminals of each account and the most rows of a batch, `backlog TERMINALS REPORTS`,
/// the rows of each terminal in each batch, or `passing NEWCOMERS STAY`, the new terminals in each batch and the number of batches in which
/// each reports. Each line of its input is `batches milliseconds`, for
/// every account.
///
/// # Errors
/// It cannot listen.
pub fn serve(arguments: &[String]) -> Result<(), Failure> {
    let [kind, numbers] = arguments else {
        return Err(USAGE.into());
    };
    let numbers: Result<Vec<usize>, _> = numbers.split(' ').map(str::parse).collect();
    let streams: Vec<Stream> = match (kind.as_str(), &*numbers?) {
        ("staying", &[accounts, terminals, rows]) => (0..accounts)
            .map(|account| Stream::of(account * terminals..(account + 1) * terminals, rows))
            .collect(),
        ("backlog", &[terminals, reports]) => vec![Stream::with(Terminals::Backlog {
            reports,
            body: Body::reports(&columns(), 0..terminals, 0..reports as u64, documented),
        })],
        ("passing", &[newcomers, stay]) => vec![Stream::with(Terminals::Passing {
            newcomers,
            stay,
            body: passing(0..0),
        })],
        _ => return Err(USAGE.into()),
    };
    let shared: &Vec<Shared> = &streams.into_iter().map(Shared::of).collect();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}", listener.local_addr()?);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                // Errors are ignored: the client may close the connection at any time.
                scope.spawn(move || answer(connection, shared));
            }
        });
        for line in std::io::stdin().lines().map_while(Result::ok) {
            for shared in shared {
                allow(shared, &line);
            }
        }
        // The parent process has ended, so this process ends without waiting for its threads.
        std::process::exit(0)
    })
}

fn allow(shared: &Shared, line: &str) {
    let mut words = line.split(' ').map(str::parse::<u64>);
    let (Some(Ok(batches)), Some(Ok(millis))) = (words.next(), words.next()) else {
        return;
    };
    let mut stream = lock(&shared.stream);
    stream.allowed += batches as usize;
    stream.interval = Duration::from_millis(millis);
    stream.due = Instant::now();
    shared.bell.notify_all();
}

/// Answers the requests of a connection.
fn answer(connection: TcpStream, accounts: &[Shared]) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut writer = connection.try_clone()?;
    let mut reader = BufReader::new(connection);
    while let Some(path) = read_request(&mut reader)? {
        if path.contains("auth") {
            let token = br#"{"access_token":"token","expires_in":900,"token_type":"Bearer"}"#;
            send(&mut writer, token)?;
        } else if !path.ends_with(STREAM) {
            writer.write_all(UNAVAILABLE)?;
        } else {
            let shared = account_of(&path).and_then(|account| accounts.get(account));
            answer_poll(&mut writer, shared.ok_or(ErrorKind::NotFound)?)?;
        }
    }
    Ok(())
}

fn answer_poll(writer: &mut TcpStream, shared: &Shared) -> std::io::Result<()> {
    let polled = Instant::now();
    let mut stream = lock(&shared.stream);
    if let Some(answered) = stream.answered.take() {
        println!("{}", polled.duration_since(answered).as_micros());
    }
    loop {
        let now = Instant::now();
        let is_over = now.duration_since(polled) >= LINGER;
        if let Some(body) = stream.next(now) {
            send(writer, body)?;
            stream.answered = Some(now);
            return Ok(());
        }
        if is_over {
            return send(writer, br#"{"data":{"values":[]}}"#);
        }
        let wait = (polled + LINGER).min(stream.due.max(now + Duration::from_millis(1))) - now;
        let woken = shared.bell.wait_timeout(stream, wait);
        stream = woken.unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn send(writer: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    writer.write_all(head.as_bytes())?;
    writer.write_all(body)
}

/// Locks the stream. It stays consistent even if a thread panics.
fn lock(stream: &Mutex<Stream>) -> MutexGuard<'_, Stream> {
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}
