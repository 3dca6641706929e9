//! `/metrics`: takes the snapshot that the store has published, and writes it chunk by chunk.

use std::error::Error;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use actix_web::http::header::{self, ContentEncoding, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, future, stream};

use super::bodies::{Bodies, PIECE, member};
use super::request::{accepts_gzip, client, parameter, parameters, repeated};
use super::segments::Parts;
use super::shown::{Content, Shown};
use super::{Sources, budget};
use crate::exposition::{
    Collect, Cursor, Exposition, Format, InfoFormat, Revoked, Shard, Telemetry, negotiate,
    requested, write_end,
};
use crate::self_metrics::{ProcessMetrics, ScrapeRefusal};
use crate::shares::{Limits, Rank, Share, Shares};
use crate::time::Clock;

/// The path of scrapes.
pub const PATH: &str = "/metrics";

/// The request headers on which responses to scrapes depend.
pub const VARY: &str = "Accept, Accept-Encoding";

/// The settings of scrapes.
#[derive(Debug)]
pub struct ScrapeOptions {
    /// The format of `starlink_info`.
    pub info_format: InfoFormat,
    /// A scrape that is still being read after this time is cut.
    pub read_limit: Duration,
    /// The memory of all scrapes in progress, in bytes.
    pub memory: usize,
    /// The most scrapes that wait for memory.
    pub most_waiting: usize,
}

/// What the handler of scrapes reads. Shared by all workers.
#[derive(Debug)]
pub struct Scrapes {
    sources: Sources,
    /// Compressed bodies, for all scrapes of a snapshot with the same names.
    bodies: Bodies<(Format, Shard, Option<Arc<str>>, Collect)>,
    /// The memory of scrapes in progress.
    memory: Shares,
    options: ScrapeOptions,
}

impl Scrapes {
    /// Serves scrapes from these sources.
    #[must_use]
    pub fn new(sources: Sources, options: ScrapeOptions) -> Self {
        let memory = Limits::quartered(options.memory, options.most_waiting);
        Self {
            bodies: Bodies::new(budget::bodies(), sources.pool.clone()),
            sources,
            memory: Shares::new(memory),
            options,
        }
    }
}

/// Responds to a scrape. It never waits for Starlink.
pub async fn scrape(request: HttpRequest, state: web::Data<Scrapes>) -> HttpResponse {
    let started = state.sources.clock.ran();
    let Wanted {
        format,
        shard,
        collect,
    } = match wanted(&request, &state) {
        Ok(wanted) => wanted,
        Err(refusal) => return refuse(StatusCode::BAD_REQUEST, &refusal),
    };
    let account = parameter(&request, "account");
    let Some(shown) = Shown::of(&state.sources, account.as_deref()) else {
        return refuse(StatusCode::NOT_FOUND, "Unknown account.");
    };
    let is_head = request.method() == Method::HEAD;
    let share = match is_head {
        // There is no body to read.
        true => None,
        false => match admitted(&request, &state, collect).await {
            Ok(share) => Some(share),
            Err(refusal) => return refuse_for_now(&state, refusal),
        },
    };
    let Some(content) = shown.read(&state.sources, shard, collect).await else {
        return refuse_for_now(&state, ScrapeRefusal::Store);
    };
    let is_gzip = accepts_gzip(&request);
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_TYPE, format.content_type()));
    if is_gzip {
        response.insert_header(ContentEncoding::Gzip);
    }
    if is_head {
        return response.streaming(stream::empty::<Result<Bytes, std::io::Error>>());
    }
    let scrape = Scrape {
        metrics: Arc::clone(&state.sources.metrics),
        format,
        clock: state.sources.clock.clone(),
        started,
        limit: state.options.read_limit,
        share,
    };
    if is_gzip {
        let Content {
            number,
            lease,
            selection,
            names,
            own,
        } = content;
        let version = (number, names.generation());
        let telemetry = LazyLock::new(move || Telemetry::named(format, lease, selection, &names));
        let key = (format, shard, shown.into_name(), collect);
        let reader = state.bodies.read(version, key, Arc::new(telemetry));
        let mut end = Vec::new();
        write_end(&mut end, format, &own);
        response.streaming(scrape.observed(member(reader, end)))
    } else {
        let text = content.text(format);
        response.streaming(scrape.observed(stream::iter(pieces(text))))
    }
}

fn refuse(status: StatusCode, reason: &str) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/plain; charset=utf-8")
        .body(format!("{reason}\n"))
}

/// A text in pieces of at most [`PIECE`] bytes, because a connection copies the bytes that it gets. If the snapshot is revoked, the last
/// item is an error.
fn pieces(mut text: Exposition) -> impl Iterator<Item = Result<Bytes, Revoked>> {
    let mut chunk = Bytes::new();
    std::iter::from_fn(move || {
        if chunk.is_empty() {
            chunk = match text.next() {
                Some(next) => next.into(),
                None => return text.ended().err().map(Err),
            };
        }
        Some(Ok(chunk.split_to(chunk.len().min(PIECE))))
    })
}

/// The memory that a scrape holds while it is being read, or why it gets none.
async fn admitted(
    request: &HttpRequest,
    state: &Scrapes,
    collect: Collect,
) -> Result<Share, ScrapeRefusal> {
    let snapshot = state.sources.fleet.newest().unwrap_or_default();
    let bytes = budget::scrape(&snapshot, collect);
    drop(snapshot);
    let client = client(request.peer_addr());
    let share = state.memory.take(client, bytes, Rank::First);
    match actix_rt::time::timeout(state.sources.fleet.wait_limit(), share).await {
        Ok(Ok(share)) => Ok(share),
        _ if state.memory.is_client_full(client, bytes) => Err(ScrapeRefusal::Client),
        _ => Err(ScrapeRefusal::Busy),
    }
}

fn refuse_for_now(state: &Scrapes, why: ScrapeRefusal) -> HttpResponse {
    state.sources.metrics.scrape_refused(why);
    let waited = state.sources.fleet.wait_limit();
    let reason = match why {
        ScrapeRefusal::Busy => {
            format!("too many scrapes at once: none has ended within {waited:?}")
        }
        ScrapeRefusal::Client => {
            format!("too many scrapes of this client at once: none has ended within {waited:?}")
        }
        ScrapeRefusal::Store => format!("the store has not answered within {waited:?}"),
    };
    let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, &reason);
    let soon = HeaderValue::from_static("5");
    response.headers_mut().insert(header::RETRY_AFTER, soon);
    response
}

/// The parameters of a scrape, except the account.
struct Wanted {
    format: Format,
    shard: Shard,
    collect: Collect,
}

/// Reads the parameters; without `format`, the format that the client accepts. A parameter that is given twice is refused, except
/// `collect[]`; unknown parameters are ignored.
fn wanted(request: &HttpRequest, state: &Scrapes) -> Result<Wanted, String> {
    // A list in `params` of Prometheus gives a parameter several times. Only a part of it would be scraped.
    if let Some(name) = repeated(request, &["format", "account", "shard", "total_shards"]) {
        return Err(format!("parameter {name} is given more than once"));
    }
    let parameter = |wanted| parameter(request, wanted);
    let format = match parameter("format") {
        Some(format) => requested(&format).map_err(|unknown| unknown.to_string())?,
        None => accepted(request, state),
    };
    let (shard, total) = (parameter("shard"), parameter("total_shards"));
    let shard = Shard::requested(shard.as_deref(), total.as_deref());
    let collect = Collect::requested(parameters(request, "collect[]"));
    Ok(Wanted {
        format,
        shard: shard.map_err(|unknown| unknown.to_string())?,
        collect: collect.map_err(|unknown| unknown.to_string())?,
    })
}

fn accepted(request: &HttpRequest, state: &Scrapes) -> Format {
    let values = request.headers().get_all(header::ACCEPT);
    let values: Option<Vec<&str>> = values.map(|value| value.to_str().ok()).collect();
    let accept = values.map(|values| values.join(", "));
    negotiate(accept.as_deref(), state.options.info_format)
}

/// A scrape in progress.
struct Scrape {
    metrics: Arc<ProcessMetrics>,
    format: Format,
    clock: Clock,
    /// By the time that the process ran: a client cannot read while the process is stopped.
    started: Duration,
    limit: Duration,
    share: Option<Share>,
}

impl Scrape {
    /// The chunks, or an error, which ends the connection, if reading takes too long. Counts the scrape after its last chunk, and returns
    /// its memory in any case.
    fn observed<S, E>(self, chunks: S) -> impl Stream<Item = Result<Bytes, Box<dyn Error>>>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn Error>>,
    {
        let deadline = self.started.saturating_add(self.limit);
        let clock = self.clock.clone();
        let chunks = chunks.map(move |chunk| match clock.ran() < deadline {
            true => chunk.map_err(Into::into),
            false => Err("the scrape was read for too long".into()),
        });
        let counted = stream::once(future::lazy(move |_| {
            self.metrics.scraped(self.format);
            let took = self.clock.ran().saturating_sub(self.started);
            self.metrics.scrape_duration.observe(took);
            drop(self.share);
        }));
        chunks.chain(counted.filter_map(|()| future::ready(None)))
    }
}

/// The layout is made when the first part is compressed: readers of a complete body need none.
impl<F> Parts for LazyLock<Telemetry, F>
where
    F: FnOnce() -> Telemetry + Send + Sync + 'static,
{
    fn steps(&self) -> usize {
        Telemetry::steps(self)
    }

    fn write(
        &self,
        from: Cursor,
        out: &mut Vec<u8>,
        enough: usize,
    ) -> Result<Option<Cursor>, Revoked> {
        Telemetry::write(self, from, out, enough)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[actix_rt::test]
    async fn a_scrape_that_is_read_for_too_long_is_cut_and_not_counted() {
        const LIMIT: Duration = Duration::from_secs(120);
        for (each, expected) in [
            (30, [true, true, true, true]),
            (41, [true, true, true, false]),
        ] {
            let (clock, hands) = Clock::manual(SystemTime::UNIX_EPOCH);
            let scrape = Scrape {
                metrics: Arc::default(),
                format: Format::Prometheus,
                started: clock.ran(),
                clock,
                limit: LIMIT,
                share: None,
            };
            let metrics = Arc::clone(&scrape.metrics);
            let chunks =
                stream::iter([(); 4].map(|()| Ok::<_, Revoked>(Bytes::from_static(b"chunk"))));
            let mut read = Box::pin(scrape.observed(chunks));
            for is_whole in expected {
                assert_eq!(read.next().await.map(|chunk| chunk.is_ok()), Some(is_whole));
                hands.advance(Duration::from_secs(each));
            }
            if each == 30 {
                assert!(read.next().await.is_none());
            }
            let families = metrics.families();
            let family = |name| families.iter().find(|family| family.family.name == name);
            let took = family("starlink_exporter_scrape_duration_seconds").unwrap();
            let sum = took.samples.iter().find(|sample| sample.suffix == "_sum");
            let expected = if each == 30 { 120.0 } else { 0.0 };
            assert!((sum.unwrap().value - expected).abs() < f64::EPSILON);
        }
    }
}
