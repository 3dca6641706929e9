//! Tests that the service recovers from panics, stops and hangs of each actor.

use std::cell::Cell;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler};
use starlink_telemetry::app::{Ending, Tuning};
use starlink_telemetry::simulator::{Answer, Outcome, Simulator};
use starlink_telemetry::supervise::Heartbeat;
use starlink_telemetry::supervise::faults::{Fault, Inject, Latch, Place};
use starlink_telemetry::supervise::{Role, SupervisionPolicy};
use starlink_telemetry::time::ManualTime;

use crate::form::Body;
use crate::harness::{
    Service, UP, WAIT_LIMIT, eventually, quick_hang_detection, scripted_simulator, terminal_row,
    throughput,
};

/// Evaluates an expression with the address of any actor.
macro_rules! with_actor {
    ($service:expr, $role:expr, |$address:ident| $body:expr) => {
        match $role {
            Role::Token => {
                let $address = &$service.account.token;
                $body
            }
            Role::Stream => {
                let $address = &$service.account.stream;
                $body
            }
            Role::Metadata => {
                let $address = &$service.account.metadata;
                $body
            }
            Role::Inventory => {
                let $address = $service.account.inventory.as_ref().unwrap();
                $body
            }
            Role::Journal | Role::RemoteWrite => unreachable!("no destination is configured"),
            Role::MetricsStore => {
                let $address = &$service.store;
                $body
            }
        }
    };
}

/// Injects a fault. A handler that panics does not reply.
pub async fn inject<A>(actor: &Addr<A>, place: Place, fault: Fault)
where
    A: Actor<Context = Context<A>> + Handler<Inject>,
    A::Context: ToEnvelope<A, Inject>,
{
    let answer = actor.send(Inject(place, fault)).await;
    assert_eq!(
        answer.is_err(),
        place == Place::Handler && fault == Fault::Panic
    );
}

fn restarts(role: Role, cause: &str) -> String {
    let actor = labels(role);
    format!(r#"starlink_exporter_actor_restarts_total{{{actor},cause="{cause}"}}"#)
}

fn up(role: Role) -> String {
    format!("starlink_exporter_actor_up{{{}}}", labels(role))
}

/// The labels of an actor. The store has no account.
fn labels(role: Role) -> String {
    let actor = format!(r#"actor="{}""#, role.name());
    match role {
        Role::MetricsStore => actor,
        _ => {
            format!(r#"account="default",{actor}"#)
        }
    }
}

/// The actors of a service without destinations.
fn started() -> impl Iterator<Item = Role> {
    let is_started = |role: &Role| !matches!(role, Role::Journal | Role::RemoteWrite);
    Role::ALL.into_iter().filter(is_started)
}

/// The actors without which an account does not poll, and the store.
const ESSENTIAL: [Role; 4] = [
    Role::Token,
    Role::Stream,
    Role::Metadata,
    Role::MetricsStore,
];

/// A service that reads the inventory and has stored one row.
async fn running_service(tuning: Tuning) -> (Simulator, Service) {
    service_with(tuning, &[("INVENTORY", "auto")]).await
}

/// The same with a long linger, so that the next batch is the one that the test pushes.
async fn lingering_service() -> (Simulator, Service) {
    service_with(Tuning::default(), &[("MAX_LINGER", "60000")]).await
}

async fn service_with(tuning: Tuning, changes: &[(&str, &str)]) -> (Simulator, Service) {
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("before", 1_000_000_000, 1.0)]);
    let service = Service::tuned(&simulator, changes, tuning).await;
    service.shows(&throughput("before"), 1.0).await;
    assert!(
        simulator
            .wait_until(WAIT_LIMIT, |seen| seen.polls_in_flight == 1)
            .await
    );
    (simulator, service)
}

const LOST: &str =
    r#"starlink_exporter_rows_rejected_total{account="default",reason="store_failed"}"#;
const STORE_FAILED: &str =
    r#"starlink_exporter_poll_failures_total{account="default",reason="store_failed"}"#;
const TERMINAL_ROWS: &str = r#"starlink_exporter_rows_total{account="default",code="u"}"#;

/// Checks that the service polls and stores with a new token, which needs all four actors.
async fn still_works(simulator: &Simulator, service: &Service, id: &str) {
    simulator.revoke_tokens();
    simulator.push_rows([terminal_row(id, 1_000_000_000, 2.0)]);
    service.shows(&throughput(id), 2.0).await;
    let scrape = service.scrape().await;
    assert_eq!(
        scrape.value(&throughput("before")),
        Some(1.0),
        "the store's state is kept"
    );
}

/// A panic and a stop of one actor in one place.
async fn survives(role: Role, place: Place) {
    let (simulator, service) = running_service(Tuning::default()).await;
    for (fault, cause, id) in [
        (Fault::Panic, "panic", "after-panic"),
        (Fault::Stop, "stop", "after-stop"),
    ] {
        let before = service
            .scrape()
            .await
            .value(&restarts(role, cause))
            .unwrap();
        with_actor!(service, role, |address| inject(address, place, fault).await);
        let series = restarts(role, cause);
        eventually("the actor is restarted", || async {
            let scrape = service.scrape().await;
            scrape.value(&series) > Some(before) && scrape.value(&up(role)) == Some(1.0)
        })
        .await;
        with_actor!(service, role, |address| address
            .send(Heartbeat)
            .await
            .unwrap());
        still_works(&simulator, &service, id).await;
    }
    assert_eq!(service.get("/livez").await.status, 200);
}

macro_rules! survives {
    ($($name:ident: $role:ident $place:expr;)*) => {$(
        #[actix_rt::test]
        async fn $name() {
            survives(Role::$role, $place).await;
        }
    )*};
}

survives! {
    token_dies_in_a_handler: Token Place::Handler;
    token_dies_in_a_future: Token Place::Future;
    token_dies_in_an_interval: Token Place::Interval;
    token_dies_in_started: Token Place::Started(1);
    stream_dies_in_a_handler: Stream Place::Handler;
    stream_dies_in_a_future: Stream Place::Future;
    stream_dies_in_an_interval: Stream Place::Interval;
    stream_dies_in_started: Stream Place::Started(1);
    inventory_dies_in_a_handler: Inventory Place::Handler;
    inventory_dies_in_a_future: Inventory Place::Future;
    inventory_dies_in_an_interval: Inventory Place::Interval;
    inventory_dies_in_started: Inventory Place::Started(1);
    metadata_dies_in_a_handler: Metadata Place::Handler;
    metadata_dies_in_a_future: Metadata Place::Future;
    metadata_dies_in_an_interval: Metadata Place::Interval;
    metadata_dies_in_started: Metadata Place::Started(1);
    store_dies_in_a_handler: MetricsStore Place::Handler;
    store_dies_in_a_future: MetricsStore Place::Future;
    store_dies_in_an_interval: MetricsStore Place::Interval;
    store_dies_in_started: MetricsStore Place::Started(1);
}

#[actix_rt::test]
async fn messages_queued_behind_a_panic_are_answered() {
    let (_simulator, service) = running_service(Tuning::default()).await;
    for role in started() {
        with_actor!(service, role, |address| {
            // While the actor hangs, the fault and all later messages wait in its mailbox.
            let latch = Latch::closed();
            let stuck = address.send(Inject(Place::Handler, Fault::HangUntil(latch)));
            let panic = address.send(Inject(Place::Handler, Fault::Panic));
            let queued: Vec<_> = (0..1000).map(|_| address.send(Heartbeat)).collect();
            latch.open();
            assert!(stuck.await.is_ok());
            assert!(panic.await.is_err());
            for answer in queued {
                assert!(answer.await.is_ok(), "{role:?}");
            }
        });
    }
}

/// A service with manual clocks that has stored one row. An actor that has failed stays down until time passes.
async fn service_with_manual_clocks() -> (Simulator, Service, ManualTime) {
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("before", 1_000_000_000, 1.0)]);
    let (service, time) = Service::with_manual_clock(&simulator, &[]).await;
    service.shows(&throughput("before"), 1.0).await;
    (simulator, service, time)
}

/// Lets time pass in short steps until a condition holds.
async fn until(
    service: &Service,
    time: &ManualTime,
    what: &str,
    condition: impl Fn(&Body) -> bool,
) {
    eventually(what, || async {
        time.advance(Duration::from_millis(20));
        condition(&service.scrape().await)
    })
    .await;
}

#[actix_rt::test]
async fn scrapes_succeed_while_the_store_is_down() {
    let (simulator, service, time) = service_with_manual_clocks().await;
    inject(&service.store, Place::Started(3), Fault::Panic).await;
    let down = up(Role::MetricsStore);
    service.shows(&down, 0.0).await;
    let scrape = service.scrape().await;
    assert!(scrape.has(&throughput("before")), "never an empty 200");
    simulator.push_rows([terminal_row("after", 1_000_000_000, 2.0)]);
    let after = throughput("after");
    until(&service, &time, "the store is restarted", |scrape| {
        scrape.value(&after) == Some(2.0)
    })
    .await;
    let before = service.scrape().await.value(&throughput("before"));
    assert_eq!(before, Some(1.0), "the store's state is kept");
}

#[actix_rt::test]
async fn snapshots_of_a_store_that_hangs_are_not_served() {
    let tuning = quick_hang_detection();
    let (_simulator, service) = running_service(tuning).await;
    let latch = Latch::closed();
    inject(&service.store, Place::Future, Fault::HangUntil(latch)).await;
    eventually("a scrape is refused", || async {
        let answer = service.get("/metrics").await;
        answer.status == 503 && answer.body.contains("the store has not answered")
    })
    .await;
    latch.open();
    eventually("the store is back", || async {
        service.get("/metrics").await.status == 200
    })
    .await;
}

#[actix_rt::test]
async fn a_batch_on_which_the_store_panics_is_sent_to_it_again() {
    let (simulator, service) = lingering_service().await;
    inject(&service.store, Place::NextMessage(1), Fault::Panic).await;
    simulator.push_rows(["a", "b"].map(|id| terminal_row(id, 1_000_000_000, 3.0)));
    service.shows(&throughput("b"), 3.0).await;
    let scrape = service.scrape().await;
    for (series, expected) in [
        (restarts(Role::MetricsStore, "panic").as_str(), 1.0),
        (TERMINAL_ROWS, 3.0),
        (LOST, 0.0),
        (STORE_FAILED, 0.0),
        (UP, 1.0),
    ] {
        assert_eq!(scrape.value(series), Some(expected), "{series}");
    }
}

#[actix_rt::test]
async fn a_batch_on_which_the_store_panics_twice_is_given_up() {
    let (simulator, service) = lingering_service().await;
    inject(&service.store, Place::NextMessage(2), Fault::Panic).await;
    simulator.push_rows(["a", "b"].map(|id| terminal_row(id, 1_000_000_000, 3.0)));
    service.shows(LOST, 2.0).await;
    let scrape = service.scrape().await;
    assert_eq!(scrape.value(STORE_FAILED), Some(1.0));
    assert_eq!(scrape.value(UP), Some(0.0));
    assert_eq!(scrape.value(TERMINAL_ROWS), Some(1.0));
    assert!(!scrape.has(&throughput("a")), "half a batch is no batch");
    still_works(&simulator, &service, "after").await;
}

#[actix_rt::test]
async fn a_batch_is_applied_once_even_if_the_stream_actor_dies_before_the_acknowledgement() {
    let (simulator, service) = lingering_service().await;
    // The stream actor panics while it waits for the store, which hangs.
    let latch = Latch::closed();
    let hang = Fault::HangUntil(latch);
    inject(&service.store, Place::NextMessage(1), hang).await;
    simulator.push_rows([terminal_row("a", 1_000_000_000, 3.0)]);
    eventually("the store is stuck with the batch", || async {
        let answer = service.store.send(Heartbeat);
        answer.timeout(Duration::from_millis(100)).await.is_err()
    })
    .await;
    inject(&service.account.stream, Place::Handler, Fault::Panic).await;
    latch.open();
    service.shows(&throughput("a"), 3.0).await;
    still_works(&simulator, &service, "after").await;
    let scrape = service.scrape().await;
    assert_eq!(scrape.value(&restarts(Role::Stream, "panic")), Some(1.0));
    assert_eq!(
        scrape.value(TERMINAL_ROWS),
        Some(3.0),
        "each row is counted once"
    );
}

#[actix_rt::test]
async fn an_attempt_that_panics_is_a_failed_one() {
    let (simulator, service) = lingering_service().await;
    inject(&service.account.stream, Place::NextMessage(1), Fault::Panic).await;
    // The lingering attempt was started before; the next one panics while it reads its answer.
    simulator.push_rows([terminal_row("a", 1_000_000_000, 3.0)]);
    service.shows(&throughput("a"), 3.0).await;
    let polls = service
        .scrape()
        .await
        .value(r#"starlink_exporter_polls_total{account="default"}"#);
    simulator.push_rows([terminal_row("b", 1_000_000_000, 3.0)]);
    service.shows(&restarts(Role::Stream, "panic"), 1.0).await;
    let scrape = service.scrape().await;
    let decode = r#"starlink_exporter_poll_failures_total{account="default",reason="decode"}"#;
    assert_eq!(scrape.value(decode), Some(1.0));
    assert_eq!(scrape.value(UP), Some(0.0));
    let counted = scrape.value(r#"starlink_exporter_polls_total{account="default"}"#);
    assert_eq!(counted, polls.map(|polls| polls + 1.0));
    still_works(&simulator, &service, "after").await;
}

#[actix_rt::test]
async fn an_actor_that_panics_on_an_answer_continues_with_another_poll() {
    let (simulator, service) = lingering_service().await;
    inject(&service.account.stream, Place::Answer(1), Fault::Panic).await;
    simulator.push_rows([terminal_row("lost", 1_000_000_000, 3.0)]);
    service.shows(&restarts(Role::Stream, "panic"), 1.0).await;
    still_works(&simulator, &service, "after").await;
    let panics = service.scrape().await;
    assert_eq!(panics.value(&restarts(Role::Stream, "panic")), Some(1.0));
}

#[actix_rt::test]
async fn rows_whose_columns_the_metadata_actor_fails_to_explain_are_stored() {
    let (simulator, service) = lingering_service().await;
    let panics = restarts(Role::Metadata, "panic");
    inject(
        &service.account.metadata,
        Place::NextMessage(2),
        Fault::Panic,
    )
    .await;
    // The StreamActor has the columns of both answers explained without the MetadataActor.
    for (id, count) in [("a", 1.0), ("b", 2.0)] {
        simulator.push_rows([terminal_row(id, 1_000_000_000, 3.0)]);
        service.shows(&throughput(id), 3.0).await;
        service.shows(&panics, count).await;
        service.shows(&up(Role::Metadata), 1.0).await;
    }
    let scrape = service.scrape().await;
    assert_eq!(scrape.value(LOST), Some(0.0));
    assert_eq!(scrape.value(STORE_FAILED), Some(0.0));
    still_works(&simulator, &service, "after").await;
}

#[actix_rt::test]
async fn an_answer_in_transit_survives_a_restart_of_the_stream_actor() {
    let (simulator, service) = running_service(Tuning::default()).await;
    let polls = simulator.journal().polls.len();
    let rows = [terminal_row("slow", 1_000_000_000, 4.0)];
    simulator.set_default_answer(Some(Answer::rows(rows).delay(Duration::from_secs(1))));
    assert!(
        simulator
            .wait_until(WAIT_LIMIT, move |seen| seen.polls.len() > polls + 1)
            .await
    );
    let polls = simulator.journal().polls.len();
    inject(&service.account.stream, Place::Handler, Fault::Panic).await;
    service.shows(&throughput("slow"), 4.0).await;
    let journal = simulator.journal();
    assert_eq!(journal.most_polls_in_flight, 1, "no poll overlaps another");
    let abandoned = journal.polls_with(Outcome::Abandoned);
    assert_eq!(abandoned, 0, "after {polls} polls");
}

#[actix_rt::test]
async fn restarts_back_off() {
    let (_simulator, service, time) = service_with_manual_clocks().await;
    // It stops, then panics three times in `started`: restarts after 100, 200, 400 and 800 ms.
    inject(&service.account.metadata, Place::Started(3), Fault::Panic).await;
    service.shows(&up(Role::Metadata), 0.0).await;
    // An actor in restart backoff does not fail the probe.
    assert_eq!(service.get("/livez").await.status, 200);
    let steps = Cell::new(0);
    let panics = restarts(Role::Metadata, "panic");
    until(&service, &time, "all restarts", |scrape| {
        steps.set(steps.get() + 1);
        let is_up = scrape.value(&up(Role::Metadata)) == Some(1.0);
        is_up && scrape.value(&panics) == Some(3.0)
    })
    .await;
    assert!(
        steps.get() >= 75,
        "1500 ms in {} steps of 20 ms",
        steps.get()
    );
}

#[actix_rt::test]
async fn an_actor_that_dies_too_often_ends_the_process() {
    let dies = |role: Role| async move {
        let (_simulator, mut service) = running_service(Tuning::default()).await;
        with_actor!(service, role, |address| inject(
            address,
            Place::Started(9),
            Fault::Panic
        )
        .await);
        eventually("the service is no longer ready", || async {
            service.get("/readyz").await.status == 503
        })
        .await;
        let ending = service.ended().await;
        // The only account is all accounts.
        let expected = match role {
            Role::MetricsStore => Ending::GivenUp(role),
            _ => Ending::AccountsStopped,
        };
        assert_eq!((ending, ending.exit_code()), (expected, 70));
    };
    futures_util::future::join_all(ESSENTIAL.map(dies)).await;
}

#[actix_rt::test]
async fn a_hang_fails_livez_until_it_is_over() {
    let tuning = Tuning {
        supervision: SupervisionPolicy {
            heartbeat: Duration::from_millis(50),
            ..SupervisionPolicy::default()
        },
        hang_limit: Duration::from_millis(500),
        ..Tuning::default()
    };
    let (simulator, service) = running_service(tuning).await;
    for role in started() {
        let name = role.name();
        eventually("nothing hangs", || async {
            service.get("/livez").await.status == 200
        })
        .await;
        let latch = Latch::closed();
        let hang = Fault::HangUntil(latch);
        with_actor!(service, role, |address| address
            .do_send(Inject(Place::Handler, hang)));
        let trouble = format!("actor {name}: hangs");
        eventually(&trouble, || async {
            let response = service.get("/livez").await;
            response.status == 503 && response.body.contains(&trouble)
        })
        .await;
        latch.open();
        eventually("it is over", || async {
            service.get("/livez").await.status == 200
        })
        .await;
        still_works(&simulator, &service, name).await;
        // A hang causes no restart of the actor: an orchestrator restarts the process if `/livez` fails for long enough.
        let scrape = service.scrape().await;
        for cause in ["panic", "stop"] {
            assert_eq!(scrape.value(&restarts(role, cause)), Some(0.0), "{name}");
        }
    }
}
