//! The facts behind the verdict.

use super::format::{age, count, number, printable};
use super::level::Level;
use super::verdict::are_rows_old;
use crate::http::PollState;
use crate::web::status::{Account, Status};

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The name.
    pub name: &'static str,
    /// The value.
    pub value: String,
    /// The level.
    pub level: Level,
}

fn fact(name: &'static str, (level, value): (Level, String)) -> Fact {
    Fact { name, value, level }
}

/// The facts about the only account, or sums over several; and the error of the host's clock, if it is wrong.
#[must_use]
pub fn facts(status: &Status) -> Vec<Fact> {
    let mut facts = match status.accounts.as_slice() {
        [only] => of_account(status, only),
        accounts => of_accounts(status, accounts),
    };
    facts.extend(names(status));
    facts.extend(clock(status));
    facts
}

/// The names that have matched no device.
fn names(status: &Status) -> Option<Fact> {
    let names = &status.names;
    let unmatched = names.unmatched.filter(|unmatched| *unmatched > 0.0)?;
    let example = names.unmatched_example.as_deref();
    let example = example.map_or(String::new(), |example| {
        format!(", such as {}", printable(example))
    });
    let value = format!(
        "{} of {} in NAMES_FILE match no device{example}",
        number(unmatched),
        count(names.known)
    );
    Some(fact("Names", (Level::Notice, value)))
}

fn of_account(status: &Status, account: &Account) -> Vec<Fact> {
    let stream = &account.stream;
    vec![
        fact("Last poll", last_poll(status, account)),
        fact(
            "Polls",
            (Level::Good, polls(stream.polls, stream.failed_polls)),
        ),
        fact("Lag", lag(status, account)),
        fact("Token", token(status, account)),
    ]
}

fn of_accounts(status: &Status, accounts: &[Account]) -> Vec<Fact> {
    let is_up = |account: &&Account| account.state == PollState::Up;
    let up = accounts.iter().filter(is_up).count();
    let level = match accounts
        .iter()
        .any(|account| matches!(account.state, PollState::Failing | PollState::Paused))
    {
        true => Level::Bad,
        false if up < accounts.len() => Level::Notice,
        false => Level::Good,
    };
    let polling = format!("{} of {} polling", count(up), count(accounts.len()));
    let sum = |number: fn(&Account) -> u64| accounts.iter().map(number).sum::<u64>();
    let polls = polls(
        sum(|account| account.stream.polls),
        sum(|account| account.stream.failed_polls),
    );
    let highest = accounts.iter().filter(is_up).max_by(|one, other| {
        let lag = |account: &Account| account.stream.lag_seconds.unwrap_or(f64::NEG_INFINITY);
        lag(one).total_cmp(&lag(other))
    });
    let lag = highest.map(|account| {
        let (level, value) = lag(status, account);
        fact(
            "Highest lag",
            (level, format!("{value} ({})", account.name)),
        )
    });
    let facts = [
        fact("Accounts", (level, polling)),
        fact("Polls", (Level::Good, polls)),
    ];
    facts.into_iter().chain(lag).collect()
}

fn last_poll(status: &Status, account: &Account) -> (Level, String) {
    let stream = &account.stream;
    let now = status.timestamp_seconds;
    let success = stream
        .last_success_timestamp_seconds
        .map(|at| age(now - at));
    let next = stream.next_attempt_timestamp_seconds;
    let next = next.map_or(String::new(), |at| {
        format!("; next attempt in {}", age(at - now))
    });
    match (stream.up, &success, &stream.last_failure) {
        (true, Some(ago), _) => (Level::Good, format!("succeeded {ago} ago")),
        (_, Some(ago), Some(_)) => (
            Level::Bad,
            format!("failed; the last success was {ago} ago{next}"),
        ),
        (_, None, Some(_)) => (Level::Bad, format!("failed; none has succeeded yet{next}")),
        _ => (Level::Notice, "none yet".to_owned()),
    }
}

fn polls(all: u64, failed: u64) -> String {
    match failed {
        0 => whole(all),
        failed => format!("{} ({} failed)", whole(all), whole(failed)),
    }
}

fn token(status: &Status, account: &Account) -> (Level, String) {
    let token = &account.token;
    let why = token.last_failure_message.as_deref().map(printable);
    let why = why.unwrap_or_else(|| "none yet".to_owned());
    let expiry = token.expiry_timestamp_seconds;
    match expiry.map(|expiry| expiry - status.timestamp_seconds) {
        Some(life) if life > 0.0 => (Level::Good, format!("valid for {}", age(life))),
        Some(life) => (Level::Bad, format!("expired {} ago", age(-life))),
        None => (Level::Notice, why),
    }
}

fn clock(status: &Status) -> Option<Fact> {
    let offset = status.clock.offset_seconds?;
    let side = if offset < 0.0 { "ahead of" } else { "behind" };
    let value = format!("{} {side} Starlink's", age(offset.abs()));
    let clock = fact("Host clock", (Level::Notice, value));
    status.clock.wrong.then_some(clock)
}

/// The lag of an account. If the last poll brought no rows, the text says how old the rows are for which the lag was measured.
#[must_use]
pub fn lag(status: &Status, account: &Account) -> (Level, String) {
    let stream = &account.stream;
    let (Some(lag), Some(at)) = (
        stream.lag_seconds.map(age),
        stream.last_rows_timestamp_seconds,
    ) else {
        let (level, text) = match &stream.left_out {
            Some(_) => (Level::Notice, "unknown: all rows were left out"),
            None => (Level::Good, "unknown: no row has arrived yet"),
        };
        return (level, text.to_owned());
    };
    let is_old = are_rows_old(status, stream);
    let level = match stream.late || stream.catching_up || is_old {
        true => Level::Notice,
        false => Level::Good,
    };
    let what = if is_old || !stream.up {
        let ago = age(status.timestamp_seconds - at);
        format!(" (of the last rows, {ago} ago)")
    } else if stream.catching_up {
        ", catching up".to_owned()
    } else if stream.late {
        ", above STALE_AFTER".to_owned()
    } else {
        String::new()
    };
    (level, format!("{lag}{what}"))
}

/// A counter's value.
fn whole(value: u64) -> String {
    count(usize::try_from(value).unwrap_or(usize::MAX))
}
