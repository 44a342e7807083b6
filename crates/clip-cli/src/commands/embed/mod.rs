//! `clipwright embed`: embeddings of images in bulk, resumable at any moment.

mod npy;
mod out_folder;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clip_core::model::Towers;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde_json::{Map, json};

use self::out_folder::{Counts, OutFolder, Part};
use super::model_args::ModelArgs;
use super::pairs::{PairArgs, read_options};
use crate::checkpoint::Loaded;
use crate::data::{DecodedSample, Skipped, Source, decoded};
use crate::events::Event;
use crate::exit::{Failure, Result, above_0};
use crate::interrupt::Interrupts;
use crate::output::{Output, count};

/// Most threads that decode images, unless more are asked for.
const MOST_WORKERS: usize = 8;

/// Arguments of `embed`.
#[derive(Debug, clap::Args)]
pub struct EmbedArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Folders, tables or tar files, as shards-{000..123}.tar, also by https:// or s3://; :: separates several
    #[arg(long, value_name = "PATHS", required = true)]
    data: Vec<String>,
    /// Folder of the embeddings
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Embed the first caption of each image, too
    #[arg(long)]
    texts: bool,
    /// Samples per file of embeddings
    #[arg(long, value_name = "N", default_value = "10000")]
    part_size: usize,
    /// Threads that decode images [default: one a core, at most 8]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    #[command(flatten)]
    pairs: PairArgs,
}

/// What all sources share.
struct Embedding<'a> {
    model: &'a Loaded,
    folder: &'a OutFolder,
    pool: &'a ThreadPool,
    part_size: usize,
    texts: bool,
    truncate: bool,
    /// Whether the first unusable sample ends the command.
    stops: bool,
    output: &'a Output,
    interrupts: &'a Interrupts,
    /// Time in which the device computed.
    busy: Duration,
}

impl Embedding<'_> {
    /// Embeds samples, in one batch.
    fn add(&mut self, samples: Vec<DecodedSample>, part: &mut Part) -> Result<()> {
        let (mut squares, mut ids) = (Vec::new(), Vec::new());
        for DecodedSample { index, key, pair } in samples {
            // a caption that is too long spoils its own sample alone
            let with_ids = |(square, captions): (Vec<u8>, Vec<String>)| {
                let first = captions.first().filter(|_| self.texts).map(String::as_str);
                let ids = first.map(|caption| self.model.tokenize([caption], self.truncate)).transpose()?;
                Ok((square, captions, ids.unwrap_or_default()))
            };
            match pair.and_then(with_ids) {
                Ok((square, captions, of_caption)) => {
                    squares.extend(square);
                    ids.extend(of_caption);
                    part.rows.push((key, captions));
                }
                Err(reason) if self.stops => return Err(reason.about(&key)),
                Err(reason) => part.skipped.push(Skipped { index, key, reason }),
            }
        }
        if squares.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        part.images.extend(pollster::block_on(self.model.bundle.encode_squares(&squares))?);
        if let Some(texts) = &mut part.texts {
            texts.extend(pollster::block_on(self.model.bundle.encode_ids(&ids))?);
        }
        self.busy += began.elapsed();
        Ok(())
    }

    fn new_part(&self) -> Part {
        Part { texts: self.texts.then(Vec::new), ..Part::default() }
    }

    /// Embeds a source; parts that are done are skipped.
    fn source(&mut self, name: &str, source: &Source) -> Result<Counts> {
        if let Some(counts) = self.folder.done(name) {
            return Ok(counts);
        }
        let part_name = |number: usize| format!("{name}-{number:05}");
        let mut counts = Counts::default();
        let mut first = 0;
        // parts are done in order
        while let Some(done) = self.folder.part_done(&part_name(first)) {
            counts = counts.plus(done);
            first += 1;
        }
        let (size, start) = (self.part_size, first * self.part_size);
        let (mut number, mut part) = (first, self.new_part());
        let preprocess = self.model.bundle.preprocess.clone();
        let (pool, total) = (self.pool, counts.embedded);
        decoded(source, &preprocess, pool, &|index| index >= start, |batch| {
            if self.interrupts.came() {
                let advice = "what is done is kept: run the same command to go on";
                return Err(self.interrupts.failure(format!("stopped in {}: {advice}", part_name(number))));
            }
            // a batch may hold the end of a part and the start of the next
            let mut rest = batch.into_iter().peekable();
            while let Some(next) = rest.peek() {
                let of = next.index / size;
                if of > number {
                    counts = counts.plus(self.folder.write(&part_name(number), &part)?);
                    (number, part) = (of, self.new_part());
                }
                let mut same = Vec::new();
                while let Some(sample) = rest.next_if(|sample| sample.index / size == number) {
                    same.push(sample);
                }
                self.add(same, &mut part)?;
            }
            let done = counts.embedded + part.rows.len() - total;
            self.output.progress(0, 1, || format!("{name}: {} embedded", count(done as u64)));
            Ok(())
        })?;
        if !(part.rows.is_empty() && part.skipped.is_empty()) {
            counts = counts.plus(self.folder.write(&part_name(number), &part)?);
        }
        self.folder.finish(name, counts)?;
        Ok(counts)
    }
}

/// Runs the command.
///
/// # Errors
/// Those of the model and of the data; `other-settings` for a folder that was begun otherwise; `target-unwritable`;
/// `interrupted` and `terminated` after a signal.
pub fn run(arguments: &EmbedArgs, output: &Output) -> Result<()> {
    let part_size = above_0("part-size", arguments.part_size)?;
    let settings = arguments.pairs.settings();
    if settings.truncate()? && !arguments.texts {
        return Err(Failure::option("truncate", "none without captions to embed: ask for them by --texts", true));
    }
    let workers = arguments.workers.map(|workers| above_0("workers", workers)).transpose()?;
    let source = Source::open(&arguments.data, read_options(&settings)?)?;
    Source::check_used(&[&source])?;
    let sources = source.by_name()?;
    let interrupts = Interrupts::listen()?;
    let towers = if arguments.texts { Towers::Both } else { Towers::Image };
    let model = arguments.model.load(towers, output)?;
    let bundle = &model.bundle;
    let mut manifest = Map::from_iter([
        ("model".to_owned(), json!(arguments.model.model.display().to_string())),
        ("weightsSha256".to_owned(), json!(model.weights_sha256)),
        ("config".to_owned(), json!(bundle.config.to_json())),
        ("preprocess".to_owned(), json!(bundle.preprocess.to_json())),
        ("dtype".to_owned(), json!(bundle.dtype())),
        ("partSize".to_owned(), json!(part_size)),
        ("texts".to_owned(), json!(arguments.texts)),
        ("truncate".to_owned(), json!(settings.truncate()?)),
    ]);
    arguments.pairs.set(&mut manifest, &mut Map::new());
    let folder = OutFolder::open(&arguments.out, &manifest, bundle.config.embed_dim)?;
    let workers = workers.unwrap_or_else(|| rayon::current_num_threads().min(MOST_WORKERS));
    let pool = ThreadPoolBuilder::new().num_threads(workers).build();
    let pool = pool.map_err(Failure::no_threads)?;
    let mut embedding = Embedding {
        model: &model,
        folder: &folder,
        pool: &pool,
        part_size,
        texts: arguments.texts,
        truncate: settings.truncate()?,
        stops: arguments.pairs.stops()?,
        output,
        interrupts: &interrupts,
        busy: Duration::ZERO,
    };
    let began = Instant::now();
    let mut total = Counts::default();
    for (name, source) in &sources {
        let counts = embedding.source(name, source)?;
        output.event(&Event::Embedded { source: name, embedded: counts.embedded, skipped: counts.skipped });
        total = total.plus(counts);
    }
    let seconds = began.elapsed().as_secs_f64();
    let busy = embedding.busy.as_secs_f64() / seconds.max(f64::MIN_POSITIVE);
    let path = arguments.out.display().to_string();
    output.event(&Event::EmbedDone { path: &path, embedded: total.embedded, skipped: total.skipped, busy, seconds });
    let skipped = if total.skipped > 0 { format!(", {} skipped", count(total.skipped as u64)) } else { String::new() };
    let busy = format!("the device was busy {:.0} % of the time", 100.0 * busy);
    output.result(&format!("{path}: {} embeddings{skipped}; {busy}", count(total.embedded as u64)));
    Ok(())
}
