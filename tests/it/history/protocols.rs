//! Tests of the choice of the protocol: 2.0, or 1.0 where the receiver does not understand 2.0.

use super::*;
use crate::receiver::{Request, Version2};

/// The versions of the requests with rows.
fn versions(requests: &[Request]) -> Vec<Protocol> {
    let mut versions: Vec<_> = requests.iter().filter_map(Request::protocol).collect();
    versions.dedup();
    versions
}

#[actix_rt::test]
async fn a_receiver_that_does_not_understand_2_0_gets_1_0() {
    let refusal = || Reply::status(400, "unsupported remote write version\n");
    let each = [
        (Version2::Ignored, None),
        (Version2::Refused, None),
        (Version2::Ignored, Some(refusal())),
    ];
    let each = each.map(|(version_2, reply)| async move {
        let model = Model {
            version_2,
            ..Model::prometheus(WINDOW)
        };
        let world = World::new(fleet(true), model, "33h");
        if let Some(reply) = reply {
            world.receiver.set_rule(move |request| {
                (request.protocol() == Some(Protocol::V2)).then(|| reply.clone())
            });
        }
        let (_binary, address) = world.start(&[]).await;
        world.hands_out(60).await;
        world.is_complete(Destination::default()).await;
        reports(address, "protocol_version", "", |it| it == 1.0).await;
        // The choice is remembered for all requests. The first ones may be in flight at the same time: rows, and two own sets.
        let requests = world.receiver.requests();
        let is_first = |request: &Request| request.protocol() == Some(Protocol::V2);
        let firsts = requests.iter().filter(|request| is_first(request)).count();
        assert!((1..=3).contains(&firsts), "{firsts} requests of 2.0");
        let last = requests.iter().rposition(is_first).unwrap();
        assert_eq!(versions(&requests[last + 1..]), [Protocol::V1]);
    });
    join_all(each).await;
}

#[actix_rt::test]
async fn a_version_can_be_demanded() {
    let each = [("1.0", Protocol::V1), ("2.0", Protocol::V2)];
    let each = each.map(|(text, protocol)| async move {
        let world = World::new(fleet(true), Model::prometheus(WINDOW), "33h");
        let version = format!("protocol: \"{text}\"");
        let list = entry(
            "default",
            &world.receiver,
            &[&version, "out_of_order_window: 33h"],
        );
        let (_binary, _) = world.start_with(&list, &[]).await;
        world.hands_out(30).await;
        world.is_complete(Destination::default()).await;
        assert_eq!(versions(&world.receiver.requests()), [protocol]);
    });
    join_all(each).await;
}

/// A receiver that ignores 2.0 would lose everything without a word.
#[actix_rt::test]
async fn nothing_is_dropped_where_only_2_0_may_be_spoken_and_is_not_understood() {
    let world = World::new(fleet(true), Model::victoria_metrics(), "unlimited");
    let list = |version: &str| {
        let version = format!("protocol: \"{version}\"");
        let more = [&*version, "out_of_order_window: unlimited"];
        entry("default", &world.receiver, &more)
    };
    let (mut binary, _) = world.start_with(&list("2.0"), &[]).await;
    world.hands_out(30).await;
    eventually("an ERROR says what to change", || async {
        let errors = binary.events_at("ERROR");
        errors
            .iter()
            .any(|event| event.says("set protocol to auto"))
    })
    .await;
    assert_eq!(world.receiver.store().len(), 0);
    world.stop(&mut binary).await;
    let (_binary, _) = world.start_with(&list("1.0"), &[]).await;
    world.is_complete(Destination::default()).await;
}
