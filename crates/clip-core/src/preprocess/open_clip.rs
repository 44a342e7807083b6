//! The transform of an OpenCLIP config.

use serde_json::Value;

use super::config::warn_unknown;
use super::{CropRounding, Filter, Preprocess, ResizeMode};
use crate::config::{Fields, invalid};
use crate::error::Result;

/// Fields of `PreprocessCfg`. `size` is ignored in favour of the model's image size, as in OpenCLIP.
const KEYS: [&str; 7] = ["size", "mode", "mean", "std", "interpolation", "resize_mode", "fill_color"];

/// Reads `PreprocessCfg`: <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/transform.py>.
pub(super) fn read(value: &Value, family: Preprocess, warnings: &mut Vec<String>) -> Result<Preprocess> {
    let fields = Fields::root(match value.get("preprocess_cfg") {
        Some(cfg) => {
            warn_unknown(cfg, &KEYS, "preprocess_cfg", warnings);
            cfg
        }
        None => value,
    });
    let unknown = |key: &str, expected: &str, got: &str| {
        Err(invalid(&format!("preprocess_cfg.{key}"), expected, format!("{got:?}")))
    };
    let mode = match fields.str("resize_mode")? {
        None => family.mode,
        Some("shortest") => ResizeMode::Shortest,
        Some("squash") => ResizeMode::Squash,
        Some("longest") => ResizeMode::Longest,
        Some(other) => return unknown("resize_mode", "\"shortest\", \"squash\" or \"longest\"", other),
    };
    let filter = match fields.str("interpolation")? {
        // "random" is for training; OpenCLIP's inference then uses bicubic
        None | Some("bicubic" | "random") => Filter::Bicubic,
        Some("bilinear") => Filter::Bilinear,
        Some(other) => return unknown("interpolation", "\"bicubic\", \"bilinear\" or \"random\"", other),
    };
    fields.only("mode", "RGB")?;
    let fill = fields.usize("fill_color", 0)?;
    Ok(Preprocess {
        mode,
        filter,
        crop: CropRounding::Torchvision,
        fill: u8::try_from(fill).map_err(|_too_large| invalid("preprocess_cfg.fill_color", "0 to 255", fill))?,
        mean: fields.channels("mean", family.mean)?,
        std: fields.channels("std", family.std)?,
        ..family
    })
}
