//! The words of the captions that a vocabulary was cut to. Any other word still has tokens, but the model has learned nothing of
//! them together: it answers with confidence, and at random.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Tokenizer;
use super::bpe::{WORD_END, byte_alphabet};

/// Words as the byte-pair encoding spells them: a printable stand-in a byte, so that none holds white space.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<BTreeSet<String>>);

impl Tokenizer {
    /// The words between the start and the end tokens of some ids, in their order; not one that the context cut short.
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
                // what follows the end token is padding
                (Some(_), None) => {}
                (None, _) => word = (id != self.end).then(String::new),
            }
        }
        words
    }

    /// Takes captions, as ids, for those that a model learns from.
    pub(super) fn remember(&mut self, ids: &[i32]) {
        let words = self.words(ids);
        Arc::make_mut(&mut self.seen.get_or_insert_default().0).extend(words);
    }

    /// The same for more captions of a model whose vocabulary was cut; nothing for others.
    pub fn remember_more(&mut self, ids: &[i32]) {
        if self.seen.is_some() {
            self.remember(ids);
        }
    }

    /// The words of the captions that the vocabulary was cut to, a space between two; nothing where it was not cut.
    pub fn seen_words(&self) -> Option<String> {
        let words: Vec<&str> = self.seen.as_ref()?.0.iter().map(String::as_str).collect();
        Some(words.join(" "))
    }

    /// Takes up what [`seen_words`](Self::seen_words) gave.
    pub fn set_seen_words(&mut self, words: &str) {
        self.seen = Some(Seen(Arc::new(words.split_whitespace().map(str::to_owned).collect())));
    }

    /// Whether the vocabulary was cut to captions.
    pub fn is_cut(&self) -> bool {
        self.seen.is_some()
    }

    /// Words of texts that no caption had to which the vocabulary was cut, each once; none where it was not cut.
    pub fn unseen_words<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let Some(Seen(seen)) = &self.seen else { return Vec::new() };
        let ids: Vec<i32> = texts.into_iter().flat_map(|text| self.encode(text)).collect();
        let mut told = BTreeSet::new();
        let unseen = self.words(&ids).into_iter().filter(|word| !seen.contains(word) && told.insert(word.clone()));
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
    fn words_that_no_caption_had_are_named_whatever_they_are_cut_into() {
        for reference in [Reference::OpenClip, Reference::OpenAi, Reference::Hf, Reference::HfNormalized] {
            let cut = cut_to(&["A cat, 7 Grüße", "dog"], 24, reference);
            let unseen = |text: &str| cut.unseen_words([text]);
            assert_eq!(unseen("the CAT and a dog; grüße, 77"), ["the", "and", ";"], "{reference:?}");
            // a part of "cat" and of its merges: a token of its own that never stood alone; and padding is no caption
            assert_eq!(unseen("at c ! Straße at"), ["at", "c", "!", "straße"], "{reference:?}");
            assert!(cut.is_cut());
            assert_eq!(cut.unseen_words(["zebra", "a zebra"]), ["zebra"]);
            assert!(unseen("").is_empty());
        }
    }

    #[test]
    fn a_word_that_the_context_cut_short_was_not_seen() {
        let cut = cut_to(&["a xyz", "xyz"], 5, Reference::OpenClip);
        assert_eq!(cut.unseen_words(["a xyz xy x"]), ["xy", "x"]);
        let cut = cut_to(&["a xyz"], 5, Reference::OpenClip);
        assert_eq!(cut.unseen_words(["a xyz xy x"]), ["xyz", "xy", "x"]);
    }

    #[test]
    fn they_are_kept_as_text_and_more_captions_add_to_them() {
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
