//! `/metrics`: asks the store for a snapshot and renders it chunk by chunk.

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use actix_web::http::header::{self, AcceptEncoding, ContentEncoding, Encoding, Header};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;

use super::State;
use crate::actors::{ActorStatus, Cause, Role};
use crate::exposition::{
    Exposition, Format, Kind, OwnFamily, Shard, Telemetry, UnknownFormat, negotiate, requested,
};
use crate::fleet::Snapshot;
use crate::self_metrics::{self, SelfMetrics};

/// Answers a scrape. It never waits for Starlink.
pub async fn scrape(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    let started = Instant::now();
    let format = match format(&request, &state) {
        Ok(format) => format,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    // Counted before the store is asked: a scrape that counts a batch shows it.
    let own = state.metrics.families();
    let Some(snapshot) = snapshot(&state).await else {
        let reason = format!("the store has not answered within {:?}", state.query_limit);
        return refuse(StatusCode::SERVICE_UNAVAILABLE, &reason);
    };
    let is_gzip = accepts_gzip(&request);
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, format.content_type()))
        .insert_header((header::VARY, "Accept, Accept-Encoding"));
    if is_gzip {
        response.insert_header(ContentEncoding::Gzip);
    }
    if request.method() == Method::HEAD {
        return response.streaming(stream::empty::<Result<Bytes, std::io::Error>>());
    }
    let own = own_families(own, &snapshot, &state);
    let chunks = Exposition::new(Telemetry::new(format, snapshot, Shard::WHOLE), own);
    let scrape = Scrape {
        metrics: Arc::clone(&state.metrics),
        format,
        started,
    };
    if is_gzip {
        response.streaming(stream::iter(scrape.observed(Gzip::new(chunks))))
    } else {
        let chunks = chunks.map(|chunk| std::io::Result::Ok(Bytes::from(chunk)));
        response.streaming(stream::iter(scrape.observed(chunks)))
    }
}

fn refuse(status: StatusCode, reason: &str) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::VARY, "Accept, Accept-Encoding"))
        .content_type("text/plain; charset=utf-8")
        .body(format!("{reason}\n"))
}

/// What the parameter `format` says, else what the client accepts.
fn format(request: &HttpRequest, state: &State) -> Result<Format, UnknownFormat> {
    let mut parameters = url::form_urlencoded::parse(request.query_string().as_bytes());
    if let Some((_, wanted)) = parameters.find(|(name, _)| name == "format") {
        return requested(&wanted);
    }
    let values = request.headers().get_all(header::ACCEPT);
    let values: Option<Vec<&str>> = values.map(|value| value.to_str().ok()).collect();
    let accept = values.map(|values| values.join(", "));
    Ok(negotiate(accept.as_deref(), state.info_format))
}

fn accepts_gzip(request: &HttpRequest) -> bool {
    let supported = [Encoding::gzip(), Encoding::identity()];
    AcceptEncoding::parse(request)
        .ok()
        .and_then(|accept| accept.negotiate(supported.iter()))
        .is_some_and(|encoding| encoding == Encoding::gzip())
}

/// The fleet as it is; `None` when the store cannot say so: it is busy or dead for too long, or hangs.
async fn snapshot(state: &State) -> Option<Arc<Snapshot>> {
    let now = state.clock.now();
    let store = state
        .actors
        .iter()
        .find(|status| status.role() == Role::MetricsStore);
    if store.is_some_and(|store| store.trouble(now, state.silence_limit).is_some()) {
        return None;
    }
    actix_rt::time::timeout(state.query_limit, state.published.snapshot())
        .await
        .ok()
}

/// All own families, in their order: those about polls and scrapes, then devices, actors, build and process.
fn own_families(mut own: Vec<OwnFamily>, snapshot: &Snapshot, state: &State) -> Vec<OwnFamily> {
    own.push(self_metrics::devices(snapshot));
    own.extend(actor_families(&state.actors));
    own.push(self_metrics::build_info());
    own.extend(self_metrics::process());
    own
}

#[expect(clippy::cast_precision_loss, reason = "a sample is an f64")]
fn actor_families(actors: &[Arc<ActorStatus>]) -> [OwnFamily; 2] {
    let mut up = OwnFamily::new(
        Kind::Gauge,
        "starlink_exporter_actor_up",
        "Whether the actor is running: 0 in restart backoff.",
    );
    let mut restarts = OwnFamily::new(
        Kind::Counter,
        "starlink_exporter_actor_restarts_total",
        "Restarts of the actor, by cause.",
    );
    for status in actors {
        let actor = status.role().name();
        up = up.labelled("actor", actor, f64::from(u8::from(status.is_up())));
        for cause in Cause::ALL {
            let labels = vec![
                ("actor", actor.to_owned()),
                ("cause", cause.name().to_owned()),
            ];
            restarts = restarts.sample("", labels, status.restarts(cause) as f64);
        }
    }
    [up, restarts]
}

/// Counts a scrape when its last chunk is out.
struct Scrape {
    metrics: Arc<SelfMetrics>,
    format: Format,
    started: Instant,
}

impl Scrape {
    fn observed<I: Iterator>(self, chunks: I) -> impl Iterator<Item = I::Item> {
        let mut pending = Some(self);
        let last = std::iter::from_fn(move || {
            if let Some(scrape) = pending.take() {
                scrape.metrics.scraped(scrape.format);
                scrape
                    .metrics
                    .scrape_duration
                    .observe(scrape.started.elapsed());
            }
            None
        });
        chunks.chain(last)
    }
}

/// Compresses chunks into one gzip member.
struct Gzip<I> {
    chunks: I,
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl<I: Iterator<Item = Vec<u8>>> Gzip<I> {
    fn new(chunks: I) -> Self {
        Self {
            chunks,
            encoder: Some(GzEncoder::new(Vec::new(), Compression::fast())),
        }
    }
}

impl<I: Iterator<Item = Vec<u8>>> Iterator for Gzip<I> {
    type Item = std::io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let encoder = self.encoder.as_mut()?;
            match self.chunks.next() {
                Some(chunk) => {
                    if let Err(error) = encoder.write_all(&chunk) {
                        return Some(Err(error));
                    }
                    let compressed = std::mem::take(encoder.get_mut());
                    if !compressed.is_empty() {
                        return Some(Ok(compressed.into()));
                    }
                }
                None => {
                    return self
                        .encoder
                        .take()
                        .map(|last| last.finish().map(Into::into));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn chunks_become_one_gzip_member() {
        for chunks in [
            vec![],
            vec![b"a".to_vec()],
            vec![vec![b'x'; 100_000], b"yz".to_vec()],
        ] {
            let whole = chunks.concat();
            let compressed: Vec<u8> = Gzip::new(chunks.into_iter())
                .flat_map(Result::unwrap)
                .collect();
            let mut decoder = flate2::bufread::GzDecoder::new(compressed.as_slice());
            let mut text = Vec::new();
            decoder.read_to_end(&mut text).unwrap();
            assert_eq!(text, whole);
            assert!(
                decoder.into_inner().is_empty(),
                "one member, nothing behind it"
            );
        }
    }
}
