//! Tests of outages: their end, their cause, and the rows that they cost.

use super::*;

#[actix_rt::test]
async fn success_and_failure_that_alternate_are_one_outage() {
    let mut world = World::new(&[]).await;
    world.nothing().await;
    // Every second poll fails.
    let began = world.status().await["timestamp_seconds"].as_f64().unwrap();
    for _ in 0..40 {
        world.fail(Answer::error(503, "upstream")).await;
        world.listen(Duration::from_secs(13)).await;
    }
    let ended = world.status().await["timestamp_seconds"].as_f64().unwrap();
    let lines: Vec<_> = captured::events(world.service.system)
        .into_iter()
        .filter(|event| event.text("message").contains("poll"))
        .map(|event| event.text("message").to_owned())
        .filter(|message| message != "first poll succeeded")
        .collect();
    let minutes = ((ended - began) / 60.0) as usize;
    assert!(minutes >= 8, "{minutes}");
    assert!(
        (minutes / 2..=minutes + 1).contains(&lines.len()),
        "{lines:?}"
    );
    assert!(world.events("polls succeed again").is_empty());
    // The outage ends after a minute without a failure.
    world.listen(MINUTE).await;
    let ends = world.events("polls succeed again");
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert_eq!(ends[0].value("failures").unwrap(), 40);
}

#[actix_rt::test]
async fn a_token_outage_ends_after_a_minute_of_success() {
    token_outage(false).await;
}

#[actix_rt::test]
async fn a_token_outage_ends_in_time_even_if_the_actor_is_restarted_meanwhile() {
    token_outage(true).await;
}

async fn token_outage(actor_dies: bool) {
    captured::start();
    let simulator = scripted_simulator();
    // One answer for each of the two addresses.
    for _ in 0..2 {
        simulator.push_token_answer(Answer::error(500, "down"));
    }
    let (service, time) = Service::with_manual_clock(&simulator, &[LONG_LINGER]).await;
    let failed = || async {
        time.advance(Duration::from_millis(100));
        let body = service.scrape().await;
        body.value(
            r#"starlink_exporter_token_request_failures_total{account="default",reason="status"}"#,
        ) == Some(1.0)
    };
    eventually("a failure", failed).await;
    // In short steps, so that the time of success is known: the retry may not have been scheduled yet.
    eventually("a poll", || async {
        time.advance(Duration::from_millis(500));
        !simulator.journal().polls.is_empty()
    })
    .await;
    let ends = || {
        let mut events = captured::events(service.system);
        events.retain(|event| event.text("message") == "token requests succeed again");
        events.len()
    };
    assert_eq!(ends(), 0);
    if actor_dies {
        inject(&service.account.token, Place::Handler, Fault::Panic).await;
        let restarts = r#"starlink_exporter_actor_restarts_total{account="default",actor="token",cause="panic"}"#;
        let is_back = || async {
            time.advance(Duration::from_millis(100));
            let body = service.scrape().await;
            let up = body.value(r#"starlink_exporter_actor_up{account="default",actor="token"}"#);
            body.value(restarts) == Some(1.0) && up == Some(1.0)
        };
        eventually("the actor is restarted", is_back).await;
    }
    // The end is logged although no other request is made.
    time.advance(MINUTE + Duration::from_millis(2));
    eventually("the end", || async { ends() == 1 }).await;
    assert_eq!(simulator.journal().token_requests.len(), 3);
}

#[actix_rt::test]
async fn polls_that_are_cut_after_equal_times_are_reported_with_that_time() {
    let mut world = World::new(&[]).await;
    world.nothing().await;
    for seconds in [40, 41] {
        world.advance(Duration::from_secs(seconds)).await;
        world.fail(Answer::closed()).await;
    }
    let system = world.service.system;
    let lines = || {
        let mut events = captured::events(system);
        events.retain(|event| event.text("level") == "WARN");
        events
    };
    eventually("it is logged", || async {
        lines()
            .iter()
            .filter(|event| event.says("MAX_LINGER (now 65000 ms)"))
            // The clock advances in steps of half a second until the loss is noticed.
            .any(|event| (40..=43).any(|cut| event.says(&format!("about {cut} s"))))
    })
    .await;
    let status = world.service.get("/api/v1/status").await;
    assert!(
        status.body.contains("set MAX_LINGER (now 65000 ms)"),
        "{}",
        status.body
    );
    // The advice is logged once more when it is certain, although a line was logged less than a minute ago.
    let logged = lines();
    world.advance(Duration::from_secs(5)).await;
    world.fail(Answer::error(502, "later")).await;
    assert_eq!(logged.len(), 2, "{logged:?}");
    assert_eq!(lines().len(), 2);
}

#[actix_rt::test]
async fn rows_that_were_given_up_are_not_stored_later() {
    let mut world = World::new(&[]).await;
    world.rows(&["ut-1"], Duration::ZERO).await;
    // The store hangs before it reads its next message, until both hand-overs of the batch have run out of time.
    let latch = Latch::closed();
    let hang = Inject(Place::Handler, Fault::HangUntil(latch));
    world.service.store.do_send(hang);
    world
        .simulator
        .push_answer(Answer::rows([row_of("ut-lost", world.start, 1.0)]));
    // The next poll starts only when the batch is stored or given up.
    eventually("they are given up", || async {
        world.time.advance(Duration::from_secs(31));
        world.simulator.journal().polls.len() > 2
    })
    .await;
    latch.open();
    // The offers of the batch are in the mailbox of the store before this message.
    world.service.store.send(Heartbeat).await.unwrap();
    world.advance(Duration::ZERO).await;
    let body = world.service.scrape().await;
    let lost = r#"starlink_exporter_rows_rejected_total{account="default",reason="store_failed"}"#;
    assert_eq!(body.value(lost), Some(1.0));
    assert!(!body.text.contains("ut-lost"), "lost rows are lost");
    let rows = r#"starlink_exporter_rows_total{account="default",code="u"}"#;
    assert_eq!(body.value(rows), Some(1.0));
}
