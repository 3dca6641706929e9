//! Tests with whole answers, and of the properties of merging.

mod invalid;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

const BOUNDS: Bounds = Bounds {
    routers: true,
    ..Bounds::STANDARD
};

/// When the answers arrived, in seconds since 1970.
const ANSWERED: f64 = 1_795_000_000.0;

mod usage;

fn fixture(name: &str) -> Vec<u8> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/inventory");
    std::fs::read(format!("{directory}/{name}.json")).unwrap()
}

fn page(results: &[String]) -> Vec<u8> {
    format!(
        r#"{{"content":{{"isLastPage":true,"results":[{}]}}}}"#,
        results.join(",")
    )
    .into_bytes()
}

#[test]
fn terminals_are_read() {
    let page = Terminals::parse(&fixture("user-terminals"), &BOUNDS).unwrap();
    assert!(page.is_last);
    assert_eq!(page.rejected, Rejected::default());
    let terminals: Vec<_> = page.entries.iter().collect();
    let expected = [
        (
            "01000000-00000000-00f10001",
            Some("Polaris, main"),
            "KIT20000001",
            "DISH0001",
            Some("SL-1"),
        ),
        (
            "01000000-00000000-00f10002",
            None,
            "KIT20000002",
            "DISH0002",
            Some("SL-2"),
        ),
        (
            "01000000-00000000-00f10003",
            Some("reserve"),
            "KIT20000003",
            "DISH0003",
            None,
        ),
        (
            "01000000-00000000-00f10009",
            Some("Vega"),
            "KIT20000009",
            "DISH0009",
            Some("SL-3"),
        ),
    ];
    let expected = expected.map(|(id, nickname, kit, dish, line)| Terminal {
        id,
        nickname,
        kit_serial: Some(kit),
        dish_serial: Some(dish),
        service_line: line,
    });
    assert_eq!(terminals, expected);
    assert_eq!(terminals[0].device_id(), "ut01000000-00000000-00f10001");
    assert_eq!(page.entries.router_count(), 1);
    let router = page.entries.router(0).unwrap();
    assert_eq!(
        (router.id, router.terminal),
        ("0100000000000000F1F10001", "01000000-00000000-00f10001")
    );
    let without = Terminals::parse(&fixture("user-terminals"), &Bounds::STANDARD).unwrap();
    assert_eq!(without.entries.router_count(), 0);
}

#[test]
fn service_lines_are_read() {
    let page = Lines::parse(&fixture("service-lines"), &BOUNDS).unwrap();
    let lines: Vec<_> = page.entries.iter().collect();
    let line = |number, nickname, tail_number, is_active, end| Line {
        number,
        nickname,
        product: Some("maritime-500gb"),
        tail_number,
        is_active: Some(is_active),
        has_public_ip: Some(true),
        end,
    };
    assert_eq!(
        lines,
        [
            line("SL-1", Some("South fleet / Polaris"), None, true, None),
            line("SL-2", Some("Tail N77EX"), Some("N77EX"), true, None),
            line("SL-3", None, None, true, None),
            line("SL-9", Some("given up"), None, false, Some(1_782_777_600.0)),
        ]
    );
}

#[test]
fn data_use_is_read() {
    let page = Usages::parse(&fixture("data-usage"), ANSWERED, &BOUNDS).unwrap();
    let usages: Vec<_> = page.entries.iter().collect();
    let lines: Vec<_> = usages.iter().map(|usage| usage.line).collect();
    assert_eq!(lines, ["SL-1", "SL-2", "SL-3"]);
    let numbers = |facts: &UsageFacts| {
        [
            facts.priority_bytes(),
            facts.opt_in_priority_bytes(),
            facts.standard_bytes(),
            facts.non_billable_bytes(),
            facts.limit_bytes(),
            facts.overage_bytes(),
            facts.updated(),
        ]
    };
    let [below, above, pooled] = usages.as_slice() else {
        panic!("{usages:?}");
    };
    let updated = 1_795_689_000.0;
    for (usage, expected, is_opted_in) in [
        (
            below,
            [
                Some(420.5e9),
                Some(0.0),
                Some(8.25e9),
                Some(0.5e9),
                Some(500e9),
                Some(0.0),
                Some(ANSWERED),
            ],
            false,
        ),
        (
            above,
            [
                Some(600e9),
                Some(50e9),
                Some(0.0),
                Some(0.0),
                Some(500e9),
                Some(75e9),
                Some(updated),
            ],
            true,
        ),
        (
            pooled,
            [
                Some(200.75e9),
                Some(0.0),
                Some(0.0),
                Some(0.0),
                None,
                Some(0.0),
                Some(ANSWERED),
            ],
            false,
        ),
    ] {
        assert_eq!(numbers(&usage.facts), expected, "{}", usage.line);
        assert_eq!(
            usage.facts.is_opted_in(),
            Some(is_opted_in),
            "{}",
            usage.line
        );
        assert_eq!(usage.facts.cycle_start(), Some(1_794_268_800.0));
        assert_eq!(usage.facts.cycle_end(), Some(1_796_860_800.0));
        assert_eq!(usage.facts.subscription_end(), None);
    }
    let [pool] = page.entries.pools() else {
        panic!("{:?}", page.entries.pools());
    };
    assert_eq!(pool.id, "pool-a");
    // The first block is valid until the second one is.
    for (now, used, limit) in [
        (1_794_268_799.0, None, None),
        (1_794_268_800.0, Some(1_500.25e9), Some(4_000e9)),
        (1_796_860_799.0, Some(1_500.25e9), Some(4_000e9)),
        (1_796_860_800.0, Some(0.0), Some(1_000e9)),
    ] {
        assert_eq!(
            (pool.used_bytes(now), pool.limit_bytes(now)),
            (used, limit),
            "{now}"
        );
    }
}

#[test]
fn accounts_and_balances_are_read() {
    let account = parse_account(&fixture("account"), &BOUNDS).unwrap();
    let text = |text: &str| text.to_owned();
    assert_eq!(
        account,
        AccountInfo {
            number: text("ACC-7-1"),
            name: text("Example Lines "),
            region: text("US"),
            suspensions: vec![],
        }
    );
    let account = parse_account(&fixture("account-suspended"), &BOUNDS).unwrap();
    assert_eq!(
        (account.name, account.suspensions),
        (text(""), vec![text("PastDueBalance")])
    );
    let balances = parse_balances(&fixture("balance"), &BOUNDS).unwrap();
    let balances: Vec<_> = balances.iter().map(|it| (&*it.currency, it.due)).collect();
    assert_eq!(balances, [("EUR", 12.5), ("USD", 0.0)]);
}

#[test]
fn an_answer_in_another_shape_is_an_error() {
    for body in [
        "",
        "<html>",
        "[]",
        "{}",
        r#"{"content":null,"isValid":false}"#,
        r#"{"content":[]}"#,
        r#"{"content":{"results":null}}"#,
        r#"{"content":{"results":{}}}"#,
    ] {
        let body = body.as_bytes();
        assert!(Terminals::parse(body, &BOUNDS).is_err());
        assert!(Lines::parse(body, &BOUNDS).is_err());
        assert!(Usages::parse(body, ANSWERED, &BOUNDS).is_err());
        assert!(parse_balances(body, &BOUNDS).is_err());
    }
    assert!(parse_account(b"{}", &BOUNDS).is_err());
}

#[test]
fn the_last_page_is_recognised() {
    for (head, entries, expected) in [
        (r#""isLastPage":true,"limit":2"#, 2, true),
        (r#""isLastPage":false,"limit":2"#, 2, false),
        (r#""isLastPage":false,"limit":2"#, 1, false),
        (r#""isLastPage":false,"limit":2"#, 0, true),
        (r#""isLastPage":null,"limit":2"#, 2, false),
        (r#""isLastPage":null,"limit":2"#, 1, true),
        (r#""limit":null"#, 2, false),
        (r#""limit":null"#, 0, true),
        (r#""isLastPage":false,"limit":100.0"#, 2, false),
        (r#""limit":3.0"#, 2, true),
        (r#""limit":"100""#, 2, false),
        (r#""isLastPage":"true","limit":2"#, 2, false),
    ] {
        let entries: Vec<_> = (0..entries)
            .map(|number| format!(r#"{{"userTerminalId":"{number}"}}"#))
            .collect();
        let body = format!(
            r#"{{"content":{{{head},"results":[{}]}}}}"#,
            entries.join(",")
        );
        let page = Terminals::parse(body.as_bytes(), &BOUNDS).unwrap();
        assert_eq!(page.is_last, expected, "{body}");
    }
}

#[test]
fn texts_and_lists_are_bounded() {
    let bounds = Bounds {
        entries: 2,
        text: 4,
        routers: true,
    };
    let entries = ["c", "b", "a", "long1"].map(|id| {
        format!(r#"{{"userTerminalId":"{id}","nickname":"12345","kitSerialNumber":"1234","routers":[{{"routerId":"{id}"}}]}}"#)
    });
    let page = Terminals::parse(&page(&entries), &bounds).unwrap();
    assert_eq!((page.rejected.entries, page.entries.left_out()), (1, 2));
    let terminals: Vec<_> = page.entries.iter().collect();
    assert_eq!(
        terminals.iter().map(|it| it.id).collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(
        (terminals[0].nickname, terminals[0].kit_serial),
        (None, Some("1234"))
    );
    assert_eq!(page.entries.router_count(), 2);
}

#[test]
fn pools_blocks_suspensions_and_balances_are_bounded() {
    let content = |content: String| format!(r#"{{"content":{{{content}}}}}"#).into_bytes();
    let many = |entry: fn(usize) -> String| {
        let entries: Vec<_> = (0..MOST_OF_FEW + 5).map(entry).collect();
        entries.join(",")
    };

    let reasons = many(|number| format!(r#""{number}""#));
    let account = content(format!(r#""activeSuspensions":[{reasons}]"#));
    let account = parse_account(&account, &BOUNDS).unwrap();
    assert_eq!(account.suspensions.len(), MOST_OF_FEW);

    let amounts = many(|number| format!(r#"{{"currency":"{number}","dueAmount":1}}"#));
    let balances = content(format!(r#""balances":[{amounts}]"#));
    let balances = parse_balances(&balances, &BOUNDS).unwrap();
    assert_eq!(balances.len(), MOST_OF_FEW);

    let use_of = |pools: String| {
        let line = format!(
            r#"{{"serviceLineNumber":"a","billingCycles":[{{"dataPoolUsage":[{pools}]}}]}}"#
        );
        Usages::parse(&page(&[line]), ANSWERED, &BOUNDS)
            .unwrap()
            .entries
    };
    let one = use_of(many(|number| format!(r#"{{"dataPoolId":"{number}"}}"#)));
    assert_eq!(one.pools().len(), MOST_OF_FEW);
    let other = use_of(r#"{"dataPoolId":"other"}"#.to_owned());
    let merged = Usages::merged(None, &[one, other], &BOUNDS);
    assert_eq!(merged.pools().len(), MOST_OF_FEW, "of two pages");

    let blocks = many(|_| r#"{"totalAmountGB":1}"#.to_owned());
    let pools = use_of(format!(r#"{{"dataPoolId":"a","dataBlocks":[{blocks}]}}"#));
    assert_eq!(pools.pools()[0].blocks.len(), MOST_OF_FEW);
}

/// A list of terminals with these IDs, each with a nickname.
fn listed(entries: &[(String, u8)]) -> Terminals {
    let entries = entries.iter().map(|(id, nickname)| {
        format!(r#"{{"userTerminalId":"{id}","nickname":"{nickname}","routers":[{{"routerId":"r{id}"}}]}}"#)
    });
    let entries: Vec<_> = entries.collect();
    match entries.is_empty() {
        true => Terminals::default(),
        false => Terminals::parse(&page(&entries), &BOUNDS).unwrap().entries,
    }
}

fn shown(terminals: &Terminals) -> Vec<(String, Option<String>)> {
    let shown = terminals.iter();
    shown
        .map(|it| (it.id.to_owned(), it.nickname.map(str::to_owned)))
        .collect()
}

proptest! {
    /// Terminals with the same ID and different nicknames give the same list in any order of pages.
    #[test]
    fn doubled_terminals_do_not_depend_on_the_order(
        entries in prop::collection::vec((select(vec!["a", "b", "c"]), 0..4_u8), 1..12),
    ) {
        let pages = entries.iter().map(|(id, name)| listed(&[((*id).to_owned(), *name)]));
        let mut pages: Vec<_> = pages.collect();
        let merged = Terminals::merged(None, &pages, &BOUNDS);
        pages.reverse();
        prop_assert_eq!(Terminals::merged(None, &pages, &BOUNDS), merged);
    }

    /// Any order and repetition of pages, with any entry doubled, give the same list.
    #[test]
    fn the_order_of_pages_does_not_matter(
        entries in prop::collection::btree_map("[a-c]{1,3}", 0..9_u8, 1..30),
        order in Just(()).prop_flat_map(|()| prop::collection::vec(any::<Index>(), 0..60)),
        size in 1..7_usize,
    ) {
        let entries: Vec<_> = entries.into_iter().collect();
        let mut disordered = entries.clone();
        disordered.extend(order.iter().map(|index| index.get(&entries).clone()));
        disordered.sort_by_key(|(id, _)| order.iter().position(|index| index.get(&entries).0 == *id));
        let pages: Vec<_> = disordered.chunks(size).map(listed).collect();
        let merged = Terminals::merged(None, &pages, &BOUNDS);
        prop_assert_eq!(&merged, &Terminals::merged(None, &[listed(&entries)], &BOUNDS));
        prop_assert_eq!(shown(&merged).len(), entries.len());
        // A second reading of the same account changes nothing.
        prop_assert_eq!(&Terminals::merged(Some(&merged), &pages, &BOUNDS), &merged);
    }

    /// What one reading lacks is kept, what two in a row lack is gone, and what comes back is there.
    #[test]
    fn an_entry_is_gone_when_two_readings_lack_it(
        readings in prop::collection::vec(prop::collection::btree_map(select(vec!["a", "b", "c", "d"]), 0..3_u8, 0..5), 1..8),
    ) {
        let mut merged = Terminals::default();
        for (at, reading) in readings.iter().enumerate() {
            let entries: Vec<_> = reading.iter().map(|(id, name)| ((*id).to_owned(), *name)).collect();
            merged = Terminals::merged(Some(&merged), &[listed(&entries)], &BOUNDS);
            let before = at.checked_sub(1).map(|before| &readings[before]);
            let mut expected: std::collections::BTreeMap<_, _> = before.cloned().unwrap_or_default();
            expected.extend(reading.clone());
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(id, name)| (id.to_owned(), Some(name.to_string())))
                .collect();
            prop_assert_eq!(shown(&merged), expected);
            let routers = (0..merged.router_count()).filter_map(|at| merged.router(at));
            let routers: Vec<_> = routers.map(|router| router.terminal.to_owned()).collect();
            let ids: Vec<_> = merged.iter().map(|it| it.id.to_owned()).collect();
            prop_assert_eq!(routers, ids);
        }
    }

    /// Also the entries that one refresh lacked.
    #[test]
    fn an_inventory_survives_the_state_file(entries in prop::collection::btree_map("\\PC{1,6}", 0..9_u8, 0..9), size in 0..9_usize) {
        let known = |id: &String| !id.contains(['"', '\\']);
        let entries: Vec<_> = entries.into_iter().filter(|(id, _)| known(id)).collect();
        let fewer = listed(&entries[..size.min(entries.len())]);
        let terminals = Terminals::merged(Some(&listed(&entries)), &[fewer], &BOUNDS);
        let inventory = Inventory {
            client: Some(ClientDigest::of("id")),
            account: Some(Known { at: 1.5, value: Arc::new(parse_account(&fixture("account-suspended"), &BOUNDS).unwrap()) }),
            terminals: Some(Known { at: 2.0, value: Arc::new(terminals) }),
            lines: Some(Known { at: 3.0, value: Arc::new(Lines::parse(&fixture("service-lines"), &BOUNDS).unwrap().entries) }),
            usage: Some(Known { at: 4.0, value: Arc::new(Usages::parse(&fixture("data-usage"), ANSWERED, &BOUNDS).unwrap().entries) }),
            balance: Some(Known { at: 5.0, value: Arc::new(parse_balances(&fixture("balance"), &BOUNDS).unwrap()) }),
        };
        let json = serde_json::to_vec(&inventory).unwrap();
        let read: Inventory = serde_json::from_slice(&json).unwrap();
        prop_assert_eq!(read.client, inventory.client);
        for part in Part::ALL {
            prop_assert!(inventory.read_at(part).is_some());
            prop_assert_eq!(read.read_at(part), inventory.read_at(part));
        }
        prop_assert_eq!(&read.account.unwrap().value, &inventory.account.unwrap().value);
        prop_assert_eq!(&read.terminals.unwrap().value, &inventory.terminals.unwrap().value);
        prop_assert_eq!(&read.lines.unwrap().value, &inventory.lines.unwrap().value);
        prop_assert_eq!(&read.usage.unwrap().value, &inventory.usage.unwrap().value);
        prop_assert_eq!(&read.balance.unwrap().value, &inventory.balance.unwrap().value);
    }

    /// Answers with some bytes replaced, removed or inserted.
    #[test]
    fn no_bytes_cause_a_panic(
        name in select(vec!["account", "account-suspended", "balance", "data-usage", "service-lines", "telemetry-query", "user-terminals"]),
        changes in prop::collection::vec((any::<Index>(), 0..4_usize, prop::collection::vec(select(b"[]{}:,\"\\a0-.e \xff".to_vec()), 0..4)), 0..6),
    ) {
        let mut body = fixture(name);
        for (at, removed, inserted) in changes {
            let start = at.index(body.len());
            let end = body.len().min(start + removed);
            body.splice(start..end, inserted);
        }
        let _ = Terminals::parse(&body, &BOUNDS);
        let _ = Lines::parse(&body, &BOUNDS);
        let _ = Usages::parse(&body, ANSWERED, &BOUNDS);
        let _ = parse_account(&body, &BOUNDS);
        let _ = parse_balances(&body, &BOUNDS);
        let _ = last_known::stream_answer(&body, |_| true);
    }
}
