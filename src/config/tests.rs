//! Tests of all layers together: the message of each wrong setting, the precedence of layers, and that no secret is shown.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use secrecy::ExposeSecret;
use url::Url;

use super::*;
use crate::telemetry::fields::anchored;

const NEEDLE: &str = "n33dle";

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, OsString)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.into()))
        .collect()
}

fn required() -> Vec<(String, OsString)> {
    variables(&[
        ("CLIENT_ID", "id"),
        ("CLIENT_SECRET", NEEDLE),
        ("BATCH_SIZE", "1000"),
        ("MAX_LINGER", "15000"),
    ])
}

/// The required settings, overridden by these.
fn from_environment(pairs: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
    Settings::from_sources(Sources {
        environment: [required(), variables(pairs)].concat(),
        ..Sources::default()
    })
}

fn fixtures() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", "config"]
        .iter()
        .collect()
}

#[test]
fn each_wrong_setting_has_its_exact_message() {
    let mut paths: Vec<PathBuf> = fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "env"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let fixtures = fixtures().display().to_string();
        let sources = Sources {
            dotenv: Dotenv::parse(&text.replace("@FIXTURES@", &fixtures)),
            ..Sources::default()
        };
        let errors = Settings::from_sources(sources).unwrap_err();
        let found = format!("{errors}\n").replace(&fixtures, "@FIXTURES@");
        let expected = fs::read_to_string(path.with_extension("expected")).unwrap();
        assert_eq!(found, expected, "{}", path.display());
        assert_eq!(errors.iter().count(), expected.lines().count());
    }
}

#[test]
fn unset_settings_have_their_defaults() {
    let settings = from_environment(&[]).unwrap();
    assert_eq!(settings.listen.to_string(), "[::]:9100");
    assert_eq!(settings.info_format, InfoFormat::Auto);
    assert_eq!(
        settings.fleet,
        FleetSettings {
            include_routers: false,
            fields: FieldFilter::EVERYTHING,
            stale_after: Duration::from_secs(120),
            ip_stale_after: Duration::from_secs(900),
            forget_after: Duration::from_secs(86_400),
            max_devices: 1_000_000,
        }
    );
    assert_eq!(settings.inventory, Some(InventoryScope { balance: false }));
    assert_eq!(settings.log.format, LogFormat::Text);
    assert_eq!(settings.log.filter, "info");
    let account = &settings.accounts.list()[0];
    assert_eq!(&*account.name, "default");
    assert_eq!(account.polls_per_minute, 200);
    assert_eq!(account.client_id.value().expose_secret(), "id");
    assert_eq!(account.client_secret.value().expose_secret(), NEEDLE);
    assert_eq!(account.batch_size, 1000);
    assert_eq!(account.max_linger, Duration::from_secs(15));
    assert_eq!(account.api_url.as_str(), "https://starlink.com/api/public");
    assert_eq!(account.token_url, None);
}

#[test]
fn every_setting_has_an_effect() {
    let settings = from_environment(&[
        ("API_URL", "http://127.0.0.1:1/"),
        ("TOKEN_URL", "http://127.0.0.1:2/token"),
        ("POLLS_PER_MINUTE", "100"),
        ("METRICS_ADDRESS", "[::1]"),
        ("METRICS_PORT", " 0 "),
        ("INCLUDE_ROUTERS", "YES"),
        ("LOCATION", "Off"),
        ("ALLOWED_HOSTS", "a.example"),
        ("DROP_FIELDS", "Uptime"),
        ("STALE_AFTER", "1"),
        ("IP_STALE_AFTER", "2"),
        ("FORGET_AFTER", "315360000"),
        ("INVENTORY_BALANCE", "true"),
        ("RUST_LOG", "warn,awc=debug"),
    ])
    .unwrap();
    assert_eq!(settings.listen.to_string(), "[::1]:0");
    assert_eq!(
        settings.fleet,
        FleetSettings {
            include_routers: true,
            fields: FieldFilter::new(false, vec![anchored("Uptime").unwrap()]),
            stale_after: Duration::from_secs(1),
            ip_stale_after: Duration::from_secs(2),
            forget_after: Duration::from_secs(315_360_000),
            max_devices: 1_000_000,
        }
    );
    assert_eq!(settings.inventory, Some(InventoryScope { balance: true }));
    let off = from_environment(&[("INVENTORY", "Off")]).unwrap();
    assert_eq!(off.inventory, None);
    assert_eq!(settings.log.filter, "warn,awc=debug");
    let account = &settings.accounts.list()[0];
    assert_eq!(
        account.stream_url().as_str(),
        "http://127.0.0.1:1/v2/telemetry/stream"
    );
    assert_eq!(account.token_urls().len(), 1);
    assert_eq!(account.polls_per_minute, 100);
}

#[test]
fn every_word_in_the_table_is_accepted() {
    for setting in table::SETTINGS {
        if let table::setting::Accepts::OneOf(words) = setting.accepts {
            for word in words {
                let upper = word.to_ascii_uppercase();
                assert!(from_environment(&[(setting.name, word)]).is_ok(), "{word}");
                assert!(from_environment(&[(setting.name, &upper)]).is_ok());
            }
        }
    }
    let json = from_environment(&[("LOG_FORMAT", "json")]).unwrap();
    assert_eq!(json.log.format, LogFormat::Json);
    for (word, meaning) in [
        ("auto", InfoFormat::Auto),
        ("labels", InfoFormat::Labels),
        ("line-protocol", InfoFormat::LineProtocol),
    ] {
        let settings = from_environment(&[("INFO_FORMAT", word)]).unwrap();
        assert_eq!(settings.info_format, meaning);
    }
}

/// The port and its origin, with these values in the layers.
fn port(file: Option<&str>, dotenv: Option<&str>, environment: Option<&str>) -> (u16, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("settings.yaml");
    let line = |prefix: &str, value: Option<&str>| {
        value.map_or_else(String::new, |value| format!("{prefix}{value}\n"))
    };
    fs::write(&path, line("metrics_port: ", file)).unwrap();
    let environment = environment.map(|value| ("METRICS_PORT".to_owned(), value.into()));
    let settings = Settings::from_sources(Sources {
        config_file: Some(path.clone()),
        dotenv: Dotenv::parse(&line("METRICS_PORT=", dotenv)),
        environment: required().into_iter().chain(environment).collect(),
    })
    .unwrap();
    let line = settings
        .effective()
        .iter()
        .find(|line| line.starts_with("METRICS_PORT="))
        .unwrap();
    let (_, origin) = line.split_once("  # ").unwrap();
    let origin = origin.replace(path.to_str().unwrap(), "PATH");
    (settings.listen.port(), origin)
}

#[test]
fn the_higher_layer_has_precedence_and_an_empty_value_is_unset() {
    for (file, dotenv, environment, expected, origin) in [
        (None, None, None, 9100, "default"),
        (Some("1"), None, None, 1, "file \"PATH\""),
        (Some("1"), Some("2"), None, 2, ".env"),
        (Some("1"), Some("2"), Some("3"), 3, "environment"),
        (None, Some("2"), Some(""), 2, ".env"),
        (Some("1"), Some(""), Some(" \t"), 1, "file \"PATH\""),
        (Some("' '"), Some("' '"), Some(" "), 9100, "default"),
        (Some("null"), None, None, 9100, "default"),
        (Some("wrong"), Some("2"), None, 2, ".env"),
    ] {
        assert_eq!(
            port(file, dotenv, environment),
            (expected, origin.to_owned()),
            "{file:?} {dotenv:?} {environment:?}"
        );
    }
}

#[test]
fn an_empty_required_setting_is_missing() {
    let errors = from_environment(&[("CLIENT_SECRET", " \n"), ("BATCH_SIZE", "")]).unwrap_err();
    let names: Vec<&str> = errors
        .iter()
        .map(|error| match error {
            ConfigError::Missing { name, .. } => *name,
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(names, ["CLIENT_SECRET", "BATCH_SIZE"]);
}

#[test]
fn the_configuration_file_is_named_by_the_highest_layer() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let one = file("one.toml", "metrics_port = 1");
    let two = file("two.yaml", "metrics_port: 2");
    let three = file("three.yml", "metrics_port: '3'");
    for (command_line, environment, dotenv, expected) in [
        (None, None, Some(&one), 1),
        (None, Some(&two), Some(&one), 2),
        (Some(&three), Some(&two), Some(&one), 3),
    ] {
        let dotenv = dotenv.map_or_else(String::new, |path| {
            format!("CONFIG_FILE='{}'", path.display())
        });
        let environment = environment.map(|path| ("CONFIG_FILE".to_owned(), path.into()));
        let place = probes_address(Sources {
            config_file: command_line.cloned(),
            dotenv: Dotenv::parse(&dotenv),
            environment: environment.into_iter().collect(),
        })
        .unwrap();
        assert_eq!(place.address.port(), expected);
    }
}

#[test]
fn probes_use_their_own_port_if_there_is_one() {
    for (variable, address, may_be_tls) in [
        (("METRICS_PORT", "9200"), "[::]:9200", true),
        (("PROBES_PORT", "9300"), "[::]:9300", false),
    ] {
        let environment = variables(&[("WEB_CONFIG_FILE", "/nowhere/web.yml"), variable]);
        let place = probes_address(Sources {
            environment,
            ..Sources::default()
        });
        let address = address.parse().unwrap();
        let expected = ProbesAddress {
            address,
            may_be_tls,
        };
        assert_eq!(place.unwrap(), expected);
    }
}

#[test]
fn listening_and_the_demo_need_no_account() {
    let sources = || Sources {
        environment: variables(&[
            ("METRICS_PORT", "9200"),
            ("BATCH_SIZE", "wrong"),
            ("STATE_FILE", "/tmp/state"),
        ]),
        ..Sources::default()
    };
    let listen = probes_address(sources()).unwrap().address;
    assert_eq!(listen.to_string(), "[::]:9200");

    let api_url: Url = "http://127.0.0.1:1".parse().unwrap();
    let account = |name| DemoAccount {
        name,
        api_url: api_url.clone(),
        client_id: "id".into(),
        client_secret: NEEDLE.into(),
    };
    let demo = Settings::for_demo(sources(), vec![account("a"), account("b")], false).unwrap();
    assert_eq!(demo.listen, listen);
    let first = &demo.accounts.list()[0];
    assert_eq!(first.api_url, api_url);
    assert_eq!(first.batch_size, 1000);
    let state = demo.state.as_ref().map(|state| state.file.clone());
    assert_eq!(state, Some("/tmp/state.demo".into()), "no real fleet's");
    assert_eq!(first.client_secret.value().expose_secret(), NEEDLE);
    let names: Vec<_> = demo
        .accounts
        .list()
        .iter()
        .map(|account| &*account.name)
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert!(!demo.effective().concat().contains(NEEDLE));

    let wrong = Sources {
        environment: variables(&[("METRICS_PORT", "x"), ("LOCATION", "x")]),
        ..Sources::default()
    };
    let errors = Settings::for_demo(wrong, vec![account("a")], true).unwrap_err();
    assert_eq!(errors.iter().count(), 2);
}

#[test]
fn files_are_read_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let names = file("names.csv", "deviceID,name\nut1,one\nut2,two\n");
    let web = file(
        "web.yml",
        "http_server_config:\n  headers:\n    X-Frame-Options: deny\n",
    );
    let settings = from_environment(&[
        ("NAMES_FILE", names.to_str().unwrap()),
        ("WEB_CONFIG_FILE", web.to_str().unwrap()),
    ])
    .unwrap();
    drop(directory);
    let read = settings.names.unwrap();
    assert_eq!((read.path, read.value.len()), (names, 2));
    let read = settings.web_config.unwrap();
    assert_eq!((read.path, read.value.headers().len()), (web, 1));
}

#[test]
fn effective_settings_have_their_origin() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("id");
    fs::write(&path, "id").unwrap();
    let path = path.display();
    let settings = Settings::from_sources(Sources {
        dotenv: Dotenv::parse(&format!("CLIENT_ID_FILE={path}\nLOCATION=no\n")),
        environment: required().split_off(1),
        ..Sources::default()
    })
    .unwrap();
    let expected = format!(
        "CONFIG_FILE=  # not set
CLIENT_ID=(from file {path})  # .env
CLIENT_SECRET=(set)  # environment
ACCOUNTS_FILE=  # not set
BATCH_SIZE=1000  # environment
MAX_LINGER=15000  # environment
POLLS_PER_MINUTE=200  # default
ALLOW_INSECURE_API=false  # default
API_URL=https://starlink.com/api/public  # default
TOKEN_URL=  # not set
API_CA_FILE=  # not set
HTTPS_PROXY=  # not set
NO_PROXY=  # not set
METRICS_ADDRESS=::  # default
METRICS_PORT=9100  # default
WEB_CONFIG_FILE=  # not set
PROBES_PORT=  # not set
NAMES_FILE=  # not set
ALLOWED_HOSTS=  # not set
INFO_FORMAT=auto  # default
INCLUDE_ROUTERS=false  # default
LOCATION=no  # .env
DROP_FIELDS=  # not set
STALE_AFTER=120  # default
IP_STALE_AFTER=900  # default
FORGET_AFTER=86400  # default
MAX_DEVICES=1000000  # default
INVENTORY=auto  # default
INVENTORY_BALANCE=false  # default
STATE_FILE=  # not set
STATE_INTERVAL=60  # default
JOURNAL_DIR=  # not set
JOURNAL_MAX_BYTES=10GiB  # default
JOURNAL_MAX_AGE=24h  # default
REMOTE_WRITE_URL=  # not set
REMOTE_WRITE_USERNAME=  # not set
REMOTE_WRITE_PASSWORD_FILE=  # not set
REMOTE_WRITE_BEARER_TOKEN_FILE=  # not set
REMOTE_WRITE_TENANT=  # not set
REMOTE_WRITE_OUT_OF_ORDER_WINDOW=  # not set
REMOTE_WRITE_FILE=  # not set
LOG_FORMAT=text  # default
RUST_LOG=info  # default"
    );
    assert_eq!(settings.effective().join("\n"), expected);
}

#[test]
fn no_secret_is_ever_shown() {
    let settings = from_environment(&[]).unwrap();
    assert!(!format!("{settings:?}").contains(NEEDLE));
    assert!(!settings.effective().concat().contains(NEEDLE));

    let directory = tempfile::tempdir().unwrap();
    let needle_number = "987654321";
    for (file, text, dotenv, environment) in [
        ("a.toml", "client_secret = n33dle", "", None),
        ("a.toml", "client_secret = [\"n33dle\"]", "", None),
        ("a.toml", "[client_secret]\nn33dle = \"n33dle\"", "", None),
        ("a.toml", "client_secret = 987654321", "", None),
        ("a.yaml", "client_secret: 987654321", "", None),
        ("a.yaml", "client_secret:n33dle", "", None),
        ("a.yaml", "client_secret:n33dle: 1", "", None),
        ("a.yaml", "client_secret: \"n33dle", "", None),
        ("a.yaml", "{n33dle: [n33dle}", "", None),
        ("a.yaml", "? [n33dle]\n: n33dle", "", None),
        ("a.yaml", "", "CLIENT_SECRET=n33dle n33dle", None),
        ("a.yaml", "", "CLIENT_SECRET='n33dle", None),
        ("a.yaml", "", "n33dle", None),
        ("a.yaml", "", "API_URL=https://n33dle@h/", None),
        ("a.yaml", "", "API_URL=https://user:n33dle@h h/", None),
        ("a.yaml", "", "TOKEN_URL='https://h/?key=n33dle'", None),
        ("a.yaml", "", "TOKEN_URL='ftp://h/#n33dle'", None),
        ("a.yaml", "", "CLIENT_SECRET_FILE=/x", Some(NEEDLE.into())),
        ("a.yaml", "", "", Some(not_text())),
    ] {
        let path = directory.path().join(file);
        fs::write(&path, text).unwrap();
        let environment = environment.map(|value| ("CLIENT_SECRET".to_owned(), value));
        let errors = Settings::from_sources(Sources {
            config_file: Some(path),
            dotenv: Dotenv::parse(dotenv),
            environment: environment.into_iter().collect(),
        })
        .unwrap_err();
        let shown = format!("{errors} {errors:?}");
        assert!(!shown.contains(NEEDLE), "{shown}");
        assert!(!shown.contains(needle_number), "{shown}");
    }
}

/// The needle with a byte that is not UTF-8.
fn not_text() -> OsString {
    OsString::from_vec([NEEDLE.as_bytes(), b"\xff"].concat())
}

#[test]
fn a_variable_that_is_not_text_is_rejected() {
    let errors = Settings::from_sources(Sources {
        environment: [required(), vec![("CLIENT_ID".to_owned(), not_text())]].concat(),
        ..Sources::default()
    })
    .unwrap_err();
    assert_eq!(
        errors.to_string(),
        "CLIENT_ID=(not shown) (environment) is not accepted (it is not UTF-8 text): \
         give the service account's client ID"
    );
}
