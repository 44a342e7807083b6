//! Special and added tokens, which are matched verbatim before a text is split into words, as in Hugging Face's tokenizers:
//! <https://github.com/huggingface/tokenizers/blob/v0.22.1/tokenizers/src/tokenizer/added_vocabulary.rs>.

use std::collections::HashMap;

use serde_json::{Value, json};
use unicode_normalization::char::is_combining_mark;

use super::words::normalize_hf;

/// `AddedToken` of Hugging Face's tokenizers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddedToken {
    pub(super) content: String,
    /// Does not match inside a word.
    pub(super) single_word: bool,
    /// Also matches the white space before it.
    pub(super) lstrip: bool,
    /// Also matches the white space after it.
    pub(super) rstrip: bool,
    /// Matched in the normalised text; the default is [`normalized`](Self::normalized).
    pub(super) normalized: Option<bool>,
    pub(super) special: bool,
}

impl AddedToken {
    pub(super) fn special(content: &str) -> Self {
        Self {
            content: content.to_owned(),
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: Some(false),
            special: true,
        }
    }

    /// Reads an entry of `tokenizer.json` or `added_tokens_decoder`. serde's derived code would be a hundredth of the module.
    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let flag = |key: &str| match value.get(key) {
            None | Some(Value::Null) => Some(None),
            Some(value) => value.as_bool().map(Some),
        };
        Some(Self {
            content: value.get("content")?.as_str()?.to_owned(),
            single_word: flag("single_word")?.unwrap_or_default(),
            lstrip: flag("lstrip")?.unwrap_or_default(),
            rstrip: flag("rstrip")?.unwrap_or_default(),
            normalized: flag("normalized")?,
            special: flag("special")?.unwrap_or_default(),
        })
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "content": self.content, "lstrip": self.lstrip, "normalized": self.normalized(), "rstrip": self.rstrip,
            "single_word": self.single_word, "special": self.special,
        })
    }

    pub(super) fn plain(content: &str) -> Self {
        Self { normalized: Some(true), special: false, ..Self::special(content) }
    }

    /// By default, special tokens are matched in the original text.
    fn normalized(&self) -> bool {
        self.normalized.unwrap_or(!self.special)
    }
}

/// A part of a split text.
#[derive(Debug)]
pub(super) enum Piece {
    Token(i32),
    /// Normalised text between tokens.
    Text(String),
}

/// Special and added tokens of a tokenizer, in the order in which they were added.
#[derive(Debug, Clone, Default)]
pub(super) struct AddedTokens {
    tokens: Vec<(AddedToken, i32)>,
    /// Tokens matched in the original text …
    original: Matcher,
    /// … and in the normalised text.
    normalized: Matcher,
    /// `split_special_tokens`: special tokens spelled out in a text are encoded as text.
    split_special: bool,
}

impl AddedTokens {
    /// Without tokens.
    pub(super) fn new(split_special: bool) -> Self {
        Self { split_special, ..Self::default() }
    }

    pub(super) fn splits_special(&self) -> bool {
        self.split_special
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(AddedToken, i32)> {
        self.tokens.iter()
    }

    pub(super) fn id(&self, content: &str) -> Option<i32> {
        self.tokens.iter().find(|(token, _)| token.content == content).map(|&(_, id)| id)
    }

    /// Adds tokens. Each keeps its id, if it has one here or in the vocabulary, else takes the next free one.
    pub(super) fn extend(
        &mut self,
        tokens: impl IntoIterator<Item = AddedToken>,
        in_vocabulary: impl Fn(&str) -> Option<i32>,
        vocab_size: usize,
    ) {
        for token in tokens.into_iter().filter(|token| !token.content.is_empty()) {
            let next = || self.tokens.iter().map(|&(_, id)| id + 1).fold(vocab_size as i32, i32::max);
            let id = self.id(&token.content).or_else(|| in_vocabulary(&token.content)).unwrap_or_else(next);
            match self.tokens.iter_mut().find(|(known, _)| known.content == token.content) {
                Some((known, _)) => *known = token,
                None => self.tokens.push((token, id)),
            }
        }
        let is_matched = |token: &AddedToken| !(self.split_special && token.special);
        let of = |normalized: bool| {
            let tokens = self.tokens.iter();
            Matcher::new(tokens.filter(|(token, _)| is_matched(token) && token.normalized() == normalized), normalized)
        };
        (self.original, self.normalized) = (of(false), of(true));
    }

    /// Splits a text at tokens, and normalises the text between them.
    pub(super) fn split(&self, text: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (between, id) in self.original.split(text) {
            for (between, id) in self.normalized.split(&normalize_hf(between)) {
                pieces.extend((!between.is_empty()).then(|| Piece::Text(between.to_owned())));
                pieces.extend(id.map(Piece::Token));
            }
            pieces.extend(id.map(Piece::Token));
        }
        pieces
    }
}

/// Matches tokens from left to right; at each position the longest wins. Candidates are grouped by their first character.
#[derive(Debug, Clone, Default)]
struct Matcher(HashMap<char, Vec<Candidate>>);

#[derive(Debug, Clone)]
struct Candidate {
    content: String,
    id: i32,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
}

impl Matcher {
    fn new<'a>(tokens: impl Iterator<Item = &'a (AddedToken, i32)>, normalized: bool) -> Self {
        let mut by_first: HashMap<char, Vec<Candidate>> = HashMap::new();
        for (token, id) in tokens {
            let content = if normalized { normalize_hf(&token.content) } else { token.content.clone() };
            let Some(first) = content.chars().next() else { continue };
            let AddedToken { single_word, lstrip, rstrip, .. } = *token;
            by_first.entry(first).or_default().push(Candidate { content, id: *id, single_word, lstrip, rstrip });
        }
        Self(by_first)
    }

    fn at(&self, text: &str) -> Option<&Candidate> {
        let here =
            self.0.get(&text.chars().next()?)?.iter().filter(|candidate| text.starts_with(candidate.content.as_str()));
        here.max_by_key(|candidate| candidate.content.len())
    }

    /// Splits a text into parts, each with the token that follows it; the last has none.
    fn split<'t>(&self, text: &'t str) -> Vec<(&'t str, Option<i32>)> {
        let mut parts = Vec::new();
        // end of the last token, with and without the white space that it matched
        let (mut matched, mut end) = (0, 0);
        for (at, _) in text.char_indices() {
            let Some(found) = (at >= end).then(|| self.at(&text[at..])).flatten() else { continue };
            end = at + found.content.len();
            let beside = [text[..at].chars().next_back(), text[end..].chars().next()];
            if found.single_word && beside.into_iter().flatten().any(is_word) {
                continue;
            }
            let begin = if found.lstrip { text[..at].trim_end().len() } else { at }.max(matched);
            parts.push((&text[matched..begin], Some(found.id)));
            matched = if found.rstrip { text.len() - text[end..].trim_start().len() } else { end };
        }
        parts.push((&text[matched..], None));
        parts
    }
}

/// Whether a character is part of a word, next to which a token with `single_word` does not match.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || is_combining_mark(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(tokens: Vec<AddedToken>, text: &str) -> String {
        let mut added = AddedTokens::default();
        added.extend(tokens, |content| (content == "known").then_some(7), 100);
        let show = |piece| match piece {
            Piece::Token(id) => format!("<{id}>"),
            Piece::Text(text) => text,
        };
        added.split(text).into_iter().map(show).collect()
    }

    /// Expected values are those of Hugging Face's tokenizers 0.23.
    #[test]
    fn tokens_are_matched_as_in_hugging_faces_tokenizers() {
        let token = |content: &str| AddedToken::special(content);
        let word = AddedToken { single_word: true, ..token("ab") };
        assert_eq!(split(vec![word], "ab abc xab ab. ab"), "<100> abc xab <100>. <100>");
        assert_eq!(split(vec![token("ab"), token("abc")], "xabcd abab"), "x<101>d <100><100>");
        let both = AddedToken { lstrip: true, rstrip: true, ..token("ab") };
        assert_eq!(split(vec![both, token("cd")], "x  ab   cd ab ab y"), "x<100><101><100><100>y");
        let right = AddedToken { rstrip: true, ..token("ab") };
        assert_eq!(split(vec![right, token(" cd")], "ab cd  cd"), "<100><101> <101>");
        assert_eq!(split(vec![AddedToken::plain("AB")], "xABy ab"), "x<100>y <100>");
        assert_eq!(split(vec![token("AB")], "xABy ab"), "x<100>y ab");
        assert_eq!(split(vec![AddedToken::plain("ab"), token("ab")], "AB ab"), "ab <100>");
        assert_eq!(split(vec![token("x"), token("known"), token("y")], "xknowny"), "<100><7><101>");
        assert_eq!(split(vec![token("")], "as it IS"), "as it is");
    }
}
