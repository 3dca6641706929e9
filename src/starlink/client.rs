//! The HTTP client: sends one request, and returns the complete body or an error, within limits of time and size.

use super::error::{BodyError, CallError, ErrorResponse, PollError, Stage, TokenError};
use super::query::Query;
use super::token::Token;
use super::wire;
use crate::outgoing::{self, ConnectorOptions, Proxy, Resolver, Target, TlsOptions, USER_AGENT};
use crate::redaction::Redactor;
use crate::time::Clock;
// awc returns this error, but does not export it.
use actix_web::error::ParseError;
use awc::{
    ClientRequest, ClientResponse, Connector,
    error::{ConnectError, PayloadError, SendRequestError},
    http::{
        Method, StatusCode, Version,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use std::{
    error::Error,
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};
// Time limits of single requests use tokio's timers, not the clock.
use tokio::time::timeout;
use url::Url;

/// The largest batch, decompressed. 65,000 rows are 15 to 20 MB.
const BATCH_LIMIT: usize = 64 * 1024 * 1024;

/// The largest answer of the management API, decompressed. A page has at most 250 entries.
const QUERY_LIMIT: usize = 16 * 1024 * 1024;

/// The largest body of a token response or of an error, decompressed.
const SMALL_LIMIT: usize = 64 * 1024;

/// The most memory that is allocated because of a Content-Length, before the body is received.
const MAX_RESERVE: usize = 1024 * 1024;

/// The shortest time between token requests, so that even a bug does not reach Starlink's limit of 1000 in 15 minutes.
pub const BETWEEN_TOKEN_REQUESTS: Duration = Duration::from_secs(1);

/// The time limits of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For resolving and connecting together; the same again for the tunnel of a proxy and for the TLS handshake.
    pub connect: Duration,
    /// For a whole token request, including connecting.
    pub token: Duration,
    /// For the head of the answer to a poll, including connecting, in addition to the linger.
    pub beyond_linger: Duration,
    /// For the head of an answer of the management API, including connecting.
    pub query: Duration,
    /// For a complete body.
    pub body: Duration,
    /// For the next bytes of a body, and for the complete body of an error.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            token: Duration::from_secs(15),
            beyond_linger: Duration::from_secs(15),
            query: Duration::from_secs(30),
            body: Duration::from_secs(60),
            idle: Duration::from_secs(15),
        }
    }
}

/// The options of a [`Client`].
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// From [`tls_config`](crate::outgoing::tls_config). Without it `https` addresses fail to connect.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The proxy for https connections, if any.
    pub proxy: Option<Proxy>,
    /// Resolves host names.
    pub resolver: Resolver,
    /// Measures time limits of connecting; corrected by the `Date` headers of responses.
    pub clock: Clock,
    /// The time limits.
    pub timeouts: Timeouts,
    /// The largest batch in bytes, before and after decompression.
    pub batch_limit: usize,
    /// The secrets that are sent and received are registered here, and removed from error messages.
    pub redactor: Redactor,
}

impl Default for ClientOptions {
    /// Without TLS, with the limits of production.
    fn default() -> Self {
        Self {
            tls: None,
            proxy: None,
            resolver: Resolver::system(),
            clock: Clock::system(),
            timeouts: Timeouts::default(),
            batch_limit: BATCH_LIMIT,
            redactor: Redactor::default(),
        }
    }
}

/// The chunks of a received body. A trait, because the type depends on the features of awc.
trait Chunks: Stream<Item = Result<Bytes, PayloadError>> + Unpin {}

impl<S: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Chunks for S {}

/// A client of Starlink's API. It can only be used on the thread, and in the actix system, that created it.
pub struct Client {
    plain: awc::Client,
    tls: Option<awc::Client>,
    timeouts: Timeouts,
    batch_limit: usize,
    redactor: Redactor,
    clock: Clock,
}

impl Client {
    /// A client with its own connection pools.
    pub fn new(options: ClientOptions) -> Self {
        let ClientOptions {
            tls,
            proxy,
            resolver,
            clock,
            timeouts,
            batch_limit,
            redactor,
        } = options;
        let options = ConnectorOptions {
            resolver,
            clock: clock.clone(),
            limit: timeouts.connect,
        };
        let tls = tls.map(|config| {
            let tls = TlsOptions {
                config,
                proxy,
                server_name: None,
            };
            outgoing::Connector::tls(options.clone(), tls)
        });
        Self {
            plain: http_client(outgoing::Connector::plain(options), timeouts),
            tls: tls.map(|connector| http_client(connector, timeouts)),
            timeouts,
            batch_limit,
            redactor,
            clock,
        }
    }

    /// A request to `url`.
    fn request(&self, method: Method, url: &Url) -> ClientRequest {
        let target = Target::new(url, self.tls.is_some());
        let http = self.tls.as_ref().filter(|_| target.is_tls);
        let request = http
            .unwrap_or(&self.plain)
            .request(method, target.url.as_str());
        request
            .insert_header((header::HOST, target.host))
            .no_decompress()
    }

    /// Asks the token endpoint at `url` for a token.
    ///
    /// # Errors
    /// [`TokenError`]. The request is not repeated; the caller decides.
    pub async fn request_token(
        &self,
        url: &Url,
        client_id: &SecretString,
        client_secret: &SecretString,
    ) -> Result<Token, TokenError> {
        self.redactor
            .register_credentials([client_id, client_secret]);
        let (client_id, client_secret) = (client_id.expose_secret(), client_secret.expose_secret());
        let sending = self
            .request(Method::POST, url)
            .send_form(&wire::TokenRequest {
                client_id,
                client_secret,
                grant_type: "client_credentials",
            });
        let whole = async {
            let response = self.head(sending, self.timeouts.token).await?;
            self.body(response, SMALL_LIMIT).await
        };
        let limit = self.timeouts.token;
        match timeout(limit, whole).await {
            Ok(body) => {
                let token = wire::parse_token(&body?)?;
                self.redactor.register_token(&token.bearer);
                Ok(token)
            }
            Err(_) => Err(CallError::Timeout(Stage::WholeBody).into()),
        }
    }

    /// Requests a token from the URLs in order, [`BETWEEN_TOKEN_REQUESTS`] apart, until one issues it or `follows` returns false for an
    /// error. Awaits `on_request` before each request. Returns the token and the URL that issued it.
    ///
    /// # Errors
    /// The most informative error of all URLs ([`TokenError::weight`]); among equals, the first.
    pub async fn request_token_from<'u>(
        &self,
        urls: &'u [Url],
        client_id: &SecretString,
        client_secret: &SecretString,
        follows: impl Fn(&TokenError) -> bool,
        on_request: impl AsyncFn(),
    ) -> Result<(Token, &'u Url), TokenError> {
        let mut best: Option<TokenError> = None;
        for (index, url) in urls.iter().enumerate() {
            if index > 0 {
                self.clock.sleep(BETWEEN_TOKEN_REQUESTS).await;
            }
            on_request().await;
            let error = match self.request_token(url, client_id, client_secret).await {
                Ok(token) => return Ok((token, url)),
                Err(error) => error,
            };
            let goes_on = follows(&error);
            best = Some(match best {
                Some(best) if best.weight() >= error.weight() => best,
                _ => error,
            });
            if !goes_on {
                break;
            }
        }
        Err(best.unwrap_or(TokenError::Malformed("there is no token URL")))
    }

    /// Polls the stream at `url` for at most `batch_size` rows, for which Starlink may wait `max_linger`.
    /// Returns the decompressed body of a 200, not parsed. Calls `on_head` when the head of any answer
    /// was received: from then on, Starlink may count rows as delivered.
    ///
    /// A truncated body is an error if that can be detected: by its Content-Length, by its gzip stream, or
    /// by a TLS connection that ends without a closing alert. Otherwise awc returns truncated chunks as if
    /// they were complete, and only the JSON parser detects it.
    ///
    /// # Errors
    /// [`PollError`]. The poll is not repeated; the caller decides.
    pub async fn poll(
        &self,
        url: &Url,
        bearer: &SecretString,
        batch_size: u32,
        max_linger: Duration,
        on_head: impl FnOnce(),
    ) -> Result<Bytes, PollError> {
        self.redactor.register_token(bearer);
        let bearer = bearer.expose_secret();
        let sending = self
            .request(Method::POST, url)
            .insert_header((header::AUTHORIZATION, authorization(bearer)?))
            .send_json(&wire::PollRequest {
                batch_size,
                max_linger_ms: max_linger.as_millis(),
            });
        let limit = max_linger.saturating_add(self.timeouts.beyond_linger);
        let response = self.head(sending, limit).await?;
        on_head();
        Ok(self.body(response, self.batch_limit).await?)
    }

    /// Sends a request of the management API below `base`. Returns the decompressed body of a 200, not parsed.
    ///
    /// # Errors
    /// [`PollError`], as for a poll. The request is not repeated; the caller decides.
    pub async fn query(
        &self,
        base: &Url,
        query: &Query,
        bearer: &SecretString,
    ) -> Result<Bytes, PollError> {
        self.redactor.register_token(bearer);
        let authorization = authorization(bearer.expose_secret())?;
        let (url, body) = (query.url(base), query.body());
        let method = match body {
            Some(_) => Method::POST,
            None => Method::GET,
        };
        let request = self
            .request(method, &url)
            .insert_header((header::AUTHORIZATION, authorization));
        let sending = match body {
            Some(body) => request
                .insert_header((header::CONTENT_TYPE, "application/json"))
                .send_body(body.into_owned()),
            None => request.send(),
        };
        let response = self.head(sending, self.timeouts.query).await?;
        Ok(self.body(response, QUERY_LIMIT).await?)
    }

    /// Sends a request and waits for the head of the response, whose `Date` corrects the clock.
    async fn head<S>(
        &self,
        sending: impl Future<Output = Result<ClientResponse<S>, SendRequestError>>,
        limit: Duration,
    ) -> Result<ClientResponse<S>, CallError> {
        let sent = self.clock.now();
        let response = match timeout(limit, sending).await {
            Ok(response) => response.map_err(no_head)?,
            Err(_) => return Err(CallError::Timeout(Stage::Head)),
        };
        if let Some(date) = date(&response) {
            self.clock.observe_date(date, sent);
        }
        Ok(response)
    }

    /// The decompressed body of a 200; any other status is an error.
    async fn body<S: Chunks>(
        &self,
        response: ClientResponse<S>,
        limit: usize,
    ) -> Result<Bytes, CallError> {
        if response.status() != StatusCode::OK {
            return Err(self.error_response(response).await);
        }
        match timeout(self.timeouts.body, self.whole_body(response, limit)).await {
            Ok(body) => body,
            Err(_) => Err(CallError::Timeout(Stage::WholeBody)),
        }
    }

    /// The error for a response with a status other than 200. It has the status even if the body is too large, broken or slow.
    async fn error_response<S: Chunks>(&self, response: ClientResponse<S>) -> CallError {
        let status = response.status();
        let retry_after = if matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            text(response.headers(), header::RETRY_AFTER)
                .and_then(|value| wire::retry_after(value, self.clock.corrected()))
        } else {
            None
        };
        let target = text(response.headers(), header::LOCATION)
            .filter(|_| status.is_redirection())
            .map(|location| wire::redirect_message(location, &self.redactor));
        let body = timeout(self.timeouts.idle, self.whole_body(response, SMALL_LIMIT)).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        CallError::Status(ErrorResponse {
            status: status.as_u16(),
            message: target.unwrap_or_else(|| wire::error_message(&body, &self.redactor)),
            is_oauth: wire::is_oauth_error(&body),
            retry_after,
        })
    }

    /// Reads a complete body. It is decompressed here and not by awc, because its compressed length must be
    /// compared with the Content-Length.
    async fn whole_body<S: Chunks>(
        &self,
        response: ClientResponse<S>,
        limit: usize,
    ) -> Result<Bytes, CallError> {
        let expected = expected_length(&response)?;
        let encoding = response.headers().get(header::CONTENT_ENCODING).cloned();
        let raw = self.raw_body(response, expected, limit).await?;
        wire::decompress(raw, encoding.as_ref().map(HeaderValue::as_bytes), limit)
            .map_err(CallError::Body)
    }

    async fn raw_body(
        &self,
        mut chunks: impl Chunks,
        expected: Option<usize>,
        limit: usize,
    ) -> Result<Bytes, CallError> {
        let too_large = || CallError::Body(BodyError::TooLarge { limit });
        if expected.is_some_and(|expected| expected > limit) {
            return Err(too_large());
        }
        let mut raw = BytesMut::with_capacity(expected.unwrap_or_default().min(MAX_RESERVE));
        while let Some(chunk) = timeout(self.timeouts.idle, chunks.next())
            .await
            .map_err(|_| CallError::Timeout(Stage::NextByte))?
        {
            let chunk = chunk.map_err(broken_body)?;
            if chunk.len() > limit - raw.len() {
                return Err(too_large());
            }
            raw.extend_from_slice(&chunk);
        }
        // awc reports no error if a connection ends before the body is complete.
        if expected.is_some_and(|expected| raw.len() < expected) {
            let cause = "the body is shorter than its Content-Length";
            return Err(CallError::Disconnected(cause.into()));
        }
        Ok(raw.freeze())
    }
}

fn http_client(connector: outgoing::Connector, timeouts: Timeouts) -> awc::Client {
    let connector = Connector::new()
        .connector(connector)
        // Our connector has its own limits, with better messages.
        .timeout(timeouts.connect * 4);
    awc::Client::builder()
        .connector(connector)
        // awc's time-out is the same for all requests and covers only the head.
        .disable_timeout()
        // Following a redirect would send the client secret or the token to its target.
        .disable_redirects()
        .add_default_header((header::USER_AGENT, USER_AGENT))
        .add_default_header((header::ACCEPT, "application/json"))
        .add_default_header((header::ACCEPT_ENCODING, "gzip"))
        .finish()
}

/// The `Date` of a response, unless it came from a cache (RFC 9111, section 5.1: a cache adds `Age`).
fn date<S>(response: &ClientResponse<S>) -> Option<SystemTime> {
    let headers = response.headers();
    if headers.contains_key(header::AGE) {
        return None;
    }
    httpdate::parse_http_date(text(headers, header::DATE)?).ok()
}

/// The header with the token, marked as sensitive so that it is not printed.
fn authorization(bearer: &str) -> Result<HeaderValue, PollError> {
    let mut value =
        HeaderValue::try_from(format!("Bearer {bearer}")).map_err(|_| PollError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The length that a body must have; `None` if its end is marked by chunks or, in HTTP/1.0, by the end of
/// the connection.
fn expected_length<S>(response: &ClientResponse<S>) -> Result<Option<usize>, CallError> {
    let headers = response.headers();
    let chunked = text(headers, header::TRANSFER_ENCODING)
        .is_some_and(|encoding| encoding.trim().eq_ignore_ascii_case("chunked"));
    match text(headers, header::CONTENT_LENGTH) {
        _ if chunked => Ok(None),
        // awc has checked that it is a number. One that exceeds usize exceeds every limit.
        Some(length) => Ok(Some(length.trim().parse().unwrap_or(usize::MAX))),
        None if response.version() == Version::HTTP_10 => Ok(None),
        None => Err(CallError::Body(BodyError::NoLength)),
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Converts awc's errors of sending a request. They are not `Send`; if their cause cannot be extracted, only
/// the text is kept.
fn no_head(error: SendRequestError) -> CallError {
    match error {
        SendRequestError::Connect(ConnectError::Disconnected) => {
            CallError::Disconnected("closed before the head of the answer".into())
        }
        SendRequestError::Connect(ConnectError::Io(error)) => CallError::Connect(error.into()),
        SendRequestError::Send(error) => CallError::Disconnected(error.into()),
        SendRequestError::Response(ParseError::Io(error)) => CallError::Disconnected(error.into()),
        SendRequestError::Response(error) => {
            CallError::Body(BodyError::NotHttp(error.to_string().into()))
        }
        error => CallError::Connect(error.to_string().into()),
    }
}

/// Converts awc's errors of reading a body. It reports invalid chunks as I/O errors.
fn broken_body(error: PayloadError) -> CallError {
    let error = match error {
        PayloadError::Io(error) | PayloadError::Incomplete(Some(error)) => error,
        error => io::Error::other(error.to_string()),
    };
    if error.kind() == io::ErrorKind::InvalidInput {
        return CallError::Body(BodyError::NotHttp(error.into()));
    }
    CallError::Disconnected(Box::<dyn Error + Send + Sync>::from(error))
}

#[cfg(test)]
mod tests;
