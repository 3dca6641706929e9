//! Data use in unusual answers.

use super::*;
use crate::inventory::usage::UsageFacts;

/// The data use of the line `L` with these members.
fn usages(members: &str) -> Usages {
    let entry = format!(r#"{{"serviceLineNumber":"L",{members}}}"#);
    Usages::parse(&page(&[entry]), ANSWERED, &BOUNDS)
        .unwrap()
        .entries
}

fn facts(members: &str) -> UsageFacts {
    usages(members).get(0).unwrap().facts
}

#[test]
fn the_current_cycle_is_the_last_that_has_begun() {
    let dated = |start: &str, amount: u8| {
        format!(r#"{{"startDate":"{start}T00:00:00Z","totalPriorityGB":{amount}}}"#)
    };
    let (october, november) = (dated("2026-10-10", 1), dated("2026-11-10", 2));
    let undated = r#"{"startDate":null,"totalPriorityGB":3}"#.to_owned();
    let unreadable = r#"{"startDate":"2026-11-20T00:00:00Z","totalPriorityGB":"7"}"#.to_owned();
    let future = dated("2026-12-10", 4);
    for (name, cycles, expected) in [
        ("none", vec![], None),
        ("one", vec![&october], Some(1e9)),
        ("the newest last", vec![&october, &november], Some(2e9)),
        ("the newest first", vec![&november, &october], Some(2e9)),
        (
            "the last without a start",
            vec![&november, &undated],
            Some(3e9),
        ),
        (
            "the last cannot be read",
            vec![&november, &unreadable],
            None,
        ),
        (
            "an earlier one cannot be read",
            vec![&unreadable, &november],
            Some(2e9),
        ),
        (
            "the last has not begun",
            vec![&november, &future],
            Some(2e9),
        ),
        ("none has begun", vec![&future], Some(4e9)),
    ] {
        let cycles: Vec<_> = cycles.into_iter().map(String::as_str).collect();
        let members = format!(r#""billingCycles":[{}]"#, cycles.join(","));
        assert_eq!(facts(&members).priority_bytes(), expected, "{name}");
    }
}

#[test]
fn amounts_are_whole_bytes_and_add_up() {
    let of_cycle = |members: &str| facts(&format!(r#""billingCycles":[{{{members}}}]"#));
    for (members, priority, opt_in) in [
        (r#""totalPriorityGB":2.01"#, Some(2_010_000_000.0), None),
        (
            r#""totalPriorityGB":0.3,"totalOptInPriorityGB":0.1"#,
            Some(200_000_000.0),
            Some(100_000_000.0),
        ),
        (
            r#""totalPriorityGB":1,"totalOptInPriorityGB":2"#,
            Some(0.0),
            Some(2e9),
        ),
        (r#""totalOptInPriorityGB":2"#, None, Some(2e9)),
        (r#""totalPriorityGB":1e300"#, None, None),
    ] {
        let facts = of_cycle(members);
        assert_eq!(facts.priority_bytes(), priority, "{members}");
        assert_eq!(facts.opt_in_priority_bytes(), opt_in, "{members}");
    }
    for (lines, expected) in [
        ("null", None),
        ("[]", Some(0.0)),
        (
            r#"[{"overageAmountGB":0.1},{"overageAmountGB":0.2}]"#,
            Some(300_000_000.0),
        ),
        (
            r#"[{"overageAmountGB":null},{"overageAmountGB":2}]"#,
            Some(2e9),
        ),
        (r#"[{"overageAmountGB":null}]"#, None),
        (r#"[{"overageAmountGB":"40"},{"overageAmountGB":60}]"#, None),
    ] {
        let facts = of_cycle(&format!(r#""overageLines":{lines}"#));
        assert_eq!(facts.overage_bytes(), expected, "{lines}");
    }
}

#[test]
fn a_line_that_takes_from_a_pool_has_no_limit() {
    for (pools, plan, expected) in [
        ("null", "", Some(500e9)),
        ("[]", "", Some(500e9)),
        (r#"[{"dataPoolId":"p"}]"#, "", None),
        (r#"[{"dataPoolId":null}]"#, "", None),
        ("null", r#","dataPoolUsage":{"dataPoolId":"p"}"#, None),
        ("null", r#","dataPoolUsage":null"#, Some(500e9)),
    ] {
        let members = format!(
            r#""billingCycles":[{{"dataPoolUsage":{pools}}}],"servicePlan":{{"usageLimitGB":500{plan}}}"#
        );
        assert_eq!(facts(&members).limit_bytes(), expected, "{pools} {plan}");
    }
}

#[test]
fn a_limit_that_rounds_to_nothing_is_none() {
    let limit = |limit: &str| facts(&format!(r#""servicePlan":{{"usageLimitGB":{limit}}}"#));
    for (text, expected) in [
        ("1e-9", Some(1.0)),
        ("1e-10", None),
        ("0", None),
        ("-5", None),
        ("1e305", None),
    ] {
        assert_eq!(limit(text).limit_bytes(), expected, "{text}");
    }
}

#[test]
fn entries_of_a_pool_with_different_blocks_are_united() {
    let block = |amount: u8| {
        format!(
            r#"{{"dataPoolId":"p","dataBlocks":[{{"totalAmountGB":{amount},"consumedAmountGB":1}}]}}"#
        )
    };
    for (amounts, expected) in [
        (vec![50], 50e9),
        (vec![50, 100], 150e9),
        (vec![50, 100, 50], 150e9),
    ] {
        let pools: Vec<_> = amounts.iter().map(|amount| block(*amount)).collect();
        let members = format!(
            r#""billingCycles":[{{"dataPoolUsage":[{}]}}]"#,
            pools.join(",")
        );
        let usages = usages(&members);
        let [pool] = usages.pools() else {
            panic!("{:?}", usages.pools());
        };
        assert_eq!(pool.limit_bytes(ANSWERED), Some(expected), "{amounts:?}");
    }
}

#[test]
fn dates_keep_fractions_and_distant_years() {
    for (date, expected) in [
        ("2200-01-01T00:00:00Z", Some(7_258_118_400.0)),
        ("2026-12-31T23:59:59.75Z", Some(1_798_761_599.75)),
        ("9999-12-31T23:59:59Z", Some(253_402_300_799.0)),
        ("0001-01-01T00:00:00", None),
    ] {
        let members = format!(
            r#""billingCycles":[{{"endDate":"{date}"}}],"servicePlan":{{"subscriptionEndDate":"{date}"}}"#
        );
        let facts = facts(&members);
        assert_eq!(facts.cycle_end(), expected, "{date}");
        assert_eq!(facts.subscription_end(), expected, "{date}");
    }
}

proptest! {
    /// Entries with the same number and different content give the same use in any order of pages. The newest counts.
    #[test]
    fn the_newest_of_doubled_entries_counts(
        entries in prop::collection::vec((select(vec!["a", "b", "c"]), 0..4_u8, 0..4_u8), 1..12),
        order in any::<prop::sample::Index>(),
    ) {
        let page_of = |entry: &(&str, u8, u8)| {
            let (line, day, amount) = entry;
            let entry = format!(
                r#"{{"serviceLineNumber":"{line}","lastUpdated":"2026-11-1{day}T00:00:00Z","billingCycles":[{{"totalStandardGB":{amount}}}]}}"#
            );
            Usages::parse(&page(&[entry]), ANSWERED, &BOUNDS).unwrap().entries
        };
        let pages: Vec<_> = entries.iter().map(page_of).collect();
        let mut turned = pages.clone();
        turned.rotate_left(order.index(pages.len()));
        turned.reverse();
        let merged = Usages::merged(None, &pages, &BOUNDS);
        prop_assert_eq!(&Usages::merged(None, &turned, &BOUNDS), &merged);
        for usage in merged.iter() {
            let same = entries.iter().filter(|(line, ..)| *line == usage.line);
            let newest = same.map(|(_, day, amount)| (day, amount)).max().unwrap();
            prop_assert_eq!(usage.facts.standard_bytes(), Some(f64::from(*newest.1) * 1e9));
        }
    }
}
