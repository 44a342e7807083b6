//! Activation checkpointing (arXiv 1604.06174): a backward pass that stores the input of each block and recomputes the
//! activations inside a block when it reaches it.

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;

use crate::error::Result;
use crate::model::{Clip, Stages};

/// Adds the gradient of `(features * gradient).sum()` to a total, with the activations of one block in memory at a time. `plain`
/// is the model without autodiff.
///
/// # Shapes
/// - gradient: `[batch, embed_dim]`, without a graph
pub(super) fn backward(
    model: &Clip,
    plain: &Clip,
    stages: &impl Stages,
    gradient: Tensor<2>,
    total: &mut GradientsAccumulator<Clip>,
) -> Result<()> {
    let mut x = stages.enter(plain)?;
    let mut inputs = Vec::new();
    for block in stages.blocks(plain)? {
        inputs.push(x.clone());
        x = block.forward(x);
    }
    let mut pass = Pass { model, total };
    let mut gradient = pass.part(x, gradient, |x| stages.leave(model, x))?;
    for (block, x) in stages.blocks(model)?.iter().zip(inputs).rev() {
        gradient = pass.part(x, gradient, |x| Ok(block.forward(x)))?;
    }
    let zero = Tensor::<3>::zeros([1, 1, 1], &plain.device());
    // adding a leaf gives the sum a graph even if no parameter before the blocks is trainable
    let product = ((stages.enter(model)? + leaf(zero)) * Tensor::from_inner(gradient)).sum();
    pass.total.accumulate(model, GradientsParams::from_grads(product.backward(), model));
    Ok(())
}

fn leaf(x: Tensor<3>) -> Tensor<3> {
    Tensor::from_inner(x).require_grad()
}

struct Pass<'a> {
    model: &'a Clip,
    total: &'a mut GradientsAccumulator<Clip>,
}

impl Pass<'_> {
    /// Runs a part of the model forward and backward: adds the gradients of its parameters to the total and returns the gradient
    /// of its input.
    fn part<const D: usize>(
        &mut self,
        x: Tensor<3>,
        gradient: Tensor<D>,
        forward: impl FnOnce(Tensor<3>) -> Result<Tensor<D>>,
    ) -> Result<Tensor<3>> {
        let x = leaf(x);
        let product = (forward(x.clone())? * Tensor::from_inner(gradient)).sum();
        let mut gradients = product.backward();
        let of_input = x.grad_remove(&mut gradients).unwrap_or_else(|| x.clone().inner().zeros_like());
        self.total.accumulate(self.model, GradientsParams::from_grads(gradients, self.model));
        Ok(of_input)
    }
}
