//! Handles the requests of Starlink's endpoints: credentials, tokens, long polls, and the script that overrides them.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

use actix_rt::time::sleep_until;
use actix_web::{HttpRequest, HttpResponse, http::StatusCode, http::header, web};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Notify;
use url::form_urlencoded;

use super::{
    Options,
    account::{RateLimit, Tokens},
    answer::{Answer, compress},
    body::AnswerBody,
    connection::Connection,
    fleet::Fleet,
    inventory::Inventory,
    journal::TokenRequest,
    lock,
    management::{Management, management},
    open_poll::{OpenPoll, Record},
    sending::Sending,
};

const HIGHEST_BATCH_SIZE: u32 = 65_000;
const HIGHEST_LINGER_MS: u32 = 65_000;

/// The state that is kept across connections and network failures.
pub(super) struct Service {
    pub options: Options,
    pub fleet: Fleet,
    pub inventory: Inventory,
    pub clock: Clock,
    pub record: Arc<Record>,
    pub poll_script: Mutex<Script>,
    pub token_script: Mutex<Script>,
    pub management: Mutex<Management>,
    pub script_changed: Notify,
    pub tokens: Mutex<Tokens>,
    pub rate_limit: Mutex<RateLimit>,
    pub is_public_token_path_open: Mutex<bool>,
    pub clock_of_answers: Mutex<Option<Now>>,
}

/// A source of the time.
pub(super) type Now = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The current tick.
pub(super) struct Clock {
    pub started: Instant,
    /// The tick of the start. Earlier ticks are the backlog.
    pub first: u64,
    /// Real nanoseconds of a tick; above 0.
    pub tick_ns: u64,
}

impl Clock {
    pub(super) fn tick_at(&self, now: Instant) -> u64 {
        let elapsed = now.duration_since(self.started);
        self.first + elapsed.as_nanos() as u64 / self.tick_ns
    }

    fn time_of(&self, tick: u64) -> Instant {
        self.started + Duration::from_nanos((tick - self.first) * self.tick_ns)
    }
}

/// The queued answers, and the answer if there are none.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub next: VecDeque<Answer>,
    pub default: Option<Answer>,
}

impl Script {
    pub(super) fn take(&mut self) -> Option<Answer> {
        self.next.pop_front().or_else(|| self.default.clone())
    }
}

/// The body of a poll: exactly these members, with integers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wanted {
    batch_size: u32,
    max_linger_ms: u32,
}

impl Wanted {
    fn parse(body: &[u8]) -> Result<Self, String> {
        let wanted: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if !(1..=HIGHEST_BATCH_SIZE).contains(&wanted.batch_size) {
            return Err(format!(
                "batchSize must be between 1 and {HIGHEST_BATCH_SIZE}"
            ));
        }
        if wanted.max_linger_ms > HIGHEST_LINGER_MS {
            return Err(format!(
                "maxLingerMs must be between 0 and {HIGHEST_LINGER_MS}"
            ));
        }
        Ok(wanted)
    }
}

/// Adds the endpoints to an actix-web application.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    for path in [super::PUBLIC_TOKEN_PATH, super::PLAIN_TOKEN_PATH] {
        config.service(
            web::resource(path)
                .route(web::post().to(token))
                .default_service(web::to(management)),
        );
    }
    config.service(
        web::resource(super::STREAM_PATH)
            .route(web::post().to(stream))
            .default_service(web::to(management)),
    );
}

/// The token endpoint.
async fn token(request: HttpRequest, form: Bytes, service: web::Data<Service>) -> HttpResponse {
    let Some(connection) = request.conn_data::<Connection>().cloned() else {
        return HttpResponse::ServiceUnavailable().finish();
    };
    let is_open =
        request.path() != super::PUBLIC_TOKEN_PATH || *lock(&service.is_public_token_path_open);
    let refusal = service.options.refusal(&form);
    let answer = if is_open {
        let script = lock(&service.token_script).take();
        script.unwrap_or_else(Answer::ordinary)
    } else {
        Answer::error(404, "Not found")
    };
    let ordinary = |service: &Service| match refusal {
        Some(error) => Answer::token_error(error),
        None => Answer::text(service.token_body()),
    };
    let answer = with_body(answer, || ordinary(&service));

    lock(&service.record.journal).add_token_request(TokenRequest {
        at: Instant::now(),
        path: request.path().to_owned(),
        is_form_ok: refusal.is_none(),
        status: (!answer.closed).then_some(answer.status),
    });
    service.record.journal_changed.notify_waiters();
    send(answer, connection, None, &service).await
}

/// The stream endpoint.
async fn stream(request: HttpRequest, body: Bytes, service: web::Data<Service>) -> HttpResponse {
    let Some(connection) = request.conn_data::<Connection>().cloned() else {
        return HttpResponse::ServiceUnavailable().finish();
    };
    let service = service.into_inner();
    let token_serial =
        bearer(&request).and_then(|token| lock(&service.tokens).check(token, Instant::now()));
    let text = String::from_utf8_lossy(&body).into_owned();
    let mut open_poll = OpenPoll::begin(Arc::clone(&service.record), text, token_serial);

    let answer = match service.accept(token_serial, &body) {
        Ok(wanted) => {
            open_poll.accepted(wanted.batch_size, wanted.max_linger_ms);
            let Some(answer) = service.answer(&wanted, &connection, &mut open_poll).await else {
                // The client has disconnected, so this is not sent.
                connection.close();
                return HttpResponse::NoContent().finish();
            };
            answer
        }
        Err((status, reason)) => Answer::error(status, &reason),
    };
    send(answer, connection, Some(open_poll), &service).await
}

pub(super) fn bearer(request: &HttpRequest) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?;
    value.to_str().ok()?.strip_prefix("Bearer ")
}

impl Options {
    /// Why a token request is rejected, in OAuth's terms.
    fn refusal(&self, form: &[u8]) -> Option<&'static str> {
        let field = |wanted: &str| {
            form_urlencoded::parse(form)
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value)
        };
        if field("client_id").as_deref() != Some(&self.client_id)
            || field("client_secret").as_deref() != Some(&self.client_secret)
        {
            Some("invalid_client")
        } else if field("grant_type").as_deref() != Some("client_credentials") {
            Some("unsupported_grant_type")
        } else {
            None
        }
    }
}

impl Service {
    /// The value of the header `Date`, if it is not the system time.
    pub(super) fn date(&self) -> Option<SystemTime> {
        let now = lock(&self.clock_of_answers).clone();
        now.map(|now| now())
    }

    /// A new token, valid from now.
    pub(super) fn issue_token(&self) -> String {
        let expires = Instant::now() + self.options.token_lifetime;
        lock(&self.tokens).issue(self.options.seed, expires)
    }

    fn token_body(&self) -> String {
        json!({
            "access_token": self.issue_token(),
            "expires_in": self.options.token_lifetime.as_secs(),
            "token_type": "Bearer",
            "scope": "enterprise",
        })
        .to_string()
    }

    /// The parsed poll, or the status and the reason of its rejection.
    fn accept(&self, token_serial: Option<u64>, body: &[u8]) -> Result<Wanted, (u16, String)> {
        self.admit(token_serial)?;
        Wanted::parse(body).map_err(|reason| (400, reason))
    }

    /// Counts a request of the account, or rejects it with a status and a reason.
    pub(super) fn admit(&self, token_serial: Option<u64>) -> Result<(), (u16, String)> {
        if token_serial.is_none() {
            return Err((401, "The access token is invalid or has expired".to_owned()));
        }
        if let Some(limit) = self.options.polls_per_minute
            && !lock(&self.rate_limit).admit(limit, Instant::now())
        {
            return Err((429, "API calls quota exceeded".to_owned()));
        }
        Ok(())
    }

    /// Waits for a scripted answer or enough rows; `None` if the client disconnects.
    async fn answer(
        &self,
        wanted: &Wanted,
        connection: &Connection,
        open_poll: &mut OpenPoll,
    ) -> Option<Answer> {
        let deadline = Instant::now() + Duration::from_millis(wanted.max_linger_ms.into());
        let batch_size = wanted.batch_size as usize;
        let mut scripted = None;
        loop {
            let mut changed = pin!(self.script_changed.notified());
            // Registered first, so that a change of the script before the wait begins is noticed.
            changed.as_mut().enable();
            if scripted.is_none() {
                scripted = lock(&self.poll_script).take();
            }
            if scripted
                .as_ref()
                .is_some_and(|answer| answer.body.is_some() || answer.closed)
            {
                return scripted;
            }
            let now = Instant::now();
            let tick = self.clock.tick_at(now);
            let is_full = lock(&self.record.read_index).fill(&self.fleet, tick, batch_size);
            if is_full || now >= deadline {
                break;
            }
            let until = deadline.min(self.clock.time_of(tick + 1));
            if wait(until, changed, connection).await == Waited::ClientGone {
                return None;
            }
        }
        let rows = lock(&self.record.read_index).take(batch_size);
        let body = AnswerBody::new().rows(rows.iter().map(|row| row.text.as_str()));
        open_poll.hold(rows);
        let scripted = scripted.unwrap_or_else(Answer::ordinary);
        Some(with_body(scripted, || body.into()))
    }
}

#[derive(Debug, PartialEq)]
enum Waited {
    Woken,
    ClientGone,
}

/// Waits for the time or for a change, until the client disconnects.
async fn wait(
    until: Instant,
    mut changed: impl Future<Output = ()> + Unpin,
    connection: &Connection,
) -> Waited {
    let mut timer = pin!(sleep_until(until.into()));
    poll_fn(|cx| {
        if connection.is_gone() {
            return Poll::Ready(Waited::ClientGone);
        }
        let is_woken = pin!(&mut changed).poll(cx).is_ready() || timer.as_mut().poll(cx).is_ready();
        if is_woken {
            Poll::Ready(Waited::Woken)
        } else {
            Poll::Pending
        }
    })
    .await
}

/// Adds the default body if the script has none. A default rejection keeps its status.
pub(super) fn with_body(scripted: Answer, ordinary: impl FnOnce() -> Answer) -> Answer {
    if scripted.body.is_some() || scripted.closed {
        return scripted;
    }
    let ordinary = ordinary();
    let status = if scripted.status == 200 {
        ordinary.status
    } else {
        scripted.status
    };
    Answer {
        body: ordinary.body,
        rows: ordinary.rows,
        status,
        ..scripted
    }
}

/// Sends an answer, with its delay and faults.
pub(super) async fn send(
    answer: Answer,
    connection: Connection,
    open_poll: Option<OpenPoll>,
    service: &Service,
) -> HttpResponse {
    if !answer.delay.is_zero() {
        let delay = wait(
            Instant::now() + answer.delay,
            std::future::pending(),
            &connection,
        );
        if delay.await == Waited::ClientGone {
            connection.close();
            return HttpResponse::NoContent().finish();
        }
    }
    if answer.closed {
        open_poll.into_iter().for_each(OpenPoll::cut);
        connection.close();
        return HttpResponse::NoContent().finish();
    }
    if let Some(open_poll) = &open_poll {
        let kept = answer.body.clone();
        open_poll.answering(&answer, kept.filter(|_| service.options.keeps_answers));
    }
    let mut response = head(&answer, service.date());
    let mut body = answer.body.unwrap_or_default();
    if answer.gzip {
        body = compress(&body);
    }
    let sending = Sending::new(
        body,
        answer.chunked,
        answer.ending,
        answer.trickle,
        connection,
        open_poll,
    );
    response.body(sending)
}

fn head(answer: &Answer, date: Option<SystemTime>) -> actix_web::HttpResponseBuilder {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.insert_header(header::ContentType::json());
    if answer.gzip {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    if let Some(date) = date {
        response.insert_header((header::DATE, httpdate::fmt_http_date(date)));
    }
    for (name, value) in &answer.headers {
        // A header of the script replaces the default one with the same name.
        response.insert_header((name.as_str(), value.as_str()));
    }
    response
}
