//! What the rows of an answer give remote write: each row for itself, whether or not it is the newest of its device.

use super::*;

/// A row of a device.
#[derive(Debug, Clone)]
pub struct SentRow {
    pub device_type: String,
    pub id: String,
    /// `UtcTimestampNs`.
    pub timestamp: i64,
    /// By name of the metric, without addresses and `starlink_info`.
    pub values: BTreeMap<String, f64>,
    /// Its own info fields.
    pub infos: BTreeMap<String, String>,
}

/// A row of an IP allocation.
#[derive(Debug, Clone, PartialEq)]
pub struct SentAllocation {
    /// The terminal.
    pub id: String,
    /// `UtcTimestampNs`.
    pub timestamp: i64,
    /// By name of the metric; empty for a tombstone.
    pub addresses: BTreeMap<String, f64>,
    pub infos: BTreeMap<String, String>,
}

impl Oracle {
    /// The rows of an answer that are not rejected, in their order.
    pub fn sent(&mut self, answer: &Answer) -> (Vec<SentRow>, Vec<SentAllocation>) {
        if let Some(names) = &answer.device_types {
            self.type_names = names.clone();
        }
        for (code, names) in &answer.alerts {
            self.alert_names.insert(code.clone(), names.clone());
        }
        let types = self.unique_names(answer);
        let (mut rows, mut allocations) = (Vec::new(), Vec::new());
        for row in &answer.rows {
            let Json::List(cells) = row else { continue };
            let Some(Json::Text(code)) = cells.first() else {
                continue;
            };
            let (Some(timestamp), Some(columns)) = (stamp(row, answer), answer.columns.get(code))
            else {
                continue;
            };
            let position = columns
                .iter()
                .position(|column| column.as_deref() == Some("DeviceId"));
            let Some(Json::Text(id)) = position.and_then(|position| cells.get(position)) else {
                continue;
            };
            let (mut cells_rejected, mut non_cells) = (0, 0);
            match code.as_str() {
                "r" if !self.settings.include_routers => {}
                "i" => {
                    let found = self.allocation(timestamp, columns, cells, &mut cells_rejected);
                    allocations.push(SentAllocation {
                        id: id.strip_prefix("ip-").unwrap_or(id).to_owned(),
                        timestamp,
                        addresses: found.addresses.into_iter().collect(),
                        infos: found.infos.into_iter().collect(),
                    });
                }
                _ => {
                    let found = self.device(
                        code,
                        timestamp,
                        columns,
                        cells,
                        &mut cells_rejected,
                        &mut non_cells,
                    );
                    let mut values: BTreeMap<_, _> = found.gauges.into_iter().collect();
                    let alerts = found.alerts.into_iter();
                    values.extend(
                        alerts.map(|alert| (format!("starlink_alert_active_{alert}"), 1.0)),
                    );
                    if let Some((latitude, longitude)) = found.place {
                        values.insert("starlink_latitude".to_owned(), latitude);
                        values.insert("starlink_longitude".to_owned(), longitude);
                    }
                    let last_report = "starlink_last_report_timestamp_seconds".to_owned();
                    values.insert(last_report, seconds(timestamp));
                    rows.push(SentRow {
                        device_type: types[code].clone(),
                        id: id.clone(),
                        timestamp,
                        values,
                        infos: found.infos.into_iter().collect(),
                    });
                }
            }
        }
        (rows, allocations)
    }
}
