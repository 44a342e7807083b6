//! Losses. They take features, never a model.

mod contrastive;
mod sigmoid;

pub use contrastive::ContrastiveLoss;
pub use sigmoid::SigmoidLoss;
