//! Tests of a pair: two instances with a service account each write the same rows to one receiver.

use super::*;

/// Two simulators that hand out the same rows, as Starlink does to two service accounts of one account, each with a journal of its own.
pub struct Pair {
    pub first: World,
    pub second: World,
}

impl Pair {
    pub fn new(options: Options, window: &'static str) -> Self {
        let options = Options {
            begun: Some(SystemTime::now()),
            ..options
        };
        let world = |options| World::new(options, Model::prometheus(WINDOW), window);
        Self {
            first: world(options.clone()),
            second: world(options),
        }
    }

    /// Waits until the second simulator has handed out what the first one has. No further rows are handed out.
    pub async fn ends(&self) {
        ends(&self.first.simulator).await;
        // Later ticks come after all of the first one's.
        self.second.hands_out(20).await;
        ends(&self.second.simulator).await;
    }
}

/// Every row is there once, and while one of them is killed for a while, there is no hole.
#[actix_rt::test]
async fn a_pair_writes_every_row_once_and_survives_the_death_of_one() {
    let pair = Pair::new(fleet(true), "33h");
    let receiver = &pair.first.receiver;
    let more = ["out_of_order_window: 33h", "pair: true"];
    let list = entry("default", receiver, &more);
    let (mut killed, _) = pair.first.start_with(&list, &[]).await;
    let (second, _) = pair.second.start_with(&list, &[]).await;
    pair.first.hands_out(40).await;
    pair.first.kill(&mut killed).await;
    pair.second.hands_out(40).await;
    let (first, _) = pair.first.start_with(&list, &[]).await;
    pair.first.hands_out(80).await;
    pair.ends().await;
    // All rows are certain: the second instance has those that the first one lost.
    let expected = pair.second.expected(Destination::default());
    is_complete(receiver, &expected).await;
    assert!(receiver.store().repeated > 0, "both have written");
    for binary in [&first, &second] {
        assert_eq!(binary.events_at("ERROR").len(), 0, "{}", binary.stderr());
    }
}
