//! The two encoders. Fields are named as the published checkpoints name their tensors.

mod attention;
mod clip;
mod conv;
mod image_tower;
mod init;
mod layer_norm;
mod mci;
mod mlp;
mod mobile_one;
mod modified_resnet;
mod params;
mod precision;
mod siglip_vision;
mod stages;
mod text_transformer;
mod transformer;
mod vision_transformer;

pub use attention::Attention;
pub(crate) use clip::LOGIT_BIAS_INIT;
pub use clip::{Clip, Towers, logits, normalize};
pub use image_tower::{ImageTower, image_count, pixel_batch};
pub use init::{BlockInit, ParamInit};
pub use layer_norm::LayerNorm;
pub use mci::Mci;
pub use mlp::Mlp;
pub use modified_resnet::ModifiedResNet;
pub use params::{ParamMapper, ParamVisitor, map_params, visit_params};
#[cfg(feature = "train")]
pub(crate) use params::{block_of, matrix_parts};
pub use precision::MatmulPrecision;
pub use siglip_vision::{AttentionPoolHead, SiglipVisionTransformer};
pub use stages::{ImageStages, Stages};
pub use text_transformer::{TextBatch, TextTransformer, TokenEmbedding};
pub use transformer::{ResidualAttentionBlock, Transformer, TransformerShape};
pub use vision_transformer::{PatchEmbedding, VisionTransformer};
