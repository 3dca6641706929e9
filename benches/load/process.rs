//! Starts the processes of a run, measures them, and ends them by their process IDs.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::Failure;

/// The client ID of services.
pub const CLIENT_ID: &str = "client";

/// The time limit of all waits.
const WAIT_LIMIT: Duration = Duration::from_secs(120);

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub struct Guard(pub Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // An error means that the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This program in another role, as a child process. Communication is by lines on its stdin and stdout.
#[derive(Debug)]
pub struct Helper {
    _process: Guard,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Helper {
    /// Starts the process.
    ///
    /// # Errors
    /// The process cannot be started.
    pub fn start<A: ToString>(role: &str, arguments: &[A]) -> Result<Self, Failure> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(role)
            .args(arguments.iter().map(ToString::to_string))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take().ok_or("no stdin")?;
        let output: ChildStdout = process.stdout.take().ok_or("no stdout")?;
        Ok(Self {
            _process: Guard(process),
            input,
            lines: lines(output),
        })
    }

    /// Writes a line to its stdin.
    ///
    /// # Errors
    /// The process has ended.
    pub fn send(&mut self, line: &str) -> Result<(), Failure> {
        Ok(writeln!(self.input, "{line}")?)
    }

    /// Reads a line from its stdout.
    ///
    /// # Errors
    /// The process has ended, or writes nothing for two minutes.
    pub fn hear(&self) -> Result<String, Failure> {
        Ok(self.lines.recv_timeout(WAIT_LIMIT)?)
    }

    /// Reads the remaining lines until its end.
    pub fn hear_all(&self) -> impl Iterator<Item = String> {
        std::iter::from_fn(|| self.lines.recv_timeout(WAIT_LIMIT).ok())
    }
}

/// The lines of a pipe. A thread reads it to its end, so that the writer never blocks.
fn lines(pipe: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // The receiver may have been dropped.
            let _ = sender.send(line);
        }
    });
    receiver
}

/// The service's binary as a child process.
#[derive(Debug)]
pub struct Service {
    process: Guard,
    /// Its address.
    pub address: SocketAddr,
    log: Receiver<String>,
}

impl Service {
    /// Starts it and waits until it listens. `linger` is in milliseconds.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(api_url: &str, linger: u32) -> Result<Self, Failure> {
        Self::start_with(api_url, linger, &[])
    }

    /// [`Service::start`] with additional settings, which take precedence.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_with(
        api_url: &str,
        linger: u32,
        settings: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let binary = Path::new(env!("CARGO_BIN_EXE_starlink-telemetry"));
        Self::start_binary(binary, api_url, linger, settings)
    }

    /// [`Service::start`] with another binary.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_binary(
        binary: &Path,
        api_url: &str,
        linger: u32,
        settings: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let mut process = Command::new(binary)
            .env_clear()
            .envs([
                ("CLIENT_ID", CLIENT_ID),
                ("CLIENT_SECRET", "secret"),
                ("API_URL", api_url),
                ("BATCH_SIZE", "65000"),
                ("MAX_LINGER", &linger.to_string()),
                ("METRICS_ADDRESS", "127.0.0.1"),
                ("METRICS_PORT", "0"),
                ("LOG_FORMAT", "json"),
                // Devices do not expire during a measurement.
                ("STALE_AFTER", "86400"),
                ("IP_STALE_AFTER", "86400"),
                // The benchmarks' replacements of Starlink have a stream only.
                ("INVENTORY", "off"),
            ])
            .envs(settings.iter().copied())
            .current_dir(std::env::temp_dir())
            .stderr(Stdio::piped())
            .spawn()?;
        let log: ChildStderr = process.stderr.take().ok_or("no stderr")?;
        let process = Guard(process);
        let log = lines(log);
        loop {
            let line = log.recv_timeout(WAIT_LIMIT)?;
            let event: serde_json::Value = serde_json::from_str(&line)?;
            if event["message"] == "listening" {
                let address = event["address"].as_str().ok_or("no address")?.parse()?;
                return Ok(Self {
                    process,
                    address,
                    log,
                });
            }
        }
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    /// The signal cannot be sent, or the process ends with an error.
    pub fn terminate(mut self) -> Result<Duration, Failure> {
        let asked = Instant::now();
        let pid = self.process.0.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        let status = self.process.0.wait()?;
        match status.success() {
            true => Ok(asked.elapsed()),
            false => Err(format!("the service ended with {status}").into()),
        }
    }

    /// The warnings and errors in its log since the last call.
    pub fn complaints(&self) -> Vec<String> {
        let is_complaint = |line: &String| line.contains("\"WARN\"") || line.contains("\"ERROR\"");
        self.log.try_iter().filter(is_complaint).collect()
    }

    /// The CPU time of its running threads. Threads that have ended are not included.
    ///
    /// # Errors
    /// The process has ended, or the CPU time cannot be read.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        cpu_of(&self.process)
    }

    /// Resident memory now (`VmRSS`) or at its highest (`VmHWM`), in bytes.
    ///
    /// # Errors
    /// The process has ended.
    pub fn memory(&self, field: &str) -> Result<f64, Failure> {
        let status = fs::read_to_string(self.path("status"))?;
        let line = status.lines().find(|line| line.starts_with(field));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
        let kilobytes: f64 = kilobytes.ok_or("no such field")?.parse()?;
        Ok(kilobytes * 1024.0)
    }

    /// Resets `VmHWM` to the current resident memory.
    ///
    /// # Errors
    /// The operating system does not allow it.
    pub fn forget_peak(&self) -> Result<(), Failure> {
        Ok(fs::write(self.path("clear_refs"), "5")?)
    }

    /// The number of open file descriptors.
    ///
    /// # Errors
    /// The process has ended.
    pub fn open_files(&self) -> Result<usize, Failure> {
        Ok(fs::read_dir(self.path("fd"))?.count())
    }

    fn path(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.process.0.id())
    }
}

/// The CPU time of a process's running threads. Threads that have ended are not included.
///
/// # Errors
/// The process has ended, or the CPU time cannot be read.
pub fn cpu_of(process: &Guard) -> Result<Duration, Failure> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{}/task", process.0.id()))? {
        let Ok(spent) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        let nanoseconds = spent.split(' ').next().unwrap_or_default();
        total += nanoseconds.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(total))
}

/// Polls a condition until it holds. Returns how long that took, or `None` after `limit`.
///
/// # Errors
/// Errors of the condition.
pub fn wait_for(
    limit: Duration,
    mut condition: impl FnMut() -> Result<bool, Failure>,
) -> Result<Option<Duration>, Failure> {
    let started = Instant::now();
    while started.elapsed() < limit {
        if condition()? {
            return Ok(Some(started.elapsed()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(None)
}
