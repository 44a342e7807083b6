//! Decodes and crops the images of a run's next steps on threads of their own, while the device computes a step.

use std::borrow::Cow;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use clip_core::preprocess::{Augmenter, Preprocess, RgbImage, decode};
use clip_core::train::{ImageRequest, TrainingSession};
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use super::Image;
use super::contained::contained;
use super::together::together;
use crate::exit::{Failure, Result};

/// Most steps ahead of the current one whose images are made: one would do if all steps took equally long.
const MOST_AHEAD: usize = 3;
/// Bytes of images that may be made ahead, if they are those of more than one step.
const BYTES_AHEAD: usize = 1 << 30;

/// How an image becomes one of the model's size.
#[derive(Debug, Clone)]
pub enum Crop {
    /// Anew in each epoch.
    Augmented(Augmenter),
    /// The same each time.
    Fixed(Preprocess),
}

impl Crop {
    /// Bytes of an image of the model's size.
    fn bytes(&self) -> usize {
        let (Self::Augmented(Augmenter { preprocess, .. }) | Self::Fixed(preprocess)) = self;
        3 * preprocess.size * preprocess.size
    }

    fn square(&self, image: &RgbImage, epoch: usize, pair: usize) -> Vec<u8> {
        match self {
            Self::Augmented(augmenter) => augmenter.square(image, epoch, pair),
            Self::Fixed(preprocess) => preprocess.square(image),
        }
    }
}

/// Images whose bytes are read together from servers, and are in memory together.
const TOGETHER: usize = 128;

/// Bytes of an image, or why they cannot be read.
type Bytes<'a> = Result<Cow<'a, [u8]>>;

/// Makes the images of one step, one after the other in memory.
fn squares(images: &[Image], crop: &Crop, request: &ImageRequest) -> Result<Vec<u8>> {
    let mut squares = vec![0; request.pairs.len() * crop.bytes()];
    let make = |((&pair, (image, bytes)), into): ((&usize, (&Image, Bytes<'_>)), &mut [u8])| -> Result<()> {
        let square = contained(|| Ok(crop.square(&decode(&bytes?)?, request.epoch, pair)));
        into.copy_from_slice(&square.map_err(|error| error.about(&image.name()))?);
        Ok(())
    };
    for (pairs, into) in request.pairs.chunks(TOGETHER).zip(squares.chunks_mut(TOGETHER * crop.bytes())) {
        let unknown = || Failure::new("unexpected", "unknown image");
        let some = pairs.iter().map(|&pair| images.get(pair).ok_or_else(unknown)).collect::<Result<Vec<_>>>()?;
        let each = |image| (image, Image::bytes(image));
        let read = if some.iter().any(|image| image.is_far()) {
            together(some, each)?
        } else {
            some.into_par_iter().map(each).collect()
        };
        pairs.par_iter().zip(read).zip(into.par_chunks_mut(crop.bytes())).try_for_each(make)?;
    }
    Ok(squares)
}

/// Steps ahead of the current one whose images are made, where those of one step take `bytes`.
fn ahead(bytes: usize) -> usize {
    (BYTES_AHEAD / bytes.max(1)).clamp(1, MOST_AHEAD)
}

/// Makes the images of a run in the order of its steps, those of one step at a time.
pub struct Prefetch {
    square_bytes: usize,
    requests: Sender<ImageRequest>,
    squares: Receiver<Result<Vec<u8>>>,
    /// Requests whose images were not taken yet.
    pending: usize,
    /// Steps ahead of the current one; known with the first request.
    ahead: usize,
}

impl Prefetch {
    /// Prefetches crops of these images on `workers` threads.
    ///
    /// # Errors
    /// `unexpected` if no threads can be started.
    pub fn new(images: Vec<Image>, crop: Crop, workers: usize) -> Result<Self> {
        let pool = ThreadPoolBuilder::new().num_threads(workers).thread_name(|i| format!("images {i}")).build();
        let pool = pool.map_err(Failure::no_threads)?;
        let square_bytes = crop.bytes();
        let (requests, to_make) = channel::<ImageRequest>();
        let (made, squares_made) = channel();
        // it ends when the other ends of its channels are dropped
        let make = move || {
            for request in to_make {
                if made.send(pool.install(|| squares(&images, &crop, &request))).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("images".into()).spawn(make).map_err(Failure::no_threads)?;
        Ok(Self { square_bytes, requests, squares: squares_made, pending: 0, ahead: 0 })
    }

    /// Returns the images of the next step, and how long it waited for them; `None` after the last step.
    ///
    /// # Errors
    /// `source-unreadable`, `undecodable-image` for a file that changed since the run began.
    pub fn next(&mut self, session: &TrainingSession) -> Result<(Option<Vec<u8>>, Duration)> {
        let ended = || Failure::new("unexpected", "the thread that crops images ended");
        while self.pending <= self.ahead
            && let Some(request) = session.image_request(self.pending)
        {
            self.ahead = ahead(request.pairs.len() * self.square_bytes);
            self.requests.send(request).map_err(|_unsent| ended())?;
            self.pending += 1;
        }
        if self.pending == 0 {
            return Ok((None, Duration::ZERO));
        }
        let began = Instant::now();
        let squares = self.squares.recv().map_err(|_closed| ended())?;
        self.pending -= 1;
        Ok((Some(squares?), began.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_batches_are_made_one_ahead() {
        let batch = |pairs: usize| pairs * 3 * 224 * 224;
        assert_eq!([batch(256), batch(4096), batch(32_768)].map(ahead), [3, 1, 1]);
        assert_eq!(ahead(0), 3);
    }
}
