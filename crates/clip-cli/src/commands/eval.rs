//! `clipwright eval`: retrieval among pairs, and zero-shot classification of labelled images.

use std::path::PathBuf;

use clip_core::data::PairDataset;
use clip_core::eval::evaluate;
use clip_core::model::Towers;

use super::model_args::ModelArgs;
use super::pairs::{PairArgs, read_options, read_pairs};
use super::zero_shot::{Treatment, ZeroShot};
use crate::checkpoint::Loaded;
use crate::data::Source;
use crate::events::{EvaluationEvent, Event};
use crate::exit::{Failure, Result};
use crate::interrupt::Interrupts;
use crate::output::{Output, count};

/// Arguments of `eval`.
#[derive(Debug, clap::Args)]
pub struct EvalArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Pairs to retrieve: folders, tables or tar files; :: separates several
    #[arg(long, alias = "data", value_name = "PATHS")]
    val_data: Vec<String>,
    /// Distractors: pairs that are ranked, but not queried
    #[arg(long, value_name = "PATHS", requires = "val_data")]
    distractors: Vec<String>,
    /// Folder of images to classify, a subfolder a class
    #[arg(long, value_name = "FOLDER")]
    classify: Option<PathBuf>,
    /// Names of the classes, one a line, in the order of the subfolders [default: the subfolders' names]
    #[arg(long, value_name = "FILE", requires = "classify")]
    class_names: Option<PathBuf>,
    /// openai (80 templates), simple (7), or a caption with {} in place of the label; several are averaged
    /// [default: openai]
    #[arg(long, value_name = "TEMPLATE", requires = "classify")]
    templates: Vec<String>,
    #[command(flatten)]
    pairs: PairArgs,
}

fn retrieve(arguments: &EvalArgs, loaded: &Loaded, output: &Output, interrupts: &Interrupts) -> Result<()> {
    let settings = arguments.pairs.settings();
    let (bundle, tokenizer) = (&loaded.bundle, loaded.tokenizer()?);
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

fn classify(
    zero_shot: &ZeroShot,
    arguments: &EvalArgs,
    loaded: &Loaded,
    output: &Output,
    interrupts: &Interrupts,
) -> Result<()> {
    let settings = arguments.pairs.settings();
    let (truncate, skip) = (settings.truncate()?, settings.skips_bad_pairs()?);
    let event = zero_shot.classify(
        &loaded.bundle,
        loaded.foreign.as_ref(),
        Treatment { truncate, skip, output, interrupts },
    )?;
    let (images, names) = (count(event.images as u64), count(event.classes as u64));
    output.result(&format!("{images} images of {names} classes, {} templates", event.templates));
    output.result(&format!("zero-shot     {event}"));
    output.event(&Event::ZeroShot(event));
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
    if arguments.val_data.is_empty() {
        arguments.pairs.check_none()?;
    }
    // what cannot be read is known before the model is loaded
    let open = |path| ZeroShot::open(path, arguments.class_names.as_deref(), &arguments.templates);
    let zero_shot = arguments.classify.as_deref().map(open).transpose()?;
    let interrupts = Interrupts::listen()?;
    let loaded = arguments.model.load(Towers::Both, output)?;
    if !arguments.val_data.is_empty() {
        retrieve(arguments, &loaded, output, &interrupts)?;
    }
    zero_shot.map_or(Ok(()), |zero_shot| classify(&zero_shot, arguments, &loaded, output, &interrupts))
}
