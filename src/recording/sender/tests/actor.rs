//! Tests of the RemoteWriteActor with a journal on disk and a receiver on loopback.

use std::collections::BTreeSet;
use std::time::Duration;

use super::receiver::{Received, Receiver, Step, answer, stored};
use super::world::{Sample, World, all, samples, version};
use crate::history::Protocol;
use crate::recording::messages::Finish;
use crate::recording::status::SenderState;
use crate::remote_write::{Hold, RowReason, SampleReason, Window};
use crate::supervise::faults::{Fault, Inject, Place};

fn set(samples: Vec<Sample>) -> BTreeSet<Sample> {
    samples.into_iter().collect()
}

/// The number of samples that were not stored for a reason.
fn failed(world: &World, reason: SampleReason) -> u64 {
    let mut failed = world.status.samples_failed();
    let failed = failed.find(|(known, _)| *known == reason);
    failed.unwrap().1.count()
}

fn has_ut5(request: &Received) -> bool {
    samples(request).iter().any(|(device, ..)| device == "ut5")
}

#[actix_rt::test]
async fn rows_are_sent_once_and_the_cursor_follows() {
    let receiver = Receiver::start(vec![vec![stored()]]);
    let mut world = World::new(&receiver, |_| {});
    for _ in 0..5 {
        world.offer(0..10, 0).await;
        world.time.advance(Duration::from_secs(1));
    }
    world
        .until("the rows are pending or sent", |world| {
            world.status.samples.count() > 0
        })
        .await;
    world.sent().await;
    let received = receiver.received();
    assert!(
        received
            .iter()
            .all(|request| version(request) == Protocol::V2)
    );
    let sent = all(&received);
    assert_eq!(sent.len(), 50);
    assert!(set(sent) == world.offered);
    assert_eq!(world.status.state(), SenderState::Sending);
    assert_eq!(world.status.protocol_version.value(), Some(2.0));
    assert_eq!(world.status.oldest_pending.value(), None);
    assert_eq!(world.status.requests()["204"], received.len() as u64);
    let bytes: usize = received.iter().map(|request| request.body.len()).sum();
    assert_eq!(world.status.bytes.count(), bytes as u64);
    // The next process begins where this one ended.
    let mut world = world.restart().await;
    world.offer(0..10, 0).await;
    world
        .until("it is sent", |_| all(&receiver.received()).len() >= 60)
        .await;
    world.sent().await;
    assert_eq!(all(&receiver.received()).len(), 60);
    assert!(set(all(&receiver.received())) == world.offered);
}

#[actix_rt::test]
async fn a_receiver_without_2_0_gets_1_0() {
    for refusal in [answer(415, "", ""), answer(204, "", "")] {
        let receiver = Receiver::start(vec![vec![refusal], vec![answer(204, "", "")]]);
        let mut world = World::new(&receiver, |_| {});
        world.offer(0..3, 0).await;
        world
            .until("it is sent", |_| receiver.received().len() >= 2)
            .await;
        world.sent().await;
        let received = receiver.received();
        assert_eq!(version(&received[0]), Protocol::V2);
        assert_eq!(version(&received[1]), Protocol::V1);
        assert_eq!(set(samples(&received[0])), set(samples(&received[1])));
        assert_eq!(received.len(), 2);
        world.offer(0..3, 0).await;
        world
            .until("it is sent", |_| receiver.received().len() >= 3)
            .await;
        world.sent().await;
        assert_eq!(version(&receiver.received()[2]), Protocol::V1);
        assert_eq!(world.status.protocol_version.value(), Some(1.0));
    }
}

#[actix_rt::test]
async fn a_request_is_repeated_identically_until_it_is_stored() {
    let receiver = Receiver::start(vec![
        vec![answer(503, "", "not now")],
        vec![Step::Close],
        vec![answer(429, "Retry-After: 2\r\n", "")],
        vec![Step::Hang],
        vec![stored()],
    ]);
    let mut world = World::new(&receiver, |destination| {
        destination.remote_timeout = Duration::from_secs(1);
    });
    world.offer(0..3, 0).await;
    world
        .until("it is sent", |_| receiver.received().len() >= 5)
        .await;
    world.sent().await;
    let received = receiver.received();
    assert_eq!(received.len(), 5);
    for (attempt, request) in received.iter().enumerate() {
        assert_eq!(request.body, received[0].body);
        let expected = (attempt > 0).then(|| attempt.to_string());
        assert_eq!(request.header("retry-attempt"), expected.as_deref());
    }
    let requests = world.status.requests();
    for (code, count) in [
        ("503", 1),
        ("error", 1),
        ("429", 1),
        ("timeout", 1),
        ("204", 1),
    ] {
        assert_eq!(requests[code], count, "{code}");
    }
    assert_eq!(world.status.retries.count(), 4);
    let error = world.status.last_error().unwrap();
    assert!(error.text.contains("no answer within"), "{}", error.text);
    assert_eq!(world.status.state(), SenderState::Sending);
}

#[actix_rt::test]
async fn a_bad_series_is_found_and_left_out() {
    let receiver = Receiver::answering(|request| match has_ut5(request) {
        true => vec![answer(400, "", "bad label")],
        false => vec![answer(204, "", "")],
    });
    let mut world = World::new(&receiver, |destination| {
        destination.protocol = crate::remote_write::ProtocolChoice::V1;
    });
    world.offer(0..20, 0).await;
    world
        .until("it is sent", |world| world.status.samples.count() > 0)
        .await;
    world.sent().await;
    assert_eq!(failed(&world, SampleReason::Rejected), 1);
    let count = receiver.received().len();
    assert!(count <= 33, "{count}");
    world.time.advance(Duration::from_secs(1));
    world.offer(0..20, 0).await;
    world
        .until("it is sent", |_| receiver.received().len() > count)
        .await;
    world.sent().await;
    assert_eq!(failed(&world, SampleReason::Quarantined), 1);
    assert_eq!(receiver.received().len(), count + 1);
    // After an hour it is tried again.
    world.time.advance(Duration::from_secs(3600));
    world.offer(0..20, 0).await;
    world
        .until("it is refused again", |world| {
            failed(world, SampleReason::Rejected) > 1
        })
        .await;
    world.sent().await;
}

#[actix_rt::test]
async fn a_request_on_which_alone_the_receiver_fails_for_an_hour_is_divided() {
    let receiver = Receiver::answering(|request| match has_ut5(request) {
        true => vec![answer(500, "", "panic")],
        false => vec![stored()],
    });
    let mut world = World::new(&receiver, |_| {});
    world.offer(0..20, 0).await;
    let failing = SenderState::Retrying;
    world
        .until("it fails", |world| world.status.state() == failing)
        .await;
    // Nothing else succeeds either.
    world.time.advance(Duration::from_secs(7200));
    let count = receiver.received().len();
    world
        .until("it is tried again", |_| {
            receiver.received().len() > count + 1
        })
        .await;
    let first = receiver.received()[0].body.clone();
    let is_repeated = |request: &Received| request.body == first;
    assert!(receiver.received().iter().all(is_repeated));
    // The requests of other senders do.
    world
        .until("the series is found", |world| {
            world.destination.link.succeed(world.clock.now());
            failed(world, SampleReason::Rejected) > 0
        })
        .await;
    world.sent().await;
    assert_eq!(failed(&world, SampleReason::Rejected), 1);
    let mut received = receiver.received();
    received.retain(|request| !has_ut5(request));
    let others = world.offered.iter().filter(|(device, ..)| device != "ut5");
    assert!(set(all(&received)) == others.cloned().collect());
}

#[actix_rt::test]
async fn what_a_person_must_change_holds_everything() {
    let receiver = Receiver::start(vec![vec![answer(401, "", "who are you")]]);
    let mut world = World::new(&receiver, |_| {});
    world.offer(0..3, 0).await;
    let held = SenderState::Held(Hold::Unauthorized);
    world
        .until("it is held", |world| world.status.state() == held)
        .await;
    let count = receiver.received().len();
    assert_eq!(count, 1);
    for _ in 0..59 {
        world.time.advance(Duration::from_secs(1));
        actix_rt::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(receiver.received().len(), 1);
    receiver.now(vec![stored()]);
    world
        .until("it is sent", |_| receiver.received().len() >= 2)
        .await;
    world.sent().await;
    assert!(set(all(&receiver.received())) == world.offered);
    assert_eq!(world.status.state(), SenderState::Sending);
}

#[actix_rt::test]
async fn a_receiver_that_refuses_all_samples_is_rejecting() {
    let receiver = Receiver::start(vec![vec![answer(400, "", "no such path: /write")]]);
    let mut world = World::new(&receiver, |_| {});
    world.offer(0..3, 0).await;
    let is_rejecting = |world: &World| world.status.state() == SenderState::Rejecting;
    world.until("it is rejecting", is_rejecting).await;
    world.sent().await;
    assert_eq!(world.status.samples.count(), 0);
    let error = world.status.last_error().unwrap();
    assert!(error.text.contains("no such path"), "{}", error.text);
    assert_eq!(world.status.waiting_since.value(), None);
    // The series of other devices are not in quarantine.
    receiver.now(vec![stored()]);
    world.offer(3..6, 0).await;
    let is_sending = |world: &World| world.status.state() == SenderState::Sending;
    world.until("it is sending", is_sending).await;
    world.sent().await;
}

#[actix_rt::test]
async fn samples_that_the_other_of_a_pair_has_sent_are_not_rejected() {
    let receiver = Receiver::start(vec![vec![answer(
        400,
        "",
        "duplicate sample for timestamp",
    )]]);
    let mut world = World::new(&receiver, |destination| destination.pair = true);
    world.offer(0..3, 0).await;
    world
        .until("it is refused", |world| world.status.last_error().is_some())
        .await;
    world.sent().await;
    assert_eq!(world.status.samples.count(), 0);
    assert_eq!(world.status.state(), SenderState::Sending);
}

#[actix_rt::test]
async fn a_sender_that_dies_repeats_its_requests() {
    let receiver = Receiver::start(vec![vec![Step::Hang], vec![stored()]]);
    let mut world = World::new(&receiver, |_| {});
    world.offer(0..3, 0).await;
    world
        .until("it is being sent", |_| receiver.received().len() == 1)
        .await;
    let _ = world
        .sender
        .send(Inject(Place::Handler, Fault::Panic))
        .await;
    world
        .until("it is sent again", |_| receiver.received().len() == 2)
        .await;
    world.sent().await;
    let received = receiver.received();
    assert_eq!(received[0].body, received[1].body);
    // It also reads on.
    world.offer(0..3, 0).await;
    world
        .until("it is sent", |_| receiver.received().len() == 3)
        .await;
    world.sent().await;
    assert!(set(all(&receiver.received())) == world.offered);
}

#[actix_rt::test]
async fn records_that_cannot_be_decoded_are_skipped_and_counted() {
    let receiver = Receiver::start(vec![vec![stored()]]);
    let mut world = World::new(&receiver, |_| {});
    for _ in 0..2 {
        world.offer(0..3, 0).await;
        world.offer_unreadable().await;
        world.time.advance(Duration::from_secs(1));
    }
    world.offer(0..3, 0).await;
    world.sent().await;
    assert!(set(all(&receiver.received())) == world.offered);
    let dropped = world.status.rows_dropped();
    let dropped: Vec<_> = dropped
        .filter(|(_, rows)| rows.count() > 0)
        .map(|(reason, rows)| (reason, rows.count()))
        .collect();
    assert_eq!(dropped, [(RowReason::Unreadable, 4)]);
}

#[actix_rt::test]
async fn after_an_outage_new_rows_come_first() {
    let receiver = Receiver::start(vec![vec![answer(503, "Retry-After: 5\r\n", "")]]);
    let mut world = World::new(&receiver, |destination| {
        destination.out_of_order_window = Window::Unlimited;
        destination.max_samples_per_send = 30;
        destination.max_samples_per_second = 100;
    });
    for _ in 0..200 {
        world.offer(0..5, 0).await;
        world.time.advance(Duration::from_millis(500));
    }
    world
        .until("it fails", |_| !receiver.received().is_empty())
        .await;
    let before = receiver.received().len();
    receiver.now(vec![stored()]);
    world
        .until("it works", |_| receiver.received().len() > before + 1)
        .await;
    world.offer(0..5, 0).await;
    let newest = world
        .offered
        .iter()
        .map(|(_, time, _)| *time)
        .max()
        .unwrap();
    world.sent().await;
    let received = &receiver.received()[before..];
    assert!(set(all(received)) == world.offered);
    let has_newest = |request| samples(request).iter().any(|(_, time, _)| *time == newest);
    let first = received.iter().position(has_newest).unwrap();
    assert!(
        first * 4 < received.len() * 3,
        "{first} of {}",
        received.len()
    );
}

#[actix_rt::test]
async fn while_requests_fail_one_record_is_in_memory() {
    let receiver = Receiver::start(vec![vec![answer(503, "Retry-After: 5\r\n", "")]]);
    let mut world = World::new(&receiver, |destination| {
        destination.out_of_order_window = Window::Unlimited;
    });
    world.offer(0..5, 0).await;
    let failing = SenderState::Retrying;
    world
        .until("it fails", |world| world.status.state() == failing)
        .await;
    // Each takes more than a KiB.
    for _ in 0..40 {
        world.time.advance(Duration::from_millis(500));
        world.offer(0..5, 0).await;
    }
    let before = receiver.received().len();
    world
        .until("it is tried again", |_| {
            receiver.received().len() > before + 1
        })
        .await;
    assert!(world.budget.try_take((32 << 20) - (20 << 10)).is_some());
    receiver.now(vec![stored()]);
    world.sent().await;
    assert!(set(all(&receiver.received())) == world.offered);
}

/// The end of the first request gives the second record its part of the budget, and makes it the only one, which needs none: actix can still
/// end the wait after it was cancelled.
#[actix_rt::test]
async fn a_record_that_waited_for_the_budget_is_decoded_once() {
    let receiver = Receiver::start(vec![vec![answer(503, "Retry-After: 600\r\n", "")]]);
    let mut world = World::new(&receiver, |_| {});
    for _ in 0..6 {
        world.offer(0..3, 0).await;
        world.time.advance(Duration::from_secs(1));
    }
    world
        .until("it fails", |world| {
            world.status.state() == SenderState::Retrying
        })
        .await;
    receiver.now(vec![stored()]);
    // The next process reads all records at once.
    let world = world.restart().await;
    let before = receiver.received().len();
    // One record fits.
    let held = world.budget.try_take((32 << 20) - (1 << 10));
    assert!(held.is_some());
    world
        .until("it sends", |_| receiver.received().len() > before)
        .await;
    world.sent().await;
    let sent = all(&receiver.received()[before..]);
    assert_eq!(sent.len(), world.offered.len());
    assert!(set(sent) == world.offered);
}

fn too_old(world: &World) -> u64 {
    let mut dropped = world.status.rows_dropped();
    let dropped = dropped.find(|(reason, _)| *reason == RowReason::TooOld);
    dropped.unwrap().1.count()
}

#[actix_rt::test]
async fn a_clock_that_jumps_leaves_no_rows_out() {
    let receiver = Receiver::start(vec![vec![stored()]]);
    let mut world = World::new(&receiver, |destination| {
        destination.out_of_order_window = Window::Limited(Duration::from_secs(3600));
    });
    let old = 2 * 3_600_000;
    // Before Starlink's first response the clock may be wrong.
    world.offer(0..3, old).await;
    world
        .until("it is sent", |_| !receiver.received().is_empty())
        .await;
    world.sent().await;
    world
        .clock
        .observe_date(world.clock.wall(), world.clock.now());
    world.offer(0..3, 0).await;
    world
        .until("it is sent", |_| all(&receiver.received()).len() >= 6)
        .await;
    world.sent().await;
    assert_eq!(too_old(&world), 0);
    world.offer(0..3, old).await;
    world
        .until("they are left out", |world| too_old(world) == 3)
        .await;
    world.sent().await;
    receiver.now(vec![answer(503, "Retry-After: 5\r\n", "")]);
    for _ in 0..5 {
        // A row must not have the time of one before it.
        world.time.advance(Duration::from_secs(1));
        world.offer(0..3, 0).await;
    }
    let failing = SenderState::Retrying;
    world
        .until("it fails", |world| world.status.state() == failing)
        .await;
    let wrong = world.clock.wall() + Duration::from_secs(40 * 3600);
    world.time.set_wall(wrong);
    receiver.now(vec![stored()]);
    world
        .until("all others are sent", |world| {
            set(all(&receiver.received())).len() == world.offered.len() - 3
        })
        .await;
    assert_eq!(too_old(&world), 3);
}

#[actix_rt::test]
async fn a_sender_is_starting_until_a_request_ends_or_nothing_waits() {
    let receiver = Receiver::start(vec![vec![answer(503, "Retry-After: 600\r\n", "")]]);
    let mut world = World::new(&receiver, |destination| {
        destination.remote_timeout = Duration::from_secs(2);
    });
    world.offer(0..3, 0).await;
    world
        .until("it fails", |world| {
            world.status.state() == SenderState::Retrying
        })
        .await;
    receiver.now(vec![Step::Hang]);
    let world = world.restart().await;
    world
        .until("it is being sent", |_| receiver.received().len() == 2)
        .await;
    assert_eq!(world.status.state(), SenderState::Starting);
    let times = world.offered.iter().map(|(_, time, _)| *time as f64 / 1e3);
    assert_eq!(
        world.status.oldest_pending.value(),
        times.min_by(f64::total_cmp)
    );
    receiver.now(vec![stored()]);
    world.sent().await;
    assert_eq!(world.status.state(), SenderState::Sending);
    let world = world.restart().await;
    world
        .until("nothing waits", |world| {
            world.status.state() == SenderState::Sending
        })
        .await;
    assert_eq!(world.status.oldest_pending.value(), None);
    assert_eq!(receiver.received().len(), 3);
}

#[actix_rt::test]
async fn the_end_waits_for_the_request_in_flight() {
    let receiver = Receiver::start(vec![vec![stored()]]);
    let mut world = World::new(&receiver, |_| {});
    world.offer(0..3, 0).await;
    world
        .until("it is sent", |_| receiver.received().len() == 1)
        .await;
    world.sender.send(Finish).await.unwrap();
    world.sent().await;
    // Nothing is sent any more.
    world.offer(0..3, 0).await;
    for _ in 0..50 {
        world.time.advance(Duration::from_secs(1));
        actix_rt::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(receiver.received().len(), 1);
}
