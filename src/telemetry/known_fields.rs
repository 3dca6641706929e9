//! The fields in Starlink's published telemetry guide: meaning and unit of each.

/// The unit of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A count, an identifier, or a field that is not known.
    None,
    /// 1 or 0.
    Flag,
    /// A share, 0 to 1.
    Ratio,
    /// Megabits per second.
    MegabitsPerSecond,
    /// Decibels relative to a milliwatt.
    Dbm,
    /// Thousandths of a second.
    Milliseconds,
    /// Seconds; of a timestamp, since 1970.
    Seconds,
    /// Bytes.
    Bytes,
    /// Degrees of an angle.
    Degrees,
}

impl Unit {
    /// The unit in the help of a field, after the meaning.
    const fn words(self) -> &'static str {
        match self {
            // The meaning begins with "Bytes".
            Self::None | Self::Bytes => "",
            Self::Flag => ", 1 or 0",
            Self::Ratio => ", 0 to 1",
            Self::MegabitsPerSecond => ", in Mbit/s",
            Self::Dbm => ", in dBm",
            Self::Milliseconds => ", in milliseconds",
            Self::Seconds => ", in seconds",
            Self::Degrees => ", in degrees",
        }
    }
}

/// A field whose meaning is known.
#[derive(Debug, Clone, Copy)]
pub struct KnownField {
    /// The field's name, as Starlink spells it.
    pub name: &'static str,
    /// Its meaning, without the unit.
    pub meaning: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// The unit in the help.
    words: &'static str,
    /// The text of the help after the unit.
    pub note: &'static str,
}

impl KnownField {
    /// The text of HELP: the meaning, the unit and the note.
    #[must_use]
    pub fn help(&self) -> String {
        format!("{}{}{}.", self.meaning, self.words, self.note)
    }
}

const fn field(name: &'static str, meaning: &'static str, unit: Unit) -> KnownField {
    KnownField {
        name,
        meaning,
        unit,
        words: unit.words(),
        note: "",
    }
}

/// Sorted by name.
const FIELDS: [KnownField; 38] = [
    field("Clients", "Clients connected to the router", Unit::None),
    field(
        "Clients2Ghz",
        "Clients connected on the 2.4 GHz band",
        Unit::None,
    ),
    field(
        "Clients2GhzRxRateMbpsAvg",
        "Mean receive rate of the 2.4 GHz clients",
        Unit::MegabitsPerSecond,
    ),
    field(
        "Clients2GhzRxRateMbpsMax",
        "Highest receive rate of the 2.4 GHz clients",
        Unit::MegabitsPerSecond,
    ),
    field(
        "Clients2GhzRxRateMbpsMin",
        "Lowest receive rate of the 2.4 GHz clients",
        Unit::MegabitsPerSecond,
    ),
    field(
        "Clients2GhzSignalStrengthAvg",
        "Mean signal strength of the 2.4 GHz clients",
        Unit::Dbm,
    ),
    field(
        "Clients2GhzSignalStrengthMax",
        "Highest signal strength of the 2.4 GHz clients",
        Unit::Dbm,
    ),
    field(
        "Clients2GhzSignalStrengthMin",
        "Lowest signal strength of the 2.4 GHz clients",
        Unit::Dbm,
    ),
    field(
        "Clients5Ghz",
        "Clients connected on the 5 GHz band",
        Unit::None,
    ),
    field(
        "Clients5GhzRxRateMbpsAvg",
        "Mean receive rate of the 5 GHz clients",
        Unit::MegabitsPerSecond,
    ),
    field(
        "Clients5GhzRxRateMbpsMax",
        "Highest receive rate of the 5 GHz clients",
        Unit::MegabitsPerSecond,
    ),
    field(
        "Clients5GhzRxRateMbpsMin",
        "Lowest receive rate of the 5 GHz clients",
        Unit::MegabitsPerSecond,
    ),
    field(
        "Clients5GhzSignalStrengthAvg",
        "Mean signal strength of the 5 GHz clients",
        Unit::Dbm,
    ),
    field(
        "Clients5GhzSignalStrengthMax",
        "Highest signal strength of the 5 GHz clients",
        Unit::Dbm,
    ),
    field(
        "Clients5GhzSignalStrengthMin",
        "Lowest signal strength of the 5 GHz clients",
        Unit::Dbm,
    ),
    field("ClientsEth", "Clients connected by cable", Unit::None),
    field(
        "DishPingDropRate",
        "Share of pings from the router to its terminal that were lost",
        Unit::Ratio,
    ),
    field(
        "DishPingLatencyMs",
        "Round trip from the router to its terminal",
        Unit::Milliseconds,
    ),
    field(
        "DownlinkThroughput",
        "Throughput from the satellite to the terminal",
        Unit::MegabitsPerSecond,
    ),
    KnownField {
        note: ", rounded; use latitude and longitude instead",
        ..field(
            "H3CellId",
            "H3 cell of the terminal, resolution 5",
            Unit::None,
        )
    },
    field(
        "InTerritorialWaters",
        "Whether the terminal is in territorial waters",
        Unit::Flag,
    ),
    field(
        "InternetPingDropRate",
        "Share of pings from the router to the internet that were lost",
        Unit::Ratio,
    ),
    field(
        "InternetPingLatencyMs",
        "Round trip from the router to the internet",
        Unit::Milliseconds,
    ),
    KnownField {
        words: ", as Starlink reports it",
        ..field(
            "ObstructionPercentTime",
            "Share of time that the terminal's view was obstructed",
            Unit::Ratio,
        )
    },
    field(
        "PingDropRateAvg",
        "Share of pings that were lost",
        Unit::Ratio,
    ),
    field(
        "PingLatencyMsAvg",
        "Mean round trip of pings",
        Unit::Milliseconds,
    ),
    KnownField {
        note: "; -1 where deferral is off",
        ..field(
            "SecondsUntilSwupdateRebootPossible",
            "Time until a software update may reboot the terminal",
            Unit::Seconds,
        )
    },
    field("SignalQuality", "Signal quality", Unit::Ratio),
    field(
        "UplinkThroughput",
        "Throughput from the terminal to the satellite",
        Unit::MegabitsPerSecond,
    ),
    field("Uptime", "Time since the terminal started", Unit::Seconds),
    field(
        "WanRxBytes",
        "Bytes received on the WAN side since the router started",
        Unit::Bytes,
    ),
    field(
        "WanTxBytes",
        "Bytes sent on the WAN side since the router started",
        Unit::Bytes,
    ),
    field(
        "WifiHopsFromController",
        "Hops from the router to its mesh controller",
        Unit::None,
    ),
    field(
        "WifiIsBypassed",
        "Whether the router is in bypass mode",
        Unit::Flag,
    ),
    field(
        "WifiIsRepeater",
        "Whether the router is a repeater",
        Unit::Flag,
    ),
    field(
        "WifiPopPingDropRate",
        "Share of pings from the router to Starlink's point of presence that were lost",
        Unit::Ratio,
    ),
    field(
        "WifiPopPingLatencyMs",
        "Round trip from the router to Starlink's point of presence",
        Unit::Milliseconds,
    ),
    field(
        "WifiUptimeS",
        "Time since the router started",
        Unit::Seconds,
    ),
];

/// The field with this name, as Starlink spells it.
#[must_use]
pub fn find(name: &str) -> Option<&'static KnownField> {
    let found = FIELDS.binary_search_by(|known| known.name.cmp(name));
    found.ok().map(|at| &FIELDS[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_sorted_and_found() {
        assert!(FIELDS.is_sorted_by(|one, other| one.name < other.name));
        for known in &FIELDS {
            assert_eq!(find(known.name).map(|found| found.name), Some(known.name));
        }
        assert!(find("New-Field").is_none());
    }

    #[test]
    fn help_has_the_unit_before_the_note() {
        for (name, expected) in [
            ("Clients", "Clients connected to the router."),
            (
                "SecondsUntilSwupdateRebootPossible",
                "Time until a software update may reboot the terminal, in seconds; -1 where deferral is off.",
            ),
            (
                "ObstructionPercentTime",
                "Share of time that the terminal's view was obstructed, as Starlink reports it.",
            ),
        ] {
            assert_eq!(find(name).map(KnownField::help).as_deref(), Some(expected));
        }
    }
}
