//! Panics, stops and hangs of the actors of an account, at each place, do not affect the other accounts.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::*;

/// The accounts without faults.
const OTHERS: [&str; 2] = ["healthy-1", "healthy-2"];

/// A fault that happens to one actor. Each case has an account of its own.
#[derive(Clone, Copy)]
struct Case {
    role: Role,
    place: Place,
    fault: Fault,
}

impl Case {
    /// The name of its account, which says what happens.
    fn account(&self) -> String {
        let place = match self.place {
            Place::Handler => "handler",
            Place::Future => "future",
            Place::Interval => "interval",
            Place::Started(_) => "started",
            Place::NextMessage(_) => "message",
            Place::Answer(_) => "answer",
        };
        let fault = match self.fault {
            Fault::Panic | Fault::PanicSaying(_) => "panic",
            Fault::Stop => "stop",
            Fault::Hang(_) | Fault::HangUntil(_) => "hang",
        };
        format!("{}-{fault}-{place}", self.role.name())
    }

    fn inject(&self, service: &Service) {
        let account = self.account();
        inject(service, &account, self.role, self.place, self.fault);
    }

    /// Whether the actor was restarted because of the fault.
    fn is_restarted(&self, scrape: &Body) -> bool {
        let (account, actor) = (self.account(), self.role.name());
        let cause = match self.fault {
            Fault::Stop => "stop",
            _ => "panic",
        };
        let labels = format!(r#"account="{account}",actor="{actor}""#);
        let restarts =
            format!(r#"starlink_exporter_actor_restarts_total{{{labels},cause="{cause}"}}"#);
        let up = format!("starlink_exporter_actor_up{{{labels}}}");
        scrape.value(&restarts) >= Some(1.0) && scrape.value(&up) == Some(1.0)
    }
}

/// The places at which a fault can happen to an actor.
fn places(role: Role) -> [Place; 5] {
    // The StreamActor receives no ordinary messages; it handles the results of attempts.
    let own = match role {
        Role::Stream => Place::Answer(1),
        _ => Place::NextMessage(1),
    };
    [
        Place::Handler,
        own,
        Place::Future,
        Place::Interval,
        Place::Started(1),
    ]
}

fn cases(places: fn(Role) -> Vec<Place>, faults: &[Fault]) -> Vec<Case> {
    let mut cases = Vec::new();
    for role in ROLES {
        for place in places(role) {
            let case = |&fault| Case { role, place, fault };
            cases.extend(faults.iter().map(case));
        }
    }
    cases
}

fn world(cases: &[Case]) -> World {
    let others = OTHERS.map(str::to_owned).into_iter();
    World::of(others.chain(cases.iter().map(Case::account)))
}

/// Devices go stale while their account hangs, but not between two polls.
const SETTINGS: [(&str, &str); 2] = [("MAX_LINGER", "200"), ("STALE_AFTER", "5")];

#[actix_rt::test]
async fn a_panic_or_a_stop_of_any_actor_at_any_place_affects_no_other_account() {
    let cases = cases(|role| places(role).to_vec(), &[Fault::Panic, Fault::Stop]);
    let world = world(&cases);
    let service = world
        .start(&SETTINGS, Tuning::default(), Clock::system())
        .await;
    let recovery = async {
        for case in &cases {
            case.inject(&service);
        }
        eventually("all actors are restarted", || async {
            let scrape = service.scrape().await;
            cases.iter().all(|case| case.is_restarted(&scrape))
        })
        .await;
        let accounts: Vec<_> = cases.iter().map(Case::account).collect();
        join_all(accounts.iter().map(|it| world.works(&service, it, 2.0))).await;
    };
    world.unaffected(&service, &OTHERS, recovery).await;
    for other in OTHERS {
        world.works(&service, other, 1000.0).await;
    }
}

/// Longer than the interval between the heartbeats of tasks, and than [`LONGEST_PAUSE`].
const HANG_LIMIT: Duration = Duration::from_secs(6);

fn tuning_with_short_hang_limit() -> Tuning {
    Tuning {
        supervision: SupervisionPolicy {
            heartbeat: Duration::from_millis(50),
            ..SupervisionPolicy::default()
        },
        hang_limit: HANG_LIMIT,
        ..Tuning::default()
    }
}

/// The accounts with an actor that hangs.
async fn hanging(service: &Service) -> BTreeSet<String> {
    let report = json(service, "/livez?verbose").await;
    let actors = report["actors"].as_array().unwrap().iter();
    let hanging = actors.filter(|actor| actor["trouble"] == "hangs");
    let accounts = hanging.filter_map(|actor| actor["account"].as_str());
    accounts.map(str::to_owned).collect()
}

#[actix_rt::test]
async fn a_hang_of_any_actor_at_any_place_affects_no_other_account() {
    let places = |_| vec![Place::Handler, Place::Future, Place::Started(1)];
    let latch = Latch::closed();
    let cases = cases(places, &[Fault::HangUntil(latch)]);
    let world = world(&cases);
    let tuning = tuning_with_short_hang_limit();
    let service = world.start(&SETTINGS, tuning, Clock::system()).await;
    let accounts: Vec<_> = cases.iter().map(Case::account).collect();
    let recovery = async {
        for case in &cases {
            case.inject(&service);
        }
        let seen = RefCell::new(BTreeSet::new());
        eventually("each account hangs", || async {
            let hanging = hanging(&service).await;
            seen.borrow_mut().extend(hanging);
            let seen = seen.borrow();
            accounts.iter().all(|account| seen.contains(account))
        })
        .await;
        latch.open();
        eventually("no account hangs", || async {
            hanging(&service).await.is_empty()
        })
        .await;
        join_all(accounts.iter().map(|it| world.works(&service, it, 2.0))).await;
    };
    world.unaffected(&service, &OTHERS, recovery).await;
}

#[actix_rt::test]
async fn livez_fails_when_all_accounts_hang() {
    let world = World::of(["a", "b"]);
    let tuning = tuning_with_short_hang_limit();
    let service = world.start(&SETTINGS, tuning, Clock::system()).await;
    let latch = Latch::closed();
    let hang = Fault::HangUntil(latch);
    for name in ["a", "b"] {
        inject(&service, name, Role::Stream, Place::Handler, hang);
    }
    let responds = async |status: u16| {
        eventually(&format!("/livez responds with {status}"), || async {
            service.get("/livez").await.status == status
        })
        .await;
    };
    responds(503).await;
    latch.open();
    responds(200).await;
}
