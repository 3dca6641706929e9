//! The newest values of single devices, as `telemetry/query` gives them.

use serde_json::{Value, json};

use super::{
    Fleet, allocation,
    site::Site,
    terminal::{ALERT_HOT, ALERT_POP_CHANGE, ALERT_REBOOT_PENDING, Readings},
};

impl Fleet {
    /// The newest values of a terminal that reports, at `tick` or before an outage.
    ///
    /// `text_of` writes a time in Unix nanoseconds.
    pub(in crate::simulator) fn newest(
        &self,
        tick: u64,
        index: usize,
        text_of: impl Fn(u64) -> String,
    ) -> Value {
        let heard = (0..=tick).rev().find(|&tick| !self.is_offline(tick, index));
        let site = self.site(heard.unwrap_or(0), index);
        let timestamp = text_of(site.timestamp_ns(10));
        values(&site, &timestamp)
    }

    /// The values of a terminal that stopped reporting `age_ns` before tick 0. Such terminals follow those that report.
    pub(in crate::simulator) fn before_start(
        &self,
        index: usize,
        age_ns: u64,
        text_of: impl Fn(u64) -> String,
    ) -> Value {
        let timestamp = text_of(self.origin_ns.saturating_sub(age_ns));
        values(&self.site(0, index), &timestamp)
    }
}

fn values(site: &Site<'_>, timestamp: &str) -> Value {
    let readings = Readings::of(site);
    let has_alert = |alert| readings.alerts.contains(&alert);
    let addresses = allocation::addresses(site);
    json!({
        "timestamp": timestamp,
        "downlinkThroughputMbps": readings.downlink_mbps,
        "uplinkThroughputMbps": readings.uplink_mbps,
        "popPingDropRateAvg": readings.drop_rate,
        "popPingLatencyMsAvg": readings.latency_ms,
        "obstructionPercentTime": readings.obstruction,
        "uptimeSeconds": readings.uptime,
        "signalQuality": readings.signal_quality,
        "h3CellId": readings.cell.map(|cell| format!("{cell:x}")),
        "secondsUntilSoftwareUpdateRebootPossible": readings.until_reboot,
        "runningSoftwareVersion": readings.version,
        "countryCode": readings.country,
        "inTerritorialWaters": readings.in_territorial_waters,
        "alertPopChange": has_alert(ALERT_POP_CHANGE),
        "alertThermalThrottle": has_alert(ALERT_HOT),
        "alertSoftwareUpdateRebootPending": has_alert(ALERT_REBOOT_PENDING),
        "ipAllocations": {
            "ipv4": addresses.ipv4,
            "ipv6Ue": addresses.ipv6_ue,
            "ipv6Cpe": addresses.ipv6_cpe,
            "timestamp": timestamp,
        },
    })
}
