//! Everything that training goes on from, as one file.
//!
//! A safetensors file of two byte tensors, each a safetensors file of its own: `model`, complete as
//! [`Bundle::save`](crate::bundle::Bundle::save) writes it, and `values`: the optimiser's `exp_avg` and `exp_avg_sq`, adapters and
//! averages, under the paths of our parameters. The rest is JSON in the metadata, with the SHA-256 of all tensors. Order and learning rate follow from the settings and
//! the step, so nothing else has to be kept.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};

use super::loss_scale::LossScale;
use super::muon::MuonOptions;
use super::optimizer::{AdamWOptions, OptimizerOptions};
use super::run::RunOptions;
use super::trainer::Trainer;
use super::tuning::Tuning;
use crate::checkpoint::{Header, sort_header};
use crate::digest::Sha256;
use crate::error::{ClipError, Result};
use crate::exact;

/// Changes when a state of before could be misread.
const FORMAT: u32 = 4;
const STATE: &str = "clipwright.training";
const SUM: &str = "clipwright.sha256";
/// In the order of the sum.
const TENSORS: [&str; 2] = ["model", "values"];

/// The part of a state that is no tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Notes {
    pub(super) format: u32,
    /// Steps done by the trainer, all runs together.
    pub(super) steps: usize,
    pub(super) adamw: AdamWOptions,
    pub(super) muon: Option<MuonOptions>,
    /// Muon's learning rate over AdamW's.
    #[serde(with = "exact")]
    pub(super) muon_ratio: f64,
    /// Steps done since the moments began.
    pub(super) optimizer_steps: usize,
    pub(super) tuning: Tuning,
    pub(super) average: Option<AverageNotes>,
    /// In half precision, what the loss is multiplied with.
    pub(super) loss_scale: Option<LossScale>,
    pub(super) run: Option<RunNotes>,
}

/// An average of the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct AverageNotes {
    #[serde(with = "exact")]
    pub(super) decay: f64,
    pub(super) steps: usize,
}

/// A run that was going on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RunNotes {
    pub(super) options: RunOptions,
    pub(super) step: usize,
    pub(super) pairs: usize,
    pub(super) pairs_sha256: String,
}

/// A state's files.
pub(super) struct State {
    pub(super) notes: Notes,
    pub(super) model: Vec<u8>,
    pub(super) values: Vec<u8>,
}

impl Notes {
    pub(super) fn new(trainer: &Trainer, run: Option<RunNotes>) -> Self {
        let optimizer = trainer.optimizer();
        let OptimizerOptions { adamw, muon } = *optimizer.options();
        let average = trainer.average().map(|average| AverageNotes { decay: average.decay, steps: average.steps });
        Self {
            format: FORMAT,
            steps: trainer.step(),
            adamw,
            muon: muon.map(|(muon, _)| muon),
            muon_ratio: muon.map_or(0.0, |(_, ratio)| ratio),
            optimizer_steps: optimizer.steps,
            tuning: trainer.tuning(),
            average,
            loss_scale: trainer.loss_scale(),
            run,
        }
    }

    pub(super) fn optimizer(&self) -> OptimizerOptions {
        OptimizerOptions { adamw: self.adamw, muon: self.muon.map(|muon| (muon, self.muon_ratio)) }
    }
}

fn invalid(expected: &str, got: impl core::fmt::Display) -> ClipError {
    ClipError::InvalidCheckpoint { message: format!("training state: expected {expected}, got {got}") }
}

impl State {
    fn tensors(&self) -> [&[u8]; 2] {
        [&self.model, &self.values]
    }

    fn sum(&self, notes: &str) -> String {
        let mut sum = Sha256::default();
        sum.update(notes.as_bytes());
        self.tensors().into_iter().for_each(|bytes| sum.update(bytes));
        sum.finish()
    }

    /// One file.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let failed = |e: &dyn core::fmt::Display| ClipError::InvalidCheckpoint { message: e.to_string() };
        let notes = serde_json::to_string(&self.notes).map_err(|e| failed(&e))?;
        let sum = self.sum(&notes);
        let views = TENSORS
            .into_iter()
            .zip(self.tensors())
            .map(|(name, bytes)| {
                Ok((name, TensorView::new(Dtype::U8, vec![bytes.len()], bytes).map_err(|e| failed(&e))?))
            })
            .collect::<Result<Vec<_>>>()?;
        let metadata = HashMap::from([(STATE.into(), notes), (SUM.into(), sum)]);
        let mut bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| failed(&e))?;
        sort_header(&mut bytes);
        Ok(bytes)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// `invalid-checkpoint` for what is no state, one of another version, and one that was damaged.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let header = Header::parse(bytes, bytes.len() as u64)?;
        let text = header.metadata(STATE).ok_or_else(|| invalid("one that clipwright wrote", "another file"))?;
        let format = serde_json::from_str::<serde_json::Value>(text).ok().and_then(|notes| notes["format"].as_u64());
        if format != Some(FORMAT.into()) {
            let got = format.map_or("none".to_owned(), |format| format.to_string());
            return Err(invalid(&format!("format {FORMAT}"), got));
        }
        let notes = serde_json::from_str(text).map_err(|e| invalid("notes that can be read", e))?;
        let part = |name: &str| -> Result<Vec<u8>> {
            let info = header.tensor(name).ok_or_else(|| invalid(&format!("a tensor {name}"), "none"))?;
            let (begin, end) = header.bytes_of(info);
            Ok(bytes[begin as usize..end as usize].to_vec())
        };
        let state = Self { notes, model: part("model")?, values: part("values")? };
        let (expected, got) = (header.metadata(SUM).unwrap_or("none"), state.sum(text));
        if got != expected {
            return Err(invalid(&format!("bytes with the SHA-256 {expected}"), got));
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decay, Progress, TrainingSession, Wanted};
    use super::*;
    use crate::data::PairDataset;
    use crate::device::{block_on_cpu, cpu};
    use crate::model::Towers;
    use crate::preprocess::{Augmentation, Augmenter, Preprocess, RgbImage};
    use crate::tokenizer::{Reference, Tokenizer};

    const CONFIG: &str = r#"{"embedDim": 8,
        "vision": {"imageSize": 16, "patchSize": 8, "width": 16, "layers": 1, "heads": 2},
        "text": {"contextLength": 12, "width": 16, "layers": 1, "heads": 2}}"#;
    const MERGES: &str = "#version: 0.2\na b</w>\nc d</w>";

    fn options() -> RunOptions {
        RunOptions {
            batch_size: 4.0,
            micro_batch_size: Some(3.0),
            activation_checkpointing: false,
            epochs: 10.0,
            // not a short number in binary
            lr: 1e-3 / 3.0,
            warmup: 3.0,
            decay: Decay::Cosine,
            adamw: AdamWOptions::default(),
            muon: None,
            clip_norm: Some(0.7),
            label_smoothing: 0.1,
            mask_duplicates: true,
            augment: None,
            patch_dropout: 0.0,
            half: false,
            ema_decay: None,
            tuning: Tuning::All,
            lock: None,
            seed: 5,
        }
    }

    fn session() -> TrainingSession {
        let tokenizer = Tokenizer::from_merges(MERGES, Reference::default()).unwrap();
        TrainingSession::create(CONFIG, tokenizer, 3, &cpu()).unwrap()
    }

    fn image(i: u8, shade: u8) -> RgbImage {
        let levels = (0..768).map(|at| (at as u8).wrapping_mul(i + 1).wrapping_add(shade)).collect();
        RgbImage::new(16, 16, levels).unwrap()
    }

    fn pairs(session: &TrainingSession, shade: u8) -> PairDataset {
        fill(session, session.new_dataset(), shade)
    }

    /// Ten pairs, two of them with the same caption, every third with another one.
    fn fill(session: &TrainingSession, mut pairs: PairDataset, shade: u8) -> PairDataset {
        for i in 0..10u8 {
            let image = image(i, shade);
            let caption = format!("ab cd {}", "xyzuvwrst".chars().nth(usize::from(i % 9)).unwrap());
            let more = (i % 3 == 0).then(|| caption.replace("cd", "ef"));
            let captions: Vec<String> = [Some(caption), more].into_iter().flatten().collect();
            pairs.push(&image, &captions, session.tokenizer().unwrap(), false).unwrap();
        }
        pairs
    }

    fn steps(session: &mut TrainingSession, count: usize) -> Vec<Progress> {
        (0..count).map_while(|_| block_on_cpu(session.step(None)).unwrap()).collect()
    }

    fn weights(session: &TrainingSession) -> Vec<u8> {
        block_on_cpu(session.bundle().unwrap().save("hf")).unwrap()
    }

    /// The values of a tower's tensors.
    fn part(session: &TrainingSession, of_image: bool) -> Vec<u8> {
        let bytes = block_on_cpu(session.bundle().unwrap().save("open_clip")).unwrap();
        let header = Header::parse(&bytes, bytes.len() as u64).unwrap();
        let is_part = |name: &&str| name.starts_with("visual.") == of_image && *name != "logit_scale";
        let mut names: Vec<&str> = header.names().filter(is_part).collect();
        names.sort_unstable();
        let place = |name: &&str| header.bytes_of(header.tensor(name).unwrap());
        names.iter().map(place).flat_map(|(begin, end)| bytes[begin as usize..end as usize].to_vec()).collect()
    }

    #[test]
    fn a_locked_tower_stays_and_its_features_are_computed_once() {
        for (lock, micro) in [(Towers::Image, None), (Towers::Image, Some(3.0)), (Towers::Text, Some(3.0))] {
            let options = RunOptions { lock: Some(lock), micro_batch_size: micro, ..options() };
            let mut whole = session();
            whole.start(pairs(&whole, 0), &options).unwrap();
            let image = lock == Towers::Image;
            let (locked, free) = (part(&whole, image), part(&whole, !image));
            let expected = steps(&mut whole, 99);
            assert!(part(&whole, image) == locked, "{lock:?}");
            assert!(part(&whole, !image) != free, "{lock:?}");

            // features that are computed anew after a restart, in other company, are the same
            let mut first = session();
            first.start(pairs(&first, 0), &options).unwrap();
            let mut got = steps(&mut first, 7);
            let state = block_on_cpu(first.save_state()).unwrap();
            let mut second = TrainingSession::from_state(&state, None, &cpu()).unwrap();
            second.resume_run(pairs(&second, 0)).unwrap();
            got.extend(steps(&mut second, 99));
            assert_eq!(got, expected, "{lock:?}");
            assert!(weights(&second) == weights(&whole), "{lock:?}");
        }
    }

    #[test]
    fn the_first_step_of_a_locked_tower_is_that_of_a_free_one_for_the_other_tower() {
        let after = |lock| {
            let mut session = session();
            session.start(pairs(&session, 0), &RunOptions { lock, clip_norm: None, ..options() }).unwrap();
            let step = steps(&mut session, 1);
            (step[0].loss, part(&session, false))
        };
        let (free, locked) = (after(None), after(Some(Towers::Image)));
        assert!((free.0 - locked.0).abs() < 1e-6);
        assert_eq!(free.1.len(), locked.1.len());
        let values = |bytes: &[u8]| -> Vec<f32> {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
        };
        let error = values(&free.1).iter().zip(values(&locked.1)).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(error < 1e-5, "{error}");
    }

    #[test]
    fn twenty_steps_and_ten_with_ten_more_after_a_restart_are_the_same_bit_for_bit() {
        for done in [0, 1, 10, 19] {
            let mut whole = session();
            assert_eq!(whole.start(pairs(&whole, 0), &options()).unwrap(), 20);
            let expected = steps(&mut whole, 99);
            assert_eq!(expected.len(), 20);

            let mut first = session();
            first.start(pairs(&first, 0), &options()).unwrap();
            let mut got = steps(&mut first, done);
            let state = block_on_cpu(first.save_state()).unwrap();
            let mut second = TrainingSession::from_state(&state, None, &cpu()).unwrap();
            // what was not gone on with yet is not lost
            assert!(block_on_cpu(second.save_state()).unwrap() == state);
            assert_eq!(second.resume_run(pairs(&second, 0)).unwrap(), 20);
            got.extend(steps(&mut second, 99));
            assert_eq!(got, expected, "after {done}");
            assert!(weights(&second) == weights(&whole), "after {done}");
        }
    }

    #[test]
    fn images_that_are_made_for_each_step_are_asked_for_ahead_and_after_a_restart() {
        let part = Augmentation { scale: [0.3, 0.9], ratio: [0.5, 2.0], flip: 0.5 };
        let all = Augmentation { scale: [1.0; 2], ratio: [1.0; 2], flip: 0.0 };
        let with = |augmentation| RunOptions { augment: Some(augmentation), ..options() };
        let make = |session: &TrainingSession, augmentation, ahead| {
            let Wanted { epoch, pairs, .. } = session.wanted(ahead)?;
            let augmenter = Augmenter { preprocess: Preprocess::clip(16), augmentation, seed: 5 };
            let square = |pair: usize| augmenter.square(&image(pair as u8, 0), epoch, pair);
            Some(pairs.into_iter().flat_map(square).collect::<Vec<u8>>())
        };
        // each step with what was made while the one before it went on
        let steps = |session: &mut TrainingSession, augmentation, count| -> Vec<Progress> {
            let mut next = make(session, augmentation, 0);
            let mut done = Vec::new();
            for _ in 0..count {
                let Some(squares) = next else { break };
                next = make(session, augmentation, 1);
                done.extend(block_on_cpu(session.step(Some(&squares))).unwrap());
            }
            done
        };
        let begun = |options: &RunOptions| {
            let mut session = session();
            let pairs = fill(&session, session.run_dataset(options).unwrap(), 0);
            assert_eq!(session.start(pairs, options).unwrap(), 20);
            session
        };
        let mut whole = begun(&with(part));
        let expected = steps(&mut whole, part, 99);
        assert_eq!((expected.len(), whole.wanted(0)), (20, None));

        let mut first = begun(&with(part));
        let mut got = steps(&mut first, part, 7);
        let state = block_on_cpu(first.save_state()).unwrap();
        let mut second = TrainingSession::from_state(&state, None, &cpu()).unwrap();
        assert_eq!(second.resume_run(fill(&second, second.interrupted_dataset().unwrap(), 0)).unwrap(), 20);
        // without its images a step is refused, and can be tried again
        for squares in [None, Some(&[0; 5][..])] {
            assert_eq!(block_on_cpu(second.step(squares)).unwrap_err().code(), "shape-mismatch");
        }
        got.extend(steps(&mut second, part, 99));
        assert_eq!(got, expected);
        assert!(weights(&second) == weights(&whole));

        // the whole image each time is what there is without
        let mut plain = session();
        plain.start(pairs(&plain, 0), &options()).unwrap();
        assert_eq!(plain.wanted(0), None);
        let of_plain = self::steps(&mut plain, 99);
        assert_eq!(steps(&mut begun(&with(all)), all, 99), of_plain);
        assert_ne!(expected, of_plain);
        let locked = RunOptions { lock: Some(Towers::Image), ..with(part) };
        assert!(locked.validate().unwrap_err().to_string().contains("augment"));
        assert!(with(Augmentation { flip: 2.0, ..part }).validate().is_err());
        assert_eq!(session().interrupted_dataset().err().unwrap().code(), "no-run");
    }

    #[test]
    fn half_precision_learns_what_full_precision_does_and_is_gone_on_with_bit_for_bit() {
        let mut full = session();
        full.start(pairs(&full, 0), &options()).unwrap();
        let expected = steps(&mut full, 99);
        for checkpointing in [false, true] {
            let micro_batch_size = checkpointing.then_some(3.0);
            let half =
                RunOptions { half: true, activation_checkpointing: checkpointing, micro_batch_size, ..options() };
            let mut whole = session();
            whole.start(pairs(&whole, 0), &half).unwrap();
            let got = steps(&mut whole, 99);
            assert_ne!(got[0].loss, expected[0].loss);
            for (got, expected) in got.iter().zip(&expected) {
                assert!((got.loss - expected.loss).abs() < 0.01 * expected.loss, "{} {}", got.loss, expected.loss);
                let ratio = got.gradient_norm / expected.gradient_norm;
                assert!((ratio - 1.0).abs() < 0.05, "{ratio}");
            }
            let mut first = session();
            first.start(pairs(&first, 0), &half).unwrap();
            let mut again = steps(&mut first, 7);
            let state = block_on_cpu(first.save_state()).unwrap();
            let mut second = TrainingSession::from_state(&state, None, &cpu()).unwrap();
            second.resume_run(pairs(&second, 0)).unwrap();
            again.extend(steps(&mut second, 99));
            assert_eq!(again, got);
            assert!(weights(&second) == weights(&whole));
        }
    }

    #[test]
    fn adapters_averages_frozen_blocks_and_muon_are_gone_on_with_bit_for_bit() {
        let lora = Tuning::Lora { rank: 3, alpha: 7.0 };
        let muon = Some(MuonOptions { lr: 0.01, momentum: 0.9, weight_decay: 0.1 });
        for (tuning, ema_decay, patch_dropout, muon) in [
            (lora, None, 0.0, None),
            (lora, Some(0.9), 0.0, muon),
            (Tuning::LastBlocks(0), None, 0.5, None),
            (Tuning::LastBlocks(1), None, 0.0, muon),
            (Tuning::All, Some(0.99), 0.25, muon),
        ] {
            // nothing learns before the blocks of some of them
            let activation_checkpointing = tuning != Tuning::All;
            let options = RunOptions { tuning, ema_decay, patch_dropout, muon, activation_checkpointing, ..options() };
            let mut whole = session();
            whole.start(pairs(&whole, 0), &options).unwrap();
            let fresh = weights(&whole);
            let expected = steps(&mut whole, 99);
            assert!(weights(&whole) != fresh, "{tuning:?}");

            let mut first = session();
            first.start(pairs(&first, 0), &options).unwrap();
            let mut got = steps(&mut first, 7);
            let state = block_on_cpu(first.save_state()).unwrap();
            let mut second = TrainingSession::from_state(&state, None, &cpu()).unwrap();
            assert!(weights(&second) == weights(&first), "{tuning:?}");
            assert!(block_on_cpu(second.save_state()).unwrap() == state, "{tuning:?}");
            second.resume_run(pairs(&second, 0)).unwrap();
            got.extend(steps(&mut second, 99));
            assert_eq!(got, expected, "{tuning:?}");
            assert!(weights(&second) == weights(&whole), "{tuning:?}");
            if let Tuning::Lora { .. } = tuning {
                let adapter = |session: &TrainingSession| block_on_cpu(session.save_adapter()).unwrap();
                assert_eq!(adapter(&second), adapter(&whole));
                // what is asked for next trains all of it, with the adapters in the weights
                let merged = weights(&whole);
                whole.stop();
                whole.start(pairs(&whole, 0), &RunOptions { tuning: Tuning::All, ..options }).unwrap();
                assert!(weights(&whole) == merged);
                assert_eq!(block_on_cpu(whole.save_adapter()).unwrap_err().code(), "no-adapter");
            }
        }
    }

    #[test]
    fn patches_are_left_out_alike_in_micro_batches_and_block_by_block() {
        let first = |micro_batch_size, activation_checkpointing| {
            let mut session = session();
            let options = RunOptions {
                micro_batch_size,
                activation_checkpointing,
                patch_dropout: 0.5,
                clip_norm: None,
                ..options()
            };
            session.start(pairs(&session, 0), &options).unwrap();
            let step = steps(&mut session, 1)[0];
            [step.loss, step.gradient_norm, step.likeness[0], step.likeness[1]]
        };
        let whole = first(None, false);
        for other in [first(Some(3.0), false), first(None, true), first(Some(3.0), true)] {
            let alike = whole.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-5 * a.abs().max(1.0));
            assert!(alike, "{whole:?} {other:?}");
        }
        assert!(whole[2] < 1.0 && whole[3] < 1.0 && whole[2] > -0.5);
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let mut session = session();
        session.start(pairs(&session, 0), &options()).unwrap();
        steps(&mut session, 2);
        let state = block_on_cpu(session.save_state()).unwrap();
        assert_eq!(session.resume_run(pairs(&session, 0)).unwrap_err().code(), "already-training");
        session.stop();
        assert!(session.resume_run(pairs(&session, 0)).is_ok());
        steps(&mut session, 99);
        session.stop();
        assert_eq!(session.resume_run(pairs(&session, 0)).unwrap_err().code(), "no-run");

        let mut resumed = TrainingSession::from_state(&state, None, &cpu()).unwrap();
        assert_eq!(resumed.resume_run(pairs(&resumed, 9)).unwrap_err().code(), "other-pairs");
        assert_eq!(resumed.resume_run(resumed.new_dataset()).unwrap_err().code(), "count-mismatch");
        assert!(resumed.resume_run(pairs(&resumed, 0)).is_ok());

        let open = |bytes: &[u8]| TrainingSession::from_state(bytes, None, &cpu()).map(drop).unwrap_err();
        assert_eq!(open(&weights(&session)).code(), "invalid-checkpoint");
        for at in (0..state.len()).step_by(state.len() / 60) {
            let mut damaged = state.clone();
            damaged[at] ^= 0x10;
            assert_eq!(open(&damaged).code(), "invalid-checkpoint", "byte {at}");
            assert_eq!(open(&state[..at]).code(), "invalid-checkpoint", "cut at {at}");
        }
        let mut newer = state.clone();
        let format = br#"format\":4"#;
        let at = state.windows(format.len()).position(|window| window == format).unwrap();
        newer[at + format.len() - 1] = b'5';
        let error = open(&newer).to_string();
        assert!(error.contains("expected format 4, got 5"), "{error}");
    }
}
