//! Fills a data set: reads samples on one thread, and decodes their images on all others.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use clip_core::data::{PairDataset, PreparedPair};
use clip_core::preprocess::decode;
use clip_core::tokenizer::Tokenize;
use rayon::prelude::*;

use super::batches::{Batch, send_batches};
use super::contained::contained;
use super::{Image, Sample, Source};
use crate::exit::{Failure, Result};

/// How a data set is filled.
#[derive(Clone, Copy)]
pub struct Filling<'a> {
    /// The model's tokenizer.
    pub tokenizer: &'a dyn Tokenize,
    /// Whether captions longer than the context are cut.
    pub truncate: bool,
    /// Whether pairs that cannot be used are skipped; else the first ends the reading.
    pub skip: bool,
    /// Bytes of images up to which the data set may hold them; above, they are read again for each step.
    pub memory: usize,
    /// Whether the reading shall end at once, as after Ctrl-C.
    pub stop: &'a (dyn Fn() -> bool + Sync),
    /// Takes the number of samples so far, now and then.
    pub progress: &'a (dyn Fn(usize) + Sync),
}

/// A pair that was skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its index among all samples, from 0.
    pub index: usize,
    /// Its name in the data set.
    pub key: String,
    /// Why.
    pub reason: Failure,
}

/// What a data set was filled with.
pub struct Filled {
    /// The data set.
    pub dataset: PairDataset,
    /// The image of each pair, to read it again; empty if the data set holds them.
    pub images: Vec<Image>,
    /// Pairs that were skipped.
    pub skipped: Vec<Skipped>,
}

/// Decodes the image of a sample and tokenizes its captions.
fn prepare(dataset: &PairDataset, sample: Sample, filling: &Filling<'_>) -> Result<(PreparedPair, Image)> {
    let (mut image, captions) = sample.pair?;
    let pair = contained(|| {
        let decoded = decode(&image.bytes()?)?;
        Ok(dataset.prepare(&decoded, &captions, filling.tokenizer, filling.truncate)?)
    })?;
    image.forget();
    Ok((pair, image))
}

/// The error for images that would have to stay in memory, since their source gives them once.
fn not_kept(source: &str, memory: usize) -> Failure {
    let advice =
        "which a compressed tar file, or a server without ranges, does not give a second time: unpack or download it";
    let expected = format!("room for the images of {source}, {advice}");
    Failure::option("imageMemory", &expected, format!("{memory} bytes"))
}

fn take_batches(dataset: PairDataset, batches: &Receiver<Result<Batch>>, filling: &Filling<'_>) -> Result<Filled> {
    let mut filled = Filled { dataset, images: Vec::new(), skipped: Vec::new() };
    // of images that cannot be read a second time
    let (mut read, mut kept) = (0, 0);
    for batch in batches {
        if (filling.stop)() {
            return Err(Failure::new("interrupted", "stopped while the pairs were read, before the first step"));
        }
        let dataset = &filled.dataset;
        let batch = batch?;
        read += batch.len();
        let each = |(index, sample): (usize, Sample)| {
            let (key, source) = (sample.key.clone(), sample.source.clone());
            let pair = prepare(dataset, sample, filling).map_err(|reason| reason.about(&source));
            (index, key, source, pair)
        };
        let prepared: Vec<_> = batch.into_par_iter().map(each).collect();
        for (index, key, source, pair) in prepared {
            match pair {
                Ok((pair, image)) => {
                    kept += image.held();
                    if kept > filling.memory {
                        return Err(not_kept(&source, filling.memory));
                    }
                    filled.dataset.add(pair);
                    filled.images.push(image);
                }
                Err(reason) if filling.skip => filled.skipped.push(Skipped { index, key, reason }),
                Err(reason) => {
                    let advice = "correct it, or leave such pairs out by --bad-pairs skip";
                    let message = format!("pair {index} ({key}): {}; {advice}", reason.message);
                    return Err(Failure::new(reason.code, message));
                }
            }
        }
        let bytes = filled.dataset.len() * filled.dataset.square_bytes();
        if filled.dataset.holds_images() && bytes.saturating_add(kept) > filling.memory {
            filled.dataset.release_images();
        }
        (filling.progress)(read);
    }
    if filled.dataset.holds_images() {
        filled.images = Vec::new();
    }
    if filled.dataset.is_empty() && !filled.skipped.is_empty() {
        let some: Vec<String> =
            filled.skipped.iter().take(3).map(|pair| format!("{}: {}", pair.key, pair.reason)).collect();
        let more = if read > 3 { format!("; and {} more", read - 3) } else { String::new() };
        return Err(Failure::dataset(format!("none of the {read} pairs can be used: {}{more}", some.join("; "))));
    }
    Ok(filled)
}

/// Reads all pairs of a source into an empty data set. At most three batches of samples are in memory.
///
/// Every image is decoded, also where it is decoded again for each step: a state holds the digest of the pixels that the model sees,
/// which a browser computes as well, and pairs that cannot be used are known before the first step.
///
/// # Errors
/// `source-unreadable`, `invalid-dataset`; unless bad pairs are skipped, the error of the first; `interrupted` if it was stopped.
pub fn fill(dataset: PairDataset, source: &Source, filling: &Filling<'_>) -> Result<Filled> {
    let (sender, receiver) = sync_channel(1);
    thread::scope(|scope| {
        scope.spawn(move || send_batches(source, &|_| true, &sender));
        let filled = take_batches(dataset, &receiver, filling);
        // lets the other thread end, which may wait
        drop(receiver);
        filled
    })
}
