//! Zero-shot classification of labelled images: of a checkpoint, and during a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use clip_core::bundle::Bundle;
use clip_core::eval::accuracy;
use rayon::prelude::*;

use crate::checkpoint::{ForeignTokenizer, tokenize};
use crate::data::{Classes, Image, decode_square, read_classes};
use crate::events::ZeroShotEvent;
use crate::exit::{Failure, Result};
use crate::interrupt::Interrupts;
use crate::output::Output;

/// Images that are decoded at a time.
const CHUNK: usize = 256;

/// Template sets by name: the package's own file.
static TEMPLATES: LazyLock<BTreeMap<String, Vec<String>>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../../ts/classify/templates.json"))
        .unwrap_or_else(|error| panic!("{error}"))
});

/// The captions with `{}` of names of sets and captions; without any, those of OpenAI.
fn templates(given: &[String]) -> Result<Vec<String>> {
    let openai = ["openai".to_owned()];
    let mut found = Vec::new();
    for template in if given.is_empty() { &openai[..] } else { given } {
        match TEMPLATES.get(template) {
            Some(set) => found.extend(set.iter().cloned()),
            None if template.contains("{}") => found.push(template.clone()),
            None => {
                return Err(Failure::option(
                    "templates",
                    "openai, simple, or a caption with {}",
                    format!("{template:?}"),
                ));
            }
        }
    }
    Ok(found)
}

/// Embeddings of images, and the class of each.
#[derive(Default)]
struct Labelled {
    embeddings: Vec<f32>,
    classes: Vec<usize>,
}

/// Decodes images, those of one chunk at a time, and encodes them. One that cannot be decoded is skipped with a warning where `skip`
/// says so, and otherwise ends it.
fn encode(
    classes: &Classes,
    bundle: &Bundle,
    skip: bool,
    output: &Output,
    interrupts: &Interrupts,
) -> Result<Labelled> {
    let refuse = |failure: Failure| {
        if skip {
            output.warn(None, &format!("skipped: {failure}"));
            return Ok(());
        }
        Err(Failure::new(failure.code, format!("{failure}; --bad-pairs skip leaves it out")))
    };
    classes.bad.iter().cloned().try_for_each(refuse)?;
    let square = |(path, _): &(PathBuf, usize)| -> Result<Vec<u8>> {
        decode_square(&bundle.preprocess, &Image::File(path.clone())).map_err(|e| e.about_path(path))
    };
    let mut labelled = Labelled::default();
    for (at, chunk) in classes.images.chunks(CHUNK).enumerate() {
        if interrupts.came() {
            return Err(interrupts.failure("stopped while images were encoded"));
        }
        let decoded: Vec<Result<Vec<u8>>> = chunk.par_iter().map(square).collect();
        let mut squares = Vec::new();
        for (square, (_, class)) in decoded.into_iter().zip(chunk) {
            match square {
                Ok(square) => {
                    squares.extend(square);
                    labelled.classes.push(*class);
                }
                Err(failure) => refuse(failure)?,
            }
        }
        if !squares.is_empty() {
            labelled.embeddings.extend(pollster::block_on(bundle.encode_squares(&squares))?);
        }
        let done = at * CHUNK + chunk.len();
        output.progress(done, classes.images.len(), || format!("{done}/{} images", classes.images.len()));
    }
    if labelled.classes.is_empty() {
        return Err(Failure::dataset("none of the images to classify can be used"));
    }
    Ok(labelled)
}

/// Labelled images, and the captions that stand for their classes.
pub(super) struct ZeroShot {
    classes: Classes,
    templates: Vec<String>,
}

/// How unusable captions and images are handled, and where that is reported.
#[derive(Clone, Copy)]
pub(super) struct Treatment<'a> {
    /// Whether captions longer than the context are cut.
    pub(super) truncate: bool,
    /// Whether images that cannot be decoded are skipped.
    pub(super) skip: bool,
    pub(super) output: &'a Output,
    pub(super) interrupts: &'a Interrupts,
}

impl ZeroShot {
    /// Finds the images of a folder with one subfolder a class. `names` is a file with a name for each, `given` are names of template sets and
    /// captions with `{}`; without any, OpenAI's are taken.
    ///
    /// # Errors
    /// `source-unreadable`, `invalid-dataset`, `invalid-option`.
    pub(super) fn open(folder: &Path, names: Option<&Path>, given: &[String]) -> Result<Self> {
        Ok(Self { templates: templates(given)?, classes: read_classes(folder, names)? })
    }

    /// Classifies all images; `foreign` is the model's tokenizer where it is not CLIP's.
    ///
    /// # Errors
    /// Those of the images and of the captions; `interrupted` and the like after a signal.
    pub(super) fn classify(
        &self,
        bundle: &Bundle,
        foreign: Option<&ForeignTokenizer>,
        how: Treatment<'_>,
    ) -> Result<ZeroShotEvent> {
        let Self { classes, templates } = self;
        let named = |name: &String| templates.iter().map(|template| template.replace("{}", name)).collect::<Vec<_>>();
        let captions: Vec<String> = classes.names.iter().flat_map(named).collect();
        let ids = tokenize(bundle, foreign, captions.iter().map(String::as_str), how.truncate)?;
        let labels = pollster::block_on(bundle.encode_labels(&ids, templates.len()))?;
        let Labelled { embeddings, classes: indices } = encode(classes, bundle, how.skip, how.output, how.interrupts)?;
        let scores = pollster::block_on(bundle.logits_per_image(&embeddings, &labels))?;
        let found = accuracy(&scores, classes.names.len(), &indices)?;
        Ok(ZeroShotEvent {
            step: None,
            top1: found.top_1,
            top5: found.top_5,
            images: indices.len(),
            classes: classes.names.len(),
            templates: templates.len(),
        })
    }
}
