//! Real receivers of remote write, if the variable `RECEIVERS` names a directory with their programs, which `.ci/receivers.sh` installs.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Failure;
use crate::process::{Guard, cpu_of, wait_for};
use crate::wire;

/// How long a receiver may need to start.
const START: Duration = Duration::from_secs(30);

/// How long a receiver stores nothing new after it has stored everything.
const QUIET: Duration = Duration::from_secs(15);

/// How long a receiver may need to store a backlog.
const LONGEST: Duration = Duration::from_secs(900);

/// How often a receiver is asked for the number of samples that it has stored.
const ASKED: Duration = Duration::from_millis(100);

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs(PathBuf);

impl Programs {
    /// `None`, with a message, if the variable is not set.
    pub fn found() -> Option<Self> {
        let directory = std::env::var_os("RECEIVERS").map(PathBuf::from);
        if directory.is_none() {
            eprintln!("skipped: RECEIVERS does not name a directory with programs");
        }
        directory.map(Self)
    }
}

/// A program that receives remote write, with its data in a directory of its own.
#[derive(Debug)]
pub struct Receiver {
    process: Guard,
    _data: TempDir,
    /// Its address.
    pub address: SocketAddr,
}

/// What a receiver has stored.
#[derive(Debug, Clone, Copy)]
pub struct Stored {
    /// The number of samples.
    pub samples: f64,
    /// From the first to the last of them.
    pub took: Duration,
    /// The CPU time of the receiver meanwhile.
    pub cpu: Duration,
}

impl Receiver {
    /// Starts VictoriaMetrics at an address.
    ///
    /// # Errors
    /// It does not start.
    pub fn victoria_metrics(programs: &Programs, address: SocketAddr) -> Result<Self, Failure> {
        let arguments = ["-retentionPeriod=100y", "-dedup.minScrapeInterval=1ms"];
        let arguments = arguments.map(str::to_owned);
        Self::start(
            programs,
            "victoria-metrics",
            "storageDataPath",
            address,
            &arguments,
        )
    }

    /// Starts a vmagent that writes to `url`.
    ///
    /// # Errors
    /// It does not start.
    pub fn vmagent(programs: &Programs, url: &str) -> Result<Self, Failure> {
        let arguments = [format!("-remoteWrite.url={url}")];
        Self::start(
            programs,
            "vmagent",
            "remoteWrite.tmpDataPath",
            free_address()?,
            &arguments,
        )
    }

    fn start(
        programs: &Programs,
        program: &str,
        data: &str,
        address: SocketAddr,
        arguments: &[String],
    ) -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let path = programs.0.join("new").join(program);
        let process = Command::new(&path)
            .arg(format!("-httpListenAddr={address}"))
            .arg(format!("-{data}={}", directory.path().display()))
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let receiver = Self {
            process: Guard(process),
            _data: directory,
            address,
        };
        let is_ready = || Ok(receiver.asked("/health").is_ok());
        wait_for(START, is_ready)?.ok_or_else(|| format!("{program} does not start"))?;
        Ok(receiver)
    }

    /// The URL for remote write.
    pub fn write_url(&self) -> String {
        write_url(self.address)
    }

    /// Waits until all that waits elsewhere is stored, which has to begin.
    ///
    /// # Errors
    /// The receiver ends, or is still busy after 15 minutes.
    pub fn store_all(&self) -> Result<Stored, Failure> {
        let before = self.stored()?;
        let mut known = (before, Instant::now(), self.cpu()?);
        let mut first = None;
        let deadline = Instant::now() + LONGEST;
        while Instant::now() < deadline {
            let samples = self.stored()?;
            let now = Instant::now();
            if samples > known.0 {
                first.get_or_insert((known.1, known.2));
                known = (samples, now, self.cpu()?);
            } else if let Some((begun, cpu)) = first {
                if now - known.1 > QUIET {
                    return Ok(Stored {
                        samples: known.0 - before,
                        took: known.1 - begun,
                        cpu: known.2 - cpu,
                    });
                }
            } else {
                known.1 = now;
                known.2 = self.cpu()?;
            }
            std::thread::sleep(ASKED);
        }
        Err("the receiver is still busy".into())
    }

    /// The samples of remote write that it has stored since its start.
    fn stored(&self) -> Result<f64, Failure> {
        let text = self.asked("/metrics")?;
        let name = r#"vm_rows_inserted_total{type="promremotewrite"} "#;
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        Ok(value.unwrap_or("0").parse()?)
    }

    fn cpu(&self) -> Result<Duration, Failure> {
        cpu_of(&self.process)
    }

    fn asked(&self, path: &str) -> Result<String, Failure> {
        let mut answer = Vec::new();
        wire::request(self.address, path, false)?.read_to_end(&mut answer)?;
        Ok(String::from_utf8(wire::body(&answer)?)?)
    }
}

/// The URL for remote write of a receiver at an address.
pub fn write_url(address: SocketAddr) -> String {
    format!("http://{address}/api/v1/write")
}

/// A free port of 127.0.0.1.
///
/// # Errors
/// There is none.
pub fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
