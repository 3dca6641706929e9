//! Looks at the fleet for people and programs: off the workers' threads, and a few at a time, so that scrapes and probes never wait for
//! it, and what nobody takes fills no memory.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::ErrorInternalServerError;
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::Bytes;
use tokio::time::timeout;
use tracing::debug;

use super::{api, page};
use crate::http::{State, client, lease};
use crate::shares::{Rank, Share};
use crate::time::Clock;
use crate::view::Scene;

/// So much of an answer is handed to a connection at a time.
const PIECE: usize = 32 * 1024;

/// Why nothing can be shown at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// Too many others are looking.
    #[error("too many requests at once: try again in a moment")]
    Busy,
    /// The store has not answered.
    #[error("the store has not answered: the state of the fleet is not available at the moment")]
    Store,
    /// The response would take more memory than one client may have.
    #[error("the response would be too large: ask for fewer devices with per_page")]
    TooLarge,
    /// A fault of this program, which the log tells.
    #[error("the page could not be rendered: see the log")]
    Failed,
}

impl ViewError {
    /// The status, which says to try again later.
    #[must_use]
    pub fn response(self) -> HttpResponseBuilder {
        let mut response = match self {
            Self::Failed => HttpResponse::InternalServerError(),
            Self::TooLarge => HttpResponse::BadRequest(),
            Self::Busy | Self::Store => HttpResponse::ServiceUnavailable(),
        };
        if matches!(self, Self::Busy | Self::Store) {
            response.insert_header((header::RETRY_AFTER, "5"));
        }
        response
    }
}

/// Leave to look. Whatever works for a request holds it, also when nobody waits for that any more.
type Permit = Arc<Share>;

/// Lets a few requests through at a time, each until its client has taken the answer, and for so long as a scrape may take.
pub async fn limit_concurrency(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let state = request.app_data::<web::Data<State>>().cloned();
    let state = state.ok_or_else(|| ErrorInternalServerError("no state"))?;
    let client = client(request.peer_addr());
    let permit = state.looks.take(client, 1, Rank::First);
    let Ok(Ok(permit)) = timeout(state.query_limit, permit).await else {
        let (request, _) = request.into_parts();
        return Ok(refusal(request, &state, ViewError::Busy).map_into_right_body());
    };
    let permit = Permit::new(permit);
    request.extensions_mut().insert(Permit::clone(&permit));
    let response = next.call(request).await?;
    let deadline = state.clock.ran().saturating_add(state.answer_limit);
    let BodySize::Sized(size) = response.response().body().size() else {
        return Err(ErrorInternalServerError("a page without a length"));
    };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let memory = match size > state.look_memory.limits().units_each {
        true => Err(ViewError::TooLarge),
        false => state
            .look_memory
            .try_take(client, size)
            .ok_or(ViewError::Busy),
    };
    let memory = match memory {
        Ok(memory) => memory,
        Err(blind) => {
            let (request, _) = response.into_parts();
            return Ok(refusal(request, &state, blind).map_into_right_body());
        }
    };
    let held = response.map_body(|_, body| Held {
        body: Box::pin(body),
        piece: Bytes::new(),
        clock: state.clock.clone(),
        deadline,
        _held: (permit, memory),
    });
    Ok(held.map_into_left_body())
}

/// Why a page or an answer of the API is not to be had.
fn refusal(request: HttpRequest, state: &State, blind: ViewError) -> ServiceResponse {
    let refusal = match request.path().starts_with(api::ROOT) {
        true => api::problem(blind.response(), &blind),
        false => page::unseen(&request, state, blind),
    };
    ServiceResponse::new(request, refusal)
}

/// A body that holds a permit until it is out, and goes out in pieces: whole, it would stand in the connection's buffer with nobody counting it.
struct Held<B> {
    body: Pin<Box<B>>,
    piece: Bytes,
    clock: Clock,
    /// By the time that the process ran: a client cannot read while it is stopped.
    deadline: Duration,
    _held: (Permit, Share),
}

impl<B: MessageBody> MessageBody for Held<B> {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.clock.ran() >= self.deadline {
            return Poll::Ready(Some(Err("the answer was read for too long".into())));
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

/// What `view` makes of the fleet as it is.
///
/// # Errors
/// When there is nothing to look at.
pub async fn look<T: Send + 'static>(
    request: &HttpRequest,
    state: &State,
    view: impl FnOnce(&Scene) -> T + Send + 'static,
) -> Result<T, ViewError> {
    // Before there is a snapshot to hold. The semaphore is never closed.
    let making = Arc::clone(&state.making).acquire_owned().await;
    let snapshot = lease(state).await.and_then(|lease| lease.get());
    let scene = Scene {
        snapshot: snapshot.ok_or(ViewError::Store)?,
        names: state.names.load_full(),
        now: state.clock.now(),
    };
    let permit = request.extensions().get::<Permit>().cloned();
    let seen = state.pool.run(move || {
        let _held = (permit, making);
        view(&scene)
    });
    seen.await.map_err(|error| {
        debug!(%error, "cannot render a page");
        ViewError::Failed
    })
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::SystemTime;

    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, HttpRequest, HttpResponse, web};

    use super::*;
    use crate::http::tests::state;

    #[actix_rt::test]
    async fn a_page_that_is_read_for_too_long_is_cut() {
        async fn page() -> HttpResponse {
            HttpResponse::Ok().body("x".repeat(3 * PIECE))
        }
        let (clock, hands) = Clock::manual(SystemTime::UNIX_EPOCH);
        let state = State { clock, ..state() };
        let limit = state.answer_limit;
        let app = App::new()
            .app_data(web::Data::new(state))
            .service(web::resource("/").wrap(from_fn(limit_concurrency)).to(page));
        let app = init_service(app).await;
        let answer = call_service(&app, TestRequest::default().to_request()).await;
        let mut body = Box::pin(answer.into_body());
        let mut pieces = async || poll_fn(|context| body.as_mut().poll_next(context)).await;
        assert!(pieces().await.is_some_and(|piece| piece.is_ok()));
        hands.advance(limit - Duration::from_secs(1));
        assert!(pieces().await.is_some_and(|piece| piece.is_ok()));
        hands.advance(Duration::from_secs(1));
        assert!(pieces().await.is_some_and(|piece| piece.is_err()));
    }

    #[actix_rt::test]
    async fn permits_come_back_after_panics() {
        async fn panics(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
            match look(&request, &state, |_| panic!("a view panics")).await {
                Ok(()) => HttpResponse::Ok().finish(),
                Err(blind) => blind.response().finish(),
            }
        }
        let state = web::Data::new(state());
        let app = App::new().app_data(state.clone()).service(
            web::resource("/")
                .wrap(from_fn(limit_concurrency))
                .to(panics),
        );
        let app = init_service(app).await;
        for number in 0..100 {
            let answer = call_service(&app, TestRequest::default().to_request()).await;
            assert_eq!(answer.status(), 500, "{number}");
        }
    }
}
