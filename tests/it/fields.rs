//! Tests that fields dropped by `LOCATION=off` and `DROP_FIELDS` are absent everywhere (metrics, pages, API, state file), and of the log
//! lines about columns.

use std::path::Path;

use starlink_telemetry::simulator::{Answer, Simulator};

use crate::binary::Binary;
use crate::form::{FORMATS, scrape};
use crate::harness::{eventually, scripted_simulator, shows};
use crate::wire::get;

/// The traces of a field in texts and in the bytes of a file.
const SECRETS: [&str; 9] = [
    "41.4242",
    "71.9191",
    "quay-7391",
    "gh-5577",
    "serial-8842",
    "5.9968604",
    "3221225985",
    "192.0.2.1",
    "latitude",
];

/// A device with locations in columns of every spelling, and with fields that can be dropped.
fn push(simulator: &Simulator, second: u64) {
    let body = format!(
        r#"{{"data":{{"values":[
            ["u",17565372{second:02}000000000,"ut-a",41.4242421,"-71.9191919","quay-7391",599686042433355775,"serial-8842",{second}],
            ["i",17565372{second:02}000000000,"ip-ut-a","gh-5577",["192.0.2.1"]]],
        "columnNamesByDeviceType":{{
            "u":["DeviceType","UtcTimestampNs","DeviceId","DishLatitude","longitude_deg","SiteLocation","H3CellId","Serial","Uptime"],
            "i":["DeviceType","UtcTimestampNs","DeviceId","GeoHash","Ipv4"]}}}},
        "metadata":{{"enums":{{"DeviceType":{{"u":"UserTerminal"}}}}}}}}"#
    );
    simulator.push_answer(Answer::text(body));
}

/// The traces of it in scrapes, pages and the API.
async fn traces_over_http(address: std::net::SocketAddr) -> Vec<String> {
    let mut found = Vec::new();
    let mut targets: Vec<_> = FORMATS
        .iter()
        .map(|format| format!("/metrics?format={format}"))
        .collect();
    targets.extend(
        [
            "/",
            "/api/v1/devices",
            "/api/v1/devices/ut-a",
            "/device?id=ut-a",
        ]
        .map(String::from),
    );
    for target in targets {
        let answer = get(address, &target, &[("Accept", "text/html")]).await;
        for secret in SECRETS {
            // Names of members and headings are always there.
            if answer.body.contains(secret) && secret != "latitude" {
                found.push(format!("{target} has {secret}"));
            }
        }
        if target.starts_with("/metrics") && answer.body.to_lowercase().contains("latitude") {
            found.push(format!("{target} has a latitude"));
        }
    }
    found
}

/// The traces of it in the state file.
fn kept(path: &Path) -> Vec<&'static str> {
    let bytes = std::fs::read(path).unwrap();
    let has = |secret: &&str| {
        let mut windows = bytes.windows(secret.len());
        windows.any(|window| window.eq_ignore_ascii_case(secret.as_bytes()))
    };
    let mut found: Vec<_> = SECRETS.into_iter().filter(has).collect();
    for (name, number) in [
        ("41.4242421", 41.424_242_1_f64),
        ("the cell", 599_686_042_433_355_775.0),
    ] {
        if bytes
            .windows(8)
            .any(|window| window == number.to_le_bytes())
        {
            found.push(name);
        }
    }
    let cell = 599_686_042_433_355_775_u64.to_le_bytes();
    found.extend(
        bytes
            .windows(8)
            .any(|window| window == cell)
            .then_some("the index"),
    );
    found
}

#[actix_rt::test]
async fn dropped_fields_appear_nowhere_even_if_an_earlier_process_saved_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let state = ("STATE_FILE", path.to_str().unwrap());
    let simulator = scripted_simulator();
    push(&simulator, 12);
    let uptime = r#"starlink_Uptime{device_type="UserTerminal",deviceID="ut-a"}"#;

    let (mut first, address) = Binary::listening(&simulator, &[state]).await;
    shows(address, uptime, 12.0).await;
    assert!(
        traces_over_http(address).await.len() > 10,
        "{:?}",
        traces_over_http(address).await
    );
    first.signal("TERM");
    assert_eq!(first.ended().await, Some(0));
    assert!(kept(&path).len() > 5, "{:?}", kept(&path));

    let left_out = [
        state,
        ("LOCATION", "off"),
        ("DROP_FIELDS", "Ser.*l, Ipv[46]"),
    ];
    let (mut second, address) = Binary::listening(&simulator, &left_out).await;
    // From the state file.
    assert_eq!(traces_over_http(address).await, Vec::<String>::new());
    shows(address, uptime, 12.0).await;
    // From new rows.
    push(&simulator, 27);
    shows(address, uptime, 27.0).await;
    assert_eq!(traces_over_http(address).await, Vec::<String>::new());
    second.signal("TERM");
    assert_eq!(second.ended().await, Some(0));
    assert_eq!(kept(&path), Vec::<&str>::new());
    assert!(!second.stderr().contains("quay-7391"));
}

#[actix_rt::test]
async fn a_text_that_changes_with_every_row_is_logged_once_with_the_remedy() {
    let simulator = scripted_simulator();
    for round in 0..14 {
        let rows: Vec<_> = (0..30)
            .map(|id| {
                format!(
                    r#"["u",17565372{:02}000000000,"ut-{id}","session {round}/{id}","v1",{round}]"#,
                    10 + round
                )
            })
            .collect();
        simulator.push_answer(Answer::text(format!(
            r#"{{"data":{{"values":[{}],"columnNamesByDeviceType":{{
                "u":["DeviceType","UtcTimestampNs","DeviceId","SessionToken","Version","Round"]}}}}}}"#,
            rows.join(",")
        )));
    }
    let (binary, address) = Binary::listening(&simulator, &[]).await;
    let round = r#"starlink_Round{device_type="u",deviceID="ut-0"}"#;
    shows(address, round, 13.0).await;
    let warnings: Vec<_> = binary
        .events_at("WARN")
        .into_iter()
        .filter(|event| event.text("columns").contains("SessionToken"))
        .collect();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].says("DROP_FIELDS"));
    assert!(!warnings[0].text("columns").contains("Version"));
}

#[actix_rt::test]
async fn column_lists_that_change_with_every_answer_are_logged_once_a_minute() {
    let simulator = scripted_simulator();
    for number in 0..20 {
        let clashes: Vec<_> = (0..60)
            .map(|at| format!("\"N{number}-{at}\",\"N{number}.{at}\""))
            .collect();
        simulator.push_answer(Answer::text(format!(
            r#"{{"data":{{"values":[["u",17565372{:02}000000000,"ut-a",{number}]],"columnNamesByDeviceType":{{
                "u":["DeviceType","UtcTimestampNs","DeviceId","Number",{}]}}}}}}"#,
            10 + number,
            clashes.join(",")
        )));
    }
    let (binary, address) = Binary::listening(&simulator, &[]).await;
    let number = r#"starlink_Number{device_type="u",deviceID="ut-a"}"#;
    shows(address, number, 19.0).await;
    eventually("all changes are counted", || async {
        let body = scrape(address, "prometheus").await;
        body.value(r#"starlink_exporter_schema_changes_total{account="default"}"#) == Some(19.0)
    })
    .await;
    for message in [
        "columns changed",
        "columns ignored: metric name already in use",
    ] {
        let events = binary.events_saying(message);
        assert_eq!(events.len(), 1, "{message}");
        assert!(events[0].text("columns").len() < 2000);
    }
    let longest = binary.stderr().lines().map(str::len).max();
    assert!(longest <= Some(4096), "{longest:?}");
}
