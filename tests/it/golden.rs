//! Compares complete scrapes of a fixed batch, in each format, with golden files.
//!
//! `UPDATE_GOLDEN=1 cargo test --locked --test it golden` updates the files after an intended change. Review the difference in
//! `tests/golden/`.

use std::fs;
use std::path::PathBuf;

use starlink_telemetry::simulator::Simulator;

use crate::form::{FORMATS, scrape};
use crate::harness::{Service, scripted_simulator};
use crate::listed;
use crate::wire::get;

/// Families whose values depend on when and where the test runs.
const VOLATILE: [&str; 13] = [
    // The time of the answer, for lines without `lastUpdated`.
    "starlink_service_line_data_updated_timestamp_seconds{account=\"default\",service_line=\"SL-1\"}",
    "starlink_service_line_data_updated_timestamp_seconds{account=\"default\",service_line=\"SL-3\"}",
    "starlink_exporter_polls_total",
    "starlink_exporter_poll_duration_seconds",
    "starlink_exporter_last_poll_success_timestamp_seconds",
    "starlink_exporter_telemetry_lag_seconds",
    "starlink_exporter_clock_offset_seconds",
    "starlink_exporter_token_expiry_timestamp_seconds",
    "starlink_exporter_scrapes_total",
    "starlink_exporter_scrape_duration_seconds",
    "starlink_exporter_build_info",
    // Not every system has all of these: they are removed with HELP and TYPE.
    "process_",
    "# UNIT process_",
];

fn file(parts: &[&str]) -> PathBuf {
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.extend(["tests"].iter().chain(parts));
    path
}

/// A service that has stored `rows` terminals' rows of a fixture, all of one batch.
async fn after(fixture: &str, rows: f64, changes: &[(&str, &str)]) -> (Simulator, Service) {
    let body = fs::read_to_string(file(&["fixtures", "stream", fixture])).unwrap();
    let simulator = scripted_simulator();
    simulator.push_body(&body);
    // The next poll lingers, so that nothing is counted but the batch.
    let quiet = ("MAX_LINGER", "60000");
    let changes: Vec<_> = changes.iter().copied().chain([quiet]).collect();
    let service = Service::start(&simulator, &changes).await;
    service
        .shows(
            r#"starlink_exporter_rows_total{account="default",code="u"}"#,
            rows,
        )
        .await;
    (simulator, service)
}

/// A body without the values that differ between runs.
fn masked(body: &str) -> String {
    let mut masked = String::new();
    for line in body.split_inclusive('\n') {
        let named = line
            .trim_start_matches("# HELP ")
            .trim_start_matches("# TYPE ");
        let volatile = VOLATILE.iter().find(|name| named.starts_with(**name));
        match volatile {
            Some(name) if name.contains("process_") => {}
            Some(_) if !line.starts_with('#') => {
                let (series, _) = line.rsplit_once(' ').unwrap();
                let series = match series.split_once("build_info{") {
                    Some((before, _)) => format!("{before}build_info{{…}}"),
                    None => series.to_owned(),
                };
                masked.push_str(&format!("{series} …\n"));
            }
            _ => masked.push_str(line),
        }
    }
    masked
}

/// The part of a body before the exporter's own metrics.
fn telemetry(body: &str) -> &str {
    &body[..body.find("# HELP starlink_up ").unwrap()]
}

/// Compares with the golden file, or rewrites it if UPDATE_GOLDEN is set.
fn check(name: &str, found: &str) {
    let path = file(&["golden", name]);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(&path, found).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap();
    let mut pairs = expected.split('\n').zip(found.split('\n')).enumerate();
    let first = pairs.find(|(_, (expected, found))| expected != found);
    assert!(
        expected == found,
        "{} differs, first (line from 0, expected, found) at {first:?}",
        path.display()
    );
}

#[actix_rt::test]
async fn golden_example() {
    let (_simulator, service) = after("example.json", 1.0, &[]).await;
    for format in FORMATS {
        check(
            &format!("example.{format}.txt"),
            &masked(&scrape(service.address, format).await.text),
        );
    }
}

/// The samples that the specification gives for this batch, so that the golden files cannot deviate from it.
#[actix_rt::test]
async fn golden_example_has_the_samples_of_the_specification() {
    let (_simulator, service) = after("example.json", 1.0, &[]).await;
    let labels = r#"device_type="UserTerminal",deviceID="ut01000000-00000000-00aa0001""#;
    let text = r#"runningsoftwareversion="2025.08.11.mr61518",accountnumber="ACC-1""#;
    for format in FORMATS {
        let body = scrape(service.address, format).await;
        let mut expected: Vec<_> = [
            ("DownlinkThroughput", 0.115),
            ("PingLatencyMsAvg", 21.0),
            ("InTerritorialWaters", 1.0),
            ("H3CellId", 599_686_042_433_355_775_u64 as f64),
            ("Ipv4_numeric", 3_221_225_985.0),
            ("Ipv6Ue_numeric", 3_236_962_502_705_421.0),
            ("alert_active_software_update_reboot_pending", 1.0),
            ("last_report_timestamp_seconds", 1_756_537_212.0),
            ("online", 1.0),
        ]
        .map(|(name, value)| (format!("starlink_{name}{{{labels}}}"), value))
        .to_vec();
        let account = format!("starlink_device_account{{{labels},account=\"default\"}}");
        expected.push((account, 1.0));
        let line = "starlink_info,device_type=UserTerminal,deviceID=ut01000000-00000000-00aa0001";
        if format == "mixed" {
            assert_eq!(body.info_lines, [format!("{line} {text}")]);
        } else {
            expected.push((format!("starlink_info{{{labels},{text}}}"), 1.0));
        }
        for (series, value) in &expected {
            assert_eq!(body.value(series), Some(*value), "{series} {format}");
        }
        // Latitude and longitude to the digits that are documented.
        for (name, degrees) in [("latitude", 37.345_793_4), ("longitude", -121.976_376)] {
            let found = body.value(&format!("starlink_{name}{{{labels}}}")).unwrap();
            assert!((found - degrees).abs() < 1e-6, "{name} {found}");
        }
        let devices = body.families.iter().flat_map(|family| &family.samples);
        let devices = devices.filter(|(series, _)| series.contains("deviceID="));
        assert_eq!(devices.count(), expected.len() + 2, "and no others");
    }
}

#[actix_rt::test]
async fn golden_fleet() {
    let (_simulator, service) = after("fleet.json", 4.0, &[("INCLUDE_ROUTERS", "true")]).await;
    for format in FORMATS {
        check(
            &format!("fleet.{format}.txt"),
            telemetry(&scrape(service.address, format).await.text),
        );
    }
}

#[actix_rt::test]
async fn golden_fleet_without_routers_and_locations() {
    let (_simulator, service) = after("fleet.json", 4.0, &[("LOCATION", "off")]).await;
    check(
        "fleet-terminals.prometheus.txt",
        telemetry(&scrape(service.address, "prometheus").await.text),
    );
}

#[actix_rt::test]
async fn golden_hostile_texts() {
    let (_simulator, service) = after("hostile.json", 3.0, &[]).await;
    for format in FORMATS {
        check(
            &format!("hostile.{format}.txt"),
            telemetry(&scrape(service.address, format).await.text),
        );
    }
}

#[actix_rt::test]
async fn golden_inventory() {
    let simulator = listed::simulator();
    let service = listed::service(&simulator).await;
    for format in FORMATS {
        let target = format!("/metrics?format={format}&collect[]=inventory");
        let body = get(service.address, &target, &[]).await.body;
        check(&format!("inventory.{format}.txt"), &masked(&body));
    }
}
