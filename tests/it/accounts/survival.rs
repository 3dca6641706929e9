//! The last answer of an account that is stopped, and accounts that cannot start or change: nothing is lost, and the others continue.

use starlink_telemetry::simulator::{Answer, AnswerBody};

use super::*;
use crate::files::exhaustion::WithoutThreads;
use crate::wire;

/// Waits until the account has a poll that lingers, so that the next answer is the one that the test pushes.
async fn lingers(world: &World, name: &str) {
    let lingers = |seen: &Journal| seen.polls_in_flight == 1;
    let lingers = world.simulator(name).wait_until(WAIT_LIMIT, lingers);
    assert!(lingers.await, "{name}");
}

/// The accounts `a` and `b` in a service in which a poll of `b` lingers.
async fn with_polls_that_linger(tuning: Tuning) -> (World, Service) {
    let world = World::of(["a", "b"]);
    let service = world
        .start(&[("MAX_LINGER", "60000")], tuning, Clock::system())
        .await;
    lingers(&world, "b").await;
    (world, service)
}

#[actix_rt::test]
async fn an_answer_that_comes_while_the_stream_actor_keeps_failing_is_stored() {
    let (world, service) = with_polls_that_linger(Tuning::default()).await;
    inject(&service, "b", Role::Stream, Place::Started(9), Fault::Panic);
    let stream_up = r#"starlink_exporter_actor_up{account="b",actor="stream"}"#;
    service.shows(stream_up, 0.0).await;
    world
        .simulator("b")
        .push_rows([terminal_row("b", 2_000_000_000, 7.0)]);
    service.shows(&throughput("b"), 7.0).await;
    let scrape = service.scrape().await;
    assert_eq!(scrape.value(&up("b")), Some(0.0), "the account is stopped");
    assert_eq!(scrape.value(&up("a")), Some(1.0));
    let counted = of_account("starlink_exporter_polls_total", "b");
    service.shows(&counted, 2.0).await;
}

#[actix_rt::test]
async fn an_answer_that_comes_while_the_metadata_actor_keeps_failing_is_stored() {
    let (world, service) = with_polls_that_linger(Tuning::default()).await;
    inject(
        &service,
        "b",
        Role::Metadata,
        Place::Started(9),
        Fault::Panic,
    );
    let metadata_up = r#"starlink_exporter_actor_up{account="b",actor="metadata"}"#;
    service.shows(metadata_up, 0.0).await;
    world
        .simulator("b")
        .push_rows([terminal_row("b", 2_000_000_000, 7.0)]);
    service.shows(&up("b"), 0.0).await;
    service.shows(&throughput("b"), 7.0).await;
}

#[actix_rt::test]
async fn an_answer_that_is_arriving_when_a_stopped_account_is_removed_is_stored() {
    let tuning = Tuning {
        reload_interval: Duration::from_millis(50),
        ..Tuning::default()
    };
    let (world, service) = with_polls_that_linger(tuning).await;
    // Three seconds until the actor is given up, and five in which the answer arrives.
    inject(&service, "b", Role::Token, Place::Started(9), Fault::Panic);
    let simulator = world.simulator("b");
    let body = AnswerBody::new().rows([terminal_row("b", 2_000_000_000, 7.0)]);
    let piece = body.to_json().len().div_ceil(10);
    simulator.push_answer(Answer::from(body).trickle(piece, Duration::from_millis(500)));
    service.shows(&up("b"), 0.0).await;
    let journal = simulator.journal();
    assert_eq!(journal.polls_in_flight, 1, "the answer is arriving");
    world.write(&[world.entry("a", "a", "secret")]);
    service.shows(&throughput("b"), 7.0).await;
    eventually("the account is removed", || async {
        !service.scrape().await.has(&up("b"))
    })
    .await;
}

#[actix_rt::test]
async fn an_account_that_gets_no_thread_is_started_when_there_is_one() {
    let world = World::of(["a"]);
    world.write_all();
    let starved = WithoutThreads::with(world.environment(&[("MAX_LINGER", "60000")])).await;
    let mut binary = starved.start();
    let address = binary.address().await;
    let simulator = world.simulator("a");
    simulator.push_rows([terminal_row("a", 1_000_000_000, 1.0)]);
    shows(address, &throughput("a"), 1.0).await;
    lingers(&world, "a").await;
    world.write(&[world.entry("renamed", "a", "secret")]);
    binary.logs("accounts reloaded").await;
    starved.forbid();
    // The account with the old name ends with its poll, and the one with the new name gets no thread.
    simulator.push_rows([terminal_row("a", 2_000_000_000, 2.0)]);
    let failed = "cannot start a thread for an account: retrying";
    binary.logs(failed).await;
    let events = binary.events_saying(failed);
    assert_eq!(events[0].text("level"), "WARN");
    assert_eq!(events[0].text("account"), "renamed");
    assert!(events[0].value("retry_in_seconds").is_some());
    shows(address, &throughput("a"), 2.0).await;
    starved.allow();
    shows(address, &up("renamed"), 1.0).await;
    lingers(&world, "a").await;
    simulator.push_rows([terminal_row("a", 3_000_000_000, 3.0)]);
    shows(address, &throughput("a"), 3.0).await;
    binary.signal("TERM");
    assert_eq!(binary.ended().await, Some(0));
}

#[actix_rt::test]
async fn a_credential_file_that_cannot_be_used_concerns_its_account_alone() {
    let world = World::of(["a", "b", "c"]);
    let secret_file = |name: &str| world.directory.path().join(format!("key-{name}"));
    let write = |name: &str, secret: &str| fs::write(secret_file(name), secret).unwrap();
    // An entry with the secret in a file.
    let entry = |name: &str, more: &str| {
        let entry = world.entry(name, name, "secret");
        let file = format!("client_secret_file: key-{name}");
        entry.replace("client_secret: secret", &file) + more
    };
    write("a", "secret");
    write("b", "secret\n");
    world.write(&[entry("a", ""), entry("b", "")]);
    let mut environment = world.environment(&[("MAX_LINGER", "200")]);
    environment.push(("LOG_FORMAT".to_owned(), "json".into()));
    let mut binary = Binary::execute(&[], environment);
    let address = binary.address().await;
    let works = async |name: &str, value: f64| {
        let simulator = world.simulator(name);
        simulator.revoke_tokens();
        simulator.push_rows([terminal_row(name, 1_000_000_000, value)]);
        shows(address, &throughput(name), value).await;
    };
    works("a", 1.0).await;
    works("b", 1.0).await;

    // The file of a is damaged, that of the new account is missing, and b changes.
    write("a", "\n");
    world.write(&[
        entry("a", "    batch_size: 7\n"),
        entry("b", "    batch_size: 8\n"),
        entry("c", ""),
    ]);
    let kept = "cannot use a credential file: the account keeps its previous settings";
    let left_out =
        "cannot use a credential file: the account is left out until the file is corrected";
    for (message, account, line, problem) in [
        (kept, "a", 4, "key-a is empty"),
        (left_out, "c", 14, "key-c cannot be read: No such file"),
    ] {
        binary.logs(message).await;
        let events = binary.events_saying(message);
        let [event] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(event.text("level"), "WARN");
        assert_eq!(event.text("account"), account);
        assert_eq!(event.text("file"), world.file().to_str().unwrap());
        assert_eq!(event.value("line"), Some(&serde_json::Value::from(line)));
        let error = event.text("error");
        assert!(
            error.contains(problem) && error.contains(": give the path"),
            "{error}"
        );
    }
    let obstacle = async || {
        let verbose = wire::get(address, "/livez?verbose", &[]).await.body;
        let report: serde_json::Value = serde_json::from_str(&verbose).unwrap();
        let mut tasks = report["tasks"].as_array().unwrap().iter();
        let task = tasks.find(|task| task["name"] == "accounts").unwrap();
        task["trouble"].as_str().map(str::to_owned)
    };
    let shown = obstacle().await.unwrap();
    assert!(
        shown.starts_with("account a, line 4: client_secret_file"),
        "{shown}"
    );
    assert!(
        shown.ends_with("; 1 more accounts have such problems"),
        "{shown}"
    );
    let batch_size = |name: &str| {
        let polls = world.simulator(name).journal().polls;
        polls.iter().rev().find_map(|poll| poll.batch_size)
    };
    works("b", 2.0).await;
    eventually("b has its new settings", || async {
        batch_size("b") == Some(8)
    })
    .await;
    works("a", 2.0).await;
    assert_eq!(batch_size("a"), Some(1000), "a has its previous settings");
    assert_eq!(world.simulator("c").journal().polls.len(), 0);

    // The files are corrected, and the accounts follow without another change of their entries.
    write("a", "secret");
    write("c", "secret");
    works("c", 3.0).await;
    works("a", 3.0).await;
    eventually("a has its new settings", || async {
        batch_size("a") == Some(7)
    })
    .await;
    assert_eq!(obstacle().await, None);
    for message in [kept, left_out] {
        assert_eq!(binary.events_saying(message).len(), 1, "{message}");
    }
}

#[actix_rt::test]
async fn a_flood_of_reloads_loses_no_row_and_disturbs_no_other_account() {
    const RELOADS: usize = 150;
    let world = World::of(["a", "b"]);
    let tuning = Tuning {
        reload_interval: Duration::from_millis(50),
        ..Tuning::default()
    };
    let service = world
        .start(
            &[("MAX_LINGER", "200"), ("POLLS_PER_MINUTE", "240")],
            tuning,
            Clock::system(),
        )
        .await;
    let simulator = world.simulator("b");
    let device = |number: usize| format!("b-{number}");
    for number in 0..RELOADS {
        // The account of b has another name in each list.
        let name = format!("b{number}");
        world.write(&[
            world.entry("a", "a", "secret"),
            world.entry(&name, "b", "secret"),
        ]);
        simulator.push_rows([terminal_row(&device(number), 1_000_000_000, 1.0)]);
        // First too fast for a list to be seen twice, then so that each may be.
        let pause = if number < RELOADS / 2 { 10 } else { 40 };
        actix_rt::time::sleep(Duration::from_millis(pause)).await;
    }
    let last = up(&format!("b{}", RELOADS - 1));
    service.shows(&last, 1.0).await;
    // The new names continue at the pace of the old ones, so the rows take 40 seconds: each of the answers has its own time limit.
    for number in 0..RELOADS {
        service.shows(&throughput(&device(number)), 1.0).await;
    }
    let scrape = service.scrape().await;
    for number in 0..RELOADS {
        assert!(scrape.has(&throughput(&device(number))), "{number}");
    }
    world.works(&service, "a", 2.0).await;
    for (name, simulator) in &world.simulators {
        let journal = simulator.journal();
        assert!(journal.most_polls_in_flight <= 1, "{name}");
        assert_eq!(journal.polls_with(Outcome::Abandoned), 0, "{name}");
    }
}
