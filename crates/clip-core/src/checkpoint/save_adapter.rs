//! Saves LoRA adapters as PEFT does: `adapter_model.safetensors` and `adapter_config.json`.

use std::collections::{BTreeSet, HashMap};

use burn::module::Param;
use burn::tensor::Tensor;
use serde_json::json;

use super::Adapter;
use super::host_values::transpose;
use super::layout::Layout;
use super::naming::Naming;
use super::serialize;
use crate::config::ClipConfig;
use crate::device::read;
use crate::error::Result;
use crate::model::{Clip, ParamVisitor, visit_params};

/// Saves the adapters of `CLIPModel`'s or `SiglipModel`'s linear layers. Our joint adapter of query, key and value becomes three:
/// each has the whole of `a` and its rows of `b`.
///
/// Names: <https://github.com/huggingface/peft/blob/v0.14.0/src/peft/utils/save_and_load.py#L56>
///
/// # Errors
/// `invalid-option` for a model that transformers lacks, `device-failed`.
pub async fn save_adapter(model: &Clip, config: &ClipConfig, rank: usize, alpha: f32) -> Result<Adapter> {
    let naming = Naming::new(Layout::Hf, config)?;
    let mut collect = Collect { found: Vec::new() };
    visit_params(model, &mut collect);
    let mut targets = BTreeSet::new();
    let mut entries: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (path, a, b) in collect.found {
        let ([d_in, _], [_, d_out]) = (a.dims(), b.dims());
        let a = transpose(&read(a.reshape([d_in * rank])).await?, d_in, rank); // [rank, in]
        let b = transpose(&read(b.reshape([rank * d_out])).await?, rank, d_out); // [out, rank]
        let mapping = naming.mapping(&path);
        let rows = d_out / mapping.keys.iter().map(|(_, share)| share).sum::<usize>();
        let mut b = b.as_slice();
        for (key, share) in &mapping.keys {
            let module = key.strip_suffix(".weight").unwrap_or(key);
            targets.insert(module.rsplit('.').next().unwrap_or(module).to_owned());
            let (part, rest) = b.split_at(rows * share * rank);
            b = rest;
            let mut add = |factor: &str, shape: Vec<usize>, values: &[f32]| {
                let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                entries.push((format!("base_model.model.{module}.lora_{factor}.weight"), shape, bytes));
            };
            add("A", vec![rank, d_in], &a);
            add("B", vec![rows * share, rank], part);
        }
    }
    let weights = serialize(&entries, HashMap::from([("format".to_owned(), "pt".to_owned())]))?;
    let config = json!({
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "target_modules": targets,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "base_model_name_or_path": null,
        "task_type": null,
    });
    Ok(Adapter { weights, config: format!("{config:#}\n") })
}

struct Collect {
    found: Vec<(String, Tensor<2>, Tensor<2>)>,
}

impl ParamVisitor for Collect {
    /// The factors follow one another: `….lora.a`, `….lora.b`.
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        let Some((path, factor)) = path.split_once(".lora.") else { return };
        let shape = param.base().dims();
        let value = param.base().inner().reshape([shape[0], shape[D - 1]]); // a matrix already
        match (factor, self.found.last_mut()) {
            ("a", _) => self.found.push((path.into(), value.clone(), value)),
            (_, Some((_, _, b))) => *b = value,
            (_, None) => {}
        }
    }
}
