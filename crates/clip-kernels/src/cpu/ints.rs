//! Eight small integers side by side, and the four sums of their products: as [`super::lanes`].

/// What one load brings: aligned, so that none touches two lines of the cache.
#[derive(Clone, Copy)]
#[repr(align(16))]
pub(super) struct Eight(pub(super) [i16; 8]);

#[cfg(target_arch = "wasm32")]
mod vector {
    use core::arch::wasm32::{
        f32x4, f32x4_mul, f32x4_nearest, f32x4_splat, i8x16, i16x8, i16x8_extend_low_i8x16, i16x8_extract_lane,
        i16x8_narrow_i32x4, i32x4_add, i32x4_dot_i16x8, i32x4_extract_lane, i32x4_shuffle, i32x4_splat,
        i32x4_trunc_sat_f32x4, v128,
    };

    use super::Eight;

    pub(in super::super) type Sums = v128;

    #[inline(always)]
    pub(in super::super) fn zero() -> Sums {
        i32x4_splat(0)
    }

    #[inline(always)]
    pub(in super::super) fn load(Eight(x): &Eight) -> v128 {
        i16x8(x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7])
    }

    #[inline(always)]
    fn store(x: v128) -> Eight {
        Eight([
            i16x8_extract_lane::<0>(x),
            i16x8_extract_lane::<1>(x),
            i16x8_extract_lane::<2>(x),
            i16x8_extract_lane::<3>(x),
            i16x8_extract_lane::<4>(x),
            i16x8_extract_lane::<5>(x),
            i16x8_extract_lane::<6>(x),
            i16x8_extract_lane::<7>(x),
        ])
    }

    /// Products, neighbours added, and `sums`.
    #[inline(always)]
    pub(in super::super) fn dot(a: v128, b: v128, sums: Sums) -> Sums {
        i32x4_add(sums, i32x4_dot_i16x8(a, b))
    }

    #[inline(always)]
    pub(in super::super) fn array(x: Sums) -> [i32; 4] {
        [i32x4_extract_lane::<0>(x), i32x4_extract_lane::<1>(x), i32x4_extract_lane::<2>(x), i32x4_extract_lane::<3>(x)]
    }

    #[inline(always)]
    fn pairs(a: Sums, b: Sums) -> Sums {
        i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b))
    }

    /// The sum of each of four.
    #[inline(always)]
    pub(in super::super) fn totals([a, b, c, d]: [Sums; 4]) -> Sums {
        pairs(pairs(a, b), pairs(c, d))
    }

    #[inline(always)]
    pub(in super::super) fn widened(x: &[i8; 8]) -> Eight {
        let [a, b, c, d, e, f, g, h] = *x;
        store(i16x8_extend_low_i8x16(i8x16(a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0)))
    }

    /// `x * by`, rounded.
    #[inline(always)]
    pub(in super::super) fn narrowed(x: &[f32; 8], by: f32) -> Eight {
        let by = f32x4_splat(by);
        let rounded = |x: v128| i32x4_trunc_sat_f32x4(f32x4_nearest(f32x4_mul(x, by)));
        let (low, high) = (f32x4(x[0], x[1], x[2], x[3]), f32x4(x[4], x[5], x[6], x[7]));
        store(i16x8_narrow_i32x4(rounded(low), rounded(high)))
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod vector {
    use core::array::from_fn;

    use super::Eight;

    pub(in super::super) type Sums = [i32; 4];

    #[inline(always)]
    pub(in super::super) fn zero() -> Sums {
        [0; 4]
    }

    #[inline(always)]
    pub(in super::super) fn load(x: &Eight) -> Eight {
        *x
    }

    /// Products, neighbours added, and `sums`.
    #[inline(always)]
    pub(in super::super) fn dot(a: Eight, b: Eight, sums: Sums) -> Sums {
        let product = |i: usize| i32::from(a.0[i]) * i32::from(b.0[i]);
        from_fn(|i| sums[i] + product(2 * i) + product(2 * i + 1))
    }

    #[inline(always)]
    pub(in super::super) fn array(x: Sums) -> [i32; 4] {
        x
    }

    /// The sum of each of four.
    #[inline(always)]
    pub(in super::super) fn totals(x: [Sums; 4]) -> Sums {
        x.map(|sums| sums.into_iter().sum())
    }

    #[inline(always)]
    pub(in super::super) fn widened(x: &[i8; 8]) -> Eight {
        Eight(x.map(i16::from))
    }

    /// `x * by`, rounded.
    #[inline(always)]
    pub(in super::super) fn narrowed(x: &[f32; 8], by: f32) -> Eight {
        Eight(x.map(|x| (x * by).round_ties_even() as i16))
    }
}

pub(super) use vector::{Sums, array, dot, load, narrowed, totals, widened, zero};
