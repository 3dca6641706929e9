//! Tests of content negotiation: the format of a scrape, and its content type.

use super::*;

/// That a body is in the format that its Content-Type promises.
fn is_what_it_says(answer: &Response) {
    let (format, info) = match answer.header("content-type").unwrap().as_str() {
        OPEN_METRICS => ("openmetrics", "starlink_info{"),
        TEXT => ("prometheus", "starlink_info{"),
        MIXED => ("mixed", "starlink_info,"),
        other => panic!("no format of ours: {other}"),
    };
    let body = form::read(&answer.body, format);
    let terminal = r#"device_type="UserTerminal",deviceID="ut-1""#;
    assert_eq!(body.value(&throughput("ut-1")), Some(1.5));
    let labels =
        format!("starlink_info{{{terminal},runningsoftwareversion=\"2025.12.01.mr70001\"}}");
    let line = r#"starlink_info,device_type=UserTerminal,deviceID=ut-1 runningsoftwareversion="2025.12.01.mr70001""#;
    let spelling = if format == "mixed" { line } else { &labels };
    assert!(spelling.starts_with(info));
    let infos = answer
        .body
        .lines()
        .filter(|line| line.starts_with("starlink_info"));
    let infos: Vec<_> = infos.collect();
    let with_value = format!("{spelling} 1");
    let expected = if format == "mixed" {
        spelling
    } else {
        &with_value
    };
    assert_eq!(infos, [expected]);
}

/// What clients send, and what each gets under `INFO_FORMAT` auto, labels and line-protocol.
const CLIENTS: [(&str, &[&str], [&str; 3]); 20] = [
    ("nothing", &[], [MIXED, TEXT, MIXED]),
    ("curl", &["*/*"], [MIXED, TEXT, MIXED]),
    (
        "Firefox",
        &["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
        [MIXED, TEXT, MIXED],
    ),
    (
        "Chrome",
        &[
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
        ],
        [MIXED, TEXT, MIXED],
    ),
    (
        "Prometheus 2.42",
        &[
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        ],
        [OPEN_METRICS, OPEN_METRICS, MIXED],
    ),
    (
        "Prometheus 2.42 with native histograms",
        &[
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        ],
        [OPEN_METRICS, OPEN_METRICS, MIXED],
    ),
    (
        "Prometheus 3",
        &[
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ],
        [OPEN_METRICS, OPEN_METRICS, MIXED],
    ),
    (
        "Prometheus 1",
        &[
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
        ],
        [TEXT, TEXT, MIXED],
    ),
    (
        "VictoriaMetrics",
        &["text/plain;version=0.0.4;q=1,*/*;q=0.1"],
        [TEXT, TEXT, MIXED],
    ),
    (
        "Telegraf",
        &[
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3",
        ],
        [TEXT, TEXT, MIXED],
    ),
    ("Datadog", &["text/plain"], [TEXT, TEXT, MIXED]),
    (
        "only protobuf",
        &["application/vnd.google.protobuf"],
        [TEXT, TEXT, MIXED],
    ),
    (
        "another OpenMetrics",
        &["application/openmetrics-text;version=2.0.0"],
        [TEXT, TEXT, MIXED],
    ),
    (
        "any OpenMetrics",
        &["application/openmetrics-text"],
        [OPEN_METRICS, OPEN_METRICS, MIXED],
    ),
    (
        "equal weights",
        &["text/plain, application/openmetrics-text"],
        [OPEN_METRICS, OPEN_METRICS, MIXED],
    ),
    (
        "text preferred",
        &["text/plain;q=0.6, application/openmetrics-text;q=0.5, */*"],
        [TEXT, TEXT, MIXED],
    ),
    (
        "nothing of ours",
        &["application/json"],
        [MIXED, TEXT, MIXED],
    ),
    (
        "all excluded",
        &["text/plain;q=0, application/openmetrics-text;q=0"],
        [MIXED, TEXT, MIXED],
    ),
    (
        "two headers",
        &["text/html", "text/plain;q=0.1"],
        [TEXT, TEXT, MIXED],
    ),
    (
        "not to be understood",
        &["\u{1f6f0};;;q=,"],
        [MIXED, TEXT, MIXED],
    ),
];

#[actix_rt::test]
async fn every_client_gets_the_format_that_it_reads() {
    for (index, setting) in ["auto", "labels", "line-protocol"].into_iter().enumerate() {
        let (_simulator, service) = service(&[("INFO_FORMAT", setting)]).await;
        for (client, accept, expected) in CLIENTS {
            let accept: Vec<_> = accept.iter().map(|value| ("Accept", *value)).collect();
            let answer = get(service.address, "/metrics", &accept).await;
            let place = format!("{client}, INFO_FORMAT={setting}");
            assert_eq!(answer.status, 200, "{place}");
            assert_eq!(
                answer.header("content-type").as_deref(),
                Some(expected[index]),
                "{place}"
            );
            assert_eq!(answer.header("vary").as_deref(), Some(VARY), "{place}");
            assert_eq!(answer.header("content-encoding"), None, "{place}");
            is_what_it_says(&answer);
        }
    }
}

#[actix_rt::test]
async fn the_parameter_overrides_header_and_setting() {
    for setting in ["auto", "labels", "line-protocol"] {
        let (_simulator, service) = service(&[("INFO_FORMAT", setting)]).await;
        for (format, content_type) in FORMATS.into_iter().zip([OPEN_METRICS, TEXT, MIXED]) {
            for accept in ["*/*", "text/plain", "application/openmetrics-text"] {
                for target in [
                    format!("/metrics?format={format}"),
                    format!("/metrics?a=b&format={format}&c"),
                ] {
                    let answer = get(service.address, &target, &[("Accept", accept)]).await;
                    assert_eq!(answer.status, 200);
                    assert_eq!(
                        answer.header("content-type").as_deref(),
                        Some(content_type),
                        "{target} {accept} INFO_FORMAT={setting}"
                    );
                    assert_eq!(answer.header("vary").as_deref(), Some(VARY));
                    is_what_it_says(&answer);
                }
            }
        }
    }
}

#[actix_rt::test]
async fn unknown_formats_are_refused() {
    let (_simulator, service) = service(&[]).await;
    for value in [
        "",
        "json",
        "Mixed",
        "mixed%20",
        "openmetrics-text",
        "%3Cscript%3E",
        "0.0.4",
    ] {
        let target = format!("/metrics?format={value}");
        let answer = get(service.address, &target, &[("Accept", "text/plain")]).await;
        assert_eq!(answer.status, 400, "{target}");
        for format in FORMATS {
            assert!(answer.body.contains(format), "{target}: {}", answer.body);
        }
        assert!(
            !answer.body.contains("script"),
            "what comes in does not go out"
        );
        assert_eq!(answer.header("vary").as_deref(), Some(VARY), "{target}");
        assert_eq!(answer.header("content-type").as_deref(), Some(MIXED));
        assert!(!answer.body.contains("starlink_"), "no half scrape");
    }
}

#[actix_rt::test]
async fn refused_scrapes_have_the_vary_header_of_scrapes() {
    let (_simulator, service) = service(&[]).await;
    for (request, status) in [
        (
            "POST /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            405,
        ),
        (
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n",
            413,
        ),
        (
            "GET /metrics?shard=5 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            400,
        ),
    ] {
        let answer = send(service.address, request.to_owned()).await;
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.header("vary").as_deref(), Some(VARY), "{request}");
    }
}
