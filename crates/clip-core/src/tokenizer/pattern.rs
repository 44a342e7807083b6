//! Regular expressions, compiled to automata by `build.rs`.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use regex_automata::dfa::{Automaton, sparse::DFA};
use regex_automata::{Anchored, Input};

/// A pattern of `expressions.rs`, by name.
macro_rules! pattern {
    ($name:literal) => {
        $crate::tokenizer::pattern::Pattern(std::sync::LazyLock::new(|| {
            $crate::tokenizer::pattern::automaton(include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".dfa")))
        }))
    };
}
pub(super) use pattern;

/// Has the matches of the `regex` crate.
pub(super) struct Pattern(pub(super) LazyLock<DFA<&'static [u8]>>);

/// Reads an automaton that `build.rs` wrote.
#[expect(clippy::unwrap_used, reason = "written by this build; the tests read all of them")]
pub(super) fn automaton(bytes: &'static [u8]) -> DFA<&'static [u8]> {
    DFA::from_bytes(bytes).unwrap().0
}

impl Pattern {
    /// Returns the end of a match that starts at `start`.
    pub(super) fn match_at(&self, text: &str, start: usize) -> Option<usize> {
        let input = Input::new(text).range(start..).anchored(Anchored::Yes);
        // fails only at quit bytes, which no automaton has
        self.0.try_search_fwd(&input).ok()?.map(|end| end.offset())
    }

    /// Returns the first match that starts at `from` or later.
    pub(super) fn find_at(&self, text: &str, from: usize) -> Option<Range<usize>> {
        let starts = text[from..].char_indices().map(|(offset, _)| from + offset);
        starts.into_iter().find_map(|start| Some(start..self.match_at(text, start)?))
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.find_at(text, 0).is_some()
    }

    /// Iterates over all matches, which do not overlap.
    pub(super) fn find_iter(&self, text: &str) -> impl Iterator<Item = Range<usize>> {
        let mut from = 0;
        core::iter::from_fn(move || {
            let found = self.find_at(text, from)?;
            from = found.end;
            Some(found)
        })
    }

    /// Replaces each match.
    pub(super) fn replace_all<'t>(&self, text: &'t str, replace: impl Fn(&str) -> String) -> Cow<'t, str> {
        let mut out = String::new();
        let mut copied = 0;
        for found in self.find_iter(text) {
            out.push_str(&text[copied..found.start]);
            out.push_str(&replace(&text[found.clone()]));
            copied = found.end;
        }
        if copied == 0 {
            return text.into();
        }
        out.push_str(&text[copied..]);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};
    use regex::Regex;

    use super::*;
    use crate::tokenizer::expressions::EXPRESSIONS;

    static PATTERNS: [Pattern; 10] = [
        pattern!("word"),
        pattern!("hf"),
        pattern!("open_clip"),
        pattern!("open_ai"),
        pattern!("html_reference"),
        pattern!("entity"),
        pattern!("terminal_escape"),
        pattern!("badness"),
        pattern!("utf8_detector"),
        pattern!("utf8_continuation"),
    ];

    /// Parts of random texts, chosen to match or nearly match the expressions.
    const PIECES: [&str; 40] = [
        "a",
        "Z",
        "é",
        "Ã",
        "©",
        "â",
        "€",
        "œ",
        "ſ",
        "漢",
        "ा",
        "١",
        "7",
        "½",
        "'",
        "s",
        "S",
        "'ll",
        "'RE",
        "<",
        "|>",
        "<|startoftext|>",
        "<End_of_Text>",
        "&",
        "&amp;",
        "&#x",
        "3F",
        ";",
        "#",
        " ",
        "\n",
        "\u{85}",
        "\u{a0}",
        "\u{1b}[",
        "1;2",
        "m",
        "!?",
        "🙂",
        "\u{301}",
        "\0",
    ];

    #[test]
    fn patterns_match_as_in_the_regex_crate() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for ((name, expression), pattern) in EXPRESSIONS.into_iter().zip(&PATTERNS) {
            let regex = Regex::new(expression).unwrap();
            let mut matches = 0;
            for round in 0..1000 {
                let text: String = (0..round % 12).map(|_| PIECES[rng.random_range(0..PIECES.len())]).collect();
                let expected: Vec<_> = regex.find_iter(&text).map(|found| found.range()).collect();
                assert_eq!(pattern.find_iter(&text).collect::<Vec<_>>(), expected, "{name}: {text:?}");
                let replace = |found: &str| format!("[{}]", found.len());
                let replaced = regex.replace_all(&text, |found: &regex::Captures<'_>| replace(&found[0]));
                assert_eq!(pattern.replace_all(&text, replace), replaced, "{name}: {text:?}");
                matches += expected.len();
            }
            assert!(matches > 5, "{name}: {matches}");
        }
    }

    #[test]
    fn every_character_has_the_same_class_as_in_the_regex_crate() {
        let regex = Regex::new(EXPRESSIONS[0].1).unwrap();
        let all: Vec<char> = ('\0'..=char::MAX).collect();
        for some in all.chunks(512) {
            let text: String = some.iter().collect();
            let expected: Vec<_> = regex.find_iter(&text).map(|found| found.range()).collect();
            assert_eq!(PATTERNS[0].find_iter(&text).collect::<Vec<_>>(), expected, "{:?}", some[0]);
        }
    }
}
