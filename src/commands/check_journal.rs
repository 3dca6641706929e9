//! What `check-config` says about the journal: whether its disk is large enough, and whether the thresholds of its alert fit its bounds.

use std::path::Path;
use std::time::Duration;

use starlink_telemetry::config::Settings;
use starlink_telemetry::journal::retention::{Bounds, left_free};
use starlink_telemetry::journal::storage::Space;
use starlink_telemetry::journal::{Disk, Storage};
use starlink_telemetry::remote_write::{Destination, Window};

/// The bounds for which the thresholds of the alert are made. A window should not be shorter than their age, either.
const OF_ALERT: Bounds = Bounds {
    bytes: 10 << 30,
    age: Duration::from_secs(24 * 3600),
};

/// The lines about the journal, if anything is sent.
pub(super) fn lines(settings: &Settings) -> Vec<String> {
    let Some(recording) = &settings.recording else {
        return Vec::new();
    };
    let destinations = recording.destinations.iter();
    let destinations = destinations.map(|configured| &*configured.destination);
    let disk = space_of(&recording.directory);
    let disk = disk.and_then(|space| too_small(space, recording.bounds));
    let alert = thresholds(recording.bounds, destinations);
    disk.into_iter().chain(alert).collect()
}

/// The space of the file system of a directory, which may not exist yet; `None` if it cannot be read.
fn space_of(directory: &Path) -> Option<Space> {
    let existing = directory.ancestors().find(|path| path.is_dir());
    // The path may be relative, and then has an empty ancestor.
    let existing = existing.unwrap_or(Path::new("."));
    Disk::new(existing.to_owned()).space().ok()
}

fn too_small(space: Space, bounds: Bounds) -> Option<String> {
    let free = left_free(space);
    let gib = |bytes: u64| bytes as f64 / f64::from(1_u32 << 30);
    (space.total < bounds.bytes.saturating_add(free)).then(|| {
        format!(
            "JOURNAL_DIR: its file system has {:.1} GiB, of which {:.1} GiB are left free, but JOURNAL_MAX_BYTES is {:.1} GiB: rows that wait are deleted earlier",
            gib(space.total),
            gib(free),
            gib(bounds.bytes)
        )
    })
}

fn thresholds<'d>(
    bounds: Bounds,
    destinations: impl Iterator<Item = &'d Destination>,
) -> Option<String> {
    // Without a window, check-config says what is left out.
    let is_short = |destination: &&Destination| match destination.out_of_order_window {
        Window::Limited(window) => window < OF_ALERT.age && window > Duration::ZERO,
        Window::Unlimited => false,
    };
    let bytes = (bounds.bytes != OF_ALERT.bytes).then(|| "JOURNAL_MAX_BYTES".to_owned());
    let age = (bounds.age != OF_ALERT.age).then(|| "JOURNAL_MAX_AGE".to_owned());
    let windows = destinations.filter(is_short);
    let windows = windows.map(|it| format!("out_of_order_window of destination {}", it.name));
    let others: Vec<_> = bytes.into_iter().chain(age).chain(windows).collect();
    (!others.is_empty()).then(|| {
        format!(
            "alert StarlinkHistoryAtRisk: its thresholds are for JOURNAL_MAX_BYTES=10GiB, JOURNAL_MAX_AGE=24h and a window of at least 24h; change them to match {}",
            others.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_smaller_than_the_journal_is_reported() {
        for (gib, expected) in [(8, true), (10, true), (11, false), (100, false)] {
            let total = gib << 30;
            let line = too_small(Space { free: 0, total }, OF_ALERT);
            assert_eq!(line.is_some(), expected, "{gib}");
        }
        let line = too_small(
            Space {
                free: 0,
                total: 8 << 30,
            },
            OF_ALERT,
        )
        .unwrap();
        assert!(line.contains("has 8.0 GiB, of which 0.4 GiB"), "{line}");
    }

    #[test]
    fn the_space_of_a_directory_that_does_not_exist_is_that_of_its_ancestor() {
        let directory = tempfile::tempdir().unwrap();
        let space = space_of(&directory.path().join("a/b")).unwrap();
        assert_eq!(space.total, space_of(directory.path()).unwrap().total);
        assert!(space_of(Path::new("no-such-directory")).is_some());
    }

    #[test]
    fn other_bounds_need_other_thresholds() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        for (bytes, age, window, expected) in [
            (10 << 30, 24, Window::Limited(hours(33)), None),
            (10 << 30, 24, Window::Limited(Duration::ZERO), None),
            (10 << 30, 24, Window::Unlimited, None),
            (
                1 << 30,
                24,
                Window::Unlimited,
                Some("match JOURNAL_MAX_BYTES"),
            ),
            (
                10 << 30,
                48,
                Window::Unlimited,
                Some("match JOURNAL_MAX_AGE"),
            ),
            (
                1 << 30,
                2,
                Window::Limited(hours(2)),
                Some(
                    "match JOURNAL_MAX_BYTES, JOURNAL_MAX_AGE, out_of_order_window of destination a",
                ),
            ),
        ] {
            let mut a = Destination::new("a", "https://a.example/".parse().unwrap());
            a.out_of_order_window = window;
            let age = hours(age);
            let line = thresholds(Bounds { bytes, age }, [&a].into_iter());
            assert_eq!(line.is_some(), expected.is_some(), "{line:?}");
            if let (Some(line), Some(end)) = (line, expected) {
                assert!(line.ends_with(end), "{line}");
            }
        }
    }
}
