//! Tokens that a text holds as they are: special ones, and those that were added to a vocabulary. They are found before the
//! text is cut into words, as Hugging Face's tokenizers find them:
//! <https://github.com/huggingface/tokenizers/blob/v0.22.1/tokenizers/src/tokenizer/added_vocabulary.rs>.

use std::collections::HashMap;

use serde_json::{Value, json};
use unicode_normalization::char::is_combining_mark;

use super::words::normalize_hf;

/// `AddedToken` of Hugging Face's tokenizers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddedToken {
    pub(super) content: String,
    /// Not found within a word.
    pub(super) single_word: bool,
    /// Takes the white space before it.
    pub(super) lstrip: bool,
    /// Takes the white space after it.
    pub(super) rstrip: bool,
    /// Looked for in the normalised text. Left out, as [`normalized`](Self::normalized) says.
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

    /// As `tokenizer.json` and `added_tokens_decoder` spell it. By hand: what serde derives is a hundredth of the module.
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

    /// Special ones are looked for in the text as it came, unless they say otherwise.
    fn normalized(&self) -> bool {
        self.normalized.unwrap_or(!self.special)
    }
}

/// A stretch of a text.
#[derive(Debug)]
pub(super) enum Piece {
    Token(i32),
    /// Normalised.
    Text(String),
}

/// All that a tokenizer has, in the order in which they were added.
#[derive(Debug, Clone, Default)]
pub(super) struct AddedTokens {
    tokens: Vec<(AddedToken, i32)>,
    /// Those that are looked for in the text as it came …
    early: Finder,
    /// … and those that are looked for once it is normalised.
    late: Finder,
    /// Special tokens spelled out in a text are text: `split_special_tokens`.
    split_special: bool,
}

impl AddedTokens {
    /// None yet.
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

    /// Adds tokens, each with the id that it has already or in the vocabulary, or else the next one behind them all.
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
        let found = |token: &AddedToken| !(self.split_special && token.special);
        let of = |late: bool| {
            Finder::new(self.tokens.iter().filter(|(token, _)| found(token) && token.normalized() == late), late)
        };
        (self.early, self.late) = (of(false), of(true));
    }

    /// The tokens in a text, and what stands between them, normalised.
    pub(super) fn split(&self, text: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (between, id) in self.early.split(text) {
            for (between, id) in self.late.split(&normalize_hf(between)) {
                pieces.extend((!between.is_empty()).then(|| Piece::Text(between.to_owned())));
                pieces.extend(id.map(Piece::Token));
            }
            pieces.extend(id.map(Piece::Token));
        }
        pieces
    }
}

/// Finds tokens in a text, from left to right; the longest of those that begin at one place.
#[derive(Debug, Clone, Default)]
struct Finder(HashMap<char, Vec<Candidate>>);

#[derive(Debug, Clone)]
struct Candidate {
    content: String,
    id: i32,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
}

impl Finder {
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

    /// Stretches of a text, each with the token that ends it; the last has none.
    fn split<'t>(&self, text: &'t str) -> Vec<(&'t str, Option<i32>)> {
        let mut stretches = Vec::new();
        // where the last token ended, with the white space that it took, and where its own characters did
        let (mut taken, mut end) = (0, 0);
        for (at, _) in text.char_indices() {
            let Some(found) = (at >= end).then(|| self.at(&text[at..])).flatten() else { continue };
            end = at + found.content.len();
            let beside = [text[..at].chars().next_back(), text[end..].chars().next()];
            if found.single_word && beside.into_iter().flatten().any(is_word) {
                continue;
            }
            let begin = if found.lstrip { text[..at].trim_end().len() } else { at }.max(taken);
            stretches.push((&text[taken..begin], Some(found.id)));
            taken = if found.rstrip { text.len() - text[end..].trim_start().len() } else { end };
        }
        stretches.push((&text[taken..], None));
        stretches
    }
}

/// What belongs to a word, next to which a token of `single_word` does not count.
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

    /// Each as Hugging Face's tokenizers 0.23 answers.
    #[test]
    fn tokens_are_found_as_hugging_face_finds_them() {
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
