//! The service is killed at random moments, while its receivers are up, down or both in turns: no row is lost, but those of the last answer
//! before a kill, if no further poll followed it.

use std::env;

use super::*;

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

/// Waits for a time, during which the receivers are up or down.
async fn wait(random: &mut fastrand::Rng, receivers: &[&Receiver], time: Duration) {
    let deadline = std::time::Instant::now() + time;
    let weathers: Vec<_> = receivers
        .iter()
        .map(|_| WEATHERS[random.usize(..WEATHERS.len())])
        .collect();
    loop {
        for (receiver, weather) in receivers.iter().zip(&weathers) {
            let is_up = match weather {
                Weather::Up => true,
                Weather::Down => false,
                Weather::Flapping => random.bool(),
            };
            match is_up {
                true => receiver.plug(),
                false => receiver.unplug(),
            }
        }
        let now = std::time::Instant::now();
        if now >= deadline {
            return;
        }
        let pause = Duration::from_millis(random.u64(10..150)).min(deadline - now);
        actix_rt::time::sleep(pause).await;
    }
}

#[actix_rt::test]
async fn no_row_is_lost_by_kills_at_random_moments() {
    let kills = env::var("HISTORY_KILLS").ok();
    let kills = kills.map_or(KILLS, |kills| kills.parse().unwrap());
    let seed = fastrand::u64(..);
    println!("{kills} kills, seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    // Few rows, so that many kills meet a receiver that is about to have all.
    let world = World::new(fleet(true), Model::prometheus(WINDOW), "33h");
    let other = Receiver::start(Model::victoria_metrics());
    let list = [
        entry("window", &world.receiver, &["out_of_order_window: 33h"]),
        entry("unlimited", &other, &["out_of_order_window: unlimited"]),
    ]
    .concat();
    for round in 0..kills {
        let (mut binary, receivers) = match round % 4 {
            // The start is killed, too.
            0 => (world.start_at_once(&list), [&world.receiver, &other]),
            _ => (
                world.start_with(&list, &[]).await.0,
                [&world.receiver, &other],
            ),
        };
        let most = if round % 2 == 0 { 300 } else { 1500 };
        let time = Duration::from_millis(random.u64(..most));
        wait(&mut random, &receivers, time).await;
        world.kill(&mut binary).await;
        if round % 100 == 99 {
            println!("{} kills", round + 1);
        }
    }
    for receiver in [&world.receiver, &other] {
        receiver.plug();
    }
    let (mut binary, _) = world.start_with(&list, &[]).await;
    world.hands_out(10).await;
    ends(&world.simulator).await;
    let expected = world.expected(Destination::default());
    let polls = world.simulator.journal().polls.len();
    assert!(polls < 40_000, "the simulator remembers all polls");
    for (name, receiver) in [("window", &world.receiver), ("unlimited", &other)] {
        is_complete(receiver, &expected).await;
        let (store, requests) = (receiver.store(), receiver.requests());
        println!(
            "{name}: {} rows, {} required samples, {} stored, {} of them repeatedly, in {} requests",
            expected.rows(),
            expected.required(),
            store.len(),
            store.repeated,
            requests.len(),
        );
    }
    world.stop(&mut binary).await;
}
