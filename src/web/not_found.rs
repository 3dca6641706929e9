//! Unknown paths: a page for browsers, JSON below `/api/`, else a line of text.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

use super::{api, page};

/// The response to clients other than browsers.
const PATHS: &str = "Not found. Available: /, /device, /lines, /metrics, /api/v1/status, /api/v1/devices, /api/v1/devices/{id}, \
                     /api/v1/lines, /api/v1/pools, /api/v1/openapi.json, /livez, /readyz, /healthz\n";

/// The handler of unknown paths.
pub async fn show(request: HttpRequest) -> HttpResponse {
    if request.path().starts_with(api::ROOT) {
        let problem = "no such path: /api/v1/openapi.json describes this API";
        return api::problem(HttpResponse::NotFound(), &problem);
    }
    if is_browser(&request) {
        return page::not_found(&request);
    }
    HttpResponse::NotFound()
        .content_type("text/plain; charset=utf-8")
        .insert_header((header::VARY, "Accept"))
        .body(PATHS)
}

/// Browsers name HTML; other programs accept anything.
fn is_browser(request: &HttpRequest) -> bool {
    let mut accepted = request.headers().get_all(header::ACCEPT);
    accepted.any(|value| {
        let text = value.to_str().unwrap_or_default();
        text.to_ascii_lowercase().contains("text/html")
    })
}
