//! Expands `a/{000..002}.tar` as Python's `braceexpand` does, which WebDataset uses.

use std::sync::LazyLock;

use regex::Regex;

use super::sample::quote;
use crate::exit::{Failure, Result};
use crate::pattern::pattern;

/// Limit of names: more than any data set has shards.
const MAX_NAMES: usize = 100_000;
/// Limit of braces inside each other: each takes some of the stack.
const MAX_DEPTH: usize = 100;

fn refuse(expected: &str, got: &str) -> Failure {
    Failure::new("invalid-option", format!("invalid braces in a path: expected {expected}, got {}", quote(got, 200)))
}

fn unbalanced(text: &str) -> Failure {
    refuse("balanced braces, or \\{ for a literal one", text)
}

/// Expands a range of numbers. If one begins with a zero, all are padded to the wider of the two.
fn numbers(from: &str, to: &str, step: i64) -> Result<Vec<String>> {
    let padded = |text: &str| {
        let digits = text.trim_start_matches('-');
        digits.len() > 1 && digits.starts_with('0')
    };
    let width = if padded(from) || padded(to) { from.len().max(to.len()) } else { 0 };
    let range = || refuse(&format!("an ascending range of at most {MAX_NAMES} shards"), &format!("{{{from}..{to}}}"));
    let (Ok(first), Ok(last)) = (from.parse::<i64>(), to.parse::<i64>()) else { return Err(range()) };
    let count = last.saturating_sub(first).div_euclid(step).saturating_add(1);
    if !(1..=MAX_NAMES as i64).contains(&count) {
        return Err(range());
    }
    Ok((0..count).map(|i| format!("{:0width$}", first + i * step)).collect())
}

fn letters(from: char, to: char, step: usize) -> Result<Vec<String>> {
    let all = ('A'..='Z').chain('a'..='z').skip_while(|&letter| letter != from);
    let mut found: Vec<String> = Vec::new();
    for letter in all {
        found.push(letter.into());
        if letter == to {
            return Ok(found.into_iter().step_by(step).collect());
        }
    }
    Err(refuse("an ascending range", &format!("{{{from}..{to}}}")))
}

/// Indices of the wanted characters outside of braces; a backslash escapes a character.
fn outermost(text: &str, wanted: &[u8]) -> Result<Vec<usize>> {
    let bytes = text.as_bytes();
    let (mut found, mut depth, mut at) = (Vec::new(), 0i32, 0);
    while at < bytes.len() {
        let byte = bytes[at];
        if byte == b'\\' && bytes.get(at + 1).is_some_and(|next| b"{},\\".contains(next)) {
            at += 1;
        } else {
            depth -= i32::from(byte == b'}');
            if depth < 0 {
                return Err(unbalanced(text));
            }
            if depth == 0 && wanted.contains(&byte) {
                found.push(at);
            }
            depth += i32::from(byte == b'{');
        }
        at += 1;
    }
    if depth == 0 { Ok(found) } else { Err(unbalanced(text)) }
}

/// Expands the text between two braces; `None` where it is neither a range nor a list.
fn in_braces(text: &str) -> Result<Option<Vec<String>>> {
    static RANGE: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"^(-?[0-9]+|[A-Za-z])\.\.(-?[0-9]+|[A-Za-z])(?:\.\.-?([0-9]+))?$"));
    if let Some(range) = RANGE.captures(text) {
        let (from, to) = (&range[1], &range[2]);
        // a step of digits that does not parse is larger than any range
        let step = range.get(3).map_or(1, |step| step.as_str().parse().unwrap_or(i64::MAX)).max(1);
        let is_letter = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic());
        if !is_letter(from) && !is_letter(to) {
            return numbers(from, to, step).map(Some);
        }
        if let (true, true, Some(from), Some(to)) =
            (is_letter(from), is_letter(to), from.chars().next(), to.chars().next())
        {
            return letters(from, to, usize::try_from(step).unwrap_or(usize::MAX)).map(Some);
        }
    }
    let commas = outermost(text, b",")?;
    if commas.is_empty() {
        return Ok(None);
    }
    let (mut names, mut from) = (Vec::new(), 0);
    for comma in commas.into_iter().chain([text.len()]) {
        names.extend(expand(&text[from..comma])?);
        from = comma + 1;
    }
    Ok(Some(names))
}

fn expand(text: &str) -> Result<Vec<String>> {
    let braces = outermost(text, b"{}")?;
    let mut names = vec![String::new()];
    let mut add = |parts: &[String]| {
        if names.len() * parts.len() > MAX_NAMES {
            return Err(refuse(&format!("at most {MAX_NAMES} shards"), text));
        }
        names = names.iter().flat_map(|name| parts.iter().map(move |part| format!("{name}{part}"))).collect();
        Ok(())
    };
    let mut done = 0;
    for pair in braces.chunks_exact(2) {
        let inside = &text[pair[0] + 1..pair[1]];
        add(&[text[done..pair[0]].into()])?;
        add(&match in_braces(inside)? {
            Some(parts) => parts,
            None => expand(inside)?.iter().map(|part| format!("{{{part}}}")).collect(),
        })?;
        done = pair[1] + 1;
    }
    add(&[text[done..].into()])?;
    Ok(names)
}

/// Expands ascending ranges (`{000..012}`, `{a..f}`, `{0..8..2}`) and lists (`{train,test}`) in a name, in order. `\{` stands for a
/// literal brace.
///
/// # Errors
/// `invalid-option`.
pub(super) fn expand_braces(name: &str) -> Result<Vec<String>> {
    if !name.contains(['{', '}']) {
        return Ok(vec![name.into()]);
    }
    let depth = |depth: usize, sign: char| match sign {
        '{' => depth + 1,
        '}' => depth.saturating_sub(1),
        _ => depth,
    };
    if name.chars().scan(0, |now, sign| Some(std::mem::replace(now, depth(*now, sign)))).any(|now| now > MAX_DEPTH) {
        return Err(refuse(&format!("at most {MAX_DEPTH} braces inside each other"), name));
    }
    // in Windows paths both separate folders
    let is_windows = name.starts_with("\\\\") || name.get(1..3) == Some(":\\");
    let slashed = if is_windows { name.replace('\\', "/") } else { name.into() };
    let unescape = |name: &String| {
        ["{", "}", ",", "\\"].iter().fold(name.clone(), |name, sign| name.replace(&format!("\\{sign}"), sign))
    };
    Ok(expand(&slashed)?.iter().map(unescape).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_lists() {
        for (name, expected) in [
            ("a.tar", vec!["a.tar"]),
            ("a-{008..010}.tar", vec!["a-008.tar", "a-009.tar", "a-010.tar"]),
            ("{1..3}{a,b}", vec!["1a", "1b", "2a", "2b", "3a", "3b"]),
            ("{0..8..4}", vec!["0", "4", "8"]),
            ("{-1..1}", vec!["-1", "0", "1"]),
            ("{0..10..9999999999}", vec!["0"]),
            ("{a..z..99999999999999999999}", vec!["a"]),
            ("{x..z}", vec!["x", "y", "z"]),
            ("{train,{1..2}}.tar", vec!["train.tar", "1.tar", "2.tar"]),
            ("{a}\\{b\\}", vec!["{a}{b}"]),
        ] {
            assert_eq!(expand_braces(name).unwrap(), expected, "{name}");
        }
        for name in ["{1..0}", "{a", "a}", "{0..99999999}", "{b..a}"] {
            assert_eq!(expand_braces(name).unwrap_err().code, "invalid-option", "{name}");
        }
        for name in ["{".repeat(60_000), format!("{}{}", "{".repeat(60_000), "}".repeat(60_000))] {
            assert!(expand_braces(&name).unwrap_err().message.contains("at most 100 braces inside each other"));
        }
    }
}
