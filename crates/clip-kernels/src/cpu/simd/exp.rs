//! e^x without branches or calls, so that the compiler vectorizes loops over it: Wasm has only a scalar `expf`, and x86-64 without
//! SSE4.1 rounds by a call.

/// e^x to about 2 ulp; 0 below -87.3, and e^88 above 88.
///
/// Cephes' `expf`: x = n ln 2 + r with |r| ≤ ln 2 / 2, a polynomial in r, and 2^n through the exponent's bits.
#[inline(always)]
pub(in crate::cpu) fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // 1.5 · 2^23: adding it rounds to an integer, which ends up in the lowest bits
    const ROUNDING: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.3, 88.0);
    let rounded = clamped * core::f32::consts::LOG2_E + ROUNDING;
    let n = rounded - ROUNDING;
    let r = clamped - n * LN2_HIGH - n * LN2_LOW;
    let p = 1.987_569_2e-4 * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 0.166_666_66;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let power = f32::from_bits(rounded.to_bits().wrapping_sub(ROUNDING.to_bits()).wrapping_add(127) << 23);
    if x < -87.3 { 0.0 } else { y * power }
}

#[cfg(test)]
mod tests {
    use super::exp;

    #[test]
    fn is_accurate_over_the_whole_range() {
        let worst = (-870..880)
            .map(|i| i as f32 / 10.0 + 0.003)
            .map(|x| (f64::from(exp(x)) / f64::from(x).exp() - 1.0).abs())
            .fold(0.0, f64::max);
        assert!(worst < 3e-7, "{worst}");
        assert_eq!((exp(-1e30), exp(f32::NEG_INFINITY), exp(0.0)), (0.0, 0.0, 1.0));
        assert!(exp(f32::NAN).is_nan());
    }
}
