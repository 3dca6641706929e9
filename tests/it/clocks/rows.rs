//! Tests of answers without rows and of rows that are all left out, on the page, in the API and in the log, over time.

use super::*;

/// The page's main parts as text.
async fn home(world: &World) -> String {
    world.service.get("/").await.body
}

fn assert_says(home: &str, texts: &[&str]) {
    for text in texts {
        assert!(home.contains(text), "{text}: {home}");
    }
}

#[actix_rt::test]
async fn a_silent_stream_is_reported_after_a_minute() {
    let ids: Vec<_> = (0..14).map(|number| format!("ut-{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let mut world = World::new(&[]).await;
    world.rows(&ids, Duration::ZERO).await;
    let message = "answers contain no rows";
    // A single answer without rows is not a silence.
    let body = world.listen(Duration::from_secs(15)).await;
    assert_eq!(own(&body, "stream_silent"), 1.0);
    assert_says(&home(&world).await, &["<strong>Healthy</strong>"]);
    assert!(world.events(message).is_empty());
    for _ in 0..24 {
        world.listen(Duration::from_secs(15)).await;
    }
    assert_says(
        &home(&world).await,
        &[
            "<strong>No rows</strong>",
            "has sent no rows for 6 min: the stream is silent, or all terminals are.",
            "<dt>Lag</dt><dd class=\"notice\">0 s (of the last rows, 6 min ago)",
        ],
    );
    let stream = world.status().await["accounts"][0]["stream"].clone();
    assert_eq!(stream["silent"], true);
    let silent = stream["no_rows_seconds"].as_f64().unwrap();
    assert!((374.0..376.0).contains(&silent), "{silent}");
    let logged = world.events(message);
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert_eq!(logged[0].text("level"), "WARN");
    assert_eq!(logged[0].value("for_seconds").unwrap(), 60);
    assert_eq!(logged[0].value("devices").unwrap(), 14);
    assert!(world.events("rows arrive again").is_empty());
    world.rows(&ids, 7 * MINUTE).await;
    let ends = world.events("rows arrive again");
    assert_eq!(ends.len(), 1, "{ends:?}");
    assert_eq!(ends[0].text("level"), "INFO");
    assert_eq!(ends[0].value("for_seconds").unwrap(), 375);
    assert_says(&home(&world).await, &["Receiving telemetry."]);
    assert_eq!(
        world.status().await["accounts"][0]["stream"]["no_rows_seconds"],
        Value::Null
    );
    // Rows that follow rows are not logged.
    world.rows(&ids, 8 * MINUTE).await;
    assert_eq!(world.events("rows arrive again").len(), 1);
    // The problem is still shown when the terminals have become offline.
    for _ in 0..50 {
        world.listen(MINUTE).await;
    }
    assert_says(
        &home(&world).await,
        &["<strong>No rows</strong>", "has sent no rows for 50 min"],
    );
    assert_eq!(
        world.status().await["accounts"][0]["stream"]["silent"],
        false
    );
    assert_eq!(world.events(message).len(), 2);
}

#[actix_rt::test]
async fn the_lag_of_old_rows_has_their_age_in_small_fleets_too() {
    let mut world = World::new(&[]).await;
    world.rows(&["ut-1"], Duration::ZERO).await;
    for _ in 0..6 {
        world.listen(MINUTE).await;
    }
    assert_says(
        &home(&world).await,
        &[
            "no row has arrived for longer than STALE_AFTER",
            "0 s (of the last rows, 6 min ago)",
        ],
    );
    assert!(world.events("answers contain no rows").is_empty());
}

#[actix_rt::test]
async fn rows_that_are_all_left_out_are_reported_with_the_reason() {
    let mut world = World::new(&[]).await;
    world.nothing().await;
    let future = world.start + u64::try_from(HOUR.as_nanos()).unwrap();
    let early = r#"["u",1763000000,"ut-3",1]"#.to_owned();
    let rows = [
        row_of("ut-1", future, 1.0),
        row_of("ut-2", future, 1.0),
        early,
    ];
    world.answer(Answer::rows(rows)).await;
    assert_says(
        &home(&world).await,
        &[
            "<strong>Rows left out</strong>",
            "3 rows have arrived, and all were left out. The reason for 2 of them: their timestamps are more than 10 minutes in the future.",
            "unknown: all rows were left out",
        ],
    );
    let left_out = world.status().await["accounts"][0]["stream"]["left_out"].clone();
    assert_eq!(
        left_out,
        serde_json::json!({
            "rows": 3, "reason": "future", "rows_with_reason": 2,
            "because": "their timestamps are more than 10 minutes in the future",
        })
    );
    // An accepted row ends it.
    world.rows(&["ut-1"], Duration::ZERO).await;
    assert_eq!(
        world.status().await["accounts"][0]["stream"]["left_out"],
        Value::Null
    );
    // Then some may be left out for a minute.
    let odd = || Answer::rows([row_of("ut-2", future, 1.0)]);
    for (wait, is_told) in [(1, false), (59, false), (2, true)] {
        world.advance(Duration::from_secs(wait)).await;
        world.answer(odd()).await;
        let left_out = world.status().await["accounts"][0]["stream"]["left_out"].clone();
        assert_eq!(left_out.is_object(), is_told, "{wait}: {left_out}");
    }
    assert_says(
        &home(&world).await,
        &["3 rows have arrived, and all were left out: their timestamps are"],
    );
}
