//! Plans a load: which bytes of a checkpoint become which parameter. Names, types and shapes are checked before a weight is read.

use std::collections::{HashMap, HashSet};

use burn::module::Param;
use burn::tensor::{Device, FloatDType, Tensor};

use super::header::{Header, TensorInfo};
use super::naming::{Naming, is_buffer, unwrapped};
use super::options::{LoadOptions, Precision};
use super::stored_dtype::StoredDtype;
use crate::config::{ClipConfig, LOGIT_SCALE_INIT};
use crate::error::{ClipError, Result};
use crate::model::{Clip, LOGIT_BIAS_INIT, ParamVisitor, Towers, visit_params};

/// Bytes of a file that the model needs: a tensor, or rows of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByteRange {
    /// Index of the file.
    pub file: usize,
    /// First byte.
    pub begin: u64,
    /// End, exclusive.
    pub end: u64,
    /// Key of the tensor.
    pub name: String,
    pub(super) dtype: StoredDtype,
    /// Index of the parameter, and of the first value in it.
    pub(super) parameter: usize,
    pub(super) offset: usize,
}

impl ByteRange {
    /// Number of values in it.
    pub fn values(&self) -> u64 {
        (self.end - self.begin) / self.dtype.bytes() as u64
    }
}

/// A parameter to be read.
pub(super) struct PlannedParameter {
    pub(super) path: String,
    pub(super) shape: Vec<usize>,
    /// The checkpoint stores the transpose.
    pub(super) transposed: bool,
    /// Kept as f16.
    pub(super) f16: bool,
    /// Quantised to 8-bit integers.
    pub(super) int8: bool,
    /// Number of its byte ranges.
    pub(super) ranges: usize,
}

/// Everything that a load needs besides the bytes.
pub(super) struct Plan {
    /// The model, without values.
    pub(super) blank: Clip,
    /// In the order of the files.
    pub(super) ranges: Vec<ByteRange>,
    pub(super) parameters: Vec<PlannedParameter>,
    /// Path and value of the scalars that the checkpoint lacks.
    pub(super) defaults: Vec<(String, f32)>,
    pub(super) towers: Towers,
    pub(super) warnings: Vec<String>,
}

impl Plan {
    /// See [`WeightsLoader::new`](super::WeightsLoader::new).
    pub(super) fn new(files: &[Header], config: &ClipConfig, options: LoadOptions, device: &Device) -> Result<Self> {
        let index = TensorIndex::new(files)?;
        let naming = Naming::detect(config, index.names())?;
        let mut warnings = Vec::new();
        let present = [Towers::Image, Towers::Text].map(|tower| index.names().any(|name| naming.is_of(name, tower)));
        let towers = select_towers(options.towers, present, "weights", &mut warnings)?;
        let max_values = options.max_tensor_bytes.map(|bytes| usize::try_from(bytes / 4).unwrap_or(usize::MAX));
        let blank = config.blank(towers, max_values, device);
        let mut shapes = Shapes::default();
        visit_params(&blank, &mut shapes);
        let (ranges, parameters, defaults) = (Vec::new(), Vec::new(), Vec::new());
        let mut plan = Self { blank, ranges, parameters, defaults, towers, warnings };
        // AdamW's updates need full precision
        let keeps_f16 =
            options.precision != Precision::F32 && !device.is_autodiff() && device.supports_dtype(FloatDType::F16);
        let source = Checkpoint { index, naming, config, precision: options.precision, keeps_f16 };
        for (path, shape) in shapes.found {
            if path.starts_with("logit_") && source.index.get(&path).is_none() {
                plan.add_default(&source, path);
            } else {
                plan.add_parameter(&source, path, shape)?;
            }
        }
        let used: HashSet<&str> = plan.ranges.iter().map(|range| range.name.as_str()).collect();
        source.index.refuse_unused(&used, &source.naming, towers)?;
        // with one tower loaded, most unused tensors are the other's
        if towers == Towers::Both {
            plan.warnings.extend(source.index.unused_warning(&used));
        }
        plan.ranges.sort_by_key(|range| (range.file, range.begin));
        Ok(plan)
    }

    /// Adds a `logit_scale` or `logit_bias` that the checkpoint lacks. OpenCLIP takes 0 for a missing bias:
    /// <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/factory.py#L212>.
    fn add_default(&mut self, source: &Checkpoint<'_>, path: String) {
        let is_zero = path == "logit_bias" && source.naming.is_open_clip() && source.index.get("logit_scale").is_some();
        self.blank.has_logit_scale &= is_zero;
        if self.towers == Towers::Both {
            let consequence = if is_zero { "taken as 0, as OpenCLIP does" } else { NO_LOGITS };
            self.warnings.push(format!("{path} is not in the weights: {consequence}"));
        }
        let value = match path.as_str() {
            "logit_bias" if is_zero => 0.0,
            "logit_bias" => LOGIT_BIAS_INIT,
            _ => LOGIT_SCALE_INIT as f32,
        };
        self.defaults.push((path, value));
    }

    /// Adds a parameter with its byte ranges.
    ///
    /// # Errors
    /// `missing-tensor`, `shape-mismatch`; `invalid-checkpoint` for a type that is not a float.
    fn add_parameter(&mut self, source: &Checkpoint<'_>, path: String, shape: Vec<usize>) -> Result<()> {
        let mapping = source.naming.mapping(&path);
        let quantizes = source.precision == Precision::Int8;
        let int8 = quantizes && mapping.transposed && path.contains(".resblocks.");
        let mut f16 = source.keeps_f16 && shape.len() >= 2 && !int8;
        let is_table = is_token_table(&path);
        let mut offset = 0;
        for (part, (key, _)) in mapping.keys.iter().enumerate() {
            let Some((file, name, info)) = source.index.get(key) else {
                let hint = if key.ends_with("_projection.weight") { NO_PROJECTION } else { "" };
                return Err(ClipError::MissingTensor { name: key.clone(), hint });
            };
            let dtype = StoredDtype::of(name, info)?;
            let mut expected = mapping.expected_shape(part, &shape);
            let values = expected.iter().product::<usize>();
            if is_table {
                expected[0] = source.config.text.vocab_size;
            }
            check_shape(name, &info.shape, &expected)?;
            f16 &= dtype == StoredDtype::F16 || is_table && quantizes;
            let (mut begin, mut end) = source.index.files[file].bytes_of(info);
            if is_table {
                // a split table: earlier parameters have the rows before these
                let tables = self.parameters.iter().filter(|parameter| is_token_table(&parameter.path));
                let before: usize = tables.map(|parameter| parameter.shape[0]).sum();
                begin += (before * shape[1] * dtype.bytes()) as u64;
                end = begin + (values * dtype.bytes()) as u64;
            }
            let parameter = self.parameters.len();
            self.ranges.push(ByteRange { file, begin, end, name: name.into(), dtype, parameter, offset });
            offset += values;
        }
        let ranges = mapping.keys.len();
        self.parameters.push(PlannedParameter { path, shape, transposed: mapping.transposed, f16, int8, ranges });
        Ok(())
    }
}

fn is_token_table(path: &str) -> bool {
    path.starts_with("text.token_embedding.")
}

/// The checkpoint that a plan is for, and the types that its weights get.
struct Checkpoint<'a> {
    index: TensorIndex<'a>,
    naming: Naming<'a>,
    config: &'a ClipConfig,
    precision: Precision,
    /// f16 matrices stay f16.
    keeps_f16: bool,
}

/// Tensors of a checkpoint's files, by the names that they have without wrappers.
struct TensorIndex<'a> {
    files: &'a [Header],
    /// The file, and the tensor's name in it.
    tensors: HashMap<String, (usize, &'a str)>,
}

impl<'a> TensorIndex<'a> {
    /// # Errors
    /// `invalid-checkpoint` for a tensor that the files have twice.
    fn new(files: &'a [Header]) -> Result<Self> {
        let mut tensors: HashMap<String, (usize, &str)> = HashMap::new();
        for (file, header) in files.iter().enumerate() {
            for name in header.names() {
                if let Some((_, other)) = tensors.insert(unwrapped(name), (file, name)) {
                    let message = match (name.min(other), name.max(other)) {
                        (first, second) if first == second => format!("two files hold the tensor {first}"),
                        (first, second) => format!("the weights hold a tensor twice, as {first} and {second}"),
                    };
                    return Err(ClipError::InvalidCheckpoint { message });
                }
            }
        }
        Ok(Self { files, tensors })
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Returns the file, the tensor's name in it, and its header entry.
    fn get(&self, key: &str) -> Option<(usize, &'a str, &'a TensorInfo)> {
        self.tensors.get(key).and_then(|&(file, name)| Some((file, name, self.files[file].tensor(name)?)))
    }

    /// # Errors
    /// `extra-tensor` for an unused tensor of a tower that is loaded: the config describes another model.
    fn refuse_unused(&self, used: &HashSet<&str>, naming: &Naming<'_>, towers: Towers) -> Result<()> {
        let extra = |(unwrapped, (_, name)): &(&String, &(usize, &str))| {
            !used.contains(name) && naming.is_of(unwrapped, towers)
        };
        // the smallest, so that the message does not depend on the order of a map
        match self.tensors.iter().filter(extra).min() {
            Some((_, (_, name))) => Err(ClipError::ExtraTensor { name: (*name).into() }),
            None => Ok(()),
        }
    }

    /// Returns a warning that names tensors which are neither used nor buffers.
    fn unused_warning(&self, used: &HashSet<&str>) -> Option<String> {
        let unused = self.tensors.iter().filter(|(unwrapped, (_, name))| !used.contains(name) && !is_buffer(unwrapped));
        let mut unused: Vec<&str> = unused.map(|(_, &(_, name))| name).collect();
        unused.sort_unstable();
        match unused[..] {
            [] => None,
            [name] => Some(format!("the tensor {name} is not known and was not used")),
            [name, ref rest @ ..] => {
                Some(format!("the tensor {name} and {} more are not known and were not used", rest.len()))
            }
        }
    }
}

/// Why a projection may be missing, and what to do.
const NO_PROJECTION: &str = ": a CLIPTextModel or CLIPVisionModel, such as Stable Diffusion's text_encoder, ends before the \
    space that images and texts share; take the CLIPTextModelWithProjection, CLIPVisionModelWithProjection or CLIPModel";

const NO_LOGITS: &str = "embeddings are unaffected, logits are refused, and training starts from CLIP's initial value";

/// The towers that are both asked for and present in `place`, which is `weights` or `config`.
///
/// # Errors
/// `missing-tower` if there are none.
pub(crate) fn select_towers(
    asked: Towers,
    [image, text]: [bool; 2],
    place: &str,
    warnings: &mut Vec<String>,
) -> Result<Towers> {
    let Some(found) = Towers::of(image && asked.image(), text && asked.text()) else {
        return Err(ClipError::MissingTower { tower: if asked.image() { "image" } else { "text" }.into() });
    };
    if found != asked {
        let (present, missing) = if found == Towers::Image { ("image", "text") } else { ("text", "image") };
        warnings.push(format!(
            "no {missing} tower in the {place}: only the {present} tower is loaded; towers: \"{present}\" says that this is meant"
        ));
    }
    Ok(found)
}

/// Dimensions of 1 are ignored: layouts differ in them (`[1]` for `[]`, `[1, n, w]` for `[n, w]`).
fn check_shape(key: &str, got: &[u64], expected: &[usize]) -> Result<()> {
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
struct Shapes {
    found: Vec<(String, Vec<usize>)>,
}

impl ParamVisitor for Shapes {
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        self.found.push((path.into(), param.lazy_shape().dims::<D>().to_vec()));
    }
}
