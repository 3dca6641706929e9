//! Tests of TLS and client certificates.

use super::*;

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
async fn the_lowest_tls_version_can_be_1_3() {
    let simulator = scripted_simulator();
    let site = Site::new(&format!("{TLS}  min_version: TLS13\n"));
    let (_binary, address) = listening(&simulator, &[site.setting()]).await;
    let old = TlsClient::new(&site.authority, &[&TLS12], None);
    assert!(old.get(address, "/livez", &[]).await.is_err());
    assert!(site.client(None).get(address, "/livez", &[]).await.is_ok());
}

#[actix_rt::test]
async fn client_certificates_are_required_and_probes_have_a_separate_port() {
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

/// A resumed session would use the certificate of the first handshake, which may have expired meanwhile.
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

/// There are more connections than the port of the probes accepts, and all of them are silent.
#[actix_rt::test]
async fn silent_connections_delay_probes_only_briefly() {
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
async fn client_certificates_can_be_optional_and_are_verified_if_given() {
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

/// A client that sends no handshake, or sends it slowly, is disconnected.
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
