//! Tests of fairness: which client is served next, and the limits of each.

use std::pin::Pin;

use futures_util::FutureExt;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn client(number: u8) -> Client {
    IpAddr::from([192, 0, 2, number]).into()
}

const PLENTY: Limits = Limits {
    units: 8,
    units_each: 2,
    waiting: 100,
    waiting_each: 100,
};

/// Only one client at a time can hold units.
const ONE: Limits = Limits {
    units: 1,
    units_each: 1,
    ..PLENTY
};

type Request<'a> = Pin<Box<dyn Future<Output = Result<Share, QueueFull>> + 'a>>;

/// A request for one unit.
fn take(shares: &Shares, number: u8, rank: Rank) -> Request<'_> {
    Box::pin(shares.take(client(number), 1, rank))
}

/// A request for one unit that waits in the queue.
fn wait(shares: &Shares, number: u8, rank: Rank) -> Request<'_> {
    let mut request = take(shares, number, rank);
    assert!((&mut request).now_or_never().is_none(), "client {number}");
    request
}

#[test]
fn clients_are_addresses_or_networks() {
    for (one, other, is_same) in [
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
    ] {
        let of = |text: &str| Client::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(of(one) == of(other), is_same, "{one} {other}");
    }
}

#[test]
fn a_quarter_is_at_least_one() {
    let quarters = [0, 1, 2, 4, 5, 8, 16, 256].map(quarter);
    assert_eq!(quarters, [0, 1, 1, 1, 2, 2, 4, 64]);
}

#[test]
fn each_client_gets_its_share() {
    let shares = Shares::new(PLENTY);
    let now = |number| take(&shares, number, Rank::First).now_or_never();
    let held: Vec<_> = (0..2).map(|_| now(1).unwrap()).collect();
    assert!(shares.is_client_full(client(1), 1));
    let third = wait(&shares, 1, Rank::First);
    for number in 2..5 {
        assert!(now(number).unwrap().is_ok(), "{number}");
    }
    drop(held);
    assert!(third.now_or_never().unwrap().is_ok());
    assert_eq!(shares.free(), 8);
    assert!(shares.lock().clients.is_empty() && shares.lock().queue.is_empty());
}

#[test]
fn clients_take_turns_and_ranks_order_their_own_requests() {
    let shares = Shares::new(ONE);
    let held = shares.try_take(client(9), 1).unwrap();
    let requests = [
        (1, Rank::Last),
        (1, Rank::Last),
        (1, Rank::First),
        (2, Rank::Last),
        (3, Rank::First),
    ];
    let mut waiting: Vec<_> = requests
        .iter()
        .map(|&(number, rank)| Some(wait(&shares, number, rank)))
        .collect();
    let mut order = Vec::new();
    let mut last = Some(held);
    while order.len() < requests.len() {
        drop(last.take());
        let served = waiting.iter_mut().position(|request| {
            let share = request.as_mut().and_then(FutureExt::now_or_never);
            last = share.map(Result::unwrap);
            last.is_some()
        });
        let served = served.unwrap();
        waiting[served] = None;
        order.push(served);
    }
    assert_eq!(order, [2, 3, 4, 0, 1]);
}

#[test]
fn clients_with_one_request_at_a_time_do_not_overtake_one_that_waits() {
    let shares = Shares::new(ONE);
    let mut held = shares.try_take(client(1), 1);
    let mut others = [2, 3].map(|number| wait(&shares, number, Rank::First));
    let mut user = wait(&shares, 9, Rank::Last);
    let mut served = Vec::new();
    loop {
        drop(held.take());
        if let Some(&place) = served.last() {
            others[place] = wait(&shares, [2, 3][place], Rank::First);
        }
        if (&mut user).now_or_never().is_some() {
            break;
        }
        assert!(served.len() < others.len(), "passed by {served:?}");
        let place = others.iter_mut().position(|request| {
            held = request.now_or_never().map(Result::unwrap);
            held.is_some()
        });
        served.push(place.unwrap());
    }
    assert_eq!(served, [0, 1]);
}

#[test]
fn queues_are_bounded_and_a_better_rank_displaces_a_worse_one() {
    let shares = Shares::new(Limits {
        waiting: 3,
        waiting_each: 2,
        ..ONE
    });
    let held = shares.try_take(client(9), 1).unwrap();
    let is_refused =
        |request: Request<'_>| request.now_or_never().unwrap().err() == Some(QueueFull);
    let older = wait(&shares, 1, Rank::Last);
    let younger = wait(&shares, 1, Rank::Last);
    assert!(is_refused(take(&shares, 1, Rank::Last)));
    let better = wait(&shares, 1, Rank::First);
    assert!(is_refused(younger));
    let _other = wait(&shares, 2, Rank::Last);
    assert!(is_refused(take(&shares, 2, Rank::First)));
    drop(older);
    // There is a place in the queue.
    drop(wait(&shares, 2, Rank::First));
    drop(held);
    assert!(better.now_or_never().unwrap().is_ok());
}

#[test]
fn some_units_stay_free_for_a_new_client() {
    for clients in [1, 2, 4, 8, 40] {
        let shares = Shares::new(Limits::quartered(224, 0));
        let held: Vec<_> = (0..1000)
            .filter_map(|number| shares.try_take(client(number_of(number, clients)), 1))
            .collect();
        assert!(held.len() <= 224 - shares.free(), "{clients}");
        assert!(shares.is_client_full(client(0), 1), "{clients}");
        assert!(!shares.is_client_full(client(99), 1), "{clients}");
        let others: Vec<_> = (0..3)
            .filter_map(|_| shares.try_take(client(99), 1))
            .collect();
        assert_eq!(others.len(), 3, "beside {clients} others");
    }
}

fn number_of(request: usize, clients: usize) -> u8 {
    u8::try_from(request % clients).unwrap()
}

#[test]
fn the_longest_queue_is_displaced_by_a_client_with_fewer_requests() {
    let shares = Shares::new(Limits {
        waiting: 4,
        waiting_each: 3,
        ..ONE
    });
    let held = shares.try_take(client(9), 1).unwrap();
    let clients = [1, 2, 2, 2].into_iter();
    let mut waiting: Vec<_> = clients
        .map(|number| wait(&shares, number, Rank::First))
        .collect();
    for (number, expected, displaced) in [
        // The second client has three waiting requests, then two. Then no client has more than one request more than another.
        (3, true, Some(3)),
        (1, false, None),
        (4, true, Some(2)),
        (5, false, None),
    ] {
        let mut request = take(&shares, number, Rank::First);
        let is_waiting = (&mut request).now_or_never().is_none();
        assert_eq!(is_waiting, expected, "{number}");
        if let Some(place) = displaced {
            let ended = (&mut waiting[place]).now_or_never();
            assert_eq!(ended.map(|share| share.err()), Some(Some(QueueFull)));
            waiting.push(request);
        }
    }
    drop(held);
}

#[test]
fn a_share_is_returned_after_a_panic() {
    let shares = Shares::new(PLENTY);
    let share = shares.try_take(client(1), 2);
    let panicked = std::thread::spawn(move || {
        let _held = share;
        panic!("the holder panics");
    });
    assert!(panicked.join().is_err());
    assert_eq!(shares.free(), PLENTY.units);
}

proptest! {
    #[test]
    fn the_number_of_units_is_constant(
        steps in vec((0..4_u8, 1..4_usize, any::<bool>(), any::<prop::sample::Index>()), 0..60),
    ) {
        let shares = Shares::new(PLENTY);
        let mut held = Vec::new();
        let mut waiting = Vec::new();
        for (number, units, gives_up, index) in steps {
            if gives_up && !held.is_empty() {
                held.remove(index.index(held.len()));
            } else if gives_up && !waiting.is_empty() {
                drop(waiting.remove(index.index(waiting.len())));
            } else {
                waiting.push(Box::pin(shares.take(client(number), units, Rank::First)));
            }
            waiting.retain_mut(|request| match request.now_or_never() {
                Some(share) => {
                    held.push(share.unwrap());
                    false
                }
                None => true,
            });
            let units: usize = held.iter().map(|share| share.units).sum();
            prop_assert_eq!(units + shares.free(), PLENTY.units);
            for number in 0..4 {
                let its = held.iter().filter(|share| share.client == client(number));
                prop_assert!(its.map(|share| share.units).sum::<usize>() <= PLENTY.units_each);
            }
        }
        drop((held, waiting));
        prop_assert_eq!(shares.free(), PLENTY.units);
        prop_assert!(shares.lock().clients.is_empty() && shares.lock().queue.is_empty());
    }

    #[test]
    fn a_client_waits_for_at_most_one_turn_of_each_other(
        steps in vec((0..5_u8, any::<bool>(), any::<bool>()), 0..200),
    ) {
        let shares = Shares::new(ONE);
        let mut holder = None;
        let mut waiting = Vec::new();
        // For each client, which others were served since it waits.
        let mut passed = [const { Vec::new() }; 5];
        for (number, is_first, gives_back) in steps {
            if gives_back {
                drop(holder.take());
            } else {
                if waiting.iter().all(|(other, _)| *other != number) {
                    passed[usize::from(number)].clear();
                }
                let rank = if is_first { Rank::First } else { Rank::Last };
                waiting.push((number, Box::pin(shares.take(client(number), 1, rank))));
            }
            let mut served = None;
            waiting.retain_mut(|(number, request)| match request.now_or_never() {
                Some(share) => {
                    holder = Some(share.unwrap());
                    served = Some(*number);
                    false
                }
                None => true,
            });
            let Some(served) = served else { continue };
            passed[usize::from(served)].clear();
            for (number, passed) in (0..).zip(&mut passed) {
                if number != served && waiting.iter().any(|(other, _)| *other == number) {
                    prop_assert!(!passed.contains(&served), "{served} before {number} again");
                    passed.push(served);
                }
            }
        }
    }
}
