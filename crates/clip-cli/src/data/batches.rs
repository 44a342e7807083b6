//! Reads the samples of a source in batches, for others to decode.

use std::sync::mpsc::SyncSender;

use super::together::together;
use super::{Sample, Source};
use crate::exit::{Failure, Result};

/// Most samples of a batch.
const SAMPLES: usize = 256;
/// Bytes of images after which a batch is passed on.
const BYTES: usize = 64 << 20;

/// Samples, each with its index among all, from 0.
pub(super) type Batch = Vec<(usize, Sample)>;

/// Reads images that are files on servers, many at a time.
fn downloaded(batch: Batch) -> Result<Batch> {
    let is_far = |(_, sample): &(usize, Sample)| sample.pair.as_ref().is_ok_and(|(image, _)| image.is_far());
    if batch.iter().any(is_far) { together(batch, |(index, sample)| (index, sample.downloaded())) } else { Ok(batch) }
}

/// Sends the samples that are `wanted` by their index, in order; an error comes last. A receiver that hangs up ends the reading.
pub(super) fn send_batches(source: &Source, wanted: &dyn Fn(usize) -> bool, batches: &SyncSender<Result<Batch>>) {
    let send = |batch| {
        let gone = |_gone| Failure::new("interrupted", "the reading was ended");
        batches.send(Ok(downloaded(batch)?)).map_err(gone)
    };
    let (mut batch, mut index, mut held) = (Vec::with_capacity(SAMPLES), 0, 0);
    let read = source.read(&mut |sample| {
        if wanted(index) {
            held += sample.held();
            batch.push((index, sample));
        }
        index += 1;
        if batch.len() < SAMPLES && held < BYTES {
            return Ok(());
        }
        held = 0;
        send(std::mem::replace(&mut batch, Vec::with_capacity(SAMPLES)))
    });
    // what was read before an error goes first: its own errors name the sample
    let rest = if batch.is_empty() { Ok(()) } else { send(batch) };
    if let Err(error) = rest.and(read) {
        // the receiver is gone where it has ended the reading itself
        let _ = batches.send(Err(error));
    }
}
