//! Eight small integers side by side, and the four sums of their products: as [`super::lanes`].

#[cfg(target_arch = "wasm32")]
mod vector {
    use core::arch::wasm32::{
        f32x4_convert_i32x4, f32x4_mul, f32x4_nearest, f32x4_splat, i8x16, i16x8_extend_low_i8x16, i16x8_narrow_i32x4,
        i32x4_add, i32x4_dot_i16x8, i32x4_shuffle, i32x4_splat, i32x4_trunc_sat_f32x4, v128,
    };

    use super::super::lanes::{add, array, load};

    pub(in super::super) type Eight = v128;
    pub(in super::super) type Sums = v128;

    #[inline(always)]
    pub(in super::super) fn zero() -> Sums {
        i32x4_splat(0)
    }

    /// Products, neighbours added, and `sums`.
    #[inline(always)]
    pub(in super::super) fn dot(a: Eight, b: Eight, sums: Sums) -> Sums {
        i32x4_add(sums, i32x4_dot_i16x8(a, b))
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

    /// As floats, `x * by * scales + bias`.
    #[inline(always)]
    pub(in super::super) fn scaled(x: Sums, by: f32, scales: &[f32; 4], bias: &[f32; 4]) -> [f32; 4] {
        let scales = f32x4_mul(f32x4_splat(by), load(scales));
        array(add(load(bias), f32x4_mul(f32x4_convert_i32x4(x), scales)))
    }

    #[inline(always)]
    pub(in super::super) fn widened(x: &[i8; 8]) -> Eight {
        let [a, b, c, d, e, f, g, h] = *x;
        i16x8_extend_low_i8x16(i8x16(a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0))
    }

    /// `x * by`, rounded.
    #[inline(always)]
    pub(in super::super) fn narrowed(x: &[f32; 8], by: f32) -> Eight {
        let by = f32x4_splat(by);
        let rounded = |x: &[f32; 4]| i32x4_trunc_sat_f32x4(f32x4_nearest(f32x4_mul(load(x), by)));
        let (fours, _) = x.as_chunks();
        i16x8_narrow_i32x4(rounded(&fours[0]), rounded(&fours[1]))
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod vector {
    use core::array::from_fn;

    #[derive(Clone, Copy)]
    #[repr(align(16))]
    pub(in super::super) struct Eight([i16; 8]);
    pub(in super::super) type Sums = [i32; 4];

    #[inline(always)]
    pub(in super::super) fn zero() -> Sums {
        [0; 4]
    }

    /// Products, neighbours added, and `sums`.
    #[inline(always)]
    pub(in super::super) fn dot(a: Eight, b: Eight, sums: Sums) -> Sums {
        let product = |i: usize| i32::from(a.0[i]) * i32::from(b.0[i]);
        from_fn(|i| sums[i] + product(2 * i) + product(2 * i + 1))
    }

    /// The sum of each of four.
    #[inline(always)]
    pub(in super::super) fn totals(x: [Sums; 4]) -> Sums {
        x.map(|sums| sums.into_iter().sum())
    }

    /// As floats, `x * by * scales + bias`.
    #[inline(always)]
    pub(in super::super) fn scaled(x: Sums, by: f32, scales: &[f32; 4], bias: &[f32; 4]) -> [f32; 4] {
        from_fn(|i| x[i] as f32 * (by * scales[i]) + bias[i])
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

pub(super) use vector::{Eight, Sums, dot, narrowed, scaled, totals, widened, zero};
