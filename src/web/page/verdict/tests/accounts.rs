//! Tests of the texts about several accounts.

use super::super::super::accounts::groups;
use super::*;
use crate::view::DeviceQuery;

#[test]
fn one_account_of_many_that_fails_is_named_with_message_and_remedy() {
    let names: Vec<_> = (1..=40).map(|number| format!("ship-{number:02}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut status = with_accounts(&names);
    let found = |status: &Status| {
        let verdict = Verdict::of(status);
        (verdict.level, verdict.word, verdict.because)
    };
    let verdict_is = |status: &Status, level, word, because: &str| {
        assert_eq!(found(status), (level, word, because.to_owned()));
    };
    verdict_is(
        &status,
        Level::Good,
        "Healthy",
        "Polls of all 40 accounts succeed. All components are running.",
    );
    status.accounts[20].stream.late = true;
    verdict_is(
        &status,
        Level::Notice,
        "Delayed",
        "1 of 40 accounts: ship-21. Rows are older than STALE_AFTER when they arrive: data below is old.",
    );
    fail(&mut status.accounts[6]);
    verdict_is(
        &status,
        Level::Bad,
        "Failing",
        "1 of 40 accounts fails: ship-07. Starlink rejected the credentials. Check client_id and client_secret of account ship-07 in ACCOUNTS_FILE.",
    );
    for number in [7, 8, 9] {
        fail(&mut status.accounts[number]);
    }
    verdict_is(
        &status,
        Level::Bad,
        "Failing",
        "4 of 40 accounts fail: ship-07, ship-08, ship-09 and 1 more. Starlink rejected the credentials. What to do about each is in the list of accounts.",
    );
    status.accounts[8].stream.last_failure_message = Some("Starlink answered 503.".to_owned());
    verdict_is(
        &status,
        Level::Bad,
        "Failing",
        "4 of 40 accounts fail: ship-07, ship-08, ship-09 and 1 more. The reasons are in the list of accounts.",
    );
    status.accounts.truncate(2);
    status.accounts.iter_mut().for_each(fail);
    for account in &mut status.accounts {
        account.stream.last_failure_remedy = Some("Check the network.".to_owned());
    }
    verdict_is(
        &status,
        Level::Bad,
        "Failing",
        "All 2 accounts fail: ship-01, ship-02. Starlink rejected the credentials. Check the network.",
    );
}

#[test]
fn actors_of_several_accounts_are_named_with_the_account() {
    let mut status = with_accounts(&["a", "b"]);
    status.accounts[1].actors[1].state = ActorState::Restarting;
    assert_eq!(Verdict::of(&status).because, "Restarting: stream of b.");
    status.actors[0].state = ActorState::Restarting;
    assert_eq!(
        Verdict::of(&status).because,
        "Restarting: metrics_store, stream of b."
    );
}

#[test]
fn accounts_that_are_stopped_or_ending_are_named() {
    let restart = 1_767_225_645.4;
    let stop = |account: &mut Account| {
        account.state = PollState::Paused;
        account.restart_timestamp_seconds = Some(restart);
        for actor in &mut account.actors {
            actor.state = ActorState::Gone;
        }
    };
    let stopped =
        "A component keeps failing: see the log. It starts again at 2026-01-01 00:00:45 UTC.";
    let ending = "Removed or changed in the configuration: it ends when its last answer is stored.";
    type Change<'a> = &'a dyn Fn(&mut Status);
    // From good to bad. The conditions add up, and each is worse than those before it.
    let cases: [(Change<'_>, Level, &str, String); 5] = [
        (
            &|status| status.accounts[0].state = PollState::Ending,
            Level::Notice,
            "Ending",
            format!("1 of 4 accounts: a. {ending}"),
        ),
        (
            &|status| status.accounts[1].stream.late = true,
            Level::Notice,
            "Delayed",
            "1 of 4 accounts: b. Rows are older than STALE_AFTER when they arrive: data below is old.".to_owned(),
        ),
        (
            &|status| fail(&mut status.accounts[2]),
            Level::Bad,
            "Failing",
            "1 of 4 accounts fails: c. Starlink rejected the credentials. Check client_id and client_secret of account c in ACCOUNTS_FILE.".to_owned(),
        ),
        (
            &|status| stop(&mut status.accounts[3]),
            Level::Bad,
            "Stopped",
            format!("1 of 4 accounts is stopped: d. {stopped}"),
        ),
        (
            &|status| stop(&mut status.accounts[1]),
            Level::Bad,
            "Stopped",
            format!("2 of 4 accounts are stopped: b, d. {stopped}"),
        ),
    ];
    let mut status = with_accounts(&["a", "b", "c", "d"]);
    for (change, level, word, because) in cases {
        change(&mut status);
        let expected = Verdict {
            level,
            word,
            because,
        };
        assert_eq!(Verdict::of(&status), expected);
    }
    let shown = groups(&status, &DeviceQuery::default());
    let found: Vec<_> = shown[0]
        .rows
        .iter()
        .map(|row| (&*row.name, row.condition, row.level, row.note.as_deref()))
        .collect();
    assert_eq!(found[0], ("b", "Stopped", Level::Bad, Some(stopped)));
    assert_eq!((found[1].0, found[2].0), ("d", "c"));
    assert_eq!(found[3], ("a", "Ending", Level::Notice, Some(ending)));
    let polling = &facts(&status)[0];
    assert_eq!(
        (&*polling.value, polling.level),
        ("0 of 4 polling", Level::Bad)
    );
}

#[test]
fn facts_of_several_accounts_are_sums_and_the_worst() {
    let mut status = with_accounts(&["a", "b", "c"]);
    status.accounts[1].stream.lag_seconds = Some(30.0);
    status.accounts[1].stream.failed_polls = 2;
    fail(&mut status.accounts[2]);
    status.accounts[2].stream.lag_seconds = Some(300.0);
    let facts = facts(&status).into_iter();
    let found: Vec<_> = facts
        .map(|fact| format!("{} {}: {}", fact.level.sign(), fact.name, fact.value))
        .collect();
    assert_eq!(
        found,
        [
            "✕ Accounts: 2 of 3 polling",
            "✓ Polls: 3,702 (2 failed)",
            "✓ Highest lag: 30 s (b)",
        ]
    );
}
