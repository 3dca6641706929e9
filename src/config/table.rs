//! The one table of settings: what `--help`, `check-config`, `.env.example` and the search for misspelt keys are made from.

use super::parse::Reason;

/// The variable that names the configuration file.
pub(super) const CONFIG_FILE: Setting = Setting {
    name: "CONFIG_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words("the path of a file that ends in .toml, .yaml or .yml"),
    secret: false,
    help: "File with further settings, their names in lower case. --config-file overrides it.",
};
/// The file of the service accounts, where there are several.
pub(super) const ACCOUNTS_FILE: Setting = Setting {
    name: "ACCOUNTS_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words(
        "the path of a YAML file with accounts: and a list with a name, a client_id and a client_secret for each",
    ),
    secret: false,
    help: "Instead of CLIENT_ID and CLIENT_SECRET: a file with up to 256 service accounts, read again when it changes.",
};
/// The service account's client ID.
pub(super) const CLIENT_ID: Setting = Setting {
    name: "CLIENT_ID",
    presence: Presence::Required { example: "" },
    accepts: Accepts::Words("the service account's client ID"),
    secret: true,
    help: "Client ID of the Starlink service account.",
};
/// The mounted file that holds the client ID.
pub(super) const CLIENT_ID_FILE: Setting = Setting {
    name: "CLIENT_ID_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words(CREDENTIAL_FILE),
    secret: false,
    help: "Instead of CLIENT_ID: a file that contains it, read again when it changes.",
};
/// The service account's client secret.
pub(super) const CLIENT_SECRET: Setting = Setting {
    name: "CLIENT_SECRET",
    presence: Presence::Required { example: "" },
    accepts: Accepts::Words("the service account's client secret"),
    secret: true,
    help: "Client secret of the Starlink service account.",
};
/// The mounted file that holds the client secret.
pub(super) const CLIENT_SECRET_FILE: Setting = Setting {
    name: "CLIENT_SECRET_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words(CREDENTIAL_FILE),
    secret: false,
    help: "Instead of CLIENT_SECRET: a file that contains it, read again when it changes.",
};
/// How many rows Starlink may put into one answer. Its API documents the maximum.
pub(super) const BATCH_SIZE: Setting = Setting {
    name: "BATCH_SIZE",
    presence: Presence::Required { example: "1000" },
    accepts: Accepts::Whole {
        from: 1,
        to: 65_000,
        unit: "rows",
    },
    secret: false,
    help: "Maximum number of rows in one answer. Set it to at least (terminals + routers) / 25.",
};
/// How long Starlink may wait for a full answer. Its API documents the maximum.
pub(super) const MAX_LINGER: Setting = Setting {
    name: "MAX_LINGER",
    presence: Presence::Required { example: "15000" },
    accepts: Accepts::Whole {
        from: 0,
        to: 65_000,
        unit: "milliseconds",
    },
    secret: false,
    help: "How long Starlink may wait for a full answer before it sends the rows that it has.",
};
/// How often an account polls at most. Starlink allows 250 requests a minute.
pub(super) const POLLS_PER_MINUTE: Setting = Setting {
    name: "POLLS_PER_MINUTE",
    presence: Presence::Default("200"),
    accepts: Accepts::Whole {
        from: 1,
        to: 240,
        unit: "polls",
    },
    secret: false,
    help: "Maximum number of polls in a minute, for each account. Starlink allows 250 requests a minute to an account.",
};
/// Where the API lives.
pub(super) const API_URL: Setting = Setting {
    name: "API_URL",
    presence: Presence::Default("https://starlink.com/api/public"),
    accepts: Accepts::Words(URL),
    secret: false,
    help: "Base URL of Starlink's API.",
};
/// Where tokens are asked for, if not below `API_URL`.
pub(super) const TOKEN_URL: Setting = Setting {
    name: "TOKEN_URL",
    presence: Presence::Optional,
    accepts: Accepts::Words(URL),
    secret: false,
    help: "Token endpoint. Default: API_URL followed by /auth/connect/token; if that gives no token, the same without /public.",
};
/// Whether the client's secret may cross a network in the open.
pub(super) const ALLOW_INSECURE_API: Setting = Setting {
    name: "ALLOW_INSECURE_API",
    presence: Presence::Default("false"),
    accepts: Accepts::Switch,
    secret: false,
    help: "Whether API_URL and TOKEN_URL may use plain http to other machines. The credentials can then be intercepted.",
};
/// Certificates that the machine does not know.
pub(super) const API_CA_FILE: Setting = Setting {
    name: "API_CA_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words("the path of a readable file with certificates in PEM form"),
    secret: false,
    help: "Certificate authorities that are trusted in addition to the machine's, for example that of a proxy that intercepts TLS.",
};
/// The way out.
pub(super) const HTTPS_PROXY: Setting = Setting {
    name: "HTTPS_PROXY",
    presence: Presence::Optional,
    accepts: Accepts::Words("the URL of an HTTP proxy, such as http://user:password@proxy:3128"),
    secret: true,
    help: "HTTP proxy through which Starlink is reached, by CONNECT. Unset: https_proxy, ALL_PROXY or all_proxy. HTTP_PROXY is not used.",
};
/// Whom the proxy is not asked for.
pub(super) const NO_PROXY: Setting = Setting {
    name: "NO_PROXY",
    presence: Presence::Optional,
    accepts: Accepts::Words(
        "hosts, domains, addresses and networks such as 192.168.0.0/16, separated by commas, or *",
    ),
    secret: false,
    help: "Hosts that are reached without HTTPS_PROXY. Unset: no_proxy. Not read without a proxy.",
};
/// The address to listen on.
pub(super) const METRICS_ADDRESS: Setting = Setting {
    name: "METRICS_ADDRESS",
    presence: Presence::Default("::"),
    accepts: Accepts::Words("an IPv4 or IPv6 address, such as 127.0.0.1 or ::"),
    secret: false,
    help: "Address to serve /metrics on. :: is every address, IPv4 and IPv6; where there is no IPv6, every IPv4 address.",
};
/// The port to listen on.
pub(super) const METRICS_PORT: Setting = Setting {
    name: "METRICS_PORT",
    presence: Presence::Default("9100"),
    accepts: Accepts::Whole {
        from: 0,
        to: 65_535,
        unit: "0: any free port",
    },
    secret: false,
    help: "Port to serve /metrics on.",
};
/// Who gets in.
pub(super) const WEB_CONFIG_FILE: Setting = Setting {
    name: "WEB_CONFIG_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words(
        "the path of a web configuration file in the format of Prometheus's exporter-toolkit",
    ),
    secret: false,
    help: "File with the TLS certificate, client certificates and users. Unset: plain HTTP without authentication.",
};
/// Where probes need no certificate.
pub(super) const PROBES_PORT: Setting = Setting {
    name: "PROBES_PORT",
    presence: Presence::Optional,
    accepts: Accepts::Whole {
        from: 0,
        to: 65_535,
        unit: "0: any free port",
    },
    secret: false,
    help: "Second port, for the probes only, in plain HTTP. Required if client certificates are required.",
};
/// What people call the devices.
pub(super) const NAMES_FILE: Setting = Setting {
    name: "NAMES_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words("the path of a CSV file with the header deviceID,name,group"),
    secret: false,
    help: "File with a name for each device, for starlink_device_name. Read again when it changes.",
};
/// How `starlink_info` is written.
pub(super) const INFO_FORMAT: Setting = Setting {
    name: "INFO_FORMAT",
    presence: Presence::Default("auto"),
    accepts: Accepts::OneOf(&["auto", "labels", "line-protocol"]),
    secret: false,
    help: "How starlink_info is written: by the scraper's Accept header, as labels, or in line protocol.",
};
/// Whether routers give series.
pub(super) const INCLUDE_ROUTERS: Setting = Setting {
    name: "INCLUDE_ROUTERS",
    presence: Presence::Default("false"),
    accepts: Accepts::Switch,
    secret: false,
    help: "Whether routers are exported in addition to terminals.",
};
/// Whether a terminal's place is exported.
pub(super) const LOCATION: Setting = Setting {
    name: "LOCATION",
    presence: Presence::Default("on"),
    accepts: Accepts::Switch,
    secret: false,
    help: "Whether fields that contain the location of a terminal are exported: H3 cell, latitude, longitude, altitude, geohash, location.",
};
/// The host names under which the service answers.
pub(super) const ALLOWED_HOSTS: Setting = Setting {
    name: "ALLOWED_HOSTS",
    presence: Presence::Optional,
    accepts: Accepts::Words(
        "host names separated by commas, such as monitor.example.com,*.fleet.example.com",
    ),
    secret: false,
    help: "Host names under which requests are answered; others get 421. Addresses, localhost and the host's own name are always allowed.",
};
/// Which fields are left out.
pub(super) const DROP_FIELDS: Setting = Setting {
    name: "DROP_FIELDS",
    presence: Presence::Optional,
    accepts: Accepts::Words(
        "regular expressions separated by commas, each for the whole name of a field, such as SignalQuality,Clients.*",
    ),
    secret: false,
    help: "Fields that are left out everywhere, by their names as Starlink spells them.",
};
/// After how long without a row a device is stale.
pub(super) const STALE_AFTER: Setting = Setting {
    name: "STALE_AFTER",
    presence: Presence::Default("120"),
    accepts: SECONDS,
    secret: false,
    help: "Time without data after which the gauges and alerts of a device are left out.",
};
/// After how long without a row an allocation's series end.
pub(super) const IP_STALE_AFTER: Setting = Setting {
    name: "IP_STALE_AFTER",
    presence: Presence::Default("900"),
    accepts: SECONDS,
    secret: false,
    help: "Time without an allocation row (the row with a terminal's IP addresses) after which the IP series of the terminal are left out.",
};
/// After how long without a row a device is dropped.
pub(super) const FORGET_AFTER: Setting = Setting {
    name: "FORGET_AFTER",
    presence: Presence::Default("86400"),
    accepts: SECONDS,
    secret: false,
    help: "Time without data after which a device is forgotten.",
};
/// How many devices are known at most.
pub(super) const MAX_DEVICES: Setting = Setting {
    name: "MAX_DEVICES",
    presence: Presence::Default("1000000"),
    accepts: Accepts::Whole {
        from: 1,
        to: 4_000_000_000,
        unit: "devices",
    },
    secret: false,
    help: "Maximum number of devices, of all types together. Further ones are counted and left out.",
};
/// Where the fleet is kept over restarts.
pub(super) const STATE_FILE: Setting = Setting {
    name: "STATE_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words("the path of a file in a writable directory; the file need not exist"),
    secret: false,
    help: "File that keeps the state of all devices across restarts. Unset: the state is not kept.",
};
/// How often it is kept.
pub(super) const STATE_INTERVAL: Setting = Setting {
    name: "STATE_INTERVAL",
    presence: Presence::Default("60"),
    accepts: SECONDS,
    secret: false,
    help: "How often STATE_FILE is written. It is also written at shutdown.",
};
/// Format of log lines.
pub(super) const LOG_FORMAT: Setting = Setting {
    name: "LOG_FORMAT",
    presence: Presence::Default("text"),
    accepts: Accepts::OneOf(&["text", "json"]),
    secret: false,
    help: "Format of log lines.",
};
/// Log level.
pub(super) const RUST_LOG: Setting = Setting {
    name: "RUST_LOG",
    presence: Presence::Default("info"),
    accepts: Accepts::Words(
        "a level or target=level pairs, such as info or info,starlink_telemetry=debug",
    ),
    secret: false,
    help: "Log level.",
};

/// Every setting, in the order in which people see them.
pub(super) const SETTINGS: [&Setting; 33] = [
    &CONFIG_FILE,
    &CLIENT_ID,
    &CLIENT_ID_FILE,
    &CLIENT_SECRET,
    &CLIENT_SECRET_FILE,
    &ACCOUNTS_FILE,
    &BATCH_SIZE,
    &MAX_LINGER,
    &POLLS_PER_MINUTE,
    &ALLOW_INSECURE_API,
    &API_URL,
    &TOKEN_URL,
    &API_CA_FILE,
    &HTTPS_PROXY,
    &NO_PROXY,
    &METRICS_ADDRESS,
    &METRICS_PORT,
    &WEB_CONFIG_FILE,
    &PROBES_PORT,
    &NAMES_FILE,
    &ALLOWED_HOSTS,
    &INFO_FORMAT,
    &INCLUDE_ROUTERS,
    &LOCATION,
    &DROP_FIELDS,
    &STALE_AFTER,
    &IP_STALE_AFTER,
    &FORGET_AFTER,
    &MAX_DEVICES,
    &STATE_FILE,
    &STATE_INTERVAL,
    &LOG_FORMAT,
    &RUST_LOG,
];

const CREDENTIAL_FILE: &str = "the path of a readable file that contains only the credential";
const URL: &str = "an absolute http or https URL without user name, query or fragment";

/// Ten years at most, so that no sum of durations and clock readings can overflow.
const SECONDS: Accepts = Accepts::Whole {
    from: 1,
    to: 315_360_000,
    unit: "seconds",
};

/// One setting, as people see it.
pub(super) struct Setting {
    /// The environment variable.
    pub(super) name: &'static str,
    /// What holds when nobody sets it.
    pub(super) presence: Presence,
    /// Which values are taken.
    pub(super) accepts: Accepts,
    /// Whether its value must never be shown.
    pub(super) secret: bool,
    /// What it is for: one line.
    pub(super) help: &'static str,
}

/// What holds when nobody sets a setting.
pub(super) enum Presence {
    /// The service does not start; the example is what `.env.example` proposes.
    Required { example: &'static str },
    /// It stays unset.
    Optional,
    /// This value holds.
    Default(&'static str),
}

/// Which values a setting takes.
pub(super) enum Accepts {
    /// A whole number, both bounds included.
    Whole {
        from: u64,
        to: u64,
        unit: &'static str,
    },
    /// On or off, in any usual spelling.
    Switch,
    /// One of these words, in any case.
    OneOf(&'static [&'static str]),
    /// Whatever the words say; the reader of the setting checks it.
    Words(&'static str),
}

impl Setting {
    /// The setting's name in a configuration file.
    pub(super) fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }
}

impl Accepts {
    /// A whole number that is taken.
    pub(super) fn whole<T: TryFrom<u64>>(&self, text: &str) -> Result<T, Reason> {
        let Self::Whole { from, to, .. } = self else {
            return Err("");
        };
        let number = text.parse().ok();
        number
            .filter(|number| (from..=to).contains(&number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| number_reason(text))
    }

    /// The values that are taken, in words that continue "give …".
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Whole { from, to, unit } => {
                format!("a whole number from {from} to {to} ({unit})")
            }
            Self::Switch => "true, false, yes, no, on, off, 1 or 0".to_owned(),
            Self::OneOf(words) => match words.split_last() {
                Some((last, rest)) if !rest.is_empty() => {
                    format!("{} or {last}", rest.join(", "))
                }
                _ => words.concat(),
            },
            Self::Words(words) => (*words).to_owned(),
        }
    }
}

/// A Service of that name makes Kubernetes set `METRICS_PORT` in every pod, which nobody would look for.
fn number_reason(text: &str) -> Reason {
    if text.starts_with("tcp://") {
        "(Kubernetes sets it for a Service of that name: set enableServiceLinks: false in the pod)"
    } else {
        ""
    }
}

/// The headings that `--help` shows, each with the setting that its group begins with, in the order of [`SETTINGS`].
const GROUPS: [(&str, &Setting); 8] = [
    ("Configuration file", &CONFIG_FILE),
    ("Service account and polling (required)", &CLIENT_ID),
    ("Connection to Starlink", &ALLOW_INSECURE_API),
    ("Listening", &METRICS_ADDRESS),
    ("What is exported", &NAMES_FILE),
    ("For how long, and how much", &STALE_AFTER),
    ("Keeping state across restarts", &STATE_FILE),
    ("Logging", &LOG_FORMAT),
];

/// The list of all settings that `--help` prints: headings, and two lines for each setting.
pub fn settings_help() -> String {
    SETTINGS
        .iter()
        .map(|setting| {
            let is_first = |(_, first): &&(&str, &Setting)| first.name == setting.name;
            let heading = match GROUPS.iter().find(is_first) {
                Some((heading, _)) if setting.name == SETTINGS[0].name => format!("{heading}:\n"),
                Some((heading, _)) => format!("\n{heading}:\n"),
                None => String::new(),
            };
            let state = match setting.presence {
                Presence::Required { .. } => "Required".to_owned(),
                Presence::Optional => "Optional".to_owned(),
                Presence::Default(value) => format!("Default {value}"),
            };
            let Setting { name, help, .. } = setting;
            let accepts = setting.accepts.describe();
            format!(
                "{heading}  {name:<20}{help}\n{:22}{state}. Accepts {accepts}.\n",
                ""
            )
        })
        .collect()
}

/// Other names of a setting in the environment and in `.env`, which are taken where the setting's own name is unset: the first of
/// these that is set.
pub(super) const ALIASES: [(&Setting, &[&str]); 2] = [
    (&HTTPS_PROXY, &["https_proxy", "ALL_PROXY", "all_proxy"]),
    (&NO_PROXY, &["no_proxy"]),
];

/// Variables that look like settings and are none, as Starlink is reached over https.
pub(super) const HTTP_PROXY: [&str; 2] = ["HTTP_PROXY", "http_proxy"];

/// Every variable that is looked at, beside the settings' own names.
pub(super) fn other_names() -> impl Iterator<Item = &'static str> {
    let aliases = ALIASES.iter().flat_map(|(_, names)| names.iter());
    aliases.chain(&HTTP_PROXY).copied()
}

/// The key of a configuration file that was probably meant by an unknown one.
pub(super) fn nearest_key(unknown: &str) -> Option<String> {
    let unknown = unknown.to_ascii_lowercase().replace('-', "_");
    SETTINGS
        .iter()
        .map(|setting| setting.key())
        .map(|key| (strsim::osa_distance(&unknown, &key), key))
        .filter(|(distance, key)| *distance <= 2.min(key.len() / 3))
        .min()
        .map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `.env.example` must say, made from the table.
    fn env_example() -> String {
        let entries: String = SETTINGS
            .iter()
            .map(|setting| {
                let Setting { name, help, .. } = setting;
                let accepts = setting.accepts.describe();
                let line = match setting.presence {
                    Presence::Required { example } => format!("{name}={example}"),
                    Presence::Optional => format!("#{name}="),
                    Presence::Default(value) => format!("#{name}={value}"),
                };
                format!("\n# {help}\n# Accepts {accepts}.\n{line}\n")
            })
            .collect();
        format!(
            "# Settings of starlink-telemetry. Copy to .env and fill in the lines without a #.\n\
             # Use single quotes if a value contains a space, #, $ or \\. An empty value counts as unset.\n\
             {entries}"
        )
    }

    #[test]
    fn env_example_lists_every_setting_with_its_default() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example");
        assert_eq!(std::fs::read_to_string(path).unwrap(), env_example());
    }

    #[test]
    fn help_names_every_setting() {
        let help = settings_help();
        for setting in SETTINGS {
            assert!(help.contains(&format!("  {} ", setting.name)));
        }
        let places = GROUPS.map(|(heading, _)| help.find(&format!("{heading}:\n")));
        assert!(
            places.iter().all(Option::is_some) && places.is_sorted(),
            "{places:?}"
        );
    }

    #[test]
    fn a_misspelt_key_finds_the_nearest() {
        for (unknown, expected) in [
            ("batchsize", Some("batch_size")),
            ("BATCH-SIZE", Some("batch_size")),
            ("clientid", Some("client_id")),
            ("client_secert", Some("client_secret")),
            ("stale_aftr", Some("stale_after")),
            ("rust_lgo", Some("rust_log")),
            ("port", None),
            ("", None),
        ] {
            assert_eq!(nearest_key(unknown).as_deref(), expected, "{unknown}");
        }
    }
}
