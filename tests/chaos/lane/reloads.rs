//! Changes of the list of accounts: an account is added, removed or renamed, or its secret changes.

use super::*;
use crate::roll::{Key, Roll};

/// How an account's entry in the list changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reload {
    Rename,
    Key(Key),
}

impl Lane {
    pub(super) async fn reload(&mut self) {
        // The first account stays, because the list must not be empty.
        match self.random.u8(..6) {
            0 if self.number > 0 => self.remove().await,
            0 | 1 => self.change(Reload::Rename).await,
            // Whether the service has read the wrong secret is not known: the account may still be ending when the clocks jump.
            2 if !self.has_jumps() => self.change(Reload::Key(Key::Wrong)).await,
            3 => {
                self.count("invalid lists");
                lock(&self.world.model).roll.write_nonsense();
                sleep(Duration::from_millis(self.random.u64(..200))).await;
                lock(&self.world.model).roll.write();
            }
            _ => self.change_key().await,
        }
    }

    pub(super) fn has_jumps(&self) -> bool {
        lock(&self.world.model).ages.have_jumps
    }

    /// Moves the secret from the list to a file, or back.
    pub(super) async fn change_key(&mut self) {
        let key = lock(&self.world.model).roll.key(self.number);
        let other = match key {
            Some(Key::Inline) => Key::File,
            _ => Key::Inline,
        };
        self.change(Reload::Key(other)).await;
    }

    /// Writes the list with this account in it for the first time, or again.
    pub(super) async fn add(&mut self) {
        self.count("accounts added");
        self.is_changed = true;
        self.edit(|roll, number| roll.add(number));
        self.good(LossRisk::None).await;
        self.appears().await;
    }

    async fn remove(&mut self) {
        self.count("accounts removed");
        self.good(LossRisk::None).await;
        self.is_changed = true;
        let mut name = String::new();
        self.edit(|roll, number| name = roll.remove(number));
        self.vanishes(&name).await;
        let journal = self.simulator().journal();
        assert_eq!(journal.polls_in_flight, 0, "{name} still polls");
        // Sometimes longer than its devices may stay, in runs with short ages. Jumps wait for it.
        let most = if self.has_jumps() { 500 } else { 8000 };
        sleep(Duration::from_millis(self.random.u64(..most))).await;
        let later = self.simulator().journal();
        assert_eq!(journal.polls.len(), later.polls.len(), "{name} polls again");
    }

    /// Changes the entry of the account while an answer is in transit.
    pub(super) async fn change(&mut self, reload: Reload) {
        self.count(format!("reloads: {reload:?}"));
        self.is_changed = true;
        let before = self.actors();
        let mut old = None;
        self.edit(|roll, number| match reload {
            Reload::Rename => {
                old = Some(roll.remove(number));
                roll.add(number);
            }
            Reload::Key(key) => roll.set_key(number, key),
        });
        if reload == Reload::Key(Key::Wrong) {
            sleep(Duration::from_millis(self.random.u64(..1500))).await;
            self.edit(|roll, number| roll.set_key(number, Key::Inline));
        }
        sleep(Duration::from_millis(self.random.u64(..150))).await;
        self.good(LossRisk::None).await;
        if let Some(old) = old {
            self.vanishes(&old).await;
        }
        if reload != Reload::Key(Key::Wrong) {
            self.is_started_again(before).await;
        }
        self.appears().await;
    }

    /// Waits until the account has other actors than before.
    async fn is_started_again(&self, before: Option<AccountActors>) {
        let deadline = Instant::now() + WAIT_LIMIT;
        let stream = |actors: Option<AccountActors>| actors.map(|actors| actors.stream);
        let before = stream(before);
        let is_started = |now: &Option<_>| now.is_some() && *now != before;
        while !is_started(&stream(self.actors())) {
            assert!(
                Instant::now() < deadline,
                "the account does not start again"
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn edit(&self, edit: impl FnOnce(&mut Roll, usize)) {
        let mut model = lock(&self.world.model);
        edit(&mut model.roll, self.number);
        model.roll.write();
    }

    /// Waits until scrapes show the account.
    pub(super) async fn appears(&mut self) {
        let deadline = Instant::now() + WAIT_LIMIT;
        while !self.is_up().await {
            assert!(Instant::now() < deadline, "the account never appears");
            sleep(Duration::from_millis(20)).await;
        }
        lock(&self.world.model).roll.appeared(self.number);
    }

    /// Waits until scrapes no longer show a name.
    async fn vanishes(&mut self, name: &str) {
        let deadline = Instant::now() + WAIT_LIMIT;
        let series = format!(r#"starlink_up{{account="{name}"}}"#);
        loop {
            let body = self.scrape().await;
            if body.is_some_and(|body| body.value(&series).is_none()) {
                return lock(&self.world.model).roll.vanished(name);
            }
            assert!(Instant::now() < deadline, "{name} never ends");
            sleep(Duration::from_millis(20)).await;
        }
    }
}
