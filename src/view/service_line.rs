//! A service line with its data use, as lists and devices show it.

use std::cmp::Ordering;

use serde::Serialize;

use crate::inventory::{Line, ListedTerminal, UsageFacts};

/// A service line. What is not known is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ServiceLine {
    /// Its number.
    pub number: String,
    /// The name of the account that lists it.
    pub account: String,
    /// The name that the customer gave it.
    pub nickname: Option<String>,
    /// The reference of its product.
    pub product: Option<String>,
    /// The tail number of the aircraft.
    pub tail_number: Option<String>,
    /// Whether it is active.
    pub active: Option<bool>,
    /// Whether its terminals have public addresses.
    pub public_ip: Option<bool>,
    /// When the subscription ends or the line ended, in seconds since 1970.
    pub end_timestamp_seconds: Option<f64>,
    /// Its data use in the current billing cycle.
    pub data_use: Option<DataUse>,
}

impl ServiceLine {
    /// The line with this number, of which an account lists these facts.
    pub(super) fn new(
        account: &str,
        number: &str,
        line: Option<Line<'_>>,
        usage: Option<UsageFacts>,
    ) -> Self {
        let text = |text: fn(Line<'_>) -> Option<&str>| line.and_then(text).map(str::to_owned);
        let subscription_end = usage.and_then(|usage| usage.subscription_end());
        Self {
            number: number.to_owned(),
            account: account.to_owned(),
            nickname: text(|line| line.nickname),
            product: text(|line| line.product),
            tail_number: text(|line| line.tail_number),
            active: line.and_then(|line| line.is_active),
            public_ip: line.and_then(|line| line.has_public_ip),
            end_timestamp_seconds: subscription_end.or(line.and_then(|line| line.end)),
            data_use: usage.map(|usage| DataUse::of(&usage)),
        }
    }

    /// The service line of a terminal.
    pub(super) fn of(listed: &ListedTerminal<'_>) -> Option<Self> {
        let number = listed.terminal.service_line?;
        let usage = listed.usage().map(|usage| usage.facts);
        Some(Self::new(listed.account, number, listed.line, usage))
    }
}

/// The data use of a service line in the current billing cycle. What Starlink leaves out is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct DataUse {
    /// Priority data without its opt-in part.
    pub priority_bytes: Option<f64>,
    /// Priority data that was used because of an opt-in.
    pub opt_in_priority_bytes: Option<f64>,
    /// Standard data.
    pub standard_bytes: Option<f64>,
    /// Data that is not billed.
    pub non_billable_bytes: Option<f64>,
    /// All of these together.
    pub total_bytes: Option<f64>,
    /// The priority data of the plan; `None` without a limit, and for lines that take from a data pool.
    pub limit_bytes: Option<f64>,
    /// Priority data, its opt-in part included, as a share of the limit: more than 1 above the limit.
    pub limit_share: Option<f64>,
    /// The overage.
    pub overage_bytes: Option<f64>,
    /// Whether the customer has opted into overage.
    pub overage_opted_in: Option<bool>,
    /// The start of the billing cycle, in seconds since 1970.
    pub cycle_start_timestamp_seconds: Option<f64>,
    /// The end of the billing cycle.
    pub cycle_end_timestamp_seconds: Option<f64>,
    /// When Starlink updated these numbers.
    pub updated_timestamp_seconds: Option<f64>,
}

impl DataUse {
    fn of(usage: &UsageFacts) -> Self {
        Self {
            priority_bytes: usage.priority_bytes(),
            opt_in_priority_bytes: usage.opt_in_priority_bytes(),
            standard_bytes: usage.standard_bytes(),
            non_billable_bytes: usage.non_billable_bytes(),
            total_bytes: total_bytes(usage),
            limit_bytes: usage.limit_bytes(),
            limit_share: limit_share(usage),
            overage_bytes: usage.overage_bytes(),
            overage_opted_in: usage.is_opted_in(),
            cycle_start_timestamp_seconds: usage.cycle_start(),
            cycle_end_timestamp_seconds: usage.cycle_end(),
            updated_timestamp_seconds: usage.updated(),
        }
    }
}

/// The sum of the categories that are known.
fn total_bytes(usage: &UsageFacts) -> Option<f64> {
    let categories = [
        usage.priority_bytes(),
        usage.opt_in_priority_bytes(),
        usage.standard_bytes(),
        usage.non_billable_bytes(),
    ];
    let known = categories.into_iter().flatten();
    known.reduce(|sum, bytes| sum + bytes)
}

/// The priority data with its opt-in part, as a share of the limit; the recording rule `starlink:line_data_used:ratio` is the same.
fn limit_share(usage: &UsageFacts) -> Option<f64> {
    let opt_in = usage.opt_in_priority_bytes().unwrap_or(0.0);
    Some((usage.priority_bytes()? + opt_in) / usage.limit_bytes()?)
}

/// The data use by which lists are sorted: where there is no limit, it is less than any share of a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum UseRank {
    /// The bytes, without a limit.
    Bytes(f64),
    /// The share of the limit.
    Share(f64),
}

impl UseRank {
    /// The rank of a line; `None` if its use is not known.
    pub(super) fn of(usage: &UsageFacts) -> Option<Self> {
        let share = limit_share(usage).map(Self::Share);
        share.or_else(|| total_bytes(usage).map(Self::Bytes))
    }

    /// The order of two ranks.
    pub(super) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Bytes(one), Self::Bytes(other)) | (Self::Share(one), Self::Share(other)) => {
                one.total_cmp(&other)
            }
            (Self::Bytes(_), Self::Share(_)) => Ordering::Less,
            (Self::Share(_), Self::Bytes(_)) => Ordering::Greater,
        }
    }
}
