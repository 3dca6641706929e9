use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;
use crate::remote_write::{Authentication, ProtocolChoice, Secret, Tenant, Window};

/// All secrets in the files contain this.
const NEEDLE: &str = "n33dle";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/remote-write")
}

/// Each file but `valid.yml` has all its problems beside it. `UPDATE_GOLDEN=1` rewrites them.
#[test]
fn wrong_files_have_all_problems_with_their_lines() {
    let mut count = 0;
    for entry in fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        let is_wrong =
            path.extension().is_some_and(|it| it == "yml") && !path.ends_with("valid.yml");
        if !is_wrong {
            continue;
        }
        count += 1;
        let errors = parse(&fs::read(&path).unwrap(), Path::new("/etc")).unwrap_err();
        let found: String = errors.iter().map(|error| format!("{error}\n")).collect();
        assert!(!found.contains(NEEDLE), "{found}");
        let expected = path.with_extension("expected");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &found).unwrap();
        }
        assert_eq!(
            found,
            fs::read_to_string(expected).unwrap(),
            "{}",
            path.display()
        );
    }
    assert!(count > 10);
}

#[test]
fn a_file_gives_destinations() {
    let bytes = fs::read(fixtures().join("valid.yml")).unwrap();
    let destinations = parse(&bytes, Path::new("/etc/starlink")).unwrap();
    assert!(!format!("{destinations:?}").contains(NEEDLE));
    assert_eq!(
        destinations,
        parse(&bytes, Path::new("/etc/starlink")).unwrap()
    );
    let [mimir, local, relay, insecure] = destinations.as_slice() else {
        panic!("{destinations:?}");
    };

    assert_eq!(
        (&*mimir.name, mimir.protocol),
        ("mimir-1", ProtocolChoice::V2)
    );
    assert_eq!(mimir.url.query(), Some("x=1"));
    let window = Window::Limited(Duration::from_secs(33 * 3600));
    assert_eq!(mimir.out_of_order_window, window);
    assert_eq!((mimir.max_shards, mimir.max_samples_per_send), (16, 2000));
    assert_eq!(mimir.max_samples_per_second, 10_000);
    assert!(mimir.sends("starlink_up") && !mimir.sends("process_cpu_seconds_total"));
    assert!(!mimir.sends("starlink_exporter_polls_total") && !mimir.sends("starlink_H3CellId"));
    let labels: Vec<_> = mimir.labels.iter().collect();
    let expected = [("cluster", "north"), ("job", "starlink")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(
        labels,
        expected.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>()
    );
    assert_eq!(mimir.instance.as_deref(), Some("exporter-1"));
    assert!(!mimir.own_metrics && mimir.pair && !mimir.allow_insecure);
    assert_eq!(
        (&mimir.tenant, &*mimir.tenant_header),
        (&Tenant::Account, "X-Tenant")
    );
    assert_eq!(mimir.tls.ca_file, Some("/etc/starlink/ca.pem".into()));
    let identity = ("/etc/client.pem".into(), "/etc/starlink/client.key".into());
    assert_eq!(mimir.tls.identity, Some(identity));
    assert_eq!(mimir.tls.server_name.as_deref(), Some("mimir.internal"));
    let authentication = Authentication::Basic {
        username: "user".to_owned(),
        password: Secret::File("/etc/starlink/password".into()),
    };
    assert_eq!(mimir.authentication, authentication);
    let file = Path::new("/etc/starlink/password");
    assert_eq!(mimir.secret_file(), Some(("password_file", file)));
    let lines = [
        ("ca_file", 22),
        ("cert_file", 23),
        ("key_file", 24),
        ("password_file", 28),
    ];
    assert_eq!(mimir.file_lines, lines);
    assert_eq!(mimir.headers[0].1.expose_secret(), NEEDLE);
    assert_eq!(mimir.remote_timeout, Duration::from_secs(60));

    assert_eq!(local.out_of_order_window, Window::Unlimited);
    assert_eq!(local.tenant, Tenant::Fixed("fleet".to_owned()));
    assert!(local.labels.is_empty());
    assert_eq!(local.secret_values().len(), 1);

    assert_eq!(*relay, Destination::new("relay", (*relay.url).clone()));
    assert_eq!(relay.labels["job"], "starlink-telemetry");

    let authentication = Authentication::Header {
        scheme: "Token".to_owned(),
        credentials: Secret::File("/etc/starlink/token".into()),
    };
    assert_eq!(insecure.authentication, authentication);
}

#[test]
fn every_change_of_a_destination_is_seen() {
    let bytes = fs::read_to_string(fixtures().join("valid.yml")).unwrap();
    let read = |text: &str| parse(text.as_bytes(), Path::new("/etc")).unwrap();
    let before = read(&bytes);
    for (text, other) in [
        ("x=1", "x=2"),
        ("\"2.0\"", "\"1.0\""),
        ("33h", "34h"),
        ("max_shards: 16", "max_shards: 17"),
        ("10000", "10001"),
        ("2000", "2001"),
        ("starlink_.*\"", "starlink_..*\""),
        ("starlink_H3CellId", "starlink_H3CellI"),
        ("north", "south"),
        ("exporter-1", "exporter-2"),
        ("own_metrics: false", "own_metrics: true"),
        ("tenant: account", "tenant: accounts"),
        ("X-Tenant", "X-Tenants"),
        ("ca.pem", "ca2.pem"),
        ("client.key", "client2.key"),
        ("mimir.internal", "mimir2.internal"),
        ("username: user", "username: other"),
        ("password_file: password", "password_file: other"),
        ("X-Key: n33dle", "X-Key: other"),
        ("1m", "2m"),
        ("pair: true", "pair: false"),
        ("allow_insecure: false", "allow_insecure: true"),
    ] {
        let changed = bytes.replacen(text, other, 1);
        assert_ne!(changed, bytes, "{text}");
        let after = read(&changed);
        assert_ne!(before[0], after[0], "{text}");
        assert_eq!(before[1..], after[1..], "{text}");
    }
}
