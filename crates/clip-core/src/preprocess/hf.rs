//! Transforms of Hugging Face's image processors.

use serde_json::Value;

use super::config::warn_unknown;
use super::{CropRounding, Filter, Preprocess, ResizeMode};
use crate::config::{Fields, invalid, short};
use crate::error::Result;

/// Keys that are read, some only to refuse unsupported values …
const READ: [&str; 17] = [
    "image_processor_type",
    "feature_extractor_type",
    "do_resize",
    "size",
    "default_to_square",
    "use_square_size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
    "do_pad",
    "pad_size",
    "data_format",
];

/// … and those that have no effect: images are always converted to RGB, for instance.
const WITHOUT_EFFECT: [&str; 13] = [
    "do_convert_rgb",
    "input_data_format",
    "return_tensors",
    "device",
    "disable_grouping",
    "image_seq_length",
    "processor_class",
    "_processor_class",
    "_valid_processor_keys",
    "auto_map",
    "backend",
    "transformers_version",
    "use_fast",
];

/// Keys that transformers 5 refuses to be null.
const NEVER_NULL: [&str; 5] = ["size", "resample", "rescale_factor", "image_mean", "image_std"];

/// Defaults of an image processor: by its class, else by the model's family.
fn of_class(fields: &Fields<'_>, family: Preprocess) -> Result<Preprocess> {
    let key =
        if fields.get("image_processor_type").is_some() { "image_processor_type" } else { "feature_extractor_type" };
    let Some(name) = fields.str(key)? else { return Ok(family) };
    let stem = ["Fast", "Pil"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    match stem {
        "CLIPImageProcessor" | "CLIPFeatureExtractor" | "BitImageProcessor" => Ok(Preprocess::clip(family.size)),
        "SiglipImageProcessor" => Ok(Preprocess::siglip(family.size)),
        "ViTImageProcessor" | "ViTFeatureExtractor" => {
            Ok(Preprocess { filter: Filter::Bilinear, ..Preprocess::siglip(family.size) })
        }
        _ => Err(invalid(
            &fields.path(key),
            "CLIPImageProcessor, SiglipImageProcessor, BitImageProcessor or ViTImageProcessor",
            format!("{name:?}"),
        )),
    }
}

/// Reads `CLIPImageProcessor` and similar classes, as transformers 4 and 5 write them:
/// <https://github.com/huggingface/transformers/blob/v5.24.0/src/transformers/image_processing_backends.py>.
pub(super) fn read(value: &Value, family: Preprocess, file: &str, warnings: &mut Vec<String>) -> Result<Preprocess> {
    warn_unknown(value, &[&READ[..], &WITHOUT_EFFECT].concat(), file, warnings);
    let null = NEVER_NULL.iter().filter(|key| value.get(**key).is_some_and(Value::is_null));
    warnings.extend(null.map(|key| format!("{file}: {key} is null: the default of the processor's class is used")));
    let fields = Fields::root(value);
    let class = of_class(&fields, family)?;
    for key in ["do_resize", "do_rescale"] {
        if !fields.flag(key, true)? {
            return Err(invalid(key, "true", false));
        }
    }
    fields.only("do_pad", false)?;
    fields.only("use_square_size", false)?;
    fields.only("data_format", "channels_first")?;
    if let Some(size) = fields.get("pad_size") {
        return Err(invalid("pad_size", "no value: images are not padded", short(size)));
    }
    let scale = fields.f64("rescale_factor", 1.0 / 255.0)?;
    if (scale - 1.0 / 255.0).abs() > 1e-9 {
        return Err(invalid("rescale_factor", "1 / 255", scale));
    }
    let filter = match fields.get("resample") {
        None => class.filter,
        Some(value) => match value.as_u64() {
            Some(2) => Filter::Bilinear,
            Some(3) => Filter::Bicubic,
            _ => return Err(invalid("resample", "2 (bilinear) or 3 (bicubic)", short(value))),
        },
    };
    let cropped = fields.flag("do_center_crop", class.mode == ResizeMode::Shortest)?;
    let square = fields.bool("default_to_square", !cropped)?;
    let (shortest, resized) = match side(&fields, "size", class.size)? {
        Side::Number(n) => (!square, n),
        Side::Shortest(n) => (true, n),
        Side::Square(n) => (false, n),
    };
    let size = match side(&fields, "crop_size", resized)? {
        _ if !cropped => resized,
        Side::Number(n) | Side::Shortest(n) | Side::Square(n) => n,
    };
    if shortest && !cropped {
        return Err(invalid("do_center_crop", "true, as size gives the shortest edge", false));
    }
    let normalized = fields.flag("do_normalize", true)?;
    Ok(Preprocess {
        size,
        resize: resized,
        mode: if shortest { ResizeMode::Shortest } else { ResizeMode::Squash },
        filter,
        crop: CropRounding::Hf,
        fill: 0,
        mean: if normalized { fields.channels("image_mean", class.mean)? } else { [0.0; 3] },
        std: if normalized { fields.channels("image_std", class.std)? } else { [1.0; 3] },
    })
}

/// A `size` or `crop_size`.
enum Side {
    /// A bare number: the shortest edge if a crop follows, else a square.
    Number(usize),
    Shortest(usize),
    Square(usize),
}

fn side(fields: &Fields<'_>, key: &str, default: usize) -> Result<Side> {
    match fields.get(key) {
        Some(Value::Object(entries)) => {
            let of = fields.object(key)?;
            let given: Vec<&str> = entries.iter().filter(|(_, v)| !v.is_null()).map(|(key, _)| key.as_str()).collect();
            match given[..] {
                ["shortest_edge"] => return Ok(Side::Shortest(of.usize("shortest_edge", default)?)),
                ["height", "width"] | ["width", "height"] => {}
                _ => {
                    return Err(invalid(key, "shortest_edge alone, or height and width", given.join(", ")));
                }
            }
            let (height, width) = (of.usize("height", default)?, of.usize("width", default)?);
            if height != width {
                return Err(invalid(key, "a square", format!("{width}×{height}")));
            }
            Ok(Side::Square(height))
        }
        Some(Value::Array(sides)) => match sides.iter().map(Value::as_u64).collect::<Vec<_>>()[..] {
            [Some(height), Some(width)] if height == width => {
                Ok(Side::Square(usize::try_from(height).unwrap_or(usize::MAX)))
            }
            _ => Err(invalid(key, "a square", short(&sides.clone().into()))),
        },
        _ => Ok(Side::Number(fields.usize(key, default)?)),
    }
}
