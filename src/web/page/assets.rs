//! The page's style, script and images: embedded, with URLs that depend on the content, so that browsers can cache them permanently.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use super::secured;
use crate::http::{Compress, Fixed};
use crate::text::fnv;

/// A file that the page needs.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    name: &'static str,
    ending: &'static str,
    kind: &'static str,
    content: &'static str,
    digest: u64,
}

impl Asset {
    const fn new(
        name: &'static str,
        ending: &'static str,
        kind: &'static str,
        content: &'static str,
    ) -> Self {
        Self {
            name,
            ending,
            kind,
            content,
            digest: fnv::append(fnv::EMPTY, content.as_bytes()),
        }
    }

    /// Its address relative to a page. `root` is the relative path from the page to the root.
    #[must_use]
    pub fn below(&self, root: &str) -> String {
        format!("{root}assets/{}", self.file())
    }

    fn file(&self) -> String {
        format!("{}-{:016x}.{}", self.name, self.digest, self.ending)
    }
}

/// The style sheet.
pub const STYLE: Asset = Asset::new(
    "style",
    "css",
    "text/css; charset=utf-8",
    include_str!("assets/style.css"),
);

/// The script that refreshes the page.
pub const SCRIPT: Asset = Asset::new(
    "page",
    "js",
    "text/javascript; charset=utf-8",
    include_str!("assets/page.js"),
);

/// The outline of the land.
pub const WORLD: Asset = Asset::new(
    "world",
    "svg",
    "image/svg+xml",
    include_str!("assets/world.svg"),
);

/// The icon of the tab.
pub const ICON: Asset = Asset::new(
    "icon",
    "svg",
    "image/svg+xml",
    include_str!("assets/icon.svg"),
);

const ALL: [Asset; 4] = [STYLE, SCRIPT, WORLD, ICON];

/// All assets, in both forms in which they are sent.
#[derive(Debug)]
pub struct Assets([(Asset, Fixed); ALL.len()]);

impl Assets {
    /// Compresses them.
    #[must_use]
    pub fn new() -> Self {
        Self(ALL.map(|asset| (asset, Fixed::new(asset.content))))
    }

    fn find(&self, file: &str) -> Option<&(Asset, Fixed)> {
        self.0.iter().find(|(asset, _)| asset.file() == file)
    }
}

/// `/assets/{file}`
pub async fn show(
    file: web::Path<String>,
    request: HttpRequest,
    assets: web::Data<Assets>,
) -> HttpResponse {
    let Some((asset, content)) = assets.find(&file) else {
        return HttpResponse::NotFound()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .content_type("text/plain; charset=utf-8")
            .body("Not found: the pages of this release use other files.\n");
    };
    let mut response = secured(HttpResponse::Ok());
    response
        .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .content_type(asset.kind);
    content.body(Compress::accepted(&request)).send(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_refer_to_no_other_server() {
        for asset in ALL {
            let namespace = "http://www.w3.org/2000/svg";
            let content = asset.content.replace(namespace, "");
            assert!(!content.contains("://"), "{}", asset.name);
            assert!(content.len() < 80_000, "{}", asset.name);
        }
    }
}
