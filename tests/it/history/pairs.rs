//! Tests of a pair: two instances with a service account each write the same rows to one receiver.

use super::*;

/// Two simulators with one fleet, as two service accounts of one Starlink account have. The rows of the second one come from the first, so
/// that their times are equal.
struct Pair {
    world: World,
    second: Simulator,
    /// The number of polls of the first simulator whose answers were copied.
    copied: usize,
}

impl Pair {
    /// Hands out the answers of the first account to the second one, too.
    fn copy(&mut self) {
        let polls = self.world.simulator.journal().polls;
        let new = polls[self.copied..].iter();
        for poll in new.take_while(|poll| poll.ended.is_some()) {
            if let Some(body) = poll.answer.as_ref().filter(|_| poll.rows > 0) {
                self.second.push_body(std::str::from_utf8(body).unwrap());
            }
            self.copied += 1;
        }
    }
}

/// Every row is there once, and while one of them is killed for a while, there is no hole.
#[actix_rt::test]
async fn a_pair_writes_every_row_once_and_survives_the_death_of_one() {
    let mut pair = Pair {
        world: World::new(fleet(true), Model::prometheus(WINDOW), "33h"),
        second: Simulator::start(Options::default()).unwrap(),
        copied: 0,
    };
    let more = ["out_of_order_window: 33h", "pair: true"];
    let list = entry("default", &pair.world.receiver, &more);
    let second_journal = tempfile::tempdir().unwrap();
    let file = pair.world.write_destinations(&list);
    let changes = [
        ("JOURNAL_DIR", second_journal.path().to_str().unwrap()),
        ("REMOTE_WRITE_FILE", file.to_str().unwrap()),
    ];
    let (mut first, _) = pair.world.start_with(&list, &[]).await;
    let (second, _) = Binary::listening(&pair.second, &changes).await;
    pair.world.hands_out(40).await;
    pair.copy();
    pair.world.kill(&mut first).await;
    let (first, _) = pair.world.start_with(&list, &[]).await;
    pair.world.hands_out(40).await;
    ends(&pair.world.simulator).await;
    pair.copy();
    // All rows are certain: the second instance has those that the first one lost.
    let expected = Expected::of(
        &delivered(&pair.world.simulator, &[]),
        Destination::default(),
    );
    is_complete(&pair.world.receiver, &expected).await;
    assert!(
        pair.world.receiver.store().repeated > 0,
        "both have written"
    );
    for binary in [&first, &second] {
        assert_eq!(binary.events_at("ERROR").len(), 0, "{}", binary.stderr());
    }
}
