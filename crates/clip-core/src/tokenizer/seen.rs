//! Words of the captions that a vocabulary was cut to. Other words still have tokens, but the model was not trained on their
//! combination: its embeddings are then arbitrary, without looking so.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Tokenizer;
use super::bpe::{WORD_END, byte_alphabet};

/// Words in the printable characters of the byte-pair encoding, which have no white space.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<BTreeSet<String>>);

impl Tokenizer {
    /// Decodes the words between start and end tokens, in order. A word that truncation split is left out.
    fn words(&self, ids: &[i32]) -> Vec<String> {
        let (symbols, mut words, mut word) = (self.symbols(), Vec::new(), None);
        for &id in ids {
            match (symbols.get(id as usize), &mut word) {
                (Some(symbol), Some(spelled)) => {
                    String::push_str(spelled, symbol);
                    if let Some(whole) = spelled.strip_suffix(WORD_END) {
                        words.push(whole.to_owned());
                        spelled.clear();
                    }
                }
                // padding after the end token
                (Some(_), None) => {}
                (None, _) => word = (id != self.end).then(String::new),
            }
        }
        words
    }

    /// Adds the words of training captions, given as ids.
    pub(super) fn remember(&mut self, ids: &[i32]) {
        let words = self.words(ids);
        Arc::make_mut(&mut self.seen.get_or_insert_default().0).extend(words);
    }

    /// Adds the words of further training captions, if the vocabulary was cut.
    pub fn remember_more(&mut self, ids: &[i32]) {
        if self.seen.is_some() {
            self.remember(ids);
        }
    }

    /// Words of the training captions, separated by spaces; `None` if the vocabulary was not cut.
    pub fn seen_words(&self) -> Option<String> {
        let words: Vec<&str> = self.seen.as_ref()?.0.iter().map(String::as_str).collect();
        Some(words.join(" "))
    }

    /// Restores what [`seen_words`](Self::seen_words) returned.
    pub fn set_seen_words(&mut self, words: &str) {
        self.seen = Some(Seen(Arc::new(words.split_whitespace().map(str::to_owned).collect())));
    }

    /// Whether the vocabulary was cut to captions.
    pub fn is_cut(&self) -> bool {
        self.seen.is_some()
    }

    /// Words of texts that no training caption had, each once; empty if the vocabulary was not cut.
    pub fn unseen_words<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let Some(Seen(seen)) = &self.seen else { return Vec::new() };
        let ids: Vec<i32> = texts.into_iter().flat_map(|text| self.encode(text)).collect();
        let mut unique = BTreeSet::new();
        let unseen = self.words(&ids).into_iter().filter(|word| !seen.contains(word) && unique.insert(word.clone()));
        let alphabet = byte_alphabet();
        let byte = |c: char| alphabet.iter().find(|&&(_, stand_in)| stand_in == c).map(|&(byte, _)| byte);
        let text = |word: String| String::from_utf8_lossy(&word.chars().filter_map(byte).collect::<Vec<u8>>()).into();
        unseen.map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reference;
    use super::*;

    fn cut_to(captions: &[&str], context_length: usize, reference: Reference) -> Tokenizer {
        let merges = "#version: 0.2\na t\na t</w>\nc at</w>\nd o\ndo g</w>\n";
        let whole = Tokenizer::from_merges(merges, reference).unwrap();
        whole.cut_to(&whole.tokenize(captions.iter().copied(), context_length, true).unwrap()).0
    }

    #[test]
    fn words_that_no_caption_had_are_named_whatever_their_tokens() {
        for reference in [Reference::OpenClip, Reference::OpenAi, Reference::Hf, Reference::HfNormalized] {
            let cut = cut_to(&["A cat, 7 Grüße", "dog"], 24, reference);
            let unseen = |text: &str| cut.unseen_words([text]);
            assert_eq!(unseen("the CAT and a dog; grüße, 77"), ["the", "and", ";"], "{reference:?}");
            // tokens of seen words ("at" of "cat") are not seen words, nor is padding
            assert_eq!(unseen("at c ! Straße at"), ["at", "c", "!", "straße"], "{reference:?}");
            assert!(cut.is_cut());
            assert_eq!(cut.unseen_words(["zebra", "a zebra"]), ["zebra"]);
            assert!(unseen("").is_empty());
        }
    }

    #[test]
    fn a_truncated_word_was_not_seen() {
        let cut = cut_to(&["a xyz", "xyz"], 5, Reference::OpenClip);
        assert_eq!(cut.unseen_words(["a xyz xy x"]), ["xy", "x"]);
        let cut = cut_to(&["a xyz"], 5, Reference::OpenClip);
        assert_eq!(cut.unseen_words(["a xyz xy x"]), ["xyz", "xy", "x"]);
    }

    #[test]
    fn seen_words_round_trip_and_grow_with_more_captions() {
        let cut = cut_to(&["a cat"], 8, Reference::OpenClip);
        let mut again = Tokenizer::from_merges(&cut.merges(), Reference::OpenClip).unwrap();
        again.remember_more(&cut.encode("a dog"));
        assert_eq!((again.seen_words(), again.unseen_words(["zebra"]).len()), (None, 0));
        again.set_seen_words(&cut.seen_words().unwrap());
        assert_eq!(again.unseen_words(["a cat, a dog"]), [",", "dog"]);
        again.remember_more(&again.encode("a dog"));
        assert_eq!(again.unseen_words(["a cat, a dog"]), [","]);
        assert_eq!(cut.unseen_words(["a dog"]), ["dog"]);
    }
}
