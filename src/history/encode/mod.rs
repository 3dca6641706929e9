//! Writes samples as requests of Prometheus remote write, in version 1.0 or 2.0, compressed with the block format of snappy.
//!
//! The messages are those of <https://prometheus.io/docs/specs/prw/remote_write_spec/> and its version 2.0. Labels are sorted by name, samples of
//! a series by time, and no label has an empty value.

mod samples;
pub(super) mod series;
mod v1;
mod v2;
mod varint;

use bytes::Bytes;
use thiserror::Error;

use self::series::write_rows;
use self::v1::V1;
use self::v2::V2;
use super::labels::DestinationLabels;
use super::own::OwnSet;
use super::slice::{DeviceRow, Slice};

pub(super) use self::v1::label_field;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

impl Protocol {
    /// The value of `Content-Type`. It must be exactly this: with a space in it, Prometheus 3.5 answers 204 and stores nothing.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::V1 => "application/x-protobuf",
            Self::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// The value of `X-Prometheus-Remote-Write-Version`.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::V1 => "0.1.0",
            Self::V2 => "2.0.0",
        }
    }
}

/// The body of a request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Compressed.
    pub body: Bytes,
    /// The number of samples.
    pub samples: usize,
}

/// The request has more than 4 GiB, which snappy cannot represent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the request has more than 4 GiB")]
pub struct TooLarge;

/// Writes requests to one destination. Reuses its buffers.
#[derive(Debug)]
pub struct Encoder {
    v1: V1,
    v2: V2,
    snappy: snap::raw::Encoder,
    compressed: Vec<u8>,
}

impl Encoder {
    /// An encoder that adds these labels to all series.
    #[must_use]
    pub fn new(labels: &DestinationLabels) -> Self {
        Self {
            v1: V1::new(labels),
            v2: V2::new(labels),
            snappy: snap::raw::Encoder::new(),
            compressed: Vec::new(),
        }
    }

    /// Writes rows of slices of one [`super::History`]. Consecutive rows of a device, in the order of their times, are put into the same series;
    /// so a request with one sample for each series has one row of each device.
    ///
    /// # Errors
    /// The request is too large.
    pub fn rows<'s>(
        &mut self,
        protocol: Protocol,
        rows: impl IntoIterator<Item = (&'s Slice, &'s DeviceRow)>,
    ) -> Result<Request, TooLarge> {
        let rows = rows.into_iter();
        match protocol {
            Protocol::V1 => {
                self.v1.begin();
                let samples = write_rows(&mut self.v1, rows);
                self.finish_v1(samples)
            }
            Protocol::V2 => {
                self.v2.begin();
                let samples = write_rows(&mut self.v2, rows);
                self.finish_v2(samples)
            }
        }
    }

    /// Writes a set of what the exporter itself knows.
    ///
    /// # Errors
    /// The request is too large.
    pub fn own(&mut self, protocol: Protocol, set: &OwnSet) -> Result<Request, TooLarge> {
        match protocol {
            Protocol::V1 => {
                self.v1.begin();
                set.write(&mut self.v1);
                self.finish_v1(set.len())
            }
            Protocol::V2 => {
                self.v2.begin();
                set.write(&mut self.v2);
                self.finish_v2(set.len())
            }
        }
    }

    fn finish_v1(&mut self, samples: usize) -> Result<Request, TooLarge> {
        let (snappy, buffer) = (&mut self.snappy, &mut self.compressed);
        compress(snappy, buffer, self.v1.finish(), samples)
    }

    fn finish_v2(&mut self, samples: usize) -> Result<Request, TooLarge> {
        let (snappy, buffer) = (&mut self.snappy, &mut self.compressed);
        compress(snappy, buffer, self.v2.finish(), samples)
    }
}

fn compress(
    snappy: &mut snap::raw::Encoder,
    buffer: &mut Vec<u8>,
    message: &[u8],
    samples: usize,
) -> Result<Request, TooLarge> {
    let most = snap::raw::max_compress_len(message.len());
    if buffer.len() < most {
        // Zeros that were never written to take no memory of the machine, unlike those of a vector that grows.
        *buffer = vec![0; most];
    }
    let length = snappy.compress(message, buffer).map_err(|_| TooLarge)?;
    Ok(Request {
        body: Bytes::copy_from_slice(buffer.get(..length).ok_or(TooLarge)?),
        samples,
    })
}

#[cfg(test)]
pub(crate) mod tests;
