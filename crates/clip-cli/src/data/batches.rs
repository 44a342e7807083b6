//! Reads the samples of a source in batches, for others to decode.

use std::sync::mpsc::SyncSender;

use super::together::together;
use super::{Image, Sample, Source};
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

/// Images in a row that servers do not send, after which the reading ends: of many links some are dead, but hardly so many one after
/// the other.
const UNREACHABLE: usize = 32;

/// Notices that servers, or the network, are down: else each image would be left out for good, as a bad pair.
#[derive(Default)]
struct Outage {
    /// Images that did not come, since the last from a server that did.
    missed: usize,
    /// Whether any sample so far can be used.
    any: bool,
    /// Why the last of those images did not come.
    last: Option<Failure>,
}

impl Outage {
    fn note(&mut self, batch: &Batch) -> Result<()> {
        for (_, Sample { pair, .. }) in batch {
            self.any |= pair.is_ok();
            match pair {
                Ok((Image::Download { .. }, _)) => self.missed = 0,
                Err(failure) if failure.passes => {
                    (self.missed, self.last) = (self.missed + 1, Some(failure.clone()));
                    self.check(self.missed >= UNREACHABLE)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Called after the last sample: fails if no sample can be used and a server is why, however few they are.
    fn end(&self) -> Result<()> {
        self.check(!self.any)
    }

    fn check(&self, is_down: bool) -> Result<()> {
        let Some(last) = self.last.as_ref().filter(|_| is_down) else { return Ok(()) };
        let missed =
            format!("{} images in a row could not be read from servers, at last {}", self.missed, last.message);
        let advice = "what is done is kept: run the same command when they answer again";
        Err(Failure::new("source-unreadable", format!("{missed}; {advice}")))
    }
}

/// Sends the samples that are `wanted` by their index, in order; an error comes last. A receiver that hangs up ends the reading.
pub(super) fn send_batches(source: &Source, wanted: &dyn Fn(usize) -> bool, batches: &SyncSender<Result<Batch>>) {
    let mut outage = Outage::default();
    let mut send = |batch| {
        let batch = downloaded(batch)?;
        outage.note(&batch)?;
        let gone = |_gone| Failure::new("interrupted", "the reading was ended");
        batches.send(Ok(batch)).map_err(gone)
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
    if let Err(error) = rest.and(read).and_then(|()| outage.end()) {
        // the receiver is gone where it has ended the reading itself
        let _ = batches.send(Err(error));
    }
}
