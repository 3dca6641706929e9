//! The series of the inventory that a scrape shows, from the specification alone.

use std::collections::{BTreeMap, BTreeSet};

use super::super::oracle::Series;
use super::world::*;

impl World {
    fn line_of(&self, account: usize, terminal: &Terminal) -> Option<&Line> {
        self.accounts[account].lines.as_ref()?.get(terminal.line?)
    }

    /// The account that counts for a terminal: the first with an active line, else the first that lists it.
    fn listed(&self, id: &str) -> Option<(usize, &Terminal)> {
        let all = (0..2).filter_map(|account| {
            let terminals = self.accounts[account].terminals.as_ref()?;
            Some((account, terminals.get(id)?))
        });
        let all: Vec<_> = all.collect();
        let is_active = |(account, terminal): &&(usize, &Terminal)| {
            let line = self.line_of(*account, terminal);
            line.is_some_and(|line| line.active == Some(true))
        };
        all.iter().find(is_active).or(all.first()).copied()
    }

    /// The router in the first inventory that has it: its nickname and its terminal.
    fn bonded(&self, id: &str) -> Option<(Text, &'static str)> {
        self.accounts.iter().find_map(|account| {
            let terminals = account.terminals.as_ref()?.iter();
            let bonds = terminals
                .filter_map(|(terminal, content)| Some((*content.routers.get(id)?, *terminal)));
            // Of several terminals with one router, that with the greatest nickname of the router counts, then the greatest ID.
            bonds.max()
        })
    }

    fn in_file(&self, key: &str) -> Option<(String, String)> {
        let found = self
            .names
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(key));
        found.map(|(_, (name, group))| ((*name).to_owned(), (*group).to_owned()))
    }

    /// The name of a terminal by its ID without a prefix.
    fn terminal_name(&self, id: &str) -> Option<(String, String)> {
        let by_id = self
            .in_file(&format!("ut{id}"))
            .or_else(|| self.in_file(id));
        by_id.or_else(|| {
            let (account, listed) = self.listed(id)?;
            let line = self.line_of(account, listed);
            let own = [
                listed.nickname,
                line.and_then(|line| line.nickname),
                line.and_then(|line| line.tail),
            ];
            let serials = [listed.kit, listed.dish].into_iter().flatten();
            let by_serial = serials.into_iter().find_map(|serial| self.in_file(serial));
            by_serial.or_else(|| {
                let named = own
                    .into_iter()
                    .flatten()
                    .find(|name| !name.trim().is_empty());
                named.map(|name| (name.to_owned(), String::new()))
            })
        })
    }

    fn router_terminal(&self, id: &str) -> Option<String> {
        let reported = self.routers.get(id)?.1;
        let reported = reported.map(|id| match id.starts_with("ut") {
            true => id.to_owned(),
            false => format!("ut{id}"),
        });
        reported.or_else(|| self.bonded(id).map(|(_, terminal)| format!("ut{terminal}")))
    }

    fn router_name(&self, id: &str) -> Option<(String, String)> {
        let own = self.in_file(&format!("router-{id}"));
        let own = own.or_else(|| self.in_file(id));
        let nickname = self.bonded(id).and_then(|(nickname, _)| nickname);
        let nickname = nickname.filter(|name| !name.trim().is_empty());
        own.or_else(|| Some((nickname?.to_owned(), String::new())))
            .or_else(|| self.terminal_name(self.router_terminal(id)?.strip_prefix("ut")?))
    }

    /// The samples of `starlink_online`, by device: at once, or after the silence of all devices.
    pub fn online(&self, are_silent: bool) -> BTreeMap<String, f64> {
        let value = if are_silent { 0.0 } else { 1.0 };
        let routers = self.routers.keys().map(|id| format!("Router-{id}"));
        let mut all: BTreeMap<_, _> = routers.map(|id| (id, value)).collect();
        let listed = self.accounts.iter().flat_map(|account| &account.terminals);
        let listed = listed.flat_map(BTreeMap::keys);
        for id in self.terminals.keys().chain(listed) {
            let has_reported = self.terminals.contains_key(id);
            // `None`: not known, because the lines of its account are not known, or its line does not say it.
            let is_active = self.listed(id).and_then(|(account, terminal)| {
                if terminal.line.is_none() {
                    return Some(false);
                }
                self.accounts[account].lines.as_ref()?;
                let line = self.line_of(account, terminal);
                line.map_or(Some(false), |line| line.active)
            });
            let is_shown = match (are_silent, has_reported) {
                (false, has_reported) => has_reported,
                (true, true) => is_active != Some(false),
                (true, false) => is_active == Some(true),
            };
            if is_shown {
                all.insert(format!("ut{id}"), value);
            }
        }
        all
    }

    /// The series of the inventory, of all accounts or of one.
    pub fn expected(&self, only: Option<usize>) -> BTreeMap<Series, f64> {
        let mut all = BTreeMap::new();
        let mut add = |account: usize, name: &str, labels: &[(&str, &str)], value: f64| {
            if only.is_none_or(|only| only == account) {
                let labels = labels.iter();
                let labels = labels.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
                let twice = all.insert((format!("starlink_{name}"), labels.collect()), value);
                assert_eq!(twice, None, "{name}");
            }
        };
        let listed = self.accounts.iter().flat_map(|account| &account.terminals);
        let listed: BTreeSet<_> = listed.flat_map(BTreeMap::keys).copied().collect();
        let terminals: BTreeSet<_> = self.terminals.keys().copied().chain(listed).collect();
        for id in terminals {
            let found = self.listed(id);
            let device = format!("ut{id}");
            let labels = [("device_type", "UserTerminal"), ("deviceID", &*device)];
            let owner = self.terminals.get(id).copied();
            let owner = owner.or(found.map(|(account, _)| account)).unwrap();
            if let Some((name, group)) = self.terminal_name(id) {
                let name = [("name", &*name), ("group", &*group)];
                add(owner, "device_name", &[labels, name].concat(), 1.0);
            }
            let account = [("account", NAMES[owner])];
            add(
                owner,
                "device_account",
                &[&labels[..], &account].concat(),
                1.0,
            );
            if let Some((account, terminal)) = found {
                let info = [
                    ("account", NAMES[account]),
                    ("kit_serial", terminal.kit.unwrap_or_default()),
                    ("dish_serial", terminal.dish.unwrap_or_default()),
                    ("service_line", terminal.line.unwrap_or_default()),
                ];
                add(
                    account,
                    "terminal_info",
                    &[&labels[..], &info].concat(),
                    1.0,
                );
            }
        }
        for (id, (owner, _)) in &self.routers {
            let device = format!("Router-{id}");
            let labels = [("device_type", "Router"), ("deviceID", &*device)];
            if let Some((name, group)) = self.router_name(id) {
                let name = [("name", &*name), ("group", &*group)];
                add(*owner, "device_name", &[labels, name].concat(), 1.0);
            }
            let account = [("account", NAMES[*owner])];
            add(
                *owner,
                "device_account",
                &[&labels[..], &account].concat(),
                1.0,
            );
            if let Some(terminal) = self.router_terminal(id) {
                let terminal = [("terminal", &*terminal)];
                add(
                    *owner,
                    "router_terminal",
                    &[&labels[..], &terminal].concat(),
                    1.0,
                );
            }
        }
        for (number, account) in self.accounts.iter().enumerate() {
            account.expected(NAMES[number], |name, labels, value| {
                add(number, name, labels, value)
            });
        }
        all
    }
}

impl Account {
    /// The series of lines, pools and the account.
    fn expected(&self, name: &str, mut add: impl FnMut(&str, &[(&str, &str)], f64)) {
        let flag = |flag: bool| f64::from(u8::from(flag));
        let lines = self.lines.iter().flatten();
        for (number, line) in lines {
            let labels = [("account", name), ("service_line", number)];
            let public_ip = match line.public_ip {
                None => "",
                Some(true) => "true",
                Some(false) => "false",
            };
            let info = [
                ("nickname", line.nickname.unwrap_or_default()),
                ("product", line.product.unwrap_or_default()),
                ("tail_number", line.tail.unwrap_or_default()),
                ("public_ip", public_ip),
            ];
            add("service_line_info", &[&labels[..], &info].concat(), 1.0);
            if let Some(active) = line.active {
                add("service_line_active", &labels, flag(active));
            }
        }
        for number in LINES {
            let line = self.lines.as_ref().and_then(|lines| lines.get(number));
            let usage = self.usage.as_ref().and_then(|usage| usage.get(number));
            let end = match (line, usage) {
                (_, Some(usage)) if usage.ends => Some(1_798_761_600.0),
                (Some(line), _) if line.ends => Some(1_796_083_200.0),
                _ => None,
            };
            let labels = [("account", name), ("service_line", number)];
            if let Some(end) = end {
                add("service_line_end_timestamp_seconds", &labels, end);
            }
            let Some(usage) = usage else { continue };
            let [priority, opt_in, standard, other] = usage.used;
            let own = priority.map(|own| own.saturating_sub(opt_in.unwrap_or_default()));
            for (category, used) in [
                ("priority", own),
                ("opt_in_priority", opt_in),
                ("standard", standard),
                ("non_billable", other),
            ] {
                if let Some(used) = used {
                    let category = [("category", category)];
                    let labels = [&labels[..], &category].concat();
                    add(
                        "service_line_data_used_bytes",
                        &labels,
                        f64::from(used) * 1e9,
                    );
                }
            }
            let limit = usage
                .limit
                .filter(|limit| *limit > 0 && usage.pool.is_none());
            if let Some(limit) = limit {
                add(
                    "service_line_data_limit_bytes",
                    &labels,
                    f64::from(limit) * 1e9,
                );
            }
            if let Some(overage) = &usage.overage {
                let overage = f64::from(overage.iter().sum::<u16>()) * 1e9;
                add("service_line_data_overage_bytes", &labels, overage);
            }
            if let Some(opted_in) = usage.opted_in {
                add("service_line_overage_opted_in", &labels, flag(opted_in));
            }
            let updated = if usage.updated { 1_795_651_200.0 } else { NOW };
            for (name, value) in [
                ("data_updated", updated),
                ("billing_cycle_start", 1_794_268_800.0),
                ("billing_cycle_end", 1_796_860_800.0),
            ] {
                let name = format!("service_line_{name}_timestamp_seconds");
                add(&name, &labels, value);
            }
        }
        let pools = self.usage.iter().flatten();
        let pools: BTreeSet<_> = pools.filter_map(|(_, usage)| usage.pool).collect();
        for pool in pools {
            let labels = [("account", name), ("data_pool", pool)];
            add("data_pool_used_bytes", &labels, 12.5e9);
            add("data_pool_limit_bytes", &labels, 50e9);
        }
        if let Some((account_name, suspensions)) = &self.info {
            let info = [
                ("account", name),
                ("account_number", "ACC-1"),
                ("account_name", account_name.unwrap_or_default()),
                ("region", ""),
            ];
            add("account_info", &info, 1.0);
            for reason in suspensions.iter().collect::<BTreeSet<_>>() {
                add(
                    "account_suspension",
                    &[("account", name), ("reason", reason)],
                    1.0,
                );
            }
        }
        for (currency, due) in self.balance.iter().flatten() {
            let labels = [("account", name), ("currency", currency)];
            add("account_balance_due", &labels, f64::from(*due));
        }
    }
}
