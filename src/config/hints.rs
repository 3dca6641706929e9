//! Warnings about settings that are valid individually but make little sense together.

use std::time::Duration;

use super::reader::Reader;
use super::{FleetSettings, Settings};

/// The longest time between two allocation rows of a terminal from Starlink.
const ADDRESSES_EVERY: Duration = Duration::from_secs(300);

/// Adds the warnings about combinations of settings.
pub(super) fn give(reader: &mut Reader, settings: &Settings) {
    let accounts = settings.accounts.list().iter();
    let lingers = accounts.map(|account| account.max_linger);
    let longest = lingers.max().unwrap_or_default();
    for (setting, advice) in of(&settings.fleet, longest) {
        reader.warn(setting, advice);
    }
}

fn of(fleet: &FleetSettings, max_linger: Duration) -> Vec<(&'static str, &'static str)> {
    let FleetSettings {
        stale_after,
        ip_stale_after,
        forget_after,
        ..
    } = *fleet;
    let hints = [
        (
            stale_after <= max_linger,
            "STALE_AFTER",
            "it is not longer than MAX_LINGER, so devices can become stale between two answers: set it to a multiple of MAX_LINGER",
        ),
        (
            ip_stale_after < stale_after,
            "IP_STALE_AFTER",
            "it is shorter than STALE_AFTER, so addresses disappear from terminals that are online",
        ),
        (
            ip_stale_after < ADDRESSES_EVERY,
            "IP_STALE_AFTER",
            "it is shorter than 300 s, but Starlink sends addresses every 5 minutes, so they disappear in between",
        ),
        (
            forget_after < stale_after,
            "FORGET_AFTER",
            "it is shorter than STALE_AFTER, so devices are forgotten before they are shown as offline",
        ),
    ];
    let apply = hints.into_iter().filter(|(applies, ..)| *applies);
    apply
        .map(|(_, setting, advice)| (setting, advice))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::FieldFilter;

    #[test]
    fn combinations_that_make_little_sense_are_reported() {
        for (stale, ip_stale, forget, linger_ms, expected) in [
            (120, 900, 86_400, 15_000, &[][..]),
            (120, 300, 120, 65_000, &[]),
            (60, 900, 86_400, 60_000, &["STALE_AFTER"]),
            (1_000, 900, 86_400, 15_000, &["IP_STALE_AFTER"]),
            (120, 299, 86_400, 15_000, &["IP_STALE_AFTER"]),
            (120, 900, 119, 15_000, &["FORGET_AFTER"]),
            (
                2,
                1,
                1,
                2_000,
                &[
                    "STALE_AFTER",
                    "IP_STALE_AFTER",
                    "IP_STALE_AFTER",
                    "FORGET_AFTER",
                ],
            ),
        ] {
            let fleet = FleetSettings {
                include_routers: false,
                fields: FieldFilter::EVERYTHING,
                stale_after: Duration::from_secs(stale),
                ip_stale_after: Duration::from_secs(ip_stale),
                forget_after: Duration::from_secs(forget),
                max_devices: 1,
            };
            let hints = of(&fleet, Duration::from_millis(linger_ms));
            let settings: Vec<_> = hints.into_iter().map(|(setting, _)| setting).collect();
            assert_eq!(
                settings, expected,
                "{stale} {ip_stale} {forget} {linger_ms}"
            );
        }
    }
}
