//! Which labels a destination may add to series.

/// The names of labels that metrics of the exporter have, less the keys of info fields, which come from Starlink. An info key that equals
/// a label of a destination gets the prefix `field_`.
const RESERVED: [&str; 35] = [
    "account",
    "account_name",
    "account_number",
    "actor",
    "category",
    "cause",
    "code",
    "currency",
    "data_pool",
    "destination",
    "deviceID",
    "device_type",
    "deviceid",
    "dish_serial",
    "format",
    "group",
    "instance",
    "kit_serial",
    "le",
    "name",
    "nickname",
    "operation",
    "part",
    "product",
    "public_ip",
    "reason",
    "region",
    "revision",
    "rustversion",
    "service_line",
    "state",
    "tail_number",
    "task",
    "terminal",
    "version",
];

/// Whether a metric of the exporter may have a label of this name.
#[must_use]
pub fn is_reserved_label(name: &str) -> bool {
    RESERVED.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the labels in a line of the Prometheus text format.
    fn names(line: &str) -> Vec<&str> {
        let Some((_, labels)) = line.split_once('{') else {
            return Vec::new();
        };
        let parts = labels.split("=\"");
        let ends = parts.map(|part| part.rsplit(['{', ',']).next().unwrap_or(part));
        let is_name = |name: &&str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        ends.filter(is_name).collect()
    }

    #[test]
    fn labels_of_scrapes_are_reserved() {
        assert_eq!(names("a{b=\"c\",d=\"e,f\"} 1"), ["b", "d"]);
        for text in [
            include_str!("../../tests/golden/fleet.prometheus.txt"),
            include_str!("../../tests/golden/inventory.prometheus.txt"),
        ] {
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            // The other labels of this family are fields of Starlink.
            let lines = lines.filter(|line| !line.starts_with("starlink_info{"));
            let mut count = 0;
            for line in lines {
                for name in names(line) {
                    assert!(is_reserved_label(name), "{name} of {line}");
                    count += 1;
                }
            }
            assert!(count > 100);
        }
    }
}
