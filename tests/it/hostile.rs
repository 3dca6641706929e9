//! Tests that hostile names from Starlink are escaped in logs, metrics, the page and files.

use starlink_telemetry::simulator::{Answer, AnswerBody};

use crate::binary::Binary;
use crate::form::{FORMATS, scrape};
use crate::harness::{eventually, scripted_simulator};
use crate::wire::get;

/// A name that ends lines, closes quotes, sends terminal escapes, contains a script, and traverses directories.
const HOSTILE: &str = "x\"} 1\n# EOF\r\nstarlink_up 0\u{1b}[31m\u{7}<script>alert(1)</script>&\\..\\../etc/passwd\u{202e}\u{2028},= {}\u{0}";

/// Whether no line begins with a part of the hostile name.
fn is_whole(text: &str) -> bool {
    let beginnings = ["# EOF\r", "starlink_up 0\u{1b}"];
    let is_made = |line: &str| {
        beginnings
            .iter()
            .any(|beginning| line.starts_with(beginning))
    };
    !text.lines().any(is_made)
}

/// Whether a text also contains no terminal escapes. (Metric labels contain Starlink's text unchanged.)
fn is_printable(text: &str) -> bool {
    is_whole(text) && !text.contains(['\u{1b}', '\u{7}', '\r', '\0'])
}

fn quoted() -> String {
    serde_json::to_string(HOSTILE).unwrap()
}

/// Uses the name everywhere in Starlink's answers: in names of types, columns, alerts and devices, in texts, and in errors.
fn push_everything(simulator: &starlink_telemetry::simulator::Simulator) {
    let name = quoted();
    let body = format!(
        r#"{{"data":{{"values":[["u",1700000001000000000,{name},1,{name},["1",{name}]],["i",1700000001000000000,{name},["192.0.2.1",{name}]]],
        "columnNamesByDeviceType":{{
            "u":["DeviceType","UtcTimestampNs","DeviceId",{name},"Text","ActiveAlerts"],
            "i":["DeviceType","UtcTimestampNs","DeviceId","Ipv4"]}}}},
        "metadata":{{"enums":{{"DeviceType":{{"u":{name}}},"AlertsByDeviceType":{{"u":{{"1":{name}}}}}}}}}}}"#
    );
    simulator.push_answer(Answer::text(body));
    // A table whose columns have names in use already, and an error with a message.
    let columns = ["DeviceType", "UtcTimestampNs", "DeviceId", HOSTILE, HOSTILE];
    simulator.push_answer(
        AnswerBody::new()
            .columns("u", &columns)
            .rows([format!(r#"["u",1700000002000000000,{name},2,3]"#)]),
    );
    simulator.push_answer(Answer::error(422, HOSTILE));
    // For both token URLs.
    for _ in 0..2 {
        simulator.push_token_answer(Answer::token_error(HOSTILE));
    }
    simulator.push_answer(Answer::text(format!("<html>{HOSTILE}</html>")));
}

#[actix_rt::test]
async fn hostile_names_are_escaped_in_logs_metrics_the_page_and_files() {
    for log_format in ["text", "json"] {
        let simulator = scripted_simulator();
        push_everything(&simulator);
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let settings = [
            ("RUST_LOG", "trace"),
            ("LOG_FORMAT", log_format),
            ("STATE_FILE", state.to_str().unwrap()),
        ];
        let (mut service, address) = Binary::listening(&simulator, &settings).await;
        eventually("all of it has come", || async {
            let failures = scrape(address, "prometheus").await.poll_failures();
            ["unprocessable", "decode", "token"]
                .iter()
                .all(|reason| failures.contains_key(*reason))
        })
        .await;
        for format in FORMATS {
            // Checked line by line with general rules, without the expected text.
            let body = scrape(address, format).await;
            assert!(is_whole(&body.text), "{}", body.text);
            assert!(
                body.text.contains("script"),
                "the name is there, in {format}"
            );
        }
        for path in [
            "/",
            "/readyz?verbose",
            "/livez?verbose",
            "/<script>",
            "/%3Cscript%3E?format=<script>",
        ] {
            let answer = get(address, path, &[("Accept", "text/html\u{1b}")]).await;
            assert!(is_printable(&answer.body), "{path}: {}", answer.body);
            assert!(!answer.body.contains("<script>"), "{path}: {}", answer.body);
        }
        let answer = get(address, "/metrics?format=%3Cscript%3E", &[]).await;
        assert_eq!(answer.status, 400);
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(
            kind.starts_with("text/plain"),
            "{kind}: nothing of it is run"
        );
        service.signal("TERM");
        assert_eq!(service.ended().await, Some(0));
        let log = service.stderr();
        assert!(is_printable(&log), "{log}");
        assert!(log.contains("etc/passwd"), "Starlink's text is logged");
        if log_format == "json" {
            assert!(!service.events().is_empty());
        } else {
            let is_line = |line: &&str| line.starts_with("20") && line.contains("Z ");
            let odd: Vec<_> = log.lines().filter(|line| !is_line(line)).collect();
            assert!(odd.is_empty(), "{odd:?}");
        }
        let mut files: Vec<_> = std::fs::read_dir(&directory)
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        files.sort();
        let expected = ["state", "state.lock"];
        assert_eq!(
            files, expected,
            "names from outside do not become file names"
        );

        // The saved fleet is restored unchanged.
        let (_service, address) = Binary::listening(&simulator, &settings).await;
        for format in FORMATS {
            let body = scrape(address, format).await;
            assert!(
                is_whole(&body.text) && body.text.contains("script"),
                "{}",
                body.text
            );
        }
    }
}
