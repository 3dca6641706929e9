//! Encodes the bodies of requests, and parses token responses, error responses and headers.

use super::error::{BodyError, TokenError};
use super::token::Token;
use crate::outgoing;
use crate::redaction::Redactor;
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;
use std::{
    io::Read,
    time::{Duration, SystemTime},
};
use url::Url;

/// The lifetime of a token whose response has no valid `expires_in`.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(900);

/// The longest lifetime of a token. Starlink's tokens are valid for 15 minutes; the limit keeps absurd
/// values out of the calculation of times.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest wait that `Retry-After` can cause.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);

/// The longest API message in errors and logs, in characters.
const MAX_MESSAGE: usize = 200;

/// The form fields of a token request.
#[derive(Serialize)]
pub(super) struct TokenRequest<'a> {
    pub client_id: &'a str,
    pub client_secret: &'a str,
    pub grant_type: &'static str,
}

/// The JSON body of a poll. The API rejects other members.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PollRequest {
    pub batch_size: u32,
    pub max_linger_ms: u128,
}

/// Parses the response to a token request: `{"access_token": "…", "expires_in": 900, …}`.
pub(super) fn parse_token(body: &[u8]) -> Result<Token, TokenError> {
    let answer: Value = serde_json::from_slice(body).map_err(|_| {
        TokenError::Malformed(match body.trim_ascii_start().first() {
            Some(b'<') => "it looks like a web page",
            _ => "it is not JSON",
        })
    })?;
    let bearer = answer
        .get("access_token")
        .and_then(Value::as_str)
        .filter(|token| !token.is_empty())
        .ok_or(TokenError::Malformed("access_token is absent or empty"))?;
    if !bearer.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(TokenError::Malformed("access_token is not plain ASCII"));
    }
    let lifetime = answer
        .get("expires_in")
        .and_then(Value::as_u64)
        .filter(|seconds| *seconds >= 1)
        .map_or(DEFAULT_LIFETIME, Duration::from_secs);
    Ok(Token {
        bearer: SecretString::from(bearer),
        lifetime: lifetime.min(MAX_LIFETIME),
    })
}

/// The message of an error body: the `errorMessage`s of the API joined with `"; "`, else the `error` and
/// `error_description` of OAuth (RFC 6749, section 5.2), else empty. Secrets, which it may echo, are removed.
pub(super) fn error_message(body: &[u8], redactor: &Redactor) -> String {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        return String::new();
    };
    let messages: Vec<&str> = answer
        .get("errors")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|error| error.get("errorMessage")?.as_str())
        .collect();
    let mut message = if messages.is_empty() {
        let text = |key| answer.get(key).and_then(Value::as_str);
        let parts = [text("error"), text("error_description")];
        let parts = parts.into_iter().flatten().filter(|text| !text.is_empty());
        parts.collect::<Vec<_>>().join(": ")
    } else {
        messages.join("; ")
    };
    message.retain(|character| !character.is_control());
    redactor
        .redact(&message)
        .chars()
        .take(MAX_MESSAGE)
        .collect()
}

/// Whether an error body is an OAuth error (RFC 6749, section 5.2): `{"error": "invalid_client", …}`. Only a token endpoint sends
/// one.
pub(super) fn is_oauth_error(body: &[u8]) -> bool {
    let answer = serde_json::from_slice::<Value>(body);
    answer.is_ok_and(|answer| answer.get("error").is_some_and(Value::is_string))
}

/// The message about a redirect, which is not followed: the scheme and the host of its target. The rest of the URL is left out,
/// because it may contain a token or a password.
pub(super) fn redirect_message(location: &str, redactor: &Redactor) -> String {
    const HERE: &str = "https://here.invalid/";
    let target = Url::parse(HERE).and_then(|here| here.join(location));
    let message = match target {
        Ok(url) if url.as_str().starts_with(HERE) => {
            "redirect to another path of this host".to_owned()
        }
        Ok(url) => match url.host_str() {
            Some(host) => format!(
                "redirect to {}://{}",
                url.scheme(),
                as_spelled(host, location)
            ),
            None => format!("redirect to a URL of the scheme {}", url.scheme()),
        },
        Err(_) => "redirect to an invalid URL".to_owned(),
    };
    redactor
        .redact(&message)
        .chars()
        .take(MAX_MESSAGE)
        .collect()
}

/// The host of a URL in its original case. `Url` converts it to lower case, in which a secret would not be found.
fn as_spelled<'t>(host: &'t str, location: &'t str) -> &'t str {
    let place = location.to_ascii_lowercase().find(host);
    let spelled = place.and_then(|place| location.get(place..place + host.len()));
    spelled.unwrap_or(host)
}

/// The wait in `Retry-After`, which is limited.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let wait = outgoing::retry_after(value, now)?;
    Some(wait.min(MAX_RETRY_AFTER))
}

/// The largest ratio of the decompressed to the compressed length. It is about ten for telemetry; gzip allows a thousand.
const MAX_EXPANSION: usize = 256;

/// This many decompressed bytes are allowed at any ratio.
const FREE_EXPANSION: usize = 1024 * 1024;

/// Decodes the content encoding: none or gzip, which must be complete. Returns at most `limit` bytes, and limits the ratio of
/// expansion.
pub(super) fn decompress(
    raw: Bytes,
    encoding: Option<&[u8]>,
    limit: usize,
) -> Result<Bytes, BodyError> {
    let encoding = encoding.unwrap_or_default().trim_ascii();
    if encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity") {
        return Ok(raw);
    }
    if !encoding.eq_ignore_ascii_case(b"gzip") && !encoding.eq_ignore_ascii_case(b"x-gzip") {
        return Err(BodyError::Encoding);
    }
    let limit = limit.min(raw.len().saturating_mul(MAX_EXPANSION).max(FREE_EXPANSION));
    let mut body = Vec::new();
    MultiGzDecoder::new(raw.as_ref())
        // One byte beyond the limit detects a longer body.
        .take((limit as u64).saturating_add(1))
        .read_to_end(&mut body)
        .map_err(BodyError::Gzip)?;
    if body.len() > limit {
        return Err(BodyError::TooLarge { limit });
    }
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use secrecy::ExposeSecret;
    use std::io::Write;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_expansion_of_gzip_is_limited() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![0; 32 * 1024 * 1024]).unwrap();
        let bomb = Bytes::from(encoder.finish().unwrap());
        let most = bomb.len() * MAX_EXPANSION;
        assert!(most < 32 * 1024 * 1024, "{most}");
        let error = decompress(bomb, Some(b"gzip"), 64 * 1024 * 1024).unwrap_err();
        assert!(
            matches!(error, BodyError::TooLarge { limit } if limit == most),
            "{error}"
        );
        let small = Bytes::from(gzip(&vec![0; FREE_EXPANSION]));
        assert_eq!(
            decompress(small, Some(b"gzip"), usize::MAX).unwrap().len(),
            FREE_EXPANSION
        );
    }

    #[test]
    fn tokens_are_parsed_with_their_lifetime() {
        let cases = [
            (
                r#"{"access_token":"a.b-c_d","expires_in":60,"token_type":"Bearer"}"#,
                Some(60),
            ),
            (r#"{"access_token":"t"}"#, Some(900)),
            (r#"{"access_token":"t","expires_in":1}"#, Some(1)),
            (r#"{"access_token":"t","expires_in":0}"#, Some(900)),
            (r#"{"access_token":"t","expires_in":-5}"#, Some(900)),
            (r#"{"access_token":"t","expires_in":null}"#, Some(900)),
            (r#"{"access_token":"t","expires_in":"60"}"#, Some(900)),
            (r#"{"access_token":"t","expires_in":60.5}"#, Some(900)),
            (
                r#"{"access_token":"t","expires_in":18446744073709551615}"#,
                Some(86_400),
            ),
            (r#"{"access_token":"t","expires_in":1e300}"#, Some(900)),
            (r#"{"access_token":""}"#, None),
            (r#"{"access_token":" "}"#, None),
            (r#"{"access_token":"a\r\nX-Evil: 1"}"#, None),
            (r#"{"access_token":"é"}"#, None),
            (r#"{"access_token":7}"#, None),
            (r#"{"expires_in":900}"#, None),
            (r#"["t"]"#, None),
            ("<html></html>", None),
            ("", None),
        ];
        for (body, expected) in cases {
            let token = parse_token(body.as_bytes());
            let lifetime = token.as_ref().ok().map(|token| token.lifetime);
            assert_eq!(lifetime, expected.map(Duration::from_secs), "{body}");
        }
        let token = parse_token(br#"{"access_token":"a.b-c_d"}"#).unwrap();
        assert_eq!(token.bearer.expose_secret(), "a.b-c_d");
        assert!(!format!("{token:?}").contains("a.b-c_d"));
    }

    #[test]
    fn requests_have_only_the_documented_members() {
        let poll = PollRequest {
            batch_size: 1000,
            max_linger_ms: Duration::from_secs(15).as_millis(),
        };
        assert_eq!(
            serde_json::to_string(&poll).unwrap(),
            r#"{"batchSize":1000,"maxLingerMs":15000}"#
        );
    }

    #[test]
    fn messages_are_cut_and_cleaned() {
        let long = format!(r#"{{"errors":[{{"errorMessage":"{}"}}]}}"#, "é".repeat(300));
        let cases = [
            (
                r#"{"error":"invalid_client","error_description":"Client secret has expired"}"#,
                "invalid_client: Client secret has expired".to_owned(),
            ),
            (
                r#"{"error":"invalid_client","error_description":""}"#,
                "invalid_client".to_owned(),
            ),
            (
                r#"{"errors":[{"memberNames":[],"errorMessage":"No such account"}],"warnings":[],"isValid":false}"#,
                "No such account".to_owned(),
            ),
            (
                r#"{"errors":[{"errorMessage":"one"},{},7,{"errorMessage":null},{"errorMessage":"two"}]}"#,
                "one; two".to_owned(),
            ),
            (
                r#"{"errors":[{"errorMessage":"a\u0000b\r\nc\u001b[31md\u007f"}]}"#,
                "abc[31md".to_owned(),
            ),
            (
                r#"{"errors":[{"errorMessage":"bad token hunter2-hunter2, hun\u0000ter2"}]}"#,
                "bad token [redacted]-[redacted], [redacted]".to_owned(),
            ),
            (long.as_str(), "é".repeat(200)),
            (r#"{"error":"invalid_client"}"#, "invalid_client".to_owned()),
            (r#"{"errors":[],"error":7}"#, String::new()),
            (r#"{"errors":"no list"}"#, String::new()),
            ("<html>502 Bad Gateway</html>", String::new()),
            (r#"{"errors":[{"errorMessage":"cut"#, String::new()),
            ("null", String::new()),
            ("", String::new()),
        ];
        let redactor = Redactor::default();
        redactor.register(&SecretString::from("hunter2"));
        for (body, expected) in cases {
            let message = error_message(body.as_bytes(), &redactor);
            assert_eq!(message, expected, "{body}");
        }
    }

    #[test]
    fn a_redirect_is_reported_by_scheme_and_host_only() {
        let redactor = Redactor::default();
        redactor.register(&SecretString::from("hunter2-hunter2"));
        redactor.register(&SecretString::from("Hunter3-HUNTER3"));
        let long = format!("https://{}.example/", "a".repeat(300));
        for (location, expected) in [
            (
                "https://example.com/login?token=t#f",
                "redirect to https://example.com",
            ),
            (
                "http://user:word@192.0.2.1:8080/x",
                "redirect to http://192.0.2.1",
            ),
            (
                "https://[2001:db8::1]/",
                "redirect to https://[2001:db8::1]",
            ),
            ("//other.example/x", "redirect to https://other.example"),
            ("/api/v3?x=y", "redirect to another path of this host"),
            ("../x", "redirect to another path of this host"),
            ("", "redirect to another path of this host"),
            ("mailto:a@b", "redirect to a URL of the scheme mailto"),
            ("https://", "redirect to an invalid URL"),
            (
                "https://hunter2-hunter2.example/",
                "redirect to https://[redacted].example",
            ),
            (
                "https://Hunter3-HUNTER3.example/",
                "redirect to https://[redacted].example",
            ),
            ("https://EXAMPLE.com", "redirect to https://EXAMPLE.com"),
        ] {
            assert_eq!(
                redirect_message(location, &redactor),
                expected,
                "{location}"
            );
        }
        assert_eq!(
            redirect_message(&long, &redactor).chars().count(),
            MAX_MESSAGE
        );
    }

    #[test]
    fn errors_of_oauth_are_recognised() {
        for (body, expected) in [
            (r#"{"error":"invalid_client"}"#, true),
            (r#"{"error":"x","error_description":"y"}"#, true),
            (r#"{"error":7}"#, false),
            (r#"{"errors":[{"errorMessage":"x"}]}"#, false),
            ("<html>", false),
            ("", false),
        ] {
            assert_eq!(is_oauth_error(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn retry_after_takes_seconds_and_dates() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let cases = [
            ("0", Some(0)),
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("007", Some(7)),
            ("300", Some(300)),
            ("301", Some(300)),
            ("99999999999999999999999", Some(300)),
            ("Sun, 06 Nov 1994 08:50:00 GMT", Some(23)),
            ("Sunday, 06-Nov-94 08:50:00 GMT", Some(23)),
            ("Sun Nov  6 08:50:00 1994", Some(23)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("Mon, 07 Nov 1994 08:49:37 GMT", Some(300)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("soon", None),
            ("1994-11-06T08:50:00Z", None),
        ];
        for (value, expected) in cases {
            let expected = expected.map(Duration::from_secs);
            assert_eq!(retry_after(value, now), expected, "{value:?}");
        }
    }

    #[test]
    fn bodies_are_decompressed_up_to_the_limit() {
        let whole = gzip(b"0123456789");
        let members = [gzip(b"01234"), gzip(b"56789")].concat();
        let trailing = [gzip(b"0123456789"), b"junk".to_vec()].concat();
        // (raw, encoding, limit, expected)
        let cases: [(&[u8], _, _, _); 13] = [
            (b"0123456789", None, 10, Ok(())),
            (b"0123456789", Some(""), 10, Ok(())),
            (b"0123456789", Some("identity"), 10, Ok(())),
            (&whole, Some("gzip"), 10, Ok(())),
            (&whole, Some(" GZIP "), 10, Ok(())),
            (&whole, Some("x-gzip"), usize::MAX, Ok(())),
            (&members, Some("gzip"), 10, Ok(())),
            (&whole, Some("gzip"), 9, Err("TooLarge")),
            (&whole, Some("br"), 10, Err("Encoding")),
            (&whole, Some("gzip, gzip"), 10, Err("Encoding")),
            (&trailing, Some("gzip"), 10, Err("Gzip")),
            (b"0123456789", Some("gzip"), 10, Err("Gzip")),
            (b"", Some("gzip"), 10, Err("Gzip")),
        ];
        for (raw, encoding, limit, expected) in cases {
            let body = decompress(
                Bytes::copy_from_slice(raw),
                encoding.map(str::as_bytes),
                limit,
            );
            match expected {
                Ok(()) => assert_eq!(body.unwrap().as_ref(), b"0123456789", "{encoding:?}"),
                Err(expected) => {
                    let error = format!("{:?}", body.unwrap_err());
                    assert!(error.starts_with(expected), "{encoding:?}: {error}");
                }
            }
        }
    }

    #[test]
    fn a_truncated_gzip_stream_is_an_error() {
        let whole = gzip(br#"{"data":{"values":[]}}"#);
        for length in 0..whole.len() {
            let cut = Bytes::copy_from_slice(&whole[..length]);
            let error = decompress(cut, Some(b"gzip"), 1000).unwrap_err();
            assert!(matches!(error, BodyError::Gzip(_)), "{length}: {error}");
        }
    }

    proptest! {
        #[test]
        fn nothing_from_outside_panics(bytes in any::<Vec<u8>>(), text in any::<String>()) {
            let _ = parse_token(&bytes);
            let _ = decompress(bytes.clone().into(), Some(b"gzip"), 1000);
            prop_assert!(error_message(&bytes, &Redactor::default()).chars().count() <= MAX_MESSAGE);
            let wait = retry_after(&text, SystemTime::UNIX_EPOCH);
            prop_assert!(wait.is_none_or(|wait| wait <= MAX_RETRY_AFTER));
        }
    }
}
