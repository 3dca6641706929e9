//! Converts the digits of a JSON number to its value.

use super::window::WINDOW;

/// Powers of ten that an `f64` holds exactly; a mantissa up to 2^53 divided by one of them is rounded once, and correctly
/// (Clinger, "How to read floating point numbers accurately", 1990).
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// The value of a number token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// No fraction, no exponent, and within `i64`.
    Integer(i64),
    /// Anything else, correctly rounded.
    Float(f64),
    /// Beyond the range of `f64`.
    TooLarge,
}

/// The notation of a number.
pub(super) enum Notation {
    /// Without fraction and exponent.
    Integer,
    /// With this many digits in its fraction, and without exponent.
    Fraction(usize),
    /// With an exponent.
    Exponent,
}

/// The digits of a number without its point, as one integer if it fits into a `u64`.
#[derive(Default)]
pub(super) struct Decimal {
    mantissa: u64,
    overflowed: bool,
}

impl Decimal {
    /// Appends `count` digits with the value `value`.
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

    /// The value of the number; `None` if this fast way cannot compute it.
    #[inline(always)]
    pub(super) fn value(&self, negative: bool, notation: Notation) -> Option<Number> {
        if self.overflowed {
            return None;
        }
        match notation {
            Notation::Integer if negative => 0_i64.checked_sub_unsigned(self.mantissa),
            Notation::Integer => i64::try_from(self.mantissa).ok(),
            Notation::Fraction(digits) => {
                let magnitude = divided(self.mantissa, digits)?;
                let float = if negative { -magnitude } else { magnitude };
                return Some(Number::Float(float));
            }
            Notation::Exponent => None,
        }
        .map(Number::Integer)
    }
}

/// A mantissa with `digits` digits after its point, correctly rounded; `None` if this fast way cannot compute it.
#[expect(clippy::cast_precision_loss, reason = "the mantissa is below 2^53")]
fn divided(mantissa: u64, digits: usize) -> Option<f64> {
    if mantissa >> 53 == 0
        && let Some(power) = POWERS_OF_TEN.get(digits)
    {
        // Both operands are exact, so the result is rounded only once.
        return Some(mantissa as f64 / power);
    }
    times_reciprocal(mantissa, *RECIPROCALS.get(digits)?)
}

/// 1 / 10^k is about `factor` × 2^-`exponent`; `factor` is rounded down, and its highest bit is set.
#[derive(Clone, Copy)]
struct Reciprocal {
    factor: u64,
    exponent: u32,
}

/// The reciprocals of 10^k for k from 0 to 27, the largest for which the division below fits into 128 bits.
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

/// The low bits of 64 that do not reach the result: an `f64` has 53 bits, and one more decides the rounding.
const REST: u32 = 64 - 54;

/// The product, correctly rounded; `None` if the bits that the factor lacks could change the result, which is so for about one in 300
/// (Lemire, "Number parsing at a gigabyte per second", 2021, with 64 bits instead of 128).
#[expect(clippy::cast_precision_loss, reason = "53 bits are left, or 2^53")]
fn times_reciprocal(mantissa: u64, reciprocal: Reciprocal) -> Option<f64> {
    let normalising = mantissa.leading_zeros();
    let mantissa = u128::from(mantissa.checked_shl(normalising)?);
    let product = mantissa * u128::from(reciprocal.factor);
    // The highest bit of both is set, so one of the two highest bits of the product is set.
    let upper = (product >> 64) as u64;
    let missing = upper.leading_zeros();
    let upper = ((product << missing) >> 64) as u64;
    let (kept, rest) = (upper >> REST, upper & ((1 << REST) - 1));
    // The bits that the factor lacks and those of the lower half are together less than three units of the upper half.
    let may_carry = rest >= (1 << REST) - 3;
    let may_be_half = kept & 1 == 1 && rest == 0;
    if may_carry || may_be_half {
        return None;
    }
    let rounded = ((kept + 1) >> 1) as f64;
    // This is far from the smallest and the largest exponent. 1023 represents 2^0.
    let exponent = 1023 + 64 + REST + 1 - normalising - missing - reciprocal.exponent;
    Some(rounded * f64::from_bits(u64::from(exponent) << 52))
}
