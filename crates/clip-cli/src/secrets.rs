//! What of an address is secret: user, password, query and fragment. No list of names would know every secret.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::pattern::pattern;

/// An address: its scheme, its user, its host and path, its query and fragment.
static ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"([A-Za-z][A-Za-z0-9+.-]*://)([^\s/?#"'<>]*@)?([^\s?#"'<>]*)([?#][^\s"'<>]*)?"#));

/// Removes user, password, query and fragment from the addresses in a text.
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    let place = |found: &Captures<'_>| {
        let part = |i: usize| found.get(i).map_or("", |part| part.as_str());
        // punctuation after a query is the message's
        let rest = part(4).trim_end_matches([':', ',', ';', ')', ']']);
        let after = &part(4)[rest.len()..];
        format!("{}{}{}{after}", part(1), part(3), if rest.len() > 1 { "?…" } else { "" })
    };
    if text.contains("://") { ADDRESS.replace_all(text, place) } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_their_secrets() {
        for (text, expected) in [
            ("a?b@c", "a?b@c"),
            ("https://h/a.tar?X-Amz-Signature=0f: HTTP 403", "https://h/a.tar?…: HTTP 403"),
            ("https://me:pw@h:1/a.tar::s3://b/c#d", "https://h:1/a.tar::s3://b/c?…"),
            ("\"https://h/a?k=1\", then 'gs://b/c'", "\"https://h/a?…\", then 'gs://b/c'"),
            ("(see https://h/a?)", "(see https://h/a)"),
        ] {
            assert_eq!(without_secrets(text), expected);
        }
    }
}
