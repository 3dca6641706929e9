//! Tests of scrapes of a part: shards, and single accounts.

use std::collections::BTreeSet;

use super::*;

/// The samples of the devices, and whether the exporter's own metrics are shown.
fn samples(body: &str) -> (BTreeSet<String>, bool) {
    let lines = body.lines().filter(|line| !line.starts_with('#'));
    let (devices, own): (Vec<_>, Vec<_>) = lines.partition(|line| line.contains("deviceID="));
    (
        devices.into_iter().map(str::to_owned).collect(),
        !own.is_empty(),
    )
}

#[actix_rt::test]
async fn all_shards_together_are_the_whole_scrape_and_are_the_same_after_a_restart() {
    let mut before: Vec<BTreeSet<String>> = Vec::new();
    for _restart in 0..2 {
        let simulator = scripted_simulator();
        simulator.push_rows((0..600).map(|number| row(&format!("ut-{number}"))));
        let service = Service::start(&simulator, &[]).await;
        service.shows(&throughput("ut-599"), 1.5).await;
        let whole = get(service.address, "/metrics?shard=0&total_shards=1", &[]).await;
        let (mut missing, is_own) = samples(&whole.body);
        assert!(is_own && missing.len() >= 3 * 600);
        let mut shards = Vec::new();
        for shard in 0..4 {
            let target = format!("/metrics?format=mixed&total_shards=4&shard={shard}");
            let plain = get(service.address, &target, &[]).await;
            let compressed = get(service.address, &target, &[("Accept-Encoding", "gzip")]).await;
            form::read(&plain.body, "mixed");
            let (devices, is_own) = samples(&plain.body);
            assert_eq!(
                samples(&gunzip(&compressed.bytes)),
                (devices.clone(), is_own)
            );
            assert_eq!(is_own, shard == 0, "shard {shard}");
            assert!(devices.len() > 300, "shard {shard} has its part");
            for sample in &devices {
                assert!(missing.remove(sample), "{sample} stands in one shard");
            }
            shards.push(devices);
        }
        assert_eq!(missing, BTreeSet::new(), "each sample stands in a shard");
        if !before.is_empty() {
            assert_eq!(shards, before, "a restart moves no device");
        }
        before = shards;
    }
}

#[actix_rt::test]
async fn a_shard_that_does_not_exist_is_refused() {
    let (_simulator, service) = service(&[]).await;
    for query in [
        "shard=1",
        "shard=4&total_shards=4",
        "shard=-1&total_shards=4",
        "shard=%3Cscript%3E&total_shards=4",
        "shard=0&total_shards=0",
        "shard=0&total_shards=",
        "total_shards=4294967296",
        "shard=1&total_shards=1025",
    ] {
        let answer = get(service.address, &format!("/metrics?{query}"), &[]).await;
        assert_eq!(answer.status, 400, "{query}");
        let says = "Invalid shard: need 0 <= shard < total_shards <= 1024";
        assert!(answer.body.contains(says), "{query}: {}", answer.body);
        assert!(
            !answer.body.contains("script"),
            "what comes in does not go out"
        );
    }
}

#[actix_rt::test]
async fn a_repeated_parameter_is_refused() {
    let (_simulator, service) = service(&[]).await;
    for (name, query) in [
        ("account", "account=default&account=other"),
        ("account", "account=default&account=default"),
        ("format", "format=prometheus&format=mixed"),
        ("shard", "shard=0&total_shards=2&shard=1"),
        ("total_shards", "total_shards=2&shard=0&total_shards=3"),
    ] {
        let answer = get(service.address, &format!("/metrics?{query}"), &[]).await;
        assert_eq!(answer.status, 400, "{query}");
        let says = format!("parameter {name} is given more than once");
        assert!(answer.body.contains(&says), "{query}: {}", answer.body);
    }
}

#[actix_rt::test]
async fn an_account_is_scraped_alone() {
    let (_simulator, service) = service(&[]).await;
    for headers in [&[][..], &[("Accept-Encoding", "gzip")]] {
        let answer = get(
            service.address,
            "/metrics?format=prometheus&account=default",
            headers,
        )
        .await;
        assert_eq!(answer.status, 200);
    }
    let target = "/metrics?format=prometheus&account=default";
    let text = get(service.address, target, &[]).await.body;
    let body = form::read(&text, "prometheus");
    assert!(body.has(&throughput("ut-1")));
    assert!(body.has("starlink_up{account=\"default\"}"));
    let devices = "starlink_exporter_devices{account=\"default\",device_type=\"UserTerminal\",state=\"online\"}";
    assert!(body.has(devices), "{text}");
    for family in [
        "process_",
        "starlink_exporter_build_info",
        "starlink_exporter_scrapes",
    ] {
        assert!(!text.contains(family), "{family} describes the process");
    }
    let owned = text
        .lines()
        .filter(|line| line.starts_with("starlink_exporter_"));
    for line in owned {
        assert!(line.contains("{account=\"default\""), "{line}");
    }
    for name in ["", "other", "Default", "%3Cscript%3E"] {
        let target = format!("/metrics?account={name}");
        let answer = get(service.address, &target, &[]).await;
        assert_eq!(
            (answer.status, &*answer.body),
            (404, "Unknown account.\n"),
            "{name}"
        );
    }
}

#[actix_rt::test]
async fn an_account_without_devices_is_scraped_too() {
    let simulator = scripted_simulator();
    let service = Service::start(&simulator, &[]).await;
    let target = "/metrics?format=prometheus&account=default";
    let answer = get(service.address, target, &[]).await;
    assert_eq!(answer.status, 200);
    let body = form::read(&answer.body, "prometheus");
    assert!(body.has("starlink_exporter_polls_total{account=\"default\"}"));
    assert!(body.beginning("starlink_online").is_empty());
}
