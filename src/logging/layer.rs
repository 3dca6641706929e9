//! The tracing layer: formats events with their spans as lines and queues them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::callsite::Identifier;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::fields::{Fields, Value};
use super::line::{self, Format};
use super::queue::{Importance, Queue};
use super::repeats::{Repeats, Verdict};
use crate::redaction::Redactor;
use crate::time::Clock;

/// The most spans of a line, counted from the root.
const MAX_SPANS: usize = 4;

/// The name of the field that alone identifies a repeated panic. The message is ignored, because a client that can cause the panic
/// may also vary the message.
pub(super) const PLACE: &str = "place";

/// Formats events as lines, unless they are suppressed as repetitions.
pub(super) struct LogLayer {
    format: Format,
    redactor: Redactor,
    clock: Clock,
    repeats: Mutex<Repeats<Identifier>>,
    queue: Arc<Queue>,
}

impl LogLayer {
    pub(super) fn new(format: Format, redactor: Redactor, clock: Clock, queue: Arc<Queue>) -> Self {
        Self {
            format,
            redactor,
            clock,
            repeats: Mutex::new(Repeats::new()),
            queue,
        }
    }

    /// Whether to log an event. DEBUG and TRACE are not limited.
    fn decide(&self, event: &Event<'_>, fields: &Fields) -> Verdict {
        let level = *event.metadata().level();
        if level > Level::INFO {
            return Verdict::Write { suppressed: 0 };
        }
        // INFO is a change of state, which is logged even if it repeats, such as a file that is reloaded again.
        let digest = (level < Level::INFO).then(|| digest(fields));
        let site = event.metadata().callsite();
        let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
        repeats.decide(site, digest, self.clock.elapsed())
    }
}

/// A hash that is equal for repetitions of an event: of its place if it has one, else of its texts. Numbers (counts, durations) are
/// ignored, as they differ between repetitions.
fn digest(fields: &Fields) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Some((_, Value::Text(place))) = fields.others.iter().find(|(name, _)| *name == PLACE) {
        place.hash(&mut hasher);
        return hasher.finish();
    }
    fields.message.hash(&mut hasher);
    for (name, value) in &fields.others {
        if let Value::Text(text) = value {
            (name, text).hash(&mut hasher);
        }
    }
    hasher.finish()
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let fields = Fields::collect(&self.redactor, |visitor| attributes.record(visitor));
            span.extensions_mut().replace(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        // Before the span is locked, because formatting a value may log.
        let later = Fields::collect(&self.redactor, |visitor| values.record(visitor));
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            fields.update(later);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let fields = Fields::collect(&self.redactor, |visitor| event.record(visitor));
        let Verdict::Write { suppressed } = self.decide(event, &fields) else {
            return;
        };
        let spans = context.event_scope(event).into_iter();
        let spans = spans.flat_map(|scope| scope.from_root()).take(MAX_SPANS);
        let spans = spans.map(|span| {
            let fields = span.extensions().get::<Fields>().cloned();
            (span.name(), fields.unwrap_or_default())
        });
        let spans: Vec<_> = spans.collect();
        let mut time = String::new();
        // The only error is a clock before 1970. The line has no time then.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let metadata = event.metadata();
        let level = *metadata.level();
        let line = line::write(
            self.format,
            &line::Event {
                time: &time,
                level,
                target: metadata.target(),
                fields: &fields,
                suppressed,
                spans: &spans,
            },
        );
        let importance = match level > Level::INFO {
            true => Importance::Detail,
            false => Importance::Event,
        };
        self.queue.push(line, importance);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime as WallClock};

    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::log_panic;
    use super::*;

    /// A client may repeat a request that makes the service panic, each time with another message.
    #[test]
    fn panics_at_one_place_are_logged_once_a_minute() {
        let (clock, hands) = Clock::manual(WallClock::UNIX_EPOCH);
        let queue = Arc::new(Queue::new(1 << 20, Arc::default()));
        let layer = LogLayer::new(Format::Json, Redactor::default(), clock, Arc::clone(&queue));
        let place = |place: &str| Some(place.to_owned());
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            for index in 0..100 {
                log_panic(&format!("no element {index}"), place("src/one.rs:1:1"));
            }
            log_panic("no element 0", place("src/other.rs:1:1"));
            hands.advance(Duration::from_secs(60));
            log_panic("no element 100", place("src/one.rs:1:1"));
        });
        let lines = std::iter::from_fn(|| (!queue.is_empty()).then(|| queue.next()));
        let lines: Vec<_> = lines.map(|line| String::from_utf8(line).unwrap()).collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        for (line, expected) in lines.iter().zip(["element 0", "other.rs", "element 100"]) {
            assert!(line.contains(expected), "{lines:?}");
        }
    }
}
