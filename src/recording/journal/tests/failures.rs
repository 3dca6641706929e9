//! Storages that fail, are full or hang, and actors that panic.

use super::super::results::{Done, Event};
use super::*;
use crate::journal::{JournalFiles, OpenError, SegmentLimits};
use crate::recording::messages::Finish;
use crate::recording::status::Operation;
use crate::redaction::Redactor;
use crate::supervise::faults::{Fault, Inject, Place};
use crate::supervise::{SupervisionPolicy, Supervisor};

#[actix_rt::test]
async fn a_full_disk_does_not_stop_polls_and_loses_nothing() {
    let machine = Machine::new();
    let journal = machine.journal(&["d"]);
    journal.open().await;
    assert!(journal.offer(1, 1).await.unwrap());
    machine.faults.fail(&["append", "create"]);
    for number in 2..=5 {
        assert!(journal.offer(number, 1).await.unwrap());
        assert_eq!(journal.status.durable.value(), Some(0.0));
    }
    assert!(journal.status.failures(Operation::Append).count() > 0);
    assert_eq!(journal.numbers(1).await, [1, 2, 3, 4, 5]);
    journal.pending(0, 5).await;
    machine.faults.fail(&[]);
    journal.pass(6).await;
    assert_eq!(journal.status.durable.value(), Some(1.0));
    assert_eq!(on_disk(&machine.path()), [1, 2, 3, 4, 5]);
    assert_eq!(machine.memory.used(), 0);
    assert!(journal.offer(6, 1).await.unwrap());
    assert_eq!(journal.numbers(1).await, [1, 2, 3, 4, 5, 6]);
}

#[actix_rt::test]
async fn what_the_memory_cannot_hold_is_counted_for_those_that_lack_it() {
    let mut machine = Machine::new();
    machine.memory = MemoryBudget::new(1000);
    let journal = machine.journal(&["slow", "fast"]);
    journal.open().await;
    machine.faults.fail(&["append", "create"]);
    let mut number = 0;
    while machine.memory.used() < 500 {
        number += 1;
        assert!(journal.offer(number, 1).await.unwrap());
    }
    journal.advance("fast", number + 1, number).await;
    while dropped(&journal.statuses[0], RowReason::Memory) < 2 {
        number += 1;
        assert!(journal.offer(number, 1).await.unwrap());
    }
    assert_eq!(dropped(&journal.statuses[1], RowReason::Memory), 0);
    machine.faults.fail(&[]);
    journal.pass(6).await;
    let kept = on_disk(&machine.path());
    assert_eq!(kept, Vec::from_iter(3..=number));
    assert_eq!(journal.numbers(1).await, kept);
    assert_eq!(journal.status.rows_lost_in_gaps.count(), 0, "counted once");
    journal.pending(0, number - 2).await;
}

/// The bytes of memory that three answers take which all destinations have, while the storage fails, if there is room for this many bytes,
/// before and after they were sent; and the records that are there when it works again.
async fn sent_while_the_storage_fails(room: usize) -> ([usize; 2], Vec<u64>) {
    let mut machine = Machine::new();
    machine.memory = MemoryBudget::new(room);
    let journal = machine.journal(&["d"]);
    journal.open().await;
    machine.faults.fail(&["append", "create"]);
    for number in 1..=3 {
        assert!(journal.offer(number, 1).await.unwrap());
    }
    let before = machine.memory.used();
    journal.advance("d", 4, 3).await;
    let after = machine.memory.used();
    machine.faults.fail(&[]);
    assert!(journal.offer(4, 1).await.unwrap());
    journal.pass(6).await;
    assert_eq!(journal.status.rows_lost_in_gaps.count(), 0);
    assert_eq!(journal.status.durable.value(), Some(1.0));
    ([before, after], journal.numbers(1).await)
}

#[actix_rt::test]
async fn what_all_destinations_have_leaves_the_memory_if_it_is_more_than_half_full() {
    let ([bytes, kept], records) = sent_while_the_storage_fails(MemoryBudget::STANDARD).await;
    assert!(bytes > 0);
    assert_eq!((kept, records), (bytes, vec![1, 2, 3, 4]));
    let ([_, kept], records) = sent_while_the_storage_fails(2 * bytes).await;
    assert_eq!((kept, records), (bytes, vec![1, 2, 3, 4]));
    let ([_, kept], records) = sent_while_the_storage_fails(2 * bytes - 1).await;
    assert_eq!((kept, records), (0, vec![4]));
}

#[actix_rt::test]
async fn a_storage_that_hangs_is_awaited_once() {
    let machine = Machine::new();
    let journal = machine.journal(&["d"]);
    journal.open().await;
    assert!(journal.offer(1, 1).await.unwrap());
    machine.faults.hang(true);
    let mut second = journal.offer(2, 1);
    until("it is being synced", || machine.faults.is_waiting()).await;
    machine.time.advance(Duration::from_millis(4999));
    journal.actor.send(Heartbeat).await.unwrap();
    assert!(second.try_recv().is_err());
    machine.time.advance(Duration::from_millis(2));
    assert!(second.await.unwrap());
    assert_eq!(journal.status.durable.value(), Some(0.0));
    assert_eq!(journal.status.failures(Operation::Append).count(), 1);
    assert!(journal.offer(3, 1).await.unwrap());
    // Older records cannot be read, newer ones can.
    assert!(journal.read(1).await.is_err());
    let overtaken = journal.read_with(1, true).await.unwrap();
    assert_eq!((overtaken.records.len(), overtaken.next), (2, 4));
    assert!(overtaken.gaps.is_empty());
    assert_eq!(journal.numbers(2).await, [2, 3]);
    assert!(journal.actor.send(Usage).await.unwrap().is_none());
    machine.faults.hang(false);
    until("it is durable", || {
        journal.status.durable.value() == Some(1.0)
    })
    .await;
    assert_eq!(on_disk(&machine.path()), [1, 2, 3]);
    assert_eq!(journal.numbers(1).await, [1, 2, 3]);
}

#[actix_rt::test]
async fn a_read_that_hangs_is_answered_within_the_limit() {
    let machine = Machine::new();
    let journal = machine.journal(&["d"]);
    journal.open().await;
    assert!(journal.offer(1, 1).await.unwrap());
    machine.faults.hang(true);
    let _second = journal.offer(2, 1);
    until("it is being synced", || machine.faults.is_waiting()).await;
    let actor = journal.actor.clone();
    let read = actix_rt::spawn(async move {
        let (from, most_bytes) = (1, 100);
        let read = ReadRecords {
            from,
            most_bytes,
            may_overtake: true,
        };
        actor.send(read).await.unwrap()
    });
    // The limit begins with the request.
    journal.actor.send(Heartbeat).await.unwrap();
    tokio::task::yield_now().await;
    while !read.is_finished() {
        machine.time.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    assert!(read.await.unwrap().is_err());
    machine.faults.hang(false);
}

#[actix_rt::test]
async fn a_journal_that_cannot_be_opened_numbers_its_records_later() {
    let machine = Machine::new();
    let journal = machine.journal(&["d"]);
    assert!(journal.offer(1, 1).await.unwrap());
    journal.actor.send(Finish).await.unwrap();
    journal.stop().await;
    machine.faults.fail(&["list"]);
    let journal = machine.journal(&["d"]);
    assert!(journal.offer(1, 1).await.unwrap());
    assert!(journal.offer(2, 1).await.unwrap());
    assert!(journal.read(1).await.is_err());
    assert_eq!(journal.status.durable.value(), Some(0.0));
    assert!(journal.status.failures(Operation::Open).count() > 0);
    assert_eq!(*journal.status.end.borrow(), 0);
    machine.faults.fail(&[]);
    while *journal.status.end.borrow() == 0 {
        machine.time.advance(Duration::from_secs(1));
        journal.settle().await;
    }
    assert_eq!(*journal.status.end.borrow(), 4);
    assert_eq!(journal.cursor("d").await, Some(cursor(1)));
    assert_eq!(journal.numbers(1).await, [1, 2, 3]);
    until("it is durable", || {
        journal.status.durable.value() == Some(1.0)
    })
    .await;
    assert_eq!(on_disk(&machine.path()), [1, 2, 3]);
    journal.pending(0, 3).await;
}

#[actix_rt::test]
async fn an_opening_is_retried_once_at_a_time() {
    let machine = Machine::new();
    machine.faults.fail(&["list"]);
    let journal = machine.journal(&["d"]);
    let failures = || journal.status.failures(Operation::Open).count();
    until("it has failed", || failures() == 1).await;
    // Results of openings before restarts of the actor.
    for _ in 0..9 {
        let opened = Err(OpenError::Io(std::io::ErrorKind::StorageFull.into()));
        let opened = Event::Opened { request: 0, opened };
        journal.actor.send(Done::new(opened)).await.unwrap();
    }
    machine.time.advance(Duration::from_secs(60));
    until("it is retried", || failures() > 1).await;
    journal.settle().await;
    assert_eq!(failures(), 2);
}

#[actix_rt::test]
async fn the_end_of_a_process_awaits_the_opening_for_what_is_in_memory() {
    let machine = Machine::new();
    machine.faults.fail(&["list"]);
    let journal = machine.journal(&["d"]);
    assert!(journal.offer(1, 1).await.unwrap());
    let finished = journal.actor.send(Finish);
    let mut finished = std::pin::pin!(finished);
    journal.actor.send(Heartbeat).await.unwrap();
    let reply = futures_util::FutureExt::now_or_never(finished.as_mut());
    assert!(reply.is_none(), "nothing is written yet");
    machine.faults.fail(&[]);
    while futures_util::FutureExt::now_or_never(finished.as_mut()).is_none() {
        machine.time.advance(Duration::from_secs(1));
        journal.settle().await;
    }
    assert_eq!(on_disk(&machine.path()), [1]);
}

#[actix_rt::test]
async fn files_of_another_account_are_not_touched() {
    let machine = Machine::new();
    let disk = machine.directory.account("a").unwrap();
    let mut other = JournalFiles::open(disk, "b".into(), SegmentLimits::STANDARD).unwrap();
    let record = crate::journal::record::tests::record(1, b"");
    let durability = crate::journal::Durability::Synced;
    other
        .log_mut()
        .append(&record, durability, Duration::ZERO)
        .unwrap();
    drop(other);
    let journal = machine.journal(&["d"]);
    assert!(journal.offer(1, 4).await.unwrap());
    assert!(journal.offer(2, 5).await.unwrap());
    assert!(
        journal
            .actor
            .send(CursorOf("d".into()))
            .await
            .unwrap()
            .is_err()
    );
    assert!(journal.read(1).await.is_err());
    assert_eq!(dropped(&journal.statuses[0], RowReason::Memory), 9);
    assert_eq!(machine.memory.used(), 0);
    assert_eq!(journal.status.durable.value(), Some(0.0));
    journal.pass(30).await;
    journal.actor.send(Finish).await.unwrap();
    assert_eq!(machine.files(), ["1.segment"]);
}

#[actix_rt::test]
async fn after_a_panic_of_an_operation_the_journal_is_opened_again() {
    let machine = Machine::new();
    let journal = machine.journal(&["d"]);
    journal.open().await;
    assert!(journal.offer(1, 1).await.unwrap());
    machine.faults.panic();
    assert!(journal.offer(2, 1).await.unwrap());
    until("it is durable", || {
        journal.status.durable.value() == Some(1.0)
    })
    .await;
    assert!(journal.offer(3, 1).await.unwrap());
    assert_eq!(on_disk(&machine.path()), [1, 2, 3]);
    assert_eq!(journal.numbers(1).await, [1, 2, 3]);
}

#[actix_rt::test]
async fn what_is_lost_with_the_actor_is_counted_and_not_written_later() {
    let machine = Machine::new();
    let journal = machine.journal(&["d", "e"]);
    journal.open().await;
    machine.faults.fail(&["append"]);
    for number in 1..=3 {
        assert!(journal.offer(number, number).await.unwrap());
    }
    journal.advance("e", 2, 1).await;
    machine.faults.fail(&[]);
    machine.faults.hang(true);
    // The retry hangs.
    machine.time.advance(Duration::from_secs(6));
    until("it is being synced", || machine.faults.is_waiting()).await;
    let (statuses, status) = (journal.statuses.clone(), Arc::clone(&journal.status));
    journal.stop().await;
    let lost = |index: usize| dropped(&statuses[index], RowReason::Memory);
    until("the rows are counted", || lost(0) == 6 && lost(1) == 5).await;
    // The same journal is started again before the hang ends.
    let again = machine.journal_with(&["d", "e"], Arc::clone(&status));
    let second = again.offer(4, 1);
    machine.faults.hang(false);
    assert!(second.await.unwrap());
    assert_eq!(on_disk(&machine.path()), [1, 4]);
    assert_eq!(again.numbers(2).await, [4]);
    assert_eq!(status.rows_lost_in_gaps.count(), 0, "counted once");
    assert_eq!(status.durable.value(), Some(1.0));
}

/// The directory of the account, that of all journals, or the files alone are deleted. The destination has not got its rows.
#[actix_rt::test]
async fn what_is_deleted_while_it_is_in_use_is_counted_and_the_journal_begins_anew() {
    let remove = |path: &Path| std::fs::remove_dir_all(path).unwrap();
    for part in ["files", "account", "root"] {
        let machine = Machine::new();
        let journal = machine.journal(&["d"]);
        journal.open().await;
        for number in 1..=3 {
            assert!(journal.offer(number, 5).await.unwrap());
        }
        match part {
            "files" => std::fs::read_dir(machine.path())
                .unwrap()
                .for_each(|file| std::fs::remove_file(file.unwrap().path()).unwrap()),
            "account" => remove(&machine.path()),
            _ => remove(machine.directory.path()),
        }
        journal.pass(11).await;
        assert_eq!(journal.status.rows_lost_in_gaps.count(), 15, "{part}");
        assert!(journal.offer(4, 1).await.unwrap());
        assert!(journal.offer(5, 1).await.unwrap());
        if part == "root" {
            journal.pass(6).await;
            assert_eq!(journal.status.durable.value(), Some(0.0));
            assert!(!machine.directory.path().exists());
            std::fs::create_dir(machine.directory.path()).unwrap();
        }
        journal.pass(20).await;
        assert_eq!(journal.status.durable.value(), Some(1.0), "{part}");
        assert_eq!(journal.numbers(1).await, [4, 5], "{part}");
        assert_eq!(on_disk(&machine.path()), [4, 5], "{part}");
        assert_eq!(journal.status.rows_lost_in_gaps.count(), 15, "counted once");
        let files = machine.files();
        assert!(files.contains(&"cursors".to_owned()), "{files:?}");
        assert!(machine.directory.path().join(".format").exists());
    }
}

/// A volume that is unmounted and mounted again still has its records.
#[actix_rt::test]
async fn a_directory_that_returns_is_read_again() {
    let machine = Machine::new();
    let journal = machine.journal(&["d"]);
    journal.open().await;
    for number in 1..=3 {
        assert!(journal.offer(number, 5).await.unwrap());
    }
    let root = machine.directory.path();
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("journal");
    std::fs::rename(root, &moved).unwrap();
    journal.pass(11).await;
    assert!(journal.offer(4, 1).await.unwrap());
    assert_eq!(journal.status.durable.value(), Some(0.0));
    std::fs::rename(&moved, root).unwrap();
    journal.pass(20).await;
    assert_eq!(journal.status.durable.value(), Some(1.0));
    assert_eq!(journal.numbers(1).await, [1, 2, 3, 4]);
    assert_eq!(on_disk(&machine.path()), [1, 2, 3, 4]);
}

/// The only record of a journal is damaged, so that nothing says how many rows it had.
#[actix_rt::test]
async fn a_loss_without_an_estimate_counts_one_row_for_each_record() {
    let machine = Machine::new();
    let journal = machine.journal(&["d"]);
    journal.open().await;
    assert!(journal.offer(1, 4).await.unwrap());
    journal.actor.send(Finish).await.unwrap();
    journal.stop().await;
    let files = machine.files();
    let segment = files.iter().find(|name| name.ends_with(".segment"));
    let segment = format!("{:0>28}", segment.unwrap());
    std::fs::write(machine.path().join(segment), b"damaged").unwrap();
    let journal = machine.journal(&["d"]);
    journal.open().await;
    machine.faults.fail(&["append"]);
    assert!(journal.offer(2, 1).await.unwrap());
    assert_eq!(journal.numbers(1).await, [2]);
    assert_eq!(journal.status.rows_lost_in_gaps.count(), 1);
}

#[actix_rt::test]
async fn a_panic_of_the_actor_loses_nothing() {
    let machine = Machine::new();
    let status = machine.sender("d");
    let options = machine.options(vec![subscription(&status)]);
    let journal_status = Arc::clone(&options.status);
    let (policy, clock) = (SupervisionPolicy::default(), machine.clock.clone());
    let (supervisor, _given_up) = Supervisor::new(policy, clock, Redactor::default());
    let arbiter = actix::Arbiter::current();
    let actor = supervisor.start(&journal_status.actor, &arbiter, || {
        JournalActor::new(options)
    });
    for (number, place) in [
        (1, Place::Handler),
        (2, Place::Future),
        (3, Place::Started(1)),
        (4, Place::NextMessage(1)),
    ] {
        assert!(answered(&actor, 10 * number, 1).await);
        actor.do_send(Inject(place, Fault::Panic));
        let first = actor.send(offer(10 * number + 1, 1));
        let again = async {
            // As the account does it.
            let first = first.await.is_ok();
            first || answered(&actor, 10 * number + 1, 1).await
        };
        let mut again = std::pin::pin!(again);
        // The restart waits.
        while futures_util::FutureExt::now_or_never(again.as_mut()).is_none() {
            machine.time.advance(Duration::from_secs(1));
            actix_rt::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(answered(&actor, 10 * number + 1, 1).await, "{place:?}");
        machine.time.advance(Duration::from_secs(100));
    }
    actor.send(Finish).await.unwrap();
    assert_eq!(on_disk(&machine.path()), [1, 2, 3, 4, 5, 6, 7, 8]);
    until("all rows are counted", || status.pending_rows() == 8).await;
}
