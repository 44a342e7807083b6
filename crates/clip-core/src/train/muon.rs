//! Muon (<https://kellerjordan.github.io/posts/muon/>): momentum whose directions are made equally long. It learns more from
//! each step than AdamW does; as `torch.optim.Muon`, in f32 throughout.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::optimizer::{DECAY, POSITIVE, is_decay, is_positive, refuse_first};
use crate::error::Result;
use crate::exact;

/// Coefficients and number of the Newton–Schulz steps.
const COEFFICIENTS: (f64, f64, f64) = (3.4445, -4.775, 2.0315);
const STEPS: usize = 5;
const EPSILON: f64 = 1e-7;

/// Settings of Muon.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MuonOptions {
    /// Learning rate after the warm-up; it rises and falls with AdamW's.
    #[serde(with = "exact")]
    pub lr: f64,
    /// Share of the old momentum that a step leaves.
    #[serde(with = "exact")]
    pub momentum: f64,
    /// Decoupled decay.
    #[serde(with = "exact")]
    pub weight_decay: f64,
}

impl MuonOptions {
    /// # Errors
    /// `invalid-option` naming the first value out of its range.
    pub fn validate(&self) -> Result<()> {
        let checks = [
            ("muon.lr", self.lr, is_positive(self.lr), POSITIVE),
            ("muon.momentum", self.momentum, (0.0..1.0).contains(&self.momentum), "0 ≤ momentum < 1"),
            ("muon.weightDecay", self.weight_decay, is_decay(self.weight_decay), DECAY),
        ];
        refuse_first(&checks)
    }

    /// One update of a matrix at rate `lr`: its new value, and its new momentum. `parts` matrices stand side by side in it,
    /// as query, key and value do.
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
        // Nesterov's
        let update = gradient * (1.0 - self.momentum) + momentum.clone() * self.momentum;
        let update = Tensor::cat(update.chunk(parts, 1).into_iter().map(orthogonalize).collect(), 1);
        let [d_in, d_out] = value.dims();
        let ratio = (d_out as f64 / parts as f64 / d_in as f64).max(1.0).sqrt();
        (value * (1.0 - lr * self.weight_decay) - update * (lr * ratio), momentum)
    }
}

/// Nearly U Vᵀ where x is U S Vᵀ: a quintic Newton–Schulz iteration, whose singular values end between 0.7 and 1.2.
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
    fn a_gradient_of_nothing_moves_nothing() {
        let options = MuonOptions { lr: 0.02, momentum: 0.95, weight_decay: 0.0 };
        let value = Tensor::<2>::ones([3, 2], &cpu());
        let (after, _) = options.step(0.02, value.clone(), None, value.zeros_like(), 1);
        assert_eq!(now(read(after)).unwrap(), now(read(value)).unwrap());
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let good = MuonOptions { lr: 0.02, momentum: 0.95, weight_decay: 0.1 };
        assert!(good.validate().is_ok());
        let refused = |options: MuonOptions| options.validate().unwrap_err().to_string();
        for lr in [0.0, 1e39, 1e-39, f64::NAN, f64::INFINITY] {
            assert!(refused(MuonOptions { lr, ..good }).contains("muon.lr"), "{lr}");
        }
        assert!(refused(MuonOptions { momentum: 1.0, ..good }).contains("muon.momentum"));
        assert!(refused(MuonOptions { weight_decay: f64::NAN, ..good }).contains("muon.weightDecay"));
    }
}
