//! Tests of the poll loop: long polls, large answers, lost answers, pace, backlog.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use starlink_telemetry::simulator::{
    Answer, AnswerBody, Journal, Options, Outcome, Simulator, terminal_id,
};

use crate::form::poll_failures;
use crate::harness::{
    Service, UP, eventually, journal, row_of, scripted_simulator, terminal_row, throughput,
};

/// Checks that no poll has failed.
fn none() -> BTreeMap<String, f64> {
    BTreeMap::new()
}

#[actix_rt::test]
async fn a_linger_longer_than_the_time_out_of_awc_is_not_a_failure() {
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[("MAX_LINGER", "6000")]).await;
    let answered = |seen: &Journal| seen.polls_answered_with(200) >= 1;
    let journal = journal(&simulator, "an answer", answered).await;
    let poll = &journal.polls[0];
    let lingered = poll.ended.unwrap().duration_since(poll.started);
    assert!(lingered >= Duration::from_secs(6), "{lingered:?}");
    service.shows(UP, 1.0).await;
    assert_eq!(service.scrape().await.poll_failures(), none());
}

#[actix_rt::test]
async fn a_poll_sends_exactly_the_configured_batch_size_and_linger() {
    let simulator = scripted_simulator();
    let changes = [("BATCH_SIZE", "65000"), ("MAX_LINGER", "0")];
    let _service = Service::start(&simulator, &changes).await;
    let journal = journal(&simulator, "polls", |seen| seen.polls.len() >= 5).await;
    for poll in journal.polls {
        assert_eq!(poll.body, r#"{"batchSize":65000,"maxLingerMs":0}"#);
    }
}

/// A valid answer of this many bytes with one row.
fn answer_of(bytes: usize, id: &str) -> Answer {
    let body = AnswerBody::new().row(terminal_row(id, 1_000_000_000, 1.0));
    let rest = bytes - body.to_json().len();
    body.padding(rest).into()
}

#[actix_rt::test]
async fn bodies_up_to_64_mib_are_accepted_in_every_framing() {
    const MIB: usize = 1 << 20;
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    let taken = [
        ("a", answer_of(2 * MIB + 1, "a")),
        ("b", answer_of(5 * MIB, "b").chunked()),
        ("c", answer_of(5 * MIB, "c").gzip()),
        ("d", answer_of(5 * MIB, "d").gzip().chunked()),
        ("e", answer_of(64 * MIB, "e")),
    ];
    for (id, answer) in taken {
        simulator.push_answer(answer);
        service.shows(&throughput(id), 1.0).await;
    }
    assert_eq!(service.scrape().await.poll_failures(), none());
    simulator.push_answer(answer_of(64 * MIB + 1, "f"));
    service.shows(&poll_failures("decode"), 1.0).await;
    assert!(!service.scrape().await.has(&throughput("f")));
    service.shows(UP, 1.0).await;
}

#[actix_rt::test]
async fn the_rows_of_an_answer_that_was_cut_are_sent_again_and_count_once() {
    const TERMINALS: usize = 3;
    let cut = Answer::ordinary().cut_at(600);
    let answers = [
        (cut.clone(), "disconnected"),
        (cut.clone().gzip(), "disconnected"),
        (cut.clone().chunked(), "decode"),
        (cut.chunked().gzip(), "decode"),
    ];
    join_all(answers.map(|(answer, reason)| async move {
        let simulator = Simulator::start(Options {
            terminals: TERMINALS,
            quirks: false,
            // The next ticks are later than the end of the test.
            speed: 0.001,
            ..Options::default()
        })
        .unwrap();
        let what = format!("{answer:?}");
        simulator.push_answer(answer);
        let service = Service::start(&simulator, &[]).await;
        let rows = r#"starlink_exporter_rows_total{account="default",code="u"}"#;
        service.shows(rows, TERMINALS as f64).await;
        let scrape = service.scrape().await;
        let once = BTreeMap::from([(reason.to_owned(), 1.0)]);
        assert_eq!(scrape.poll_failures(), once, "{what}");
        for number in 0..TERMINALS {
            let id = terminal_id(number);
            assert!(scrape.has(&throughput(&id)), "{id}");
        }
        let journal = journal(&simulator, "polls", |seen| seen.polls.len() >= 2).await;
        assert_eq!(journal.polls[0].outcome, Outcome::Cut);
        assert_eq!(journal.polls[0].rows, journal.polls[1].rows);
    }))
    .await;
}

#[actix_rt::test]
async fn a_redirected_poll_is_refused() {
    let statuses = [301, 302, 303, 307, 308];
    join_all(statuses.map(|status| async move {
        let (simulator, elsewhere) = (scripted_simulator(), scripted_simulator());
        let url = format!("{}/v2/telemetry/stream", elsewhere.api_url());
        simulator.push_answer(Answer::redirect(&url).status(status));
        let service = Service::start(&simulator, &[]).await;
        service.shows(UP, 1.0).await;
        let scrape = service.scrape().await;
        assert_eq!(
            scrape.value(&poll_failures("redirect")),
            Some(1.0),
            "{status}"
        );
        assert!(elsewhere.journal().polls.is_empty(), "{status}");
        let journal = simulator.journal();
        assert_eq!(journal.polls[0].status, Some(status));
        assert_eq!(journal.polls[1].status, Some(200));
    }))
    .await;
}

#[actix_rt::test]
async fn a_server_that_answers_at_once_is_polled_twenty_times_and_then_three_times_a_second() {
    const POLLS: usize = 29;
    let full = Answer::rows([terminal_row("full", 1_000_000_000, 1.0)]);
    let answers = [Answer::rows([""; 0]), full];
    join_all(answers.map(|answer| async move {
        let simulator = scripted_simulator();
        simulator.set_default_answer(Some(answer));
        let service = Service::start(&simulator, &[("BATCH_SIZE", "1")]).await;
        let enough = |seen: &Journal| seen.polls.len() >= POLLS;
        let journal = journal(&simulator, "polls", enough).await;
        // The first poll, a burst of twenty, then three a second; one more, because the journal records a poll when it arrives.
        for (first, start) in journal.polls.iter().enumerate() {
            for (index, poll) in journal.polls.iter().enumerate().skip(first) {
                let seconds = poll.started.duration_since(start.started).as_secs_f64();
                let polls = (index - first + 1) as f64;
                assert!(polls <= 22.0 + 3.0 * seconds, "{polls} in {seconds} s");
            }
        }
        assert_eq!(service.scrape().await.poll_failures(), none());
    }))
    .await;
}

#[actix_rt::test]
async fn a_backlog_is_replayed_in_full_batches_without_lingering() {
    const BATCH: usize = 100;
    let simulator = Simulator::start(Options {
        terminals: 10,
        quirks: false,
        backlog: Duration::from_secs(3600),
        ..Options::default()
    })
    .unwrap();
    let changes = [("BATCH_SIZE", "100"), ("MAX_LINGER", "65000")];
    let service = Service::start(&simulator, &changes).await;
    // 240 ticks of ten terminals, and their allocations.
    let journal = journal(&simulator, "the backlog", |seen| {
        seen.rows_handed_out >= 2400
    })
    .await;
    let answered: Vec<_> = journal
        .polls
        .iter()
        .filter(|poll| poll.outcome == Outcome::Answered)
        .collect();
    assert!(answered.len() >= 24);
    for poll in answered {
        assert_eq!((poll.status, poll.rows), (Some(200), BATCH));
    }
    // No poll lingered: one that lingers would still be open.
    assert_eq!(service.scrape().await.poll_failures(), none());
    let rows = || async {
        let scrape = service.scrape().await;
        ["u", "i"]
            .map(|code| {
                scrape.value(&format!(
                    r#"starlink_exporter_rows_total{{account="default",code="{code}"}}"#
                ))
            })
            .map(Option::unwrap)
            .iter()
            .sum::<f64>()
    };
    let handed_out = journal.rows_handed_out as f64;
    eventually("all rows are counted", || async {
        rows().await >= handed_out
    })
    .await;
}

#[actix_rt::test]
async fn catching_up_is_reported_while_batches_are_full_and_old() {
    let simulator = scripted_simulator();
    let changes = [("BATCH_SIZE", "2"), ("MAX_LINGER", "60000")];
    let service = Service::start(&simulator, &changes).await;
    let now = || {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap();
        u64::try_from(now.as_nanos()).unwrap()
    };
    let hour = 3_600_000_000_000;
    let batches: [(&str, u64, usize, f64); 6] = [
        ("a", now() - hour, 2, 1.0),
        ("b", now(), 2, 0.0),
        ("c", now() - hour, 2, 1.0),
        ("d", now() - hour, 1, 0.0),
        ("e", now() - hour, 2, 1.0),
        ("f", now() - hour, 0, 0.0),
    ];
    for (id, timestamp, rows, expected) in batches {
        let row = |number| row_of(&format!("{id}{number}"), timestamp, 1.0);
        simulator.push_rows((0..rows).map(row));
        service
            .shows(
                r#"starlink_exporter_catching_up{account="default"}"#,
                expected,
            )
            .await;
    }
    let lag = service.scrape().await;
    let lag = lag.value(r#"starlink_exporter_telemetry_lag_seconds{account="default"}"#);
    assert!(lag.unwrap() >= 3600.0, "{lag:?}");
}
