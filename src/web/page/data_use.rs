//! Data use in words, with a bar for its share of a limit.

use super::format::{age, date, gigabytes, moment, percent};
use super::level::Level;
use crate::view::DataUse;

/// From this share of a limit on, the use is marked. The first alert has the same threshold.
const NOTICE: f64 = 0.8;

/// A share of a limit, as a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bar {
    /// The length in percent, at most 100.
    pub length: u8,
    /// The level.
    pub level: Level,
}

impl Bar {
    /// The bar of a share.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a saturating `as` cast is wanted"
    )]
    pub fn of(share: f64) -> Self {
        Self {
            length: (share * 100.0).clamp(0.0, 100.0) as u8,
            level: match share {
                1.0.. => Level::Bad,
                NOTICE.. => Level::Notice,
                _ => Level::Good,
            },
        }
    }
}

/// Data use in one cell of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseCell {
    /// The share of the limit; `None` without a limit.
    pub bar: Option<Bar>,
    /// The share, or the bytes without a limit.
    pub text: String,
    /// The limit.
    pub limit: Option<String>,
}

impl UseCell {
    /// The cell of a line; `None` if neither a share nor bytes are known.
    #[must_use]
    pub fn of(data_use: &DataUse) -> Option<Self> {
        let total = || data_use.total_bytes.map(gigabytes);
        match data_use.limit_share {
            Some(share) => Some(Self {
                bar: Some(Bar::of(share)),
                text: percent(share),
                limit: data_use.limit_bytes.map(gigabytes),
            }),
            None => Some(Self {
                bar: None,
                text: total()?,
                limit: None,
            }),
        }
    }
}

/// The data use of a line, as the page of a device shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseSection {
    /// The share of the limit; `None` without a limit.
    pub bar: Option<Bar>,
    /// The use and the limit.
    pub summary: String,
    /// The use by category, overage, billing cycle and time of the numbers.
    pub facts: Vec<(&'static str, String)>,
}

impl UseSection {
    /// The section at a time in seconds since 1970.
    #[must_use]
    pub fn of(data_use: &DataUse, now: f64) -> Self {
        let opted_in = match data_use.overage_opted_in {
            Some(true) => " (opted in)",
            Some(false) => " (not opted in)",
            None => "",
        };
        let cycle = match (
            data_use.cycle_start_timestamp_seconds,
            data_use.cycle_end_timestamp_seconds,
        ) {
            (Some(start), Some(end)) => Some(format!("{} to {}", date(start), date(end))),
            (Some(start), None) => Some(format!("from {}", date(start))),
            (None, Some(end)) => Some(format!("to {}", date(end))),
            (None, None) => None,
        };
        let updated = data_use.updated_timestamp_seconds;
        let facts = [
            ("Priority", data_use.priority_bytes.map(gigabytes)),
            (
                "Opt-in priority",
                data_use.opt_in_priority_bytes.map(gigabytes),
            ),
            ("Standard", data_use.standard_bytes.map(gigabytes)),
            ("Not billed", data_use.non_billable_bytes.map(gigabytes)),
            (
                "Overage",
                data_use
                    .overage_bytes
                    .map(|bytes| format!("{}{opted_in}", gigabytes(bytes))),
            ),
            ("Billing cycle", cycle),
            (
                "Updated",
                updated.map(|at| format!("{} ago ({})", age(now - at), moment(at))),
            ),
        ];
        Self {
            bar: data_use.limit_share.map(Bar::of),
            summary: summary(data_use),
            facts: facts
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
        }
    }
}

fn summary(data_use: &DataUse) -> String {
    match (
        data_use.limit_share,
        data_use.limit_bytes,
        data_use.total_bytes,
    ) {
        (Some(share), Some(limit), _) => format!(
            "{} of {} of priority data ({})",
            gigabytes(share * limit),
            gigabytes(limit),
            percent(share)
        ),
        (.., Some(total)) => format!("{}, without a limit of its own", gigabytes(total)),
        _ => "not known".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_end_at_the_limit_and_have_the_levels_of_the_alerts() {
        for (share, length, level) in [
            (0.0, 0, Level::Good),
            (0.004, 0, Level::Good),
            (0.799, 79, Level::Good),
            (0.8, 80, Level::Notice),
            (0.9999, 99, Level::Notice),
            (1.0, 100, Level::Bad),
            (7.5, 100, Level::Bad),
            (f64::INFINITY, 100, Level::Bad),
            (-1.0, 0, Level::Good),
        ] {
            assert_eq!(Bar::of(share), Bar { length, level }, "{share}");
        }
    }

    #[test]
    fn a_section_has_what_is_known() {
        let limited = DataUse {
            priority_bytes: Some(742.5e9),
            opt_in_priority_bytes: Some(0.0),
            standard_bytes: Some(12.3e9),
            total_bytes: Some(754.75e9),
            limit_bytes: Some(1e12),
            limit_share: Some(0.7425),
            overage_bytes: Some(40e9),
            overage_opted_in: Some(false),
            cycle_start_timestamp_seconds: Some(1_767_225_645.0),
            cycle_end_timestamp_seconds: Some(1_769_904_000.0),
            updated_timestamp_seconds: Some(1_767_225_600.0),
            ..DataUse::default()
        };
        let section = UseSection::of(&limited, 1_767_225_900.0);
        assert_eq!(
            section.summary,
            "743 GB of 1,000 GB of priority data (74 %)"
        );
        let facts: Vec<_> = section
            .facts
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        assert_eq!(
            facts,
            [
                "Priority: 743 GB",
                "Opt-in priority: 0 GB",
                "Standard: 12.3 GB",
                "Overage: 40 GB (not opted in)",
                "Billing cycle: 2026-01-01 to 2026-02-01",
                "Updated: 5 min ago (2026-01-01 00:00:00 UTC)",
            ]
        );
        let free = DataUse {
            total_bytes: Some(3e9),
            ..DataUse::default()
        };
        let section = UseSection::of(&free, 0.0);
        assert_eq!(
            (section.bar, &*section.summary),
            (None, "3 GB, without a limit of its own")
        );
        assert_eq!(
            UseSection::of(&DataUse::default(), 0.0).summary,
            "not known"
        );
        assert_eq!(UseCell::of(&DataUse::default()), None);
    }
}
