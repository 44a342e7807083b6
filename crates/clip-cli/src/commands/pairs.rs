//! Pairs of a command: the flags that say how they are read, and their reading.

use clap::Args;
use clip_core::data::PairDataset;
use clip_core::tokenizer::Tokenize;
use serde_json::{Map, Value};

use crate::config::Settings;
use crate::data::{DatasetType, Filled, Filling, ReadOptions, Source, fill};
use crate::events::Event;
use crate::exit::{Failure, Result};
use crate::interrupt::Interrupts;
use crate::output::{Output, count};
use crate::secrets::without_secrets;

/// Flags of how pairs are read.
#[derive(Debug, Default, Args)]
pub(super) struct PairArgs {
    /// auto, webdataset, csv or folder
    #[arg(long, value_name = "TYPE")]
    dataset_type: Option<String>,
    /// Column of image names [default: the first of file_name, filepath, image, path, url]
    #[arg(long, alias = "csv-img-key", value_name = "NAME")]
    image_column: Option<String>,
    /// Column of captions [default: the first of text, caption, title]
    #[arg(long, alias = "csv-caption-key", value_name = "NAME")]
    caption_column: Option<String>,
    /// Separator of columns [default: the one in the header]
    #[arg(long, alias = "csv-separator", value_name = "TEXT")]
    separator: Option<String>,
    /// Path, in a folder, of the only table to read
    #[arg(long, value_name = "PATH")]
    table: Option<String>,
    /// Folder of the images that a table names [default: the table's]
    #[arg(long, value_name = "FOLDER")]
    images: Option<String>,
    /// Encoding of captions without a byte order mark, as windows-1252 [default: utf-8]
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// Whether a caption file is one caption or one a line: whole or lines
    #[arg(long, value_name = "HOW")]
    captions: Option<String>,
    /// Cut captions longer than the context
    #[arg(long)]
    truncate: bool,
    /// Unusable pairs: stop or skip [default: stop; embed: skip]
    #[arg(long, value_name = "HOW")]
    bad_pairs: Option<String>,
}

/// Sets a value that was given.
pub(super) fn set(map: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        map.insert(name.into(), value.into());
    }
}

/// A value that was given as text.
pub(super) fn text(value: &Option<String>) -> Option<Value> {
    value.clone().map(Value::from)
}

impl PairArgs {
    /// The flags that say how files are read, by the names of their settings.
    fn of_files(&self) -> [(&'static str, &Option<String>); 8] {
        [
            ("datasetType", &self.dataset_type),
            ("imageColumn", &self.image_column),
            ("captionColumn", &self.caption_column),
            ("separator", &self.separator),
            ("table", &self.table),
            ("images", &self.images),
            ("encoding", &self.encoding),
            ("captions", &self.captions),
        ]
    }

    /// Checks that no flag says how pairs are read, for a command that reads none.
    ///
    /// # Errors
    /// `invalid-option`.
    pub(super) fn check_none(&self) -> Result<()> {
        let given = self.of_files().into_iter().find_map(|(name, value)| Some((name, value.as_ref()?)));
        given.map_or(Ok(()), |(name, value)| {
            Err(Failure::option(name, "none without pairs to read: name them by --val-data", value))
        })
    }

    /// Adds the given flags to the settings, and those of a run to its options.
    pub(super) fn set(&self, flags: &mut Map<String, Value>, fit: &mut Map<String, Value>) {
        for (name, value) in self.of_files() {
            set(flags, name, text(value));
        }
        set(fit, "truncate", self.truncate.then_some(true));
        set(fit, "badPairs", text(&self.bad_pairs));
    }

    /// Whether `--bad-pairs stop` was given, for commands that skip by default.
    ///
    /// # Errors
    /// `invalid-option`.
    pub(super) fn stops(&self) -> Result<bool> {
        Ok(self.bad_pairs.is_some() && !self.settings().skips_bad_pairs()?)
    }

    /// The settings that were given.
    pub(super) fn settings(&self) -> Settings {
        let (mut flags, mut fit) = (Map::new(), Map::new());
        self.set(&mut flags, &mut fit);
        set(&mut flags, "fit", (!fit.is_empty()).then_some(fit));
        Settings::default().with(flags)
    }
}

/// How pairs are read.
///
/// # Errors
/// `invalid-option`.
pub(super) fn read_options(settings: &Settings) -> Result<ReadOptions> {
    let owned = |name: &str| -> Result<Option<String>> { Ok(settings.text(name)?.map(str::to_owned)) };
    let lines = match settings.text("captions")? {
        None | Some("whole") => false,
        Some("lines") => true,
        Some(other) => return Err(Failure::option("captions", "whole or lines", other)),
    };
    let separator = owned("separator")?;
    if let Some(wrong) =
        separator.as_ref().filter(|text| !(1..=100).contains(&text.chars().count()) || text.contains(['"', '\r', '\n']))
    {
        return Err(Failure::option(
            "separator",
            "1 to 100 characters without quotes and line breaks",
            format!("{wrong:?}"),
        ));
    }
    Ok(ReadOptions {
        kind: settings.text("datasetType")?.map_or(Ok(DatasetType::Auto), DatasetType::from_name)?,
        encoding: owned("encoding")?,
        lines,
        image_column: owned("imageColumn")?,
        caption_column: owned("captionColumn")?,
        // shells pass a tab badly
        separator: separator.map(|text| text.replace("\\t", "\t")),
        table: owned("table")?,
        images: settings.path("images")?,
    })
}

/// Reads pairs into a data set, and reports those that are skipped. `memory` is for pairs to train on; those to evaluate on are held.
///
/// # Errors
/// Those of [`fill`]; `interrupted` and `terminated` after a signal.
pub(super) fn read_pairs(
    dataset: PairDataset,
    tokenizer: &dyn Tokenize,
    source: &Source,
    settings: &Settings,
    memory: Option<usize>,
    (output, interrupts): (&Output, &Interrupts),
) -> Result<Filled> {
    let is_evaluation = memory.is_none();
    let what = if is_evaluation { "evaluation pairs" } else { "pairs" };
    let filling = Filling {
        tokenizer,
        truncate: settings.truncate()?,
        skip: settings.skips_bad_pairs()?,
        memory: memory.unwrap_or(usize::MAX),
        stop: &|| interrupts.came(),
        progress: &|pairs| output.progress(0, 1, || format!("{} {what} read", count(pairs as u64))),
    };
    let filled = fill(dataset, source, &filling).map_err(|error| match error.code {
        "interrupted" => interrupts.failure(error.message),
        _ => error,
    })?;
    for pair in &filled.skipped {
        // a table may name images by signed addresses
        let (key, code, message) = (&without_secrets(&pair.key), pair.reason.code, &pair.reason.message);
        output.event(&Event::Skipped { index: pair.index, key, code, message, evaluation: is_evaluation });
    }
    if let Some(first) = filled.skipped.first().filter(|_| !output.is_json()) {
        let number = count(filled.skipped.len() as u64);
        let key = without_secrets(&first.key);
        output.note(&format!("warning: {number} {what} skipped, the first: {key}: {}", first.reason.message));
    }
    Ok(filled)
}
