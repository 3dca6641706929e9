//! Tests of what page and API show of the inventory, which the service reads from the simulator over HTTP.

use serde_json::{Value, json};
use starlink_telemetry::simulator::{Answer, InventoryOptions, Options, Part, Simulator};
use starlink_telemetry::view::{LineKey, LineQuery, PoolQuery};

use crate::api::Description;
use crate::harness::{Service, eventually, throughput};
use crate::page::{page, values};
use crate::page_states::says;

/// A text that ends attributes and tags.
const HOSTILE: &str = "\"'><script>alert(1)</script>\u{1b}\n";

/// A terminal of the inventory, with its nickname and the number of its line.
fn terminal(id: &str, nickname: &str, line: Option<&str>) -> String {
    json!({
        "userTerminalId": id, "nickname": nickname, "kitSerialNumber": format!("KIT{id}"),
        "dishSerialNumber": format!("DISH{id}"), "serviceLineNumber": line,
    })
    .to_string()
}

fn line(number: &str, nickname: &str, active: bool) -> String {
    json!({
        "serviceLineNumber": number, "nickname": nickname, "productReferenceId": "maritime-1000gb-usd",
        "active": active, "publicIp": false, "endDate": null,
    })
    .to_string()
}

/// The use of a line in GB, with its limit and perhaps a pool.
fn usage(number: &str, priority: f64, limit: f64, pool: Option<&str>) -> String {
    let pools = pool.map(|id| {
        json!({"dataPoolId": id, "lastUpdated": null, "dataBlocks": [
            {"totalAmountGB": 2000, "consumedAmountGB": 1900, "startDateUtc": null, "expirationDateUtc": null},
        ]})
    });
    json!({
        "serviceLineNumber": number,
        "billingCycles": [{
            "startDate": "2026-11-10T00:00:00+00:00", "endDate": "2026-12-10T00:00:00+00:00",
            "totalPriorityGB": priority, "totalStandardGB": 12.25, "totalOptInPriorityGB": 0, "totalNonBillableGB": 1.5,
            "overageLines": [], "dataPoolUsage": pools.into_iter().collect::<Vec<_>>(),
        }],
        "servicePlan": {"usageLimitGB": limit, "isOptedIntoOverage": false},
    })
    .to_string()
}

/// A suspended account with four terminals: heard, never heard, in store, and never heard with hostile texts.
async fn service(settings: &[(&str, &str)]) -> (Simulator, Service) {
    let simulator = Simulator::start(Options {
        inventory: Some(InventoryOptions {
            suspensions: vec!["PastDueBalance".to_owned()],
            ..InventoryOptions::default()
        }),
        ..Options::default()
    })
    .unwrap();
    let terminals = [
        terminal("0000-a", "MV Aurora", Some("AST-1")),
        terminal("0000-b", "", Some("AST-2")),
        terminal("0000-c", "Spare", None),
        terminal("0000-d", HOSTILE, Some(HOSTILE)),
    ];
    let lines = [
        line("AST-1", "Aurora's line", true),
        line("AST-2", "MV Borealis", true),
        line(HOSTILE, HOSTILE, true),
    ];
    let uses = [
        usage("AST-1", 850.0, 1000.0, None),
        usage("AST-2", 300.0, 0.0, Some("pool-1")),
    ];
    for (part, entries) in [
        (Part::Terminals, &terminals[..]),
        (Part::ServiceLines, &lines),
        (Part::DataUsage, &uses),
    ] {
        simulator.set_inventory_entries(part, Some(entries.to_vec()));
    }
    simulator.push_rows([r#"["u",1700000001000000000,"ut0000-a",75]"#]);
    let settings = [&[("INVENTORY", "auto")], settings].concat();
    let service = Service::start(&simulator, &settings).await;
    service.shows(&throughput("ut0000-a"), 75.0).await;
    (simulator, service)
}

/// Waits until all parts are read.
async fn is_read(service: &Service, description: &Description) -> Value {
    let path = "/api/v1/status";
    let status = || description.ask(service, path, path, 200);
    eventually("the inventory is read", || async {
        let status = status().await;
        let inventory = &status["accounts"][0]["inventory"];
        let parts = inventory["parts"].as_array().unwrap();
        parts.iter().take(4).all(|part| part["up"] == true)
            && inventory["data_pools"] == 1
            && inventory["terminals"] == 4
    })
    .await;
    status().await
}

fn texts<'v>(list: &'v Value, entries: &str, member: &str) -> Vec<&'v str> {
    let entries = list[entries].as_array().unwrap().iter();
    entries
        .map(|entry| entry[member].as_str().unwrap())
        .collect()
}

#[actix_rt::test]
async fn the_api_has_what_the_inventory_says() {
    let (_simulator, service) = service(&[]).await;
    let description = Description::of(&service).await;
    let status = is_read(&service, &description).await;
    let inventory = &status["accounts"][0]["inventory"];
    assert_eq!(inventory["enabled"], true);
    assert_eq!(inventory["account_number"], "ACC-730215-48816-21");
    assert_eq!(inventory["suspensions"], json!(["PastDueBalance"]));
    assert_eq!(inventory["service_lines"], 3);
    let balance = &inventory["parts"][4];
    assert_eq!(
        (&balance["part"], &balance["up"]),
        (&json!("balance"), &Value::Null)
    );
    let terminals = &status["fleet"]["types"][0];
    assert_eq!(
        (&terminals["online"], &terminals["never_heard"]),
        (&json!(1), &json!(2))
    );

    let device = |id: &str| {
        let target = format!("/api/v1/devices/{id}");
        let (service, description) = (&service, &description);
        async move {
            description
                .ask(service, "/api/v1/devices/{id}", &target, 200)
                .await
        }
    };
    let heard = device("ut0000-a").await;
    assert_eq!(
        (&heard["name"], &heard["state"]),
        (&json!("MV Aurora"), &json!("online"))
    );
    assert_eq!(
        (&heard["kit_serial"], &heard["dish_serial"]),
        (&json!("KIT0000-a"), &json!("DISH0000-a"))
    );
    let data_use = &heard["service_line"]["data_use"];
    assert_eq!(
        (&data_use["limit_share"], &data_use["limit_bytes"]),
        (&json!(0.85), &json!(1e12))
    );
    let never = device("ut0000-b").await;
    assert_eq!(
        (&never["never_heard"], &never["account"]),
        (&json!(true), &json!("default"))
    );
    for absent in [
        "last_report_timestamp_seconds",
        "silent_for_seconds",
        "last_readings",
        "alerts",
    ] {
        assert!(never[absent].is_null(), "{absent}");
    }
    let stored = device("0000-c").await;
    assert_eq!(
        (&stored["id"], &stored["state"]),
        (&json!("ut0000-c"), &Value::Null)
    );

    let list = |path: &'static str, query: &'static str| {
        let target = format!("{path}?{query}");
        let (service, description) = (&service, &description);
        async move { description.ask(service, path, &target, 200).await }
    };
    for (query, expected) in [
        ("state=never_heard", &["ut0000-b", "ut0000-d"][..]),
        ("sort=-data_use", &["ut0000-a", "ut0000-b", "ut0000-d"]),
        ("sort=data_use", &["ut0000-b", "ut0000-a", "ut0000-d"]),
        ("search=kit0000-b", &["ut0000-b"]),
        ("search=ast-1", &["ut0000-a"]),
        ("search=mv+b", &["ut0000-b"]),
    ] {
        let found = list("/api/v1/devices", query).await;
        assert_eq!(texts(&found, "devices", "id"), expected, "{query}");
    }
    for (query, expected) in [
        ("", &["AST-1", "AST-2", HOSTILE][..]),
        ("sort=number&per_page=1&page=2", &["AST-1"]),
        ("search=borealis", &["AST-2"]),
        ("account=default&search=none", &[]),
    ] {
        let found = list("/api/v1/lines", query).await;
        assert_eq!(texts(&found, "lines", "number"), expected, "{query}");
    }
    let lines = list("/api/v1/lines", "search=AST-2").await;
    let line = &lines["lines"][0];
    assert_eq!(
        (&line["terminals"][0]["id"], &line["terminals_total"]),
        (&json!("ut0000-b"), &json!(1))
    );
    // A line that takes from a pool has no limit of its own.
    assert!(line["data_use"]["limit_bytes"].is_null());
    let pools = list("/api/v1/pools", "").await;
    let pool = &pools["pools"][0];
    assert_eq!(
        (&pool["id"], &pool["limit_share"]),
        (&json!("pool-1"), &json!(0.95))
    );

    for (path, query, status, expected) in [
        (
            "/api/v1/lines",
            "state=online",
            400,
            "unknown parameter \"state\": use account, search, sort, page, per_page",
        ),
        (
            "/api/v1/lines",
            "sort=use",
            400,
            "unknown sort \"use\": use data_use, number, nickname, product, account, overage, end; prefix with - for descending",
        ),
        (
            "/api/v1/lines",
            "account=ship",
            404,
            "unknown account \"ship\"",
        ),
        (
            "/api/v1/pools",
            "sort=id",
            400,
            "unknown parameter \"sort\": use account, page, per_page",
        ),
        (
            "/api/v1/pools",
            "account=ship",
            404,
            "unknown account \"ship\"",
        ),
    ] {
        let problem = description
            .ask(&service, path, &format!("{path}?{query}"), status)
            .await;
        assert_eq!(problem["error"], expected);
    }
}

#[actix_rt::test]
async fn the_description_names_the_parameters_of_lines_and_pools() {
    let (_simulator, service) = service(&[]).await;
    let body = service.get("/api/v1/openapi.json").await.body;
    let description: Value = serde_json::from_str(&body).unwrap();
    let parameters = |path: &str| {
        let parameters = description["paths"][path]["get"]["parameters"].clone();
        serde_json::from_value::<Vec<Value>>(parameters).unwrap()
    };
    for parameter in parameters("/api/v1/lines") {
        let name = parameter["name"].as_str().unwrap();
        assert!(LineQuery::parse(&format!("{name}=")).is_ok(), "{name}");
        if name == "sort" {
            let keys = LineKey::ALL
                .iter()
                .flat_map(|(_, key)| [(*key).to_owned(), format!("-{key}")]);
            assert_eq!(parameter["schema"]["enum"], json!(keys.collect::<Vec<_>>()));
        }
    }
    for parameter in parameters("/api/v1/pools") {
        let name = parameter["name"].as_str().unwrap();
        assert!(PoolQuery::parse(&format!("{name}=")).is_ok(), "{name}");
    }
}

#[actix_rt::test]
async fn the_pages_show_lines_data_use_suspensions_and_terminals_never_heard() {
    let (_simulator, service) = service(&[]).await;
    is_read(&service, &Description::of(&service).await).await;
    let suspended = "Starlink has suspended account ACC-730215-48816-21: PastDueBalance.";
    let contains = |what: &str, page: &str, expected: &[&str]| {
        for text in expected {
            assert!(page.contains(text), "{what} lacks {text}: {page}");
        }
        for hostile in ["<script>alert", "\u{1b}"] {
            assert!(!page.contains(hostile), "{what}: {page}");
        }
    };
    let home = page(&service, "/").await.body;
    contains(
        "the page",
        &home,
        &[
            suspended,
            "Pay the amount due",
            "Never heard: 2</a>",
            "./?state=never_heard#devices",
            "<bdi>MV Aurora</bdi>",
            "<rect class=\"part\" width=\"85\"",
            "<span>85 %<span class=\"hidden\"> of 1,000 GB</span></span>",
            "<span>never heard</span>",
            "href=\"./?sort=-data_use#devices\"",
        ],
    );
    let never = page(&service, "/?state=never_heard").await.body;
    let rows = values(&never, "data-key")
        .into_iter()
        .filter(|key| key.starts_with("device?"));
    assert_eq!(rows.count(), 2);

    let device = page(&service, "/device?id=ut0000-a").await.body;
    contains(
        "a device",
        &device,
        &[
            suspended,
            "<h1><bdi>MV Aurora</bdi></h1>",
            "<bdi class=\"id\">KIT0000-a</bdi>",
            "./lines?search=AST-1\"",
            "850 GB of 1,000 GB of priority data (85 %)",
            "<svg class=\"bar notice\"",
            "<dt>Billing cycle</dt><dd>2026-11-10 to 2026-12-10</dd>",
            "<dt>Overage</dt><dd>0 GB (not opted in)</dd>",
        ],
    );
    for (id, expected) in [
        (
            "ut0000-b",
            "Its service line is active, but it has never reported",
        ),
        (
            "ut0000-c",
            "It has no service line, so it is not expected to report.",
        ),
        ("ut0000-d", "<strong>Never heard.</strong>"),
    ] {
        let device = page(&service, &format!("/device?id={id}")).await;
        assert_eq!(device.status, 200);
        contains(
            id,
            &device.body,
            &[expected, "No report yet.", "Unknown (never heard)."],
        );
    }

    let lines = page(&service, "/lines").await.body;
    contains(
        "the lines",
        &lines,
        &[
            suspended,
            "<caption id=\"list-caption\">3 service lines, most used first</caption>",
            "<bdi>Aurora&#39;s line</bdi> <bdi class=\"id\">AST-1</bdi>",
            "<a href=\"device?id=ut0000-b\"><bdi>MV Borealis</bdi></a>",
            "<bdi class=\"id\">pool-1</bdi>",
            "<span>95 %</span>",
            "<bdi class=\"quiet\">ACC-730215-48816-21, Example Navigation </bdi>",
        ],
    );
    for link in values(&lines, "href") {
        let status = service.get(&crate::wire::target(&link)).await.status;
        assert_eq!(status, 200, "{link}");
    }
    let found = page(&service, "/lines?search=borealis&sort=number")
        .await
        .body;
    assert!(
        found.contains("<caption id=\"list-caption\">1 service line</caption>"),
        "{found}"
    );
    let wrong = page(&service, "/lines?sort=size&search=%3Cb%3E").await;
    assert_eq!(wrong.status, 400);
    let mistake = "unknown sort &#34;size&#34;: use data_use, number";
    assert!(wrong.body.contains(mistake) && wrong.body.contains("value=\"&#60;b&#62;\""));
    assert_eq!(page(&service, "/lines?account=ship").await.status, 404);
    let past = page(&service, "/lines?page=9").await.body;
    assert!(
        past.contains("Page 9 does not exist (1 page, 3 service lines)"),
        "{past}"
    );
}

#[actix_rt::test]
async fn a_missing_permission_is_named_in_the_words_of_the_settings_page() {
    let simulator = Simulator::start(Options::default()).unwrap();
    simulator.set_inventory_answer(Part::Terminals, Some(Answer::forbidden()));
    let service = Service::start(&simulator, &[("INVENTORY", "auto")]).await;
    says(
        &service,
        "/lines",
        &[
            "permission missing: Device management, View",
            "Permissions are granted in the settings",
        ],
    )
    .await;
    let description = Description::of(&service).await;
    let path = "/api/v1/status";
    let status = description.ask(&service, path, path, 200).await;
    let part = &status["accounts"][0]["inventory"]["parts"][1];
    assert_eq!(
        (&part["permitted"], &part["up"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(part["permission"], "Device management, View");
}

#[actix_rt::test]
async fn without_an_inventory_nothing_is_added() {
    let simulator = Simulator::start(Options::default()).unwrap();
    simulator.push_rows([r#"["u",1700000001000000000,"ut-1",75]"#]);
    let service = Service::start(&simulator, &[]).await;
    service.shows(&throughput("ut-1"), 75.0).await;
    let home = page(&service, "/").await.body;
    for absent in ["Data use", "Never heard", "suspended"] {
        assert!(!home.contains(&format!(">{absent}")), "{absent}: {home}");
    }
    let device = page(&service, "/device?id=ut-1").await.body;
    assert!(!device.contains("Service line</h2>"), "{device}");
    let lines = page(&service, "/lines").await.body;
    assert!(lines.contains("switched off (INVENTORY=off)"), "{lines}");
}
