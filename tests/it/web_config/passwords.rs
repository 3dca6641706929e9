//! Tests of users and passwords.

use super::*;

#[actix_rt::test]
async fn a_password_is_required_for_everything_but_the_probes() {
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
    // A checked password stays valid while others are tried.
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

/// Unknown passwords keep only one core busy, and known users are served meanwhile.
#[actix_rt::test]
async fn a_flood_of_wrong_passwords_does_not_lock_out_users() {
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
    // No wrong password is accepted afterwards.
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
async fn a_user_is_admitted_after_few_checks_of_a_flood() {
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
async fn passwords_longer_than_bcrypt_reads_are_refused() {
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
async fn hashes_with_different_costs_cause_a_warning() {
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
