//! Host names to addresses. Each look-up runs on a thread of its own, so that a name server that does not answer delays only
//! those who wait for that name.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::time::{Clock, Moment};

/// How long an answer is kept that came after its asker had stopped waiting.
const KEPT: Duration = Duration::from_secs(60);

/// How the operating system begins the texts of these errors; which name it was is said by [`ConnectError`](super::ConnectError).
const SYSTEM_PREFIX: &str = "failed to lookup address information: ";

/// The addresses of a name, or why there are none, in words.
type Answer = Result<Vec<IpAddr>, String>;

/// Asks the operating system; blocks.
type Ask = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Looks names up. Clones share the look-ups that are under way: at most one per name, so that threads do not pile up while a name
/// server does not answer.
#[derive(Clone)]
pub struct Resolver {
    ask: Arc<Ask>,
    lookups: Arc<Mutex<HashMap<String, Lookup>>>,
}

/// A look-up that is under way, or whose answer nothing has taken yet.
#[derive(Clone)]
struct Lookup {
    answer: watch::Receiver<Option<(Moment, Answer)>>,
}

impl Resolver {
    /// Asks the operating system: `/etc/hosts`, then DNS, as it is configured to.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|host| {
            let addresses = (host, 0).to_socket_addrs()?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }

    /// Asks this function instead, which may block.
    #[must_use]
    pub fn new(ask: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self {
            ask: Arc::new(ask),
            lookups: Arc::default(),
        }
    }

    /// The addresses of a host, in the order in which the operating system prefers them; of an address, that one. An answer that
    /// comes after the future was dropped is kept for [`KEPT`], for whoever asks next: a name that takes longer than any one
    /// attempt waits is found all the same.
    ///
    /// # Errors
    /// What the operating system says, in words.
    pub(super) async fn lookup(&self, host: &str, clock: &Clock) -> Answer {
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Ok(vec![address]);
        }
        let mut answer = self.start(host, clock)?.answer;
        let (_, found) = match answer.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone(),
            Err(_) => None,
        }
        .ok_or("the look-up ended without an answer")?;
        self.forget(host);
        found
    }

    /// Joins the look-up that is under way, takes an answer that was kept, or starts a look-up.
    fn start(&self, host: &str, clock: &Clock) -> Result<Lookup, String> {
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = lookups.get(host)
            && lookup.is_usable(clock.now())
        {
            return Ok(lookup.clone());
        }
        let (sender, answer) = watch::channel(None);
        let (ask, name, clock) = (Arc::clone(&self.ask), host.to_owned(), clock.clone());
        let run = move || {
            let answer = ask(&name).map_err(|error| in_words(&error));
            sender.send_replace(Some((clock.now(), answer)));
        };
        let thread = std::thread::Builder::new().name("resolver".to_owned());
        let started = thread.spawn(run);
        started.map_err(|error| format!("no thread can be started for it: {error}"))?;
        let lookup = Lookup { answer };
        lookups.insert(host.to_owned(), lookup.clone());
        Ok(lookup)
    }

    fn forget(&self, host: &str) {
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        // A look-up that another asker has started meanwhile stays.
        if lookups.get(host).is_some_and(Lookup::has_ended) {
            lookups.remove(host);
        }
    }
}

impl Lookup {
    fn is_usable(&self, now: Moment) -> bool {
        match &*self.answer.borrow() {
            Some((answered_at, _)) => now.since(*answered_at) < KEPT,
            // A thread that panicked never answers.
            None => self.answer.has_changed().is_ok(),
        }
    }

    fn has_ended(&self) -> bool {
        self.answer.borrow().is_some() || self.answer.has_changed().is_err()
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

fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix(SYSTEM_PREFIX).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::SystemTime;

    use futures_util::FutureExt;
    use futures_util::future::join;

    use super::*;

    const FOUND: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    /// A resolver whose look-ups end when the sender says so, and how many there were.
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
    fn an_address_is_its_own_answer_and_the_rest_is_said_in_words() {
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
    fn a_look_up_that_hangs_holds_one_thread_and_no_other_name() {
        let (resolver, release, count) = held();
        let clock = Clock::system();
        run(async {
            for _ in 0..10 {
                // Every asker gives up.
                assert!(
                    resolver
                        .lookup("slow.example", &clock)
                        .now_or_never()
                        .is_none()
                );
            }
            let quick = Resolver {
                ask: Arc::new(|_| Ok(vec![FOUND])),
                lookups: Arc::clone(&resolver.lookups),
            };
            assert_eq!(quick.lookup("other.example", &clock).await, Ok(vec![FOUND]));
            // Two more ask and wait: all share the look-up that the first one began.
            let both = join(
                resolver.lookup("slow.example", &clock),
                resolver.lookup("slow.example", &clock),
            );
            release.send(()).unwrap();
            assert_eq!(both.await, (Ok(vec![FOUND]), Ok(vec![FOUND])));
            assert_eq!(count.load(Ordering::Relaxed), 1);
            assert!(resolver.lookups.lock().unwrap().is_empty());
        });
    }

    #[test]
    fn an_answer_that_comes_too_late_serves_the_next_asker_for_a_while() {
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
                let mut answer = resolver.lookups.lock().unwrap()["slow.example"]
                    .answer
                    .clone();
                release.send(()).unwrap();
                answer.wait_for(Option::is_some).await.unwrap();
                hands.advance(Duration::from_secs(later));
                release.send(()).unwrap();
                let found = resolver.lookup("slow.example", &clock).await;
                assert_eq!(found, Ok(vec![FOUND]));
                assert_eq!(count.load(Ordering::Relaxed), expected);
            });
        }
    }

    #[test]
    fn a_look_up_that_panics_is_an_error_and_the_next_one_starts_anew() {
        let count = AtomicUsize::new(0);
        let resolver = Resolver::new(move |_| match count.fetch_add(1, Ordering::Relaxed) {
            0 => panic!("a fault of the resolver"),
            _ => Ok(vec![FOUND]),
        });
        let clock = Clock::system();
        let first = run(resolver.lookup("a.example", &clock));
        assert!(first.unwrap_err().contains("without an answer"));
        let second = run(resolver.lookup("a.example", &clock));
        assert_eq!(second, Ok(vec![FOUND]));
    }
}
