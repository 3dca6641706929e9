//! The service is killed at random moments, while its receivers are up, down or both in turns, and while the disk of its journal works, is
//! full, or works again: no row is lost, but those of the last answer before a kill, if no further poll followed it, and those that were
//! handed out while the disk was full, if it was full until the kill.

use std::env;
use std::time::Instant;

use super::disk::{DURABLE, limit_files};
use super::*;
use crate::harness::{UP, shows};

/// The number of kills of a plain `cargo test`; the variable `HISTORY_KILLS` overrides it.
const KILLS: u32 = 30;

/// What a receiver does during a round.
#[derive(Debug, Clone, Copy)]
enum Weather {
    Up,
    Down,
    Flapping,
}

const WEATHERS: [Weather; 3] = [Weather::Up, Weather::Down, Weather::Flapping];

/// Writes fail behind the first bytes of any file, as on a full disk.
#[derive(Debug, Clone, Copy)]
struct FullDisk {
    /// The process is started while the disk is full.
    from_start: bool,
    end: End,
}

/// How a round with a full disk ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The disk is full when the process is killed.
    Full,
    /// The disk has space again, but the process may not have noticed it when it is killed.
    HasSpace,
    /// The journal is durable again when the process is killed.
    Durable,
}

/// A plain run has each of them once.
const FULL_DISKS: [FullDisk; 6] = {
    const fn full(from_start: bool, end: End) -> FullDisk {
        FullDisk { from_start, end }
    }
    [
        full(false, End::Full),
        full(true, End::HasSpace),
        full(false, End::Durable),
        full(true, End::Full),
        full(false, End::HasSpace),
        full(true, End::Durable),
    ]
};

/// The disk of a round. `None` is a disk that works.
fn full_disk(random: &mut fastrand::Rng, round: u32) -> Option<FullDisk> {
    match round {
        2 | 7 | 12 | 17 | 22 | 27 => Some(FULL_DISKS[round as usize / 5]),
        _ if random.u32(..10) == 0 => Some(FULL_DISKS[random.usize(..FULL_DISKS.len())]),
        _ => None,
    }
}

/// The service with two receivers, and what happened so far.
struct Trial {
    world: World,
    other: Receiver,
    list: String,
    random: fastrand::Rng,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    /// Rounds with a full disk.
    full: u32,
    /// Those in which the journal was durable again.
    durable_again: u32,
    /// Rows that may be lost because the disk was full until the kill.
    excused: u64,
}

impl Trial {
    fn new(seed: u64) -> Self {
        // Few rows, so that many kills meet a receiver that is about to have all.
        let world = World::new(fleet(true), Model::prometheus(WINDOW), "33h");
        let other = Receiver::start(Model::victoria_metrics());
        let list = [
            entry("window", &world.receiver, &["out_of_order_window: 33h"]),
            entry("unlimited", &other, &["out_of_order_window: unlimited"]),
        ];
        Self {
            world,
            other,
            list: list.concat(),
            random: fastrand::Rng::with_seed(seed),
            counts: Counts::default(),
        }
    }

    fn receivers(&self) -> [&Receiver; 2] {
        [&self.world.receiver, &self.other]
    }

    fn polls(&self) -> usize {
        self.world.simulator.journal().polls.len()
    }

    /// Waits for a random time, during which the receivers are up or down.
    async fn wait(&mut self, most: u64) {
        let deadline = Instant::now() + Duration::from_millis(self.random.u64(..most));
        let weathers = [(); 2].map(|()| WEATHERS[self.random.usize(..WEATHERS.len())]);
        loop {
            let are_up = weathers.map(|weather| match weather {
                Weather::Up => true,
                Weather::Down => false,
                Weather::Flapping => self.random.bool(),
            });
            for (receiver, is_up) in self.receivers().into_iter().zip(are_up) {
                match is_up {
                    true => receiver.plug(),
                    false => receiver.unplug(),
                }
            }
            let now = Instant::now();
            if now >= deadline {
                return;
            }
            let pause = Duration::from_millis(self.random.u64(10..150)).min(deadline - now);
            actix_rt::time::sleep(pause).await;
        }
    }

    /// Starts a process, and kills it at a random moment.
    async fn round(&mut self, round: u32) {
        let full = full_disk(&mut self.random, round);
        let is_full = full.is_some_and(|full| full.from_start);
        // A signal would end the process where a write is refused.
        let prelude = match is_full {
            true => "trap '' XFSZ && ulimit -S -f 0",
            false => "trap '' XFSZ",
        };
        let polls = self.polls();
        let mut binary = self.world.start_after(prelude, &self.list);
        // The start is killed, too.
        if !round.is_multiple_of(4) || is_full {
            binary.address().await;
        }
        if !is_full {
            let most = if round.is_multiple_of(2) { 300 } else { 1500 };
            self.wait(most).await;
        }
        let Some(full) = full else {
            self.world.kill(&mut binary).await;
            return;
        };
        self.counts.full += 1;
        let first = match full.from_start {
            true => polls,
            // The last poll may have an answer that is not written yet.
            false => self.polls().saturating_sub(1),
        };
        let is_durable = self.fill(&mut binary, full).await;
        self.world.kill(&mut binary).await;
        match is_durable {
            true => self.counts.durable_again += 1,
            false => self.excuse(first),
        }
    }

    /// Lets the disk be full for a while. Returns whether the journal is durable again.
    async fn fill(&mut self, binary: &mut Binary, full: FullDisk) -> bool {
        if !full.from_start {
            limit_files(binary, "1");
        }
        // Else there may be nothing to write before the kill.
        if full.from_start || full.end == End::Durable {
            let address = binary.address().await;
            shows(address, DURABLE, 0.0).await;
            self.world.hands_out(5).await;
            shows(address, UP, 1.0).await;
        }
        self.wait(1500).await;
        if full.end == End::Full {
            return false;
        }
        limit_files(binary, "unlimited");
        if full.end == End::HasSpace {
            self.wait(4000).await;
            return false;
        }
        let address = binary.address().await;
        shows(address, DURABLE, 1.0).await;
        self.is_whole(address).await;
        true
    }

    /// Checks that nothing was dropped while the disk was full, and in half of the rounds that all has arrived. In the others, the process
    /// is killed before.
    async fn is_whole(&mut self, address: SocketAddr) {
        let body = form::scrape(address, "prometheus").await;
        let dropped = body.moved("starlink_exporter_remote_write_rows_dropped_total");
        let mut lost = dropped.keys().filter(|reason| {
            let known = ["duplicate", "future"];
            known.iter().all(|known| !reason.contains(known))
        });
        assert_eq!(lost.next(), None, "{dropped:?}");
        if self.random.bool() {
            self.arrives().await;
        }
    }

    /// Waits until the receivers have all rows so far, and checks them. No rows are handed out meanwhile.
    async fn arrives(&self) -> Expected {
        for receiver in self.receivers() {
            receiver.plug();
        }
        ends(&self.world.simulator).await;
        let expected = self.world.expected(Destination::default());
        for receiver in self.receivers() {
            is_complete(receiver, &expected).await;
        }
        self.world.simulator.set_default_answer(None);
        expected
    }

    /// The answers of the polls from this one to the kill may be lost.
    fn excuse(&mut self, first: usize) {
        let polls = self.world.simulator.journal().polls;
        let lost = polls[first..].iter();
        self.counts.excused += lost.map(|poll| poll.rows as u64).sum::<u64>();
        let mut ends = self.world.ends.borrow_mut();
        ends.extend(first + 1..=polls.len());
    }
}

#[actix_rt::test]
async fn no_row_is_lost_by_kills_at_random_moments() {
    let kills = env::var("HISTORY_KILLS").ok();
    let kills = kills.map_or(KILLS, |kills| kills.parse().unwrap());
    let seed = env::var("HISTORY_SEED").ok();
    let seed = seed.map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("{kills} kills, seed {seed}");
    let mut trial = Trial::new(seed);
    for round in 0..kills {
        trial.round(round).await;
        if round % 100 == 99 {
            println!("{} kills", round + 1);
        }
    }
    let mut binary = trial.world.start_at_once(&trial.list);
    binary.address().await;
    trial.world.hands_out(10).await;
    let expected = trial.arrives().await;
    assert!(trial.polls() < 40_000, "the simulator remembers all polls");
    assert!(trial.counts.full > 0, "no round had a full disk");
    let Counts {
        full,
        durable_again,
        excused,
    } = trial.counts;
    println!(
        "{full} rounds had a full disk, in {durable_again} of them the journal was durable again before the kill; {excused} rows are excused because it was not"
    );
    let all = Expected::of(
        &delivered(&trial.world.simulator, &[]),
        Destination::default(),
    );
    for (name, receiver) in ["window", "unlimited"].into_iter().zip(trial.receivers()) {
        let (store, requests) = (receiver.store(), receiver.requests());
        println!(
            "{name}: {} rows, {} of them certain, {} required samples, {} stored, {} of them repeatedly, in {} requests; {} of the other rows are missing",
            expected.rows(),
            expected.missing(&store.samples, 0).rows,
            expected.required(),
            store.len(),
            store.repeated,
            requests.len(),
            all.missing(&store.samples, 0).missing_rows,
        );
    }
    trial.world.stop(&mut binary).await;
}
