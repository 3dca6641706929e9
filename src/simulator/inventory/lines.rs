//! The entries of `service-lines`, and the service plans.

use serde_json::{Value, json};

use super::{Inventory, Kind, Use, dates};

/// When all lines started: 2026-01-10.
pub(super) const START: i64 = 1_768_003_200;
/// When lines that are not active ended: 2026-06-30.
const END: i64 = 1_782_777_600;

/// A service plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub product: &'static str,
    /// The GB of priority data in a billing cycle; 0 is no limit.
    pub limit_gb: f64,
}

impl Inventory {
    /// The number of the line of a terminal.
    pub(super) fn line_number(&self, index: usize) -> String {
        let number = 48_816 + self.first + index;
        format!("AST-730215-{number}-{:02}", number % 97)
    }

    /// The service plan of the line of a terminal.
    pub(super) fn plan(&self, index: usize) -> Plan {
        let (product, limit_gb) = match self.use_of(index) {
            Use::Aircraft => ("aviation-2000gb-usd", 2000.0),
            Use::Ship if index % 12 < 6 => ("maritime-1000gb-usd", 1000.0),
            Use::Ship => ("maritime-5000gb-usd", 5000.0),
            Use::Pooled => ("pooled-500gb-usd", 500.0),
            Use::Office | Use::Depot => ("local-priority-500gb-usd", 500.0),
            Use::Unlimited => ("mobile-unlimited-usd", 0.0),
        };
        Plan { product, limit_gb }
    }

    /// The entry of the line of a terminal.
    pub(super) fn line(&self, index: usize) -> Value {
        let is_active = self.kind(index) != Some(Kind::Deactivated);
        json!({
            "addressReferenceId": format!("c4a1b2d0-0000-4000-9000-{index:012x}"),
            "serviceLineNumber": self.line_number(index),
            "nickname": self.line_nickname(index),
            "productReferenceId": self.plan(index).product,
            "delayedProductId": null,
            "optInProductId": null,
            "startDate": dates::text(START),
            "endDate": (!is_active).then(|| dates::text(END)),
            "publicIp": self.property(index, 70, 2) == 1,
            "active": is_active,
            "aviationMetadata": (self.use_of(index) == Use::Aircraft).then(|| self.aviation(index)),
            "dataBlocks": {
                "recurringBlocksCurrentBillingCycle": [],
                "recurringBlocksNextBillingCycle": [],
                "delayedProductRecurringBlocksNextCycle": null,
                "topUpBlocksOptInPurchase": [],
                "topUpBlocksOneTimePurchase": [],
            },
        })
    }

    fn aviation(&self, index: usize) -> Value {
        json!({
            "tailNumber": self.tail_number(index),
            "seatCount": 120 + 20 * self.property(index, 71, 8),
            "airlineIataCode": "EX",
            "aircraftIataCode": "320",
            "airlineIcaoCode": "XPL",
            "aircraftIcaoCode": "A320",
            "stcNumber": null,
        })
    }

    fn tail_number(&self, index: usize) -> String {
        format!("N{}EX", 101 + self.first + index)
    }

    /// The nickname of a line. Half of the aircraft have none, so that their tail number is their only name, and lines
    /// without a limit have none.
    fn line_nickname(&self, index: usize) -> Option<String> {
        if self.kind(index) == Some(Kind::Deactivated) {
            return Some("sold".to_owned());
        }
        let number = (self.first + index) / 6;
        match self.use_of(index) {
            Use::Aircraft if number.is_multiple_of(2) => {
                Some(format!("Tail {}", self.tail_number(index)))
            }
            Use::Ship => Some(format!("North fleet / {}", number + 1)),
            Use::Pooled => Some(format!("Clinic {}", number + 1)),
            Use::Aircraft | Use::Office | Use::Depot | Use::Unlimited => None,
        }
    }
}
