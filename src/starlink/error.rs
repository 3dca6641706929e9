//! Errors of calling Starlink, and the closed lists of reasons for the metrics.
//!
//! Each message describes only its own level; the causes are in `source()`.

use std::{error::Error, fmt, io, time::Duration};

/// A source that is `Send`, because errors are sent between actors.
type Source = Box<dyn Error + Send + Sync>;

/// Why a poll failed: the label `reason` of `starlink_exporter_poll_failures_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PollFailure {
    /// There was no token to poll with.
    Token,
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 422.
    Unprocessable,
    /// 429.
    RateLimited,
    /// Any other 4xx.
    ClientError,
    /// 3xx. Redirects are not followed.
    Redirect,
    /// 5xx.
    ServerError,
    /// No connection: resolving, TCP, the proxy or TLS failed or took too long.
    Connect,
    /// The connection was lost before the answer was complete.
    Disconnected,
    /// The answer was not complete in time.
    Timeout,
    /// The answer is not a valid batch.
    Decode,
    /// The store did not accept the batch.
    StoreFailed,
}

impl PollFailure {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 14] = [
        Self::Token,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Unprocessable,
        Self::RateLimited,
        Self::ClientError,
        Self::Redirect,
        Self::ServerError,
        Self::Connect,
        Self::Disconnected,
        Self::Timeout,
        Self::Decode,
        Self::StoreFailed,
    ];

    /// The value of the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Unprocessable => "unprocessable",
            Self::RateLimited => "rate_limited",
            Self::ClientError => "client_error",
            Self::Redirect => "redirect",
            Self::ServerError => "server_error",
            Self::Connect => "connect",
            Self::Disconnected => "disconnected",
            Self::Timeout => "timeout",
            Self::Decode => "decode",
            Self::StoreFailed => "store_failed",
        }
    }

    /// The reason for a status other than 200. A status that is neither an error nor a redirect (such as
    /// 204) counts as an answer without a batch.
    const fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            422 => Self::Unprocessable,
            429 => Self::RateLimited,
            300..400 => Self::Redirect,
            400..500 => Self::ClientError,
            500..600 => Self::ServerError,
            _ => Self::Decode,
        }
    }
}

/// Why a token request failed: the label `reason` of
/// `starlink_exporter_token_request_failures_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenFailure {
    /// 400, 401 or 403: the credentials are not accepted.
    Refused,
    /// 404 or 405: there is no token endpoint at this address.
    NotFound,
    /// Any other status than 200.
    Status,
    /// No connection: resolving, TCP, the proxy or TLS failed or took too long.
    Connect,
    /// The connection was lost before the response was complete.
    Disconnected,
    /// The response was not complete in time.
    Timeout,
    /// The response does not contain a valid token.
    Malformed,
}

impl TokenFailure {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::NotFound,
        Self::Status,
        Self::Connect,
        Self::Disconnected,
        Self::Timeout,
        Self::Malformed,
    ];

    /// The value of the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::NotFound => "not_found",
            Self::Status => "status",
            Self::Connect => "connect",
            Self::Disconnected => "disconnected",
            Self::Timeout => "timeout",
            Self::Malformed => "malformed",
        }
    }

    const fn of_status(status: u16) -> Self {
        match status {
            400 | 401 | 403 => Self::Refused,
            404 | 405 => Self::NotFound,
            _ => Self::Status,
        }
    }
}

/// A response with a status other than 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorResponse {
    /// The HTTP status.
    pub status: u16,
    /// The message of its body: at most 200 characters, without control characters and without secrets of
    /// the process. Empty if the body is not an error of the API.
    pub message: String,
    /// Whether it is an OAuth error, which only a token endpoint sends.
    pub is_oauth: bool,
    /// The shortest wait before a retry, from `Retry-After` of a 429 or 503. At most 5 minutes.
    pub retry_after: Option<Duration>,
}

impl ErrorResponse {
    /// Whether the body is an error of the API. A firewall or a proxy answers with something else.
    pub const fn is_of_api(&self) -> bool {
        !self.is_oauth && !self.message.is_empty()
    }
}

impl fmt::Display for ErrorResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "status {}", self.status)?;
        if self.message.is_empty() {
            return Ok(());
        }
        write!(formatter, ": {}", self.message)
    }
}

/// What the client was waiting for at the time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The head of the answer.
    Head,
    /// The next byte of the body.
    NextByte,
    /// The end of the body.
    WholeBody,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Head => "the head of the answer",
            Self::NextByte => "the next byte of the body",
            Self::WholeBody => "the end of the body",
        })
    }
}

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is larger than the limit, before or after decompression.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The gzip stream is damaged or truncated.
    #[error("the gzip stream of the body is damaged or incomplete")]
    Gzip(#[source] io::Error),
    /// A Content-Encoding that was not requested.
    #[error("the body has a content encoding other than gzip")]
    Encoding,
    /// Neither a length nor chunks: in HTTP/1.1, awc treats such a body as empty.
    #[error("the body has neither a length nor chunks")]
    NoLength,
    /// The response is not valid HTTP.
    #[error("the answer is not valid HTTP")]
    NotHttp(#[source] Source),
}

/// Errors of any call.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection could be made.
    #[error("no connection")]
    Connect(#[source] Source),
    /// The connection was lost before the response was complete.
    #[error("the connection was lost")]
    Disconnected(#[source] Source),
    /// A time limit was exceeded.
    #[error("timed out while waiting for {0}")]
    Timeout(Stage),
    /// The response cannot be read.
    #[error("the answer cannot be read")]
    Body(#[source] BodyError),
    /// A status other than 200.
    #[error("answered with {0}")]
    Status(ErrorResponse),
}

impl CallError {
    /// The error response, if Starlink answered with a status other than 200.
    pub const fn answer(&self) -> Option<&ErrorResponse> {
        match self {
            Self::Status(answer) => Some(answer),
            _ => None,
        }
    }
}

/// Errors of [`Client::poll`](super::Client::poll).
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The token contains characters that are not allowed in a header.
    #[error("the token cannot be sent in a header")]
    Token,
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl PollError {
    /// The reason for the metrics.
    pub const fn reason(&self) -> PollFailure {
        match self {
            Self::Token => PollFailure::Token,
            Self::Call(CallError::Connect(_)) => PollFailure::Connect,
            Self::Call(CallError::Disconnected(_)) => PollFailure::Disconnected,
            Self::Call(CallError::Timeout(_)) => PollFailure::Timeout,
            Self::Call(CallError::Body(_)) => PollFailure::Decode,
            Self::Call(CallError::Status(answer)) => PollFailure::of_status(answer.status),
        }
    }

    /// The error response, if Starlink answered with a status other than 200.
    pub const fn answer(&self) -> Option<&ErrorResponse> {
        match self {
            Self::Token => None,
            Self::Call(error) => error.answer(),
        }
    }

    /// The shortest wait before a retry, if Starlink gave one.
    pub fn retry_after(&self) -> Option<Duration> {
        self.answer().and_then(|answer| answer.retry_after)
    }
}

/// Errors of a token request.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A complete response without a valid token.
    #[error("the answer holds no token: {0}")]
    Malformed(&'static str),
}

impl TokenError {
    /// The reason for the metrics.
    pub const fn reason(&self) -> TokenFailure {
        match self {
            Self::Call(CallError::Connect(_)) => TokenFailure::Connect,
            Self::Call(CallError::Disconnected(_)) => TokenFailure::Disconnected,
            Self::Call(CallError::Timeout(_)) => TokenFailure::Timeout,
            Self::Call(CallError::Status(answer)) => TokenFailure::of_status(answer.status),
            Self::Call(CallError::Body(_)) | Self::Malformed(_) => TokenFailure::Malformed,
        }
    }

    /// Whether a response was received, with any status.
    pub const fn is_answer(&self) -> bool {
        matches!(
            self,
            Self::Malformed(_) | Self::Call(CallError::Status(_) | CallError::Body(_))
        )
    }

    /// How informative the error is if several URLs were tried. An OAuth error weighs most, as only a token endpoint sends it; 404 and
    /// 405 weigh least.
    pub fn weight(&self) -> u8 {
        match self {
            Self::Call(CallError::Status(answer)) if answer.is_oauth => 2,
            _ if self.reason() == TokenFailure::NotFound => 0,
            _ => 1,
        }
    }

    /// The error response, if Starlink answered with a status other than 200.
    pub const fn answer(&self) -> Option<&ErrorResponse> {
        match self {
            Self::Call(error) => error.answer(),
            Self::Malformed(_) => None,
        }
    }

    /// The shortest wait before a retry, if Starlink gave one.
    pub fn retry_after(&self) -> Option<Duration> {
        self.answer().and_then(|answer| answer.retry_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn answered(status: u16) -> CallError {
        CallError::Status(ErrorResponse {
            status,
            message: String::new(),
            is_oauth: false,
            retry_after: None,
        })
    }

    #[test]
    fn every_status_has_its_reasons() {
        let cases = [
            (100, "decode", "status"),
            (204, "decode", "status"),
            (301, "redirect", "status"),
            (307, "redirect", "status"),
            (400, "client_error", "refused"),
            (401, "unauthorized", "refused"),
            (403, "forbidden", "refused"),
            (404, "not_found", "not_found"),
            (405, "client_error", "not_found"),
            (408, "client_error", "status"),
            (422, "unprocessable", "status"),
            (429, "rate_limited", "status"),
            (500, "server_error", "status"),
            (503, "server_error", "status"),
            (599, "server_error", "status"),
            (999, "decode", "status"),
        ];
        for (status, poll, token) in cases {
            let reason = PollError::from(answered(status)).reason();
            assert_eq!(reason.name(), poll, "{status}");
            let reason = TokenError::from(answered(status)).reason();
            assert_eq!(reason.name(), token, "{status}");
        }
    }

    #[test]
    fn the_lists_of_reasons_are_complete() {
        let names: BTreeSet<_> = PollFailure::ALL.map(PollFailure::name).into();
        assert_eq!(names.len(), PollFailure::ALL.len());
        for (index, reason) in PollFailure::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason:?}");
        }
        let names: BTreeSet<_> = TokenFailure::ALL.map(TokenFailure::name).into();
        assert_eq!(names.len(), TokenFailure::ALL.len());
        for (index, reason) in TokenFailure::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{reason:?}");
        }
    }

    #[test]
    fn a_message_includes_the_text_of_the_response() {
        let mut answer = ErrorResponse {
            status: 422,
            message: "batchSize is too large".to_owned(),
            is_oauth: false,
            retry_after: None,
        };
        assert_eq!(answer.to_string(), "status 422: batchSize is too large");
        answer.message.clear();
        let error = PollError::from(CallError::Status(answer));
        assert_eq!(error.to_string(), "answered with status 422");
    }

    #[test]
    fn errors_are_send_and_sync() {
        fn assert_crosses<T: Send + Sync + 'static>() {}
        assert_crosses::<PollError>();
        assert_crosses::<TokenError>();
    }
}
