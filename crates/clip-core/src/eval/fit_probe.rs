//! Fits a linear probe.

use burn::module::{Module, Param};
use burn::optim::{GradientsParams, LBFGSConfig, LineSearchFn};
use burn::tensor::activation::log_softmax;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};

use super::LinearProbe;
use crate::device::cpu;
use crate::error::{ClipError, Result};

/// Largest number of iterations, as in the paper's use of scikit-learn.
const MOST_ITERATIONS: usize = 1000;
/// Gradient of the mean loss that counts as zero.
const TOLERANCE: f64 = 1e-7;

#[derive(Module, Debug)]
struct Regression {
    /// `[dim, classes]`
    weight: Param<Tensor<2>>,
    /// `[classes]`
    bias: Param<Tensor<1>>,
}

impl LinearProbe {
    /// Minimises `c · Σ loss + ½ ‖weights‖²`, without a penalty on the biases, by L-BFGS on the CPU:
    /// `sklearn.linear_model.LogisticRegression(C=c)`.
    ///
    /// # Shapes
    /// - features: `[count, dim]`; classes: `[count]`, each below `class_count`
    ///
    /// # Errors
    /// `empty-batch`, `count-mismatch`; `invalid-option` for fewer than two classes, a class out of range, or a `c` of 0 or less.
    pub fn fit(features: &[f32], dim: usize, classes: &[u32], class_count: usize, c: f64) -> Result<Self> {
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
        if class_count < 2 {
            return Err(ClipError::invalid_option("labels", "at least two different labels", class_count as f64));
        }
        if let Some(&wrong) = classes.iter().find(|&&class| class as usize >= class_count) {
            return Err(ClipError::invalid_option("labels", &format!("classes below {class_count}"), f64::from(wrong)));
        }
        if !(c.is_finite() && c > 0.0) {
            return Err(ClipError::invalid_option("c", "a finite number above 0", c));
        }
        let device = cpu().autodiff();
        let x = Tensor::<2>::from_data(TensorData::new(features.to_vec(), [count, dim]), &device);
        let rows: Vec<i32> = classes.iter().map(|&class| class as i32).collect();
        let rows = Tensor::<2, Int>::from_data(TensorData::new(rows, [count, 1]), &device);
        let truth = Tensor::<2>::zeros([count, class_count], &device).scatter(
            1,
            rows,
            Tensor::ones([count, 1], &device),
            IndexingUpdateOp::Add,
        );
        let loss = |model: Regression| {
            let logits = x.clone().matmul(model.weight.val()) + model.bias.val().unsqueeze::<2>(); // [count, classes]
            let fit = -(log_softmax(logits, 1) * truth.clone()).sum() / count as f64;
            let loss = fit + model.weight.val().square().sum() / (2.0 * c * count as f64);
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            (loss.into_scalar::<f64>(), gradients)
        };
        let model = Regression {
            weight: Param::from_tensor(Tensor::zeros([dim, class_count], &device)),
            bias: Param::from_tensor(Tensor::zeros([class_count], &device)),
        };
        let (model, _) = LBFGSConfig::new()
            .with_max_iter(MOST_ITERATIONS)
            .with_history_size(10)
            .with_tolerance_grad(TOLERANCE)
            .with_line_search_fn(LineSearchFn::StrongWolfe)
            .init()
            .step(1.0, model, loss);
        let all = Tensor::cat(vec![model.weight.val(), model.bias.val().unsqueeze::<2>()], 0).transpose().inner();
        let weights =
            all.into_data().try_into_vec::<f32>().map_err(|e| ClipError::DeviceFailed { message: format!("{e:?}") })?;
        Ok(Self { weights, dim })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_that_cannot_be_fitted_is_refused() {
        let code = |features: &[f32], classes: &[u32], count, c| {
            LinearProbe::fit(features, 1, classes, count, c).unwrap_err().code()
        };
        assert_eq!(code(&[], &[], 2, 1.0), "empty-batch");
        assert_eq!(code(&[1.0], &[0, 1], 2, 1.0), "count-mismatch");
        assert_eq!(code(&[1.0], &[0], 1, 1.0), "invalid-option");
        assert_eq!(code(&[1.0], &[2], 2, 1.0), "invalid-option");
        assert_eq!(code(&[1.0, 2.0], &[0, 1], 2, 0.0), "invalid-option");
    }
}
