//! The data use of the service lines and data pools of an account in the current billing cycle.

mod raw;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::answer::{self, AnswerError, Page, RawPage};
use super::entry::Number;
use super::packed::{self, Entry, Packed};
use super::{Bounds, MOST_OF_FEW};

use self::raw::RawUsage;

/// The bytes of a GB in Starlink's numbers.
const GB: f64 = 1e9;

/// The use of all lines and pools of an account, or of one page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Usages {
    /// The number of the line.
    lines: Packed<UsageFacts, 1>,
    /// Sorted by ID.
    pools: Vec<Pool>,
    /// The entries of the last complete reading for which there is no room.
    #[serde(default)]
    left_out: usize,
}

/// The use of one line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage<'u> {
    /// The number of the service line.
    pub line: &'u str,
    /// Its use.
    pub facts: UsageFacts,
}

/// The use of a line in the current billing cycle. What Starlink leaves out is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct UsageFacts {
    /// GB, with the opt-in part.
    priority: Number,
    /// GB.
    opt_in_priority: Number,
    /// GB.
    standard: Number,
    /// GB.
    non_billable: Number,
    /// GB; none for lines that take from a pool.
    limit: Number,
    /// GB.
    overage: Number,
    /// Seconds since 1970.
    updated: Number,
    /// Seconds since 1970, as are the next two.
    cycle_start: Number,
    cycle_end: Number,
    subscription_end: Number,
    is_opted_in: Option<bool>,
}

impl UsageFacts {
    /// Priority data without its opt-in part.
    #[must_use]
    pub fn priority_bytes(&self) -> Option<f64> {
        let opt_in = self.opt_in_priority_bytes().unwrap_or_default();
        Some((bytes(self.priority.get())? - opt_in).max(0.0))
    }

    /// Priority data that was used because of an opt-in.
    #[must_use]
    pub fn opt_in_priority_bytes(&self) -> Option<f64> {
        bytes(self.opt_in_priority.get())
    }

    /// Standard data.
    #[must_use]
    pub fn standard_bytes(&self) -> Option<f64> {
        bytes(self.standard.get())
    }

    /// Data that is not billed.
    #[must_use]
    pub fn non_billable_bytes(&self) -> Option<f64> {
        bytes(self.non_billable.get())
    }

    /// The priority data of the plan; `None` for a plan without a limit and for lines that take from a pool.
    #[must_use]
    pub fn limit_bytes(&self) -> Option<f64> {
        bytes(self.limit.get()).filter(|limit| *limit > 0.0)
    }

    /// The overage of the cycle, of all plans that the line had in it.
    #[must_use]
    pub fn overage_bytes(&self) -> Option<f64> {
        bytes(self.overage.get())
    }

    /// Whether the customer has opted into overage.
    #[must_use]
    pub fn is_opted_in(&self) -> Option<bool> {
        self.is_opted_in
    }

    /// When Starlink updated these numbers, in seconds since 1970.
    #[must_use]
    pub fn updated(&self) -> Option<f64> {
        self.updated.get()
    }

    /// When the billing cycle began, in seconds since 1970.
    #[must_use]
    pub fn cycle_start(&self) -> Option<f64> {
        self.cycle_start.get()
    }

    /// When the billing cycle ends, in seconds since 1970.
    #[must_use]
    pub fn cycle_end(&self) -> Option<f64> {
        self.cycle_end.get()
    }

    /// When the subscription ends, in seconds since 1970.
    #[must_use]
    pub fn subscription_end(&self) -> Option<f64> {
        self.subscription_end.get()
    }
}

impl packed::Facts for UsageFacts {
    /// The newest numbers are the greatest.
    fn order(&self, other: &Self) -> Ordering {
        let numbers = |facts: &Self| {
            [
                facts.updated,
                facts.cycle_start,
                facts.priority,
                facts.opt_in_priority,
                facts.standard,
                facts.non_billable,
                facts.limit,
                facts.overage,
                facts.cycle_end,
                facts.subscription_end,
            ]
        };
        let pairs = numbers(self).into_iter().zip(numbers(other));
        let mut orders = pairs.map(|(one, other)| one.order(other));
        let by_numbers = orders.find(|order| order.is_ne());
        by_numbers.unwrap_or_else(|| self.is_opted_in.cmp(&other.is_opted_in))
    }
}

/// Whole bytes, so that sums and differences are exact. `None` if an `f64` cannot hold them.
fn bytes(gigabytes: Option<f64>) -> Option<f64> {
    let bytes = gigabytes.map(|number| (number * GB).round());
    bytes.filter(|bytes| bytes.is_finite())
}

/// A data pool, from which several lines take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Its ID.
    pub id: String,
    /// When Starlink updated it, in seconds since 1970.
    pub updated: Option<f64>,
    /// Its blocks.
    pub blocks: Vec<PoolBlock>,
    /// Whether the last complete reading lacked it.
    is_missing: bool,
}

/// A block of data of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PoolBlock {
    /// When it becomes valid, in seconds since 1970; `None`: it is valid already.
    pub start: Option<f64>,
    /// When it expires; `None`: never.
    pub end: Option<f64>,
    /// GB.
    total: Option<f64>,
    /// GB.
    consumed: Option<f64>,
}

impl Pool {
    /// The data used of the blocks that are valid at `now`, in seconds since 1970. `None` without such a block.
    #[must_use]
    pub fn used_bytes(&self, now: f64) -> Option<f64> {
        sum(self.valid(now).map(|block| bytes(block.consumed)))
    }

    /// The size of the blocks that are valid at `now`. `None` without such a block.
    #[must_use]
    pub fn limit_bytes(&self, now: f64) -> Option<f64> {
        sum(self.valid(now).map(|block| bytes(block.total)))
    }

    fn valid(&self, now: f64) -> impl Iterator<Item = &PoolBlock> {
        let has_begun = move |block: &&PoolBlock| block.start.is_none_or(|start| start <= now);
        let is_valid = move |block: &&PoolBlock| block.end.is_none_or(|end| now < end);
        self.blocks.iter().filter(has_begun).filter(is_valid)
    }
}

/// The sum of the numbers that exist; `None` if there are none, or if an `f64` cannot hold it.
fn sum(numbers: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let add = |sum: Option<f64>, number| Some(sum.unwrap_or_default() + number);
    let sum = numbers.flatten().fold(None, add);
    sum.filter(|sum| sum.is_finite())
}

impl Usages {
    /// Reads a page of the answer to `POST data-usage/query`, which arrived at `answered`, in seconds since 1970.
    ///
    /// # Errors
    /// The answer is not JSON, or not a page of a list.
    pub fn parse(body: &[u8], answered: f64, bounds: &Bounds) -> Result<Page<Self>, AnswerError> {
        let page: RawPage<'_> = answer::content(body)?;
        let (raw, mut rejected): (Vec<RawUsage<'_>>, _) = page.entries();
        let has_number =
            |usage: &&RawUsage<'_>| bounds.text(Some(&usage.service_line_number)).is_some();
        let mut pools = Vec::new();
        let mut entries = Vec::new();
        for usage in raw.iter().filter(has_number) {
            let cycle = usage.current_cycle(answered);
            let facts = usage.facts(cycle.as_ref(), answered);
            entries.push(Entry::new([&*usage.service_line_number], facts));
            pools.extend(usage.pools(cycle.as_ref(), bounds));
        }
        rejected.add_without_key(raw.len() - entries.len());
        let (lines, left_out) = Packed::of(entries, bounds.entries);
        Ok(Page {
            entries: Self {
                lines,
                pools: newest(pools.into_iter()),
                left_out,
            },
            is_last: page.is_last(),
            rejected,
        })
    }

    /// The list after a complete reading of these pages. An entry that is missing from it is kept, unless it was missing from the
    /// previous one too.
    #[must_use]
    pub fn merged(before: Option<&Self>, pages: &[Self], bounds: &Bounds) -> Self {
        let read = newest(pages.iter().flat_map(|page| &page.pools).cloned());
        let is_read = |pool: &&Pool| read.binary_search_by(|it| it.id.cmp(&pool.id)).is_ok();
        let kept = before.into_iter().flat_map(|before| &before.pools);
        let kept = kept.filter(|pool| !pool.is_missing && !is_read(pool));
        let kept: Vec<_> = kept
            .map(|pool| Pool {
                is_missing: true,
                ..pool.clone()
            })
            .collect();
        let lists: Vec<_> = pages.iter().map(|page| &page.lines).collect();
        let before = before.map(|before| &before.lines);
        let (lines, left_out) = Packed::merged(before, &lists, bounds.entries);
        Self {
            lines,
            pools: newest(read.into_iter().chain(kept)),
            left_out: pages.iter().fold(left_out, |sum, page| sum + page.left_out),
        }
    }

    /// The number of entries of the last complete reading that were left out, because there are more than [`Bounds::entries`].
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The number of lines with use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether no use is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.pools.is_empty()
    }

    /// The use at a position of the list, which is sorted by the number of the line.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Usage<'_>> {
        self.lines.get(index).map(usage)
    }

    /// The position of the use of a line.
    #[must_use]
    pub fn find(&self, line: &str) -> Option<usize> {
        self.lines.find(line)
    }

    /// The use of all lines, sorted by number.
    pub fn iter(&self) -> impl Iterator<Item = Usage<'_>> {
        self.lines.iter().map(usage)
    }

    /// The data pools, sorted by ID.
    #[must_use]
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// The memory in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of_pool = |pool: &Pool| {
            size_of::<Pool>() + pool.id.capacity() + pool.blocks.capacity() * size_of::<PoolBlock>()
        };
        self.lines.bytes() + self.pools.iter().map(of_pool).sum::<usize>()
    }
}

fn usage(entry: Entry<'_, UsageFacts, 1>) -> Usage<'_> {
    let [line] = entry.texts;
    Usage {
        line,
        facts: entry.facts,
    }
}

/// Each pool once, sorted by ID: of several copies, the one that was updated last, and of these the one with the most use.
fn newest(pools: impl Iterator<Item = Pool>) -> Vec<Pool> {
    let rank = |pool: &Pool| {
        let used = sum(pool.blocks.iter().map(|block| block.consumed));
        (pool.updated, used)
    };
    type Ranked = ((Option<f64>, Option<f64>), Pool);
    let mut by_id: BTreeMap<String, Ranked> = BTreeMap::new();
    for pool in pools {
        let rank = rank(&pool);
        let known = by_id.get(&pool.id);
        if known.is_none_or(|(known, _)| known.partial_cmp(&rank).is_none_or(|it| it.is_lt())) {
            by_id.insert(pool.id.clone(), (rank, pool));
        }
    }
    let pools = by_id.into_values().map(|(_, pool)| pool);
    pools.take(MOST_OF_FEW).collect()
}
