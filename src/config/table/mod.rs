//! The table of all settings, used by `--help`, `check-config`, `.env.example` and the search for misspelt keys.

pub(in crate::config) mod setting;
mod settings;

pub(in crate::config) use self::setting::{Presence, Reason, Setting};
pub(in crate::config) use self::settings::*;

use crate::text::nearest;

/// All settings, in the order of help and documentation.
pub(in crate::config) const SETTINGS: [&Setting; 45] = [
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
    &INVENTORY,
    &INVENTORY_BALANCE,
    &STATE_FILE,
    &STATE_INTERVAL,
    &JOURNAL_DIR,
    &JOURNAL_MAX_BYTES,
    &JOURNAL_MAX_AGE,
    &REMOTE_WRITE_URL,
    &REMOTE_WRITE_USERNAME,
    &REMOTE_WRITE_PASSWORD_FILE,
    &REMOTE_WRITE_BEARER_TOKEN_FILE,
    &REMOTE_WRITE_TENANT,
    &REMOTE_WRITE_OUT_OF_ORDER_WINDOW,
    &REMOTE_WRITE_FILE,
    &LOG_FORMAT,
    &RUST_LOG,
];

/// The headings of `--help`, each with the first setting of its group, in the order of [`SETTINGS`].
const GROUPS: [(&str, &Setting); 10] = [
    ("Configuration file", &CONFIG_FILE),
    ("Service accounts and polling", &CLIENT_ID),
    ("Connection to Starlink", &ALLOW_INSECURE_API),
    ("Listening", &METRICS_ADDRESS),
    ("Exported data", &NAMES_FILE),
    ("Ages and limits", &STALE_AFTER),
    ("Inventory", &INVENTORY),
    ("Keeping state across restarts", &STATE_FILE),
    ("History: journal and remote write", &JOURNAL_DIR),
    ("Logging", &LOG_FORMAT),
];

/// The list of all settings for `--help`: headings, and two lines for each setting.
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
                "{heading}  {name:<19} {help}\n{:22}{state}. Accepts {accepts}.\n",
                ""
            )
        })
        .collect()
}

/// The alternative names of a setting in the environment and in `.env`. If the setting's own name is unset, the first of these that is
/// set is used.
pub(in crate::config) const ALIASES: [(&Setting, &[&str]); 2] = [
    (&HTTPS_PROXY, &["https_proxy", "ALL_PROXY", "all_proxy"]),
    (&NO_PROXY, &["no_proxy"]),
];

/// Variables that look like settings but are not used, because Starlink is reached over https.
pub(in crate::config) const HTTP_PROXY: [&str; 2] = ["HTTP_PROXY", "http_proxy"];

/// All variables that are read in addition to the settings' own names.
pub(in crate::config) fn other_names() -> impl Iterator<Item = &'static str> {
    let aliases = ALIASES.iter().flat_map(|(_, names)| names.iter());
    aliases.chain(&HTTP_PROXY).copied()
}

/// The setting's key that is most similar to an unknown key.
pub(in crate::config) fn nearest_key(unknown: &str) -> Option<String> {
    let found = nearest(unknown, SETTINGS.iter().map(|setting| setting.name));
    found.map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contents of `.env.example`, generated from the table.
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
