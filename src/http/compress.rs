//! Compresses pages and JSON for clients that accept gzip.

use std::io::Write as _;

use actix_web::http::header::{self, ContentEncoding};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::request::accepts_gzip;

/// Shorter bodies are not compressed, because that would save no packet.
const LEAST: usize = 1024;

/// Whether a client accepts gzip.
#[derive(Debug, Clone, Copy)]
pub struct Compress(bool);

impl Compress {
    /// The encoding that a request accepts.
    #[must_use]
    pub fn accepted(request: &HttpRequest) -> Self {
        Self(accepts_gzip(request))
    }

    /// The body, compressed if the client accepts that. Takes milliseconds for a large body: not for a worker's thread.
    #[must_use]
    pub fn body(self, plain: Vec<u8>) -> Body {
        let gzip = (self.0 && plain.len() >= LEAST).then(|| gzip(&plain, Compression::fast()));
        match gzip.flatten() {
            Some(bytes) => Body {
                bytes: bytes.into(),
                is_gzip: true,
            },
            None => Body {
                bytes: plain.into(),
                is_gzip: false,
            },
        }
    }
}

/// An encoded body.
#[derive(Debug)]
pub struct Body {
    bytes: Bytes,
    is_gzip: bool,
}

impl Body {
    /// The response with this body.
    pub fn send(self, mut response: HttpResponseBuilder) -> HttpResponse {
        response.insert_header((header::VARY, "Accept-Encoding"));
        if self.is_gzip {
            response.insert_header(ContentEncoding::Gzip);
        }
        response.body(self.bytes)
    }
}

/// A constant text, compressed once.
#[derive(Debug)]
pub struct Fixed {
    plain: &'static str,
    gzip: Option<Bytes>,
}

impl Fixed {
    /// Compresses the text, if that makes it shorter.
    #[must_use]
    pub fn new(plain: &'static str) -> Self {
        let gzip = gzip(plain.as_bytes(), Compression::best());
        let gzip = gzip.filter(|gzip| plain.len() >= LEAST && gzip.len() < plain.len());
        Self {
            plain,
            gzip: gzip.map(Into::into),
        }
    }

    /// The text as a body for this client.
    #[must_use]
    pub fn body(&self, compress: Compress) -> Body {
        match &self.gzip {
            Some(gzip) if compress.0 => Body {
                bytes: gzip.clone(),
                is_gzip: true,
            },
            _ => Body {
                bytes: Bytes::from_static(self.plain.as_bytes()),
                is_gzip: false,
            },
        }
    }
}

/// Writing to memory does not fail; if it did, the uncompressed form would be sent.
fn gzip(plain: &[u8], level: Compression) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(plain).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn long_texts_are_compressed_for_clients_that_accept_it() {
        let long = "0123456789".repeat(200);
        for (text, accepts, expected) in [
            (long.as_str(), true, true),
            (long.as_str(), false, false),
            ("short", true, false),
        ] {
            let leaked: &'static str = Box::leak(text.to_owned().into_boxed_str());
            for body in [
                Compress(accepts).body(text.into()),
                Fixed::new(leaked).body(Compress(accepts)),
            ] {
                assert_eq!(body.is_gzip, expected, "{accepts} {}", text.len());
                let mut plain = String::new();
                match body.is_gzip {
                    true => GzDecoder::new(&*body.bytes).read_to_string(&mut plain),
                    false => (&*body.bytes).read_to_string(&mut plain),
                }
                .unwrap();
                assert_eq!(plain, text);
            }
        }
    }
}
