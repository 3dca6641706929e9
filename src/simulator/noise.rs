//! Random numbers as a function of coordinates: values of any device and time can be computed without the previous ones.

/// A hash of 64 bits of the coordinates: a seed, a stream and a position in it (the finaliser of splitmix64).
pub(super) fn hash(seed: u64, stream: u64, position: u64) -> u64 {
    let mut bits = seed
        ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ position.wrapping_mul(0xd1b5_4a32_d192_ed03);
    for multiplier in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
        bits = (bits ^ (bits >> 30)).wrapping_mul(multiplier);
    }
    bits ^ (bits >> 31)
}

/// A number of `0.0..1.0` as a function of the coordinates.
pub(super) fn unit(seed: u64, stream: u64, position: u64) -> f64 {
    // An f64 holds 53 bits exactly.
    (hash(seed, stream, position) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A number of `0.0..1.0` that changes smoothly with `time`, with independent values one unit of time apart.
pub(super) fn smooth(seed: u64, stream: u64, time: f64) -> f64 {
    let floor = time.floor();
    let step = floor as u64;
    let fraction = time - floor;
    let weight = fraction * fraction * (3.0 - 2.0 * fraction);
    let from = unit(seed, stream, step);
    from + (unit(seed, stream, step + 1) - from) * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_coordinates_give_equal_numbers() {
        assert_eq!(hash(1, 2, 3), hash(1, 2, 3));
        assert_ne!(hash(1, 2, 3), hash(1, 3, 2));
        assert_ne!(hash(1, 2, 3), hash(2, 2, 3));
    }

    #[test]
    fn units_fill_their_range_evenly() {
        let mean = (0..1000).map(|n| unit(7, 1, n)).sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }

    #[test]
    fn smooth_has_no_jumps() {
        for step in 0..1000 {
            let time = f64::from(step) / 100.0;
            let change = smooth(7, 1, time + 0.01) - smooth(7, 1, time);
            assert!(change.abs() < 0.02, "{change} at {time}");
        }
    }
}
