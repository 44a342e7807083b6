//! Where a file is: addresses and paths on disk are told apart as the package does it.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use super::remote::Address;
use crate::exit::Result;

/// Where a file is.
#[derive(Debug, Clone)]
pub enum Location {
    /// On disk.
    Path(PathBuf),
    /// On a server.
    Address(Address),
}

impl Location {
    /// The path, on disk or on the server.
    pub(super) fn path(&self) -> Cow<'_, str> {
        match self {
            Self::Path(path) => path.to_string_lossy(),
            Self::Address(address) => address.path().into(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// The scheme of an absolute address. A colon alone does not make one: `photo-12:30.png` and `data:1.png` are file names.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let is_name = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c));
    let is_absolute = match scheme.to_ascii_lowercase().as_str() {
        "data" => rest.contains(','),
        "blob" => rest.starts_with("null/") || rest.contains(':'),
        "file" => rest.starts_with('/'),
        // one letter is a drive of Windows
        other => other.len() > 1 && rest.starts_with("//"),
    };
    (is_name && is_absolute).then_some(scheme)
}

/// Decodes `%20` and the like; what is no escape stays.
pub(super) fn decode_escapes(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.first_chunk::<2>().filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let escaped = digits.and_then(|digits| u8::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok());
        match escaped.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the path of a `file:` address; one with a host is a share of that machine.
fn path_of(address: &str) -> PathBuf {
    let rest = address.split_once(':').map_or(address, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (host, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    let path = decode_escapes(path);
    if !["", "localhost"].contains(&host) {
        return format!("//{host}{path}").into();
    }
    let is_drive = |path: &str| {
        path.as_bytes().first_chunk::<3>().is_some_and(|p| p[0] == b'/' && p[1].is_ascii_alphabetic() && p[2] == b':')
    };
    if is_drive(&path) { path[1..].into() } else { path.into() }
}

/// The paths that `::` separates; in `http://[::1]/` it does not.
pub fn split_paths(paths: &str) -> Vec<String> {
    let mut split: Vec<String> = Vec::new();
    for part in paths.split("::") {
        let is_open = |last: &&mut String| last.rfind("://[").is_some_and(|at| !last[at..].contains(']'));
        match split.last_mut().filter(is_open) {
            Some(last) => *last = format!("{last}::{part}"),
            None => split.push(part.into()),
        }
    }
    split
}

/// Whether a name is an absolute address.
pub fn is_absolute(name: &str) -> bool {
    scheme(name).is_some()
}

/// Where a name points: a path for a `file:` address, and for any name that is no address.
///
/// # Errors
/// `invalid-source` for an address that is not read.
pub(super) fn locate(name: &str) -> Result<Location> {
    match scheme(name) {
        None => Ok(Location::Path(name.into())),
        Some(scheme) if scheme.eq_ignore_ascii_case("file") => Ok(Location::Path(path_of(name))),
        Some(_) => Address::parse(name).map(Location::Address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_separated() {
        assert_eq!(split_paths("a.tar::http://[::1]:9000/b.tar::c"), ["a.tar", "http://[::1]:9000/b.tar", "c"]);
        assert_eq!(split_paths("http://[fe80::1::2]/a"), ["http://[fe80::1::2]/a"]);
        assert_eq!(split_paths(""), [""]);
    }

    #[test]
    fn addresses_and_paths() {
        for (name, path) in [
            ("a/b.png", "a/b.png"),
            ("photo-12:30.png", "photo-12:30.png"),
            ("data:1.png", "data:1.png"),
            ("C:/a.png", "C:/a.png"),
            ("file:///a%20b/%C3%A4.png", "/a b/ä.png"),
            ("file:/a/100%.png", "/a/100%.png"),
            ("FILE://localhost/a.png?x#y", "/a.png"),
            ("file://server/share/a.png", "//server/share/a.png"),
            ("file:///C:/a.png", "C:/a.png"),
        ] {
            assert!(matches!(locate(name), Ok(Location::Path(found)) if found == std::path::Path::new(path)), "{name}");
        }
        let addresses = [
            "https://a/b.png",
            "git+https://a",
            "s3://a/b",
            "data:image/png;base64,AA",
            "blob:https://a/1",
            "blob:null/1",
        ];
        for name in addresses {
            assert!(is_absolute(name) && !matches!(locate(name), Ok(Location::Path(_))), "{name}");
        }
    }
}
