//! A pair writes to real receivers, and one of its instances is killed for a while: every row is there once, in series that do not differ
//! between the instances.

use std::collections::BTreeSet;

use super::super::pairs::Pair;
use super::programs::{Kind, Programs, Server};
use super::*;
use crate::receiver::Samples;

/// The values of the key `instance`. All rows are without it.
const INSTANCES: [&str; 2] = ["one", "two"];
const ROWS: &str = r#"instance="""#;
const OWN: &str = r#"instance!="""#;

/// The samples that a process has counted.
#[derive(Debug)]
struct Counts {
    accepted: f64,
    already_stored: f64,
    /// Those that failed for other reasons.
    lost: f64,
}

impl Counts {
    async fn of(address: SocketAddr) -> Self {
        let body = form::scrape(address, "prometheus").await;
        let failed = "starlink_exporter_remote_write_samples_failed_total";
        let failed = body.family(failed).unwrap().samples.iter();
        let is_stored = |series: &str| series.contains(r#"reason="already_stored""#);
        let (stored, lost): (Vec<_>, Vec<_>) = failed.partition(|(series, _)| is_stored(series));
        let sum = |samples: Vec<&(String, f64)>| samples.iter().map(|(_, value)| value).sum();
        Self {
            accepted: of_sender(&body, "samples_total", "default", "").unwrap(),
            already_stored: sum(stored),
            lost: sum(lost),
        }
    }

    /// The samples that the receiver has.
    fn stored(&self) -> f64 {
        self.accepted + self.already_stored
    }
}

/// Checks that the instances have written the same series: none has labels of an instance, and no device has two of one name. Those of
/// `starlink_info` change, but are never two at one time.
fn have_the_labels_of_devices(stored: &Samples) {
    let mut known = BTreeMap::new();
    let mut infos = BTreeSet::new();
    for (series, samples) in stored {
        let (name, labels) = series.split_once('{').unwrap();
        let labels = labels.trim_end_matches('}').split(',');
        let labels: BTreeMap<_, _> = labels.map(|label| label.split_once('=').unwrap()).collect();
        let device = (labels["device_type"], labels["deviceID"]);
        if name == "starlink_info" {
            for time in samples.keys() {
                assert!(infos.insert((device, *time)), "{series} at {time}");
            }
            continue;
        }
        let names: Vec<_> = labels.keys().copied().collect();
        assert_eq!(names, ["deviceID", "device_type", "job"], "{series}");
        let other = known.insert((name, device), series);
        assert_eq!(other, None, "the same as {series}");
    }
}

/// Checks that both instances have written series about themselves, and none of a device's rows.
async fn have_written_their_own(server: &Server, stored: &Samples) {
    let has_both = |own: &Samples| {
        INSTANCES.iter().all(|instance| {
            let label = format!(r#"instance="{instance}""#);
            let mut own = own.keys();
            own.any(|series| series.starts_with("starlink_up{") && series.contains(&label))
        })
    };
    eventually("own series of both", || async {
        has_both(&server.samples(OWN).await)
    })
    .await;
    let own = server.samples(OWN).await;
    let names = |samples: &Samples| -> BTreeSet<String> {
        let names = samples.keys().filter_map(|series| series.split('{').next());
        names.map(str::to_owned).collect()
    };
    let both: Vec<_> = names(&own).intersection(&names(stored)).cloned().collect();
    assert!(both.is_empty(), "with an instance and without: {both:?}");
}

async fn a_pair_writes_to(programs: &Programs, version: &str, kind: Kind, window: &'static str) {
    let destination = Destination {
        has_window: window != "0",
        ..Destination::default()
    };
    let pair = Pair::new(fleet(destination.has_window), window);
    let server = Server::start(programs, version, kind, window).await;
    let [one, two] = INSTANCES.map(|instance| {
        let (window, instance) = (
            format!("out_of_order_window: {window}"),
            format!("instance: {instance}"),
        );
        entry_at(
            "default",
            &server.write_url(),
            &["pair: true", &window, &instance],
        )
    });
    let (mut killed, address) = pair.first.start_with(&one, &[]).await;
    let (second, second_address) = pair.second.start_with(&two, &[]).await;
    pair.first.hands_out(60).await;
    pair.second.hands_out(20).await;
    reports(address, "samples_total", "", |it| it > 0.0).await;
    let before = Counts::of(address).await;

    pair.first.kill(&mut killed).await;
    let since = milliseconds(SystemTime::now());
    let of_the_killed = delivered(&pair.first.simulator, &[]).len();
    pair.second.hands_out(80).await;
    let so_far = pair.second.expected(destination).with_tolerance(1e-12);
    eventually("the rows of one, while the other is dead", || async {
        let missing = so_far.missing(&server.samples(ROWS).await, since);
        assert!(missing.rows >= 40, "{missing:?} while one is dead");
        missing.missing_samples == 0
    })
    .await;

    let (first, address) = pair.first.start_with(&one, &[]).await;
    pair.first.hands_out(120).await;
    pair.ends().await;
    // All rows are certain: the second instance has those that the first one lost.
    let expected = pair.second.expected(destination).with_tolerance(1e-12);
    let name = format!("a pair, {kind:?} {version}, window {window}");
    let problems = server.settle(&expected).await;
    assert!(problems.is_empty(), "{name}: {problems:#?}");
    for address in [address, second_address] {
        reports(address, "pending_rows", "", |it| it == 0.0).await;
    }
    let stored = server.samples(ROWS).await;
    have_the_labels_of_devices(&stored);
    have_written_their_own(&server, &stored).await;

    let (again, other) = (Counts::of(address).await, Counts::of(second_address).await);
    let count: usize = stored.values().map(BTreeMap::len).sum();
    println!(
        "{name}: {} rows and {count} samples are there once; before the kill, after it, and the other: {before:?}, {again:?}, {other:?}",
        expected.rows()
    );
    for counts in [&before, &again, &other] {
        assert_eq!(counts.lost, 0.0, "{counts:?}");
    }
    // Each is told that the receiver has all of its rows. Some samples more are stale markers, which no query gives.
    let answers = &delivered(&pair.first.simulator, &[])[of_the_killed..];
    let required = Expected::of(answers, destination).required();
    let with_markers = count as f64..=1.02 * count as f64;
    let is_whole = with_markers.contains(&other.stored());
    assert!(is_whole, "{other:?} of {count}");
    assert!(again.stored() >= required as f64, "{again:?} of {required}");
    match destination.has_window {
        true => assert!(again.accepted > 0.0, "{again:?}"),
        // What it missed while it was dead is older than what the other one has written.
        false => assert!(again.already_stored > 0.0, "{again:?}"),
    }
    for binary in [&first, &second] {
        assert_eq!(binary.events_at("ERROR").len(), 0, "{}", binary.stderr());
    }
}

/// One after another: each needs a core. Without a window, one instance is refused what the other one has stored.
#[actix_rt::test]
async fn a_pair_writes_every_row_once_to_real_receivers() {
    let Some(programs) = Programs::found() else {
        return;
    };
    for (version, kind, window) in [
        ("new", Kind::Prometheus, "33h"),
        ("new", Kind::Prometheus, "0"),
        ("new", Kind::VictoriaMetrics, "unlimited"),
    ] {
        a_pair_writes_to(&programs, version, kind, window).await;
    }
}
