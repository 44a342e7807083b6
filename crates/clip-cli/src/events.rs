//! What `--json` writes: one event a line. Names are those of the package's events; a field is never renamed or removed.

use clip_core::eval::{Evaluation, Recall};
use clip_core::train::{Progress, Traffic};
use serde::Serialize;

use crate::device::OpenDevice;

/// An event.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event<'a> {
    /// Training begins, or goes on.
    Start {
        /// Version of the program.
        version: &'a str,
        /// Steps of the run.
        total_steps: usize,
        /// Steps taken before.
        step: usize,
        /// Pairs that are trained on.
        pairs: usize,
        /// Pairs that are evaluated on.
        evaluation_pairs: usize,
        /// Size of the vocabulary.
        vocab_size: usize,
        /// Where it computes.
        device: &'a OpenDevice,
        /// The folder of the run.
        folder: &'a str,
        /// Processes that train together.
        ranks: usize,
    },
    /// A pair is left out.
    Skipped {
        /// Its index among all pairs, from 0.
        index: usize,
        /// Its name in the data set.
        key: &'a str,
        /// Code of the error.
        code: &'a str,
        /// Why.
        message: &'a str,
        /// Whether it is a pair to evaluate on.
        evaluation: bool,
    },
    /// Something that a user should know.
    Warning {
        /// Name of the warning, as in the package.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<&'a str>,
        /// What is wrong, and what to do.
        message: &'a str,
    },
    /// A training step.
    Step(StepEvent),
    /// The model was evaluated.
    Evaluation(EvaluationEvent),
    /// Images were classified.
    ZeroShot(ZeroShotEvent),
    /// A source was embedded, now or before.
    Embedded {
        /// Its name, with which its files begin.
        source: &'a str,
        /// Number of embeddings.
        embedded: usize,
        /// Number of samples that cannot be used.
        skipped: usize,
    },
    /// All sources are embedded.
    EmbedDone {
        /// The folder.
        path: &'a str,
        /// Number of embeddings.
        embedded: usize,
        /// Number of samples that cannot be used.
        skipped: usize,
        /// Share of the time in which the device computed.
        busy: f64,
        /// The time, from when the model was loaded.
        seconds: f64,
    },
    /// A file was saved.
    Saved {
        /// Step of the state.
        step: usize,
        /// The file.
        path: &'a str,
    },
    /// The command is done.
    Done {
        /// Steps taken.
        step: usize,
        /// The file or folder that it made.
        path: &'a str,
        /// What each of several processes exchanged in the steps since `start`.
        #[serde(skip_serializing_if = "Option::is_none")]
        exchanged: Option<Traffic>,
    },
    /// A checkpoint was converted.
    Converted {
        /// The file or folder.
        path: &'a str,
        /// Its layout.
        layout: &'a str,
        /// Bytes of all files.
        bytes: usize,
    },
    /// The command failed, or was stopped.
    Error {
        /// Code of the error.
        code: &'a str,
        /// What is wrong, and what to do.
        message: &'a str,
        /// Exit code of the program.
        exit_code: u8,
    },
}

/// A training step, with the fields of the package's `StepEvent`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepEvent {
    /// Number of the step, from 1.
    pub step: usize,
    /// Steps of the run.
    pub total_steps: usize,
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Loss before the update.
    pub loss: f32,
    /// Learning rate of the update.
    pub lr: f64,
    /// Logarithm of the inverse temperature before the update.
    pub logit_scale: f32,
    /// Norm of all gradients as one vector, before clipping.
    pub gradient_norm: f32,
    /// Mean cosine similarity of two images, and of two captions, of the batch.
    pub likeness: Likeness,
    /// Pairs of the step.
    pub batch_size: usize,
    /// Pairs per second, averaged over the last steps.
    pub samples_per_second: f64,
    /// Seconds to the end of the run at this speed.
    pub seconds_left: f64,
    /// Share of the last steps' time spent waiting for images, from 0 to 1.
    pub waiting: f64,
}

/// Mean cosine similarities of a batch.
#[derive(Debug, Clone, Serialize)]
pub struct Likeness {
    /// Of two images.
    pub image: f32,
    /// Of two captions.
    pub text: f32,
}

impl StepEvent {
    /// `seconds` is the mean duration of the last steps, `waiting` the share of it spent waiting for images.
    pub fn new(progress: &Progress, seconds: f64, waiting: f64) -> Self {
        let [image, text] = progress.likeness;
        Self {
            step: progress.step,
            total_steps: progress.total_steps,
            epoch: progress.epoch,
            loss: progress.loss,
            lr: progress.lr,
            logit_scale: progress.logit_scale,
            gradient_norm: progress.gradient_norm,
            likeness: Likeness { image, text },
            batch_size: progress.batch_size,
            samples_per_second: progress.batch_size as f64 / seconds,
            seconds_left: (progress.total_steps - progress.step) as f64 * seconds,
            waiting,
        }
    }
}

/// Accuracy of zero-shot classification.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ZeroShotEvent {
    /// Steps of the run before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// Share of images whose class has the highest score.
    pub top1: f64,
    /// Share of images whose class is among the five highest.
    pub top5: f64,
    /// Number of images.
    pub images: usize,
    /// Number of classes.
    pub classes: usize,
    /// Number of templates.
    pub templates: usize,
}

impl core::fmt::Display for ZeroShotEvent {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "top-1 {:.1} %, top-5 {:.1} %", 100.0 * self.top1, 100.0 * self.top5)
    }
}

/// Recall in one direction.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecallEvent {
    /// Share of queries whose match is the nearest.
    pub r1: f64,
    /// Among the nearest 5.
    pub r5: f64,
    /// Among the nearest 10.
    pub r10: f64,
    /// Median rank of the matches, from 1.
    pub median_rank: f64,
    /// Number of queries.
    pub queries: usize,
}

impl From<Recall> for RecallEvent {
    fn from(Recall { at_1: r1, at_5: r5, at_10: r10, median_rank, queries }: Recall) -> Self {
        Self { r1, r5, r10, median_rank, queries }
    }
}

impl core::fmt::Display for RecallEvent {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { r1, r5, r10, median_rank, .. } = self;
        let [r1, r5, r10] = [r1, r5, r10].map(|share| 100.0 * share);
        write!(f, "R@1 {r1:.1} %, R@5 {r5:.1} %, R@10 {r10:.1} %, median rank {median_rank}")
    }
}

/// Images and captions that have an equal one.
#[derive(Debug, Clone, Serialize)]
pub struct GroupedEvent {
    /// Number of images.
    pub images: usize,
    /// Number of captions.
    pub captions: usize,
}

/// Retrieval, with the fields of the package's `Evaluation`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EvaluationEvent {
    /// Steps of the run before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// Images as queries.
    pub image_to_text: RecallEvent,
    /// Captions as queries.
    pub text_to_image: RecallEvent,
    /// What was counted as one with an equal one.
    pub grouped: GroupedEvent,
}

impl EvaluationEvent {
    /// An evaluation, after `step` steps of a run.
    pub fn new(step: Option<usize>, Evaluation { image_to_text, text_to_image, grouped }: Evaluation) -> Self {
        Self {
            step,
            image_to_text: image_to_text.into(),
            text_to_image: text_to_image.into(),
            grouped: GroupedEvent { images: grouped.images, captions: grouped.captions },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_names_of_the_package() {
        let progress = Progress {
            step: 3,
            total_steps: 10,
            epoch: 1,
            batch_size: 8,
            loss: 2.5,
            lr: 1e-3,
            logit_scale: 2.5,
            gradient_norm: 1.5,
            likeness: [0.5, 0.25],
        };
        let line = serde_json::to_string(&Event::Step(StepEvent::new(&progress, 2.0, 0.25))).unwrap();
        let expected = r#"{"type":"step","step":3,"totalSteps":10,"epoch":1,"loss":2.5,"lr":0.001,"logitScale":2.5,"gradientNorm":1.5,"likeness":{"image":0.5,"text":0.25},"batchSize":8,"samplesPerSecond":4.0,"secondsLeft":14.0,"waiting":0.25}"#;
        assert_eq!(line, expected);
        let saved = serde_json::to_string(&Event::Error { code: "interrupted", message: "m", exit_code: 130 }).unwrap();
        assert_eq!(saved, r#"{"type":"error","code":"interrupted","message":"m","exitCode":130}"#);
    }
}
