//! A training state as one file: everything that training continues from.
//!
//! A safetensors file of two byte tensors, each a safetensors file itself: `model`, complete as
//! [`Bundle::save`](crate::bundle::Bundle::save) writes it, and `values`: the optimiser's `exp_avg` and `exp_avg_sq`, adapters and
//! averages, under the paths of our parameters. The metadata holds the rest as JSON, and the SHA-256 of everything. The order of
//! the pairs and the learning rate follow from the options and the step, so they are not stored.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use super::loss_scale::LossScale;
use super::options::{AdamWOptions, MuonOptions, OptimizerOptions, RunOptions, Tuning};
use crate::checkpoint::{Header, metadata, sort_header};
use crate::digest::Sha256;
use crate::error::{ClipError, Result};
use crate::exact;

/// Changes whenever an earlier state could be misread.
const FORMAT: u32 = 4;
const SUM: &str = "clipwright.sha256";
/// In the order of the sum.
const TENSORS: [&str; 2] = ["model", "values"];

/// What a state holds beside tensors. The names of fields are those of the file. A field that is not known here is a later version's, and
/// training would go on otherwise without it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StateMetadata {
    format: u32,
    /// Steps taken by the trainer, in all runs.
    pub(super) steps: usize,
    adamw: AdamWOptions,
    muon: Option<MuonOptions>,
    /// Muon's learning rate over AdamW's.
    #[serde(with = "exact")]
    muon_ratio: f64,
    /// Steps taken since the moments were reset.
    pub(super) optimizer_steps: usize,
    pub(super) tuning: Tuning,
    pub(super) average: Option<AverageMetadata>,
    /// Scale of the loss in f16; `None` in other precisions.
    pub(super) loss_scale: Option<LossScale>,
    pub(super) run: Option<RunMetadata>,
}

/// A moving average of the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AverageMetadata {
    #[serde(with = "exact")]
    pub(super) decay: f64,
    pub(super) steps: usize,
}

/// A run that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunMetadata {
    pub(super) options: RunOptions,
    /// Steps taken.
    pub(super) step: usize,
    /// Number of pairs.
    pub(super) pairs: usize,
    pub(super) pairs_sha256: String,
}

impl StateMetadata {
    /// `optimizer` is the optimiser's options and its steps.
    pub(super) fn new(
        steps: usize,
        optimizer: (&OptimizerOptions, usize),
        tuning: Tuning,
        average: Option<AverageMetadata>,
        loss_scale: Option<LossScale>,
        run: Option<RunMetadata>,
    ) -> Self {
        let (&OptimizerOptions { adamw, muon }, optimizer_steps) = optimizer;
        let muon_ratio = muon.map_or(0.0, |(_, ratio)| ratio);
        let muon = muon.map(|(muon, _)| muon);
        Self { format: FORMAT, steps, adamw, muon, muon_ratio, optimizer_steps, tuning, average, loss_scale, run }
    }

    /// Options of the optimiser.
    pub(super) fn optimizer(&self) -> OptimizerOptions {
        OptimizerOptions { adamw: self.adamw, muon: self.muon.map(|muon| (muon, self.muon_ratio)) }
    }
}

/// The parts of a state.
pub(super) struct State {
    pub(super) metadata: StateMetadata,
    pub(super) model: Vec<u8>,
    pub(super) values: Vec<u8>,
}

fn invalid(message: impl core::fmt::Display) -> ClipError {
    ClipError::InvalidCheckpoint { message: format!("training state: {message}") }
}

/// The error for metadata that cannot be read.
fn unreadable(error: serde_json::Error) -> ClipError {
    let problem = error.to_string();
    // serde lists all known fields after it
    match problem.split_once(", expected").filter(|(problem, _)| problem.starts_with("unknown field")) {
        Some((unknown, _)) => {
            invalid(format!("{unknown}: resume it by the version of clipwright that wrote it, or a later one"))
        }
        None => invalid(problem),
    }
}

impl State {
    fn tensors(&self) -> [&[u8]; 2] {
        [&self.model, &self.values]
    }

    fn sum(&self, metadata: &str) -> String {
        let mut sum = Sha256::default();
        sum.update(metadata.as_bytes());
        self.tensors().into_iter().for_each(|bytes| sum.update(bytes));
        sum.finish()
    }

    /// Writes the file.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let metadata = serde_json::to_string(&self.metadata).map_err(invalid)?;
        let sum = self.sum(&metadata);
        let views = TENSORS
            .into_iter()
            .zip(self.tensors())
            .map(|(name, bytes)| Ok((name, TensorView::new(Dtype::U8, vec![bytes.len()], bytes).map_err(invalid)?)))
            .collect::<Result<Vec<_>>>()?;
        let metadata = HashMap::from([(metadata::TRAINING.into(), metadata), (SUM.into(), sum)]);
        let mut bytes = safetensors::serialize(views, Some(metadata)).map_err(invalid)?;
        sort_header(&mut bytes);
        Ok(bytes)
    }

    /// Reads a file that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// `invalid-checkpoint` for another kind of file, another format, or a damaged file.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let header = Header::parse(bytes, bytes.len() as u64)?;
        let text = header.metadata(metadata::TRAINING).ok_or_else(|| invalid("clipwright did not write this file"))?;
        let metadata: serde_json::Value = serde_json::from_str(text).map_err(invalid)?;
        let format = &metadata["format"];
        if format.as_u64() != Some(FORMAT.into()) {
            return Err(invalid(format!("expected format {FORMAT}, got {format}")));
        }
        let metadata = serde_json::from_value(metadata).map_err(unreadable)?;
        let part = |name: &str| -> Result<Vec<u8>> {
            let info = header.tensor(name).ok_or_else(|| invalid(format!("no tensor {name}")))?;
            let (begin, end) = header.bytes_of(info);
            Ok(bytes[begin as usize..end as usize].to_vec())
        };
        let state = Self { metadata, model: part("model")?, values: part("values")? };
        let (expected, got) = (header.metadata(SUM).unwrap_or("none"), state.sum(text));
        if got != expected {
            return Err(invalid(format!("damaged file: expected the SHA-256 {expected}, got {got}")));
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Decay;
    use super::*;
    use crate::model::{MatmulPrecision, Towers};
    use crate::preprocess::Augmentation;

    /// As clipwright 0.1.0 wrote it.
    #[test]
    fn metadata_of_published_states_is_read_and_written_unchanged() {
        let json = r#"{"format":4,"steps":2,"adamw":{"beta_1":"0.9","beta_2":"0.98","epsilon":"0.000001","weight_decay":"0.2"},"muon":{"lr":"0.02","momentum":"0.95","weight_decay":"0.1"},"muon_ratio":"60","optimizer_steps":1,"tuning":{"last_blocks":2},"average":{"decay":"0.999","steps":2},"loss_scale":{"exponent":16,"steps":2},"run":{"options":{"batch_size":"4","micro_batch_size":"3","activation_checkpointing":false,"epochs":"10","lr":"0.0003333333333333333","warmup":"3","decay":"cosine","adamw":{"beta_1":"0.9","beta_2":"0.98","epsilon":"0.000001","weight_decay":"0.2"},"muon":{"lr":"0.02","momentum":"0.95","weight_decay":"0.1"},"clip_norm":"0.7","label_smoothing":"0.1","mask_duplicates":true,"augment":{"scale":["0.9","1"],"ratio":["0.75","1.3333333333333333"],"flip":"0"},"patch_dropout":"0","half":true,"ema_decay":"0.999","tuning":{"lora":{"rank":4,"alpha":7.3}},"lock":"text","seed":5},"step":3,"pairs":10,"pairs_sha256":"ab"}}"#;
        let metadata: StateMetadata = serde_json::from_str(json).unwrap();
        let adamw = AdamWOptions::default();
        let muon = MuonOptions { lr: 0.02, momentum: 0.95, weight_decay: 0.1 };
        let options = RunOptions {
            batch_size: 4,
            micro_batch_size: Some(3),
            activation_checkpointing: false,
            epochs: 10,
            lr: 1e-3 / 3.0,
            warmup: 3,
            decay: Decay::Cosine,
            adamw,
            muon: Some(muon),
            clip_norm: Some(0.7),
            label_smoothing: 0.1,
            mask_duplicates: true,
            augment: Some(Augmentation { scale: [0.9, 1.0], ratio: [0.75, 4.0 / 3.0], flip: 0.0 }),
            patch_dropout: 0.0,
            precision: MatmulPrecision::F16,
            ema_decay: Some(0.999),
            tuning: Tuning::Lora { rank: 4, alpha: 7.3 },
            lock: Some(Towers::Text),
            seed: 5,
        };
        let run = RunMetadata { options, step: 3, pairs: 10, pairs_sha256: "ab".into() };
        let optimizer = OptimizerOptions { adamw, muon: Some((muon, 0.02 / (1e-3 / 3.0))) };
        let mut loss_scale = LossScale::INITIAL;
        (0..2).for_each(|_| loss_scale = loss_scale.after_step());
        let average = AverageMetadata { decay: 0.999, steps: 2 };
        let expected =
            StateMetadata::new(2, (&optimizer, 1), Tuning::LastBlocks(2), Some(average), Some(loss_scale), Some(run));
        assert_eq!(metadata, expected);
        assert_eq!(serde_json::to_string(&metadata).unwrap(), json);
        // what a later version adds
        for (field, of) in
            [("x", ""), ("u", "adamw"), ("y", "average"), ("z", "loss_scale"), ("w", "run"), ("v", "run/options/adamw")]
        {
            let mut changed: serde_json::Value = serde_json::from_str(json).unwrap();
            let path = if of.is_empty() { String::new() } else { format!("/{of}") };
            changed.pointer_mut(&path).unwrap()[field] = 1.into();
            let error = unreadable(serde_json::from_value::<StateMetadata>(changed).unwrap_err()).to_string();
            assert!(error.contains(&format!("unknown field `{field}`: resume it by the version")), "{error}");
        }
        // other values, and without what may be left out
        for (from, to) in [
            (r#"{"lora":{"rank":4,"alpha":7.3}}"#, r#""all""#),
            (r#""micro_batch_size":"3""#, r#""micro_batch_size":null"#),
            (r#""half":true"#, r#""half":false"#),
            (r#""half":true"#, r#""half":"bf16""#),
            (r#""ema_decay":"0.999""#, r#""ema_decay":null"#),
        ] {
            let json = json.replace(from, to);
            assert_eq!(serde_json::to_string(&serde_json::from_str::<StateMetadata>(&json).unwrap()).unwrap(), json);
        }
    }
}
