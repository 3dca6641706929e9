//! Tests of the management API with scripted answers and faults: errors, delays, lists that change or have bad entries.

use super::management::{ask, ask_as, ids, options, page, reading};
use super::*;

#[test]
fn answers_of_a_part_can_be_scripted() {
    let simulator = start(options());
    let part = Part::ServiceLines;
    simulator.push_inventory_answer(part, Answer::forbidden());
    simulator.push_inventory_answer(part, Answer::error(422, "invalid"));
    simulator.push_inventory_answer(part, Answer::text("{\"content\":"));
    simulator.push_inventory_answer(part, Answer::ordinary().gzip());
    simulator.set_inventory_answer(part, Some(Answer::error(503, "later")));
    run(async {
        let path = part.path();
        let (status, body) = ask(&simulator, "GET", &path, "").await;
        let message = &body["errors"][0]["errorMessage"];
        assert_eq!(
            (status, message),
            (403, &json!("user_lacks_required_permission"))
        );
        assert_eq!(ask(&simulator, "GET", &path, "").await.0, 422);
        assert_eq!(ask(&simulator, "GET", &path, "").await, (200, Value::Null));
        // The client does not decompress.
        assert_eq!(ask(&simulator, "GET", &path, "").await.0, 200);
        assert_eq!(ask(&simulator, "GET", &path, "").await.0, 503);
        assert_eq!(ask(&simulator, "GET", &path, "").await.0, 503);
        // Other parts are not affected, and a wrong request takes no scripted answer.
        page(&simulator, Part::Terminals, 0).await;
        simulator.push_inventory_answer(part, Answer::ordinary());
        assert_eq!(ask_as(&simulator, "no", "GET", &path, "").await.0, 401);
        page(&simulator, part, 0).await;
        simulator.set_inventory_answer(part, None);
        page(&simulator, part, 0).await;
    });
}

#[test]
fn a_page_can_fail_once_or_always() {
    let simulator = start(options());
    let part = Part::Terminals;
    for (times, expected) in [(Some(1), [503, 200, 200]), (None, [503, 503, 503])] {
        simulator.set_inventory_faults(
            part,
            [Fault::Page {
                page: 2,
                times,
                answer: Box::new(Answer::error(503, "later")),
            }],
        );
        run(async {
            page(&simulator, part, 1).await;
            for status in expected {
                let path = format!("{}?page=2", part.path());
                assert_eq!(ask(&simulator, "GET", &path, "").await.0, status);
            }
            page(&simulator, part, 3).await;
        });
    }
}

#[test]
fn with_unstable_order_entries_are_missing_or_doubled_but_never_missing_twice() {
    let simulator = start(options());
    let all = run(reading(&simulator, Part::Terminals));
    simulator.set_inventory_faults(Part::Terminals, [Fault::UnstableOrder]);
    let mut missing_before = BTreeSet::new();
    let mut affected = 0;
    for _ in 0..6 {
        let seen = run(reading(&simulator, Part::Terminals));
        assert_eq!(seen.len(), all.len());
        let missing: BTreeSet<_> = all.iter().filter(|id| !seen.contains(id)).collect();
        assert!(missing.is_disjoint(&missing_before));
        affected += missing.len();
        missing_before = missing;
    }
    assert!(affected >= 6, "{affected}");
}

#[test]
fn a_list_can_change_between_pages() {
    let simulator = start(options());
    let part = Part::Terminals;
    let all = run(reading(&simulator, part));
    simulator.set_inventory_faults(part, [Fault::Changes]);

    let removed = run(reading(&simulator, part));
    assert_eq!(removed, [&all[..4], &all[5..]].concat());
    let inserted = run(reading(&simulator, part));
    assert_eq!(inserted, [&all[..4], &all[3..]].concat());
    let renamed = run(async {
        let first = page(&simulator, part, 0).await;
        (first, page(&simulator, part, 1).await)
    });
    assert_eq!(renamed.0["results"][2]["nickname"], "Depot 1, gate 3");
    assert_eq!(renamed.1["results"][0]["nickname"], "Office 1-new");
    let appended = run(reading(&simulator, part));
    assert_eq!(appended.len(), all.len() + 1);
    assert_eq!(appended[all.len()], format!("{}-new", all[0]));
}

#[test]
fn the_mark_of_the_last_page_can_be_missing_or_wrong() {
    let simulator = start(options());
    let part = Part::ServiceLines;
    let cases = [
        (Fault::WithoutLastPage, Value::Null, 0),
        (Fault::NeverLastPage, json!(false), 0),
        (Fault::EndlessPages, json!(false), 3),
    ];
    for (fault, mark, after_the_end) in cases {
        let what = format!("{fault:?}");
        simulator.set_inventory_faults(part, [fault]);
        run(async {
            let last = page(&simulator, part, 3).await;
            assert_eq!(last["isLastPage"], mark, "{what}");
            assert_eq!(ids(&last).len(), 3, "{what}");
            let after = page(&simulator, part, 4).await;
            assert_eq!(ids(&after).len(), after_the_end, "{what}");
        });
    }
}

#[test]
fn bad_entries_are_added_to_the_good_ones() {
    let simulator = start(options());
    simulator.set_inventory_faults(Part::ServiceLines, [Fault::BadEntries]);
    run(async {
        let content = page(&simulator, Part::ServiceLines, 0).await;
        let results = content["results"].as_array().expect("results");
        assert_eq!(results.len(), 10);
        assert_eq!(ids(&content).len(), 4);
    });
}

#[test]
fn entries_can_be_replaced() {
    let simulator = start(options());
    let entries = ["a", "b", "c", "d", "e"]
        .map(|id| json!({"userTerminalId": id}).to_string())
        .to_vec();
    simulator.set_inventory_entries(Part::Terminals, Some(entries));
    assert_eq!(
        run(reading(&simulator, Part::Terminals)),
        ["a", "b", "c", "d", "e"]
    );
    simulator.set_inventory_entries(Part::Terminals, None);
    assert_eq!(run(reading(&simulator, Part::Terminals)).len(), 16);
}

#[test]
fn a_slow_answer_is_sent_after_its_delay() {
    let simulator = start(options());
    let delay = Duration::from_millis(150);
    simulator.push_inventory_answer(Part::Account, Answer::ordinary().delay(delay));
    run(async {
        let started = Instant::now();
        let (status, body) = ask(&simulator, "GET", &Part::Account.path(), "").await;
        assert!(started.elapsed() >= delay);
        assert_eq!(status, 200);
        assert_eq!(body["content"]["accountNumber"], "ACC-730215-48816-21");
    });
}
