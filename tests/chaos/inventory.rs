//! Generates random inventories of the accounts, and random faults of the management API. None of them may affect telemetry.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use starlink_telemetry::simulator::{Answer, Fault, InventoryOptions, Part, Simulator};

use crate::answers::DEVICES;

/// Terminals that never report.
const STRANGERS: Range<usize> = 1000..1012;

/// Which terminals the inventories of a run list besides generated ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Only terminals that never report.
    Strangers,
    /// Also the devices of all accounts, with active service lines.
    Devices,
}

impl Listed {
    pub fn draw(random: &mut Rng) -> Self {
        match random.u8(..3) {
            0 => Self::Devices,
            _ => Self::Strangers,
        }
    }
}

/// The generated part of an account's inventory. None of its terminals reports.
pub fn options(random: &mut Rng) -> InventoryOptions {
    let mut some = || random.usize(..4);
    InventoryOptions {
        never_heard: some(),
        deactivated: some(),
        in_store: some(),
        page_size: [3, 12, 100][random.usize(..3)],
        usage_page_size: random.usize(1..4),
        ..InventoryOptions::default()
    }
}

/// Replaces the terminals and service lines of an account. Returns the terminals.
pub fn replace(simulator: &Simulator, random: &mut Rng, listed: Listed) -> Vec<usize> {
    let devices = match listed {
        Listed::Strangers => 0,
        Listed::Devices => DEVICES,
    };
    let all: Vec<usize> = (0..devices).chain(STRANGERS).collect();
    let terminals: Vec<usize> = all.iter().copied().filter(|_| random.bool()).collect();
    let mut entries: Vec<String> = Vec::new();
    for &number in &terminals {
        // Some are doubled, with other names.
        for _ in 0..random.usize(1..=3).min(2) {
            entries.push(terminal(random, number).to_string());
        }
    }
    random.shuffle(&mut entries);
    // Each line is always listed, so that a device is never without an active line.
    let lines = all.iter().map(|&number| line(random, number).to_string());
    let lines = lines.collect();
    simulator.set_inventory_entries(Part::Terminals, Some(entries));
    simulator.set_inventory_entries(Part::ServiceLines, Some(lines));
    terminals
}

fn is_stranger(number: usize) -> bool {
    STRANGERS.contains(&number)
}

fn nickname(random: &mut Rng, number: usize) -> Option<String> {
    let names = ["", "Ship", "a \"quoted\" \\ name", "two\nlines", "Schiff ü"];
    let name = names[random.usize(..names.len())];
    random.bool().then(|| format!("{name} {number}"))
}

fn terminal(random: &mut Rng, number: usize) -> Value {
    let has_line = !is_stranger(number) || random.u8(..4) > 0;
    let prefix = if random.u8(..4) == 0 { "ut" } else { "" };
    json!({
        "userTerminalId": format!("{prefix}-{number}"),
        "nickname": nickname(random, number),
        "kitSerialNumber": format!("KIT{number}"),
        "dishSerialNumber": null,
        "serviceLineNumber": has_line.then(|| format!("AST-{number}")),
        "routers": [{"routerId": format!("{number}"), "nickname": nickname(random, number)}],
    })
}

fn line(random: &mut Rng, number: usize) -> Value {
    json!({
        "serviceLineNumber": format!("AST-{number}"),
        "nickname": nickname(random, number),
        "productReferenceId": "product",
        "active": !is_stranger(number) || random.bool(),
        "publicIp": random.bool(),
        "endDate": null,
    })
}

/// Adds a random fault to the answers of the management API. Returns its description.
///
/// `may_slow_down`: whether it may be one that legitimately slows down the polls of the account.
pub fn add_fault(
    simulator: &Simulator,
    random: &mut Rng,
    listed: Listed,
    may_slow_down: bool,
) -> &'static str {
    let part = Part::ALL[random.usize(..Part::ALL.len())];
    let list = match listed {
        // Without a service line, a device is not offline.
        Listed::Devices => [Part::Terminals, Part::DataUsage][random.usize(..2)],
        Listed::Strangers => {
            [Part::Terminals, Part::ServiceLines, Part::DataUsage][random.usize(..3)]
        }
    };
    let push = |answer: Answer| simulator.push_inventory_answer(part, answer);
    let set = |faults: Vec<Fault>| simulator.set_inventory_faults(list, faults);
    match random.u8(..14) {
        0 => {
            push(Answer::forbidden());
            "status 403"
        }
        1 => {
            push(Answer::error(422, "no"));
            "status 422"
        }
        2 => {
            push(Answer::error(500 + random.u16(..5), "later"));
            "status 5xx"
        }
        3 => {
            for _ in 0..random.u8(1..4) {
                push(Answer::error(401, "who are you?"));
            }
            "status 401"
        }
        4 if may_slow_down => {
            push(Answer::too_many_requests("1"));
            "status 429"
        }
        5 => {
            let answers = [
                Answer::html(),
                Answer::text(""),
                Answer::text("{\"content\":7}"),
                Answer::text("{\"content\":{\"results\":[null,"),
                Answer::redirect("http://127.0.0.1:1/"),
            ];
            push(answers[random.usize(..answers.len())].clone());
            "garbage"
        }
        6 => {
            push(Answer::ordinary().delay(Duration::from_millis(random.u64(..4000))));
            "slow"
        }
        7 => {
            let inside = random.usize(..40);
            push(match random.bool() {
                true => Answer::ordinary().cut_at(inside),
                false => Answer::ordinary().stall_at(inside),
            });
            "cut or never-ending"
        }
        8 => {
            set(vec![Fault::Page {
                page: random.usize(1..3),
                times: Some(random.u32(1..7)),
                answer: Box::new(Answer::error(500, "no such page")),
            }]);
            "a page in the middle fails"
        }
        9 => {
            set(vec![Fault::UnstableOrder]);
            "unstable order"
        }
        10 => {
            set(vec![Fault::Changes, Fault::BadEntries]);
            "changes between pages, bad entries"
        }
        11 => {
            set(vec![Fault::WithoutLastPage]);
            "no isLastPage"
        }
        12 => {
            set(vec![Fault::NeverLastPage]);
            "isLastPage is never true"
        }
        _ => {
            set(Vec::new());
            "none"
        }
    }
}
