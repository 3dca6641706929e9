//! Which devices a scrape asks for, where several scrapes share a fleet out.

use thiserror::Error;

/// The parameters name no shard. What they said is not repeated: an answer to a browser shows nothing that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "no such shard: total_shards is a number from 1 to 4294967295 (1 if it is absent), shard one from 0 to total_shards - 1 (0 if it is absent)"
)]
pub struct UnknownShard;

/// One of several disjoint parts of the fleet that are complete together. Named as in kube-state-metrics, whose
/// `--shard` counts from 0 and whose `--total-shards` is 1 where nothing is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard {
    index: u32,
    total: u32,
}

impl Shard {
    /// All devices.
    pub const WHOLE: Self = Self { index: 0, total: 1 };

    /// The shard that the parameters `shard` and `total_shards` ask for; all devices where neither is given.
    ///
    /// # Errors
    /// When one of them is no number, or there is no such shard.
    pub fn requested(
        shard: Option<&str>,
        total_shards: Option<&str>,
    ) -> Result<Self, UnknownShard> {
        let (shard, total_shards) = (shard.unwrap_or("0"), total_shards.unwrap_or("1"));
        Self::parse(shard, total_shards).ok_or(UnknownShard)
    }

    fn parse(shard: &str, total_shards: &str) -> Option<Self> {
        let number = |text: &str| {
            // `u32::from_str` takes a sign, too.
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
            is_plain.then(|| text.parse().ok()).flatten()
        };
        let (index, total) = (number(shard)?, number(total_shards)?);
        (index < total).then_some(Self { index, total })
    }

    /// Whether a device belongs to it, by the device's hash.
    #[must_use]
    pub fn holds(self, hash: u32) -> bool {
        self.total == 1 || hash % self.total == self.index
    }

    /// Whether it is the one that tells about the exporter itself.
    #[must_use]
    pub fn is_first(self) -> bool {
        self.index == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_name_a_shard() {
        for (shard, total, expected) in [
            (None, None, Some((0, 1))),
            (Some("0"), None, Some((0, 1))),
            (None, Some("4"), Some((0, 4))),
            (Some("3"), Some("4"), Some((3, 4))),
            (
                Some("4294967294"),
                Some("4294967295"),
                Some((4_294_967_294, u32::MAX)),
            ),
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
        for total in [1, 2, 3, 7, u32::MAX] {
            for hash in [0, 1, 5, 54_065_145, u32::MAX] {
                let shards = (0..total.min(10)).map(|index| Shard { index, total });
                let holding = shards.filter(|shard| shard.holds(hash)).count();
                assert_eq!(holding, usize::from(hash % total < 10), "{hash} of {total}");
            }
        }
    }
}
