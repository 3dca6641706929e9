//! Converts the digits of a JSON number to its value.

use super::window::WINDOW;

/// Powers of ten that an `f64` holds exactly; a mantissa up to 2^53 divided by one of them is rounded once, and correctly
/// (Clinger, "How to read floating point numbers accurately", 1990).
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// What a number token means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// No fraction, no exponent, and within `i64`.
    Integer(i64),
    /// Anything else, correctly rounded.
    Float(f64),
    /// Beyond the range of `f64`.
    TooLarge,
}

/// How a number is spelled.
pub(super) enum Spelling {
    /// Without fraction and exponent.
    Integer,
    /// With so many digits in its fraction, and no exponent.
    Fraction(usize),
    /// With an exponent.
    Exponent,
}

/// The digits of a number, as one integer while a `u64` holds it.
#[derive(Default)]
pub(super) struct Decimal {
    mantissa: u64,
    overflowed: bool,
}

impl Decimal {
    /// Appends `count` digits that spell `value`.
    pub(super) fn append(&mut self, count: usize, value: u64) {
        const SHIFTS: [u64; WINDOW + 1] = [
            1,
            10,
            100,
            1_000,
            10_000,
            100_000,
            1_000_000,
            10_000_000,
            100_000_000,
        ];
        let (shifted, too_far) = self.mantissa.overflowing_mul(SHIFTS[count]);
        let (mantissa, too_much) = shifted.overflowing_add(value);
        self.mantissa = mantissa;
        self.overflowed |= too_far | too_much;
    }

    /// What the number means; `None` where the digits alone do not tell.
    #[inline(always)]
    pub(super) fn meaning(&self, negative: bool, spelling: Spelling) -> Option<Number> {
        if self.overflowed {
            return None;
        }
        match spelling {
            Spelling::Integer if negative => 0_i64.checked_sub_unsigned(self.mantissa),
            Spelling::Integer => i64::try_from(self.mantissa).ok(),
            Spelling::Fraction(digits) => {
                let magnitude = divided(self.mantissa, digits)?;
                let float = if negative { -magnitude } else { magnitude };
                return Some(Number::Float(float));
            }
            Spelling::Exponent => None,
        }
        .map(Number::Integer)
    }
}

/// A mantissa with so many digits behind its point, correctly rounded; `None` where this way does not tell.
#[expect(clippy::cast_precision_loss, reason = "the mantissa is below 2^53")]
fn divided(mantissa: u64, digits: usize) -> Option<f64> {
    if mantissa >> 53 == 0
        && let Some(power) = POWERS_OF_TEN.get(digits)
    {
        // Both are exact, so that one operation rounds once.
        return Some(mantissa as f64 / power);
    }
    times_reciprocal(mantissa, *RECIPROCALS.get(digits)?)
}

/// 1 / 10^k is about `factor` × 2^-`exponent`; `factor` is rounded down, and has all of its 64 bits.
#[derive(Clone, Copy)]
struct Reciprocal {
    factor: u64,
    exponent: u32,
}

/// The reciprocals of 10^k for k from 0, as far as a power of 2 that fits into 128 bits gives 64 bits of them.
const RECIPROCALS: [Reciprocal; 28] = {
    let none = Reciprocal {
        factor: 0,
        exponent: 0,
    };
    let mut all = [none; 28];
    let mut power_of_five = 1_u128;
    let mut k = 0;
    while k < all.len() {
        let bits = (power_of_five - 1).checked_ilog2();
        let bits = if let Some(bits) = bits { bits + 1 } else { 0 };
        let exponent = 63 + bits;
        let factor = (1 << exponent) / power_of_five;
        all[k] = Reciprocal {
            factor: factor as u64,
            exponent: exponent + k as u32,
        };
        power_of_five *= 5;
        k += 1;
    }
    all
};

/// How many bits of 64 an `f64` does not hold, less the one to round by.
const REST: u32 = 64 - 54;

/// The product, correctly rounded, but for about one in 300 of which the bits that the factor lacks would decide (Lemire,
/// "Number parsing at a gigabyte per second", 2021, with 64 bits for 128).
#[expect(clippy::cast_precision_loss, reason = "53 bits are left, or 2^53")]
fn times_reciprocal(mantissa: u64, reciprocal: Reciprocal) -> Option<f64> {
    let normalising = mantissa.leading_zeros();
    let mantissa = u128::from(mantissa.checked_shl(normalising)?);
    let product = mantissa * u128::from(reciprocal.factor);
    // Both have their highest bit, so that the product has one of its two highest.
    let upper = (product >> 64) as u64;
    let missing = upper.leading_zeros();
    let upper = ((product << missing) >> 64) as u64;
    let (kept, rest) = (upper >> REST, upper & ((1 << REST) - 1));
    // What the factor lacks, and what stands in the lower half, is less than three in units of the upper half.
    let may_carry = rest >= (1 << REST) - 3;
    let may_be_half = kept & 1 == 1 && rest == 0;
    if may_carry || may_be_half {
        return None;
    }
    let rounded = ((kept + 1) >> 1) as f64;
    // Far from the smallest and the largest exponent there is. 1023 stands for 2^0.
    let exponent = 1023 + 64 + REST + 1 - normalising - missing - reciprocal.exponent;
    Some(rounded * f64::from_bits(u64::from(exponent) << 52))
}
