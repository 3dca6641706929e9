//! A minimal Starlink API for attacks: sends the queued answers, one for each poll.

use std::collections::VecDeque;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::Failure;

use crate::request::read_request;

/// How long a poll waits before it gets an empty answer.
const LINGER: Duration = Duration::from_millis(500);

/// A compressed answer.
#[derive(Debug, Clone)]
pub struct Answer(Arc<[u8]>);

impl Answer {
    /// Compresses a JSON text.
    ///
    /// # Errors
    /// Errors of the compression.
    pub fn new(json: &[u8]) -> Result<Self, Failure> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(json)?;
        Ok(Self(encoder.finish()?.into()))
    }
}

#[derive(Debug, Default)]
struct Queue {
    answers: VecDeque<Answer>,
    handed_out: usize,
    /// The number of polls since the last answer. A poll acknowledges the answer before it.
    polls: usize,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    bell: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server. Its threads end with the process.
#[derive(Debug)]
pub struct Starlink {
    shared: Arc<Shared>,
    /// The value of `API_URL`.
    pub url: String,
}

impl Starlink {
    /// Starts the server.
    ///
    /// # Errors
    /// No port can be bound.
    pub fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/api/public", listener.local_addr()?);
        let shared = Arc::new(Shared::default());
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&served);
                // Errors are ignored: the client may close the connection at any time.
                std::thread::spawn(move || serve(connection, &shared));
            }
        });
        Ok(Self { shared, url })
    }

    /// Queues an answer.
    pub fn push(&self, answer: Answer) {
        self.shared.lock().answers.push_back(answer);
        self.shared.bell.notify_all();
    }

    /// Waits until all answers are sent and the service has polled again. Returns whether that happened within the limit.
    pub fn wait(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            let queue = self.shared.lock();
            if queue.answers.is_empty() && queue.polls > queue.handed_out {
                return true;
            }
            drop(queue);
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

fn serve(connection: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut writer = connection.try_clone()?;
    let mut reader = BufReader::new(connection);
    while let Some(path) = read_request(&mut reader)? {
        if path.contains("auth") {
            send(
                &mut writer,
                br#"{"access_token":"token","expires_in":900,"token_type":"Bearer"}"#,
                "",
            )?;
            continue;
        }
        match next(shared) {
            Some(Answer(gzip)) => send(&mut writer, &gzip, "Content-Encoding: gzip\r\n")?,
            None => send(&mut writer, br#"{"data":{"values":[]}}"#, "")?,
        }
    }
    Ok(())
}

fn next(shared: &Shared) -> Option<Answer> {
    let mut queue = shared.lock();
    queue.polls = queue.handed_out + 1;
    let deadline = Instant::now() + LINGER;
    loop {
        if let Some(answer) = queue.answers.pop_front() {
            queue.handed_out += 1;
            return Some(answer);
        }
        let left = deadline.checked_duration_since(Instant::now())?;
        let woken = shared.bell.wait_timeout(queue, left);
        queue = woken.unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn send(writer: &mut TcpStream, body: &[u8], headers: &str) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    writer.write_all(head.as_bytes())?;
    writer.write_all(body)
}
