//! What follows from refusals of a receiver, and from a clock that is not known yet.

use super::*;

/// A receiver that takes at most so many samples in a request.
fn taking(most: usize) -> Receiver {
    Receiver::answering(move |request| match series(request).len() > most {
        true => vec![answer(413, "", "too large")],
        false => vec![stored()],
    })
}

/// The name and labels of all series.
fn keys<'r>(requests: impl IntoIterator<Item = &'r Received>) -> Vec<String> {
    let all = requests.into_iter().flat_map(series);
    all.map(|series| format!("{:?}", series.labels)).collect()
}

#[actix_rt::test]
async fn a_set_that_is_too_large_is_sent_in_parts() {
    let whole = World::new(vec![vec![stored()]], |_| {});
    let whole: BTreeSet<_> = keys(&whole.requests(2).await).into_iter().collect();
    let world = World::without_time(taking(30), |destination| {
        destination.max_samples_per_send = 100;
    });
    world.gets_time();
    let is_taken = |request: &&Received| series(request).len() <= 30;
    let of_set = |time: i64| {
        let mut all = world.receiver.received();
        all.retain(|request| times(request) == [time].into());
        all
    };
    let taken = || keys(of_set(START).iter().filter(is_taken));
    eventually(|| taken().len() >= whole.len()).await;
    world.settled().await;
    let taken = taken();
    assert_eq!(taken.len(), whole.len(), "each sample is stored once");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), whole);
    // The requests of the next set are larger again.
    world.time.advance(Duration::from_secs(15));
    let next = START + 15_000;
    eventually(|| of_set(next).iter().filter(is_taken).count() >= 2).await;
    assert!(!of_set(next).iter().all(|request| is_taken(&request)));
    assert!(world.destination.own_sets_dropped.value() < 1.0);
}

#[actix_rt::test]
async fn the_first_set_waits_for_the_clock_but_not_for_long() {
    for has_response in [true, false] {
        let world = World::without_time(Receiver::start(vec![vec![stored()]]), |_| {});
        for _ in 0..29 {
            assert_eq!(world.settled().await.len(), 0);
            world.time.advance(Duration::from_secs(1));
        }
        assert_eq!(world.settled().await.len(), 0);
        if has_response {
            world.gets_time();
        }
        assert_eq!(world.settled().await.len(), 0);
        world.time.advance(Duration::from_secs(1));
        world.requests(2).await;
    }
}

#[actix_rt::test]
async fn a_receiver_that_asks_for_no_wait_is_not_asked_in_a_loop() {
    let now = answer(503, "Retry-After: 0\r\n", "");
    let world = World::new(vec![vec![now]], |_| {});
    for many in [2, 4] {
        world.requests(many).await;
        assert_eq!(world.settled().await.len(), many);
        world.time.advance(Duration::from_secs(1));
    }
    world.requests(6).await;
}

#[actix_rt::test]
async fn nothing_is_sent_for_a_minute_while_a_person_must_change_something() {
    for refusal in [401, 403, 404, 307] {
        let world = World::new(vec![vec![answer(refusal, "", "")]], |_| {});
        world.has_dropped(2.0).await;
        let many = world.settled().await.len();
        assert!((1..=2).contains(&many), "{many}");
        for dropped in [3.0, 4.0, 5.0] {
            world.time.advance(Duration::from_secs(15));
            world.has_dropped(dropped).await;
        }
        assert_eq!(world.settled().await.len(), many);
        world.receiver.now(vec![stored()]);
        world.time.advance(Duration::from_secs(15));
        world.requests(many + 2).await;
        world.settled().await;
        assert_eq!(world.destination.own_sets_dropped.value(), 5.0);
    }
}

#[actix_rt::test]
async fn a_bad_series_is_left_out_and_all_others_are_stored() {
    for (protocol, later_sets_dropped) in [(ProtocolChoice::V1, 0.0), (ProtocolChoice::V2, 1.0)] {
        let is_bad = |series: &Series| label(series, "__name__") == "starlink_exporter_build_info";
        let receiver =
            Receiver::answering(move |request| match series(request).iter().any(is_bad) {
                true => vec![answer(400, "", "bad label")],
                false => vec![stored()],
            });
        let world = World::without_time(receiver, |destination| destination.protocol = protocol);
        world.gets_time();
        world.has_dropped(1.0).await;
        let first = world.settled().await;
        assert!(first.len() <= 33, "{}", first.len());
        world.time.advance(Duration::from_secs(15));
        world.requests(first.len() + 1).await;
        world.has_dropped(1.0 + later_sets_dropped).await;
        let next = world.settled().await.split_off(first.len());
        let all_at = |requests: &[Received], time| -> BTreeSet<String> {
            let stored = requests.iter().filter(|request| {
                protocol == ProtocolChoice::V2 || !series(request).iter().any(is_bad)
            });
            let stored = stored.filter(|request| times(request) == [time].into());
            stored
                .flat_map(series)
                .map(|series| format!("{:?}", series.labels))
                .collect()
        };
        // Both sets were sent at first.
        assert!(all_at(&first, START).is_superset(&all_at(&next, START + 15_000)));
        assert_eq!(next.len(), 1);
        let dropped = world.destination.own_sets_dropped.value();
        assert_eq!(dropped, 1.0 + later_sets_dropped, "{protocol:?}");
    }
}

#[actix_rt::test]
async fn series_that_vanish_after_a_set_that_was_sent_in_part_get_markers() {
    let is_gone = |series: &Series| {
        label(series, "account") == "b" && label(series, "device_type").is_empty()
    };
    // Nothing is stored after the first request with such series.
    let mut is_refusing = false;
    let receiver = Receiver::answering(move |request| {
        let refuses = is_refusing;
        is_refusing |= series(request).iter().any(is_gone);
        match refuses {
            true => vec![answer(202, "", "")],
            false => vec![stored()],
        }
    });
    let world = World::without_time(receiver, |destination| {
        destination.max_samples_per_send = 10;
    });
    world.gets_time();
    world.has_dropped(1.0).await;
    let first = world.settled().await;
    let all = first.iter().map(|request| {
        let series = series(request).into_iter();
        series.filter(is_gone).collect::<Vec<_>>()
    });
    let gone = all.into_iter().find(|gone| !gone.is_empty()).unwrap();
    let accounts = world.accounts.all();
    let rest = accounts.iter().take(1).cloned().collect();
    world.accounts.replace(rest);
    world.receiver.now(vec![stored()]);
    world.time.advance(Duration::from_secs(15));
    let have_ended = || {
        let next = world.receiver.received().split_off(first.len());
        let ended: Vec<_> = next.iter().flat_map(series).filter(is_stale).collect();
        gone.iter()
            .all(|gone| ended.iter().any(|ended| ended.labels == gone.labels))
    };
    eventually(have_ended).await;
}
