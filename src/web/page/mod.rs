//! The status page: the exporter and the fleet at `/`, one device at `/device`, service lines at `/lines`. The pages show the values of the JSON API, rounded. They
//! are made on the server and work without the script, which only refreshes them.
//!
//! All links are relative, so that a proxy can serve the page below any path.

mod accounts;
pub mod assets;
mod components;
mod data_use;
mod device;
mod facts;
mod format;
mod history;
mod home;
mod inventory_state;
mod level;
mod line_section;
mod lines;
mod map;
mod paging;
mod suspensions;
mod table;
mod verdict;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use askama::Template;
use tracing::debug;

pub use self::device::{not_found, show as device};
pub use self::home::{show as home, without_fleet as refuse};
pub use self::lines::show as lines;
use crate::http::{Body, Compress};
use crate::web::state::WebState;

/// Only what this service sends is loaded, run or requested, and no other page may frame this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The parts that all pages share.
#[derive(Debug)]
struct Frame {
    /// The path from the page to the service's root: `./`, `../` …
    root: String,
    style: String,
    script: String,
    icon: String,
    world: String,
    version: &'static str,
    revision: &'static str,
    /// Whether the terminals are simulated.
    is_demo: bool,
}

/// Replaces the map.
const NO_LOCATIONS: &str = "Locations are switched off (LOCATION=off).";

impl Frame {
    /// The frame of a page at the path of this request.
    fn of(request: &HttpRequest) -> Self {
        let root = &root(request.uri().path());
        let state = request.app_data::<web::Data<WebState>>();
        Self {
            is_demo: state.is_some_and(|state| state.options.is_demo),
            root: root.to_owned(),
            style: assets::STYLE.below(root),
            script: assets::SCRIPT.below(root),
            icon: assets::ICON.below(root),
            world: assets::WORLD.below(root),
            version: env!("CARGO_PKG_VERSION"),
            revision: env!("BUILD_REVISION"),
        }
    }
}

/// The relative path to the root. Browsers resolve it by the slashes of the path that they sent.
fn root(path: &str) -> String {
    match path.matches('/').count() {
        0 | 1 => "./".to_owned(),
        slashes => "../".repeat(slashes - 1),
    }
}

/// Adds the security headers of pages.
fn secured(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    response
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"));
    response
}

/// Renders a page; `None` if its template fails, which is logged.
fn render(compress: Compress, template: &impl Template) -> Option<Body> {
    let made = template.render();
    let html = made.inspect_err(|error| debug!(%error, "cannot render a page"));
    Some(compress.body(html.ok()?.into_bytes()))
}

/// The response with a page.
fn page(response: HttpResponseBuilder, html: Option<Body>) -> HttpResponse {
    let Some(html) = html else {
        return HttpResponse::InternalServerError()
            .content_type("text/plain; charset=utf-8")
            .body("the page could not be rendered: see the log\n");
    };
    let mut response = secured(response);
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("text/html; charset=utf-8");
    html.send(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_from_any_path() {
        for (path, expected) in [
            ("", "./"),
            ("/", "./"),
            ("/device", "./"),
            ("/device/", "../"),
            ("/a/b/c", "../../"),
            ("//a", "../"),
        ] {
            assert_eq!(root(path), expected, "{path}");
        }
    }
}
