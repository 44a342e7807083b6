//! Fits a linear probe.

use burn::tensor::{Tensor, TensorData};
use clip_kernels as kernels;

use super::LinearProbe;
use super::lbfgs::minimize;
use crate::device::cpu;
use crate::error::{ClipError, Result};

impl LinearProbe {
    /// Minimises `c · Σ loss + ½ ‖weights‖²`, without a penalty on the biases, by L-BFGS on the CPU:
    /// `sklearn.linear_model.LogisticRegression(C=c)`.
    ///
    /// # Shapes
    /// - features: `[count, dim]`; classes: `[count]`, each below `class_count`
    ///
    /// # Errors
    /// `empty-batch`, `count-mismatch`; `invalid-option` for features that are not finite, or too large to sum; fewer than two classes, a class out of
    /// range, or a `c` of 0 or less.
    pub fn fit(features: &[f32], dim: usize, classes: &[u32], class_count: usize, c: f64) -> Result<Self> {
        check(features, dim, classes, class_count, c)?;
        let loss = Loss::new(features, dim, classes, class_count, c);
        let start = vec![0.0; class_count * (dim + 1)];
        let weights = minimize(start, |weights| loss.with_gradient(weights))?.x;
        Ok(Self { weights: weights.into_iter().map(|weight| weight as f32).collect(), dim })
    }
}

fn check(features: &[f32], dim: usize, classes: &[u32], class_count: usize, c: f64) -> Result<()> {
    let count = classes.len();
    if count == 0 || dim == 0 {
        return Err(ClipError::EmptyBatch { what: "image".into() });
    }
    if features.len() != count * dim {
        return Err(ClipError::CountMismatch {
            left: "images".into(),
            left_count: features.len() / dim,
            right: "labels".into(),
            right_count: count,
        });
    }
    // sums of larger ones overflow
    let limit = f32::MAX.sqrt() / features.len() as f32;
    if let Some(at) = features.iter().position(|x| x.is_nan() || x.abs() > limit) {
        let got = format!("{} in row {}", features[at], at / dim);
        return Err(ClipError::invalid_option("images", &format!("embeddings of numbers up to {limit:.1e}"), got));
    }
    if class_count < 2 {
        return Err(ClipError::invalid_option("labels", "at least two different labels", class_count as f64));
    }
    if let Some(&wrong) = classes.iter().find(|&&class| class as usize >= class_count) {
        return Err(ClipError::invalid_option("labels", &format!("classes below {class_count}"), f64::from(wrong)));
    }
    if !(c.is_finite() && c > 0.0) {
        return Err(ClipError::invalid_option("c", "a finite number above 0", c));
    }
    Ok(())
}

/// Rows that are multiplied at once: as many as stay in a core's cache. Sums over more are in f64.
const BLOCK: usize = 512;

/// Some of the features; the last is 1, for the bias.
struct Block<'a> {
    /// `[rows, dim + 1]`
    rows: Tensor<2>,
    /// `[dim + 1, rows]`: the same, as the kernels read them for the gradient.
    columns: Tensor<2>,
    /// `[rows]`
    classes: &'a [u32],
}

impl<'a> Block<'a> {
    fn new(features: &[f32], dim: usize, classes: &'a [u32]) -> Self {
        let (count, width) = (classes.len(), dim + 1);
        let rows: Vec<f32> = features.chunks_exact(dim).flat_map(|row| row.iter().copied().chain([1.0])).collect();
        let columns = (0..width).flat_map(|column| rows.iter().copied().skip(column).step_by(width)).collect();
        Self { rows: matrix(rows, [count, width]), columns: matrix(columns, [width, count]), classes }
    }
}

/// The loss of a probe: `Σ -log p(class) / count + ‖weights‖² / (2 · c · count)`.
struct Loss<'a> {
    blocks: Vec<Block<'a>>,
    class_count: usize,
    dim: usize,
    count: f64,
    c: f64,
}

impl<'a> Loss<'a> {
    fn new(features: &[f32], dim: usize, classes: &'a [u32], class_count: usize, c: f64) -> Self {
        let blocks = features.chunks(BLOCK * dim).zip(classes.chunks(BLOCK));
        let blocks = blocks.map(|(features, classes)| Block::new(features, dim, classes)).collect();
        Self { blocks, class_count, dim, count: classes.len() as f64, c }
    }

    /// Returns the loss of weights `[classes, dim + 1]` and its gradient. The kernels multiply the matrices, in f32.
    fn with_gradient(&self, weights: &[f64]) -> Result<(f64, Vec<f64>)> {
        let (class_count, width) = (self.class_count, self.dim + 1);
        let rounded = matrix(weights.iter().map(|&weight| weight as f32).collect(), [class_count, width]);
        let (mut loss, mut gradient) = (0.0, vec![0.0; weights.len()]);
        for block in &self.blocks {
            let mut errors = values(kernels::matmul(block.rows.clone(), rounded.clone().transpose()))?;
            for (row, &class) in errors.chunks_exact_mut(class_count).zip(block.classes) {
                loss += to_errors(row, class as usize);
            }
            let errors = matrix(errors, [block.classes.len(), class_count]);
            let sums = values(kernels::matmul(block.columns.clone(), errors))?; // [dim + 1, classes]
            for (column, sums) in sums.chunks_exact(class_count).enumerate() {
                for (class, &sum) in sums.iter().enumerate() {
                    gradient[class * width + column] += f64::from(sum) / self.count;
                }
            }
        }
        let penalty = 1.0 / (self.c * self.count);
        let mut squares = 0.0;
        for (gradient, weights) in gradient.chunks_exact_mut(width).zip(weights.chunks_exact(width)) {
            // not the bias
            for (gradient, weight) in gradient.iter_mut().zip(weights).take(self.dim) {
                *gradient += penalty * weight;
                squares += weight * weight;
            }
        }
        Ok((loss / self.count + 0.5 * penalty * squares, gradient))
    }
}

/// Replaces the logits of a row by their probabilities, less 1 for its class; returns `-log p(class)`.
fn to_errors(row: &mut [f32], class: usize) -> f64 {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let own = f64::from(row[class] - most);
    let mut sum = 0.0;
    for logit in row.iter_mut() {
        *logit = (*logit - most).exp();
        sum += f64::from(*logit);
    }
    let factor = 1.0 / sum;
    for power in row.iter_mut() {
        *power = (f64::from(*power) * factor) as f32;
    }
    row[class] = (own.exp() * factor - 1.0) as f32;
    sum.ln() - own
}

fn matrix(values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), &cpu())
}

fn values(tensor: Tensor<2>) -> Result<Vec<f32>> {
    tensor.into_data().try_into_vec::<f32>().map_err(|e| ClipError::DeviceFailed { message: format!("{e:?}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of length one around a direction for each class, and the classes.
    fn rows(count: usize, dim: usize, class_count: usize, spread: f64) -> (Vec<f32>, Vec<u32>) {
        let classes: Vec<u32> = (0..count).map(|row| (row % class_count) as u32).collect();
        let wave = |i: usize, of: usize| ((i * 12_9898 + of * 78_233 + 1) as f64).sin();
        let features = classes.iter().enumerate().flat_map(|(row, &class)| {
            let values: Vec<f64> =
                (0..dim).map(|i| wave(i, class as usize) + spread * wave(i, row + class_count)).collect();
            let length = values.iter().map(|x| x * x).sum::<f64>().sqrt();
            values.into_iter().map(move |x| (x / length) as f32)
        });
        (features.collect(), classes)
    }

    /// Loss and largest component of its gradient at a probe.
    fn at(probe: &LinearProbe, features: &[f32], classes: &[u32], class_count: usize, c: f64) -> (f64, f64) {
        let weights: Vec<f64> = probe.weights.iter().copied().map(f64::from).collect();
        let loss = Loss::new(features, probe.dim, classes, class_count, c);
        let (loss, gradient) = loss.with_gradient(&weights).unwrap();
        (loss, gradient.into_iter().fold(0.0, |most, g| g.abs().max(most)))
    }

    #[test]
    fn input_that_cannot_be_fitted_is_refused() {
        let fit =
            |features: &[f32], classes: &[u32], count, c| LinearProbe::fit(features, 1, classes, count, c).unwrap_err();
        let code = |features: &[f32], classes: &[u32], count, c| fit(features, classes, count, c).code();
        assert_eq!(code(&[], &[], 2, 1.0), "empty-batch");
        assert_eq!(code(&[1.0], &[0, 1], 2, 1.0), "count-mismatch");
        assert_eq!(code(&[1.0], &[0], 1, 1.0), "invalid-option");
        assert_eq!(code(&[1.0], &[2], 2, 1.0), "invalid-option");
        assert_eq!(code(&[1.0, 2.0], &[0, 1], 2, 0.0), "invalid-option");
        for (value, got) in [(f32::NAN, "NaN"), (f32::NEG_INFINITY, "-inf"), (1e30, "1000000000000000000000000000000")]
        {
            let message = fit(&[1.0, value], &[0, 1], 2, 1.0).to_string();
            let expected = "invalid option images: expected embeddings of numbers up to 9.2e18";
            assert_eq!(message, format!("{expected}, got {got} in row 1"));
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let (features, classes) = rows(40, 6, 3, 1.0);
        let loss = Loss::new(&features, 6, &classes, 3, 0.5);
        let weights: Vec<f64> = (0..21).map(|i| f64::from(i as f32).sin()).collect();
        let (_, gradient) = loss.with_gradient(&weights).unwrap();
        for (i, &expected) in gradient.iter().enumerate() {
            let value = |by: f64| {
                let mut weights = weights.clone();
                weights[i] += by;
                loss.with_gradient(&weights).unwrap().0
            };
            let got = (value(0.01) - value(-0.01)) / 0.02;
            assert!((got - expected).abs() < 2e-5, "{i}: {got}, expected {expected}");
        }
    }

    #[test]
    fn thousands_of_rows_and_many_classes_are_fitted_to_the_minimum() {
        for (count, dim, class_count, spread, c) in
            [(3000, 512, 10, 2.0, 0.316), (1000, 1024, 100, 1.0, 1.0), (2000, 32, 4, 4.0, 1e6), (300, 16, 3, 4.0, 1e-6)]
        {
            let (features, classes) = rows(count, dim, class_count, spread);
            let probe = LinearProbe::fit(&features, dim, &classes, class_count, c).unwrap();
            // scikit-learn is content with 1e-4
            let (_, slope) = at(&probe, &features, &classes, class_count, c);
            assert!(slope < 2e-5, "{count} rows of {dim}, c = {c}: {slope}");
        }
    }

    #[test]
    fn separable_rows_are_separated_with_hardly_any_penalty() {
        for c in [1.0, 1e4, 1e12, f64::MAX] {
            let (features, classes) = rows(400, 64, 5, 0.1);
            let probe = LinearProbe::fit(&features, 64, &classes, 5, c).unwrap();
            assert!(probe.weights.iter().all(|weight| weight.is_finite()));
            let (_, slope) = at(&probe, &features, &classes, 5, c);
            assert!(slope < 2e-5, "c = {c}: {slope}");
            let probabilities = probe.probabilities(&features).unwrap();
            let least = probabilities.chunks(5).zip(&classes).map(|(p, &class)| p[class as usize]).fold(1.0, f32::min);
            assert!(least > if c > 1.0 { 0.99 } else { 0.8 }, "c = {c}: {least}");
        }
    }
}
