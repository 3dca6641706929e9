//! Tests of the management API without faults: its requests, lists, last telemetry, rate limit and record.

use super::*;

/// An inventory of 12 terminals that report, and one of each other kind, with pages of 4 entries.
pub(super) fn options() -> Options {
    Options {
        routers: true,
        inventory: Some(InventoryOptions {
            silent: 1,
            never_heard: 1,
            deactivated: 1,
            in_store: 1,
            page_size: 4,
            usage_page_size: 4,
            ..InventoryOptions::default()
        }),
        ..plain(12)
    }
}

/// Sends a request with a token.
pub(super) async fn ask(
    simulator: &Simulator,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, Value) {
    ask_as(simulator, &simulator.issue_token(), method, path, body).await
}

pub(super) async fn ask_as(
    simulator: &Simulator,
    token: &str,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, Value) {
    let method = method.parse().expect("a method");
    let url = format!("http://{}{path}", simulator.address());
    let request = client().request(method, url).bearer_auth(token);
    let sent = match body {
        "" => request.send(),
        body => request.send_body(body.to_owned()),
    };
    let mut answer = sent.await.expect("an answer");
    let body = answer.body().limit(64 << 20).await.expect("a body");
    let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    (answer.status().as_u16(), value)
}

/// The content of a page of a list.
pub(super) async fn page(simulator: &Simulator, part: Part, page: usize) -> Value {
    let (query, body) = match part {
        Part::DataUsage => ("&limit=250", r#"{"activeServiceLinesOnly":true}"#),
        _ => ("", ""),
    };
    let path = format!("{}?page={page}{query}", part.path());
    let (status, mut body) = ask(simulator, part.method(), &path, body).await;
    assert_eq!(status, 200, "{path}: {body}");
    body["content"].take()
}

/// The IDs of one page.
pub(super) fn ids(content: &Value) -> Vec<String> {
    let results = content["results"].as_array().expect("results");
    let id = |entry: &Value| {
        ["userTerminalId", "serviceLineNumber"]
            .iter()
            .find_map(|key| Some(entry.get(key)?.as_str()?.to_owned()))
    };
    results.iter().filter_map(id).collect()
}

/// The IDs of all pages, in their order.
pub(super) async fn reading(simulator: &Simulator, part: Part) -> Vec<String> {
    let mut all = Vec::new();
    for number in 0.. {
        let content = page(simulator, part, number).await;
        all.extend(ids(&content));
        if content["isLastPage"] == true {
            break;
        }
    }
    all
}

pub(super) const TELEMETRY: &str = r#"{"includeUserTerminals":true,"userTerminalIds":["01000000-00000000-00aa0001"],"includeRouters":false,"routerIds":[]}"#;
pub(super) const USAGE: &str = r#"{"previousBillingCycles":0,"activeServiceLinesOnly":true}"#;

#[test]
fn only_the_known_requests_are_answered() {
    let simulator = start(options());
    let cases = [
        ("GET", "account", "", 200),
        ("GET", "user-terminals", "", 200),
        ("GET", "user-terminals?page=0", "", 200),
        ("GET", "user-terminals?page=99", "", 200),
        ("GET", "service-lines?page=1", "", 200),
        ("POST", "data-usage/query?page=0&limit=250", USAGE, 200),
        ("POST", "data-usage/query", "{}", 200),
        ("GET", "billing/balance", "", 200),
        ("POST", "telemetry/query", TELEMETRY, 200),
        ("GET", "account?page=0", "", 400),
        ("GET", "account", "{}", 400),
        ("GET", "user-terminals?page=-1", "", 400),
        ("GET", "user-terminals?page=one", "", 400),
        ("GET", "user-terminals?limit=10", "", 400),
        ("GET", "service-lines?search=a", "", 400),
        ("POST", "data-usage/query?limit=251", USAGE, 400),
        ("POST", "data-usage/query?limit=0", USAGE, 400),
        ("POST", "data-usage/query", "", 400),
        ("POST", "data-usage/query", r#"{"more":1}"#, 400),
        (
            "POST",
            "data-usage/query",
            r#"{"previousBillingCycles":"0"}"#,
            400,
        ),
        ("POST", "telemetry/query", r#"{"more":1}"#, 400),
        ("POST", "telemetry/query", r#"{"userTerminalIds":[1]}"#, 400),
        ("POST", "account", "{}", 405),
        ("DELETE", "user-terminals", "", 405),
        ("HEAD", "account", "", 405),
        ("GET", "data-usage/query", "", 405),
        ("GET", "telemetry/query", "", 405),
        ("GET", "telemetry/stream", "", 405),
        ("GET", "user-terminals/1", "", 404),
        ("PUT", "nothing", "", 404),
    ];
    run(async {
        for (method, path, body, expected) in cases {
            let path = format!("/api/public/v2/{path}");
            let (status, answer) = ask(&simulator, method, &path, body).await;
            assert_eq!(status, expected, "{method} {path} {body}: {answer}");
            if status == 200 {
                assert_eq!(answer["isValid"], true, "{path}");
                assert!(answer["content"].is_object(), "{path}");
            } else if method != "HEAD" {
                assert_eq!(answer["isValid"], false, "{path}");
            }
        }
    });
    let recorded: Vec<_> = simulator.journal().management;
    assert_eq!(recorded.len(), cases.len());
    for (request, (method, path, body, status)) in recorded.iter().zip(cases) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        assert_eq!(request.method, method);
        assert_eq!(request.path, format!("/api/public/v2/{path}"));
        assert_eq!(request.query, query);
        assert_eq!(request.body, body);
        assert_eq!(request.status, Some(status));
        assert_eq!(request.part.is_some(), status <= 400, "{method} {path}");
    }
}

#[test]
fn a_request_needs_a_valid_token_and_counts_in_the_rate_limit() {
    let simulator = start(Options {
        polls_per_minute: Some(3),
        ..options()
    });
    run(async {
        let path = Part::Account.path();
        assert_eq!(ask_as(&simulator, "no", "GET", &path, "").await.0, 401);
        let token = simulator.issue_token();
        assert_eq!(poll(&simulator, &token, NO_LINGER).await.0, 200);
        for expected in [200, 200, 429] {
            let (status, _) = ask_as(&simulator, &token, "GET", &path, "").await;
            assert_eq!(status, expected);
        }
        assert_eq!(poll(&simulator, &token, NO_LINGER).await.0, 429);
    });
    let journal = simulator.journal();
    let statuses: Vec<_> = journal
        .management_of(Part::Account)
        .map(|request| request.status)
        .collect();
    assert_eq!(statuses, [401, 200, 200, 429].map(Some));
    assert_eq!(journal.most_management_within(Duration::from_secs(3600)), 4);
}

#[test]
fn pages_cover_each_list_once() {
    let simulator = start(options());
    run(async {
        for (part, count) in [
            (Part::Terminals, 16),
            (Part::ServiceLines, 15),
            (Part::DataUsage, 14),
        ] {
            let first = page(&simulator, part, 0).await;
            assert_eq!(ids(&first).len(), 4, "{part:?}");
            assert_eq!(
                (&first["pageIndex"], &first["limit"], &first["isLastPage"]),
                (&json!(0), &json!(4), &json!(false))
            );
            assert_eq!(first["totalCount"], count);
            let all = reading(&simulator, part).await;
            assert_eq!(all.len(), count, "{part:?}");
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), count);
            let after = page(&simulator, part, 9).await;
            assert_eq!((ids(&after).len(), &after["isLastPage"]), (0, &json!(true)));
        }
    });
}

#[test]
fn without_an_inventory_all_lists_are_empty() {
    let simulator = start(plain(5));
    run(async {
        for part in [Part::Terminals, Part::ServiceLines, Part::DataUsage] {
            let content = page(&simulator, part, 0).await;
            assert_eq!(content["results"], json!([]), "{part:?}");
            assert_eq!(content["isLastPage"], true);
            assert_eq!(content["totalCount"], 0);
        }
    });
}

#[test]
fn the_limit_of_a_page_of_data_use_is_honoured() {
    let simulator = start(Options {
        inventory: Some(InventoryOptions::default()),
        ..plain(260)
    });
    run(async {
        for (query, expected) in [("", 100), ("?limit=3", 3), ("?limit=250", 250)] {
            let path = format!("{}{query}", Part::DataUsage.path());
            let (_, answer) = ask(&simulator, "POST", &path, USAGE).await;
            let content = &answer["content"];
            assert_eq!(ids(content).len(), expected, "{query}");
            assert_eq!(content["limit"], expected);
        }
    });
}

#[test]
fn answers_have_the_members_of_starlink() {
    let simulator = start(options());
    run(async {
        for (part, expected) in [
            (
                Part::Account,
                &[
                    "accountNumber",
                    "regionCode",
                    "accountName",
                    "activeSuspensions",
                ][..],
            ),
            (Part::Balance, &["balances"]),
            (Part::Telemetry, &["userTerminals", "routers"]),
        ] {
            let body = match part {
                Part::Telemetry => TELEMETRY,
                _ => "",
            };
            let (_, answer) = ask(&simulator, part.method(), &part.path(), body).await;
            assert_eq!(members(&answer["content"]), sorted(expected), "{part:?}");
            assert_eq!(
                members(&answer),
                sorted(&["content", "errors", "information", "isValid", "warnings"])
            );
        }
        let terminal = &page(&simulator, Part::Terminals, 0).await["results"][0];
        assert_eq!(
            members(terminal),
            sorted(&[
                "userTerminalId",
                "nickname",
                "kitSerialNumber",
                "dishSerialNumber",
                "serviceLineNumber",
                "l2VpnCircuits",
                "routers",
            ])
        );
        assert_eq!(
            terminal["routers"][0]["routerId"],
            "010000000000000000AA0001"
        );
        assert_eq!(terminal["userTerminalId"], "01000000-00000000-00aa0001");
    });
}

fn members(value: &Value) -> Vec<&str> {
    let object = value.as_object().expect("an object");
    sorted(&object.keys().map(String::as_str).collect::<Vec<_>>())
}

fn sorted<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}

#[test]
fn telemetry_is_that_of_the_requested_devices_and_moves_no_index() {
    let simulator = start(options());
    let query = |terminals: &[&str], routers: &[&str]| {
        json!({
            "includeUserTerminals": true, "userTerminalIds": terminals,
            "includeRouters": !routers.is_empty(), "routerIds": routers,
        })
        .to_string()
    };
    let path = Part::Telemetry.path();
    let cases = [
        (query(&["01000000-00000000-00aa0002"], &[]), 1, 0),
        // Silent since before the start.
        (query(&["01000000-00000000-00aa000d"], &[]), 1, 0),
        // Never heard, deactivated and in store.
        (
            query(
                &[
                    "01000000-00000000-00aa000e",
                    "01000000-00000000-00aa000f",
                    "01000000-00000000-00aa0010",
                ],
                &[],
            ),
            0,
            0,
        ),
        (
            query(&["ut01000000-00000000-00aa0002", "?", "é"], &[]),
            0,
            0,
        ),
        (
            query(
                &["01000000-00000000-00aa0001", "01000000-00000000-00aa0001"],
                &["010000000000000000AA0003"],
            ),
            1,
            1,
        ),
        (query(&[], &[]), 13, 0),
        ("{}".to_owned(), 0, 0),
    ];
    run(async {
        for (body, terminals, routers) in cases {
            let (status, answer) = ask(&simulator, "POST", &path, &body).await;
            assert_eq!(status, 200, "{body}");
            let content = &answer["content"];
            assert_eq!(
                members(&content["userTerminals"]).len(),
                terminals,
                "{body}"
            );
            assert_eq!(members(&content["routers"]).len(), routers, "{body}");
        }
        let token = simulator.issue_token();
        // Tick 0: a terminal, a router and an allocation of each of the 12.
        let (_, stream) = poll(&simulator, &token, NO_LINGER).await;
        assert_eq!(rows(&stream).len(), 36);
        assert_eq!(simulator.journal().polls.len(), 1);

        let id = "01000000-00000000-00aa0002";
        let (_, answer) = ask(&simulator, "POST", &path, &query(&[id], &[])).await;
        let newest = &answer["content"]["userTerminals"][id];
        let row = stream["data"]["values"]
            .as_array()
            .expect("values")
            .iter()
            .find(|row| row[2] == format!("ut{id}"))
            .expect("a row");
        assert_eq!(newest["userTerminalId"], id);
        assert_eq!(newest["uptimeSeconds"], row[8]);
        assert_eq!(newest["runningSoftwareVersion"], row[12]);
        let cell = row[10].as_u64().map(|cell| format!("{cell:x}"));
        assert_eq!(newest["h3CellId"].as_str(), cell.as_deref());
        let timestamp = newest["timestamp"].as_str().expect("a text");
        assert_eq!(timestamp.len(), "2026-11-26T12:00:00.123+00:00".len());
    });
}

#[test]
fn two_simulators_can_have_different_terminals() {
    let first = start(options());
    let second = start(Options {
        first_terminal: 1000,
        ..options()
    });
    run(async {
        let ids = reading(&second, Part::Terminals).await;
        assert!(
            reading(&first, Part::Terminals)
                .await
                .iter()
                .all(|id| !ids.contains(id))
        );
        let token = second.issue_token();
        let (_, stream) = poll(&second, &token, NO_LINGER).await;
        let terminals: BTreeSet<_> = stream["data"]["values"]
            .as_array()
            .expect("values")
            .iter()
            .filter(|row| row[0] == "u")
            .filter_map(|row| Some(row[2].as_str()?.trim_start_matches("ut").to_owned()))
            .collect();
        assert_eq!(terminals, ids[..12].iter().cloned().collect());
    });
}
