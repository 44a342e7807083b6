//! Which parameters learn: all of them, those of the last blocks, or adapters beside frozen weights.

use burn::module::{LoraAdapter, Module, Param, Reparameterizer};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::run::whole;
use crate::error::{ClipError, Result};
use crate::model::{Clip, ParamInit, ParamMapper, map_params};

/// What of a model learns.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tuning {
    /// Every parameter.
    #[default]
    All,
    /// The last blocks of each tower and what follows them: final norm, pooling, projection, temperature.
    LastBlocks(usize),
    /// Low-rank adapters of the blocks' matrices, attention and MLP (LoRA, arXiv 2106.09685).
    Lora {
        /// Rank of what is added to a matrix.
        rank: usize,
        /// Its scale is `alpha / rank`.
        alpha: f32,
    },
}

impl Tuning {
    /// From numbers as a caller in JavaScript gives them; nothing of them given means all.
    ///
    /// # Errors
    /// `invalid-option` naming the value out of its range, or where both are given.
    pub fn new(last_blocks: Option<f64>, lora: Option<(f64, f64)>) -> Result<Self> {
        let tuning = match (last_blocks, lora) {
            (Some(_), Some(_)) => return Err(ClipError::invalid_option("lora", "none beside lastBlocks", "both")),
            (Some(count), None) => Self::LastBlocks(whole("lastBlocks", count, 0)?),
            (None, Some((rank, alpha))) => Self::Lora { rank: whole("lora.rank", rank, 1)?, alpha: alpha as f32 },
            (None, None) => Self::All,
        };
        tuning.validate()?;
        Ok(tuning)
    }

    /// # Errors
    /// `invalid-option` naming the value out of its range.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Self::Lora { rank: 0, .. } => Err(ClipError::invalid_option("lora.rank", "a whole number, 1 or more", 0)),
            Self::Lora { alpha, .. } if !(alpha.is_finite() && alpha > 0.0) => {
                Err(ClipError::invalid_option("lora.alpha", "a finite number above 0", alpha))
            }
            _ => Ok(()),
        }
    }

    /// A model of which that learns. Adapters of another tuning become part of the weights; new ones are drawn from `seed`
    /// and change nothing yet.
    pub(super) fn apply(self, model: Clip, seed: u64) -> Clip {
        let model = model.materialize();
        match self {
            Self::All => map_params(model, &mut Freeze(|_: &str| true)),
            Self::LastBlocks(count) => {
                let [image, text] = blocks(&model);
                let learns = move |path: &str| {
                    let total = if path.starts_with("visual") { image } else { text };
                    match block_of(path) {
                        Some((block, _)) => block + count >= total,
                        None => !BEFORE_BLOCKS.iter().any(|name| path.contains(name)),
                    }
                };
                map_params(model, &mut Freeze(learns))
            }
            Self::Lora { rank, alpha } => {
                let device = model.device();
                let init = ParamInit::new(seed, &device);
                model.apply_reparameterization(Adapt { rank, scale: f64::from(alpha) / rank as f64, init })
            }
        }
    }
}

/// Parameters that stand before the blocks.
const BEFORE_BLOCKS: [&str; 5] = ["conv1.", "class_embedding", "positional_embedding", "ln_pre.", "token_embedding."];

/// Matrices of a block.
const MATRICES: [&str; 4] = ["attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"];

/// How many matrices stand side by side in a parameter, where it is a block's matrix.
pub(super) fn matrix_parts(path: &str) -> Option<usize> {
    let (_, name) = block_of(path)?;
    MATRICES.contains(&name).then_some(if name == "attn.in_proj_weight" { 3 } else { 1 })
}

/// Number of the block that a parameter is in, and its name there.
fn block_of(path: &str) -> Option<(usize, &str)> {
    let (block, name) = path.split_once("transformer.resblocks.")?.1.split_once('.')?;
    Some((block.parse().ok()?, name))
}

/// Blocks of the image and the text tower.
fn blocks(model: &Clip) -> [usize; 2] {
    let image = model.visual.as_ref().and_then(|tower| tower.transformer().ok());
    let text = model.text.as_ref().map(|tower| &tower.transformer);
    [image, text].map(|blocks| blocks.map_or(0, |blocks| blocks.resblocks.len()))
}

/// Freezes every parameter but those whose path learns.
struct Freeze<F>(F);

impl<F: Fn(&str) -> bool> ParamMapper for Freeze<F> {
    fn map<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let learns = (self.0)(path);
        param.set_require_grad(learns)
    }
}

struct Adapt<'a> {
    rank: usize,
    scale: f64,
    init: ParamInit<'a>,
}

impl Reparameterizer for Adapt<'_> {
    type Reparam = LoraAdapter;

    /// As in <https://github.com/huggingface/peft/blob/v0.14.0/src/peft/tuners/lora/layer.py#L155>: `a` by Kaiming's
    /// uniform for a = √5, `b` zero. Query, key and value share their `a`.
    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<LoraAdapter>) {
        let param = param.set_require_grad(false);
        let Some((_, name)) = block_of(path) else { return (param, None) };
        let shape = param.base().dims();
        let ([d_in, d_out], true) = ([shape[0], shape[D - 1]], MATRICES.contains(&name)) else { return (param, None) };
        let a = self.init.uniform([d_in, self.rank], (d_in as f64).powf(-0.5));
        let b = self.init.constant([self.rank, d_out], 0.0);
        (param, Some(LoraAdapter { a, b, scale: self.scale }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClipConfig;
    use crate::device::cpu;
    use crate::model::{ParamVisitor, visit_params};
    use crate::train::values::learning;

    const CONFIG: &str = r#"{"embedDim": 8,
        "vision": {"imageSize": 16, "patchSize": 8, "width": 16, "layers": 3, "heads": 2},
        "text": {"contextLength": 6, "vocabSize": 20, "width": 12, "layers": 2, "heads": 2}}"#;

    fn model() -> Clip {
        ClipConfig::from_json(CONFIG).unwrap().init(1, &cpu().autodiff())
    }

    /// Paths of what learns.
    fn learns(model: &Clip) -> Vec<String> {
        struct Paths(Vec<String>);
        impl ParamVisitor for Paths {
            fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
                if param.base().is_require_grad() {
                    self.0.push(path.into());
                }
            }
        }
        let mut paths = Paths(Vec::new());
        visit_params(model, &mut paths);
        paths.0
    }

    #[test]
    fn the_last_blocks_learn_with_what_follows_them() {
        let all = learns(&model()).len();
        assert_eq!(learns(&Tuning::LastBlocks(1).apply(model(), 0)).len(), 2 * 12 + 3 + 3 + 1);
        let none = learns(&Tuning::LastBlocks(0).apply(model(), 0));
        let expected = [
            "visual.Vit.ln_post.weight",
            "visual.Vit.ln_post.bias",
            "visual.Vit.proj",
            "text.ln_final.weight",
            "text.ln_final.bias",
            "text.text_projection",
            "logit_scale",
        ];
        assert_eq!(none, expected);
        let again = Tuning::All.apply(Tuning::LastBlocks(0).apply(model(), 0), 0);
        assert_eq!(learns(&again).len(), all);
    }

    #[test]
    fn adapters_learn_alone_and_become_part_of_the_weights() {
        let tuning = Tuning::Lora { rank: 2, alpha: 4.0 };
        let model = tuning.apply(model(), 3);
        let paths = learns(&model);
        assert_eq!(paths.len(), 5 * 4 * 2);
        assert!(paths.iter().all(|path| path.ends_with(".lora.a") || path.ends_with(".lora.b")), "{paths:?}");
        let Some(text) = &model.text else { panic!() };
        let weight = &text.transformer.resblocks[0].attn.in_proj_weight;
        let Some(adapter) = weight.adapter() else { panic!() };
        assert_eq!((adapter.a.shape().dims(), adapter.b.shape().dims(), adapter.scale), ([12, 2], [2, 36], 2.0));
        let before = weight.base().into_data();
        assert_eq!(weight.val().into_data(), before);
        assert!(learning(&model).len() == paths.len());
        let merged = Tuning::All.apply(model, 0);
        assert!(learns(&merged).iter().all(|path| !path.contains("lora")));
    }

    #[test]
    fn what_is_no_adapter_is_refused() {
        for (tuning, option) in [
            (Tuning::Lora { rank: 0, alpha: 1.0 }, "lora.rank"),
            (Tuning::Lora { rank: 1, alpha: 0.0 }, "lora.alpha"),
            (Tuning::Lora { rank: 1, alpha: f32::NAN }, "lora.alpha"),
        ] {
            let error = tuning.validate().unwrap_err();
            assert!(error.code() == "invalid-option" && error.to_string().contains(option), "{error}");
        }
    }
}
