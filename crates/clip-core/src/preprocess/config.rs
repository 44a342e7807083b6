//! A checkpoint's transform, read from the files beside it.

use serde_json::Value;

use super::{CropRounding, Filter, Preprocess, ResizeMode};
use crate::config::{ClipConfig, Fields, Objective, invalid};
use crate::error::Result;

impl Preprocess {
    /// Transform of a model: of `file` (`preprocessor_config.json`, `open_clip_config.json`, or our own JSON) where there
    /// is one, else what `config` (the model's JSON) says or implies.
    ///
    /// # Errors
    /// `invalid-config` for a transform that is not known here, or that gives another size than the model takes.
    pub fn for_model(file: Option<&str>, config: &str, model: &ClipConfig) -> Result<Self> {
        let parse =
            |json: &str| serde_json::from_str::<Value>(json).map_err(|e| invalid("(preprocess)", "a JSON object", e));
        let size = model.vision.image_size();
        let family = Self::of_family(model, size);
        let preprocess = match file.map(parse).transpose()? {
            Some(value) if is_open_clip(&value) => open_clip(&value, family)?,
            Some(value) if is_hf(&value) => hf(&value, family)?,
            Some(value) => {
                let own: Self = serde_json::from_value(value)
                    .map_err(|e| invalid("(preprocess)", "the fields of Preprocess", e))?;
                Self { resize: if own.resize == 0 { own.size } else { own.resize }, ..own }
            }
            None => {
                let value = parse(config)?;
                if is_open_clip(&value) {
                    open_clip(&value, family)?
                } else if crate::config::is_hf(config) {
                    Self { crop: CropRounding::Hf, ..family }
                } else {
                    family
                }
            }
        };
        if preprocess.size != size {
            return Err(invalid("preprocess.size", format!("the model's {size}"), preprocess.size));
        }
        if preprocess.resize < size || preprocess.resize > 1 << 13 {
            return Err(invalid("preprocess.resize", format!("{size} to 8192"), preprocess.resize));
        }
        if preprocess.std.iter().any(|s| !s.is_normal()) || preprocess.mean.iter().any(|m| !m.is_finite()) {
            let got = format!("mean {:?}, std {:?}", preprocess.mean, preprocess.std);
            return Err(invalid("preprocess.std", "finite numbers, none of them 0", got));
        }
        Ok(preprocess)
    }

    /// What the papers' models take.
    fn of_family(model: &ClipConfig, size: usize) -> Self {
        match model.objective {
            Objective::Softmax => Self::clip(size),
            Objective::Sigmoid => Self { mode: ResizeMode::Squash, mean: [0.5; 3], std: [0.5; 3], ..Self::clip(size) },
        }
    }
}

fn is_open_clip(value: &Value) -> bool {
    ["preprocess_cfg", "model_cfg", "vision_cfg", "resize_mode", "interpolation"]
        .iter()
        .any(|key| value.get(key).is_some())
}

fn is_hf(value: &Value) -> bool {
    ["image_mean", "image_std", "do_resize", "crop_size", "resample", "image_processor_type"]
        .iter()
        .any(|key| value.get(key).is_some())
}

/// `PreprocessCfg`: <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/transform.py>.
fn open_clip(value: &Value, family: Preprocess) -> Result<Preprocess> {
    let fields = Fields::root(value.get("preprocess_cfg").unwrap_or(value));
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
        None | Some("bicubic") => Filter::Bicubic,
        Some("bilinear") => Filter::Bilinear,
        Some(other) => return unknown("interpolation", "\"bicubic\" or \"bilinear\"", other),
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

/// `CLIPImageProcessor` and `SiglipImageProcessor`, in the spellings of transformers 4 and 5.
fn hf(value: &Value, family: Preprocess) -> Result<Preprocess> {
    let fields = Fields::root(value);
    fields.only("do_resize", true)?;
    fields.only("do_rescale", true)?;
    let scale = fields.f64("rescale_factor", 1.0 / 255.0)?;
    if (scale - 1.0 / 255.0).abs() > 1e-9 {
        return Err(invalid("rescale_factor", "1 / 255", scale));
    }
    let filter = match fields.usize("resample", 3)? {
        2 => Filter::Bilinear,
        3 => Filter::Bicubic,
        other => return Err(invalid("resample", "2 (bilinear) or 3 (bicubic)", other)),
    };
    let cropped = fields.bool("do_center_crop", family.mode == ResizeMode::Shortest)?;
    let (shortest, resized) = match side(&fields, "size", family.size)? {
        Side::Number(n) => (cropped, n),
        Side::Shortest(n) => (true, n),
        Side::Square(n) => (false, n),
    };
    let size = match side(&fields, "crop_size", resized)? {
        _ if !cropped => resized,
        Side::Number(n) | Side::Shortest(n) | Side::Square(n) => n,
    };
    if shortest && !cropped {
        return Err(invalid("do_center_crop", "true where the shortest edge is resized", false));
    }
    let normalized = fields.bool("do_normalize", true)?;
    Ok(Preprocess {
        size,
        resize: resized,
        mode: if shortest { ResizeMode::Shortest } else { ResizeMode::Squash },
        filter,
        crop: CropRounding::Hf,
        fill: 0,
        mean: if normalized { fields.channels("image_mean", family.mean)? } else { [0.0; 3] },
        std: if normalized { fields.channels("image_std", family.std)? } else { [1.0; 3] },
    })
}

enum Side {
    /// A bare number: the shortest edge where a crop follows, a square otherwise.
    Number(usize),
    Shortest(usize),
    Square(usize),
}

fn side(fields: &Fields<'_>, key: &str, default: usize) -> Result<Side> {
    match fields.get(key) {
        Some(Value::Object(_)) => {
            let of = fields.object(key)?;
            if of.get("shortest_edge").is_some() {
                return Ok(Side::Shortest(of.usize("shortest_edge", default)?));
            }
            let (height, width) = (of.usize("height", default)?, of.usize("width", default)?);
            if height != width {
                return Err(invalid(key, "a square", format!("{width}×{height}")));
            }
            Ok(Side::Square(height))
        }
        _ => Ok(Side::Number(fields.usize(key, default)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = r#"{"embedDim": 8, "vision": {"imageSize": 32, "patchSize": 8, "width": 8, "layers": 1, "heads": 1},
        "text": {"contextLength": 6, "vocabSize": 20, "width": 8, "layers": 1, "heads": 2}}"#;

    fn read(file: &str) -> Result<Preprocess> {
        Preprocess::for_model(Some(file), MODEL, &ClipConfig::from_json(MODEL).unwrap())
    }

    #[test]
    fn published_spellings_mean_the_same() {
        let clip = Preprocess::clip(32);
        let hf = Preprocess { crop: CropRounding::Hf, ..clip.clone() };
        for file in [
            r#"{"do_resize": true, "do_center_crop": true, "size": 32, "crop_size": 32, "resample": 3}"#,
            r#"{"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}"#,
        ] {
            assert_eq!(read(file).unwrap(), hf, "{file}");
        }
        assert_eq!(read(r#"{"preprocess_cfg": {"resize_mode": "shortest"}, "model_cfg": {}}"#).unwrap(), clip);
        let own = serde_json::to_string(&hf).unwrap();
        assert_eq!(read(&own).unwrap(), hf);
        let siglip = r#"{"do_resize": true, "size": {"height": 32, "width": 32}, "do_center_crop": null, "do_center_crop": false, "resample": 2}"#;
        let siglip = read(siglip).unwrap();
        assert_eq!((siglip.mode, siglip.filter), (ResizeMode::Squash, Filter::Bilinear));
    }

    #[test]
    fn a_larger_resize_is_cropped() {
        let p = read(r#"{"do_resize": true, "do_center_crop": true, "size": {"shortest_edge": 40}, "crop_size": 32}"#)
            .unwrap();
        assert_eq!((p.resize, p.size), (40, 32));
        let image = super::super::RgbImage::new(50, 80, vec![9; 50 * 80 * 3]).unwrap();
        assert_eq!(p.square(&image), [9; 3 * 32 * 32]);
    }

    #[test]
    fn longest_fills_what_is_left() {
        let p = read(r#"{"resize_mode": "longest", "fill_color": 7}"#).unwrap();
        let image = super::super::RgbImage::new(64, 32, vec![200; 64 * 32 * 3]).unwrap();
        let square = p.square(&image);
        assert_eq!((square[0], square[7 * 32], square[8 * 32], square[23 * 32], square[24 * 32]), (7, 7, 200, 200, 7));
        let line = super::super::RgbImage::new(5_000, 2, vec![1; 30_000]).unwrap();
        assert_eq!(p.square(&line).iter().filter(|&&x| x == 1).count(), 3 * 32);
    }

    #[test]
    fn what_is_not_known_is_refused_by_field() {
        for (file, field) in [
            (r#"{"size": 64, "crop_size": 64, "do_resize": true, "do_center_crop": true}"#, "preprocess.size"),
            (r#"{"size": 16, "crop_size": 32, "do_resize": true, "do_center_crop": true}"#, "preprocess.resize"),
            (r#"{"do_resize": false}"#, "do_resize"),
            (r#"{"do_resize": true, "resample": 0}"#, "resample"),
            (r#"{"do_resize": true, "size": {"shortest_edge": 32}, "do_center_crop": false}"#, "do_center_crop"),
            (r#"{"image_mean": [1, 2], "size": 32}"#, "image_mean"),
            (r#"{"image_std": [0, 1, 1], "size": 32}"#, "preprocess.std"),
            (r#"{"resize_mode": "pad"}"#, "preprocess_cfg.resize_mode"),
            (r#"{"size": 32, "wobble": 1}"#, "(preprocess)"),
        ] {
            let error = read(file).unwrap_err().to_string();
            assert!(error.contains(&format!("invalid config: {field}:")), "{file}: {error}");
        }
    }
}
