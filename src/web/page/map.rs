//! Maps: the outline of the land, and a path for each state, each part of which is a dot.

use std::fmt::Write as _;

use crate::view::{DeviceState, Dots, Near};

/// More dots than this are drawn on a coarser grid, which looks the same and keeps the page small.
const MOST_DOTS: usize = 20_000;

/// Devices in one state, on a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The name of the state.
    pub state: &'static str,
    /// Path data: for each dot a line of no length, which a round or square cap makes visible.
    pub path: String,
}

/// A map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// The visible part of the world: x is tenths of degrees east of 180° west, y tenths of degrees south of the North Pole.
    pub view_box: String,
    /// How large the dots are.
    pub density: &'static str,
    /// In the order of drawing.
    pub layers: Vec<Layer>,
    /// The point that the query names, marked with a cross.
    pub mark: Option<(u16, u16)>,
}

impl Map {
    /// The world. Offline devices are drawn last, on top.
    #[must_use]
    pub fn world(dots: &Dots, near: Option<Near>) -> Self {
        let count: usize = DeviceState::ALL
            .map(|state| dots.of(state).len())
            .iter()
            .sum();
        // The poles are shown only if devices are there.
        let all = DeviceState::ALL.iter().flat_map(|&state| dots.of(state));
        let (mut north, mut south) = (60, 1500);
        for &(_, y) in all {
            north = north.min(y.saturating_sub(20));
            south = south.max((y + 20).min(1800));
        }
        let drawn = drawn(dots);
        let layers = DeviceState::ALL.iter().zip(&drawn).rev();
        let layers = layers.map(|(state, dots)| Layer {
            state: state.name(),
            path: path(dots),
        });
        Self {
            view_box: format!("0 {north} 3600 {}", south - north),
            density: match count {
                0..=200 => "few",
                201..=2000 => "some",
                _ => "many",
            },
            layers: layers.filter(|layer| !layer.path.is_empty()).collect(),
            mark: near.map(|near| place(near.latitude, near.longitude)),
        }
    }

    /// A map centred on one device.
    #[must_use]
    pub fn around(state: DeviceState, latitude: f64, longitude: f64) -> Self {
        const SIZE: (u16, u16) = (700, 440);
        let (x, y) = place(latitude, longitude);
        let left = x.saturating_sub(SIZE.0 / 2).min(3600 - SIZE.0);
        let top = y.saturating_sub(SIZE.1 / 2).min(1800 - SIZE.1);
        Self {
            view_box: format!("{left} {top} {} {}", SIZE.0, SIZE.1),
            density: "one",
            layers: vec![Layer {
                state: state.name(),
                path: path(&[(x, y)]),
            }],
            mark: None,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a saturating `as` cast is wanted"
)]
fn place(latitude: f64, longitude: f64) -> (u16, u16) {
    let x = (longitude + 180.0) * 10.0;
    let y = (90.0 - latitude) * 10.0;
    (
        x.round().clamp(0.0, 3600.0) as u16,
        y.round().clamp(0.0, 1800.0) as u16,
    )
}

/// The dots of each state, on the finest grid on which there are at most [`MOST_DOTS`].
fn drawn(dots: &Dots) -> [Vec<(u16, u16)>; DeviceState::ALL.len()] {
    let on_grid = |grid| DeviceState::ALL.map(|state| snapped(dots.of(state), grid));
    let mut grids = [1, 2, 3, 4, 5, 7, 10, 14, 20, 28].into_iter().map(on_grid);
    let enough = grids.find(|layers| layers.iter().map(Vec::len).sum::<usize>() <= MOST_DOTS);
    // A grid of 4 degrees has fewer points than that.
    enough.unwrap_or_else(|| on_grid(40))
}

fn snapped(dots: &[(u16, u16)], grid: u16) -> Vec<(u16, u16)> {
    if grid == 1 {
        return dots.to_vec();
    }
    let snap = |value: u16| value / grid * grid + grid / 2;
    let mut snapped: Vec<_> = dots.iter().map(|&(x, y)| (snap(x), snap(y))).collect();
    snapped.sort_unstable();
    snapped.dedup();
    snapped
}

fn path(dots: &[(u16, u16)]) -> String {
    let mut path = String::new();
    let mut last: Option<(i32, i32)> = None;
    for &(x, y) in dots {
        let (x, y) = (i32::from(x), i32::from(y));
        // Relative moves are shorter than coordinates. Writing to a string does not fail.
        let _ = match last {
            None => write!(path, "M{x} {y}h0"),
            Some((from_x, from_y)) => write!(path, "m{} {}h0", x - from_x, y - from_y),
        };
        last = Some((x, y));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_steps_from_one_to_the_next() {
        for (dots, grid, expected) in [
            (&[][..], 1, ""),
            (&[(1800, 900)], 1, "M1800 900h0"),
            (&[(10, 20), (10, 25), (13, 4)], 1, "M10 20h0m0 5h0m3 -21h0"),
            (&[(10, 20), (11, 21), (13, 4)], 3, "M10 19h0m0 3h0m3 -18h0"),
            (&[(10, 20), (11, 21), (13, 4)], 10, "M15 5h0m0 20h0"),
        ] {
            let path = path(&snapped(dots, grid));
            assert_eq!(path, expected, "{dots:?} {grid}");
        }
    }

    #[test]
    fn a_huge_fleet_is_drawn_on_a_coarser_grid() {
        for (offline, unknown, online) in [(0, 0, 100), (1, 50, 100), (10, 200, 300)] {
            let square = |side: u16| -> Vec<(u16, u16)> {
                let places = (0..side).flat_map(|x| (0..side).map(move |y| (10 * x, 5 * y)));
                places.collect()
            };
            let map = Map::world(
                &Dots::new([square(offline), square(unknown), square(online)]),
                None,
            );
            let drawn: usize = map
                .layers
                .iter()
                .map(|layer| layer.path.matches("h0").count())
                .sum();
            assert!((MOST_DOTS / 10..=MOST_DOTS).contains(&drawn), "{drawn}");
            let length: usize = map.layers.iter().map(|layer| layer.path.len()).sum();
            assert!(length < 12 * MOST_DOTS, "{length}");
            // What is offline is on top.
            let last = map.layers.last().map(|layer| layer.state);
            assert_eq!(last, Some(if offline > 0 { "offline" } else { "online" }));
        }
    }

    #[test]
    fn a_device_is_on_its_map() {
        for (latitude, longitude, view_box, dot) in [
            (0.0, 0.0, "1450 680 700 440", "M1800 900h0"),
            (90.0, -180.0, "0 0 700 440", "M0 0h0"),
            (-90.0, 180.0, "2900 1360 700 440", "M3600 1800h0"),
        ] {
            let map = Map::around(DeviceState::Unknown, latitude, longitude);
            assert_eq!((&*map.view_box, &*map.layers[0].path), (view_box, dot));
            assert_eq!(map.layers[0].state, "unknown");
        }
    }

    #[test]
    fn the_world_is_shown_without_its_poles() {
        let near = Near {
            latitude: 45.0,
            longitude: -90.0,
        };
        let map = Map::world(&Dots::default(), Some(near));
        assert_eq!(map.view_box, "0 60 3600 1440");
        assert_eq!(map.mark, Some((900, 450)));
        assert!(map.layers.is_empty());
    }
}
