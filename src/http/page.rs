//! `/`: a plain page for people who open the port in a browser.

use actix_web::{HttpResponse, web};

use super::State;

/// Shows version, state and where to go. Nothing in it comes from outside, so nothing needs escaping.
pub async fn show(state: web::Data<State>) -> HttpResponse {
    let ready = state.unready().unwrap_or_else(|| "yes".to_owned());
    let trouble = state.trouble();
    let live = if trouble.is_empty() {
        "yes".to_owned()
    } else {
        trouble.join("; ")
    };
    let last = match state.metrics.up.value() {
        Some(up) if up > 0.0 => "succeeded".to_owned(),
        _ => match state.metrics.last_failure() {
            Some(reason) => format!("failed: {reason}"),
            None => "none yet".to_owned(),
        },
    };
    HttpResponse::Ok()
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .content_type("text/html; charset=utf-8")
        .body(format!(
            r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="10">
<title>starlink-telemetry</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ max-width: 44rem; margin: 3rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; }}
th, td {{ text-align: left; padding: .2rem 1.5rem .2rem 0; vertical-align: top; font-weight: normal; }}
th {{ opacity: .7; }}
</style>
</head>
<body>
<h1>starlink-telemetry</h1>
<p>Prometheus exporter for the Starlink Enterprise telemetry stream.</p>
<table>
<tr><th scope="row">Version</th><td>{version} ({revision})</td></tr>
<tr><th scope="row">Ready</th><td>{ready}</td></tr>
<tr><th scope="row">Live</th><td>{live}</td></tr>
<tr><th scope="row">Last poll</th><td>{last}</td></tr>
</table>
<ul>
<li><a href="/metrics">/metrics</a> – what Prometheus scrapes;
<a href="/metrics?format=openmetrics">OpenMetrics</a>,
<a href="/metrics?format=prometheus">Prometheus text</a>,
<a href="/metrics?format=mixed">text with line protocol</a></li>
<li><a href="/readyz?verbose">/readyz</a> – ready for traffic?</li>
<li><a href="/livez?verbose">/livez</a> – alive?</li>
</ul>
</body>
</html>
"#,
            version = env!("CARGO_PKG_VERSION"),
            revision = env!("BUILD_REVISION"),
        ))
}
