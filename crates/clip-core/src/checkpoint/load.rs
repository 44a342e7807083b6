//! A model from safetensors bytes.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData, bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::layout::Layout;
use crate::config::ClipConfig;
use crate::error::{ClipError, Result};
use crate::model::Clip;

fn invalid(message: impl core::fmt::Display) -> ClipError {
    ClipError::InvalidCheckpoint { message: message.to_string() }
}

/// An opened safetensors file.
pub struct Checkpoint<'a> {
    tensors: SafeTensors<'a>,
    metadata: HashMap<String, String>,
}

impl<'a> Checkpoint<'a> {
    /// Reads the header and checks it against the length of `bytes`.
    ///
    /// # Errors
    /// `invalid-checkpoint`.
    pub fn open(bytes: &'a [u8]) -> Result<Self> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(invalid)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        Ok(Self { tensors: SafeTensors::deserialize(bytes).map_err(invalid)?, metadata })
    }

    /// An entry of `__metadata__`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Names of all tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.names().into_iter()
    }

    /// Shape and values of a tensor, as f32.
    ///
    /// # Errors
    /// `missing-tensor`, and `invalid-checkpoint` for a type other than F32, F16 and BF16.
    pub fn tensor(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let view = self.tensors.tensor(name).map_err(|_missing| ClipError::MissingTensor { name: name.into() })?;
        Ok((view.shape().to_vec(), to_f32(name, &view)?))
    }
}

fn to_f32(name: &str, view: &TensorView<'_>) -> Result<Vec<f32>> {
    let bytes = view.data();
    Ok(match view.dtype() {
        Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        Dtype::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        Dtype::BF16 => bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        other => return Err(invalid(format!("{name}: expected F32, F16 or BF16, got {other:?}"))),
    })
}

/// A model of the shape that `config` says, filled from the checkpoint.
///
/// # Errors
/// `invalid-checkpoint`, `missing-tensor`, and `shape-mismatch` naming the tensor.
pub fn load(checkpoint: &Checkpoint<'_>, config: &ClipConfig, device: &Device) -> Result<Clip> {
    let layout = Layout::detect(checkpoint.names())?;
    let mut filler = Filler { checkpoint, layout, path: Vec::new(), error: None };
    let model = config.blank(device).map(&mut filler);
    filler.error.map_or(Ok(model), Err)
}

struct Filler<'a> {
    checkpoint: &'a Checkpoint<'a>,
    layout: Layout,
    path: Vec<String>,
    error: Option<ClipError>,
}

impl Filler<'_> {
    /// Values of one parameter in our orientation.
    fn values(&self, path: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let place = self.layout.place(path);
        // what the checkpoint must hold under each key
        let mut expected = shape.to_vec();
        if place.transposed {
            expected.reverse();
        }
        expected[0] /= place.keys.len();
        let mut values = Vec::with_capacity(shape.iter().product());
        for key in &place.keys {
            let (got, part) = self.checkpoint.tensor(key)?;
            // logit_scale is [] in most files and [1] in some
            if got != expected && !(got.is_empty() && expected == [1]) {
                return Err(ClipError::ShapeMismatch {
                    what: key.clone(),
                    expected: format!("{expected:?}"),
                    got: format!("{got:?}"),
                });
            }
            values.extend(part);
        }
        Ok(if place.transposed { transpose(&values, shape[1], shape[0]) } else { values })
    }
}

impl ModuleMapper for Filler<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.error.is_some() {
            return param;
        }
        let shape: [usize; D] = param.shape().dims();
        match self.values(&self.path.join("."), &shape) {
            Ok(values) => {
                let device = param.val().device();
                let tensor = Tensor::from_data(TensorData::new(values, shape), &device);
                param.map(|_| if device.is_autodiff() { tensor.require_grad() } else { tensor })
            }
            Err(error) => {
                self.error = Some(error);
                param
            }
        }
    }
}

/// `[rows, columns]` to `[columns, rows]`, row-major both.
pub(super) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for column in 0..columns {
        out.extend((0..rows).map(|row| values[row * columns + column]));
    }
    out
}
