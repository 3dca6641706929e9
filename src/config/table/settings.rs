//! The settings, one constant for each: its name, default, accepted values and purpose.

use super::setting::{Accepts, Presence, Setting};

const CREDENTIAL_FILE: &str = "the path of a readable file that contains only the credential";
const URL: &str = "an absolute http or https URL without user name, query or fragment";

/// The longest duration: ten years, so that sums of durations and clock readings do not overflow.
const SECONDS: Accepts = Accepts::Whole {
    from: 1,
    to: 315_360_000,
    unit: "seconds",
};

/// The variable that names the configuration file.
pub(in crate::config) const CONFIG_FILE: Setting = Setting {
    name: "CONFIG_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words("the path of a file that ends in .toml, .yaml or .yml"),
    secret: false,
    help: "File with further settings, their names in lower case. --config-file overrides it.",
};
/// The file of several service accounts.
pub(in crate::config) const ACCOUNTS_FILE: Setting = Setting {
    name: "ACCOUNTS_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words(
        "the path of a YAML file with accounts: and a list with a name, a client_id and a client_secret for each",
    ),
    secret: false,
    help: "Instead of CLIENT_ID and CLIENT_SECRET: a file with up to 256 service accounts, read again when it changes.",
};
/// The service account's client ID.
pub(in crate::config) const CLIENT_ID: Setting = Setting {
    name: "CLIENT_ID",
    presence: Presence::Required { example: "" },
    accepts: Accepts::Words("the service account's client ID"),
    secret: true,
    help: "Client ID of the Starlink service account.",
};
/// The mounted file that holds the client ID.
pub(in crate::config) const CLIENT_ID_FILE: Setting = Setting {
    name: "CLIENT_ID_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words(CREDENTIAL_FILE),
    secret: false,
    help: "Instead of CLIENT_ID: a file that contains it, read again when it changes.",
};
/// The service account's client secret.
pub(in crate::config) const CLIENT_SECRET: Setting = Setting {
    name: "CLIENT_SECRET",
    presence: Presence::Required { example: "" },
    accepts: Accepts::Words("the service account's client secret"),
    secret: true,
    help: "Client secret of the Starlink service account.",
};
/// The mounted file that holds the client secret.
pub(in crate::config) const CLIENT_SECRET_FILE: Setting = Setting {
    name: "CLIENT_SECRET_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words(CREDENTIAL_FILE),
    secret: false,
    help: "Instead of CLIENT_SECRET: a file that contains it, read again when it changes.",
};
/// The most rows of an answer. The maximum is documented by Starlink's API.
pub(in crate::config) const BATCH_SIZE: Setting = Setting {
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
/// How long Starlink may wait for a full answer. The maximum is documented by Starlink's API.
pub(in crate::config) const MAX_LINGER: Setting = Setting {
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
/// The most polls of an account in a minute. Starlink allows 250 requests.
pub(in crate::config) const POLLS_PER_MINUTE: Setting = Setting {
    name: "POLLS_PER_MINUTE",
    presence: Presence::Default("200"),
    accepts: Accepts::Whole {
        from: 1,
        to: 240,
        unit: "polls",
    },
    secret: false,
    help: "Maximum number of polls in a minute, for each account. Starlink allows 250 requests a minute to a Starlink account.",
};
/// The base URL of the API.
pub(in crate::config) const API_URL: Setting = Setting {
    name: "API_URL",
    presence: Presence::Default("https://starlink.com/api/public"),
    accepts: Accepts::Words(URL),
    secret: false,
    help: "Base URL of Starlink's API.",
};
/// The token URL, if it is not below `API_URL`.
pub(in crate::config) const TOKEN_URL: Setting = Setting {
    name: "TOKEN_URL",
    presence: Presence::Optional,
    accepts: Accepts::Words(URL),
    secret: false,
    help: "Token endpoint. Default: API_URL followed by /auth/connect/token; if that gives no token, the same without /public.",
};
/// Whether the client secret may be sent without TLS to other machines.
pub(in crate::config) const ALLOW_INSECURE_API: Setting = Setting {
    name: "ALLOW_INSECURE_API",
    presence: Presence::Default("false"),
    accepts: Accepts::Switch,
    secret: false,
    help: "Whether API_URL and TOKEN_URL may use plain http to other machines. The credentials can then be intercepted.",
};
/// Additional certificate authorities.
pub(in crate::config) const API_CA_FILE: Setting = Setting {
    name: "API_CA_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words("the path of a readable file with certificates in PEM form"),
    secret: false,
    help: "Certificate authorities that are trusted in addition to the machine's, for example that of a proxy that intercepts TLS.",
};
/// The proxy.
pub(in crate::config) const HTTPS_PROXY: Setting = Setting {
    name: "HTTPS_PROXY",
    presence: Presence::Optional,
    accepts: Accepts::Words("the URL of an HTTP proxy, such as http://user:password@proxy:3128"),
    secret: true,
    help: "HTTP proxy through which Starlink is reached, by CONNECT. Unset: https_proxy, ALL_PROXY or all_proxy. HTTP_PROXY is not used.",
};
/// The hosts that are reached without the proxy.
pub(in crate::config) const NO_PROXY: Setting = Setting {
    name: "NO_PROXY",
    presence: Presence::Optional,
    accepts: Accepts::Words(
        "hosts, domains, addresses and networks such as 192.168.0.0/16, separated by commas, or *",
    ),
    secret: false,
    help: "Hosts that are reached without HTTPS_PROXY. Unset: no_proxy. Not read without a proxy.",
};
/// The address to listen on.
pub(in crate::config) const METRICS_ADDRESS: Setting = Setting {
    name: "METRICS_ADDRESS",
    presence: Presence::Default("::"),
    accepts: Accepts::Words("an IPv4 or IPv6 address, such as 127.0.0.1 or ::"),
    secret: false,
    help: "Address to serve /metrics on. :: is every address, IPv4 and IPv6; where there is no IPv6, every IPv4 address.",
};
/// The port to listen on.
pub(in crate::config) const METRICS_PORT: Setting = Setting {
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
/// TLS and authentication.
pub(in crate::config) const WEB_CONFIG_FILE: Setting = Setting {
    name: "WEB_CONFIG_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words(
        "the path of a web configuration file in the format of Prometheus's exporter-toolkit",
    ),
    secret: false,
    help: "File with the TLS certificate, client certificates and users. Unset: plain HTTP without authentication.",
};
/// The separate port for probes.
pub(in crate::config) const PROBES_PORT: Setting = Setting {
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
/// The names file.
pub(in crate::config) const NAMES_FILE: Setting = Setting {
    name: "NAMES_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words("the path of a CSV file with the header deviceID,name,group"),
    secret: false,
    help: "File with a name for each device, for starlink_device_name. Read again when it changes.",
};
/// The format of `starlink_info`.
pub(in crate::config) const INFO_FORMAT: Setting = Setting {
    name: "INFO_FORMAT",
    presence: Presence::Default("auto"),
    accepts: Accepts::OneOf(&["auto", "labels", "line-protocol"]),
    secret: false,
    help: "How starlink_info is written: by the scraper's Accept header, as labels, or in line protocol.",
};
/// Whether routers are exported.
pub(in crate::config) const INCLUDE_ROUTERS: Setting = Setting {
    name: "INCLUDE_ROUTERS",
    presence: Presence::Default("false"),
    accepts: Accepts::Switch,
    secret: false,
    help: "Whether routers are exported in addition to terminals.",
};
/// Whether the locations of terminals are exported.
pub(in crate::config) const LOCATION: Setting = Setting {
    name: "LOCATION",
    presence: Presence::Default("on"),
    accepts: Accepts::Switch,
    secret: false,
    help: "Whether fields that contain the location of a terminal are exported: H3 cell, latitude, longitude, altitude, geohash, location.",
};
/// The allowed host names of requests.
pub(in crate::config) const ALLOWED_HOSTS: Setting = Setting {
    name: "ALLOWED_HOSTS",
    presence: Presence::Optional,
    accepts: Accepts::Words(
        "host names separated by commas, such as monitor.example.com,*.fleet.example.com",
    ),
    secret: false,
    help: "Host names under which requests are answered; others get 421. Addresses, localhost and the host's own name are always allowed.",
};
/// The fields that are left out.
pub(in crate::config) const DROP_FIELDS: Setting = Setting {
    name: "DROP_FIELDS",
    presence: Presence::Optional,
    accepts: Accepts::Words(
        "regular expressions separated by commas, each for the whole name of a field, such as SignalQuality,Clients.*",
    ),
    secret: false,
    help: "Fields that are left out everywhere, by their names as Starlink spells them.",
};
/// The time without a row after which a device is stale.
pub(in crate::config) const STALE_AFTER: Setting = Setting {
    name: "STALE_AFTER",
    presence: Presence::Default("120"),
    accepts: SECONDS,
    secret: false,
    help: "Time without data after which the gauges and alerts of a device are left out.",
};
/// The time without a row after which the series of an allocation end.
pub(in crate::config) const IP_STALE_AFTER: Setting = Setting {
    name: "IP_STALE_AFTER",
    presence: Presence::Default("900"),
    accepts: SECONDS,
    secret: false,
    help: "Time without an allocation row (the row with a terminal's IP addresses) after which the IP series of the terminal are left out.",
};
/// The time without a row after which a device is forgotten.
pub(in crate::config) const FORGET_AFTER: Setting = Setting {
    name: "FORGET_AFTER",
    presence: Presence::Default("86400"),
    accepts: SECONDS,
    secret: false,
    help: "Time without data after which a device is forgotten.",
};
/// The most devices.
pub(in crate::config) const MAX_DEVICES: Setting = Setting {
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
/// Whether the management API is read.
pub(in crate::config) const INVENTORY: Setting = Setting {
    name: "INVENTORY",
    presence: Presence::Default("auto"),
    accepts: Accepts::OneOf(&["auto", "off"]),
    secret: false,
    help: "Whether names, terminals, service lines and data use are read from Starlink's management API, as far as permissions allow.",
};
/// Whether the balance is read.
pub(in crate::config) const INVENTORY_BALANCE: Setting = Setting {
    name: "INVENTORY_BALANCE",
    presence: Presence::Default("false"),
    accepts: Accepts::Switch,
    secret: false,
    help: "Whether the amounts due are read too, for starlink_account_balance_due. Not read with INVENTORY=off.",
};
/// The state file.
pub(in crate::config) const STATE_FILE: Setting = Setting {
    name: "STATE_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words("the path of a file in a writable directory; the file need not exist"),
    secret: false,
    help: "File that keeps the state of all devices across restarts. Unset: the state is not kept.",
};
/// The interval at which the state file is written.
pub(in crate::config) const STATE_INTERVAL: Setting = Setting {
    name: "STATE_INTERVAL",
    presence: Presence::Default("60"),
    accepts: SECONDS,
    secret: false,
    help: "How often STATE_FILE is written. It is also written at shutdown.",
};
/// The directory of the journals.
pub(in crate::config) const JOURNAL_DIR: Setting = Setting {
    name: "JOURNAL_DIR",
    presence: Presence::Optional,
    accepts: Accepts::Words(
        "the path of a directory of its own, which is created if it does not exist",
    ),
    secret: false,
    help: "Directory that keeps each row until all destinations of remote write have it. Required with REMOTE_WRITE_URL or REMOTE_WRITE_FILE.",
};
/// The most bytes of all journals together.
pub(in crate::config) const JOURNAL_MAX_BYTES: Setting = Setting {
    name: "JOURNAL_MAX_BYTES",
    presence: Presence::Default("10GiB"),
    accepts: Accepts::Words("bytes, at least 1MiB, with KiB, MiB, GiB or TiB, such as 10GiB"),
    secret: false,
    help: "Maximum size of JOURNAL_DIR. Beyond it the oldest rows are deleted and counted, even if they are not sent.",
};
/// The longest time that rows wait in the journal.
pub(in crate::config) const JOURNAL_MAX_AGE: Setting = Setting {
    name: "JOURNAL_MAX_AGE",
    presence: Presence::Default("24h"),
    accepts: Accepts::Words("a duration from 1s to 10y, such as 24h or 2d12h"),
    secret: false,
    help: "How long rows wait in JOURNAL_DIR. Older ones are deleted and counted, even if they are not sent.",
};
/// The file of several destinations.
pub(in crate::config) const REMOTE_WRITE_FILE: Setting = Setting {
    name: "REMOTE_WRITE_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words(
        "the path of a YAML file with remote_write: and a list with a name and a url for each destination",
    ),
    secret: false,
    help: "Instead of REMOTE_WRITE_URL: a file with up to 16 destinations of remote write, read again when it changes.",
};
/// The receiver of remote write.
pub(in crate::config) const REMOTE_WRITE_URL: Setting = Setting {
    name: "REMOTE_WRITE_URL",
    presence: Presence::Optional,
    accepts: Accepts::Words(
        "the URL of a receiver, such as https://prometheus.example/api/v1/write",
    ),
    secret: false,
    help: "Receiver of Prometheus remote write to which every row is sent at its own time. Unset: nothing is sent.",
};
/// The user name for the receiver.
pub(in crate::config) const REMOTE_WRITE_USERNAME: Setting = Setting {
    name: "REMOTE_WRITE_USERNAME",
    presence: Presence::Optional,
    accepts: Accepts::Words("a user name without a colon"),
    secret: false,
    help: "User name for the receiver, with REMOTE_WRITE_PASSWORD_FILE.",
};
/// The mounted file that holds the password for the receiver.
pub(in crate::config) const REMOTE_WRITE_PASSWORD_FILE: Setting = Setting {
    name: "REMOTE_WRITE_PASSWORD_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words(CREDENTIAL_FILE),
    secret: false,
    help: "File that contains the password for the receiver, read again when it changes.",
};
/// The mounted file that holds the bearer token for the receiver.
pub(in crate::config) const REMOTE_WRITE_BEARER_TOKEN_FILE: Setting = Setting {
    name: "REMOTE_WRITE_BEARER_TOKEN_FILE",
    presence: Presence::Optional,
    accepts: Accepts::Words(CREDENTIAL_FILE),
    secret: false,
    help: "File that contains a bearer token for the receiver, read again when it changes.",
};
/// The tenant of requests.
pub(in crate::config) const REMOTE_WRITE_TENANT: Setting = Setting {
    name: "REMOTE_WRITE_TENANT",
    presence: Presence::Optional,
    accepts: Accepts::Words(
        "account (each account has a tenant), or 1 to 150 printable ASCII characters without spaces",
    ),
    secret: false,
    help: "Tenant of requests, in the header X-Scope-OrgID, for receivers with several tenants such as Mimir.",
};
/// The receiver's out-of-order window.
pub(in crate::config) const REMOTE_WRITE_OUT_OF_ORDER_WINDOW: Setting = Setting {
    name: "REMOTE_WRITE_OUT_OF_ORDER_WINDOW",
    presence: Presence::Optional,
    accepts: Accepts::Words("a duration such as 33h, 0, or unlimited"),
    secret: false,
    help: "How old samples may be for the receiver: its out_of_order_time_window; unlimited for VictoriaMetrics. Unset: 0, in order only.",
};
/// Format of log lines.
pub(in crate::config) const LOG_FORMAT: Setting = Setting {
    name: "LOG_FORMAT",
    presence: Presence::Default("text"),
    accepts: Accepts::OneOf(&["text", "json"]),
    secret: false,
    help: "Format of log lines.",
};
/// Log level.
pub(in crate::config) const RUST_LOG: Setting = Setting {
    name: "RUST_LOG",
    presence: Presence::Default("info"),
    accepts: Accepts::Words(
        "a level or target=level pairs, such as info or info,starlink_telemetry=debug",
    ),
    secret: false,
    help: "Log level.",
};
