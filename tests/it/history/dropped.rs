//! Tests that what `LOCATION=off` and `DROP_FIELDS` leave out of `/metrics` is not sent either: no series, label, value or metadata of it.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::receiver::{Metadata, milliseconds};
use crate::wire;

/// The traces of the fields in names, labels, values and metadata.
const TRACES: [&str; 9] = [
    "latitude",
    "longitude",
    "location",
    "geohash",
    "h3cell",
    "quay-7391",
    "gh-5577",
    "serial",
    "ipv4",
];

/// The first digits of numbers: degrees, the cell, and the address.
const NUMBERS: [&str; 4] = ["41.42424", "71.91919", "599686", "3221225985"];

/// Positions in columns of every spelling, and fields that can be dropped.
fn answer(time: i64, uptime: u32) -> String {
    let time = time * 1_000_000;
    format!(
        r#"{{"data":{{"values":[
            ["u",{time},"ut-a",41.4242421,"-71.9191919","quay-7391",599686042433355775,"serial-8842","v7",{uptime}],
            ["i",{time},"ip-ut-a","gh-5577",["192.0.2.1"]]],
        "columnNamesByDeviceType":{{
            "u":["DeviceType","UtcTimestampNs","DeviceId","DishLatitude","longitude_deg","SiteLocation","H3CellId","Serial","Version","Uptime"],
            "i":["DeviceType","UtcTimestampNs","DeviceId","GeoHash","Ipv4"]}}}},
        "metadata":{{"enums":{{"DeviceType":{{"u":"UserTerminal"}}}}}}}}"#
    )
}

/// A series as it was sent: its text, the values that are not markers, and its metadata.
struct Sent {
    text: String,
    values: Vec<f64>,
    metadata: Option<Metadata>,
}

/// All series of all requests, those of the exporter itself included.
fn all_sent(receiver: &Receiver) -> Vec<Sent> {
    let mut sent = Vec::new();
    for request in receiver.requests() {
        for series in request.series() {
            let values = series.samples.iter().filter(|(_, bits)| *bits != STALE);
            sent.push(Sent {
                text: series.text.clone(),
                values: values.map(|(_, bits)| f64::from_bits(*bits)).collect(),
                metadata: series.metadata.clone(),
            });
        }
    }
    sent
}

/// The traces in what was sent.
fn traces(sent: &[Sent]) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    for series in sent {
        let help = series.metadata.as_ref().map_or("", |it| it.help.as_str());
        let text = format!("{} {help}", series.text).to_lowercase();
        // The help and the labels of its own series may name columns and settings.
        if !is_own(&series.text) {
            found.extend(TRACES.into_iter().filter(|trace| text.contains(trace)));
        }
        for value in &series.values {
            let digits = format!("{}", value.abs());
            found.extend(
                NUMBERS
                    .into_iter()
                    .filter(|number| digits.starts_with(number)),
            );
        }
    }
    found
}

/// A series with its labels in the order of their names, without those that only sent series have.
fn plain(series: &str) -> String {
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}').split("\",");
    let labels = labels.map(|label| label.trim_end_matches('"'));
    let is_common = |label: &&str| {
        let key = label.split('=').next().unwrap_or("");
        !["", "job", "instance"].contains(&key)
    };
    let mut labels: Vec<&str> = labels.filter(is_common).collect();
    labels.sort_unstable();
    format!("{name}{labels:?}")
}

/// The series of `/metrics` with this parameter, and the HELP of their families.
async fn shown(
    address: SocketAddr,
    parameter: &str,
) -> (BTreeSet<String>, BTreeMap<String, String>) {
    let target = format!("/metrics?format=prometheus{parameter}");
    let answer = wire::get(address, &target, &[]).await;
    let body = form::read(&answer.body, "prometheus");
    let families = body.families.iter();
    let series = families.flat_map(|family| &family.samples);
    let series = series.map(|(series, _)| plain(series)).collect();
    let families = body.families.iter();
    let help = families.map(|family| (family.name.clone(), family.help.clone()));
    (series, help.collect())
}

/// The HELP of the family of a series with this name.
fn family_help<'h>(help: &'h BTreeMap<String, String>, name: &str) -> Option<&'h String> {
    let suffixes = ["", "_bucket", "_sum", "_count"].into_iter();
    let mut families = suffixes.filter_map(|suffix| help.get(name.strip_suffix(suffix)?));
    families.next()
}

/// Sends two answers with these settings, and waits until they have arrived.
async fn sends(world: &World, settings: &[(&str, &str)]) -> (Binary, SocketAddr) {
    let (binary, address) = world.start(settings).await;
    let begin = milliseconds(SystemTime::now()) - 30_000;
    for (number, uptime) in [(0, 12), (1, 27)] {
        let time = begin + number * 15_000;
        world.simulator.push_body(&answer(time, uptime));
    }
    let last = begin + 15_000;
    let uptime =
        r#"starlink_Uptime{deviceID="ut-a",device_type="UserTerminal",job="starlink-telemetry"}"#;
    world
        .receiver
        .stores("the second row", |store| {
            store.value(uptime, last) == Some(27.0)
        })
        .await;
    (binary, address)
}

#[actix_rt::test]
async fn what_is_left_out_of_metrics_is_not_sent() {
    let everything: BTreeSet<_> = TRACES.into_iter().chain(NUMBERS).collect();
    let off: &[_] = &[("LOCATION", "off"), ("DROP_FIELDS", "Ser.*l, Ipv[46]")];
    let each = [Model::prometheus(WINDOW), Model::victoria_metrics()].map(|model| {
        let everything = &everything;
        async move {
            // Without the settings, each of the traces is found.
            let world = World::scripted(model, "33h");
            let (_binary, _) = sends(&world, &[]).await;
            assert_eq!(traces(&all_sent(&world.receiver)), *everything);

            let world = World::scripted(model, "33h");
            let (_binary, address) = sends(&world, off).await;
            // The first own set is sent before there is a device.
            let has_device = |series: &String| series.starts_with("starlink_online{");
            world
                .receiver
                .stores("an own set", |store| store.samples.keys().any(has_device))
                .await;
            let sent = all_sent(&world.receiver);
            assert_eq!(traces(&sent), BTreeSet::new());
            let is_online = |series: &Sent| series.text.starts_with("starlink_online{");
            let (rows, own): (Vec<&Sent>, Vec<&Sent>) = sent
                .iter()
                .partition(|series| !is_own(&series.text) || is_online(series));
            let texts = |sent: &[&Sent]| -> BTreeSet<String> {
                sent.iter().map(|series| plain(&series.text)).collect()
            };
            let (telemetry, _) = shown(address, "&collect[]=telemetry").await;
            assert_eq!(texts(&rows), telemetry);
            let (everything, help) = shown(address, "").await;
            let others: Vec<_> = texts(&own).difference(&everything).cloned().collect();
            assert_eq!(others, [""; 0]);
            for series in &sent {
                let name = series.text.split('{').next().unwrap_or("");
                let sent = series.metadata.as_ref().map(|it| &it.help);
                let is_shown = sent.is_none_or(|sent| family_help(&help, name) == Some(sent));
                assert!(is_shown, "{name}: {sent:?}");
            }
        }
    });
    join_all(each).await;
}
