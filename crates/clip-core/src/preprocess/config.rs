//! Reads a checkpoint's transform from its small files.

use serde_json::Value;

use super::{CropRounding, Preprocess, ResizeMode, hf, open_clip};
use crate::config::{ClipConfig, Format, Objective, invalid, short};
use crate::error::Result;

/// A transform's files, as text.
#[derive(Debug, Clone, Copy, Default)]
pub struct TransformFiles<'a> {
    /// `processor_config.json`; an image processor in it takes precedence over `preprocess`.
    pub processor: Option<&'a str>,
    /// `preprocessor_config.json`, `open_clip_config.json`, or clipwright's own JSON.
    pub preprocess: Option<&'a str>,
}

impl<'a> TransformFiles<'a> {
    /// Returns the image processor, and the name of its file.
    fn read(&self, warnings: &mut Vec<String>) -> Result<Option<(Value, &'static str)>> {
        let parse = |json: &'a str, file: &str| {
            serde_json::from_str::<Value>(json).map_err(|e| invalid(&format!("({file})"), "a JSON object", e))
        };
        if let Some(json) = self.processor {
            let file = "processor_config.json";
            let mut value = parse(json, file)?;
            let processor = value.get_mut("image_processor").map(Value::take).filter(|value| !value.is_null());
            warn_unknown(&value, &PROCESSOR_KEYS, file, warnings);
            match processor {
                Some(value) if value.is_object() => return Ok(Some((value, file))),
                Some(other) => return Err(invalid("image_processor", "an object", short(&other))),
                // transformers 4 writes none
                None => {}
            }
        }
        let file = "preprocessor_config.json";
        let Some(json) = self.preprocess else { return Ok(None) };
        let mut value = parse(json, file)?;
        // a processor_config.json that the caller gave as preprocess
        match value.get_mut("image_processor") {
            Some(nested) if nested.is_object() => Ok(Some((nested.take(), "processor_config.json"))),
            _ => Ok(Some((value, file))),
        }
    }
}

/// Keys of `processor_config.json`; those beside the image processor have no effect on an image tower.
const PROCESSOR_KEYS: [&str; 8] = [
    "image_processor",
    "processor_class",
    "auto_map",
    "chat_template",
    "feature_extractor",
    "tokenizer",
    "video_processor",
    "image_seq_length",
];

/// Warns of each key that is not `known`.
pub(super) fn warn_unknown(value: &Value, known: &[&str], file: &str, warnings: &mut Vec<String>) {
    let keys = value.as_object().into_iter().flat_map(|object| object.keys());
    let unknown = keys.filter(|key| !known.contains(&key.as_str()));
    warnings.extend(unknown.map(|key| format!("{file}: {key} is not known and was not used")));
}

impl Preprocess {
    /// Reads a model's transform from `files`, else from `config` (the model's JSON), else takes the default of the model's family.
    /// Unknown keys are added to `warnings`.
    ///
    /// # Errors
    /// `invalid-config` for an unsupported transform, or for one whose size is not the model's.
    pub fn for_model(
        files: TransformFiles<'_>,
        config: &str,
        model: &ClipConfig,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        let size = model.vision.image_size();
        let family = Self::of_family(model, size);
        let config: Value = serde_json::from_str(config).map_err(|e| invalid("(root)", "a JSON object", e))?;
        let preprocess = match files.read(warnings)? {
            Some((value, _)) if is_open_clip(&value) => open_clip::read(&value, family, warnings)?,
            Some((value, file)) if is_hf(&value) || file == "processor_config.json" => {
                hf::read(&value, family, file, warnings)?
            }
            Some((value, _)) => {
                let own: Self = serde_json::from_value(value)
                    .map_err(|e| invalid("(preprocess)", "the fields of Preprocess", e))?;
                Self { resize: if own.resize == 0 { own.size } else { own.resize }, ..own }
            }
            None if is_open_clip(&config) => open_clip::read(&config, family, warnings)?,
            None if Format::of(&config) == Format::Hf => Self { crop: CropRounding::Hf, ..family },
            None => family,
        };
        if preprocess.size != size {
            return Err(invalid("preprocess.size", format!("the model's {size}"), preprocess.size));
        }
        if preprocess.resize < size || preprocess.resize > 1 << 13 {
            return Err(invalid("preprocess.resize", format!("{size} to 8192"), preprocess.resize));
        }
        if preprocess.std.iter().any(|s| !s.is_normal()) || preprocess.mean.iter().any(|m| !m.is_finite()) {
            let got = format!("mean {:?}, std {:?}", preprocess.mean, preprocess.std);
            return Err(invalid("preprocess.std", "finite numbers other than 0", got));
        }
        Ok(preprocess)
    }

    /// The transform of the model's family, as in its paper.
    fn of_family(model: &ClipConfig, size: usize) -> Self {
        match model.objective {
            Objective::Softmax => Self::clip(size),
            Objective::Sigmoid => Self::siglip(size),
        }
    }

    pub(super) fn siglip(size: usize) -> Self {
        Self { mode: ResizeMode::Squash, mean: [0.5; 3], std: [0.5; 3], ..Self::clip(size) }
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

#[cfg(test)]
mod tests {
    use super::super::Filter;
    use super::*;

    const MODEL: &str = r#"{"embedDim": 8, "vision": {"imageSize": 32, "patchSize": 8, "width": 8, "layers": 1, "heads": 1},
        "text": {"contextLength": 6, "vocabSize": 20, "width": 8, "layers": 1, "heads": 2}}"#;

    fn read(file: &str) -> Result<Preprocess> {
        read_all(TransformFiles { preprocess: Some(file), ..TransformFiles::default() }).0
    }

    fn read_all(files: TransformFiles<'_>) -> (Result<Preprocess>, Vec<String>) {
        let mut warnings = Vec::new();
        let model = ClipConfig::from_json(MODEL).unwrap();
        (Preprocess::for_model(files, MODEL, &model, &mut warnings), warnings)
    }

    #[test]
    fn a_nested_image_processor_takes_precedence_over_an_older_file() {
        let nested = r#"{"processor_class": "CLIPProcessor", "image_processor": {"image_mean": [0.1, 0.2, 0.3], "size": {"shortest_edge": 40},
            "crop_size": {"height": 32, "width": 32}, "resample": 2, "image_processor_type": "CLIPImageProcessorFast"}}"#;
        let older = Some(r#"{"image_mean": [0.9, 0.9, 0.9], "size": 32}"#);
        let (nested, warnings) = read_all(TransformFiles { processor: Some(nested), preprocess: older });
        let nested = nested.unwrap();
        assert_eq!((nested.mean, nested.resize, nested.filter), ([0.1, 0.2, 0.3], 40, Filter::Bilinear));
        assert!(warnings.is_empty(), "{warnings:?}");
        let (plain, warnings) = read_all(TransformFiles {
            processor: Some(r#"{"processor_class": "CLIPProcessor", "wobble": 1}"#),
            preprocess: older,
        });
        assert_eq!(plain.unwrap().mean, [0.9; 3]);
        assert_eq!(warnings, ["processor_config.json: wobble is not known and was not used"]);
        let null = Some(r#"{"image_mean": null, "crop_size": null, "size": 32}"#);
        let (null, warnings) = read_all(TransformFiles { processor: None, preprocess: null });
        assert_eq!(null.unwrap().mean, Preprocess::clip(32).mean);
        assert_eq!(
            warnings,
            ["preprocessor_config.json: image_mean is null: the default of the processor's class is used"]
        );
    }

    #[test]
    fn missing_fields_have_the_defaults_of_the_processor_class() {
        let vit = read(r#"{"image_processor_type": "ViTImageProcessor", "size": 32}"#).unwrap();
        assert_eq!((vit.mode, vit.filter, vit.mean), (ResizeMode::Squash, Filter::Bilinear, [0.5; 3]));
        let one = read(r#"{"image_mean": 0.5, "image_std": 0.25, "size": [32, 32], "do_center_crop": false}"#).unwrap();
        assert_eq!((one.mode, one.mean, one.std), (ResizeMode::Squash, [0.5; 3], [0.25; 3]));
        let square = read(r#"{"size": 40, "crop_size": 32, "default_to_square": true, "do_resize": true}"#).unwrap();
        assert_eq!((square.mode, square.resize, square.size), (ResizeMode::Squash, 40, 32));
        // for flags, `null` is false
        let null = read(r#"{"do_resize": true, "do_normalize": null, "size": 32}"#).unwrap();
        assert_eq!((null.mean, null.std), ([0.0; 3], [1.0; 3]));
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
    fn longest_pads_the_rest() {
        let p = read(r#"{"resize_mode": "longest", "fill_color": 7}"#).unwrap();
        let image = super::super::RgbImage::new(64, 32, vec![200; 64 * 32 * 3]).unwrap();
        let square = p.square(&image);
        assert_eq!((square[0], square[7 * 32], square[8 * 32], square[23 * 32], square[24 * 32]), (7, 7, 200, 200, 7));
        let line = super::super::RgbImage::new(5_000, 2, vec![1; 30_000]).unwrap();
        assert_eq!(p.square(&line).iter().filter(|&&x| x == 1).count(), 3 * 32);
    }

    #[test]
    fn unsupported_transforms_are_refused_by_field() {
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
            (r#"{"size": {"shortest_edge": 32, "longest_edge": 48}, "do_resize": true}"#, "size"),
            (r#"{"size": {"max_height": 32, "max_width": 32}, "do_resize": true}"#, "size"),
            (r#"{"do_resize": true, "size": [32, 48]}"#, "size"),
            (r#"{"do_resize": true, "do_pad": true}"#, "do_pad"),
            (r#"{"do_resize": true, "do_rescale": false}"#, "do_rescale"),
            (r#"{"do_resize": null}"#, "do_resize"),
            (r#"{"do_resize": true, "do_rescale": null}"#, "do_rescale"),
            (r#"{"do_resize": true, "do_center_crop": null, "size": {"shortest_edge": 32}}"#, "do_center_crop"),
            (r#"{"do_resize": true, "rescale_factor": 0.0078125}"#, "rescale_factor"),
            (r#"{"do_resize": true, "data_format": "channels_last"}"#, "data_format"),
            (r#"{"image_processor_type": "ConvNextImageProcessor"}"#, "image_processor_type"),
            (r#"{"preprocess_cfg": {"mode": "L"}}"#, "mode"),
        ] {
            let error = read(file).unwrap_err().to_string();
            assert!(error.contains(&format!("invalid config: {field}:")), "{file}: {error}");
        }
    }
}
