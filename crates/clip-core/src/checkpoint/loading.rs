//! A model filled tensor by tensor, as the bytes arrive: never two copies of it, and no file as a whole.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData, bf16, f16};

use super::header::Header;
use super::layout::Naming;
use crate::config::ClipConfig;
use crate::error::{ClipError, Result};
use crate::model::{Clip, Towers};

/// Bytes of a file that must be pushed, in the order of [`Loading::parts`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Index of the file.
    pub file: usize,
    /// First byte.
    pub begin: u64,
    /// The byte after the last.
    pub end: u64,
    /// Key of the tensor.
    pub name: String,
    dtype: Dtype,
    /// Which parameter it belongs to, and from which value on.
    target: usize,
    offset: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dtype {
    F32,
    F16,
    Bf16,
}

impl Dtype {
    fn bytes(self) -> usize {
        if self == Self::F32 { 4 } else { 2 }
    }

    fn value(self, b: &[u8]) -> f32 {
        match self {
            Self::F32 => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
            Self::F16 => f16::from_le_bytes([b[0], b[1]]).to_f32(),
            Self::Bf16 => bf16::from_le_bytes([b[0], b[1]]).to_f32(),
        }
    }
}

/// A parameter on its way.
struct Target {
    path: String,
    shape: Vec<usize>,
    transposed: bool,
    /// Parts that are still to come.
    missing: usize,
    /// In the checkpoint's order; empty before the first part and after the last.
    values: Vec<f32>,
}

/// A model being filled.
pub struct Loading {
    blank: Clip,
    parts: Vec<Part>,
    targets: Vec<Target>,
    done: HashMap<String, Tensor<1>>,
    device: Device,
    /// Where the next bytes go.
    part: usize,
    pushed: u64,
    /// Bytes of a value that was cut in two.
    rest: Vec<u8>,
    /// First tensor with a value that is no number.
    not_finite: Option<String>,
}

impl Loading {
    /// Checks names, types and shapes of everything that the model needs, before any weight is read. `files` are the
    /// headers of a checkpoint's files.
    ///
    /// # Errors
    /// `invalid-checkpoint`, `missing-tensor`, and `shape-mismatch` naming the tensor.
    pub fn new(files: &[Header], config: &ClipConfig, towers: Towers, device: &Device) -> Result<Self> {
        let mut home: HashMap<&str, usize> = HashMap::new();
        for (file, header) in files.iter().enumerate() {
            for name in header.names() {
                if home.insert(name, file).is_some() {
                    return Err(ClipError::InvalidCheckpoint {
                        message: format!("expected {name} in one of the files, got it in two"),
                    });
                }
            }
        }
        let naming = Naming::detect(config, home.keys().copied())?;
        let blank = config.blank(towers, device);
        let mut specs = Specs::default();
        blank.visit(&mut specs);
        let (mut parts, mut targets) = (Vec::new(), Vec::new());
        for (path, shape) in specs.found {
            let place = naming.place(&path);
            let mut offset = 0;
            for (index, (key, _)) in place.keys.iter().enumerate() {
                let expected = place.expected_shape(index, &shape);
                let file = *home.get(key.as_str()).ok_or_else(|| ClipError::MissingTensor { name: key.clone() })?;
                let info = files[file].tensor(key).ok_or_else(|| ClipError::MissingTensor { name: key.clone() })?;
                // sides of 1 are the layouts' whims: [1] for [], [1, n, w] for [n, w]
                let sides = |shape: &mut dyn Iterator<Item = u64>| shape.filter(|&s| s != 1).collect::<Vec<_>>();
                if sides(&mut info.shape.iter().copied()) != sides(&mut expected.iter().map(|&s| s as u64)) {
                    return Err(ClipError::ShapeMismatch {
                        what: key.clone(),
                        expected: format!("{expected:?}"),
                        got: format!("{:?}", info.shape),
                    });
                }
                let dtype = match info.dtype.as_str() {
                    "F32" => Dtype::F32,
                    "F16" => Dtype::F16,
                    "BF16" => Dtype::Bf16,
                    other => {
                        return Err(ClipError::InvalidCheckpoint {
                            message: format!("{key}: expected F32, F16 or BF16, got {other}"),
                        });
                    }
                };
                let (begin, end) = files[file].bytes_of(info);
                parts.push(Part { file, begin, end, name: key.clone(), dtype, target: targets.len(), offset });
                offset += expected.iter().product::<usize>();
            }
            let missing = place.keys.len();
            targets.push(Target { path, shape, transposed: place.transposed, missing, values: Vec::new() });
        }
        parts.sort_by_key(|part| (part.file, part.begin));
        Ok(Self {
            blank,
            parts,
            targets,
            done: HashMap::new(),
            device: device.clone(),
            part: 0,
            pushed: 0,
            rest: Vec::new(),
            not_finite: None,
        })
    }

    /// What must be pushed, in this order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Takes the next bytes of the present part. After its last byte the next part is due.
    ///
    /// # Errors
    /// `invalid-checkpoint` for more bytes than the part has, or after the last part.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        let too_many =
            |name: &str| ClipError::InvalidCheckpoint { message: format!("{name}: got more bytes than it has") };
        let Some(part) = self.parts.get(self.part) else { return Err(too_many("the checkpoint")) };
        let length = part.end - part.begin;
        if self.pushed + bytes.len() as u64 > length {
            return Err(too_many(&part.name));
        }
        let each = part.dtype.bytes();
        let target = &mut self.targets[part.target];
        if target.values.is_empty() {
            target.values = vec![0.0; target.shape.iter().product()];
        }
        let first = part.offset + (self.pushed as usize - self.rest.len()) / each;
        self.pushed += bytes.len() as u64;
        let mut finite = true;
        let mut put = |index: usize, b: &[u8]| {
            let value = part.dtype.value(b);
            finite &= value.is_finite();
            target.values[index] = value;
        };
        let mut index = first;
        let mut bytes = bytes;
        if !self.rest.is_empty() {
            let (head, tail) = bytes.split_at(bytes.len().min(each - self.rest.len()));
            self.rest.extend(head);
            bytes = tail;
            if self.rest.len() == each {
                put(index, &self.rest);
                index += 1;
                self.rest.clear();
            }
        }
        let whole = bytes.chunks_exact(each);
        self.rest.extend(whole.remainder());
        for b in whole {
            put(index, b);
            index += 1;
        }
        if !finite && self.not_finite.is_none() {
            self.not_finite = Some(part.name.clone());
        }
        if self.pushed == length {
            self.finish_part();
        }
        Ok(())
    }

    fn finish_part(&mut self) {
        let target = &mut self.targets[self.parts[self.part].target];
        self.part += 1;
        self.pushed = 0;
        target.missing -= 1;
        if target.missing > 0 {
            return;
        }
        let mut values = core::mem::take(&mut target.values);
        if target.transposed {
            values = transpose(&values, target.shape[1], target.shape[0]);
        }
        let count = values.len();
        let tensor = Tensor::from_data(TensorData::new(values, [count]), &self.device);
        self.done.insert(target.path.clone(), tensor);
    }

    /// The model.
    ///
    /// # Errors
    /// `invalid-checkpoint` where bytes are still missing.
    pub fn finish(mut self) -> Result<Loaded> {
        // tensors without a value have no bytes to wait for
        while self.parts.get(self.part).is_some_and(|part| part.begin == part.end) {
            self.push(&[])?;
        }
        if let Some(part) = self.parts.get(self.part) {
            return Err(ClipError::InvalidCheckpoint {
                message: format!("{}: expected {} bytes, got {}", part.name, part.end - part.begin, self.pushed),
            });
        }
        let mut filler = Filler { done: self.done, path: Vec::new() };
        Ok(Loaded { model: self.blank.map(&mut filler), not_finite: self.not_finite })
    }
}

/// A model, filled.
#[derive(Debug)]
pub struct Loaded {
    /// The model.
    pub model: Clip,
    /// First tensor with a value that is not finite: every embedding will be NaN.
    pub not_finite: Option<String>,
}

/// A model from one file in memory.
///
/// # Errors
/// Those of [`Loading::new`].
pub fn load(bytes: &[u8], config: &ClipConfig, device: &Device) -> Result<Clip> {
    let header = Header::parse(bytes, bytes.len() as u64)?;
    let mut loading = Loading::new(&[header], config, Towers::Both, device)?;
    for part in loading.parts().to_vec() {
        loading.push(&bytes[part.begin as usize..part.end as usize])?;
    }
    Ok(loading.finish()?.model)
}

/// Paths and shapes of all parameters.
#[derive(Default)]
struct Specs {
    path: Vec<String>,
    found: Vec<(String, Vec<usize>)>,
}

impl ModuleVisitor for Specs {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.found.push((self.path.join("."), param.lazy_shape().dims::<D>().to_vec()));
    }
}

struct Filler {
    done: HashMap<String, Tensor<1>>,
    path: Vec<String>,
}

impl ModuleMapper for Filler {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.done.remove(&self.path.join(".")) {
            Some(values) => Param::from_tensor(values.reshape(param.lazy_shape())),
            None => param,
        }
    }
}

/// `[rows, columns]` to `[columns, rows]`, row-major both, in tiles that fit a cache.
pub(super) fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const TILE: usize = 32;
    let mut out = vec![0.0; values.len()];
    for r in (0..rows).step_by(TILE) {
        for c in (0..columns).step_by(TILE) {
            for row in r..rows.min(r + TILE) {
                for column in c..columns.min(c + TILE) {
                    out[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
    out
}
