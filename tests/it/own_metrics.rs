//! Tests of the exporter's own metrics: all exist from the start, each is changed only by its own event, and all are documented.

mod documented;
mod failures;
mod measured;
mod recorded;
mod start;

use crate::form::Body;

/// The count of a histogram whose buckets are in order, cumulative and complete.
pub fn observed(body: &Body, name: &str) -> f64 {
    let family = body.family(name).unwrap();
    let is_of_account = name.contains("poll");
    let (labels, only) = match is_of_account {
        true => (r#"account="default","#, r#"{account="default"}"#),
        false => ("", ""),
    };
    let bucket = |(series, count): &(String, f64)| {
        let bound = series
            .strip_prefix(&format!("{name}_bucket{{{labels}le=\""))?
            .strip_suffix("\"}")?;
        let bound = if bound == "+Inf" {
            f64::INFINITY
        } else {
            bound.parse().unwrap()
        };
        Some((bound, *count))
    };
    let buckets: Vec<_> = family.samples.iter().filter_map(bucket).collect();
    assert!(buckets.len() > 5);
    assert!(
        buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1),
        "{buckets:?}"
    );
    let (last, count) = *buckets.last().unwrap();
    assert!(last.is_infinite());
    if is_of_account {
        assert_eq!(buckets[buckets.len() - 2].0, 120.0, "a poll lingers");
    }
    assert_eq!(body.value(&format!("{name}_count{only}")), Some(count));
    let sum = body.value(&format!("{name}_sum{only}")).unwrap();
    assert!(
        sum >= 0.0 && (sum == 0.0 || count > 0.0),
        "{name}_sum {sum}"
    );
    count
}
