//! Refuses requests with a body, which no path of this service uses, before the body is read.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse};

use super::connection::ConnectionHandle;
use super::request::method_not_allowed_builder;

/// Refuses requests with a body and closes the connection without reading the body.
pub async fn refuse_bodies(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if has_body(request.headers()) {
        if let Some(handle) = request.conn_data::<ConnectionHandle>() {
            handle.announce_last();
        }
        let (request, _) = request.into_parts();
        let refusal = refuse_body(request.method());
        return Ok(ServiceResponse::new(request, refusal).map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length != "0")
}

/// A wrong method is reported first.
fn refuse_body(method: &Method) -> HttpResponse {
    let mut response = match *method {
        Method::GET | Method::HEAD => HttpResponse::build(StatusCode::PAYLOAD_TOO_LARGE),
        _ => method_not_allowed_builder(),
    };
    response
        .force_close()
        .content_type("text/plain; charset=utf-8")
        .body("Requests must not have a body.\n")
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn a_body_is_recognised_by_the_head() {
        for (name, value, expected) in [
            (header::CONTENT_LENGTH, "0", false),
            (header::CONTENT_LENGTH, "1", true),
            (header::CONTENT_LENGTH, "x", true),
            (header::TRANSFER_ENCODING, "chunked", true),
            (header::CONTENT_TYPE, "text/plain", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name.clone(), HeaderValue::from_static(value));
            assert_eq!(has_body(&headers), expected, "{name}: {value}");
        }
    }
}
