//! Fills a model parameter by parameter as bytes arrive, so that neither a file nor a second copy of the model is in memory.

use std::collections::HashMap;

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use clip_kernels as kernels;

use super::header::Header;
use super::host_values::HostValues;
use super::options::LoadOptions;
use super::plan::{ByteRange, Plan, PlannedParameter};
use crate::config::ClipConfig;
use crate::error::{ClipError, Result};
use crate::model::{Clip, ParamMapper, Towers, map_params};

/// A parameter whose bytes arrive.
struct PendingParameter {
    plan: PlannedParameter,
    /// Byte ranges still to come.
    missing: usize,
    /// As the checkpoint stores them; `None` before the first byte and after the last.
    values: Option<HostValues>,
}

/// Takes the bytes of a checkpoint in the order of [`byte_ranges`](Self::byte_ranges).
pub struct WeightsLoader {
    blank: Clip,
    ranges: Vec<ByteRange>,
    parameters: Vec<PendingParameter>,
    done: HashMap<String, DeviceValues>,
    device: Device,
    /// Linear weights stay `[out, in]`, as files store them.
    keeps_stored_layout: bool,
    /// Index of the range that the next bytes belong to.
    range: usize,
    /// Bytes of this range that were pushed.
    pushed: u64,
    /// First bytes of a value that was split between two pushes.
    partial: Vec<u8>,
    /// First tensor with NaN or an infinity.
    not_finite: Option<String>,
    towers: Towers,
    warnings: Vec<String>,
}

impl WeightsLoader {
    /// Checks names, types and shapes of all tensors that the model needs, before any weight is read. `files` are the headers of
    /// the checkpoint's files. If the weights hold one of both towers asked for, that one is loaded, with a
    /// [warning](Self::warnings).
    ///
    /// # Errors
    /// `invalid-checkpoint`; `missing-tower` if the weights hold none of the towers asked for; `missing-tensor`, `extra-tensor`
    /// and `shape-mismatch` naming the tensor.
    pub fn new(files: &[Header], config: &ClipConfig, options: LoadOptions, device: &Device) -> Result<Self> {
        let Plan { blank, ranges, parameters, defaults, towers, warnings } = Plan::new(files, config, options, device)?;
        let pending = |plan: PlannedParameter| PendingParameter { missing: plan.ranges, values: None, plan };
        let scalar = |(path, value)| (path, DeviceValues::RowMajor(Tensor::from_data([value], device)));
        Ok(Self {
            blank,
            ranges,
            parameters: parameters.into_iter().map(pending).collect(),
            done: defaults.into_iter().map(scalar).collect(),
            keeps_stored_layout: kernels::wants_k_contiguous(device),
            device: device.clone(),
            range: 0,
            pushed: 0,
            partial: Vec::new(),
            not_finite: None,
            towers,
            warnings,
        })
    }

    /// The towers that are loaded.
    pub fn towers(&self) -> Towers {
        self.towers
    }

    /// Warnings for the user: what the weights lack, and tensors that are not used.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The bytes to push, in this order.
    pub fn byte_ranges(&self) -> &[ByteRange] {
        &self.ranges
    }

    /// Takes the next bytes of the current range, in pieces of any size. After its last byte the next range is current.
    ///
    /// # Errors
    /// `invalid-checkpoint` for more bytes than the range has, or after the last range; `out-of-memory`.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let too_many = |name: &str| ClipError::InvalidCheckpoint { message: format!("{name}: got too many bytes") };
        let Some(range) = self.ranges.get(self.range) else { return Err(too_many("the checkpoint")) };
        let length = range.end - range.begin;
        if self.pushed + bytes.len() as u64 > length {
            return Err(too_many(&range.name));
        }
        let value_bytes = range.dtype.bytes();
        let parameter = &mut self.parameters[range.parameter];
        let values = match &mut parameter.values {
            Some(values) => values,
            None => {
                parameter.values.insert(HostValues::new(parameter.plan.f16, parameter.plan.shape.iter().product())?)
            }
        };
        let mut index = range.offset + (self.pushed as usize - self.partial.len()) / value_bytes;
        self.pushed += bytes.len() as u64;
        let mut finite = true;
        let mut bytes = bytes;
        if !self.partial.is_empty() {
            let (head, tail) = bytes.split_at(bytes.len().min(value_bytes - self.partial.len()));
            self.partial.extend(head);
            bytes = tail;
            if self.partial.len() == value_bytes {
                finite &= values.put(index, range.dtype, &self.partial);
                index += 1;
                self.partial.clear();
            }
        }
        let (whole, partial) = bytes.split_at(bytes.len() / value_bytes * value_bytes);
        finite &= values.put(index, range.dtype, whole);
        self.partial.extend(partial);
        if !finite && self.not_finite.is_none() {
            self.not_finite = Some(range.name.clone());
        }
        if self.pushed == length {
            self.finish_range();
        }
        Ok(())
    }

    fn finish_range(&mut self) {
        let PendingParameter { plan, missing, values } = &mut self.parameters[self.ranges[self.range].parameter];
        self.range += 1;
        self.pushed = 0;
        *missing -= 1;
        if *missing > 0 {
            return;
        }
        let Some(mut values) = values.take() else { return };
        let quantized = match &values {
            HostValues::F32(values) if plan.int8 => kernels::quantize(values, plan.shape[0]), // [out, in]
            _ => None,
        };
        let done = if let Some(quantized) = quantized {
            DeviceValues::Quantized(Tensor::from_data(quantized, &self.device))
        } else if plan.transposed && self.keeps_stored_layout {
            DeviceValues::ColumnMajor(values.into_tensor(&self.device))
        } else {
            if plan.transposed {
                values = values.transposed(plan.shape[1], plan.shape[0]);
            }
            DeviceValues::RowMajor(values.into_tensor(&self.device))
        };
        self.done.insert(plan.path.clone(), done);
    }

    /// Pushes all ranges from a checkpoint of one file in memory.
    ///
    /// # Errors
    /// Those of [`push`](Self::push).
    pub fn push_from(&mut self, file: &[u8]) -> Result<()> {
        for range in self.ranges.clone() {
            self.push(&file[range.begin as usize..range.end as usize])?;
        }
        Ok(())
    }

    /// Returns the model.
    ///
    /// # Errors
    /// `invalid-checkpoint` if bytes are missing.
    pub fn finish(self) -> Result<Loaded> {
        if let Some(range) = self.ranges.get(self.range) {
            return Err(ClipError::InvalidCheckpoint {
                message: format!("{}: expected {} bytes, got {}", range.name, range.end - range.begin, self.pushed),
            });
        }
        let mut filler = Filler { done: self.done };
        Ok(Loaded { model: map_params(self.blank, &mut filler), not_finite: self.not_finite })
    }
}

/// What [`WeightsLoader::finish`] returns.
#[derive(Debug)]
pub struct Loaded {
    /// The model.
    pub model: Clip,
    /// First tensor with NaN or an infinity, which every embedding inherits.
    pub not_finite: Option<String>,
}

/// Loads a model from one file in memory.
///
/// # Errors
/// Those of [`WeightsLoader::new`].
pub fn load(bytes: &[u8], config: &ClipConfig, options: LoadOptions, device: &Device) -> Result<Clip> {
    let header = Header::parse(bytes, bytes.len() as u64)?;
    let mut loader = WeightsLoader::new(&[header], config, options, device)?;
    loader.push_from(bytes)?;
    Ok(loader.finish()?.model)
}

/// A parameter's values on the device.
enum DeviceValues {
    RowMajor(Tensor<1>),
    /// A matrix, as a file stores its transpose.
    ColumnMajor(Tensor<1>),
    Quantized(Tensor<2>),
}

struct Filler {
    done: HashMap<String, DeviceValues>,
}

impl ParamMapper for Filler {
    fn map<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.done.remove(path) {
            Some(DeviceValues::RowMajor(values)) => Param::from_tensor(values.reshape(param.lazy_shape())),
            Some(DeviceValues::Quantized(values)) => Param::from_tensor(Tensor::from_dispatch(values.into_dispatch())),
            Some(DeviceValues::ColumnMajor(values)) => {
                let mut shape = param.lazy_shape().dims::<D>();
                shape.reverse();
                Param::from_tensor(values.reshape(shape).transpose()) // [out, in] to [in, out]
            }
            None => param,
        }
    }
}
