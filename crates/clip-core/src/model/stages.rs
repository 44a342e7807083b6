//! A tower in three parts, so that its blocks can be run one by one.

use burn::tensor::Tensor;

use super::clip::{Clip, normalize};
use super::text_transformer::TextBatch;
use super::transformer::ResidualAttentionBlock;
use crate::error::Result;

/// Inputs of a tower, encoded in three parts: up to the blocks, the blocks, and what follows them.
pub trait Stages {
    /// Returns the input of the first block.
    ///
    /// # Shapes
    /// - output: `[batch, length, width]`
    ///
    /// # Errors
    /// `missing-tower`; `invalid-config` for a tower without blocks.
    fn enter(&self, model: &Clip) -> Result<Tensor<3>>;

    /// The blocks, first to last.
    ///
    /// # Errors
    /// Those of [`enter`](Self::enter).
    fn blocks<'m>(&self, model: &'m Clip) -> Result<&'m [ResidualAttentionBlock]>;

    /// Turns the output of the last block into features.
    ///
    /// # Shapes
    /// - x: `[batch, length, width]`
    /// - output: `[batch, embed_dim]`, rows of length one
    ///
    /// # Errors
    /// Those of [`enter`](Self::enter).
    fn leave(&self, model: &Clip, x: Tensor<3>) -> Result<Tensor<2>>;

    /// Runs all three parts.
    ///
    /// # Shapes
    /// - output: `[batch, embed_dim]`, of length one
    ///
    /// # Errors
    /// Those of [`enter`](Self::enter).
    fn encode(&self, model: &Clip) -> Result<Tensor<2>> {
        let x = self.blocks(model)?.iter().fold(self.enter(model)?, |x, block| block.forward(x));
        self.leave(model, x)
    }
}

/// Images, and which of their patches the tower sees.
pub struct ImageStages<K> {
    /// `[batch, 3, size, size]`, normalised.
    pub pixels: Tensor<4>,
    /// Given the number of patches, returns the indices to keep of each image, equally many for each. `None` keeps all.
    pub keep: Option<K>,
}

impl<K: Fn(usize) -> Vec<Vec<usize>>> Stages for ImageStages<K> {
    fn enter(&self, model: &Clip) -> Result<Tensor<3>> {
        // the model may be on the autodiff device or on the inner one
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
