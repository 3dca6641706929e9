//! The JSON API, with the values that the page shows. It is described by `api.openapi.json`.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde::Serialize;
use tracing::debug;

use super::error::ViewError;
use super::request::{device_query, device_type, line_query, pool_query, refused};
use super::state::WebState;
use super::status::Status;
use super::with_fleet::with_fleet;
use crate::http::{Body, Compress, Fixed, ONLY_READING, method_not_allowed_builder};
use crate::view;

/// All paths begin with this.
pub const ROOT: &str = "/api/";

/// The description of this API.
const OPENAPI: &str = include_str!("api.openapi.json");

/// The description, plain and compressed.
#[derive(Debug)]
pub struct Description(Fixed);

impl Description {
    /// Compresses the description.
    #[must_use]
    pub fn new() -> Self {
        Self(Fixed::new(OPENAPI))
    }
}

/// The body of an error response.
#[derive(Debug, Serialize)]
struct Problem {
    error: String,
}

/// `/api/v1/status`: the state of the exporter and the fleet.
pub async fn status(request: HttpRequest, state: web::Data<WebState>) -> HttpResponse {
    let compress = Compress::accepted(&request);
    let shared = state.clone();
    let body = with_fleet(&request, &state, move |fleet| {
        let status = Status::of(&shared, &fleet.snapshot);
        body(compress, &status)
    });
    respond(body.await)
}

/// `/api/v1/devices`: a page of a list of devices.
pub async fn devices(request: HttpRequest, state: web::Data<WebState>) -> HttpResponse {
    let query = match device_query(&request, &state) {
        Ok(query) => query,
        Err(error) => return problem(refused(&error), &error),
    };
    let compress = Compress::accepted(&request);
    let body = with_fleet(&request, &state, move |fleet| {
        body(compress, &view::list(fleet, &query))
    });
    respond(body.await)
}

/// `/api/v1/lines`: a page of a list of service lines.
pub async fn lines(request: HttpRequest, state: web::Data<WebState>) -> HttpResponse {
    let query = match line_query(&request, &state) {
        Ok(query) => query,
        Err(error) => return problem(refused(&error), &error),
    };
    let compress = Compress::accepted(&request);
    let body = with_fleet(&request, &state, move |fleet| {
        body(compress, &view::lines(fleet, &query))
    });
    respond(body.await)
}

/// `/api/v1/pools`: a page of a list of data pools.
pub async fn pools(request: HttpRequest, state: web::Data<WebState>) -> HttpResponse {
    let query = match pool_query(&request, &state) {
        Ok(query) => query,
        Err(error) => return problem(refused(&error), &error),
    };
    let compress = Compress::accepted(&request);
    let body = with_fleet(&request, &state, move |fleet| {
        body(compress, &view::pools(fleet, &query))
    });
    respond(body.await)
}

/// `/api/v1/devices/{id}`: all values of a device. `type` distinguishes devices with the same identifier.
pub async fn device(
    id: web::Path<String>,
    request: HttpRequest,
    state: web::Data<WebState>,
) -> HttpResponse {
    let device_type = device_type(&request);
    let (wanted_id, wanted_type) = (id.clone(), device_type.clone());
    let compress = Compress::accepted(&request);
    let body = with_fleet(&request, &state, move |fleet| {
        let device = view::find(fleet, &wanted_id, wanted_type.as_deref())?;
        Some(body(compress, &device))
    });
    match body.await.transpose() {
        Some(body) => respond(body),
        None => {
            let of_type = device_type.map_or(String::new(), |name| format!(" and type {name:?}"));
            let what = format!("unknown device: ID {:?}{of_type}", &*id);
            problem(HttpResponse::NotFound(), &what)
        }
    }
}

/// `/api/v1/openapi.json`
pub async fn openapi(request: HttpRequest, description: web::Data<Description>) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response
        .content_type("application/json")
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    let body = description.0.body(Compress::accepted(&request));
    body.send(response)
}

/// A request with another method than GET and HEAD.
pub async fn method_not_allowed() -> HttpResponse {
    problem(method_not_allowed_builder(), &ONLY_READING)
}

/// The response to a request that cannot be answered.
pub fn refuse(_: &HttpRequest, _: &WebState, error: ViewError) -> HttpResponse {
    problem(error.response(), &error)
}

/// An error response.
pub fn problem(response: HttpResponseBuilder, error: &dyn ToString) -> HttpResponse {
    let error = error.to_string();
    dynamic(response).json(Problem { error })
}

/// Writes and compresses a value. Takes milliseconds for long lists.
fn body(compress: Compress, value: &impl Serialize) -> Result<Body, serde_json::Error> {
    serde_json::to_vec(value).map(|json| compress.body(json))
}

/// The response with a JSON body, or the error for which there is none.
fn respond(body: Result<Result<Body, serde_json::Error>, ViewError>) -> HttpResponse {
    let body = body.and_then(|body| {
        body.map_err(|error| {
            debug!(%error, "cannot write JSON");
            ViewError::Failed
        })
    });
    match body {
        Ok(body) => {
            let mut response = dynamic(HttpResponse::Ok());
            response.content_type("application/json");
            body.send(response)
        }
        Err(error) => problem(error.response(), &error),
    }
}

/// A response that must not be cached.
fn dynamic(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response
}
