//! The HTTP client of one destination: sends one request, and returns how it ended, within limits of time and size.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

// awc returns this error, but does not export it.
use actix_http::body::SizedStream;
use actix_web::error::ParseError;
use awc::error::{ConnectError, PayloadError, SendRequestError};
use awc::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use awc::{ClientRequest, ClientResponse};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use secrecy::ExposeSecret;
// Time limits of single requests use tokio's timers, not the clock.
use tokio::time::timeout;

use super::SenderContext;
use super::access::{AccessError, Material};
use crate::history::Protocol;
use crate::outgoing::{
    self, Authorities, Connector, ConnectorOptions, Proxy, Resolver, Target, TlsOptions, USER_AGENT,
};
use crate::recording::status::DestinationStatus;
use crate::redaction::Redactor;
use crate::remote_write::{Answer, excerpt, written};
use crate::text::{io_reason, with_sources};
use crate::time::Clock;

/// Resolving and connecting take at most this time; the tunnel of a proxy and the TLS handshake the same again.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The bytes of an answer that are read, at least, for its reason. A connection whose answer is longer is closed.
const MOST_BODY: usize = 4 << 10;

/// The rest of an answer is waited for this long at most, whatever the time limit of requests: its status is known.
const BODY_LIMIT: Duration = Duration::from_secs(5);

/// The longest text of an error, in characters.
const LONGEST_TEXT: usize = 300;

/// What the clients of all destinations share.
#[derive(Debug, Clone)]
pub struct ClientContext {
    /// The clock.
    pub clock: Clock,
    /// Resolves the hosts of receivers.
    pub resolver: Resolver,
    /// The proxy for https, if any.
    pub proxy: Option<Proxy>,
    /// Further certificate authorities that are trusted for https, in addition to the machine's.
    pub authorities: Option<Authorities>,
    /// Removes secrets from errors. The secrets of destinations are registered here.
    pub redactor: Redactor,
}

impl From<&SenderContext> for ClientContext {
    fn from(context: &SenderContext) -> Self {
        Self {
            clock: context.clock.clone(),
            resolver: context.resolver.clone(),
            proxy: context.proxy.clone(),
            authorities: context.authorities.clone(),
            redactor: context.redactor.clone(),
        }
    }
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Message<'m> {
    /// The version of the protocol.
    pub protocol: Protocol,
    /// The encoded and compressed message.
    pub body: &'m Bytes,
    /// The value of the header `Retry-Attempt`; 0 for none.
    pub attempt: u32,
    /// The tenant of the account, for destinations with the tenant `account`.
    pub tenant: &'m str,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    ended: Ended,
    /// What happened, for logs and the page: bounded, on one line, without secrets.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Ended {
    Response {
        status: u16,
        retry_after: Option<Duration>,
        written: Option<u64>,
        body: String,
    },
    /// There was no connection, or not in time.
    Unreachable { is_timeout: bool },
    /// The request was sent, at least in part, and no answer came, or not in time.
    Ambiguous { is_timeout: bool },
}

impl Outcome {
    /// The same for the decision.
    #[must_use]
    pub fn answer(&self) -> Answer<'_> {
        match &self.ended {
            Ended::Response {
                status,
                retry_after,
                written,
                body,
            } => Answer::Response {
                status: *status,
                retry_after: *retry_after,
                written: *written,
                body,
            },
            Ended::Unreachable { .. } => Answer::Unreachable,
            Ended::Ambiguous { .. } => Answer::Ambiguous,
        }
    }

    /// The value of the label `code`: the status, `timeout` or `error`.
    #[must_use]
    pub fn code(&self) -> String {
        match self.ended {
            Ended::Response { status, .. } => status.to_string(),
            Ended::Unreachable { is_timeout } | Ended::Ambiguous { is_timeout } => {
                let code = if is_timeout { "timeout" } else { "error" };
                code.to_owned()
            }
        }
    }
}

/// Sends requests to a destination. Belongs to the thread on which it is made.
pub struct Client {
    context: ClientContext,
    status: Arc<DestinationStatus>,
    http: RefCell<Option<Http>>,
}

/// The connections, which belong to credentials and TLS settings.
#[derive(Clone)]
struct Http {
    material: Arc<Material>,
    client: awc::Client,
}

impl Client {
    /// A client with its own connections. Registers the secrets of the destination.
    #[must_use]
    pub fn new(status: Arc<DestinationStatus>, context: ClientContext) -> Self {
        let secrets = status.destination.secret_values();
        context.redactor.register_credentials(&secrets);
        Self {
            context,
            status,
            http: RefCell::default(),
        }
    }

    /// Sends a request, and waits for its end.
    ///
    /// # Errors
    /// Nothing can be sent: a file of the destination cannot be used.
    pub async fn send(&self, message: &Message<'_>) -> Result<Outcome, Arc<AccessError>> {
        let http = self.http().await?;
        let limit = self.status.destination.remote_timeout;
        let began = self.context.clock.ran();
        let is_sent = Rc::new(Cell::new(false));
        let request = self.request(&http, message);
        let head = head(request, message.body.clone(), Rc::clone(&is_sent));
        let outcome = match timeout(limit, head).await {
            // The status decides, so a body that does not come in time is not a time-out.
            Ok(Ok(response)) => self.answered(response, BODY_LIMIT.min(limit)).await,
            Ok(Err(error)) => {
                let (is_timeout, text) = no_head(&error);
                self.failed(is_sent.get(), is_timeout, &text)
            }
            Err(_) => self.failed(
                is_sent.get(),
                true,
                &format!("no answer within {} s", limit.as_secs_f64()),
            ),
        };
        let took = self.context.clock.ran().saturating_sub(began);
        self.status.request_duration.observe(took);
        Ok(outcome)
    }

    /// The connections for the current credentials.
    async fn http(&self) -> Result<Http, Arc<AccessError>> {
        let (status, context) = (&self.status, &self.context);
        let material = status.link.access.get(&status.destination, context).await?;
        let mut http = self.http.borrow_mut();
        if let Some(http) = &*http
            && Arc::ptr_eq(&http.material, &material)
        {
            return Ok(http.clone());
        }
        let made = Http {
            client: self.connect(&material),
            material,
        };
        Ok(http.insert(made).clone())
    }

    fn connect(&self, material: &Material) -> awc::Client {
        let (destination, context) = (&self.status.destination, &self.context);
        let options = ConnectorOptions {
            resolver: context.resolver.clone(),
            clock: context.clock.clone(),
            limit: CONNECT_LIMIT.min(destination.remote_timeout),
        };
        let connector = match &material.tls {
            None => Connector::plain(options),
            Some(config) => {
                let tls = TlsOptions {
                    config: Arc::clone(config),
                    proxy: context.proxy.clone(),
                    server_name: destination.tls.server_name.clone(),
                };
                Connector::tls(options, tls)
            }
        };
        let connector = awc::Connector::new()
            .connector(connector)
            // Our connector has its own limits, with better messages.
            .timeout(CONNECT_LIMIT * 4);
        awc::Client::builder()
            .connector(connector)
            // awc's time-out covers only the head.
            .disable_timeout()
            // Following a redirect would send the credentials to its target.
            .disable_redirects()
            .add_default_header((header::USER_AGENT, USER_AGENT))
            .finish()
    }

    fn request(&self, http: &Http, message: &Message<'_>) -> ClientRequest {
        let destination = &self.status.destination;
        let target = Target::new(&destination.url, http.material.tls.is_some());
        let request = http.client.post(target.url.as_str());
        let mut request = request
            .insert_header((header::HOST, target.host))
            .insert_header((header::CONTENT_ENCODING, "snappy"))
            .insert_header((header::CONTENT_TYPE, message.protocol.content_type()))
            .insert_header((
                "X-Prometheus-Remote-Write-Version",
                message.protocol.version(),
            ))
            .no_decompress();
        if message.attempt > 0 {
            request = request.insert_header(("Retry-Attempt", message.attempt.to_string()));
        }
        for (name, value) in &destination.headers {
            // Names and values were checked when the destination was parsed.
            if let Ok(mut value) = HeaderValue::from_str(value.expose_secret()) {
                value.set_sensitive(true);
                request = request.insert_header((name.as_str(), value));
            }
        }
        if let Some((name, tenant)) = destination.tenant_of(message.tenant) {
            request = request.insert_header((name, tenant));
        }
        match &http.material.authorization {
            Some(value) => request.insert_header((header::AUTHORIZATION, value.clone())),
            None => request,
        }
    }

    /// Reads the body of an answer, as far as it comes in time.
    async fn answered<S>(&self, mut response: ClientResponse<S>, limit: Duration) -> Outcome
    where
        S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    {
        let body = body_of(&mut response, limit).await;
        let status = response.status().as_u16();
        let headers = response.headers();
        let reason = excerpt(&self.context.redactor.redact(&body));
        let text = match reason.is_empty() {
            true => format!("status {status}"),
            false => format!("status {status}: {reason}"),
        };
        Outcome {
            ended: Ended::Response {
                status,
                retry_after: self.retry_after(headers),
                written: written(
                    headers
                        .iter()
                        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))),
                ),
                body,
            },
            text: shortened(&text),
        }
    }

    /// The wait in `Retry-After`. A date is compared with the receiver's own clock, if the answer has it.
    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        let date = text(headers, &header::DATE);
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        let now: SystemTime = date.unwrap_or_else(|| self.context.clock.corrected());
        outgoing::retry_after(text(headers, &header::RETRY_AFTER)?, now)
    }

    fn failed(&self, is_sent: bool, is_timeout: bool, text: &str) -> Outcome {
        let text = self.context.redactor.redact(text);
        Outcome {
            ended: match is_sent {
                true => Ended::Ambiguous { is_timeout },
                false => Ended::Unreachable { is_timeout },
            },
            text: shortened(&excerpt(&text)),
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

/// Sends the body, and waits for the head of the answer. Sets `is_sent` when the body begins to be sent.
async fn head(
    request: ClientRequest,
    body: Bytes,
    is_sent: Rc<Cell<bool>>,
) -> Result<ClientResponse<impl Stream<Item = Result<Bytes, PayloadError>> + Unpin>, SendRequestError>
{
    let length = body.len() as u64;
    let body = stream::once(async move {
        is_sent.set(true);
        Ok::<_, Infallible>(body)
    });
    let body = SizedStream::new(length, Box::pin(body));
    request.send_body(body).await
}

/// The beginning of the body. If there is more, or it ends with an error, or not in time, the connection is closed when the response is
/// dropped.
async fn body_of<S>(response: &mut ClientResponse<S>, limit: Duration) -> String
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let mut body = BytesMut::new();
    let reading = async {
        while let Some(Ok(chunk)) = response.next().await {
            let room = MOST_BODY - body.len();
            body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
            if chunk.len() > room {
                return;
            }
        }
    };
    // What was read until then is enough to know the reason.
    let _ = timeout(limit, reading).await;
    String::from_utf8_lossy(&body).into_owned()
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Whether no answer came in time, and why there is none.
fn no_head(error: &SendRequestError) -> (bool, String) {
    let text = match error {
        SendRequestError::Connect(ConnectError::Disconnected) => {
            "the connection was closed before an answer".to_owned()
        }
        SendRequestError::Connect(ConnectError::Io(error)) => match error.get_ref() {
            Some(error) => with_sources(error),
            None => io_reason(error),
        },
        SendRequestError::Send(error) | SendRequestError::Response(ParseError::Io(error)) => {
            io_reason(error)
        }
        SendRequestError::Response(_) => "the answer is not HTTP".to_owned(),
        SendRequestError::Timeout | SendRequestError::Connect(ConnectError::Timeout) => {
            return (true, error.to_string());
        }
        error => error.to_string(),
    };
    (false, text)
}
