//! Splits work among the threads of rayon's global pool, which the program starts; without the feature `threads` there is one. Each
//! value is computed by one thread, so that results do not depend on their number.
//!
//! The calling thread works too. Each thread takes the next piece when it finishes one, so that a thread that wakes late takes fewer.

use std::ops::Range;
#[cfg(feature = "threads")]
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

/// Fewest multiply-adds worth another thread, which takes about 20 µs to wake.
#[cfg(feature = "threads")]
const MIN_WORK: usize = 1 << 18;
/// Pieces a thread, if there is enough work.
#[cfg(feature = "threads")]
const PIECES_PER_THREAD: usize = 4;
/// Times that the calling thread polls the others before it sleeps, from which it would take as long to wake.
#[cfg(feature = "threads")]
const SPINS: usize = 20_000;

/// Number of pieces for `work` multiply-adds, from 1 to `max`.
fn pieces(work: usize, max: usize) -> usize {
    #[cfg(feature = "threads")]
    {
        let threads = rayon::current_num_threads();
        let worth = work / MIN_WORK;
        let pieces = if threads == 1 || worth < 2 { 1 } else { worth.clamp(threads, PIECES_PER_THREAD * threads) };
        pieces.min(max).max(1)
    }
    #[cfg(not(feature = "threads"))]
    {
        let _ = (work, max);
        1
    }
}

/// Calls `f` with each piece, on all threads.
fn each<P: Send>(pieces: Vec<P>, f: impl Fn(P) + Sync) {
    #[cfg(feature = "threads")]
    if pieces.len() > 1 {
        let helpers = (rayon::current_num_threads() - 1).min(pieces.len() - 1);
        let (left, busy) = (Mutex::new(pieces.into_iter()), AtomicUsize::new(0));
        let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            while let Some(piece) = next() {
                f(piece);
            }
        };
        rayon::in_place_scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(|_| {
                    busy.fetch_add(1, Ordering::AcqRel);
                    work();
                    busy.fetch_sub(1, Ordering::AcqRel);
                });
            }
            work();
            for _ in 0..SPINS {
                if busy.load(Ordering::Acquire) == 0 {
                    break;
                }
                std::hint::spin_loop();
            }
        });
        return;
    }
    pieces.into_iter().for_each(f);
}

/// Splits `count` items into pieces and calls `f` with the first item and the length of each. Lengths are multiples of `grain` but
/// for the last. Returns the results in order.
pub(super) fn split<R: Send>(
    work: usize,
    count: usize,
    grain: usize,
    f: impl Fn(usize, usize) -> R + Sync + Send,
) -> Vec<R> {
    let length = count.div_ceil(pieces(work, count)).next_multiple_of(grain);
    let firsts = (0..count).step_by(length.max(1));
    let mut results: Vec<Option<R>> = firsts.clone().map(|_| None).collect();
    each(firsts.zip(&mut results).collect(), |(first, result)| *result = Some(f(first, length.min(count - first))));
    results.into_iter().flatten().collect()
}

/// Splits `out` into pieces of whole units of `unit` values, `grain` units or a multiple of it each, and calls `f` with the index of
/// each piece's first unit and the piece. Returns the results in order.
pub(super) fn split_mut<T: Send, R: Send>(
    work: usize,
    out: &mut [T],
    unit: usize,
    grain: usize,
    f: impl Fn(usize, &mut [T]) -> R + Sync + Send,
) -> Vec<R> {
    let count = out.len().div_ceil(unit.max(1));
    let length = count.div_ceil(pieces(work, count)).next_multiple_of(grain).max(1);
    let parts = out.chunks_mut((length * unit).max(1));
    let mut results: Vec<Option<R>> = (0..parts.len()).map(|_| None).collect();
    each(parts.zip(&mut results).enumerate().collect(), |(i, (out, result))| *result = Some(f(i * length, out)));
    results.into_iter().flatten().collect()
}

/// Items that one thread sums. The number does not depend on the threads, so rounding does not either.
pub(super) const GROUP: usize = 64;

/// Sum over `count` items of `width` values each. `f` adds a range of items, at most [`GROUP`], to sums that begin at zero.
pub(super) fn sum_of_groups(
    work: usize,
    count: usize,
    width: usize,
    f: impl Fn(Range<usize>, &mut [f32]) + Sync + Send,
) -> Vec<f32> {
    let parts = split(work, count.div_ceil(GROUP), 1, |first, groups| {
        let mut sums = vec![0.0; groups * width];
        for (group, sums) in sums.chunks_exact_mut(width.max(1)).enumerate() {
            let from = (first + group) * GROUP;
            f(from..count.min(from + GROUP), sums);
        }
        sums
    });
    total(&parts, width)
}

/// Sum of the groups' sums, `width` values each, in their order.
pub(super) fn total(parts: &[Vec<f32>], width: usize) -> Vec<f32> {
    let mut total = vec![0.0; width];
    for sums in parts.iter().flat_map(|part| part.chunks_exact(width.max(1))) {
        total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
    }
    total
}

/// Splits three slices of equal length at the same places. Calls `f` with each three pieces and the index where they begin.
pub(super) fn split_three(
    work: usize,
    [a, b, c]: [&mut [f32]; 3],
    grain: usize,
    f: impl Fn(usize, [&mut [f32]; 3]) + Sync + Send,
) {
    let length = a.len().div_ceil(pieces(work, a.len())).next_multiple_of(grain).max(1);
    let parts = a.chunks_mut(length).zip(b.chunks_mut(length)).zip(c.chunks_mut(length));
    each(parts.enumerate().collect(), |(i, ((a, b), c))| f(i * length, [a, b, c]));
}

/// Splits the columns of `out` into strips of a multiple of `grain` and calls `f` with each strip's first column and its part of every
/// row.
pub(super) fn split_columns(
    work: usize,
    out: &mut [f32],
    columns: usize,
    grain: usize,
    f: impl Fn(usize, &mut [&mut [f32]]) + Sync + Send,
) {
    let length = columns.div_ceil(pieces(work, columns)).next_multiple_of(grain).max(1);
    let rows = out.len() / columns.max(1);
    let mut strips: Vec<Vec<&mut [f32]>> = (0..columns.div_ceil(length)).map(|_| Vec::with_capacity(rows)).collect();
    for row in out.chunks_exact_mut(columns.max(1)) {
        for (strip, part) in strips.iter_mut().zip(row.chunks_mut(length)) {
            strip.push(part);
        }
    }
    each(strips.into_iter().enumerate().collect(), |(i, mut strip)| f(i * length, &mut strip));
}

#[cfg(all(test, feature = "threads"))]
mod tests {
    use burn::backend::Flex;
    use burn::backend::flex::{FlexDevice, FlexTensor};
    use burn::backend::ops::QTensorOps;
    use burn::tensor::TensorData;
    use rayon::ThreadPoolBuilder;

    use super::super::{attention, gelu, layer_norm, linear};
    use super::*;
    use crate::dtype::quantize;
    use crate::ops::adamw::{AdamWRates, FusedAdamW};
    use crate::ops::gelu::Gelu;
    use crate::ops::grad_norm::FusedGradNorm;
    use crate::ops::linear::FusedLinearBackward;

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i * 7919 % 2003) as f32 / 500.0 - 2.0).collect()
    }

    fn matrix(rows: usize, columns: usize) -> FlexTensor {
        FlexTensor::from_data(TensorData::new(values(rows * columns), [rows, columns]))
    }

    /// The results of every kernel that uses threads, for inputs large enough to be split.
    fn results() -> Vec<Vec<f32>> {
        let linear = |rows: usize| {
            let bias = FlexTensor::from_data(TensorData::new(values(390), [390]));
            let y = linear::forward(matrix(rows, 260), matrix(260, 390), bias);
            y.storage::<f32>().to_vec()
        };
        let integers = |rows: usize| {
            let Some(weight) = quantize(&values(390 * 264), 264) else { unreachable!("264 is a multiple of 8") };
            let bias = FlexTensor::from_data(TensorData::new(values(390), [390]));
            let y = linear::forward_int8(matrix(rows, 264), Flex::q_from_data(weight, &FlexDevice), bias);
            y.storage::<f32>().to_vec()
        };
        let shape = attention::Shape::new(&[5, 77, 3 * 128], 2, true);
        let (qkv, x) = (values(5 * 77 * 3 * 128), values(1100 * 384));
        let [value, gradient, first] = [(); 3].map(|()| matrix(1100, 384));
        let squares = FlexTensor::from_data(TensorData::new(x.iter().map(|x| x * x).collect::<Vec<_>>(), [1100, 384]));
        let (value, first, second) = Flex::fused_adamw(value, gradient, first, squares, AdamWRates::EXAMPLE);
        let step = [value, first, second].map(|tensor| tensor.storage::<f32>().to_vec());
        vec![
            linear(7),
            linear(301),
            integers(7),
            integers(301),
            attention::forward(&qkv, shape),
            attention::backward(&qkv, &values(5 * 77 * 128), shape),
            layer_norm::forward(&x, &values(384), &values(384), 1e-5),
            layer_norm::backward(&x, &values(384), &values(1100 * 384), 1e-5).concat(),
            Flex::fused_linear_backward_weight(matrix(1100, 260), matrix(1100, 390)).storage().to_vec(),
            Flex::fused_linear_backward_bias(matrix(1100, 384)).storage().to_vec(),
            Flex::fused_add_sum_of_squares(matrix(1, 1), matrix(1100, 384)).storage().to_vec(),
            step.concat(),
            gelu::forward(&x, Gelu::Quick),
            gelu::backward(&x, &values(1100 * 384), Gelu::Erf),
        ]
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let on = |threads: usize| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| (pieces(usize::MAX, usize::MAX), results()))
        };
        let (pieces, alone) = on(1);
        assert_eq!(pieces, 1);
        for threads in [2, 3, 5] {
            let (pieces, together) = on(threads);
            assert_eq!(pieces, PIECES_PER_THREAD * threads);
            for (i, (a, b)) in alone.iter().zip(&together).enumerate() {
                assert!(a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits()) && a.len() == b.len(), "kernel {i}");
            }
        }
    }

    #[test]
    fn every_piece_is_processed_once() {
        let pool = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for count in [0, 1, 3, 4, 5, 12, 13] {
            let pieces = pool.install(|| split(usize::MAX, count, 4, |first, count| (first, count)));
            assert_eq!(pieces.iter().map(|(_, count)| count).sum::<usize>(), count);
            assert!(pieces.iter().all(|(first, _)| first % 4 == 0));
            let mut out = vec![0.0; 2 * count];
            pool.install(|| {
                split_mut(usize::MAX, &mut out, 2, 1, |first, out| {
                    for (i, x) in out.iter_mut().enumerate() {
                        *x += (2 * first + i) as f32;
                    }
                });
            });
            assert!(out.iter().enumerate().all(|(i, &x)| x == i as f32));
            let mut out = vec![0.0; 2 * count];
            pool.install(|| {
                split_columns(usize::MAX, &mut out, count, 4, |first, rows| {
                    for (row, part) in rows.iter_mut().enumerate() {
                        for (i, x) in part.iter_mut().enumerate() {
                            *x += (row * count + first + i) as f32;
                        }
                    }
                });
            });
            assert!(out.iter().enumerate().all(|(i, &x)| x == i as f32));
        }
    }
}
