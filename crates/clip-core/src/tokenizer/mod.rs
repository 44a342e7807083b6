//! CLIP's tokenizer: cleans a text, splits it into words, and encodes them as byte pairs.

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
mod tokenize;
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
pub use tokenize::Tokenize;

use added::{AddedToken, AddedTokens, Piece};

use crate::error::{ClipError, Result};

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// Merges of the published vocabulary; OpenAI's file has more, which are not used.
pub const PUBLISHED_MERGES: usize = 49_152 - 256 - 2;

/// Tokens of the published vocabulary.
pub const PUBLISHED_VOCAB_SIZE: usize = 512 + PUBLISHED_MERGES + 2;

/// Side of padding or of truncation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Side {
    /// The start of the text.
    Left,
    /// The end of the text.
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

/// Converts texts to ids.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    bpe: Bpe,
    reference: Reference,
    /// Words of the captions that the vocabulary was cut to; `None` if it was not.
    seen: Option<seen::Seen>,
    cleaning: Cleaning,
    /// Ids of the start, end and padding tokens.
    start: i32,
    end: i32,
    pad: i32,
    padding_side: Side,
    truncation_side: Side,
    /// Special and added tokens of Hugging Face's tokenizers.
    added: AddedTokens,
}

impl Tokenizer {
    /// Reads the merges of a byte-pair encoding, one `left right` per line, most frequent first. A first line that starts with
    /// `#version` or `"bpe_simple_vocab` is skipped, as are lines after the published vocabulary.
    ///
    /// # Errors
    /// `invalid-tokenizer` with the line number.
    pub fn from_merges(merges: &str, reference: Reference) -> Result<Self> {
        Ok(Self::with_bpe(Bpe::from_merges(merges)?, reference))
    }

    /// A tokenizer with the reference's defaults.
    fn with_bpe(bpe: Bpe, reference: Reference) -> Self {
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

    /// Returns the tokenizer with another cleaning.
    #[must_use]
    pub fn with_cleaning(self, cleaning: Cleaning) -> Self {
        Self { cleaning, ..self }
    }

    /// Cleaning of texts before they are split.
    pub fn cleaning(&self) -> Cleaning {
        self.cleaning
    }

    /// Size of the vocabulary without added tokens: 512 bytes, the merges, start and end.
    pub(crate) fn base_size(&self) -> usize {
        self.bpe.vocab_size()
    }

    /// Size of the vocabulary, including added tokens.
    pub fn vocab_size(&self) -> usize {
        self.added.iter().map(|&(_, id)| id as usize + 1).fold(self.bpe.vocab_size(), usize::max)
    }

    /// Largest of the ids that every text needs: start, end and padding.
    pub(crate) fn largest_needed(&self) -> usize {
        [self.start, self.end, self.pad].into_iter().max().unwrap_or_default() as usize
    }

    /// Merges, one per line, as [`from_merges`](Self::from_merges) reads them.
    pub fn merges(&self) -> String {
        self.bpe.merges()
    }

    /// Spellings of all tokens but start and end, by id.
    pub fn symbols(&self) -> Vec<String> {
        self.bpe.symbols()
    }

    /// Reference implementation that this tokenizer follows.
    pub fn reference(&self) -> Reference {
        self.reference
    }

    /// Cuts the vocabulary to the merges that these ids need. Also returns the new id of each old one. The texts of these ids keep
    /// their tokens; other texts are split into smaller ones, see [`unseen_words`](Self::unseen_words).
    #[must_use]
    pub fn cut_to(&self, ids: &[i32]) -> (Self, Vec<i32>) {
        let (bpe, renumbered) = self.bpe.cut_to(ids);
        let cut = Self::with_bpe(bpe, self.reference);
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

    /// Encodes a text with start and end tokens, without padding or truncation.
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

    /// Encodes texts and pads them to `context_length`.
    ///
    /// # Shapes
    /// - output: `[texts, context_length]`, row-major
    ///
    /// # Errors
    /// `caption-too-long`, unless `truncate` is set: then a long text is truncated at its end, or at its start if the tokenizer's
    /// config says so, and keeps its start and end tokens.
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
    fn a_cut_vocabulary_keeps_the_tokens_of_its_texts_and_encodes_others() {
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
    fn long_texts_are_refused_or_truncated_before_the_end_token() {
        let tokenizer = tiny();
        let error = tokenizer.tokenize(["dog dog dog"], 4, false).unwrap_err();
        assert!(matches!(error, ClipError::CaptionTooLong { expected: 4, got: 5, .. }), "{error}");
        let ids = tokenizer.tokenize(["dog dog dog"], 4, true).unwrap();
        assert_eq!((ids.len(), ids[3]), (4, tokenizer.encode("")[1]));
    }

    #[test]
    fn padding_follows_the_reference() {
        let hf = Tokenizer::with_bpe(tiny().bpe, Reference::Hf);
        let end = hf.encode("")[1];
        assert_eq!(hf.tokenize([""], 3, false).unwrap()[2], end);
        assert_eq!(tiny().tokenize([""], 3, false).unwrap()[2], 0);
    }

    #[test]
    fn invalid_merges_are_refused_with_their_line() {
        for (merges, line) in [("a t\nx", "line 2"), ("a t\nzz y", "line 2"), ("a t\na t", "line 2")] {
            let error = Tokenizer::from_merges(merges, Reference::Hf).unwrap_err();
            assert!(error.to_string().contains(line), "{error}");
        }
    }
}
