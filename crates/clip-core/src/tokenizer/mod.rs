//! CLIP's tokenizer: text made clean, cut into words, words into byte pairs.

mod bpe;
#[cfg(test)]
mod expressions;
mod ftfy;
#[cfg(test)]
mod ftfy_expressions;
mod ftfy_tables;
mod hf;
mod html;
mod pattern;
mod seen;
mod words;

pub use bpe::Bpe;

use crate::error::{ClipError, Result};

/// Merges of the published vocabulary; the rest of OpenAI's file is unused.
pub const PUBLISHED_MERGES: usize = 49_152 - 256 - 2;

/// Tokens of the published vocabulary.
pub const PUBLISHED_VOCAB_SIZE: usize = 512 + PUBLISHED_MERGES + 2;

/// Which reference implementation's answers are given. They differ on text that needs mending, on special tokens
/// spelled out in it, and in the padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reference {
    /// `open_clip.tokenizer.SimpleTokenizer`: ftfy, entities, lower case; pads with 0.
    #[default]
    OpenClip,
    /// OpenAI's: as OpenCLIP's, but `<|startoftext|>` and `<|endoftext|>` in the text become the special tokens.
    OpenAi,
    /// Hugging Face's `CLIPTokenizer`: NFC and lower case only; pads with the end token.
    Hf,
    /// As [`Hf`](Self::Hf), with special tokens looked for after lower-casing: `tokenizer.json` files that say
    /// `"normalized": true` of them.
    HfNormalized,
}

impl Reference {
    /// `open_clip`, `openai`, `hf` or `hf_normalized`.
    ///
    /// # Errors
    /// `invalid-option` for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        [Self::OpenClip, Self::OpenAi, Self::Hf, Self::HfNormalized]
            .into_iter()
            .find(|reference| reference.name() == name)
            .ok_or_else(|| ClipError::unknown_name("tokenizer", "open_clip, openai, hf or hf_normalized", name))
    }

    /// Name of the reference.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenClip => "open_clip",
            Self::OpenAi => "openai",
            Self::Hf => "hf",
            Self::HfNormalized => "hf_normalized",
        }
    }
}

/// What follows the end token up to the context's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Id 0.
    Zero,
    /// The end token.
    End,
}

impl Padding {
    /// `zero` or `end`.
    ///
    /// # Errors
    /// `invalid-option` for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "zero" => Ok(Self::Zero),
            "end" => Ok(Self::End),
            got => Err(ClipError::unknown_name("padding", "zero or end", got)),
        }
    }

    /// Name of the padding.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::End => "end",
        }
    }

    /// As each reference pads by default.
    fn of(reference: Reference) -> Self {
        match reference {
            Reference::OpenClip | Reference::OpenAi => Self::Zero,
            Reference::Hf | Reference::HfNormalized => Self::End,
        }
    }
}

/// Text to ids.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    bpe: Bpe,
    reference: Reference,
    /// What follows the end token.
    pub padding: Padding,
    /// Words that a model has learned of, where the vocabulary was cut to them.
    seen: Option<seen::Seen>,
}

impl Tokenizer {
    /// A tokenizer from the merges of a byte-pair encoding, one `left right` a line, most frequent first; lines that
    /// start with `#version` or `"bpe_simple_vocab` are skipped, and so is what follows the published vocabulary.
    ///
    /// # Errors
    /// `invalid-tokenizer` with the line number.
    pub fn from_merges(merges: &str, reference: Reference) -> Result<Self> {
        Ok(Self { bpe: Bpe::from_merges(merges)?, reference, padding: Padding::of(reference), seen: None })
    }

    /// Size of the vocabulary: 512 bytes, the merges, start and end.
    pub fn vocab_size(&self) -> usize {
        self.bpe.vocab_size()
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
        let mut cut = Self { bpe, ..self.clone() };
        cut.remember(&ids.iter().map(|&id| renumbered[id as usize]).collect::<Vec<_>>());
        (cut, renumbered)
    }

    /// Ids of a text, start and end included, of any length.
    pub fn encode(&self, text: &str) -> Vec<i32> {
        let mut ids = vec![self.bpe.start()];
        for word in words::split(text, self.reference) {
            match word {
                words::Word::Start => ids.push(self.bpe.start()),
                words::Word::End => ids.push(self.bpe.end()),
                words::Word::Text(word) => self.bpe.encode_word(&word, &mut ids),
            }
        }
        ids.push(self.bpe.end());
        ids
    }

    /// Ids of texts, padded to `context_length`.
    ///
    /// # Shapes
    /// - output: `[texts, context_length]`, row-major
    ///
    /// # Errors
    /// `caption-too-long`, unless `truncate` is set: then the last id kept is the end token.
    pub fn tokenize<'a>(
        &self,
        texts: impl IntoIterator<Item = &'a str>,
        context_length: usize,
        truncate: bool,
    ) -> Result<Vec<i32>> {
        let pad = match self.padding {
            Padding::Zero => 0,
            Padding::End => self.bpe.end(),
        };
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
                ids.truncate(context_length);
                ids[context_length - 1] = self.bpe.end();
            }
            ids.resize(context_length, pad);
            out.extend(ids);
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
        let hf = Tokenizer { padding: Padding::of(Reference::Hf), ..tiny() };
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
