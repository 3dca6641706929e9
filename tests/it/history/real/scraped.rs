//! A Prometheus that scrapes the service and gets its rows, as "Scrape or write?" in docs/HISTORY.md says: nothing is there twice.

use std::collections::BTreeMap;

use super::programs::{Kind, Programs, Server, free_address};
use super::recipes::Recipe;
use super::*;

/// The first series, which another one equals but for `job` and `instance`, and the other one.
fn doubled(series: &[String]) -> Option<(&String, &String)> {
    let mut known = BTreeMap::new();
    series.iter().find_map(|text| {
        let (name, labels) = text.split_once('{').unwrap();
        let labels = labels.split(',');
        let is_of_source =
            |label: &&str| ["job=", "instance="].iter().any(|of| label.starts_with(of));
        let labels: Vec<_> = labels.filter(|label| !is_of_source(label)).collect();
        let labels = labels.join(",").trim_end_matches('}').to_owned();
        known
            .insert((name, labels), text)
            .map(|other| (other, text))
    })
}

/// A part of `prometheus.yml` that scrapes a service at this address every second.
fn scrapes(recipe: &Recipe, service: SocketAddr) -> String {
    let scrapes = recipe.yaml("scrape_configs");
    let target = "localhost:9100";
    assert!(scrapes.contains(target), "{scrapes}");
    let scrapes = scrapes.replace(target, &service.to_string());
    format!("global: {{scrape_interval: 1s}}\n{scrapes}")
}

#[actix_rt::test]
async fn a_server_that_scrapes_and_gets_rows_has_nothing_twice() {
    let Some(programs) = Programs::found() else {
        return;
    };
    let recipe = Recipe::of("Scrape or write?");
    let service = free_address();
    let scrapes = scrapes(&recipe, service);
    let server = Server::scraping(&programs, "new", Kind::Prometheus, "33h", &scrapes).await;
    let world = World::new(fleet(true), Model::victoria_metrics(), "33h");
    let list = recipe.destinations(server.address());
    let port = service.port().to_string();
    let changes = [("METRICS_PORT", port.as_str())];
    let (mut binary, _) = world.start_with(&list, &changes).await;
    world.hands_out(30).await;
    ends(&world.simulator).await;
    let expected = world.expected(Destination::default()).with_tolerance(1e-12);
    let problems = server.settle(&expected).await;
    assert!(problems.is_empty(), "{problems:#?}");

    let is_scraped = format!(r#"instance="{service}",job="starlink""#);
    let wanted = [
        ("up{", is_scraped.as_str()),
        ("starlink_up{", &is_scraped),
        ("process_", &is_scraped),
        ("starlink_exporter_", &is_scraped),
        // Sent by the service with the metrics that are left out here.
        ("starlink_online{", r#"job="starlink-telemetry""#),
        ("starlink_latitude{", r#"job="starlink-telemetry""#),
    ];
    let series = RefCell::default();
    eventually("scraped and written series", || async {
        let all = server
            .series(r#"{__name__=~"up|(starlink|process)_.+"}"#)
            .await;
        let has = |(name, labels): &(&str, &str)| {
            let mut all = all.iter();
            all.any(|series| series.starts_with(name) && series.contains(labels))
        };
        let has_all = wanted.iter().all(has);
        series.replace(all);
        has_all
    })
    .await;
    let series: Vec<String> = series.into_inner();
    assert_eq!(doubled(&series), None);
    println!("scraped and written: {} series, none twice", series.len());
    world.stop(&mut binary).await;
}
