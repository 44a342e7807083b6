//! What a server says about a file, and why it does not send it.

use std::io::Read;
use std::time::Duration;

use ureq::http::{HeaderMap, StatusCode, header};

use crate::data::sample::head;

/// Longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why bytes did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Fault {
    /// What is wrong, and what to do.
    pub(super) message: String,
    /// Whether another try may do better.
    pub(super) passes: bool,
    /// The pause before another try that the server asks for.
    pub(super) pause: Option<Duration>,
}

impl Fault {
    /// A fault that another try meets again.
    pub(super) fn lasting(message: impl Into<String>) -> Self {
        Self { message: message.into(), passes: false, pause: None }
    }

    /// A fault of the network.
    pub(super) fn passing(message: impl Into<String>) -> Self {
        Self { message: message.into(), passes: true, pause: None }
    }

    /// The fault of an answer without the file. `body` is the beginning of what came in its place.
    pub(super) fn of_status(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let advice = match status.as_u16() {
            300..=399 => match text("x-amz-bucket-region") {
                Some(region) => format!(": the bucket is in another region: set AWS_REGION={region}"),
                None => ": a redirect that leads nowhere; of a bucket, set its region (AWS_REGION)".into(),
            },
            401 | 403 => ": it refuses access: check the credentials; a signed address expires".into(),
            404 | 410 => ": no such file".into(),
            416 => ": the file is empty, or shorter than it was".into(),
            _ => String::new(),
        };
        // stores name their errors: NoSuchBucket, ExpiredToken
        let body = String::from_utf8_lossy(body);
        let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
        let code = code.map_or(String::new(), |(code, _)| format!(" ({})", head(code, 60)));
        Self {
            message: format!("expected a file, got HTTP {}{code}{advice}", status.as_u16()),
            passes: status.is_server_error() || [408, 425, 429].contains(&status.as_u16()),
            pause: text("retry-after").and_then(|wait| wait.parse().ok()).map(Duration::from_secs),
        }
    }

    /// The pause before another try: what the server asks for, within bounds, or `own`.
    pub(super) fn pause(&self, own: Duration) -> Duration {
        self.pause.unwrap_or(own).min(LONGEST_PAUSE)
    }
}

/// What tells one version of a file from another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Version {
    pub(super) tag: Option<String>,
    pub(super) modified: Option<String>,
    pub(super) size: Option<u64>,
}

impl Version {
    /// Whether another answer shows that the file changed.
    pub(super) fn differs_from(&self, other: &Self) -> bool {
        let differ = |a: &Option<String>, b: &Option<String>| Some(a.as_ref()? != b.as_ref()?);
        differ(&self.tag, &other.tag).or_else(|| differ(&self.modified, &other.modified)).unwrap_or(false)
            || self.size.zip(other.size).is_some_and(|(a, b)| a != b)
    }
}

/// Bytes of a file.
pub(super) struct Answer {
    /// The first of them in the file.
    pub(super) start: u64,
    /// Whether the server sends any part of the file.
    pub(super) in_parts: bool,
    /// Whether they are packed by gzip for the transfer.
    pub(super) is_packed: bool,
    /// Whether they are a web page, which may stand in a file's place.
    pub(super) is_page: bool,
    pub(super) version: Version,
    pub(super) body: Box<dyn Read + Send>,
}

impl Answer {
    /// Reads what the headers of an answer say.
    pub(super) fn of_headers(
        status: StatusCode,
        headers: &HeaderMap,
        body: impl Read + Send + 'static,
    ) -> Result<Self, Fault> {
        let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let is_packed = packed(text(header::CONTENT_ENCODING))?;
        let length = || text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let (start, size) = match text(header::CONTENT_RANGE).filter(|_| status == StatusCode::PARTIAL_CONTENT) {
            Some(range) => parse_range(range)
                .ok_or_else(|| Fault::lasting(format!("unknown Content-Range {}", head(range, 100))))?,
            None if status == StatusCode::PARTIAL_CONTENT => {
                return Err(Fault::lasting("a part of the file came without Content-Range"));
            }
            None => (0, length()),
        };
        let owned = |name| text(name).map(str::to_owned);
        let version = Version {
            // a proxy that packs answers weakens the tag
            tag: owned(header::ETAG).map(|tag| tag.trim_start_matches("W/").to_owned()),
            modified: owned(header::LAST_MODIFIED),
            size,
        };
        let in_parts = status == StatusCode::PARTIAL_CONTENT;
        let is_page = text(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html"));
        Ok(Self { start, in_parts, is_packed, is_page, version, body: Box::new(body) })
    }
}

/// Whether bytes are packed by gzip for the transfer.
///
/// # Errors
/// For another packing, which was not asked for.
pub(super) fn packed(encoding: Option<&str>) -> Result<bool, Fault> {
    match encoding.map(|encoding| encoding.trim().to_ascii_lowercase()).as_deref() {
        None | Some("" | "identity") => Ok(false),
        Some("gzip" | "x-gzip") => Ok(true),
        Some(other) => {
            let other = head(other, 40);
            let advice = "let the server send the file as it is";
            Err(Fault::lasting(format!("it is sent with Content-Encoding {other}, which was not asked for: {advice}")))
        }
    }
}

/// First byte and size of `bytes 5-9/100`; the size may be `*`.
fn parse_range(range: &str) -> Option<(u64, Option<u64>)> {
    let (bytes, size) = range.trim().strip_prefix("bytes ")?.split_once('/')?;
    let start = bytes.split_once('-')?.0.trim().parse().ok()?;
    Some((start, size.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_a_file() {
        let version = |tag: &str, modified: &str, size| {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            Version { tag: some(tag), modified: some(modified), size }
        };
        for (other, differs) in [
            (version("a", "Mon", Some(1)), false),
            // the tag tells more than the time
            (version("a", "Tue", Some(1)), false),
            (version("b", "Mon", Some(1)), true),
            (version("", "Tue", Some(1)), true),
            (version("a", "", Some(2)), true),
            (version("", "", None), false),
        ] {
            assert_eq!(version("a", "Mon", Some(1)).differs_from(&other), differs, "{other:?}");
        }
    }

    #[test]
    fn ranges_and_packings() {
        assert_eq!(parse_range("bytes 5-9/100"), Some((5, Some(100))));
        assert_eq!(parse_range("bytes 5-9/*"), Some((5, None)));
        assert_eq!(parse_range("bytes */100"), None);
        assert_eq!((packed(None), packed(Some("x-gzip"))), (Ok(false), Ok(true)));
        assert!(packed(Some("br")).unwrap_err().message.contains("Content-Encoding br"));
    }

    #[test]
    fn statuses_say_what_to_do() {
        let fault = |status: u16, header: Option<(&'static str, &str)>, body: &[u8]| {
            let headers = header.into_iter().map(|(name, value)| {
                (header::HeaderName::from_static(name), value.parse::<header::HeaderValue>().unwrap())
            });
            Fault::of_status(StatusCode::from_u16(status).unwrap(), &headers.collect(), body)
        };
        let missing = fault(404, None, b"<Error><Code>NoSuchBucket</Code></Error>");
        assert_eq!(missing, Fault::lasting("expected a file, got HTTP 404 (NoSuchBucket): no such file"));
        assert!(fault(301, Some(("x-amz-bucket-region", "eu-west-1")), b"").message.contains("AWS_REGION=eu-west-1"));
        let busy = fault(503, Some(("retry-after", "7")), b"");
        assert!(busy.passes && busy.pause(Duration::ZERO) == Duration::from_secs(7));
        assert_eq!(fault(429, Some(("retry-after", "9999")), b"").pause(Duration::ZERO), LONGEST_PAUSE);
        assert!(!fault(403, None, b"").passes);
    }
}
