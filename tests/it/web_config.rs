//! Tests of TLS, client certificates and passwords, and of probes, which need none of them.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actix_rt::task::spawn_blocking;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::join_all;
use rustls::version::{TLS12, TLS13};
use starlink_telemetry::app::Tuning;
use starlink_telemetry::http::ClientTimeouts;
use starlink_telemetry::simulator::Simulator;

use crate::binary::{Binary, run};
use crate::harness::{Service, WAIT_LIMIT, environment, eventually, scripted_simulator};
use crate::tls::{Authority, Identity, TlsClient};
use crate::wire::{Response, ask, get, get_from, send, try_get};

const USER: &str = "ann";
const PASSWORD: &str = "needle:pass word";

/// A web configuration in a directory of its own.
struct Site {
    authority: Authority,
    file: PathBuf,
}

impl Site {
    /// The file says this, where `{ca}`, `{cert}`, `{key}` and `{hash}` stand for what they name.
    fn new(text: &str) -> Self {
        let authority = Authority::new();
        let identity = authority.issue(&["localhost"]);
        identity.write(&authority, "server");
        authority.file();
        let file = authority.write("web.yml", "");
        let site = Self { authority, file };
        site.rewrite(text);
        site
    }

    fn rewrite(&self, text: &str) {
        // The paths are relative to the file's own place.
        let text = text
            .replace("{ca}", "authority.pem")
            .replace("{cert}", "server.pem")
            .replace("{key}", "server.key")
            .replace("{hash}", &hash(PASSWORD, 4));
        self.authority.write("web.yml", &text);
    }

    fn setting(&self) -> (&'static str, &str) {
        ("WEB_CONFIG_FILE", self.file.to_str().unwrap())
    }

    fn client(&self, identity: Option<&Identity>) -> TlsClient {
        TlsClient::new(&self.authority, &[&TLS13, &TLS12], identity)
    }
}

const TLS: &str = "tls_server_config:\n  cert_file: '{cert}'\n  key_file: '{key}'\n";
const MUTUAL: &str = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: '{ca}'\n";
const USERS: &str = "basic_auth_users:\n  ann: '{hash}'\n";

fn hash(password: &str, cost: u32) -> String {
    bcrypt::hash(password, cost).unwrap()
}

fn authorization(user: &str, password: &str) -> String {
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{user}:{password}"))
    )
}

async fn get_as(address: SocketAddr, path: &str, user: &str, password: &str) -> Response {
    let authorization = authorization(user, password);
    get(address, path, &[("Authorization", &authorization)]).await
}

async fn listening(simulator: &Simulator, settings: &[(&str, &str)]) -> (Binary, SocketAddr) {
    Binary::listening(simulator, settings).await
}

/// Where the probes are served on a separate port.
async fn probes_of(binary: &Binary) -> SocketAddr {
    binary.logs("probes are served on a separate port").await;
    let events = binary.events_saying("probes are served on a separate port");
    events[0].text("address").parse().unwrap()
}

#[actix_rt::test]
async fn everything_is_served_over_tls() {
    let simulator = scripted_simulator();
    let site = Site::new(TLS);
    let (_binary, address) = listening(&simulator, &[site.setting()]).await;
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let client = TlsClient::new(&site.authority, versions, None);
        for path in ["/metrics?format=openmetrics", "/", "/livez"] {
            let (answer, _) = client.get(address, path, &[]).await.unwrap();
            assert_eq!(answer.status, 200, "{path}");
        }
    }
    assert_eq!(
        try_get(address, "/livez").await,
        None,
        "plain HTTP is not spoken"
    );
    let stranger = Authority::named("another");
    let stranger = TlsClient::new(&stranger, &[&TLS13], None);
    assert!(stranger.get(address, "/livez", &[]).await.is_err());
}

#[actix_rt::test]
async fn the_lowest_version_may_be_1_3() {
    let simulator = scripted_simulator();
    let site = Site::new(&format!("{TLS}  min_version: TLS13\n"));
    let (_binary, address) = listening(&simulator, &[site.setting()]).await;
    let old = TlsClient::new(&site.authority, &[&TLS12], None);
    assert!(old.get(address, "/livez", &[]).await.is_err());
    assert!(site.client(None).get(address, "/livez", &[]).await.is_ok());
}

#[actix_rt::test]
async fn client_certificates_are_demanded_and_probes_have_a_port_of_their_own() {
    let simulator = scripted_simulator();
    let site = Site::new(&format!("{TLS}{MUTUAL}"));
    let settings = environment(&simulator, &[site.setting()]);
    let (code, _, errors) = run(&["check-config"], settings).await;
    assert_eq!(code, 2, "a kubelet could not get in");
    assert!(errors.starts_with("PROBES_PORT is not set"), "{errors}");

    let settings = [site.setting(), ("PROBES_PORT", "0")];
    let (binary, address) = listening(&simulator, &settings).await;
    let probes = probes_of(&binary).await;
    let known = site.authority.issue(&["prometheus"]);
    let stranger = Authority::named("another").issue(&["prometheus"]);
    let expired = site.authority.issue_expired(&["prometheus"]);
    let (answer, _) = site
        .client(Some(&known))
        .get(address, "/metrics", &[])
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    for refused in [None, Some(&stranger), Some(&expired)] {
        assert!(
            site.client(refused)
                .get(address, "/livez", &[])
                .await
                .is_err()
        );
    }
    for (path, expected) in [
        ("/livez", 200),
        ("/healthz?verbose", 200),
        ("/metrics", 404),
        ("/", 404),
        ("/device?id=x", 404),
        ("/api/v1/status", 404),
    ] {
        assert_eq!(get(probes, path, &[]).await.status, expected, "{path}");
    }
    eventually("it is ready", || async {
        get(probes, "/readyz", &[]).await.status == 200
    })
    .await;
    assert_eq!(ask(probes, "POST", "/livez", &[]).await.status, 405);
}

/// A session that is resumed would bring its client's certificate along, whose time may be over by then.
#[actix_rt::test]
async fn sessions_of_clients_with_certificates_are_not_resumed() {
    let simulator = scripted_simulator();
    for (text, expected) in [(TLS.to_owned(), true), (format!("{TLS}{MUTUAL}"), false)] {
        let site = Site::new(&text);
        let settings = [site.setting(), ("PROBES_PORT", "0")];
        let (_binary, address) = listening(&simulator, &settings).await;
        for version in [&TLS12, &TLS13] {
            let known = site.authority.issue(&["prometheus"]);
            let client = TlsClient::new(&site.authority, &[version], Some(&known));
            assert!(!client.resumes(address).await, "the first is a new one");
            assert_eq!(
                client.resumes(address).await,
                expected,
                "{text} {version:?}"
            );
        }
    }
}

/// More connections than the probes' port has room for, none of which says anything.
#[actix_rt::test]
async fn silent_connections_keep_no_probe_out_for_long() {
    let simulator = scripted_simulator();
    let tuning = Tuning {
        client_timeouts: ClientTimeouts {
            first: Duration::from_secs(1),
            ..ClientTimeouts::default()
        },
        ..Tuning::default()
    };
    let service = Service::tuned(&simulator, &[("PROBES_PORT", "0")], tuning).await;
    let probes = service.probes.unwrap();
    let connect = move || -> Vec<_> {
        (0..300)
            .map(|_| TcpStream::connect(probes).unwrap())
            .collect()
    };
    let silent = spawn_blocking(connect).await.unwrap();
    assert_eq!(get(probes, "/livez", &[]).await.status, 200);
    assert_eq!(get(service.address, "/livez", &[]).await.status, 200);
    drop(silent);
}

#[actix_rt::test]
async fn a_certificate_may_be_asked_for_only() {
    let simulator = scripted_simulator();
    let auth = MUTUAL
        .replace("RequireAndVerify", "Verify")
        .replace("ClientCert\n", "ClientCertIfGiven\n");
    let site = Site::new(&format!("{TLS}{auth}"));
    let (_binary, address) = listening(&simulator, &[site.setting()]).await;
    let stranger = Authority::named("another").issue(&["prometheus"]);
    assert!(site.client(None).get(address, "/livez", &[]).await.is_ok());
    assert!(
        site.client(Some(&stranger))
            .get(address, "/livez", &[])
            .await
            .is_err()
    );
}

#[actix_rt::test]
async fn a_password_is_needed_for_everything_but_the_probes() {
    let simulator = scripted_simulator();
    let site = Site::new(&format!(
        "{USERS}http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Content-Security-Policy: x\n"
    ));
    let (_binary, address) = listening(&simulator, &[site.setting()]).await;
    for path in [
        "/metrics",
        "/",
        "/device?id=x",
        "/api/v1/status",
        "/api/v1/devices",
        "/api/v1/devices/x",
        "/api/v1/openapi.json",
        "/assets/x",
        "/nowhere",
        "/livez/",
        "//livez",
        "/livez/../metrics",
        "/livez%2f",
    ] {
        let answer = get(address, path, &[]).await;
        assert_eq!(answer.status, 401, "{path}");
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Basic realm="), "{challenge}");
        assert_eq!(answer.header("x-frame-options").as_deref(), Some("deny"));
    }
    for path in ["/livez", "/healthz", "/livez?verbose"] {
        assert_eq!(get(address, path, &[]).await.status, 200, "{path}");
    }
    for (user, password) in [
        (USER, ""),
        (USER, "needle"),
        ("ann ", PASSWORD),
        ("eve", PASSWORD),
        ("", ""),
        (USER, &"x".repeat(5000)),
    ] {
        assert_eq!(
            get_as(address, "/metrics", user, password).await.status,
            401,
            "{user}"
        );
    }
    for header in ["Bearer x", "Basic", "Basic ?", "Basic eA=="] {
        let answer = get(address, "/metrics", &[("Authorization", header)]).await;
        assert_eq!(answer.status, 401, "{header}");
    }
    // What is good stays good, whatever else is tried in between.
    for _ in 0..3 {
        let page = get_as(address, "/", USER, PASSWORD).await;
        assert_eq!(page.status, 200);
        assert_eq!(page.header("content-security-policy").as_deref(), Some("x"));
        assert_eq!(
            get_as(address, "/metrics", USER, PASSWORD).await.status,
            200
        );
        assert_eq!(
            get_as(address, "/nowhere", USER, PASSWORD).await.status,
            404
        );
        assert_eq!(
            get_as(address, "/metrics", USER, "needle").await.status,
            401
        );
    }
    let body = "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n";
    let answer = send(address, body.to_owned()).await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("x-frame-options").as_deref(), Some("deny"));
}

/// Passwords that nobody knows keep one core busy, and no more; who is known gets in meanwhile.
#[actix_rt::test]
async fn a_flood_of_wrong_passwords_keeps_nobody_out() {
    const FLOOD: usize = 100;
    let simulator = scripted_simulator();
    let site = Site::new(&format!(
        "basic_auth_users:\n  ann: '{}'\n",
        hash(PASSWORD, 9)
    ));
    let (_binary, address) = listening(&simulator, &[site.setting()]).await;
    assert_eq!(
        get_as(address, "/metrics", USER, PASSWORD).await.status,
        200
    );
    let flood = join_all((0..FLOOD).map(|number| async move {
        let user = if number % 2 == 0 { USER } else { "eve" };
        get_as(address, "/metrics", user, &format!("{number}"))
            .await
            .status
    }));
    let known = async {
        let mut answers = Vec::new();
        for _ in 0..10 {
            answers.push(get_as(address, "/metrics", USER, PASSWORD).await.status);
            answers.push(get(address, "/livez", &[]).await.status);
        }
        answers
    };
    let (flood, known) = futures_util::future::join(flood, known).await;
    assert!(known.iter().all(|status| *status == 200), "{known:?}");
    let refused = flood.iter().filter(|status| **status == 401).count();
    let busy = flood.iter().filter(|status| **status == 503).count();
    assert_eq!(refused + busy, FLOOD, "{flood:?}");
    assert!(
        refused > 0 && busy > 0,
        "{refused} refused, {busy} sent away"
    );
    // None of it has come to be taken for good.
    for (user, password) in [(USER, "0"), ("eve", "1"), (USER, "98")] {
        assert_eq!(
            get_as(address, "/metrics", user, password).await.status,
            401
        );
    }
}

/// After a restart no password is known: a user's check comes after at most one of each other client, and, at the address of a
/// flood, before the names that have failed.
#[actix_rt::test]
async fn a_user_gets_in_after_few_checks_of_a_flood() {
    const FLOOD: usize = 24;
    let simulator = scripted_simulator();
    let site = Site::new(&format!(
        "basic_auth_users:\n  ann: '{0}'\n  bob: '{0}'\n",
        hash(PASSWORD, 9)
    ));
    let (_binary, address) = listening(&simulator, &[site.setting()]).await;
    let attacker = Ipv4Addr::new(127, 0, 0, 9);
    let is_over = Arc::new(AtomicBool::new(false));
    let refused = Arc::new(AtomicUsize::new(0));
    let flood = join_all((0..FLOOD).map(|number| {
        let (is_over, refused) = (Arc::clone(&is_over), Arc::clone(&refused));
        async move {
            let authorization = authorization("eve", &format!("wrong {number}"));
            let headers = [("Authorization", authorization.as_str())];
            while !is_over.load(Ordering::Relaxed) {
                match get_from(attacker, address, "/metrics", &headers)
                    .await
                    .status
                {
                    401 => drop(refused.fetch_add(1, Ordering::Relaxed)),
                    503 => actix_rt::time::sleep(Duration::from_millis(20)).await,
                    status => panic!("{status}"),
                }
            }
        }
    }));
    let flood = actix_rt::spawn(flood);
    eventually("the flood is on", || async {
        refused.load(Ordering::Relaxed) > 4
    })
    .await;
    for (user, source) in [("ann", Ipv4Addr::LOCALHOST), ("bob", attacker)] {
        let before = refused.load(Ordering::Relaxed);
        let authorization = authorization(user, PASSWORD);
        let headers = [("Authorization", authorization.as_str())];
        let answer = get_from(source, address, "/metrics", &headers).await;
        let between = refused.load(Ordering::Relaxed) - before;
        assert_eq!(answer.status, 200, "{user}");
        assert!(between <= 4, "{between} checks came before {user}'s");
    }
    is_over.store(true, Ordering::Relaxed);
    flood.await.unwrap();
}

#[actix_rt::test]
async fn passwords_that_bcrypt_does_not_read_wholly_are_refused() {
    let simulator = scripted_simulator();
    let long = "z".repeat(72);
    let site = Site::new(&format!(
        "basic_auth_users:\n  ann: '{}'\n  bob: '{}'\n",
        hash("short", 4),
        hash(&long, 4)
    ));
    let (_binary, address) = listening(&simulator, &[site.setting()]).await;
    for (user, password, expected) in [
        ("ann", "short\0short", 401),
        ("ann", "short", 200),
        ("bob", &format!("{long}!"), 401),
        ("bob", &long, 200),
        ("bob", &format!("{long}!"), 401),
        ("ann", "short\0short", 401),
    ] {
        let answer = get_as(address, "/metrics", user, password).await;
        assert_eq!(answer.status, expected, "{user} {password:?}");
    }
}

#[actix_rt::test]
async fn different_costs_are_warned_of() {
    let simulator = scripted_simulator();
    let warning = "password hashes have different bcrypt costs: each wrong password takes as long as the highest";
    for (costs, expected) in [([4, 4], 0), ([5, 4], 1)] {
        let site = Site::new(&format!(
            "basic_auth_users:\n  ann: '{}'\n  bob: '{}'\n",
            hash("a", costs[0]),
            hash("b", costs[1])
        ));
        let (binary, _) = listening(&simulator, &[site.setting()]).await;
        let events = binary.events_saying(warning);
        assert_eq!(events.len(), expected, "{costs:?}");
        if let [event] = events.as_slice() {
            assert_eq!(event.text("level"), "WARN");
            assert_eq!(
                (event.value("lowest"), event.value("highest")),
                (Some(&4.into()), Some(&5.into()))
            );
        }
    }
}

#[actix_rt::test]
async fn healthcheck_gets_in_everywhere() {
    let simulator = scripted_simulator();
    for (text, probes) in [
        ("", false),
        (USERS, false),
        (TLS, false),
        (&format!("{TLS}{USERS}"), false),
        (&format!("{TLS}{USERS}"), true),
        (&format!("{TLS}{MUTUAL}{USERS}"), true),
    ] {
        let site = Site::new(text);
        let mut settings = vec![site.setting()];
        if probes {
            settings.push(("PROBES_PORT", "0"));
        }
        let (mut binary, address) = listening(&simulator, &settings).await;
        let port = address.port().to_string();
        settings.push(("METRICS_PORT", &port));
        let own = match probes {
            true => probes_of(&binary).await.port().to_string(),
            false => String::new(),
        };
        settings.retain(|(name, _)| *name != "PROBES_PORT");
        if probes {
            settings.push(("PROBES_PORT", &own));
        }
        // A file that has become useless meanwhile is no sign of ill health.
        for rewritten in [None, Some("x: [")] {
            if let Some(text) = rewritten {
                site.rewrite(text);
            }
            let variables = environment(&simulator, &settings);
            let (code, _, errors) = run(&["healthcheck"], variables).await;
            assert_eq!(code, 0, "{text}: {errors}");
        }
        binary.signal("TERM");
        assert_eq!(binary.ended().await, Some(0));
        let variables = environment(&simulator, &settings);
        let (code, _, errors) = run(&["healthcheck"], variables).await;
        assert_eq!(code, 1);
        assert!(errors.contains("/livez: "), "{errors}");
    }
}

#[actix_rt::test]
async fn certificates_and_users_are_read_again_and_what_is_wrong_is_not_taken_over() {
    let simulator = scripted_simulator();
    let site = Site::new(&format!("{TLS}{USERS}"));
    let (binary, address) = listening(&simulator, &[site.setting()]).await;
    let ann = authorization(USER, PASSWORD);
    let bob = authorization("bob", "other");
    let status = async |authorization: &str| {
        let headers = [("Authorization", authorization)];
        // A new client each time: one that comes again goes on with the certificate that it has seen.
        let client = site.client(None);
        let answer = client.get(address, "/metrics", &headers).await.unwrap();
        (answer.0.status, answer.1)
    };
    let (code, first) = status(&ann).await;
    assert_eq!(code, 200);

    // A key that does not belong to the certificate: what was there stays.
    let fresh = site.authority.issue(&["localhost"]);
    site.authority.write("server.pem", &fresh.certificate);
    binary
        .logs("cannot use the changed web configuration: the previous one stays in use")
        .await;
    assert_eq!(status(&ann).await, (200, first.clone()));

    site.authority.write("server.key", &fresh.key);
    binary
        .logs("web configuration reloaded: certificate, key and users")
        .await;
    let (code, second) = status(&ann).await;
    assert_eq!(code, 200);
    assert_eq!(second, fresh.chain()[0]);
    assert_ne!(second, first);

    // A file that is being saved, or was emptied, opens no door.
    for (text, told) in [("", 1), (TLS, 2)] {
        site.rewrite(text);
        let warning = "changes of the web configuration need a restart";
        eventually("it is told", || async {
            binary.events_saying(warning).len() == told
        })
        .await;
        assert_eq!(status("").await.0, 401);
        assert_eq!(status(&ann).await.0, 200);
    }

    let users = format!("basic_auth_users:\n  bob: '{}'\n", hash("other", 4));
    site.rewrite(&format!(
        "{TLS}{users}http_server_config:\n  headers:\n    X-Frame-Options: deny\n"
    ));
    let told = || {
        let told = binary.events_saying("changes of the web configuration need a restart");
        told.iter()
            .map(|event| event.text("changed").to_owned())
            .collect::<Vec<_>>()
    };
    eventually("the headers are told of", || async { told().len() == 3 }).await;
    let passwords = "whether passwords are required";
    assert_eq!(
        told(),
        [
            &format!("whether TLS is used, {passwords}"),
            passwords,
            "headers"
        ]
    );
    assert_eq!(status(&bob).await.0, 200);
    assert_eq!(
        status(&ann).await.0,
        401,
        "what was recalled is gone with the user"
    );

    site.rewrite("tls_server_confg:\n");
    eventually("the mistake is told", || async {
        let warnings = binary.events_at("WARN");
        warnings.iter().any(|event| {
            event
                .text("error")
                .contains("line 1: unknown key tls_server_confg")
        })
    })
    .await;
    assert_eq!(status(&bob).await.0, 200);
}

#[actix_rt::test]
async fn a_wrong_file_is_refused_at_the_start_with_its_place() {
    let simulator = scripted_simulator();
    let broken = Site::new(&format!("{USERS}  bob: secret-needle\n"));
    let foreign = Site::new(TLS);
    let other = foreign.authority.issue(&["localhost"]);
    foreign.authority.write("server.key", &other.key);
    let missing = Site::new("tls_server_config:\n  cert_file: no.pem\n  key_file: x\n");
    let damaged = Site::new(&format!("{TLS}{MUTUAL}"));
    let nothing = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    damaged.authority.write("authority.pem", nothing);
    for (site, expected) in [
        (
            &broken,
            "web.yml line 3: basic_auth_users: this is not a bcrypt hash",
        ),
        (
            &foreign,
            "web.yml line 3: key_file: the key does not belong",
        ),
        (&missing, "line 2: cert_file: "),
        (
            &damaged,
            "web.yml line 5: client_ca_file: a certificate in it is damaged",
        ),
    ] {
        let variables = environment(&simulator, &[site.setting()]);
        let (code, _, errors) = run(&[], variables).await;
        assert_eq!(code, 2, "{errors}");
        assert!(errors.contains(expected), "{errors}");
        assert!(
            !errors.contains("needle") && !errors.contains("$2"),
            "{errors}"
        );
    }
    let variables = environment(&simulator, &[("WEB_CONFIG_FILE", "/nowhere/web.yml")]);
    let (code, _, errors) = run(&["check-config"], variables).await;
    assert_eq!(code, 2);
    assert!(
        errors.starts_with("WEB_CONFIG_FILE: /nowhere/web.yml cannot be read"),
        "{errors}"
    );
}

/// Who says nothing in place of a handshake, or trickles it, is dropped as anybody else.
#[actix_rt::test]
async fn a_handshake_that_never_ends_is_dropped() {
    let simulator = scripted_simulator();
    let site = Site::new(TLS);
    let tuning = Tuning {
        client_timeouts: ClientTimeouts {
            first: Duration::from_secs(1),
            ..ClientTimeouts::default()
        },
        ..Tuning::default()
    };
    let service = Service::tuned(&simulator, &[site.setting()], tuning).await;
    let address = service.address;
    let silent = spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
        stream.read(&mut [0; 1])
    });
    assert!(!matches!(silent.await.unwrap(), Ok(1..)));
    assert!(site.client(None).get(address, "/livez", &[]).await.is_ok());
}
