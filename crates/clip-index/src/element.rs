//! What a vector's values are stored as: `f32`, [`F16`] or `i8`.

use crate::kernels;

/// Values of a step: kernels take so many at a time, and rows end with zeros up to a multiple of it.
pub(crate) const STEP: usize = 16;
/// Rows that a kernel scores in a call, one for each bit of a mask.
pub(crate) const GROUP: usize = u64::BITS as usize;

/// The bits of a mask that are set.
pub(crate) fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = mask.trailing_zeros() as usize;
        mask &= mask.wrapping_sub(1);
        (bit < GROUP).then_some(bit)
    })
}

/// Scores of a group.
pub(crate) type Scores = [f32; GROUP];

/// A value in storage form.
pub(crate) trait Element: Copy + Default {
    /// A query as the kernel takes it.
    type Query;

    /// Converts a unit vector to its bytes.
    fn encode(unit: &[f32], bytes: &mut [u8]);

    /// Reads what [`Element::encode`] wrote, and returns the scale that makes it a unit vector; or says why it was not written by it.
    fn read(bytes: &[u8], row: &mut [[Self; STEP]]) -> Result<f32, &'static str>;

    /// Writes the bytes of a row.
    fn write(row: &[[Self; STEP]], bytes: &mut [u8]);

    /// The value, before it is scaled.
    fn value(self) -> f32;

    /// Prepares a unit vector.
    fn query(unit: &[f32]) -> Self::Query;

    /// Cosine similarities of a query to the rows of a group whose bit in `mask` is set, and perhaps to others.
    fn scores(query: &Self::Query, rows: &[[Self; STEP]], scales: &[f32; GROUP], mask: u64) -> Scores;

    /// Steps of a row.
    fn steps(dimension: usize) -> usize {
        dimension.div_ceil(STEP)
    }
}

/// A number in IEEE half precision, by its bits.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub(crate) struct F16(pub(crate) u16);

/// What the bits of an f16, moved to where f32 has exponent and fraction, are too small by.
pub(crate) const F16_UNIT: f32 = f32::from_bits((127 + 112) << 23);
/// Bits of an f32 that a shifted f16 can fill: the sign, five of the exponent and ten of the fraction.
pub(crate) const F16_BITS: i32 = 0x8fff_e000_u32 as i32;

impl F16 {
    /// Rounds a number of magnitude up to 1 to the nearest, to even between two.
    fn from_f32(x: f32) -> Self {
        let bits = x.to_bits();
        let (sign, size) = (bits >> 16 & 0x8000, bits & 0x7fff_ffff);
        let rounded = if size < f32::to_bits(1.0 / 16384.0) {
            // without an exponent of its own: adding 0.5 rounds to multiples of 2^-24
            (f32::from_bits(size) + 0.5).to_bits() - f32::to_bits(0.5)
        } else {
            let odd = size >> 13 & 1;
            (size - (112 << 23) + 0xfff + odd) >> 13
        };
        Self((sign | rounded) as u16)
    }
}

/// How far the length of a row that was rounded to f16 may be from 1.
const TOLERANCE: f32 = 0.01;

/// Scale of a row by the sum of its squares.
fn scale_of(squares: f32) -> Result<f32, &'static str> {
    let length = squares.sqrt();
    // not written as its negation, which NaN would pass
    if (length - 1.0).abs() < TOLERANCE { Ok(length.recip()) } else { Err("its length is not 1") }
}

/// Sum of squares, of sixteen partial sums.
fn squares<E: Element>(row: &[[E; STEP]]) -> f32 {
    let mut sums = [0f32; STEP];
    for step in row {
        for (sum, x) in sums.iter_mut().zip(step) {
            let x = x.value();
            *sum += x * x;
        }
    }
    sums.into_iter().sum()
}

impl Element for f32 {
    type Query = Vec<[Self; STEP]>;

    fn encode(unit: &[Self], bytes: &mut [u8]) {
        for (bytes, x) in bytes.as_chunks_mut().0.iter_mut().zip(unit) {
            *bytes = x.to_le_bytes();
        }
    }

    fn read(bytes: &[u8], row: &mut [[Self; STEP]]) -> Result<Self, &'static str> {
        for (x, bytes) in row.as_flattened_mut().iter_mut().zip(bytes.as_chunks().0) {
            *x = Self::from_le_bytes(*bytes);
        }
        scale_of(squares(row))
    }

    fn write(row: &[[Self; STEP]], bytes: &mut [u8]) {
        Self::encode(row.as_flattened(), bytes);
    }

    fn value(self) -> f32 {
        self
    }

    fn query(unit: &[Self]) -> Self::Query {
        in_steps(unit, 1.0)
    }

    fn scores(query: &Self::Query, rows: &[[Self; STEP]], scales: &[f32; GROUP], mask: u64) -> Scores {
        kernels::f32(query, rows, scales, mask)
    }
}

impl Element for F16 {
    type Query = Vec<[f32; STEP]>;

    fn encode(unit: &[f32], bytes: &mut [u8]) {
        for (bytes, x) in bytes.as_chunks_mut().0.iter_mut().zip(unit) {
            *bytes = Self::from_f32(*x).0.to_le_bytes();
        }
    }

    fn read(bytes: &[u8], row: &mut [[Self; STEP]]) -> Result<f32, &'static str> {
        for (x, bytes) in row.as_flattened_mut().iter_mut().zip(bytes.as_chunks().0) {
            *x = Self(u16::from_le_bytes(*bytes));
        }
        scale_of(squares(row))
    }

    fn write(row: &[[Self; STEP]], bytes: &mut [u8]) {
        for (bytes, x) in bytes.as_chunks_mut().0.iter_mut().zip(row.as_flattened()) {
            *bytes = x.0.to_le_bytes();
        }
    }

    /// Infinity and NaN become 65,536 and more.
    fn value(self) -> f32 {
        let moved = i32::from(self.0 as i16) << 13 & F16_BITS;
        f32::from_bits(moved as u32) * F16_UNIT
    }

    /// With [`F16_UNIT`] in it, which the kernel then leaves out of each value.
    fn query(unit: &[f32]) -> Self::Query {
        in_steps(unit, F16_UNIT)
    }

    fn scores(query: &Self::Query, rows: &[[Self; STEP]], scales: &[f32; GROUP], mask: u64) -> Scores {
        kernels::f16(query, rows, scales, mask)
    }
}

/// Largest stored magnitude of a row.
const INT8_MAX: f32 = 127.0;

impl Element for i8 {
    type Query = Int8Query;

    fn encode(unit: &[f32], bytes: &mut [u8]) {
        let largest = unit.iter().fold(0f32, |largest, x| largest.max(x.abs()));
        let inverse = INT8_MAX / largest;
        for (byte, x) in bytes.iter_mut().zip(unit) {
            *byte = ((x * inverse).round_ties_even() as Self).cast_unsigned();
        }
    }

    fn read(bytes: &[u8], row: &mut [[Self; STEP]]) -> Result<f32, &'static str> {
        let (mut least, mut most, mut squares) = (0, 0, 0);
        for (x, byte) in row.as_flattened_mut().iter_mut().zip(bytes) {
            *x = byte.cast_signed();
            (least, most) = (least.min(*x), most.max(*x));
            squares += i32::from(*x) * i32::from(*x);
        }
        if most.max(least.saturating_neg()) != 127 || least == Self::MIN {
            return Err("its largest magnitude is not 127");
        }
        Ok((squares as f32).sqrt().recip())
    }

    fn write(row: &[[Self; STEP]], bytes: &mut [u8]) {
        for (byte, x) in bytes.iter_mut().zip(row.as_flattened()) {
            *byte = x.cast_unsigned();
        }
    }

    fn value(self) -> f32 {
        f32::from(self)
    }

    fn query(unit: &[f32]) -> Int8Query {
        // as many bits as let the sum of a row fit into 32
        let most = (i32::MAX as usize / 128 / unit.len()).min(i16::MAX as usize) as f32;
        let largest = unit.iter().fold(0f32, |largest, x| largest.max(x.abs()));
        let mut steps = vec![[0; STEP]; Self::steps(unit.len())];
        for (value, x) in steps.as_flattened_mut().iter_mut().zip(unit) {
            *value = (x * (most / largest)).round_ties_even() as i16;
        }
        let squares: i64 = steps.as_flattened().iter().map(|&x| i64::from(x) * i64::from(x)).sum();
        Int8Query { steps, scale: (squares as f64).sqrt().recip() as f32 }
    }

    fn scores(query: &Int8Query, rows: &[[Self; STEP]], scales: &[f32; GROUP], mask: u64) -> Scores {
        kernels::int8(query, rows, scales, mask)
    }
}

/// A query in 8 to 16 bits, which products with 8-bit rows are exact in.
pub(crate) struct Int8Query {
    pub(crate) steps: Vec<[i16; STEP]>,
    /// What makes it a unit vector.
    pub(crate) scale: f32,
}

/// A vector in steps, times `factor`.
fn in_steps(unit: &[f32], factor: f32) -> Vec<[f32; STEP]> {
    let mut steps = vec![[0.0; STEP]; unit.len().div_ceil(STEP)];
    for (value, x) in steps.as_flattened_mut().iter_mut().zip(unit) {
        *value = x * factor;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_up_to_1_comes_back_from_f32() {
        for bits in (0..=0x3c00).chain(0x8000..=0xbc00) {
            let half = F16(bits);
            assert_eq!(F16::from_f32(half.value()).0, bits, "{}", half.value());
        }
    }

    #[test]
    fn f32_is_rounded_to_the_nearest_f16_and_to_even_between_two() {
        for bits in 0..0x3c00 {
            let (low, high) = (F16(bits).value(), F16(bits + 1).value());
            let middle = (low + high) / 2.0;
            assert_eq!(F16::from_f32(middle).0, bits + (bits & 1));
            assert_eq!(F16::from_f32(middle.next_up()).0, bits + 1);
            assert_eq!(F16::from_f32(-middle.next_down()).0, bits | 0x8000);
        }
        assert_eq!(F16::from_f32(f32::MIN_POSITIVE).0, 0);
    }

    #[test]
    fn f16_has_the_values_of_the_standard() {
        let cases =
            [(0x3c00, 1.0), (0xbc00, -1.0), (0x3555, 0.333_251_95), (0x0400, 6.103_515_6e-5), (0x0001, 5.960_464_5e-8)];
        for (bits, value) in cases {
            assert_eq!(F16(bits).value(), value);
        }
        assert!(F16(0x7c00).value() >= 65_536.0 && F16(0x7e00).value() >= 65_536.0);
    }
}
