//! The JSON API: what the page shows, for programs. `api.openapi.json` beside this file describes it.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde::Serialize;
use tracing::debug;

use super::look::{ViewError, look};
use super::status::Status;
use crate::http::{Body, Compress, Fixed, ONLY_READING, State, method_not_allowed_builder};
use crate::view::{self, Overview, Question};

/// What all its paths begin with.
pub const ROOT: &str = "/api/";

/// The description of this API.
const OPENAPI: &str = include_str!("api.openapi.json");

/// The description, in both forms in which it is sent.
#[derive(Debug)]
pub struct Description(Fixed);

impl Description {
    /// Compresses it.
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

/// `/api/v1/status`: how the exporter and the fleet are.
pub async fn status(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    let compress = Compress::accepted(&request);
    let shared = state.clone();
    let made = look(&request, &state, move |scene| {
        let status = Status::of(&shared, Overview::of(&scene.snapshot));
        body(compress, &status)
    });
    respond(made.await)
}

/// `/api/v1/devices`: a page of a list of devices.
pub async fn devices(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    let question = match Question::parse(request.query_string()) {
        Ok(question) => question,
        Err(error) => return problem(HttpResponse::BadRequest(), &error),
    };
    let compress = Compress::accepted(&request);
    let made = look(&request, &state, move |scene| {
        body(compress, &view::list(scene, &question))
    });
    respond(made.await)
}

/// `/api/v1/devices/{id}`: all that is known of a device; `type` tells devices with one identifier apart.
pub async fn device(
    id: web::Path<String>,
    request: HttpRequest,
    state: web::Data<State>,
) -> HttpResponse {
    let device_type = super::device_type(&request);
    let (wanted, named) = (id.clone(), device_type.clone());
    let compress = Compress::accepted(&request);
    let made = look(&request, &state, move |scene| {
        let device = view::find(scene, &wanted, device_type.as_deref())?;
        Some(body(compress, &device))
    });
    match made.await.transpose() {
        Some(made) => respond(made),
        None => {
            let of_type = named.map_or(String::new(), |name| format!(" and type {name:?}"));
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

/// An error response.
pub fn problem(response: HttpResponseBuilder, error: &dyn ToString) -> HttpResponse {
    let error = error.to_string();
    dynamic(response).json(Problem { error })
}

/// Writes a value, and compresses it: both take milliseconds for long lists.
fn body(compress: Compress, value: &impl Serialize) -> Result<Body, serde_json::Error> {
    serde_json::to_vec(value).map(|json| compress.body(json))
}

fn respond(made: Result<Result<Body, serde_json::Error>, ViewError>) -> HttpResponse {
    let made = made.and_then(|made| {
        made.map_err(|error| {
            debug!(%error, "cannot write JSON");
            ViewError::Failed
        })
    });
    match made {
        Ok(body) => {
            let mut response = dynamic(HttpResponse::Ok());
            response.content_type("application/json");
            body.send(response)
        }
        Err(blind) => problem(blind.response(), &blind),
    }
}

/// A response that holds only now.
fn dynamic(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response
}
