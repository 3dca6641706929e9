//! Tests of polls: their form, batches, lingering, and the script.

use super::*;

#[test]
fn only_an_exact_request_is_answered() {
    let simulator = start(Options::default());
    let cases = [
        (json!({"batchSize": 1, "maxLingerMs": 0}), 200),
        (json!({"batchSize": 65000, "maxLingerMs": 0}), 200),
        (json!({"batchSize": 0, "maxLingerMs": 0}), 400),
        (json!({"batchSize": 65001, "maxLingerMs": 0}), 400),
        (json!({"batchSize": 1, "maxLingerMs": 65001}), 400),
        (json!({"batchSize": 1, "maxLingerMs": -1}), 400),
        (json!({"batchSize": 1.5, "maxLingerMs": 0}), 400),
        (json!({"batchSize": "1", "maxLingerMs": 0}), 400),
        (json!({"batchSize": 1}), 400),
        (json!({"batchSize": 1, "maxLingerMs": 0, "more": 1}), 400),
        (json!([]), 400),
    ];
    run(async {
        let token = simulator.issue_token();
        for (body, expected) in cases {
            let mut answer = send(&simulator, &token, &body).await.expect("an answer");
            assert_eq!(answer.status().as_u16(), expected, "{body}");
            let answer: Value = answer.json().await.expect("JSON");
            assert_eq!(answer.get("errors").is_some(), expected == 400, "{body}");
        }
        let url = format!("http://{}", simulator.address());
        for (path, expected) in [
            (STREAM_PATH, 405),
            (PUBLIC_TOKEN_PATH, 405),
            ("/nothing", 404),
        ] {
            let answer = client()
                .get(format!("{url}{path}"))
                .send()
                .await
                .expect("an answer");
            assert_eq!(answer.status().as_u16(), expected, "{path}");
        }
    });
    let polls = simulator.journal().polls;
    assert_eq!(polls[0].body, r#"{"batchSize":1,"maxLingerMs":0}"#);
    assert_eq!(
        (polls[1].batch_size, polls[1].max_linger_ms),
        (Some(65_000), Some(0))
    );
    assert_eq!(polls[2].batch_size, None);
}

#[test]
fn an_answer_has_the_documented_form() {
    let simulator = start(Options {
        routers: true,
        ..plain(3)
    });
    run(async {
        let token = token(&simulator).await;
        let (status, body) = poll(&simulator, &token, NO_LINGER).await;
        assert_eq!(status, 200);
        for row in body["data"]["values"].as_array().expect("values") {
            let code = row[0].as_str().expect("a device type");
            let columns = body["data"]["columnNamesByDeviceType"][code].as_array();
            assert_eq!(columns.map(Vec::len), row.as_array().map(Vec::len), "{row}");
            let lag_ns = now_ns() - i128::from(row[1].as_u64().expect("a timestamp"));
            assert!((0..60_000_000_000).contains(&lag_ns), "{lag_ns}");
        }
        assert_eq!(rows(&body).len(), 9);
        assert_eq!(body["metadata"]["enums"]["DeviceType"]["u"], "UserTerminal");
    });
    assert_eq!(simulator.journal().rows_handed_out, 9);
}

fn now_ns() -> i128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_nanos() as i128
}

#[test]
fn an_empty_answer_is_sent_after_the_linger() {
    let simulator = start(Options::default());
    run(async {
        let token = token(&simulator).await;
        let started = Instant::now();
        let (status, body) = poll(&simulator, &token, (1, 150)).await;
        assert!(started.elapsed() >= Duration::from_millis(150));
        assert_eq!((status, rows(&body).len()), (200, 0));
    });
}

#[test]
fn simulators_that_began_together_hand_out_the_same_rows() {
    let begun = Some(SystemTime::now() - Duration::from_secs(2));
    let both = [(); 2].map(|()| {
        start(Options {
            begun,
            speed: 30.0,
            ..plain(3)
        })
    });
    let seen = both.each_ref().map(|simulator| {
        run(async {
            let token = token(simulator).await;
            // Of ticks that are over.
            let (_, body) = poll(simulator, &token, (15, 65_000)).await;
            rows(&body)
        })
    });
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].len(), 15);
}

#[test]
fn a_full_batch_is_sent_at_once_and_clients_share_the_rows() {
    let simulator = start(plain(50));
    run(async {
        let token = token(&simulator).await;
        // Tick 0 has 50 terminals and 50 allocations: ten batches, none of which may wait 65 seconds.
        let mut seen = BTreeSet::new();
        for _ in 0..5 {
            let both = futures_util::future::join(
                poll(&simulator, &token, (10, 65_000)),
                poll(&simulator, &token, (10, 65_000)),
            );
            let ((_, one), (_, two)) = both.await;
            assert_eq!((rows(&one).len(), rows(&two).len()), (10, 10));
            seen.extend(rows(&one));
            seen.extend(rows(&two));
        }
        assert_eq!(seen.len(), 100);
        let (_, rest) = poll(&simulator, &token, (10, 0)).await;
        assert!(rows(&rest).is_empty());
    });
}

#[test]
fn ticks_are_shorter_with_a_higher_speed() {
    let simulator = start(Options {
        speed: 150.0,
        ..plain(5)
    });
    run(async {
        let token = token(&simulator).await;
        poll(&simulator, &token, (10, 65_000)).await;
        // The next 20 rows are four ticks away: 0.4 s, not a minute.
        let (_, body) = poll(&simulator, &token, (20, 65_000)).await;
        assert_eq!(rows(&body).len(), 20);
    });
}

#[test]
fn a_backlog_is_sent_first_in_full_batches() {
    let simulator = start(Options {
        backlog: Duration::from_secs(600),
        ..plain(10)
    });
    run(async {
        let token = token(&simulator).await;
        let mut oldest_ns = Vec::new();
        for _ in 0..4 {
            let (_, body) = poll(&simulator, &token, (100, 65_000)).await;
            assert_eq!(rows(&body).len(), 100);
            oldest_ns.push(body["data"]["values"][0][1].as_u64().expect("a timestamp"));
        }
        assert!(oldest_ns.is_sorted());
        assert!(now_ns() - i128::from(oldest_ns[0]) >= 600_000_000_000);
    });
}

#[test]
fn polls_beyond_the_rate_limit_are_refused() {
    let simulator = start(Options {
        polls_per_minute: Some(2),
        ..Options::default()
    });
    run(async {
        let token = token(&simulator).await;
        for expected in [200, 200, 429] {
            assert_eq!(poll(&simulator, &token, (1, 0)).await.0, expected);
        }
    });
}

#[test]
fn the_script_is_answered_in_order_then_the_default_then_the_fleet() {
    let simulator = start(plain(1));
    simulator.push_answer(Answer::error(503, "first"));
    simulator.push_rows([r#"["u",1,"ut1"]"#]);
    simulator.push_body(r#"{"data":null}"#);
    simulator.set_default_answer(Some(Answer::html().status(502)));
    run(async {
        let token = token(&simulator).await;
        let (status, body) = poll(&simulator, &token, NO_LINGER).await;
        assert_eq!(
            (status, &body["errors"][0]["errorMessage"]),
            (503, &json!("first"))
        );
        assert_eq!(
            rows(&poll(&simulator, &token, NO_LINGER).await.1),
            [r#"["u",1,"ut1"]"#]
        );
        assert_eq!(
            poll(&simulator, &token, NO_LINGER).await.1,
            json!({"data": null})
        );
        assert_eq!(poll(&simulator, &token, NO_LINGER).await.0, 502);
        assert_eq!(poll(&simulator, &token, NO_LINGER).await.0, 502);
        simulator.set_default_answer(None);
        assert_eq!(rows(&poll(&simulator, &token, NO_LINGER).await.1).len(), 2);
    });
    assert_eq!(simulator.journal().polls_answered_with(502), 2);
}

#[test]
fn a_waiting_poll_takes_a_pushed_answer_at_once() {
    let simulator = start(Options::default());
    run(async {
        let token = token(&simulator).await;
        let push = async {
            assert!(
                simulator
                    .wait_until(WAIT_LIMIT, |journal| journal.polls_in_flight == 1)
                    .await
            );
            simulator.push_rows(["[1]"]);
        };
        let (answer, ()) =
            futures_util::future::join(poll(&simulator, &token, (1, 65_000)), push).await;
        assert_eq!(rows(&answer.1), ["[1]"]);
    });
}

#[test]
fn polls_in_flight_are_counted() {
    let simulator = start(Options::default());
    run(async {
        let token = token(&simulator).await;
        let two = futures_util::future::join(
            poll(&simulator, &token, (1, 65_000)),
            poll(&simulator, &token, (1, 65_000)),
        );
        let release = async {
            assert!(
                simulator
                    .wait_until(WAIT_LIMIT, |journal| journal.polls_in_flight == 2)
                    .await
            );
            simulator.set_default_answer(Some(Answer::text("{}")));
        };
        futures_util::future::join(two, release).await;
    });
    let journal = simulator.journal();
    assert_eq!(
        (journal.most_polls_in_flight, journal.polls_in_flight),
        (2, 0)
    );
}
