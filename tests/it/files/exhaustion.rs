//! Tests without threads or file descriptors, which a library that is loaded before others denies.

use std::ffi::OsString;

use super::*;

/// Compiles a library to preload, which replaces functions of the C library.
fn shim(directory: &TempDir) -> PathBuf {
    let library = directory.path().join("shim.so");
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/shim/no_threads.c"
    );
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([library.as_os_str(), source.as_ref()])
        .arg("-ldl")
        .status();
    assert!(compiled.unwrap().success());
    library
}

/// A service that cannot start threads while a file exists.
pub struct WithoutThreads {
    _directory: TempDir,
    forbidden: PathBuf,
    variables: Vec<(String, OsString)>,
}

impl WithoutThreads {
    async fn new(simulator: &Simulator, changes: &[(&str, &str)]) -> Self {
        Self::with(environment(simulator, changes)).await
    }

    /// With settings in the form of the environment.
    pub async fn with(mut variables: Vec<(String, OsString)>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (directory, library) = spawn_blocking(move || {
            let library = shim(&directory);
            (directory, library)
        })
        .await
        .unwrap();
        let forbidden = directory.path().join("no-threads");
        for (name, value) in [
            ("LOG_FORMAT", "json"),
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("NO_THREADS", forbidden.to_str().unwrap()),
        ] {
            variables.push((name.to_owned(), value.into()));
        }
        Self {
            _directory: directory,
            forbidden,
            variables,
        }
    }

    pub fn forbid(&self) {
        fs::write(&self.forbidden, "").unwrap();
    }

    pub fn allow(&self) {
        fs::remove_file(&self.forbidden).unwrap();
    }

    pub fn start(&self) -> Binary {
        Binary::execute(&[], self.variables.clone())
    }
}

/// Pages, compressed scrapes and password checks use threads that were started with the service.
#[actix_rt::test]
async fn requests_are_answered_while_no_thread_can_be_started() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("web.yml");
    let hash = bcrypt::hash("apple", 4).unwrap();
    fs::write(&config, format!("basic_auth_users:\n  ann: '{hash}'\n")).unwrap();
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("ut-1", 1_000_000_000, 1.0)]);
    let changes = [("WEB_CONFIG_FILE", config.to_str().unwrap())];
    let starved = WithoutThreads::new(&simulator, &changes).await;
    let mut binary = starved.start();
    let address = binary.address().await;
    binary.logs("first poll succeeded").await;
    assert_eq!(get(address, "/livez", &[]).await.status, 200);
    // All threads are started: the workers of the web server run before it accepts a connection.
    starved.forbid();
    for (password, expected) in [("pear", 401), ("apple", 200)] {
        let pair = BASE64_STANDARD.encode(format!("ann:{password}"));
        let authorization = format!("Basic {pair}");
        for path in ["/", "/metrics", "/api/v1/devices"] {
            let headers = [
                ("Authorization", &*authorization),
                ("Accept-Encoding", "gzip"),
            ];
            // More than the limit of concurrent requests.
            for _ in 0..20 {
                let answer = get(address, path, &headers).await;
                assert_eq!(answer.status, expected, "{path}");
            }
        }
    }
    starved.allow();
    binary.signal("TERM");
    assert_eq!(binary.ended().await, Some(0));
}

#[actix_rt::test]
async fn a_time_without_threads_ends_no_watcher_and_no_state_file() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let (names, state) = (at("names.csv"), at("state"));
    fs::write(&names, "deviceID,name\nut-1,A\n").unwrap();
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("ut-1", 1_000_000_000, 1.0)]);
    let starved = WithoutThreads::new(
        &simulator,
        &[
            ("NAMES_FILE", names.to_str().unwrap()),
            ("STATE_FILE", state.to_str().unwrap()),
            ("STATE_INTERVAL", "1"),
        ],
    )
    .await;
    let mut binary = starved.start();
    let address = binary.address().await;
    shows(address, &throughput("ut-1"), 1.0).await;
    starved.forbid();
    // Each watcher has failed to start a thread.
    for message in [
        "cannot check files for changes",
        "cannot write the state file",
    ] {
        binary.logs(message).await;
        assert_eq!(binary.events_saying(message).len(), 1);
    }
    eventually("the error is shown", || async {
        task_error(address, "names").await.is_some()
    })
    .await;
    starved.allow();
    replace(&names, "deviceID,name\nut-1,B\n");
    binary.logs("writing the state file succeeds again").await;
    binary.logs("names reloaded").await;
    assert!(task_error(address, "names").await.is_none());
    let body = scrape(address, "prometheus").await;
    let restarts = |task: &str| {
        body.value(&format!(
            r#"starlink_exporter_task_restarts_total{{task="{task}"}}"#
        ))
    };
    for task in [
        "state_file",
        "names",
        "web_config",
        "credentials",
        "authorities",
    ] {
        assert_eq!(restarts(task), Some(0.0), "{task}: no task died");
    }
    assert!(
        binary.events_saying("panic").is_empty(),
        "{}",
        binary.stderr()
    );
    binary.signal("TERM");
    assert_eq!(binary.ended().await, Some(0));
}

#[actix_rt::test]
async fn a_start_without_threads_or_files_ends_with_1_and_says_why() {
    let simulator = scripted_simulator();
    simulator.set_default_token_answer(Some(Answer::error(500, "down")));
    let starved = WithoutThreads::new(&simulator, &[]).await;
    starved.forbid();
    let mut without_threads = starved.start();
    let settings = environment(&simulator, &[]);
    let mut ended = vec![(without_threads.ended().await, without_threads.stderr())];
    for limit in [8, 12, 20, 40] {
        let prelude = format!("ulimit -n {limit}");
        let mut binary = Binary::execute_after(&prelude, &[], settings.clone());
        ended.push((binary.ended().await, binary.stderr()));
    }
    for (number, (code, errors)) in ended.iter().enumerate() {
        assert_eq!(*code, Some(1), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        let (what, why) = match number {
            0 => ("threads are needed", "Resource temporarily unavailable"),
            _ => ("files must be opened", "Too many open files"),
        };
        assert!(
            errors.starts_with("cannot start: ") && errors.contains(what),
            "{errors}"
        );
        assert!(errors.contains(why), "{errors}");
        assert!(
            !errors.contains("panic") && !errors.contains("Os {"),
            "{errors}"
        );
    }
}
