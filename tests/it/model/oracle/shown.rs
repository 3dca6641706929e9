//! The samples and texts that a scrape shows.

use super::*;

impl Oracle {
    /// The expected scrape.
    pub fn expected(&self) -> Expected {
        let mut expected = Expected::default();
        for ((code, id), device) in &self.devices {
            let device_type = self.shown_names[code].clone();
            let labels = vec![
                ("device_type".to_owned(), device_type.clone()),
                ("deviceID".to_owned(), id.clone()),
            ];
            let owner = self.owners[&(code.clone(), id.clone())];
            let mut with_account = labels.clone();
            with_account.push(("account".to_owned(), ACCOUNTS[owner].to_owned()));
            let account = ("starlink_device_account".to_owned(), with_account);
            expected.samples.insert(account, 1.0);
            let mut add = |name: &str, value: f64| {
                let twice = expected
                    .samples
                    .insert((name.to_owned(), labels.clone()), value);
                assert!(twice.is_none(), "the model gives {name} of {id} twice");
            };
            let stale = self.now - device.seen >= self.settings.stale_after;
            if !stale {
                for (name, value) in &device.gauges {
                    add(name, *value);
                }
                for alert in &device.alerts {
                    add(&format!("starlink_alert_active_{alert}"), 1.0);
                }
            }
            if let Some((latitude, longitude)) = device.place {
                add("starlink_latitude", latitude);
                add("starlink_longitude", longitude);
            }
            add(
                "starlink_last_report_timestamp_seconds",
                seconds(device.timestamp),
            );
            let silent = self.streams[owner].time - device.heard >= self.settings.stale_after;
            if ["u", "r"].contains(&&**code) {
                match (stale, silent) {
                    (false, _) => add("starlink_online", 1.0),
                    (true, true) => add("starlink_online", 0.0),
                    (true, false) => {}
                }
            }
            let mut fields = device.infos.clone();
            if let Some(allocation) = self.allocations.get(id).filter(|_| code == "u") {
                if self.now - allocation.seen < self.settings.ip_stale_after {
                    for (name, value) in &allocation.addresses {
                        add(name, *value);
                    }
                }
                for (key, value) in &allocation.infos {
                    if !fields.iter().any(|(own, _)| own == key) {
                        fields.push((key.clone(), value.clone()));
                    }
                }
            }
            if !fields.is_empty() {
                expected.infos.push(Info {
                    device_type,
                    device: id.clone(),
                    fields,
                    unordered: if device.outdated {
                        device.infos.len()
                    } else {
                        0
                    },
                });
            }
        }
        expected
    }
}

impl Info {
    /// Uses the order of the shown fields where the specification does not define one.
    pub fn order_as(&mut self, shown: &[Series]) {
        let own = &self.series().1[..2];
        let shown = shown
            .iter()
            .find(|(name, labels)| name == "starlink_info" && labels.starts_with(own));
        let position = |field: &(String, String)| {
            shown.and_then(|(_, labels)| labels.iter().position(|label| label == field))
        };
        self.fields[..self.unordered].sort_by_key(position);
    }

    /// The sample, in formats in which `starlink_info` is a sample.
    pub fn series(&self) -> Series {
        let mut labels = vec![
            ("device_type".to_owned(), self.device_type.clone()),
            ("deviceID".to_owned(), self.device.clone()),
        ];
        labels.extend(self.fields.iter().cloned());
        ("starlink_info".to_owned(), labels)
    }

    /// The line in line protocol.
    pub fn line(&self) -> String {
        let mut line = "starlink_info".to_owned();
        for (key, value) in [
            ("device_type", &self.device_type),
            ("deviceID", &self.device),
        ] {
            if value.is_empty() {
                continue;
            }
            line.push_str(&format!(",{key}="));
            for char in value.chars() {
                match char {
                    ',' | '=' | ' ' => line.extend(['\\', char]),
                    '\\' => line.push('_'),
                    char if char.is_control() => line.push('_'),
                    char => line.push(char),
                }
            }
        }
        for (index, (key, value)) in self.fields.iter().enumerate() {
            line.push(if index == 0 { ' ' } else { ',' });
            line.push_str(&format!("{key}=\""));
            for char in value.chars() {
                match char {
                    '"' | '\\' => line.extend(['\\', char]),
                    char if char.is_control() => line.push(' '),
                    char => line.push(char),
                }
            }
            line.push('"');
        }
        line
    }
}
