//! Tests of the generated entries, by the parsers of the service and by time.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

/// 2026-11-26 12:00 UTC.
const NOW: f64 = 1_795_694_400.0;
const DAY: f64 = 86_400.0;

fn inventory() -> Inventory {
    Inventory {
        options: InventoryOptions {
            silent: 2,
            never_heard: 2,
            deactivated: 2,
            in_store: 2,
            ..InventoryOptions::default()
        },
        seed: 7,
        first: 0,
        reporting: 96,
        routers: true,
        origin: NOW,
        speed: 1.0,
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[test]
fn entries_are_a_function_of_seed_index_and_time() {
    let [one, same] = [inventory(), inventory()];
    let other = Inventory {
        seed: 8,
        ..inventory()
    };
    let all = |inventory: &Inventory, now: f64| -> Vec<[Value; 3]> {
        let entry = |index| {
            let (terminal, line) = (inventory.terminal(index), inventory.line(index));
            [terminal, line, inventory.usage(index, now, 0)]
        };
        (0..inventory.terminals()).map(entry).collect()
    };
    assert_eq!(all(&one, NOW), all(&same, NOW));
    // Terminals depend on neither seed nor time, lines on the seed, and the use of lines on both.
    let differs = |one: &[[Value; 3]], other: &[[Value; 3]]| {
        [0, 1, 2].map(|kind| {
            let mut pairs = one.iter().zip(other);
            pairs.any(|(one, other)| one[kind] != other[kind])
        })
    };
    let now = all(&one, NOW);
    assert_eq!(differs(&now, &all(&other, NOW)), [false, true, true]);
    assert_eq!(differs(&now, &all(&one, NOW + DAY)), [false, false, true]);
}

#[test]
fn each_kind_of_terminal_has_its_line() {
    let inventory = inventory();
    for (index, kind, has_line, is_active) in [
        (0, Kind::Reporting, true, true),
        (96, Kind::Silent, true, true),
        (98, Kind::NeverHeard, true, true),
        (100, Kind::Deactivated, true, false),
        (102, Kind::InStore, false, false),
    ] {
        assert_eq!(inventory.kind(index), Some(kind));
        let terminal = inventory.terminal(index);
        let line = inventory.line(index);
        assert_eq!(
            terminal["serviceLineNumber"].is_string(),
            has_line,
            "{kind:?}"
        );
        if has_line {
            assert_eq!(terminal["serviceLineNumber"], line["serviceLineNumber"]);
            assert_eq!(line["active"], is_active, "{kind:?}");
            assert_eq!(line["endDate"].is_string(), !is_active, "{kind:?}");
        }
    }
    assert_eq!(inventory.kind(104), None);
    assert_eq!((inventory.terminals(), inventory.lines()), (104, 102));
}

#[test]
fn aircraft_have_tail_numbers_and_some_no_other_name() {
    let inventory = inventory();
    let lines: Vec<Value> = (0..96).map(|index| inventory.line(index)).collect();
    let tails = |line: &&Value| line["aviationMetadata"]["tailNumber"].is_string();
    assert_eq!(lines.iter().filter(tails).count(), 16);
    let nameless = |line: &&Value| tails(line) && line["nickname"].is_null();
    assert_eq!(lines.iter().filter(nameless).count(), 8);
    let product = |line: &&Value| {
        line["productReferenceId"]
            .as_str()
            .is_some_and(|id| id.starts_with("maritime"))
    };
    assert_eq!(lines.iter().filter(product).count(), 16);
}

#[test]
fn use_grows_with_time_faster_at_a_higher_speed_and_begins_again_with_a_cycle() {
    let slow = inventory();
    let fast = Inventory {
        speed: 15.0,
        ..inventory()
    };
    let total = |inventory: &Inventory, now: f64| {
        let usage = inventory.usage(2, now, 0);
        number(&usage["billingCycles"][0]["totalPriorityGB"])
    };
    let before = total(&slow, NOW);
    let hour = total(&slow, NOW + 3600.0) - before;
    assert!(hour > 0.0);
    let fast_hour = total(&fast, NOW + 3600.0) - total(&fast, NOW);
    assert!((fast_hour / hour - 15.0).abs() < 0.1, "{fast_hour} {hour}");

    let cycles: Vec<f64> = (0..31)
        .map(|day| total(&slow, NOW + f64::from(day) * DAY))
        .collect();
    let resets = cycles.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert_eq!(resets, 1);
}

#[test]
fn some_lines_are_below_and_some_above_their_limit() {
    let inventory = inventory();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for index in 0..96 {
        let usage = inventory.usage(index, NOW, 0);
        let cycle = &usage["billingCycles"][0];
        let overage: f64 = cycle["overageLines"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|line| number(&line["overageAmountGB"]))
            .sum();
        let limit = number(&usage["servicePlan"]["usageLimitGB"]);
        let priority = number(&cycle["totalPriorityGB"]);
        let opt_in = number(&cycle["totalOptInPriorityGB"]);
        let is_pooled = !usage["servicePlan"]["dataPoolUsage"].is_null();
        let what = match (limit > 0.0, is_pooled) {
            (false, _) => "unlimited",
            (_, true) => "pooled",
            _ if priority > limit => {
                assert!((overage - (priority - limit)).abs() < 0.01);
                match usage["servicePlan"]["isOptedIntoOverage"] == true {
                    true => {
                        assert!((opt_in - overage).abs() < 0.01);
                        "opted in"
                    }
                    false => "not opted in",
                }
            }
            _ => {
                assert_eq!(overage, 0.0);
                "below"
            }
        };
        assert!(opt_in <= priority);
        *counts.entry(what).or_default() += 1;
    }
    assert_eq!((counts["pooled"], counts["unlimited"]), (16, 16));
    for what in ["below", "opted in", "not opted in"] {
        assert!(
            counts.get(what).is_some_and(|&count| count > 2),
            "{counts:?}"
        );
    }
}

#[test]
fn the_lines_of_a_pool_agree_on_it() {
    let inventory = inventory();
    let pools: Vec<Value> = (1..96)
        .step_by(6)
        .map(|index| inventory.usage(index, NOW, 0)["servicePlan"]["dataPoolUsage"].clone())
        .collect();
    assert!(pools[..8].iter().all(|pool| pool == &pools[0]));
    assert_ne!(pools[0]["dataPoolId"], pools[8]["dataPoolId"]);
    let block = &pools[0]["dataBlocks"][0];
    let parts = block["serviceLineUsage"].as_array().expect("a list");
    assert_eq!(parts.len(), 8);
    let sum: f64 = parts
        .iter()
        .map(|part| number(&part["consumedAmountGB"]))
        .sum();
    let consumed = number(&block["consumedAmountGB"]);
    assert!((consumed - sum.min(number(&block["totalAmountGB"]))).abs() < 0.01);
}

#[test]
fn earlier_cycles_come_before_the_current_one() {
    let usage = inventory().usage(2, NOW, 2);
    let cycles = usage["billingCycles"].as_array().expect("a list");
    assert_eq!(cycles.len(), 3);
    assert_eq!(cycles[0]["endDate"], cycles[1]["startDate"]);
    assert_eq!(cycles[1]["endDate"], cycles[2]["startDate"]);
    assert_eq!(cycles[2]["startDate"], usage["startDate"]);
    assert_eq!(cycles[0]["totalPriorityGB"], cycles[1]["totalPriorityGB"]);
}

#[test]
fn an_amount_is_due_in_a_suspended_account() {
    let mut inventory = inventory();
    assert_eq!(inventory.account()["activeSuspensions"], json!([]));
    assert_eq!(
        inventory.balance()["balances"].as_array().map(Vec::len),
        Some(1)
    );
    inventory.options.suspensions = vec!["PastDueBalance".to_owned()];
    assert_eq!(
        inventory.account()["activeSuspensions"],
        json!(["PastDueBalance"])
    );
    assert_eq!(inventory.balance()["balances"][1]["dueAmount"], 84.5);
}
