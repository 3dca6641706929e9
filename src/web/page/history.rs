//! The destinations of remote write: their states, and what is wrong with them.

use super::format::{age, count, minutes, printable};
use super::level::Level;
use super::verdict::{Condition, Finding, listed};
use crate::web::status::{Destination, SendState, Sender, Status};

/// A row of the table of destinations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationRow {
    /// Identifies the row on the page.
    pub key: String,
    /// The destination, or an account of the destination above.
    pub name: String,
    /// Whether it is an account.
    pub is_account: bool,
    /// What is done now.
    pub state: &'static str,
    /// How bad that is.
    pub level: Level,
    /// The age of the oldest row that waits.
    pub delay: Option<String>,
    /// The number of rows that wait.
    pub pending: String,
    /// What to change, while all requests or samples are refused.
    pub remedy: Option<&'static str>,
    /// The last failed request, with its age.
    pub last_error: Option<String>,
}

/// A destination that is behind by this many seconds is reported.
const BEHIND: f64 = 600.0;

/// The most accounts that are listed below a destination.
const MOST_ACCOUNTS: usize = 5;

/// A row for each destination with the worst of all accounts, and if accounts differ, a row for each one with a problem.
#[must_use]
pub fn destinations(status: &Status) -> Vec<DestinationRow> {
    let now = status.timestamp_seconds;
    let destinations = status.history.destinations.iter();
    destinations
        .flat_map(|destination| rows(destination, now))
        .collect()
}

fn rows(destination: &Destination, now: f64) -> Vec<DestinationRow> {
    let name = &destination.name;
    let mut senders: Vec<&Sender> = destination.accounts.iter().collect();
    // The worst first, else by account.
    senders.sort_by_key(|sender| std::cmp::Reverse(rank(sender)));
    let differ = senders
        .windows(2)
        .any(|pair| rank(pair[0]) != rank(pair[1]));
    let affected = senders
        .iter()
        .filter(|sender| differ && level(sender) != Level::Good);
    let accounts = affected.take(MOST_ACCOUNTS).map(|sender| DestinationRow {
        key: format!("{name} {}", sender.account),
        name: printable(&sender.account),
        is_account: true,
        ..row(&[sender], now)
    });
    let all = DestinationRow {
        key: name.clone(),
        name: printable(name),
        ..row(&senders, now)
    };
    std::iter::once(all).chain(accounts).collect()
}

/// The row of some accounts, the worst of which is first.
fn row(senders: &[&Sender], now: f64) -> DestinationRow {
    let worst = senders.first();
    let delay = senders.iter().map(|sender| sender.delay_seconds);
    let delay = delay.fold(0.0, f64::max);
    let pending: u64 = senders.iter().map(|sender| sender.pending_rows).sum();
    let errors = senders
        .iter()
        .filter_map(|sender| sender.last_error.as_ref());
    let last =
        errors.max_by(|one, other| one.timestamp_seconds.total_cmp(&other.timestamp_seconds));
    DestinationRow {
        key: String::new(),
        name: String::new(),
        is_account: false,
        state: worst
            .map_or(SendState::Starting, |sender| sender.state)
            .name(),
        level: worst.map_or(Level::Good, |sender| level(sender)),
        delay: (pending > 0).then(|| age(delay)),
        pending: count(usize::try_from(pending).unwrap_or(usize::MAX)),
        remedy: worst.and_then(|sender| sender.remedy),
        last_error: last.map(|error| {
            let message = printable(&error.message);
            format!("{} ago: {message}", age(now - error.timestamp_seconds))
        }),
    }
}

/// How bad the state of a sender is: the higher, the worse.
fn rank(sender: &Sender) -> u8 {
    match sender.state {
        SendState::Rejecting => 6,
        SendState::Held => 5,
        SendState::Paused => 4,
        SendState::Retrying => 3,
        SendState::Starting | SendState::Sending if is_slow(sender) => 2,
        SendState::Starting => 1,
        SendState::Sending => 0,
    }
}

/// Whether rows wait although requests do not fail. Rows can be old when they arrive, so their age does not count.
fn is_slow(sender: &Sender) -> bool {
    matches!(sender.state, SendState::Starting | SendState::Sending)
        && sender.waiting_seconds >= BEHIND
}

fn level(sender: &Sender) -> Level {
    match rank(sender) {
        4.. => Level::Bad,
        2.. => Level::Notice,
        _ => Level::Good,
    }
}

/// What is wrong with journals and destinations.
#[must_use]
pub fn findings(status: &Status) -> Vec<Finding> {
    [
        rejected(status),
        not_durable(status),
        refused(status),
        delayed(status),
        slow(status),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn rejected(status: &Status) -> Option<Finding> {
    let (names, senders) = affected(status, |sender| sender.state == SendState::Rejecting);
    let remedy = senders.iter().find_map(|sender| sender.remedy)?;
    let because = format!(
        "Rows for {} are lost: {remedy}. The message is below, at Destinations.",
        listed(&names)
    );
    Some(Finding::new(Condition::Rejected, because))
}

fn not_durable(status: &Status) -> Option<Finding> {
    let journals = status.history.journals.iter();
    let names: Vec<_> = journals
        .filter(|journal| !journal.durable)
        .map(|journal| printable(&journal.account))
        .collect();
    let which = match names.is_empty() {
        true => return None,
        false if status.history.journals.len() == 1 => String::new(),
        false => format!(" of {}", listed(&names)),
    };
    let because = format!(
        "The journal{which} cannot be written: rows that wait are lost if the exporter ends. The log has the cause."
    );
    Some(Finding::new(Condition::NotDurable, because))
}

fn refused(status: &Status) -> Option<Finding> {
    let (names, senders) = affected(status, |sender| sender.state == SendState::Held);
    let remedy = senders.iter().find_map(|sender| sender.remedy)?;
    let because = match names.len() {
        1 => format!("All requests to {} are refused: {remedy}.", names[0]),
        _ => format!(
            "All requests to {} are refused: see Destinations.",
            listed(&names)
        ),
    };
    Some(Finding::new(Condition::Refused, because))
}

fn delayed(status: &Status) -> Option<Finding> {
    let is_delayed =
        |sender: &Sender| sender.state == SendState::Retrying && sender.delay_seconds >= BEHIND;
    let (names, senders) = affected(status, is_delayed);
    let delays = senders.iter().map(|sender| sender.delay_seconds);
    let delay = delays.max_by(f64::total_cmp)?;
    let because = format!(
        "Requests to {} fail and are repeated. Rows of the last {} wait in the journal.",
        listed(&names),
        minutes(delay)
    );
    Some(Finding::new(Condition::HistoryDelayed, because))
}

fn slow(status: &Status) -> Option<Finding> {
    let (names, senders) = affected(status, is_slow);
    let waits = senders.iter().map(|sender| sender.waiting_seconds);
    let wait = waits.max_by(f64::total_cmp)?;
    let because = format!(
        "Requests to {} do not fail, but rows of the last {} wait in the journal. If that does not shrink, the receiver or max_samples_per_second is too slow.",
        listed(&names),
        minutes(wait)
    );
    Some(Finding::new(Condition::HistoryDelayed, because))
}

/// The names of the destinations with such senders, and these senders.
fn affected(status: &Status, is_meant: impl Fn(&Sender) -> bool) -> (Vec<String>, Vec<&Sender>) {
    let mut names = Vec::new();
    let mut senders = Vec::new();
    for destination in &status.history.destinations {
        let before = senders.len();
        senders.extend(
            destination
                .accounts
                .iter()
                .filter(|sender| is_meant(sender)),
        );
        if senders.len() > before {
            names.push(printable(&destination.name));
        }
    }
    (names, senders)
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Verdict;
    use super::super::verdict::tests::{actor, with_accounts};
    use super::*;
    use crate::web::status::{History, Journal, SendError};

    fn sender(account: &str, state: SendState, delay_seconds: f64) -> Sender {
        Sender {
            account: account.to_owned(),
            state,
            remedy: matches!(state, SendState::Held | SendState::Rejecting)
                .then_some("correct basic_auth"),
            pending_rows: if delay_seconds > 0.0 { 1200 } else { 0 },
            delay_seconds,
            // Rows are older than their arrival.
            waiting_seconds: (delay_seconds - 100.0).max(0.0),
            shards: Some(1.0),
            protocol_version: Some(2.0),
            last_error: None,
            actor: actor("remote_write"),
        }
    }

    fn status(durable: [bool; 2], senders: [Sender; 2]) -> Status {
        let accounts = ["north", "south"];
        let journals = accounts
            .iter()
            .zip(durable)
            .map(|(account, durable)| Journal {
                account: (*account).to_owned(),
                durable,
                bytes: Some(1e6),
                records: Some(10.0),
                oldest_record_timestamp_seconds: Some(900.0),
                actor: actor("journal"),
            });
        let mut status = with_accounts(&accounts);
        status.history = History {
            journals: journals.collect(),
            destinations: vec![Destination {
                name: "central".to_owned(),
                accounts: senders.into(),
            }],
        };
        status
    }

    #[test]
    fn the_worst_of_journals_and_destinations_is_in_the_verdict() {
        use SendState::{Held, Rejecting, Retrying, Sending, Starting};
        let both = |state, delay| [sender("north", Sending, 3.0), sender("south", state, delay)];
        for (durable, senders, word, level, because) in [
            (
                [true, true],
                both(Retrying, 599.0),
                "Healthy",
                Level::Good,
                "Polls of all 2 accounts succeed. All components are running.",
            ),
            (
                [true, true],
                both(Retrying, 3700.0),
                "History delayed",
                Level::Notice,
                "Requests to central fail and are repeated. Rows of the last 62 min wait in the journal.",
            ),
            (
                [true, true],
                both(Sending, 699.0),
                "Healthy",
                Level::Good,
                "Polls of all 2 accounts succeed. All components are running.",
            ),
            (
                [true, true],
                both(Sending, 3700.0),
                "History delayed",
                Level::Notice,
                "Requests to central do not fail, but rows of the last 60 min wait in the journal. If that does not shrink, the receiver or max_samples_per_second is too slow.",
            ),
            (
                [true, true],
                both(Starting, 700.0),
                "History delayed",
                Level::Notice,
                "Requests to central do not fail, but rows of the last 10 min wait in the journal. If that does not shrink, the receiver or max_samples_per_second is too slow.",
            ),
            (
                [true, false],
                both(Rejecting, 0.0),
                "Samples rejected",
                Level::Bad,
                "Rows for central are lost: correct basic_auth. The message is below, at Destinations.",
            ),
            (
                [true, true],
                both(Held, 30.0),
                "Refused",
                Level::Bad,
                "All requests to central are refused: correct basic_auth.",
            ),
            (
                [true, false],
                both(Held, 30.0),
                "Not durable",
                Level::Bad,
                "The journal of south cannot be written: rows that wait are lost if the exporter ends. The log has the cause.",
            ),
        ] {
            let verdict = Verdict::of(&status(durable, senders));
            let found = (verdict.word, verdict.level, verdict.because.as_str());
            assert_eq!(found, (word, level, because));
        }
    }

    #[test]
    fn a_destination_has_the_worst_of_its_accounts_and_those_that_differ() {
        let mut failed = sender("south", SendState::Retrying, 700.0);
        failed.last_error = Some(SendError {
            timestamp_seconds: 995.0,
            message: "503:\u{7} <b>".to_owned(),
        });
        let found = destinations(&status(
            [true; 2],
            [sender("north", SendState::Sending, 0.0), failed],
        ));
        let all = DestinationRow {
            key: "central".to_owned(),
            name: "central".to_owned(),
            is_account: false,
            state: "retrying",
            level: Level::Notice,
            delay: Some("12 min".to_owned()),
            pending: "1,200".to_owned(),
            remedy: None,
            last_error: Some("5 s ago: 503:\u{2407} <b>".to_owned()),
        };
        let south = DestinationRow {
            key: "central south".to_owned(),
            name: "south".to_owned(),
            is_account: true,
            ..all.clone()
        };
        assert_eq!(found, [all, south]);
    }

    #[test]
    fn accounts_in_the_same_state_have_one_row() {
        for (state, level) in [
            (SendState::Sending, Level::Good),
            (SendState::Starting, Level::Good),
            (SendState::Retrying, Level::Notice),
            (SendState::Rejecting, Level::Bad),
            (SendState::Held, Level::Bad),
            (SendState::Paused, Level::Bad),
        ] {
            let senders = ["north", "south"].map(|account| sender(account, state, 0.0));
            let rows = destinations(&status([true; 2], senders));
            let [row] = rows.as_slice() else {
                panic!("{rows:?}");
            };
            assert_eq!(
                (row.state, row.level, &row.delay),
                (state.name(), level, &None)
            );
        }
    }
}
