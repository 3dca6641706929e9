//! Collects the fields of an event or a span: limited in size, with secrets removed.

use std::error::Error;
use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};

use crate::redaction::Redactor;

/// How many bytes of a value are collected: more than are shown, so that a secret across the end of the shown part is recognised.
const COLLECTED: usize = 16 * 1024;

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A number or a boolean, formatted as in JSON.
    Plain(String),
    /// Any other value: redacted, but not yet escaped or cut.
    Text(String),
}

/// The message and the other fields, in the order of the call site.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    pub(super) message: String,
    pub(super) others: Vec<(&'static str, Value)>,
}

impl Fields {
    /// Collects the fields that `record` visits.
    pub(super) fn collect(redactor: &Redactor, record: impl FnOnce(&mut dyn Visit)) -> Self {
        let mut fields = Self::default();
        record(&mut Collector {
            fields: &mut fields,
            redactor,
        });
        fields
    }

    /// Adds later values. They replace values with the same name.
    pub(super) fn update(&mut self, later: Self) {
        for (name, value) in later.others {
            self.put(name, value);
        }
    }

    fn put(&mut self, name: &'static str, value: Value) {
        match self.others.iter_mut().find(|(known, _)| *known == name) {
            Some((_, before)) => *before = value,
            None => self.others.push((name, value)),
        }
    }
}

struct Collector<'f> {
    fields: &'f mut Fields,
    redactor: &'f Redactor,
}

impl Collector<'_> {
    fn put_text(&mut self, field: &Field, text: &str) {
        let text = self.redactor.redact(text).into_owned();
        match field.name() {
            "message" => self.fields.message = text,
            name => self.fields.put(name, Value::Text(text)),
        }
    }

    fn put_plain(&mut self, field: &Field, number: impl ToString) {
        self.fields
            .put(field.name(), Value::Plain(number.to_string()));
    }
}

impl Visit for Collector<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.put_plain(field, value),
            false => self.put_text(field, &value.to_string()),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put_plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put_plain(field, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.put_plain(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put_plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put_plain(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, &value[..value.floor_char_boundary(COLLECTED)]);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = Limited(String::new());
        // An error means that the value is longer, or that formatting it failed. The collected beginning is used in both cases.
        let _ = write!(text, "{value:?}");
        self.put_text(field, &text.0);
    }
}

/// Collects the first [`COLLECTED`] bytes of a text, then stops its formatting by an error.
struct Limited(String);

impl Write for Limited {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = COLLECTED - self.0.len();
        let end = part.floor_char_boundary(room);
        self.0.push_str(&part[..end]);
        match end == part.len() {
            true => Ok(()),
            false => Err(fmt::Error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatting_stops_at_the_limit() {
        struct Endless<'a>(&'a std::cell::Cell<usize>);
        impl Debug for Endless<'_> {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    self.0.set(self.0.get() + 1);
                    formatter.write_str("é more ")?;
                }
            }
        }
        let parts = std::cell::Cell::new(0);
        let mut text = Limited(String::new());
        assert!(write!(text, "{:?}", Endless(&parts)).is_err());
        assert!(text.0.len() <= COLLECTED && text.0.len() > COLLECTED - 8);
        assert!(parts.get() <= COLLECTED / 8 + 1);
    }
}
