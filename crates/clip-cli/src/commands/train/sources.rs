//! The pairs of a run: found, read, and handed to its session.

use std::path::PathBuf;

use clip_core::data::PairDataset;
use clip_core::model::Towers;
use clip_core::preprocess::Augmenter;
use clip_core::train::{RunOptions, TrainingSession};

use super::monitor::Captions;
use super::resume::Begun;
use crate::commands::pairs::{read_options, read_pairs};
use crate::commands::zero_shot::ZeroShot;
use crate::config::Settings;
use crate::data::{Crop, Filled, Image, Prefetch, Source};
use crate::exit::{Failure, Result};
use crate::interrupt::Interrupts;
use crate::output::Output;

/// Most threads that decode images, unless more are asked for.
const MOST_WORKERS: usize = 4;

/// Megabytes of images in memory, unless another number is asked for.
const IMAGE_MEMORY: u64 = 8000;

/// Where the pairs are.
pub(super) struct Sources {
    train: Source,
    evaluation: Option<Source>,
    /// Labelled images to classify.
    pub(super) zero_shot: Option<ZeroShot>,
}

/// A run whose pairs were read.
pub(super) struct Started {
    /// Number of its pairs.
    pub(super) pairs: usize,
    pub(super) pairs_sha256: String,
    pub(super) total_steps: usize,
    /// The images, where the data set does not hold them.
    pub(super) images: Option<Prefetch>,
    /// Their captions, unless equal ones are masked.
    pub(super) captions: Captions,
    /// Pairs to evaluate on.
    pub(super) evaluation: Option<PairDataset>,
}

/// Bytes of images that may be in memory.
fn image_memory(settings: &Settings, options: &RunOptions) -> Result<usize> {
    let given = settings.number("imageMemory")?;
    if options.lock == Some(Towers::Image) {
        // the features of a locked tower are computed of images in memory, once
        let expected = "none beside lock image, whose images are all in memory";
        return given.map_or(Ok(usize::MAX), |given| Err(Failure::option("imageMemory", expected, given)));
    }
    Ok(usize::try_from(given.unwrap_or(IMAGE_MEMORY)).unwrap_or(usize::MAX).saturating_mul(1_000_000))
}

/// Prefetches images that the data set does not hold.
fn prefetch(
    images: Vec<Image>,
    session: &TrainingSession,
    options: &RunOptions,
    settings: &Settings,
    threads: usize,
) -> Result<Prefetch> {
    let preprocess = session.preprocess().clone();
    let crop = match options.augment {
        Some(augmentation) => Crop::Augmented(Augmenter { preprocess, augmentation, seed: options.seed }),
        None => Crop::Fixed(preprocess),
    };
    let workers = settings.number("workers")?.map_or(threads.min(MOST_WORKERS), |workers| workers as usize);
    Prefetch::new(images, crop, workers)
}

impl Sources {
    /// Finds them.
    ///
    /// # Errors
    /// `source-unreadable`, `invalid-source`, `invalid-option`.
    pub(super) fn open(settings: &Settings) -> Result<Self> {
        let train = Source::open(&settings.texts("trainData")?, read_options(settings)?)?;
        let evaluation = match settings.texts("valData")? {
            paths if paths.is_empty() => None,
            paths => Some(Source::open(&paths, read_options(settings)?)?),
        };
        let templates = settings.texts("templates")?;
        let names = settings.path("classNames")?;
        let open = |folder: PathBuf| ZeroShot::open(&folder, names.as_deref(), &templates);
        let zero_shot = settings.path("classify")?.map(open).transpose()?;
        Source::check_used(&[&train].into_iter().chain(&evaluation).collect::<Vec<_>>())?;
        Ok(Self { train, evaluation, zero_shot })
    }

    /// Reads all pairs, and starts the run, or goes on with it. Those to evaluate on are the first rank's.
    ///
    /// # Errors
    /// Those of the pairs; `other-pairs` and `count-mismatch` where a run goes on; `interrupted` after a signal.
    pub(super) fn start(
        &self,
        begun: &mut Begun,
        settings: &Settings,
        threads: usize,
        is_first: bool,
        io: (&Output, &Interrupts),
    ) -> Result<Started> {
        let Begun { session, options, resumed, .. } = &*begun;
        let dataset = if resumed.is_some() { session.interrupted_dataset()? } else { session.run_dataset(options)? };
        let memory = image_memory(settings, options)?;
        let Filled { dataset, images, .. } =
            read_pairs(dataset, begun.tokenizer()?, &self.train, settings, Some(memory), io)?;
        let (pairs, holds_images, pairs_sha256) = (dataset.len(), dataset.holds_images(), dataset.sha256());
        let captions = if options.mask_duplicates { Captions::default() } else { Captions::count(&dataset) };
        let total_steps = match begun.resumed {
            Some(_) => begun.session.resume_run(dataset)?,
            None => begun.session.start(dataset, &begun.options)?,
        };
        let session = &begun.session;
        // after the vocabulary is known
        let evaluation = match &self.evaluation {
            Some(source) if is_first => {
                Some(read_pairs(session.new_dataset(), begun.tokenizer()?, source, settings, None, io)?.dataset)
            }
            _ => None,
        };
        let images =
            (!holds_images).then(|| prefetch(images, session, &begun.options, settings, threads)).transpose()?;
        Ok(Started { pairs, pairs_sha256, total_steps, images, captions, evaluation })
    }
}
