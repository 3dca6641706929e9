//! Helpers of handlers: reading parts of a request, and limiting a path to GET and HEAD.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};

use actix_web::http::header::{self, AcceptEncoding, Encoding, Header};
use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, HttpResponseBuilder, Resource, Responder,
    guard, web,
};

use crate::shares::Client;

/// The client, by its address. Every open connection has one.
pub fn client(peer: Option<SocketAddr>) -> Client {
    Client::from(peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip()))
}

/// The first value that the query gives a parameter.
pub fn parameter<'r>(request: &'r HttpRequest, wanted: &'r str) -> Option<Cow<'r, str>> {
    parameters(request, wanted).next()
}

/// The values that the query gives a parameter.
pub fn parameters<'r>(
    request: &'r HttpRequest,
    wanted: &'r str,
) -> impl Iterator<Item = Cow<'r, str>> {
    let parameters = url::form_urlencoded::parse(request.query_string().as_bytes());
    let wanted = parameters.filter(move |(name, _)| name == wanted);
    wanted.map(|(_, value)| value)
}

/// The first of these parameters that the query gives more than once.
pub fn repeated<'w>(request: &HttpRequest, wanted: &[&'w str]) -> Option<&'w str> {
    let is_repeated = |wanted: &&str| parameters(request, wanted).count() > 1;
    wanted.iter().copied().find(is_repeated)
}

/// Whether the client prefers a compressed body.
pub fn accepts_gzip(request: &HttpRequest) -> bool {
    let supported = [Encoding::gzip(), Encoding::identity()];
    AcceptEncoding::parse(request)
        .ok()
        .and_then(|accept| accept.negotiate(supported.iter()))
        .is_some_and(|encoding| encoding == Encoding::gzip())
}

/// A path with one handler, for GET and HEAD alike. Other methods get a 405.
pub fn resource<F, A>(path: &str, handler: F) -> Resource
where
    F: Handler<A>,
    A: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let reading = guard::Any(guard::Get()).or(guard::Head());
    web::resource(path)
        .route(web::route().guard(reading).to(handler))
        .default_service(web::to(method_not_allowed))
}

/// The body of a 405.
pub const ONLY_READING: &str = "only GET and HEAD are supported";

async fn method_not_allowed() -> HttpResponse {
    method_not_allowed_builder()
        .content_type("text/plain; charset=utf-8")
        .body(format!("{ONLY_READING}\n"))
}

/// A 405 without a body.
pub fn method_not_allowed_builder() -> HttpResponseBuilder {
    let mut response = HttpResponse::MethodNotAllowed();
    response.insert_header((header::ALLOW, "GET, HEAD"));
    response
}
