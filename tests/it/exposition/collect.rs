//! Tests of `collect[]`, which selects groups of families.

use super::*;
use crate::listed;

/// The group of a family. Names of infos end without `_info` in OpenMetrics.
fn group(name: &str) -> &'static str {
    let inventory = [
        "starlink_device_",
        "starlink_terminal",
        "starlink_router_terminal",
        "starlink_service_line",
        "starlink_data_pool_",
        "starlink_account",
    ];
    let exporter = ["starlink_up", "starlink_exporter_", "process_"];
    let is_of = |group: &[&str]| group.iter().any(|begin| name.starts_with(begin));
    match name {
        _ if is_of(&inventory) => "inventory",
        _ if is_of(&exporter) => "exporter",
        _ => "telemetry",
    }
}

/// The groups of a body, in its order, each once if its families are together.
fn groups(body: &form::Body) -> Vec<&'static str> {
    let mut groups: Vec<_> = body
        .families
        .iter()
        .map(|family| group(&family.name))
        .collect();
    groups.dedup();
    groups
}

/// The samples of a body in a text format, sorted.
fn samples(body: &str) -> Vec<&str> {
    let mut samples: Vec<_> = body.lines().filter(|line| !line.starts_with('#')).collect();
    samples.sort_unstable();
    samples
}

#[actix_rt::test]
async fn a_scrape_has_the_groups_that_it_asks_for() {
    let simulator = listed::simulator();
    let service = listed::service(&simulator).await;
    let all = &["telemetry", "inventory", "exporter"][..];
    for (query, expected) in [
        ("", all),
        ("&collect[]=telemetry", &["telemetry"]),
        ("&collect%5B%5D=inventory", &["inventory"]),
        ("&collect[]=exporter&collect[]=exporter", &["exporter"]),
        (
            "&collect[]=exporter&collect%5b%5d=telemetry",
            &["telemetry", "exporter"],
        ),
        (
            "&collect[]=exporter&collect[]=telemetry&collect[]=inventory",
            all,
        ),
    ] {
        for format in FORMATS {
            for account in ["", "&account=default"] {
                let target = format!("/metrics?format={format}{query}{account}");
                let plain = get(service.address, &target, &[]).await;
                let compressed =
                    get(service.address, &target, &[("Accept-Encoding", "gzip")]).await;
                assert_eq!((plain.status, compressed.status), (200, 200), "{target}");
                for text in [plain.body, gunzip(&compressed.bytes)] {
                    let body = form::read(&text, format);
                    assert_eq!(groups(&body), expected, "{target}");
                    let has_info = !body.info_lines.is_empty();
                    assert!(!has_info || expected.contains(&"telemetry"), "{target}");
                }
            }
        }
    }
}

#[actix_rt::test]
async fn the_shards_of_a_group_are_the_whole_group() {
    let simulator = listed::simulator();
    let service = listed::service(&simulator).await;
    let target = "/metrics?format=prometheus&collect[]=inventory";
    let whole = get(service.address, target, &[]).await.body;
    let shard = |shard| format!("{target}&total_shards=2&shard={shard}");
    let first = get(service.address, &shard(0), &[]).await.body;
    let second = get(service.address, &shard(1), &[]).await.body;
    for of_account in [
        "starlink_account_info",
        "starlink_service_line",
        "starlink_data_pool_",
    ] {
        assert!(first.contains(of_account), "{of_account}");
        assert!(!second.contains(of_account), "{of_account}");
    }
    let mut both = [samples(&first), samples(&second)].concat();
    both.sort_unstable();
    assert_eq!(both, samples(&whole));
}

#[actix_rt::test]
async fn an_unknown_group_is_refused() {
    let (_simulator, service) = service(&[]).await;
    for query in [
        "collect[]=",
        "collect[]=go",
        "collect%5B%5D=Telemetry",
        "collect[]=telemetry&collect[]=%3Cscript%3E",
    ] {
        let answer = get(service.address, &format!("/metrics?{query}"), &[]).await;
        let says = "Unknown value of collect[]: use telemetry, inventory or exporter.\n";
        assert_eq!((answer.status, &*answer.body), (400, says), "{query}");
    }
}

#[actix_rt::test]
async fn a_group_without_series_is_an_empty_body() {
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    for (format, expected) in [
        ("openmetrics", "# EOF\n"),
        ("prometheus", ""),
        (
            "mixed",
            "# starlink_info is in InfluxDB line protocol here: ?format=prometheus gives strict Prometheus text.\n",
        ),
    ] {
        for account in ["", "&account=default"] {
            let target = format!("/metrics?format={format}&collect[]=inventory{account}");
            let plain = get(service.address, &target, &[]).await;
            assert_eq!((plain.status, &*plain.body), (200, expected), "{target}");
            let compressed = get(service.address, &target, &[("Accept-Encoding", "gzip")]).await;
            assert_eq!(gunzip(&compressed.bytes), expected, "{target}");
        }
    }
}
