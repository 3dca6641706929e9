//! The location of a terminal: fixed on land, or moving back and forth on a great circle, for ships and aircraft.

use h3o::{LatLng, Resolution};

use super::noise;

const EARTH_RADIUS_KM: f64 = 6371.0;
const AIRCRAFT_KM_PER_HOUR: f64 = 870.0;
const SHIP_KM_PER_HOUR: f64 = 35.0;
/// The extent of territorial waters: twelve nautical miles.
const TERRITORIAL_WATERS_KM: f64 = 22.2;
/// The distance from an airport within which an aircraft counts as in its country.
const LANDING_KM: f64 = 300.0;
/// The country code of a terminal outside of all countries.
const NO_COUNTRY: &str = "XZ";

/// Latitude and longitude in degrees, and the country.
type Place = (f64, f64, &'static str);

const TOWNS: [Place; 24] = [
    (47.61, -122.33, "US"),
    (39.74, -104.99, "US"),
    (61.22, -149.90, "US"),
    (46.81, -71.21, "CA"),
    (19.43, -99.13, "MX"),
    (-12.05, -77.04, "PE"),
    (-3.12, -60.02, "BR"),
    (-33.45, -70.67, "CL"),
    (-54.80, -68.30, "AR"),
    (64.15, -21.94, "IS"),
    (57.48, -4.22, "GB"),
    (52.52, 13.40, "DE"),
    (45.76, 4.84, "FR"),
    (67.86, 20.22, "SE"),
    (50.45, 30.52, "UA"),
    (6.52, 3.38, "NG"),
    (-1.29, 36.82, "KE"),
    (-15.39, 28.32, "ZM"),
    (-18.88, 47.51, "MG"),
    (14.60, 120.98, "PH"),
    (43.06, 141.35, "JP"),
    (-23.70, 133.88, "AU"),
    (-45.03, 168.66, "NZ"),
    (-18.14, 178.44, "FJ"),
];

const AIRPORTS: [Place; 12] = [
    (40.64, -73.78, "US"),
    (33.94, -118.41, "US"),
    (21.32, -157.92, "US"),
    (51.47, -0.45, "GB"),
    (50.04, 8.56, "DE"),
    (25.27, 51.61, "QA"),
    (1.36, 103.99, "SG"),
    (35.77, 140.39, "JP"),
    (-33.95, 151.18, "AU"),
    (-37.01, 174.79, "NZ"),
    (-23.43, -46.47, "BR"),
    (-26.13, 28.24, "ZA"),
];

/// Routes whose great circles stay on water.
const SEA_LANES: [(Place, Place); 6] = [
    ((49.0, -7.0, "GB"), (40.3, -70.0, "US")),
    ((34.0, -121.0, "US"), (34.5, 141.5, "JP")),
    ((-34.8, 17.5, "ZA"), (-25.0, -43.0, "BR")),
    ((5.0, 80.5, "LK"), (-32.0, 115.0, "AU")),
    ((12.5, 46.5, "YE"), (18.5, 72.0, "IN")),
    ((20.5, -157.5, "US"), (-36.0, 176.0, "NZ")),
];

/// The location of a terminal at a moment.
#[derive(Debug, PartialEq)]
pub(super) struct Position {
    pub latitude: f64,
    pub longitude: f64,
    pub country: &'static str,
    pub in_territorial_waters: bool,
}

impl Position {
    /// The H3 cell of resolution 5 (about 10 km), as reported by Starlink; `None` for invalid coordinates.
    pub(super) fn cell(&self) -> Option<u64> {
        let point = LatLng::new(self.latitude, self.longitude).ok()?;
        Some(u64::from(point.to_cell(Resolution::Five)))
    }
}

/// How a terminal moves. A third of a fleet does, half of it in the air and half at sea.
#[derive(Debug, Clone, Copy)]
pub(super) enum Track {
    Fixed(Place),
    Air(Place, Place),
    Sea(Place, Place),
}

impl Track {
    /// The track of the terminal `index`, whose random numbers have the seed `key`.
    pub(super) fn of(index: usize, key: u64) -> Self {
        let pick = |stream, choices: usize| noise::hash(key, stream, 0) as usize % choices;
        match index % 6 {
            0 => {
                let start = pick(100, AIRPORTS.len());
                let end = (start + 1 + pick(101, AIRPORTS.len() - 1)) % AIRPORTS.len();
                Self::Air(AIRPORTS[start], AIRPORTS[end])
            }
            3 => {
                let (start, end) = SEA_LANES[pick(100, SEA_LANES.len())];
                Self::Sea(start, end)
            }
            _ => {
                let (latitude, longitude, country) = TOWNS[pick(100, TOWNS.len())];
                let shift = |stream| noise::unit(key, stream, 0) - 0.5;
                Self::Fixed((latitude + shift(101), longitude + shift(102), country))
            }
        }
    }

    /// Where the terminal is after `seconds` of simulated time.
    pub(super) fn position(&self, key: u64, seconds: f64) -> Position {
        let (start, end, speed, at_sea) = match *self {
            Self::Fixed((latitude, longitude, country)) => {
                return Position {
                    latitude,
                    longitude,
                    country,
                    in_territorial_waters: false,
                };
            }
            Self::Air(start, end) => (start, end, AIRCRAFT_KM_PER_HOUR, false),
            Self::Sea(start, end) => (start, end, SHIP_KM_PER_HOUR, true),
        };
        let circle = GreatCircle::new(start, end);
        // Each terminal starts at a different point of its route.
        let travelled = seconds / 3600.0 * speed
            + noise::unit(key, 103, 0) * circle.angle * EARTH_RADIUS_KM * 2.0;
        let along = to_and_fro(travelled / EARTH_RADIUS_KM, circle.angle);
        let (latitude, longitude) = circle.point(along);

        let from_start = along * EARTH_RADIUS_KM;
        let from_end = (circle.angle - along) * EARTH_RADIUS_KM;
        let reach = if at_sea {
            TERRITORIAL_WATERS_KM
        } else {
            LANDING_KM
        };
        let country = match (from_start < reach, from_end < reach) {
            (true, _) => start.2,
            (_, true) => end.2,
            _ => NO_COUNTRY,
        };
        Position {
            latitude,
            longitude,
            country,
            in_territorial_waters: at_sea && country != NO_COUNTRY,
        }
    }
}

/// The position on a route of `length` after travelling back and forth on it.
fn to_and_fro(travelled: f64, length: f64) -> f64 {
    let phase = travelled % (2.0 * length);
    if phase <= length {
        phase
    } else {
        2.0 * length - phase
    }
}

/// The shorter great circle between two places, which are neither equal nor opposite.
struct GreatCircle {
    start: [f64; 3],
    /// At right angles to `start`, towards the end.
    direction: [f64; 3],
    /// Radians from start to end.
    angle: f64,
}

impl GreatCircle {
    fn new(start: Place, end: Place) -> Self {
        let start = unit_vector(start);
        let end = unit_vector(end);
        let cosine: f64 = start.iter().zip(end).map(|(a, b)| a * b).sum();
        let mut direction = [0, 1, 2].map(|axis| end[axis] - cosine * start[axis]);
        let length = direction.iter().map(|part| part * part).sum::<f64>().sqrt();
        direction = direction.map(|part| part / length);
        Self {
            start,
            direction,
            angle: cosine.acos(),
        }
    }

    /// Latitude and longitude in degrees, `angle` radians from the start.
    fn point(&self, angle: f64) -> (f64, f64) {
        let (sine, cosine) = angle.sin_cos();
        let [x, y, z] =
            [0, 1, 2].map(|axis| self.start[axis] * cosine + self.direction[axis] * sine);
        (z.asin().to_degrees(), y.atan2(x).to_degrees())
    }
}

fn unit_vector((latitude, longitude, _): Place) -> [f64; 3] {
    let (sine, cosine) = latitude.to_radians().sin_cos();
    let (east, north) = longitude.to_radians().sin_cos();
    [cosine * north, cosine * east, sine]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_great_circle_has_the_given_ends() {
        for (start, end) in SEA_LANES {
            let circle = GreatCircle::new(start, end);
            for ((latitude, longitude), expected) in [
                (circle.point(0.0), start),
                (circle.point(circle.angle), end),
            ] {
                assert!(
                    (latitude - expected.0).abs() < 1e-9,
                    "{latitude} {expected:?}"
                );
                assert!(
                    (longitude - expected.1).abs() < 1e-9,
                    "{longitude} {expected:?}"
                );
            }
        }
    }

    #[test]
    fn to_and_fro_turns_at_the_ends() {
        for (travelled, expected) in [(0.0, 0.0), (3.0, 3.0), (4.0, 4.0), (5.0, 3.0), (9.0, 1.0)] {
            assert_eq!(to_and_fro(travelled, 4.0), expected, "{travelled}");
        }
    }

    #[test]
    fn a_third_of_the_fleet_moves() {
        let moving = (0..60)
            .filter(|&index| !matches!(Track::of(index, 1), Track::Fixed(_)))
            .count();
        assert_eq!(moving, 20);
    }

    #[test]
    fn aircraft_move_as_fast_as_aircraft_do() {
        let track = Track::of(0, 99);
        let cells: Vec<_> = (0..10)
            .map(|hour| track.position(99, f64::from(hour) * 3600.0).cell())
            .collect();
        assert!(
            cells
                .windows(2)
                .all(|pair| pair[0] != pair[1] && pair[0].is_some())
        );
    }

    #[test]
    fn a_cell_is_of_resolution_five() {
        let position = Position {
            latitude: 37.345_793_4,
            longitude: -121.976_376,
            country: "US",
            in_territorial_waters: false,
        };
        assert_eq!(position.cell(), Some(599_686_042_433_355_775));
    }
}
