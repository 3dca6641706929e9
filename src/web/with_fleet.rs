//! Creates responses from the fleet on other threads than the workers', so that scrapes and probes do not wait for a page.

use std::sync::Arc;

use actix_web::{HttpMessage, HttpRequest};
use tracing::debug;

use super::error::ViewError;
use super::permits::Permit;
use super::state::WebState;
use crate::view::NamedFleet;

/// What `make` returns for the fleet as it is now.
///
/// # Errors
/// If the store does not answer, or `make` panics.
pub async fn with_fleet<T: Send + 'static>(
    request: &HttpRequest,
    state: &WebState,
    make: impl FnOnce(&NamedFleet) -> T + Send + 'static,
) -> Result<T, ViewError> {
    // Taken before a snapshot is held. The semaphore is never closed.
    let making = Arc::clone(&state.making).acquire_owned().await;
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
    };
    let permit = request.extensions().get::<Permit>().cloned();
    let made = state.sources.pool.run(move || {
        let _held = (permit, making);
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
    async fn permits_come_back_after_panics() {
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
