//! Tests of TLS, client certificates and passwords, and of probes, which need none of them.

mod certificates;
mod passwords;

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

/// A web configuration in its own directory.
struct Site {
    authority: Authority,
    file: PathBuf,
}

impl Site {
    /// Writes the file, with `{ca}`, `{cert}`, `{key}` and `{hash}` replaced.
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
        // The paths are relative to the file's directory.
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

/// The address of the probes on a separate port.
async fn probes_of(binary: &Binary) -> SocketAddr {
    binary.logs("probes are served on a separate port").await;
    let events = binary.events_saying("probes are served on a separate port");
    events[0].text("address").parse().unwrap()
}

#[actix_rt::test]
async fn healthcheck_works_with_every_web_configuration() {
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
        // A file that has become invalid meanwhile does not fail the health check.
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
async fn certificates_and_users_are_reloaded_and_invalid_ones_are_not_used() {
    let simulator = scripted_simulator();
    let site = Site::new(&format!("{TLS}{USERS}"));
    let (binary, address) = listening(&simulator, &[site.setting()]).await;
    let ann = authorization(USER, PASSWORD);
    let bob = authorization("bob", "other");
    let status = async |authorization: &str| {
        let headers = [("Authorization", authorization)];
        // A new client each time, because a client resumes its session with the previous certificate.
        let client = site.client(None);
        let answer = client.get(address, "/metrics", &headers).await.unwrap();
        (answer.0.status, answer.1)
    };
    let (code, first) = status(&ann).await;
    assert_eq!(code, 200);

    // A key that does not belong to the certificate: the previous pair is kept.
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

    // An incomplete or empty file does not turn authentication off.
    for (text, logged) in [("", 1), (TLS, 2)] {
        site.rewrite(text);
        let warning = "changes of the web configuration need a restart";
        eventually("it is logged", || async {
            binary.events_saying(warning).len() == logged
        })
        .await;
        assert_eq!(status("").await.0, 401);
        assert_eq!(status(&ann).await.0, 200);
    }

    let users = format!("basic_auth_users:\n  bob: '{}'\n", hash("other", 4));
    site.rewrite(&format!(
        "{TLS}{users}http_server_config:\n  headers:\n    X-Frame-Options: deny\n"
    ));
    let logged = || {
        let logged = binary.events_saying("changes of the web configuration need a restart");
        logged
            .iter()
            .map(|event| event.text("changed").to_owned())
            .collect::<Vec<_>>()
    };
    eventually("the headers are logged", || async { logged().len() == 3 }).await;
    let passwords = "whether passwords are required";
    assert_eq!(
        logged(),
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
    eventually("the mistake is logged", || async {
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
async fn an_invalid_file_is_refused_at_the_start_with_the_line() {
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
