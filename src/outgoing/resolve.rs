//! Resolves host names. Each look-up runs on its own thread, so that a name server that does not respond delays only the
//! connections to that name.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::time::{Clock, Moment};

/// How long a result is kept if it arrived after the callers had stopped waiting.
const KEPT: Duration = Duration::from_secs(60);

/// The prefix of the standard library's error texts. It is removed, because [`ConnectError`](super::ConnectError) names the host.
const SYSTEM_PREFIX: &str = "failed to lookup address information: ";

/// The addresses of a name, or the text of the error.
type Resolved = Result<Vec<IpAddr>, String>;

/// Resolves a name; blocks.
type ResolveFn = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Resolves names. Clones share the look-ups in progress: there is at most one for each name, so that threads do not accumulate
/// while a name server does not respond.
#[derive(Clone)]
pub struct Resolver {
    resolve: Arc<ResolveFn>,
    lookups: Arc<Mutex<HashMap<String, Lookup>>>,
}

/// A look-up in progress, or one whose result has not been used yet.
#[derive(Clone)]
struct Lookup {
    result: watch::Receiver<Option<(Moment, Resolved)>>,
}

impl Resolver {
    /// Resolves names by the operating system: `/etc/hosts`, then DNS, as configured.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|host| {
            let addresses = (host, 0).to_socket_addrs()?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }

    /// Resolves names by a function, which may block.
    #[must_use]
    pub fn new(resolve: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self {
            resolve: Arc::new(resolve),
            lookups: Arc::default(),
        }
    }

    /// The addresses of a host, in the order of the operating system; an address is returned as it is. A result that arrives after the
    /// future was dropped is kept for [`KEPT`] and used by the next call, so that a name is resolved even if that always takes longer
    /// than a caller waits.
    ///
    /// # Errors
    /// The error text of the operating system.
    pub(super) async fn lookup(&self, host: &str, clock: &Clock) -> Resolved {
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Ok(vec![address]);
        }
        let mut result = self.start(host, clock)?.result;
        let (_, found) = match result.wait_for(Option::is_some).await {
            Ok(found) => found.clone(),
            Err(_) => None,
        }
        .ok_or("the look-up ended without a result")?;
        self.forget(host);
        found
    }

    /// Joins the look-up in progress, uses a kept result, or starts a look-up.
    fn start(&self, host: &str, clock: &Clock) -> Result<Lookup, String> {
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = lookups.get(host)
            && lookup.is_usable(clock.now())
        {
            return Ok(lookup.clone());
        }
        let (sender, result) = watch::channel(None);
        let (resolve, name, clock) = (Arc::clone(&self.resolve), host.to_owned(), clock.clone());
        let run = move || {
            let resolved = resolve(&name).map_err(|error| without_prefix(&error));
            sender.send_replace(Some((clock.now(), resolved)));
        };
        let thread = std::thread::Builder::new().name("resolver".to_owned());
        let started = thread.spawn(run);
        started.map_err(|error| format!("no thread can be started for it: {error}"))?;
        let lookup = Lookup { result };
        lookups.insert(host.to_owned(), lookup.clone());
        Ok(lookup)
    }

    fn forget(&self, host: &str) {
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        // Another caller may have started a new look-up meanwhile; that one stays.
        if lookups.get(host).is_some_and(Lookup::has_ended) {
            lookups.remove(host);
        }
    }
}

impl Lookup {
    fn is_usable(&self, now: Moment) -> bool {
        match &*self.result.borrow() {
            Some((resolved_at, _)) => now.since(*resolved_at) < KEPT,
            // The sender is dropped without a result if the thread panicked.
            None => self.result.has_changed().is_ok(),
        }
    }

    fn has_ended(&self) -> bool {
        self.result.borrow().is_some() || self.result.has_changed().is_err()
    }
}

impl Default for Resolver {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Resolver").finish_non_exhaustive()
    }
}

fn without_prefix(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix(SYSTEM_PREFIX).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::SystemTime;

    use futures_util::FutureExt;
    use futures_util::future::join;

    use super::*;

    const FOUND: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    /// A resolver whose look-ups end when the test sends a message, and the number of look-ups.
    fn held() -> (Resolver, mpsc::Sender<()>, Arc<AtomicUsize>) {
        let (release, held) = mpsc::channel();
        let (held, count) = (Mutex::new(held), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&count);
        let resolver = Resolver::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            held.lock().unwrap().recv().unwrap();
            Ok(vec![FOUND])
        });
        (resolver, release, count)
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        actix_rt::System::new().block_on(future)
    }

    #[test]
    fn an_address_resolves_to_itself_and_a_failure_has_a_text() {
        let resolver = Resolver::new(|host| match host {
            "known.example" => Ok(vec![FOUND]),
            _ => Err(io::Error::other(format!("{SYSTEM_PREFIX}Name unknown"))),
        });
        let clock = Clock::system();
        for (host, expected) in [
            ("203.0.113.9", Ok("203.0.113.9")),
            ("[2001:db8::9]", Ok("2001:db8::9")),
            ("known.example", Ok("192.0.2.7")),
            ("unknown.example", Err("Name unknown")),
        ] {
            let found = run(resolver.lookup(host, &clock));
            let found = found.map(|found| found.iter().map(ToString::to_string).collect());
            let expected = expected.map(|address| vec![address.to_owned()]);
            assert_eq!(found, expected.map_err(str::to_owned), "{host}");
        }
    }

    #[test]
    fn a_hanging_look_up_holds_one_thread_and_delays_no_other_name() {
        let (resolver, release, count) = held();
        let clock = Clock::system();
        run(async {
            for _ in 0..10 {
                // Every caller gives up.
                assert!(
                    resolver
                        .lookup("slow.example", &clock)
                        .now_or_never()
                        .is_none()
                );
            }
            let quick = Resolver {
                resolve: Arc::new(|_| Ok(vec![FOUND])),
                lookups: Arc::clone(&resolver.lookups),
            };
            assert_eq!(quick.lookup("other.example", &clock).await, Ok(vec![FOUND]));
            // Two more callers wait: all share the look-up that the first one started.
            let mut both = pin!(join(
                resolver.lookup("slow.example", &clock),
                resolver.lookup("slow.example", &clock),
            ));
            // Both wait before the result comes: the first that takes it ends the look-up.
            assert!(both.as_mut().now_or_never().is_none());
            release.send(()).unwrap();
            assert_eq!(both.await, (Ok(vec![FOUND]), Ok(vec![FOUND])));
            assert_eq!(count.load(Ordering::Relaxed), 1);
            assert!(resolver.lookups.lock().unwrap().is_empty());
        });
    }

    #[test]
    fn a_late_result_is_kept_for_the_next_call() {
        for (later, expected) in [(59, 1), (60, 2)] {
            let (resolver, release, count) = held();
            let (clock, hands) = Clock::manual(SystemTime::UNIX_EPOCH);
            run(async {
                assert!(
                    resolver
                        .lookup("slow.example", &clock)
                        .now_or_never()
                        .is_none()
                );
                let mut result = resolver.lookups.lock().unwrap()["slow.example"]
                    .result
                    .clone();
                release.send(()).unwrap();
                result.wait_for(Option::is_some).await.unwrap();
                hands.advance(Duration::from_secs(later));
                release.send(()).unwrap();
                let found = resolver.lookup("slow.example", &clock).await;
                assert_eq!(found, Ok(vec![FOUND]));
                assert_eq!(count.load(Ordering::Relaxed), expected);
            });
        }
    }

    #[test]
    fn a_panicking_look_up_is_an_error_and_the_next_one_starts_again() {
        let count = AtomicUsize::new(0);
        let resolver = Resolver::new(move |_| match count.fetch_add(1, Ordering::Relaxed) {
            0 => panic!("a fault of the resolver"),
            _ => Ok(vec![FOUND]),
        });
        let clock = Clock::system();
        let first = run(resolver.lookup("a.example", &clock));
        assert!(first.unwrap_err().contains("without a result"));
        let second = run(resolver.lookup("a.example", &clock));
        assert_eq!(second, Ok(vec![FOUND]));
    }
}
