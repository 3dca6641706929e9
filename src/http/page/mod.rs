//! The pages for people: the exporter and the fleet at `/`, one device at `/device`. They show what the JSON API says, rounded; all
//! of it is made on the server, and works without the script, which only keeps it fresh.

pub mod assets;
mod device;
mod format;
mod home;
mod map;
mod table;
mod verdict;

use actix_web::http::header;
use actix_web::{HttpResponse, HttpResponseBuilder};
use askama::Template;
use tracing::error;

pub use self::device::show as device;
pub use self::home::show as home;

/// Nothing but what this service sends is loaded, run or asked, and nobody shows the page in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What stands around each page.
#[derive(Debug)]
struct Frame {
    style: String,
    script: String,
    icon: String,
    world: String,
    version: &'static str,
    revision: &'static str,
}

impl Frame {
    fn new() -> Self {
        Self {
            style: assets::STYLE.url(),
            script: assets::SCRIPT.url(),
            icon: assets::ICON.url(),
            world: assets::WORLD.url(),
            version: env!("CARGO_PKG_VERSION"),
            revision: env!("BUILD_REVISION"),
        }
    }
}

/// An answer that browsers take for what it says it is, and for no more.
fn secured(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    response
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"));
    response
}

/// A page; `None` where its template failed, which the log tells.
fn page(response: HttpResponseBuilder, html: Option<String>) -> HttpResponse {
    let Some(html) = html else {
        return HttpResponse::InternalServerError()
            .content_type("text/plain; charset=utf-8")
            .body("the page could not be made: see the log\n");
    };
    secured(response)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("text/html; charset=utf-8")
        .body(html)
}

fn render(template: &impl Template) -> Option<String> {
    let made = template.render();
    made.inspect_err(|cause| error!(%cause, "a page could not be made"))
        .ok()
}
