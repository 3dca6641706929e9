//! Happy Eyeballs (RFC 8305): which address of a host to try when. The first connection that is established wins.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::time::Clock;

/// The pause before the next address is tried (RFC 8305, section 5).
const STEP: Duration = Duration::from_millis(250);

/// The least pause that the RFC allows.
const LEAST_STEP: Duration = Duration::from_millis(10);

/// All addresses are tried within this time.
const ALL_WITHIN: Duration = Duration::from_secs(1);

/// Addresses of a host beyond these are not tried.
pub(super) const MOST_ADDRESSES: usize = 64;

/// An attempt to connect.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) address: SocketAddr,
    /// Why it failed; `None` while it runs.
    pub(super) failure: Option<io::Error>,
}

/// The order in which addresses are tried: IPv6 and IPv4 take turns, beginning with the family of the first, each family in the
/// order given (RFC 8305, section 4). Each address once, at most [`MOST_ADDRESSES`].
pub(super) fn in_turns(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let is_first_family = |address: &IpAddr| {
        addresses
            .first()
            .is_some_and(|first| first.is_ipv6() == address.is_ipv6())
    };
    let mut unique: Vec<IpAddr> = Vec::new();
    for address in addresses {
        if !unique.contains(address) && unique.len() < MOST_ADDRESSES {
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

/// The pause between two addresses of so many: 250 ms, or less where all would not be tried within a second.
pub(super) fn step(count: usize) -> Duration {
    let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    (ALL_WITHIN / count).clamp(LEAST_STEP, STEP)
}

/// Connects to one address after the other, the next one as soon as one has failed or the pause is over, until the first
/// connection is established; the others are dropped. `None` when all have failed. `attempts` says what has become of each, also
/// if the future is dropped before its end.
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
    let pause = step(addresses.len());
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
            () = clock.sleep(pause), if !is_last => continue,
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
    fn families_take_turns() {
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
            assert_eq!(in_turns(&parse(addresses)), parse(expected));
        }
    }

    proptest! {
        #[test]
        fn every_address_is_tried_once_and_within_a_second(
            addresses in prop::collection::vec(any::<IpAddr>(), 0..100)
        ) {
            let order = in_turns(&addresses);
            prop_assert!(order.len() <= MOST_ADDRESSES);
            for (index, address) in order.iter().enumerate() {
                prop_assert!(addresses.contains(address));
                prop_assert!(!order[..index].contains(address));
            }
            let distinct: std::collections::HashSet<_> = addresses.iter().collect();
            prop_assert_eq!(order.len(), distinct.len().min(MOST_ADDRESSES));
            let last = u32::try_from(order.len().saturating_sub(1)).unwrap();
            prop_assert!(step(order.len()) * last <= ALL_WITHIN);
            prop_assert!(step(order.len()) <= STEP && step(order.len()) >= LEAST_STEP);
        }
    }

    /// What an address does in a test.
    #[derive(Clone, Copy, PartialEq)]
    enum Does {
        Hang,
        Fail,
        ConnectAfter(u64),
    }
    use Does::{ConnectAfter, Fail, Hang};

    /// Plays a race: when each address was tried, in milliseconds, and the index of the winner with its time. The clock moves by
    /// 10 ms at a time, for 5 s.
    fn play(plan: &[Does]) -> (Vec<u64>, Option<(usize, u64)>) {
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
    fn a_black_hole_costs_a_quarter_of_a_second_and_a_refusal_nothing() {
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
            assert_eq!(play(plan), (tried.to_vec(), won));
        }
    }
}
