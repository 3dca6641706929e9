//! Tests that no output contains a secret of a destination of remote write.

use super::*;
use crate::receiver::{Model, Receiver, Reply};
use crate::wire;

/// A receiver may echo what it was sent: the query of the URL, credentials and headers.
#[actix_rt::test]
async fn an_echo_of_a_receiver_is_redacted() {
    let receiver = Receiver::start(Model::victoria_metrics());
    receiver.set_rule(|request| {
        let header = |name| request.header(name).unwrap_or_default();
        let echo = format!(
            "Cannot POST {} ({}) ({})",
            request.target,
            header("authorization"),
            header("x-key")
        );
        Some(Reply::status(404, &echo))
    });
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let url = receiver.url();
    let file = format!(
        "remote_write:
  - name: basic
    url: {url}?v=1&api_key=needle-in%20a+query
    basic_auth:
      username: user
      password_file: password
  - name: bearer
    url: {url}
    authorization:
      credentials: needle-of-a-token
    headers:
      X-Key: needle-of-a-header
"
    );
    std::fs::write(path("destinations.yml"), file).unwrap();
    std::fs::write(path("password"), "needle-of-a-file\n").unwrap();
    let needles = [
        "needle-in%20a+query",
        "needle-in a query",
        "needle-of-a-file",
        &BASE64_STANDARD.encode("user:needle-of-a-file"),
        "needle-of-a-token",
        "needle-of-a-header",
    ];
    let needles = Needles(needles.map(str::to_owned).to_vec());
    let simulator = scripted_simulator();
    simulator.push_rows([terminal_row("shown", 1_000_000_000, 1.0)]);
    let (journal, destinations) = (path("journal"), path("destinations.yml"));
    let changes = [
        ("JOURNAL_DIR", journal.as_str()),
        ("REMOTE_WRITE_FILE", destinations.as_str()),
        ("RUST_LOG", "trace"),
    ];
    let variables = environment(&simulator, &changes);
    let (code, output, errors) = run(&["check-config", "--connect"], variables).await;
    assert_eq!(code, 1, "{output}");
    assert_eq!(output.matches("Cannot POST").count(), 2, "{output}");
    needles.check("check-config", &format!("{output}{errors}"));

    let (mut service, address) = Binary::listening(&simulator, &changes).await;
    let echoes = |text: &str| {
        let echoes = [
            "[redacted] (Basic [redacted])",
            "(Bearer [redacted]) ([redacted])",
        ];
        echoes.iter().all(|echo| text.contains(echo))
    };
    eventually("both echoes are shown", || async {
        let status = wire::get(address, "/api/v1/status", &[]).await;
        echoes(&status.body)
    })
    .await;
    for page in [
        "/",
        "/api/v1/status",
        "/metrics",
        "/readyz?verbose",
        "/livez?verbose",
    ] {
        let answer = wire::get(address, page, &[]).await;
        needles.check(page, &answer.body);
    }
    eventually("both echoes are logged", || async {
        let errors = service.events_at("ERROR");
        let logged: Vec<_> = errors.iter().map(|event| format!("{event:?}")).collect();
        echoes(&logged.concat())
    })
    .await;
    service.signal("TERM");
    assert_eq!(service.ended().await, Some(0));
    needles.check("the log", &service.stderr());
}
