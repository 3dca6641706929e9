//! Tests of the JSON API: responses compared with its OpenAPI description, and the parameters of lists.

use actix_rt::test as async_test;
use jsonschema::Validator;
use serde_json::{Value, json};
use starlink_telemetry::app::Tuning;
use starlink_telemetry::simulator::{Answer, AnswerBody, Simulator, TERMINAL_COLUMNS};
use starlink_telemetry::supervise::faults::{Fault, Inject, Latch, Place};
use starlink_telemetry::view::{DeviceQuery, SortKey};
use url::form_urlencoded::byte_serialize;

use crate::harness::{Service, eventually, quick_hang_detection, scripted_simulator, throughput};
use crate::wire::{ask, get};

const DEVICES: &str = "/api/v1/devices";

/// The service's description of its API.
pub struct Description(Value);

impl Description {
    pub async fn of(service: &Service) -> Self {
        let answer = service.get("/api/v1/openapi.json").await;
        assert_eq!(answer.status, 200);
        Self(serde_json::from_str(&answer.body).unwrap())
    }

    /// The validator for the responses of a path with a status.
    fn judge(&self, path: &str, status: u16) -> Validator {
        let pointer = format!("/paths/{}/get/responses/{status}", path.replace('/', "~1"));
        let answer = self.0.pointer(&pointer);
        let answer = answer.unwrap_or_else(|| panic!("{pointer} is not described"));
        // References are resolved in the whole document.
        let mut schema = self.0.clone();
        schema["$ref"] = answer["content"]["application/json"]["schema"]["$ref"].clone();
        assert!(schema["$ref"].is_string(), "{pointer} has no schema");
        jsonschema::draft202012::new(&schema).unwrap()
    }

    /// Sends a request, and validates the response.
    pub async fn ask(&self, service: &Service, path: &str, target: &str, status: u16) -> Value {
        let answer = service.get(target).await;
        assert_eq!(answer.status, status, "{target}: {}", answer.body);
        assert_eq!(answer.header("content-type").unwrap(), "application/json");
        assert_eq!(answer.header("cache-control").unwrap(), "no-store");
        let value = serde_json::from_str(&answer.body).unwrap();
        let judge = self.judge(path, status);
        let faults: Vec<_> = judge
            .iter_errors(&value)
            .map(|fault| fault.to_string())
            .collect();
        assert!(faults.is_empty(), "{target}: {faults:?} in {value:#}");
        value
    }

    async fn list(&self, service: &Service, query: &str) -> Value {
        self.ask(service, DEVICES, &format!("{DEVICES}?{query}"), 200)
            .await
    }
}

/// Three terminals, a router, and an allocation.
async fn fleet() -> (Simulator, Service, Description) {
    let simulator = scripted_simulator();
    let rows = [
        r#"["u",1700000001000000000,"ut-a",100,10,0.5,20,1.5,1000,0.9,599686042433355775,-1,"2025.1.mr1","US",true,[80,82]]"#,
        r#"["u",1700000002000000000,"ut-b",50,20,0,null,0,1000,0.9,null,-1,"2025.2.mr1","DE",true,[82]]"#,
        r#"["u",1700000003000000000,"ut-c",75]"#,
        r#"["i",1700000001000000000,"ip-ut-a","ACC-1",["192.0.2.1"],["2001:db8:1::/64"],[]]"#,
    ];
    let router = [
        "DeviceType",
        "UtcTimestampNs",
        "DeviceId",
        "WifiUptimeS",
        "WifiSoftwareVersion",
    ];
    simulator.push_answer(
        AnswerBody::new()
            .columns("u", TERMINAL_COLUMNS)
            .columns("r", &router)
            .rows(rows)
            .row(r#"["r",1700000001000000000,"Router-1",5,"2024.9.mr1"]"#),
    );
    let service = Service::start(&simulator, &[("INCLUDE_ROUTERS", "true")]).await;
    service.shows(&throughput("ut-c"), 75.0).await;
    let description = Description::of(&service).await;
    (simulator, service, description)
}

fn ids(page: &Value) -> Vec<&str> {
    let devices = page["devices"].as_array().unwrap().iter();
    devices
        .map(|device| device["id"].as_str().unwrap())
        .collect()
}

#[async_test]
async fn a_device_has_all_its_values() {
    let (_simulator, service, description) = fleet().await;
    let path = "/api/v1/devices/{id}";
    let device = description
        .ask(&service, path, "/api/v1/devices/ut-a", 200)
        .await;
    let mut expected = json!({
        "id": "ut-a", "device_type": "UserTerminal", "account": "default", "name": null, "group": null, "state": "online",
        "never_heard": false, "kit_serial": null, "dish_serial": null, "service_line": null,
        "last_report_timestamp_seconds": 1_700_000_001.0,
        "downlink_mbps": 100.0, "uplink_mbps": 10.0, "latency_ms": 20.0, "drop_rate": 0.5, "obstruction": 1.5,
        "signal_quality": 0.9, "uptime_seconds": 1000.0,
        "alerts": ["software_update_reboot_pending", "thermal_shutdown"],
        "software": "2025.1.mr1", "country": "US",
        "latitude": 37.345_793_375_368_764, "longitude": -121.976_375_972_551_24,
        "ipv4": ["192.0.2.1"], "ipv6_ue": ["2001:db8:1::/64"], "ipv6_cpe": [],
        "h3_cell": "85283473fffffff",
        "fields": {
            "DownlinkThroughput": 100.0, "UplinkThroughput": 10.0, "PingDropRateAvg": 0.5, "PingLatencyMsAvg": 20.0,
            "ObstructionPercentTime": 1.5, "Uptime": 1000.0, "SignalQuality": 0.9, "H3CellId": 599_686_042_433_355_775_u64 as f64,
            "SecondsUntilSwupdateRebootPossible": -1.0, "InTerritorialWaters": 1.0,
        },
        "last_readings": null, "terminal": null,
        "info": {"runningsoftwareversion": "2025.1.mr1", "countrycode": "US", "accountnumber": "ACC-1"},
    });
    expected["silent_for_seconds"] = device["silent_for_seconds"].clone();
    for place in ["latitude", "longitude"] {
        let [is, wanted] = [&device, &expected].map(|device| device[place].as_f64().unwrap());
        assert!((is - wanted).abs() < 1e-6, "{place} {is}");
        expected[place] = device[place].clone();
    }
    assert_eq!(device, expected);
    // One of the other terminals has almost no fields, and the router has those of routers.
    let device = description
        .ask(&service, path, "/api/v1/devices/ut-c", 200)
        .await;
    assert_eq!(
        (&device["latency_ms"], &device["alerts"]),
        (&Value::Null, &json!([]))
    );
    let router = description
        .ask(&service, path, "/api/v1/devices/Router-1?type=Router", 200)
        .await;
    assert_eq!(
        (&router["uptime_seconds"], &router["software"]),
        (&json!(5.0), &json!("2024.9.mr1"))
    );
    let unknown = "/api/v1/devices/ut-a?type=Router";
    let problem = description.ask(&service, path, unknown, 404).await;
    assert_eq!(
        problem["error"],
        r#"unknown device: ID "ut-a" and type "Router""#
    );
}

#[async_test]
async fn lists_are_filtered_sorted_and_paged() {
    let (_simulator, service, description) = fleet().await;
    for (query, expected) in [
        ("", &["Router-1", "ut-a", "ut-b", "ut-c"][..]),
        ("sort=-id", &["ut-c", "ut-b", "ut-a", "Router-1"]),
        ("sort=downlink", &["ut-b", "ut-c", "ut-a", "Router-1"]),
        ("sort=-downlink", &["ut-a", "ut-c", "ut-b", "Router-1"]),
        ("sort=latency", &["ut-a", "Router-1", "ut-b", "ut-c"]),
        ("sort=-alerts", &["ut-a", "ut-b", "Router-1", "ut-c"]),
        ("sort=software", &["Router-1", "ut-a", "ut-b", "ut-c"]),
        ("sort=country&type=UserTerminal", &["ut-b", "ut-a", "ut-c"]),
        ("sort=account", &["Router-1", "ut-a", "ut-b", "ut-c"]),
        ("state=online&type=Router", &["Router-1"]),
        ("state=offline", &[]),
        ("alert=software_update_reboot_pending", &["ut-a", "ut-b"]),
        ("alert=thermal", &[]),
        ("account=default&search=ut-", &["ut-a", "ut-b", "ut-c"]),
        ("search=UT-", &["ut-a", "ut-b", "ut-c"]),
        ("search=2025.2.mr1", &["ut-b"]),
        ("search=acc-1", &["ut-a"]),
        ("search=192.0.2.", &["ut-a"]),
        ("search=2001%3Adb8", &["ut-a"]),
        (
            "search=+&state=&alert=&sort=&page=&near=",
            &["Router-1", "ut-a", "ut-b", "ut-c"],
        ),
        ("near=37,-121", &["ut-a"]),
        ("per_page=3", &["Router-1", "ut-a", "ut-b"]),
        ("per_page=3&page=2", &["ut-c"]),
        ("per_page=3&page=3", &[]),
        ("page=18446744073709551615", &[]),
    ] {
        let page = description.list(&service, query).await;
        assert_eq!(ids(&page), expected, "{query}");
        if query.starts_with("per_page=3") {
            assert_eq!((&page["total"], &page["pages"]), (&json!(4), &json!(2)));
        }
    }
}

#[async_test]
async fn devices_are_known_by_the_names_that_people_give_them() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("names.csv");
    let names = "deviceID,name,group\nut-a,MV Zephyr,Northern\nut-c,MV Ämilia,\n";
    std::fs::write(&file, names).unwrap();
    let simulator = scripted_simulator();
    let row = |id| format!(r#"["u",1700000001000000000,"{id}",75]"#);
    simulator.push_rows(["ut-a", "ut-b", "ut-c"].map(row));
    let settings = [("NAMES_FILE", file.to_str().unwrap())];
    let service = Service::start(&simulator, &settings).await;
    service.shows(&throughput("ut-c"), 75.0).await;
    let description = Description::of(&service).await;
    for (query, expected) in [
        ("search=zephyr", &["ut-a"][..]),
        ("search=north", &["ut-a"]),
        ("search=%C3%A4MILIA", &["ut-c"]),
        ("sort=name", &["ut-a", "ut-c", "ut-b"]),
        ("sort=group", &["ut-a", "ut-b", "ut-c"]),
    ] {
        let page = description.list(&service, query).await;
        assert_eq!(ids(&page), expected, "{query}");
    }
    for (id, name, group) in [
        ("ut-a", json!("MV Zephyr"), json!("Northern")),
        ("ut-b", Value::Null, Value::Null),
        ("ut-c", json!("MV Ämilia"), Value::Null),
    ] {
        let target = format!("/api/v1/devices/{id}");
        let device = description
            .ask(&service, "/api/v1/devices/{id}", &target, 200)
            .await;
        assert_eq!((&device["name"], &device["group"]), (&name, &group));
    }
}

#[async_test]
async fn what_cannot_be_asked_is_refused_with_what_can() {
    let (_simulator, service, description) = fleet().await;
    for (query, expected) in [
        (
            "serach=a",
            "unknown parameter \"serach\": use state, alert, type, account, search, near, sort, page, per_page",
        ),
        (
            "state=on",
            "unknown state \"on\": use offline, unknown, online, never_heard",
        ),
        (
            "page=0",
            "page must be a whole number, 1 or greater, not \"0\"",
        ),
        ("page=1&page=2", "parameter page is given more than once"),
        (
            "per_page=1001",
            "per_page must be a whole number from 1 to 1000, not \"1001\"",
        ),
        (
            "near=91,0",
            "near must be latitude,longitude in degrees, such as 47.5,-122.3, not \"91,0\"",
        ),
        (
            "near=nan,0",
            "near must be latitude,longitude in degrees, such as 47.5,-122.3, not \"nan,0\"",
        ),
        (
            "sort=--id",
            "unknown sort \"--id\": use id, name, group, type, account, state, last_report, downlink, uplink, latency, drop_rate, obstruction, alerts, software, country, data_use; prefix with - for descending",
        ),
    ] {
        let target = format!("{DEVICES}?{query}");
        let problem = description.ask(&service, DEVICES, &target, 400).await;
        assert_eq!(problem["error"], expected);
    }
    let target = format!("{DEVICES}?account=ship");
    let problem = description.ask(&service, DEVICES, &target, 404).await;
    assert_eq!(problem["error"], "unknown account \"ship\"");
    let refused = ask(service.address, "POST", DEVICES, &[]).await;
    assert_eq!(
        (refused.status, refused.header("allow").unwrap()),
        (405, "GET, HEAD".to_owned())
    );
    let head = ask(service.address, "HEAD", DEVICES, &[]).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[async_test]
async fn the_description_names_what_can_be_asked() {
    let (_simulator, service, Description(description)) = fleet().await;
    let parameters = description["paths"][DEVICES]["get"]["parameters"]
        .as_array()
        .unwrap();
    let mut names = Vec::new();
    for parameter in parameters {
        let name = parameter["name"].as_str().unwrap();
        names.push(name);
        assert!(DeviceQuery::parse(&format!("{name}=")).is_ok(), "{name}");
        if name == "sort" {
            let keys = SortKey::ALL
                .iter()
                .flat_map(|(_, key)| [(*key).to_owned(), format!("-{key}")]);
            assert_eq!(parameter["schema"]["enum"], json!(keys.collect::<Vec<_>>()));
        }
        let standard = &parameter["schema"]["default"];
        let standard = standard
            .as_str()
            .map_or_else(|| standard.to_string(), ToOwned::to_owned);
        if standard != "null" {
            let plain = service.get(DEVICES).await.body;
            let same = service
                .get(&format!("{DEVICES}?{name}={standard}"))
                .await
                .body;
            let [plain, same] =
                [plain, same].map(|body| serde_json::from_str::<Value>(&body).unwrap());
            assert_eq!(ids(&same), ids(&plain), "{name}={standard}");
        }
    }
    let refusal = service.get(&format!("{DEVICES}?x=")).await.body;
    assert!(
        refusal.contains(&format!("use {}\"", names.join(", "))),
        "{refusal}"
    );
}

#[async_test]
async fn the_status_tells_of_the_exporter_and_the_fleet() {
    let (simulator, service, description) = fleet().await;
    let path = "/api/v1/status";
    let status = description.ask(&service, path, path, 200).await;
    assert_eq!(status["exporter"]["ready"], true);
    assert_eq!(status["exporter"]["live"], true);
    assert_eq!(status["accounts"][0]["stream"]["up"], true);
    // Counts are integers.
    for count in [
        &status["accounts"][0]["stream"]["polls"],
        &status["accounts"][0]["stream"]["failed_polls"],
        &status["accounts"][0]["token"]["requests"],
        &status["accounts"][0]["token"]["failed_requests"],
    ] {
        assert!(count.is_u64(), "{count}");
    }
    assert_eq!(
        status["fleet"],
        json!({
            "types": [
                {"device_type": "Router", "online": 1, "offline": 0, "unknown": 0, "never_heard": 0},
                {"device_type": "UserTerminal", "online": 3, "offline": 0, "unknown": 0, "never_heard": 0},
            ],
            "alerts": [
                {"alert": "software_update_reboot_pending", "devices": 2},
                {"alert": "thermal_shutdown", "devices": 1},
            ],
            "alerts_unknown": 0,
            "last_report_timestamp_seconds": 1_700_000_003.0,
            "located": 1,
        })
    );
    let account = &status["accounts"][0];
    assert_eq!(status["accounts"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&account["name"], &account["state"]),
        (&json!("default"), &json!("up"))
    );
    assert_eq!(
        account["devices"],
        json!({"online": 4, "offline": 0, "unknown": 0})
    );
    for (actors, expected) in [
        (&status["actors"], vec!["metrics_store"]),
        (&account["actors"], vec!["token", "metadata", "stream"]),
    ] {
        let actors = actors.as_array().unwrap();
        let names: Vec<_> = actors.iter().map(|actor| &actor["name"]).collect();
        assert_eq!(names, expected);
        assert!(
            actors
                .iter()
                .all(|actor| actor["state"] == "up" && actor["last_error"].is_null())
        );
    }

    simulator.set_default_answer(Some(Answer::error(500, "out of order")));
    eventually("the stream fails", || async {
        let status = description.ask(&service, path, path, 200).await;
        status["accounts"][0]["stream"]["up"] == false
            && status["accounts"][0]["stream"]["last_failure"] == "server_error"
    })
    .await;
    let killed = service
        .account
        .metadata
        .send(Inject(Place::Handler, Fault::Panic))
        .await;
    assert!(killed.is_err());
    eventually("the restart is reported", || async {
        let status = description.ask(&service, path, path, 200).await;
        let actor = &status["accounts"][0]["actors"][1];
        let died = &actor["last_error"];
        assert_eq!(actor["name"], "metadata");
        actor["state"] == "up"
            && actor["panics"] == 1
            && died["cause"] == "panic"
            && died["message"].is_string()
    })
    .await;
}

#[async_test]
async fn before_the_first_poll_there_is_an_answer_too() {
    let simulator = scripted_simulator();
    simulator.set_default_token_answer(Some(Answer::token_error("invalid_client")));
    let service = Service::tuned(&simulator, &[], Tuning::default()).await;
    let description = Description::of(&service).await;
    let path = "/api/v1/status";
    eventually("the token is refused", || async {
        let status = description.ask(&service, path, path, 200).await;
        status["accounts"][0]["token"]["last_failure"] == "refused"
            && status["exporter"]["ready"] == false
    })
    .await;
    let page = description.list(&service, "").await;
    assert_eq!((&page["total"], &page["pages"]), (&json!(0), &json!(1)));
}

#[async_test]
async fn a_store_that_hangs_is_told() {
    let simulator = scripted_simulator();
    simulator.push_rows([r#"["u",1700000001000000000,"ut-a",75]"#]);
    let tuning = quick_hang_detection();
    let service = Service::tuned(&simulator, &[], tuning).await;
    service.shows(&throughput("ut-a"), 75.0).await;
    let description = Description::of(&service).await;
    let latch = Latch::closed();
    let hang = Fault::HangUntil(latch);
    let injected = service.store.send(Inject(Place::Future, hang)).await;
    assert!(injected.is_ok());
    eventually("the fleet is not available", || async {
        service.get(DEVICES).await.status == 503
    })
    .await;
    for (path, target) in [
        ("/api/v1/status", "/api/v1/status"),
        (DEVICES, DEVICES),
        ("/api/v1/devices/{id}", "/api/v1/devices/ut-a"),
    ] {
        let problem = description.ask(&service, path, target, 503).await;
        let error = problem["error"].as_str().unwrap();
        assert!(error.contains("the store has not answered"), "{error}");
    }
    latch.open();
}

#[async_test]
async fn devices_of_any_name_can_be_asked_for() {
    let names = [
        ".",
        "..",
        "a/b",
        "../../etc/passwd",
        "%2F",
        "a?b#c",
        "é\u{202e}\u{0}\n",
        "a+b c",
        "\"<script>",
    ];
    let simulator = scripted_simulator();
    let row = |name: &&str| format!(r#"["u",1700000001000000000,{},1]"#, json!(name));
    simulator.push_rows(names.iter().map(row));
    let service = Service::start(&simulator, &[]).await;
    let description = Description::of(&service).await;
    eventually("all have come", || async {
        description.list(&service, "").await["total"] == names.len()
    })
    .await;
    for name in names {
        let encoded: String = byte_serialize(name.as_bytes()).collect();
        let target = format!("/api/v1/devices/{}", encoded.replace('+', "%20"));
        let device = description
            .ask(&service, "/api/v1/devices/{id}", &target, 200)
            .await;
        assert_eq!(device["id"], name);
    }
    let answer = get(service.address, "/api/v1/devices/%FF", &[]).await;
    assert_eq!(answer.status, 404, "{}", answer.body);
}
