//! `clipwright eval`: retrieval among pairs, and zero-shot classification of labelled images.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use clip_core::bundle::Bundle;
use clip_core::data::PairDataset;
use clip_core::eval::{accuracy, evaluate};
use clip_core::model::Towers;
use rayon::prelude::*;

use super::model_args::ModelArgs;
use super::pairs::{PairArgs, read_options, read_pairs};
use crate::data::{Classes, Image, Source, decode_square, read_classes};
use crate::events::{EvaluationEvent, Event};
use crate::exit::{Failure, Result};
use crate::interrupt::Interrupts;
use crate::output::{Output, count};

/// Images that are decoded at a time.
const CHUNK: usize = 256;

/// Template sets by name: the package's own file.
static TEMPLATES: LazyLock<BTreeMap<String, Vec<String>>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../../assets/templates.json")).unwrap_or_else(|error| panic!("{error}"))
});

/// Arguments of `eval`.
#[derive(Debug, clap::Args)]
pub struct EvalArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Pairs to retrieve: folders, tables or tar files; :: separates several
    #[arg(long, alias = "data", value_name = "PATHS")]
    val_data: Vec<String>,
    /// Pairs that are candidates, but no queries
    #[arg(long, value_name = "PATHS", requires = "val_data")]
    distractors: Vec<String>,
    /// Folder of images to classify, a subfolder a class
    #[arg(long, value_name = "FOLDER")]
    classify: Option<PathBuf>,
    /// Names of the classes, one a line, in the order of the subfolders [default: the subfolders' names]
    #[arg(long, value_name = "FILE", requires = "classify")]
    class_names: Option<PathBuf>,
    /// openai (80 templates), simple (7), or a caption with {} in place of the label; several are averaged
    #[arg(long, value_name = "TEMPLATE", default_value = "openai")]
    templates: Vec<String>,
    #[command(flatten)]
    pairs: PairArgs,
}

/// The captions with `{}` that were asked for.
fn templates(given: &[String]) -> Result<Vec<&str>> {
    let mut found: Vec<&str> = Vec::new();
    for template in given {
        match TEMPLATES.get(template) {
            Some(set) => found.extend(set.iter().map(String::as_str)),
            None if template.contains("{}") => found.push(template),
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

fn retrieve(arguments: &EvalArgs, bundle: &Bundle, output: &Output, interrupts: &Interrupts) -> Result<()> {
    let settings = arguments.pairs.settings();
    let tokenizer = bundle.tokenizer.as_deref().ok_or_else(no_tokenizer)?;
    let source = Source::open(&arguments.val_data, read_options(&settings)?)?;
    let others = match arguments.distractors.as_slice() {
        [] => None,
        paths => Some(Source::open(paths, read_options(&settings)?)?),
    };
    Source::check_used(&[&source].into_iter().chain(&others).collect::<Vec<_>>())?;
    let read = |source: &Source| -> Result<PairDataset> {
        let empty = PairDataset::new(&bundle.config, bundle.preprocess.clone());
        Ok(read_pairs(empty, tokenizer, source, &settings, None, (output, interrupts))?.dataset)
    };
    let pairs = read(&source)?;
    let distractors = others.as_ref().map(read).transpose()?;
    let result = evaluate(&bundle.model, bundle.config.embed_dim, &pairs, distractors.as_ref());
    let event = EvaluationEvent::new(None, pollster::block_on(result)?);
    let others = distractors.map_or(String::new(), |set| format!(" among {} more", count(set.len() as u64)));
    output.result(&format!("{} pairs{others}", count(pairs.len() as u64)));
    output.result(&format!("text → image  {}", event.text_to_image));
    output.result(&format!("image → text  {}", event.image_to_text));
    output.event(&Event::Evaluation(event));
    Ok(())
}

fn no_tokenizer() -> Failure {
    Failure::new("invalid-tokenizer", "the checkpoint has no tokenizer of CLIP's: captions cannot be encoded yet")
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
            output.warn(&format!("skipped: {failure}"));
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
    Ok(labelled)
}

fn classify(
    arguments: &EvalArgs,
    classes: &Classes,
    bundle: &Bundle,
    output: &Output,
    interrupts: &Interrupts,
) -> Result<()> {
    let templates = templates(&arguments.templates)?;
    let captions: Vec<String> =
        classes.names.iter().flat_map(|name| templates.iter().map(|template| template.replace("{}", name))).collect();
    if bundle.tokenizer.is_none() {
        return Err(no_tokenizer());
    }
    let ids = bundle.tokenize(captions.iter().map(String::as_str), arguments.pairs.settings().truncate()?)?;
    let labels = pollster::block_on(bundle.encode_labels(&ids, templates.len()))?;
    let skip = arguments.pairs.settings().skips_bad_pairs()?;
    let Labelled { embeddings, classes: indices } = encode(classes, bundle, skip, output, interrupts)?;
    let scores = pollster::block_on(bundle.logits_per_image(&embeddings, &labels))?;
    let found = accuracy(&scores, classes.names.len(), &indices)?;
    output.event(&Event::ZeroShot {
        top1: found.top_1,
        top5: found.top_5,
        images: indices.len(),
        classes: classes.names.len(),
        templates: templates.len(),
    });
    let (images, names) = (count(indices.len() as u64), count(classes.names.len() as u64));
    output.result(&format!("{images} images of {names} classes, {} templates", templates.len()));
    output.result(&format!("zero-shot     top-1 {:.1} %, top-5 {:.1} %", 100.0 * found.top_1, 100.0 * found.top_5));
    Ok(())
}

/// Runs the command.
///
/// # Errors
/// Those of the model, of the pairs and the images; `invalid-option` with nothing to evaluate on.
pub fn run(arguments: &EvalArgs, output: &Output) -> Result<()> {
    if arguments.val_data.is_empty() && arguments.classify.is_none() {
        return Err(Failure::option("val-data", "pairs to retrieve, or images to --classify", "neither"));
    }
    templates(&arguments.templates)?;
    // what cannot be read is known before the model is loaded
    let classes =
        arguments.classify.as_deref().map(|path| read_classes(path, arguments.class_names.as_deref())).transpose()?;
    let interrupts = Interrupts::listen()?;
    let (bundle, _) = arguments.model.load(Towers::Both, output)?;
    if !arguments.val_data.is_empty() {
        retrieve(arguments, &bundle, output, &interrupts)?;
    }
    classes.map_or(Ok(()), |classes| classify(arguments, &classes, &bundle, output, &interrupts))
}
