//! An account whose actor keeps failing is stopped alone, and started again after a pause; the process ends only when all are stopped.

use starlink_telemetry::time::{ManualTime, unix_seconds};

use super::*;

/// An actor that keeps failing. Each case has an account of its own.
#[derive(Clone, Copy)]
struct Case {
    role: Role,
    fault: Fault,
}

impl Case {
    fn all() -> Vec<Self> {
        let of = |role| [Fault::Panic, Fault::Stop].map(|fault| Self { role, fault });
        ROLES.into_iter().flat_map(of).collect()
    }

    /// The name of its account, which says what happens.
    fn account(&self) -> String {
        let fault = match self.fault {
            Fault::Stop => "stops",
            _ => "panics",
        };
        format!("{}-{fault}", self.role.name())
    }
}

/// Makes an actor fail more often than an account tolerates in a minute.
fn fail(service: &Service, account: &str, Case { role, fault }: Case) {
    inject(service, account, role, Place::Started(9), fault);
}

/// Accounts in one service with manual clocks.
struct Paced {
    world: World,
    service: Service,
    clock: Clock,
    time: ManualTime,
}

impl Paced {
    async fn start(world: World) -> Self {
        let start = SystemTime::now();
        let (clock, time) = Clock::manual(start);
        for (_, simulator) in &world.simulators {
            let elapsed = clock.clone();
            simulator.set_date(move || start + elapsed.elapsed());
        }
        let settings = [("MAX_LINGER", "50")];
        let service = world
            .start(&settings, Tuning::default(), clock.clone())
            .await;
        Self {
            world,
            service,
            clock,
            time,
        }
    }

    /// Time passes in short steps until a condition holds. In each step the components have time to reply to their heartbeats.
    async fn until(&self, what: &str, condition: impl Fn(&Body) -> bool) {
        eventually(what, || async {
            self.time.advance(Duration::from_millis(200));
            condition(&self.service.scrape().await)
        })
        .await;
    }

    /// The clocks jump. Afterwards the components have replied to their heartbeats.
    async fn jump(&self, duration: Duration) {
        self.time.advance(duration);
        let replies = || async { self.service.get("/metrics").await.status == 200 };
        eventually("the store has replied", replies).await;
    }

    async fn works(&self, account: &str, value: f64) {
        let simulator = self.world.simulator(account);
        simulator.revoke_tokens();
        simulator.push_rows([terminal_row(account, 1_000_000_000, value)]);
        let series = throughput(account);
        let what = format!("{account} works");
        self.until(&what, |scrape| scrape.value(&series) == Some(value))
            .await;
    }

    /// How long a paused account still pauses.
    async fn pauses_for(&self, account: &str) -> Duration {
        let report = json(&self.service, "/livez?verbose").await;
        let mut accounts = report["accounts"].as_array().unwrap().iter();
        let paused = accounts.find(|it| it["name"] == account).unwrap();
        assert_eq!(paused["state"], "paused", "{paused}");
        let until = paused["restart_timestamp_seconds"].as_f64().unwrap();
        Duration::from_secs_f64(until - unix_seconds(self.clock.wall()))
    }
}

#[actix_rt::test]
async fn an_account_whose_actor_keeps_failing_pauses_alone_and_is_started_again() {
    let cases = Case::all();
    let accounts: Vec<_> = cases.iter().map(Case::account).collect();
    let healthy = ["healthy".to_owned()];
    let paced = Paced::start(World::of(healthy.iter().chain(&accounts).cloned())).await;
    let (world, service) = (&paced.world, &paced.service);
    let are_stopped = |scrape: &Body| {
        let mut stopped = accounts.iter();
        stopped.all(|account| scrape.value(&up(account)) == Some(0.0))
    };
    let failing = async {
        for (case, account) in cases.iter().zip(&accounts) {
            fail(service, account, *case);
        }
        paced.until("the accounts are stopped", are_stopped).await;
    };
    world.unaffected(service, &["healthy"], failing).await;
    paced.works("healthy", 1000.0).await;
    for account in &accounts {
        assert!(paced.pauses_for(account).await <= Duration::from_secs(60));
    }
    let page = service.get("/").await.body;
    assert!(page.contains("6 of 7 accounts are stopped"), "{page}");
    let polls = |account: &str| of_account("starlink_exporter_polls_total", account);
    let before = service.scrape().await;
    paced.jump(Duration::from_secs(60)).await;
    let are_up = |scrape: &Body| {
        let mut accounts = accounts.iter();
        accounts.all(|account| scrape.value(&up(account)) == Some(1.0))
    };
    paced.until("the accounts are started again", are_up).await;
    for account in &accounts {
        paced.works(account, 2.0).await;
        let (before, after) = (
            before.value(&polls(account)),
            service.scrape().await.value(&polls(account)),
        );
        assert!(after > before, "its counters go on: {before:?} {after:?}");
    }
    paced.works("healthy", 1001.0).await;
}

#[actix_rt::test]
async fn pauses_double_to_a_quarter_of_an_hour_until_the_account_has_recovered() {
    let paced = Paced::start(World::of(["a", "b"])).await;
    let cases = Case::all();
    let minute = Duration::from_secs(60);
    // How many minutes the account works, and then pauses.
    let expected = [
        (0, 1),
        (0, 2),
        (0, 4),
        (1, 8),
        (0, 15),
        (0, 15),
        (15, 1),
        (0, 2),
    ];
    let mut value = 1.0;
    for ((works, pauses), case) in expected.into_iter().zip(cases.iter().cycle()) {
        let what = format!("{} after {works} minutes", case.account());
        paced.jump(works * minute).await;
        fail(&paced.service, "b", *case);
        let is_stopped = |scrape: &Body| scrape.value(&up("b")) == Some(0.0);
        paced.until(&what, is_stopped).await;
        let pause = paced.pauses_for("b").await;
        let late = Duration::from_secs(10);
        let range = pauses * minute - late..=pauses * minute;
        assert!(range.contains(&pause), "{what}: {pause:?}");
        paced.jump(pause - Duration::from_secs(1)).await;
        assert!(is_stopped(&paced.service.scrape().await), "{what}");
        paced.jump(Duration::from_secs(1)).await;
        let is_up = |scrape: &Body| scrape.value(&up("b")) == Some(1.0);
        paced.until(&what, is_up).await;
        value += 1.0;
        paced.works("b", value).await;
    }
    paced.works("a", 2.0).await;
    let scrape = paced.service.scrape().await;
    let restarts = scrape.beginning(r#"starlink_exporter_actor_restarts_total{account="a""#);
    assert!(restarts.values().all(|count| *count == 0.0), "{restarts:?}");
}

#[actix_rt::test]
async fn the_process_ends_when_every_account_is_stopped() {
    let world = World::of(["a", "b", "c"]);
    let settings = [("MAX_LINGER", "200")];
    let mut service = world
        .start(&settings, Tuning::default(), Clock::system())
        .await;
    let cases = [
        ("a", Role::Token, Fault::Panic),
        ("b", Role::Stream, Fault::Stop),
        ("c", Role::Metadata, Fault::Panic),
    ];
    for (value, (account, role, fault)) in [2.0, 3.0].into_iter().zip(cases) {
        fail(&service, account, Case { role, fault });
        service.shows(&up(account), 0.0).await;
        world.works(&service, "c", value).await;
    }
    let (account, role, fault) = cases[2];
    fail(&service, account, Case { role, fault });
    let ending = service.ended().await;
    assert_eq!((ending, ending.exit_code()), (Ending::AccountsStopped, 70));
}

#[actix_rt::test]
async fn the_process_ends_when_a_reload_leaves_only_stopped_accounts() {
    let world = World::of(["a", "b", "c"]);
    let tuning = Tuning {
        reload_interval: Duration::from_millis(50),
        ..Tuning::default()
    };
    let settings = [("MAX_LINGER", "200")];
    let mut service = world.start(&settings, tuning, Clock::system()).await;
    let case = Case {
        role: Role::Token,
        fault: Fault::Panic,
    };
    fail(&service, "a", case);
    service.shows(&up("a"), 0.0).await;
    // As long as an account works, the process runs.
    world.write(&["a", "b"].map(|name| world.entry(name, name, "secret")));
    eventually("c has ended", || async {
        !service.scrape().await.has(&up("c"))
    })
    .await;
    world.works(&service, "b", 2.0).await;
    world.write(&[world.entry("a", "a", "secret")]);
    let ending = service.ended().await;
    assert_eq!((ending, ending.exit_code()), (Ending::AccountsStopped, 70));
}
