//! Losses, as functions of the similarities.

mod contrastive;
mod negatives;
mod sigmoid;

pub use contrastive::ContrastiveLoss;
pub use negatives::Negatives;
pub use sigmoid::SigmoidLoss;
