//! Errors of pages and of the API.

use actix_web::http::header;
use actix_web::{HttpResponse, HttpResponseBuilder};

/// Why nothing can be shown at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// Too many other requests are being answered.
    #[error("too many requests at once: try again in a moment")]
    Busy,
    /// The store has not answered.
    #[error("the store has not answered: the state of the fleet is not available at the moment")]
    Store,
    /// The response would take more memory than one client may have.
    #[error("the response would be too large: ask for fewer devices with per_page")]
    TooLarge,
    /// A fault of this program, which is logged.
    #[error("the page could not be rendered: see the log")]
    Failed,
}

impl ViewError {
    /// The response, without a body.
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
