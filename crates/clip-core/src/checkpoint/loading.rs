//! A model filled tensor by tensor, as the bytes arrive: never two copies of it, and no file as a whole.

use std::collections::{HashMap, HashSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, FloatDType, Tensor};
use clip_kernels::{self as kernels, int8};

use super::header::Header;
use super::layout::{Naming, is_buffer, unwrapped};
use super::stored::Stored;
use super::values::Values;
use crate::config::{ClipConfig, LOGIT_SCALE_INIT};
use crate::error::{ClipError, Result};
use crate::model::{Clip, LOGIT_BIAS_INIT, Towers};

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
    dtype: Stored,
    /// Which parameter it belongs to, and from which value on.
    target: usize,
    offset: usize,
}

/// How weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Half precision as it is stored, where the device can: widened at each use.
    #[default]
    Auto,
    /// In full.
    F32,
    /// The blocks' matrices as 8-bit integers, see [`int8`], and the token table in half precision; the rest as in `Auto`.
    Int8,
}

impl Precision {
    /// `auto`, `f32` or `q8`.
    ///
    /// # Errors
    /// `invalid-option` for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "auto" => Ok(Self::Auto),
            "f32" => Ok(Self::F32),
            "q8" => Ok(Self::Int8),
            got => Err(ClipError::unknown_name("dtype", "auto, f32 or q8", got)),
        }
    }
}

/// How a model is loaded.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadOptions {
    /// With which towers.
    pub towers: Towers,
    /// How weights are kept.
    pub precision: Precision,
    /// Bytes that a tensor on the device may have; the token table is cut where it has more.
    pub most_tensor_bytes: Option<u64>,
}

/// A parameter on its way.
struct Target {
    path: String,
    shape: Vec<usize>,
    transposed: bool,
    half: bool,
    /// Whether it becomes integers.
    int8: bool,
    /// Parts that are still to come.
    missing: usize,
    /// In the checkpoint's order; none before the first part and after the last.
    values: Option<Values>,
}

/// A model being filled.
pub struct Loading {
    blank: Clip,
    parts: Vec<Part>,
    targets: Vec<Target>,
    done: HashMap<String, Filled>,
    device: Device,
    /// Whether linear weights stay `[out, in]`, as their files have them.
    as_stored: bool,
    /// Where the next bytes go.
    part: usize,
    pushed: u64,
    /// Bytes of a value that was cut in two.
    rest: Vec<u8>,
    /// First tensor with a value that is no number.
    not_finite: Option<String>,
    towers: Towers,
    warnings: Vec<String>,
}

/// What a projection's absence may come from.
const NO_PROJECTION: &str = ": a CLIPTextModel or CLIPVisionModel, such as Stable Diffusion's text_encoder, ends before the \
    space that images and texts share; take the CLIPTextModelWithProjection, CLIPVisionModelWithProjection or CLIPModel";

impl Loading {
    /// Checks names, types and shapes of everything that the model needs, before any weight is read. `files` are the
    /// headers of a checkpoint's files. Of the towers asked for, those are loaded that the weights hold, and of both one
    /// without the other; see [`warnings`](Self::warnings).
    ///
    /// # Errors
    /// `invalid-checkpoint`; `missing-tower` where a tower was asked for alone and is not there; `missing-tensor`, `extra-tensor` and `shape-mismatch` naming the tensor.
    pub fn new(files: &[Header], config: &ClipConfig, options: LoadOptions, device: &Device) -> Result<Self> {
        // by the name that the model itself has for a tensor: its file, and its name there
        let mut home: HashMap<String, (usize, &str)> = HashMap::new();
        for (file, header) in files.iter().enumerate() {
            for name in header.names() {
                if let Some((_, other)) = home.insert(unwrapped(name), (file, name)) {
                    let got = if other == name { "it in two".into() } else { format!("{} as well", name.max(other)) };
                    let message = format!("expected {} in one of the files, got {got}", name.min(other));
                    return Err(ClipError::InvalidCheckpoint { message });
                }
            }
        }
        let naming = Naming::detect(config, home.keys().map(String::as_str))?;
        let mut warnings = Vec::new();
        let there = [Towers::Image, Towers::Text].map(|tower| home.keys().any(|name| naming.is_of(name, tower)));
        let towers = towers_there(options.towers, there, "weights", &mut warnings)?;
        // training computes with what it keeps
        let keep_half =
            options.precision != Precision::F32 && !device.is_autodiff() && device.supports_dtype(FloatDType::F16);
        let most_values = options.most_tensor_bytes.map(|bytes| usize::try_from(bytes / 4).unwrap_or(usize::MAX));
        let mut blank = config.blank(towers, most_values, device);
        let mut specs = Specs::default();
        blank.visit(&mut specs);
        let (mut parts, mut targets): (Vec<Part>, Vec<Target>) = (Vec::new(), Vec::new());
        let mut done = HashMap::new();
        // rows of the token table that are placed already
        let mut table_rows = 0;
        for (path, shape) in specs.found {
            let place = naming.place(&path);
            let is_table = path.starts_with("text.token_embedding.");
            let mut offset = 0;
            let int8 = options.precision == Precision::Int8 && place.transposed && path.contains(".resblocks.");
            let mut half = keep_half && shape.len() >= 2 && !int8;
            if path.starts_with("logit_") && !home.contains_key(&path) {
                // https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/factory.py#L212
                let as_open_clip = path == "logit_bias" && naming.is_open_clip() && home.contains_key("logit_scale");
                let (value, what) = match path.as_str() {
                    "logit_bias" if as_open_clip => (0.0, "taken as 0, as OpenCLIP does"),
                    "logit_bias" => (LOGIT_BIAS_INIT, NO_LOGITS),
                    _ => (LOGIT_SCALE_INIT as f32, NO_LOGITS),
                };
                blank.has_logit_scale &= as_open_clip;
                if towers == Towers::Both {
                    warnings.push(format!("{path} is not in the weights: {what}"));
                }
                done.insert(path, Filled::Rows(Tensor::from_data([value], device)));
                continue;
            }
            for (index, (key, _)) in place.keys.iter().enumerate() {
                let found = home.get(key).and_then(|&(file, name)| Some((file, name, files[file].tensor(name)?)));
                let Some((file, key, info)) = found else {
                    let hint = if key.ends_with("_projection.weight") { NO_PROJECTION } else { "" };
                    return Err(ClipError::MissingTensor { name: key.clone(), hint });
                };
                let dtype = Stored::of(key, info)?;
                let mut expected = place.expected_shape(index, &shape);
                let values = expected.iter().product::<usize>();
                if is_table {
                    expected[0] = config.text.vocab_size;
                }
                check_shape(key, &info.shape, &expected)?;
                half &= dtype == Stored::F16 || is_table && options.precision == Precision::Int8;
                let (mut begin, mut end) = files[file].bytes_of(info);
                if is_table {
                    begin += (table_rows * shape[1] * dtype.bytes()) as u64;
                    end = begin + (values * dtype.bytes()) as u64;
                    table_rows += shape[0];
                }
                parts.push(Part { file, begin, end, name: key.into(), dtype, target: targets.len(), offset });
                offset += values;
            }
            let missing = place.keys.len();
            targets.push(Target { path, shape, transposed: place.transposed, half, int8, missing, values: None });
        }
        let used: HashSet<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        let extra = |(ours, (_, name)): &(&String, &(usize, &str))| !used.contains(name) && naming.is_of(ours, towers);
        // the smallest, so that the message does not depend on the order of a map
        if let Some((_, (_, name))) = home.iter().filter(extra).min() {
            return Err(ClipError::ExtraTensor { name: (*name).into() });
        }
        // with one tower loaded, most unused tensors are the other's
        if towers == Towers::Both {
            let unused = home.iter().filter(|(ours, (_, name))| !used.contains(name) && !is_buffer(ours));
            let mut unused: Vec<&str> = unused.map(|(_, &(_, name))| name).collect();
            unused.sort_unstable();
            match unused[..] {
                [] => {}
                [name] => warnings.push(format!("the tensor {name} is not known and was not used")),
                [name, ref rest @ ..] => {
                    let more = rest.len();
                    warnings.push(format!("the tensor {name} and {more} more are not known and were not used"));
                }
            }
        }
        parts.sort_by_key(|part| (part.file, part.begin));
        Ok(Self {
            blank,
            parts,
            targets,
            as_stored: kernels::multiplies_columns(device),
            done,
            device: device.clone(),
            part: 0,
            pushed: 0,
            rest: Vec::new(),
            not_finite: None,
            towers,
            warnings,
        })
    }

    /// The towers that are loaded.
    pub fn towers(&self) -> Towers {
        self.towers
    }

    /// What the weights lack, in words.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What must be pushed, in this order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Takes the next bytes of the present part. After its last byte the next part is due.
    ///
    /// # Errors
    /// `invalid-checkpoint` for more bytes than the part has, or after the last part; `out-of-memory`.
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
        let values = match &mut target.values {
            Some(values) => values,
            None => target.values.insert(Values::new(target.half, target.shape.iter().product())?),
        };
        let mut index = part.offset + (self.pushed as usize - self.rest.len()) / each;
        self.pushed += bytes.len() as u64;
        let mut finite = true;
        let mut bytes = bytes;
        if !self.rest.is_empty() {
            let (head, tail) = bytes.split_at(bytes.len().min(each - self.rest.len()));
            self.rest.extend(head);
            bytes = tail;
            if self.rest.len() == each {
                finite &= values.put(index, part.dtype, &self.rest);
                index += 1;
                self.rest.clear();
            }
        }
        let (whole, rest) = bytes.split_at(bytes.len() / each * each);
        finite &= values.put(index, part.dtype, whole);
        self.rest.extend(rest);
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
        let Some(mut values) = target.values.take() else { return };
        let integers = match &values {
            Values::F32(values) if target.int8 => int8::quantized(values, target.shape[0]), // [out, in]
            _ => None,
        };
        let filled = if let Some(integers) = integers {
            Filled::Integers(Tensor::from_data(integers, &self.device))
        } else if target.transposed && self.as_stored {
            Filled::Columns(values.into_tensor(&self.device))
        } else {
            if target.transposed {
                values = values.transposed(target.shape[1], target.shape[0]);
            }
            Filled::Rows(values.into_tensor(&self.device))
        };
        self.done.insert(target.path.clone(), filled);
    }

    /// All parts at once, from a file in memory that is the only one.
    ///
    /// # Errors
    /// Those of [`push`](Self::push).
    pub fn push_from(&mut self, file: &[u8]) -> Result<()> {
        for part in self.parts.clone() {
            self.push(&file[part.begin as usize..part.end as usize])?;
        }
        Ok(())
    }

    /// The model.
    ///
    /// # Errors
    /// `invalid-checkpoint` where bytes are still missing.
    pub fn finish(self) -> Result<Loaded> {
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
pub fn load(bytes: &[u8], config: &ClipConfig, options: LoadOptions, device: &Device) -> Result<Clip> {
    let header = Header::parse(bytes, bytes.len() as u64)?;
    let mut loading = Loading::new(&[header], config, options, device)?;
    loading.push_from(bytes)?;
    Ok(loading.finish()?.model)
}

const NO_LOGITS: &str = "embeddings are what they should be, logits are refused, and training starts where CLIP's does";

/// The towers that were asked for and are there, in the weights or in the config.
pub(crate) fn towers_there(
    asked: Towers,
    [image, text]: [bool; 2],
    place: &str,
    warnings: &mut Vec<String>,
) -> Result<Towers> {
    let Some(found) = Towers::of(image && asked.image(), text && asked.text()) else {
        return Err(ClipError::MissingTower { tower: if asked.image() { "image" } else { "text" }.into() });
    };
    if found != asked {
        let (there, missing) = if found == Towers::Image { ("image", "text") } else { ("text", "image") };
        warnings.push(format!(
            "no {missing} tower in the {place}: loaded without, as towers: \"{there}\" does without this warning"
        ));
    }
    Ok(found)
}

fn check_shape(key: &str, got: &[u64], expected: &[usize]) -> Result<()> {
    // sides of 1 are the layouts' whims: [1] for [], [1, n, w] for [n, w]
    let got_sides = got.iter().copied().filter(|&side| side != 1);
    if !got_sides.eq(expected.iter().map(|&side| side as u64).filter(|&side| side != 1)) {
        return Err(ClipError::ShapeMismatch {
            what: key.into(),
            expected: format!("{expected:?}"),
            got: format!("{got:?}"),
        });
    }
    Ok(())
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

/// A parameter's values.
enum Filled {
    /// Row by row.
    Rows(Tensor<1>),
    /// A matrix, column by column.
    Columns(Tensor<1>),
    /// A matrix, quantised.
    Integers(Tensor<2>),
}

struct Filler {
    done: HashMap<String, Filled>,
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
            Some(Filled::Rows(values)) => Param::from_tensor(values.reshape(param.lazy_shape())),
            Some(Filled::Integers(values)) => Param::from_tensor(Tensor::from_dispatch(values.into_dispatch())),
            Some(Filled::Columns(values)) => {
                let mut shape = param.lazy_shape().dims::<D>();
                shape.reverse();
                Param::from_tensor(values.reshape(shape).transpose())
            }
            None => param,
        }
    }
}
