//! Generates the inventory of a fleet of any size: each terminal has a nickname, two serial numbers, and a service line of its own with a
//! nickname and data use.

use std::sync::Arc;

use starlink_telemetry::inventory::{
    AnswerError, Bounds, Inventory, Known, Lines, Terminals, Usages,
};

use crate::feed::terminal_id;

/// When all parts were read, in seconds since 1970.
const READ_AT: f64 = 1_756_537_200.0;

/// The inventory of the terminals with the numbers from 0.
///
/// # Errors
/// The answers cannot be parsed.
pub fn of(terminals: usize) -> Result<Inventory, AnswerError> {
    let bounds = Bounds::STANDARD;
    let listed = Terminals::parse(&page(terminals, terminal), &bounds)?;
    let lines = Lines::parse(&page(terminals, line), &bounds)?;
    let usage = Usages::parse(&page(terminals, usage), READ_AT, &bounds)?;
    Ok(Inventory {
        terminals: known(listed.entries),
        lines: known(lines.entries),
        usage: known(usage.entries),
        ..Inventory::default()
    })
}

fn known<T>(value: T) -> Option<Known<T>> {
    Some(Known {
        at: READ_AT,
        value: Arc::new(value),
    })
}

/// An answer with the entries of all terminals.
fn page(terminals: usize, entry: fn(usize) -> String) -> Vec<u8> {
    let entries: Vec<_> = (0..terminals).map(entry).collect();
    let results = entries.join(",");
    format!(r#"{{"content":{{"isLastPage":true,"results":[{results}]}}}}"#).into_bytes()
}

fn terminal(number: usize) -> String {
    let id = terminal_id(number);
    let id = id.trim_start_matches("ut");
    format!(
        r#"{{"userTerminalId":"{id}","nickname":"Vessel {number}","kitSerialNumber":"KIT{number:08}","dishSerialNumber":"2DHT{number:08}","serviceLineNumber":"AST-{number:06}-48816-21"}}"#
    )
}

fn line(number: usize) -> String {
    format!(
        r#"{{"serviceLineNumber":"AST-{number:06}-48816-21","nickname":"Line {number}","productReferenceId":"maritime-1000gb-usd","active":true,"publicIp":true}}"#
    )
}

fn usage(number: usize) -> String {
    let priority = number as f64 / 100.0;
    let standard = number as f64 / 8.0;
    format!(
        r#"{{"serviceLineNumber":"AST-{number:06}-48816-21","billingCycles":[{{"startDate":"2025-08-10T00:00:00+00:00","endDate":"2025-09-10T00:00:00+00:00","totalPriorityGB":{priority},"totalStandardGB":{standard},"totalOptInPriorityGB":0,"totalNonBillableGB":0.5,"overageLines":[]}}],"servicePlan":{{"usageLimitGB":1000,"isOptedIntoOverage":false}},"lastUpdated":"2025-08-30T06:00:00+00:00"}}"#
    )
}
