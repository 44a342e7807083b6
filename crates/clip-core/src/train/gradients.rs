//! Loss of a batch and its gradients: in one go, or in micro-batches with the same result.

use std::ops::Range;

use burn::module::{Module, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;
use clip_kernels as kernels;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::index;

use super::batch::Batch;
use super::checkpointing;
use super::loss_scale::LossScale;
use crate::error::{ClipError, Result};
use crate::loss::{ContrastiveLoss, Negatives, SigmoidLoss};
use crate::model::{Clip, ImageStages, ParamVisitor, Stages, TextBatch, Towers, visit_params};

/// What the loss of a batch is, and how much of the batch is in memory at a time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LossOptions {
    /// Pairs whose activations are in memory together; none for all of them.
    pub micro_batch_size: Option<usize>,
    /// Whether a backward pass keeps one block's activations at a time, and computes them anew.
    pub activation_checkpointing: bool,
    /// See [`ContrastiveLoss::label_smoothing`].
    pub label_smoothing: f64,
    /// Whether pairs with the same caption are no negatives of each other.
    pub mask_duplicates: bool,
    /// Share of an image's patches that its tower does not see, others for each image (FLIP, arXiv 2212.00794).
    pub patch_dropout: f64,
    /// Decides which.
    pub seed: u64,
    /// What the loss is multiplied with before it is handed down: half precision has no small numbers.
    pub scale: LossScale,
}

/// What a batch gives.
pub(super) struct Outcome {
    /// `[1]`, without a graph.
    pub(super) loss: Tensor<1>,
    /// Of every parameter that learns, times the scale.
    pub(super) gradients: GradientsParams,
    /// Mean cosine of two images and of two captions of the batch, `[2]`: 1 where all of them are one.
    pub(super) likeness: Tensor<1>,
}

/// Loss of a batch and its gradients; `step` is the number of the step, on which chance depends.
pub(super) fn gradients(model: &Clip, batch: &impl Batch, options: &LossOptions, step: usize) -> Result<Outcome> {
    let step = Step::new(model, batch, options, step)?;
    match step.micro() {
        Some(micro) => step.cached(micro),
        None => step.whole(),
    }
}

/// The same loss, `[1]`, without the gradients.
pub(super) fn loss(model: &Clip, batch: &impl Batch, options: &LossOptions, step: usize) -> Result<Tensor<1>> {
    let plain = model.valid();
    let step = Step::new(&plain, batch, options, step)?;
    let micro = step.micro().unwrap_or(step.count);
    let images = step.features(Towers::Image, || step.joined(micro, |part| step.images(&plain, part)))?;
    let texts = step.features(Towers::Text, || step.joined(micro, |part| plain.encode_text(&step.texts.part(part))))?;
    Ok(step.loss(&images, &texts, 0..step.count))
}

struct Step<'a, B> {
    model: &'a Clip,
    batch: &'a B,
    texts: TextBatch,
    negatives: Negatives,
    count: usize,
    options: &'a LossOptions,
    step: usize,
}

impl<'a, B: Batch> Step<'a, B> {
    fn new(model: &'a Clip, batch: &'a B, options: &'a LossOptions, step: usize) -> Result<Self> {
        let (count, texts) = (batch.images(), batch.texts()?);
        if count != texts.len() {
            return Err(ClipError::CountMismatch {
                left: "images".into(),
                left_count: count,
                right: "texts".into(),
                right_count: texts.len(),
            });
        }
        if count < 2 {
            return Err(ClipError::BatchTooSmall { got: count });
        }
        let negatives =
            if options.mask_duplicates { Negatives::without_duplicates(texts.first_alike()) } else { Negatives::all() };
        Ok(Self { model, batch, texts, negatives, count, options, step })
    }

    /// Pairs whose activations are in memory together, where the features of all are computed before.
    fn micro(&self) -> Option<usize> {
        match self.options.micro_batch_size {
            Some(micro) if micro < self.count => Some(micro),
            _ => self.options.activation_checkpointing.then_some(self.count),
        }
    }

    fn parts(&self, micro: usize) -> impl Iterator<Item = Range<usize>> {
        let count = self.count;
        (0..count).step_by(micro).map(move |from| from..count.min(from + micro))
    }

    /// What `encode` makes of all pairs, a part at a time.
    fn joined(&self, micro: usize, encode: impl Fn(Range<usize>) -> Result<Tensor<2>>) -> Result<Tensor<2>> {
        Ok(Tensor::cat(self.parts(micro).map(encode).collect::<Result<Vec<_>>>()?, 0)) // [batch, embed_dim]
    }

    /// What the rows of some pairs add to the loss; all rows together are the loss.
    fn loss(&self, images: &Tensor<2>, texts: &Tensor<2>, rows: Range<usize>) -> Tensor<1> {
        let negatives = self.negatives.clone();
        let part = |features: &Tensor<2>| features.clone().slice_dim(0, rows.clone());
        let per_image = self.model.logits_per_image(part(images), texts.clone());
        if self.model.logit_bias.is_some() {
            return SigmoidLoss { negatives }.rows(per_image, rows.start);
        }
        let per_text = self.model.logits_per_image(part(texts), images.clone());
        let loss = ContrastiveLoss { negatives, label_smoothing: self.options.label_smoothing };
        loss.rows(per_image, rows.start) + loss.rows(per_text, rows.start)
    }

    fn scaled(&self, loss: &Tensor<1>) -> Tensor<1> {
        let scale = self.options.scale;
        if scale == LossScale::NONE { loss.clone() } else { loss.clone() * scale.value() }
    }

    /// What a tower makes of the batch: what is known of a locked one, or else what `encode` gives.
    fn features(&self, tower: Towers, encode: impl FnOnce() -> Result<Tensor<2>>) -> Result<Tensor<2>> {
        self.batch.locked(tower, &self.model.device()).map_or_else(encode, Ok)
    }

    /// A part of the images on their way through their tower: the same patches are left out whenever it is asked.
    fn image_stages(
        &self,
        model: &Clip,
        part: Range<usize>,
    ) -> Result<ImageStages<impl Fn(usize) -> Vec<Vec<usize>> + '_>> {
        let pixels = self.batch.pixels(part.clone(), &model.device())?;
        let keep = (self.options.patch_dropout > 0.0).then_some(move |patches: usize| {
            // OpenCLIP's PatchDropout keeps at least one
            let keep = ((patches as f64 * (1.0 - self.options.patch_dropout)) as usize).max(1);
            part.clone().map(|image| self.patches(image, patches, keep)).collect()
        });
        Ok(ImageStages { pixels, keep })
    }

    /// What the image tower makes of a part.
    fn images(&self, model: &Clip, part: Range<usize>) -> Result<Tensor<2>> {
        self.image_stages(model, part)?.encode(model)
    }

    /// Which patches of an image are seen, in order.
    fn patches(&self, image: usize, patches: usize, keep: usize) -> Vec<usize> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.options.seed);
        // a stream of its own for each image of each step; those of the shuffles are below 2³²
        rng.set_stream((1 + self.step as u64) << 32 | image as u64);
        let mut kept = index::sample(&mut rng, patches, keep).into_vec();
        kept.sort_unstable();
        kept
    }

    fn whole(&self) -> Result<Outcome> {
        let images = self.features(Towers::Image, || self.images(self.model, 0..self.count))?;
        let texts = self.features(Towers::Text, || self.model.encode_text(&self.texts))?;
        let loss = self.loss(&images, &texts, 0..self.count);
        let gradients = GradientsParams::from_grads(self.scaled(&loss).backward(), self.model);
        Ok(Outcome { loss: loss.inner(), gradients, likeness: likeness(images.inner(), texts.inner()) })
    }

    /// GradCache (arXiv 2101.06983, section 3.2): features of every micro-batch without a graph; the loss and its gradient
    /// at the features; then every micro-batch again, with that gradient handed down. The sum is the batch's gradient.
    fn cached(&self, micro: usize) -> Result<Outcome> {
        let plain = self.model.valid();
        let leaf = |features| Tensor::from_inner(features).require_grad();
        let images = self.features(Towers::Image, || self.joined(micro, |part| self.images(&plain, part)).map(leaf))?;
        let texts = self.features(Towers::Text, || {
            self.joined(micro, |part| plain.encode_text(&self.texts.part(part))).map(leaf)
        })?;
        let mut total = GradientsAccumulator::new();
        let (mut loss, mut of_images, mut of_texts) = (None, None, None);
        for part in self.parts(micro) {
            // a share of the rows at a time: the matrix of a large batch is larger than the features of its pairs
            let share = self.loss(&images, &texts, part.clone());
            let mut gradients = self.scaled(&share).backward();
            add(&mut of_images, images.grad_remove(&mut gradients));
            add(&mut of_texts, texts.grad_remove(&mut gradients));
            // of the temperature, which is no part of the towers
            total.accumulate(self.model, GradientsParams::from_grads(gradients, self.model));
            add(&mut loss, Some(share.inner()));
        }
        for part in self.parts(micro) {
            // one tower at a time: the activations of the other are gone by then
            if let Some(gradient) = &of_images {
                let stages = self.image_stages(self.model, part.clone())?;
                self.hand_down(&stages, gradient.clone().slice_dim(0, part.clone()), &plain, &mut total)?;
            }
            if let Some(gradient) = &of_texts {
                let texts = self.texts.part(part.clone());
                self.hand_down(&texts, gradient.clone().slice_dim(0, part), &plain, &mut total)?;
            }
        }
        // there are parts: a batch of none is refused
        let loss = loss.unwrap_or_else(|| Tensor::zeros([1], &plain.device()));
        Ok(Outcome { loss, gradients: total.grads(), likeness: likeness(images.inner(), texts.inner()) })
    }

    /// Adds the gradient at some features, handed down through their tower; `plain` is the model without a graph.
    fn hand_down(
        &self,
        stages: &impl Stages,
        gradient: Tensor<2>,
        plain: &Clip,
        total: &mut GradientsAccumulator<Clip>,
    ) -> Result<()> {
        if self.options.activation_checkpointing {
            return checkpointing::hand_down(self.model, plain, stages, gradient, total);
        }
        // the sum of features times a gradient has that gradient
        let product = (stages.encode(self.model)? * Tensor::from_inner(gradient)).sum();
        total.accumulate(self.model, GradientsParams::from_grads(product.backward(), self.model));
        Ok(())
    }
}

/// Mean cosine of two rows, of each matrix: (n² |mean|² − n) / (n² − n).
///
/// # Shapes
/// - images, texts: `[batch, embed_dim]`, of length one
/// - output: `[2]`
fn likeness(images: Tensor<2>, texts: Tensor<2>) -> Tensor<1> {
    let of = |features: Tensor<2>| {
        let n = features.dims()[0] as f64;
        (features.mean_dim(0).square().sum() * n - 1.0) / (n - 1.0)
    };
    Tensor::cat(vec![of(images), of(texts)], 0)
}

fn add<const D: usize>(sum: &mut Option<Tensor<D>>, term: Option<Tensor<D>>) {
    *sum = match (sum.take(), term) {
        (Some(sum), Some(term)) => Some(sum + term),
        (sum, term) => sum.or(term),
    };
}

/// The length of all gradients as one vector, `[1]`; nothing where nothing learns.
pub(super) fn norm(model: &Clip, gradients: &GradientsParams) -> Option<Tensor<1>> {
    let mut squares = Squares { gradients, sums: None };
    visit_params(model, &mut squares);
    squares.sums.map(|sums| sums.sum().sqrt())
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    sums: Option<Tensor<1>>,
}

impl ParamVisitor for Squares<'_> {
    fn visit<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.get::<D>(param.id) else { return };
        let sums = self.sums.take().unwrap_or_else(|| kernels::zero_sums_of_squares(&gradient.device()));
        self.sums = Some(kernels::add_sum_of_squares(sums, gradient));
    }
}
