//! Merges PEFT's LoRA adapters into the weights.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use clip_kernels::{matmul, to_f32, to_weight_layout, weight_dims};
use serde_json::Value;

use super::header::Header;
use super::layout::Layout;
use super::naming::Naming;
use super::stored_dtype::StoredDtype;
use crate::config::{ClipConfig, invalid};
use crate::error::{ClipError, Result};
use crate::model::{Clip, ParamMapper, Towers, map_params};

/// An adapter as PEFT's two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// `adapter_model.safetensors`.
    pub weights: Vec<u8>,
    /// `adapter_config.json`.
    pub config: String,
}

/// Options of PEFT that are not supported: each changes the meaning of the tensors, or adds tensors.
const UNSUPPORTED: [&str; 15] = [
    "alora_invocation_tokens",
    "alpha_pattern",
    "arrow_config",
    "fan_in_fan_out",
    "kasa_config",
    "layer_replication",
    "lora_bias",
    "modules_to_save",
    "monteclora_config",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
    "velora_config",
];

/// Factor of `B A`, for a rank.
#[derive(Debug, Clone, Copy)]
struct Scale {
    alpha: f64,
    /// Rank-stabilised LoRA: arXiv 2312.03732.
    rank_stabilized: bool,
}

impl Scale {
    /// <https://github.com/huggingface/peft/blob/v0.14.0/src/peft/tuners/lora/layer.py#L118>
    fn at(self, rank: usize) -> f64 {
        self.alpha / if self.rank_stabilized { (rank as f64).sqrt() } else { rank as f64 }
    }

    fn from_config(json: &str) -> Result<Self> {
        let config: Value = serde_json::from_str(json).map_err(|e| invalid("(adapter)", "a JSON object", e))?;
        let kind = config["peft_type"].as_str().unwrap_or("none");
        if kind != "LORA" {
            return Err(invalid("peft_type", "LORA", kind));
        }
        let empty = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if let Some(name) = UNSUPPORTED.iter().find(|name| !empty(&config[**name])) {
            return Err(invalid(name, "no value: it is not supported", &config[*name]));
        }
        let alpha = config["lora_alpha"].as_f64().filter(|alpha| alpha.is_finite());
        let alpha = alpha.ok_or_else(|| invalid("lora_alpha", "a number", &config["lora_alpha"]))?;
        Ok(Self { alpha, rank_stabilized: config["use_rslora"].as_bool().unwrap_or(false) })
    }
}

/// Matrix `A` or `B` of a module.
struct LoraFactor {
    name: String,
    dims: [usize; 2],
    values: Vec<f32>,
}

impl LoraFactor {
    fn read(name: &str, header: &Header, file: &[u8]) -> Result<Self> {
        let wrong = |expected: &str, got: String| ClipError::InvalidCheckpoint {
            message: format!("{name}: expected {expected}, got {got}"),
        };
        let Some(info) = header.tensor(name) else { return Err(ClipError::missing_tensor(name)) };
        let [rows, columns] = info.shape[..] else { return Err(wrong("a matrix", format!("{:?}", info.shape))) };
        let dtype = StoredDtype::of(name, info)?;
        let (begin, end) = header.bytes_of(info);
        let bytes = &file[begin as usize..end as usize];
        let values: Vec<f32> = bytes.chunks_exact(dtype.bytes()).map(|b| dtype.value(b)).collect();
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(wrong("finite numbers", value.to_string()));
        }
        Ok(Self { name: name.into(), dims: [rows as usize, columns as usize], values })
    }

    fn check(&self, expected: [usize; 2]) -> Result<()> {
        if self.dims == expected {
            return Ok(());
        }
        let [expected, got] = [expected, self.dims].map(|dims| format!("{dims:?}"));
        Err(ClipError::ShapeMismatch { what: self.name.clone(), expected, got })
    }

    /// # Shapes
    /// - output: `[columns, rows]`
    fn transposed(self, device: &Device) -> Tensor<2> {
        Tensor::<2>::from_data(TensorData::new(self.values, self.dims), device).transpose()
    }
}

impl Adapter {
    /// Returns the model with `scale * B A` added to each adapted matrix. The ranks are read from the shapes. Modules of a tower
    /// that is not loaded are skipped.
    ///
    /// # Errors
    /// `invalid-config` for methods other than LoRA and unsupported options; `invalid-checkpoint`, `missing-tensor`,
    /// `shape-mismatch`; `extra-tensor` for modules that the model lacks; `invalid-option` for a model that transformers lacks.
    pub fn merge_into(&self, model: Clip, config: &ClipConfig) -> Result<Clip> {
        let scale = Scale::from_config(&self.config)?;
        let naming = Naming::new(Layout::Hf, config)?;
        let header = Header::parse(&self.weights, self.weights.len() as u64)?;
        let mut modules = BTreeMap::new();
        for name in header.names() {
            let module = name
                .strip_prefix("base_model.model.")
                .and_then(|rest| rest.strip_suffix(".lora_A.weight").or_else(|| rest.strip_suffix(".lora_B.weight")));
            let module = module.ok_or_else(|| ClipError::ExtraTensor { name: name.into() })?;
            modules.insert(module.to_owned(), name);
        }
        if modules.is_empty() {
            return Err(ClipError::InvalidCheckpoint { message: "the adapter holds no tensors".into() });
        }
        let towers = match (&model.visual, &model.text) {
            (Some(_), None) => Towers::Image,
            (None, Some(_)) => Towers::Text,
            _ => Towers::Both,
        };
        let left = modules.keys().cloned().collect();
        let mut merge = Merge { adapter: self, header: &header, naming, scale, left, failed: None };
        let model = map_params(model, &mut merge);
        if let Some(error) = merge.failed {
            return Err(error);
        }
        // projections belong to a tower, too
        let is_loaded = |module: &&String| {
            let skipped = match towers {
                Towers::Both => false,
                Towers::Image => module.starts_with("text_"),
                Towers::Text => module.starts_with("vision_") || module.starts_with("visual_"),
            };
            !skipped
        };
        match merge.left.iter().find(is_loaded) {
            Some(module) => Err(ClipError::ExtraTensor { name: modules[module].into() }),
            None => Ok(model),
        }
    }
}

struct Merge<'a> {
    adapter: &'a Adapter,
    header: &'a Header,
    naming: Naming<'a>,
    scale: Scale,
    /// Modules of the adapter that are not merged yet.
    left: BTreeSet<String>,
    failed: Option<ClipError>,
}

impl Merge<'_> {
    /// Change of the parameter at the current path; `None` if it has no adapter.
    ///
    /// # Shapes
    /// - output: `[in, out]`
    fn delta(&mut self, path: &str, [d_in, d_out]: [usize; 2], device: &Device) -> Result<Option<Tensor<2>>> {
        let mapping = self.naming.mapping(path);
        if !mapping.transposed {
            return Ok(None);
        }
        let shares: usize = mapping.keys.iter().map(|(_, share)| share).sum();
        let mut found = false;
        let mut parts = Vec::new();
        for (key, share) in &mapping.keys {
            let module = key.strip_suffix(".weight").unwrap_or(key);
            let columns = d_out / shares * share;
            if !self.left.remove(module) {
                parts.push(Tensor::zeros([d_in, columns], device));
                continue;
            }
            found = true;
            let read = |factor: &str| {
                let name = format!("base_model.model.{module}.lora_{factor}.weight");
                LoraFactor::read(&name, self.header, &self.adapter.weights)
            };
            let (a, b) = (read("A")?, read("B")?);
            let rank = a.dims[0];
            a.check([rank.max(1), d_in])?;
            b.check([columns, rank])?;
            parts.push(matmul(a.transposed(device), b.transposed(device)) * self.scale.at(rank)); // [in, out]
        }
        Ok(found.then(|| Tensor::cat(parts, 1)))
    }
}

impl ParamMapper for Merge<'_> {
    fn map<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = weight_dims(&param.val());
        if D != 2 || self.failed.is_some() {
            return param;
        }
        match self.delta(path, [shape[0], shape[D - 1]], &param.val().device()) {
            // in f32: f16 would round off deltas that are small relative to the weights
            Ok(Some(delta)) => param.map(|weights| to_weight_layout(to_f32(weights) + delta.reshape(shape))), // [in, out] already
            Ok(None) => param,
            Err(error) => {
                self.failed = Some(error);
                param
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_methods_and_options_are_refused_by_name() {
        for (json, field) in [
            ("[", "(adapter)"),
            ("{}", "peft_type"),
            (r#"{"peft_type": "IA3"}"#, "peft_type"),
            (r#"{"peft_type": "LORA"}"#, "lora_alpha"),
            (r#"{"peft_type": "LORA", "lora_alpha": "8"}"#, "lora_alpha"),
            (r#"{"peft_type": "LORA", "lora_alpha": 8, "use_dora": true}"#, "use_dora"),
            (r#"{"peft_type": "LORA", "lora_alpha": 8, "alpha_pattern": {"fc1": 3}}"#, "alpha_pattern"),
            (r#"{"peft_type": "LORA", "lora_alpha": 8, "modules_to_save": ["head"]}"#, "modules_to_save"),
        ] {
            let error = Scale::from_config(json).unwrap_err();
            assert!(error.code() == "invalid-config" && error.to_string().contains(field), "{json}: {error}");
        }
        let plain = r#"{"peft_type": "LORA", "lora_alpha": 8, "use_dora": false, "alpha_pattern": {}, "modules_to_save": null}"#;
        assert_eq!(Scale::from_config(plain).unwrap().at(16), 0.5);
        let stabilised = r#"{"peft_type": "LORA", "lora_alpha": 8, "use_rslora": true}"#;
        assert_eq!(Scale::from_config(stabilised).unwrap().at(16), 2.0);
    }
}
