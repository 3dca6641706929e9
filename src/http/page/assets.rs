//! What the page is made of besides HTML: embedded, under URLs that change with the content, so that browsers keep it for good.

use actix_web::http::header;
use actix_web::{HttpResponse, web};

use super::secured;

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
            digest: digest(content.as_bytes()),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("/assets/{}", self.file())
    }

    fn file(&self) -> String {
        format!("{}-{:016x}.{}", self.name, self.digest, self.ending)
    }
}

/// The looks.
pub const STYLE: Asset = Asset::new(
    "style",
    "css",
    "text/css; charset=utf-8",
    include_str!("assets/style.css"),
);

/// What makes the page refresh itself.
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

/// What a browser shows in a tab.
pub const ICON: Asset = Asset::new(
    "icon",
    "svg",
    "image/svg+xml",
    include_str!("assets/icon.svg"),
);

const ALL: [Asset; 4] = [STYLE, SCRIPT, WORLD, ICON];

/// FNV-1a: tells contents apart, which is all that a name needs, and can be had while compiling.
const fn digest(content: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < content.len() {
        hash = (hash ^ content[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

/// `/assets/{file}`
pub async fn show(file: web::Path<String>) -> HttpResponse {
    let Some(asset) = ALL.iter().find(|asset| asset.file() == *file) else {
        return HttpResponse::NotFound()
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .content_type("text/plain; charset=utf-8")
            .body("not found: the page of this release names other files\n");
    };
    secured(HttpResponse::Ok())
        .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .content_type(asset.kind)
        .body(asset.content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_published_one() {
        // From the algorithm's own test vectors.
        for (text, expected) in [
            ("", 0xcbf2_9ce4_8422_2325),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ] {
            assert_eq!(digest(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn nothing_comes_from_elsewhere() {
        for asset in ALL {
            let namespace = "http://www.w3.org/2000/svg";
            let content = asset.content.replace(namespace, "");
            assert!(!content.contains("://"), "{}", asset.name);
            assert!(content.len() < 80_000, "{}", asset.name);
        }
    }
}
