//! Happy Eyeballs (RFC 8305): connects to the addresses of a host one after the other; the first established connection is used.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::time::Clock;

/// The pause before the next address is tried (RFC 8305, section 5).
const PAUSE: Duration = Duration::from_millis(250);

/// The shortest pause that the RFC allows.
const MIN_PAUSE: Duration = Duration::from_millis(10);

/// All addresses are tried within this time.
const ALL_WITHIN: Duration = Duration::from_secs(1);

/// The most addresses of a host that are tried.
pub(super) const MAX_ADDRESSES: usize = 64;

/// An attempt to connect.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) address: SocketAddr,
    /// Why it failed; `None` while it is in progress.
    pub(super) failure: Option<io::Error>,
}

/// The order in which addresses are tried: IPv6 and IPv4 alternate, starting with the family of the first address, each family in
/// the given order (RFC 8305, section 4). Without duplicates, at most [`MAX_ADDRESSES`].
pub(super) fn interleave(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let is_first_family = |address: &IpAddr| {
        addresses
            .first()
            .is_some_and(|first| first.is_ipv6() == address.is_ipv6())
    };
    let mut unique: Vec<IpAddr> = Vec::new();
    for address in addresses {
        if !unique.contains(address) && unique.len() < MAX_ADDRESSES {
            unique.push(*address);
        }
    }
    let (first, second): (Vec<_>, Vec<_>) = unique.into_iter().partition(is_first_family);
    let longest = first.len().max(second.len());
    (0..longest)
        .flat_map(|index| [first.get(index), second.get(index)])
        .flatten()
        .copied()
        .collect()
}

/// The pause between attempts with `count` addresses: 250 ms, or less so that all are tried within a second.
pub(super) fn pause(count: usize) -> Duration {
    let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    (ALL_WITHIN / count).clamp(MIN_PAUSE, PAUSE)
}

/// Connects to the addresses in order: starts the next attempt when one has failed or the pause is over. Returns the first
/// established connection and drops the other attempts, or `None` if all have failed. `attempts` records each attempt and its
/// failure, also if the future is dropped before its end.
pub(super) async fn race<T, C, F>(
    addresses: &[SocketAddr],
    clock: &Clock,
    attempts: &mut Vec<Attempt>,
    connect: C,
) -> Option<T>
where
    C: Fn(SocketAddr) -> F,
    F: Future<Output = io::Result<T>>,
{
    let wait = pause(addresses.len());
    let mut running = FuturesUnordered::new();
    loop {
        let next = addresses.get(attempts.len()).copied();
        if let Some(address) = next {
            let (index, connecting) = (attempts.len(), connect(address));
            attempts.push(Attempt {
                address,
                failure: None,
            });
            running.push(async move { (index, connecting.await) });
        }
        let is_last = attempts.len() == addresses.len();
        let ended = tokio::select! {
            biased;
            ended = running.next() => ended,
            () = clock.sleep(wait), if !is_last => continue,
        };
        match ended {
            Some((_, Ok(connection))) => return Some(connection),
            Some((index, Err(failure))) => attempts[index].failure = Some(failure),
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::SystemTime;

    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;
    use crate::time::Moment;

    #[test]
    fn families_alternate() {
        for (addresses, expected) in [
            (&[][..], &[][..]),
            (&["192.0.2.1"], &["192.0.2.1"]),
            (
                &[
                    "2001:db8::1",
                    "2001:db8::2",
                    "192.0.2.1",
                    "192.0.2.2",
                    "192.0.2.3",
                ],
                &[
                    "2001:db8::1",
                    "192.0.2.1",
                    "2001:db8::2",
                    "192.0.2.2",
                    "192.0.2.3",
                ],
            ),
            (
                &["192.0.2.1", "192.0.2.2", "2001:db8::1"],
                &["192.0.2.1", "2001:db8::1", "192.0.2.2"],
            ),
            (&["192.0.2.1", "192.0.2.1", "::1"], &["192.0.2.1", "::1"]),
        ] {
            let parse = |texts: &[&str]| -> Vec<IpAddr> {
                texts.iter().map(|text| text.parse().unwrap()).collect()
            };
            assert_eq!(interleave(&parse(addresses)), parse(expected));
        }
    }

    proptest! {
        #[test]
        fn every_address_is_tried_once_and_within_a_second(
            addresses in prop::collection::vec(any::<IpAddr>(), 0..100)
        ) {
            let order = interleave(&addresses);
            prop_assert!(order.len() <= MAX_ADDRESSES);
            for (index, address) in order.iter().enumerate() {
                prop_assert!(addresses.contains(address));
                prop_assert!(!order[..index].contains(address));
            }
            let distinct: std::collections::HashSet<_> = addresses.iter().collect();
            prop_assert_eq!(order.len(), distinct.len().min(MAX_ADDRESSES));
            let last = u32::try_from(order.len().saturating_sub(1)).unwrap();
            prop_assert!(pause(order.len()) * last <= ALL_WITHIN);
            prop_assert!(pause(order.len()) <= PAUSE && pause(order.len()) >= MIN_PAUSE);
        }
    }

    /// The behaviour of an address in a test.
    #[derive(Clone, Copy, PartialEq)]
    enum Behaviour {
        Hang,
        Fail,
        ConnectAfter(u64),
    }
    use Behaviour::{ConnectAfter, Fail, Hang};

    /// Runs a race with a manual clock, in steps of 10 ms for 5 s. Returns when each address was tried, in milliseconds, and the index
    /// and the time of the connection.
    fn simulate(plan: &[Behaviour]) -> (Vec<u64>, Option<(usize, u64)>) {
        let (clock, hands) = Clock::manual(SystemTime::UNIX_EPOCH);
        let tried = RefCell::new(Vec::new());
        let addresses: Vec<SocketAddr> = (0..plan.len())
            .map(|index| SocketAddr::from(([192, 0, 2, 1], u16::try_from(index).unwrap())))
            .collect();
        let connect = |address: SocketAddr| {
            let index = usize::from(address.port());
            tried.borrow_mut().push(clock.now().millis());
            let clock = clock.clone();
            async move {
                match plan[index] {
                    Hang => std::future::pending().await,
                    Fail => Err(io::ErrorKind::ConnectionRefused.into()),
                    ConnectAfter(millis) => {
                        clock.sleep(Duration::from_millis(millis)).await;
                        Ok(index)
                    }
                }
            }
        };
        let mut attempts = Vec::new();
        let mut won = None;
        {
            let mut race = Box::pin(race(&addresses, &clock, &mut attempts, connect));
            while clock.now() <= Moment::from_millis(5000) {
                if let Some(winner) = (&mut race).now_or_never() {
                    won = winner.map(|index| (index, clock.now().millis()));
                    break;
                }
                hands.advance(Duration::from_millis(10));
            }
        }
        for (attempt, does) in attempts.iter().zip(plan) {
            assert_eq!(attempt.failure.is_some(), *does == Fail);
        }
        (tried.into_inner(), won)
    }

    #[test]
    fn the_next_address_is_tried_after_a_pause_or_a_failure() {
        for (plan, tried, won) in [
            (&[ConnectAfter(20), Hang][..], &[0][..], Some((0, 20))),
            (&[Hang, ConnectAfter(20)], &[0, 250], Some((1, 270))),
            (&[Fail, ConnectAfter(20)], &[0, 0], Some((1, 20))),
            (
                &[Hang, Fail, ConnectAfter(0)],
                &[0, 250, 250],
                Some((2, 250)),
            ),
            // The first may still win after the second was tried.
            (&[ConnectAfter(300), Hang], &[0, 250], Some((0, 300))),
            (
                &[Hang, Hang, Hang, ConnectAfter(0)],
                &[0, 250, 500, 750],
                Some((3, 750)),
            ),
            (&[Fail, Fail], &[0, 0], None),
            (&[Hang, Fail], &[0, 250], None),
            (&[], &[], None),
        ] {
            assert_eq!(simulate(plan), (tried.to_vec(), won));
        }
    }
}
