//! A vector of four f32: a Wasm vector, or natively an array that the compiler vectorizes.

#[cfg(target_arch = "wasm32")]
mod vector {
    use core::arch::wasm32::{
        f32x4, f32x4_add, f32x4_extract_lane, f32x4_pmax, f32x4_splat, i32x4_shuffle, i64x2_shuffle, v128,
    };

    pub(in crate::cpu) type F32x4 = v128;

    #[inline(always)]
    pub(in crate::cpu) fn splat(x: f32) -> F32x4 {
        f32x4_splat(x)
    }

    #[inline(always)]
    pub(in crate::cpu) fn load(x: &[f32; 4]) -> F32x4 {
        f32x4(x[0], x[1], x[2], x[3])
    }

    #[inline(always)]
    pub(in crate::cpu) fn array(x: F32x4) -> [f32; 4] {
        [f32x4_extract_lane::<0>(x), f32x4_extract_lane::<1>(x), f32x4_extract_lane::<2>(x), f32x4_extract_lane::<3>(x)]
    }

    #[inline(always)]
    pub(in crate::cpu) fn add(a: F32x4, b: F32x4) -> F32x4 {
        f32x4_add(a, b)
    }

    #[inline(always)]
    pub(in crate::cpu) fn max(a: F32x4, b: F32x4) -> F32x4 {
        f32x4_pmax(a, b)
    }

    /// `a b + c`; with relaxed SIMD rounded once.
    #[inline]
    #[cfg_attr(feature = "relaxed-simd", target_feature(enable = "relaxed-simd"))]
    pub(in crate::cpu) fn mul_add(a: F32x4, b: F32x4, c: F32x4) -> F32x4 {
        #[cfg(feature = "relaxed-simd")]
        return core::arch::wasm32::f32x4_relaxed_madd(a, b, c);
        #[cfg(not(feature = "relaxed-simd"))]
        f32x4_add(c, core::arch::wasm32::f32x4_mul(a, b))
    }

    /// Transposes a 4 × 4 block.
    #[inline(always)]
    pub(in crate::cpu) fn transpose([a, b, c, d]: [F32x4; 4]) -> [F32x4; 4] {
        let (ab_low, ab_high) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b));
        let (cd_low, cd_high) = (i32x4_shuffle::<0, 4, 1, 5>(c, d), i32x4_shuffle::<2, 6, 3, 7>(c, d));
        [
            i64x2_shuffle::<0, 2>(ab_low, cd_low),
            i64x2_shuffle::<1, 3>(ab_low, cd_low),
            i64x2_shuffle::<0, 2>(ab_high, cd_high),
            i64x2_shuffle::<1, 3>(ab_high, cd_high),
        ]
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod vector {
    use core::array::from_fn;

    pub(in crate::cpu) type F32x4 = [f32; 4];

    #[inline(always)]
    pub(in crate::cpu) fn splat(x: f32) -> F32x4 {
        [x; 4]
    }

    #[inline(always)]
    pub(in crate::cpu) fn load(x: &[f32; 4]) -> F32x4 {
        *x
    }

    #[inline(always)]
    pub(in crate::cpu) fn array(x: F32x4) -> [f32; 4] {
        x
    }

    #[inline(always)]
    pub(in crate::cpu) fn add(a: F32x4, b: F32x4) -> F32x4 {
        from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    pub(in crate::cpu) fn max(a: F32x4, b: F32x4) -> F32x4 {
        from_fn(|i| if a[i] < b[i] { b[i] } else { a[i] })
    }

    /// `a b + c`.
    #[inline(always)]
    pub(in crate::cpu) fn mul_add(a: F32x4, b: F32x4, c: F32x4) -> F32x4 {
        from_fn(|i| a[i] * b[i] + c[i])
    }

    /// Transposes a 4 × 4 block.
    #[inline(always)]
    pub(in crate::cpu) fn transpose(rows: [F32x4; 4]) -> [F32x4; 4] {
        from_fn(|column| from_fn(|row| rows[row][column]))
    }
}

pub(in crate::cpu) use vector::{F32x4, add, array, load, max, mul_add, splat, transpose};

/// Sum of each of four vectors.
#[inline(always)]
pub(in crate::cpu) fn horizontal_sums(x: [F32x4; 4]) -> F32x4 {
    let [a, b, c, d] = transpose(x);
    add(add(a, b), add(c, d))
}

/// Folds `values` four at a time, then the lanes and the remainder.
#[inline(always)]
pub(in crate::cpu) fn reduce(
    values: &[f32],
    start: f32,
    wide: impl Fn(F32x4, F32x4) -> F32x4,
    single: impl Fn(f32, f32) -> f32,
) -> f32 {
    let (fours, rest) = values.as_chunks();
    let lanes = fours.iter().fold(splat(start), |total, four| wide(total, load(four)));
    array(lanes).into_iter().chain(rest.iter().copied()).fold(start, single)
}

/// Sum of `term` over the positions of a row, as independent partial sums, which vectorize.
#[inline(always)]
pub(in crate::cpu) fn sum(width: usize, term: impl Fn(usize) -> f32) -> f32 {
    const LANES: usize = 8;
    let mut lanes = [0.0; LANES];
    let whole = width / LANES * LANES;
    for i in (0..whole).step_by(LANES) {
        for (lane, total) in lanes.iter_mut().enumerate() {
            *total += term(i + lane);
        }
    }
    lanes.iter().sum::<f32>() + (whole..width).map(term).sum::<f32>()
}
