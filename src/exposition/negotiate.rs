//! Chooses the text format of a scrape by the Accept header, the settings and the parameter `format`.

/// A format of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// The Prometheus text format 0.0.4.
    Prometheus,
    /// The text format 0.0.4, but with `starlink_info` in line protocol: for browsers, and for
    /// clients that request no known format.
    Mixed,
}

impl Format {
    /// Every format, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::OpenMetrics, Self::Prometheus, Self::Mixed];

    /// Its name in the label `format` and in the parameter `format`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenMetrics => "openmetrics",
            Self::Prometheus => "prometheus",
            Self::Mixed => "mixed",
        }
    }

    /// The Content-Type of a body in this format.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::Mixed => "text/plain; charset=utf-8",
        }
    }
}

/// The setting `INFO_FORMAT`: the format of `starlink_info`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InfoFormat {
    /// Chosen by the client's Accept header.
    #[default]
    Auto,
    /// Labels for every client: never [`Format::Mixed`].
    Labels,
    /// Line protocol for every client: always [`Format::Mixed`].
    LineProtocol,
}

impl InfoFormat {
    /// Every value, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Labels, Self::LineProtocol];

    /// Its value in the settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Labels => "labels",
            Self::LineProtocol => "line-protocol",
        }
    }
}

/// The parameter `format` has an unknown value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown format: it can be openmetrics, prometheus or mixed")]
pub struct UnknownFormat;

/// The format that the parameter `format` of a request selects. It takes precedence over [`negotiate`].
///
/// # Errors
/// [`UnknownFormat`] for anything but the three names.
pub fn requested(format_parameter: &str) -> Result<Format, UnknownFormat> {
    Format::ALL
        .into_iter()
        .find(|format| format.name() == format_parameter)
        .ok_or(UnknownFormat)
}

/// The format for a client that sends `accept` (several headers are joined by `", "`; `None` without the
/// header). Every header gives a format; invalid entries are ignored.
pub fn negotiate(accept: Option<&str>, info_format: InfoFormat) -> Format {
    match (info_format, by_accept(accept.unwrap_or_default())) {
        (InfoFormat::LineProtocol, _) => Format::Mixed,
        (InfoFormat::Labels, Format::Mixed) => Format::Prometheus,
        (InfoFormat::Auto | InfoFormat::Labels, format) => format,
    }
}

/// The format by the Accept header. Wildcards are ignored. A client that accepts only formats of scrapers that are not supported here is
/// still a scraper, and gets the text format, which all scrapers read.
fn by_accept(accept: &str) -> Format {
    let named: Vec<(Accepted, f32)> = split(accept, ',')
        .filter_map(parse_entry)
        .filter(|(_, q)| *q > 0.0)
        .collect();
    let best = |wanted: Accepted| {
        named
            .iter()
            .filter(|(accepted, _)| *accepted == wanted)
            .map(|(_, q)| *q)
            .reduce(f32::max)
    };
    match (best(Accepted::OpenMetrics), best(Accepted::Text)) {
        (Some(open_metrics), Some(text)) if text > open_metrics => Format::Prometheus,
        (Some(_), _) => Format::OpenMetrics,
        (None, Some(_)) => Format::Prometheus,
        (None, None) if best(Accepted::OtherScraperFormat).is_some() => Format::Prometheus,
        (None, None) => Format::Mixed,
    }
}

/// The format that an entry of Accept names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accepted {
    OpenMetrics,
    Text,
    OtherScraperFormat,
    Unknown,
}

/// Parses an entry of Accept (RFC 9110, section 12.5.1) with its weight q; `None` if it is malformed.
fn parse_entry(entry: &str) -> Option<(Accepted, f32)> {
    let mut parts = split(entry, ';');
    let media_type = trim(parts.next()?);
    if !is_media_type(media_type) {
        return None;
    }
    let mut q = 1.0;
    let mut version = None;
    for part in parts {
        // Parameters may be empty, and extensions may have no value; both are ignored.
        let Some((name, value)) = part.split_once('=') else {
            continue;
        };
        let value = unquote(trim(value))?;
        match trim(name).to_ascii_lowercase().as_str() {
            "q" => q = parse_q(&value)?,
            "version" => version = Some(value),
            _ => {}
        }
    }
    Some((accepted(media_type, version.as_deref()), q))
}

fn accepted(media_type: &str, version: Option<&str>) -> Accepted {
    match media_type.to_ascii_lowercase().as_str() {
        "application/openmetrics-text" if matches!(version, None | Some("1.0.0")) => {
            Accepted::OpenMetrics
        }
        "application/openmetrics-text" | "application/vnd.google.protobuf" => {
            Accepted::OtherScraperFormat
        }
        "text/plain" => Accepted::Text,
        _ => Accepted::Unknown,
    }
}

/// Splits at a separator, except within quoted strings.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character| {
        let separates = character == separator && !quoted;
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        separates
    })
}

/// Removes optional white space, which HTTP defines as spaces and tabs.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn is_media_type(text: &str) -> bool {
    text.split_once('/')
        .is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

/// A token of RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The value of a parameter, which is a token or a quoted string.
fn unquote(value: &str) -> Option<String> {
    let Some(rest) = value.strip_prefix('"') else {
        return is_token(value).then(|| value.to_owned());
    };
    let mut unquoted = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => break,
            '\\' => unquoted.push(characters.next()?),
            character => unquoted.push(character),
        }
    }
    characters.as_str().is_empty().then_some(unquoted)
}

/// Parses a weight from 0 to 1. More than the three decimals of HTTP are accepted.
fn parse_q(value: &str) -> Option<f32> {
    // `f32::from_str` also accepts signs, exponents, `inf` and `nan`.
    if !value
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return None;
    }
    value.parse().ok().filter(|q| (0.0..=1.0).contains(q))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_scrapers_get_the_format_that_they_prefer() {
        use Format::{Mixed, OpenMetrics, Prometheus};
        let cases = [
            // Prometheus 2.x
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            // Prometheus 2.x with native histograms
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            // Prometheus before OpenMetrics
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
                Prometheus,
            ),
            (
                "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Prometheus,
            ),
            // Prometheus 3, with and without native histograms
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                OpenMetrics,
            ),
            // VictoriaMetrics' vmagent, and Netdata
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", Prometheus),
            // Telegraf
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3",
                Prometheus,
            ),
            // Datadog: the agent's default, and its OpenMetrics check
            ("text/plain", Prometheus),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            // curl and wget
            ("*/*", Mixed),
            // Firefox and Chrome
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Mixed,
            ),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
                Mixed,
            ),
        ];
        check(&cases);
    }

    #[test]
    fn the_accept_header_selects_the_format() {
        use Format::{Mixed, OpenMetrics, Prometheus};
        let cases = [
            ("", Mixed),
            ("application/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text;version=1.0.0", OpenMetrics),
            (
                "application/openmetrics-text;version=\"1.0.0\"",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=\"1.\\0.0\"",
                OpenMetrics,
            ),
            (
                "APPLICATION/OpenMetrics-Text ; VERSION=1.0.0 ;\tQ=0.1",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;charset=utf-8",
                OpenMetrics,
            ),
            ("application/openmetrics-text;version=2.0.0", Prometheus),
            ("application/vnd.google.protobuf", Prometheus),
            ("application/vnd.google.protobuf;q=0", Mixed),
            ("application/vnd.google.protobuf, */*", Prometheus),
            ("text/plain;version=1.0.0", Prometheus),
            ("text/plain, text/html", Prometheus),
            ("text/html, text/plain;q=0.1", Prometheus),
            // The higher q wins
            ("text/plain, application/openmetrics-text", OpenMetrics),
            (
                "text/plain;q=0.5, application/openmetrics-text;q=0.5",
                OpenMetrics,
            ),
            (
                "text/plain;q=0.5, application/openmetrics-text;q=0.500",
                OpenMetrics,
            ),
            (
                "text/plain;q=0.501, application/openmetrics-text;q=0.5",
                Prometheus,
            ),
            (
                "text/plain;q=0.1, text/plain;q=0.9, application/openmetrics-text;q=0.5",
                Prometheus,
            ),
            // q=0 excludes
            ("text/plain;q=0", Mixed),
            ("text/plain;q=0.000", Mixed),
            (
                "text/plain;q=0, application/openmetrics-text;q=0.1",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text;q=0, text/plain;q=0.1",
                Prometheus,
            ),
            // Wildcards are ignored
            ("*/*;q=1, text/plain;q=0.1", Prometheus),
            ("*/*;q=1, application/openmetrics-text;q=0.1", OpenMetrics),
            ("text/*", Mixed),
            ("application/*, text/*;q=0.9", Mixed),
            // Commas, semicolons and quotes within quoted strings
            ("text/html;x=\"a,text/plain\"", Mixed),
            ("text/html;x=\"a\\\",text/plain\"", Mixed),
            ("text/html;x=\"a;b\", text/plain", Prometheus),
            ("text/plain;x=\";q=0\"", Prometheus),
            // Malformed entries are ignored
            (
                "text/plain;q=2, application/openmetrics-text;q=0.1",
                OpenMetrics,
            ),
            ("text/plain;q=-1", Mixed),
            ("text/plain;q=x", Mixed),
            ("text/plain;q=inf", Mixed),
            ("text/plain;q=", Mixed),
            ("text/plain;q=.", Mixed),
            ("text/plain;x=\"unterminated", Mixed),
            ("text/plain;x=\"a\"b", Mixed),
            ("text plain, application/openmetrics-text", OpenMetrics),
            ("plain, text/, /plain, a/b/c, text/plain", Prometheus),
            (",, ,text/plain,", Prometheus),
            ("text/plain;;x; ;", Prometheus),
            ("\u{0}\u{e9}\u{2028}/\u{1f600}", Mixed),
        ];
        check(&cases);
    }

    fn check(cases: &[(&str, Format)]) {
        for (accept, expected) in cases {
            assert_eq!(
                negotiate(Some(accept), InfoFormat::Auto),
                *expected,
                "{accept}"
            );
        }
    }

    #[test]
    fn the_setting_decides_between_labels_and_line_protocol() {
        use Format::{Mixed, OpenMetrics, Prometheus};
        let cases = [
            (None, [Mixed, Prometheus, Mixed]),
            (Some("*/*"), [Mixed, Prometheus, Mixed]),
            (Some("text/plain"), [Prometheus, Prometheus, Mixed]),
            (
                Some("application/openmetrics-text"),
                [OpenMetrics, OpenMetrics, Mixed],
            ),
        ];
        for (accept, expected) in cases {
            let formats = InfoFormat::ALL.map(|info_format| negotiate(accept, info_format));
            assert_eq!(formats, expected, "{accept:?}");
        }
    }

    #[test]
    fn the_parameter_selects_a_format_by_its_exact_name() {
        for format in Format::ALL {
            assert_eq!(requested(format.name()), Ok(format));
        }
        for unknown in ["", "json", "Mixed", "mixed ", "openmetrics-text"] {
            assert_eq!(requested(unknown), Err(UnknownFormat), "{unknown}");
        }
        let message = UnknownFormat.to_string();
        assert!(
            Format::ALL
                .iter()
                .all(|format| message.contains(format.name()))
        );
    }

    proptest! {
        #[test]
        fn any_accept_header_selects_a_format(accept in any::<String>()) {
            negotiate(Some(&accept), InfoFormat::Auto);
        }

        #[test]
        fn malformed_accept_headers_select_a_format(
            accept in r#"((text/plain|application/openmetrics-text|\*/\*|[a-z"\\]{0,3})(;(q|version|[a-z]?)=?("?[0-9.,;\\ ]{0,5}"?)){0,3},? ?){0,5}"#,
        ) {
            negotiate(Some(&accept), InfoFormat::Auto);
        }

        #[test]
        fn wildcards_alone_select_the_mixed_format(
            accept in r"(\*/\*|text/\*|application/\*)(;q=(0|1|0\.[0-9]{1,3}))?( ?, ?(\*/\*|text/\*|application/\*)(;q=(0|1|0\.[0-9]{1,3}))?){0,4}",
        ) {
            prop_assert_eq!(negotiate(Some(&accept), InfoFormat::Auto), Format::Mixed);
        }
    }
}
