//! Options of a run: every setting that a caller has, its default, and the values that it may have.
//!
//! Serialised they are part of a training state, so the names of fields stay as they are: see [`state`](super::state).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ranges::{at_least_1, below_1, positive, positive_or_0};
use crate::error::{ClipError, Result};
use crate::exact;
use crate::model::{MatmulPrecision, Towers};
use crate::preprocess::Augmentation;

/// Settings of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunOptions {
    /// Pairs a step. A smaller data set makes one batch of all its pairs.
    #[serde(with = "exact")]
    pub batch_size: usize,
    /// Pairs whose activations are in memory at the same time (GradCache, arXiv 2101.06983); `None` for all of a batch.
    #[serde(with = "exact::option")]
    pub micro_batch_size: Option<usize>,
    /// Whether a backward pass keeps the activations of one block and recomputes the others (arXiv 1604.06174).
    pub activation_checkpointing: bool,
    /// Passes over the data.
    #[serde(with = "exact")]
    pub epochs: usize,
    /// Learning rate after the warm-up.
    #[serde(with = "exact")]
    pub lr: f64,
    /// Steps of linear warm-up.
    #[serde(with = "exact")]
    pub warmup: usize,
    /// Schedule of the learning rate after the warm-up.
    pub decay: Decay,
    /// Settings of AdamW.
    pub adamw: AdamWOptions,
    /// Settings of Muon for the blocks' matrices; `None` trains them by AdamW.
    pub muon: Option<MuonOptions>,
    /// Largest norm of all gradients together; `None` for no limit.
    #[serde(with = "exact::option")]
    pub clip_norm: Option<f64>,
    /// Share of each target that is spread over the batch, from 0 to below 1.
    #[serde(with = "exact")]
    pub label_smoothing: f64,
    /// Whether pairs with the same caption are left out of each other's negatives.
    pub mask_duplicates: bool,
    /// Random crops, other ones in each epoch; `None` for the same centre crop each time.
    pub augment: Option<Augmentation>,
    /// Share of an image's patches that its tower does not see, from 0 to below 1 (FLIP, arXiv 2212.00794).
    #[serde(with = "exact")]
    pub patch_dropout: f64,
    /// Precision of the products of the blocks' matrices; in f16 the loss is scaled against underflow.
    #[serde(rename = "half", with = "half")]
    pub precision: MatmulPrecision,
    /// Decay of the moving average of the weights, between 0 and 1; `None` for no average.
    #[serde(with = "exact::option")]
    pub ema_decay: Option<f64>,
    /// Which parameters are trained.
    pub tuning: Tuning,
    /// A frozen tower, whose features are computed once a pair (LiT, arXiv 2111.07991).
    pub lock: Option<Towers>,
    /// Seed of the order of the pairs and of all other draws.
    #[serde(deserialize_with = "exact::deserialize")]
    pub seed: u64,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            batch_size: 256,
            micro_batch_size: None,
            activation_checkpointing: false,
            epochs: 20,
            lr: 1e-3,
            warmup: 50,
            decay: Decay::default(),
            adamw: AdamWOptions::default(),
            muon: None,
            clip_norm: None,
            label_smoothing: 0.0,
            mask_duplicates: false,
            augment: None,
            patch_dropout: 0.0,
            precision: MatmulPrecision::F32,
            ema_decay: None,
            tuning: Tuning::All,
            lock: None,
            seed: 0,
        }
    }
}

/// The options by their names outside, and the JSON pointers to their fields.
const OPTIONS: [(&str, &str); 23] = [
    ("batchSize", "/batch_size"),
    ("microBatchSize", "/micro_batch_size"),
    ("activationCheckpointing", "/activation_checkpointing"),
    ("epochs", "/epochs"),
    ("lr", "/lr"),
    ("warmup", "/warmup"),
    ("schedule", "/decay"),
    ("beta1", "/adamw/beta_1"),
    ("beta2", "/adamw/beta_2"),
    ("epsilon", "/adamw/epsilon"),
    ("weightDecay", "/adamw/weight_decay"),
    ("muon", "/muon"),
    ("clipNorm", "/clip_norm"),
    ("labelSmoothing", "/label_smoothing"),
    ("maskDuplicates", "/mask_duplicates"),
    ("augment", "/augment"),
    ("patchDropout", "/patch_dropout"),
    ("precision", "/half"),
    ("emaDecay", "/ema_decay"),
    ("lastBlocks", "/tuning"),
    ("lora", "/tuning"),
    ("lock", "/lock"),
    ("seed", "/seed"),
];

impl RunOptions {
    /// Reads an object of options by their names in camelCase; those left out have their defaults. A number may be text,
    /// which reads back bit for bit.
    ///
    /// # Errors
    /// `invalid-option` naming the option; those of [`validate`](Self::validate).
    pub fn from_json(json: &str) -> Result<Self> {
        Self::default().with_json(json)
    }

    /// Returns these options with some of them replaced, which are read as by [`from_json`](Self::from_json).
    ///
    /// # Errors
    /// As there.
    pub fn with_json(self, json: &str) -> Result<Self> {
        let given: Map<String, Value> =
            serde_json::from_str(json).map_err(|e| ClipError::invalid_option("options", "a JSON object", e))?;
        let both = given.contains_key("lora") && given.contains_key("lastBlocks");
        let mut options = self;
        let mut tree = json!(options);
        // one at a time, so that a refused value is named
        for (name, value) in given {
            let option = OPTIONS.iter().find(|(option, _)| *option == name);
            let Some(field) = option.and_then(|(_, pointer)| tree.pointer_mut(pointer)) else {
                return Err(ClipError::invalid_option(&name, "an option of a run", "no option of that name"));
            };
            *field = match name.as_str() {
                "precision" => half::to_json(precision(&value)?),
                "lora" if both => {
                    return Err(ClipError::invalid_option("lora", "none beside lastBlocks", "both"));
                }
                "lastBlocks" | "lora" => json!({ snake_case(&name): value }),
                _ => with_snake_case_keys(&name, &value)?,
            };
            options = serde_json::from_value(tree.clone()).map_err(|error| refused(&name, &value, &error))?;
        }
        options.validate()?;
        Ok(options)
    }

    /// Checks everything that does not depend on the data or the model.
    ///
    /// # Errors
    /// `invalid-option` naming the option; `empty-batch` and `batch-too-small` for batches of 0 and 1.
    pub fn validate(&self) -> Result<()> {
        match self.batch_size {
            0 => return Err(ClipError::EmptyBatch { what: "pair".into() }),
            1 => return Err(ClipError::BatchTooSmall { got: 1 }),
            _ => {}
        }
        at_least_1("epochs", self.epochs)?;
        positive("lr", self.lr)?;
        self.optimizer().validate()?;
        self.micro_batch_size.map_or(Ok(()), |size| at_least_1("microBatchSize", size))?;
        self.clip_norm.map_or(Ok(()), |norm| positive("clipNorm", norm))?;
        below_1("labelSmoothing", self.label_smoothing)?;
        below_1("patchDropout", self.patch_dropout)?;
        if let Some(decay) = self.ema_decay.filter(|decay| !(*decay > 0.0 && *decay < 1.0)) {
            return Err(ClipError::invalid_option("emaDecay", "0 < emaDecay < 1", decay));
        }
        self.tuning.validate()?;
        if let Some(augmentation) = self.augment {
            augmentation.validate()?;
            if self.lock == Some(Towers::Image) {
                let expected = "none beside lock: \"image\", which computes the features of an image once";
                return Err(ClipError::invalid_option("augment", expected, "both"));
            }
        }
        if self.lock == Some(Towers::Both) {
            return Err(ClipError::unknown_name("lock", "image or text", "both"));
        }
        Ok(())
    }

    /// Settings of the optimiser.
    pub fn optimizer(&self) -> OptimizerOptions {
        OptimizerOptions { adamw: self.adamw, muon: self.muon.map(|muon| (muon, muon.lr / self.lr)) }
    }
}

fn precision(value: &Value) -> Result<MatmulPrecision> {
    let found = value.as_str().and_then(MatmulPrecision::from_name);
    found.ok_or_else(|| ClipError::invalid_option("precision", "f32, f16 or bf16", value))
}

/// The precision in a state, where it is `false` for f32 and `true` for f16: the first ones knew no other.
mod half {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    use crate::model::MatmulPrecision;

    pub(super) fn to_json(precision: MatmulPrecision) -> Value {
        match precision {
            MatmulPrecision::F32 => false.into(),
            MatmulPrecision::F16 => true.into(),
            MatmulPrecision::Bf16 => precision.name().into(),
        }
    }

    pub(super) fn serialize<S: Serializer>(precision: &MatmulPrecision, serializer: S) -> Result<S::Ok, S::Error> {
        to_json(*precision).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MatmulPrecision, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let found = match &value {
            Value::Bool(half) => Some(if *half { MatmulPrecision::F16 } else { MatmulPrecision::F32 }),
            Value::String(name) => MatmulPrecision::from_name(name),
            _ => None,
        };
        found.ok_or_else(|| D::Error::custom(format!("half: expected false, true or \"bf16\", got {value}")))
    }
}

/// `batchSize` as `batch_size`.
fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

fn with_snake_case_keys(name: &str, value: &Value) -> Result<Value> {
    let Value::Object(map) = value else { return Ok(value.clone()) };
    if let Some(key) = map.keys().find(|key| key.contains('_')) {
        let option = format!("{name}.{key}");
        return Err(ClipError::invalid_option(&option, "an option of a run", "no option of that name"));
    }
    Ok(map.iter().map(|(key, value)| (snake_case(key), value.clone())).collect())
}

/// A value that serde refused; its messages end with what was expected.
fn refused(option: &str, value: &Value, error: &serde_json::Error) -> ClipError {
    let error = error.to_string();
    let expected = match error.rsplit_once("expected ") {
        Some((_, expected)) => expected,
        None => &format!("a complete value ({error})"),
    };
    ClipError::invalid_option(option, expected, value)
}

/// Schedule of the learning rate after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// Half a cosine, from the base rate to zero at the last step.
    #[default]
    Cosine,
    /// A straight line, from the base rate to zero after the last step.
    Linear,
    /// The base rate throughout.
    Constant,
}

/// Settings of AdamW; the defaults are OpenCLIP's for a Vision Transformer, with CLIP's weight decay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamWOptions {
    /// Decay of the first moment.
    #[serde(with = "exact")]
    pub beta_1: f64,
    /// Decay of the second moment.
    #[serde(with = "exact")]
    pub beta_2: f64,
    /// Added to the root of the second moment.
    #[serde(with = "exact")]
    pub epsilon: f64,
    /// Decoupled weight decay, on tensors of two or more dimensions only.
    #[serde(with = "exact")]
    pub weight_decay: f64,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.98, epsilon: 1e-6, weight_decay: 0.2 }
    }
}

impl AdamWOptions {
    fn validate(&self) -> Result<()> {
        below_1("beta1", self.beta_1)?;
        below_1("beta2", self.beta_2)?;
        positive("epsilon", self.epsilon)?;
        positive_or_0("weightDecay", self.weight_decay)
    }
}

/// Settings of Muon.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MuonOptions {
    /// Learning rate after the warm-up; it follows AdamW's schedule.
    #[serde(with = "exact")]
    pub lr: f64,
    /// Decay of the momentum.
    #[serde(with = "exact", default = "muon_momentum")]
    pub momentum: f64,
    /// Decoupled weight decay.
    #[serde(with = "exact", default = "muon_weight_decay")]
    pub weight_decay: f64,
}

fn muon_momentum() -> f64 {
    0.95
}

fn muon_weight_decay() -> f64 {
    0.1
}

impl MuonOptions {
    fn validate(&self) -> Result<()> {
        positive("muon.lr", self.lr)?;
        below_1("muon.momentum", self.momentum)?;
        positive_or_0("muon.weightDecay", self.weight_decay)
    }
}

/// Settings of the optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OptimizerOptions {
    /// Settings of AdamW.
    pub adamw: AdamWOptions,
    /// Settings of Muon and the ratio of its learning rate to AdamW's; `None` trains every parameter by AdamW.
    pub muon: Option<(MuonOptions, f64)>,
}

impl OptimizerOptions {
    /// # Errors
    /// `invalid-option` naming the first value out of its range.
    pub fn validate(&self) -> Result<()> {
        self.adamw.validate()?;
        self.muon.map_or(Ok(()), |(muon, _)| muon.validate())
    }
}

/// Which parameters of a model are trained.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Tuning {
    /// Every parameter.
    #[default]
    All,
    /// The last blocks of each tower and what follows them: final norm, pooling, projection, temperature.
    LastBlocks(#[serde(deserialize_with = "exact::deserialize")] usize),
    /// Low-rank adapters of the blocks' matrices, attention and MLP (LoRA, arXiv 2106.09685).
    Lora {
        /// Rank of the matrix that is added.
        #[serde(deserialize_with = "exact::deserialize")]
        rank: usize,
        /// The added matrix is scaled by `alpha / rank`.
        #[serde(deserialize_with = "exact::deserialize")]
        alpha: f32,
    },
}

impl Tuning {
    /// # Errors
    /// `invalid-option` naming the value out of its range.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Self::Lora { rank, alpha } => {
                at_least_1("lora.rank", rank)?;
                if alpha.is_finite() && alpha > 0.0 {
                    return Ok(());
                }
                Err(ClipError::invalid_option("lora.alpha", "a finite number above 0", alpha))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_overrides_the_defaults() {
        assert_eq!(RunOptions::from_json("{}").unwrap(), RunOptions::default());
        let json = r#"{"batchSize": "8", "microBatchSize": 4, "activationCheckpointing": true, "epochs": "3",
            "lr": "0.0003333333333333333", "warmup": "0", "schedule": "linear", "beta1": "0.8", "beta2": "0.9",
            "epsilon": "1e-7", "weightDecay": "0.1", "muon": {"lr": "0.02", "weightDecay": "0.3"}, "clipNorm": "0.7",
            "labelSmoothing": "0.1", "maskDuplicates": true, "augment": {"flip": "0.5"}, "precision": "f16",
            "patchDropout": "0.5", "emaDecay": "0.999", "lora": {"rank": "4", "alpha": "7.3"}, "lock": "text", "seed": "5"}"#;
        let expected = RunOptions {
            batch_size: 8,
            micro_batch_size: Some(4),
            activation_checkpointing: true,
            epochs: 3,
            lr: 1e-3 / 3.0,
            warmup: 0,
            decay: Decay::Linear,
            adamw: AdamWOptions { beta_1: 0.8, beta_2: 0.9, epsilon: 1e-7, weight_decay: 0.1 },
            muon: Some(MuonOptions { lr: 0.02, momentum: 0.95, weight_decay: 0.3 }),
            clip_norm: Some(0.7),
            label_smoothing: 0.1,
            mask_duplicates: true,
            augment: Some(Augmentation { flip: 0.5, ..Augmentation::default() }),
            patch_dropout: 0.5,
            precision: MatmulPrecision::F16,
            ema_decay: Some(0.999),
            tuning: Tuning::Lora { rank: 4, alpha: 7.3 },
            lock: Some(Towers::Text),
            seed: 5,
        };
        assert_eq!(RunOptions::from_json(json).unwrap(), expected);
        assert_eq!(RunOptions::from_json(r#"{"lastBlocks": "2"}"#).unwrap().tuning, Tuning::LastBlocks(2));
        let bf16 = RunOptions::from_json(r#"{"precision": "bf16"}"#).unwrap();
        assert_eq!(
            (bf16.precision, bf16.with_json(r#"{"lr": 1}"#).unwrap().precision),
            (MatmulPrecision::Bf16, MatmulPrecision::Bf16)
        );
    }

    #[test]
    fn refused_values_are_named_as_the_caller_wrote_them() {
        const WHOLE: &str = "expected a whole number from 0 to 4294967295";
        for (json, message) in [
            (r#"{"batchSize": "1.5"}"#, format!("batchSize: {WHOLE}, got \"1.5\"")),
            (r#"{"epochs": "-1"}"#, format!("epochs: {WHOLE}, got \"-1\"")),
            (r#"{"warmup": "NaN"}"#, format!("warmup: {WHOLE}, got \"NaN\"")),
            (r#"{"microBatchSize": "4294967296"}"#, format!("microBatchSize: {WHOLE}, got \"4294967296\"")),
            (r#"{"lastBlocks": "0.5"}"#, format!("lastBlocks: {WHOLE}, got \"0.5\"")),
            (r#"{"epochs": "0"}"#, "epochs: expected a whole number above 0, got 0".into()),
            (r#"{"microBatchSize": "0"}"#, "microBatchSize: expected a whole number above 0, got 0".into()),
            (r#"{"lr": "NaN"}"#, "lr: expected a number from 1.2e-38 to 3.4e38, got NaN".into()),
            (r#"{"lr": true}"#, "lr: expected a number, got true".into()),
            (r#"{"lr": "1e39"}"#, "lr: expected a number from 1.2e-38 to 3.4e38, got 1".into()),
            (r#"{"clipNorm": "Infinity"}"#, "clipNorm: expected a number from 1.2e-38 to 3.4e38, got inf".into()),
            (r#"{"beta1": "1"}"#, "beta1: expected 0 ≤ beta1 < 1, got 1".into()),
            (r#"{"weightDecay": "-1"}"#, "weightDecay: expected 0, or a number from 1.2e-38 to 3.4e38, got -1".into()),
            (r#"{"labelSmoothing": "NaN"}"#, "labelSmoothing: expected 0 ≤ labelSmoothing < 1, got NaN".into()),
            (r#"{"patchDropout": "1"}"#, "patchDropout: expected 0 ≤ patchDropout < 1, got 1".into()),
            (r#"{"emaDecay": "0"}"#, "emaDecay: expected 0 < emaDecay < 1, got 0".into()),
            (
                r#"{"schedule": "step"}"#,
                "schedule: expected one of `cosine`, `linear`, `constant`, got \"step\"".into(),
            ),
            (r#"{"precision": "fp16"}"#, "precision: expected f32, f16 or bf16, got \"fp16\"".into()),
            (r#"{"precision": true}"#, "precision: expected f32, f16 or bf16, got true".into()),
            (r#"{"lock": "both"}"#, "lock: expected image or text, got \"both\"".into()),
            (r#"{"muon": {"lr": "0.1", "momentum": "1"}}"#, "muon.momentum: expected 0 ≤ momentum < 1, got 1".into()),
            (r#"{"muon": {"lr": "1e-39"}}"#, "muon.lr: expected a number from 1.2e-38 to 3.4e38, got 0.000".into()),
            (r#"{"muon": {"lr": "1", "weightDecay": "NaN"}}"#, "muon.weightDecay: expected 0, or a number".into()),
            (r#"{"muon": {}}"#, "muon: expected a complete value (missing field `lr`), got {}".into()),
            (r#"{"lora": {"rank": "0", "alpha": "1"}}"#, "lora.rank: expected a whole number above 0, got 0".into()),
            (r#"{"lora": {"rank": "1", "alpha": "0"}}"#, "lora.alpha: expected a finite number above 0, got 0".into()),
            (
                r#"{"lora": {"rank": "1", "alpha": "1"}, "lastBlocks": "1"}"#,
                "lora: expected none beside lastBlocks".into(),
            ),
            (r#"{"augment": {"flip": "2"}}"#, "augment.flip: expected 0 ≤ flip ≤ 1, got 2".into()),
            (r#"{"augment": {}, "lock": "image"}"#, "augment: expected none beside lock".into()),
            (r#"{"zzz": 1}"#, "zzz: expected an option of a run, got no option of that name".into()),
            (r#"{"batch_size": 4}"#, "batch_size: expected an option of a run".into()),
            (r#"{"half": true}"#, "half: expected an option of a run".into()),
            (r#"{"adamw": {}}"#, "adamw: expected an option of a run".into()),
            (r#"{"muon": {"lr": 1, "weight_decay": 0}}"#, "muon.weight_decay: expected an option of a run".into()),
            (r#"{"muon": {"lr": 1, "beta": 0}}"#, "muon: expected one of `lr`, `momentum`, `weight_decay`".into()),
            (r#"{"lora": {"rank": 1, "alpha": 1, "r": 2}}"#, "lora: expected `rank` or `alpha`".into()),
            ("[]", "options: expected a JSON object".into()),
        ] {
            let error = RunOptions::from_json(json).unwrap_err();
            assert_eq!(error.code(), "invalid-option", "{json}: {error}");
            assert!(error.to_string().starts_with(&format!("invalid option {message}")), "{json}: {error}");
        }
        assert_eq!(RunOptions::from_json(r#"{"batchSize": "0"}"#).unwrap_err().code(), "empty-batch");
        assert_eq!(RunOptions::from_json(r#"{"batchSize": "1"}"#).unwrap_err().code(), "batch-too-small");
    }
}
