//! A sample of a data set: an image and its captions, or why they cannot be used.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use super::decode_text::decode_text;
use super::location::Location;
use super::read_file::{MAX_FILE_BYTES, Patience, read_at_most};
use super::remote::Address;
use crate::exit::{Failure, Result};

/// An encoded image.
#[derive(Debug, Clone)]
pub enum Image {
    /// A file on disk.
    File(PathBuf),
    /// A file on a server, and its bytes, until they are [forgotten](Image::forget).
    Download {
        /// The file.
        address: Address,
        /// The bytes.
        bytes: Option<Vec<u8>>,
    },
    /// A member of a tar file that is not compressed, and its bytes, until they are [forgotten](Image::forget).
    Member {
        /// The tar file.
        shard: Arc<Location>,
        /// First byte in it.
        at: u64,
        /// Number of bytes.
        length: usize,
        /// The bytes.
        bytes: Option<Vec<u8>>,
    },
    /// Bytes that cannot be read a second time.
    Bytes(Arc<[u8]>),
}

impl Image {
    /// Returns the bytes.
    ///
    /// # Errors
    /// `source-unreadable`.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        match self {
            Self::File(path) => read_at_most(path, MAX_FILE_BYTES).map(Cow::Owned),
            Self::Download { bytes: Some(bytes), .. } | Self::Member { bytes: Some(bytes), .. } => {
                Ok(Cow::Borrowed(bytes))
            }
            Self::Download { address, .. } => address.read_whole(MAX_FILE_BYTES, Patience::Much).map(Cow::Owned),
            Self::Member { shard, at, length, .. } => shard.read_part(*at, *length).map(Cow::Owned),
            Self::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
        }
    }

    /// Whether its bytes are on a server.
    pub(super) fn is_far(&self) -> bool {
        match self {
            Self::Download { bytes, .. } => bytes.is_none(),
            Self::Member { shard, bytes, .. } => bytes.is_none() && matches!(**shard, Location::Address(_)),
            Self::File(_) | Self::Bytes(_) => false,
        }
    }

    /// Where it is, for messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Download { address, .. } => address.to_string(),
            Self::Member { shard, at, .. } => format!("{shard}, the image at byte {at}"),
            Self::Bytes(_) => "an image".into(),
        }
    }

    /// Bytes in memory.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Download { bytes: Some(bytes), .. } | Self::Member { bytes: Some(bytes), .. } => bytes.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::File(_) | Self::Download { .. } | Self::Member { .. } => 0,
        }
    }

    /// Frees bytes that can be read again.
    pub fn forget(&mut self) {
        if let Self::Download { bytes, .. } | Self::Member { bytes, .. } = self {
            *bytes = None;
        }
    }
}

/// An image and its captions.
#[derive(Debug)]
pub struct Sample {
    /// Its name in the data set.
    pub key: String,
    /// Name of the folder or file that it comes from.
    pub source: Arc<str>,
    /// The image and at least one caption, or why they cannot be used.
    pub pair: Result<(Image, Vec<String>)>,
}

/// Takes samples one by one; an error ends the reading.
pub(super) type Sink<'a> = dyn FnMut(Sample) -> Result<()> + 'a;

/// How caption files are read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CaptionOptions<'a> {
    /// Encoding of text without a byte order mark.
    pub(super) encoding: Option<&'a str>,
    /// Whether each line is a caption.
    pub(super) lines: bool,
}

/// Whether a text file is named like a README or a licence: it is a caption only of an image of the same name.
pub(super) fn is_notice(path: &str) -> bool {
    const NOTICES: [&str; 12] = [
        "readme",
        "licence",
        "license",
        "copying",
        "copyright",
        "notice",
        "changelog",
        "authors",
        "credits",
        "attribution",
        "contributing",
        "requirements",
    ];
    let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
    NOTICES.iter().any(|notice| name.starts_with(notice))
}

/// Returns a message where text contains NUL. Text of Rust has no lone surrogates.
pub(super) fn invalid_character(text: &str) -> Option<&'static str> {
    text.contains('\0').then_some("invalid character U+0000 in the text")
}

impl Sample {
    /// Bytes of its image in memory.
    pub(super) fn held(&self) -> usize {
        self.pair.as_ref().map_or(0, |(image, _)| image.held())
    }

    /// Reads its image, if that is a file on a server.
    pub(super) fn downloaded(mut self) -> Self {
        if let Ok((Image::Download { address, bytes: bytes @ None }, _)) = &mut self.pair {
            // a link in a table may be dead
            match address.read_whole(MAX_FILE_BYTES, Patience::Little) {
                Ok(read) => *bytes = Some(read),
                Err(failure) => self.pair = Err(failure),
            }
        }
        self
    }

    /// A sample of an image and its captions.
    pub(super) fn new(key: &str, image: Image, captions: &[String]) -> Self {
        let texts: Vec<String> =
            captions.iter().map(|text| trim(text).to_owned()).filter(|text| !text.is_empty()).collect();
        if texts.is_empty() {
            return Self::bad(key, "the caption is empty");
        }
        if let Some(wrong) = captions.iter().find_map(|text| invalid_character(text)) {
            return Self::bad(key, format!("caption: {wrong}"));
        }
        Self::from_pair(key, Ok((image, texts)))
    }

    /// A sample of an image and a caption file.
    pub(super) fn of_text(key: &str, image: Image, caption: &[u8], options: CaptionOptions<'_>) -> Self {
        let text = match decode_text(caption, options.encoding) {
            Ok(text) => text,
            Err(error) => return Self::bad(key, format!("caption: {}", error.message)),
        };
        let captions: Vec<String> = if options.lines { lines(&text).map(str::to_owned).collect() } else { vec![text] };
        Self::new(key, image, &captions)
    }

    /// A sample that cannot be used.
    pub(super) fn bad(key: &str, message: impl Into<String>) -> Self {
        Self::from_pair(key, Err(Failure::dataset(message)))
    }

    /// Of a source that [`Source::read`](super::Source::read) names.
    fn from_pair(key: &str, pair: Result<(Image, Vec<String>)>) -> Self {
        Self { key: key.into(), source: Arc::from(""), pair }
    }
}

/// Lines that end in LF, CRLF or CR.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// Trims what JavaScript's `trim` does: white space and byte order marks.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c == '\u{feff}' || c.is_whitespace() && c != '\u{85}')
}

/// Text as a JSON string, at most `most` characters of it.
pub(super) fn quote(text: &str, most: usize) -> String {
    serde_json::Value::from(text.chars().take(most).collect::<String>()).to_string()
}

/// At most `most` characters of a text.
pub(super) fn head(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
