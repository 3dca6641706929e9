//! Attacks by clients: many requests, slow reading, wrong passwords.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::environment::{Directory, Environment, ask, get};
use crate::{Failure, Scale};

/// The address of the client that must be served during the attacks.
const OTHER_CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);

/// The name and the password of the only user.
const USER: (&str, &str) = ("prometheus", "correct");

/// The number of attackers. Requests come from their addresses in turn.
const ATTACKERS: usize = 8;

fn attacker(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 2, 1 + (number % ATTACKERS) as u8)
}

/// How long slow clients read.
fn lasts(environment: &Environment) -> Duration {
    match environment.scale {
        Scale::Short => Duration::from_secs(3),
        Scale::Full => Duration::from_secs(20),
    }
}

/// A request of an attacker: path and headers.
type Request = (String, &'static str);

/// Opens connections and reads some bytes of each, ten times a second. A connection that is cut is replaced, with the next request.
/// `meanwhile` is called every second.
fn read_slowly(
    environment: &Environment,
    count: usize,
    bytes: usize,
    request: impl Fn(usize) -> Request,
    mut meanwhile: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut asked = 0;
    let mut next = || -> Result<TcpStream, Failure> {
        let (path, headers) = request(asked);
        asked += 1;
        let stream = ask(attacker(asked), environment.address, &path, headers)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    let mut readers = Vec::new();
    for _ in 0..count {
        readers.push(next()?);
    }
    let mut piece = vec![0; bytes];
    let end = Instant::now() + lasts(environment);
    let mut due = Instant::now();
    while Instant::now() < end {
        for reader in &mut readers {
            match reader.read(&mut piece) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                _ => *reader = next()?,
            }
        }
        if Instant::now() >= due {
            due = Instant::now() + Duration::from_secs(1);
            meanwhile()?;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Scrapes as another client, compressed as Prometheus does.
fn is_served(environment: &Environment) -> Result<(), Failure> {
    let answer = get(
        OTHER_CLIENT,
        environment.address,
        "/metrics?format=prometheus",
        "Accept-Encoding: gzip\r\n",
    )?;
    match answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"\r\n0\r\n\r\n") {
        true => Ok(()),
        false => Err("a scrape of another client was not served".into()),
    }
}

fn gzip_shard(number: usize) -> Request {
    let format = ["prometheus", "openmetrics", "mixed"][number % 3];
    let total = 1 + number / 3 % 60;
    let shard = number / 7 % total;
    (
        format!("/metrics?format={format}&shard={shard}&total_shards={total}"),
        "Accept-Encoding: gzip\r\n",
    )
}

fn plain(number: usize) -> Request {
    let format = ["prometheus", "openmetrics", "mixed"][number % 3];
    (format!("/metrics?format={format}"), "")
}

/// Compressed scrapes of many shards and formats, read slowly.
///
/// # Errors
/// Another client is not served.
pub fn slow_gzip_shards(environment: &Environment) -> Result<(), Failure> {
    read_slowly(environment, 250, 6 * 1024, gzip_shard, || {
        is_served(environment)
    })
}

/// Plain scrapes, read slowly, while the whole fleet changes.
///
/// # Errors
/// Another client is not served.
pub fn slow_plain(environment: &Environment) -> Result<(), Failure> {
    read_slowly(environment, 270, 6 * 1024, plain, || {
        environment.report()?;
        is_served(environment)
    })
}

/// All kinds of requests at the same time, while the whole fleet changes.
///
/// # Errors
/// Another client is not served.
pub fn slow_and_different(environment: &Environment) -> Result<(), Failure> {
    let request = |number: usize| match number % 4 {
        0 => plain(number),
        1 => (
            "/api/v1/devices?per_page=1000".to_owned(),
            "Accept-Encoding: identity\r\n",
        ),
        _ => gzip_shard(number),
    };
    read_slowly(environment, 300, 30 * 1024, request, || {
        environment.report()?;
        is_served(environment)
    })
}

/// Long lists of the API, read slowly.
///
/// # Errors
/// Another client is not served.
pub fn slow_lists(environment: &Environment) -> Result<(), Failure> {
    let request = |number: usize| {
        let page = 1 + number % 10;
        (
            format!("/api/v1/devices?per_page=1000&page={page}"),
            "Accept-Encoding: identity\r\n",
        )
    };
    read_slowly(environment, 100, 6 * 1024, request, || {
        is_served(environment)
    })
}

/// Connections that stay open after a scrape.
///
/// # Errors
/// Another client is not served.
pub fn idle_after_scrape(environment: &Environment) -> Result<(), Failure> {
    let count = match environment.scale {
        Scale::Short => 300,
        Scale::Full => 2_000,
    };
    let mut idle = Vec::new();
    for number in 0..count {
        let mut stream = ask(attacker(number), environment.address, "/metrics", "")?;
        let mut answer = Vec::new();
        let mut piece = [0; 16 * 1024];
        while !answer.ends_with(b"\r\n0\r\n\r\n") {
            match stream.read(&mut piece)? {
                0 => return Err("a scrape was cut".into()),
                length => answer.extend_from_slice(&piece[..length]),
            }
            let kept = answer.len().saturating_sub(16);
            answer.drain(..kept);
        }
        idle.push(stream);
    }
    is_served(environment)
}

/// A web configuration with one user.
pub fn users(directory: &Directory) -> Vec<(String, String)> {
    let file = directory.path().join("web.yml");
    let (name, password) = USER;
    let hash = bcrypt::hash(password, 10).unwrap_or_default();
    let written = std::fs::write(&file, format!("basic_auth_users:\n  {name}: '{hash}'\n"));
    let path = file.to_string_lossy().into_owned();
    match written {
        Ok(()) => vec![("WEB_CONFIG_FILE".to_owned(), path)],
        Err(_) => Vec::new(),
    }
}

fn authorization(name: &str, password: &str) -> String {
    let pair = BASE64_STANDARD.encode(format!("{name}:{password}"));
    format!("Authorization: Basic {pair}\r\n")
}

/// Wrong passwords from 64 clients at a time, after a restart, so that the user's correct password is not cached yet.
///
/// # Errors
/// The user has to wait too long.
pub fn wrong_passwords(environment: &Environment) -> Result<(), Failure> {
    let is_over = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..64)
        .map(|number| {
            let (is_over, address) = (Arc::clone(&is_over), environment.address);
            std::thread::spawn(move || {
                let wrong = authorization("prometheus", &format!("wrong {number}"));
                while !is_over.load(Ordering::Relaxed) {
                    // The response is ignored.
                    let _ = get(attacker(number), address, "/metrics", &wrong);
                }
            })
        })
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    let asked = Instant::now();
    let right = authorization(USER.0, USER.1);
    let answer = get(OTHER_CLIENT, environment.address, "/metrics", &right);
    let took = asked.elapsed();
    is_over.store(true, Ordering::Relaxed);
    for thread in threads {
        // A panic of the thread was printed already.
        let _ = thread.join();
    }
    match answer?.starts_with(b"HTTP/1.1 200") && took < Duration::from_secs(5) {
        true => Ok(()),
        false => Err(format!("the user's request took {took:?} or failed").into()),
    }
}
