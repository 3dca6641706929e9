//! Checks what the simulators recorded: the rates of requests, and the outcomes of answers.

use std::time::{Duration, Instant};

use starlink_telemetry::simulator::{Journal, Outcome, Poll};

use crate::timeline::{Elapsed, Timeline};

/// Limits of Starlink's documentation and of ours.
const POLLS_A_MINUTE: usize = 250;
const TOKENS_IN_A_QUARTER: usize = 1000;
const INVENTORY_REQUESTS_A_MINUTE: usize = 20;

/// Checks that at most one poll was in flight, and the rates of all requests. An account whose entry has changed requests a token at once.
pub fn judge(journal: &Journal, is_changed: bool, time: &Timeline) {
    let requests = journal.most_management_within(Duration::from_secs(60));
    assert!(
        requests <= INVENTORY_REQUESTS_A_MINUTE,
        "{requests} inventory requests a minute"
    );
    assert!(journal.most_polls_in_flight <= 1, "polls overlap");
    let polls: Vec<_> = journal
        .polls
        .iter()
        .map(|poll| time.at(poll.started))
        .collect();
    let tokens: Vec<_> = journal
        .token_requests
        .iter()
        .map(|request| time.at(request.at))
        .collect();
    assert_most(&polls, POLLS_A_MINUTE, Duration::from_secs(60), "polls");
    assert_most(
        &tokens,
        TOKENS_IN_A_QUARTER,
        Duration::from_secs(900),
        "token requests",
    );
    if is_changed {
        return;
    }
    for pair in tokens.windows(2) {
        let apart = pair[1] - pair[0];
        // The service waits a second. A busy simulator may record a request late, if its actor failed meanwhile.
        assert!(
            apart > Duration::from_millis(500),
            "two token requests {apart:?} apart"
        );
    }
}

fn assert_most(times: &[Elapsed], most: usize, within: Duration, what: &str) {
    for window in times.windows(most + 1) {
        assert!(
            window[most] - window[0] > within,
            "more than {most} {what} within {within:?}"
        );
    }
}

/// Checks that an account without faults was polled all the time, and that none of its polls was cut.
pub fn check_calm(journal: &Journal, limit: Duration) {
    let cut = journal.polls_with(Outcome::Abandoned);
    assert_eq!(cut, 0, "polls are cut: {}", last_requests(journal));
    let ends = journal.polls.iter().map(|poll| poll.ended);
    let starts = journal.polls.iter().skip(1).map(|poll| poll.started);
    let pauses = ends
        .zip(starts)
        .filter_map(|(end, start)| Some(start.saturating_duration_since(end?)));
    let longest = pauses.max().unwrap_or_default();
    assert!(longest < limit, "no poll for {longest:?}");
}

/// The last requests in the journal, for error messages.
pub fn last_requests(journal: &Journal) -> String {
    let now = Instant::now();
    let polls = journal.polls.iter().rev().take(12).rev();
    let polls: Vec<_> = polls
        .map(|poll| {
            format!(
                "{:.1?} ago: {:?} {:?}",
                now - poll.started,
                poll.status,
                poll.outcome
            )
        })
        .collect();
    let tokens = journal.token_requests.iter().rev().take(12).rev();
    let tokens: Vec<_> = tokens
        .map(|token| format!("{:.1?} ago: {:?}", now - token.at, token.status))
        .collect();
    format!("polls {polls:#?}, token requests {tokens:#?}")
}

/// The outcome of the valid answer with this number, once the service has polled again.
pub fn outcome(journal: &Journal, number: usize) -> Option<Outcome> {
    let is_good = |poll: &&Poll| poll.rows > 0;
    let poll = journal.polls.iter().filter(is_good).nth(number - 1)?;
    let ended = poll.ended?;
    let has_asked = journal.polls.iter().any(|later| later.started > ended);
    has_asked.then_some(poll.outcome)
}
