//! Compares the samples, families and counts of the service with those of the model.

use super::*;

/// Checks that each sample is in exactly one shard.
pub(super) fn check_shards(snapshot: &Arc<Snapshot>) -> Outcome {
    let samples = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    let mut whole = samples(&written(snapshot, Shard::WHOLE));
    whole.sort_unstable();
    for total in ["2", "3"] {
        let mut shards = Vec::new();
        for shard in ["0", "1", "2"] {
            if let Ok(shard) = Shard::requested(Some(shard), Some(total)) {
                let text = written(snapshot, shard);
                read(&text, Format::Prometheus)?;
                shards.extend(samples(&text));
            }
        }
        shards.sort_unstable();
        same("the shards together", &shards, &whole)?;
    }
    Ok(())
}

pub(super) fn written(snapshot: &Arc<Snapshot>, shard: Shard) -> String {
    let telemetry = Telemetry::new(Format::Prometheus, Arc::clone(snapshot), shard);
    let text = Exposition::new(telemetry, Vec::new()).flatten().collect();
    String::from_utf8(text).unwrap()
}

/// The exporter's own families in the compared bodies, with their names in any format.
pub(super) const OWN: [&str; 6] = [
    "starlink_up",
    "starlink_exporter_polls",
    "starlink_exporter_polls_total",
    "starlink_exporter_build_info",
    "starlink_exporter_poll_duration_seconds",
    "starlink_exporter_devices",
];

pub(super) fn own_families() -> Vec<OwnFamily> {
    let build = vec![("version", "1\"\\\n".into()), ("revision", "x".into())];
    let histogram = OwnFamily::new(
        Kind::Histogram,
        "starlink_exporter_poll_duration_seconds",
        "How long \"polls\" took.",
    );
    vec![
        OwnFamily::new(Kind::Gauge, "starlink_up", "Whether it worked.")
            .value(1.0)
            .of_account(&"ship".into()),
        OwnFamily::new(Kind::Info, "starlink_exporter_build_info", "Which build.")
            .sample("", build, 1.0),
        OwnFamily::new(Kind::Counter, "starlink_exporter_polls_total", "Polls.").value(3.0),
        histogram
            .sample("_bucket", vec![("le", "+Inf".into())], 2.0)
            .sample("_sum", Vec::new(), 0.5)
            .sample("_count", Vec::new(), 2.0),
    ]
}

pub(super) fn check_samples(
    body: Body,
    format: Format,
    samples: &BTreeMap<Series, f64>,
    infos: &[Info],
) -> Outcome {
    let mut expected = samples.clone();
    let mut lines = Vec::new();
    for info in infos {
        if format == Format::Mixed {
            lines.push(info.line());
        } else {
            expected.insert(info.series(), 1.0);
        }
    }
    let mut shown = BTreeMap::new();
    for (series, value) in body.samples {
        if !OWN.iter().any(|own| series.0.starts_with(own)) {
            shown.insert(series, value);
        }
    }
    let mut shown_lines = body.lines;
    shown_lines.sort();
    lines.sort();
    same("the lines in line protocol", &shown_lines, &lines)?;
    for (series, value) in &expected {
        match shown.remove(series) {
            None => return Err(format!("missing: {series:?} {value}")),
            Some(other) if !equal(series, other, *value) => {
                return Err(format!("{series:?} is {other}, not {value}"));
            }
            Some(_) => {}
        }
    }
    same("what nobody expects", &shown, &BTreeMap::new())
}

/// Whether a value is the expected one. A time may be off by one step of `f64`, a quarter of a microsecond at present.
pub(super) fn equal(series: &Series, shown: f64, expected: f64) -> bool {
    let tolerance = if series.0 == "starlink_last_report_timestamp_seconds" {
        f64::EPSILON
    } else {
        0.0
    };
    (shown - expected).abs() <= tolerance * expected.abs()
}

/// The counts that are not 0.
pub(super) fn by_name<const N: usize>(
    names: [&'static str; N],
    counts: [u64; N],
) -> BTreeMap<&'static str, u64> {
    names
        .into_iter()
        .zip(counts)
        .filter(|(_, count)| *count > 0)
        .collect()
}

pub(super) fn same<T: PartialEq + std::fmt::Debug>(what: &str, shown: &T, expected: &T) -> Outcome {
    if shown == expected {
        return Ok(());
    }
    Err(format!(
        "{what}:\nshown    {shown:?}\nexpected {expected:?}"
    ))
}
