//! CLIP's tokenizer: text made clean, cut into words, words into byte pairs.

mod added;
mod bpe;
mod choice;
mod cleaning;
#[cfg(test)]
mod expressions;
mod ftfy;
#[cfg(test)]
mod ftfy_expressions;
mod ftfy_tables;
mod hf;
mod hf_options;
mod html;
mod open_clip;
mod pattern;
mod reference;
mod seen;
mod words;

pub use bpe::Bpe;
pub(crate) use choice::TokenizerChoice;
pub use cleaning::Cleaning;
#[cfg(test)]
pub(crate) use ftfy::fix_mojibake_of;
pub use hf::TokenizerFiles;
pub(crate) use hf::{quoted, read as read_files};
pub(crate) use hf_options::HfOptions;
pub(crate) use open_clip::OpenClipTokenizer;
pub use reference::Reference;

use added::{AddedToken, AddedTokens, Piece};

use crate::error::{ClipError, Result};

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// Merges of the published vocabulary; the rest of OpenAI's file is unused.
pub const PUBLISHED_MERGES: usize = 49_152 - 256 - 2;

/// Tokens of the published vocabulary.
pub const PUBLISHED_VOCAB_SIZE: usize = 512 + PUBLISHED_MERGES + 2;

/// Where padding goes, or what a text that is too long loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Side {
    /// Before the text.
    Left,
    /// After it.
    #[default]
    Right,
}

impl Side {
    /// Name of the side.
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }
}

/// Text to ids.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    bpe: Bpe,
    reference: Reference,
    /// Words that a model has learned of, where the vocabulary was cut to them.
    seen: Option<seen::Seen>,
    cleaning: Cleaning,
    /// Ids before and after each text, and of what fills up the context.
    start: i32,
    end: i32,
    pad: i32,
    padding_side: Side,
    truncation_side: Side,
    /// Hugging Face's: special tokens, and those added to the vocabulary.
    added: AddedTokens,
}

impl Tokenizer {
    /// A tokenizer from the merges of a byte-pair encoding, one `left right` a line, most frequent first; lines that
    /// start with `#version` or `"bpe_simple_vocab` are skipped, and so is what follows the published vocabulary.
    ///
    /// # Errors
    /// `invalid-tokenizer` with the line number.
    pub fn from_merges(merges: &str, reference: Reference) -> Result<Self> {
        Ok(Self::of(Bpe::from_merges(merges)?, reference))
    }

    /// As the reference has it by default.
    fn of(bpe: Bpe, reference: Reference) -> Self {
        let (start, end) = (bpe.start(), bpe.end());
        let is_hf = reference.is_hf();
        let mut added = AddedTokens::default();
        if is_hf {
            let normalized = Some(reference == Reference::HfNormalized);
            let special = |content| AddedToken { normalized, ..AddedToken::special(content) };
            added.extend([special(START), special(END)], |token| Some(if token == START { start } else { end }), 0);
        }
        Self {
            bpe,
            reference,
            cleaning: reference.cleaning(),
            start,
            end,
            pad: if is_hf { end } else { 0 },
            padding_side: Side::Right,
            truncation_side: Side::Right,
            added,
            seen: None,
        }
    }

    /// The same with another cleaning before it.
    #[must_use]
    pub fn with_cleaning(self, cleaning: Cleaning) -> Self {
        Self { cleaning, ..self }
    }

    /// What is done to a text first.
    pub fn cleaning(&self) -> Cleaning {
        self.cleaning
    }

    /// 512 bytes, the merges, start and end.
    pub(crate) fn base_size(&self) -> usize {
        self.bpe.vocab_size()
    }

    /// Size of the vocabulary: 512 bytes, the merges, start and end, and what was added behind them.
    pub fn vocab_size(&self) -> usize {
        self.added.iter().map(|&(_, id)| id as usize + 1).fold(self.bpe.vocab_size(), usize::max)
    }

    /// The largest id that every text has: of start, end and padding.
    pub(crate) fn largest_needed(&self) -> usize {
        [self.start, self.end, self.pad].into_iter().max().unwrap_or_default() as usize
    }

    /// The merges, one a line, as [`from_merges`](Self::from_merges) reads them.
    pub fn merges(&self) -> String {
        self.bpe.merges()
    }

    /// Spelling of every token but start and end, in the order of their ids.
    pub fn symbols(&self) -> Vec<String> {
        self.bpe.symbols()
    }

    /// Whose answers it gives.
    pub fn reference(&self) -> Reference {
        self.reference
    }

    /// A tokenizer of the merges that these ids are made of and no others, and the new id of each old one. Texts of
    /// these ids are cut into the same tokens; every other text still has a tokenization, into smaller pieces: see
    /// [`unseen_words`](Self::unseen_words).
    #[must_use]
    pub fn cut_to(&self, ids: &[i32]) -> (Self, Vec<i32>) {
        let (bpe, renumbered) = self.bpe.cut_to(ids);
        let cut = Self::of(bpe, self.reference);
        let mut cut = Self {
            cleaning: self.cleaning,
            padding_side: self.padding_side,
            truncation_side: self.truncation_side,
            seen: self.seen.clone(),
            ..cut
        };
        cut.remember(&ids.iter().map(|&id| renumbered[id as usize]).collect::<Vec<_>>());
        (cut, renumbered)
    }

    /// Ids of a text, start and end included, of any length.
    pub fn encode(&self, text: &str) -> Vec<i32> {
        let mut ids = vec![self.start];
        let clean = self.cleaning.apply(text);
        if self.reference.is_hf() {
            for piece in self.added.split(&clean) {
                match piece {
                    Piece::Token(id) => ids.push(id),
                    Piece::Text(text) => {
                        for word in words::split_hf(&text) {
                            self.bpe.encode_word(word, &mut ids);
                        }
                    }
                }
            }
        } else {
            for word in words::split(&clean, self.reference) {
                match word {
                    words::Word::Start => ids.push(self.bpe.start()),
                    words::Word::End => ids.push(self.bpe.end()),
                    words::Word::Text(word) => self.bpe.encode_word(&word, &mut ids),
                }
            }
        }
        ids.push(self.end);
        ids
    }

    /// Ids of texts, padded to `context_length`.
    ///
    /// # Shapes
    /// - output: `[texts, context_length]`, row-major
    ///
    /// # Errors
    /// `caption-too-long`, unless `truncate` is set: then a text loses its end, or its beginning where the tokenizer's config
    /// says so, and keeps the tokens around it.
    pub fn tokenize<'a>(
        &self,
        texts: impl IntoIterator<Item = &'a str>,
        context_length: usize,
        truncate: bool,
    ) -> Result<Vec<i32>> {
        let mut out = Vec::new();
        for text in texts {
            let mut ids = self.encode(text);
            if ids.len() > context_length {
                if !truncate {
                    return Err(ClipError::CaptionTooLong {
                        expected: context_length,
                        got: ids.len(),
                        text: text.chars().take(80).collect(),
                    });
                }
                match self.truncation_side {
                    Side::Right => ids.drain(context_length - 1..ids.len() - 1),
                    Side::Left => ids.drain(1..=ids.len() - context_length),
                };
            }
            let padding = core::iter::repeat_n(self.pad, context_length - ids.len());
            match self.padding_side {
                Side::Right => out.extend(ids.into_iter().chain(padding)),
                Side::Left => out.extend(padding.chain(ids)),
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Tokenizer {
        Tokenizer::from_merges("#version: 0.2\na t\na t</w>\nc at</w>\nd o\ndo g</w>\n", Reference::OpenClip).unwrap()
    }

    #[test]
    fn a_cut_vocabulary_tokenizes_its_texts_alike_and_others_still() {
        let whole = tiny();
        let (cut, renumbered) = whole.cut_to(&whole.encode("cat"));
        assert_eq!(whole.vocab_size() - cut.vocab_size(), 3, "{}", cut.merges());
        let moved = |text| whole.encode(text).iter().map(|&id| renumbered[id as usize]).collect::<Vec<_>>();
        assert_eq!(moved("Cat cat"), cut.encode("Cat cat"));
        assert_eq!((whole.encode("dog").len(), cut.encode("dog").len()), (3, 5));
        let again = Tokenizer::from_merges(&cut.merges(), Reference::OpenClip).unwrap();
        assert_eq!(again.encode("a cat"), cut.encode("a cat"));
    }

    #[test]
    fn too_long_is_refused_or_keeps_the_end() {
        let tokenizer = tiny();
        let error = tokenizer.tokenize(["dog dog dog"], 4, false).unwrap_err();
        assert!(matches!(error, ClipError::CaptionTooLong { expected: 4, got: 5, .. }), "{error}");
        let ids = tokenizer.tokenize(["dog dog dog"], 4, true).unwrap();
        assert_eq!((ids.len(), ids[3]), (4, tokenizer.encode("")[1]));
    }

    #[test]
    fn padding_follows_the_reference() {
        let hf = Tokenizer::of(tiny().bpe, Reference::Hf);
        let end = hf.encode("")[1];
        assert_eq!(hf.tokenize([""], 3, false).unwrap()[2], end);
        assert_eq!(tiny().tokenize([""], 3, false).unwrap()[2], 0);
    }

    #[test]
    fn bad_merges_are_refused_with_their_line() {
        for (merges, line) in [("a t\nx", "line 2"), ("a t\nzz y", "line 2"), ("a t\na t", "line 2")] {
            let error = Tokenizer::from_merges(merges, Reference::Hf).unwrap_err();
            assert!(error.to_string().contains(line), "{error}");
        }
    }
}
