//! From answers to requests without a journal and a sender: the samples are those that the tests of the whole expect, and differences are
//! found.

use starlink_telemetry::history::{
    Content, Encoder, History, Input, Options as HistoryOptions, Protocol as Version,
};
use starlink_telemetry::telemetry::{Batch, SchemaCache, decode};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::expected::{Delivered, Missing};
use super::*;
use crate::harness::Service;
use crate::receiver::{Message, Samples};

/// The answers with the rows of a fleet.
async fn answers(include_routers: &str) -> Vec<Delivered> {
    let simulator = Simulator::start(Options {
        routers: true,
        ..fleet(true)
    })
    .unwrap();
    let changes = [("INCLUDE_ROUTERS", include_routers)];
    let _service = Service::start(&simulator, &changes).await;
    let wanted = |journal: &_| rows_of(journal) >= 400;
    crate::harness::journal(&simulator, "rows are handed out", wanted).await;
    simulator.unplug();
    delivered(&simulator, &[])
}

/// The samples of a sender that sends each time slice of an answer in one request.
fn sent(answers: &[Delivered], protocol: Version, include_routers: bool) -> Samples {
    let options = HistoryOptions::standard(include_routers);
    let mut encoder = Encoder::new(&options.labels);
    let mut history = History::new(Arc::new(options));
    let mut schemas = SchemaCache::default();
    let received = crate::receiver::milliseconds(SystemTime::now()) * 1_000_000;
    let mut samples = Samples::new();
    for delivered in answers {
        let (rows, metadata) = decode(delivered.answer.body().into()).unwrap();
        let schema = schemas.resolve(&metadata).schema;
        let batch = Batch { rows, schema };
        let slice = history.read(&Input {
            received,
            covers: 100,
            content: Content::Answer(&batch),
        });
        let header = |name: &str| {
            let value = match name {
                "content-type" => protocol.content_type(),
                "x-prometheus-remote-write-version" => protocol.version(),
                "content-encoding" => "snappy",
                _ => "starlink-telemetry/test",
            };
            Some(value.to_owned())
        };
        // In a time slice, rows are in the order of their hashes.
        for rows in slice.rows().chunk_by(|one, other| one.hash < other.hash) {
            let rows = rows.iter().map(|row| (&slice, row));
            let body = encoder.rows(protocol, rows).unwrap().body;
            let message = Message::read(&header, &body).unwrap();
            assert_eq!(message.violations, [""; 0]);
            let names: BTreeSet<_> = message.series.iter().map(|series| &series.text).collect();
            assert_eq!(names.len(), message.series.len(), "a series occurs twice");
            for series in message.series {
                let known = samples.entry(series.text).or_default();
                known.extend(series.samples);
            }
        }
    }
    samples
}

#[actix_rt::test]
async fn the_samples_of_a_fleet_are_those_of_the_specification() {
    for (setting, include_routers) in [("true", true), ("false", false)] {
        let answers = answers(setting).await;
        let destination = Destination {
            include_routers,
            ..Destination::default()
        };
        let expected = Expected::of(&answers, destination);
        for protocol in [Version::V1, Version::V2] {
            let mut samples = sent(&answers, protocol, include_routers);
            assert!(expected.rows() > 100 && expected.required() > 1000);
            assert_eq!(expected.problems(&samples), [""; 0]);
            let missing = expected.missing(&samples, 0);
            let all = Missing {
                rows: expected.rows(),
                samples: expected.required(),
                ..Missing::default()
            };
            assert_eq!(missing, all);
            let has = |name: &str| samples.keys().any(|series| series.starts_with(name));
            assert_eq!(has("starlink_WifiUptimeS"), include_routers);
            assert!(has("starlink_Ipv4_numeric{") && has("starlink_info{"));
            for marker in expected.markers() {
                let bits = samples[&marker.series][&marker.time];
                assert_eq!(bits, STALE, "{marker:?}");
            }
            differences_are_found(&expected, &mut samples);
        }
    }
}

/// A scrape has the newest row of a device at its own time, and labels of its own: the samples that are left out there are missing.
#[actix_rt::test]
async fn samples_that_no_scrape_has_are_missing() {
    let answers = answers("false").await;
    let expected = Expected::of(&answers, Destination::default());
    let samples = sent(&answers, Version::V1, false);
    let scraped: Samples = samples
        .into_iter()
        .filter(|(series, _)| !series.starts_with("starlink_latitude{"))
        .map(|(series, points)| {
            let series = series.replace("job=", "instance=\"localhost:9100\",job=");
            let points = points.into_iter().map(|(time, bits)| (time + 3, bits));
            (series, points.collect())
        })
        .collect();
    let all = expected.missing(&scraped, 0);
    assert_eq!(all.missing_rows, 0);
    // Some rows lack the place.
    assert!(
        (all.rows / 2..=all.rows).contains(&all.missing_samples),
        "{all:?}"
    );
    // Without some of the last reports, their rows are missing with all samples.
    let reports: Vec<_> = scraped
        .keys()
        .filter(|series| series.starts_with("starlink_last_report"))
        .collect();
    let mut fewer = scraped.clone();
    let lost: usize = reports
        .into_iter()
        .map(|series| {
            let points = fewer.get_mut(series).unwrap();
            let lost = points.len() / 2;
            points.retain({
                let mut number = 0;
                move |_, _| {
                    number += 1;
                    number > lost
                }
            });
            lost
        })
        .sum();
    let less = expected.missing(&fewer, 0);
    assert!(lost > 50);
    assert_eq!(less.missing_rows, lost);
    assert!(
        less.missing_samples > all.missing_samples + 5 * lost,
        "{less:?}"
    );
    assert!(less.missing_samples < less.samples, "{less:?}");
}

/// Changes the samples in each way, and changes them back.
fn differences_are_found(expected: &Expected, samples: &mut Samples) {
    let find = |samples: &Samples, beginning: &str, least: usize| {
        let mut found = samples.iter().filter(|(_, points)| points.len() >= least);
        let (series, points) = found
            .find(|(series, points)| {
                series.starts_with(beginning) && points.values().all(|bits| *bits != STALE)
            })
            .unwrap();
        (series.clone(), points.clone())
    };
    for beginning in [
        "starlink_latitude{",
        "starlink_last_report",
        "starlink_Ipv4_numeric{",
    ] {
        let (series, points) = find(samples, beginning, 3);
        let (&time, &bits) = points.iter().nth(1).unwrap();
        let (&later, _) = points.iter().nth(2).unwrap();
        let mut changed = |change: &dyn Fn(&mut BTreeMap<i64, u64>) -> Option<u64>| {
            change(samples.get_mut(&series).unwrap());
            let problems = expected.problems(samples);
            samples.insert(series.clone(), points.clone());
            problems.len()
        };
        assert!(changed(&|_| None) == 0);
        assert!(changed(&|points| points.remove(&time)) > 0);
        let other = (f64::from_bits(bits) + 1.0).to_bits();
        assert!(changed(&|points| points.insert(time, other)) > 0);
        assert!(changed(&|points| points.insert(later + 7, bits)) > 0);
        assert!(changed(&|points| points.insert(time, STALE)) > 0);
        assert!(changed(&|points| std::mem::take(points).pop_first().map(|point| point.1)) > 0);
    }
    let (series, points) = find(samples, "starlink_info{", 1);
    samples.remove(&series);
    assert!(!expected.problems(samples).is_empty());
    samples.insert(series.replace("version=\"", "version=\"x"), points.clone());
    assert!(!expected.problems(samples).is_empty());
    samples.remove(&series.replace("version=\"", "version=\"x"));
    samples.insert(series, points);
    samples.insert("starlink_nothing{}".to_owned(), BTreeMap::from([(0, 0)]));
    assert!(!expected.problems(samples).is_empty());
    samples.remove("starlink_nothing{}");
    assert_eq!(expected.problems(samples), [""; 0]);
}
