//! Decodes the images of a source in order: one thread reads, a pool decodes, and the caller takes batches meanwhile.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use clip_core::preprocess::{Preprocess, decode};
use rayon::ThreadPool;
use rayon::prelude::*;

use super::batches::{Batch, send_batches};
use super::contained::contained;
use super::{Image, Sample, Source};
use crate::exit::Result;

/// A sample whose image was decoded to the model's size, or not.
pub struct DecodedSample {
    /// Its index among all samples, from 0.
    pub index: usize,
    /// Its name in the data set.
    pub key: String,
    /// The image, `[3, size, size]`, and its captions.
    pub pair: Result<(Vec<u8>, Vec<String>)>,
}

/// Decodes an image to the model's size, `[3, size, size]`.
///
/// # Errors
/// `source-unreadable`, `undecodable-image`, `image-too-large`, `image-too-small`.
pub fn decode_square(preprocess: &Preprocess, image: &Image) -> Result<Vec<u8>> {
    contained(|| {
        let decoded = decode(&image.bytes()?)?;
        Preprocess::check(&decoded)?;
        Ok(preprocess.square(&decoded))
    })
}

fn decode_all(
    preprocess: &Preprocess,
    pool: &ThreadPool,
    read: Receiver<Result<Batch>>,
    decoded: &SyncSender<Result<Vec<DecodedSample>>>,
) {
    for batch in read {
        let samples = batch.map(|batch| {
            let each = |(index, sample): (usize, Sample)| DecodedSample {
                index,
                key: sample.key,
                pair: sample.pair.and_then(|(image, captions)| Ok((decode_square(preprocess, &image)?, captions))),
            };
            pool.install(|| batch.into_par_iter().map(each).collect())
        });
        if decoded.send(samples).is_err() {
            return;
        }
    }
}

/// Passes on the decoded samples of a source, in order, those that are `wanted` by their index. Three batches are in memory: one that
/// is read, one that is decoded, and one that is taken.
///
/// # Errors
/// `source-unreadable`, `invalid-dataset`, and those of `take`, which end the reading.
pub fn decoded(
    source: &Source,
    preprocess: &Preprocess,
    pool: &ThreadPool,
    wanted: &(dyn Fn(usize) -> bool + Sync),
    mut take: impl FnMut(Vec<DecodedSample>) -> Result<()>,
) -> Result<()> {
    let (to_decode, read_batches) = sync_channel(1);
    let (to_take, decoded_batches) = sync_channel(1);
    thread::scope(|scope| {
        scope.spawn(move || send_batches(source, wanted, &to_decode));
        scope.spawn(move || decode_all(preprocess, pool, read_batches, &to_take));
        let taken = decoded_batches.iter().try_for_each(|batch| take(batch?));
        // lets the threads end, which may wait
        drop(decoded_batches);
        taken
    })
}
