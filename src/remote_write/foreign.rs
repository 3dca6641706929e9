//! Keys of Prometheus's `remote_write` section that are not supported here, and what to use instead.

/// Keys of the section and of its parts, with the advice.
const FOREIGN: [(&str, &str); 37] = [
    ("protobuf_message", "use protocol: auto, 1.0 or 2.0"),
    (
        "write_relabel_configs",
        "use keep and drop, lists of regular expressions on metric names, and labels",
    ),
    (
        "queue_config",
        "use max_shards, max_samples_per_send and max_samples_per_second",
    ),
    (
        "metadata_config",
        "metadata is sent with protocol 2.0: leave it out",
    ),
    ("send_exemplars", "there are no exemplars: leave it out"),
    (
        "send_native_histograms",
        "there are no native histograms: leave it out",
    ),
    (
        "round_robin_dns",
        "all addresses of a host are tried: leave it out",
    ),
    (
        "sigv4",
        "requests are not signed: give the URL of a proxy that signs them",
    ),
    ("oauth2", TOKEN_FILE),
    ("azuread", TOKEN_FILE),
    ("google_iam", TOKEN_FILE),
    ("bearer_token", "use authorization with credentials"),
    (
        "bearer_token_file",
        "use authorization with credentials_file",
    ),
    ("proxy_url", PROXY),
    ("no_proxy", PROXY),
    ("proxy_from_environment", PROXY),
    ("proxy_connect_header", PROXY),
    (
        "follow_redirects",
        "redirects are never followed: leave it out",
    ),
    ("enable_http2", "requests use HTTP/1.1: leave it out"),
    ("http_headers", "use headers"),
    ("external_labels", "use labels"),
    ("relabel_configs", "use keep and drop"),
    ("capacity", "records wait in the journal: leave it out"),
    ("min_shards", "the least is 1: use max_shards"),
    ("batch_send_deadline", "rows are sent at once: leave it out"),
    (
        "sample_age_limit",
        "use out_of_order_window, and the variable JOURNAL_MAX_AGE",
    ),
    (
        "insecure_skip_verify",
        "certificates are always verified: use ca_file",
    ),
    ("min_version", "the least version is TLS 1.2: leave it out"),
    (
        "max_version",
        "the newest common version is used: leave it out",
    ),
    ("ca", "use ca_file"),
    ("cert", "use cert_file"),
    ("key", "use key_file"),
    ("username_file", "use username"),
    ("username_ref", "use username"),
    ("password_ref", "use password_file"),
    ("credentials_ref", "use credentials_file"),
    ("ca_ref", "use ca_file"),
];

const TOKEN_FILE: &str = "use authorization with a credentials_file that another program renews: it is read again when it changes";
const PROXY: &str = "set the variables HTTPS_PROXY and NO_PROXY";

/// The advice for a key of Prometheus; `None` if it is not such a key.
pub(super) fn advice(key: &str) -> Option<&'static str> {
    let found = FOREIGN.iter().find(|(known, _)| *known == key);
    found.map(|(_, advice)| *advice)
}
