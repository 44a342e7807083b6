//! Vectors of four floats and of eight integers, and an exponential that vectorizes.

mod exp;
mod ints;
mod lanes;

pub(super) use exp::exp;
pub(super) use ints::{I16x8, I32x4, dequantize, dot, horizontal_sums as horizontal_int_sums, quantize, widen, zero};
pub(super) use lanes::{F32x4, add, array, horizontal_sums, load, max, mul_add, reduce, splat, sum, transpose};
