//! Tests of several accounts: the account and the clock of a device, and the removal of accounts.

use super::*;
use crate::telemetry::SharedSchemas;

/// The columns of all rows here.
const COLUMNS: &str = r#""u":["DeviceType","UtcTimestampNs","DeviceId","Speed","ActiveAlerts","Version"],"i":["DeviceType","UtcTimestampNs","DeviceId","AccountNumber","Ipv4"]"#;

impl World {
    fn rows_of(&mut self, account: &'static str, rows: &str) -> Committed {
        self.answer_of(account, &body(rows, COLUMNS))
    }

    /// Lets time pass, which answers of some accounts cover.
    fn listen_to(&mut self, accounts: &[&'static str], seconds: u64) {
        self.now += seconds * 1000;
        for account in accounts {
            self.answer_of(account, &body("", ""));
        }
    }

    /// Each device and its account.
    fn owners(&self) -> Vec<String> {
        let text = self.text(Format::Prometheus);
        let owners = text.lines().filter_map(|line| {
            let rest =
                line.strip_prefix("starlink_device_account{device_type=\"UserTerminal\",")?;
            let rest = rest.strip_suffix("\"} 1")?;
            Some(
                rest.replace("deviceID=\"", "")
                    .replace("\",account=\"", " "),
            )
        });
        let mut owners: Vec<_> = owners.collect();
        owners.sort();
        owners
    }

    fn online(&self) -> Vec<String> {
        let lines = self.lines().into_iter();
        lines.filter(|line| line.starts_with("online")).collect()
    }

    fn remove(&mut self, account: &str) {
        let id = self.fleet.account(&account.into()).unwrap();
        self.fleet.remove_account(id, Moment::from_millis(self.now));
    }
}

#[test]
fn the_answers_of_an_account_advance_only_its_own_stream_time() {
    let mut world = World::new();
    world.rows_of("a", r#"["u",1,"x",1]"#);
    world.rows_of("b", r#"["u",1,"y",1]"#);
    // Answers of one account do not age the devices of the other.
    for _ in 0..20 {
        world.listen_to(&["b"], 60);
    }
    assert_eq!(world.online(), [r#"online{"y"} 0"#]);
    assert_eq!(world.owners(), ["x a", "y b"]);
}

#[test]
fn a_silent_stream_of_one_account_does_not_affect_another() {
    let mut world = World::new();
    let rows: Vec<_> = (0..10).map(|id| format!(r#"["u",1,"a{id}",1]"#)).collect();
    world.rows_of("a", &rows.join(","));
    world.rows_of("b", r#"["u",1,"b",1]"#);
    for _ in 0..5 {
        world.listen_to(&["a", "b"], 60);
    }
    assert_eq!(world.online(), [r#"online{"b"} 0"#]);
    let silent = ["a", "b"].map(|name| {
        let id = world.fleet.account(&name.into()).unwrap();
        world.fleet.is_stream_silent(id)
    });
    assert_eq!(silent, [true, false]);
}

#[test]
fn a_device_that_moves_has_one_series_throughout() {
    let mut world = World::new();
    let allocation = r#"["i",1,"ip-x","ACC",["192.0.2.1"]]"#;
    world.rows_of(
        "a",
        &format!(r#"["u",1000000000,"x",1,[82],"v1"],{allocation}"#),
    );
    // The newest row of any account is used; the device stays with its account until STALE_AFTER.
    for second in 1..=11 {
        world.wait(10);
        let row = format!(r#"["u",{}000000000,"x",{second},[82],"v1"]"#, second + 1);
        world.rows_of("b", &row);
        assert_eq!(world.owners(), ["x a"], "{second}");
        assert_eq!(world.lines()[0], format!(r#"Speed{{"x"}} {second}"#));
        assert!(world.changes.is_empty());
    }
    world.wait(10);
    world.rows_of("b", r#"["u",20000000000,"x",99,[82],"v1"]"#);
    assert_eq!(world.owners(), ["x b"]);
    let moved = What::Moved {
        from: Some("a".into()),
        to: "b".into(),
    };
    let found: Vec<_> = world
        .changes
        .kept
        .iter()
        .map(|it| it.what.clone())
        .collect();
    assert_eq!(found, [moved]);
    world.shows(&[
        r#"Speed{"x"} 99"#,
        r#"Ipv4_numeric{"x"} 3221225985"#,
        r#"alert_active_pending{"x"} 1"#,
        r#"last_report_timestamp_seconds{"x"} 20"#,
        r#"online{"x"} 1"#,
        r#"info{"x",version="v1",accountnumber="ACC"} 1"#,
    ]);
    // Its clock is now that of the other account.
    world.listen_to(&["a"], 600);
    assert!(world.online().is_empty());
    world.listen_to(&["b"], 1);
    assert_eq!(world.online(), [r#"online{"x"} 0"#]);
    assert_eq!(world.fleet.devices(), 1);
}

#[test]
fn two_accounts_that_keep_delivering_a_device_are_reported() {
    // Whether the rows of the second account are always older.
    for is_older in [false, true] {
        let mut world = World::new();
        let mut found = Vec::new();
        for second in 0..20 {
            world.wait(10);
            for (account, late) in [("a", 0), ("b", u64::from(is_older))] {
                let row = format!(r#"["u",{},"x",1]"#, 1000 + second - late);
                found.extend(world.rows_of(account, &row).double_delivery);
            }
            assert_eq!(world.owners(), ["x a"]);
        }
        let expected = DoubleDelivery {
            device_id: "x".into(),
            accounts: ["a".into(), "b".into()],
        };
        assert_eq!(found.first(), Some(&expected), "{is_older}");
        assert_eq!(
            found.len(),
            20 - 13 + 1,
            "not before two minutes: {is_older}"
        );
        // The other account has stopped.
        found.clear();
        for second in 0..20 {
            world.wait(10);
            let rows = format!(r#"["u",{},"x",1]"#, 2000 + second);
            found.extend(world.rows_of("a", &rows).double_delivery);
        }
        assert!(found.len() <= 12, "{}", found.len());
    }
}

#[test]
fn devices_of_a_removed_account_are_removed_unless_another_one_delivers_them() {
    let mut world = World::new();
    world.rows_of(
        "a",
        r#"["u",1,"x",1],["u",1,"y",1],["i",1,"ip-waiting","ACC"]"#,
    );
    world.rows_of("b", r#"["u",1,"z",1]"#);
    world.remove("a");
    world.wait(60);
    world.rows_of("b", r#"["u",2,"y",2]"#);
    assert_eq!(world.owners(), ["x a", "y b", "z b"], "at once");
    world.wait(59);
    assert_eq!(world.owners().len(), 3);
    assert_eq!(world.fleet.due(), Moment::from_millis(120_000));
    world.wait(1);
    assert_eq!(world.owners(), ["y b", "z b"]);
    let forgotten = |kind| u64::from(kind == ChangeKind::Forgotten);
    for kind in ChangeKind::ALL {
        assert_eq!(world.changes.count(kind), forgotten(kind), "{kind:?}");
    }
    assert_eq!(world.fleet.devices(), 2);
    // Its blocks are free for other accounts.
    let slots = world.fleet.held().slots;
    world.rows_of("c", r#"["u",1,"x",1]"#);
    assert_eq!(world.owners(), ["x c", "y b", "z b"]);
    assert_eq!(world.fleet.held().slots, slots - 3 + 1);
}

#[test]
fn a_new_account_displaces_the_one_that_was_removed_first() {
    let mut world = World::with(|options| {
        options.limits.accounts = 3;
        options.retention.stale_after = Duration::from_secs(86_400);
    });
    for (account, device) in [("a", "x"), ("b", "y"), ("c", "z")] {
        world.rows_of(account, &format!(r#"["u",1,"{device}",1]"#));
    }
    world.remove("b");
    world.wait(1);
    world.remove("a");
    assert_eq!(world.fleet.account(&"d".into()), None);
    assert!(world.fleet.displace_removed_account());
    world.wait(1);
    assert_eq!(world.owners(), ["x a", "z c"]);
    world.rows_of("d", r#"["u",1,"y",1]"#);
    assert_eq!(world.owners(), ["x a", "y d", "z c"]);
}

#[test]
fn an_account_that_is_added_again_keeps_its_devices() {
    let mut world = World::new();
    world.rows_of("a", r#"["u",1,"x",1]"#);
    world.remove("a");
    world.wait(60).rows_of("a", r#"["u",2,"y",1]"#);
    world.wait(61);
    assert_eq!(world.owners(), ["x a", "y a"]);
}

#[test]
fn alternating_batches_of_accounts_with_equal_columns_change_nothing() {
    let shared = SharedSchemas::default();
    let sharing = || SchemaCache::sharing(shared.clone());
    for mut schemas in [
        [sharing(), sharing()],
        [SchemaCache::default(), SchemaCache::default()],
    ] {
        let mut world = World::new();
        let mut states = Vec::new();
        for round in 0..4 {
            for (account, cache) in ["a", "b"].into_iter().zip(&mut schemas) {
                std::mem::swap(&mut world.schemas, cache);
                world.rows_of(account, &format!(r#"["u",1,"{account}",1,[82],"v"]"#));
                std::mem::swap(&mut world.schemas, cache);
                if round > 0 {
                    states.push((world.fleet.version(), world.fleet.held()));
                }
            }
        }
        states.dedup();
        assert_eq!(states.len(), 1);
    }
}

#[test]
fn devices_are_counted_by_account_and_exported_for_one_account() {
    let mut world = World::new();
    world.rows_of("a", r#"["u",1,"x",1],["u",1,"y",1]"#);
    world.rows_of("b", r#"["u",1,"z",1,[82]]"#);
    let snapshot = Arc::new(world.fleet.snapshot());
    let counts: Vec<_> = snapshot.tables[0]
        .by_account
        .iter()
        .map(|(id, counts)| {
            let name = id.and_then(|id| snapshot.account_name(id));
            (name.unwrap().to_string(), counts.online)
        })
        .collect();
    assert_eq!(counts, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    let shown = |account: &str| {
        let id = world.fleet.accounts().find(|(_, name)| ***name == *account);
        let lease = Arc::new(Lease::from(Arc::clone(&snapshot)));
        let account = id.map(|(id, _)| id);
        let telemetry = Telemetry::named(
            Format::Prometheus,
            lease,
            Selection {
                account,
                ..Selection::from(Shard::WHOLE)
            },
            &Arc::default(),
        );
        let text = Exposition::new(telemetry, Vec::new()).flatten().collect();
        String::from_utf8(text).unwrap()
    };
    let (a, b) = (shown("a"), shown("b"));
    let has = |text: &str, id: &str| text.contains(&format!("deviceID=\"{id}\""));
    assert_eq!(["x", "y", "z"].map(|id| has(&a, id)), [true, true, false]);
    assert_eq!(["x", "y", "z"].map(|id| has(&b, id)), [false, false, true]);
    assert!(b.contains("alert_active") && !a.contains("alert_active"));
}

#[test]
fn accounts_are_restored_from_a_state_file() {
    let mut world = World::new();
    world.rows_of("a", r#"["u",1,"x",1]"#);
    world.rows_of("b", r#"["u",1,"y",1],["i",1,"ip-waiting","ACC"]"#);
    world.listen_to(&["b"], 100);
    let mut state = Vec::new();
    world.fleet.freeze().write(&mut state).unwrap();
    let (options, now) = (world.fleet.options.clone(), Moment::from_millis(world.now));
    world.fleet = Fleet::thaw(options, now, Form::WithInventories, &state).unwrap();
    assert_eq!(world.owners(), ["x a", "y b"]);
    let names: Vec<_> = world
        .fleet
        .accounts()
        .map(|(_, name)| name.to_string())
        .collect();
    assert_eq!(names, ["a", "b"]);
    // Account `a` has had no answer since.
    world.listen_to(&["b"], 20);
    assert_eq!(world.online(), [r#"online{"y"} 0"#]);
    world
        .fleet
        .keep_accounts(&["b"], Moment::from_millis(world.now));
    world.wait(120);
    assert_eq!(world.owners(), ["y b"]);
}
