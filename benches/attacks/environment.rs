//! The environment of an attack: a service with its fleet, and a prober that requests `/livez` regularly.

use std::fmt;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use socket2::{Domain, Socket, Type};

use crate::feed::{Body, MOST_ROWS, columns, documented};
use crate::process::Service;
use crate::starlink::{Answer, Starlink};
use crate::{Failure, Scale};

const MIB: f64 = 1024.0 * 1024.0;

/// The longest accepted response time of `/livez`. A kubelet's default time-out is one second; busy machines need more.
const LONGEST_PROBE: Duration = Duration::from_secs(2);

/// The time limit of all waits.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// The directory of an attack's files.
pub type Directory = tempfile::TempDir;

/// The service under attack.
#[derive(Debug)]
pub struct Environment {
    pub scale: Scale,
    pub starlink: Starlink,
    pub address: SocketAddr,
    service: Service,
    prober: Prober,
    terminals: usize,
    batches: AtomicU64,
    before: f64,
    _directory: Directory,
}

impl Environment {
    /// Starts a service and reports a fleet to it.
    ///
    /// # Errors
    /// The service does not start or does not accept a batch.
    pub fn new(
        scale: Scale,
        terminals: usize,
        binary: &Path,
        settings: fn(&Directory) -> Vec<(String, String)>,
    ) -> Result<Self, Failure> {
        let starlink = Starlink::start()?;
        let directory = tempfile::tempdir()?;
        let settings = settings(&directory);
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let service = Service::start_binary(binary, &starlink.url, 500, &settings)
            .map_err(|error| error.to_string())?;
        let mut environment = Self {
            scale,
            starlink,
            address: service.address,
            prober: Prober::start(service.address),
            service,
            terminals,
            batches: AtomicU64::new(0),
            before: 0.0,
            _directory: directory,
        };
        // Twice, so that the memory for applying a batch is in both figures.
        for _ in 0..2 {
            environment.report()?;
        }
        environment.before = environment.memory("VmRSS")?;
        Ok(environment)
    }

    /// Sends new rows of every terminal, so that every block of the fleet changes.
    ///
    /// # Errors
    /// The service does not accept a batch.
    pub fn report(&self) -> Result<(), Failure> {
        let number = self.batches.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        for first in (0..self.terminals).step_by(MOST_ROWS) {
            let chunk = first..self.terminals.min(first + MOST_ROWS);
            let mut body = Body::terminals(&columns(), chunk, number % 2, documented);
            body.stamp(u64::try_from(now.as_nanos())?);
            self.starlink.push(Answer::new(body.json())?);
        }
        self.settled()
    }

    /// Waits until the service has accepted all answers.
    ///
    /// # Errors
    /// It takes too long.
    pub fn settled(&self) -> Result<(), Failure> {
        match self.starlink.wait(WAIT_LIMIT) {
            true => Ok(()),
            false => Err("the service has not polled again within a minute".into()),
        }
    }

    fn memory(&self, field: &str) -> Result<f64, Failure> {
        let memory = self.service.memory(field);
        Ok(memory.map_err(|error| error.to_string())?)
    }

    /// Measures the cost of the attack.
    ///
    /// # Errors
    /// The service has ended.
    pub fn verdict(
        self,
        name: &'static str,
        promise: f64,
        fault: Option<Failure>,
    ) -> Result<Verdict, Failure> {
        let peak = self.memory("VmHWM").unwrap_or(f64::INFINITY) / MIB;
        let after = self.memory("VmRSS").unwrap_or(f64::INFINITY) / MIB;
        let before = self.before / MIB;
        Ok(Verdict {
            name,
            terminals: self.terminals,
            before,
            peak,
            after,
            promise: before + promise,
            probe: self.prober.longest(),
            fault: fault.map(|fault| fault.to_string()),
        })
    }
}

/// The result of an attack.
#[derive(Debug)]
pub struct Verdict {
    name: &'static str,
    terminals: usize,
    before: f64,
    peak: f64,
    after: f64,
    promise: f64,
    probe: Duration,
    fault: Option<String>,
}

impl Verdict {
    /// The header of the printed table.
    pub const HEAD: &str = "| attack | terminals | before, MiB | peak, MiB | promise, MiB | after, MiB | longest /livez | promise | kept |\n\
                            | --- | --- | --- | --- | --- | --- | --- | --- | --- |";

    /// Whether all limits were kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.peak <= self.promise && self.probe <= LONGEST_PROBE && self.fault.is_none()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = match &self.fault {
            Some(fault) => format!("NO: {fault}"),
            None if self.is_kept() => "yes".to_owned(),
            None => "NO".to_owned(),
        };
        let Self {
            name,
            terminals,
            before,
            peak,
            after,
            promise,
            probe,
            ..
        } = self;
        write!(
            formatter,
            "| {name} | {terminals} | {before:.0} | {peak:.0} | {promise:.0} | {after:.0} | {probe:.1?} | {LONGEST_PROBE:?} | {kept} |"
        )
    }
}

/// Requests `/livez` ten times a second, from its own address.
#[derive(Debug)]
struct Prober {
    is_over: Arc<AtomicBool>,
    longest: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Prober {
    fn start(address: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let longest = Arc::new(AtomicU64::new(0));
        let thread = {
            let (is_over, longest) = (Arc::clone(&is_over), Arc::clone(&longest));
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    let took = match get(Ipv4Addr::new(127, 1, 0, 1), address, "/livez", "") {
                        Ok(answer) if answer.starts_with(b"HTTP/1.1 200") => asked.elapsed(),
                        _ => WAIT_LIMIT,
                    };
                    longest.fetch_max(took.as_micros() as u64, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(100));
                }
            })
        };
        Self {
            is_over,
            longest,
            thread: Some(thread),
        }
    }

    fn longest(&self) -> Duration {
        Duration::from_micros(self.longest.load(Ordering::Relaxed))
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed already.
            let _ = thread.join();
        }
    }
}

/// Sends a request from a given address on a connection with a small receive buffer.
///
/// # Errors
/// Errors of the connection.
pub fn ask(
    source: Ipv4Addr,
    address: SocketAddr,
    path: &str,
    headers: &str,
) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(16 * 1024)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect(&address.into())?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(WAIT_LIMIT))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
    )?;
    Ok(stream)
}

/// Sends a request and reads the complete response.
///
/// # Errors
/// Errors of the connection.
pub fn get(
    source: Ipv4Addr,
    address: SocketAddr,
    path: &str,
    headers: &str,
) -> std::io::Result<Vec<u8>> {
    let mut stream = ask(
        source,
        address,
        path,
        &format!("{headers}Connection: close\r\n"),
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
