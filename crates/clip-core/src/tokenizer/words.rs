//! Text to words, as each reference cleans and cuts it.

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

/// The words of all references …
static WORD: Pattern = pattern!("word");
// … and what goes before them in each
static OPEN_CLIP: Pattern = pattern!("open_clip");
static OPEN_AI: Pattern = pattern!("open_ai");
static HF: Pattern = pattern!("hf");

/// Words of a text as OpenCLIP's and OpenAI's own tokenizers cut it, once it is clean.
pub(super) fn split(clean: &str, reference: Reference) -> Vec<Word> {
    // no part of Python's expression matches U+0345, which it takes for a letter and for none where case does not count
    let text = clean.replace('\u{345}', " ");
    cut(&text, if reference == Reference::OpenAi { &OPEN_AI } else { &OPEN_CLIP }).into_iter().map(word).collect()
}

/// Words of a text between special tokens, normalised, as Hugging Face's tokenizer cuts it. It cuts twice, so that a special
/// token that only lower case made becomes three words.
pub(super) fn split_hf(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for word in cut(text, &HF) {
        match word.strip_prefix("<|").and_then(|rest| rest.strip_suffix("|>")) {
            Some(name) if !name.is_empty() => words.extend(["<|", name, "|>"]),
            _ => words.push(word),
        }
    }
    words
}

fn cut<'t>(text: &'t str, first: &Pattern) -> Vec<&'t str> {
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
    fn contractions_digits_and_signs_stand_alone() {
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
