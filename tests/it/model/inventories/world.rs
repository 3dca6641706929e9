//! Two accounts with parts that may be missing, devices that report, and a names file; and the answers of Starlink that say so.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use starlink_telemetry::inventory::{
    Bounds, Inventory, Known, Lines, Terminals, Usages, parse_account, parse_balances,
};

/// The names of the accounts, in their order.
pub const NAMES: [&str; 2] = ["east", "west"];

/// When all answers arrived, which is also the time of the scrape, in seconds since 1970: 2026-11-27 08:00 UTC.
pub const NOW: f64 = 1_795_766_400.0;

pub type Text = Option<&'static str>;

#[derive(Debug, Clone)]
pub struct Terminal {
    pub nickname: Text,
    pub kit: Text,
    pub dish: Text,
    pub line: Text,
    /// The IDs of its routers, with nicknames.
    pub routers: BTreeMap<&'static str, Text>,
}

#[derive(Debug, Clone)]
pub struct Line {
    pub nickname: Text,
    pub product: Text,
    pub tail: Text,
    pub active: Option<bool>,
    pub public_ip: Option<bool>,
    pub ends: bool,
}

#[derive(Debug, Clone)]
pub struct Usage {
    /// GB: priority with its opt-in part, opt-in priority, standard, not billable.
    pub used: [Option<u16>; 4],
    pub limit: Option<u16>,
    pub overage: Option<Vec<u16>>,
    pub opted_in: Option<bool>,
    pub updated: bool,
    pub ends: bool,
    pub pool: Text,
}

/// The parts of an account; `None`: not known.
#[derive(Debug, Clone)]
pub struct Account {
    pub info: Option<(Text, Vec<&'static str>)>,
    pub terminals: Option<BTreeMap<&'static str, Terminal>>,
    pub lines: Option<BTreeMap<&'static str, Line>>,
    pub usage: Option<BTreeMap<&'static str, Usage>>,
    pub balance: Option<BTreeMap<&'static str, i16>>,
}

#[derive(Debug, Clone)]
pub struct World {
    pub accounts: [Account; 2],
    /// Devices that report: the account that delivers each.
    pub terminals: BTreeMap<&'static str, usize>,
    /// Routers that report: the account, and the terminal that the router names.
    pub routers: BTreeMap<&'static str, (usize, Text)>,
    /// The names file.
    pub names: BTreeMap<&'static str, (&'static str, &'static str)>,
}

pub const TERMINALS: [&str; 5] = ["0a", "0b", "0c", "0d", "0e"];
pub const ROUTERS: [&str; 4] = ["1A", "1B", "1C", "1D"];
pub const LINES: [&str; 4] = ["L-1", "L-2", "L\"3", "L-4"];
pub const KITS: [&str; 3] = ["KIT1", "KIT2", "KIT3"];
pub const DISHES: [&str; 2] = ["2DHT1", "2DHT2"];

fn text() -> impl Strategy<Value = Text> {
    option::of(select(vec!["Aurora", "a, \"b\"\\\n", "é", " "]))
}

pub fn terminal() -> impl Strategy<Value = Terminal> {
    let serials = (
        option::of(select(KITS.to_vec())),
        option::of(select(DISHES.to_vec())),
    );
    let routers = btree_map(select(ROUTERS.to_vec()), text(), 0..2);
    (text(), serials, option::of(select(LINES.to_vec())), routers).prop_map(
        |(nickname, (kit, dish), line, routers)| Terminal {
            nickname,
            kit,
            dish,
            line,
            routers,
        },
    )
}

fn line() -> impl Strategy<Value = Line> {
    (
        text(),
        text(),
        text(),
        option::of(any::<bool>()),
        option::of(any::<bool>()),
        any::<bool>(),
    )
        .prop_map(|(nickname, product, tail, active, public_ip, ends)| Line {
            nickname,
            product,
            tail,
            active,
            public_ip,
            ends,
        })
}

fn usage() -> impl Strategy<Value = Usage> {
    let number = || option::of(0..500_u16);
    (
        [number(), number(), number(), number()],
        number(),
        option::of(vec(0..90_u16, 0..3)),
        option::of(any::<bool>()),
        any::<bool>(),
        any::<bool>(),
        option::of(select(vec!["pool-1", "pool-2"])),
    )
        .prop_map(
            |(used, limit, overage, opted_in, updated, ends, pool)| Usage {
                used,
                limit,
                overage,
                opted_in,
                updated,
                ends,
                pool,
            },
        )
}

pub fn account() -> impl Strategy<Value = Account> {
    let reasons = vec(select(vec!["PastDue", "Fraud \"x\""]), 0..3);
    let balances = btree_map(select(vec!["USD", "EUR"]), any::<i16>(), 1..3);
    (
        option::weighted(0.8, (text(), reasons)),
        option::weighted(0.8, btree_map(select(TERMINALS.to_vec()), terminal(), 0..5)),
        option::weighted(0.8, btree_map(select(LINES.to_vec()), line(), 0..4)),
        option::weighted(0.8, btree_map(select(LINES.to_vec()), usage(), 0..4)),
        option::of(balances),
    )
        .prop_map(|(info, terminals, lines, usage, balance)| Account {
            info,
            terminals,
            lines,
            usage,
            balance,
        })
}

pub fn world() -> impl Strategy<Value = World> {
    let terminals = btree_map(select(TERMINALS.to_vec()), 0..2_usize, 0..4);
    let bonded = option::of(select(vec!["ut0a", "0b", "ut0f"]));
    let routers = btree_map(select(ROUTERS.to_vec()), (0..2_usize, bonded), 0..4);
    let keys = vec![
        "ut0a",
        "0B",
        "kit1",
        "KIT2",
        "2dht1",
        "router-1a",
        "1b",
        "ut0f",
    ];
    let entry = (select(vec!["File", "é,"]), select(vec!["", "north"]));
    let names = btree_map(select(keys), entry, 0..4);
    ([account(), account()], terminals, routers, names).prop_map(
        |(accounts, terminals, routers, names)| World {
            accounts,
            terminals,
            routers,
            names,
        },
    )
}

/// The answers of Starlink.
impl Account {
    fn page(results: Vec<Value>) -> Vec<u8> {
        json!({"content": {"isLastPage": true, "results": results}, "isValid": true})
            .to_string()
            .into_bytes()
    }

    pub fn inventory(&self) -> Inventory {
        let bounds = Bounds {
            routers: true,
            ..Bounds::STANDARD
        };
        fn known<T>(value: T) -> Known<T> {
            Known {
                at: NOW,
                value: Arc::new(value),
            }
        }
        let one = |content: Value| json!({"content": content, "isValid": true}).to_string();
        let terminals = self.terminals.as_ref().map(|terminals| {
            let results = terminals.iter().map(|(id, terminal)| {
                let routers = terminal.routers.iter();
                let routers = routers.map(|(id, nickname)| json!({"routerId": id, "nickname": nickname}));
                json!({"userTerminalId": id, "nickname": terminal.nickname, "kitSerialNumber": terminal.kit,
                    "dishSerialNumber": terminal.dish, "serviceLineNumber": terminal.line, "routers": routers.collect::<Vec<_>>()})
            });
            Terminals::parse(&Self::page(results.collect()), &bounds).unwrap()
        });
        let lines = self.lines.as_ref().map(|lines| {
            let results = lines.iter().map(|(number, line)| {
                json!({"serviceLineNumber": number, "nickname": line.nickname, "productReferenceId": line.product,
                    "aviationMetadata": {"tailNumber": line.tail}, "active": line.active, "publicIp": line.public_ip,
                    "endDate": line.ends.then_some("2026-12-01T00:00:00+00:00")})
            });
            Lines::parse(&Self::page(results.collect()), &bounds).unwrap()
        });
        let usage = self.usage.as_ref().map(|usage| {
            let results = usage.iter().map(|(number, usage)| {
                let [priority, opt_in, standard, other] = usage.used;
                let overage = usage.overage.as_ref().map(|lines| {
                    let lines = lines.iter().map(|amount| json!({"overageAmountGB": amount}));
                    lines.collect::<Vec<_>>()
                });
                let pool = usage.pool.map(|id| {
                    json!({"dataPoolId": id, "dataBlocks": [
                        {"startDateUtc": "2026-11-01T00:00:00+00:00", "expirationDateUtc": "2026-12-01T00:00:00+00:00",
                            "totalAmountGB": 50, "consumedAmountGB": 12.5},
                        {"startDateUtc": "2026-12-01T00:00:00+00:00", "totalAmountGB": 7, "consumedAmountGB": 0}]})
                });
                json!({"serviceLineNumber": number, "billingCycles": [{
                        "startDate": "2026-11-10T00:00:00+00:00", "endDate": "2026-12-10T00:00:00+00:00",
                        "totalPriorityGB": priority, "totalOptInPriorityGB": opt_in, "totalStandardGB": standard,
                        "totalNonBillableGB": other, "overageLines": overage}],
                    "servicePlan": {"usageLimitGB": usage.limit, "isOptedIntoOverage": usage.opted_in, "dataPoolUsage": pool,
                        "subscriptionEndDate": usage.ends.then_some("2027-01-01T00:00:00+00:00")},
                    "lastUpdated": usage.updated.then_some("2026-11-26T00:00:00+00:00")})
            });
            Usages::parse(&Self::page(results.collect()), NOW, &bounds).unwrap()
        });
        let info = self.info.as_ref().map(|(name, suspensions)| {
            let content = json!({"accountNumber": "ACC-1", "accountName": name, "activeSuspensions": suspensions});
            parse_account(one(content).as_bytes(), &bounds).unwrap()
        });
        let balance = self.balance.as_ref().map(|balances| {
            let balances = balances.iter();
            let balances =
                balances.map(|(currency, due)| json!({"currency": currency, "dueAmount": due}));
            let content = json!({"balances": balances.collect::<Vec<_>>()});
            parse_balances(one(content).as_bytes(), &bounds).unwrap()
        });
        Inventory {
            account: info.map(known),
            terminals: terminals.map(|page| known(page.entries)),
            lines: lines.map(|page| known(page.entries)),
            usage: usage.map(|page| known(page.entries)),
            balance: balance.map(known),
            client: None,
        }
    }
}
