//! Tests of connections to Starlink: verification of TLS, and proxies.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use actix_rt::net::{TcpListener, TcpStream};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use starlink_telemetry::simulator::{Answer, Simulator};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::Url;

use crate::binary::{Binary, run};
use crate::form::scrape;
use crate::harness::{
    UP, environment, eventually, scripted_simulator, shows, terminal_row, throughput,
};
use crate::receiver::{Model, Receiver};
use crate::tls::{Authority, Identity, TlsProxy};

/// The simulator behind TLS.
pub struct Starlink {
    pub simulator: Simulator,
    tls_proxy: TlsProxy,
    authority: Authority,
}

impl Starlink {
    async fn start() -> Self {
        Self::with(|authority| authority.issue(&["localhost"])).await
    }

    async fn with(identity: impl FnOnce(&Authority) -> Identity) -> Self {
        let simulator = scripted_simulator();
        simulator.push_rows([terminal_row("shown", 1_000_000_000, 1.0)]);
        Self::before(simulator, identity).await
    }

    /// TLS in tls_proxy of an existing simulator.
    pub async fn before(
        simulator: Simulator,
        identity: impl FnOnce(&Authority) -> Identity,
    ) -> Self {
        let authority = Authority::new();
        let identity = identity(&authority);
        let tls_proxy = TlsProxy::before(address(&simulator), &identity).await;
        Self {
            simulator,
            tls_proxy,
            authority,
        }
    }

    /// Settings for a service that polls it; `changes` replace the defaults.
    pub fn settings(&self, changes: &[(&str, &str)]) -> Vec<(String, String)> {
        let ca_file = self.authority.file();
        let mut url = Url::parse(&self.simulator.api_url()).unwrap();
        url.set_scheme("https").unwrap();
        url.set_host(Some("localhost")).unwrap();
        url.set_port(Some(self.tls_proxy.address.port())).unwrap();
        let known = [
            ("API_URL", url.as_str()),
            ("API_CA_FILE", ca_file.to_str().unwrap()),
        ];
        let kept = known
            .iter()
            .filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        let all = kept.chain(changes);
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    async fn binary(&self, changes: &[(&str, &str)]) -> (Binary, SocketAddr) {
        let settings = self.settings(changes);
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        Binary::listening(&self.simulator, &settings).await
    }

    /// Runs `check-config --connect`: exit code, stdout and stderr.
    async fn check(&self, changes: &[(&str, &str)]) -> (i32, String, String) {
        let settings = self.settings(changes);
        let settings: Vec<_> = settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let variables = environment(&self.simulator, &settings);
        run(&["check-config", "--connect"], variables).await
    }
}

fn address(simulator: &Simulator) -> SocketAddr {
    let url = Url::parse(&simulator.api_url()).unwrap();
    url.socket_addrs(|| None).unwrap()[0]
}

/// The behaviour of a test proxy.
#[derive(Clone, Copy)]
pub enum Behaviour {
    /// Opens tunnels for the credentials `user:needle@word`.
    Asks,
    /// Sends this response and closes the connection.
    Says(&'static str),
}

// Percent-encoded also where that is not necessary.
pub const CREDENTIALS: &str = "user:needle%77ord";
pub const WANTED: &str = "user:needleword";

/// A proxy that opens tunnels and records their targets.
pub struct ProxyServer {
    address: SocketAddr,
    targets: Arc<Mutex<Vec<String>>>,
}

impl ProxyServer {
    pub async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let targets = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&targets);
        actix_rt::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                actix_rt::spawn(serve(client, behaviour, Arc::clone(&seen)));
            }
        });
        Self { address, targets }
    }

    pub fn url(&self, credentials: &str) -> String {
        format!("http://{credentials}@{}", self.address)
    }

    pub fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap().clone()
    }
}

async fn serve(mut client: TcpStream, behaviour: Behaviour, seen: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read_exact(&mut byte).await.is_err() {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let target = head
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split_once(" HTTP/1.1\r\n"))
        .unwrap()
        .0;
    let authorization = format!(
        "\r\nProxy-Authorization: Basic {}\r\n",
        BASE64_STANDARD.encode(WANTED)
    );
    let answer = match behaviour {
        Behaviour::Says(answer) => answer,
        Behaviour::Asks if !head.contains(&authorization) => {
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\nwho?"
        }
        Behaviour::Asks => {
            seen.lock().unwrap().push(target.to_owned());
            let mut server = TcpStream::connect(target).await.unwrap();
            let established = b"HTTP/1.1 200 Connection established\r\n\r\n";
            client.write_all(established).await.unwrap();
            // Errors are ignored: both ends see how the connection ends.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    };
    // The client may close the connection before it has read everything.
    let _ = client.write_all(answer.as_bytes()).await;
}

#[actix_rt::test]
async fn starlink_is_polled_over_tls_with_an_additional_authority() {
    let starlink = Starlink::start().await;
    let (_binary, address) = starlink.binary(&[]).await;
    shows(address, &throughput("shown"), 1.0).await;
    assert!(starlink.tls_proxy.connections() > 0);
}

/// Nothing, in particular no credentials, is sent if the certificate is invalid.
#[actix_rt::test]
async fn nothing_is_sent_to_a_server_with_an_invalid_certificate() {
    let wrong_name = Starlink::with(|authority| authority.issue(&["example.com"])).await;
    let expired = Starlink::with(|authority| authority.issue_expired(&["localhost"])).await;
    let stranger = Starlink::start().await;
    let other = stranger
        .authority
        .write("other.pem", &Authority::named("another").pem());
    for (starlink, changes, expected) in [
        (&wrong_name, &[][..], "not valid for name"),
        (&expired, &[], "expired"),
        (
            &stranger,
            &[("API_CA_FILE", other.to_str().unwrap())],
            "UnknownIssuer",
        ),
    ] {
        let (code, output, errors) = starlink.check(changes).await;
        assert_eq!(code, 1, "{output}{errors}");
        assert!(errors.contains(expected), "{errors}");
        let (_binary, address) = starlink.binary(changes).await;
        eventually("it has tried", || async {
            scrape(address, "prometheus")
                .await
                .value(r#"starlink_exporter_token_requests_total{account="default"}"#)
                > Some(0.0)
        })
        .await;
        eventually("it has failed", || async {
            scrape(address, "prometheus").await.value(UP) == Some(0.0)
        })
        .await;
        assert_eq!(starlink.tls_proxy.connections(), 0);
        assert_eq!(starlink.simulator.journal().token_requests.len(), 0);
    }
}

/// `STARLINK_TEST_PROXY` can name a real proxy, which must require the same user name and password.
#[actix_rt::test]
async fn a_proxy_with_authentication_opens_the_tunnel() {
    let starlink = Starlink::start().await;
    let own = ProxyServer::start(Behaviour::Asks).await;
    let real = std::env::var("STARLINK_TEST_PROXY").ok();
    let place = real.clone().unwrap_or_else(|| own.address.to_string());
    let proxy = format!("http://{CREDENTIALS}@{place}");
    let (_binary, address) = starlink.binary(&[("HTTPS_PROXY", &proxy)]).await;
    shows(address, &throughput("shown"), 1.0).await;
    if real.is_none() {
        let target = format!("localhost:{}", starlink.tls_proxy.address.port());
        let targets = own.targets();
        assert!(!targets.is_empty());
        assert!(targets.iter().all(|seen| *seen == target), "{targets:?}");
    }
    let proxy = format!("http://user:wrong@{place}");
    let (code, _, errors) = starlink.check(&[("HTTPS_PROXY", &proxy)]).await;
    assert_eq!(code, 1);
    for expected in ["HTTPS_PROXY", "user name and password"] {
        assert!(errors.contains(expected), "{errors}");
    }
}

#[actix_rt::test]
async fn hosts_of_no_proxy_are_reached_directly() {
    let starlink = Starlink::start().await;
    let proxy = ProxyServer::start(Behaviour::Asks).await;
    let url = proxy.url(CREDENTIALS);
    let changes = [
        ("HTTPS_PROXY", url.as_str()),
        ("NO_PROXY", "10.0.0.0/8,localhost"),
    ];
    let (_binary, address) = starlink.binary(&changes).await;
    shows(address, &throughput("shown"), 1.0).await;
    assert_eq!(proxy.targets(), Vec::<String>::new());
}

/// Requests to a receiver with https use the proxy and the additional authority, as those to Starlink do.
#[actix_rt::test]
async fn receivers_are_reached_through_the_proxy_unless_they_are_exempt() {
    for (no_proxy, is_used) in [("starlink.example", true), ("localhost", false)] {
        let simulator = scripted_simulator();
        simulator.push_rows([terminal_row("shown", 1_000_000_000, 1.0)]);
        let receiver = Receiver::start(Model::victoria_metrics());
        let authority = Authority::new();
        let identity = authority.issue(&["localhost"]);
        let tls = TlsProxy::before(receiver.address(), &identity).await;
        let proxy = ProxyServer::start(Behaviour::Asks).await;
        let target = format!("localhost:{}", tls.address.port());
        let (url, ca_file) = (format!("https://{target}/write"), authority.file());
        let journal = authority.path("journal");
        let changes = [
            ("HTTPS_PROXY", proxy.url(CREDENTIALS)),
            ("NO_PROXY", no_proxy.to_owned()),
            ("API_CA_FILE", ca_file.to_str().unwrap().to_owned()),
            ("JOURNAL_DIR", journal.to_str().unwrap().to_owned()),
            ("REMOTE_WRITE_URL", url),
            ("REMOTE_WRITE_OUT_OF_ORDER_WINDOW", "unlimited".to_owned()),
        ];
        let changes = changes
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let (_binary, _) = Binary::listening(&simulator, &changes).await;
        receiver
            .gets("rows", |requests| requests.iter().any(|it| it.has_rows()))
            .await;
        let targets = proxy.targets();
        assert_eq!(!targets.is_empty(), is_used, "{no_proxy}");
        assert!(targets.iter().all(|seen| *seen == target), "{targets:?}");
        assert!(tls.connections() > 0);
    }
}

#[actix_rt::test]
async fn an_unusable_proxy_is_reported() {
    let starlink = Starlink::start().await;
    let long = "HTTP/1.1 200 OK\r\n\r\nand more";
    for (answer, expected) in [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "does not allow this host"),
        (
            "HTTP/1.1 503 Service Unavailable\r\n\r\n",
            "cannot reach the host",
        ),
        (
            "SSH-2.0-OpenSSH\r\n\r\n",
            "does not respond like an HTTP proxy",
        ),
        (long, "does not respond like an HTTP proxy"),
        ("HTTP/1.1 20", "closed the connection"),
        ("", "closed the connection"),
    ] {
        let proxy = ProxyServer::start(Behaviour::Says(answer)).await;
        let url = proxy.url(CREDENTIALS);
        let (code, output, errors) = starlink.check(&[("HTTPS_PROXY", &url)]).await;
        assert_eq!(code, 1, "{answer}");
        assert!(errors.contains(expected), "{answer}: {errors}");
        assert!(!format!("{output}{errors}").contains("needle"), "{errors}");
    }
    let (code, _, errors) = starlink
        .check(&[("HTTPS_PROXY", "http://127.0.0.1:1")])
        .await;
    assert_eq!(code, 1);
    let refused = "cannot connect to the proxy 127.0.0.1:1 (HTTPS_PROXY): Connection refused";
    assert!(errors.contains(refused), "{errors}");
    assert_eq!(starlink.tls_proxy.connections(), 0);
}

#[actix_rt::test]
async fn wrong_settings_of_outgoing_connections_are_reported() {
    let simulator = scripted_simulator();
    let authority = Authority::new();
    let empty = authority.write("empty.pem", "");
    let damaged = authority.pem().replacen("MII", "AAA", 1);
    let damaged = authority.write("damaged.pem", &damaged);
    for (changes, expected) in [
        (
            &[("API_URL", "http://starlink.example/api/public")][..],
            "ALLOW_INSECURE_API=true",
        ),
        (
            &[("TOKEN_URL", "http://192.0.2.1/token")],
            "ALLOW_INSECURE_API=true",
        ),
        (
            &[("API_CA_FILE", "/nowhere/ca.pem")],
            "/nowhere/ca.pem cannot be read: No such file",
        ),
        (
            &[("API_CA_FILE", empty.to_str().unwrap())],
            "no certificate",
        ),
        (&[("API_CA_FILE", damaged.to_str().unwrap())], "damaged"),
        (
            &[("HTTPS_PROXY", "https://user:needle@proxy:1")],
            "scheme must be http",
        ),
        (
            &[("HTTPS_PROXY", "http://user:needle@proxy:1/x")],
            "path, query or fragment",
        ),
        (&[("HTTPS_PROXY", "needle")], "has no port"),
        (
            &[("API_URL", "https://web-api.starlink.com/x")],
            "https://starlink.com/api/public",
        ),
    ] {
        let (code, output, errors) = run(&["check-config"], environment(&simulator, changes)).await;
        assert_eq!(code, 2, "{changes:?}");
        assert_eq!(errors.lines().nth(1), Some("FAILED: 1 problem"), "{errors}");
        assert!(errors.contains(expected), "{errors}");
        assert!(!format!("{output}{errors}").contains("needle"), "{errors}");
    }
    let changes = [
        ("API_URL", "http://starlink.example/api/public"),
        ("ALLOW_INSECURE_API", "true"),
        ("HTTPS_PROXY", "http://user:needle@proxy:1"),
    ];
    let (code, output, errors) = run(&["check-config"], environment(&simulator, &changes)).await;
    assert_eq!(code, 0, "{errors}");
    assert!(
        output.contains("HTTPS_PROXY=http://(set)@proxy:1  # environment\n"),
        "{output}"
    );
    assert!(!format!("{output}{errors}").contains("needle"));
}

/// Before the first successful poll, a 404 or a redirect probably means a wrong URL; afterwards it is a fault of Starlink.
#[actix_rt::test]
async fn a_missing_stream_before_the_first_success_advises_to_check_the_url() {
    const FAILED: &str = "poll failed: retrying";
    let target = "https://user:word@elsewhere.example:8443/path?token=needle";
    for (answer, expected) in [
        (Answer::error(404, "no page"), "status 404: no page"),
        (
            Answer::redirect(target).status(308),
            "status 308: redirect to https://elsewhere.example",
        ),
    ] {
        let simulator = scripted_simulator();
        simulator.push_answer(answer);
        let (binary, address) = Binary::listening(&simulator, &[]).await;
        shows(address, UP, 1.0).await;
        simulator.push_answer(Answer::error(404, "an incident"));
        shows(address, UP, 0.0).await;
        // The second failure within a minute is not logged.
        let [first] = &binary.events_saying(FAILED)[..] else {
            panic!("{:?}", binary.events());
        };
        assert_eq!(first.text("advice"), "Check API_URL.");
        assert!(first.text("error").ends_with(expected), "{first:?}");
        let advised = binary.events();
        let advised = advised
            .iter()
            .filter(|event| event.value("advice").is_some());
        assert_eq!(advised.count(), 1, "{:?}", binary.events());
        assert!(!binary.stderr().contains("needle") && !binary.stderr().contains("8443"));
    }
}

/// The version at the end of the base URL is removed.
#[actix_rt::test]
async fn the_url_may_include_the_version() {
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("shown", 1_000_000_000, 1.0)]);
    let url = format!("{}/v2/telemetry/stream/", simulator.api_url());
    let (_binary, address) = Binary::listening(&simulator, &[("API_URL", &url)]).await;
    shows(address, &throughput("shown"), 1.0).await;
    let (code, output, _) = run(
        &["check-config"],
        environment(&simulator, &[("API_URL", &url)]),
    )
    .await;
    assert_eq!(code, 0);
    let shown = format!("API_URL={}  # environment\n", simulator.api_url());
    assert!(output.contains(&shown), "{output}");
}
