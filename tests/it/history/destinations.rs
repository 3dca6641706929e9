//! Tests of several destinations and accounts: one does not delay another, and the list of destinations changes while rows are sent.

use std::ffi::OsString;

use starlink_telemetry::app::Tuning;
use starlink_telemetry::time::Clock;

use super::*;
use crate::harness::{Service, environment};
use crate::receiver::milliseconds;

#[actix_rt::test]
async fn a_destination_that_is_away_does_not_delay_another() {
    let world = World::new(fleet(true), Model::prometheus(WINDOW), "33h");
    let other = Receiver::start(Model::victoria_metrics());
    other.unplug();
    let list = [
        entry("here", &world.receiver, &["out_of_order_window: 33h"]),
        entry(
            "away",
            &other,
            &[
                "out_of_order_window: unlimited",
                "own_metrics: false",
                "labels: {job: other, site: north}",
                "drop: [starlink_H3CellId]",
            ],
        ),
    ];
    let (_binary, address) = world.start_with(&list.concat(), &[]).await;
    world.hands_out(60).await;
    let expected = world.expected(Destination::default());
    world
        .receiver
        .stores("the rows so far", |store| {
            let problems = expected.problems(&store.samples);
            problems
                .iter()
                .all(|problem| problem.contains("no row gives"))
        })
        .await;
    let pending = |body: &Body, name: &str| of_sender(body, "pending_rows", name, "");
    let body = form::scrape(address, "prometheus").await;
    assert!(pending(&body, "away") >= Some(60.0));
    other.plug();
    world.is_complete(Destination::default()).await;
    eventually("nothing waits", || async {
        let body = form::scrape(address, "prometheus").await;
        [pending(&body, "here"), pending(&body, "away")] == [Some(0.0); 2]
    })
    .await;
    // The labels and families of the second one are as its entry says.
    let (here, away) = (world.receiver.store().samples, other.store().samples);
    let renamed = here.into_iter().filter_map(|(series, samples)| {
        let is_wanted = !is_own(&series) && !series.starts_with("starlink_H3CellId{");
        let (name, labels) = series.split_once('{')?;
        let labels = labels.strip_suffix('}')?;
        let mut labels: Vec<_> = labels
            .split(',')
            .map(|label| match label.starts_with("job=") {
                true => r#"job="other""#,
                false => label,
            })
            .chain([r#"site="north""#])
            .collect();
        labels.sort_by_key(|label| label.split('=').next());
        is_wanted.then(|| (format!("{name}{{{}}}", labels.join(",")), samples))
    });
    let renamed: crate::receiver::Samples = renamed.collect();
    let keys = |samples: &crate::receiver::Samples| samples.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&away), keys(&renamed));
    assert_eq!(away, renamed);
}

/// Two accounts with their own tenants: each request holds the rows of one account.
#[actix_rt::test]
async fn requests_name_the_tenant_of_their_account() {
    let world = World::new(fleet(true), Model::prometheus(WINDOW), "33h");
    let second = Simulator::start(Options {
        client_id: "other".to_owned(),
        first_terminal: 100,
        seed: 2,
        ..fleet(true)
    })
    .unwrap();
    let account = |name: &str, id: &str, simulator: &Simulator, more: &str| {
        format!(
            "  - name: {name}\n    client_id: {id}\n    client_secret: secret\n    api_url: {}\n{more}",
            simulator.api_url()
        )
    };
    let accounts = world.directory.path().join("accounts.yml");
    let entries = [
        account("north", "client", &world.simulator, ""),
        account("south", "other", &second, "    tenant: fleet-2\n"),
    ];
    fs::write(&accounts, format!("accounts:\n{}", entries.concat())).unwrap();
    let more = ["out_of_order_window: 33h", "tenant: account"];
    let list = entry("default", &world.receiver, &more);
    let changes = [
        ("ACCOUNTS_FILE", accounts.to_str().unwrap()),
        ("CLIENT_ID", ""),
        ("CLIENT_SECRET", ""),
        ("API_URL", ""),
    ];
    let (_binary, _) = world.start_with(&list, &changes).await;
    world.hands_out(60).await;
    ends(&second).await;
    ends(&world.simulator).await;
    let mut answers = delivered(&world.simulator, &[]);
    answers.extend(delivered(&second, &[]));
    let expected = Expected::of(&answers, Destination::default());
    is_complete(&world.receiver, &expected).await;
    let first_of_second = starlink_telemetry::simulator::terminal_id(100);
    let mut tenants = std::collections::BTreeSet::new();
    for request in world.receiver.requests() {
        let tenant = request.header("x-scope-orgid").unwrap_or_default();
        tenants.insert(tenant.to_owned());
        for series in request.series() {
            let id = series.labels.get("deviceID");
            let is_of_second = id.map(|id| *id >= first_of_second);
            let expected = is_of_second.map(|it| if it { "fleet-2" } else { "north" });
            assert!(
                expected.is_none_or(|it| it == tenant),
                "{tenant}: {series:?}"
            );
            // Metrics of the process belong to no account.
            assert!(!series.text.starts_with("process_"), "{tenant}: {series:?}");
        }
    }
    let names: Vec<_> = tenants.iter().map(String::as_str).collect();
    assert_eq!(names, ["fleet-2", "north"]);
}

/// A service in this process that checks the file of destinations often.
async fn reloading(world: &World, destinations: &str) -> Service {
    let file = world.write_destinations(destinations);
    let journal = world.journal();
    fs::create_dir_all(&journal).unwrap();
    let changes = [
        ("JOURNAL_DIR", journal.to_str().unwrap()),
        ("REMOTE_WRITE_FILE", file.to_str().unwrap()),
    ];
    let tuning = Tuning {
        reload_interval: Duration::from_millis(50),
        ..Tuning::default()
    };
    let variables: Vec<(String, OsString)> = environment(&world.simulator, &changes);
    Service::set(variables, tuning, Clock::system()).await
}

#[actix_rt::test]
async fn destinations_come_and_go_with_the_file() {
    let world = World::new(fleet(true), Model::prometheus(WINDOW), "33h");
    let other = Receiver::start(Model::victoria_metrics());
    let first = entry("first", &world.receiver, &["out_of_order_window: 33h"]);
    let second = entry("second", &other, &["out_of_order_window: unlimited"]);
    let service = reloading(&world, &first).await;
    world.hands_out(30).await;

    // A new destination with a window begins with the oldest record.
    world.write_destinations(&[first.clone(), second.clone()].concat());
    other
        .gets("a request", |requests| !requests.is_empty())
        .await;
    world.hands_out(30).await;

    // A wrong file changes nothing.
    let wrong = [first, second.clone(), "  - name: third\n".to_owned()].concat();
    world.write_destinations(&wrong);
    world.hands_out(30).await;
    let expected = world.expected(Destination::default());
    for receiver in [&world.receiver, &other] {
        receiver
            .stores("the rows so far", |store| {
                let problems = expected.problems(&store.samples);
                problems
                    .iter()
                    .all(|problem| problem.contains("no row gives"))
            })
            .await;
    }

    // The first one goes.
    world.write_destinations(&second);
    eventually("its metrics are gone", || async {
        let body = service.scrape().await;
        of_sender(&body, "pending_rows", "first", "").is_none()
    })
    .await;
    // A request with earlier rows, or with the markers of its own series, may still be on its way.
    let since = milliseconds(SystemTime::now());
    world.hands_out(30).await;
    ends(&world.simulator).await;
    is_complete(&other, &world.expected(Destination::default())).await;
    let store = world.receiver.store();
    let rows = store.samples.iter().filter(|(series, _)| !is_own(series));
    let newest = rows.filter_map(|(_, points)| points.keys().max()).max();
    assert!(
        newest.is_some_and(|newest| *newest <= since),
        "{newest:?} {since}"
    );
}

/// Rows that it has are not sent again, but for those of the records that were being sent when it left.
#[actix_rt::test]
async fn a_destination_that_returns_continues_where_it_was() {
    let world = World::new(fleet(false), Model::prometheus(WINDOW), "33h");
    let other = Receiver::start(Model::victoria_metrics());
    let stays = entry("stays", &world.receiver, &["out_of_order_window: 33h"]);
    let leaves = entry(
        "leaves",
        &other,
        &["out_of_order_window: unlimited", "own_metrics: false"],
    );
    let both = [stays.clone(), leaves].concat();
    let service = reloading(&world, &both).await;
    world.hands_out(100).await;
    let expected = world.expected(Destination::default());
    other
        .stores("the rows so far", |store| {
            let problems = expected.problems(&store.samples);
            problems.iter().all(|it| it.contains("no row gives"))
        })
        .await;
    world.write_destinations(&stays);
    eventually("its metrics are gone", || async {
        let body = service.scrape().await;
        of_sender(&body, "pending_rows", "leaves", "").is_none()
    })
    .await;
    let (stored, first) = (other.store().samples, other.requests().len());
    world.hands_out(30).await;
    world.write_destinations(&both);
    world.hands_out(30).await;
    ends(&world.simulator).await;
    is_complete(&other, &world.expected(Destination::default())).await;
    let known: usize = stored.values().map(|samples| samples.len()).sum();
    let requests = other.requests().split_off(first);
    let all = requests.iter().flat_map(|request| request.series());
    let is_known = |series: &crate::receiver::Series, time: &i64| {
        let samples = stored.get(&series.text);
        samples.is_some_and(|samples| samples.contains_key(time))
    };
    let again = all.map(|series| {
        let times = series.samples.iter().map(|(time, _)| time);
        times.filter(|time| is_known(series, time)).count()
    });
    let again: usize = again.sum();
    assert!(again * 4 < known, "{again} of {known} are sent again");
}

/// A new secret is used by the same sender: it still knows which version of the protocol the receiver speaks.
#[actix_rt::test]
async fn a_rotated_secret_keeps_its_sender() {
    let world = World::new(fleet(true), Model::victoria_metrics(), "unlimited");
    let token = world.directory.path().join("token");
    fs::write(&token, "first-token\n").unwrap();
    let more = [
        "out_of_order_window: unlimited",
        "authorization:",
        "  credentials_file: token",
    ];
    let list = entry("default", &world.receiver, &more);
    let service = reloading(&world, &list).await;
    world.hands_out(10).await;
    reports(service.address, "protocol_version", "", |it| it == 1.0).await;
    let has = |requests: &[crate::receiver::Request], token: &str, protocol| {
        let mut requests = requests.iter();
        requests.any(|request| {
            request.header("authorization") == Some(token) && request.protocol() == Some(protocol)
        })
    };
    world
        .receiver
        .gets("requests of 1.0", |requests| {
            has(requests, "Bearer first-token", Protocol::V1)
        })
        .await;
    let before = service.scrape().await;
    fs::write(&token, "second-token\n").unwrap();
    world
        .receiver
        .gets("the new token", |requests| {
            has(requests, "Bearer second-token", Protocol::V1)
        })
        .await;
    let requests = world.receiver.requests();
    assert!(!has(&requests, "Bearer second-token", Protocol::V2));
    let after = service.scrape().await;
    let samples = |body: &Body| of_sender(body, "samples_total", "default", "");
    assert!(samples(&after) >= samples(&before));
    let has_marker = |store: &crate::receiver::Store| {
        let samples = store.samples.iter();
        let mut up = samples.filter(|(series, _)| series.starts_with("starlink_up{"));
        up.any(|(_, samples)| samples.values().any(|bits| *bits == STALE))
    };
    assert!(!world.receiver.with_store(has_marker), "no series ends");
}
