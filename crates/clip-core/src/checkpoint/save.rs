//! Saves a model, or its gradients, as safetensors.

use std::collections::HashMap;

use burn::module::{LoraAdapter, Param, Reparameterization};
use burn::tensor::Tensor;
use clip_kernels::{is_quantized, to_f32};
use safetensors::tensor::{Dtype, TensorView};

use super::host_values::transpose;
use super::layout::Layout;
use super::naming::Naming;
use crate::config::ClipConfig;
use crate::device::read;
use crate::error::{ClipError, Result};
use crate::model::{Clip, ParamVisitor, visit_params};

/// Saves every parameter as f32, with the names of `layout`. `metadata` goes into `__metadata__` beside `format: pt`, which
/// transformers requires.
///
/// # Errors
/// `invalid-option` if the layout has no class for the model, `device-failed`.
pub async fn save(
    model: &Clip,
    config: &ClipConfig,
    layout: Layout,
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>> {
    let naming = Naming::new(layout, config)?;
    let mut collector = Collector { tensors: Vec::new() };
    visit_params(model, &mut collector);
    if !model.has_logit_scale {
        collector.tensors.retain(|tensor| !tensor.path.starts_with("logit_"));
    }
    write(collector.tensors, &naming, metadata).await
}

/// A tensor to be saved.
pub(super) struct NamedTensor {
    path: String,
    shape: Vec<usize>,
    values: Tensor<1>,
}

impl NamedTensor {
    /// The tensor of the parameter at `path`.
    pub(super) fn new<const D: usize>(path: &str, value: Tensor<D>) -> Self {
        let shape = value.dims().to_vec();
        let count = shape.iter().product::<usize>();
        Self { path: path.into(), shape, values: value.reshape([count]) }
    }
}

struct Collector {
    tensors: Vec<NamedTensor>,
}

impl ParamVisitor for Collector {
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        // a checkpoint has no adapters; callers that want them merge them into the weights first
        if path.split('.').any(|name| name == LoraAdapter::NAME) {
            return;
        }
        let value = param.base().inner();
        let value = if is_quantized(&value) { to_f32(value) } else { value };
        self.tensors.push(NamedTensor::new(path, value));
    }
}

/// Serialises tensors with the names of a layout.
pub(super) async fn write(
    tensors: Vec<NamedTensor>,
    naming: &Naming<'_>,
    mut metadata: HashMap<String, String>,
) -> Result<Vec<u8>> {
    let mut entries: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for NamedTensor { path, shape, values } in tensors {
        let mut values = read(values).await?;
        let mapping = naming.mapping(&path);
        if mapping.transposed {
            values = transpose(&values, shape[0], shape[1]);
        }
        let mut rest = values.as_slice();
        for (index, (key, _)) in mapping.keys.iter().enumerate() {
            let shape = mapping.expected_shape(index, &shape);
            let (part, others) = rest.split_at(shape.iter().product());
            rest = others;
            let bytes = part.iter().flat_map(|x| x.to_le_bytes());
            match entries.last_mut() {
                // further rows of a split token table
                Some((last, rows, table)) if last == key => {
                    rows[0] += shape[0];
                    table.extend(bytes);
                }
                _ => entries.push((key.clone(), shape, bytes.collect())),
            }
        }
    }
    metadata.insert("format".into(), "pt".into());
    serialize(&entries, metadata)
}

/// Serialises f32 tensors: name, shape, little-endian bytes.
pub(crate) fn serialize(
    entries: &[(String, Vec<usize>, Vec<u8>)],
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>> {
    let failed = |e: safetensors::SafeTensorError| ClipError::InvalidCheckpoint { message: e.to_string() };
    let views = entries
        .iter()
        .map(|(key, shape, bytes)| Ok((key, TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(failed)?)))
        .collect::<Result<Vec<_>>>()?;
    // without tensors and metadata the crate writes invalid JSON
    let metadata = (!metadata.is_empty()).then_some(metadata);
    let mut bytes = safetensors::serialize(views, metadata).map_err(failed)?;
    sort_header(&mut bytes);
    Ok(bytes)
}

/// Sorts the header's keys in place, so that equal models give equal bytes: the crate writes metadata in the order of a `HashMap`.
pub(crate) fn sort_header(bytes: &mut [u8]) {
    let length = bytes[..8].iter().rev().fold(0, |n, &b| n << 8 | usize::from(b));
    let header = &mut bytes[8..8 + length];
    // serde_json's map is sorted; the sorted JSON is as long as the original, but for padding
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(header) {
        let sorted = value.to_string();
        if sorted.len() <= length {
            header.fill(b' ');
            header[..sorted.len()].copy_from_slice(sorted.as_bytes());
        }
    }
}
