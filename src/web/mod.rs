//! The status page and the JSON API.

mod api;
mod error;
mod not_found;
mod page;
mod permits;
mod request;
mod state;
mod status;
mod with_fleet;

use actix_web::dev::HttpServiceFactory;
use actix_web::middleware::from_fn;
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, web};

use crate::http::resource;

use self::error::ViewError;
use self::permits::limit_concurrency;
pub use self::state::{WebOptions, WebState};

/// Creates the error response of a page (HTML) or of the API (JSON).
type Refuse = fn(&HttpRequest, &WebState, ViewError) -> HttpResponse;

/// Adds the page and the API to an application, and a 404 at all other paths.
pub fn routes(config: &mut web::ServiceConfig, state: &web::Data<WebState>) {
    let limited = |resource, refuse| limited(resource, state.clone(), refuse);
    config
        .app_data(state.clone())
        .app_data(web::Data::new(page::assets::Assets::new()))
        .app_data(web::Data::new(api::Description::new()))
        .service(limited(resource("/", page::home), page::refuse))
        .service(limited(resource("/device", page::device), page::refuse))
        .service(limited(resource("/lines", page::lines), page::refuse))
        .service(resource("/assets/{file}", page::assets::show))
        .service(limited(
            api_resource("/api/v1/status", api::status),
            api::refuse,
        ))
        .service(limited(
            api_resource("/api/v1/devices", api::devices),
            api::refuse,
        ))
        .service(limited(
            api_resource("/api/v1/devices/{id:.+}", api::device),
            api::refuse,
        ))
        .service(limited(
            api_resource("/api/v1/lines", api::lines),
            api::refuse,
        ))
        .service(limited(
            api_resource("/api/v1/pools", api::pools),
            api::refuse,
        ))
        .service(api_resource("/api/v1/openapi.json", api::openapi))
        .default_service(web::to(not_found::show));
}

/// Limits the concurrent requests of a path that reads the fleet.
fn limited(
    resource: Resource,
    state: web::Data<WebState>,
    refuse: Refuse,
) -> impl HttpServiceFactory + 'static {
    resource.wrap(from_fn(move |request, next| {
        let state = state.clone();
        async move {
            let refuse = |request: &HttpRequest, error| refuse(request, &state, error);
            limit_concurrency(request, next, &state.permits, refuse).await
        }
    }))
}

/// A path of the API, whose errors are JSON.
fn api_resource<F, A>(path: &str, handler: F) -> Resource
where
    F: Handler<A>,
    A: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    resource(path, handler).default_service(web::to(api::method_not_allowed))
}
