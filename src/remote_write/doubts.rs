//! Settings of destinations that are valid, but have no effect or cannot work.

use regex_lite::Regex;
use secrecy::ExposeSecret;

use super::destination::Destination;

/// Families of rows, some of each kind.
const OF_ROWS: [&str; 8] = [
    "starlink_Uptime",
    "starlink_DownlinkThroughput",
    "starlink_WifiUptimeS",
    "starlink_alert_active_x",
    "starlink_info",
    "starlink_last_report_timestamp_seconds",
    "starlink_latitude",
    "starlink_Ipv4_numeric",
];

/// Families of the exporter's own metrics, some of each kind.
const OWN: [&str; 7] = [
    "starlink_up",
    "starlink_online",
    "starlink_device_name",
    "starlink_terminal_info",
    "starlink_service_line_info",
    "starlink_exporter_polls_total",
    "process_cpu_seconds_total",
];

/// What may be wrong with destinations. Each text begins with the name of one, and has no secrets.
pub fn doubts(destinations: &[&Destination]) -> Vec<String> {
    let mut doubts = Vec::new();
    for (index, destination) in destinations.iter().enumerate() {
        let name = &destination.name;
        if is_nothing_sent(destination) {
            doubts.push(format!(
                "destination {name}: nothing is sent, because keep and drop leave out all metrics: an expression must match the whole name, such as starlink_.*"
            ));
        }
        if destination.allow_insecure && destination.url.scheme() == "https" {
            doubts.push(format!(
                "destination {name}: allow_insecure has no effect with https: leave it out"
            ));
        }
        let is_same = |other: &&&Destination| is_twice(destination, other);
        if let Some(first) = destinations[..index].iter().find(is_same) {
            doubts.push(format!(
                "destination {name}: samples are sent twice, because destination {} has the same url, labels and tenant",
                first.name
            ));
        }
    }
    doubts
}

/// Whether no metric is sent. Starlink may add fields, so an expression of `keep` that names anything that begins as metrics do may match.
fn is_nothing_sent(destination: &Destination) -> bool {
    let keep = destination.names.keep();
    let is_kept = |name: &str| keep.is_empty() || keep.iter().any(|one| one.is_match(name));
    let may_match = |expression: &Regex| {
        let text = expression.as_str();
        text.contains("starlink_") || text.contains("process_")
    };
    let is_known = OF_ROWS.iter().chain(&OWN).any(|name| is_kept(name));
    match is_known {
        true => sent(destination).next().is_none(),
        false => !keep.iter().any(may_match),
    }
}

/// Which of the known families are sent.
fn sent(destination: &Destination) -> impl Iterator<Item = &'static str> {
    let own = OWN.iter().filter(|_| destination.own_metrics);
    let all = OF_ROWS.iter().chain(own).copied();
    all.filter(|name| destination.sends(name))
}

/// Whether two destinations send samples of the same series to the same receiver.
fn is_twice(one: &Destination, other: &Destination) -> bool {
    let headers = |destination: &Destination| {
        let headers = destination.headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), value.expose_secret().to_owned()));
        headers.collect::<Vec<_>>()
    };
    one.url == other.url
        && one.labels == other.labels
        && one.tenant == other.tenant
        && one.tenant_header == other.tenant_header
        // Receivers may tell tenants by these.
        && one.authentication == other.authentication
        && headers(one) == headers(other)
        && sent(one).any(|name| sent(other).any(|it| it == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::NameFilter;
    use crate::remote_write::Tenant;
    use crate::telemetry::fields::anchored;

    type Change = fn(&mut Destination);

    fn destination(name: &str) -> Destination {
        Destination::new(name, "https://a.example/write".parse().unwrap())
    }

    fn expressions(texts: &[&str]) -> Vec<Regex> {
        texts.iter().map(|text| anchored(text).unwrap()).collect()
    }

    #[test]
    fn a_selection_without_any_metric_is_doubted() {
        for (keep, drop, own_metrics, expected) in [
            (&[][..], &[][..], true, false),
            (&["starlink"], &[], true, true),
            (&["Uptime", "up"], &[], true, true),
            (&["starlink", "starlink_up"], &[], true, false),
            (&["starlink_.*"], &[], false, false),
            (&["starlink_New"], &[], true, false),
            (&["process_.*"], &[], true, false),
            (&["process_.*"], &[], false, true),
            (&[], &[".*"], true, true),
            (&[], &["starlink_.*"], true, false),
            (&[], &["starlink_.*"], false, true),
            (&["starlink_up"], &["starlink_.*"], true, true),
        ] {
            let mut a = destination("a");
            a.names = NameFilter::new(expressions(keep), expressions(drop));
            a.own_metrics = own_metrics;
            let doubts = doubts(&[&a]);
            assert_eq!(doubts.len(), usize::from(expected), "{keep:?} {drop:?}");
            assert!(
                doubts
                    .iter()
                    .all(|it| it.starts_with("destination a: nothing is sent"))
            );
        }
    }

    #[test]
    fn allow_insecure_is_for_http() {
        for (url, is_allowed, expected) in [
            ("https://a.example/", true, 1),
            ("https://a.example/", false, 0),
            ("http://a.example/", true, 0),
        ] {
            let mut a = Destination::new("a", url.parse().unwrap());
            a.allow_insecure = is_allowed;
            assert_eq!(doubts(&[&a]).len(), expected, "{url} {is_allowed}");
        }
    }

    #[test]
    fn two_destinations_for_the_same_series_are_doubted() {
        let changes: [(Change, bool); 6] = [
            (|_| {}, true),
            (|other| other.max_shards = 1, true),
            (|other| other.tenant = Tenant::Fixed("t".to_owned()), false),
            (|other| other.labels.clear(), false),
            (
                |other| other.headers.push(("X-Key".to_owned(), "x".into())),
                false,
            ),
            (
                |other| {
                    let keep = expressions(&["starlink_exporter_.*"]);
                    other.names = NameFilter::new(keep, Vec::new());
                },
                false,
            ),
        ];
        for (index, (change, expected)) in changes.into_iter().enumerate() {
            let (mut first, mut other) = (destination("first"), destination("other"));
            first.names = NameFilter::new(Vec::new(), expressions(&["starlink_exporter_.*"]));
            change(&mut other);
            let doubts = doubts(&[&first, &other]);
            assert_eq!(doubts.len(), usize::from(expected), "{index}: {doubts:?}");
            let names = ["destination other: ", "destination first has"];
            assert!(
                doubts
                    .iter()
                    .all(|doubt| names.iter().all(|it| doubt.contains(it)))
            );
        }
    }
}
