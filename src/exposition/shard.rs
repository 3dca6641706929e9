//! Which devices a scrape asks for, where several scrapes share a fleet out.

use thiserror::Error;

/// The most shards of a fleet. Each may have a compressed body of its own.
const MOST_SHARDS: u32 = 1024;

/// The parameters name no shard. The message does not repeat them: a response to a browser contains no text of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("Invalid shard: need 0 <= shard < total_shards <= {MOST_SHARDS} (default 0 of 1).")]
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
        (index < total && total <= MOST_SHARDS).then_some(Self { index, total })
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
        for total in [1, 2, 3, 7, MOST_SHARDS] {
            for hash in [0, 1, 5, 54_065_145, u32::MAX] {
                let shards = (0..total.min(10)).map(|index| Shard { index, total });
                let holding = shards.filter(|shard| shard.holds(hash)).count();
                assert_eq!(holding, usize::from(hash % total < 10), "{hash} of {total}");
            }
        }
    }
}
