//! Creates responses from the fleet on a thread pool instead of the web server's workers, so that scrapes and probes do not wait for a page.

use std::sync::Arc;

use actix_web::{HttpMessage, HttpRequest};
use tracing::debug;

use super::error::ViewError;
use super::permits::Permit;
use super::state::WebState;
use crate::time::unix_seconds;
use crate::view::NamedFleet;

/// Runs `make` with the current fleet on a thread of the pool, and returns its result.
///
/// # Errors
/// [`ViewError::Store`] if the store does not respond in time, [`ViewError::Failed`] if `make` panics.
pub async fn with_fleet<T: Send + 'static>(
    request: &HttpRequest,
    state: &WebState,
    make: impl FnOnce(&NamedFleet) -> T + Send + 'static,
) -> Result<T, ViewError> {
    // Before the snapshot is taken, so that waiting requests hold none. The semaphore is never closed.
    let rendering = Arc::clone(&state.rendering).acquire_owned().await;
    let snapshot = state
        .sources
        .fleet
        .lease()
        .await
        .and_then(|lease| lease.get());
    let fleet = NamedFleet {
        snapshot: snapshot.ok_or(ViewError::Store)?,
        names: state.sources.names.load_full(),
        now: state.sources.clock.now(),
        unix_now: unix_seconds(state.sources.clock.corrected()),
    };
    let permit = request.extensions().get::<Permit>().cloned();
    let made = state.sources.pool.run(move || {
        let _held = (permit, rendering);
        make(&fleet)
    });
    made.await.map_err(|error| {
        debug!(%error, "cannot render a page");
        ViewError::Failed
    })
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, HttpRequest, HttpResponse, web};

    use super::super::limited;
    use super::super::state::tests::state;
    use super::*;
    use crate::time::Clock;

    #[actix_rt::test]
    async fn permits_are_returned_after_panics() {
        async fn panics(request: HttpRequest, state: web::Data<WebState>) -> HttpResponse {
            match with_fleet(&request, &state, |_| panic!("a view panics")).await {
                Ok(()) => HttpResponse::Ok().finish(),
                Err(error) => error.response().finish(),
            }
        }
        let (clock, _hands) = Clock::manual(SystemTime::UNIX_EPOCH);
        let state = web::Data::new(state(clock));
        let page = web::resource("/").to(panics);
        let page = limited(page, state.clone(), |_, _, error| error.response().finish());
        let app = App::new().app_data(state).service(page);
        let app = init_service(app).await;
        for number in 0..100 {
            let answer = call_service(&app, TestRequest::default().to_request()).await;
            assert_eq!(answer.status(), 500, "{number}");
        }
    }
}
