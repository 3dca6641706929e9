//! The HTTP client: one request, one whole answer or an error, within limits of time and size.

use super::{
    error::{BodyError, CallError, ErrorAnswer, PollError, Stage, TokenError},
    wire,
};
use crate::outgoing::{self, ConnectorOptions, Proxy, Resolver, USER_AGENT};
// awc gives out this error, but not its name.
use crate::redaction::Redactor;
use crate::time::Clock;
use actix_web::error::ParseError;
use awc::{
    ClientRequest, ClientResponse, Connector,
    error::{ConnectError, PayloadError, SendRequestError},
    http::{
        StatusCode, Version,
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
// The limits of a request are the connection's own, and stay on tokio's timers.
use tokio::time::timeout;
use url::{Position, Url};

/// The largest batch, decompressed. 65,000 rows are 15 to 20 MB.
const BATCH_LIMIT: usize = 64 * 1024 * 1024;

/// The largest token answer and error body, decompressed.
const SMALL_LIMIT: usize = 64 * 1024;

/// How much is reserved for a body by its Content-Length alone, before any of it has come.
const MAX_RESERVE: usize = 1024 * 1024;

/// Requests for a token are at least so far apart, so that no fault of ours meets Starlink's limit of 1000 in 15 minutes.
pub const BETWEEN_TOKEN_REQUESTS: Duration = Duration::from_secs(1);

/// The longest waits of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the name and the TCP connection together, and once more for the tunnel of a proxy and for the TLS handshake each.
    pub connect: Duration,
    /// For the head of a token answer, connecting included.
    pub token: Duration,
    /// For the head of a poll's answer beyond the linger, connecting included.
    pub beyond_linger: Duration,
    /// For a whole body.
    pub body: Duration,
    /// For the next byte of a body, and for the whole body of an error.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            token: Duration::from_secs(15),
            beyond_linger: Duration::from_secs(15),
            body: Duration::from_secs(60),
            idle: Duration::from_secs(15),
        }
    }
}

/// How a client is made.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// From [`tls_config`](crate::outgoing::tls_config). Without it `https` addresses fail to connect.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// What https connections go through; none goes straight.
    pub proxy: Option<Proxy>,
    /// Finds the addresses of names.
    pub resolver: Resolver,
    /// What connections are timed by, and what learns from answers what time it is.
    pub clock: Clock,
    /// The longest waits.
    pub timeouts: Timeouts,
    /// The largest batch in bytes, before and after decompression.
    pub batch_limit: usize,
    /// Learns the secrets that are sent and received, and removes them from error messages.
    pub redactor: Redactor,
}

impl Default for ClientOptions {
    /// Without TLS; the limits are those of production.
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

/// Leave to poll, for a while.
#[derive(Debug, Clone)]
pub struct Token {
    /// What the header Authorization carries after `Bearer`.
    pub bearer: SecretString,
    /// How long it is valid, from 1 s to a day.
    pub lifetime: Duration,
}

/// The body of an answer as it comes in. Its type depends on the features that awc is built with.
trait Chunks: Stream<Item = Result<Bytes, PayloadError>> + Unpin {}

impl<S: Stream<Item = Result<Bytes, PayloadError>> + Unpin> Chunks for S {}

/// A client of Starlink's API. It belongs to the thread, and to the actix system, that made it.
pub struct Client {
    plain: awc::Client,
    tls: Option<awc::Client>,
    timeouts: Timeouts,
    batch_limit: usize,
    redactor: Redactor,
    clock: Clock,
}

impl Client {
    /// A client with connection pools of its own.
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
        let tls = tls.map(|tls| outgoing::Connector::tls(options.clone(), tls, proxy));
        Self {
            plain: http_client(outgoing::Connector::plain(options), timeouts),
            tls: tls.map(|connector| http_client(connector, timeouts)),
            timeouts,
            batch_limit,
            redactor,
            clock,
        }
    }

    /// A request to that URL. With TLS awc gets the URL as `http`: the connector sets up TLS itself.
    fn post(&self, url: &Url) -> ClientRequest {
        let mut plain = url.clone();
        let secure = self.tls.as_ref().filter(|_| url.scheme() == "https");
        let port = url.port_or_known_default();
        // The scheme first: the URL leaves out the port that is the scheme's own.
        let http = match secure {
            Some(tls) if plain.set_scheme("http").is_ok() && plain.set_port(port).is_ok() => tls,
            _ => &self.plain,
        };
        let host = &url[Position::BeforeHost..Position::AfterPort];
        let request = http.post(plain.as_str());
        request.insert_header((header::HOST, host)).no_decompress()
    }

    /// Asks the token endpoint at `url` for a token.
    ///
    /// # Errors
    /// [`TokenError`]. A request is not repeated: who calls decides.
    pub async fn request_token(
        &self,
        url: &Url,
        client_id: &SecretString,
        client_secret: &SecretString,
    ) -> Result<Token, TokenError> {
        self.redactor.register(client_id);
        self.redactor.register(client_secret);
        let (client_id, client_secret) = (client_id.expose_secret(), client_secret.expose_secret());
        let sending = self.post(url).send_form(&wire::TokenRequest {
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

    /// Asks one address after the other for a token, [`BETWEEN_TOKEN_REQUESTS`] apart, until one issues it or `follows` says that
    /// the failure of one leads to no other. Calls `on_request` before each request. Gives the address that issued the token.
    ///
    /// # Errors
    /// Of what the addresses have answered, that which says most ([`TokenError::weight`]); of equals, the first.
    pub async fn request_token_from<'u>(
        &self,
        urls: &'u [Url],
        client_id: &SecretString,
        client_secret: &SecretString,
        follows: impl Fn(&TokenError) -> bool,
        on_request: impl Fn(),
    ) -> Result<(Token, &'u Url), TokenError> {
        let mut told: Option<TokenError> = None;
        for (index, url) in urls.iter().enumerate() {
            if index > 0 {
                self.clock.sleep(BETWEEN_TOKEN_REQUESTS).await;
            }
            on_request();
            let error = match self.request_token(url, client_id, client_secret).await {
                Ok(token) => return Ok((token, url)),
                Err(error) => error,
            };
            let goes_on = follows(&error);
            told = Some(match told {
                Some(told) if told.weight() >= error.weight() => told,
                _ => error,
            });
            if !goes_on {
                break;
            }
        }
        Err(told.unwrap_or(TokenError::Malformed("there was no address to ask")))
    }

    /// Asks the stream at `url` for at most `batch_size` rows, for which it may wait `max_linger`.
    /// Gives the decompressed body of a 200, not yet looked into. Calls `on_head` when the head of
    /// any answer has come: from then on Starlink may count rows as delivered.
    ///
    /// A body cut short is an error where that can be seen: by its Content-Length, by its gzip
    /// stream, or by a TLS connection that ends without saying so. Otherwise awc takes chunks that
    /// are cut for whole ones, and only the reader of the JSON can tell.
    ///
    /// # Errors
    /// [`PollError`]. A poll is not repeated: who calls decides.
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
            .post(url)
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

    /// Sends a request and waits for the head of its answer, whose `Date` corrects the clock.
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
            self.clock.dated(date, sent);
        }
        Ok(response)
    }

    /// The decompressed body of a 200; any other answer is an error.
    async fn body<S: Chunks>(
        &self,
        response: ClientResponse<S>,
        limit: usize,
    ) -> Result<Bytes, CallError> {
        if response.status() != StatusCode::OK {
            return Err(self.error_answer(response).await);
        }
        match timeout(self.timeouts.body, self.whole_body(response, limit)).await {
            Ok(body) => body,
            Err(_) => Err(CallError::Timeout(Stage::WholeBody)),
        }
    }

    /// Turns an answer into its error. That its body is large, broken or slow hides no status.
    async fn error_answer<S: Chunks>(&self, response: ClientResponse<S>) -> CallError {
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
        CallError::Status(ErrorAnswer {
            status: status.as_u16(),
            message: target.unwrap_or_else(|| wire::error_message(&body, &self.redactor)),
            is_oauth: wire::is_oauth_error(&body),
            retry_after,
        })
    }

    /// Reads a body to its end. Decompressing is done here and not by awc, which would leave
    /// nothing to compare with the Content-Length.
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
        // awc reports no error when a connection ends before the body does.
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
        // Ours has limits of its own, whose messages say more.
        .timeout(timeouts.connect * 4);
    awc::Client::builder()
        .connector(connector)
        // Its time-out is one for all requests and ends with the head: ours replace it.
        .disable_timeout()
        // A redirect would send the client's secret, or the token, wherever it points.
        .disable_redirects()
        .add_default_header((header::USER_AGENT, USER_AGENT))
        .add_default_header((header::ACCEPT, "application/json"))
        .add_default_header((header::ACCEPT_ENCODING, "gzip"))
        .finish()
}

/// When an answer was made, if it says so and came from no cache (RFC 9111, 5.1: a cache adds `Age`).
fn date<S>(response: &ClientResponse<S>) -> Option<SystemTime> {
    let headers = response.headers();
    if headers.contains_key(header::AGE) {
        return None;
    }
    httpdate::parse_http_date(text(headers, header::DATE)?).ok()
}

/// The header that carries the token, marked so that nothing prints it.
fn authorization(bearer: &str) -> Result<HeaderValue, PollError> {
    let mut value =
        HeaderValue::try_from(format!("Bearer {bearer}")).map_err(|_| PollError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The length that a body must have; `None` where its end is marked by chunks or, in HTTP/1.0, by
/// the end of the connection.
fn expected_length<S>(response: &ClientResponse<S>) -> Result<Option<usize>, CallError> {
    let headers = response.headers();
    let chunked = text(headers, header::TRANSFER_ENCODING)
        .is_some_and(|encoding| encoding.trim().eq_ignore_ascii_case("chunked"));
    match text(headers, header::CONTENT_LENGTH) {
        _ if chunked => Ok(None),
        // awc has refused all but one number; what no usize holds is over every limit.
        Some(length) => Ok(Some(length.trim().parse().unwrap_or(usize::MAX))),
        None if response.version() == Version::HTTP_10 => Ok(None),
        None => Err(CallError::Body(BodyError::NoLength)),
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Sorts what awc reports instead of a head. Its errors cannot cross threads; of those that
/// cannot be taken apart, the text goes on.
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

/// Sorts what awc reports within a body: it tells broken chunks as input/output errors.
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
