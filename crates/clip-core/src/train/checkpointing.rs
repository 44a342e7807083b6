//! Activation checkpointing (arXiv 1604.06174): a backward pass that keeps what enters each block, and computes what is
//! within one anew when its turn comes.

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;

use crate::error::Result;
use crate::model::{Clip, Stages};

/// Adds the gradient of `(features * gradient).sum()` to a total, with the activations of one block in memory at a time; `plain` is the
/// model without a graph.
///
/// # Shapes
/// - gradient: `[batch, embed_dim]`, without a graph
pub(super) fn hand_down(
    model: &Clip,
    plain: &Clip,
    stages: &impl Stages,
    gradient: Tensor<2>,
    total: &mut GradientsAccumulator<Clip>,
) -> Result<()> {
    let mut x = stages.enter(plain)?;
    let mut entering = Vec::new();
    for block in stages.blocks(plain)? {
        entering.push(x.clone());
        x = block.forward(x);
    }
    let mut down = Part { model, total };
    let mut gradient = down.pass(x, gradient, |x| stages.leave(model, x))?;
    for (block, x) in stages.blocks(model)?.iter().zip(entering).rev() {
        gradient = down.pass(x, gradient, |x| Ok(block.forward(x)))?;
    }
    let nothing = Tensor::<3>::zeros([1, 1, 1], &plain.device());
    // the sum has a graph even where nothing before the blocks learns
    let product = ((stages.enter(model)? + leaf(nothing)) * Tensor::from_inner(gradient)).sum();
    down.total.accumulate(model, GradientsParams::from_grads(product.backward(), model));
    Ok(())
}

fn leaf(x: Tensor<3>) -> Tensor<3> {
    Tensor::from_inner(x).require_grad()
}

struct Part<'a> {
    model: &'a Clip,
    total: &'a mut GradientsAccumulator<Clip>,
}

impl Part<'_> {
    /// Hands a gradient down through a part: to the total what is its parameters', back what is its input's.
    fn pass<const D: usize>(
        &mut self,
        x: Tensor<3>,
        gradient: Tensor<D>,
        part: impl FnOnce(Tensor<3>) -> Result<Tensor<D>>,
    ) -> Result<Tensor<3>> {
        let x = leaf(x);
        let product = (part(x.clone())? * Tensor::from_inner(gradient)).sum();
        let mut gradients = product.backward();
        let down = x.grad_remove(&mut gradients).unwrap_or_else(|| x.clone().inner().zeros_like());
        self.total.accumulate(self.model, GradientsParams::from_grads(gradients, self.model));
        Ok(down)
    }
}
