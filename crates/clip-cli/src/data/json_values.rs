//! Splits JSON into the values of a table's rows, and reads each as JavaScript does: one that Rust cannot hold spoils no other.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};

use super::sample::{head, lines, trim};
use crate::pattern::pattern;

/// The items of a JSON array, as their text; `None` for any other text. What is ignored is not decoded.
fn items(text: &str) -> Option<Vec<&str>> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut rest = text.trim_start().strip_prefix('[')?;
    let mut items = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n', ',']);
        if rest.starts_with(']') {
            return Some(items);
        }
        let mut values = Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let (item, after) = rest.split_at(values.byte_offset());
        items.push(item);
        rest = after;
    }
}

/// Splits JSON into values: the items of one array, or one value a line. Each has a name for messages.
pub(super) fn json_values(text: &str) -> Vec<(String, &str)> {
    if let Some(items) = items(text) {
        return items.into_iter().enumerate().map(|(i, item)| (format!("item {}", i + 1), item)).collect();
    }
    if serde_json::from_str::<IgnoredAny>(text).is_ok() {
        return vec![("line 1".into(), text)];
    }
    let numbered = lines(text).enumerate().filter(|(_, line)| !trim(line).is_empty());
    numbered.map(|(i, line)| (format!("line {}", i + 1), line)).collect()
}

/// A value, and what JavaScript would have in it.
#[derive(Debug)]
pub(super) struct Parsed {
    /// With U+0000 for lone surrogates, which text of Rust cannot have.
    pub(super) value: Value,
    /// What is wrong where there was one.
    pub(super) surrogate: Option<String>,
}

/// Replaces lone surrogates in a string of JSON; returns the first, too.
fn without_surrogates(string: &str) -> (String, Option<String>) {
    static ESCAPE: LazyLock<Regex> = LazyLock::new(|| {
        pattern(r"(?s)\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u([dD][89a-fA-F][0-9a-fA-F]{2})|\\.")
    });
    let mut first = None;
    let replaced = ESCAPE.replace_all(string, |escape: &Captures<'_>| match escape.get(1) {
        None => escape[0].to_owned(),
        Some(code) => {
            first.get_or_insert(format!("invalid character U+{} in the text", code.as_str().to_uppercase()));
            r"\u0000".into()
        }
    });
    (replaced.into_owned(), first)
}

/// Parses a value. Lone surrogates, as of an emoji that was cut, and numbers above all floating-point ones are read as JavaScript reads
/// them.
///
/// # Errors
/// A message.
pub(super) fn parse_value(json: &str) -> Result<Parsed, String> {
    let error = match serde_json::from_str(json) {
        Ok(value) => return Ok(Parsed { value, surrogate: None }),
        Err(error) => error,
    };
    static TOKEN: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(?s)"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*"#));
    let mut surrogate = None;
    let repaired = TOKEN.replace_all(json, |token: &Captures<'_>| {
        let token = &token[0];
        if token.starts_with('"') {
            let (string, found) = without_surrogates(token);
            surrogate = surrogate.take().or(found);
            return string;
        }
        if token.parse().is_ok_and(f64::is_infinite) { "1e308".into() } else { token.to_owned() }
    });
    let value = serde_json::from_str(&repaired);
    value
        .map(|value| Parsed { value, surrogate })
        .map_err(|_again| format!("invalid JSON: {}", head(&error.to_string(), 200)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_javascript() {
        let values = json_values(r#" [{"a": "]"}, "\ud83d", 1e999,[1, 2] , 3]"#);
        let texts: Vec<&str> = values.iter().map(|(_, json)| *json).collect();
        assert_eq!(texts, [r#"{"a": "]"}"#, r#""\ud83d""#, "1e999", "[1, 2]", "3"]);
        assert_eq!(values[4].0, "item 5");
        assert_eq!(
            json_values("{\"a\": 1}\n\n{\"b\"").iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>(),
            ["line 1", "line 3"]
        );
        assert_eq!(json_values(&"[".repeat(100_000)).len(), 1);
        for (json, value, surrogate) in [
            (r#"["\ud83d\ude00", 1e999]"#, r#"["😀",1e308]"#, None),
            (r#"["\\ud83d", -1e999]"#, r#"["\\ud83d",1e308]"#, None),
            (r#"["a \ud83d", "b"]"#, r#"["a \u0000","b"]"#, Some("invalid character U+D83D in the text")),
        ] {
            let parsed = parse_value(json).unwrap();
            assert_eq!(
                (parsed.value.to_string().replace("e+308", "e308"), parsed.surrogate.as_deref()),
                (value.into(), surrogate)
            );
        }
        assert!(parse_value("{\"a\": ").unwrap_err().starts_with("invalid JSON: EOF"));
    }
}
