//! The rows of an answer: which are accepted, and the values that they give a device.

use super::*;

impl Oracle {
    pub(super) fn row(
        &mut self,
        row: &Json,
        answer: &Answer,
        counts: &mut Counts,
        named: &mut BTreeSet<String>,
    ) -> Result<(), &'static str> {
        let Json::List(cells) = row else {
            return Err("shape");
        };
        let code = match cells.first() {
            Some(Json::Text(code)) if !code.is_empty() => code,
            _ => return Err("device_type"),
        };
        if code == "r" && !self.settings.include_routers {
            *counts.ignored.entry("router").or_default() += 1;
            return Ok(());
        }
        let columns = answer.columns.get(code).ok_or("no_columns")?;
        let cell = |name: &str| {
            let position = columns
                .iter()
                .position(|column| column.as_deref() == Some(name))?;
            cells.get(position)
        };
        let device = match cell("DeviceId") {
            Some(Json::Text(device)) if !device.is_empty() => device,
            _ => return Err("device_id"),
        };
        let timestamp = match cell("UtcTimestampNs") {
            Some(Json::Number(spelled)) => spelled.parse::<i64>().map_err(|_| "timestamp")?,
            _ => return Err("timestamp"),
        };
        if timestamp < START_OF_2019 {
            return Err("timestamp");
        }
        if self.latest.is_some_and(|latest| timestamp > latest) {
            *counts.ignored.entry("future").or_default() += 1;
            return Ok(());
        }
        if code == "i" {
            let terminal = device.strip_prefix("ip-").unwrap_or(device);
            if terminal.is_empty() {
                return Err("device_id");
            }
            let known = self.allocations.get(terminal);
            if known.is_some_and(|known| self.is_older(timestamp, known.timestamp, known.seen)) {
                *counts.ignored.entry("older").or_default() += 1;
                return Ok(());
            }
            let mut rejected = 0;
            let allocation = self.allocation(timestamp, columns, cells, &mut rejected);
            counts
                .cells
                .insert((code.clone(), terminal.to_owned()), rejected);
            self.allocations.insert(terminal.to_owned(), allocation);
            let key = ("u".to_owned(), terminal.to_owned());
            self.owners.entry(key).or_insert(self.account);
        } else {
            let key = (code.clone(), device.clone());
            let known = self.devices.get(&key);
            if known.is_some_and(|known| self.is_older(timestamp, known.timestamp, known.seen)) {
                *counts.ignored.entry("older").or_default() += 1;
                let is_its = self.owners.get(&key) == Some(&self.account);
                if let Some(known) = self.devices.get_mut(&key).filter(|_| is_its)
                    && known.delivered != known.seen
                {
                    known.delivered = self.now;
                }
                return Ok(());
            }
            let owner = self.owner(&key);
            let (mut rejected, mut non_cells) = (0, 0);
            let mut device = self.device(
                code,
                timestamp,
                columns,
                cells,
                &mut rejected,
                &mut non_cells,
            );
            device.heard = self.streams[owner].time;
            if owner != self.account {
                device.delivered = self
                    .devices
                    .get(&key)
                    .map_or(self.now, |known| known.delivered);
            }
            self.owners.insert(key.clone(), owner);
            counts.cells.insert(key.clone(), rejected + non_cells);
            counts.non_cells.insert(key.clone(), non_cells);
            named.insert(code.clone());
            self.devices.insert(key, device);
        }
        Ok(())
    }

    /// Whether a row is ignored because it is older than the known one. A stale device accepts any row.
    pub(super) fn is_older(&self, timestamp: i64, known: i64, seen: u64) -> bool {
        timestamp < known && self.now - seen < self.settings.stale_after
    }

    pub(super) fn device(
        &self,
        code: &str,
        timestamp: i64,
        columns: &[Option<String>],
        cells: &[Json],
        rejected: &mut u64,
        non_cells: &mut u64,
    ) -> Device {
        let mut device = Device {
            timestamp,
            seen: self.now,
            heard: 0,
            delivered: self.now,
            gauges: Vec::new(),
            place: None,
            alerts: self.alerts(code, columns, cells, rejected),
            infos: Vec::new(),
            outdated: false,
        };
        for field in self.fields(columns, &[]) {
            let cell = cells.get(field.position).unwrap_or(&Json::Null);
            if field.name == "H3CellId" {
                if field.gauge.is_some() {
                    locate(cell, &mut device, rejected, non_cells);
                }
                continue;
            }
            match (judge(cell), field.gauge, field.key) {
                (Judged::Gauge(value), Some(gauge), _) => device.gauges.push((gauge, value)),
                (Judged::Info(text), _, Some(key)) => device.infos.push((key, text)),
                (Judged::Rejected, _, _) => *rejected += 1,
                _ => {}
            }
        }
        device
    }

    pub(super) fn alerts(
        &self,
        code: &str,
        columns: &[Option<String>],
        cells: &[Json],
        rejected: &mut u64,
    ) -> BTreeSet<String> {
        let mut alerts = BTreeSet::new();
        if !["u", "r"].contains(&code) {
            return alerts;
        }
        let none = Names::new();
        let names = self.alert_names.get(code).unwrap_or(&none);
        for (column, cell) in columns.iter().zip(cells) {
            if !column
                .as_deref()
                .is_some_and(|column| ALERT_COLUMNS.contains(&column))
            {
                continue;
            }
            for alert in entries(cell) {
                let code = match alert {
                    Json::Null => continue,
                    Json::Text(code) if code.is_empty() => continue,
                    Json::Text(code) => code,
                    Json::Number(code) if is_integer(code) => code,
                    _ => {
                        *rejected += 1;
                        continue;
                    }
                };
                let says_something =
                    |name: &&String| name.bytes().any(|byte| byte.is_ascii_alphanumeric());
                let name = names.get(code).filter(says_something);
                alerts.insert(sanitised(name.unwrap_or(code)));
            }
        }
        alerts
    }

    pub(super) fn allocation(
        &self,
        timestamp: i64,
        columns: &[Option<String>],
        cells: &[Json],
        rejected: &mut u64,
    ) -> Allocation {
        let mut allocation = Allocation {
            timestamp,
            seen: self.now,
            addresses: Vec::new(),
            infos: Vec::new(),
        };
        for field in self.fields(columns, &ADDRESS_COLUMNS) {
            let cell = cells.get(field.position).unwrap_or(&Json::Null);
            if ADDRESS_COLUMNS.contains(&&*field.name) {
                if field.gauge.is_none() {
                    continue;
                }
                let addresses = addresses(cell, field.name == "Ipv4", rejected);
                let single = addresses.len() == 1;
                for (index, address) in addresses.into_iter().enumerate() {
                    let index = if single {
                        String::new()
                    } else {
                        format!("_{index}")
                    };
                    let name = format!("starlink_{}_numeric{index}", field.name);
                    allocation.addresses.push((name, address));
                }
            } else if field.name != "H3CellId" {
                match (allocation_text(cell), field.key) {
                    (Some(text), Some(key)) if !text.is_empty() => {
                        allocation.infos.push((key, text))
                    }
                    (None, _) => *rejected += 1,
                    _ => {}
                }
            }
        }
        allocation
    }

    /// The columns that are fields, in their order, with the names that they may use. A column without a name is ignored, but its unreadable
    /// cells are counted. The `textless` are those that never become info fields.
    pub(super) fn fields(&self, columns: &[Option<String>], textless: &[&str]) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::new();
        let (mut gauges, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for (position, name) in columns.iter().enumerate() {
            let Some(name) = name else { continue };
            if ["DeviceType", "UtcTimestampNs", "DeviceId"].contains(&&**name)
                || ALERT_COLUMNS.contains(&&**name)
                || self.leaves_out(name)
            {
                continue;
            }
            let gauge = format!("starlink_{}", sanitised(name));
            let key = info_key(name);
            let gauge_is_free = !is_own_family(&gauge) && gauges.insert(gauge.clone());
            let key_is_free = !textless.contains(&&**name)
                && !["device_type", "deviceid"].contains(&&*key)
                && keys.insert(key.clone());
            fields.push(Field {
                position,
                name: name.clone(),
                gauge: gauge_is_free.then_some(gauge),
                key: key_is_free.then_some(key),
            });
        }
        fields
    }

    /// Whether the settings drop a field.
    pub(super) fn leaves_out(&self, name: &str) -> bool {
        let lower = name.to_lowercase();
        let is_place = PLACES.iter().any(|place| lower.contains(place));
        (is_place && !self.settings.location) || self.settings.dropped.contains(&name)
    }

    /// Types with accepted rows get the names of the answer.
    pub(super) fn name_types(&mut self, answer: &Answer, named: BTreeSet<String>) {
        let names = self.unique_names(answer);
        for code in named {
            let name = &names[&code];
            let same = self.shown_names.iter();
            let same = same.filter(|(other, known)| **other != code && *known == name);
            for other in same.map(|(other, _)| other.clone()).collect::<Vec<_>>() {
                let mut outdated = name.clone();
                while self.shown_names.values().any(|known| *known == outdated) {
                    outdated = format!("{outdated}_{other}");
                }
                self.shown_names.insert(other, outdated);
            }
            self.shown_names.insert(code, name.clone());
        }
    }

    /// The value of the label `device_type` for each type of an answer: the enum's names, each for the first code that has it, then
    /// the names of the other codes, then the codes that have no name.
    pub(super) fn unique_names(&self, answer: &Answer) -> Names {
        let mut unique = Names::new();
        let named = || self.type_names.iter().filter(|(_, name)| !name.is_empty());
        for (code, name) in named() {
            if !unique.values().any(|known| known == name) {
                unique.insert(code.clone(), name.clone());
            }
        }
        let unnamed = answer.columns.keys().map(|code| (code, code));
        for (code, name) in named().chain(unnamed) {
            if unique.contains_key(code) {
                continue;
            }
            let mut name = name.clone();
            while unique.values().any(|known| *known == name) {
                name = format!("{name}_{code}");
            }
            unique.insert(code.clone(), name);
        }
        unique
    }
}
