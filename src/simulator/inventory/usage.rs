//! The entries of `data-usage/query`: use that grows with simulated time, in billing cycles of 30 days.

use serde_json::{Value, json};

use super::{
    Inventory, Use,
    dates::{self, DAY},
};

const CYCLE_DAYS: i64 = 30;
const CYCLE: i64 = CYCLE_DAYS * DAY;
/// The use of a line at the end of its cycle, as a share of its limit.
const SHARES: [f64; 8] = [0.3, 0.5, 0.7, 0.9, 1.1, 1.6, 2.4, 4.0];
/// The use of a line without limit in a cycle, in GB.
const UNLIMITED_GB: f64 = 300.0;
/// The most lines of a pool.
const POOL_LINES: usize = 8;
/// The data of a pool per line, in GB.
const POOL_GB_PER_LINE: f64 = 500.0;
/// The price of a GB above the limit.
const PRICE_PER_GB: f64 = 2.0;
/// The most earlier billing cycles that are listed.
const MOST_CYCLES: u32 = 12;
/// A line whose subscription ends with its current cycle is one of this many.
const ENDING_LINES: usize = 20;

/// The data use of a cycle, in GB.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Used {
    priority: f64,
    /// The part of `priority` above the limit.
    above_limit: f64,
    standard: f64,
    non_billable: f64,
}

impl Inventory {
    /// The entry of the line of a terminal at `now`, in Unix seconds, with so many earlier cycles before the current one.
    pub(super) fn usage(&self, index: usize, now: f64, earlier_cycles: u32) -> Value {
        let plan = self.plan(index);
        let start = self.cycle_start(index, now);
        let cycles: Vec<Value> = (0..=i64::from(earlier_cycles.min(MOST_CYCLES)))
            .rev()
            .map(|age| self.billing_cycle(index, start - age * CYCLE, now))
            .collect();
        let used = self.used(index, start, now);
        let pool = self.is_pooled(index).then(|| self.pool(index, now));
        let limit_gb = match self.is_pooled(index) {
            true => self.pool_limit(index),
            false => plan.limit_gb,
        };
        let is_ending = index % ENDING_LINES == 8;
        json!({
            "accountNumber": self.options.account_number,
            "serviceLineNumber": self.line_number(index),
            "startDate": dates::text(start),
            "endDate": dates::text(start + CYCLE),
            "billingCycles": cycles,
            "servicePlan": {
                "isoCurrencyCode": "USD",
                "isMobilePlan": true,
                "activeFrom": dates::text(super::lines::START),
                "subscriptionActiveFrom": dates::text(super::lines::START),
                "subscriptionEndDate": is_ending.then(|| dates::text(start + CYCLE)),
                "overageName": "",
                "overageDescription": "",
                "isOptedIntoOverage": self.is_opted_in(index),
                "overageLineDeactivatedDate": null,
                "overageLine": (!self.is_pooled(index)).then(|| self.overage_lines(index, start, used).pop()).flatten(),
                "dataPoolUsage": pool,
                "productId": plan.product,
                "usageLimitGB": limit_gb,
                "dataCategoryMapping": {},
            },
            "lastUpdated": (!index.is_multiple_of(3)).then(|| dates::text(now as i64 / 1800 * 1800)),
        })
    }

    fn billing_cycle(&self, index: usize, start: i64, now: f64) -> Value {
        let used = self.used(index, start, now);
        let is_opted_in = self.is_opted_in(index);
        let opt_in = if is_opted_in { used.above_limit } else { 0.0 };
        let is_current = now < (start + CYCLE) as f64;
        let pools: Vec<Value> = (is_current && self.is_pooled(index))
            .then(|| self.pool(index, now))
            .into_iter()
            .collect();
        let overage_lines = match used.above_limit > 0.0 {
            true => self.overage_lines(index, start, used),
            false => Vec::new(),
        };
        json!({
            "startDate": dates::text(start),
            "endDate": dates::text(start + CYCLE),
            "dailyDataUsage": daily(start, now, used, opt_in),
            "overageLines": overage_lines,
            "dataPoolUsage": pools,
            "totalPriorityGB": gb(used.priority),
            "totalStandardGB": gb(used.standard),
            "totalOptInPriorityGB": gb(opt_in),
            "totalNonBillableGB": gb(used.non_billable),
        })
    }

    /// The first day of the line's cycle. Cycles of different lines begin on different days.
    fn cycle_start(&self, index: usize, now: f64) -> i64 {
        let phase = self.property(self.pool_leader(index), 72, CYCLE_DAYS as u64) as i64;
        let day = now as i64 / DAY - phase;
        (day.div_euclid(CYCLE_DAYS) * CYCLE_DAYS + phase) * DAY
    }

    /// The use of the cycle that began at `start`, until `now` or its end.
    fn used(&self, index: usize, start: i64, now: f64) -> Used {
        let until = now.min((start + CYCLE) as f64);
        // Simulated time adds to the real time of the cycle since the simulation began.
        let simulated = (until - self.origin.max(start as f64)).max(0.0);
        let seconds = until - start as f64 + (self.speed - 1.0) * simulated;
        let cycles = (seconds / CYCLE as f64).max(0.0);
        let limit = self.plan(index).limit_gb;
        let priority = limit * SHARES[index % SHARES.len()] * cycles;
        Used {
            priority,
            above_limit: match limit > 0.0 && !self.is_pooled(index) {
                true => (priority - limit).max(0.0),
                false => 0.0,
            },
            standard: match limit > 0.0 {
                true => 0.02 * limit * cycles,
                false => UNLIMITED_GB * cycles,
            },
            non_billable: 1.5 * cycles,
        }
    }

    fn is_opted_in(&self, index: usize) -> bool {
        index % 16 < 8 && SHARES[index % SHARES.len()] > 1.0 && self.plan(index).limit_gb > 0.0
    }

    /// The overage lines of a cycle: two after a change of plan, which every second line had, each with a part of the amount.
    fn overage_lines(&self, index: usize, start: i64, used: Used) -> Vec<Value> {
        let limit = self.plan(index).limit_gb;
        let price = if self.is_opted_in(index) {
            PRICE_PER_GB
        } else {
            0.0
        };
        let parts: &[f64] = match index.is_multiple_of(2) && used.above_limit > 0.0 {
            true => &[0.4, 0.6],
            false => &[1.0],
        };
        let line = |share: &f64| {
            json!({
                "restricted": 1,
                "unrestricted": 2,
                "pricePerGB": PRICE_PER_GB,
                "usageLimitGB": gb(limit / parts.len() as f64),
                "overageAmountGB": gb(used.above_limit * share),
                "consumedAmountGB": gb(used.priority.min(limit) / parts.len() as f64),
                "overagePrice": gb(used.above_limit * share * price),
                "productId": "overage-usd",
                "dataOverageType": 1,
                "activeFrom": dates::text(start),
            })
        };
        parts.iter().map(line).collect()
    }

    fn is_pooled(&self, index: usize) -> bool {
        self.use_of(index) == Use::Pooled
    }

    /// The first line of the pool of a line, and the line itself without a pool.
    fn pool_leader(&self, index: usize) -> usize {
        match self.is_pooled(index) {
            true => index % 6 + index / 6 / POOL_LINES * POOL_LINES * 6,
            false => index,
        }
    }

    /// The lines that take from the pool of a line.
    fn pool_lines(&self, index: usize) -> impl Iterator<Item = usize> {
        let leader = self.pool_leader(index);
        let end = self.active_lines().min(leader + 6 * POOL_LINES);
        (leader..end).step_by(6)
    }

    fn pool_limit(&self, index: usize) -> f64 {
        self.pool_lines(index).count() as f64 * POOL_GB_PER_LINE
    }

    /// The pool that a line takes from.
    fn pool(&self, index: usize, now: f64) -> Value {
        let start = self.cycle_start(index, now);
        let lines = || self.pool_lines(index);
        let consumed = |line: usize| gb(self.used(line, start, now).priority);
        let limit = self.pool_limit(index);
        let blocks = lines().count();
        json!({
            "accountNumber": self.options.account_number,
            "dataPoolId": format!("7d3c90e1-0000-4000-8000-{:012x}", self.first + self.pool_leader(index)),
            "lastUpdated": dates::text(now as i64 / 1800 * 1800),
            "dataBlocks": [{
                "dataBlockId": "block-1",
                "startDateUtc": dates::text(start),
                "expirationDateUtc": dates::text(start + CYCLE),
                "totalAmountGB": limit,
                "consumedAmountGB": gb(lines().map(consumed).sum::<f64>().min(limit)),
                "perBlockAmountGB": POOL_GB_PER_LINE,
                "dataBlockType": "RecurringPerBillingCycle",
                "productId": "pool-block-500gb",
                "blocksCount": blocks,
                "perBlockPrice": 100,
                "totalPrice": 100 * blocks,
                "isoCurrencyCode": "USD",
                "serviceLineUsage": lines().map(|line| json!({
                    "serviceLineNumber": self.line_number(line),
                    "consumedAmountGB": consumed(line),
                })).collect::<Vec<_>>(),
                "monthlyUsage": [],
            }],
        })
    }
}

/// The use of each day so far, in equal parts.
fn daily(start: i64, now: f64, used: Used, opt_in: f64) -> Vec<Value> {
    let days = ((now as i64 - start) / DAY + 1).clamp(1, CYCLE_DAYS);
    let part = |total: f64| gb(total / days as f64);
    (0..days)
        .map(|day| {
            json!({
                "date": dates::text(start + day * DAY),
                "priorityGB": part(used.priority),
                "optInPriorityGB": part(opt_in),
                "standardGB": part(used.standard),
                "nonBillableGB": part(used.non_billable),
            })
        })
        .collect()
}

/// Rounds to a thousandth, a megabyte.
fn gb(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
