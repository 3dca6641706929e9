//! Authentication of requests, where passwords are configured.

use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::ErrorInternalServerError;
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};

use super::probes;
use super::request::client;
use crate::web_config::{Admission, Gate};

/// The gate of a listener, or `None` if it is open.
pub type OptionalGate = Option<Arc<Gate>>;

/// The gate of a request's listener. Fails if the application was built without that data, so that a mistake opens no listener.
pub fn gate(request: &ServiceRequest) -> Result<OptionalGate, Error> {
    let gate = request.app_data::<web::Data<OptionalGate>>();
    let gate = gate.ok_or_else(|| ErrorInternalServerError("no gate"))?;
    Ok(gate.as_ref().clone())
}

/// Passes on authorised requests, and those of probes.
pub async fn admit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let admission = match gate(&request)? {
        // A kubelet has no password. Probes show states and reasons, but no secrets.
        Some(gate) if !probes::PATHS.contains(&request.path()) => {
            let authorization = request.headers().get(header::AUTHORIZATION);
            gate.admit(client(request.peer_addr()), authorization).await
        }
        _ => Admission::Granted,
    };
    if admission == Admission::Granted {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let (request, _) = request.into_parts();
    Ok(ServiceResponse::new(request, refusal(admission)).map_into_right_body())
}

fn refusal(admission: Admission) -> HttpResponse {
    if admission == Admission::Busy {
        return HttpResponse::ServiceUnavailable()
            .insert_header((header::RETRY_AFTER, "1"))
            .content_type("text/plain; charset=utf-8")
            .body("Too many passwords are being checked. Try again in a moment.\n");
    }
    HttpResponse::Unauthorized()
        .insert_header((
            header::WWW_AUTHENTICATE,
            r#"Basic realm="starlink-telemetry", charset="UTF-8""#,
        ))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type("text/plain; charset=utf-8")
        .body("Authentication required\n")
}
