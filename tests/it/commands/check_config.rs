//! Tests of `check-config`: valid, doubtful and wrong settings, and the connection to Starlink.

use starlink_telemetry::simulator::{Answer, Part};

use super::*;

#[actix_rt::test]
async fn check_config_prints_the_effective_settings_without_secrets() {
    let changes = [
        ("CLIENT_ID", "needle-id"),
        ("CLIENT_SECRET", "needle-secret"),
        ("API_URL", "http://127.0.0.1:1/api/public"),
        ("INFO_FORMAT", "labels"),
        ("STALE_AFTER", "60"),
    ];
    let settings = environment(&scripted_simulator(), &changes);
    let (code, output, errors) = run(&["check-config"], settings).await;
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(!output.contains("needle"), "{output}");

    let value = |line: &str| {
        let (name, rest) = line.split_once('=').unwrap();
        let (value, origin) = rest.split_once("  # ").unwrap();
        (name.to_owned(), (value.to_owned(), origin.to_owned()))
    };
    let (lines, verdict) = output.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(verdict, "OK: settings are valid");
    let shown: BTreeMap<_, _> = lines.lines().map(value).collect();
    for (name, expected) in [
        ("BATCH_SIZE", ("1000", "environment")),
        ("API_URL", ("http://127.0.0.1:1/api/public", "environment")),
        ("INFO_FORMAT", ("labels", "environment")),
        ("STALE_AFTER", ("60", "environment")),
        ("FORGET_AFTER", ("86400", "default")),
        ("LOCATION", ("on", "default")),
        ("RUST_LOG", ("info", "default")),
    ] {
        let (value, origin) = &shown[name];
        assert_eq!((value.as_str(), origin.as_str()), expected, "{name}");
    }
    for setting in documented_settings() {
        // The two ways to give a credential are one setting.
        let is_shown = |name: &str| shown.contains_key(name);
        let credential = setting.trim_end_matches("_FILE");
        assert!(
            is_shown(&setting) || is_shown(credential),
            "{setting} in {output}"
        );
    }
}

#[actix_rt::test]
async fn all_wrong_settings_are_reported_before_any_connection() {
    let simulator = scripted_simulator();
    let url = simulator.api_url();
    let settings = [
        ("CLIENT_SECRET", "n33dle"),
        ("CLIENT_SECRET_FILE", "/nowhere"),
        ("BATCH_SIZE", "0"),
        ("MAX_LINGER", "soon"),
        ("API_URL", &url),
        ("METRICS_ADDRESS", "127.0.0.1"),
        ("METRICS_PORT", "65536"),
        ("INFO_FORMAT", "xml"),
        ("LOCATION", "maybe"),
        ("STALE_AFTER", "0"),
        ("RUST_LOG", "loud=very"),
    ];
    for command in [
        &[][..],
        &["run"],
        &["check-config"],
        &["check-config", "--connect"],
    ] {
        let (code, output, errors) = run(command, settings).await;
        assert_eq!((code, output.as_str()), (2, ""), "{errors}");
        let expected = [
            ("CLIENT_ID", "client ID"),
            ("CLIENT_SECRET", "CLIENT_SECRET_FILE"),
            ("BATCH_SIZE=\"0\"", "1 to 65000"),
            ("MAX_LINGER=\"soon\"", "0 to 65000"),
            ("METRICS_PORT=\"65536\"", "0 to 65535"),
            ("INFO_FORMAT=\"xml\"", "auto, labels or line-protocol"),
            ("LOCATION=\"maybe\"", "on, off"),
            ("STALE_AFTER=\"0\"", "1 to 315360000"),
            ("RUST_LOG=\"loud=very\"", "level"),
        ];
        let is_check = command.first() == Some(&"check-config");
        let verdict = is_check.then_some("FAILED: 9 problems");
        assert_eq!(errors.lines().nth(expected.len()), verdict, "{errors}");
        for (line, (beginning, accepted)) in errors.lines().zip(expected) {
            assert!(line.starts_with(beginning), "{line}");
            assert!(line.contains(accepted), "{line}");
            assert!(!line.contains("n33dle"), "{line}");
        }
    }
    let journal = simulator.journal();
    assert!(journal.token_requests.is_empty() && journal.polls.is_empty());
}

/// Valid settings that are probably mistakes: `check-config` and the start warn of them, without the values of secrets.
#[actix_rt::test]
async fn doubtful_settings_are_reported() {
    let simulator = scripted_simulator();
    let changes = [
        ("CLIENT_SECRET", "'needle\u{e4}' "),
        ("STALE_AFTER", "1000"),
        ("IP_STALE_AFTER", "900"),
        ("http_proxy", "http://proxy:1"),
        ("ALL_PROXY", "socks5://proxy:1"),
    ];
    let expected = [
        ("ALL_PROXY", "only HTTP proxies"),
        ("http_proxy", "over https"),
        ("CLIENT_SECRET", "white space"),
        ("CLIENT_SECRET", "quotes"),
        ("CLIENT_SECRET", "not ASCII"),
        ("IP_STALE_AFTER", "STALE_AFTER"),
    ];
    let (code, output, _) = run(&["check-config"], environment(&simulator, &changes)).await;
    assert_eq!(code, 0, "{output}");
    assert!(!output.contains("needle"), "{output}");
    let warnings: Vec<_> = output
        .lines()
        .filter_map(|line| line.strip_prefix("WARN "))
        .collect();
    assert_eq!(warnings.len(), expected.len(), "{output}");
    for (line, (setting, part)) in warnings.iter().zip(expected) {
        assert!(
            line.starts_with(&format!("{setting}: ")) && line.contains(part),
            "{line}"
        );
    }
    assert_eq!(
        output.lines().last(),
        Some("OK: settings are valid, with 6 warnings")
    );

    let (binary, _address) = Binary::listening(&simulator, &changes).await;
    let logged = binary.events_saying("a setting may be wrong");
    let logged: Vec<_> = logged
        .iter()
        .map(|event| (event.text("setting"), event.text("level")))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(setting, _)| (*setting, "WARN"))
        .collect();
    assert_eq!(logged, expected);
    assert!(!binary.stderr().contains("needle"));
}

/// Control characters in settings are not printed.
#[actix_rt::test]
async fn control_characters_are_escaped_or_refused() {
    let simulator = scripted_simulator();
    let changes = [
        ("RUST_LOG", "info,a=\u{9b}31mdebug"),
        ("STATE_FILE", "/tmp/\u{1b}[31m"),
    ];
    let (_, output, errors) = run(&["check-config"], environment(&simulator, &changes)).await;
    let is_control = |character: char| character.is_control() && character != '\n';
    assert!(!output.contains(is_control) && !errors.contains(is_control));
    assert!(format!("{output}{errors}").contains("31m"));
    for (name, value) in [
        ("API_URL", "http://127.0.0.1:1/\u{1b}[2J"),
        ("TOKEN_URL", "http://127.0.0.1\t:1/"),
        ("HTTPS_PROXY", "http://proxy\u{7}:1"),
    ] {
        let settings = environment(&simulator, &[(name, value)]);
        let (code, _, errors) = run(&["check-config"], settings).await;
        assert_eq!(code, 2, "{errors}");
        assert!(
            errors.starts_with(name) && errors.contains("control character"),
            "{errors}"
        );
        assert!(!errors.contains(is_control), "{errors}");
    }
}

/// The variables that other programs read for a proxy: the setting's own name has precedence, then these in order.
#[actix_rt::test]
async fn a_proxy_is_found_under_its_other_names() {
    let simulator = scripted_simulator();
    for (changes, proxy, exceptions) in [
        (
            &[("https_proxy", "http://a:1"), ("no_proxy", "x.example")][..],
            "http://a:1  # environment, as https_proxy",
            "x.example  # environment, as no_proxy",
        ),
        (
            &[
                ("HTTPS_PROXY", "http://a:1"),
                ("https_proxy", "http://b:1"),
                ("NO_PROXY", "y;z"),
                ("no_proxy", "x"),
            ],
            "http://a:1  # environment",
            "y;z  # environment",
        ),
        (
            &[
                ("HTTPS_PROXY", ""),
                ("all_proxy", "http://c:1"),
                ("ALL_PROXY", "http://d:1"),
            ],
            "http://d:1  # environment, as ALL_PROXY",
            "  # not set",
        ),
        (
            &[("NO_PROXY", "192.168.*, <local>")],
            "  # not set",
            "192.168.*, <local>  # environment, not read without a proxy",
        ),
    ] {
        let (code, output, errors) = run(&["check-config"], environment(&simulator, changes)).await;
        assert_eq!(code, 0, "{errors}");
        for line in [
            format!("HTTPS_PROXY={proxy}"),
            format!("NO_PROXY={exceptions}"),
        ] {
            assert!(
                output.lines().any(|printed| printed == line),
                "{line} in {output}"
            );
        }
        assert!(!output.contains("WARN"), "{output}");
    }
    let changes = [
        ("HTTPS_PROXY", "http://a:1"),
        ("NO_PROXY", "x 172.16.*;<local>"),
    ];
    let (code, output, _) = run(&["check-config"], environment(&simulator, &changes)).await;
    assert_eq!(code, 0);
    let warning = r#"WARN NO_PROXY: "172.16.*", "<local>" not understood and left out: give "#;
    assert!(output.contains(warning), "{output}");
}

#[actix_rt::test]
async fn all_missing_settings_are_reported() {
    // An empty variable counts as unset.
    for settings in [&NOTHING[..], &[("BATCH_SIZE", "")]] {
        let (code, output, errors) = run(&["run"], settings.iter().copied()).await;
        assert_eq!((code, output.as_str()), (2, ""), "{errors}");
        let required = ["CLIENT_ID", "CLIENT_SECRET", "BATCH_SIZE", "MAX_LINGER"];
        assert_eq!(errors.lines().count(), required.len(), "{errors}");
        for (line, name) in errors.lines().zip(required) {
            assert!(line.starts_with(name), "{line}");
        }
    }
}

#[actix_rt::test]
async fn check_config_connects_and_prints_the_results() {
    let simulator = scripted_simulator();
    let arguments = ["check-config", "--connect"];
    let needles = [
        ("CLIENT_ID", "needle-id"),
        ("CLIENT_SECRET", "needle-secret"),
    ];
    let good = || run(&arguments, environment(&simulator, &[]));

    let (code, output, errors) = good().await;
    assert_eq!((code, errors.as_str()), (0, ""), "{output}");
    let last = output.lines().last().unwrap();
    assert!(last.starts_with("OK: settings are valid, and "), "{last}");
    let public = format!("{}/auth/connect/token", simulator.api_url());
    assert!(last.contains(&public) && last.contains("900 s"), "{last}");

    let bad = environment(&simulator, &needles);
    let (code, output, errors) = run(&arguments, bad).await;
    assert_eq!(code, 1, "{output}{errors}");
    assert!(
        errors.contains("400") && errors.contains("invalid_client"),
        "{errors}"
    );
    let verdict = "FAILED: settings are valid, but no token was issued";
    assert!(
        errors.starts_with(verdict) && errors.lines().count() == 1,
        "{errors}"
    );
    assert!(
        !format!("{output}{errors}").contains("needle"),
        "{output}{errors}"
    );

    // Starlink's other token endpoint.
    simulator.set_public_token_path(false);
    let (code, output, _) = good().await;
    let other = public.replace("/public", "");
    assert!(code == 0 && output.contains(&other), "{output}");

    assert!(simulator.journal().polls.is_empty(), "it takes no rows");
    let seen = simulator.journal().management;
    assert_eq!(seen, [], "INVENTORY is off");
    simulator.unplug();
    let (code, _, errors) = good().await;
    assert!(code == 1 && errors.contains(&public), "{errors}");
}

#[actix_rt::test]
async fn check_config_names_the_permissions_that_are_missing() {
    let simulator = scripted_simulator();
    for (part, answer) in [
        (Part::ServiceLines, Answer::forbidden()),
        (Part::Balance, Answer::forbidden()),
        (Part::DataUsage, Answer::error(500, "down")),
        (Part::Terminals, Answer::html()),
    ] {
        simulator.set_inventory_answer(part, Some(answer));
    }
    let changes = [("INVENTORY", "auto"), ("INVENTORY_BALANCE", "true")];
    let settings = environment(&simulator, &changes);
    let (code, output, errors) = run(&["check-config", "--connect"], settings).await;
    assert_eq!((code, errors.as_str()), (0, ""), "{output}");
    for line in [
        "inventory: account can be read",
        "inventory: terminals cannot be read: the answer cannot be read: expected value at line 1 column 1",
        "inventory: service_lines cannot be read: the service account needs the permission \"Service plan, View\"",
        "inventory: data_usage cannot be read: answered with status 500: down",
        "inventory: balance cannot be read: the service account needs the permission \"Financial, View\"",
    ] {
        assert!(
            output.lines().any(|found| found == line),
            "{line}\n{output}"
        );
    }
    assert!(output.lines().last().unwrap().starts_with("OK: "));
    let journal = simulator.journal();
    let usage = journal.management_of(Part::DataUsage).next().unwrap();
    assert_eq!(usage.query, "page=0&limit=1");
    assert_eq!(journal.management_of(Part::Telemetry).count(), 0);

    // The balance is not requested by default.
    let settings = environment(&simulator, &[("INVENTORY", "auto")]);
    let (_, output, _) = run(&["check-config", "--connect"], settings).await;
    assert!(!output.contains("balance can"), "{output}");
}

#[actix_rt::test]
async fn check_config_shows_and_tries_each_account_of_a_file() {
    let simulator = scripted_simulator();
    let good = environment(&simulator, &[]);
    let variable = |name: &str| {
        let found = good.iter().find(|(known, _)| known == name);
        found.unwrap().1.to_str().unwrap().to_owned()
    };
    let (id, secret) = (variable("CLIENT_ID"), variable("CLIENT_SECRET"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts.yml");
    let file = |accounts: &str| fs::write(&path, format!("accounts:\n{accounts}")).unwrap();
    let path = path.to_str().unwrap();
    let of_one = ["CLIENT_ID", "CLIENT_SECRET"];
    let mut settings = good.clone();
    settings.retain(|(name, _)| !of_one.contains(&name.as_str()));
    settings.push(("ACCOUNTS_FILE".to_owned(), path.into()));
    settings.retain(|(name, _)| name != "INVENTORY");
    let check = |arguments: &'static [&str]| run(arguments, settings.clone());

    file(&format!(
        "- {{name: north, client_id: {id}, client_secret: {secret}}}\n"
    ));
    let (code, output, errors) = check(&["check-config", "--connect"]).await;
    assert_eq!((code, errors.as_str()), (0, ""), "{output}");
    assert!(
        output.contains("\naccount north: client_id=(set) client_secret=(set) batch_size="),
        "{output}"
    );
    assert!(output.contains("\nOK: account north: http://"), "{output}");
    let part = "\naccount north: inventory: terminals can be read\n";
    assert!(output.contains(part), "{output}");
    let verdict = output.lines().last().unwrap();
    let expected = "OK: settings are valid, and the account was issued a token";
    assert_eq!(verdict, expected);

    file(&format!(
        "- {{name: south, client_id: other, client_secret: needle-1}}\n- {{name: north, client_id: {id}, client_secret: {secret}}}\n"
    ));
    let (code, output, errors) = check(&["check-config", "--connect"]).await;
    let expected =
        "FAILED: settings are valid, but no token was issued to 1 of 2 accounts: south\n";
    assert_eq!((code, errors.as_str()), (1, expected), "{output}");
    let refused = output
        .lines()
        .find(|line| line.starts_with("FAILED: account south: "));
    let refused = refused.unwrap();
    assert!(refused.contains("invalid_client"), "{refused}");
    assert!(
        refused.ends_with("check client_id and client_secret of account south in ACCOUNTS_FILE"),
        "{refused}"
    );
    assert!(output.contains("\nOK: account north: http://"), "{output}");
    assert!(!output.contains("needle"), "{output}");
    assert!(simulator.journal().polls.is_empty(), "it takes no rows");

    file("- {name: north, client_id: a, client_secret: needle-1}\n- {name: north, client_id: a}\n");
    let (code, output, errors) = check(&["check-config"]).await;
    assert_eq!((code, output.as_str()), (2, ""));
    let lines: Vec<_> = errors.lines().collect();
    assert_eq!(lines.len(), 4, "{errors}");
    assert!(
        lines[..3].iter().all(|line| line.contains(" line 3: ")),
        "{errors}"
    );
    assert!(
        lines[3] == "FAILED: 3 problems" && !errors.contains("needle"),
        "{errors}"
    );
}
