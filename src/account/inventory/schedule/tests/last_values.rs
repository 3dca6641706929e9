//! Tests of the requests for last values.

use super::*;

/// A schedule that has read the account and the terminals, and whose next event reads the service lines.
fn before_lines() -> Run {
    let mut run = Run::new(true);
    run.check([(Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
    run.reads("terminals", "service_lines 0");
    run
}

#[test]
fn last_values_are_requested_once_after_the_terminals_and_the_service_lines() {
    let mut run = before_lines();
    run.check([(page(false), "ok, service_lines 1")]);
    run.reads("service_lines", "last values 0");
    run.check([
        (last_values(0), "last values 1"),
        (status(401), "last values 1 instead of 7 (false)"),
        (last_values(2), "last values 2"),
        (last_values(1), "ended 0 of 250 but 3, data_usage 0"),
    ]);
    run.reads("data_usage", "wait 900");
    run.seconds = 15 * MINUTE;
    run.check([(Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
    run.reads("terminals", "service_lines 0");
    run.reads("service_lines", "wait 900");
}

#[test]
fn last_values_do_not_wait_for_service_lines_that_cannot_be_read() {
    for (answer, effects) in [
        (timeout(), "failed service_lines 30"),
        (
            status(403),
            "drop service_lines, forget service_lines, forbidden service_lines",
        ),
    ] {
        let mut run = before_lines();
        run.check([(answer, &format!("{effects}, last values 0"))]);
    }
    // Nor if the service lines come first.
    let mut run = Run::new(true);
    run.check([(Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
    run.check([(timeout(), "failed terminals 30, service_lines 0")]);
    run.reads("service_lines", "data_usage 0");
    run.reads("data_usage", "wait 30");
    run.seconds = 30;
    run.check([(Event::WaitIsOver, "terminals 0")]);
    run.reads("terminals", "last values 0");
}

#[test]
fn a_chunk_that_fails_is_requested_again_while_parts_are_read() {
    let mut run = before_lines();
    run.reads("service_lines", "last values 0");
    run.check([(status(502), "last values failed 30, data_usage 0")]);
    run.reads("data_usage", "wait 30");
    run.seconds = 30;
    run.check([
        (Event::WaitIsOver, "last values 0"),
        (
            waits(429, Some(100)),
            "slow down, last values failed 100, wait 100",
        ),
    ]);
    run.seconds = 130;
    run.check([
        (Event::WaitIsOver, "last values 0"),
        (no_token(), "last values failed 120, wait 120"),
    ]);
    run.seconds = 250;
    run.check([
        (Event::WaitIsOver, "last values 0"),
        (last_values(0), "last values 1"),
        // A success ends the backoff.
        (blocked(), "last values failed 30, wait 30"),
    ]);
}

/// Lets the next chunk fail until it is given up.
fn fails(run: &mut Run, waits: [u64; 4], last: &str) {
    for (number, wait) in waits.into_iter().enumerate() {
        let expected = match number {
            3 => last.to_owned(),
            _ => format!("last values failed {wait}, wait {wait}"),
        };
        run.check([(timeout(), &expected)]);
        if expected.ends_with(&format!("wait {wait}")) {
            run.seconds += wait;
            let next = run.on(Event::WaitIsOver);
            assert!(next.starts_with("last values"), "{next}");
        }
    }
}

/// A schedule that has requested the first chunk, and whose parts are not due.
fn first_chunk() -> Run {
    let mut run = before_lines();
    run.reads("service_lines", "last values 0");
    for reading in &mut run.schedule.parts {
        reading.due = Moment::NEVER;
    }
    run
}

#[test]
fn after_three_retries_the_next_chunk_is_requested() {
    let mut run = first_chunk();
    run.check([(last_values(0), "last values 1")]);
    fails(&mut run, [30, 60, 120, 240], "missing 100, wait 240");
    let last = (run.on(last_values(0)), run.schedule.last_values.due());
    assert!(last.0.starts_with("ended 100 of 250, wait "), "{last:?}");
    assert_eq!(last.1, None);
}

#[test]
fn after_three_chunks_that_were_given_up_the_others_are_not_requested() {
    let mut run = first_chunk();
    fails(&mut run, [30, 60, 120, 240], "missing 100, wait 240");
    fails(&mut run, [480, 900, 900, 900], "missing 100, wait 900");
    for _ in 0..3 {
        run.check([(timeout(), "last values failed 900, wait 900")]);
        run.seconds += 900;
        run.check([(Event::WaitIsOver, "last values 2")]);
    }
    let last = run.on(timeout());
    assert!(
        last.starts_with("missing 50, ended 250 of 250, wait "),
        "{last}"
    );
}

#[test]
fn without_permission_last_values_are_not_requested_again() {
    let mut run = before_lines();
    run.reads("service_lines", "last values 0");
    run.check([
        (last_values(0), "last values 1"),
        (status(403), "missing 150, ended 150 of 250, data_usage 0"),
    ]);
    run.reads("data_usage", "wait 900");
}

#[test]
fn an_account_without_terminals_has_no_last_values() {
    let mut run = Run::new(true);
    run.check([(Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
    run.check([
        (page(true), "ok, merge terminals"),
        (
            Event::Merged {
                terminals: 0,
                skipped: Skipped::default(),
            },
            "drop terminals, read terminals, offer, service_lines 0",
        ),
    ]);
    run.reads("service_lines", "data_usage 0");
}
