//! A scripted answer to a request, including faults.

use std::{io::Write, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use super::body::AnswerBody;

/// The answer to a request: a status, headers, a body, and faults.
///
/// Constructors create a complete answer, and methods change it; faults can be combined. Offsets count the
/// bytes of the body as sent, which are compressed after [`Answer::gzip`].
///
/// ```
/// use std::time::Duration;
/// use starlink_telemetry::simulator::Answer;
///
/// let unavailable = Answer::error(503, "try later").header("Retry-After", "7");
/// let stalls = Answer::ordinary().delay(Duration::from_secs(1)).gzip().stall_at(100);
/// # let _ = (unavailable, stalls);
/// ```
#[derive(Debug, Clone)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    /// `None`: the body that the simulator sends without a script.
    pub(super) body: Option<Bytes>,
    pub(super) rows: usize,
    pub(super) gzip: bool,
    pub(super) chunked: bool,
    pub(super) delay: Duration,
    pub(super) ending: Ending,
    pub(super) trickle: Option<(usize, Duration)>,
    pub(super) closed: bool,
}

/// The end of sending a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Complete.
    Whole,
    /// The connection is closed after this many bytes.
    CutAt(usize),
    /// Nothing more is sent after this many bytes, and the connection stays open.
    StallAt(usize),
}

impl Answer {
    /// The answer that the simulator sends without a script (generated rows after the linger, a token, or a page), as a base
    /// for faults.
    pub fn ordinary() -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: None,
            rows: 0,
            gzip: false,
            chunked: false,
            delay: Duration::ZERO,
            ending: Ending::Whole,
            trickle: None,
            closed: false,
        }
    }

    /// A 200 with this body, sent as `application/json` even if it is not JSON.
    pub fn text(body: impl Into<Bytes>) -> Self {
        Self {
            body: Some(body.into()),
            ..Self::ordinary()
        }
    }

    /// A valid answer with these rows, each a JSON text, and the default columns and enums.
    pub fn rows<R: Into<String>>(rows: impl IntoIterator<Item = R>) -> Self {
        AnswerBody::new().rows(rows).into()
    }

    /// An error of Starlink: the status, and the message in the documented envelope.
    pub fn error(status: u16, message: &str) -> Self {
        let envelope = json!({
            "errors": [{"memberNames": [], "errorMessage": message}],
            "warnings": [],
            "information": [],
            "isValid": false,
        });
        Self::text(envelope.to_string()).status(status)
    }

    /// The 403 of a request for which the service account lacks the permission.
    pub fn forbidden() -> Self {
        Self::error(403, "user_lacks_required_permission")
    }

    /// A rejection of the token endpoint: 400 and, for example, `{"error":"invalid_client"}`.
    pub fn token_error(error: &str) -> Self {
        Self::text(json!({"error": error}).to_string()).status(400)
    }

    /// A 429 whose `Retry-After` is this text, seconds or an HTTP date.
    pub fn too_many_requests(retry_after: &str) -> Self {
        Self::error(429, "API calls quota exceeded").header("Retry-After", retry_after)
    }

    /// The page of an intermediate proxy: HTML with status 200.
    pub fn html() -> Self {
        Self::text("<!DOCTYPE html>\n<html><body><h1>Please stand by</h1></body></html>\n")
            .header("Content-Type", "text/html; charset=utf-8")
    }

    /// A 307 to `location`.
    pub fn redirect(location: &str) -> Self {
        Self::text("").status(307).header("Location", location)
    }

    /// No answer: the connection is closed before the head (after the delay, if one is set).
    pub fn closed() -> Self {
        Self {
            closed: true,
            ..Self::ordinary()
        }
    }

    /// Sets the status, also with the default body.
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a header. `Content-Type` is `application/json` unless set here.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Compresses the body and sets `Content-Encoding`. With [`AnswerBody::padding`], the result is a gzip bomb.
    pub fn gzip(mut self) -> Self {
        self.gzip = true;
        self
    }

    /// Sends the body in chunks, without a Content-Length.
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// Waits before the head.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Closes the connection after this many bytes of the body; the Content-Length is that of the whole body.
    pub fn cut_at(mut self, bytes: usize) -> Self {
        self.ending = Ending::CutAt(bytes);
        self
    }

    /// Stops sending after this many bytes of the body, and leaves the connection open.
    pub fn stall_at(mut self, bytes: usize) -> Self {
        self.ending = Ending::StallAt(bytes);
        self
    }

    /// Sends the body in pieces of `bytes` (at least one), with a pause between them.
    pub fn trickle(mut self, bytes: usize, pause: Duration) -> Self {
        self.trickle = Some((bytes.max(1), pause));
        self
    }
}

impl From<AnswerBody> for Answer {
    fn from(body: AnswerBody) -> Self {
        Self {
            rows: body.row_count(),
            ..Self::text(body.to_json())
        }
    }
}

/// Compresses as one gzip member, fast rather than small.
#[expect(clippy::expect_used, reason = "writing to a Vec cannot fail")]
pub(super) fn compress(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_documented_envelope() {
        let answer = Answer::error(403, "no \"View\"");
        let body: serde_json::Value =
            serde_json::from_slice(&answer.body.expect("a body")).expect("JSON");
        assert_eq!(answer.status, 403);
        assert_eq!(body["errors"][0]["errorMessage"], "no \"View\"");
        assert_eq!(body["isValid"], false);
    }

    #[test]
    fn rows_are_counted() {
        assert_eq!(Answer::rows(["[1]", "[2]"]).rows, 2);
        assert_eq!(Answer::text("{}").rows, 0);
    }
}
