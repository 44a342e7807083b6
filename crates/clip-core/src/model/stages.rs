//! A tower in three parts, for those who run its blocks one by one.

use burn::tensor::Tensor;

use super::clip::{Clip, normalize};
use super::text_transformer::TextBatch;
use super::transformer::ResidualAttentionBlock;
use crate::config::invalid;
use crate::error::{ClipError, Result};

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
        let tower = model.visual.as_ref().ok_or(ClipError::MissingTower { tower: "image".into() })?;
        // pixels without a graph enter a model with one, and one without
        let pixels = self.pixels.clone().to_device(&model.device());
        tower.enter(pixels, self.keep.as_ref())
    }

    fn blocks<'m>(&self, model: &'m Clip) -> Result<&'m [ResidualAttentionBlock]> {
        let tower = model.visual.as_ref().ok_or(ClipError::MissingTower { tower: "image".into() })?;
        let blocks = tower.transformer().ok_or_else(|| invalid("vision.architecture", "one with blocks", "another"))?;
        Ok(&blocks.resblocks)
    }

    fn leave(&self, model: &Clip, x: Tensor<3>) -> Result<Tensor<2>> {
        let tower = model.visual.as_ref().ok_or(ClipError::MissingTower { tower: "image".into() })?;
        Ok(normalize(tower.leave(x)?))
    }
}

impl Stages for TextBatch {
    fn enter(&self, model: &Clip) -> Result<Tensor<3>> {
        let tower = model.text.as_ref().ok_or(ClipError::MissingTower { tower: "text".into() })?;
        Ok(tower.embeddings(self))
    }

    fn blocks<'m>(&self, model: &'m Clip) -> Result<&'m [ResidualAttentionBlock]> {
        let tower = model.text.as_ref().ok_or(ClipError::MissingTower { tower: "text".into() })?;
        Ok(&tower.transformer.resblocks)
    }

    fn leave(&self, model: &Clip, x: Tensor<3>) -> Result<Tensor<2>> {
        let tower = model.text.as_ref().ok_or(ClipError::MissingTower { tower: "text".into() })?;
        Ok(normalize(tower.project(x, self)))
    }
}
