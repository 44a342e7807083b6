//! A vector of eight 16-bit integers, and one of four sums of their products: a Wasm vector or an array, as in [`super::lanes`].

#[cfg(target_arch = "wasm32")]
mod vector {
    use core::arch::wasm32::{
        f32x4_convert_i32x4, f32x4_mul, f32x4_nearest, f32x4_splat, i8x16, i16x8_extend_low_i8x16, i16x8_narrow_i32x4,
        i32x4_add, i32x4_dot_i16x8, i32x4_shuffle, i32x4_splat, i32x4_trunc_sat_f32x4, v128,
    };

    use crate::cpu::simd::lanes::{add, array, load};

    pub(in crate::cpu) type I16x8 = v128;
    pub(in crate::cpu) type I32x4 = v128;

    #[inline(always)]
    pub(in crate::cpu) fn zero() -> I32x4 {
        i32x4_splat(0)
    }

    /// Adds to `sums` the products of neighbouring pairs.
    #[inline(always)]
    pub(in crate::cpu) fn dot(a: I16x8, b: I16x8, sums: I32x4) -> I32x4 {
        i32x4_add(sums, i32x4_dot_i16x8(a, b))
    }

    #[inline(always)]
    fn add_pairs(a: I32x4, b: I32x4) -> I32x4 {
        i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(a, b), i32x4_shuffle::<1, 3, 5, 7>(a, b))
    }

    /// Sum of each of four vectors.
    #[inline(always)]
    pub(in crate::cpu) fn horizontal_sums([a, b, c, d]: [I32x4; 4]) -> I32x4 {
        add_pairs(add_pairs(a, b), add_pairs(c, d))
    }

    /// `x * row_scale * scales + bias`, in f32.
    #[inline(always)]
    pub(in crate::cpu) fn dequantize(x: I32x4, row_scale: f32, scales: &[f32; 4], bias: &[f32; 4]) -> [f32; 4] {
        let scales = f32x4_mul(f32x4_splat(row_scale), load(scales));
        array(add(load(bias), f32x4_mul(f32x4_convert_i32x4(x), scales)))
    }

    #[inline(always)]
    pub(in crate::cpu) fn widen(x: &[i8; 8]) -> I16x8 {
        let [a, b, c, d, e, f, g, h] = *x;
        i16x8_extend_low_i8x16(i8x16(a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0))
    }

    /// `x * inverse_scale`, rounded to even.
    #[inline(always)]
    pub(in crate::cpu) fn quantize(x: &[f32; 8], inverse_scale: f32) -> I16x8 {
        let inverse_scale = f32x4_splat(inverse_scale);
        let rounded = |x: &[f32; 4]| i32x4_trunc_sat_f32x4(f32x4_nearest(f32x4_mul(load(x), inverse_scale)));
        let (fours, _) = x.as_chunks();
        i16x8_narrow_i32x4(rounded(&fours[0]), rounded(&fours[1]))
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod vector {
    use core::array::from_fn;

    #[derive(Clone, Copy)]
    #[repr(align(16))]
    pub(in crate::cpu) struct I16x8([i16; 8]);
    pub(in crate::cpu) type I32x4 = [i32; 4];

    #[inline(always)]
    pub(in crate::cpu) fn zero() -> I32x4 {
        [0; 4]
    }

    /// Adds to `sums` the products of neighbouring pairs.
    #[inline(always)]
    pub(in crate::cpu) fn dot(a: I16x8, b: I16x8, sums: I32x4) -> I32x4 {
        let product = |i: usize| i32::from(a.0[i]) * i32::from(b.0[i]);
        from_fn(|i| sums[i] + product(2 * i) + product(2 * i + 1))
    }

    /// Sum of each of four vectors.
    #[inline(always)]
    pub(in crate::cpu) fn horizontal_sums(x: [I32x4; 4]) -> I32x4 {
        x.map(|sums| sums.into_iter().sum())
    }

    /// `x * row_scale * scales + bias`, in f32.
    #[inline(always)]
    pub(in crate::cpu) fn dequantize(x: I32x4, row_scale: f32, scales: &[f32; 4], bias: &[f32; 4]) -> [f32; 4] {
        from_fn(|i| x[i] as f32 * (row_scale * scales[i]) + bias[i])
    }

    #[inline(always)]
    pub(in crate::cpu) fn widen(x: &[i8; 8]) -> I16x8 {
        I16x8(x.map(i16::from))
    }

    /// `x * inverse_scale`, rounded to even.
    #[inline(always)]
    pub(in crate::cpu) fn quantize(x: &[f32; 8], inverse_scale: f32) -> I16x8 {
        I16x8(x.map(|x| (x * inverse_scale).round_ties_even() as i16))
    }
}

pub(in crate::cpu) use vector::{I16x8, I32x4, dequantize, dot, horizontal_sums, quantize, widen, zero};
