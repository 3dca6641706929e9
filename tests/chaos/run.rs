//! One run of the campaign: a service, a simulator, and the faults of both.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_rt::task::JoinHandle;
use actix_rt::time::sleep;
use fastrand::Rng;
use starlink_telemetry::app::{Ending, Tuning};
use starlink_telemetry::simulator::{Answer, Journal, Options, Outcome, Poll, Simulator};
use starlink_telemetry::starlink::Timeouts;
use starlink_telemetry::supervise::Role;
use starlink_telemetry::supervise::SupervisionPolicy;
use starlink_telemetry::supervise::faults::{Fault, Inject, Place};

use crate::ageing::{self, Ages};
use crate::answers::{self, DEVICES};
use crate::faults::{draw, inject, name};
use crate::form::Body;
use crate::harness::{Service, eventually};
use crate::model::{Fate, Model};
use crate::scraper::{Scraper, by_device, lock};
use crate::wire::try_get;

/// The numbers of events.
pub type Counts = BTreeMap<String, u64>;

/// Limits of Starlink's documentation and of ours.
const POLLS_A_MINUTE: usize = 250;
const TOKENS_IN_A_QUARTER: usize = 1000;

/// Longer than any backoff within a run.
const WAIT_LIMIT: Duration = Duration::from_secs(150);

struct Run {
    simulator: Simulator,
    service: Service,
    model: Arc<Mutex<Model>>,
    scraper: Scraper,
    random: Rng,
    clocks: Vec<i64>,
    /// The devices that currently report.
    reporting: Vec<usize>,
    /// The number of valid answers so far.
    good: usize,
    counts: Counts,
}

/// Performs a run: faults for `length`, then none, after which all stored rows must be shown.
pub async fn play(seed: u64, length: Duration) -> Counts {
    let mut random = Rng::with_seed(seed);
    match random.u8(..16) {
        0 | 1 => return give_up(random).await,
        2 => return hurry(random, length).await,
        _ => {}
    }
    let mut run = Run::new(random).await;
    let is_over = Rc::new(Cell::new(false));
    let watching = run.watch(Rc::clone(&is_over));
    let ages = lock(&run.model).ages;
    // The check of silent devices at the end is part of the duration.
    let silence = match ages {
        Ages::SHORT => ages.forget,
        _ => Duration::ZERO,
    };
    let end = Instant::now() + length.saturating_sub(silence);
    // The first answer is valid, so that the service knows the meaning of codes.
    run.good(LossRisk::None).await;
    while Instant::now() < end {
        run.step().await;
        run.scrape().await;
    }
    run.check_recovery().await;
    if ages == Ages::SHORT {
        run.silence().await;
    }
    is_over.set(true);
    let watched = watching.await.unwrap();
    judge(&run.simulator.journal());
    let mut counts = run.counts;
    for (what, count) in run.scraper.counts.into_iter().chain(watched) {
        *counts.entry(what).or_default() += count;
    }
    counts
}

/// Checks that an actor that keeps failing ends the service.
async fn give_up(mut random: Rng) -> Counts {
    let simulator = Simulator::start(Options::default()).unwrap();
    let mut service = Service::start(&simulator, &[]).await;
    let (role, _) = draw(&mut random);
    // Two faults at the same time may cause only one restart.
    eventually("the service is shutting down", || async {
        inject(&service, role, Inject(Place::Future, Fault::Panic)).await;
        let ready = try_get(service.address, "/readyz").await;
        ready.is_none_or(|ready| ready.body.contains("shutting down"))
    })
    .await;
    assert_eq!(service.ended().await, Ending::GivenUp(role));
    Counts::from([(format!("given up {}", role.name()), 1)])
}

/// Checks the poll rate with immediate answers while the StreamActor, which limits the rate, fails repeatedly.
async fn hurry(mut random: Rng, length: Duration) -> Counts {
    let simulator = Simulator::start(Options::default()).unwrap();
    let service = Service::tuned(&simulator, &[("MAX_LINGER", "0")], unlimited_restarts()).await;
    let end = Instant::now() + length;
    let mut deaths = 0;
    while Instant::now() < end {
        sleep(Duration::from_millis(random.u64(2000..6000))).await;
        let place = [Place::Handler, Place::Future, Place::Interval][random.usize(..3)];
        inject(&service, Role::Stream, Inject(place, Fault::Panic)).await;
        deaths += 1;
    }
    let journal = simulator.journal();
    judge(&journal);
    let polls = journal.polls.len();
    // The first 20 polls are a burst; then three a second.
    assert!(polls > 40, "only {polls} polls");
    Counts::from([
        ("polls in a hurry".to_owned(), polls as u64),
        ("deaths in a hurry".to_owned(), deaths),
    ])
}

/// A tuning in which the number of restarts is not limited.
fn unlimited_restarts() -> Tuning {
    Tuning {
        supervision: SupervisionPolicy {
            restarts: 10_000,
            ..SupervisionPolicy::default()
        },
        ..Tuning::default()
    }
}

/// A fault that may lose an answer in transit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LossRisk {
    None,
    /// The attempt that reads the answer panics.
    Attempt,
    /// A panic was injected before, and may hit this attempt.
    Echo,
    /// All connections are cut.
    Network,
}

impl Run {
    async fn new(mut random: Rng) -> Self {
        let simulator = Simulator::start(Options {
            token_lifetime: Duration::from_secs(random.u64(2..60)),
            ..Options::default()
        })
        .unwrap();
        let tuning = Tuning {
            timeouts: Timeouts {
                connect: Duration::from_secs(2),
                token: Duration::from_secs(2),
                beyond_linger: Duration::from_secs(3),
                body: Duration::from_secs(3),
                idle: Duration::from_secs(1),
            },
            ..unlimited_restarts()
        };
        // Some runs have immediate answers, so that only the pacing limits the rate.
        let linger = ["0", "300", "1000"][random.usize(..3)];
        let ages = match random.u8(..3) {
            0 => Ages::SHORT,
            _ => Ages::LONG,
        };
        let settings = ages.settings();
        let mut changes = vec![("MAX_LINGER", linger)];
        changes.extend(settings.iter().map(|(name, value)| (*name, value.as_str())));
        let service = Service::tuned(&simulator, &changes, tuning).await;
        Self {
            simulator,
            service,
            model: Arc::new(Mutex::new(Model::new(ages))),
            scraper: Scraper::default(),
            random,
            clocks: vec![0; DEVICES],
            reporting: (0..DEVICES).collect(),
            good: 0,
            counts: Counts::new(),
        }
    }

    fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    /// Starts a concurrent scraper that runs until the end.
    fn watch(&mut self, is_over: Rc<Cell<bool>>) -> JoinHandle<Counts> {
        let (address, model) = (self.service.address, Arc::clone(&self.model));
        let mut random = self.random.fork();
        actix_rt::spawn(async move {
            let mut scraper = Scraper::default();
            while !is_over.get() {
                scraper.scrape(address, &model, &mut random).await;
                sleep(Duration::from_millis(random.u64(..100))).await;
            }
            scraper.counts
        })
    }

    async fn scrape(&mut self) -> Option<Body> {
        let address = self.service.address;
        let floor = lock(&self.model).floor();
        let body = self.scraper.scrape(address, &self.model, &mut self.random);
        let body = body.await?;
        let journal = self.simulator.journal();
        let offline = ageing::check_offline(&body, &lock(&self.model), &floor, &journal);
        *self
            .counts
            .entry("offline devices seen".to_owned())
            .or_default() += offline as u64;
        Some(body)
    }

    async fn step(&mut self) {
        match self.random.u8(..20) {
            0..8 => self.good(LossRisk::None).await,
            8..11 => self.bad(),
            11..16 => self.hurt().await,
            16 => self.bad_tokens(),
            17 => {
                self.count("tokens revoked");
                self.simulator.revoke_tokens();
            }
            18 => {
                self.good(LossRisk::Attempt).await;
                // An attempt that has started already is not affected; then the attempt of this answer panics.
                self.good(LossRisk::Echo).await;
            }
            _ => self.good(LossRisk::Network).await,
        }
    }

    fn bad(&mut self) {
        let (what, answer) = answers::bad(&mut self.random);
        self.count(what);
        self.simulator.push_answer(answer);
    }

    fn bad_tokens(&mut self) {
        for _ in 0..self.random.u8(1..3) {
            let token = self.simulator.issue_token();
            let (what, answer) = answers::bad_token(&mut self.random, &token);
            self.count(what);
            self.simulator.push_token_answer(answer);
        }
        self.simulator.revoke_tokens();
    }

    /// Injects a fault into an actor, and checks that it recovers.
    async fn hurt(&mut self) {
        let (role, fault) = draw(&mut self.random);
        self.count(name(role, fault));
        if role == Role::MetricsStore {
            lock(&self.model).store_hurt = Some(Instant::now());
        }
        inject(&self.service, role, fault).await;
        if self.random.bool() {
            self.good(LossRisk::None).await;
        }
        self.are_up().await;
    }

    async fn are_up(&mut self) {
        let deadline = Instant::now() + WAIT_LIMIT;
        loop {
            let body = self.scrape().await;
            let up = body
                .as_ref()
                .map(|body| body.beginning("starlink_exporter_actor_up{"));
            if up.is_some_and(|up| up.len() == 4 && up.values().all(|up| *up == 1.0)) {
                return;
            }
            assert!(Instant::now() < deadline, "an actor does not recover");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends a valid answer and waits for the next poll.
    async fn good(&mut self, risk: LossRisk) {
        self.change_who_reports();
        let (batch, answer) = {
            let mut model = lock(&self.model);
            let is_counted = risk != LossRisk::Network;
            answers::good(
                &mut model,
                &mut self.random,
                &mut self.clocks,
                &self.reporting,
                is_counted,
            )
        };
        self.deliver(batch, answer, risk).await;
    }

    /// In runs with short ages, changes which devices report.
    fn change_who_reports(&mut self) {
        if lock(&self.model).ages == Ages::SHORT && self.random.u8(..4) == 0 {
            let mut all: Vec<_> = (0..DEVICES).collect();
            self.random.shuffle(&mut all);
            all.truncate(self.random.usize(1..DEVICES / 2));
            self.reporting = all;
        }
    }

    async fn deliver(&mut self, batch: usize, answer: Answer, risk: LossRisk) {
        self.count(format!("good answers, risk: {risk:?}"));
        if risk == LossRisk::Attempt {
            let fault = Inject(Place::NextMessage(1), Fault::Panic);
            inject(&self.service, Role::Stream, fault).await;
        }
        self.simulator.push_answer(answer);
        if risk == LossRisk::Network {
            return self.pull().await;
        }
        self.good += 1;
        let number = self.good;
        let is_decided = |seen: &Journal| outcome(seen, number).is_some();
        let decided = self.simulator.wait_until(WAIT_LIMIT, is_decided).await;
        assert!(
            decided,
            "the service does not poll any more: {}",
            last_requests(&self.simulator.journal())
        );
        lock(&self.model).settle(batch);
        let outcome = outcome(&self.simulator.journal(), number);
        if outcome == Some(Outcome::Answered) && risk == LossRisk::None {
            lock(&self.model).decide(batch, Fate::Certain);
        }
    }

    /// Cuts all connections for a moment.
    async fn pull(&mut self) {
        sleep(Duration::from_millis(self.random.u64(..40))).await;
        self.simulator.unplug();
        sleep(Duration::from_millis(self.random.u64(..600))).await;
        let simulator = &self.simulator;
        let plug = || async { simulator.plug().is_ok() };
        eventually("the port is free again", plug).await;
        let before = simulator.journal().polls.len();
        let polls_again = |seen: &Journal| seen.polls.len() > before + 1;
        let again = simulator.wait_until(WAIT_LIMIT, polls_again).await;
        assert!(
            again,
            "no more polls: {}",
            last_requests(&simulator.journal())
        );
    }

    /// Checks the state without further faults: all stored rows are shown, all actors run, and a last answer is shown completely.
    async fn check_recovery(&mut self) {
        let (batch, answer) = answers::newest(&mut lock(&self.model), &mut self.clocks, 0..DEVICES);
        self.deliver(batch, answer, LossRisk::None).await;
        self.are_up().await;
        let deadline = Instant::now() + WAIT_LIMIT;
        loop {
            let body = self.scrape().await;
            if let Some(body) =
                body.filter(|body| body.value(r#"starlink_up{account="default"}"#) == Some(1.0))
            {
                let counted = body.beginning("starlink_exporter_rows_total{");
                return judge_rows(counted.values().sum(), lock(&self.model).sent);
            }
            assert!(Instant::now() < deadline, "starlink_up stays 0");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Run {
    /// Checks that devices that stop reporting become offline and are forgotten, while half of the devices continue.
    async fn silence(&mut self) {
        let deadline = Instant::now() + WAIT_LIMIT;
        let (speaking, silent) = (0..DEVICES / 2, DEVICES / 2..DEVICES);
        let mut were_offline = false;
        loop {
            let (batch, answer) =
                answers::newest(&mut lock(&self.model), &mut self.clocks, speaking.clone());
            self.deliver(batch, answer, LossRisk::None).await;
            if let Some(body) = self.scrape().await {
                let online = by_device(&body, "starlink_online");
                were_offline |= silent
                    .clone()
                    .all(|device| online.get(&device) == Some(&0.0));
                let is_over = silent
                    .clone()
                    .all(|device| ageing::is_forgotten(&body, device));
                if were_offline && is_over {
                    return self.count("devices forgotten");
                }
                assert!(!is_over, "they were never offline");
            }
            assert!(Instant::now() < deadline, "silent devices stay");
        }
    }
}

/// Checks that no batch is counted twice.
fn judge_rows(counted: f64, sent: usize) {
    assert!(
        counted <= sent as f64,
        "{counted} rows are counted of {sent} that were sent"
    );
}

/// The last requests in the journal, for error messages.
fn last_requests(journal: &Journal) -> String {
    let now = Instant::now();
    let polls = journal.polls.iter().rev().take(12).rev();
    let polls: Vec<_> = polls
        .map(|poll| {
            format!(
                "{:.1?} ago: {:?} {:?}",
                now - poll.started,
                poll.status,
                poll.outcome
            )
        })
        .collect();
    let tokens = journal.token_requests.iter().rev().take(12).rev();
    let tokens: Vec<_> = tokens
        .map(|token| format!("{:.1?} ago: {:?}", now - token.at, token.status))
        .collect();
    format!("polls {polls:#?}, token requests {tokens:#?}")
}

/// The outcome of the valid answer with this number, once the service has polled again.
fn outcome(journal: &Journal, number: usize) -> Option<Outcome> {
    let is_good = |poll: &&Poll| poll.rows > 0;
    let poll = journal.polls.iter().filter(is_good).nth(number - 1)?;
    let ended = poll.ended?;
    let has_asked = journal.polls.iter().any(|later| later.started > ended);
    has_asked.then_some(poll.outcome)
}

/// Checks that at most one poll was in flight, and the rates of polls and token requests.
fn judge(journal: &Journal) {
    assert!(journal.most_polls_in_flight <= 1, "polls overlap");
    let polls: Vec<_> = journal.polls.iter().map(|poll| poll.started).collect();
    let tokens: Vec<_> = journal
        .token_requests
        .iter()
        .map(|request| request.at)
        .collect();
    assert_most(&polls, POLLS_A_MINUTE, Duration::from_secs(60), "polls");
    assert_most(
        &tokens,
        TOKENS_IN_A_QUARTER,
        Duration::from_secs(900),
        "token requests",
    );
    for pair in tokens.windows(2) {
        let apart = pair[1] - pair[0];
        // The service waits a second. A busy simulator may record a request late, if its actor failed meanwhile.
        assert!(
            apart > Duration::from_millis(500),
            "two token requests {apart:?} apart"
        );
    }
}

fn assert_most(times: &[Instant], most: usize, within: Duration, what: &str) {
    for window in times.windows(most + 1) {
        assert!(
            window[most] - window[0] > within,
            "more than {most} {what} within {within:?}"
        );
    }
}
