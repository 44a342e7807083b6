//! Muon (<https://kellerjordan.github.io/posts/muon/>): momentum, orthogonalised. It computes what `torch.optim.Muon` does, but
//! in f32 throughout.

use burn::tensor::Tensor;

use super::options::MuonOptions;

/// Coefficients of a Newton–Schulz step.
const COEFFICIENTS: (f64, f64, f64) = (3.4445, -4.775, 2.0315);
/// Newton–Schulz steps.
const STEPS: usize = 5;
/// Smallest norm that a matrix is divided by.
const EPSILON: f64 = 1e-7;

impl MuonOptions {
    /// Updates a matrix at rate `lr`; returns its new value and its new momentum. The matrix consists of `parts` matrices side
    /// by side, as query, key and value are.
    ///
    /// # Shapes
    /// - value, momentum, gradient, outputs: `[d_in, parts * d_out]`
    pub fn step(
        &self,
        lr: f64,
        value: Tensor<2>,
        momentum: Option<Tensor<2>>,
        gradient: Tensor<2>,
        parts: usize,
    ) -> (Tensor<2>, Tensor<2>) {
        let old = momentum.unwrap_or_else(|| gradient.zeros_like());
        let momentum = old * self.momentum + gradient.clone() * (1.0 - self.momentum);
        // Nesterov momentum
        let update = gradient * (1.0 - self.momentum) + momentum.clone() * self.momentum;
        let update = Tensor::cat(update.chunk(parts, 1).into_iter().map(orthogonalize).collect(), 1);
        let [d_in, d_out] = value.dims();
        let ratio = (d_out as f64 / parts as f64 / d_in as f64).max(1.0).sqrt();
        (value * (1.0 - lr * self.weight_decay) - update * (lr * ratio), momentum)
    }
}

/// Returns approximately U Vᵀ of x = U S Vᵀ, by a quintic Newton–Schulz iteration: singular values end between 0.7 and 1.2.
///
/// # Shapes
/// - x, output: `[m, n]`
fn orthogonalize(x: Tensor<2>) -> Tensor<2> {
    let [m, n] = x.dims();
    let tall = m > n;
    let x = if tall { x.transpose() } else { x };
    let norm = x.clone().square().sum().sqrt().clamp_min(EPSILON);
    let (a, b, c) = COEFFICIENTS;
    let mut x = x / norm.unsqueeze::<2>();
    for _ in 0..STEPS {
        let gram = x.clone().matmul(x.clone().transpose());
        let polynomial = gram.clone() * b + gram.clone().matmul(gram) * c;
        x = x.clone() * a + polynomial.matmul(x);
    }
    if tall { x.transpose() } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{block_on_cpu as now, cpu, read};

    #[test]
    fn a_zero_gradient_changes_no_value() {
        let options = MuonOptions { lr: 0.02, momentum: 0.95, weight_decay: 0.0 };
        let value = Tensor::<2>::ones([3, 2], &cpu());
        let (after, _) = options.step(0.02, value.clone(), None, value.zeros_like(), 1);
        assert_eq!(now(read(after)).unwrap(), now(read(value)).unwrap());
    }
}
