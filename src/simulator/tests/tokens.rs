//! Tests of the token endpoint.

use super::*;

#[test]
fn credentials_are_checked() {
    let simulator = start(Options::default());
    let url = format!("{}/auth/connect/token", simulator.api_url());
    let cases = [
        (("client", "secret", "client_credentials"), 200, Value::Null),
        (
            ("client", "wrong", "client_credentials"),
            400,
            json!("invalid_client"),
        ),
        (
            ("wrong", "secret", "client_credentials"),
            400,
            json!("invalid_client"),
        ),
        (
            ("client", "secret", "password"),
            400,
            json!("unsupported_grant_type"),
        ),
    ];
    run(async {
        for ((id, secret, grant), expected, error) in cases {
            let form = [
                ("client_id", id),
                ("client_secret", secret),
                ("grant_type", grant),
            ];
            let (status, body) = post_form(&url, &form).await;
            assert_eq!((status, &body["error"]), (expected, &error));
            if status == 200 {
                assert_eq!(body["expires_in"], 900);
                assert_eq!(body["token_type"], "Bearer");
            }
        }
    });
    let seen: Vec<_> = simulator
        .journal()
        .token_requests
        .iter()
        .map(|request| (request.is_form_ok, request.status))
        .collect();
    assert_eq!(
        seen,
        [
            (true, Some(200)),
            (false, Some(400)),
            (false, Some(400)),
            (false, Some(400))
        ]
    );
}

#[test]
fn both_token_paths_work_and_the_public_one_can_be_closed() {
    let simulator = start(Options::default());
    let form = [
        ("client_id", "client"),
        ("client_secret", "secret"),
        ("grant_type", "client_credentials"),
    ];
    run(async {
        for (is_open, path, expected) in [
            (true, PUBLIC_TOKEN_PATH, 200),
            (true, PLAIN_TOKEN_PATH, 200),
            (false, PUBLIC_TOKEN_PATH, 404),
            (false, PLAIN_TOKEN_PATH, 200),
        ] {
            simulator.set_public_token_path(is_open);
            let url = format!("http://{}{path}", simulator.address());
            assert_eq!(post_form(&url, &form).await.0, expected, "{is_open} {path}");
        }
    });
}

#[test]
fn token_answers_can_be_scripted() {
    let simulator = start(Options::default());
    let url = format!("{}/auth/connect/token", simulator.api_url());
    run(async {
        simulator.set_default_token_answer(Some(Answer::error(500, "down")));
        simulator.push_token_answer(Answer::text(
            json!({"access_token": simulator.issue_token()}).to_string(),
        ));
        let (status, body) = post_form(&url, &[]).await;
        assert_eq!((status, &body["expires_in"]), (200, &Value::Null));
        let own = body["access_token"].as_str().expect("a token");
        assert_eq!(poll(&simulator, own, NO_LINGER).await.0, 200);
        assert_eq!(post_form(&url, &[]).await.0, 500);
        simulator.set_default_token_answer(None);
        token(&simulator).await;
    });
}

#[test]
fn tokens_expire_and_unknown_ones_are_refused() {
    let simulator = start(Options {
        token_lifetime: Duration::ZERO,
        ..Options::default()
    });
    let lasting = start(Options::default());
    run(async {
        let expired = token(&simulator).await;
        let (status, body) = poll(&simulator, &expired, NO_LINGER).await;
        assert_eq!((status, &body["isValid"]), (401, &json!(false)));

        let revoked = token(&lasting).await;
        assert_eq!(poll(&lasting, &revoked, NO_LINGER).await.0, 200);
        lasting.revoke_tokens();
        assert_eq!(poll(&lasting, &revoked, NO_LINGER).await.0, 401);
        assert_eq!(poll(&lasting, "unknown", NO_LINGER).await.0, 401);
        let next = token(&lasting).await;
        assert_eq!(poll(&lasting, &next, NO_LINGER).await.0, 200);
    });
    let serials: Vec<_> = lasting
        .journal()
        .polls
        .iter()
        .map(|poll| poll.token_serial)
        .collect();
    assert_eq!(serials, [Some(1), None, None, Some(2)]);
}
