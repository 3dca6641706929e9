//! The pages for people: the exporter and the fleet at `/`, one device at `/device`. They show what the JSON API says, rounded; all
//! of it is made on the server, and works without the script, which only keeps it fresh.

pub mod assets;
mod device;
mod format;
mod home;
mod map;
mod table;
mod verdict;

use std::io::Write as _;

use actix_web::http::header::{self, ContentEncoding};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use askama::Template;
use flate2::Compression;
use flate2::write::GzEncoder;
use tracing::debug;

pub use self::device::show as device;
pub use self::home::{show as home, unseen};
use super::metrics::accepts_gzip;

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

/// A page as it is sent.
#[derive(Debug)]
struct Html {
    bytes: Vec<u8>,
    is_packed: bool,
}

/// In which form a client wants pages: they are asked for again and again, and shrink to a sixth.
#[derive(Debug, Clone, Copy)]
struct Packing(bool);

impl Packing {
    fn wanted(request: &HttpRequest) -> Self {
        Self(accepts_gzip(request))
    }

    /// Makes a page; `None` where its template fails, which the log tells.
    fn render(self, template: &impl Template) -> Option<Html> {
        let made = template.render();
        let html = made
            .inspect_err(|error| debug!(%error, "cannot render a page"))
            .ok()?
            .into_bytes();
        let packed = if self.0 { pack(&html) } else { None };
        Some(match packed {
            Some(bytes) => Html {
                bytes,
                is_packed: true,
            },
            None => Html {
                bytes: html,
                is_packed: false,
            },
        })
    }
}

fn pack(html: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(html).ok()?;
    encoder.finish().ok()
}

/// An answer with a page.
fn page(response: HttpResponseBuilder, html: Option<Html>) -> HttpResponse {
    let Some(Html { bytes, is_packed }) = html else {
        return HttpResponse::InternalServerError()
            .content_type("text/plain; charset=utf-8")
            .body("the page could not be made: see the log\n");
    };
    let mut response = secured(response);
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::VARY, "Accept-Encoding"))
        .content_type("text/html; charset=utf-8");
    if is_packed {
        response.insert_header(ContentEncoding::Gzip);
    }
    response.body(bytes)
}
