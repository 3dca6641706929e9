//! The last step of every response: shared headers, and a framing that the client understands.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::Error;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{ConnectionType, Version};
use actix_web::middleware::Next;
use bytes::Bytes;

use super::admission::{OptionalGate, gate};
use super::connection::ConnectionHandle;
use super::metrics;

/// A body of at most this many bytes leaves the connection's buffer small.
const SMALL: u64 = 8 * 1024;

/// Adds `X-Content-Type-Options: nosniff`, `Vary` for `/metrics`, and the operator's headers, which take precedence. Closes the
/// connection after a body that an HTTP/1.0 client could not delimit otherwise, and if there are too many connections.
pub async fn finish(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let gate = gate(&request)?;
    let version = request.version();
    let handle = request
        .conn_data::<ConnectionHandle>()
        .cloned()
        .unwrap_or_default();
    let is_scrape = request.path() == metrics::PATH;
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    if is_scrape {
        headers.insert(header::VARY, HeaderValue::from_static(metrics::VARY));
    }
    insert_shared(headers, &gate);
    let size = response.response().body().size();
    let head = response.response_mut().head_mut();
    // The chunked transfer coding exists since HTTP/1.1 (RFC 9112, 7.1).
    let has_chunks = version >= Version::HTTP_11;
    let is_unbounded = !has_chunks && size == BodySize::Stream;
    if is_unbounded {
        head.no_chunking(true);
    }
    if is_unbounded || (is_large(size) && handle.is_crowded()) {
        head.set_connection_type(ConnectionType::Close);
    }
    handle.begin_response();
    Ok(response.map_body(|_, body| TrackedBody {
        body: Box::pin(body),
        handle,
    }))
}

/// Whether a body of this size enlarges the web server's buffer of the connection, which never shrinks.
fn is_large(size: BodySize) -> bool {
    match size {
        BodySize::None => false,
        BodySize::Sized(bytes) => bytes > SMALL,
        BodySize::Stream => true,
    }
}

/// Inserts `X-Content-Type-Options: nosniff` and the operator's headers, which take precedence over all others.
pub fn insert_shared(headers: &mut HeaderMap, gate: &OptionalGate) {
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    for (name, value) in gate.iter().flat_map(|gate| gate.headers()) {
        headers.insert(name.clone(), value.clone());
    }
}

/// A body that reports to its connection when it ends, and whether it is complete.
struct TrackedBody<B> {
    body: Pin<Box<B>>,
    handle: ConnectionHandle,
}

impl<B> Drop for TrackedBody<B> {
    fn drop(&mut self) {
        self.handle.end_response();
    }
}

impl<B: MessageBody> MessageBody for TrackedBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let piece = ready!(self.body.as_mut().poll_next(context));
        if let Some(Err(_)) = &piece {
            self.handle.break_off();
        }
        Poll::Ready(piece)
    }
}
