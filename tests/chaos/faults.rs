//! Injects random panics, stops and hangs into actors.

use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler};
use fastrand::Rng;
use starlink_telemetry::account::AccountActors;
use starlink_telemetry::supervise::Role;
use starlink_telemetry::supervise::faults::{Fault, Inject, Place};

use crate::harness::Service;

const ROLES: [Role; 5] = [
    Role::Token,
    Role::Stream,
    Role::Metadata,
    Role::MetricsStore,
    Role::Inventory,
];

/// A random fault that must not lose data.
pub fn draw(random: &mut Rng) -> (Role, Inject) {
    let role = ROLES[random.usize(..ROLES.len())];
    (role, draw_of(random, role))
}

/// A random fault of this actor that must not lose data.
pub fn draw_of(random: &mut Rng, role: Role) -> Inject {
    let fault = match random.u8(..5) {
        0 | 1 => Fault::Panic,
        2 | 3 => Fault::Stop,
        _ => Fault::Hang(Duration::from_millis(random.u64(..400))),
    };
    let place = match random.u8(..5) {
        0 => Place::Handler,
        1 => Place::Future,
        2 => Place::Interval,
        3 => Place::Started(random.usize(1..3)),
        // In the StreamActor this would lose the answer that is being read.
        _ if role == Role::Stream => Place::Handler,
        // It has no ordinary messages.
        _ if role == Role::Inventory => Place::Answer(1),
        _ => Place::NextMessage(1),
    };
    match (place, fault) {
        // The actor would hang repeatedly until it is restarted.
        (Place::Interval, Fault::Hang(_)) => Inject(Place::Handler, fault),
        _ => Inject(place, fault),
    }
}

/// Injects a fault into an actor of an account, or into the store. A handler that panics does not reply.
pub async fn inject(service: &Service, account: &AccountActors, role: Role, fault: Inject) {
    match role {
        Role::Token => send(&account.token, fault).await,
        Role::Stream => send(&account.stream, fault).await,
        Role::Metadata => send(&account.metadata, fault).await,
        Role::Inventory => {
            if let Some(inventory) = &account.inventory {
                send(inventory, fault).await;
            }
        }
        Role::Journal | Role::RemoteWrite => unreachable!("no destination is configured"),
        Role::MetricsStore => send(&service.store, fault).await,
    }
}

async fn send<A>(actor: &Addr<A>, fault: Inject)
where
    A: Actor<Context = Context<A>> + Handler<Inject>,
    A::Context: ToEnvelope<A, Inject>,
{
    let _ = actor.send(fault).timeout(Duration::from_secs(10)).await;
}

/// The name of a fault in the summary.
pub fn name(role: Role, Inject(place, fault): Inject) -> String {
    let place = match place {
        Place::Handler => "in a handler",
        Place::Future => "in a future",
        Place::Interval => "in an interval",
        Place::Started(_) => "at its start",
        Place::NextMessage(_) => "at its next message",
        Place::Answer(_) => "over an answer",
    };
    let fault = match fault {
        Fault::Panic | Fault::PanicSaying(_) => "panics",
        Fault::Stop => "stops",
        Fault::Hang(_) | Fault::HangUntil(_) => "hangs",
    };
    format!("{} {fault} {place}", role.name())
}
