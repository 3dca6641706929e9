//! A storage that works.

use super::*;
use crate::journal::Kind;
use crate::journal::retention::Reason;
use crate::recording::messages::{DeleteOldest, Finish, RecordMoved};

#[actix_rt::test]
async fn an_answer_is_durable_before_it_is_acknowledged() {
    let machine = Machine::new();
    let journal = machine.journal(&["d"]);
    journal.open().await;
    machine.faults.done();
    machine.faults.hang(true);
    let mut acknowledged = journal.offer(1, 3);
    until("it is being synced", || machine.faults.is_waiting()).await;
    journal.actor.send(Heartbeat).await.unwrap();
    assert!(acknowledged.try_recv().is_err());
    assert_eq!(machine.faults.done(), ["create", "append"]);
    // Destinations read it already.
    assert_eq!(*journal.status.end.borrow(), 2);
    assert_eq!(journal.numbers(1).await, [1]);
    machine.faults.hang(false);
    assert!(acknowledged.await.unwrap());
    assert_eq!(on_disk(&machine.path()), [1]);
    assert_eq!(journal.status.records.value(), Some(1.0));
    let reply = journal.read(1).await.unwrap();
    let header = &reply.records[0].header;
    let times = (header.oldest as u64 - ROWS, header.newest as u64 - ROWS);
    assert_eq!((header.rows, times), (3, (1, 3)));
    assert_eq!((reply.next, reply.end), (2, 2));
    journal.pending(0, 3).await;
}

#[actix_rt::test]
async fn a_repeated_answer_is_recorded_once_and_an_empty_one_not_at_all() {
    let machine = Machine::new();
    let journal = machine.journal(&["d"]);
    journal.open().await;
    machine.faults.hang(true);
    let first = journal.offer(1, 1);
    until("it is being synced", || machine.faults.is_waiting()).await;
    let mut again = journal.offer(1, 1);
    journal.actor.send(Heartbeat).await.unwrap();
    assert!(again.try_recv().is_err());
    machine.faults.hang(false);
    assert!(first.await.unwrap() && again.await.unwrap());
    assert!(journal.offer(1, 1).await.unwrap());
    assert!(journal.offer(2, 0).await.unwrap());
    let withdrawn = offer(3, 1);
    assert!(withdrawn.handover.withdraw());
    assert!(!journal.send(withdrawn).await.unwrap());
    assert!(journal.offer(4, 1).await.unwrap());
    assert_eq!(on_disk(&machine.path()), [1, 2]);
}

#[actix_rt::test]
async fn answers_that_the_account_has_given_up_do_not_pile_up() {
    let machine = Machine::new();
    let journal = machine.journal(&["d"]);
    journal.open().await;
    // Compressing waits.
    let (go_on, waits) = std::sync::mpsc::channel::<()>();
    drop(machine.pool.run(move || waits.recv()));
    for number in 1..=5 {
        let mut given_up = std::pin::pin!(journal.actor.send(offer(number, 1)));
        let reply = futures_util::FutureExt::now_or_never(given_up.as_mut());
        assert!(reply.is_none());
        journal.actor.send(Heartbeat).await.unwrap();
    }
    let last = journal.offer(6, 1);
    journal.actor.send(Heartbeat).await.unwrap();
    go_on.send(()).unwrap();
    assert!(last.await.unwrap());
    assert_eq!(on_disk(&machine.path()), [1, 2]);
}

#[actix_rt::test]
async fn destinations_continue_at_their_cursors_after_a_restart() {
    let machine = Machine::new();
    let journal = machine.journal(&["all", "some"]);
    for number in 1..=3 {
        assert!(journal.offer(number, number).await.unwrap());
    }
    assert_eq!(journal.cursor("all").await, Some(cursor(1)));
    assert_eq!(journal.cursor("other").await, None);
    journal.pending(0, 6).await;
    journal.advance("all", 4, 6).await;
    journal.advance("some", 2, 1).await;
    journal.pending(0, 0).await;
    journal.pending(1, 5).await;
    // Without `Finish`: as after a crash.
    journal.pass(1).await;
    journal.stop().await;
    let journal = machine.journal(&["all", "some", "new"]);
    journal.open().await;
    for (index, (name, next, rows)) in [("all", 4, 0), ("some", 2, 5), ("new", 1, 6)]
        .into_iter()
        .enumerate()
    {
        assert_eq!(journal.cursor(name).await, Some(cursor(next)), "{name}");
        journal.pending(index, rows).await;
    }
    assert!(journal.offer(9, 2).await.unwrap());
    journal.pending(1, 7).await;
    assert_eq!(journal.numbers(2).await, [2, 3, 4]);
    assert_eq!(machine.files(), ["1.segment", "4.segment", "cursors"]);
    assert_eq!(journal.status.records.value(), Some(4.0));
    assert_eq!(journal.status.oldest_record.value(), Some(1_700_000_000.0));
}

#[actix_rt::test]
async fn records_of_disk_and_memory_are_read_together() {
    let machine = Machine::new();
    let journal = machine.journal(&["d"]);
    journal.open().await;
    assert!(journal.offer(1, 1).await.unwrap());
    machine.faults.fail(&["append"]);
    assert!(journal.offer(2, 1).await.unwrap());
    assert!(journal.offer(3, 1).await.unwrap());
    assert_eq!(on_disk(&machine.path()), [1]);
    assert_eq!(journal.numbers(1).await, [1, 2, 3]);
    assert_eq!(journal.numbers(2).await, [2, 3]);
    let reply = journal.read(4).await.unwrap();
    assert_eq!((reply.records.len(), reply.next, reply.end), (0, 4, 4));
}

#[actix_rt::test]
async fn stream_time_without_rows_is_recorded_after_30_seconds() {
    let machine = Machine::new();
    let journal = machine.journal(&["d"]);
    journal.open().await;
    assert!(journal.offer(1, 1).await.unwrap());
    assert!(journal.offer(2, 0).await.unwrap());
    journal.pass(29).await;
    assert_eq!(on_disk(&machine.path()), [1]);
    machine.faults.done();
    journal.pass(1).await;
    assert_eq!(on_disk(&machine.path()), [1, 2]);
    let done = machine.faults.done();
    assert!(
        !done.contains(&"sync") && done.contains(&"append"),
        "{done:?}"
    );
    let reply = journal.read(2).await.unwrap();
    let header = &reply.records[0].header;
    assert_eq!((header.kind, header.covers), (Kind::Tick, 5000));
}

#[actix_rt::test]
async fn a_destination_is_released_an_hour_after_its_removal() {
    let machine = Machine::new();
    let journal = machine.journal(&["a", "b"]);
    assert!(journal.offer(1, 1).await.unwrap());
    journal.advance("a", 2, 1).await;
    let [a, b] = [0, 1].map(|index| Arc::clone(&journal.statuses[index]));
    journal.subscribe(std::slice::from_ref(&b)).await;
    assert_eq!(journal.cursor("a").await, None);
    journal.time.advance(Duration::from_secs(3599));
    journal.settle().await;
    journal.subscribe(&[a, Arc::clone(&b)]).await;
    assert_eq!(journal.cursor("a").await, Some(cursor(2)), "it is back");
    journal.subscribe(std::slice::from_ref(&b)).await;
    journal.time.advance(Duration::from_secs(3600));
    journal.pass(2).await;
    // It may return before the file is saved, and continues then.
    let cursors = machine.path().join("cursors");
    let has_a = || std::fs::read_to_string(&cursors).is_ok_and(|text| text.contains(r#""a""#));
    until("it is released", || !has_a()).await;
    let returned = machine.sender("a");
    journal.subscribe(&[Arc::clone(&returned), b]).await;
    assert_eq!(journal.cursor("a").await, Some(cursor(1)), "it is new");
    until("its rows are counted", || returned.pending_rows() == 1).await;
    // Of an earlier process.
    journal.actor.send(Finish).await.unwrap();
    journal.stop().await;
    let journal = machine.journal(&["b"]);
    journal.open().await;
    journal.time.advance(Duration::from_secs(3599));
    journal.settle().await;
    assert!(
        std::fs::read_to_string(machine.path().join("cursors"))
            .unwrap()
            .contains(r#""a""#)
    );
    journal.pass(2).await;
    let cursors = std::fs::read_to_string(machine.path().join("cursors")).unwrap();
    assert!(
        !cursors.contains(r#""a""#) && cursors.contains(r#""b""#),
        "{cursors}"
    );
}

#[actix_rt::test]
async fn without_destinations_nothing_is_recorded() {
    let machine = Machine::new();
    let journal = machine.journal(&[]);
    assert!(journal.offer(1, 1).await.unwrap());
    journal.open().await;
    assert!(journal.offer(2, 1).await.unwrap());
    assert_eq!(machine.files(), ["cursors"]);
    let new = machine.sender("d");
    journal.subscribe(std::slice::from_ref(&new)).await;
    assert!(journal.offer(3, 1).await.unwrap());
    assert_eq!(on_disk(&machine.path()), [1]);
}

#[actix_rt::test]
async fn the_rows_of_deleted_segments_are_counted_for_each_destination_and_reason() {
    let machine = Machine::new();
    let journal = machine.journal(&["none", "one", "all"]);
    journal.open().await;
    // Each segment is closed after 15 minutes.
    for number in 1..=3 {
        assert!(journal.offer(number, number * 10).await.unwrap());
        journal.time.advance(Duration::from_secs(905));
        journal.settle().await;
        journal.pass(1).await;
    }
    journal.advance("one", 2, 10).await;
    journal.advance("all", 4, 60).await;
    let usage = journal.actor.send(Usage).await.unwrap().unwrap();
    assert_eq!(usage.segments.len(), 3);
    assert!(usage.segments.iter().all(|segment| segment.is_closed));
    let delete = DeleteOldest(vec![Reason::MaxAge, Reason::DiskSpace]);
    journal.actor.send(delete).await.unwrap();
    assert_eq!(machine.files(), ["3.segment", "cursors"]);
    for (index, (age, space, pending)) in [(10, 20, 30), (0, 20, 30), (0, 0, 0)]
        .into_iter()
        .enumerate()
    {
        let status = &journal.statuses[index];
        assert_eq!(dropped(status, RowReason::MaxAge), age, "{index}");
        assert_eq!(dropped(status, RowReason::DiskSpace), space, "{index}");
        journal.pending(index, pending).await;
    }
    assert_eq!(journal.cursor("one").await, Some(cursor(3)));
    journal.advance("none", 4, 30).await;
    journal.advance("one", 4, 30).await;
    journal.pass(1).await;
    journal.pending(0, 0).await;
    journal
        .actor
        .send(DeleteOldest(vec![Reason::Sent]))
        .await
        .unwrap();
    assert_eq!(machine.files(), ["cursors"]);
    assert_eq!(journal.status.rows_lost_in_gaps.count(), 0);
}

#[actix_rt::test]
async fn damaged_records_are_counted_once() {
    let machine = Machine::new();
    let journal = machine.journal(&["d", "e"]);
    for number in 1..=4 {
        assert!(journal.offer(number, 8).await.unwrap());
        if number == 2 {
            journal.open().await;
            journal.time.advance(Duration::from_secs(905));
            journal.settle().await;
        }
    }
    journal.actor.send(Finish).await.unwrap();
    journal.stop().await;
    let path = machine.path().join("00000000000000000001.segment");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let journal = machine.journal(&["d", "e"]);
    journal.open().await;
    for _ in 0..2 {
        assert_eq!(journal.numbers(1).await, [1, 3, 4]);
        assert_eq!(journal.status.rows_lost_in_gaps.count(), 8);
    }
    assert_eq!(journal.read(1).await.unwrap().gaps.len(), 1);
}

#[actix_rt::test]
async fn damaged_records_that_all_destinations_have_are_not_lost() {
    let machine = Machine::new();
    let journal = machine.journal(&["d", "e"]);
    for number in 1..=3 {
        assert!(journal.offer(number, 8).await.unwrap());
        if number == 2 {
            journal.open().await;
            journal.pass(905).await;
        }
    }
    journal.advance("d", 3, 16).await;
    journal.advance("e", 4, 24).await;
    journal.actor.send(Finish).await.unwrap();
    journal.stop().await;
    let path = machine.path().join("00000000000000000001.segment");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
    let journal = machine.journal(&["d", "e"]);
    journal.open().await;
    assert_eq!(journal.numbers(1).await, [1, 3]);
    assert_eq!(journal.status.rows_lost_in_gaps.count(), 0);
}

#[actix_rt::test]
async fn a_directory_that_is_deleted_is_created_again() {
    let machine = Machine::new();
    let journal = machine.journal(&["d"]);
    journal.open().await;
    assert!(journal.offer(1, 8).await.unwrap());
    std::fs::remove_dir_all(machine.path()).unwrap();
    assert_eq!(journal.numbers(1).await, [0; 0]);
    assert!(journal.offer(2, 8).await.unwrap());
    assert_eq!(journal.status.durable.value(), Some(0.0));
    journal.pass(6).await;
    assert!(journal.offer(3, 8).await.unwrap());
    assert_eq!(on_disk(&machine.path()), [2, 3]);
    assert_eq!(journal.numbers(1).await, [2, 3]);
    assert_eq!(journal.status.durable.value(), Some(1.0));
    assert_eq!(journal.status.rows_lost_in_gaps.count(), 8);
}

#[actix_rt::test]
async fn the_end_of_a_process_loses_nothing() {
    let machine = Machine::new();
    let journal = machine.journal(&["d"]);
    assert!(journal.offer(1, 1).await.unwrap());
    let devices = vec![crate::journal::MovedDevice {
        code: "u".to_owned(),
        id: "one".to_owned(),
    }];
    journal.actor.send(RecordMoved(devices)).await.unwrap();
    journal.advance("d", 2, 1).await;
    journal.actor.send(Finish).await.unwrap();
    assert_eq!(on_disk(&machine.path()), [1, 2]);
    let cursors = std::fs::read_to_string(machine.path().join("cursors")).unwrap();
    assert!(cursors.contains(r#""d":{"next":2"#), "{cursors}");
    journal.stop().await;
    let journal = machine.journal(&["d"]);
    journal.open().await;
    assert_eq!(journal.cursor("d").await, Some(cursor(2)));
    assert_eq!(*journal.status.end.borrow(), 3);
}
