//! What is known of Starlink's fields: one sentence each, with the unit.

use std::borrow::Cow;

/// Fields and their meaning, sorted by name. Sources: Starlink's published telemetry guide.
const FIELDS: [(&str, &str); 38] = [
    ("Clients", "Clients connected to the router."),
    ("Clients2Ghz", "Clients connected on the 2.4 GHz band."),
    (
        "Clients2GhzRxRateMbpsAvg",
        "Mean receive rate of the 2.4 GHz clients, in Mbit/s.",
    ),
    (
        "Clients2GhzRxRateMbpsMax",
        "Highest receive rate of the 2.4 GHz clients, in Mbit/s.",
    ),
    (
        "Clients2GhzRxRateMbpsMin",
        "Lowest receive rate of the 2.4 GHz clients, in Mbit/s.",
    ),
    (
        "Clients2GhzSignalStrengthAvg",
        "Mean signal strength of the 2.4 GHz clients, in dBm.",
    ),
    (
        "Clients2GhzSignalStrengthMax",
        "Highest signal strength of the 2.4 GHz clients, in dBm.",
    ),
    (
        "Clients2GhzSignalStrengthMin",
        "Lowest signal strength of the 2.4 GHz clients, in dBm.",
    ),
    ("Clients5Ghz", "Clients connected on the 5 GHz band."),
    (
        "Clients5GhzRxRateMbpsAvg",
        "Mean receive rate of the 5 GHz clients, in Mbit/s.",
    ),
    (
        "Clients5GhzRxRateMbpsMax",
        "Highest receive rate of the 5 GHz clients, in Mbit/s.",
    ),
    (
        "Clients5GhzRxRateMbpsMin",
        "Lowest receive rate of the 5 GHz clients, in Mbit/s.",
    ),
    (
        "Clients5GhzSignalStrengthAvg",
        "Mean signal strength of the 5 GHz clients, in dBm.",
    ),
    (
        "Clients5GhzSignalStrengthMax",
        "Highest signal strength of the 5 GHz clients, in dBm.",
    ),
    (
        "Clients5GhzSignalStrengthMin",
        "Lowest signal strength of the 5 GHz clients, in dBm.",
    ),
    ("ClientsEth", "Clients connected by cable."),
    (
        "DishPingDropRate",
        "Share of pings from the router to its terminal that were lost, 0 to 1.",
    ),
    (
        "DishPingLatencyMs",
        "Round trip from the router to its terminal, in milliseconds.",
    ),
    (
        "DownlinkThroughput",
        "Throughput from the satellite to the terminal, in Mbit/s.",
    ),
    (
        "H3CellId",
        "H3 cell of the terminal, resolution 5, rounded; use latitude and longitude instead.",
    ),
    (
        "InTerritorialWaters",
        "Whether the terminal is in territorial waters, 1 or 0.",
    ),
    (
        "InternetPingDropRate",
        "Share of pings from the router to the internet that were lost, 0 to 1.",
    ),
    (
        "InternetPingLatencyMs",
        "Round trip from the router to the internet, in milliseconds.",
    ),
    (
        "ObstructionPercentTime",
        "Share of time that the terminal's view was obstructed, as Starlink reports it.",
    ),
    ("PingDropRateAvg", "Share of pings that were lost, 0 to 1."),
    (
        "PingLatencyMsAvg",
        "Mean round trip of pings, in milliseconds.",
    ),
    (
        "SecondsUntilSwupdateRebootPossible",
        "Time until a software update may reboot the terminal, in seconds; -1 where deferral is off.",
    ),
    ("SignalQuality", "Signal quality, 0 to 1."),
    (
        "UplinkThroughput",
        "Throughput from the terminal to the satellite, in Mbit/s.",
    ),
    ("Uptime", "Time since the terminal started, in seconds."),
    (
        "WanRxBytes",
        "Bytes received on the WAN side since the router started.",
    ),
    (
        "WanTxBytes",
        "Bytes sent on the WAN side since the router started.",
    ),
    (
        "WifiHopsFromController",
        "Hops from the router to its mesh controller.",
    ),
    (
        "WifiIsBypassed",
        "Whether the router is in bypass mode, 1 or 0.",
    ),
    (
        "WifiIsRepeater",
        "Whether the router is a repeater, 1 or 0.",
    ),
    (
        "WifiPopPingDropRate",
        "Share of pings from the router to Starlink's point of presence that were lost, 0 to 1.",
    ),
    (
        "WifiPopPingLatencyMs",
        "Round trip from the router to Starlink's point of presence, in milliseconds.",
    ),
    ("WifiUptimeS", "Time since the router started, in seconds."),
];

/// The help of a field's family.
#[must_use]
pub fn field(name: &str) -> Cow<'static, str> {
    match FIELDS.binary_search_by(|(known, _)| (*known).cmp(name)) {
        Ok(at) => FIELDS[at].1.into(),
        Err(_) => format!("Starlink telemetry field {name}.").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_found() {
        assert!(FIELDS.is_sorted_by(|one, other| one.0 < other.0));
        for (name, help) in FIELDS {
            assert_eq!(field(name), help);
        }
        assert_eq!(field("New-Field"), "Starlink telemetry field New-Field.");
    }
}
