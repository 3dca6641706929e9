//! A receiver for tests: answers requests over TCP as a script says, and remembers them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use url::Url;

/// What is done with a connection after a request was read.
#[derive(Debug, Clone)]
pub(in crate::recording) enum Step {
    Send(Vec<u8>),
    /// Sends a head that never ends, a byte every few milliseconds.
    Trickle,
    /// Waits until the client disconnects.
    Hang,
    /// Closes the connection.
    Close,
}

/// A request that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::recording) struct Received {
    pub(in crate::recording) head: String,
    pub(in crate::recording) body: Vec<u8>,
    /// The number of its connection.
    pub(in crate::recording) connection: usize,
}

impl Received {
    /// The value of a header, whose name is given in lower case.
    pub(in crate::recording) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Decides what is done after a request.
type Script = Box<dyn FnMut(&Received) -> Vec<Step> + Send>;

/// A receiver that listens until the process ends.
pub(in crate::recording) struct Receiver {
    pub(in crate::recording) url: Url,
    received: Arc<Mutex<Vec<Received>>>,
    script: Arc<Mutex<Script>>,
}

impl Receiver {
    /// The first request is answered by the first steps of the script, and so on; the last ones repeat.
    pub(in crate::recording) fn start(mut script: Vec<Vec<Step>>) -> Self {
        Self::answering(move |_| match script.len() {
            1 => script[0].clone(),
            _ => script.remove(0),
        })
    }

    /// Each request is answered by these steps.
    pub(in crate::recording) fn answering(
        script: impl FnMut(&Received) -> Vec<Step> + Send + 'static,
    ) -> Self {
        Self::listening(script, None)
    }

    /// Each request with TLS is answered by these steps.
    pub(in crate::recording) fn tls(config: ServerConfig, steps: Vec<Step>) -> Self {
        Self::listening(move |_| steps.clone(), Some(Arc::new(config)))
    }

    fn listening(
        script: impl FnMut(&Received) -> Vec<Step> + Send + 'static,
        tls: Option<Arc<ServerConfig>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let scheme = tls.as_ref().map_or("http", |_| "https");
        let address = listener.local_addr().unwrap();
        let url = format!("{scheme}://{address}/write?x=1");
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let (all, steps) = (Arc::clone(&received), Arc::clone(&script));
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (all, steps, tls) = (Arc::clone(&all), Arc::clone(&steps), tls.clone());
                thread::spawn(move || {
                    let stream = stream.unwrap();
                    // The client may disconnect at any time, which some tests provoke.
                    let _ = match tls {
                        None => serve(stream, connection, &all, &steps),
                        Some(tls) => {
                            let tls = ServerConnection::new(tls).unwrap();
                            serve(StreamOwned::new(tls, stream), connection, &all, &steps)
                        }
                    };
                });
            }
        });
        Self {
            url: url.parse().unwrap(),
            received,
            script,
        }
    }

    /// The requests so far.
    pub(in crate::recording) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Answers all further requests with these steps.
    pub(in crate::recording) fn now(&self, steps: Vec<Step>) {
        *self.script.lock().unwrap() = Box::new(move |_| steps.clone());
    }
}

fn serve(
    stream: impl Read + Write,
    connection: usize,
    all: &Mutex<Vec<Received>>,
    script: &Mutex<Script>,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader, connection)? {
        let steps = {
            let mut script = script.lock().unwrap();
            let steps = script(&request);
            all.lock().unwrap().push(request);
            steps
        };
        for step in steps {
            let stream = reader.get_mut();
            match step {
                Step::Send(bytes) => stream.write_all(&bytes)?,
                Step::Trickle => {
                    stream.write_all(b"HTTP/1.1 200 X\r\nX: ")?;
                    loop {
                        stream.write_all(b"x")?;
                        thread::sleep(Duration::from_millis(5));
                    }
                }
                Step::Hang => {
                    stream.read_to_end(&mut Vec::new())?;
                }
                Step::Close => return Ok(()),
            }
        }
    }
    Ok(())
}

fn read(reader: &mut BufReader<impl Read>, connection: usize) -> io::Result<Option<Received>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    let mut request = Received {
        head,
        body: Vec::new(),
        connection,
    };
    let length = request.header("content-length").unwrap_or("0");
    request.body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut request.body)?;
    Ok(Some(request))
}

/// An answer with these lines of headers.
pub(in crate::recording) fn answer(status: u16, headers: &str, body: &str) -> Step {
    let length = match status {
        204 => String::new(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    Step::Send(format!("HTTP/1.1 {status} X\r\n{length}{headers}\r\n{body}").into_bytes())
}

/// An answer of a receiver of 2.0.
pub(in crate::recording) fn stored() -> Step {
    answer(204, "X-Prometheus-Remote-Write-Samples-Written: 1\r\n", "")
}
