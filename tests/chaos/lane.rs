//! An account of a run: a simulator, and the faults that are its own.

mod inventories;
mod reloads;

use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_rt::time::sleep;
use fastrand::Rng;
use starlink_telemetry::account::AccountActors;
use starlink_telemetry::simulator::{Answer, Journal, Outcome, Simulator};
use starlink_telemetry::supervise::faults::{Fault, Inject, Place};
use starlink_telemetry::supervise::{Heartbeat, Role};
use tokio::sync::RwLock;

use self::reloads::Reload;
use crate::ageing::{self, Ages};
use crate::answers;
use crate::faults::{draw, inject, name};
use crate::form::Body;
use crate::harness::{Service, eventually};
use crate::inventory::Listed;
use crate::journals::{last_requests, outcome};
use crate::model::{Fate, Model};
use crate::run::{Counts, WAIT_LIMIT};
use crate::scraper::{Scraper, lock};
use crate::wire::try_get;

/// What the accounts of a run share.
pub struct World {
    pub service: Service,
    pub model: Arc<Mutex<Model>>,
    pub simulators: Vec<Simulator>,
    /// Whether the store fails too, which delays all accounts.
    pub store_fails: bool,
    /// Which terminals the inventories list.
    pub listed: Listed,
    /// Held shared during each step of an account and each scrape, and exclusively while the clocks jump: a jump ends time limits, so
    /// no answer that counts may be in transit, no account may be ending, and no scrape may be in progress.
    pub steps: RwLock<()>,
}

impl World {
    /// The clocks jump. Then the store has removed what is old.
    pub async fn jump(&self, duration: Duration) {
        let _no_step = self.steps.write().await;
        lock(&self.model).time.jump(duration);
        let (store, address) = (&self.service.store, self.service.address);
        eventually("the store has replied", || async {
            // Its timers have run before the second reply.
            let replies = [store.send(Heartbeat).await, store.send(Heartbeat).await];
            let is_up = try_get(address, "/metrics").await;
            replies.iter().all(Result::is_ok) && is_up.is_some_and(|scrape| scrape.status == 200)
        })
        .await;
    }
}

/// What happens to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temper {
    /// Faults of all kinds.
    Faulty,
    /// Valid answers only, while its name and its secret change, and its inventory and the InventoryActor fail.
    Calm,
}

pub struct Lane {
    number: usize,
    world: Rc<World>,
    temper: Temper,
    scraper: Scraper,
    random: Rng,
    /// The devices that currently report, in runs with short ages.
    reporting: Vec<usize>,
    /// The number of valid answers so far.
    good: usize,
    /// Whether no valid answer can be in transit.
    is_drained: bool,
    /// Whether its entry in the list has changed.
    pub is_changed: bool,
    pub counts: Counts,
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

impl Lane {
    pub fn new(world: &Rc<World>, number: usize, temper: Temper, random: Rng) -> Self {
        let reporting = lock(&world.model).devices(number);
        Self {
            number,
            world: Rc::clone(world),
            temper,
            scraper: Scraper::default(),
            random,
            reporting,
            good: 0,
            is_drained: true,
            is_changed: false,
            counts: Counts::new(),
        }
    }

    fn simulator(&self) -> &Simulator {
        &self.world.simulators[self.number]
    }

    fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    /// Performs steps until `end`; then the account is in the list.
    pub async fn play(&mut self, end: Instant) {
        let world = Rc::clone(&self.world);
        if self.name().is_some() {
            let _no_jump = world.steps.read().await;
            // The first answer is valid, so that the service knows the meaning of codes.
            self.good(LossRisk::None).await;
            self.appears().await;
        }
        while Instant::now() < end {
            if self.name().is_none() {
                sleep(Duration::from_millis(self.random.u64(..4000))).await;
            }
            let _no_jump = world.steps.read().await;
            match self.name() {
                Some(_) => self.step().await,
                None => self.add().await,
            }
            if let Some(body) = self.scrape().await
                && self.temper == Temper::Calm
            {
                self.check_unhurt(&body);
            }
        }
        if self.name().is_none() {
            let _no_jump = world.steps.read().await;
            self.add().await;
        }
    }

    /// The name of the account while it is in the list.
    fn name(&self) -> Option<String> {
        let model = lock(&self.world.model);
        model.roll.name(self.number).map(str::to_owned)
    }

    /// The actors of the account since its last start.
    fn actors(&self) -> Option<AccountActors> {
        self.world.service.directory.find(&self.name()?)
    }

    pub async fn scrape(&mut self) -> Option<Body> {
        let address = self.world.service.address;
        let floor = lock(&self.world.model).floor();
        let model = &self.world.model;
        let body = self.scraper.scrape(address, model, &mut self.random);
        let body = body.await?;
        let journals = self.world.simulators.iter().map(Simulator::journal);
        let journals: Vec<_> = journals.collect();
        let offline = ageing::check_offline(&body, &lock(model), &floor, &journals);
        *self
            .counts
            .entry("offline devices seen".to_owned())
            .or_default() += offline as u64;
        *self
            .counts
            .entry("terminals never heard seen".to_owned())
            .or_default() += ageing::unheard(&body) as u64;
        Some(body)
    }

    async fn step(&mut self) {
        self.move_device();
        self.change_inventory();
        if self.temper == Temper::Calm {
            // Each start of an account may poll 20 times at once.
            return match self.random.u8(..40) {
                0 => self.change(Reload::Rename).await,
                1 => self.change_key().await,
                2..6 => self.hurt_inventory().await,
                _ => self.good(LossRisk::None).await,
            };
        }
        let count = self.world.simulators.len();
        match self.random.u8(..22) {
            0..8 => self.good(LossRisk::None).await,
            8..11 => self.bad(),
            11..16 => self.hurt().await,
            16 => self.bad_tokens(),
            17 => {
                self.count("tokens revoked");
                self.simulator().revoke_tokens();
            }
            18 => {
                self.good(LossRisk::Attempt).await;
                // An attempt that has started already is not affected; then the attempt of this answer panics.
                self.good(LossRisk::Echo).await;
            }
            19 => self.good(LossRisk::Network).await,
            _ if count > 1 => self.reload().await,
            _ => self.good(LossRisk::None).await,
        }
    }

    /// Sometimes gives a device to another account. No row of it is in transit.
    fn move_device(&mut self) {
        if !self.is_drained || self.random.u8(..6) > 0 {
            return;
        }
        let to = self.random.usize(..self.world.simulators.len());
        let mut model = lock(&self.world.model);
        let devices = model.devices(self.number);
        let Some(&device) = self.random.choice(&devices) else {
            return;
        };
        if to != self.number {
            model.homes[device] = to;
            self.reporting.retain(|&it| it != device);
            drop(model);
            self.count("devices moved");
        }
    }

    fn bad(&mut self) {
        let now = lock(&self.world.model).time.wall_nanos();
        let (what, answer) = answers::bad(&mut self.random, now);
        self.count(what);
        self.simulator().push_answer(answer);
    }

    fn bad_tokens(&mut self) {
        for _ in 0..self.random.u8(1..3) {
            let token = self.simulator().issue_token();
            let (what, answer) = answers::bad_token(&mut self.random, &token);
            self.count(what);
            self.simulator().push_token_answer(answer);
        }
        self.simulator().revoke_tokens();
    }

    /// Injects a fault into an actor, and checks that it recovers.
    async fn hurt(&mut self) {
        let (role, fault) = draw(&mut self.random);
        let Some(actors) = self.actors() else {
            return self.good(LossRisk::None).await;
        };
        if role == Role::MetricsStore {
            if !self.world.store_fails {
                return self.good(LossRisk::None).await;
            }
            let mut model = lock(&self.world.model);
            model.store_hurt = Some(model.time.now());
        }
        self.count(name(role, fault));
        inject(&self.world.service, &actors, role, fault).await;
        if self.random.bool() {
            self.good(LossRisk::None).await;
        }
        self.are_up().await;
    }

    /// Whether a scrape shows the account and all its actors, and the store, as up.
    async fn is_up(&mut self) -> bool {
        let Some(body) = self.scrape().await else {
            return false;
        };
        let name = self.name().unwrap_or_default();
        let account = format!("starlink_exporter_actor_up{{account=\"{name}\",");
        let store = "starlink_exporter_actor_up{actor=";
        let are_up = |beginning: &str, count: usize| {
            let up = body.beginning(beginning);
            up.len() == count && up.values().all(|up| *up == 1.0)
        };
        are_up(&account, 4) && are_up(store, 1)
    }

    async fn are_up(&mut self) {
        let deadline = Instant::now() + WAIT_LIMIT;
        while !self.is_up().await {
            assert!(Instant::now() < deadline, "an actor does not recover");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends a valid answer and waits for the next poll.
    async fn good(&mut self, risk: LossRisk) {
        self.change_who_reports();
        let (batch, answer) = {
            let mut model = lock(&self.world.model);
            let is_counted = risk != LossRisk::Network;
            answers::good(
                &mut model,
                &mut self.random,
                self.number,
                &self.reporting,
                is_counted,
            )
        };
        self.deliver(batch, answer, risk).await;
    }

    /// Decides which devices report: those of this account, but in runs with short ages only some of them, and in the others sometimes
    /// all devices of all accounts.
    fn change_who_reports(&mut self) {
        let model = lock(&self.world.model);
        let mut devices = model.devices(self.number);
        if model.ages == Ages::LONG {
            if self.random.u8(..8) == 0 {
                devices = (0..answers::DEVICES).collect();
            }
            self.reporting = devices;
        } else if self.random.u8(..4) == 0 || self.reporting.is_empty() {
            let most = (devices.len() / 2).max(1);
            self.random.shuffle(&mut devices);
            devices.truncate(self.random.usize(..most) + 1);
            self.reporting = devices;
        }
    }

    /// Sends the newest rows of some devices of this account.
    pub async fn speak(&mut self, devices: &[usize]) {
        let (batch, answer) = {
            let mut model = lock(&self.world.model);
            answers::newest(&mut model, self.number, devices)
        };
        self.deliver(batch, answer, LossRisk::None).await;
    }

    async fn deliver(&mut self, batch: usize, answer: Answer, risk: LossRisk) {
        self.count(format!("good answers, risk: {risk:?}"));
        if risk == LossRisk::Attempt
            && let Some(actors) = self.actors()
        {
            let fault = Inject(Place::NextMessage(1), Fault::Panic);
            inject(&self.world.service, &actors, Role::Stream, fault).await;
        }
        self.is_drained = false;
        self.simulator().push_answer(answer);
        if risk == LossRisk::Network {
            return self.pull().await;
        }
        self.good += 1;
        let number = self.good;
        let is_decided = |seen: &Journal| outcome(seen, number).is_some();
        let decided = self.simulator().wait_until(WAIT_LIMIT, is_decided).await;
        let journal = self.simulator().journal();
        assert!(
            decided,
            "the service does not poll any more: {}",
            last_requests(&journal)
        );
        let mut model = lock(&self.world.model);
        model.settle(batch);
        if outcome(&journal, number) == Some(Outcome::Answered) && risk == LossRisk::None {
            model.decide(batch, Fate::Certain);
        }
        drop(model);
        self.is_drained = true;
    }

    /// Cuts all connections for a moment.
    async fn pull(&mut self) {
        sleep(Duration::from_millis(self.random.u64(..40))).await;
        self.simulator().unplug();
        sleep(Duration::from_millis(self.random.u64(..600))).await;
        let simulator = self.simulator();
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

    /// Checks the state without further faults: a last answer is shown completely, and all actors run.
    pub async fn check_recovery(&mut self) {
        let devices = lock(&self.world.model).devices(self.number);
        self.speak(&devices).await;
        self.are_up().await;
        let deadline = Instant::now() + WAIT_LIMIT;
        loop {
            let name = self.name().unwrap_or_default();
            let series = format!(r#"starlink_up{{account="{name}"}}"#);
            if let Some(body) = self.scrape().await
                && body.value(&series) == Some(1.0)
            {
                return lock(&self.world.model).roll.check_rows(&body);
            }
            assert!(Instant::now() < deadline, "starlink_up stays 0");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The events, including those of its scraper.
    pub fn into_counts(self) -> impl Iterator<Item = (String, u64)> {
        self.counts.into_iter().chain(self.scraper.counts)
    }
}
