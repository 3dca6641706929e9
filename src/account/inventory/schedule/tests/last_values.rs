//! Tests of when the last values of terminals are requested.

use super::*;

#[test]
fn last_values_are_requested_once_after_the_terminals() {
    let mut run = Run::new(true);
    run.check([(Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
    run.reads("terminals", "last values 0");
    run.check([
        (last_values(0), "last values 1"),
        (status(401), "last values 1 instead of 7 (true)"),
        (last_values(2), "last values 2"),
        (last_values(1), "last values read but 3, service_lines 0"),
    ]);
    run.reads("service_lines", "data_usage 0");
    run.reads("data_usage", "wait 900");
    run.seconds = 15 * MINUTE;
    run.check([(Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
    run.reads("terminals", "service_lines 0");
}

#[test]
fn last_values_that_fail_are_not_requested_again() {
    for (error, expected) in [
        (status(403), "last values failed, service_lines 0"),
        (timeout(), "last values failed, service_lines 0"),
    ] {
        let mut run = Run::new(true);
        run.check([(Event::WaitIsOver, "account 0")]);
        run.reads("account", "terminals 0");
        run.reads("terminals", "last values 0");
        run.check([(last_values(0), "last values 1"), (error, expected)]);
        run.reads("service_lines", "data_usage 0");
        run.reads("data_usage", "wait 900");
    }
}

#[test]
fn a_429_on_last_values_holds_all_parts() {
    for (error, wait) in [(waits(429, Some(100)), 100), (status(429), 30)] {
        let mut run = Run::new(true);
        run.check([(Event::WaitIsOver, "account 0")]);
        run.reads("account", "terminals 0");
        run.reads("terminals", "last values 0");
        let held = format!("slow down, last values failed, wait {wait}");
        run.check([(error, &held)]);
        run.seconds = wait;
        run.check([(Event::WaitIsOver, "service_lines 0")]);
    }
}

#[test]
fn last_values_wait_for_a_token() {
    for comes_back in [true, false] {
        let mut run = Run::new(true);
        run.check([(Event::WaitIsOver, "account 0")]);
        run.reads("account", "terminals 0");
        run.reads("terminals", "last values 0");
        run.check([(last_values(0), "last values 1")]);
        for wait in [30, 60, 120, 240] {
            run.check([(no_token(), &format!("wait {wait}"))]);
            run.seconds += wait;
            run.check([(Event::WaitIsOver, "last values 1")]);
        }
        if comes_back {
            run.check([
                (last_values(0), "last values 2"),
                (last_values(0), "last values read, service_lines 0"),
            ]);
        } else {
            run.check([(no_token(), "last values failed, wait 480")]);
        }
    }
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
}
