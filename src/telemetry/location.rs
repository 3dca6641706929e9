//! The coordinates of an H3 cell.

use h3o::{CellIndex, LatLng};

use super::rows::{Cell, Rows};

/// The centre of an H3 cell, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Location {
    /// North positive, −90 to 90.
    pub latitude: f64,
    /// East positive, −180 to 180.
    pub longitude: f64,
}

/// The H3 index in a cell; `None` if the cell is neither an integer nor a string with one. H3 indices exceed 2^53, so they must not be
/// converted to an `f64`. The number need not be a valid index; [`centre`] checks that.
#[must_use]
pub fn index(rows: &Rows, cell: Cell) -> Option<u64> {
    match cell {
        Cell::Integer(integer) => u64::try_from(integer).ok(),
        Cell::Text(text) => parse(rows.text(text)),
        _ => None,
    }
}

/// Parses an index: 15 or 16 hexadecimal digits, with or without a leading `0x`, as H3's tools write it; other digits are decimal. A
/// sign, which the standard library accepts, is rejected.
fn parse(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let hexadecimal = digits.unwrap_or(text);
    let is_hexadecimal = hexadecimal.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hexadecimal && matches!(hexadecimal.len(), 15 | 16) {
        return u64::from_str_radix(hexadecimal, 16).ok();
    }
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    is_decimal.then(|| text.parse().ok())?
}

/// The centre of the H3 cell with this index; `None` if there is no such cell.
#[must_use]
pub fn centre(index: u64) -> Option<Location> {
    let centre = LatLng::from(CellIndex::try_from(index).ok()?);
    Some(Location {
        latitude: centre.lat(),
        longitude: centre.lng(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_centre_equals_the_published_test_vector() {
        let location = centre(599_686_042_433_355_775).unwrap();
        assert!((location.latitude - 37.345_793_4).abs() < 1e-7);
        assert!((location.longitude + 121.976_376_0).abs() < 1e-7);
    }

    #[test]
    fn numbers_that_are_not_h3_indices_have_no_centre() {
        for index in [0, 1, u64::MAX, 599_686_042_433_355_776] {
            assert_eq!(centre(index), None, "{index}");
        }
    }
}
