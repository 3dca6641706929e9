//! Tests of the Recorder with real journals, in a directory that is deleted at the end.

use secrecy::SecretString;
use url::Url;

use actix::Addr;

use super::*;
use crate::config::{Credential, Origin};
use crate::fleet::{FleetOptions, Limits};
use crate::outgoing::Resolver;
use crate::recording::Budget;
use crate::recording::journal::tests::{dropped, offer};
use crate::redaction::Redactor;
use crate::remote_write::{Destination, RowReason, Tenant};
use crate::supervise::{Cause, Owner, Role, SupervisionPolicy};
use crate::telemetry::{FieldFilter, SharedSchemas};

fn account(name: &str) -> Account {
    let fixed = |text: &str| Credential::fixed(SecretString::from(text));
    Account {
        name: name.into(),
        client_id: fixed(name),
        client_secret: fixed("secret"),
        batch_size: 1,
        max_linger: Duration::ZERO,
        polls_per_minute: 1,
        api_url: Url::parse("http://127.0.0.1:1").unwrap(),
        token_url: None,
        tenant: None,
        origin: Origin::variables(false, false),
    }
}

fn with_tenant(name: &str, tenant: &str) -> Account {
    Account {
        tenant: Some(tenant.to_owned()),
        ..account(name)
    }
}

fn accounts(names: &[&str]) -> Vec<Account> {
    names.iter().map(|name| account(name)).collect()
}

/// A destination that nothing listens at.
fn destination(name: &str) -> Destination {
    Destination::new(name, Url::parse("http://127.0.0.1:1/").unwrap())
}

/// A destination to which requests name the tenant of the account.
fn by_account(name: &str) -> Configured {
    let mut destination = destination(name);
    destination.tenant = Tenant::Account;
    destination.into()
}

fn destinations(names: &[&str]) -> Vec<Configured> {
    names.iter().map(|name| destination(name).into()).collect()
}

/// A Recorder with the other ends of its channels.
struct Rig {
    recorder: Recorder,
    next: mpsc::UnboundedReceiver<Vec<Account>>,
    status: Arc<RecordingStatus>,
    directory: tempfile::TempDir,
}

impl Rig {
    fn start(directory: tempfile::TempDir, clock: Clock, names: &[&str], to: &[&str]) -> Self {
        Self::with(directory, clock, &accounts(names), destinations(to))
    }

    fn with(
        directory: tempfile::TempDir,
        clock: Clock,
        accounts: &[Account],
        destinations: Vec<Configured>,
    ) -> Self {
        let redactor = Redactor::default();
        let policy = SupervisionPolicy::default();
        let (supervisor, given_up) = Supervisor::new(policy, clock.clone(), redactor.clone());
        let (next, of_manager) = mpsc::unbounded_channel();
        let status = Arc::new(RecordingStatus::default());
        let options = RecorderOptions {
            supervisor,
            given_up,
            directory: Arc::new(JournalDirectory::open(directory.path()).unwrap()),
            bounds: Bounds {
                bytes: u64::MAX,
                age: Duration::from_secs(86_400),
            },
            published: Arc::default(),
            accounts: Arc::default(),
            routes: AnswerRoutes::default(),
            status: Arc::clone(&status),
            context: SenderContext {
                clock,
                resolver: Resolver::system(),
                proxy: None,
                authorities: None,
                pool: Pool::start("test", 1).unwrap(),
                budget: Budget::default(),
                redactor,
                schemas: SharedSchemas::new(FieldFilter::EVERYTHING),
                include_routers: false,
                retention: FleetOptions::STANDARD.retention,
                limits: Limits::STANDARD,
            },
            compression: Pool::start("test", 1).unwrap(),
            account_lists: mpsc::unbounded_channel().1,
            next,
            destination_lists: mpsc::unbounded_channel().1,
            taken_over: mpsc::unbounded_channel().1,
        };
        let recorder = Recorder::start(options, accounts, destinations).unwrap();
        Self {
            recorder,
            next: of_manager,
            status,
            directory,
        }
    }

    fn new(names: &[&str], to: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start(directory, Clock::system(), names, to)
    }

    /// Ends the process, and starts the next one with these accounts.
    async fn restart(mut self, accounts: &[Account], destinations: Vec<Configured>) -> Self {
        let deadline = Instant::now() + Duration::from_secs(20);
        self.recorder.finish(deadline).await;
        let Self {
            recorder,
            directory,
            ..
        } = self;
        let path = recorder.options.directory.path().to_owned();
        drop(recorder);
        while JournalDirectory::open(&path).is_err() {
            actix_rt::time::sleep(Duration::from_millis(1)).await;
        }
        Self::with(directory, Clock::system(), accounts, destinations)
    }

    /// Handles the next event.
    async fn event(&mut self) {
        let event = self.recorder.event_receiver.recv().await.unwrap();
        self.recorder.on_event(event);
    }

    /// Account and destination of each sender that is published.
    fn senders(&self) -> Vec<String> {
        let all = self.status.all();
        let senders = all.senders.iter();
        senders
            .map(|it| format!("{}>{}", it.account, it.destination))
            .collect()
    }

    fn incarnation(&self, account: &str, destination: &str) -> u64 {
        self.recorder.recorded[account].senders[destination].incarnation
    }

    fn is_running(&self, account: &str, destination: &str) -> bool {
        self.recorder.recorded[account].senders[destination]
            .address()
            .is_some_and(Addr::connected)
    }
}

#[actix_rt::test]
async fn each_account_has_a_journal_and_a_sender_for_each_destination() {
    let rig = Rig::new(&["a", "b"], &["y", "x"]);
    assert_eq!(rig.senders(), ["a>x", "a>y", "b>x", "b>y"]);
    let all = rig.status.all();
    let journals: Vec<_> = all.journals.iter().map(|it| &*it.account).collect();
    assert_eq!(journals, ["a", "b"]);
    let destinations = all.destinations.iter();
    let destinations: Vec<_> = destinations.map(|it| &*it.destination.name).collect();
    assert_eq!(destinations, ["x", "y"]);
}

#[actix_rt::test]
async fn destinations_come_and_go_without_an_effect_on_the_others() {
    let mut rig = Rig::new(&["a"], &["kept", "removed", "changed"]);
    let before = ["kept", "changed"].map(|name| rig.incarnation("a", name));
    let status = rig.status.all();
    let mut list = destinations(&["added", "kept"]);
    let mut changed = destination("changed");
    changed.max_shards = 1;
    list.push(changed.into());
    rig.recorder.apply_destinations(list);
    // The changed one and the removed one end first.
    assert!(!rig.is_running("a", "changed"));
    rig.event().await;
    rig.event().await;
    assert_eq!(rig.senders(), ["a>added", "a>changed", "a>kept"]);
    for name in ["added", "changed", "kept"] {
        assert!(rig.is_running("a", name), "{name}");
    }
    let after = ["kept", "changed"].map(|name| rig.incarnation("a", name));
    assert_eq!(after[0], before[0]);
    assert_ne!(after[1], before[1]);
    // Its counters continue.
    let of_changed = |status: &Statuses| {
        let mut senders = status.senders.iter();
        let found = senders.find(|it| &*it.destination == "changed");
        Arc::clone(found.unwrap())
    };
    assert!(Arc::ptr_eq(
        &of_changed(&status),
        &of_changed(&rig.status.all())
    ));
}

#[actix_rt::test]
async fn an_equal_list_changes_nothing() {
    let mut rig = Rig::new(&["a"], &["x", "y"]);
    let before = rig.recorder.incarnations;
    rig.recorder.apply_destinations(destinations(&["y", "x"]));
    rig.recorder.apply_accounts(accounts(&["a"]));
    assert_eq!(rig.recorder.incarnations, before);
    assert_eq!(rig.next.recv().await.unwrap().len(), 1);
}

#[actix_rt::test]
async fn a_sender_that_is_given_up_pauses_alone_and_is_started_again() {
    let (clock, time) = Clock::manual(std::time::SystemTime::UNIX_EPOCH);
    let directory = tempfile::tempdir().unwrap();
    let mut rig = Rig::start(directory, clock, &["a", "b"], &["x", "y"]);
    let given_up = |incarnation, role| GivenUp {
        owner: Some(Owner {
            account: "a".into(),
            incarnation,
        }),
        role,
        cause: Cause::Panic,
    };
    let sender = rig.incarnation("a", "x");
    rig.recorder.pause(&given_up(sender, Role::RemoteWrite));
    assert!(!rig.is_running("a", "x") && rig.is_running("a", "y"));
    // A list of destinations does not shorten the pause.
    rig.recorder.apply_destinations(destinations(&["x", "y"]));
    assert!(!rig.is_running("a", "x"));
    time.advance(Duration::from_secs(60));
    rig.recorder.start_due();
    assert!(rig.is_running("a", "x"));
    assert_ne!(rig.incarnation("a", "x"), sender);

    let journal = rig.recorder.recorded["a"].incarnation;
    rig.recorder.pause(&given_up(journal, Role::Journal));
    assert!(rig.recorder.recorded["a"].journal().is_none());
    assert!(!rig.is_running("a", "x") && rig.is_running("b", "x"));
    // The rows of its answers are dropped, and counted for each destination.
    let route = rig.recorder.options.routes.find("a").unwrap();
    route.send(offer(1, 3)).await.unwrap();
    let withdrawn = offer(2, 5);
    assert!(withdrawn.handover.withdraw());
    route.send(withdrawn).await.unwrap();
    for sender in &rig.status.all().senders {
        let expected = if &*sender.account == "a" { 3 } else { 0 };
        assert_eq!(dropped(sender, RowReason::Memory), expected);
    }
    time.advance(Duration::from_secs(60));
    rig.recorder.start_due();
    assert!(rig.recorder.recorded["a"].journal().is_some());
    assert!(rig.is_running("a", "x") && rig.is_running("a", "y"));
}

#[actix_rt::test]
async fn another_tenant_replaces_the_senders_that_name_it() {
    let mut rig = Rig::new(&["a"], &["x"]);
    let mut list = destinations(&["x"]);
    list.push(by_account("by-account"));
    rig.recorder.apply_destinations(list);
    let before = ["x", "by-account"].map(|name| rig.incarnation("a", name));
    rig.recorder.apply_accounts(vec![with_tenant("a", "t")]);
    rig.event().await;
    let after = ["x", "by-account"].map(|name| rig.incarnation("a", name));
    assert_eq!(after[0], before[0]);
    assert_ne!(after[1], before[1]);
    assert_eq!(&*rig.recorder.recorded["a"].tenant, "t");
}

#[actix_rt::test]
async fn a_removed_account_is_sent_to_the_end_and_deleted_unless_it_returns() {
    let mut rig = Rig::new(&["a", "b"], &["x"]);
    let journal = rig.directory.path().join("b");
    std::fs::create_dir_all(&journal).unwrap();
    rig.recorder.apply_accounts(accounts(&["a"]));
    assert_eq!(rig.senders(), ["a>x", "b>x"]);
    rig.recorder.apply_accounts(accounts(&["a", "b"]));
    rig.recorder.checked(&"b".into(), true);
    assert_eq!(rig.senders(), ["a>x", "b>x"]);
    rig.recorder.apply_accounts(accounts(&["a"]));
    rig.recorder.checked(&"b".into(), false);
    assert_eq!(rig.senders(), ["a>x", "b>x"]);
    rig.recorder.checked(&"b".into(), true);
    assert_eq!(rig.senders(), ["a>x"]);
    for _ in 0..3 {
        rig.next.recv().await.unwrap();
    }
    // It returns while its directory is being deleted.
    rig.recorder.apply_accounts(accounts(&["a", "b"]));
    assert!(rig.next.try_recv().is_err());
    rig.event().await;
    assert_eq!(rig.next.recv().await.unwrap().len(), 2);
    assert_eq!(rig.senders(), ["a>x", "b>x"]);
}

#[actix_rt::test]
async fn a_journal_that_cannot_be_deleted_is_deleted_again_unless_its_account_returns() {
    let (clock, time) = Clock::manual(std::time::SystemTime::UNIX_EPOCH);
    let directory = tempfile::tempdir().unwrap();
    let mut rig = Rig::start(directory, clock, &["a", "b"], &["x"]);
    rig.recorder.apply_accounts(accounts(&["a"]));
    for is_back in [false, true] {
        rig.recorder.checked(&"b".into(), true);
        assert_eq!(rig.senders(), ["a>x"]);
        let deleted = rig.recorder.event_receiver.recv().await.unwrap();
        assert!(matches!(deleted, Event::Deleted(_, Ok(()))), "{deleted:?}");
        if is_back {
            rig.recorder.apply_accounts(accounts(&["a", "b"]));
            assert_eq!(rig.senders(), ["a>x"], "the list waits");
        }
        let failed = Event::Deleted("b".into(), Err(DeletionError::Hangs));
        rig.recorder.on_event(failed);
        if !is_back {
            assert!(rig.recorder.recorded["b"].journal().is_none());
            time.advance(Duration::from_secs(60));
            rig.recorder.start_due();
        }
        assert!(rig.is_running("b", "x"));
        assert_eq!(rig.recorder.recorded["b"].is_configured, is_back);
        assert_eq!(rig.recorder.next_start(), Moment::NEVER);
    }
    let other_files = std::io::ErrorKind::DirectoryNotEmpty.into();
    let final_error = Event::Deleted("b".into(), Err(DeletionError::Io(other_files)));
    rig.recorder.on_event(final_error);
    assert!(!rig.recorder.recorded.contains_key("b"));
}

#[actix_rt::test]
async fn the_journal_of_a_removed_account_waits_for_destinations_that_may_return() {
    let mut rig = Rig::new(&["a"], &["x"]);
    let journal = rig.recorder.recorded["a"].journal().unwrap().clone();
    let moved = MovedDevice {
        code: "u".to_owned(),
        id: "one".to_owned(),
    };
    rig.recorder.apply_destinations(Vec::new());
    rig.event().await;
    journal.send(RecordMoved(vec![moved])).await.unwrap();
    rig.recorder.apply_accounts(Vec::new());
    rig.recorder.check_removed();
    let checked = rig.recorder.event_receiver.recv().await.unwrap();
    assert!(matches!(checked, Event::Checked(_, false)), "{checked:?}");
}

#[actix_rt::test]
async fn a_journal_that_is_found_is_sent_without_an_account() {
    let directory = tempfile::tempdir().unwrap();
    drop(JournalDirectory::open(directory.path()).unwrap());
    let former = directory.path().join("former");
    std::fs::create_dir(&former).unwrap();
    std::fs::write(former.join("00000000000000000001.segment"), b"").unwrap();
    let rig = Rig::start(directory, Clock::system(), &["a"], &["x"]);
    assert_eq!(rig.senders(), ["a>x", "former>x"]);
    assert!(!rig.recorder.recorded["former"].is_configured);
}

#[actix_rt::test]
async fn the_tenant_of_an_account_is_known_at_each_start() {
    let directory = tempfile::tempdir().unwrap();
    let list = || vec![by_account("x")];
    let rig = Rig::with(directory, Clock::system(), &[with_tenant("a", "t")], list());
    let accounts = [with_tenant("a", "u"), with_tenant("b", "u")];
    let mut rig = rig.restart(&accounts, list()).await;
    // A sender with another tenant would be ending now.
    assert!(rig.is_running("a", "x") && rig.is_running("b", "x"));
    assert_eq!(&*rig.recorder.recorded["a"].tenant, "u");
    rig.recorder.apply_accounts(vec![with_tenant("a", "v")]);
    let rig = rig.restart(&[with_tenant("c", "w")], list()).await;
    assert_eq!(rig.senders(), ["a>x", "b>x", "c>x"]);
    for (account, tenant) in [("a", "v"), ("b", "u"), ("c", "w")] {
        let recorded = &rig.recorder.recorded[account];
        assert_eq!(&*recorded.tenant, tenant, "{account}");
        assert_eq!(recorded.is_configured, account == "c", "{account}");
    }
}
