//! One run of the campaign: a service with one to five accounts, a simulator for each, and the faults of all.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix_rt::task::JoinHandle;
use actix_rt::time::sleep;
use fastrand::Rng;
use futures_util::future::{join, join_all};
use starlink_telemetry::app::{Ending, Tuning};
use starlink_telemetry::simulator::{Journal, Options, Simulator};
use starlink_telemetry::starlink::Timeouts;
use starlink_telemetry::supervise::faults::{Fault, Inject, Place};
use starlink_telemetry::supervise::{Role, SupervisionPolicy};
use tokio::sync::RwLock;

use crate::ageing::{self, Ages};
use crate::answers::DEVICES;
use crate::faults::{draw, inject};
use crate::harness::{Service, eventually};
use crate::inventory::{self, Listed};
use crate::journals::{check_calm, judge};
use crate::lane::{Lane, Temper, World};
use crate::model::Model;
use crate::roll::{self, Roll, SECRET};
use crate::scraper::{Scraper, by_device, lock};
use crate::timeline::Timeline;
use crate::wire::try_get;

/// The numbers of events.
pub type Counts = BTreeMap<String, u64>;

/// Longer than any backoff within a run.
pub const WAIT_LIMIT: Duration = Duration::from_secs(150);

/// The longest pause between two polls of an account without faults, on a busy machine.
const CALM_PAUSE: Duration = Duration::from_secs(5);

/// Performs a run: faults for `length`, then none, after which all stored rows must be shown.
pub async fn play(seed: u64, length: Duration) -> Counts {
    let mut random = Rng::with_seed(seed);
    match random.u8(..16) {
        0 | 1 => return give_up(random).await,
        2 => return hurry(random, length).await,
        _ => {}
    }
    let accounts = random.usize(1..=5);
    let is_calm = accounts > 1 && random.bool();
    let ages = Ages::draw(&mut random);
    let (time, _ticker) = match ages.have_jumps {
        true => Timeline::manual(),
        false => Timeline::real(),
    };
    let world = Rc::new(world(&mut random, &time, ages, accounts, is_calm).await);
    let lane = |number| {
        let temper = match number {
            0 if is_calm => Temper::Calm,
            _ => Temper::Faulty,
        };
        Lane::new(&world, number, temper, random.fork())
    };
    let mut lanes: Vec<_> = (0..accounts).map(lane).collect();
    let is_over = Rc::new(Cell::new(false));
    let jumps = random.fork();
    let watching = watch(&world, random, Rc::clone(&is_over));
    // The check of silent devices at the end is part of the duration.
    let silence = match ages {
        Ages::LONG => Duration::ZERO,
        _ if ages.have_jumps => Duration::ZERO,
        _ => ages.forget,
    };
    let end = Instant::now() + length.saturating_sub(silence);
    let jumping = jump_until(&world, jumps, end);
    let playing = join_all(lanes.iter_mut().map(|lane| lane.play(end)));
    let (jumps, _) = join(jumping, playing).await;
    join_all(lanes.iter_mut().map(Lane::check_recovery)).await;
    let mut counts = Counts::from([(format!("runs with {accounts} accounts"), 1)]);
    if ages.have_jumps {
        counts.insert("runs in which the clocks jump".to_owned(), 1);
        counts.insert("jumps of the clocks".to_owned(), jumps);
    }
    if ages != Ages::LONG {
        check_silence(&world, &mut lanes).await;
        counts.insert("devices forgotten".to_owned(), 1);
    }
    is_over.set(true);
    let watched = watching.await.unwrap();
    let mut readings = 0;
    for (simulator, lane) in world.simulators.iter().zip(&lanes) {
        let journal = simulator.journal();
        judge(&journal, lane.is_changed, &time);
        readings += journal.management.len() as u64;
    }
    counts.insert("inventory requests".to_owned(), readings);
    counts.insert(format!("runs with inventories of {:?}", world.listed), 1);
    if is_calm {
        check_calm(&world.simulators[0].journal(), CALM_PAUSE);
        counts.insert("runs with a calm account".to_owned(), 1);
    }
    let of_lanes = lanes.into_iter().flat_map(Lane::into_counts);
    for (what, count) in of_lanes.chain(watched) {
        *counts.entry(what).or_default() += count;
    }
    counts
}

/// Starts the service and a simulator for each account. Most accounts are in the list from the start.
async fn world(
    random: &mut Rng,
    time: &Timeline,
    ages: Ages,
    accounts: usize,
    is_calm: bool,
) -> World {
    let simulators = (0..accounts).map(|number| {
        let lifetime = match number {
            0 if is_calm => 60,
            _ => random.u64(2..60),
        };
        let simulator = Simulator::start(Options {
            client_id: roll::client_id(number),
            client_secret: SECRET.to_owned(),
            token_lifetime: Duration::from_secs(lifetime),
            inventory: Some(inventory::options(random)),
            ..Options::default()
        })
        .unwrap();
        let time = time.clone();
        simulator.set_date(move || time.wall());
        simulator
    });
    let simulators: Vec<_> = simulators.collect();
    let tuning = Tuning {
        timeouts: Timeouts {
            connect: Duration::from_secs(2),
            token: Duration::from_secs(2),
            beyond_linger: Duration::from_secs(3),
            query: Duration::from_secs(3),
            body: Duration::from_secs(3),
            idle: Duration::from_secs(1),
        },
        reload_interval: Duration::from_millis(50),
        ..unlimited_restarts()
    };
    let mut roll = Roll::new(time.clone(), &simulators);
    for number in 0..accounts {
        if number == 0 || random.u8(..4) > 0 {
            roll.add(number);
        }
    }
    roll.write();
    // Some runs have immediate answers, so that only the pacing limits the rate.
    let linger = ["0", "300", "1000"][random.usize(..3)];
    let file = roll.file();
    let mut environment = vec![
        ("ACCOUNTS_FILE", file.into_os_string()),
        ("BATCH_SIZE", "1000".into()),
        ("MAX_LINGER", linger.into()),
        ("METRICS_ADDRESS", "127.0.0.1".into()),
        ("METRICS_PORT", "0".into()),
    ];
    environment.extend(ages.settings().map(|(name, age)| (name, age.into())));
    let environment = environment.into_iter();
    let environment: Vec<(String, OsString)> = environment
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let service = Service::set(environment, tuning, time.clock()).await;
    let homes = (0..DEVICES).map(|_| random.usize(..accounts)).collect();
    World {
        service,
        model: Arc::new(Mutex::new(Model::new(time.clone(), ages, roll, homes))),
        simulators,
        store_fails: !is_calm,
        listed: Listed::draw(random),
        steps: RwLock::new(()),
    }
}

/// Lets the clocks jump again and again until `end`, in runs with jumps. Returns how often.
async fn jump_until(world: &World, mut random: Rng, end: Instant) -> u64 {
    let ages = lock(&world.model).ages;
    let mut jumps = 0;
    while ages.have_jumps && Instant::now() < end {
        sleep(Duration::from_millis(random.u64(300..2000))).await;
        world.jump(ages.draw_jump(&mut random)).await;
        jumps += 1;
    }
    jumps
}

/// Starts a concurrent scraper that runs until the end.
fn watch(world: &Rc<World>, mut random: Rng, is_over: Rc<Cell<bool>>) -> JoinHandle<Counts> {
    let world = Rc::clone(world);
    let address = world.service.address;
    actix_rt::spawn(async move {
        let mut scraper = Scraper::default();
        while !is_over.get() {
            let no_jump = world.steps.read().await;
            scraper.scrape(address, &world.model, &mut random).await;
            drop(no_jump);
            sleep(Duration::from_millis(random.u64(..100))).await;
        }
        scraper.counts
    })
}

/// Checks that devices that stop reporting become offline and are forgotten, while half of the devices of each account continue.
async fn check_silence(world: &World, lanes: &mut [Lane]) {
    let deadline = Instant::now() + WAIT_LIMIT;
    let ages = lock(&world.model).ages;
    let (mut speaking, mut silent) = (Vec::new(), Vec::new());
    for lane in 0..lanes.len() {
        let devices = lock(&world.model).devices(lane);
        let (first, second) = devices.split_at(devices.len() / 2);
        speaking.push(first.to_vec());
        silent.extend_from_slice(second);
    }
    let mut were_offline = BTreeSet::new();
    loop {
        let answers = lanes.iter_mut().zip(&speaking);
        join_all(answers.map(|(lane, devices)| lane.speak(devices))).await;
        if ages.have_jumps {
            // Less than the speaking devices may be silent, until all others were offline.
            let jump = match were_offline.len() == silent.len() {
                true => ages.forget,
                false => ages.stale.mul_f64(0.7),
            };
            world.jump(jump).await;
        }
        if let Some(body) = lanes[0].scrape().await {
            let online = by_device(&body, "starlink_online");
            let is_offline = |device: &&usize| online.get(device) == Some(&0.0);
            were_offline.extend(silent.iter().filter(is_offline).copied());
            let mut left = silent.iter();
            if left.all(|&device| ageing::is_forgotten(&body, &lock(&world.model), device)) {
                assert_eq!(were_offline.len(), silent.len(), "some were never offline");
                return;
            }
        }
        assert!(Instant::now() < deadline, "silent devices stay");
    }
}

/// Checks that an actor that keeps failing ends the service.
async fn give_up(mut random: Rng) -> Counts {
    let simulator = Simulator::start(Options::default()).unwrap();
    let mut service = Service::start(&simulator, &[("INVENTORY", "auto")]).await;
    let (role, _) = draw(&mut random);
    if role == Role::Inventory {
        return give_up_inventory(&simulator, &service).await;
    }
    // Two faults at the same time may cause only one restart.
    eventually("the service is shutting down", || async {
        inject(
            &service,
            &service.account,
            role,
            Inject(Place::Future, Fault::Panic),
        )
        .await;
        let ready = try_get(service.address, "/readyz").await;
        ready.is_none_or(|ready| ready.body.contains("shutting down"))
    })
    .await;
    // The only account is all accounts.
    let expected = match role {
        Role::MetricsStore => Ending::GivenUp(role),
        _ => Ending::AccountsStopped,
    };
    assert_eq!(service.ended().await, expected);
    Counts::from([(format!("given up {}", role.name()), 1)])
}

/// Checks that an InventoryActor that keeps failing is paused alone: polls continue, and the service is ready.
async fn give_up_inventory(simulator: &Simulator, service: &Service) -> Counts {
    let role = Role::Inventory;
    eventually("the inventory is paused", || async {
        let fault = Inject(Place::Future, Fault::Panic);
        inject(service, &service.account, role, fault).await;
        let inventory = service.account.inventory.as_ref();
        inventory.is_some_and(|inventory| !inventory.connected())
    })
    .await;
    let before = simulator.journal().polls.len();
    let polls_on = |seen: &Journal| seen.polls.len() > before + 5;
    assert!(simulator.wait_until(WAIT_LIMIT, polls_on).await);
    let ready = try_get(service.address, "/readyz").await;
    assert!(ready.is_some_and(|ready| ready.status == 200));
    Counts::from([(format!("given up {}", role.name()), 1)])
}

/// Checks the poll rate with immediate answers while the StreamActor, which limits the rate, fails repeatedly.
async fn hurry(mut random: Rng, length: Duration) -> Counts {
    let (time, _ticker) = Timeline::real();
    let simulator = Simulator::start(Options::default()).unwrap();
    let service = Service::tuned(&simulator, &[("MAX_LINGER", "0")], unlimited_restarts()).await;
    let end = Instant::now() + length;
    let mut deaths = 0;
    while Instant::now() < end {
        sleep(Duration::from_millis(random.u64(2000..6000))).await;
        let place = [Place::Handler, Place::Future, Place::Interval][random.usize(..3)];
        inject(
            &service,
            &service.account,
            Role::Stream,
            Inject(place, Fault::Panic),
        )
        .await;
        deaths += 1;
    }
    let journal = simulator.journal();
    judge(&journal, false, &time);
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
