//! Text to words, as each reference cleans and cuts it.

use unicode_normalization::UnicodeNormalization;

use super::Reference;
use super::ftfy::fix_text;
use super::html;
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
static HF_SPECIAL: Pattern = pattern!("hf_special");

pub(super) fn split(text: &str, reference: Reference) -> Vec<Word> {
    match reference {
        Reference::OpenClip => cut(&clean(text), &OPEN_CLIP),
        Reference::OpenAi => cut(&clean(text), &OPEN_AI),
        // special tokens are taken out before the text is normalised, so only this spelling counts
        Reference::Hf => around_specials(text, normalize_hf),
        Reference::HfNormalized => around_specials(&normalize_hf(text), str::to_owned),
    }
}

fn around_specials(text: &str, normalize: impl Fn(&str) -> String) -> Vec<Word> {
    let mut words = Vec::new();
    let mut from = 0;
    for special in HF_SPECIAL.find_iter(text) {
        words.extend(cut(&normalize(&text[from..special.start]), &HF));
        words.push(word(&text[special.clone()]));
        from = special.end;
    }
    words.extend(cut(&normalize(&text[from..]), &HF));
    words
}

fn cut(text: &str, first: &Pattern) -> Vec<Word> {
    let mut words = Vec::new();
    let mut from = 0;
    while let Some(c) = text[from..].chars().next() {
        match first.match_at(text, from).or_else(|| WORD.match_at(text, from)) {
            Some(end) => {
                words.push(word(&text[from..end]));
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

/// `_clean_lower` of <https://github.com/mlfoundations/open_clip/blob/v3.3.0/src/open_clip/tokenizer.py>; white space
/// needs no collapsing, as words never hold any.
fn clean(text: &str) -> String {
    let fixed = fix_text(text);
    let unescaped = html::unescape(&fixed);
    let twice = html::unescape(&unescaped);
    // Python takes the separators 1C to 1F for white space; and no part of its expression matches U+0345, which it takes for a
    // letter and for none where case does not count
    let spaced = twice.replace(|c: char| c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}' | '\u{345}'), " ");
    spaced.to_lowercase()
}

/// The normalizer of `CLIPTokenizer`'s `tokenizer.json`: NFC, then each character to lower case by itself.
fn normalize_hf(text: &str) -> String {
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
        assert_eq!(texts("Don't stop: 42!!", Reference::OpenClip), ["don", "'t", "stop", ":", "4", "2", "!!"]);
    }

    #[test]
    fn each_reference_has_its_own_special_tokens() {
        let text = "a<|endoftext|>b<end_of_text>";
        assert_eq!(texts(text, Reference::OpenClip), ["a", "<|", "endoftext", "|>", "b", "End"]);
        assert_eq!(texts(text, Reference::OpenAi), ["a", "End", "b", "<", "end", "_", "of", "_", "text", ">"]);
        assert_eq!(texts("A<|ENDOFTEXT|>", Reference::Hf), ["a", "<|", "endoftext", "|>"]);
        assert_eq!(texts("A<|ENDOFTEXT|>", Reference::HfNormalized), ["a", "End"]);
    }
}
