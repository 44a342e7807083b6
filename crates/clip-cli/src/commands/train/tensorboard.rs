//! TensorBoard's event files: records of a small protobuf message, with checksums. Only scalars are written, which is why this is not a
//! library: <https://github.com/tensorflow/tensorboard/blob/2.20.0/tensorboard/compat/proto/event.proto>

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::events::{EvaluationEvent, StepEvent, ZeroShotEvent};
use crate::exit::{Failure, Result};
use crate::files::make_folder;

/// Appends scalars to one event file, which is this process's own.
#[derive(Debug)]
pub(super) struct TensorBoard {
    path: PathBuf,
    file: File,
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A field of bytes: its tag, their number, and them.
fn bytes_field(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    varint(bytes.len() as u64, out);
    out.extend(bytes);
}

/// An `Event` with one more field: `file_version`, `summary` or `session_log`.
fn event(step: usize, tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![0x09]; // wall_time
    out.extend(now().to_le_bytes());
    out.push(0x10); // step
    varint(step as u64, &mut out);
    bytes_field(tag, content, &mut out);
    out
}

/// A `Summary` of scalars.
fn summary(scalars: &[(&str, f64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in scalars {
        let mut scalar = Vec::new();
        bytes_field(0x0a, name.as_bytes(), &mut scalar);
        scalar.push(0x15); // simple_value
        scalar.extend((*value as f32).to_le_bytes());
        bytes_field(0x0a, &scalar, &mut out);
    }
    out
}

/// A checksum as the format has it.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), data, &masked(data)].concat()
}

impl TensorBoard {
    /// Begins a file in a folder. TensorBoard then drops what other files have of steps after `step`, which are taken again.
    ///
    /// # Errors
    /// `target-unwritable`.
    pub(super) fn begin(folder: &Path, step: usize) -> Result<Self> {
        make_folder(folder)?;
        let name = format!("events.out.tfevents.{:010}.clipwright.{}", now() as u64, std::process::id());
        let path = folder.join(name);
        let file =
            OpenOptions::new().append(true).create(true).open(&path).map_err(|e| Failure::unwritable(&path, e))?;
        let mut board = Self { path, file };
        board.write(&event(0, 0x1a, b"brain.Event:2"))?;
        // session_log { status: START }
        board.write(&event(step + 1, 0x3a, &[0x08, 0x01]))?;
        Ok(board)
    }

    fn write(&mut self, event: &[u8]) -> Result<()> {
        self.file.write_all(&record(event)).map_err(|error| Failure::unwritable(&self.path, error))
    }

    /// Adds a step.
    ///
    /// # Errors
    /// `target-unwritable`.
    pub(super) fn step(&mut self, step: &StepEvent) -> Result<()> {
        let scalars = [
            ("train/loss", step.loss.into()),
            ("train/lr", step.lr),
            ("train/logitScale", step.logit_scale.into()),
            ("train/gradientNorm", step.gradient_norm.into()),
            ("train/imageLikeness", step.likeness.image.into()),
            ("train/textLikeness", step.likeness.text.into()),
            ("train/samplesPerSecond", step.samples_per_second),
            ("train/waiting", step.waiting),
        ];
        self.write(&event(step.step, 0x2a, &summary(&scalars)))
    }

    /// Adds a zero-shot classification.
    ///
    /// # Errors
    /// `target-unwritable`.
    pub(super) fn zero_shot(&mut self, zero_shot: &ZeroShotEvent) -> Result<()> {
        let scalars = [("val/zeroShotTop1", zero_shot.top1), ("val/zeroShotTop5", zero_shot.top5)];
        self.write(&event(zero_shot.step.unwrap_or(0), 0x2a, &summary(&scalars)))
    }

    /// Adds an evaluation.
    ///
    /// # Errors
    /// `target-unwritable`.
    pub(super) fn evaluation(&mut self, evaluation: &EvaluationEvent) -> Result<()> {
        let (text, image) = (&evaluation.image_to_text, &evaluation.text_to_image);
        let scalars = [
            ("val/imageToTextR1", text.r1),
            ("val/imageToTextR5", text.r5),
            ("val/imageToTextR10", text.r10),
            ("val/textToImageR1", image.r1),
            ("val/textToImageR5", image.r5),
            ("val/textToImageR10", image.r10),
        ];
        self.write(&event(evaluation.step.unwrap_or(0), 0x2a, &summary(&scalars)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_those_of_tensorflow() {
        // the bytes of `Summary.SerializeToString` of tensorboard 2.21
        assert_eq!(summary(&[("a", 0.5)]), [0x0a, 8, 0x0a, 1, b'a', 0x15, 0, 0, 0, 0x3f]);
        let mut varints = Vec::new();
        varint(300, &mut varints);
        assert_eq!(varints, [0xac, 0x02]);
        let record = record(b"abc");
        assert_eq!(record.len(), 8 + 4 + 3 + 4);
        // RFC 3720: the CRC32C of 32 zeros is 8a9136aa
        assert_eq!(masked(&[0; 32]), 0x8a91_36aau32.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes());
    }
}
