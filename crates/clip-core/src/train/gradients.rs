//! Loss of a batch and its gradients, of the whole batch at once, in micro-batches or shared by several ranks, with the same result.

use std::ops::Range;

use burn::module::{Module, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};
use clip_kernels as kernels;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::index;

use super::batch::Batch;
use super::checkpointing;
use super::loss_scale::LossScale;
use super::ranks::Ranks;
use crate::error::{ClipError, Result};
use crate::loss::{ContrastiveLoss, Negatives, SigmoidLoss};
use crate::model::{Clip, ImageStages, ParamVisitor, Stages, TextBatch, Towers, visit_params};

/// Options of the loss, and how much of a batch is in memory at a time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LossOptions {
    /// Pairs whose activations are in memory at the same time; `None` for all of them.
    pub micro_batch_size: Option<usize>,
    /// Whether a backward pass keeps the activations of one block and recomputes the others.
    pub activation_checkpointing: bool,
    /// See [`ContrastiveLoss::label_smoothing`].
    pub label_smoothing: f64,
    /// Whether pairs with the same caption are left out of each other's negatives.
    pub mask_duplicates: bool,
    /// Share of the patches that is dropped, drawn for each image (FLIP, arXiv 2212.00794).
    pub patch_dropout: f64,
    /// Seed of that draw.
    pub seed: u64,
    /// Factor of the loss before the backward pass, against underflow in half precision.
    pub scale: LossScale,
}

/// Result of a forward and backward pass.
pub(super) struct Outcome {
    /// `[1]`, without a graph.
    pub(super) loss: Tensor<1>,
    /// Gradient of every trainable parameter, times the loss scale.
    pub(super) gradients: GradientsParams,
    /// Mean cosine of two different images and of two different captions of the batch, `[2]`: 1 for collapsed features.
    pub(super) likeness: Tensor<1>,
}

/// Returns the loss of a batch and its gradients, of all ranks together. `step`, the number of the step, seeds its draws.
pub(super) async fn gradients(
    model: &Clip,
    batch: &impl Batch,
    options: &LossOptions,
    step: usize,
    ranks: &Ranks,
) -> Result<Outcome> {
    let step = Step::new(model, batch, options, step, ranks)?;
    match step.micro() {
        Some(micro) => step.cached(micro).await,
        None if ranks.are_several() => step.gathered().await,
        None => step.whole(),
    }
}

/// Returns the same loss, `[1]`, without gradients.
pub(super) async fn loss(
    model: &Clip,
    batch: &impl Batch,
    options: &LossOptions,
    step: usize,
    ranks: &Ranks,
) -> Result<Tensor<1>> {
    let plain = model.valid();
    let step = Step::new(&plain, batch, options, step, ranks)?;
    let [images, texts] = step.plain_features(&plain, step.micro().unwrap_or(step.own.len()))?;
    let [images, texts] = [ranks.gather_features(images).await?, ranks.gather_features(texts).await?];
    ranks.sum_tensor(step.loss(&images, &texts, step.own.clone())).await
}

struct Step<'a, B> {
    model: &'a Clip,
    batch: &'a B,
    texts: TextBatch,
    negatives: Negatives,
    /// Rows of this rank: all, if it is alone.
    own: Range<usize>,
    options: &'a LossOptions,
    step: usize,
    ranks: &'a Ranks,
}

/// Result of the loss's backward pass, which stops at the features.
struct AtFeatures {
    /// `[1]`, without a graph.
    loss: Tensor<1>,
    /// Gradients at the features of the own rows, `[own, embed_dim]`; none of a locked tower.
    of_images: Option<Tensor<2>>,
    of_texts: Option<Tensor<2>>,
    likeness: Tensor<1>,
}

impl<'a, B: Batch> Step<'a, B> {
    fn new(model: &'a Clip, batch: &'a B, options: &'a LossOptions, step: usize, ranks: &'a Ranks) -> Result<Self> {
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
        ranks.check(count)?;
        Ok(Self { model, batch, texts, negatives, own: ranks.rows(count), options, step, ranks })
    }

    /// Returns the micro-batch size for GradCache; `None` for the whole batch in one pass.
    fn micro(&self) -> Option<usize> {
        match self.options.micro_batch_size {
            Some(micro) if micro < self.own.len() => Some(micro),
            _ => self.options.activation_checkpointing.then_some(self.own.len()),
        }
    }

    fn parts(&self, micro: usize) -> impl Iterator<Item = Range<usize>> {
        let Range { start, end } = self.own;
        (start..end).step_by(micro).map(move |from| from..end.min(from + micro))
    }

    /// Encodes the own pairs in micro-batches.
    ///
    /// # Shapes
    /// - output: `[own, embed_dim]`
    fn joined(&self, micro: usize, encode: impl Fn(Range<usize>) -> Result<Tensor<2>>) -> Result<Tensor<2>> {
        Ok(Tensor::cat(self.parts(micro).map(encode).collect::<Result<Vec<_>>>()?, 0))
    }

    /// Returns what the rows of some pairs add to the loss; the loss is the sum over all rows.
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
        if scale == LossScale::ONE { loss.clone() } else { loss.clone() * scale.value() }
    }

    /// Returns a tower's features of the own pairs: the cached ones of a locked tower, or what `encode` computes.
    fn features(
        &self,
        tower: Towers,
        device: &Device,
        encode: impl FnOnce() -> Result<Tensor<2>>,
    ) -> Result<Tensor<2>> {
        self.batch.locked(tower, self.own.clone(), device).map_or_else(encode, Ok)
    }

    /// Encodes the own pairs with a model without autodiff, in micro-batches. Cached features are without a graph, too.
    fn plain_features(&self, plain: &Clip, micro: usize) -> Result<[Tensor<2>; 2]> {
        let device = plain.device();
        let of_images = || self.joined(micro, |part| self.images(plain, part));
        let of_texts = || self.joined(micro, |part| plain.encode_text(&self.texts.part(part)));
        Ok([self.features(Towers::Image, &device, of_images)?, self.features(Towers::Text, &device, of_texts)?])
    }

    /// Returns a range of the images in stages; the same patches are dropped at each call.
    fn image_stages(
        &self,
        model: &Clip,
        part: Range<usize>,
    ) -> Result<ImageStages<impl Fn(usize) -> Vec<Vec<usize>> + '_>> {
        let pixels = self.batch.pixels(part.clone(), &model.device())?;
        let keep = (self.options.patch_dropout > 0.0).then_some(move |patches: usize| {
            // at least one, as OpenCLIP's PatchDropout
            let keep = ((patches as f64 * (1.0 - self.options.patch_dropout)) as usize).max(1);
            part.clone().map(|image| self.patches(image, patches, keep)).collect()
        });
        Ok(ImageStages { pixels, keep })
    }

    /// Encodes a range of the images.
    fn images(&self, model: &Clip, part: Range<usize>) -> Result<Tensor<2>> {
        self.image_stages(model, part)?.encode(model)
    }

    /// Draws the patches of an image to keep, in order.
    fn patches(&self, image: usize, patches: usize, keep: usize) -> Vec<usize> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.options.seed);
        // one stream per image and step; the shuffles' streams are below 2³²
        rng.set_stream((1 + self.step as u64) << 32 | image as u64);
        let mut kept = index::sample(&mut rng, patches, keep).into_vec();
        kept.sort_unstable();
        kept
    }

    fn whole(&self) -> Result<Outcome> {
        let device = self.model.device();
        let images = self.features(Towers::Image, &device, || self.images(self.model, self.own.clone()))?;
        let texts = self.features(Towers::Text, &device, || self.model.encode_text(&self.texts))?;
        let loss = self.loss(&images, &texts, self.own.clone());
        let gradients = GradientsParams::from_grads(self.scaled(&loss).backward(), self.model);
        Ok(Outcome { loss: loss.inner(), gradients, likeness: likeness(images.inner(), texts.inner()) })
    }

    /// As `whole`, for several ranks: each keeps its activations in memory while features are exchanged.
    async fn gathered(&self) -> Result<Outcome> {
        let device = self.model.device();
        let own_texts = || self.model.encode_text(&self.texts.part(self.own.clone()));
        let images = self.features(Towers::Image, &device, || self.images(self.model, self.own.clone()))?;
        let texts = self.features(Towers::Text, &device, own_texts)?;
        let mut total = GradientsAccumulator::new();
        let plain = [images.clone().inner(), texts.clone().inner()];
        let AtFeatures { loss, of_images, of_texts, likeness } =
            self.at_features(plain, self.own.len(), &mut total).await?;
        let product =
            |features: Tensor<2>, gradient: Option<Tensor<2>>| Some((features * Tensor::from_inner(gradient?)).sum());
        let mut sum = product(images, of_images);
        add(&mut sum, product(texts, of_texts));
        if let Some(sum) = sum {
            total.accumulate(self.model, GradientsParams::from_grads(sum.backward(), self.model));
        }
        self.outcome(loss, total, likeness).await
    }

    /// Adds up what all ranks computed.
    async fn outcome(
        &self,
        loss: Tensor<1>,
        mut total: GradientsAccumulator<Clip>,
        likeness: Tensor<1>,
    ) -> Result<Outcome> {
        let gradients = self.ranks.sum_gradients(self.model, total.grads()).await?;
        Ok(Outcome { loss: self.ranks.sum_tensor(loss).await?, gradients, likeness })
    }

    /// Takes the gradient of the loss at the features, given those of the own pairs without a graph. Each rank computes the rows of its
    /// own pairs, against the features of all: no rank holds the logits of the whole batch. `total` gets the temperature's gradient,
    /// which does not pass through the towers.
    async fn at_features(
        &self,
        [images, texts]: [Tensor<2>; 2],
        micro: usize,
        total: &mut GradientsAccumulator<Clip>,
    ) -> Result<AtFeatures> {
        let leaf = |features, tower| Tensor::<2>::from_inner(features).set_require_grad(!self.batch.is_locked(tower));
        let images = leaf(self.ranks.gather_features(images).await?, Towers::Image);
        let texts = leaf(self.ranks.gather_features(texts).await?, Towers::Text);
        let (mut loss, mut of_images, mut of_texts) = (None, None, None);
        for part in self.parts(micro) {
            // some rows at a time: the logits of a large batch take more memory than its features
            let share = self.loss(&images, &texts, part);
            let mut gradients = self.scaled(&share).backward();
            add(&mut of_images, images.grad_remove(&mut gradients));
            add(&mut of_texts, texts.grad_remove(&mut gradients));
            total.accumulate(self.model, GradientsParams::from_grads(gradients, self.model));
            add(&mut loss, Some(share.inner()));
        }
        // never empty: a batch has at least a pair a rank
        let loss = loss.unwrap_or_else(|| Tensor::zeros([1], &self.model.device().inner()));
        let own = async |gradient: Option<Tensor<2>>| match gradient {
            Some(gradient) => self.ranks.scatter_gradient(gradient).await.map(Some),
            None => Ok(None),
        };
        let (of_images, of_texts) = (own(of_images).await?, own(of_texts).await?);
        Ok(AtFeatures { loss, of_images, of_texts, likeness: likeness(images.inner(), texts.inner()) })
    }

    /// GradCache (arXiv 2101.06983, section 3.2): encodes every micro-batch without a graph, takes the gradient of the loss at the
    /// features, then encodes every micro-batch again and continues the backward pass from there. The sum over the micro-batches is
    /// the gradient of the batch.
    async fn cached(&self, micro: usize) -> Result<Outcome> {
        let plain = self.model.valid();
        let mut total = GradientsAccumulator::new();
        let features = self.plain_features(&plain, micro)?;
        let AtFeatures { loss, of_images, of_texts, likeness } = self.at_features(features, micro, &mut total).await?;
        for part in self.parts(micro) {
            let rows = part.start - self.own.start..part.end - self.own.start;
            // one tower after the other, so that only one's activations are in memory
            if let Some(gradient) = &of_images {
                let stages = self.image_stages(self.model, part.clone())?;
                self.backward(&stages, gradient.clone().slice_dim(0, rows.clone()), &plain, &mut total)?;
            }
            if let Some(gradient) = &of_texts {
                let texts = self.texts.part(part);
                self.backward(&texts, gradient.clone().slice_dim(0, rows), &plain, &mut total)?;
            }
        }
        self.outcome(loss, total, likeness).await
    }

    /// Continues a backward pass from the gradient at some features through their tower. `plain` is the model without autodiff.
    fn backward(
        &self,
        stages: &impl Stages,
        gradient: Tensor<2>,
        plain: &Clip,
        total: &mut GradientsAccumulator<Clip>,
    ) -> Result<()> {
        if self.options.activation_checkpointing {
            return checkpointing::backward(self.model, plain, stages, gradient, total);
        }
        // the gradient of (features * gradient).sum() at the features is `gradient`
        let product = (stages.encode(self.model)? * Tensor::from_inner(gradient)).sum();
        total.accumulate(self.model, GradientsParams::from_grads(product.backward(), self.model));
        Ok(())
    }
}

/// Returns the mean cosine of two different rows of each matrix: (n² |mean|² − n) / (n² − n).
///
/// # Shapes
/// - images, texts: `[batch, embed_dim]`, rows of length one
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

/// Returns the norm of all gradients as one vector, `[1]`; `None` without gradients.
pub(super) fn norm(model: &Clip, gradients: &GradientsParams) -> Option<Tensor<1>> {
    let mut total = SumOfSquares { gradients, sums: None };
    visit_params(model, &mut total);
    total.sums.map(|sums| sums.sum().sqrt())
}

struct SumOfSquares<'a> {
    gradients: &'a GradientsParams,
    sums: Option<Tensor<1>>,
}

impl ParamVisitor for SumOfSquares<'_> {
    fn visit<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.get::<D>(param.id) else { return };
        let sums = self.sums.take().unwrap_or_else(|| kernels::zero_sums_of_squares(&gradient.device()));
        self.sums = Some(kernels::add_sum_of_squares(sums, gradient));
    }
}
