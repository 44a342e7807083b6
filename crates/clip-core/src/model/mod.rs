//! The two encoders. Fields are named as the published checkpoints name their tensors.

mod attention;
mod clip;
mod init;
mod layer_norm;
mod mlp;
mod text_transformer;
mod transformer;
mod vision_transformer;

pub use attention::Attention;
pub use clip::{Clip, logits, normalize};
pub use init::{BlockInit, ParamInit};
pub use layer_norm::LayerNorm;
pub use mlp::Mlp;
pub use text_transformer::{TextBatch, TextTransformer, TokenEmbedding};
pub use transformer::{ResidualAttentionBlock, Transformer, TransformerShape};
pub use vision_transformer::{PatchEmbedding, VisionTransformer, image_count, pixel_batch};
