//! Addresses of files on servers.

use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::answer::{Answer, Fault, Version};
use super::client;
use super::stores::Object;
use super::transfer::{Transfer, read_part, read_whole};
use crate::data::location::decode_escapes;
use crate::data::read_file::{Opened, Patience};
use crate::exit::{Failure, Result};
use crate::secrets::without_secrets;

/// Schemes of stores.
const STORES: [&str; 8] = ["s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss"];

/// The address of a file. It is shown without secrets.
#[derive(Clone)]
pub struct Address(Arc<Inner>);

struct Inner {
    shown: String,
    scheme: String,
    place: Place,
    /// The version that was read first: the file must stay it.
    version: OnceLock<Version>,
}

enum Place {
    /// On a server of HTTP; the value of the header Authorization, where the address had a user.
    Server(Url, Option<String>),
    /// In a store: its bucket, the key, and what reads it.
    Store(String, String, Object),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A user and a password, as the header Authorization has them.
fn basic(url: &Url) -> Option<String> {
    let password = url.password().unwrap_or_default();
    let user = format!("{}:{}", decode_escapes(url.username()), decode_escapes(password));
    (user != ":").then(|| format!("Basic {}", STANDARD.encode(user)))
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// `invalid-source` for one that is malformed or of another scheme, and where the environment's settings of the store are wrong.
    pub(in crate::data) fn parse(text: &str) -> Result<Self> {
        let shown = without_secrets(text).into_owned();
        let invalid = |problem: &dyn fmt::Display| Failure::new("invalid-source", format!("{shown}: {problem}"));
        let (scheme, rest) = text.split_once("://").unwrap_or((text.split(':').next().unwrap_or(text), ""));
        let scheme = scheme.to_ascii_lowercase();
        let place = match scheme.as_str() {
            "http" | "https" => {
                let mut url = Url::parse(text).map_err(|error| invalid(&format!("malformed address: {error}")))?;
                let authorization = basic(&url);
                // what http has, can be without them
                let cleared = url.set_username("").and_then(|()| url.set_password(None));
                cleared.map_err(|()| invalid(&"malformed address"))?;
                url.set_fragment(None);
                Place::Server(url, authorization)
            }
            store if STORES.contains(&store) => {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                let object = Object::new(store, bucket, key).map_err(|fault| invalid(&fault))?;
                Place::Store(bucket.into(), key.into(), object)
            }
            other => {
                let expected = "expected an address of http, https, s3, gs or az";
                return Err(invalid(&format!("{expected}, got {other}: download the file")));
            }
        };
        Ok(Self(Arc::new(Inner { shown, scheme, place, version: OnceLock::new() })))
    }

    /// The path, as a file on disk has it.
    pub(in crate::data) fn path(&self) -> String {
        match &self.0.place {
            Place::Server(url, _) => decode_escapes(url.path()),
            Place::Store(_, key, _) => key.clone(),
        }
    }

    /// The address of a file that is named relative to this one, as `ts/data/table-images.ts` has it: names are not addresses, so that
    /// `#`, `?` and `%` are part of them.
    ///
    /// # Errors
    /// `invalid-dataset` for a name that may not stand in a file on a server.
    pub(in crate::data) fn beside(&self, name: &str, is_absolute: bool) -> Result<Self> {
        let no_image = || Failure::dataset("no image of that name");
        if is_absolute {
            let scheme = name.split(':').next().unwrap_or_default().to_ascii_lowercase();
            let may_be_named = ["http", "https", &self.0.scheme].contains(&scheme.as_str());
            return if may_be_named { Self::parse(name) } else { Err(no_image()) };
        }
        let mut parts: Vec<&str> = Vec::new();
        let path = self.path();
        if !name.starts_with('/') {
            parts.extend(path.split('/').filter(|part| !part.is_empty()));
            parts.pop();
        }
        for part in name.trim_start_matches('/').split('/') {
            match part {
                "." => {}
                ".." => drop(parts.pop()),
                other => parts.push(other),
            }
        }
        match &self.0.place {
            Place::Server(url, authorization) => {
                let mut url = url.clone();
                if name.starts_with("//") {
                    let mut other = url.join(name).map_err(|_malformed| no_image())?;
                    other.set_fragment(None);
                    return Self::parse(other.as_str());
                }
                // a signature in the query of the table is valid for its neighbours
                url.path_segments_mut().map_err(|()| no_image())?.clear().extend(parts);
                let (shown, scheme) = (without_secrets(url.as_str()).into_owned(), self.0.scheme.clone());
                let place = Place::Server(url, authorization.clone());
                Ok(Self(Arc::new(Inner { shown, scheme, place, version: OnceLock::new() })))
            }
            Place::Store(bucket, ..) => Self::parse(&format!("{}://{bucket}/{}", self.0.scheme, parts.join("/"))),
        }
    }

    /// Asks for bytes, once.
    pub(super) fn ask(&self, from: u64, last: Option<u64>) -> core::result::Result<Answer, Fault> {
        let answer = match &self.0.place {
            Place::Server(url, authorization) => client::get(url.as_str(), authorization.as_deref(), from, last),
            Place::Store(_, _, object) => object.get(from, last),
        }?;
        if self.0.version.get_or_init(|| answer.version.clone()).differs_from(&answer.version) {
            return Err(Fault::lasting("the file changed while it was read: start again"));
        }
        Ok(answer)
    }

    /// Size of the file, where the server has said it.
    pub(super) fn size(&self) -> Option<u64> {
        self.0.version.get()?.size
    }

    /// Whether the server has a file there, and not a page in place of it.
    pub(in crate::data) fn exists(&self) -> bool {
        self.ask(0, Some(0)).is_ok_and(|answer| !answer.is_page)
    }

    /// Checks that the file can be read.
    ///
    /// # Errors
    /// `source-unreadable`.
    pub(in crate::data) fn check(&self) -> Result<()> {
        Transfer::new(self, 0, Some(0), Patience::Little).map(|_open| ())
    }

    /// Opens the file. A broken connection is made again, and the file goes on where it was.
    ///
    /// # Errors
    /// `source-unreadable`.
    pub(in crate::data) fn open(&self) -> Result<Opened> {
        let transfer = Transfer::new(self, 0, None, Patience::Much)?;
        Ok(Opened { in_parts: transfer.in_parts(), reader: Box::new(transfer) })
    }

    /// Reads the whole file.
    ///
    /// # Errors
    /// `source-unreadable`; `invalid-dataset` for one of more than `limit` bytes.
    pub(in crate::data) fn read_whole(&self, limit: u64, patience: Patience) -> Result<Vec<u8>> {
        read_whole(self, limit, patience)
    }

    /// Reads a part of the file.
    ///
    /// # Errors
    /// `source-unreadable`.
    pub(in crate::data) fn read_part(&self, from: u64, length: usize) -> Result<Vec<u8>> {
        read_part(self, from, length)
    }

    /// The failure of a fault.
    pub(super) fn failure(&self, fault: &Fault) -> Failure {
        Failure { passes: fault.passes, ..Failure::new("source-unreadable", format!("{self}: {fault}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn addresses_are_shown_without_secrets() {
        let address = parse("https://me:p%40w@h.org/a%20b/c.tar?sig=1#x");
        assert_eq!((address.to_string(), address.path()), ("https://h.org/a%20b/c.tar?…".into(), "/a b/c.tar".into()));
        let Place::Server(url, authorization) = &address.0.place else { panic!() };
        assert_eq!(url.as_str(), "https://h.org/a%20b/c.tar?sig=1");
        assert_eq!(authorization.as_deref(), Some("Basic bWU6cEB3"));
        assert!(format!("{address:?}").ends_with("?…"));
        // a store's keys are no addresses
        assert_eq!(parse("s3://bucket/a%20b#c.tar").path(), "a%20b#c.tar");
    }

    #[test]
    fn names_in_tables_on_servers() {
        let table = parse("https://h.org/data/a.csv?sig=1");
        let url = |name: &str, is_absolute| match table.beside(name, is_absolute).map(|address| address.0.clone()) {
            Ok(inner) => match &inner.place {
                Place::Server(url, _) => url.to_string(),
                Place::Store(..) => "store".into(),
            },
            Err(error) => error.message,
        };
        for (name, is_absolute, expected) in [
            ("i/1.png", false, "https://h.org/data/i/1.png?sig=1"),
            ("../50%#1?.png", false, "https://h.org/50%25%231%3F.png?sig=1"),
            ("/1.png", false, "https://h.org/1.png?sig=1"),
            ("//other.org/1.png", false, "https://other.org/1.png"),
            ("http://other.org/1.png?x", true, "http://other.org/1.png?x"),
            ("file:///etc/passwd", true, "no image of that name"),
            ("s3://bucket/1.png", true, "no image of that name"),
        ] {
            assert_eq!(url(name, is_absolute), expected, "{name}");
        }
        let stored = parse("s3://bucket/data/a.csv");
        assert_eq!(stored.beside("i/1.png", false).unwrap().to_string(), "s3://bucket/data/i/1.png");
        assert_eq!(stored.beside("s3://other/1.png", true).unwrap().to_string(), "s3://other/1.png");
    }

    #[test]
    fn other_addresses_are_refused() {
        for text in ["ftp://h/a.tar", "data:image/png;base64,AA", "https://", "s3://bucket//a.tar"] {
            assert_eq!(Address::parse(text).unwrap_err().code, "invalid-source", "{text}");
        }
    }
}
