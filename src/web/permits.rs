//! Limits how many requests for pages and for the API are in progress at the same time, and the memory of their responses.
//!
//! A request is in progress from its permit until its client has read the response.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::{BodySize, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::ErrorInternalServerError;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse};
use bytes::Bytes;
use tokio::time::timeout;

use super::error::ViewError;
use crate::http::{PAGES, client};
use crate::shares::{Limits, Rank, Share, Shares};
use crate::time::Clock;

/// The most bytes of a body that are passed to a connection at a time.
const PIECE: usize = 32 * 1024;

/// A request's permit. Work for the request holds it, even if its client has disconnected.
pub type Permit = Arc<Share>;

/// The permits and the memory of all requests. One client may have a quarter of each.
#[derive(Debug)]
pub struct Permits {
    clock: Clock,
    requests: Shares,
    /// The bytes of responses that clients have not read completely.
    memory: Shares,
    wait_limit: Duration,
    read_limit: Duration,
}

impl Permits {
    /// Permits for `most` concurrent requests. Up to `most_waiting` further ones wait for at most `wait_limit` each. A client may read a
    /// response for `read_limit`.
    #[must_use]
    pub fn new(
        clock: Clock,
        most: usize,
        most_waiting: usize,
        wait_limit: Duration,
        read_limit: Duration,
    ) -> Self {
        Self {
            clock,
            requests: Shares::new(Limits::quartered(most, most_waiting)),
            memory: Shares::new(Limits::quartered(PAGES, 0)),
            wait_limit,
            read_limit,
        }
    }
}

/// Passes a request on when it has a permit, which it holds until its client has read the response. `refuse` creates the response to a
/// request that gets no permit in time, or no memory for its response.
pub async fn limit_concurrency<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
    permits: &Permits,
    refuse: impl Fn(&HttpRequest, ViewError) -> HttpResponse,
) -> Result<ServiceResponse<EitherBody<LimitedBody<B>>>, Error> {
    let refused = |request: HttpRequest, error| {
        let response = refuse(&request, error);
        ServiceResponse::new(request, response).map_into_right_body()
    };
    let client = client(request.peer_addr());
    let permit = permits.requests.take(client, 1, Rank::First);
    let Ok(Ok(permit)) = timeout(permits.wait_limit, permit).await else {
        let (request, _) = request.into_parts();
        return Ok(refused(request, ViewError::Busy));
    };
    let permit = Permit::new(permit);
    request.extensions_mut().insert(Permit::clone(&permit));
    let response = next.call(request).await?;
    let deadline = permits.clock.ran().saturating_add(permits.read_limit);
    let BodySize::Sized(size) = response.response().body().size() else {
        return Err(ErrorInternalServerError("a page without a length"));
    };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let memory = match size > permits.memory.limits().units_each {
        true => Err(ViewError::TooLarge),
        false => permits.memory.try_take(client, size).ok_or(ViewError::Busy),
    };
    let memory = match memory {
        Ok(memory) => memory,
        Err(error) => {
            let (request, _) = response.into_parts();
            return Ok(refused(request, error));
        }
    };
    let limited = response.map_body(|_, body| LimitedBody {
        body: Box::pin(body),
        piece: Bytes::new(),
        clock: permits.clock.clone(),
        deadline,
        _held: (permit, memory),
    });
    Ok(limited.map_into_left_body())
}

/// A body that holds its permit and its memory until it is sent. It is sent in pieces: the connection copies each into its own
/// buffer, which is not counted.
pub struct LimitedBody<B> {
    body: Pin<Box<B>>,
    piece: Bytes,
    clock: Clock,
    /// The end of [`Permits::read_limit`], by [`Clock::ran`]: time in which the process is stopped does not count.
    deadline: Duration,
    _held: (Permit, Share),
}

impl<B: MessageBody> MessageBody for LimitedBody<B> {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.clock.ran() >= self.deadline {
            return Poll::Ready(Some(Err("the response was read for too long".into())));
        }
        if self.piece.is_empty() {
            match ready!(self.body.as_mut().poll_next(context)) {
                Some(Ok(bytes)) => self.piece = bytes,
                end => return Poll::Ready(end.map(|end| end.map_err(Into::into))),
            }
        }
        let length = self.piece.len().min(PIECE);
        Poll::Ready(Some(Ok(self.piece.split_to(length))))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::SystemTime;

    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, HttpResponse, web};

    use super::*;

    const READ_LIMIT: Duration = Duration::from_secs(120);

    #[actix_rt::test]
    async fn a_page_that_is_read_for_too_long_is_cut() {
        async fn page() -> HttpResponse {
            HttpResponse::Ok().body("x".repeat(3 * PIECE))
        }
        let (clock, hands) = Clock::manual(SystemTime::UNIX_EPOCH);
        let permits = Permits::new(clock, 4, 16, Duration::from_secs(1), READ_LIMIT);
        let permits = Arc::new(permits);
        let limit = from_fn(move |request, next| {
            let permits = Arc::clone(&permits);
            async move {
                let refuse = |_: &HttpRequest, error: ViewError| error.response().finish();
                limit_concurrency(request, next, &permits, refuse).await
            }
        });
        let app = App::new().service(web::resource("/").wrap(limit).to(page));
        let app = init_service(app).await;
        let answer = call_service(&app, TestRequest::default().to_request()).await;
        let mut body = Box::pin(answer.into_body());
        let mut pieces = async || poll_fn(|context| body.as_mut().poll_next(context)).await;
        assert!(pieces().await.is_some_and(|piece| piece.is_ok()));
        hands.advance(READ_LIMIT - Duration::from_secs(1));
        assert!(pieces().await.is_some_and(|piece| piece.is_ok()));
        hands.advance(Duration::from_secs(1));
        assert!(pieces().await.is_some_and(|piece| piece.is_err()));
    }
}
