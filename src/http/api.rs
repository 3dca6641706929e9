//! The JSON API: what the page shows, for programs. `api.openapi.json` beside this file says what each answer looks like.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde::Serialize;

use super::State;
use super::look::look;
use super::status::Status;
use crate::view::{self, Overview, Question};

/// What all its paths begin with.
pub const ROOT: &str = "/api/";

/// The description of this API.
const OPENAPI: &str = include_str!("api.openapi.json");

/// What an answer that is none says.
#[derive(Debug, Serialize)]
struct Problem {
    error: String,
}

/// `/api/v1/status`: how the exporter and the fleet are.
pub async fn status(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    match look(&request, &state, |scene| Overview::of(&scene.snapshot)).await {
        Ok(overview) => json(HttpResponse::Ok(), &Status::of(&state, overview)),
        Err(blind) => problem(blind.response(), &blind),
    }
}

/// `/api/v1/devices`: a page of a list of devices.
pub async fn devices(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    let question = match Question::parse(request.query_string()) {
        Ok(question) => question,
        Err(error) => return problem(HttpResponse::BadRequest(), &error),
    };
    match look(&request, &state, move |scene| view::list(scene, &question)).await {
        Ok(page) => json(HttpResponse::Ok(), &page),
        Err(blind) => problem(blind.response(), &blind),
    }
}

/// `/api/v1/devices/{id}`: all that is known of a device; `type` tells devices with one identifier apart.
pub async fn device(
    id: web::Path<String>,
    request: HttpRequest,
    state: web::Data<State>,
) -> HttpResponse {
    let device_type = super::device_type(&request);
    let (wanted, named) = (id.clone(), device_type.clone());
    let found = look(&request, &state, move |scene| {
        view::find(scene, &wanted, device_type.as_deref())
    })
    .await;
    match found {
        Ok(Some(device)) => json(HttpResponse::Ok(), &device),
        Ok(None) => {
            let of_type = named.map_or(String::new(), |name| format!(" and the type {name:?}"));
            let what = format!("no device with the identifier {:?}{of_type} is known", &*id);
            problem(HttpResponse::NotFound(), &what)
        }
        Err(blind) => problem(blind.response(), &blind),
    }
}

/// `/api/v1/openapi.json`
pub async fn openapi() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(OPENAPI)
}

/// An answer that says why there is no other.
pub fn problem(response: HttpResponseBuilder, error: &dyn ToString) -> HttpResponse {
    let error = error.to_string();
    json(response, &Problem { error })
}

fn json(mut response: HttpResponseBuilder, value: &impl Serialize) -> HttpResponse {
    response
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .json(value)
}
