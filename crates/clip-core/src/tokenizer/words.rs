//! Splits a text into words, as each reference does.

use unicode_normalization::UnicodeNormalization;

use super::Reference;
use super::pattern::{Pattern, pattern};

/// One word, or a special token spelled out in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    Start,
    End,
    Text(String),
}

/// Words of all references …
static WORD: Pattern = pattern!("word");
// … and what each reference tries first
static OPEN_CLIP: Pattern = pattern!("open_clip");
static OPEN_AI: Pattern = pattern!("open_ai");
static HF: Pattern = pattern!("hf");

/// Splits a cleaned text as OpenCLIP's and OpenAI's tokenizers do.
pub(super) fn split(clean: &str, reference: Reference) -> Vec<Word> {
    // U+0345 matches no part of Python's case-insensitive expression: a letter in one class, not in another
    let text = clean.replace('\u{345}', " ");
    split_by(&text, if reference == Reference::OpenAi { &OPEN_AI } else { &OPEN_CLIP }).into_iter().map(word).collect()
}

/// Splits normalised text between special tokens as Hugging Face's tokenizer does. It splits twice: a special token that appeared
/// only by lower-casing becomes three words.
pub(super) fn split_hf(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for word in split_by(text, &HF) {
        match word.strip_prefix("<|").and_then(|rest| rest.strip_suffix("|>")) {
            Some(name) if !name.is_empty() => words.extend(["<|", name, "|>"]),
            _ => words.push(word),
        }
    }
    words
}

fn split_by<'t>(text: &'t str, first: &Pattern) -> Vec<&'t str> {
    let mut words = Vec::new();
    let mut from = 0;
    while let Some(c) = text[from..].chars().next() {
        match first.match_at(text, from).or_else(|| WORD.match_at(text, from)) {
            Some(end) => {
                words.push(&text[from..end]);
                from = end;
            }
            // white space
            None => from += c.len_utf8(),
        }
    }
    words
}

fn word(text: &str) -> Word {
    match text {
        "<start_of_text>" | "<|startoftext|>" => Word::Start,
        "<end_of_text>" | "<|endoftext|>" => Word::End,
        _ => Word::Text(text.into()),
    }
}

/// The normalizer of `CLIPTokenizer`'s `tokenizer.json`: NFC, then each character to lower case by itself.
pub(super) fn normalize_hf(text: &str) -> String {
    text.nfc().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, reference: Reference) -> Vec<String> {
        split(text, reference).into_iter().map(|w| if let Word::Text(t) = w { t } else { format!("{w:?}") }).collect()
    }

    #[test]
    fn contractions_digits_and_punctuation_are_words() {
        assert_eq!(texts("don't stop: 42!!", Reference::OpenClip), ["don", "'t", "stop", ":", "4", "2", "!!"]);
    }

    #[test]
    fn each_reference_has_its_own_special_tokens() {
        let text = "a<|endoftext|>b<end_of_text>";
        assert_eq!(texts(text, Reference::OpenClip), ["a", "<|", "endoftext", "|>", "b", "End"]);
        assert_eq!(texts(text, Reference::OpenAi), ["a", "End", "b", "<", "end", "_", "of", "_", "text", ">"]);
        assert_eq!(
            split_hf("a<|endoftext|>. !<|endoftext|>."),
            ["a", "<|", "endoftext", "|>", ".", "!<|", "endoftext", "|>."]
        );
    }
}
