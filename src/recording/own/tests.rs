//! Tests of the sender of own series against a receiver on loopback.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::*;
use crate::account::{AccountStatus, Accounts};
use crate::fleet::{Coverage, Fleet, FleetOptions, Snapshot};
use crate::history::encode::tests::{Series, decode_body};
use crate::history::{Protocol, STALE};
use crate::http::{FleetReader, ReadLimits, tests::sources};
use crate::outgoing::Resolver;
use crate::recording::sender::tests::receiver::{Received, Receiver, Step, answer, stored};
use crate::redaction::Redactor;
use crate::remote_write::{Destination, ProtocolChoice, Tenant};
use crate::store::Published;
use crate::supervise::{ActorStatus, Role};
use crate::telemetry::{Batch, SchemaCache, decode};
use crate::time::{Clock, ManualTime, Moment};

/// The time of the first set, in milliseconds since 1970.
const START: i64 = 1_700_000_000_000;

mod refusals;

struct World {
    receiver: Receiver,
    clock: Clock,
    time: ManualTime,
    destination: Arc<DestinationStatus>,
    accounts: Arc<Accounts>,
    pool: Pool,
    sender: OwnSender,
}

impl World {
    /// A receiver that answers with these steps.
    fn new(script: Vec<Vec<Step>>, change: impl FnOnce(&mut Destination)) -> Self {
        let world = Self::without_time(Receiver::start(script), change);
        world.gets_time();
        world
    }

    /// Before Starlink's first response.
    fn without_time(receiver: Receiver, change: impl FnOnce(&mut Destination)) -> Self {
        let mut destination = Destination::new("one", receiver.url.clone());
        destination.instance = Some("here".to_owned());
        change(&mut destination);
        let destination = Arc::new(DestinationStatus::new(Arc::new(destination)));
        let start = SystemTime::UNIX_EPOCH + Duration::from_millis(START.cast_unsigned());
        let (clock, time) = Clock::manual(start);
        let accounts = ["a", "b"].map(|name| status(name, &clock));
        let accounts = Arc::new(Accounts::new(accounts.into()));
        let store = Arc::new(ActorStatus::new(Role::MetricsStore, clock.ran()));
        let published = Arc::new(Published::from(snapshot()));
        let limits = ReadLimits {
            wait: Duration::from_secs(1),
            silence: Duration::from_secs(3600),
        };
        let reader = FleetReader::new(clock.clone(), published, store, limits);
        let pool = Pool::start("test", 1).unwrap();
        let options = OwnOptions {
            destination: Arc::clone(&destination),
            sources: Sources {
                accounts: Arc::clone(&accounts),
                fleet: Arc::new(reader),
                ..sources(clock.clone())
            },
            tenants: Arc::new(ArcSwap::from_pointee(BTreeMap::from([(
                "b".into(),
                "south".into(),
            )]))),
            pool: pool.clone(),
            client: ClientContext {
                clock: clock.clone(),
                resolver: Resolver::system(),
                proxy: None,
                authorities: None,
                redactor: Redactor::default(),
            },
        };
        Self {
            receiver,
            clock,
            time,
            destination,
            accounts,
            pool,
            sender: OwnSender::start_after(None, options, &actix::Arbiter::current()),
        }
    }

    /// Starlink responds: the clock is right.
    fn gets_time(&self) {
        self.clock.observe_date(self.clock.wall(), self.clock.now());
    }

    /// The requests, once there are so many.
    async fn requests(&self, many: usize) -> Vec<Received> {
        eventually(|| self.receiver.received().len() >= many).await;
        self.receiver.received()
    }

    /// All requests, once the sender waits for the next set.
    async fn settled(&self) -> Vec<Received> {
        loop {
            let answered = || self.answered() >= self.receiver.received().len();
            eventually(answered).await;
            let before = self.receiver.received();
            // What follows from the last answer runs on this thread and in the pool.
            for _ in 0..10 {
                self.pool.run(|| ()).await.unwrap();
                tokio::task::yield_now().await;
            }
            if answered() && self.receiver.received().len() == before.len() {
                return before;
            }
        }
    }

    /// The number of answers.
    fn answered(&self) -> usize {
        let family = self.destination.request_duration.family("x", "x");
        let mut samples = family.samples.iter();
        let count = samples.find(|sample| sample.suffix == "_count");
        let count = count.map_or(0.0, |count| count.value);
        (0_u32..)
            .take_while(|less| f64::from(*less) < count)
            .count()
    }

    async fn has_dropped(&self, sets: f64) {
        eventually(|| self.destination.own_sets_dropped.value() >= sets).await;
    }
}

fn status(name: &str, clock: &Clock) -> Arc<AccountStatus> {
    Arc::new(AccountStatus::new(name.into(), clock.ran()))
}

/// Waits for something that happens on other threads.
async fn eventually(is_so: impl Fn() -> bool) {
    for _ in 0..3000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it has not happened within 30 s");
}

/// A terminal of each account.
fn snapshot() -> Snapshot {
    let mut fleet = Fleet::new(FleetOptions::STANDARD);
    for (account, id) in [("a", "ut1"), ("b", "ut2")] {
        let body = format!(
            r#"{{"data":{{"values":[["u",{START}000000,"{id}",0.5]],"columnNamesByDeviceType":{{
                "u":["DeviceType","UtcTimestampNs","DeviceId","DownlinkThroughput"]}}}},
                "metadata":{{"enums":{{"DeviceType":{{"u":"UserTerminal"}}}}}}}}"#
        );
        let (rows, metadata) = decode(body.into_bytes()).unwrap();
        let schema = SchemaCache::default().resolve(&metadata).schema;
        let account = fleet.account(&account.into()).unwrap();
        let to = Moment::from_millis(1_000_000);
        let plan = fleet.plan(account, &Batch { rows, schema }, to, i64::MAX);
        let covers = Duration::ZERO;
        fleet.commit(&plan, Coverage { to, covers });
    }
    fleet.snapshot()
}

fn series(request: &Received) -> Vec<Series> {
    let is_v2 = request.header("x-prometheus-remote-write-version") == Some("2.0.0");
    let protocol = if is_v2 { Protocol::V2 } else { Protocol::V1 };
    decode_body(protocol, &request.body)
}

/// The value of a label; empty without it.
fn label<'s>(series: &'s Series, name: &str) -> &'s str {
    let mut labels = series.labels.iter();
    labels
        .find(|(found, _)| found == name)
        .map_or("", |(_, value)| value)
}

fn names(requests: &[Received]) -> BTreeSet<String> {
    let series = requests.iter().flat_map(series);
    series
        .map(|series| label(&series, "__name__").to_owned())
        .collect()
}

/// The times of samples in a request.
fn times(request: &Received) -> BTreeSet<i64> {
    let series = series(request).into_iter();
    series
        .flat_map(|series| series.samples)
        .map(|(time, _)| time)
        .collect()
}

fn is_stale(series: &Series) -> bool {
    series
        .samples
        .iter()
        .all(|(_, value)| *value == STALE.to_bits())
}

#[actix_rt::test]
async fn states_and_lists_are_sent_when_they_are_due() {
    let world = World::new(vec![vec![stored()]], |_| {});
    world.requests(2).await;
    let first = world.settled().await;
    let found = names(&first);
    for name in [
        "starlink_up",
        "starlink_exporter_polls_total",
        "starlink_exporter_build_info",
        "starlink_exporter_actor_up",
        "starlink_online",
        "starlink_device_account",
    ] {
        assert!(found.contains(name), "{name}: {found:?}");
    }
    assert!(!found.contains("starlink_DownlinkThroughput"), "{found:?}");
    for request in &first {
        assert_eq!(times(request), [START].into());
        for series in series(request) {
            assert_eq!(label(&series, "instance"), "here");
            assert_eq!(label(&series, "job"), "starlink-telemetry");
            assert!(!is_stale(&series), "{series:?}");
        }
    }
    for step in 1..=3 {
        world.time.advance(Duration::from_secs(15));
        world.requests(2 + step).await;
        let all = world.settled().await;
        let found = names(&all[1 + step..]);
        assert!(found.contains("starlink_online") && !found.contains("starlink_device_account"));
        assert_eq!(
            times(&all[1 + step]),
            [START + 15_000 * i64::try_from(step).unwrap()].into()
        );
    }
    world.time.advance(Duration::from_secs(15));
    let all = world.requests(7).await;
    assert!(names(&all[5..]).contains("starlink_device_account"));
    assert!(world.destination.own_sets_dropped.value() < 1.0);
}

#[actix_rt::test]
async fn series_that_vanish_and_all_at_the_end_get_markers() {
    let world = World::new(vec![vec![stored()]], |_| {});
    world.requests(2).await;
    world.settled().await;
    let accounts = world.accounts.all();
    let first = accounts.iter().take(1).cloned().collect();
    world.accounts.replace(first);
    world.time.advance(Duration::from_secs(15));
    world.requests(3).await;
    let all = world.settled().await;
    let third = series(&all[2]);
    assert!(third.iter().any(is_stale));
    for series in &third {
        let is_gone = label(series, "account") == "b" && label(series, "device_type").is_empty();
        assert_eq!(is_stale(series), is_gone, "{series:?}");
    }
    let World {
        receiver, sender, ..
    } = world;
    sender.finish().await;
    let all = receiver.received();
    let last: Vec<_> = all[3..].iter().flat_map(series).collect();
    assert!(last.iter().all(is_stale));
    let alive = third.iter().filter(|series| !is_stale(series)).count();
    let lists = all[..2].iter().flat_map(series);
    let lists = lists.filter(|series| label(series, "__name__") == "starlink_device_account");
    assert_eq!(last.len(), alive + lists.count());
    assert!(
        all[3..]
            .iter()
            .all(|request| times(request).first() > Some(&START))
    );
}

#[actix_rt::test]
async fn each_request_has_the_series_of_one_account_and_its_tenant() {
    let world = World::new(vec![vec![stored()]], |destination| {
        destination.tenant = Tenant::Account;
    });
    world.requests(4).await;
    let all = world.settled().await;
    let mut tenants = BTreeSet::new();
    for request in &all {
        let tenant = request.header("x-scope-orgid").unwrap();
        tenants.insert(tenant.to_owned());
        let (account, id) = if tenant == "south" {
            ("b", "ut2")
        } else {
            ("a", "ut1")
        };
        for series in series(request) {
            let is_of_account = label(&series, "account") == account;
            assert!(
                is_of_account || label(&series, "deviceID") == id,
                "{series:?}"
            );
        }
    }
    assert_eq!(tenants, ["a", "south"].map(str::to_owned).into());
    assert!(!names(&all).iter().any(|name| name.starts_with("process_")));
    // The account `a` is no more: its series end, under its tenant.
    let accounts = world.accounts.all();
    let rest = accounts.iter().filter(|account| &*account.name == "b");
    world.accounts.replace(rest.cloned().collect());
    world.time.advance(Duration::from_secs(15));
    world.requests(6).await;
    let all = world.settled().await;
    for request in &all[4..] {
        let is_gone = request.header("x-scope-orgid") == Some("a");
        assert!(
            series(request)
                .iter()
                .all(|series| is_stale(series) == is_gone)
        );
    }
}

#[actix_rt::test]
async fn a_set_that_is_not_sent_when_the_next_is_due_is_dropped() {
    let busy = answer(503, "", "later");
    let world = World::new(vec![vec![busy]], |destination| {
        destination.remote_timeout = Duration::from_secs(3600);
    });
    world.requests(2).await;
    assert!(world.destination.own_sets_dropped.value() < 1.0);
    world.receiver.now(vec![Step::Hang]);
    world.time.advance(Duration::from_secs(15));
    world.has_dropped(1.0).await;
    world.receiver.now(vec![stored()]);
    world.time.advance(Duration::from_secs(15));
    world.has_dropped(2.0).await;
    let fits = |request: &Received| times(request) == [START + 30_000].into();
    eventually(|| world.receiver.received().iter().any(fits)).await;
}

#[actix_rt::test]
async fn requests_follow_the_protocol_that_the_receiver_understands() {
    let unsupported = vec![answer(415, "", "")];
    let world = World::new(vec![unsupported.clone(), vec![stored()]], |_| {});
    eventually(|| world.destination.link.protocol() == Protocol::V1).await;
    world.requests(3).await;
    let all = world.settled().await;
    let is_v1 =
        |request: &&Received| request.header("x-prometheus-remote-write-version") == Some("0.1.0");
    assert!(
        all.iter()
            .filter(is_v1)
            .any(|request| !series(request).is_empty())
    );
    assert!(world.destination.own_sets_dropped.value() < 1.0);
    // With a protocol that is set, a set is dropped instead.
    let world = World::new(vec![unsupported], |destination| {
        destination.protocol = ProtocolChoice::V2;
    });
    world.has_dropped(2.0).await;
    assert_eq!(world.destination.link.protocol(), Protocol::V2);
}

#[actix_rt::test]
async fn requests_have_at_most_so_many_samples() {
    let world = World::new(vec![vec![stored()]], |destination| {
        destination.max_samples_per_send = 50;
        let drop = crate::telemetry::fields::anchored("process_.*").unwrap();
        destination.names = crate::history::NameFilter::new(Vec::new(), vec![drop]);
    });
    world.requests(4).await;
    let all = world.settled().await;
    assert!(!names(&all).iter().any(|name| name.starts_with("process_")));
    assert!(all.iter().all(|request| series(request).len() <= 50));
    // Not even a single sample is taken: smaller requests would not help.
    world.receiver.now(vec![answer(413, "", "")]);
    world.time.advance(Duration::from_secs(15));
    world.has_dropped(1.0).await;
    world.settled().await;
    world.receiver.now(vec![stored()]);
    let seen = world.receiver.received().len();
    world.time.advance(Duration::from_secs(15));
    let all = world.requests(seen + 1).await;
    assert_eq!(series(&all[seen]).len(), 50);
}
