//! One tensor for each of some parameters of a model: moments, averages, adapters. Stored as safetensors, under the parameters'
//! paths.

use std::collections::HashMap;

use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

use crate::checkpoint::{Header, TensorInfo, serialize};
use crate::device::read;
use crate::error::{ClipError, Result};
use crate::model::{Clip, ParamMapper, ParamVisitor, map_params, visit_params};

/// Tensors of a model's parameters, in groups, under the names `group/path`.
#[derive(Default)]
pub(super) struct Values(Vec<(String, Vec<usize>, Tensor<1>)>);

impl Values {
    /// Adds a group: the values of a model's parameters, those without one left out.
    pub(super) fn add(&mut self, group: &str, model: &Clip, values: &GradientsParams) {
        visit_params(model, &mut Add { group, values, entries: &mut self.0 });
    }

    /// Returns a safetensors file.
    pub(super) async fn into_bytes(self) -> Result<Vec<u8>> {
        let mut entries = Vec::new();
        for (name, shape, tensor) in self.0 {
            let bytes: Vec<u8> = read(tensor).await?.into_iter().flat_map(f32::to_le_bytes).collect();
            entries.push((name, shape, bytes));
        }
        serialize(&entries, HashMap::new())
    }
}

struct Add<'a> {
    group: &'a str,
    values: &'a GradientsParams,
    entries: &'a mut Vec<(String, Vec<usize>, Tensor<1>)>,
}

impl ParamVisitor for Add<'_> {
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        let Some(value) = self.values.get::<D>(param.id) else { return };
        let shape = value.dims().to_vec();
        let count = shape.iter().product::<usize>();
        self.entries.push((format!("{}/{path}", self.group), shape, value.reshape([count]))); // flat
    }
}

/// Reads a group for a model's parameters.
///
/// # Errors
/// `invalid-checkpoint` for a tensor without a parameter, or of another shape than its parameter.
pub(super) fn read_group(bytes: &[u8], group: &str, model: &Clip, device: &Device) -> Result<GradientsParams> {
    let header = Header::parse(bytes, bytes.len() as u64)?;
    let prefix = format!("{group}/");
    let tensors = header
        .names()
        .filter_map(|name| Some((name.strip_prefix(&prefix)?.to_owned(), header.tensor(name)?)))
        .collect();
    let mut group =
        ReadGroup { bytes, header: &header, tensors, device, values: GradientsParams::new(), mismatch: None };
    visit_params(model, &mut group);
    match group.mismatch.or_else(|| group.tensors.into_keys().next()) {
        Some(path) => Err(ClipError::InvalidCheckpoint {
            message: format!("training state: {prefix}{path} does not fit the model's parameters"),
        }),
        None => Ok(group.values),
    }
}

struct ReadGroup<'a> {
    bytes: &'a [u8],
    header: &'a Header,
    /// Tensors whose parameter has not been visited, by path.
    tensors: HashMap<String, &'a TensorInfo>,
    device: &'a Device,
    values: GradientsParams,
    /// Path of a tensor of another shape than its parameter.
    mismatch: Option<String>,
}

impl ParamVisitor for ReadGroup<'_> {
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        let Some(info) = self.tensors.remove(path) else { return };
        let shape = param.base().dims();
        let (begin, end) = self.header.bytes_of(info);
        let (values, rest) = self.bytes[begin as usize..end as usize].as_chunks::<4>();
        let expected: Vec<u64> = shape.iter().map(|&side| side as u64).collect();
        if info.shape != expected || !rest.is_empty() || values.len() != shape.iter().product::<usize>() {
            self.mismatch = Some(path.into());
            return;
        }
        let values: Vec<f32> = values.iter().copied().map(f32::from_le_bytes).collect();
        self.values.register(param.id, Tensor::<D>::from_data(TensorData::new(values, shape), self.device));
    }
}

/// Replaces parameters by their values, where they have one; each stays as trainable as it was.
pub(super) fn replace(model: Clip, values: &GradientsParams) -> Clip {
    map_params(model, &mut Replace(values))
}

struct Replace<'a>(&'a GradientsParams);

impl ParamMapper for Replace<'_> {
    fn map<const D: usize>(&mut self, _path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(value) = self.0.get::<D>(param.id) else { return param };
        param.map(|old| {
            let trainable = old.is_require_grad();
            let value = if old.device().is_autodiff() { Tensor::from_inner(value) } else { value };
            value.set_require_grad(trainable)
        })
    }
}

/// Copies the values of a model's parameters; tensors are shared.
pub(super) fn copy(model: &Clip, values: &GradientsParams) -> GradientsParams {
    let mut copy = Copy { values, copied: GradientsParams::new() };
    visit_params(model, &mut copy);
    copy.copied
}

struct Copy<'a> {
    values: &'a GradientsParams,
    copied: GradientsParams,
}

impl ParamVisitor for Copy<'_> {
    fn visit<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        if let Some(value) = self.values.get::<D>(param.id) {
            self.copied.register(param.id, value);
        }
    }
}

/// Returns the trainable parameters, without a graph.
pub(super) fn trainable(model: &Clip) -> GradientsParams {
    let mut trainable = Trainable(GradientsParams::new());
    visit_params(model, &mut trainable);
    trainable.0
}

struct Trainable(GradientsParams);

impl ParamVisitor for Trainable {
    fn visit<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        let value = param.base();
        if value.is_require_grad() {
            self.0.register(param.id, value.inner());
        }
    }
}
