//! The metrics of actors.

use std::sync::Arc;

use crate::account::AccountStatus;
use crate::exposition::{Kind, OwnFamily, OwnSample};
use crate::recording::Statuses;
use crate::supervise::{ActorStatus, Cause};

/// The families of the actors that belong to no account, of those of accounts, and of journals and senders. An account has a
/// RemoteWriteActor for each destination, which have one sample together.
#[expect(clippy::cast_precision_loss, reason = "a sample is an f64")]
pub(super) fn actor_families(
    others: &[Arc<ActorStatus>],
    accounts: &[Arc<AccountStatus>],
    recording: &Statuses,
) -> [OwnFamily; 2] {
    let mut up = OwnFamily::new(
        Kind::Gauge,
        "starlink_exporter_actor_up",
        "Whether the actor is running: 0 in restart backoff and while it is paused. An account has a remote_write actor for each destination: whether all of them are running.",
    );
    let mut restarts = OwnFamily::new(
        Kind::Counter,
        "starlink_exporter_actor_restarts_total",
        "Restarts of the actor, by cause.",
    );
    let others = others
        .iter()
        .map(|actor| (None, actor.role().name(), vec![&**actor]));
    let of_accounts = accounts.iter().flat_map(|account| {
        let actors = account.actors();
        actors.map(|actor| (Some(&account.name), actor.role().name(), vec![&**actor]))
    });
    let recorded = recording.actors().into_iter();
    let recorded = recorded.map(|((account, role), actors)| (Some(account), role, actors));
    for (account, role, actors) in others.chain(of_accounts).chain(recorded) {
        let sample = |labels, value| OwnSample {
            suffix: "",
            account: account.cloned(),
            labels,
            value,
        };
        let is_up = actors.iter().all(|actor| actor.is_up());
        let labels = vec![("actor", role.into())];
        up.samples.push(sample(labels, f64::from(u8::from(is_up))));
        for cause in Cause::ALL {
            let count: u64 = actors.iter().map(|actor| actor.restarts(cause)).sum();
            let labels = vec![("actor", role.into()), ("cause", cause.name().into())];
            restarts.samples.push(sample(labels, count as f64));
        }
    }
    [up, restarts]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::recording::SenderStatus;

    #[test]
    fn the_senders_of_an_account_are_up_if_all_are() {
        let sender = |destination: &str| {
            let sender = SenderStatus::new("north".into(), destination.into(), Duration::ZERO);
            Arc::new(sender)
        };
        let recording = Statuses {
            senders: vec![sender("one"), sender("two")],
            ..Statuses::default()
        };
        let up = || {
            let [up, restarts] = actor_families(&[], &[], &recording);
            assert_eq!(restarts.samples.len(), Cause::ALL.len());
            let samples = up.samples.iter();
            samples.map(|sample| sample.value).collect::<Vec<_>>()
        };
        assert_eq!(up(), [1.0]);
        recording.senders[1].actor.mark_gone();
        assert_eq!(up(), [0.0]);
    }
}
