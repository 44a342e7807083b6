//! A tensor for each of some parameters of a model, as safetensors under the parameters' own paths: moments, averages,
//! adapters.

use std::collections::HashMap;

use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

use crate::checkpoint::{Header, TensorInfo, serialize};
use crate::device::read;
use crate::error::{ClipError, Result};
use crate::model::{Clip, ParamMapper, ParamVisitor, map_params, visit_params};

/// Tensors of a model's parameters, in groups: `group/path`.
#[derive(Default)]
pub(super) struct Values(Vec<(String, Vec<usize>, Tensor<1>)>);

impl Values {
    /// Adds those of the parameters that have one here.
    pub(super) fn add(&mut self, group: &str, model: &Clip, values: &GradientsParams) {
        let mut collect = Collect { group, values, found: &mut self.0 };
        visit_params(model, &mut collect);
    }

    /// The file.
    pub(super) async fn into_bytes(self) -> Result<Vec<u8>> {
        let mut entries = Vec::new();
        for (name, shape, tensor) in self.0 {
            let bytes: Vec<u8> = read(tensor).await?.into_iter().flat_map(f32::to_le_bytes).collect();
            entries.push((name, shape, bytes));
        }
        serialize(&entries, HashMap::new())
    }
}

struct Collect<'a> {
    group: &'a str,
    values: &'a GradientsParams,
    found: &'a mut Vec<(String, Vec<usize>, Tensor<1>)>,
}

impl ParamVisitor for Collect<'_> {
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        let Some(value) = self.values.get::<D>(param.id) else { return };
        let shape = value.dims().to_vec();
        let count = shape.iter().product::<usize>();
        self.found.push((format!("{}/{path}", self.group), shape, value.reshape([count])));
    }
}

/// Reads the tensors of a group for a model's parameters.
///
/// # Errors
/// `invalid-checkpoint` for a tensor of another shape than its parameter.
pub(super) fn read_group(bytes: &[u8], group: &str, model: &Clip, device: &Device) -> Result<GradientsParams> {
    let header = Header::parse(bytes, bytes.len() as u64)?;
    let prefix = format!("{group}/");
    let tensors = header
        .names()
        .filter_map(|name| Some((name.strip_prefix(&prefix)?.to_owned(), header.tensor(name)?)))
        .collect();
    let mut place = Place { bytes, header: &header, tensors, device, found: GradientsParams::new(), wrong: None };
    visit_params(model, &mut place);
    match place.wrong.or_else(|| place.tensors.into_keys().next()) {
        Some(path) => Err(ClipError::InvalidCheckpoint {
            message: format!("training state: expected tensors of the model's parameters, got {prefix}{path}"),
        }),
        None => Ok(place.found),
    }
}

struct Place<'a> {
    bytes: &'a [u8],
    header: &'a Header,
    tensors: HashMap<String, &'a TensorInfo>,
    device: &'a Device,
    found: GradientsParams,
    wrong: Option<String>,
}

impl ParamVisitor for Place<'_> {
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        let Some(info) = self.tensors.remove(path) else { return };
        let shape = param.base().dims();
        let (begin, end) = self.header.bytes_of(info);
        let (values, rest) = self.bytes[begin as usize..end as usize].as_chunks::<4>();
        let expected: Vec<u64> = shape.iter().map(|&side| side as u64).collect();
        if info.shape != expected || !rest.is_empty() || values.len() != shape.iter().product::<usize>() {
            self.wrong = Some(path.into());
            return;
        }
        let values: Vec<f32> = values.iter().copied().map(f32::from_le_bytes).collect();
        self.found.register(param.id, Tensor::<D>::from_data(TensorData::new(values, shape), self.device));
    }
}

/// Puts values in the place of the parameters that have one here; each stays as trainable as it was.
pub(super) fn replace(model: Clip, values: &GradientsParams) -> Clip {
    map_params(model, &mut Replace(values))
}

struct Replace<'a>(&'a GradientsParams);

impl ParamMapper for Replace<'_> {
    fn map<const D: usize>(&mut self, _path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(value) = self.0.get::<D>(param.id) else { return param };
        param.map(|old| {
            let learns = old.is_require_grad();
            let value = if old.device().is_autodiff() { Tensor::from_inner(value) } else { value };
            value.set_require_grad(learns)
        })
    }
}

/// The same values of a model's parameters once more; tensors are not copied.
pub(super) fn copy(model: &Clip, values: &GradientsParams) -> GradientsParams {
    let mut copy = Copy { values, found: GradientsParams::new() };
    visit_params(model, &mut copy);
    copy.found
}

struct Copy<'a> {
    values: &'a GradientsParams,
    found: GradientsParams,
}

impl ParamVisitor for Copy<'_> {
    fn visit<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        if let Some(value) = self.values.get::<D>(param.id) {
            self.found.register(param.id, value);
        }
    }
}

/// The parameters that learn, without a graph.
pub(super) fn learning(model: &Clip) -> GradientsParams {
    let mut collect = Learning(GradientsParams::new());
    visit_params(model, &mut collect);
    collect.0
}

struct Learning(GradientsParams);

impl ParamVisitor for Learning {
    fn visit<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        let value = param.base();
        if value.is_require_grad() {
            self.0.register(param.id, value.inner());
        }
    }
}
