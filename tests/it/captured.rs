//! Captures the log of services in this process, separately for each actix system.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{LazyLock, Mutex, Once};

use actix_rt::System;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::binary::Event;

/// A line's keys and values.
type Line = Vec<(String, Value)>;

/// The lines by the number of the system.
static LINES: LazyLock<Mutex<BTreeMap<usize, Vec<Line>>>> = LazyLock::new(Mutex::default);

/// Records log events from now on, once for all tests of the process.
pub fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let log = tracing_subscriber::registry().with(Sorter);
        tracing::subscriber::set_global_default(log).unwrap();
    });
}

/// The events that the services of a system have logged at INFO and above.
pub fn events(system: usize) -> Vec<Event> {
    let lines = LINES.lock().unwrap();
    let lines = lines.get(&system).into_iter().flatten();
    lines.map(|line| Event(line.clone())).collect()
}

struct Sorter;

impl<S: Subscriber> Layer<S> for Sorter {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("starlink_telemetry")
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        // A thread without a system belongs to no service.
        let Some(system) = System::try_current() else {
            return;
        };
        let level = event.metadata().level().to_string();
        let mut fields = Fields(vec![("level".to_owned(), Value::from(level))]);
        event.record(&mut fields);
        let mut lines = LINES.lock().unwrap();
        lines.entry(system.id()).or_default().push(fields.0);
    }
}

struct Fields(Line);

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.push((field.name().to_owned(), value.into()));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }
}
