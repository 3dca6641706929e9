//! Tests of the client against a receiver on loopback.

use std::fs;
use std::time::SystemTime;

use futures_util::future::join_all;
use secrecy::SecretString;

use super::receiver::{Receiver, Step, answer, stored};
use super::*;
use crate::history::Protocol;
use crate::outgoing::Resolver;
use crate::redaction::Redactor;
use crate::remote_write::{Answer, Authentication, Secret, Tenant};
use crate::time::{Clock, ManualTime};

fn destination(receiver: &Receiver) -> Destination {
    let mut destination = Destination::new("one", receiver.url.clone());
    destination.remote_timeout = Duration::from_millis(300);
    destination
}

pub(in crate::recording::sender) fn context(clock: Clock) -> ClientContext {
    ClientContext {
        clock,
        resolver: Resolver::system(),
        proxy: None,
        authorities: None,
        redactor: Redactor::default(),
    }
}

fn client(destination: Destination) -> Client {
    let status = Arc::new(DestinationStatus::new(Arc::new(destination)));
    Client::new(status, context(Clock::system()))
}

fn manual(destination: Destination) -> (Client, ManualTime) {
    let status = Arc::new(DestinationStatus::new(Arc::new(destination)));
    let (clock, time) = Clock::manual(SystemTime::UNIX_EPOCH);
    (Client::new(status, context(clock)), time)
}

async fn send(client: &Client) -> Outcome {
    let message = Message {
        protocol: Protocol::V2,
        body: &Bytes::from_static(b"body"),
        attempt: 0,
        tenant: "north",
    };
    client.send(&message).await.unwrap()
}

#[actix_rt::test]
async fn a_request_has_the_headers_of_the_protocol() {
    let receiver = Receiver::start(vec![vec![stored()]]);
    let mut destination = destination(&receiver);
    destination.tenant = Tenant::Account;
    destination.headers = vec![("X-Extra".to_owned(), SecretString::from("needle"))];
    destination.authentication = Authentication::Header {
        scheme: "Bearer".to_owned(),
        credentials: Secret::Value("secret".into()),
    };
    let client = client(destination);
    let message = Message {
        protocol: Protocol::V1,
        body: &Bytes::from_static(b"body"),
        attempt: 3,
        tenant: "north",
    };
    client.send(&message).await.unwrap();
    send(&client).await;
    let received = receiver.received();
    let host = receiver.url.authority();
    for (name, first, second) in [
        ("host", Some(host), Some(host)),
        ("content-encoding", Some("snappy"), Some("snappy")),
        (
            "content-type",
            Some("application/x-protobuf"),
            Some("application/x-protobuf;proto=io.prometheus.write.v2.Request"),
        ),
        (
            "x-prometheus-remote-write-version",
            Some("0.1.0"),
            Some("2.0.0"),
        ),
        ("retry-attempt", Some("3"), None),
        ("x-scope-orgid", Some("north"), Some("north")),
        ("x-extra", Some("needle"), Some("needle")),
        (
            "authorization",
            Some("Bearer secret"),
            Some("Bearer secret"),
        ),
        ("content-length", Some("4"), Some("4")),
        ("transfer-encoding", None, None),
        ("accept-encoding", None, None),
    ] {
        let found = (received[0].header(name), received[1].header(name));
        assert_eq!(found, (first, second), "{name}");
    }
    let agent = received[0].header("user-agent").unwrap();
    assert!(agent.starts_with("starlink-telemetry/"), "{agent}");
    assert!(received[0].head.starts_with("POST /write?x=1 HTTP/1.1\r\n"));
    assert_eq!(received[0].body, b"body");
    assert_eq!(received[0].connection, received[1].connection, "reused");
}

#[actix_rt::test]
async fn answers_are_read_within_limits() {
    let long = "x".repeat(100_000);
    let response = |status, retry_after: Option<u64>, written, body: &str| {
        Ok((
            status,
            retry_after.map(Duration::from_secs),
            written,
            body.to_owned(),
        ))
    };
    let cases = [
        (answer(204, "", ""), response(204, None, None, ""), "204"),
        (stored(), response(204, None, Some(1), ""), "204"),
        (
            answer(400, "", "out of order\u{7}"),
            response(400, None, None, "out of order\u{7}"),
            "400",
        ),
        (
            answer(429, "Retry-After: 7\r\n", ""),
            response(429, Some(7), None, ""),
            "429",
        ),
        (
            answer(
                503,
                "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:50:00 GMT\r\n",
                "",
            ),
            response(503, Some(23), None, ""),
            "503",
        ),
        (
            answer(302, "Location: http://127.0.0.1:1/\r\n", ""),
            response(302, None, None, ""),
            "302",
        ),
        (
            answer(500, "", &long),
            response(500, None, None, &long[..4096]),
            "500",
        ),
        (Step::Close, Err(Answer::Ambiguous), "error"),
        (
            Step::Send(b"SSH-2.0-x\r\n\r\n".to_vec()),
            Err(Answer::Ambiguous),
            "error",
        ),
        (
            Step::Send(vec![b'x'; 1 << 20]),
            Err(Answer::Ambiguous),
            "error",
        ),
        (Step::Hang, Err(Answer::Ambiguous), "timeout"),
        (Step::Trickle, Err(Answer::Ambiguous), "timeout"),
        (
            Step::Send(b"HTTP/1.1 204 X\r\nContent-".to_vec()),
            Err(Answer::Ambiguous),
            "timeout",
        ),
    ];
    for (step, expected, code) in cases {
        let receiver = Receiver::start(vec![vec![step.clone()]]);
        let outcome = send(&client(destination(&receiver))).await;
        let found = match outcome.answer() {
            Answer::Response {
                status,
                retry_after,
                written,
                body,
            } => Ok((status, retry_after, written, body.to_owned())),
            other => Err(other),
        };
        assert_eq!(found, expected, "{step:?}");
        assert_eq!(outcome.code(), code);
        assert!(outcome.text.chars().count() <= 300, "{}", outcome.text);
        assert!(!outcome.text.contains(char::is_control), "{}", outcome.text);
        assert_eq!(receiver.received().len(), 1, "no redirect is followed");
    }
}

#[actix_rt::test]
async fn a_status_is_known_although_its_body_hangs() {
    // The limit of requests, which may be shorter than that of bodies; the beginning of the answer, and the text of the outcome.
    let each = [
        (
            1,
            "400 X\r\nContent-Length: 99\r\n\r\nbecause",
            "status 400: because",
        ),
        (1, "200 OK\r\nContent-Length: 10\r\n\r\n", "status 200"),
        (
            20,
            "400 X\r\nContent-Length: 99\r\n\r\nbecause",
            "status 400: because",
        ),
    ];
    let each = each.map(|(seconds, head, expected)| async move {
        let head = Step::Send(format!("HTTP/1.1 {head}").into_bytes());
        let receiver = Receiver::start(vec![vec![head, Step::Hang], vec![stored()]]);
        let mut destination = destination(&receiver);
        destination.remote_timeout = Duration::from_secs(seconds);
        let client = client(destination);
        let outcome = send(&client).await;
        assert_eq!(outcome.text, expected, "{seconds}");
        send(&client).await;
        let received = receiver.received();
        assert_ne!(received[0].connection, received[1].connection, "{seconds}");
    });
    join_all(each).await;
}

#[actix_rt::test]
async fn without_a_connection_nothing_was_sent() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let mut destination = Destination::new("one", url.parse().unwrap());
    let outcome = send(&client(destination.clone())).await;
    assert_eq!(outcome.answer(), Answer::Unreachable);
    assert!(
        outcome.text.contains("Connection refused"),
        "{}",
        outcome.text
    );
    // A resolver that never answers.
    let url: url::Url = "http://receiver.example/".parse().unwrap();
    destination.url = url.into();
    destination.remote_timeout = Duration::from_millis(50);
    let status = Arc::new(DestinationStatus::new(Arc::new(destination)));
    let mut context = context(Clock::system());
    context.resolver = Resolver::new(|_| {
        std::thread::sleep(Duration::from_secs(1));
        Err(std::io::Error::other("late"))
    });
    let outcome = send(&Client::new(status, context)).await;
    assert_eq!(outcome.answer(), Answer::Unreachable);
}

#[actix_rt::test]
async fn secrets_do_not_appear_in_texts() {
    let echo = answer(
        400,
        "",
        "bad token needle-in-a-haystack, dGVzdDpuZWVkbGUtaW4tYS1oYXlzdGFjaw==",
    );
    let receiver = Receiver::start(vec![vec![echo]]);
    let mut destination = destination(&receiver);
    destination.authentication = Authentication::Basic {
        username: "test".to_owned(),
        password: Secret::Value("needle-in-a-haystack".into()),
    };
    let outcome = send(&client(destination)).await;
    assert_eq!(outcome.text, "status 400: bad token [redacted], [redacted]");
}

#[actix_rt::test]
async fn files_of_secrets_are_read_again_when_they_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let receiver = Receiver::start(vec![vec![stored()]]);
    let mut destination = destination(&receiver);
    destination.authentication = Authentication::Header {
        scheme: "Bearer".to_owned(),
        credentials: Secret::File(path.clone()),
    };
    let (client, time) = manual(destination);
    let message = Message {
        protocol: Protocol::V2,
        body: &Bytes::from_static(b"body"),
        attempt: 0,
        tenant: "",
    };
    let error = client.send(&message).await.unwrap_err().to_string();
    assert!(error.starts_with("credentials_file \"/"), "{error}");
    assert!(error.contains("cannot be read"), "{error}");
    for (content, expected) in [
        (Some("one\n"), "Bearer one"),
        (Some("second \r\n"), "Bearer second"),
        // What cannot be used changes nothing.
        (Some(" \n"), "Bearer second"),
        (Some("a\nb"), "Bearer second"),
        (None, "Bearer second"),
        (Some("third"), "Bearer third"),
    ] {
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        // Files are checked at most every 5 s.
        time.advance(Duration::from_secs(5));
        send(&client).await;
        let received = receiver.received();
        let found = received.last().unwrap().header("authorization");
        assert_eq!(found, Some(expected), "{content:?}");
    }
}

/// A certificate for a name, and its key, in PEM form.
fn certificate(name: &str) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// A server with a certificate for this name, which demands the certificate of a client.
fn server(certificate: &(String, String), client: &str) -> rustls::ServerConfig {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::server::WebPkiClientVerifier;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der(client)).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let builder = rustls::ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_client_cert_verifier(verifier.build().unwrap());
    let key = PrivateKeyDer::from_pem_slice(certificate.1.as_bytes()).unwrap();
    builder
        .with_single_cert(vec![der(&certificate.0)], key)
        .unwrap()
}

#[actix_rt::test]
async fn certificates_are_verified_with_the_files_of_the_destination() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (receiver, own, other) = (
        certificate("receiver.example"),
        certificate("client.example"),
        certificate("receiver.example"),
    );
    let config = server(&receiver, &own.0);
    let receiver_ca = write("ca", &receiver.0);
    let other_ca = write("other-ca", &other.0);
    let identity = Some((write("cert", &own.0), write("key", &own.1)));
    let receiver = Receiver::tls(config, vec![stored()]);
    let client_of = |ca_file: &std::path::Path, name: &str, identity| {
        let mut destination = destination(&receiver);
        destination.remote_timeout = Duration::from_secs(20);
        destination.tls.ca_file = Some(ca_file.to_owned());
        destination.tls.server_name = Some(name.to_owned());
        destination.tls.identity = identity;
        client(destination)
    };
    let name = "receiver.example";
    let good = client_of(&receiver_ca, name, identity.clone());
    assert_eq!(send(&good).await.code(), "204");
    for (ca_file, name, identity) in [
        (&other_ca, name, identity.clone()),
        (&receiver_ca, "another.example", identity.clone()),
        (&receiver_ca, name, None),
    ] {
        let outcome = send(&client_of(ca_file, name, identity)).await;
        assert_eq!(outcome.code(), "error", "{}", outcome.text);
    }
    assert_eq!(receiver.received().len(), 1);
    // Files that do not fit.
    let wrong = client_of(&write("empty", ""), name, identity);
    let message = Message {
        protocol: Protocol::V2,
        body: &Bytes::from_static(b"body"),
        attempt: 0,
        tenant: "",
    };
    let error = wrong.send(&message).await.unwrap_err().to_string();
    assert!(error.starts_with("ca_file \"/"), "{error}");
    assert!(error.ends_with("contains no certificate"), "{error}");
}
