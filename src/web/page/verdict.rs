//! The state of the exporter in words: one verdict, from the conditions of its accounts.

use super::format::{count, minutes, moment, printable};
use super::history;
use super::level::Level;
use crate::http::PollState;
use crate::web::status::{Account, ActorState, LeftOut, Status, Stream};

/// Whether the exporter is healthy. Screen readers read it aloud when it changes, so its times are in minutes at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The level.
    pub level: Level,
    /// The summary.
    pub word: &'static str,
    /// The reason.
    pub because: String,
}

/// The condition of an account or of the process, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// Stopped, because a component keeps failing.
    Stopped,
    /// The last poll failed.
    Failing,
    /// A destination of remote write refuses all samples, so they are lost.
    Rejected,
    /// A journal cannot be written.
    NotDurable,
    /// A destination of remote write refuses all requests.
    Refused,
    /// No poll has ended yet.
    Starting,
    /// An actor is being restarted.
    Recovering,
    /// The token has expired and was not renewed.
    TokenExpired,
    /// All rows are left out.
    RowsLeftOut,
    /// Answers contain no rows although many devices were online.
    NoRows,
    /// A destination of remote write is far behind.
    HistoryDelayed,
    /// The host's clock is wrong.
    ClockWrong,
    /// A backlog is being worked through.
    CatchingUp,
    /// Rows are older than `STALE_AFTER` when they arrive.
    Delayed,
    /// No longer configured.
    Ending,
    /// Nothing is wrong.
    Healthy,
}

impl Condition {
    /// How bad it is.
    #[must_use]
    pub const fn level(self) -> Level {
        match self {
            Self::Stopped | Self::Failing | Self::Rejected | Self::NotDurable | Self::Refused => {
                Level::Bad
            }
            Self::Healthy => Level::Good,
            _ => Level::Notice,
        }
    }

    /// What the page calls it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stopped => "Stopped",
            Self::Failing => "Failing",
            Self::Rejected => "Samples rejected",
            Self::NotDurable => "Not durable",
            Self::Refused => "Refused",
            Self::Starting => "Starting",
            Self::Recovering => "Recovering",
            Self::TokenExpired => "Token expired",
            Self::RowsLeftOut => "Rows left out",
            Self::NoRows => "No rows",
            Self::HistoryDelayed => "History delayed",
            Self::ClockWrong => "Clock wrong",
            Self::CatchingUp => "Catching up",
            Self::Delayed => "Delayed",
            Self::Ending => "Ending",
            Self::Healthy => "Healthy",
        }
    }
}

/// A condition and the sentences that explain it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The condition.
    pub condition: Condition,
    /// What is wrong; empty if nothing is.
    pub because: String,
    /// What an operator can do about it, if that is known.
    pub remedy: Option<String>,
}

impl Finding {
    pub(super) fn new(condition: Condition, because: impl Into<String>) -> Self {
        Self {
            condition,
            because: because.into(),
            remedy: None,
        }
    }

    /// All its sentences.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.remedy {
            Some(remedy) => format!("{} {remedy}", self.because),
            None => self.because.clone(),
        }
    }
}

/// The most accounts that the verdict names.
const MOST_NAMED: usize = 3;

/// A stream without rows for this many seconds is reported. Shorter pauses between rows are common.
const SILENT: f64 = 60.0;

impl Verdict {
    /// The worst condition of all.
    #[must_use]
    pub fn of(status: &Status) -> Self {
        let exporter = &status.exporter;
        if !exporter.live {
            return Self {
                level: Level::Bad,
                word: "Broken",
                because: exporter.not_live_because.join("; "),
            };
        }
        if exporter.draining {
            return Self {
                level: Level::Notice,
                word: "Shutting down",
                because: "The exporter is shutting down.".to_owned(),
            };
        }
        let accounts = of_accounts(status);
        let process = of_process(status);
        let process = process.filter(|process| process.condition < accounts.condition);
        let worst = process.unwrap_or(accounts);
        Self {
            level: worst.condition.level(),
            word: worst.condition.word(),
            because: worst.text(),
        }
    }
}

/// The worst of what is wrong with the process, with an actor of any account, or with the history.
fn of_process(status: &Status) -> Option<Finding> {
    let down = actors_down(status);
    let restarting = (!down.is_empty()).then(|| {
        let because = format!("Restarting: {}.", listed(&down));
        Finding::new(Condition::Recovering, because)
    });
    let because = "The clock of this host is wrong. Ages below are corrected by Starlink's clock. Synchronise this host's clock (NTP).";
    let clock = Finding::new(Condition::ClockWrong, because);
    let clock = status.clock.wrong.then_some(clock);
    let findings = history::findings(status).into_iter();
    let findings = findings.chain(restarting).chain(clock);
    findings.min_by_key(|finding| finding.condition)
}

/// The names of the actors that are being restarted; of several accounts with the account's name.
fn actors_down(status: &Status) -> Vec<String> {
    let is_down = |state: ActorState| state != ActorState::Up;
    let is_only = status.accounts.len() == 1;
    let process = status.actors.iter().filter(|actor| is_down(actor.state));
    let process = process.map(|actor| actor.name.to_owned());
    let is_started =
        |account: &&Account| !matches!(account.state, PollState::Paused | PollState::Ending);
    let accounts = status.accounts.iter().filter(is_started);
    let accounts = accounts.flat_map(|account| {
        let actors = account.actors.iter();
        actors.map(move |actor| (&account.name, actor))
    });
    let journals = status.history.journals.iter();
    let journals = journals.map(|journal| (&journal.account, &journal.actor));
    let destinations = status.history.destinations.iter();
    let senders = destinations.flat_map(|destination| &destination.accounts);
    let senders = senders.map(|sender| (&sender.account, &sender.actor));
    let of_accounts = accounts.chain(journals).chain(senders);
    let down = of_accounts.filter(|(_, actor)| is_down(actor.state));
    let down = down.map(|(account, actor)| match is_only {
        true => actor.name.to_owned(),
        false => format!("{} of {account}", actor.name),
    });
    let mut names: Vec<String> = process.chain(down).collect();
    // An account has a sender for each destination.
    names.dedup();
    names
}

/// The worst condition of the accounts.
fn of_accounts(status: &Status) -> Finding {
    if let [only] = status.accounts.as_slice() {
        return of_only_account(status, only);
    }
    let findings: Vec<_> = status
        .accounts
        .iter()
        .map(|account| (account.name.clone(), of_account(status, account)))
        .collect();
    let Some(worst) = findings.iter().map(|(_, finding)| finding.condition).min() else {
        return Finding::new(Condition::Starting, "No account is configured.");
    };
    let all = count(status.accounts.len());
    if worst == Condition::Healthy {
        let because = format!("Polls of all {all} accounts succeed. All components are running.");
        return Finding::new(worst, because);
    }
    let affected = findings.into_iter();
    let affected = affected.filter(|(_, finding)| finding.condition == worst);
    let (names, affected): (Vec<_>, Vec<_>) = affected.unzip();
    let number = names.len();
    let which = match (worst, number) {
        (Condition::Stopped, 1) => format!("1 of {all} accounts is stopped"),
        (Condition::Stopped, _) => format!("{} of {all} accounts are stopped", count(number)),
        (Condition::Failing, _) if number == status.accounts.len() => {
            format!("All {all} accounts fail")
        }
        (Condition::Failing, 1) => format!("1 of {all} accounts fails"),
        (Condition::Failing, _) => format!("{} of {all} accounts fail", count(number)),
        _ => format!("{} of {all} accounts", count(number)),
    };
    let reason = common_reason(&affected);
    Finding::new(worst, format!("{which}: {}. {reason}", listed(&names)))
}

/// The reason that is the same for several accounts, with the remedy if that is the same too.
fn common_reason(findings: &[Finding]) -> String {
    let is_same = |same: fn(&Finding, &Finding) -> bool| {
        let pairs = findings.windows(2);
        pairs.into_iter().all(|pair| same(&pair[0], &pair[1]))
    };
    match findings.first() {
        Some(first) if is_same(|one, other| one == other) => first.text(),
        // Remedies name the settings of one account.
        Some(first) if is_same(|one, other| one.because == other.because) => {
            let because = &first.because;
            format!("{because} What to do about each is in the list of accounts.")
        }
        _ => "The reasons are in the list of accounts.".to_owned(),
    }
}

/// The condition of the only account, with more details than there is room for with several.
fn of_only_account(status: &Status, account: &Account) -> Finding {
    let finding = of_account(status, account);
    let stream = &account.stream;
    let because = match finding.condition {
        Condition::Failing if stream.last_success_timestamp_seconds.is_some() => {
            format!("{} {}", finding.text(), what_is_shown(status, stream))
        }
        Condition::Healthy => match (
            stream.last_rows_timestamp_seconds,
            are_rows_old(status, stream),
        ) {
            (Some(_), false) => "Receiving telemetry. All components are running.".to_owned(),
            (Some(_), true) => {
                "Polls succeed, but no row has arrived for longer than STALE_AFTER. All components are running.".to_owned()
            }
            (None, _) => {
                "Polls succeed, but no row has arrived yet. All components are running.".to_owned()
            }
        },
        _ => return finding,
    };
    Finding::new(finding.condition, because)
}

/// The condition of an account.
#[must_use]
pub fn of_account(status: &Status, account: &Account) -> Finding {
    let Account { stream, token, .. } = account;
    match account.state {
        PollState::Failing => {
            let message = stream.last_failure_message.as_deref();
            return Finding {
                condition: Condition::Failing,
                because: message.map_or("The last poll failed.".to_owned(), printable),
                remedy: stream.last_failure_remedy.as_deref().map(printable),
            };
        }
        PollState::Starting => {
            return Finding::new(Condition::Starting, "Waiting for Starlink's first answer.");
        }
        PollState::Paused => return Finding::new(Condition::Stopped, stopped(account)),
        PollState::Ending => {
            let because =
                "Removed or changed in the configuration: it ends when its last answer is stored.";
            return Finding::new(Condition::Ending, because);
        }
        PollState::Up => {}
    }
    let is_expired = |expiry| expiry < status.timestamp_seconds;
    if token.expiry_timestamp_seconds.is_some_and(is_expired) {
        let message = token.last_failure_message.as_deref();
        return Finding {
            condition: Condition::TokenExpired,
            because: message.map_or("It was not renewed.".to_owned(), printable),
            remedy: token.last_failure_remedy.as_deref().map(printable),
        };
    }
    if let Some(left_out) = &stream.left_out {
        return Finding::new(Condition::RowsLeftOut, left_out_rows(left_out));
    }
    if let Some(silent) = stream.no_rows_seconds.filter(|silent| *silent >= SILENT) {
        let because = format!(
            "Starlink answers, but has sent no rows for {}: the stream is silent, or all terminals are.",
            minutes(silent)
        );
        return Finding::new(Condition::NoRows, because);
    }
    if stream.catching_up {
        let because = "Working through a backlog: data below is old, but complete.";
        return Finding::new(Condition::CatchingUp, because);
    }
    if stream.late {
        let because = "Rows are older than STALE_AFTER when they arrive: data below is old.";
        return Finding::new(Condition::Delayed, because);
    }
    Finding::new(Condition::Healthy, "")
}

/// Why an account is stopped, and until when.
fn stopped(account: &Account) -> String {
    let because = "A component keeps failing: see the log.";
    match account.restart_timestamp_seconds {
        Some(at) => format!("{because} It starts again at {}.", moment(at.round())),
        None => because.to_owned(),
    }
}

/// The first of some names, and how many more there are.
pub(super) fn listed(names: &[String]) -> String {
    let first = names[..names.len().min(MOST_NAMED)].join(", ");
    match names.len().saturating_sub(MOST_NAMED) {
        0 => first,
        more => format!("{first} and {} more", count(more)),
    }
}

/// Whether the last rows arrived so long ago that the readings of their devices are no longer shown.
#[must_use]
pub fn are_rows_old(status: &Status, stream: &Stream) -> bool {
    let at = stream.last_rows_timestamp_seconds;
    at.is_some_and(|at| status.timestamp_seconds - at > status.exporter.stale_after_seconds)
}

/// Which data the page shows while polls fail.
fn what_is_shown(status: &Status, stream: &Stream) -> String {
    let success = stream.last_success_timestamp_seconds;
    let age = success.map(|at| status.timestamp_seconds - at);
    match age.filter(|age| *age > status.exporter.stale_after_seconds) {
        Some(age) => format!(
            "Readings are no longer shown: the last successful poll was {} ago.",
            minutes(age)
        ),
        None => "Data below is from the last successful poll.".to_owned(),
    }
}

/// Rows that arrived and were all left out, in words.
fn left_out_rows(left_out: &LeftOut) -> String {
    let arrived = match left_out.rows {
        1 => "1 row has arrived, and was left out".to_owned(),
        rows => format!("{} rows have arrived, and all were left out", number(rows)),
    };
    let because = left_out.because;
    if left_out.rows_with_reason == left_out.rows {
        return format!("{arrived}: {because}.");
    }
    format!(
        "{arrived}. The reason for {} of them: {because}.",
        number(left_out.rows_with_reason)
    )
}

/// A number of rows.
fn number(value: u64) -> String {
    count(usize::try_from(value).unwrap_or(usize::MAX))
}

#[cfg(test)]
pub(super) mod tests;
