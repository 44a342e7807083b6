//! Exports a model as the folder that `transformers` or `open_clip` loads: weights, config, transform, tokenizer.

use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::checkpoint::Layout;
use crate::config::{Activation, ClipConfig, Objective, TextPooling, VisionConfig};
use crate::error::{ClipError, Result};
use crate::preprocess::{Filter, Preprocess, ResizeMode};
use crate::tokenizer::{PUBLISHED_VOCAB_SIZE, Tokenizer};

/// Epsilon of the layer norms of OpenCLIP's towers; its config has no field for it.
const OPEN_CLIP_EPS: f64 = 1e-5;

/// Name and content of a file.
pub type NamedFile = (String, Vec<u8>);

impl Bundle {
    /// Returns the files of a folder for `CLIPModel.from_pretrained` and the like (`hf`), or for
    /// `open_clip.create_model_from_pretrained("local-dir:…")` (`open_clip`).
    ///
    /// # Errors
    /// `invalid-option` for a model or a transform that the layout cannot describe, `device-failed`.
    pub async fn export_files(&self, layout: &str) -> Result<Vec<NamedFile>> {
        let mut files = match Layout::from_name(layout)? {
            Layout::Hf => vec![
                file("config.json", self.config.to_hf_json()?),
                file("preprocessor_config.json", pretty(&hf_preprocess(&self.preprocess)?)),
                ("model.safetensors".to_owned(), self.save("hf").await?),
            ],
            Layout::OpenClip => {
                let own_vocabulary =
                    self.tokenizer.as_ref().is_some_and(|tokenizer| tokenizer.vocab_size() != PUBLISHED_VOCAB_SIZE);
                let config = open_clip_config(&self.config, &self.preprocess, own_vocabulary)?;
                vec![
                    file("open_clip_config.json", pretty(&config)),
                    ("open_clip_model.safetensors".to_owned(), self.save("open_clip").await?),
                ]
            }
        };
        if let Some(tokenizer) = &self.tokenizer {
            files.extend(tokenizer_files(tokenizer, self.config.text.context_length));
        }
        Ok(files)
    }
}

fn file(name: &str, text: String) -> NamedFile {
    (name.to_owned(), text.into_bytes())
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Files of transformers' `CLIPTokenizer`.
fn tokenizer_files(tokenizer: &Tokenizer, context_length: usize) -> [NamedFile; 4] {
    let mut config = tokenizer.config_json();
    let special = json!({ "bos_token": config["bos_token"], "eos_token": config["eos_token"], "unk_token": config["unk_token"], "pad_token": config["pad_token"] });
    config["model_max_length"] = context_length.into();
    [
        file("vocab.json", pretty(&tokenizer.vocab_json().into())),
        file("merges.txt", format!("#version: 0.2\n{}", tokenizer.merges())),
        file("tokenizer_config.json", pretty(&config)),
        file("special_tokens_map.json", pretty(&special)),
    ]
}

/// `resample` of Pillow: <https://github.com/python-pillow/Pillow/blob/11.0.0/src/PIL/Image.py#L161>.
fn resample(filter: Filter) -> u8 {
    match filter {
        Filter::Bilinear => 2,
        Filter::Bicubic => 3,
    }
}

/// `preprocessor_config.json`.
fn hf_preprocess(preprocess: &Preprocess) -> Result<Value> {
    let Preprocess { size, resize, mode, filter, mean, std, .. } = *preprocess;
    let mut json = json!({
        "do_convert_rgb": true, "do_resize": true, "resample": resample(filter), "do_rescale": true,
        "rescale_factor": 1.0 / 255.0, "do_normalize": true, "image_mean": mean, "image_std": std,
    });
    match mode {
        ResizeMode::Shortest => {
            json["image_processor_type"] = "CLIPImageProcessor".into();
            json["size"] = json!({"shortest_edge": resize});
            json["do_center_crop"] = true.into();
            json["crop_size"] = json!({"height": size, "width": size});
        }
        ResizeMode::Squash => {
            json["image_processor_type"] = "SiglipImageProcessor".into();
            json["size"] = json!({"height": size, "width": size});
        }
        ResizeMode::Longest => {
            return Err(ClipError::unknown_name("layout", "open_clip: transformers has no transform that pads", "hf"));
        }
    }
    Ok(json)
}

/// `open_clip_config.json`: <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/model.py>
fn open_clip_config(config: &ClipConfig, preprocess: &Preprocess, own_vocabulary: bool) -> Result<Value> {
    let t = &config.text;
    let v = match &config.vision {
        VisionConfig::Vit(v)
            if config.objective == Objective::Softmax
                && t.causal
                && v.activation == t.activation
                && v.activation != Activation::GeluTanh
                && v.layer_norm_eps == OPEN_CLIP_EPS
                && t.layer_norm_eps == OPEN_CLIP_EPS =>
        {
            v
        }
        _ => {
            return Err(ClipError::unknown_name(
                "layout",
                "hf: OpenCLIP's config cannot describe this model",
                "open_clip",
            ));
        }
    };
    let ratio = |hidden: usize, width: usize| hidden as f64 / width as f64;
    let mut json = json!({
        "model_cfg": {
            "embed_dim": config.embed_dim,
            "quick_gelu": v.activation == Activation::QuickGelu,
            "vision_cfg": {
                "image_size": v.image_size, "layers": v.layers, "width": v.width, "patch_size": v.patch_size,
                "head_width": v.width / v.heads, "mlp_ratio": ratio(v.mlp_width, v.width),
            },
            "text_cfg": {
                "context_length": t.context_length, "vocab_size": t.vocab_size, "width": t.width, "heads": t.heads,
                "layers": t.layers, "mlp_ratio": ratio(t.mlp_width, t.width),
            },
        },
        "preprocess_cfg": {
            "mean": preprocess.mean, "std": preprocess.std,
            "interpolation": if preprocess.filter == Filter::Bicubic { "bicubic" } else { "bilinear" },
            "resize_mode": preprocess.mode,
        },
    });
    let text = &mut json["model_cfg"]["text_cfg"];
    match t.pooling {
        TextPooling::Argmax => {}
        TextPooling::FirstOf(id) => {
            text["pool_type"] = "eos".into();
            text["eos_id"] = id.into();
        }
        TextPooling::Last => text["pool_type"] = "last".into(),
    }
    if t.projection_bias {
        text["proj_bias"] = true.into();
    }
    if own_vocabulary {
        // any name will do: with local-dir, OpenCLIP loads the tokenizer from the folder
        json["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "clipwright".into();
    }
    Ok(json)
}
