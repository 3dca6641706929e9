//! The status page and the JSON API: the exporter and the fleet for people, and for programs that are no scrapers.

mod api;
mod look;
mod not_found;
mod page;
mod status;

use std::borrow::Cow;

use actix_web::dev::HttpServiceFactory;
use actix_web::middleware::from_fn;
use actix_web::{FromRequest, Handler, HttpRequest, Resource, Responder, web};

use crate::http::{parameter, resource};

/// Adds the page and the API to an application, and an answer at all other paths.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .app_data(web::Data::new(page::assets::Assets::new()))
        .app_data(web::Data::new(api::Description::new()))
        .service(limited(resource("/", page::home)))
        .service(limited(resource("/device", page::device)))
        .service(resource("/assets/{file}", page::assets::show))
        .service(limited(api_resource("/api/v1/status", api::status)))
        .service(limited(api_resource("/api/v1/devices", api::devices)))
        .service(limited(api_resource(
            "/api/v1/devices/{id:.+}",
            api::device,
        )))
        .service(api_resource("/api/v1/openapi.json", api::openapi))
        .default_service(web::to(not_found::show));
}

/// Answers a limited number of requests at the same time: those that look at the fleet.
fn limited(resource: Resource) -> impl HttpServiceFactory + 'static {
    resource.wrap(from_fn(look::limit_concurrency))
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

/// The type that a request for one device names; an empty one, as forms send it, is none.
fn device_type(request: &HttpRequest) -> Option<String> {
    let name = parameter(request, "type").filter(|name| !name.is_empty());
    name.map(Cow::into_owned)
}
