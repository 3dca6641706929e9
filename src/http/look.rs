//! Looks at the fleet for people and programs: off the workers' threads, and a few at a time, so that scrapes and probes never wait for it.

use std::sync::Arc;

use actix_rt::task::spawn_blocking;
use actix_web::HttpResponse;
use actix_web::http::header;
use tokio::time::timeout;
use tracing::error;

use super::State;
use super::metrics::snapshot;
use crate::view::Scene;

/// So many looks are taken at the same time: each may keep a core busy for a while.
pub const MOST_LOOKS: usize = 2;

/// Why nothing can be shown at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Blind {
    /// Too many others are looking.
    #[error("too many pages are being made: try again in a moment")]
    Busy,
    /// The store has not answered.
    #[error("the store has not answered: the fleet's state is not known at the moment")]
    Store,
    /// A fault of this program, which the log tells.
    #[error("the page could not be made: see the log")]
    Failed,
}

impl Blind {
    /// The status, which says to try again later.
    #[must_use]
    pub fn response(self) -> actix_web::HttpResponseBuilder {
        let mut response = match self {
            Self::Failed => HttpResponse::InternalServerError(),
            Self::Busy | Self::Store => HttpResponse::ServiceUnavailable(),
        };
        if self != Self::Failed {
            response.insert_header((header::RETRY_AFTER, "5"));
        }
        response
    }
}

/// What `view` makes of the fleet as it is.
///
/// # Errors
/// When there is nothing to look at, or no room.
pub async fn look<T: Send + 'static>(
    state: &State,
    view: impl FnOnce(&Scene) -> T + Send + 'static,
) -> Result<T, Blind> {
    let permit = timeout(state.query_limit, Arc::clone(&state.looks).acquire_owned());
    let Ok(Ok(permit)) = permit.await else {
        return Err(Blind::Busy);
    };
    let scene = Scene {
        snapshot: snapshot(state).await.ok_or(Blind::Store)?,
        names: state.names.load_full(),
        now: state.clock.now(),
    };
    let seen = spawn_blocking(move || {
        let seen = view(&scene);
        // The look is over, also where the client has gone meanwhile.
        drop(permit);
        seen
    });
    seen.await.map_err(|cause| {
        error!(%cause, "a page could not be made");
        Blind::Failed
    })
}
