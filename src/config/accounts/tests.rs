//! Tests of accounts files: the message of each error, the variables that are their defaults, and reloading.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use secrecy::ExposeSecret;

use super::loaded::Loaded;
use super::*;
use crate::config::{ConfigErrors, Settings, Sources};
use crate::files::{Reloads, WatchOptions};
use crate::redaction::Redactor;
use crate::tasks::{Restarts, Supervised, Task};
use crate::time::Clock;

const NEEDLE: &str = "n33dle";

fn fixtures() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", "accounts"]
        .iter()
        .collect()
}

fn settings(file: &Path, variables: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
    let file = [("ACCOUNTS_FILE".to_owned(), OsString::from(file))];
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), OsString::from(value)));
    Settings::from_sources(Sources {
        environment: file.into_iter().chain(variables).collect(),
        ..Sources::default()
    })
}

const DEFAULTS: [(&str, &str); 2] = [("BATCH_SIZE", "1000"), ("MAX_LINGER", "15000")];

#[test]
fn each_wrong_file_has_its_exact_message() {
    let mut paths: Vec<PathBuf> = fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("invalid-") && name.ends_with(".yml")
        })
        .collect();
    paths.sort();
    assert!(paths.len() > 10);
    for path in paths {
        let errors = settings(&path, &DEFAULTS).unwrap_err();
        let found = format!("{errors}\n").replace(&path.display().to_string(), "@FILE@");
        let found = found.replace(&fixtures().display().to_string(), "@FIXTURES@");
        assert!(!found.contains(NEEDLE), "{found}");
        let expected = path.with_extension("expected");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &found).unwrap();
        }
        let expected = fs::read_to_string(expected).unwrap();
        assert_eq!(found, expected, "{}", path.display());
        assert_eq!(errors.iter().count(), expected.lines().count());
    }
}

#[test]
fn accounts_come_from_the_file_and_defaults_from_the_variables() {
    let settings = settings(&fixtures().join("valid.yml"), &DEFAULTS).unwrap();
    let [north, south, west] = settings.accounts.list() else {
        panic!("{:?}", settings.accounts);
    };
    let secret = |account: &Account| account.client_secret.value().expose_secret().to_owned();
    assert_eq!((&*north.name, north.batch_size), ("north", 1000));
    assert_eq!(north.client_id.value().expose_secret(), "id-of-north");
    assert_eq!(secret(north), "n33dle-from-file");
    assert_eq!(north.max_linger, Duration::from_secs(15));
    assert_eq!(north.polls_per_minute, 200);
    assert_eq!(north.api_url.as_str(), "https://starlink.com/api/public");
    assert_eq!((&north.token_url, &north.tenant), (&None, &None));

    assert_eq!((&*south.name, south.batch_size), ("south-2", 65_000));
    assert_eq!(secret(south), "0123");
    assert_eq!(south.max_linger, Duration::ZERO);
    assert_eq!(south.polls_per_minute, 100);
    let stream = south.stream_url();
    assert_eq!(stream.as_str(), "http://127.0.0.1:1/v2/telemetry/stream");
    assert_eq!(south.token_urls()[0].as_str(), "https://127.0.0.1:2/token");
    assert_eq!(south.tenant.as_deref(), Some("Group/South"));

    assert_eq!((&*west.name, secret(west)), ("3_west", NEEDLE.to_owned()));

    let shown = settings.effective().join("\n");
    assert!(!shown.contains(NEEDLE), "{shown}");
    let file = fixtures().join("secret");
    let expected = format!(
        "account north: client_id=(from file {}) client_secret=(from file {}) batch_size=1000 max_linger=15000 polls_per_minute=200 api_url=https://starlink.com/api/public",
        fixtures().join("id").display(),
        file.display(),
    );
    assert!(shown.contains(&expected), "{shown}");
    let redacted = settings
        .redactor
        .redact("n33dle-from-file 0123 id-of-south");
    assert_eq!(redacted, "[redacted] [redacted] [redacted]");
}

#[test]
fn variables_apply_only_to_keys_that_entries_do_not_have() {
    let file = fixtures().join("valid.yml");
    let with = settings(
        &file,
        &[
            ("BATCH_SIZE", "5"),
            ("MAX_LINGER", "6"),
            ("POLLS_PER_MINUTE", "7"),
            ("API_URL", "http://127.0.0.1:8"),
            ("TOKEN_URL", "http://127.0.0.1:9/token"),
        ],
    );
    let with = with.unwrap();
    let [north, south, _] = with.accounts.list() else {
        panic!("{:?}", with.accounts);
    };
    assert_eq!((north.batch_size, north.polls_per_minute), (5, 7));
    assert_eq!(north.max_linger, Duration::from_millis(6));
    assert_eq!(north.stream_url().port(), Some(8));
    assert_eq!(north.token_urls()[0].port(), Some(9));
    assert_eq!((south.batch_size, south.polls_per_minute), (65_000, 100));
    assert_eq!(south.token_urls()[0].port(), Some(2));

    let without = settings(&file, &[]).unwrap_err().to_string();
    let missing = |line, key, accepted, name| {
        format!(
            "ACCOUNTS_FILE: {} line {line}: {key} is missing: give {accepted}, here or for all accounts in {name}",
            file.display()
        )
    };
    let rows = "a whole number from 1 to 65000 (rows)";
    let time = "a whole number from 0 to 65000 (milliseconds)";
    let expected = [
        missing(3, "batch_size", rows, "BATCH_SIZE"),
        missing(3, "max_linger", time, "MAX_LINGER"),
        missing(8, "batch_size", rows, "BATCH_SIZE"),
        missing(8, "max_linger", time, "MAX_LINGER"),
    ];
    assert_eq!(without, expected.join("\n"));
}

#[test]
fn an_account_in_variables_in_addition_to_the_file_is_rejected() {
    let variables = [
        ("CLIENT_ID", "n33dle"),
        ("CLIENT_SECRET_FILE", "/nowhere"),
        ("BATCH_SIZE", "1"),
        ("MAX_LINGER", "1"),
    ];
    let errors = settings(&fixtures().join("valid.yml"), &variables).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "ACCOUNTS_FILE (environment) and CLIENT_ID (environment), CLIENT_SECRET_FILE (environment) are both set: \
         describe the account in the file, or leave ACCOUNTS_FILE empty"
    );
}

#[test]
fn a_byte_order_mark_and_line_ends_of_windows_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["id", "secret"] {
        fs::copy(fixtures().join(name), directory.path().join(name)).unwrap();
    }
    let path = directory.path().join("accounts.yml");
    let text = fs::read_to_string(fixtures().join("valid.yml")).unwrap();
    let summaries = [
        text.clone(),
        format!("\u{feff}{}", text.replace('\n', "\r\n")),
    ]
    .map(|text| {
        fs::write(&path, text).unwrap();
        let settings = settings(&path, &DEFAULTS).unwrap();
        let accounts = settings.accounts.list();
        let lines: Vec<_> = accounts.iter().map(ToString::to_string).collect();
        (summary(accounts), lines)
    });
    assert_eq!(summaries[0].0.len(), 3);
    assert_eq!(summaries[0], summaries[1]);
}

#[cfg(unix)]
#[test]
fn paths_that_are_no_files_are_refused() {
    use std::os::unix::fs::symlink;

    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("directory")).unwrap();
    symlink("loop", at("loop")).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let pipe = at("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    for (name, expected) in [
        ("directory", "is not a regular file"),
        ("pipe", "is not a regular file"),
        ("loop", "cannot be read: Too many levels of symbolic links"),
    ] {
        let path = at(name);
        let errors = settings(&path, &DEFAULTS).unwrap_err().to_string();
        let expected = format!("ACCOUNTS_FILE: {} {expected}", path.display());
        assert!(errors.starts_with(&expected), "{errors}");
        // The same path as a credential file.
        let entry = format!("accounts: [{{name: a, client_id: a, client_secret_file: {name}}}]\n");
        fs::write(at("accounts.yml"), entry).unwrap();
        let loaded = followed(&at("accounts.yml")).load(&mut files::FileReader::default());
        let error = loaded.unwrap().unusable[0].error();
        assert!(
            error.contains(&expected["ACCOUNTS_FILE: ".len()..]),
            "{error}"
        );
    }
}

#[test]
fn a_file_that_is_too_large_or_missing_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts.yml");
    let message = || settings(&path, &DEFAULTS).unwrap_err().to_string();
    assert!(
        message().contains("cannot be read: No such file"),
        "{}",
        message()
    );
    fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    let expected = format!(
        "ACCOUNTS_FILE: {} is longer than 1 MiB; correct the path or the permissions",
        path.display()
    );
    assert_eq!(message(), expected);
}

/// An accounts file that is followed.
fn followed(path: &Path) -> AccountsFile {
    let settings = settings(&fixtures().join("valid.yml"), &DEFAULTS).unwrap();
    settings.accounts.file().unwrap().clone().at(path)
}

fn names<'a>(names: impl IntoIterator<Item = &'a Arc<str>>) -> String {
    let names = names.into_iter().map(|name| &**name);
    names.collect::<Vec<_>>().join(", ")
}

#[test]
fn on_a_reload_a_credential_file_concerns_its_entry_alone() {
    let path = fixtures().join("damaged-credentials.yml");
    let loaded = followed(&path).load(&mut files::FileReader::default());
    let Loaded {
        accounts, unusable, ..
    } = loaded.unwrap();
    let used = names(accounts.iter().map(|account| &account.name));
    let mut found = format!("used: {used}\n");
    for entry in &unusable {
        found += &format!("{} line {}: {}\n", entry.name, entry.line(), entry.error());
    }
    let found = found.replace(&fixtures().display().to_string(), "@FIXTURES@");
    let expected = path.with_extension("expected");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&expected, &found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(expected).unwrap());
    // The start reports each problem instead.
    let errors = settings(&path, &DEFAULTS).unwrap_err();
    assert_eq!(errors.iter().count(), 5, "{errors}");
}

/// Name, client ID, batch size, and the file of the secret.
type EntryOfTest<'a> = (&'a str, &'a str, u32, &'a str);

#[test]
fn an_entry_that_cannot_be_used_keeps_its_account_or_has_none() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("good"), "secret").unwrap();
    let load = |entries: &[EntryOfTest<'_>]| {
        let entry = |(name, id, batch, file): &EntryOfTest<'_>| {
            format!(
                "- {{name: {name}, client_id: {id}, batch_size: {batch}, client_secret_file: {file}}}\n"
            )
        };
        let entries: String = entries.iter().map(entry).collect();
        fs::write(at("accounts.yml"), format!("accounts:\n{entries}")).unwrap();
        let file = followed(&at("accounts.yml"));
        file.load(&mut files::FileReader::default()).unwrap()
    };
    let in_use = load(&[("a", "id-1", 1, "good"), ("b", "id-2", 1, "good")]).accounts;
    // The entries, the resulting accounts, those that are kept, and those that are left out.
    let cases: [(&[EntryOfTest<'_>], &str, &str, &str); 5] = [
        (
            &[("a", "id-1", 5, "bad"), ("b", "id-2", 5, "good")],
            "b id-2 5, a id-1 1",
            "a",
            "",
        ),
        (
            &[
                ("a", "id-3", 5, "bad"),
                ("c", "id-4", 5, "bad"),
                ("d", "id-5", 5, "good"),
            ],
            "d id-5 5, a id-1 1",
            "a",
            "c",
        ),
        // The client ID of a belongs to b now.
        (
            &[("a", "id-3", 5, "bad"), ("b", "id-1", 5, "good")],
            "b id-1 5",
            "",
            "a",
        ),
        (
            &[("a", "id-1", 1, "bad"), ("b", "id-2", 1, "bad")],
            "a id-1 1, b id-2 1",
            "a, b",
            "",
        ),
        (&[("c", "id-4", 1, "bad")], "line 2", "", ""),
    ];
    for (entries, expected, kept, left_out) in cases {
        let resolved = load(entries).resolve(&in_use, &at("accounts.yml"));
        let resolved = match resolved {
            Ok(resolved) => resolved,
            Err(errors) => {
                assert!(errors.to_string().contains(expected), "{errors}");
                continue;
            }
        };
        let accounts = resolved.accounts.iter().map(|account| {
            let client_id = account.client_id.value();
            let client_id = client_id.expose_secret();
            format!("{} {client_id} {}", account.name, account.batch_size)
        });
        assert_eq!(accounts.collect::<Vec<_>>().join(", "), expected);
        assert_eq!(names(resolved.kept.iter().map(|it| &it.name)), kept);
        assert_eq!(names(resolved.left_out.iter().map(|it| &it.name)), left_out);
    }
}

/// The names and secrets of a list.
fn summary(accounts: &[Account]) -> Vec<(String, String)> {
    let pair = |account: &Account| {
        let secret = account.client_secret.value().expose_secret().to_owned();
        (account.name.to_string(), secret)
    };
    accounts.iter().map(pair).collect()
}

#[actix_rt::test]
async fn each_new_list_is_handed_on_and_a_wrong_file_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("accounts.yml");
    let entry = |name: &str| {
        format!("- {{name: {name}, client_id: id-{name}, client_secret_file: secret}}\n")
    };
    let write = |names: &[&str]| {
        let entries: String = names.iter().map(|name| entry(name)).collect();
        fs::write(&path, format!("accounts:\n{entries}")).unwrap();
    };
    let secret = directory.path().join("secret");
    fs::write(&secret, "secret-one").unwrap();
    write(&["a"]);
    let settings = settings(&path, &DEFAULTS).unwrap();
    let file = settings.accounts.file().unwrap().clone();
    assert_eq!(file.path(), path);

    let (clock, hands) = Clock::manual(SystemTime::UNIX_EPOCH);
    let reloads = Reloads::new();
    let interval = Duration::from_secs(4);
    let watched = WatchOptions {
        seen: file.seen().clone(),
        interval,
        clock: clock.clone(),
        trigger: reloads.trigger(),
    };
    let redactor = Redactor::default();
    let lists: Rc<RefCell<Vec<_>>> = Rc::default();
    let task = Supervised::new(Task::Accounts, clock, &Restarts::default());
    let status = task.status();
    let follower = {
        let (lists, redactor) = (Rc::clone(&lists), redactor.clone());
        task.run(move |pulse| {
            let lists = Rc::clone(&lists);
            let apply = move |list: Vec<Account>| lists.borrow_mut().push(summary(&list));
            follow(
                file.clone(),
                redactor.clone(),
                watched.clone(),
                pulse,
                apply,
            )
        })
    };
    let follower = actix_rt::spawn(follower);
    let until = async |condition: &dyn Fn() -> bool| {
        while !condition() {
            hands.advance(interval);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let pair = |name: &str, secret: &str| (name.to_owned(), secret.to_owned());

    write(&["a", "b"]);
    until(&|| !lists.borrow().is_empty()).await;
    let expected = [pair("a", "secret-one"), pair("b", "secret-one")];
    assert_eq!(lists.borrow_mut().split_off(0), [expected]);

    fs::write(&path, "accounts: [n33dle]\n").unwrap();
    until(&|| status.obstacle().is_some()).await;
    let obstacle = status.obstacle().unwrap();
    assert!(
        obstacle.contains("line 1: this is no account"),
        "{obstacle}"
    );
    assert!(lists.borrow().is_empty());

    // The credential files are followed, too, and their values are registered with the redactor.
    fs::write(&secret, "secret-two").unwrap();
    write(&["a"]);
    until(&|| !lists.borrow().is_empty()).await;
    assert_eq!(status.obstacle(), None);
    let lists = lists.borrow_mut().split_off(0);
    assert_eq!(lists.last().unwrap(), &[pair("a", "secret-two")]);
    assert_eq!(
        redactor.redact("is secret-two id-b"),
        "is [redacted] [redacted]"
    );
    follower.abort();
}
