//! Digests of column lists and metadata, by which they are recognised without being stored: an answer may have megabytes of names.

use std::collections::BTreeMap;

use ring::digest;

use super::metadata::Metadata;

/// SHA-256, so that an answer cannot be crafted to have the digest of another one.
pub(super) type Digest = [u8; digest::SHA256_OUTPUT_LEN];

/// The digest of a column list.
pub(super) fn of_columns(columns: &[Option<String>]) -> Digest {
    let mut digester = Digester::new();
    digester.columns(columns);
    digester.finish()
}

/// The digest of all metadata of an answer.
pub(super) fn of_metadata(metadata: &Metadata) -> Digest {
    let Metadata {
        columns,
        device_types,
        alerts,
        left_out,
    } = metadata;
    let mut digester = Digester::new();
    digester.number(columns.len());
    for (code, columns) in columns {
        digester.text(code);
        digester.columns(columns);
    }
    digester.number(usize::from(device_types.is_some()));
    if let Some(names) = device_types {
        digester.names(names);
    }
    digester.number(alerts.len());
    for (code, names) in alerts {
        digester.text(code);
        digester.names(names);
    }
    digester.number(*left_out);
    digester.finish()
}

/// Computes a digest. Texts and lists are preceded by their length, so that different sequences give different input.
struct Digester(digest::Context);

impl Digester {
    fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    fn number(&mut self, number: usize) {
        self.0.update(&(number as u64).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.update(text.as_bytes());
    }

    fn columns(&mut self, columns: &[Option<String>]) {
        self.number(columns.len());
        for column in columns {
            self.number(usize::from(column.is_some()));
            self.text(column.as_deref().unwrap_or_default());
        }
    }

    fn names(&mut self, names: &BTreeMap<String, String>) {
        self.number(names.len());
        for (code, name) in names {
            self.text(code);
            self.text(name);
        }
    }

    fn finish(self) -> Digest {
        let mut digest = Digest::default();
        digest.copy_from_slice(self.0.finish().as_ref());
        digest
    }
}
