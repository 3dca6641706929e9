//! The data use of a line as Starlink sends it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{GB, Pool, PoolBlock, UsageFacts, bytes, newest, sum};
use crate::inventory::answer::valid;
use crate::inventory::entry::Number;
use crate::inventory::time::seconds;
use crate::inventory::{Bounds, MOST_OF_FEW};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawUsage<'a> {
    #[serde(borrow)]
    pub(super) service_line_number: Cow<'a, str>,
    #[serde(borrow)]
    billing_cycles: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    service_plan: Option<RawPlan<'a>>,
    #[serde(borrow)]
    last_updated: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawCycle<'a> {
    #[serde(borrow)]
    start_date: Option<Cow<'a, str>>,
    #[serde(borrow)]
    end_date: Option<Cow<'a, str>>,
    #[serde(rename = "totalPriorityGB")]
    priority: Option<f64>,
    #[serde(rename = "totalStandardGB")]
    standard: Option<f64>,
    #[serde(rename = "totalOptInPriorityGB")]
    opt_in_priority: Option<f64>,
    #[serde(rename = "totalNonBillableGB")]
    non_billable: Option<f64>,
    #[serde(borrow)]
    overage_lines: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    data_pool_usage: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct RawOverage {
    #[serde(rename = "overageAmountGB")]
    amount: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPlan<'a> {
    #[serde(rename = "usageLimitGB")]
    limit: Option<f64>,
    is_opted_into_overage: Option<bool>,
    #[serde(borrow)]
    subscription_end_date: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data_pool_usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPool<'a> {
    #[serde(borrow)]
    data_pool_id: Cow<'a, str>,
    #[serde(borrow)]
    last_updated: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data_blocks: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBlock<'a> {
    #[serde(borrow)]
    start_date_utc: Option<Cow<'a, str>>,
    #[serde(borrow)]
    expiration_date_utc: Option<Cow<'a, str>>,
    #[serde(rename = "totalAmountGB")]
    total: Option<f64>,
    #[serde(rename = "consumedAmountGB")]
    consumed: Option<f64>,
}

impl<'a> RawUsage<'a> {
    /// The billing cycle that began last. Starlink sends the newest last, so a cycle without a start counts by its position. If the last one
    /// cannot be read, an earlier one is not current. A cycle that begins after `answered` does not count, if there is another.
    pub(super) fn current_cycle(&self, answered: f64) -> Option<RawCycle<'a>> {
        let raw = self.billing_cycles.as_deref().unwrap_or_default();
        serde_json::from_str::<RawCycle<'a>>(raw.last()?.get()).ok()?;
        let (mut cycles, _): (Vec<RawCycle<'a>>, _) = valid(raw);
        let start = |cycle: &RawCycle<'_>| seconds(cycle.start_date.as_deref());
        let has_begun = |cycle: &RawCycle<'_>| start(cycle).is_none_or(|start| start <= answered);
        if cycles.iter().any(has_begun) {
            cycles.retain(has_begun);
        }
        let is_later = |one: &RawCycle<'_>, other: &RawCycle<'_>| matches!((start(one), start(other)), (Some(one), Some(other)) if one > other);
        cycles
            .into_iter()
            .reduce(|known, next| match is_later(&known, &next) {
                true => known,
                false => next,
            })
    }

    /// The pools from which the line takes, each with the newest numbers.
    pub(super) fn pools(&self, cycle: Option<&RawCycle<'a>>, bounds: &Bounds) -> Vec<Pool> {
        let read = |raw: &[&'a RawValue]| -> Vec<Pool> {
            let (pools, _): (Vec<RawPool<'a>>, _) = valid(raw);
            pools.iter().filter_map(|pool| pool.read(bounds)).collect()
        };
        let (of_cycle, of_plan) = self.raw_pools(cycle);
        newest(
            united(read(of_cycle))
                .into_iter()
                .chain(read(of_plan.as_slice())),
        )
    }

    /// The pools of the cycle and that of the plan, as Starlink sends them.
    fn raw_pools<'c>(
        &self,
        cycle: Option<&'c RawCycle<'a>>,
    ) -> (&'c [&'a RawValue], Option<&'a RawValue>) {
        let of_cycle = cycle.and_then(|cycle| cycle.data_pool_usage.as_deref());
        let plan = self.service_plan.as_ref();
        (
            of_cycle.unwrap_or_default(),
            plan.and_then(|plan| plan.data_pool_usage),
        )
    }

    pub(super) fn facts(&self, cycle: Option<&RawCycle<'a>>, answered: f64) -> UsageFacts {
        let plan = self.service_plan.as_ref();
        let (of_cycle, of_plan) = self.raw_pools(cycle);
        // Also if the pool itself cannot be read.
        let has_pool = !of_cycle.is_empty() || of_plan.is_some();
        let limit = plan.and_then(|plan| plan.limit);
        let limit = limit.filter(|limit| *limit > 0.0 && !has_pool);
        let number =
            |number: fn(&RawCycle<'a>) -> Option<f64>| Number::from(cycle.and_then(number));
        let updated = seconds(self.last_updated.as_deref()).unwrap_or(answered);
        UsageFacts {
            priority: number(|cycle| cycle.priority),
            opt_in_priority: number(|cycle| cycle.opt_in_priority),
            standard: number(|cycle| cycle.standard),
            non_billable: number(|cycle| cycle.non_billable),
            limit: limit.into(),
            overage: number(RawCycle::overage),
            updated: Some(updated).into(),
            cycle_start: number(|cycle| seconds(cycle.start_date.as_deref())),
            cycle_end: number(|cycle| seconds(cycle.end_date.as_deref())),
            subscription_end: plan
                .and_then(|plan| seconds(plan.subscription_end_date.as_deref()))
                .into(),
            is_opted_in: plan.and_then(|plan| plan.is_opted_into_overage),
        }
    }
}

impl RawCycle<'_> {
    /// The sum over all overage lines in GB, of which a change of plan makes several. `None` if one of them cannot be read, or none has an
    /// amount.
    fn overage(&self) -> Option<f64> {
        let raw = self.overage_lines.as_deref()?;
        let (lines, _): (Vec<RawOverage>, _) = valid(raw);
        match (raw.len(), lines.len()) {
            (0, _) => Some(0.0),
            (all, read) if read < all => None,
            _ => sum(lines.iter().map(|line| bytes(line.amount))).map(|bytes| bytes / GB),
        }
    }
}

impl RawPool<'_> {
    fn read(&self, bounds: &Bounds) -> Option<Pool> {
        let blocks = self.data_blocks.as_deref().unwrap_or_default();
        let (blocks, _): (Vec<RawBlock<'_>>, _) = valid(blocks);
        let has_amount = |block: &&RawBlock<'_>| block.total.is_some() || block.consumed.is_some();
        let block = |block: &RawBlock<'_>| PoolBlock {
            start: seconds(block.start_date_utc.as_deref()),
            end: seconds(block.expiration_date_utc.as_deref()),
            total: block.total,
            consumed: block.consumed,
        };
        Some(Pool {
            id: bounds.text(Some(&self.data_pool_id))?.to_owned(),
            updated: seconds(self.last_updated.as_deref()),
            blocks: blocks
                .iter()
                .filter(has_amount)
                .take(MOST_OF_FEW)
                .map(block)
                .collect(),
            is_missing: false,
        })
    }
}

/// Each pool of one cycle once, with the different blocks of all its entries.
fn united(pools: Vec<Pool>) -> Vec<Pool> {
    let mut united: Vec<Pool> = Vec::new();
    for pool in pools {
        let Some(known) = united.iter_mut().find(|known| known.id == pool.id) else {
            united.push(pool);
            continue;
        };
        for block in pool.blocks {
            if !known.blocks.contains(&block) && known.blocks.len() < MOST_OF_FEW {
                known.blocks.push(block);
            }
        }
        let is_newer = pool.updated > known.updated;
        if is_newer {
            known.updated = pool.updated;
        }
    }
    united
}
