//! A tower in three parts, for those who run its blocks one by one.

use burn::tensor::Tensor;

use super::clip::{Clip, normalize};
use super::text_transformer::TextBatch;
use super::transformer::ResidualAttentionBlock;
use crate::error::Result;

/// What a tower makes of some inputs, in three parts: what enters the blocks, the blocks, and what follows them.
pub trait Stages {
    /// # Shapes
    /// - output: `[batch, length, width]`
    ///
    /// # Errors
    /// `missing-tower`; `invalid-config` for a tower without blocks.
    fn enter(&self, model: &Clip) -> Result<Tensor<3>>;

    /// The blocks, first to last.
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    fn blocks<'m>(&self, model: &'m Clip) -> Result<&'m [ResidualAttentionBlock]>;

    /// # Shapes
    /// - x: `[batch, length, width]`
    /// - output: `[batch, embed_dim]`, of length one
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    fn leave(&self, model: &Clip, x: Tensor<3>) -> Result<Tensor<2>>;

    /// All three.
    ///
    /// # Shapes
    /// - output: `[batch, embed_dim]`, of length one
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    fn encode(&self, model: &Clip) -> Result<Tensor<2>> {
        let x = self.blocks(model)?.iter().fold(self.enter(model)?, |x, block| block.forward(x));
        self.leave(model, x)
    }
}

/// Images, and which of their patches are seen: told their number, it says which, for each image equally many.
pub struct ImageStages<K> {
    /// `[batch, 3, size, size]`, normalised.
    pub pixels: Tensor<4>,
    /// Nothing for all of them.
    pub keep: Option<K>,
}

impl<K: Fn(usize) -> Vec<Vec<usize>>> Stages for ImageStages<K> {
    fn enter(&self, model: &Clip) -> Result<Tensor<3>> {
        // pixels without a graph enter a model with one, and one without
        let pixels = self.pixels.clone().to_device(&model.device());
        model.image_tower()?.enter(pixels, self.keep.as_ref())
    }

    fn blocks<'m>(&self, model: &'m Clip) -> Result<&'m [ResidualAttentionBlock]> {
        Ok(&model.image_tower()?.transformer()?.resblocks)
    }

    fn leave(&self, model: &Clip, x: Tensor<3>) -> Result<Tensor<2>> {
        Ok(normalize(model.image_tower()?.leave(x)?))
    }
}

impl Stages for TextBatch {
    fn enter(&self, model: &Clip) -> Result<Tensor<3>> {
        Ok(model.text_tower()?.embeddings(self))
    }

    fn blocks<'m>(&self, model: &'m Clip) -> Result<&'m [ResidualAttentionBlock]> {
        Ok(&model.text_tower()?.transformer.resblocks)
    }

    fn leave(&self, model: &Clip, x: Tensor<3>) -> Result<Tensor<2>> {
        Ok(normalize(model.text_tower()?.project(x, self)))
    }
}
