//! Decodes and crops the images of a run's next steps on threads of their own, while the device computes a step.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use clip_core::preprocess::{Augmenter, Preprocess, RgbImage, decode};
use clip_core::train::{ImageRequest, TrainingSession};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::Image;
use super::contained::contained;
use crate::exit::{Failure, Result};

/// Steps ahead of the current one whose images are made: one would do if all steps took equally long. Each costs the memory of a batch.
const AHEAD: usize = 3;

/// How an image becomes one of the model's size.
#[derive(Debug, Clone)]
pub enum Crop {
    /// Anew in each epoch.
    Augmented(Augmenter),
    /// The same each time.
    Fixed(Preprocess),
}

impl Crop {
    fn square(&self, image: &RgbImage, epoch: usize, pair: usize) -> Vec<u8> {
        match self {
            Self::Augmented(augmenter) => augmenter.square(image, epoch, pair),
            Self::Fixed(preprocess) => preprocess.square(image),
        }
    }
}

/// Makes the images of a run in the order of its steps.
pub struct Prefetch {
    pool: ThreadPool,
    images: Arc<Vec<Image>>,
    crop: Arc<Crop>,
    pending: VecDeque<Receiver<Result<Vec<u8>>>>,
}

impl Prefetch {
    /// Prefetches crops of these images on `workers` threads.
    ///
    /// # Errors
    /// `unexpected` if no threads can be started.
    pub fn new(images: Vec<Image>, crop: Crop, workers: usize) -> Result<Self> {
        let pool = ThreadPoolBuilder::new().num_threads(workers).thread_name(|i| format!("images {i}")).build();
        let pool = pool.map_err(|error| Failure::new("unexpected", format!("cannot start threads: {error}")))?;
        Ok(Self { pool, images: Arc::new(images), crop: Arc::new(crop), pending: VecDeque::new() })
    }

    fn begin(&self, request: ImageRequest) -> Receiver<Result<Vec<u8>>> {
        let (sender, receiver) = channel();
        let (images, crop) = (self.images.clone(), self.crop.clone());
        self.pool.spawn(move || {
            let make = |&pair: &usize| {
                let image = images.get(pair).ok_or_else(|| Failure::new("unexpected", "unknown image"))?;
                contained(|| Ok(crop.square(&decode(&image.bytes()?)?, request.epoch, pair)))
                    .map_err(|error| error.about(&format!("pair {pair}")))
            };
            let squares: Result<Vec<Vec<u8>>> = request.pairs.par_iter().map(make).collect();
            // the receiver is gone where the run has ended
            let _ = sender.send(squares.map(|squares| squares.concat()));
        });
        receiver
    }

    /// Returns the images of the next step, and how long it waited for them; `None` after the last step.
    ///
    /// # Errors
    /// `source-unreadable`, `undecodable-image` for a file that changed since the run began.
    pub fn next(&mut self, session: &TrainingSession) -> Result<(Option<Vec<u8>>, Duration)> {
        for ahead in self.pending.len()..=AHEAD {
            let Some(request) = session.image_request(ahead) else { break };
            self.pending.push_back(self.begin(request));
        }
        let Some(receiver) = self.pending.pop_front() else { return Ok((None, Duration::ZERO)) };
        let began = Instant::now();
        let squares = receiver
            .recv()
            .map_err(|error| Failure::new("unexpected", format!("a thread that crops images ended: {error}")))?;
        Ok((Some(squares?), began.elapsed()))
    }
}
