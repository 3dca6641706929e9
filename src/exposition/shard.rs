//! Shards: several scrapes that each request a part of the fleet.

use thiserror::Error;

/// The most shards. Limited because a compressed body may be cached for each.
const MAX_SHARDS: u32 = 1024;

/// Invalid parameters. The message does not repeat them, because a response to a browser must not contain text of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("Invalid shard: need 0 <= shard < total_shards <= {MAX_SHARDS} (default 0 of 1).")]
pub struct UnknownShard;

/// A shard. The shards are disjoint and together contain all devices. Named as in kube-state-metrics, whose `--shard` counts
/// from 0 and whose `--total-shards` is 1 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard {
    index: u32,
    total: u32,
}

impl Shard {
    /// The only shard of one: all devices.
    pub const WHOLE: Self = Self { index: 0, total: 1 };

    /// Parses the parameters `shard` and `total_shards`; without them all devices are selected.
    ///
    /// # Errors
    /// One of them is not a number, or out of range.
    pub fn requested(
        shard: Option<&str>,
        total_shards: Option<&str>,
    ) -> Result<Self, UnknownShard> {
        let (shard, total_shards) = (shard.unwrap_or("0"), total_shards.unwrap_or("1"));
        Self::parse(shard, total_shards).ok_or(UnknownShard)
    }

    fn parse(shard: &str, total_shards: &str) -> Option<Self> {
        let number = |text: &str| {
            // `u32::from_str` also accepts a sign.
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
            is_plain.then(|| text.parse().ok()).flatten()
        };
        let (index, total) = (number(shard)?, number(total_shards)?);
        (index < total && total <= MAX_SHARDS).then_some(Self { index, total })
    }

    /// Whether a device with this hash belongs to the shard.
    #[must_use]
    pub fn holds(self, hash: u32) -> bool {
        self.total == 1 || hash % self.total == self.index
    }

    /// Whether it is the shard that also exports the exporter's own metrics.
    #[must_use]
    pub fn is_first(self) -> bool {
        self.index == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_select_a_shard() {
        for (shard, total, expected) in [
            (None, None, Some((0, 1))),
            (Some("0"), None, Some((0, 1))),
            (None, Some("4"), Some((0, 4))),
            (Some("3"), Some("4"), Some((3, 4))),
            (Some("1023"), Some("1024"), Some((1023, 1024))),
            (Some("0"), Some("1025"), None),
            (Some("4294967294"), Some("4294967295"), None),
            (Some("4"), Some("4"), None),
            (Some("1"), None, None),
            (Some("0"), Some("0"), None),
            (Some("-1"), Some("4"), None),
            (Some("+1"), Some("4"), None),
            (Some(""), Some("4"), None),
            (Some("1"), Some(""), None),
            (Some("one"), Some("4"), None),
            (Some("1"), Some("4294967296"), None),
        ] {
            let requested = Shard::requested(shard, total);
            let expected = expected.map(|(index, total)| Shard { index, total });
            assert_eq!(requested.ok(), expected, "{shard:?} of {total:?}");
        }
    }

    #[test]
    fn shards_are_disjoint_and_complete() {
        for total in [1, 2, 3, 7, MAX_SHARDS] {
            for hash in [0, 1, 5, 54_065_145, u32::MAX] {
                let shards = (0..total.min(10)).map(|index| Shard { index, total });
                let holding = shards.filter(|shard| shard.holds(hash)).count();
                assert_eq!(holding, usize::from(hash % total < 10), "{hash} of {total}");
            }
        }
    }
}
