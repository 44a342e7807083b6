//! Losses. They take features, never a model.

mod contrastive;

pub use contrastive::ContrastiveLoss;
