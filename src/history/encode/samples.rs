//! The samples of a series, which are the same in both versions.

use super::series::Point;
use super::varint;

/// `TimeSeries.samples`, a message.
const SAMPLE: u8 = 2 << 3 | 2;
/// `Sample.value`, a double.
const VALUE: u8 = 1 << 3 | 1;
/// `Sample.timestamp`, an integer.
const TIMESTAMP: u8 = 2 << 3;

/// The bytes of [`samples`].
#[inline]
pub(super) fn samples_length(points: &[Point]) -> usize {
    let lengths = points.iter().map(|point| {
        let sample = sample_length(*point);
        1 + varint::length(sample as u64) + sample
    });
    lengths.sum()
}

/// The bytes of a sample without its tag and length.
#[inline]
fn sample_length(point: Point) -> usize {
    1 + size_of::<f64>() + 1 + varint::length(point.time.cast_unsigned())
}

/// Appends the samples of a series.
#[inline]
pub(super) fn samples(out: &mut Vec<u8>, points: &[Point]) {
    for point in points {
        out.push(SAMPLE);
        varint::push_length(out, sample_length(*point));
        out.push(VALUE);
        out.extend_from_slice(&point.value.to_bits().to_le_bytes());
        out.push(TIMESTAMP);
        varint::push(out, point.time.cast_unsigned());
    }
}
