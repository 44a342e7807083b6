//! Four numbers side by side: a Wasm vector where that is the target, elsewhere an array that the compiler vectorises.

#[cfg(target_arch = "wasm32")]
mod vector {
    use core::arch::wasm32::{
        f32x4, f32x4_add, f32x4_extract_lane, f32x4_pmax, f32x4_splat, i32x4_shuffle, i64x2_shuffle, v128,
    };

    pub(in super::super) type Lanes = v128;

    #[inline(always)]
    pub(in super::super) fn splat(x: f32) -> Lanes {
        f32x4_splat(x)
    }

    #[inline(always)]
    pub(in super::super) fn load(x: &[f32; 4]) -> Lanes {
        f32x4(x[0], x[1], x[2], x[3])
    }

    #[inline(always)]
    pub(in super::super) fn array(x: Lanes) -> [f32; 4] {
        [f32x4_extract_lane::<0>(x), f32x4_extract_lane::<1>(x), f32x4_extract_lane::<2>(x), f32x4_extract_lane::<3>(x)]
    }

    #[inline(always)]
    pub(in super::super) fn add(a: Lanes, b: Lanes) -> Lanes {
        f32x4_add(a, b)
    }

    #[inline(always)]
    pub(in super::super) fn max(a: Lanes, b: Lanes) -> Lanes {
        f32x4_pmax(a, b)
    }

    /// `a b + c`, rounded once where the build has relaxed SIMD.
    #[inline]
    #[cfg_attr(feature = "relaxed-simd", target_feature(enable = "relaxed-simd"))]
    pub(in super::super) fn mul_add(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        #[cfg(feature = "relaxed-simd")]
        return core::arch::wasm32::f32x4_relaxed_madd(a, b, c);
        #[cfg(not(feature = "relaxed-simd"))]
        f32x4_add(c, core::arch::wasm32::f32x4_mul(a, b))
    }

    /// Rows and columns of a 4 × 4 block exchanged.
    #[inline(always)]
    pub(in super::super) fn transpose([a, b, c, d]: [Lanes; 4]) -> [Lanes; 4] {
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

    pub(in super::super) type Lanes = [f32; 4];

    #[inline(always)]
    pub(in super::super) fn splat(x: f32) -> Lanes {
        [x; 4]
    }

    #[inline(always)]
    pub(in super::super) fn load(x: &[f32; 4]) -> Lanes {
        *x
    }

    #[inline(always)]
    pub(in super::super) fn array(x: Lanes) -> [f32; 4] {
        x
    }

    #[inline(always)]
    pub(in super::super) fn add(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    pub(in super::super) fn max(a: Lanes, b: Lanes) -> Lanes {
        from_fn(|i| if a[i] < b[i] { b[i] } else { a[i] })
    }

    /// `a b + c`.
    #[inline(always)]
    pub(in super::super) fn mul_add(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        from_fn(|i| a[i] * b[i] + c[i])
    }

    /// Rows and columns of a 4 × 4 block exchanged.
    #[inline(always)]
    pub(in super::super) fn transpose(rows: [Lanes; 4]) -> [Lanes; 4] {
        from_fn(|column| from_fn(|row| rows[row][column]))
    }
}

pub(super) use vector::{Lanes, add, array, load, max, mul_add, splat, transpose};

/// The sum of each of four.
#[inline(always)]
pub(super) fn sums(x: [Lanes; 4]) -> Lanes {
    let [a, b, c, d] = transpose(x);
    add(add(a, b), add(c, d))
}

/// All of `values` combined, four at a time and then the lanes.
#[inline(always)]
pub(super) fn reduce(
    values: &[f32],
    start: f32,
    wide: impl Fn(Lanes, Lanes) -> Lanes,
    single: impl Fn(f32, f32) -> f32,
) -> f32 {
    let (fours, rest) = values.as_chunks();
    let lanes = fours.iter().fold(splat(start), |total, four| wide(total, load(four)));
    array(lanes).into_iter().chain(rest.iter().copied()).fold(start, single)
}
