//! Parses the texts of settings: pure functions, whose errors give a reason if it helps.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use regex_lite::Regex;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use url::{Host, Url};

use super::error::quoted;
use super::table::Reason;
use crate::remote_write::duration;
use crate::telemetry::fields::anchored;

/// A switch, in any usual spelling and case.
pub(super) fn switch(text: &str) -> Result<bool, Reason> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(""),
    }
}

/// A number of bytes, at least 1 MiB: a whole number, with or without a binary unit.
pub(super) fn bytes(text: &str) -> Result<u64, Reason> {
    const UNITS: [(&str, u64); 4] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
    ];
    let unit = UNITS.iter().find_map(|(unit, factor)| {
        let number = text.strip_suffix(unit)?;
        Some((number.trim_end(), *factor))
    });
    let (number, factor) = unit.unwrap_or((text, 1));
    let number: u64 = number.parse().map_err(|_| "")?;
    let bytes = number.checked_mul(factor).ok_or("")?;
    match bytes < 1 << 20 {
        true => Err("(it is less than 1MiB)"),
        false => Ok(bytes),
    }
}

/// A duration in the notation of Prometheus, from a second to ten years.
pub(super) fn age(text: &str) -> Result<Duration, Reason> {
    const LONGEST: u64 = 10 * 365 * 86_400;
    let age = duration(text).ok_or("")?;
    match (1..=LONGEST).contains(&age.as_secs()) {
        true => Ok(age),
        false => Err(""),
    }
}

/// An IP address; an IPv6 address may be in brackets, as in a URL.
pub(super) fn address(text: &str) -> Result<IpAddr, Reason> {
    let bracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(inner) => inner.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| ""),
        None => text
            .parse()
            .map_err(|_| "(host names and ports are not allowed)"),
    }
}

/// An absolute http or https URL without credentials, query and fragment.
pub(super) fn url(text: &str) -> Result<Url, Reason> {
    // The parser would drop some of them silently.
    if text.chars().any(char::is_control) {
        return Err("(it contains a control character)");
    }
    let url = Url::parse(text).map_err(|_| "(it is not an absolute URL)")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("(its scheme is not http or https)");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("(it contains a user name or a password)");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("(it contains a query or a fragment)");
    }
    Ok(url)
}

/// A URL as in [`url`] to which secrets can be sent safely: https, or http on this machine.
pub(super) fn api_url(text: &str, is_insecure: bool) -> Result<Url, Reason> {
    let url = url(text)?;
    let is_here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if url.scheme() == "http" && !is_here && !is_insecure {
        return Err(
            "(with plain http the credentials can be intercepted: use https, or set ALLOW_INSECURE_API=true)",
        );
    }
    Ok(url)
}

/// A URL as in [`api_url`] whose host is not the one that Starlink has retired.
pub(super) fn token_url(text: &str, is_insecure: bool) -> Result<Url, Reason> {
    let url = api_url(text, is_insecure)?;
    let host = url.host_str().unwrap_or_default();
    if host.trim_end_matches('.') == "web-api.starlink.com" {
        return Err(
            "(web-api.starlink.com no longer exists: Starlink's API is at https://starlink.com/api/public)",
        );
    }
    Ok(url)
}

/// The base URL of the API. A version, the path of the stream or of tokens, and slashes at its end are removed.
pub(super) fn base_url(text: &str, is_insecure: bool) -> Result<Url, Reason> {
    const NOT_BASE: [&str; 4] = [
        "/v2/telemetry/stream",
        "/v2/telemetry",
        "/v2",
        "/auth/connect/token",
    ];
    let mut url = token_url(text, is_insecure)?;
    let segments = url.path().split('/').filter(|segment| !segment.is_empty());
    let path: String = segments.map(|segment| format!("/{segment}")).collect();
    let lower = path.to_ascii_lowercase();
    let base = NOT_BASE.iter().find_map(|rest| lower.strip_suffix(rest));
    let base = &path[..base.map_or(path.len(), str::len)];
    if base
        .to_ascii_lowercase()
        .split('/')
        .any(|segment| segment == "v1")
    {
        return Err(
            "(version 1 of the API no longer exists: give the URL without it, such as https://starlink.com/api/public)",
        );
    }
    url.set_path(base);
    Ok(url)
}

/// The part of an invalid URL that may be shown, quoted; `None` if there is no such part. The text may contain a password before an `@`,
/// and keys after a `?`.
pub(super) fn shown_url(text: &str) -> Option<String> {
    if text.contains('@') {
        return None;
    }
    match text.split_once(['?', '#']) {
        Some((head, _)) => Some(format!("{}…", quoted(head))),
        None => Some(quoted(text)),
    }
}

/// Regular expressions for whole names, separated by commas; commas within brackets or braces belong to the expression.
pub(super) fn expressions(text: &str) -> Result<Vec<Regex>, Reason> {
    let mut expressions = Vec::new();
    for expression in separated(text) {
        let expression = expression.trim();
        if expression.is_empty() {
            continue;
        }
        let expression = anchored(expression)
            .map_err(|_| "(one of them is not a valid regular expression, or is too large)")?;
        expressions.push(expression);
    }
    Ok(expressions)
}

/// The parts of a list of regular expressions.
fn separated(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut depth, mut is_escaped) = (Vec::new(), 0, 0_usize, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => {}
            '[' | '{' | '(' => depth += 1,
            ']' | '}' | ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    parts.push(&text[begin..]);
    parts
}

/// Directives that `tracing_subscriber` understands.
pub(super) fn log_filter(text: &str) -> Result<String, Reason> {
    // The filter would interpret any other word as the name of a target, and drop all other lines.
    let is_bare = |directive: &str| !directive.contains(['=', '[', ':']);
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    let mut bare = text.split(',').filter(|directive| is_bare(directive));
    if !bare.all(|word| is_level(word.trim())) {
        return Err("(a single word must be a level: off, error, warn, info, debug or trace)");
    }
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_separated_by_commas() {
        for (text, expected) in [
            ("", Ok(vec![])),
            ("Uptime", Ok(vec!["^(?:Uptime)$"])),
            (" A , B.*,,", Ok(vec!["^(?:A)$", "^(?:B.*)$"])),
            (
                "A{1,2},[,x](a,b)",
                Ok(vec!["^(?:A{1,2})$", "^(?:[,x](a,b))$"]),
            ),
            (r"a\[,b", Ok(vec![r"^(?:a\[)$", "^(?:b)$"])),
            (
                "A,(",
                Err("(one of them is not a valid regular expression, or is too large)"),
            ),
            (
                "*",
                Err("(one of them is not a valid regular expression, or is too large)"),
            ),
        ] {
            let read = expressions(text);
            let read = read
                .as_ref()
                .map(|all| all.iter().map(Regex::as_str).collect());
            assert_eq!(
                read,
                expected.as_ref().cloned().map_err(
                    |_| &"(one of them is not a valid regular expression, or is too large)"
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn switches_have_eight_words_in_any_case() {
        for (text, expected) in [
            ("true", Ok(true)),
            ("1", Ok(true)),
            ("Yes", Ok(true)),
            ("ON", Ok(true)),
            ("FALSE", Ok(false)),
            ("0", Ok(false)),
            ("no", Ok(false)),
            ("off", Ok(false)),
            ("2", Err("")),
            ("enabled", Err("")),
        ] {
            assert_eq!(switch(text), expected, "{text}");
        }
    }

    #[test]
    fn bytes_have_binary_units() {
        for (text, expected) in [
            ("10GiB", Some(10 << 30)),
            ("10 GiB", Some(10 << 30)),
            ("1048576", Some(1 << 20)),
            ("1TiB", Some(1 << 40)),
            ("1024KiB", Some(1 << 20)),
            ("1048575", None),
            ("0", None),
            ("10GB", None),
            ("10gib", None),
            ("1.5GiB", None),
            ("-1GiB", None),
            ("GiB", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn ages_are_durations_of_at_least_a_second() {
        for (text, seconds) in [
            ("24h", Some(86_400)),
            ("2d12h", Some(216_000)),
            ("1s", Some(1)),
            ("10y", Some(315_360_000)),
            ("999ms", None),
            ("0", None),
            ("24", None),
            ("11y", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(age(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn addresses_are_ipv4_or_ipv6() {
        for (text, expected) in [
            ("127.0.0.1", Some("127.0.0.1")),
            ("::1", Some("::1")),
            ("[::]", Some("::")),
            ("[127.0.0.1]", None),
            ("[::1", None),
            ("localhost", None),
            ("127.0.0.1:9100", None),
        ] {
            let parsed = address(text).ok().map(|address| address.to_string());
            assert_eq!(parsed.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn urls_are_absolute_and_plain() {
        for (text, accepted) in [
            ("https://starlink.com/api/public", true),
            ("HTTP://[::1]:8080/", true),
            ("http://127.0.0.1:1", true),
            ("starlink.com/api", false),
            ("/api/public", false),
            ("ftp://starlink.com/", false),
            ("https://", false),
            ("https://user@starlink.com/", false),
            ("https://:pass@starlink.com/", false),
            ("https://starlink.com/?", false),
            ("https://starlink.com/#", false),
            ("https://star\tlink.com/", false),
            ("https://starlink.com/\u{1b}[31m", false),
            ("https://starlink.com/\u{7f}", false),
        ] {
            assert_eq!(url(text).is_ok(), accepted, "{text}");
        }
    }

    #[test]
    fn base_urls_end_before_the_version() {
        let base = "https://starlink.com/api/public";
        for (text, expected) in [
            ("https://starlink.com/api/public", Ok(base)),
            ("https://starlink.com/api/public/", Ok(base)),
            ("https://starlink.com//api/public///", Ok(base)),
            ("https://starlink.com/api/public/v2", Ok(base)),
            ("https://starlink.com/api/public//V2/", Ok(base)),
            (
                "https://starlink.com/api/public/v2/telemetry/stream",
                Ok(base),
            ),
            ("https://starlink.com/api/public/v2/telemetry/", Ok(base)),
            (
                "https://starlink.com/api/public/auth/connect/token",
                Ok(base),
            ),
            ("https://STARLINK.com:443/api/public/v2", Ok(base)),
            ("http://127.0.0.1:1/v2", Ok("http://127.0.0.1:1/")),
            ("http://127.0.0.1:1", Ok("http://127.0.0.1:1/")),
            (
                "https://proxy.example/v2/starlink",
                Ok("https://proxy.example/v2/starlink"),
            ),
            (
                "https://proxy.example/revv2",
                Ok("https://proxy.example/revv2"),
            ),
            (
                "https://web-api.starlink.com",
                Err("https://starlink.com/api/public"),
            ),
            (
                "https://WEB-API.starlink.com./api/v2",
                Err("https://starlink.com/api/public"),
            ),
            ("https://starlink.com/api/public/v1", Err("version 1")),
            (
                "https://starlink.com/api/public/v1/telemetry/stream",
                Err("version 1"),
            ),
            ("https://starlink.com/api/public/v2?x=y", Err("query")),
            ("https://user@starlink.com/api/public/v2", Err("user name")),
        ] {
            match (base_url(text, false), expected) {
                (Ok(url), Ok(expected)) => assert_eq!(url.as_str(), expected, "{text}"),
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{text}: {reason}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for (text, is_safe) in [
            ("https://starlink.com/api/public", true),
            ("http://127.0.0.1:1/", true),
            ("http://127.1.2.3/", true),
            ("http://[::1]:8080", true),
            ("http://localhost:8080/x", true),
            ("http://localhost.example/", false),
            ("http://starlink.com/api/public", false),
            ("http://10.0.0.1/", false),
            ("http://0.0.0.0/", false),
        ] {
            assert_eq!(api_url(text, false).is_ok(), is_safe, "{text}");
            assert!(api_url(text, true).is_ok(), "{text}");
        }
    }

    #[test]
    fn shown_urls_contain_no_secret() {
        for (text, expected) in [
            ("ftp://h/", Some("\"ftp://h/\"")),
            ("https://h/?key=needle", Some("\"https://h/\"…")),
            ("https://h/#needle", Some("\"https://h/\"…")),
            ("https://user:needle@h/", None),
            ("user:needle@", None),
        ] {
            assert_eq!(shown_url(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn log_filters_are_directives() {
        for (text, accepted) in [
            ("info", true),
            ("warn,awc=debug", true),
            ("off", true),
            ("inof", false),
            ("info,awc", false),
            ("info,starlink_telemetry::actors", true),
            ("awc=loud", false),
            ("info,,=", false),
        ] {
            assert_eq!(log_filter(text).is_ok(), accepted, "{text}");
        }
    }
}
