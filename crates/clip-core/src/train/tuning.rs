//! Freezes a model but for the parameters that a [`Tuning`] trains.

use burn::module::{LoraAdapter, Module, Param, Reparameterizer};
use burn::tensor::Tensor;

use super::options::Tuning;
use crate::model::{Clip, ParamInit, ParamMapper, block_of, map_params, matrix_parts};

impl Tuning {
    /// Whether a parameter is trained, given its path and the number of blocks of the image and of the text tower. Adapters, which are
    /// trained, are parameters of their own.
    pub(super) fn trains(self, path: &str, [image, text]: [usize; 2]) -> bool {
        match self {
            Self::All => true,
            Self::LastBlocks(count) => {
                let total = if path.starts_with("visual") { image } else { text };
                match block_of(path) {
                    Some((block, _)) => block + count >= total,
                    None => !BEFORE_BLOCKS.iter().any(|name| path.contains(name)),
                }
            }
            Self::Lora { .. } => false,
        }
    }

    /// Returns the model with only these parameters trainable. Adapters of an earlier tuning are merged into the weights; new
    /// ones are drawn from `seed` and start as no change.
    pub(super) fn apply(self, model: Clip, seed: u64) -> Clip {
        let model = model.materialize();
        match self {
            Self::All | Self::LastBlocks(_) => {
                let blocks = blocks(&model);
                map_params(model, &mut Freeze(move |path: &str| self.trains(path, blocks)))
            }
            Self::Lora { rank, alpha } => {
                let device = model.device();
                let init = ParamInit::new(seed, &device);
                model.apply_reparameterization(Adapt { rank, scale: f64::from(alpha) / rank as f64, init })
            }
        }
    }
}

/// Parameters before the blocks.
const BEFORE_BLOCKS: [&str; 5] = ["conv1.", "class_embedding", "positional_embedding", "ln_pre.", "token_embedding."];

/// Returns the number of blocks of the image and of the text tower.
pub(super) fn blocks(model: &Clip) -> [usize; 2] {
    let image = model.visual.as_ref().and_then(|tower| tower.transformer().ok());
    let text = model.text.as_ref().map(|tower| &tower.transformer);
    [image, text].map(|blocks| blocks.map_or(0, |blocks| blocks.resblocks.len()))
}

/// Freezes every parameter but those whose path it accepts.
struct Freeze<F>(F);

impl<F: Fn(&str) -> bool> ParamMapper for Freeze<F> {
    fn map<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.set_require_grad((self.0)(path))
    }
}

struct Adapt<'a> {
    rank: usize,
    scale: f64,
    init: ParamInit<'a>,
}

impl Reparameterizer for Adapt<'_> {
    type Reparam = LoraAdapter;

    /// Freezes a parameter and adds an adapter to a block's matrix, initialised as in
    /// <https://github.com/huggingface/peft/blob/v0.14.0/src/peft/tuners/lora/layer.py#L155>: `a` by Kaiming's uniform with
    /// a = √5, `b` zero. Query, key and value share one `a`.
    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<LoraAdapter>) {
        let param = param.set_require_grad(false);
        if matrix_parts(path).is_none() {
            return (param, None);
        }
        let shape = param.base().dims();
        let [d_in, d_out] = [shape[0], shape[D - 1]];
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
    use crate::train::values::trainable as trainable_values;

    const CONFIG: &str = r#"{"embedDim": 8,
        "vision": {"imageSize": 16, "patchSize": 8, "width": 16, "layers": 3, "heads": 2},
        "text": {"contextLength": 6, "vocabSize": 20, "width": 12, "layers": 2, "heads": 2}}"#;

    fn model() -> Clip {
        ClipConfig::from_json(CONFIG).unwrap().init(1, &cpu().autodiff())
    }

    /// Paths of the trainable parameters.
    fn trainable(model: &Clip) -> Vec<String> {
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
    fn last_blocks_trains_them_and_what_follows() {
        let all = trainable(&model()).len();
        assert_eq!(trainable(&Tuning::LastBlocks(1).apply(model(), 0)).len(), 2 * 12 + 3 + 3 + 1);
        let head = trainable(&Tuning::LastBlocks(0).apply(model(), 0));
        let expected = [
            "visual.Vit.ln_post.weight",
            "visual.Vit.ln_post.bias",
            "visual.Vit.proj",
            "text.ln_final.weight",
            "text.ln_final.bias",
            "text.text_projection",
            "logit_scale",
        ];
        assert_eq!(head, expected);
        let again = Tuning::All.apply(Tuning::LastBlocks(0).apply(model(), 0), 0);
        assert_eq!(trainable(&again).len(), all);
    }

    #[test]
    fn only_adapters_train_and_they_are_merged_into_the_weights() {
        let tuning = Tuning::Lora { rank: 2, alpha: 4.0 };
        let model = tuning.apply(model(), 3);
        let paths = trainable(&model);
        assert_eq!(paths.len(), 5 * 4 * 2);
        assert!(paths.iter().all(|path| path.ends_with(".lora.a") || path.ends_with(".lora.b")), "{paths:?}");
        let Some(text) = &model.text else { panic!() };
        let weight = &text.transformer.resblocks[0].attn.in_proj_weight;
        let Some(adapter) = weight.adapter() else { panic!() };
        assert_eq!((adapter.a.shape().dims(), adapter.b.shape().dims(), adapter.scale), ([12, 2], [2, 36], 2.0));
        let before = weight.base().into_data();
        assert_eq!(weight.val().into_data(), before);
        assert_eq!(trainable_values(&model).len(), paths.len());
        let merged = Tuning::All.apply(model, 0);
        assert!(trainable(&merged).iter().all(|path| !path.contains("lora")));
    }
}
