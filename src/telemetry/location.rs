//! Where an H3 cell is.

use h3o::{CellIndex, LatLng};

use super::batch::{Cell, Rows};

/// The centre of an H3 cell, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Location {
    /// North positive, −90 to 90.
    pub latitude: f64,
    /// East positive, −180 to 180.
    pub longitude: f64,
}

/// The H3 index that a cell of the telemetry holds: an integer, or a string of hexadecimal digits. It lies above 2^53, so
/// that it must never pass through an `f64`. Not necessarily a valid index; [`centre`] tells.
#[must_use]
pub fn index(rows: &Rows, cell: Cell) -> Option<u64> {
    match cell {
        Cell::Integer(integer) => u64::try_from(integer).ok(),
        Cell::Text(text) => hexadecimal(rows.text(text)),
        _ => None,
    }
}

/// Digits only: the standard library would take a sign too.
fn hexadecimal(text: &str) -> Option<u64> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digits.then(|| u64::from_str_radix(text, 16).ok())?
}

/// The centre of the cell with this index; `None` when there is no such cell.
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
    fn the_published_test_vector_is_met() {
        let location = centre(599_686_042_433_355_775).unwrap();
        assert!((location.latitude - 37.345_793_4).abs() < 1e-7);
        assert!((location.longitude + 121.976_376_0).abs() < 1e-7);
    }

    #[test]
    fn what_is_no_cell_is_nowhere() {
        for index in [0, 1, u64::MAX, 599_686_042_433_355_776] {
            assert_eq!(centre(index), None, "{index}");
        }
    }
}
