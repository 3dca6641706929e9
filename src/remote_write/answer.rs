//! What an answer of a receiver means, whatever was sent before.

use std::time::Duration;

use super::reasons::TimeReason;
use crate::history::Protocol;

/// The longest excerpt of an answer, in characters.
const EXCERPT: usize = 200;

/// The bytes of a body from which the excerpt is taken, half of those that are read.
const SHOWN: usize = 2048;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The receiver answered.
    Response {
        /// The status.
        status: u16,
        /// The wait in `Retry-After`.
        retry_after: Option<Duration>,
        /// The samples in `X-Prometheus-Remote-Write-Samples-Written`; 0 if only one of its sisters was there, `None` if none was.
        written: Option<u64>,
        /// The beginning of the body.
        body: &'a str,
    },
    /// There was no connection, so nothing was sent.
    Unreachable,
    /// The request was sent, at least in part, and no whole answer came: a time-out, a reset, or an answer that is no HTTP.
    Ambiguous,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The samples are stored.
    Done,
    /// They were taken and dropped.
    NotStored,
    /// The receiver does not support this version of the protocol; nothing is stored.
    Unsupported,
    /// The receiver refuses the time of some samples.
    Time(TimeReason),
    /// It refuses something else about some samples.
    Bad,
    /// The request is too large.
    TooLarge,
    /// It cannot take the request now.
    Retry {
        /// When to send it again, if the receiver says so.
        after: Option<Duration>,
        /// Whether samples come too fast.
        is_throttled: bool,
        /// Whether the receiver failed, rather than refused or was not reached.
        is_failure: bool,
        /// Whether the samples may have been stored.
        is_ambiguous: bool,
    },
    /// A person must change something first.
    Hold(Hold),
}

/// Why requests are held until a person changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hold {
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404, 405, 410 or 501.
    NoReceiver,
    /// A redirect, which is never followed.
    Redirect,
    /// The receiver does not support the only version of the protocol that may be used.
    Protocol,
    /// The receiver supports neither version of the protocol, or seems to.
    NoVersion,
    /// Even a request with one sample is too large (413).
    TooLarge,
    /// A file with credentials or certificates cannot be used, so no request is sent.
    Files,
    /// Another status that concerns neither the samples nor the moment.
    Other,
}

impl Hold {
    /// What to change, as a text for the log and the page.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Unauthorized => {
                "the receiver refuses the credentials: correct basic_auth or authorization"
            }
            Self::Forbidden => {
                "the receiver does not permit writing: correct the credentials, their permissions or the tenant"
            }
            Self::NoReceiver => {
                "nothing receives remote write at this URL: correct url, or switch the receiver on (Prometheus: --web.enable-remote-write-receiver)"
            }
            Self::Redirect => {
                "the receiver redirects, which is not followed: give the final URL as url"
            }
            Self::Protocol => {
                "the receiver does not support this version of remote write: set protocol to auto, or to the other version"
            }
            Self::NoVersion => {
                "the receiver supports neither version of remote write at this URL: correct url"
            }
            Self::TooLarge => {
                "the receiver, or a proxy before it, refuses requests with one sample as too large: raise its limit"
            }
            Self::Files => {
                "a file of the destination cannot be used: correct its path, its permissions or its content"
            }
            Self::Other => {
                "the receiver refuses every request: see its message, and correct the settings of the destination"
            }
        }
    }
}

/// Classifies an answer to a request of a version of the protocol.
#[must_use]
pub fn classify(answer: &Answer<'_>, protocol: Protocol) -> Class {
    let (status, retry_after, written, body) = match *answer {
        Answer::Response {
            status,
            retry_after,
            written,
            body,
        } => (status, retry_after, written, body),
        Answer::Unreachable => return retry(None, false),
        Answer::Ambiguous => return retry(None, true),
    };
    match status {
        202 => Class::NotStored,
        // 2.0 requires the header, so its absence shows that the body was not understood, as by VictoriaMetrics.
        200..=299 if protocol == Protocol::V2 && written.is_none() => Class::Unsupported,
        200..=299 => Class::Done,
        400 if protocol == Protocol::V2 && is_unsupported(body) => Class::Unsupported,
        400 | 409 | 422 => time_reason(body).map_or(Class::Bad, Class::Time),
        413 => Class::TooLarge,
        415 => Class::Unsupported,
        // Prometheus before 2.50.
        500 if let Some(reason) = old_time_reason(body) => Class::Time(reason),
        501 => Class::Hold(Hold::NoReceiver),
        429 | 529 => Class::Retry {
            after: retry_after,
            is_throttled: true,
            is_failure: status == 529,
            is_ambiguous: false,
        },
        408 | 425 => retry(retry_after, status == 408),
        500.. => Class::Retry {
            after: retry_after,
            is_throttled: false,
            is_failure: true,
            // A proxy lost the answer of the receiver behind it.
            is_ambiguous: matches!(status, 502 | 504),
        },
        401 => Class::Hold(Hold::Unauthorized),
        403 => Class::Hold(Hold::Forbidden),
        404 | 405 | 410 => Class::Hold(Hold::NoReceiver),
        300..=399 => Class::Hold(Hold::Redirect),
        _ => Class::Hold(Hold::Other),
    }
}

fn retry(after: Option<Duration>, is_ambiguous: bool) -> Class {
    Class::Retry {
        after,
        is_throttled: false,
        is_failure: false,
        is_ambiguous,
    }
}

/// Whether a refusal is about the version of the protocol.
pub(super) fn is_unsupported(body: &str) -> bool {
    normalised(body).contains("unsupported")
}

/// Lower case, with a blank for `-` and `_`: Mimir's error codes are spelled `out-of-order`.
fn normalised(body: &str) -> String {
    body.to_ascii_lowercase().replace(['-', '_'], " ")
}

/// The reason of time in a refusal, in the words of Prometheus, Mimir, Cortex and Thanos.
fn time_reason(body: &str) -> Option<TimeReason> {
    let body = normalised(body);
    let has = |text: &str| body.contains(text);
    // The order or the repetition of labels is no matter of time.
    if has("order label") || has("duplicate label") || has("label name duplicate") {
        return None;
    }
    [
        ("out of order", TimeReason::OutOfOrder),
        ("duplicate", TimeReason::Duplicate),
        ("repeated timestamp", TimeReason::Duplicate),
        ("too old", TimeReason::TooOld),
        ("out of bounds", TimeReason::OutOfBounds),
        ("too far in", TimeReason::OutOfBounds),
        ("timestamp too new", TimeReason::OutOfBounds),
    ]
    .into_iter()
    .find_map(|(text, reason)| has(text).then_some(reason))
}

/// The reason of time in an answer 500.
fn old_time_reason(body: &str) -> Option<TimeReason> {
    let body = normalised(body);
    if body.contains("too old sample") {
        return Some(TimeReason::TooOld);
    }
    body.contains("not unique").then_some(TimeReason::Duplicate)
}

/// The beginning of an answer for the log, on one line and without control characters.
#[must_use]
pub fn excerpt(body: &str) -> String {
    // Bodies are cut where a part of a secret may be left, which is not recognised as one. Only what is far from there is shown.
    let begin = body.char_indices().take_while(|(at, _)| *at < SHOWN);
    let begin: String = begin.map(|(_, character)| character).collect();
    let mut excerpt = String::new();
    for character in begin.trim().chars().take(EXCERPT) {
        match character {
            // Harmless, and frequent in JSON.
            '"' | '\'' | '\\' => excerpt.push(character),
            _ => excerpt.extend(character.escape_debug()),
        }
    }
    excerpt
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> Answer<'_> {
        Answer::Response {
            status,
            retry_after: None,
            written: Some(1),
            body,
        }
    }

    const fn later(is_throttled: bool, is_failure: bool, is_ambiguous: bool) -> Class {
        Class::Retry {
            after: None,
            is_throttled,
            is_failure,
            is_ambiguous,
        }
    }

    #[test]
    fn each_status_has_a_class() {
        for (status, expected) in [
            (200, Class::Done),
            (202, Class::NotStored),
            (204, Class::Done),
            (301, Class::Hold(Hold::Redirect)),
            (304, Class::Hold(Hold::Redirect)),
            (308, Class::Hold(Hold::Redirect)),
            (400, Class::Bad),
            (401, Class::Hold(Hold::Unauthorized)),
            (402, Class::Hold(Hold::Other)),
            (403, Class::Hold(Hold::Forbidden)),
            (404, Class::Hold(Hold::NoReceiver)),
            (405, Class::Hold(Hold::NoReceiver)),
            (407, Class::Hold(Hold::Other)),
            (408, later(false, false, true)),
            (409, Class::Bad),
            (410, Class::Hold(Hold::NoReceiver)),
            (413, Class::TooLarge),
            (415, Class::Unsupported),
            (418, Class::Hold(Hold::Other)),
            (422, Class::Bad),
            (425, later(false, false, false)),
            (429, later(true, false, false)),
            (500, later(false, true, false)),
            (501, Class::Hold(Hold::NoReceiver)),
            (502, later(false, true, true)),
            (503, later(false, true, false)),
            (504, later(false, true, true)),
            (529, later(true, true, false)),
            (599, later(false, true, false)),
        ] {
            for protocol in [Protocol::V1, Protocol::V2] {
                let class = classify(&response(status, "some text"), protocol);
                assert_eq!(class, expected, "{status} {protocol:?}");
            }
        }
        for protocol in [Protocol::V1, Protocol::V2] {
            let class = classify(&Answer::Unreachable, protocol);
            assert_eq!(class, later(false, false, false));
            let class = classify(&Answer::Ambiguous, protocol);
            assert_eq!(class, later(false, false, true));
        }
    }

    #[test]
    fn a_success_without_the_header_of_version_2_is_none() {
        for (status, written, protocol, expected) in [
            (204, None, Protocol::V2, Class::Unsupported),
            (200, None, Protocol::V2, Class::Unsupported),
            (204, Some(0), Protocol::V2, Class::Done),
            (204, None, Protocol::V1, Class::Done),
            (202, None, Protocol::V2, Class::NotStored),
        ] {
            let answer = Answer::Response {
                status,
                retry_after: None,
                written,
                body: "",
            };
            assert_eq!(
                classify(&answer, protocol),
                expected,
                "{status} {written:?}"
            );
        }
    }

    #[test]
    fn refusals_about_time_are_those_of_the_known_receivers() {
        use TimeReason::{Duplicate, OutOfBounds, OutOfOrder, TooOld};
        for (status, body, expected) in [
            (400, "out of order sample", Some(OutOfOrder)),
            (400, "duplicate sample for timestamp", Some(Duplicate)),
            (400, "too old sample", Some(TooOld)),
            (400, "out of bounds", Some(OutOfBounds)),
            (
                409,
                "store locally: conflict: out of order sample",
                Some(OutOfOrder),
            ),
            (422, "Out Of Order", Some(OutOfOrder)),
            (
                400,
                "a more recent timestamp has already been ingested (err-mimir-sample-out-of-order)",
                Some(OutOfOrder),
            ),
            (400, "err-mimir-sample-duplicate-timestamp", Some(Duplicate)),
            (400, "err-mimir-sample-timestamp-too-old", Some(TooOld)),
            (400, "err-mimir-too-far-in-future", Some(OutOfBounds)),
            (
                400,
                "sample with repeated timestamp but different value",
                Some(Duplicate),
            ),
            (400, "out of order labels", None),
            (400, "err-mimir-duplicate-label-names", None),
            (400, "label value too long", None),
            (409, "", None),
            (500, "too old sample", Some(TooOld)),
            (500, "series is not unique", Some(Duplicate)),
            (500, "out of order sample", None),
            (503, "too old sample", None),
        ] {
            let class = classify(&response(status, body), Protocol::V1);
            let reason = match class {
                Class::Time(reason) => Some(reason),
                _ => None,
            };
            assert_eq!(reason, expected, "{status} {body}: {class:?}");
        }
    }

    #[test]
    fn unsupported_is_a_matter_of_version_2() {
        let answer = response(400, "Unsupported content type");
        assert_eq!(classify(&answer, Protocol::V2), Class::Unsupported);
        assert_eq!(classify(&answer, Protocol::V1), Class::Bad);
    }

    #[test]
    fn excerpts_are_short_and_printable() {
        assert_eq!(excerpt(" a\nb\u{1b}[1m \n"), "a\\nb\\u{1b}[1m");
        assert_eq!(excerpt(r#"{"a":"b\n'"}"#), r#"{"a":"b\n'"}"#);
        let longest = excerpt(&"\u{e000}".repeat(1000));
        assert_eq!(longest.len(), EXCERPT * "\\u{e000}".len());
        assert_eq!(excerpt(""), "");
        let late = format!("{}secret", " ".repeat(SHOWN));
        assert_eq!(excerpt(&late), "");
    }
}
