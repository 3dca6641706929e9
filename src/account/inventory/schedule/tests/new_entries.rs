//! Tests of pages without new entries.

use super::*;

#[test]
fn a_reading_fails_after_three_pages_in_a_row_without_new_entries() {
    let mut run = Run::new(false);
    run.check([(Event::WaitIsOver, "account 0")]);
    run.reads("account", "terminals 0");
    run.check([
        (page(false), "ok, terminals 1"),
        (idle_page(false), "ok, terminals 2"),
        (idle_page(false), "ok, terminals 3"),
        (page(false), "ok, terminals 4"),
        (idle_page(false), "ok, terminals 5"),
        (idle_page(false), "ok, terminals 6"),
        // The last page may have no new entries.
        (idle_page(true), "ok, merge terminals"),
        (
            merged(),
            "drop terminals, read terminals, offer, service_lines 0",
        ),
    ]);
    for wait in [30, 60, 120, 240, 480, 900, 900] {
        run.check([
            (page(false), "ok, service_lines 1"),
            (idle_page(false), "ok, service_lines 2"),
            (idle_page(false), "ok, service_lines 3"),
        ]);
        let next = match wait {
            30 => "data_usage 0".to_owned(),
            _ => format!("wait {wait}"),
        };
        let failed = format!("drop service_lines, failed service_lines {wait}, {next}");
        run.check([(idle_page(false), &failed)]);
        if wait == 30 {
            run.reads("data_usage", "wait 30");
        }
        run.seconds += wait;
        // Other parts are due later than this test ends.
        for reading in &mut run.schedule.parts {
            if reading.part != Part::ServiceLines {
                reading.due = Moment::NEVER;
            }
        }
        run.check([(Event::WaitIsOver, "service_lines 0")]);
    }
    run.reads("service_lines", "wait 900");
    // A complete reading ends the backoff.
    run.seconds += 900;
    run.check([
        (Event::WaitIsOver, "service_lines 0"),
        (timeout(), "failed service_lines 30, wait 30"),
    ]);
}

#[test]
fn the_error_about_pages_without_new_entries_names_the_request() {
    let error = no_new_entries(Part::DataUsage, 7);
    assert_eq!(
        error.to_string(),
        "pages 5 to 7 of data-usage/query have no new entry, and none of them is the last page"
    );
}
