mod last_values;
mod new_entries;

use std::sync::Arc;

use super::*;
use crate::inventory::Rejected;
use crate::starlink::{CallError, ErrorResponse, PollError, Stage};

const MINUTE: u64 = 60;

/// A schedule, and the time in seconds.
struct Run {
    schedule: Schedule,
    seconds: u64,
}

impl Run {
    fn new(wants_last_values: bool) -> Self {
        Self::bounded(1000, wants_last_values)
    }

    fn bounded(entries: usize, wants_last_values: bool) -> Self {
        let bounds = Bounds {
            entries,
            ..Bounds::STANDARD
        };
        let parts = Part::ALL.into_iter().filter(|part| *part != Part::Balance);
        Self {
            schedule: Schedule::new(parts, bounds, wants_last_values),
            seconds: 0,
        }
    }

    /// Hands in an event, and describes the effects.
    fn on(&mut self, event: Event) -> String {
        // Without jitter.
        let now = Now {
            elapsed: Duration::from_secs(self.seconds),
            jitter: 0.5,
        };
        let effects = self.schedule.on(event, now);
        let texts = effects.iter().map(|effect| self.describe(effect));
        texts.collect::<Vec<_>>().join(", ")
    }

    fn describe(&self, effect: &Effect) -> String {
        match effect {
            Effect::Wait(until) if *until <= Moment::at(Duration::from_secs(self.seconds)) => {
                "now".to_owned()
            }
            Effect::Wait(until) => {
                let now = Moment::at(Duration::from_secs(self.seconds));
                format!("wait {}", until.since(now).as_secs())
            }
            Effect::Request { step, instead_of } => {
                let step = match step {
                    Step::Page { part, page } => format!("{} {page}", part.name()),
                    Step::LastValues { chunk } => format!("last values {chunk}"),
                };
                match instead_of {
                    Some(Renewal { serial, discard }) => {
                        format!("{step} instead of {serial} ({discard})")
                    }
                    None => step,
                }
            }
            Effect::Merge(part) => format!("merge {}", part.name()),
            Effect::DropPages(part) => format!("drop {}", part.name()),
            Effect::Forget(part) => format!("forget {}", part.name()),
            Effect::Offer => "offer".to_owned(),
            Effect::SlowDown => "slow down".to_owned(),
            Effect::Record(outcome) => match outcome {
                Outcome::Permitted(_) => "ok".to_owned(),
                Outcome::Read { part, .. } => format!("read {}", part.name()),
                Outcome::Cut { part, pages } => format!("cut {} {pages}", part.name()),
                Outcome::Forbidden(part) => format!("forbidden {}", part.name()),
                Outcome::Failed { part, wait, .. } => {
                    format!("failed {} {}", part.name(), wait.as_secs())
                }
                Outcome::LastValuesFailed { wait, .. } => {
                    format!("last values failed {}", wait.as_secs())
                }
                Outcome::LastValuesMissing { terminals, .. } => format!("missing {terminals}"),
                Outcome::LastValuesEnded {
                    terminals,
                    missing,
                    rejected,
                } => match rejected.entries {
                    0 => format!("ended {missing} of {terminals}"),
                    entries => format!("ended {missing} of {terminals} but {entries}"),
                },
            },
        }
    }

    /// Checks the effects of events.
    fn check<const N: usize>(&mut self, steps: [(Event, &str); N]) {
        for (number, (event, expected)) in steps.into_iter().enumerate() {
            let name = format!("{number}: {event:?}");
            assert_eq!(self.on(event), expected, "{name} at {} s", self.seconds);
        }
    }

    /// Reads a part that has one page. The next one is requested, or waited for, as described.
    fn reads(&mut self, part: &str, next: &str) {
        self.check([
            (page(true), &format!("ok, merge {part}")),
            (
                merged(),
                &format!("drop {part}, read {part}, offer, {next}"),
            ),
        ]);
    }

    /// Reads all parts, which have one page.
    fn reads_all(&mut self) {
        self.check([(Event::WaitIsOver, "account 0")]);
        self.reads("account", "terminals 0");
        self.reads("terminals", "service_lines 0");
        self.reads("service_lines", "data_usage 0");
        self.reads("data_usage", "wait 900");
    }
}

fn page(is_last: bool) -> Event {
    Event::PageRead {
        is_last,
        has_new: true,
        is_full: false,
    }
}

/// A page without new entries.
fn idle_page(is_last: bool) -> Event {
    Event::PageRead {
        is_last,
        has_new: false,
        is_full: false,
    }
}

fn merged() -> Event {
    Event::Merged {
        terminals: 250,
        skipped: Skipped::default(),
    }
}

fn last_values(invalid: usize) -> Event {
    Event::LastValuesRead(Rejected {
        entries: invalid,
        example: None,
    })
}

fn no_token() -> Event {
    Event::Failed {
        error: RequestError::Token(crate::account::messages::TokenRefused {
            error: Arc::new(crate::starlink::TokenError::Malformed("of the test")),
            retry_in: Duration::from_secs(1),
        }),
        token_serial: None,
    }
}

fn failed_with(call: CallError) -> Event {
    Event::Failed {
        error: RequestError::Call(PollError::Call(call)),
        token_serial: Some(7),
    }
}

fn status(status: u16) -> Event {
    waits(status, None)
}

fn waits(status: u16, retry_after: Option<u64>) -> Event {
    answered(status, "of the API", retry_after)
}

/// A 403 of a firewall.
fn blocked() -> Event {
    answered(403, "", None)
}

fn answered(status: u16, message: &str, retry_after: Option<u64>) -> Event {
    failed_with(CallError::Status(ErrorResponse {
        status,
        message: message.to_owned(),
        is_oauth: false,
        retry_after: retry_after.map(Duration::from_secs),
    }))
}

fn timeout() -> Event {
    failed_with(CallError::Timeout(Stage::Head))
}

#[test]
fn parts_are_read_in_order_page_by_page_and_again_when_they_are_due() {
    let mut run = Run::new(false);
    run.check([(Event::Started, "now"), (Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
    run.check([
        (page(false), "ok, terminals 1"),
        (page(false), "ok, terminals 2"),
        (page(true), "ok, merge terminals"),
        (
            merged(),
            "drop terminals, read terminals, offer, service_lines 0",
        ),
    ]);
    run.reads("service_lines", "data_usage 0");
    run.reads("data_usage", "wait 900");
    run.seconds = 15 * MINUTE;
    run.check([(Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
    run.reads("terminals", "service_lines 0");
    run.reads("service_lines", "wait 900");
    run.seconds = 30 * MINUTE;
    run.check([(Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
    run.reads("terminals", "service_lines 0");
    run.reads("service_lines", "data_usage 0");
}

#[test]
fn a_part_is_due_an_interval_after_its_start_and_the_one_that_waits_longest_is_next() {
    let mut run = Run::new(false);
    run.check([(Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
    // Reading terminals takes longer than the interval of the account.
    run.seconds = 50 * MINUTE;
    run.reads("terminals", "service_lines 0");
    run.seconds = 100 * MINUTE;
    run.reads("service_lines", "data_usage 0");
    run.seconds = 120 * MINUTE;
    run.reads("data_usage", "account 0");
    run.reads("account", "terminals 0");
    run.reads("terminals", "service_lines 0");
}

#[test]
fn intervals_are_jittered() {
    for (jitter, expected) in [(0.0, 810), (0.5, 900), (0.75, 945)] {
        let now = Now {
            elapsed: Duration::ZERO,
            jitter,
        };
        let interval = jittered(OFTEN, now);
        assert_eq!(interval.as_secs_f64().round(), f64::from(expected));
    }
}

#[test]
fn a_failed_page_is_requested_again_after_the_backoff_while_others_are_read() {
    let mut run = Run::new(false);
    run.check([(Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
    run.check([
        (page(false), "ok, terminals 1"),
        (status(500), "failed terminals 30, service_lines 0"),
    ]);
    // A part in progress is read to its end, also if another one becomes due.
    run.check([(page(false), "ok, service_lines 1")]);
    run.seconds = 31;
    run.check([(page(false), "ok, service_lines 2")]);
    run.reads("service_lines", "data_usage 0");
    // It has waited longer than the other one, whose time is 30 s.
    run.reads("data_usage", "terminals 1");
    run.check([
        (timeout(), "failed terminals 60, wait 60"),
        (page(true), ""),
    ]);
    run.seconds += 60;
    run.check([
        (Event::WaitIsOver, "terminals 1"),
        (page(true), "ok, merge terminals"),
        (merged(), "drop terminals, read terminals, offer, wait 809"),
    ]);
}

#[test]
fn waits_double_to_a_quarter_of_an_hour_and_a_success_ends_them() {
    let mut run = Run::new(false);
    run.reads_all();
    run.seconds = 15 * MINUTE;
    run.check([(Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
    run.reads("terminals", "service_lines 0");
    run.check([(page(false), "ok, service_lines 1")]);
    for (failure, (wait, page)) in [(30, 1), (60, 1), (120, 1), (240, 1), (480, 0), (900, 0)]
        .into_iter()
        .enumerate()
    {
        let again = format!("service_lines {page}");
        // After five failures the part begins again.
        let dropped = if failure == 4 {
            "drop service_lines, "
        } else {
            ""
        };
        let effects = run.on(status(503));
        let expected = format!("{dropped}failed service_lines {wait}, ");
        assert!(effects.starts_with(&expected), "{effects}");
        // Other parts become due meanwhile.
        while !run.on(Event::Started).starts_with("wait") {
            run.on(page_or_merge(&run.schedule));
        }
        run.seconds += wait;
        let mut requested = run.on(Event::WaitIsOver);
        while requested != again {
            run.on(page_or_merge(&run.schedule));
            requested = run.on(Event::Started);
        }
    }
    run.check([(page(false), "ok, service_lines 1")]);
    assert!(run.on(status(500)).starts_with("failed service_lines 30"));
}

/// The event that advances a schedule.
fn page_or_merge(schedule: &Schedule) -> Event {
    match schedule.phase {
        Phase::Merging(_) => merged(),
        _ => page(true),
    }
}

#[test]
fn retry_after_is_kept_and_a_429_holds_all_parts() {
    let mut run = Run::new(false);
    run.check([
        (Event::WaitIsOver, "account 0"),
        (waits(503, Some(45)), "failed account 45, terminals 0"),
        (
            waits(429, Some(100)),
            "slow down, failed terminals 100, wait 100",
        ),
    ]);
    run.seconds = 99;
    run.check([(Event::WaitIsOver, "wait 1")]);
    run.seconds = 100;
    run.check([(Event::WaitIsOver, "service_lines 0")]);
    run.check([(status(429), "slow down, failed service_lines 30, wait 30")]);
}

#[test]
fn without_a_token_no_part_is_requested() {
    let mut run = Run::new(false);
    run.check([
        (Event::WaitIsOver, "account 0"),
        (no_token(), "failed account 30, wait 30"),
    ]);
}

#[test]
fn a_401_renews_the_token_at_most_once_in_five_minutes_and_never_discards_it() {
    let mut run = Run::new(false);
    run.check([
        (Event::WaitIsOver, "account 0"),
        (status(401), "account 0 instead of 7 (false)"),
        (page(true), "ok, merge account"),
        (merged(), "drop account, read account, offer, terminals 0"),
        (status(401), "failed terminals 30, service_lines 0"),
        (status(401), "failed service_lines 30, data_usage 0"),
        (status(401), "failed data_usage 30, wait 30"),
    ]);
    run.seconds = 299;
    run.check([
        (Event::WaitIsOver, "terminals 0"),
        (status(401), "failed terminals 60, service_lines 0"),
    ]);
    run.seconds = 300;
    run.check([
        (status(401), "service_lines 0 instead of 7 (false)"),
        // The request is repeated as it was.
        (Event::Started, "service_lines 0 instead of 7 (false)"),
        (status(401), "failed service_lines 60, data_usage 0"),
        (page(true), "ok, merge data_usage"),
    ]);
}

#[test]
fn a_401_without_another_token_fails_as_any_request() {
    let mut run = Run::new(false);
    run.check([
        (Event::WaitIsOver, "account 0"),
        (status(401), "account 0 instead of 7 (false)"),
        (no_token(), "failed account 30, wait 30"),
    ]);
    run.seconds = 30;
    run.check([
        (Event::WaitIsOver, "terminals 0"),
        (status(401), "failed terminals 30, service_lines 0"),
    ]);
}

#[test]
fn a_part_without_permission_is_asked_again_after_an_hour() {
    let mut run = Run::new(false);
    run.check([(Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
    run.check([
        (page(false), "ok, terminals 1"),
        (
            status(403),
            "drop terminals, forget terminals, forbidden terminals, service_lines 0",
        ),
    ]);
    run.reads("service_lines", "data_usage 0");
    run.reads("data_usage", "wait 900");
    for quarter in 1..4 {
        run.seconds = quarter * 15 * MINUTE;
        run.check([(Event::WaitIsOver, "account 0")]);
        run.reads("account", "service_lines 0");
        let next = if quarter == 2 {
            "data_usage 0"
        } else {
            "wait 900"
        };
        run.reads("service_lines", next);
        if quarter == 2 {
            run.reads("data_usage", "wait 900");
        }
    }
    run.seconds = 60 * MINUTE;
    run.check([(Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
}

#[test]
fn a_403_that_is_no_error_of_the_api_is_a_failure() {
    let mut run = Run::new(false);
    run.check([(Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
    run.check([
        (page(false), "ok, terminals 1"),
        (blocked(), "failed terminals 30, service_lines 0"),
    ]);
}

#[test]
fn a_full_reading_is_cut() {
    let full = |is_last, has_new| Event::PageRead {
        is_last,
        has_new,
        is_full: true,
    };
    let mut run = Run::new(false);
    run.check([(Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
    run.check([
        (page(false), "ok, terminals 1"),
        (full(false, true), "ok, cut terminals 2, merge terminals"),
        (
            merged(),
            "drop terminals, read terminals, offer, service_lines 0",
        ),
        (
            full(true, true),
            "ok, cut service_lines 1, merge service_lines",
        ),
    ]);
}

#[test]
fn a_restart_repeats_what_was_in_progress() {
    let mut run = Run::new(false);
    run.check([
        (Event::WaitIsOver, "account 0"),
        (Event::Started, "account 0"),
        (page(true), "ok, merge account"),
        (Event::Started, "merge account"),
        (merged(), "drop account, read account, offer, terminals 0"),
        (page(false), "ok, terminals 1"),
        (Event::Started, "terminals 1"),
        // Events that do not belong to the phase.
        (merged(), ""),
        (Event::WaitIsOver, ""),
    ]);
}

#[test]
fn a_merge_that_panics_begins_the_part_again() {
    let mut run = Run::new(false);
    let panicked = || {
        Event::NotMerged(RequestError::Panicked(
            crate::account::attempt::WorkPanicked,
        ))
    };
    run.check([
        (Event::WaitIsOver, "account 0"),
        (page(true), "ok, merge account"),
        (panicked(), "drop account, failed account 30, terminals 0"),
    ]);
}

#[test]
fn the_pages_of_a_reading_are_bounded() {
    let mut run = Run::bounded(100, false);
    run.check([(Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
    // 2 × 100 / 100 + 10.
    for page_read in 1..12 {
        run.check([(page(false), &format!("ok, terminals {page_read}"))]);
    }
    run.check([
        (page(false), "ok, cut terminals 12, merge terminals"),
        (
            merged(),
            "drop terminals, read terminals, offer, service_lines 0",
        ),
    ]);
    run.reads("service_lines", "data_usage 0");
    // 2 × 100 / 250 + 10.
    for page_read in 1..10 {
        run.check([(page(false), &format!("ok, data_usage {page_read}"))]);
    }
    run.check([(page(false), "ok, cut data_usage 10, merge data_usage")]);
    // No overflow.
    let run = Run::bounded(usize::MAX, false);
    assert!(run.schedule.most_pages(Part::Terminals) > 1_000_000);
}
