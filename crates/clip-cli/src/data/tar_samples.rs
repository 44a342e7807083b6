//! Groups consecutive members of a tar file by key, as the `webdataset` library does.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::folder::{composed, split_path};
use super::location::Location;
use super::sample::{CaptionOptions, Image, Sample, Sink, head, is_notice};
use super::sniff::Inspection;
use crate::exit::Result;

/// A member that is an image or a caption, or should be one.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: String,
    /// Everything after the first dot of the file name, in lower case.
    pub(super) suffix: String,
    pub(super) inspection: Inspection,
    pub(super) bytes: Vec<u8>,
    /// First byte in the tar file, if that is not compressed.
    pub(super) at: Option<u64>,
}

/// Order in which OpenCLIP looks for the image of a sample (`data.py`: `image="jpg;png;jpeg;webp"`); other formats follow.
const ORDER: [&str; 4] = ["jpg", "png", "jpeg", "webp"];

/// Splits the name of a member as `base_plus_ext` of webdataset 1.0.2 does, except that a name without a dot is its own key.
pub(super) fn split_name(name: &str) -> (String, String) {
    let base = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[base..].find('.') {
        Some(dot) if dot > 0 => (composed(&name[..base + dot]), name[base + dot + 1..].to_lowercase()),
        _ => (composed(name), String::new()),
    }
}

/// Whether a member is hidden, a file that a system adds to archives, or WebDataset's own (`__index__`).
pub(super) fn is_hidden(name: &str) -> bool {
    let first = name.split('/').next().unwrap_or_default();
    let is_own = first.len() >= 4 && first.starts_with("__") && first.ends_with("__");
    is_own || name.split('/').any(|part| part == "__MACOSX" || part.starts_with('.') && ![".", ".."].contains(&part))
}

fn names_of(parts: &[&Part]) -> String {
    let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    head(&names.join(", "), 400)
}

/// Groups parts into samples: consecutive ones with the same key. Links and names without a dot have no key in webdataset; they do not
/// separate the members of a sample.
pub(super) struct Samples<'a> {
    shard: Arc<Location>,
    options: CaptionOptions<'a>,
    key: Option<String>,
    parts: Vec<Part>,
    /// Suffixes of the parts.
    suffixes: HashSet<String>,
    loose: Vec<Part>,
}

impl<'a> Samples<'a> {
    pub(super) fn new(shard: Arc<Location>, options: CaptionOptions<'a>) -> Self {
        Self { shard, options, key: None, parts: Vec::new(), suffixes: HashSet::new(), loose: Vec::new() }
    }

    /// Adds a member with a key; passes on the sample that it ends.
    ///
    /// # Errors
    /// Those of the sink.
    pub(super) fn add(&mut self, key: String, part: Option<Part>, sink: &mut Sink<'_>) -> Result<()> {
        if self.key.as_ref() != Some(&key) {
            self.end(Some(&key), sink)?;
        }
        self.key = Some(key);
        if let Some(part) = part {
            let part = self.needed(part);
            self.parts.push(part);
        }
        Ok(())
    }

    /// A part without bytes that no pair takes: those of names with more dots, and of a second one with the same suffix. Without
    /// end, members of one key do not fill the memory.
    fn needed(&mut self, mut part: Part) -> Part {
        if part.suffix.contains('.') || !self.suffixes.insert(part.suffix.clone()) {
            part.bytes = Vec::new();
        }
        part
    }

    /// Adds a member without a key of its own.
    pub(super) fn add_loose(&mut self, key: &str, part: Part) {
        if self.key.as_deref() == Some(key) {
            let part = self.needed(part);
            self.parts.push(part);
        } else {
            self.loose.push(part);
        }
    }

    /// Passes on the current sample when one with the key `next` begins, or at the end.
    ///
    /// # Errors
    /// Those of the sink.
    pub(super) fn end(&mut self, next: Option<&str>, sink: &mut Sink<'_>) -> Result<()> {
        let parts = std::mem::take(&mut self.parts);
        self.suffixes.clear();
        if let Some(key) = self.key.take() {
            self.sample(&key, parts, sink)?;
        }
        for part in std::mem::take(&mut self.loose) {
            let (key, _) = split_name(&part.name);
            if next == Some(key.as_str()) {
                let part = self.needed(part);
                self.parts.push(part);
            } else {
                self.sample(&key, vec![part], sink)?;
            }
        }
        Ok(())
    }

    fn image(&self, part: &mut Part) -> Image {
        let bytes = std::mem::take(&mut part.bytes);
        match part.at {
            Some(at) => Image::Member { shard: self.shard.clone(), at, length: bytes.len(), bytes: Some(bytes) },
            None => Image::Bytes(bytes.into()),
        }
    }

    /// Passes on the pair of a sample, and errors for the rest of it.
    fn sample(&self, key: &str, parts: Vec<Part>, sink: &mut Sink<'_>) -> Result<()> {
        let (mut plain, dotted): (Vec<Part>, Vec<Part>) =
            parts.into_iter().partition(|part| !part.suffix.contains('.'));
        let mut suffixes = HashSet::new();
        let is_twice = plain.iter().any(|part| !suffixes.insert(part.suffix.as_str()));
        if is_twice {
            sink(Sample::bad(key, format!("duplicate names: {}", names_of(&plain.iter().collect::<Vec<_>>()))))?;
        }
        let caption_at = plain.iter().position(|part| !part.inspection.is_image);
        let caption = caption_at.map(|at| plain.remove(at));
        let mut images: Vec<Part> = plain.into_iter().filter(|part| part.inspection.is_image).collect();
        images.sort_by_key(|part| {
            let rank = ORDER.iter().position(|suffix| *suffix == part.suffix).unwrap_or(ORDER.len());
            (part.inspection.problem.is_some(), rank)
        });
        let whole = caption.is_some() && !images.is_empty();
        let mut images = images.into_iter();
        let image = images.next();
        let first = image.as_ref().map(|part| part.name.clone()).unwrap_or_default();
        let problem = |part: &Option<Part>| {
            part.as_ref().and_then(|part| Some(format!("{}: {}", part.name, part.inspection.problem.as_ref()?)))
        };
        if is_twice {
            return self.dotted(key, &dotted, whole, sink);
        }
        match (problem(&image).or_else(|| problem(&caption)), image, caption) {
            (Some(problem), ..) => sink(Sample::bad(key, problem))?,
            (None, Some(mut image), Some(caption)) => {
                sink(Sample::of_text(key, self.image(&mut image), &caption.bytes, self.options))?;
            }
            (None, Some(_), None) => sink(Sample::bad(key, "image without a caption (.txt)"))?,
            (None, None, Some(caption)) if !is_notice(&caption.name) => {
                sink(Sample::bad(key, "caption without an image (.png, .jpg, .webp)"))?;
            }
            _ => {}
        }
        for Part { name, inspection, .. } in images {
            let problem = inspection.problem.map_or(String::new(), |problem| format!(": {problem}"));
            sink(Sample::bad(&name, format!("more than one image in the sample: {first} and {name}{problem}")))?;
        }
        self.dotted(key, &dotted, whole, sink)
    }

    /// Passes on errors for images and captions with more than one dot in their names: their keys differ.
    fn dotted(&self, key: &str, parts: &[Part], whole: bool, sink: &mut Sink<'_>) -> Result<()> {
        let mut stems: Vec<(&str, Vec<&Part>)> = Vec::new();
        let mut at: HashMap<&str, usize> = HashMap::new();
        for part in parts {
            let (stem, _) = split_path(&part.name);
            let at = *at.entry(stem).or_insert(stems.len());
            if at == stems.len() {
                stems.push((stem, Vec::new()));
            }
            stems[at].1.push(part);
        }
        for (stem, alike) in stems {
            let both =
                alike.iter().any(|part| part.inspection.is_image) && alike.iter().any(|part| !part.inspection.is_image);
            let notices = alike.iter().all(|part| !part.inspection.is_image && is_notice(&part.name));
            // 0001.depth.png beside 0001.png and 0001.txt is a further image of that sample
            if whole && !both || notices {
                continue;
            }
            let reason = format!("the key {} ends at the first dot of the file name", head(key, 200));
            let advice = "remove other dots than that of the extension";
            sink(Sample::bad(stem, format!("no sample: {}: {reason}; {advice}", names_of(&alike))))?;
        }
        Ok(())
    }
}
